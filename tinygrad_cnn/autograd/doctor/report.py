"""The doctor's result, a `Diagnosis` with its `Finding`s, and its printed form."""

import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks import plural

Place = tuple[int, ...]

KINDS = (
    "sign",
    "factor",
    "rotated",
    "transposed",
    "shifted",
    "not_summed",
    "overwritten",
    "missing_factor",
    "wrong_point",
    "masked",
    "unmasked",
    "shape",
    "dtype",
    "nan",
    "second_order",
    "forward",
    "unknown",
)

_PICTURE_WIDTH = 56  # characters; two more indent it
_PICTURE_ROWS = 5


@dataclass(frozen=True)
class Finding:
    """One wrong gradient, or a wrong value.

    Attributes:
        input: the number of the input whose gradient is wrong, counted from 0; a module's parameters count on after
            the inputs; None for the value itself.
        kind: what is wrong, one of `KINDS`.
        message: the same as a sentence, and what to try.
        where: the index of the first wrong number, or None if the whole array is wrong.
        name: the input's name.
        picture: the right numbers beside those of the rule, at most 60 characters wide; may be empty.
    """

    input: int | None
    kind: str
    message: str
    where: Place | None = None
    name: str = ""
    picture: str = ""

    def __str__(self) -> str:
        head = "the value" if self.input is None else f"input {self.input}"
        if self.input is not None and not self.name.startswith("input "):
            head += f", {self.name}"
        lines = [f"{head}: {self.kind}", _wrapped(self.message, "  ")]
        return "\n".join([*lines, "", self.picture] if self.picture else lines)


@dataclass(frozen=True)
class Diagnosis:
    """The doctor's answer; print it, or read its fields.

    Attributes:
        findings: what is wrong, a `Finding` for each wrong gradient; empty if nothing is.
        right: the names of the inputs whose gradients are right.
        notes: what could not be compared, and why.
        compared: how many numbers of the gradients were compared with numerical derivatives.
    """

    findings: tuple[Finding, ...] = ()
    right: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    compared: int = field(default=0, compare=False)

    @property
    def ok(self) -> bool:
        """True if nothing wrong was found."""
        return not self.findings

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        if self.ok:
            return f"<Diagnosis: right, {plural(self.compared, 'number')} compared>"
        return "<Diagnosis: " + ", ".join(f"{f.kind} (input {f.input})" for f in self.findings) + ">"

    def __str__(self) -> str:
        notes = [_wrapped(f"Note: {note}") for note in self.notes]
        return "\n\n".join([_wrapped(self._summary()), *map(str, self.findings), *notes])

    def _summary(self) -> str:
        second = [f.name for f in self.findings if f.kind == "second_order"]
        wrong = [derivative(f.name) for f in self.findings if f.input is not None and f.name not in second]
        right = [derivative(name) for name in self.right]
        parts = ["The value is wrong."] if any(f.input is None for f in self.findings) else []
        if wrong:
            parts.append(f"{_listed(wrong)} {_are(wrong)} wrong.")
        if right:
            agree = f": {plural(self.compared, 'number')} compared with numerical derivatives" if self.ok else ""
            parts.append(f"{_listed(right)} {_are(right)} right{agree}.")
        if second:
            own = [f"the gradient of {derivative(name)}" for name in second]
            parts.append(f"But {_listed(own)} {_are(own)} wrong.")
        return " ".join(parts) or "Nothing could be compared."


def derivative(name: str) -> str:
    """Return ``dC/dw`` for w, and ``dC/d(conv.weight)`` for what is not one word."""
    return f"dC/d{name}" if name.isidentifier() else f"dC/d({name})"


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _listed(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 80, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def picture(right: NDArray[Any], other: NDArray[Any], where: Place | None, headings: tuple[str, str]) -> str:
    """Return two arrays side by side as text: the rows and columns around ``where``, a star at what differs.

    Of more than two axes one slice is drawn, of a long axis a part; the first line says which. Numbers of ``right``
    that are not known are NaN.
    """
    lead: Place = ()
    if right.ndim > 2 and right.shape == other.shape:
        lead = where[:-2] if where else (0,) * (right.ndim - 2)
        right, other, where = right[lead], other[lead], where[-2:] if where else None
    if max(right.ndim, other.ndim) > 2 or not right.size or not other.size:
        return ""
    arrays = [np.atleast_2d(a).astype(np.float64) for a in (right, other)]
    texts = [[[_number(v) for v in row] for row in a] for a in arrays]
    differs: set[tuple[int, ...]] = set()
    if arrays[0].shape == arrays[1].shape:
        scale = np.abs(arrays[0][np.isfinite(arrays[0])]).max(initial=0)
        wrong = ~(np.abs(arrays[0] - arrays[1]) <= 1e-5 * scale) & ~np.isnan(arrays[0])
        differs = {(int(i), int(j)) for i, j in np.argwhere(wrong)}
    cell = max(len(t) for text in texts for row in text for t in row) + 2
    fit = max(1, _PICTURE_WIDTH // 2 // cell)
    center = (0, 0, *(where or ()))[-2:]
    windows = [tuple(map(_window, a.shape, center, (_PICTURE_ROWS, fit))) for a in arrays]
    lines = [f"{headings[0]:<{_PICTURE_WIDTH // 2}}  {headings[1]}"]
    if lead or any(w.stop - w.start < n for w, n in zip(windows[0], arrays[0].shape, strict=True)):
        parts = [*map(str, lead), *(f"{w.start}:{w.stop}" for w in windows[0][2 - right.ndim if right.ndim else 2 :])]
        lines.insert(0, f"the part [{', '.join(parts)}]:")
    for i in range(max(w[0].stop - w[0].start for w in windows)):
        halves = []
        for text, (rows, columns), stars in zip(texts, windows, ((), differs), strict=True):
            row = rows.start + i
            shown = range(columns.start, columns.stop) if row < rows.stop else ()
            halves.append("".join(f"{text[row][j]:>{cell - 1}}{'*' if (row, j) in stars else ' '}" for j in shown))
        lines.append(f"{halves[0]:<{_PICTURE_WIDTH // 2}}  {halves[1]}".rstrip())
    return "\n".join(f"  {line}" for line in lines)


def _window(size: int, center: int, most: int) -> slice:
    """The part of an axis that is drawn: at most so many elements, with ``center`` among them."""
    start = max(0, min(center - most // 2, size - most))
    return slice(start, min(size, start + most))


def _number(value: float) -> str:
    """A number in at most 8 characters."""
    text = f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-")
    return "0" if text == "-0" else text
