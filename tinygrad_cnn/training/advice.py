"""Sentences about a training that will not go well: what looks wrong in the images, the network and the numbers.

Every sentence is said once. Nothing here changes the training, to the bit: it looks at copies, in evaluation mode.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..autograd.modes import no_grad
from ..autograd.tensor import Tensor, wrap
from ..checks import plural
from ..data import Dataset
from ..models import Cost
from ..nn import Dropout, Module, Parameter, ReLU, Sigmoid, Softmax, Tanh
from ..nn.normalization import BatchNorm1d, BatchNorm2d
from ..ops import cross_entropy
from .evaluate import evaluation_mode
from .records import EpochRecord

_MAX_INPUT = 3.0  # images are 0 to 1, normalised ones some -3 to 3: their mean square is below its square
_UNEQUAL = 5.0  # the largest class over the smallest
_MIN_COUNTED = 100  # images: among fewer, unequal classes are chance
_MIN_JUDGED_STEPS = 50  # before that an epoch says little
_SLOW_STEPS, _SLOW_EPOCHS = 10_000, 5  # which a network of sigmoids may need before it leaves chance
_COMPARED_IMAGES = 600  # with their nearest neighbours, to see whether the labels belong to them
_PROBED_IMAGES = 128
_DEAD_MAPS, _DEAD_NEURONS, _SATURATED = 0.5, 1.0, 0.985  # shares of a layer's maps, neurons and activations
_SATURATED_MARGIN = 0.01  # how near to its bounds an activation is saturated
_RATIO_STEPS = (1, 2, 5, 10, 20, 40)  # at which the ratio of update to weight is measured
_HIGH_RATIO, _LOW_RATIO = 0.3, 1e-5
_EXPLODED = 10.0  # times the first loss
_MIN_GRADIENT = 1e-9
_MIN_EPOCHS_OF_OVERFITTING = 3
_LISTED = 8

Floats = NDArray[np.floating[Any]]


class Adviser:
    """Watches a run and has a sentence for what looks wrong.

    Args:
        model: the network that is trained.
        train: its training images.
        cost: what is made small.
    """

    def __init__(self, model: Module, train: Dataset, cost: Cost) -> None:
        self._model, self._train, self._cost = model, train, cost
        counts = np.bincount(train.labels, minlength=train.num_classes)
        self._shares = counts / max(len(train), 1)
        self._before: dict[str, Floats] = {}
        self._ratios: list[float] = []
        self._predicted: NDArray[np.int64] = np.zeros(train.num_classes, np.int64)
        self._first_loss = math.nan
        self._said: set[str] = set()

    def at_start(self) -> Iterator[str]:
        """Look at the classes."""
        counts = self._shares * len(self._train)
        present = counts[counts > 0]
        names = self._train.class_names
        if len(self._train) >= _MIN_COUNTED and len(present) > 1 and present.max() >= _UNEQUAL * present.min():
            most, least = int(counts.argmax()), int(np.where(counts > 0, counts, np.inf).argmin())
            yield (
                f"the classes are unequal: {int(counts[most]):,} images of {names[most]!r}, {int(counts[least]):,} of "
                f"{names[least]!r}; accuracy favours the large ones, look at the balanced accuracy and try "
                "class_weight='balanced' (--balance)"
            )

    def after_forward(self, step: int, images: Floats, scores: Tensor) -> Iterator[str]:
        """Look at a batch and its scores, before the update with this number, from 0."""
        if step == 0:
            yield from self._inputs(images)
            yield from self._probabilities(scores)
        predicted = np.bincount(scores.data.argmax(1), minlength=len(self._predicted))
        self._predicted = self._predicted + predicted[: len(self._predicted)]

    def after_backward(self, step: int, loss: float) -> Iterator[str]:
        """Look at the gradients, and keep the weights at the steps where updates are measured."""
        if step == 0:
            self._first_loss = loss
            missing = self._model.parameters_without_grad()
            if missing:
                yield f"no gradient reaches {_listed(missing)}: the cost does not depend on it; it stays as it is"
            elif self._has_no_gradient():
                yield "all gradients are 0: nothing will be learned; look for saturated or dead layers before the cost"
        if step + 1 in _RATIO_STEPS:
            self._before = {name: p.data.copy() for name, p in self._weights()}

    def after_update(self) -> None:
        """Measure the ratio of update to weight, if the weights before it were kept."""
        if self._before:
            ratios = [
                float(np.linalg.norm(p.data - self._before[name]))
                / max(float(np.linalg.norm(self._before[name])), 1e-12)
                for name, p in self._weights()
                if name in self._before
            ]
            self._ratios.append(float(np.median(ratios)) if ratios else math.nan)
            self._before = {}

    def after_epoch(self, history: Sequence[EpochRecord]) -> Iterator[str]:
        """Look at the epoch: what the layers do, whether anything is learned, whether too much is."""
        last = history[-1]
        for sentence in [*self._learning(last), *self._overfitting(history)]:
            kind = sentence.split(":")[0]
            if kind not in self._said:
                self._said.add(kind)
                yield sentence
        self._predicted = np.zeros_like(self._predicted)

    def _inputs(self, images: Floats) -> Iterator[str]:
        size = float(np.sqrt(np.mean(np.square(images, dtype=np.float64))))
        if size > _MAX_INPUT:
            highest = float(images.max())
            yield (
                f"the inputs go up to {highest:.4g}; networks learn best from 0 to 1, or from mean 0 and deviation 1: "
                + ("divide by 255" if highest <= 255 else "scale them")
            )

    def _probabilities(self, scores: Tensor) -> Iterator[str]:
        is_distribution = (scores.data >= 0).all() and np.allclose(scores.data.sum(1), 1, atol=1e-3)
        ends_in_softmax = any(isinstance(m, Softmax) for m in self._model.modules())
        if is_distribution and ends_in_softmax and self._cost is cross_entropy and scores.shape[1] > 1:
            yield (
                "the network ends in a softmax, and cross_entropy takes the softmax of its scores once more: "
                "leave out the last layer, or learning is slow"
            )

    def _learning(self, last: EpochRecord) -> Iterator[str]:
        if last.loss > _EXPLODED * max(self._first_loss, 1.0):
            yield f"rate: the loss grew from {self._first_loss:.3g} to {last.loss:.3g}; the learning rate is too high"
            return
        if last.step < _MIN_JUDGED_STEPS and last.epoch < 3:
            return
        yield from self._layers(self._is_slow(last))
        is_stuck = self._is_at_chance(last)
        predicted = np.flatnonzero(self._predicted)
        if len(predicted) == 1 and not self._is_slow(last) and (self._shares > 0).sum() > 1:
            name = self._train.class_names[int(predicted[0])]
            yield f"one class: every image of epoch {last.epoch} was taken for {name!r}; {self._rate_advice()}"
        elif is_stuck:
            has_order = self._labels_belong_to_images()
            if has_order and self._is_slow(last):
                return
            entropy = -float(sum(p * math.log(p) for p in self._shares if p > 0))
            yield (
                f"chance: after {plural(last.epoch, 'epoch')} loss {last.loss:.2f} and accuracy {last.accuracy:.1%} "
                f"are those of guessing (loss {entropy:.2f}); "
                + (
                    self._rate_advice()
                    if has_order
                    else "do the labels belong to the images? Like images have unlike ones"
                )
            )
        elif self._ratio() > _HIGH_RATIO and last.loss > 0.9 * self._first_loss:
            yield f"rate: each update changes the weights by {self._ratio():.0%}; the learning rate is too high"

    def _rate_advice(self) -> str:
        ratio = self._ratio()
        if ratio > _HIGH_RATIO:
            return f"each update changes the weights by {ratio:.0%}: the learning rate is too high"
        if ratio < _LOW_RATIO:
            return f"an update changes the weights by {ratio:.1g} of their size: the learning rate is too low"
        return "try another learning rate, tenfold and a tenth, or fewer layers"

    def _has_usual_rate(self) -> bool:
        return _LOW_RATIO <= self._ratio() <= _HIGH_RATIO

    def _is_slow(self, last: EpochRecord) -> bool:
        """Return True while a network that has not left chance may yet do so."""
        return last.step < _SLOW_STEPS and last.epoch < _SLOW_EPOCHS and self._has_usual_rate()

    def _labels_belong_to_images(self) -> bool:
        """Return True if images share their class with the image nearest to them more often than chance has it."""
        rows = np.arange(0, len(self._train), max(1, len(self._train) // _COMPARED_IMAGES))[:_COMPARED_IMAGES]
        images, labels = self._train.take(rows)
        x = np.ascontiguousarray(images).reshape(len(rows), -1)
        squares = (x**2).sum(1)
        distances = squares[:, None] + squares - 2 * (x @ x.T)
        np.fill_diagonal(distances, np.inf)
        shared = float((labels[distances.argmin(1)] == labels).mean())
        expected = float((self._shares**2).sum())
        return shared > expected + 3 * math.sqrt(expected * (1 - expected) / len(rows))

    def _is_at_chance(self, last: EpochRecord) -> bool:
        """Return True if loss and accuracy are those of a network that knows the classes' shares and no more."""
        if self._shares.max() > 0.9 or last.accuracy > self._best_chance(len(self._train)):
            return False
        entropy = -float(sum(p * math.log(p) for p in self._shares if p > 0))
        return last.loss > 0.98 * entropy if self._is_cross_entropy() else last.loss > 0.95 * self._first_loss

    def _best_chance(self, images: int) -> float:
        """Return an accuracy that guessing reaches once in a thousand times, at most."""
        p = float(self._shares.max())
        return p + 3 * math.sqrt(p * (1 - p) / max(images, 1))

    def _is_cross_entropy(self) -> bool:
        return getattr(self._cost, "func", self._cost) is cross_entropy

    def _ratio(self) -> float:
        return float(np.median(self._ratios[1:] or self._ratios or [0.01]))

    def _has_no_gradient(self) -> bool:
        sizes = [float(np.abs(p.grad.data).max(initial=0)) for _, p in self._weights() if p.grad is not None]
        return bool(sizes) and max(sizes) < _MIN_GRADIENT

    def _weights(self) -> Iterator[tuple[str, Parameter]]:
        """Iterate over the trained weights, without biases and scales, which begin at 0 or 1."""
        return ((name, p) for name, p in self._model.named_parameters() if p.requires_grad and p.ndim > 1)

    def _layers(self, is_slow: bool) -> Iterator[str]:
        """Look for maps that are 0 for every image, and, once it had time to leave it, for saturated activations."""
        rows = np.arange(0, len(self._train), max(1, len(self._train) // _PROBED_IMAGES))[:_PROBED_IMAGES]
        for name, layer, output in _outputs(self._model, self._train.take(rows)[0]):
            label = f"layer {name} ({type(layer).__name__})"
            axes = tuple(k for k in range(output.ndim) if k != 1)
            if isinstance(layer, ReLU):
                dead = np.flatnonzero(~(output > 0).any(axis=axes))
                share = _DEAD_MAPS if output.ndim == 4 else _DEAD_NEURONS
                if len(dead) >= share * output.shape[1] and output.shape[1] > 1:
                    what = "maps" if output.ndim == 4 else "neurons"
                    yield (
                        f"dead {what} in {label}: {_listed(dead.tolist())} of {output.shape[1]} are 0 for every image, "
                        "and learn nothing more; a smaller learning rate, or a LeakyReLU, prevents it"
                    )
            else:
                bounds = (0.0, 1.0) if isinstance(layer, Sigmoid) else (-1.0, 1.0)
                is_flat = (output < bounds[0] + _SATURATED_MARGIN) | (output > bounds[1] - _SATURATED_MARGIN)
                if is_flat.mean() > _SATURATED and not is_slow:
                    yield (
                        f"saturated {label}: {is_flat.mean():.0%} of its activations are at their bounds, where the "
                        "slope is near 0; smaller initial weights, normalised inputs or a ReLU help"
                    )

    def _overfitting(self, history: Sequence[EpochRecord]) -> Iterator[str]:
        """Look for a validation loss that has long risen while the training loss fell."""
        losses = [(r.epoch, r.validation_loss) for r in history if r.validation_loss is not None]
        if len(losses) <= _MIN_EPOCHS_OF_OVERFITTING:
            return
        best, best_epoch = min((loss, epoch) for epoch, loss in losses)
        last, then = history[-1], history[best_epoch - 1]
        is_best = (last.validation_accuracy or 0) >= max(r.validation_accuracy or 0 for r in history)
        has_risen = losses[-1][1] > 1.2 * best and last.epoch - best_epoch >= _MIN_EPOCHS_OF_OVERFITTING
        if has_risen and not is_best and last.loss < then.loss:
            yield (
                f"overfitting: since epoch {best_epoch} the validation loss has risen from {best:.3f} to "
                f"{losses[-1][1]:.3f} while the training loss fell; --patience stops there, augmentation and dropout "
                "help"
            )


def has_lone_last_image(model: Module, images: int, batch_size: int) -> bool:
    """Return True if the last batch of an epoch has one image, which batch norm over its axis cannot take."""
    norms = any(isinstance(m, BatchNorm1d | BatchNorm2d) and m.training for m in model.modules())
    return norms and images > batch_size > 1 and images % batch_size == 1


def _outputs(model: Module, images: Floats) -> list[tuple[str, Module, Floats]]:
    """Return the results of all activation layers but the last layer's, with the layers and their names."""
    found: list[tuple[str, Module, Floats]] = []
    layers = {id(m): name for name, m in model.named_modules() if isinstance(m, ReLU | Sigmoid | Tanh)}

    def watch(layer: Module, name: str, forward: Any) -> Any:
        def run(x: Tensor) -> Tensor:
            y: Tensor = forward(x)
            found.append((name, layer, y.data))
            return y

        return run

    watched = [m for m in model.modules() if id(m) in layers]
    try:
        for m in watched:
            m.__dict__["forward"] = watch(m, layers[id(m)], m.forward)
        with no_grad(), evaluation_mode(model):
            result = model(wrap(images))
    except Exception:  # a network that cannot be run on these images alone: nothing to say about its layers
        return []
    finally:
        for m in watched:
            m.__dict__.pop("forward", None)
    scores = result.data if isinstance(result, Tensor) else None
    return [item for item in found if item[2] is not scores and not isinstance(item[1], Dropout)]


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:_LISTED])) + (" ..." if len(names) > _LISTED else "")
