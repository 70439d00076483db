"""Plain text tables."""

import shutil
from collections.abc import Sequence

_MIN_CHARACTERS = 12  # of a first column that is cut


def format_table(rows: Sequence[Sequence[object]], left: int = 1, width: int | None = None) -> str:
    """Return rows of cells as lines with aligned columns: the first ``left`` to the left, the others to the right.

    Where a line would be longer than ``width``, by default the terminal, the first column is cut.
    """
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    excess = sum(widths) + 2 * (len(widths) - 1) - (width or shutil.get_terminal_size().columns)
    if excess > 0:
        widths[0] = max(min(_MIN_CHARACTERS, widths[0]), widths[0] - excess)
    return "\n".join(
        "  ".join(
            _cut(cell, w).ljust(w) if k < left else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _cut(cell: str, width: int) -> str:
    return cell if len(cell) <= width else cell[: width - 1] + "…"
