"""Loss, accuracy and errors of a model on a data set, and the modes that its modules train and are evaluated in."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.modes import no_grad
from ..autograd.tensor import Tensor, wrap
from ..data import Dataset
from ..models import Cost
from ..nn import Buffer, Module, Parameter
from ..nn.module import named_values
from ..ops import cross_entropy


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`.

    Attributes:
        loss: the mean cost over all images; NaN if a score is.
        accuracy: the fraction of recognised images, 0 to 1. An image with a NaN among its scores is not recognised.
        per_class_accuracy: the same for each class (K,); NaN for a class without images.
        confusion: ``confusion[i, j]`` images of class i are predicted to be of class j (K, K); NaN counts for none.
        predictions: the predicted class of each image (N,); -1 where a score is NaN.
        misclassified: the rows of the images with another prediction than their label, in order.
    """

    loss: float
    accuracy: float
    per_class_accuracy: NDArray[np.float64]
    confusion: NDArray[np.int64]
    predictions: NDArray[np.int64]
    misclassified: NDArray[np.int64]


def evaluate(model: Module, dataset: Dataset, *, cost: Cost = cross_entropy, batch_size: int = 500) -> Evaluation:
    """Run a model over a data set, in evaluation mode and without a graph; its modes are restored afterwards.

    Args:
        model: images (N, C, H, W) in, scores (N, K) out; the class with the largest score is the prediction.
        dataset: at least one image.
        cost: of scores and labels, a mean over the batch.
        batch_size: how many images at a time; the result does not depend on it but for rounding.

    Raises:
        ValueError: an empty data set, or a model that gives fewer scores than there are classes.
        TypeError: an argument of another type.
    """
    size = checks.integer("evaluate", "batch_size", batch_size, 1)
    checks.instance("evaluate", "model", model, Module)
    checks.instance("evaluate", "dataset", dataset, Dataset)
    checks.function("evaluate", "cost", cost, "scores and labels")
    if not len(dataset):
        raise ValueError("evaluate: the data set is empty")
    loss, predictions = 0.0, []
    with no_grad(), evaluation_mode(model):
        for start in range(0, len(dataset), size):
            images, labels = dataset.take(slice(start, start + size))
            scores = model(wrap(images))
            if scores.ndim != 2 or scores.shape[1] < dataset.num_classes:
                raise ValueError(
                    f"evaluate: {dataset.num_classes} classes need scores of shape (N, {dataset.num_classes}), "
                    f"the model gives {scores.shape}"
                )
            loss += float(cost_value("evaluate", cost, scores, labels).item()) * len(labels)
            predictions.append(np.where(np.isnan(scores.data).any(axis=1), -1, scores.data.argmax(axis=1)))
    return _evaluation(dataset.labels, np.concatenate(predictions), scores.shape[1], loss / len(dataset))


def cost_value(op: str, cost: Cost, scores: Tensor, labels: NDArray[np.int64]) -> Tensor:
    """Return the cost of scores and labels. TypeError unless it is a tensor of one number."""
    value: object = cost(scores, labels)
    if not isinstance(value, Tensor) or value.size != 1:
        raise TypeError(f"{op}: cost must return a Tensor of one number, got {checks.abbreviated(value)}")
    return value


@contextmanager
def evaluation_mode(model: Module) -> Iterator[None]:
    """Put every module into evaluation mode; each is in its own mode again afterwards."""
    modes = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for m, training in modes:
            m.training = training


@contextmanager
def training_mode(model: Module) -> Iterator[None]:
    """Put every module into the mode that it is trained in.

    That is the mode it has, so that a module in evaluation mode stays in it; only a model that is in evaluation mode as
    a whole, as after `load`, is put into training mode first. Running statistics beside parameters that are all frozen
    (``requires_grad`` False) are frozen too: until the end such a module is in evaluation mode.
    """
    if not any(m.training for m in model.modules()):
        model.train()
    frozen = [m for m in model.modules() if m.training and _has_frozen_statistics(m)]
    for m in frozen:
        m.training = False
    try:
        yield
    finally:
        for m in frozen:
            m.training = True


def _has_frozen_statistics(module: Module) -> bool:
    own = [value for _, value in named_values(vars(module))]
    parameters = [value for value in own if isinstance(value, Parameter)]
    has_buffers = any(isinstance(value, Buffer) for value in own)
    return has_buffers and bool(parameters) and not any(p.requires_grad for p in parameters)


def _evaluation(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int, loss: float) -> Evaluation:
    confusion = np.zeros((classes, classes), np.int64)
    predicted = predictions >= 0
    np.add.at(confusion, (labels[predicted], predictions[predicted]), 1)
    right, totals = confusion.diagonal(), np.bincount(labels, minlength=classes)
    per_class = np.full(classes, np.nan)
    np.divide(right, totals, out=per_class, where=totals > 0)
    wrong = np.flatnonzero(labels != predictions)
    return Evaluation(loss, float(right.sum() / len(labels)), per_class, confusion, predictions, wrong)
