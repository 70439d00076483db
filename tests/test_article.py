"""The article's own numbers and remarks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal

import tinygrad_cnn as tg
from tinygrad_cnn import Tensor, article

VALUES, F = Tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]]), Tensor([[10, 20], [30, 40]])
TURNED = F[::-1, ::-1]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_appendix_a_valid(kernel_set):
    assert tg.correlate2d(VALUES, F).data.tolist() == [[370, 470], [670, 770]]
    assert tg.convolve2d(VALUES, F, mode="valid").data.tolist() == [[230, 330], [530, 630]]
    assert tg.correlate2d(VALUES, TURNED).data.tolist() == [[230, 330], [530, 630]]


def test_appendix_a_full(kernel_set):
    correlated = [[40, 110, 180, 90], [180, 370, 470, 210], [360, 670, 770, 330], [140, 230, 260, 90]]
    convolved = [[10, 40, 70, 60], [70, 230, 330, 240], [190, 530, 630, 420], [210, 520, 590, 360]]
    assert tg.correlate2d(VALUES, F, mode="full").data.tolist() == correlated
    for y in (
        tg.convolve2d(VALUES, F), tg.convolve2d(VALUES, F, mode="full"), tg.convolve2d_full(VALUES, F),
        tg.correlate2d(VALUES, TURNED, mode="full"),
    ):  # fmt: skip
        assert y.data.tolist() == convolved


def test_appendix_b_a_stack_is_the_sum_of_its_layers(kernel_set):
    maps = Tensor([[[1, 2, 3], [4, 5, 6], [7, 8, 9]], [[9, 8, 7], [6, 5, 4], [3, 2, 1]]])
    filters = Tensor([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    first, second = (tg.correlate2d(maps[i], filters[i]) for i in range(2))
    assert first.data.tolist() == [[37, 47], [67, 77]] and second.data.tolist() == [[175, 149], [97, 71]]
    assert tg.correlate2d(maps, filters).data.tolist() == [[212, 196], [164, 148]]


def test_sixteen_maps_of_4x4_on_28x28():
    layer = tg.nn.Conv2d(1, 16, 4)
    assert sum(p.size for p in layer.parameters()) == 17 * 16 == 272
    assert layer(Tensor(np.zeros((1, 1, 28, 28), np.float32))).shape == (1, 16, 25, 25)
    assert sum(p.size for p in article.FeatureMap((4, 4)).parameters()) == 17


def test_a_fully_connected_layer_of_30_on_28x28():
    assert sum(p.size for p in article.FullyConnectedLayer(28 * 28, 30).parameters()) == 23_550


def test_shapes_of_the_articles_listing():
    a = Tensor(np.arange(20.0).reshape(4, 5))
    assert article.FeatureMap((2, 2))(a).shape == article.MaxPoolingMap((2, 2))(a).shape == (3, 4)
    assert article.FullyConnectedLayer(20, 10)(a).shape == (10, 1)
    assert tg.correlate2d(Tensor(np.ones((7, 3))), Tensor(np.ones((2, 3)))).shape == (6, 1)


def test_the_articles_max_pooling():
    """Its 4x5 matrix: the values, and gradients that add up at a maximum shared by overlays."""
    data = np.array([[8, 0, 11, 1, 6], [10, 2, 4, 14, 17], [5, 16, 19, 15, 7], [12, 13, 9, 18, 3]])
    x, g = Tensor(data.astype(float), requires_grad=True), np.arange(1.0, 13).reshape(3, 4)
    y = article.MaxPoolingMap((2, 2))(x)
    assert y.data.tolist() == [[10, 11, 14, 17], [16, 19, 19, 17], [16, 19, 19, 18]]
    y.backward(g)
    expected = np.zeros((4, 5))
    for r in range(3):
        for c in range(4):
            row, column = np.unravel_index(data[r : r + 2, c : c + 2].argmax(), (2, 2))
            expected[r + row, c + column] += g[r, c]
    np.testing.assert_array_equal(x.grad.data, expected)
    assert x.grad.data[2, 2] == 6 + 7 + 10 + 11


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 3), st.integers(0, 3), st.integers(0, 99))
def test_a_feature_maps_gradients_are_the_articles_four_formulas(kh, kw, more_rows, more_columns, seed):
    rng = np.random.default_rng(seed)
    layer = article.FeatureMap((kh, kw), rng=rng).astype(np.float64)
    a_prev = Tensor(rng.standard_normal((kh + more_rows, kw + more_columns)), requires_grad=True)
    a = layer(a_prev)
    a_gradient = rng.standard_normal(a.shape)
    a.backward(a_gradient)

    z = signal.correlate2d(a_prev.data, layer.w.data, mode="valid") + layer.b.data
    sigmoid_prime = sigmoid(z) * (1 - sigmoid(z))
    components = sigmoid_prime * a_gradient
    np.testing.assert_allclose(a.data, sigmoid(z))
    np.testing.assert_allclose(layer.b.grad.data, signal.correlate2d(sigmoid_prime, a_gradient, mode="valid"))
    np.testing.assert_allclose(layer.w.grad.data, signal.correlate2d(a_prev.data, components, mode="valid"), atol=1e-12)
    np.testing.assert_allclose(a_prev.grad.data, signal.convolve2d(layer.w.data, components, mode="full"), atol=1e-12)


def test_a_fully_connected_layers_gradients_are_the_articles():
    layer = article.FullyConnectedLayer(20, 10, rng=np.random.default_rng(0)).astype(np.float64)
    a_prev = Tensor(np.random.default_rng(1).standard_normal((4, 5)), requires_grad=True)
    a_gradient = np.random.default_rng(2).standard_normal((10, 1))
    a = layer(a_prev)
    a.backward(a_gradient)
    column = a_prev.data.reshape(-1, 1)
    z = layer.w.data @ column + layer.b.data
    components = sigmoid(z) * (1 - sigmoid(z)) * a_gradient
    np.testing.assert_allclose(a.data, sigmoid(z))
    np.testing.assert_allclose(layer.b.grad.data, components)
    np.testing.assert_allclose(layer.w.grad.data, components @ column.T)
    np.testing.assert_allclose(a_prev.grad.data, (layer.w.data.T @ components).reshape(4, 5))


def test_consecutive_bias_updates_equal_one_with_the_sum():
    components, step_size, b = np.array([0.5, -0.25, 2.0, 1.0]), 0.1, 3.0
    consecutive = b
    for c in components:
        consecutive -= c * step_size
    layer = article.FeatureMap((2, 2)).astype(np.float64)
    layer.b.data = np.array([[b]])
    layer.b.grad = Tensor(np.array([[components.sum()]]))
    tg.optim.SGD(layer.parameters(), lr=step_size).step()
    np.testing.assert_allclose(layer.b.item(), consecutive)


def test_a_fully_connected_layer_is_a_convolution_with_maps_of_1x1(kernel_set):
    rng = np.random.default_rng(0)
    image = rng.standard_normal((4, 5))
    full, conv = article.FullyConnectedLayer(20, 3, rng=rng).astype(np.float64), tg.nn.Conv2d(1, 3, (4, 5))
    conv.astype(np.float64)
    conv.load_state_dict({"weight": full.w.data.reshape(3, 1, 4, 5), "bias": full.b.data.ravel()})
    one, other = (Tensor(a, requires_grad=True) for a in (image, image.reshape(1, 1, 4, 5)))
    a, maps = full(one), tg.sigmoid(conv(other))
    assert maps.shape == (1, 3, 1, 1)
    np.testing.assert_allclose(maps.data.ravel(), a.data.ravel())
    g = rng.standard_normal(3)
    a.backward(g.reshape(3, 1))
    maps.backward(g.reshape(1, 3, 1, 1))
    np.testing.assert_allclose(other.grad.data.ravel(), one.grad.data.ravel())
    np.testing.assert_allclose(conv.weight.grad.data.ravel(), full.w.grad.data.ravel())
    np.testing.assert_allclose(conv.bias.grad.data, full.b.grad.data.ravel())


@pytest.mark.parametrize("previous, following", [(3, 2), (1, 4), (2, 1)])
def test_a_chained_layer_is_the_sum_over_the_previous_maps(previous, following, kernel_set):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, previous, 6, 5)), rng.standard_normal((following, previous, 3, 2))
    x_, w_ = Tensor(x, requires_grad=True), Tensor(w, requires_grad=True)
    y = tg.correlate2d(x_, w_)
    g = rng.standard_normal(y.shape)
    y.backward(g)
    for f in range(following):
        maps = [signal.correlate2d(x[0, c], w[f, c], "valid") for c in range(previous)]
        np.testing.assert_allclose(y.data[0, f], sum(maps))
        for c in range(previous):
            np.testing.assert_allclose(w_.grad.data[f, c], signal.correlate2d(x[0, c], g[0, f], "valid"))
    for c in range(previous):
        back = [signal.convolve2d(w[f, c], g[0, f], "full") for f in range(following)]
        np.testing.assert_allclose(x_.grad.data[0, c], sum(back))


def test_the_same_feature_gives_the_same_activation_wherever_it_stands():
    image, feature = np.zeros((9, 9)), np.random.default_rng(0).standard_normal((3, 3))
    image[0:3, 0:3] = image[5:8, 4:7] = feature
    a = article.FeatureMap((3, 3))(Tensor(image)).data
    np.testing.assert_allclose(a[0, 0], a[5, 4], 1e-14)


def test_the_three_classes_learn_together():
    """The article's chain, map, pool, fully connected, drives its cost down."""
    rng = np.random.default_rng(0)
    image, wanted = Tensor(rng.random((6, 6))), np.array([[1.0], [0.0]])
    net = tg.nn.Sequential(
        article.FeatureMap((3, 3), rng=rng), article.MaxPoolingMap((2, 2)), article.FullyConnectedLayer(9, 2, rng=rng)
    )
    step, costs = tg.optim.SGD(net.parameters(), lr=1.0), []
    for _ in range(200):
        cost = tg.quadratic_cost(net(image).reshape(1, 2), wanted.reshape(1, 2))
        step.zero_grad()
        cost.backward()
        step.step()
        costs.append(cost.item())
    assert costs[-1] < 0.02 * costs[0]


