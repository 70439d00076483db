"""The pictures show the numbers they claim to show, and can be read in grey."""

import io
import subprocess
import sys

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.inspection import plot
from tinygrad_cnn.inspection.plot import canvas
from tinygrad_cnn.inspection.plot.layers import maps_of
from tinygrad_cnn.inspection.plot.occlusion import output_fall
from tinygrad_cnn.training.records import EpochRecord

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
pytest.importorskip("matplotlib.backends.backend_agg")


@pytest.fixture
def network():
    rng = np.random.default_rng(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, rng=rng), nn.MaxPool2d(2), nn.Sigmoid(),
        nn.Conv2d(3, 4, 2, rng=rng), nn.ReLU(), nn.Flatten(), nn.Linear(16, 10, rng=rng),
    )  # fmt: skip


@pytest.fixture
def image():
    return tg.data.digits()[1].take(slice(0, 1))[0][0]


def drawn_images(figure):
    """The images of a figure's panels, colour bars left out."""
    return [np.ma.filled(ax.images[0].get_array(), np.nan) for ax in figure.axes if ax.images]


def test_importing_the_package_and_its_pictures_does_not_import_matplotlib():
    rooms = "tinygrad_cnn.inspection.plot, tinygrad_cnn.inspection.report"
    code = f"import sys, {rooms}; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'tinygrad_cnn\[plot\]'"):
        plot.confusion([[1]])


# Curves ---------------------------------------------------------------------------------------------------------------

HISTORY = [
    EpochRecord(1, 10, 0.9, 0.5, 0.8, 0.6, True, 1.0),
    EpochRecord(2, 20, 0.4, 0.8, 0.5, 0.7, True, 2.0),
    EpochRecord(3, 30, 0.2, 0.9, 0.6, 0.65, False, 3.0),
]


def lines(ax):
    return {line.get_label(): np.asarray(line.get_xydata()).tolist() for line in ax.lines}


def test_curves_show_the_cost_and_the_accuracy_in_per_cent():
    cost, accuracy = plot.curves(HISTORY).axes
    assert lines(cost) == {"training": [[1, 0.9], [2, 0.4], [3, 0.2]], "validation": [[1, 0.8], [2, 0.5], [3, 0.6]]}
    assert lines(accuracy)["validation"] == [[1, 60], [2, 70], [3, 65]]
    assert (cost.get_ylabel(), accuracy.get_ylabel(), accuracy.get_xlabel()) == ("cost", "accuracy, %", "epoch")


def test_a_line_looks_the_same_in_both_panels_and_unlike_the_others_without_colour():
    cost, accuracy = plot.curves(HISTORY).axes
    looks = [{e.get_label(): (e.get_linestyle(), e.get_marker()) for e in ax.lines} for ax in (cost, accuracy)]
    assert looks[0] == looks[1]
    assert len(set(looks[0].values())) == len(looks[0])


def test_curves_leave_out_what_was_not_measured():
    (ax,) = plot.curves([{"loss": 1.0, "validation_loss": None}, {"loss": 0.5, "validation_loss": None}]).axes
    assert lines(ax) == {"training": [[1, 1.0], [2, 0.5]]}


def test_one_epoch_is_numbered_whole():
    ax = plot.curves(HISTORY[:1]).axes[-1]
    low, high = ax.get_xlim()
    assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [1]


@pytest.mark.parametrize("history", [[], [{"epoch": 1}]])
def test_curves_of_nothing_are_refused(history):
    with pytest.raises(ValueError, match="curves: history must have numbers under a key"):
        plot.curves(history)


# Filters --------------------------------------------------------------------------------------------------------------


def test_filters_show_every_weight_with_zero_in_the_middle_of_the_colours():
    conv = nn.Conv2d(1, 3, (16, 16), rng=np.random.default_rng(0))
    figure = plot.filters(conv)
    (sheet,) = drawn_images(figure)
    assert np.array_equal(sheet[:, 17:33], conv.weight.data[1, 0])
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high == -abs(conv.weight.data).max()


