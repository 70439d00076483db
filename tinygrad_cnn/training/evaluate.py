"""How well a model does: loss, accuracy, and where it errs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.modes import no_grad
from ..autograd.tensor import Tensor, wrap
from ..checks import abbreviated, instance
from ..data import Dataset
from ..models import Cost
from ..nn import Module
from ..ops import cross_entropy


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` counts.

    Attributes:
        loss: the mean cost over all images; NaN as soon as a score is.
        accuracy: the share of images that are recognised, 0 to 1. An image with a NaN among its scores is not.
        per_class_accuracy: the same for each class (K,); NaN for a class without images.
        confusion: ``confusion[i, j]`` images of class i were taken for class j (K, K); those with a NaN for none.
        predictions: the class that each image was taken for (N,); -1 where a score is NaN.
        misclassified: the rows of the images that were taken for another class, or for none, in order.
    """

    loss: float
    accuracy: float
    per_class_accuracy: NDArray[np.float64]
    confusion: NDArray[np.int64]
    predictions: NDArray[np.int64]
    misclassified: NDArray[np.int64]


def evaluate(model: Module, dataset: Dataset, *, cost: Cost = cross_entropy, batch_size: int = 500) -> Evaluation:
    """Run a model over a data set, in evaluation mode and without a graph; its mode is restored afterwards.

    Args:
        model: images (N, C, H, W) in, scores (N, K) out; the largest score is the answer.
        dataset: at least one image.
        cost: of scores and labels, a mean over the batch.
        batch_size: how many images at a time; the result does not depend on it but for rounding.

    Raises ValueError for an empty data set or a model that gives fewer scores than there are classes, TypeError for
    arguments of another kind.
    """
    size = checks.integer("evaluate", "batch_size", batch_size, 1)
    instance("evaluate", "model", model, Module)
    instance("evaluate", "dataset", dataset, Dataset)
    check_cost("evaluate", cost)
    if not len(dataset):
        raise ValueError("evaluate: the data set is empty")
    losses, answers = 0.0, []
    with no_grad(), evaluation_mode(model):
        for start in range(0, len(dataset), size):
            images, labels = dataset.take(slice(start, start + size))
            scores = model(wrap(images))
            if scores.ndim != 2 or scores.shape[1] < dataset.num_classes:
                raise ValueError(
                    f"evaluate: {dataset.num_classes} classes need scores of shape (N, {dataset.num_classes}), "
                    f"the model gives {scores.shape}"
                )
            losses += float(cost_value("evaluate", cost, scores, labels).item()) * len(labels)
            answers.append(np.where(np.isnan(scores.data).any(axis=1), -1, scores.data.argmax(axis=1)))
    return _counted(dataset.labels, np.concatenate(answers), scores.shape[1], losses / len(dataset))


def check_cost(op: str, cost: object) -> None:
    """TypeError unless ``cost`` can be called."""
    if not callable(cost):
        raise TypeError(f"{op}: cost must be a function of scores and labels, got {abbreviated(cost)}")


def cost_value(op: str, cost: Cost, scores: Tensor, labels: NDArray[np.int64]) -> Tensor:
    """What the cost function says of the scores. TypeError unless that is a tensor of one number."""
    value: object = cost(scores, labels)
    if not isinstance(value, Tensor) or value.size != 1:
        raise TypeError(f"{op}: cost must return a Tensor of one number, got {abbreviated(value)}")
    return value


@contextmanager
def evaluation_mode(model: Module) -> Iterator[None]:
    """Every layer in evaluation mode inside, and in its own mode again afterwards."""
    before = [(m, m.training) for m in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for m, training in before:
            m.training = training


def _counted(labels: NDArray[np.int64], predictions: NDArray[np.int64], classes: int, loss: float) -> Evaluation:
    confusion = np.zeros((classes, classes), np.int64)
    answered = predictions >= 0
    np.add.at(confusion, (labels[answered], predictions[answered]), 1)
    right, totals = confusion.diagonal(), np.bincount(labels, minlength=classes)
    per_class = np.full(classes, np.nan)
    np.divide(right, totals, out=per_class, where=totals > 0)
    wrong: NDArray[Any] = np.flatnonzero(labels != predictions)
    return Evaluation(loss, float(right.sum() / len(labels)), per_class, confusion, predictions, wrong)
