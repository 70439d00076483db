"""Pictures of digits as people have them are read as what they are by the shipped network."""

import importlib.util
import io
import pathlib
import zlib

import numpy as np
import pytest
from digit_strokes import placed

import tinygrad_cnn as tg
from tinygrad_cnn.data.handwriting import normalized_ink

PIL = pytest.importorskip("PIL", reason="needs Pillow")
from PIL import Image, ImageDraw, ImageFont  # noqa: E402

FONTS = ["DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "STIXGeneral", "cmr10", "DejaVuSans-Bold", "cmss10"]


@pytest.fixture(scope="module")
def network():
    return tg.load(pathlib.Path(tg.__file__).parent / "page" / "mnist.npz")


def read(network, grey):
    with tg.no_grad():
        return int(network(tg.Tensor(normalized_ink(grey)[None, None])).data.argmax())


def draw_with_a_pen(draw, digit, x, y, size, rng):
    width = size * rng.uniform(0.03, 0.14)
    for stroke in placed(digit):
        points = [tuple((x, y) + size * p) for p in stroke + rng.normal(0, 0.008, stroke.shape)]
        draw.line(points, fill=255, width=max(2, int(width)), joint="curve")
        for px, py in points:
            draw.ellipse([px - width / 2, py - width / 2, px + width / 2, py + width / 2], fill=255)


def draw_with_a_font(draw, digit, x, y, size, rng):
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("needs matplotlib's fonts")
    import matplotlib

    name = FONTS[rng.integers(len(FONTS))]
    font = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/{name}.ttf", int(size))
    left, top, *_ = font.getbbox(str(digit))
    draw.text((x - left, y - top), str(digit), fill=255, font=font)


def photograph(digit, rng, draw_digit):
    """A digit anywhere on shaded paper, turned a little, with a shadow, noise and JPEG's damage: grey in [0, 1]."""
    width, height = (int(n) for n in rng.integers(120, 500, 2))
    size = rng.uniform(0.3, 0.7) * min(width, height)
    x, y = (rng.uniform(0.04, 0.96 - size / n) * n for n in (width, height))
    canvas = Image.new("L", (2 * width, 2 * height))
    draw_digit(ImageDraw.Draw(canvas), digit, 2 * x, 2 * y, 2 * size, rng)
    centre = (2 * x + size, 2 * y + size)
    canvas = canvas.rotate(rng.uniform(-12, 12), resample=Image.Resampling.BICUBIC, center=centre)
    ink = np.asarray(canvas.resize((width, height)), np.float64) / 255
    down, right = np.mgrid[0:height, 0:width]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 - rng.uniform(0.1, 0.5) * (np.cos(angle) * right / width + np.sin(angle) * down / height + 1) / 2
    if rng.random() < 0.5:
        side = np.cos(angle + 1) * (right / width - 0.5) + np.sin(angle + 1) * (down / height - 0.5)
        light *= 1 - rng.uniform(0.1, 0.35) / (1 + np.exp(-(side - rng.uniform(-0.3, 0.3)) * rng.uniform(8, 60)))
    grey = light * (rng.uniform(0.65, 0.98) * (1 - ink) + rng.uniform(0.05, 0.35) * ink)
    grey += rng.normal(0, rng.uniform(0.005, 0.05), grey.shape)
    file = io.BytesIO()
    Image.fromarray(np.uint8(np.clip(grey, 0, 1) * 255)).save(file, "JPEG", quality=int(rng.integers(35, 95)))
    return np.asarray(Image.open(file), np.float64) / 255


@pytest.mark.parametrize("draw_digit", [draw_with_a_pen, draw_with_a_font])
def test_nine_of_ten_photographs_of_digits_are_recognised(network, draw_digit):
    rng = np.random.default_rng(7)
    pictures = [(digit, photograph(digit, rng, draw_digit)) for digit in range(10) for _ in range(5)]
    assert np.mean([read(network, grey) == digit for digit, grey in pictures]) >= 0.9


@pytest.fixture(scope="module")
def drawn():
    """The ten digits, drawn large, as ink from 0 to 1."""
    pictures = []
    for digit in range(10):
        canvas = Image.new("L", (240, 240))
        draw_with_a_pen(ImageDraw.Draw(canvas), digit, 40, 40, 160, np.random.default_rng(digit))
        pictures.append(np.asarray(canvas, np.float64) / 255)
    return pictures


def small(picture, side):
    return np.asarray(Image.fromarray(np.uint8(255 * picture)).resize((side, side), Image.Resampling.BOX)) / 255


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p,
        lambda p: 1 - p,
        lambda p: 0.4 + 0.3 * p,
        lambda p: 0.6 - 0.3 * p,
        lambda p: small(p, 40),
        lambda p: 1 - small(p, 40),
        lambda p: np.kron(p, np.ones((5, 5))),
        lambda p: np.pad(p, ((0, 900), (400, 0))),
        lambda p: (p > 0.5).astype(float),
    ],
    ids=["light", "dark", "pale", "pale dark", "tiny", "tiny dark", "huge", "far from the middle", "two colours"],
)
def test_size_place_polarity_and_contrast_make_no_difference(network, drawn, change):
    answers = [read(network, change(picture)) for picture in drawn]
    assert sum(a == digit for digit, a in enumerate(answers)) >= 9, answers


