"""Loss, accuracy and errors of a model on a data set, and the modes that its modules train and are evaluated in."""

import html
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..autograd.modes import no_grad
from ..autograd.tensor import Tensor, wrap
from ..data import Dataset
from ..models import Cost, probabilities
from ..nn import Buffer, Module, Parameter
from ..nn.module import named_values
from ..ops import cross_entropy


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The result of `evaluate`; a notebook shows it as a table of the classes.

    Attributes:
        loss: the mean cost over all images; NaN if a score is.
        accuracy: the fraction of recognised images, 0 to 1. An image with a NaN among its scores is not recognised.
        per_class_accuracy: the same for each class (K,); NaN for a class without images.
        confusion: ``confusion[i, j]`` images of class i are predicted to be of class j (K, K); NaN counts for none.
        predictions: the predicted class of each image (N,); -1 where a score is NaN.
        misclassified: the rows of the images with another prediction than their label, in order.
        ranks: how many classes have a higher score than the label (N,); the number of classes where a score is NaN.
        confidences: the probability of each prediction (N,); NaN where a score is.
        class_names: the names of the classes.
    """

    loss: float
    accuracy: float
    per_class_accuracy: NDArray[np.float64]
    confusion: NDArray[np.int64]
    predictions: NDArray[np.int64]
    misclassified: NDArray[np.int64]
    ranks: NDArray[np.int64]
    confidences: NDArray[np.float64]
    class_names: tuple[str, ...]

    @property
    def balanced_accuracy(self) -> float:
        """The mean of `per_class_accuracy` over the classes that have images: each class counts alike."""
        return float(np.nanmean(self.per_class_accuracy))

    @property
    def recall(self) -> NDArray[np.float64]:
        """The fraction of each class's images that are predicted to be of it (K,): `per_class_accuracy`."""
        return self.per_class_accuracy

    @property
    def precision(self) -> NDArray[np.float64]:
        """The fraction of the predictions of each class that are right (K,); NaN for a class never predicted."""
        totals = self.confusion.sum(axis=0)
        fractions = np.full(len(totals), np.nan)
        np.divide(self.confusion.diagonal(), totals, out=fractions, where=totals > 0)
        return fractions

    @property
    def most_confident_mistakes(self) -> NDArray[np.int64]:
        """`misclassified`, the most confident prediction first."""
        order = np.argsort(-np.nan_to_num(self.confidences[self.misclassified], nan=-1.0), kind="stable")
        return self.misclassified[order]

    def top_k_accuracy(self, k: int) -> float:
        """Return the fraction of images whose label is among the k highest scores."""
        k = checks.integer("top_k_accuracy", "k", k, 1)
        return float((self.ranks < min(k, len(self.confusion))).mean())

    def __repr__(self) -> str:
        images = checks.plural(len(self.predictions), "image")
        return f"Evaluation(accuracy {self.accuracy:.2%} on {images}, loss {self.loss:.4f})"

    def _repr_html_(self) -> str:
        """The table that a notebook shows."""
        columns = zip(self.class_names, self.confusion.sum(1), self.recall, self.precision, strict=False)
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{count:,}</td><td>{recall:.2%}</td><td>{precision:.2%}</td></tr>"
            for name, count, recall, precision in columns
        )
        head = "<tr><th>class</th><th>images</th><th>recall</th><th>precision</th></tr>"
        return f"{html.escape(repr(self))}<table>{head}{rows}</table>"


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
    loss, predictions, ranks, confidences = 0.0, [], [], []
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
            undefined, classes = np.isnan(scores.data).any(axis=1), scores.shape[1]
            best = scores.data.argmax(axis=1)
            own = scores.data[np.arange(len(labels)), labels]
            predictions.append(np.where(undefined, -1, best))
            ranks.append(np.where(undefined, classes, (scores.data > own[:, None]).sum(axis=1)))
            confidences.append(np.where(undefined, np.nan, _confidences(model, scores, best)))
    names = dataset.class_names + tuple(map(str, range(dataset.num_classes, classes)))
    parts = [np.concatenate(part) for part in (predictions, ranks, confidences)]
    return _evaluation(dataset.labels, names, loss / len(dataset), *parts)


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


def _confidences(model: Module, scores: Tensor, classes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the probability of one class of each image."""
    with np.errstate(all="ignore"):
        chances = probabilities(model, scores).data.astype(np.float64)
    return chances[np.arange(len(classes)), classes]


def _evaluation(
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    loss: float,
    predictions: NDArray[np.int64],
    ranks: NDArray[np.int64],
    confidences: NDArray[np.float64],
) -> Evaluation:
    classes = len(class_names)
    confusion = np.zeros((classes, classes), np.int64)
    predicted = predictions >= 0
    np.add.at(confusion, (labels[predicted], predictions[predicted]), 1)
    right, totals = confusion.diagonal(), np.bincount(labels, minlength=classes)
    per_class = np.full(classes, np.nan)
    np.divide(right, totals, out=per_class, where=totals > 0)
    wrong = np.flatnonzero(labels != predictions)
    accuracy = float(right.sum() / len(labels))
    return Evaluation(loss, accuracy, per_class, confusion, predictions, wrong, ranks, confidences, class_names)
