"""Plain text tables."""

from collections.abc import Sequence


def format_table(rows: Sequence[Sequence[object]], left: int = 1) -> str:
    """Return rows of cells as lines with aligned columns: the first ``left`` to the left, the others to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
