"""Pictures, drawings, files and the classifier answer a wrong call, too, in one line that names what was given."""

import numpy as np
import pytest

import tinygrad_cnn as tg
from tinygrad_cnn import nn
from tinygrad_cnn.inspection import plot
from tinygrad_cnn.training import checkpoint

pytest.importorskip("matplotlib")
pytest.importorskip("onnx")
pytest.importorskip("sklearn")

from tinygrad_cnn.interop import to_onnx
from tinygrad_cnn.interop.sklearn import CNNClassifier

NETWORK = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 10))
IMAGE = np.zeros((1, 8, 8), np.float32)
DATA = tg.data.digits()[1][:3]
ROWS, LABELS = np.ones((4, 64)), [0, 1, 0, 1]
COST = tg.cross_entropy(NETWORK(tg.Tensor(IMAGE[None])), [1])

CALLS = {
    "occlusion: size must be an integer, got '5'": lambda: plot.occlusion(NETWORK, IMAGE, 1, size="5"),
    "occlusion: size must be an integer, got 2.5": lambda: plot.occlusion(NETWORK, IMAGE, 1, size=2.5),
    "occlusion: label must be an integer, got 1.5": lambda: plot.occlusion(NETWORK, IMAGE, 1.5),
    "occlusion: model must be a Module, got 3": lambda: plot.occlusion(3, IMAGE, 1),
    "occlusion: image must be an array of numbers, got 'x'": lambda: plot.occlusion(NETWORK, "x", 1),
    "feature_maps: model must be a Module, got None": lambda: plot.feature_maps(None, IMAGE),
    "feature_maps: image must be (C, H, W) or (H, W) (image.shape=())": lambda: plot.feature_maps(NETWORK, 3),
    "gradients: model must be a Module, got 3": lambda: plot.gradients(3, IMAGE, 1),
    "gradients: label must be an integer, got None": lambda: plot.gradients(NETWORK, IMAGE, None),
    "gradients: image must be (C, H, W) or (H, W) (image.shape=(8,))":
        lambda: plot.gradients(NETWORK, IMAGE[0, 0], 1),
    "pooling: place must be an integer or two of them, got (0.5, 1)": lambda: plot.pooling(IMAGE[0], 2, place=(0.5, 1)),
    "pooling: place must be at least 0, got -1": lambda: plot.pooling(IMAGE[0], 2, place=(-1, 0)),
    "filters: weight must be a Conv2d or filters (F, C, KH, KW), got None": lambda: plot.filters(None),
    "filters: weight must be a Conv2d or filters (F, C, KH, KW), got Linear(": lambda: plot.filters(NETWORK[2]),
    "filters: weight must be a Conv2d or filters (F, C, KH, KW), got Sequential(": lambda: plot.filters(NETWORK),
    "errors: limit must be at least 0, got -1": lambda: plot.errors(DATA, DATA.labels, limit=-1),
    "errors: limit must be an integer, got 2.5": lambda: plot.errors(DATA, DATA.labels, limit=2.5),
    "errors: predictions must be integers, got float64": lambda: plot.errors(DATA, DATA.labels * 1.0),
    "errors: dataset must be a Dataset, got 3": lambda: plot.errors(3, DATA.labels),
    "curves: history must be a sequence of EpochRecord or mappings, got 3": lambda: plot.curves(3),
    "curves: history must be a sequence of EpochRecord or mappings, got None": lambda: plot.curves(None),
    "curves: history must be a sequence of EpochRecord or mappings, got [3]": lambda: plot.curves([3]),
    "draw: output must be a Tensor, got 3": lambda: tg.draw(3),
    "draw: model must be a Module, got 3": lambda: tg.draw(COST, 3),
    "explain: loss must be a Tensor, got None": lambda: tg.explain(None),
    "explain: model must be a Module, got 3": lambda: tg.explain(COST, 3),
    "save: model must be a Module, got None": lambda: checkpoint.save(None, "w.npz"),
    "to_onnx: model must be a Module, got 3": lambda: to_onnx(3, "n.onnx"),
    "to_onnx: metadata must be texts under texts, got {'a': 1}":
        lambda: to_onnx(NETWORK, "n.onnx", (1, 8, 8), metadata={"a": 1}),
    "to_onnx: image_shape must be a tuple such as (1, 28, 28), got 28": lambda: to_onnx(NETWORK, "n.onnx", 28),
    "CNNClassifier: model must be a name or a function, got 3": lambda: CNNClassifier(3).fit(ROWS, LABELS),
    "CNNClassifier: model must be a name or a function, got Sequential(":
        lambda: CNNClassifier(NETWORK).fit(ROWS, LABELS),
    "CNNClassifier: image_shape must be a tuple such as (1, 28, 28), got 8":
        lambda: CNNClassifier(image_shape=8).fit(ROWS, LABELS),
}  # fmt: skip


@pytest.mark.parametrize("message", CALLS)
def test_a_wrong_call_of_a_tool_is_answered_in_one_line(message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((TypeError, ValueError)) as caught:
        CALLS[message]()
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert issubclass(caught.type, TypeError) is not any(s in message for s in ("at least", "image.shape="))
    assert not list(tmp_path.iterdir())
