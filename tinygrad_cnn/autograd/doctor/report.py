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
        head = "the value" if self.input is None else f"input {self.input}, {self.name}"
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
        wrong = [f"dC/d{f.name}" for f in self.findings if f.input is not None]
        right = _listed([f"dC/d{name}" for name in self.right])
        parts = ["The value is wrong."] if any(f.input is None for f in self.findings) else []
        if wrong:
            parts.append(f"{_listed(wrong)} {'is' if len(wrong) == 1 else 'are'} wrong.")
        if self.right:
            agree = f" (they agree with numerical derivatives in {plural(self.compared, 'number')})" if self.ok else ""
            parts.append(f"{right} {'is' if len(self.right) == 1 else 'are'} right{agree}.")
        return " ".join(parts) or "Nothing could be compared."


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
    width = (_PICTURE_WIDTH - 2) // 2
    blocks = [_block(left, None, place, width, headings[0]), _block(second, differs, place, width, headings[1])]
    height = max(map(len, blocks))
    first, second_block = ([*block, *[""] * (height - len(block))] for block in blocks)
    pad = max(map(len, first)) + 3
    return "\n".join(f"  {a:<{pad}}{b}".rstrip() for a, b in zip(first, second_block, strict=True))


def _block(array: NDArray[Any], stars: NDArray[np.bool_] | None, place: Place, width: int, heading: str) -> list[str]:
    """The lines of one array in at most ``width`` characters, with the numbers around ``place``."""
    rows, columns = array.shape
    top = min(max(0, place[0] - _PICTURE_ROWS + 2), max(0, rows - _PICTURE_ROWS))
    texts = [[_number(v) for v in row] for row in array[top : top + _PICTURE_ROWS]]
    cell = max(len(t) for row in texts for t in row) + 1
    fit = max(1, min(columns, (width - 4) // (cell + 1)))
    start = min(max(0, place[1] - fit + 2), max(0, columns - fit))
    before, after = "... " if start else "", " ..." if start + fit < columns else ""
    lines = [heading, *(["..."] if top else [])]
    for i, row in enumerate(texts):
        marks = ["*" if stars is not None and stars[top + i, j] else " " for j in range(columns)]
        cells = "".join(f"{row[j]:>{cell}}{marks[j]}" for j in range(start, start + fit))
        lines.append((before + cells + after).rstrip())
    return lines + (["..."] if top + _PICTURE_ROWS < rows else [])


def _number(value: Any) -> str:
    """A number in at most 8 characters."""
    if np.iscomplexobj(value) or isinstance(value, str | bytes) or value is None:
        return "?"
    if np.isnan(value):
        return "nan"
    text = f"{float(value):.3g}".replace("e+0", "e").replace("e-0", "e-")
    return "0" if text == "-0" else text