def test_the_result_is_framed_as_mnist_frames_its_digits(drawn):
    for picture in drawn:
        image = normalized_ink(picture)
        assert image.shape == (28, 28) and image.dtype == np.float32 and image.min() >= 0 and image.max() <= 1
        rows, columns = (np.flatnonzero((image > 0.5).any(axis)) for axis in (1, 0))
        assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        mass = image / image.sum()
        centre = (mass.sum(1) @ np.arange(28), mass.sum(0) @ np.arange(28))
        assert np.abs(np.array(centre) - 13.5).max() < 1


def test_an_image_that_is_framed_already_keeps_its_pixels(drawn):
    image = normalized_ink(drawn[3])
    np.testing.assert_allclose(normalized_ink(image), image, atol=1e-6)
    np.testing.assert_allclose(normalized_ink(1 - image), image, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.02])
@pytest.mark.parametrize("shape", [(28, 28), (1, 1), (3, 200), (300, 200)])
def test_a_blank_picture_gives_a_blank_image(value, noise, shape):
    picture = np.clip(value + noise * np.random.default_rng(0).standard_normal(shape), 0, 1)
    assert not normalized_ink(picture).any()


# Files ----------------------------------------------------------------------------------------------------------------

FILES = sorted((pathlib.Path(__file__).parents[1] / "files" / "pictures").glob("*_is?.*"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_picture_of_any_kind_is_read_as_the_digit_that_it_shows(network, path):
    """Ink in the alpha channel, few bits a pixel, palettes, photographs, EXIF orientation: the digit ends the name."""
    with tg.no_grad():
        answer = int(network(tg.Tensor(tg.data.photo(path, like=network)[None])).data.argmax())
    assert answer == int(path.stem[-1])


def test_a_colour_picture_is_scaled_and_cropped_in_the_middle(tmp_path):
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, :50], pixels[:, 50:] = (255, 0, 0), (0, 0, 255)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    dataset = tg.data.Dataset(np.zeros((1, 3, 8, 10), np.uint8), [0], fit="crop")
    image = tg.data.photo(tmp_path / "a.png", like=dataset)
    assert image.shape == (3, 8, 10) and image.dtype == np.float32
    np.testing.assert_allclose(image[0, :, :5], 1)
    np.testing.assert_allclose(image[2, :, 5:], 1)
    assert not image[1].any() and not image[0, :, 5:].any()


def test_a_picture_is_kept_whole_between_borders_of_its_own_colour(tmp_path):
    pixels = np.full((40, 100, 3), 255, np.uint8)
    pixels[10:30, 30:70] = 0, 0, 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    dataset = tg.data.Dataset(np.zeros((1, 3, 20, 20), np.uint8), [0], fit="pad")
    image = tg.data.photo(tmp_path / "a.png", like=dataset)
    np.testing.assert_allclose(image[:, [0, 5, 14, 19]], 1)
    np.testing.assert_allclose(image[:, 8:12, 6:14], np.array([0, 0, 1])[:, None, None] * np.ones((3, 4, 8)))


@pytest.mark.parametrize(("paper", "ink"), [(0, 200), (255, 30)])
def test_a_grey_picture_on_the_opposite_paper_is_inverted(tmp_path, paper, ink):
    pixels = np.full((4, 1, 20, 30), paper, np.uint8)
    pixels[:, :, 4:16, 8:22] = ink
    dataset = tg.data.Dataset(pixels, [0, 0, 0, 0], fit="pad")
    for name, picture in (("same", pixels[0, 0]), ("opposite", 255 - pixels[0, 0])):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
        image = tg.data.photo(tmp_path / f"{name}.png", dataset)
        np.testing.assert_allclose(image, pixels[0] / 255, atol=1e-6)
    opposite = tg.data.photo(tmp_path / "opposite.png", dataset, as_is=True)
    np.testing.assert_allclose(opposite, 1 - pixels[0] / 255, atol=1e-6)


def test_sixteen_bits_a_pixel_keep_their_brightness(tmp_path):
    ramp = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    dataset = tg.data.Dataset(np.zeros((1, 1, 8, 8), np.uint8), [0])
    np.testing.assert_allclose(tg.data.photo(tmp_path / "a.png", dataset, as_is=True)[0], ramp / 65_535, atol=1e-4)


def test_a_picture_that_promises_gigapixels_is_refused_by_its_header(tmp_path):
    content = io.BytesIO()
    Image.new("1", (1, 1)).save(content, "PNG")
    damaged = bytearray(content.getvalue())
    damaged[16:24] = (9_000).to_bytes(4, "big") + (9_000).to_bytes(4, "big")
    damaged[29:33] = zlib.crc32(bytes(damaged[12:29])).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(damaged)
    with pytest.raises(tg.data.DataError, match="9000x9000 pixels, more than 67,108,864"):
        tg.data.photo(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 30])
def test_what_is_no_picture_is_an_error_in_one_line(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(tg.data.DataError, match=r"a\.png"):
        tg.data.photo(tmp_path / "a.png")
    with pytest.raises(tg.data.DataError, match="No such file"):
        tg.data.photo(tmp_path / "b.png")
    with pytest.raises(TypeError, match="like must be a Dataset or a network"):
        tg.data.photo(tmp_path / "a.png", like=3)