def test_filters_of_many_channels_stand_in_a_row_for_each_filter():
    weights = np.arange(2 * 3, dtype=np.float64).reshape(2, 3, 1, 1) * np.ones((2, 3, 16, 16))
    (sheet,) = drawn_images(plot.filters(tg.Tensor(weights)))
    assert sheet[::17, ::17].tolist() == [[0, 1, 2], [3, 4, 5]]


def test_filters_that_are_not_four_dimensional_are_refused():
    with pytest.raises(ValueError, match=r"filters: .*weight.shape=\(3, 3\)"):
        plot.filters(tg.Tensor(np.ones((3, 3))))


# Layers ---------------------------------------------------------------------------------------------------------------


def test_maps_are_what_each_layer_makes(network, image):
    stacks = maps_of("test", network, image)
    assert [(m.name, m.symbol) for m in stacks] == [
        ("image", "a"), ("correlate2d", "z"), ("maxpool", "z"), ("sigmoid", "a"), ("correlate2d", "z"), ("relu", "a"),
    ]  # fmt: skip
    a = tg.Tensor(image[None])
    for layer, m in zip(network, stacks[1:], strict=False):
        a = layer(a)
        assert np.array_equal(m.values, a.data[0])


def test_a_formula_in_arithmetic_is_one_step_and_moves_of_numbers_are_none(image):
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 4, padding="same", rng=rng), nn.BatchNorm2d(2), lambda z: z * tg.sigmoid(z), nn.AvgPool2d(2),
        nn.ConvTranspose2d(2, 3, 2, stride=2, rng=rng), nn.Flatten(), nn.Linear(192, 10, rng=rng),
    )  # fmt: skip
    assert [(m.name, m.symbol) for m in maps_of("test", model, image)] == [
        ("image", "a"), ("correlate2d", "z"), ("add", "z"), ("sigmoid", "a"), ("multiply", "a"), ("avgpool", "a"),
        ("convolve2d_full", "z"), ("add", "z"),
    ]  # fmt: skip


def test_gradients_are_those_of_the_cost(network, image):
    x = tg.Tensor(image[None], requires_grad=True)
    hidden = tg.sigmoid(network[1](network[0](x)))
    cost = tg.cross_entropy(network[3:](hidden), [3])
    stacks = maps_of("test", network, image, 3)
    dx, dh = tg.grad(cost, [x, hidden])
    assert np.allclose(stacks[0].gradient, dx.data[0], rtol=1e-5, atol=1e-8)
    assert np.allclose(stacks[3].gradient, dh.data[0], rtol=1e-5, atol=1e-8)


def test_another_cost_gives_other_gradients(network, image):
    def first(outputs, labels):
        return outputs[0, 0] * 1.0

    plain, other = maps_of("test", network, image, 3), maps_of("test", network, image, 3, cost=first)
    assert not np.allclose(plain[0].gradient, other[0].gradient)


def test_a_network_that_does_not_look_at_the_image_has_gradients_of_zero_and_still_a_picture(network, image):
    network[6].weight.writable()[...] = 0
    assert not any(m.gradient.any() for m in maps_of("test", network, image, 3))
    plot.gradients(network, image, 3).savefig(io.BytesIO())


def test_each_stack_is_a_panel_with_a_title_and_a_labelled_scale(network, image):
    for figure, labels in (
        (plot.feature_maps(network, image), ["a", "z", "z", "a", "z", "a"]),
        (plot.gradients(network, image, 3), ["dC/da", "dC/dz", "dC/dz", "dC/da", "dC/dz", "dC/da"]),
    ):
        panels = [ax for ax in figure.axes if ax.images]
        assert [ax.get_title(loc="left") for ax in panels][:2] == ["image: 8×8", "1. correlate2d: 3 maps of 6×6"]
        assert [ax.get_ylabel() for ax in figure.axes if not ax.images] == labels


def test_looking_at_a_network_leaves_it_as_it_was(network, image):
    network.train()
    network[1].eval()
    before = {name: a.copy() for name, a in network.state_dict().items()}
    plot.feature_maps(network, image)
    plot.gradients(network, image, 1)
    plot.occlusion(network, image, 1)
    assert [m.training for m in network] == [True, False, True, True, True, True, True]
    assert all(p.grad is None for p in network.parameters())
    assert all(np.array_equal(a, before[name]) for name, a in network.state_dict().items())


