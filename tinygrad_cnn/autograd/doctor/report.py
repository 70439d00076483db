"""What the doctor returns: a `Diagnosis` with its `Finding`s, and how they are printed."""

import shutil
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

_PICTURE_WIDTH = 58  # characters; two more indent it
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
        picture: the right numbers beside the rule's, in at most 60 columns; may be empty.
    """

    input: int | None
    kind: str
    message: str
    where: Place | None = None
    name: str = ""
    picture: str = ""

    def text(self, width: int = 80) -> str:
        """Return the finding as a paragraph, and the picture below it."""
        head = "the value" if self.input is None else f"input {self.input}"
        if self.input is not None and not self.name.startswith("input "):
            head += f", {self.name}"
        lines = [f"{head}: {self.kind}", *_wrapped(self.message, width, "  ")]
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
        return self.text(min(80, shutil.get_terminal_size((80, 24)).columns))

    def text(self, width: int = 80) -> str:
        """Return the diagnosis in lines of at most ``width`` characters (pictures take up to 60)."""
        width = max(30, width)
        parts = ["\n".join(_wrapped(self._summary(), width, ""))]
        parts += [f.text(width) for f in self.findings]
        parts += ["\n".join(_wrapped(f"Note: {note}", width, "")) for note in self.notes]
        return "\n\n".join(parts)

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


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)


def picture(right: NDArray[Any], other: NDArray[Any], where: Place | None, headings: tuple[str, str]) -> str:
    """Return two arrays side by side as text: the rows and columns around ``where``, a star at what differs.

    Of more than two axes one slice is drawn, of a long axis a part; the heading says which. Numbers of ``right`` that
    are not known are NaN and print as a dot.
    """
    if right.ndim > 2 and right.shape == other.shape:
        lead = where[: right.ndim - 2] if where else (0,) * (right.ndim - 2)
        right, other = right[lead], other[lead]
        where = where[-2:] if where else None
        headings = (f"{headings[0]}{list(lead)}", headings[1])
    if max(right.ndim, other.ndim) > 2 or not right.size or not other.size:
        return ""
    left, second = (np.atleast_2d(a) for a in (right, other))
    place = (0, 0) if where is None else (0, 0, *where)[-2:]
    scale = np.nanmax(np.abs(left), initial=0) if np.isfinite(left).any() else 0.0
    differs = (
        ~(np.abs(left - second) <= 1e-5 * scale) & ~np.isnan(left)
        if left.shape == second.shape
        else np.zeros(second.shape, bool)
    )
    rows = [_window(n, place[0], _PICTURE_ROWS) for n in (left.shape[0], second.shape[0])]
    texts = [[[_number(v) for v in row] for row in a[r]] for a, r in zip((left, second), rows, strict=True)]
    cell = max(len(t) for array in texts for row in array for t in row) + 1
    fit = max(1, (_PICTURE_WIDTH // 2 - 9) // (cell + 1))
    blocks = [
        _block(array, r, a.shape, place[1], (cell, fit), stars, heading)
        for array, r, a, stars, heading in zip(
            texts, rows, (left, second), (np.zeros(left.shape, bool), differs), headings, strict=True
        )
    ]
    height = max(map(len, blocks))
    first, second_block = ([*block, *[""] * (height - len(block))] for block in blocks)
    pad = max(map(len, first)) + 2
    return "\n".join(f"  {a:<{pad}}{b}".rstrip() for a, b in zip(first, second_block, strict=True))


def _window(size: int, center: int, most: int) -> slice:
    """The part of an axis that is drawn: at most so many elements, with ``center`` among them."""
    start = min(max(0, center - most + 2), max(0, size - most))
    return slice(start, min(size, start + most))


def _block(
    texts: list[list[str]],
    rows: slice,
    shape: tuple[int, ...],
    center: int,
    sizes: tuple[int, int],
    stars: NDArray[np.bool_],
    heading: str,
) -> list[str]:
    """The lines of one array: some rows, and the columns around ``center``.

    ``sizes`` is the width of a number and how many fit on a line.
    """
    cell, fit = sizes
    columns = _window(shape[1], center, fit)
    before, after = "... " if columns.start else "", " ..." if columns.stop < shape[1] else ""
    lines = [heading, *(["..."] if rows.start else [])]
    for i, row in enumerate(texts):
        cells = [f"{row[j]:>{cell}}{'*' if stars[rows.start + i, j] else ' '}" for j in range(shape[1])]
        lines.append((before + "".join(cells[columns]) + after).rstrip())
    return lines + (["..."] if rows.stop < shape[0] else [])


def _number(value: Any) -> str:
    """A number in at most 8 characters."""
    if np.iscomplexobj(value) or isinstance(value, str | bytes) or value is None:
        return "?"
    if np.isnan(value):
        return "nan"
    text = f"{float(value):.3g}".replace("e+0", "e").replace("e-0", "e-")
    return "0" if text == "-0" else text
