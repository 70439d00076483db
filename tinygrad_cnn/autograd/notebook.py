"""HTML that a notebook displays for a tensor and a module: text in, text out."""

import html
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_CELL = 'style="text-align:right;padding:1px 6px"'
_LEFT = 'style="text-align:left;padding:1px 6px"'


def tensor_html(title: str, facts: str, data: NDArray[np.generic]) -> str:
    """A line about the tensor, then its numbers: as a table up to 12 x 12, shortened beyond.

    >>> tensor_html("Tensor", "(2,) float32", np.array([1.0, 2.5]))[:47]
    '<div><b>Tensor</b> <code>(2,) float32</code><ta'
    """
    head = f"<b>{html.escape(title)}</b> <code>{html.escape(facts)}</code>"
    if data.ndim in (1, 2) and data.size > 0 and max(data.shape) <= 12:
        rows = "".join(
            "<tr>" + "".join(f"<td {_CELL}>{html.escape(f'{v:.4g}')}</td>" for v in row.tolist()) + "</tr>"
            for row in np.atleast_2d(data)
        )
        return f"<div>{head}<table>{rows}</table></div>"
    numbers = np.array2string(data, separator=", ", threshold=100)
    return f"<div>{head}<pre>{html.escape(numbers)}</pre></div>"


def module_html(title: str, rows: Iterable[tuple[str, str, int]]) -> str:
    """A table of (name, layer, parameters of its own), with the total."""
    listed = list(rows)
    lines = "".join(
        f"<tr><td {_LEFT}>{html.escape(name)}</td><td {_LEFT}><code>{html.escape(layer)}</code></td>"
        f"<td {_CELL}>{count:,}</td></tr>"
        for name, layer, count in listed
    )
    total = sum(count for _, _, count in listed)
    return (
        f"<div><b>{html.escape(title)}</b><table>"
        f"<tr><th {_LEFT}>name</th><th {_LEFT}>layer</th><th {_CELL}>parameters</th></tr>{lines}"
        f"<tr><td {_LEFT}></td><td {_LEFT}>in all</td><td {_CELL}>{total:,}</td></tr></table></div>"
    )