def test_a_batch_of_images_is_refused(network):
    with pytest.raises(ValueError, match=r"image must be \(C, H, W\) or \(H, W\) \(image.shape=\(2, 1, 8, 8\)\)"):
        plot.feature_maps(network, np.zeros((2, 1, 8, 8)))


# Pooling --------------------------------------------------------------------------------------------------------------

ARTICLE = np.array([[8, 0, 11, 1, 6], [10, 2, 4, 14, 17], [5, 16, 19, 15, 7], [12, 13, 9, 18, 3]])


def frames(ax):
    """(x, y, width, height) of the outlined places."""
    return {(p.get_x() + 0.5, p.get_y() + 0.5, p.get_width(), p.get_height()) for p in ax.patches}


def test_pooling_outlines_an_overlay_and_its_maximum_in_the_articles_example():
    before, after, _ = plot.pooling(ARTICLE, (2, 2), place=(0, 2)).axes
    assert frames(before) == {(2, 0, 2, 2), (3, 1, 1, 1)}
    assert frames(after) == {(2, 0, 1, 1)}
    assert " ".join(t.get_text() for t in after.texts) == "10 11 14 17 16 19 19 17 16 19 19 18"


def test_pooling_prints_the_winners_in_bold():
    before = plot.pooling(ARTICLE, (2, 2)).axes[0]
    bold = {t.get_text() for t in before.texts if t.get_fontweight() == "bold"}
    assert bold == {"10", "11", "14", "17", "16", "19", "18"}


def test_pooling_marks_the_winners_of_a_large_map_with_dots():
    rng = np.random.default_rng(0)
    large = rng.permutation(400).reshape(20, 20)
    before = plot.pooling(large, 4, stride=4).axes[0]
    places = before.collections[0].get_offsets()
    values = sorted(large[int(r), int(c)] for c, r in places)
    assert values == sorted(large.reshape(5, 4, 5, 4).max((1, 3)).ravel())


def test_pooling_refuses_a_stack_of_maps_and_a_place_outside():
    with pytest.raises(ValueError, match=r"pooling: feature_map must be \(H, W\) \(feature_map.shape=\(2, 4, 4\)\)"):
        plot.pooling(np.zeros((2, 4, 4)), 2)
    with pytest.raises(ValueError, match=r"pooling: place must be inside .* of shape \(3, 4\), got \(3, 0\)"):
        plot.pooling(ARTICLE, 2, place=(3, 0))


# Errors ---------------------------------------------------------------------------------------------------------------


def test_confusion_writes_each_count_at_its_row_and_column():
    ax = plot.confusion([[5, 1], [0, 3]], classes=["cat", "dog"])
    assert {(t.get_position(), t.get_text()) for t in ax.texts} == {((0, 0), "5"), ((1, 0), "1"), ((1, 1), "3")}
    assert [t.get_text() for t in ax.get_yticklabels()] == ["cat", "dog"]
    assert ax.get_title(loc="left") == "8 of 9 images right (88.89%)"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("taken for", "is")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "count", "name"), [(3, 10**9, ""), (10, 10**7, ""), (30, 9, ""), (26, 10**5, ""), (12, 9, "a long name ")]
)
def test_nothing_in_a_confusion_overlaps_however_many_classes_and_digits(size, count, name):
    ax = plot.confusion(np.full((size, size), count), classes=[f"{name}{k}" for k in range(size)])
    matplotlib.backends.backend_agg.FigureCanvasAgg(ax.figure).draw()  # kept: else every extent would make a canvas
    for texts in (ax.texts, ax.get_xticklabels(), ax.get_yticklabels()):
        boxes = np.array([t.get_window_extent().get_points() for t in texts])  # (texts, corners, axes)
        begins_before_the_others_end = (boxes[:, None, 0] < boxes[None, :, 1]).all(axis=2)
        assert not np.triu(begins_before_the_others_end & begins_before_the_others_end.T, 1).any()
    assert ax.title.get_window_extent().x1 <= ax.figure.bbox.x1


