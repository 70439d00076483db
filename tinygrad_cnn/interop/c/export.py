"""A network as a file in C that runs anywhere."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ... import checks
from ...data import Dataset
from ...models import Network
from ...models.network import cost_of
from ...nn import Module
from ...ops import cross_entropy
from ...storage.atomic import PathLike, atomic_writer, check_target
from ..onnx.module import OnnxModule
from . import text
from .calibrate import calibrate
from .fold import fold
from .graph import CALLER, read_graph
from .library import library
from .lower import lower
from .quantise import quantise
from .source import About, Sizes, write_source


def to_c(
    model: Module,
    path: PathLike,
    image_shape: tuple[int, ...] | None = None,
    *,
    int8: bool = False,
    calibration: Dataset | ArrayLike | None = None,
    name: str | None = None,
) -> Sizes:
    """Write the network, as it computes in evaluation mode, as a C99 file and its header, for one image at a time.

    The header declares ``void NAME(const float *image, float *scores);``, with the image in C, H, W order. The file
    allocates nothing and needs `expf` alone. Batch normalisation becomes part of the layer before it, and one static
    buffer holds what lives at a time. Compiled with ``-DNAME_MAIN`` it is a program that reads an image and prints the
    share of each class.

    With ``int8`` the network computes in integers of 8 bits, with sums of 32: weights are rounded with a scale for each
    output channel, activations with a scale for each array, chosen for the images of ``calibration``. What follows the
    last layer, such as a softmax, is computed in floats.

    Args:
        model: the network, of any float type; the file has 32-bit floats.
        path: the file to write, which ends in ``.c``; the header stands beside it. Existing files are replaced.
        image_shape: the shape of one image without the batch, such as (1, 28, 28); when None, a named network's own, or
            that of the file that the network was read from.
        int8: write integers.
        calibration: images (N, C, H, W), or a `Dataset`, typical of those to come; some hundreds are enough.
        name: the function's name; when None that of the file.

    Returns:
        The bytes of weights and of the buffer, and the multiply-adds for an image.

    Raises:
        ValueError: an op that cannot be written, which the message names with its layer; a network that computes
            differently for one image than for several; a name that C cannot have; images of another shape.

    Sources: for int8 B. Jacob et al., "Quantization and Training of Neural Networks for Efficient
    Integer-Arithmetic-Only Inference" (2018); M. Nagel et al., "Data-Free Quantization Through Weight Equalization and
    Bias Correction" (2019).
    """
    checks.instance(CALLER, "model", model, Module)
    target = Path(path)
    check_target(f"{CALLER}:", str(target), ".c")
    shape = _image_shape(model, image_shape)
    images = _calibration_images(checks.flag(CALLER, "int8", int8), calibration, shape)
    function = _function_name(target, name)
    graph = read_graph(model, shape)
    plan = lower(graph)
    fold(plan)
    last = plan.maker(plan.output)
    if images is not None:
        values = [plan.input, *(v for step in plan.steps for v in (step.result, *step.inputs))]
        quantise(plan, calibrate(model, graph, images, dict.fromkeys(values)))
    about = About(
        name=function,
        file=target.name,
        model=_described(model, shape),
        image_shape=shape,
        shares=_shares(model, "" if last is None else last.op),
        class_names=model.class_names if isinstance(model, Network) else (),
    )
    source, header, sizes = write_source(plan, "float" if images is None else "int8", about)
    for file_path, content in ((target, source), (target.with_suffix(".h"), header)):
        with atomic_writer(file_path) as file:
            file.write(content.encode())
    return sizes


def _image_shape(model: Module, image_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    """Return the shape of an image, the network's own if it has one and none is given."""
    if image_shape is None and isinstance(model, Network | OnnxModule) and 0 not in model.image_shape:
        image_shape = model.image_shape
    if image_shape is None:
        raise ValueError(f"{CALLER}: image_shape is needed, the shape of one image such as (1, 28, 28)")
    return checks.array_shape(CALLER, "image_shape", image_shape)


def _calibration_images(
    int8: bool, calibration: Dataset | ArrayLike | None, shape: tuple[int, ...]
) -> NDArray[Any] | None:
    """Return the calibration images, or None for a file of floats. ValueError if they do not fit."""
    if int8 != (calibration is not None):
        raise ValueError(f"{CALLER}: int8=True and calibration, the images that it is for, go together")
    if calibration is None:
        return None
    images = np.asarray(calibration.images if isinstance(calibration, Dataset) else calibration)
    if images.dtype.kind != "f" or images.shape[1:] != shape or not len(images):
        expected = ", ".join(map(str, shape))
        got = f"{images.dtype} {images.shape}"
        raise ValueError(f"{CALLER}: calibration must be floats of shape (N, {expected}) with N above 0, got {got}")
    return images


def _function_name(path: Path, name: str | None) -> str:
    """Return the name of the function: the file's, as an identifier of C, when None."""
    function = text.identifier(path.stem) if name is None else name
    if not text.is_function_name(function) or function in {*library("float"), *library("int8")}:
        raise ValueError(f"{CALLER}: name must be one that a function of C can have here, got {function!r}")
    return function


def _described(model: Module, shape: tuple[int, ...]) -> str:
    """Return the network in words: its name and the images that it takes."""
    name = model.name if isinstance(model, Network) else type(model).__name__
    return f"{name} for images of {text.dimensions(shape)}"


def _shares(model: Module, last: str) -> str:
    """Return the function that makes class probabilities of scores that function ``last`` made."""
    if last == "log_softmax":
        return "exponential"
    if cost_of(model) is cross_entropy:
        return "" if last == "softmax" else "softmax"
    return "" if last == "softmax" else "shares"
