"""One HTML file that runs a network, forward and backward, in the browser: no server, no request to anywhere.

`to_page` traces the network (`program`) and puts it into the page: `engine.js` computes, the other scripts draw. The
weights that come with it: ``mnist.md``.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import abbreviated, array_shape, instance
from ..data import ImageSpec, digits
from ..inspection.explain import article_example
from ..models import Network, build
from ..nn import Conv2d, Flatten, Module, Sequential, Sigmoid
from ..ops import cross_entropy
from ..storage.atomic import PathLike, atomic_writer
from .program import PARAMETERS, base64_bytes, program

__all__ = ["PARAMETERS", "page_text", "shipped_weights", "to_page"]

_FOLDER = Path(__file__).parent
_SCRIPTS = "engine", "pictures", "ink", "drawing", "terms", "example", "network", "neuron", "training", "page"


def shipped_weights() -> Path:
    """Return the file of the weights that come with the package: see ``mnist.md``."""
    return _FOLDER / "mnist.npz"


def to_page(
    model: Module,
    path: PathLike,
    image_shape: tuple[int, ...] | None = None,
    *,
    class_names: Sequence[str] | None = None,
) -> None:
    """Write the network, as it computes in evaluation mode, as one HTML file that runs it in any browser.

    The page shows every layer's maps of a drawing or a picture, the sum that makes a neuron, and the backward pass with
    the rules of the ops; weights can be edited, and trained by a step. Its script offers
    ``window.network.forward(Float32Array)``, the scores, and ``window.network.gradient(Float32Array, k)``, the gradient
    of score k for the image; both take the image in C, H, W order.

    Args:
        model: the network, for scores (N, K); its arrays are written as float32.
        path: where to write; an existing file is replaced.
        image_shape: (C, H, W) of one image; a named network's own when None.
        class_names: a name for each of the K classes; when None, those of the images it was trained on, or 0, 1 ...

    Raises:
        ValueError: an op that the page cannot run, which the message names, a network that computes differently for
            different batches, or whose result is not (N, K); or class names of another number.
    """
    text = page_text(model, image_shape, class_names)
    with atomic_writer(path) as file:
        file.write(text.encode())


def page_text(
    model: Module, image_shape: tuple[int, ...] | None = None, class_names: Sequence[str] | None = None
) -> str:
    """Return the page that `to_page` writes."""
    instance("to_page", "model", model, Module)
    if image_shape is None and isinstance(model, Network):
        image_shape = model.image_shape
    shape = array_shape("to_page", "image_shape", image_shape) if image_shape is not None else ()
    if len(shape) != 3:
        raise ValueError(f"to_page: image_shape must be (C, H, W), such as (1, 28, 28), got {abbreviated(image_shape)}")
    network = program(model, shape)
    if class_names is None and isinstance(model.image_spec, ImageSpec):
        class_names = model.image_spec.class_names
    names = [str(name) for name in class_names or range(network["num_classes"])]
    if len(names) != network["num_classes"]:
        raise ValueError(f"to_page: class_names must be {network['num_classes']} names, got {len(names)}")
    title = model.name if isinstance(model, Network) else type(model).__name__
    content = {"network": network | {"class_names": names, "title": title}, **_lessons()}
    parts = {
        "style": _read("page.css"),
        "script": "\n".join(_read(f"{name}.js") for name in _SCRIPTS),
        "content": json.dumps(content, allow_nan=False, separators=(",", ":")).replace("</", "<\\/"),
    }
    page = _read("page.html")
    for name, part in parts.items():
        page = page.replace(f"@{name}@", part)
    return page


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def _lessons() -> dict[str, Any]:
    """Return what every page has: the article's example, a small network without weights, and the digits for it."""
    cost, layer = article_example()
    example = Sequential(Conv2d(1, 1, 2), Sigmoid(), Flatten())
    arrays = dict(layer.named_parameters())
    example.load_state_dict({"0.weight": arrays["w"].data[None, None], "0.bias": arrays["b"].data[0]})
    train, test = digits()
    small = program(build("digits", image_shape=train.image_shape), train.image_shape, with_weights=False)
    logits = cross_entropy(article_example()[0].reshape(1, 1), np.array([0]))
    rules = {t.node.name: {"formula": t.node.formula, "sentence": t.node.sentence(0)} for t in (cost, logits) if t.node}
    return {
        "example": program(example, (1, 3, 3)),
        "small": small | {"class_names": [str(k) for k in range(10)], "title": "the small network"},
        "digits": {
            "pixels": base64_bytes(np.concatenate([train.pixels, test.pixels])),
            "labels": base64_bytes(np.concatenate([train.labels, test.labels]).astype(np.uint8)),
            "train_count": len(train),
            "full_scale": 16,
        },
        "rules": rules,
    }