@pytest.mark.parametrize("counts", [[[1, 2]], [[1, -1], [0, 0]], np.zeros((0, 0), int)])
def test_confusion_refuses_what_are_not_counts(counts):
    with pytest.raises(ValueError, match="confusion: counts must be"):
        plot.confusion(counts)
    with pytest.raises(TypeError, match="integers"):
        plot.confusion([[0.5]])


def test_errors_shows_the_misclassified_in_order_with_what_they_were_taken_for():
    test = tg.data.digits()[1][:30]
    answers = test.labels.copy()
    answers[[4, 17]] = 9 - answers[[4, 17]]
    figure = plot.errors(test, answers)
    shown = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in shown] == [f"{k}: {test.labels[k]} as {answers[k]}" for k in (4, 17)]
    assert np.array_equal(shown[1].images[0].get_array(), test.images[17, 0])
    assert figure.get_suptitle() == "2 of 30 images taken for another class"


def test_errors_are_limited_and_say_so():
    test = tg.data.digits()[1][:30]
    figure = plot.errors(test, (test.labels + 1) % 10, limit=5)
    assert len(drawn_images(figure)) == 5
    assert figure.get_suptitle() == "30 of 30 images taken for another class, the first 5"


def test_no_errors_make_an_empty_picture_and_wrong_lengths_an_error():
    test = tg.data.digits()[1][:3]
    assert drawn_images(plot.errors(test, test.labels)) == []
    with pytest.raises(
        ValueError, match=r"errors: predictions must be one for .* 3 images \(predictions.shape=\(1,\)\)"
    ):
        plot.errors(test, [1])


# Occlusion ------------------------------------------------------------------------------------------------------------


def test_occlusion_finds_the_one_pixel_that_matters():
    layer = nn.Linear(35, 2)
    layer.weight.writable()[...] = 0
    layer.weight.writable()[1, 2 * 7 + 4] = 3.0  # class 1 looks at row 2, column 4 alone
    image = np.zeros((1, 5, 7), np.float32)
    image[0, 2, 4] = 0.5
    fall = output_fall(nn.Sequential(nn.Flatten(), layer), image, 1, 3)
    expected = np.zeros((5, 7))
    expected[1:4, 3:6] = 1.5
    assert np.allclose(fall, expected)


def test_occlusion_needs_a_class_that_the_network_has(network, image):
    with pytest.raises(ValueError, match="occlusion: label must be below 10, got 10"):
        plot.occlusion(network, image, 10)


# What all share -------------------------------------------------------------------------------------------------------


def test_pictures_are_drawn_where_the_caller_says(network, image):
    ax = canvas.new_axes(None, 3, 3)
    assert plot.confusion([[1]], ax=ax) is ax
    assert plot.occlusion(network, image, 0, ax=canvas.new_axes(None, 3, 3)).images
    left, right = canvas.new_figure(None, 6, 3).subfigures(1, 2)
    assert plot.curves(HISTORY, figure=left) is left
    assert plot.filters(network[0], figure=right) is right


@pytest.mark.parametrize("name", [canvas.PLAIN, canvas.SIGNED])
def test_colours_grow_lighter_all_the_way(name):
    r, g, b, _ = matplotlib.colormaps[name](np.linspace(0, 1, 64)).T
    luminance = 0.2126 * r**2.2 + 0.7152 * g**2.2 + 0.0722 * b**2.2
    assert (np.diff(luminance) > 0).all()


@pytest.mark.slow
def test_every_picture_can_be_saved(network, image, tmp_path):
    test = tg.data.digits()[1][:20]
    for k, drawn in enumerate((
        plot.curves(HISTORY), plot.filters(network[0]), plot.filters(network[3]), plot.feature_maps(network, image),
        plot.gradients(network, image, 3), plot.pooling(image[0], 2, stride=2), plot.confusion([[3, 1], [0, 2]]).figure,
        plot.errors(test, (test.labels + 1) % 10), plot.occlusion(network, image, 3).figure,
    )):  # fmt: skip
        drawn.savefig(tmp_path / f"{k}.png")
        assert (tmp_path / f"{k}.png").stat().st_size > 1000