def test_wrong_overlays_and_inputs():
    with pytest.raises(TypeError, match="FeatureMap: overlay_shape must be an integer or two"):
        article.FeatureMap("a")
    with pytest.raises(ValueError, match=r"larger than the image .*\(x\.shape=\(3, 3\), w\.shape=\(5, 5\)\)"):
        article.FeatureMap((5, 5))(Tensor(np.ones((3, 3))))
    with pytest.raises(ValueError, match="larger than the map"):
        article.MaxPoolingMap((5, 5))(Tensor(np.ones((3, 3))))
    with pytest.raises(ValueError, match="FullyConnectedLayer: num_inputs must be at least 1"):
        article.FullyConnectedLayer(0, 1)
    with pytest.raises(ValueError, match=r"FullyConnectedLayer: a_prev has 9 numbers, w expects 4 \(a_prev\.shape="):
        article.FullyConnectedLayer(4, 2)(Tensor(np.ones((3, 3))))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: tg.article.FeatureMap(x, (2, 2)),
        lambda x: tg.article.FeatureMap(x),
        lambda x: tg.article.MaxPoolingMap(x, (2, 2)),
        lambda x: tg.article.FeatureMap((2, 2)).feed_forward(),
        lambda x: tg.article.FullyConnectedLayer(4, 2).propagate_backward(x),
    ],
)
def test_the_listing_typed_as_it_stands_is_answered_by_how_it_is_written_here(call):
    with pytest.raises((TypeError, AttributeError), match=r"here it is layer = FeatureMap\(\(2, 2\)\), a = layer\(x\)"):
        call(np.ones((3, 3)))
