"""Training curves: the cost and the accuracy, epoch by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import cycle
from typing import TYPE_CHECKING, Any

from ...checks import abbreviated, require
from ...training.records import EpochRecord
from .canvas import TEXT_POINTS, TITLE_POINTS, WIDTH_INCHES, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .canvas import Canvas

_STYLES = (("#0072b2", "-", "o"), ("#d55e00", "--", "s"), ("#000000", ":", "^"))  # colours of Okabe and Ito (2008)


def curves(history: Sequence[EpochRecord | Mapping[str, Any]], *, figure: "Canvas | None" = None) -> "Canvas":
    """Draw the cost and the accuracy after each epoch.

    A falling training cost with a rising validation cost is overfitting; a flat one is a network that is stuck.

    Args:
        history: the epochs of a run (`fit`), or a mapping for each. Every key that ends in ``loss`` is a line of the
            upper picture (in nats for `cross_entropy`), every one that ends in ``accuracy`` (0 to 1) of the lower.
        figure: where to draw; a new figure by default.

    Raises:
        ValueError: there is nothing to draw.
        TypeError: not a sequence of epochs.

    >>> picture = curves([{"epoch": 1, "loss": 2.3, "accuracy": 0.2}, {"epoch": 2, "loss": 0.4, "accuracy": 0.9}])
    """
    if not isinstance(history, Sequence) or not all(isinstance(r, EpochRecord | Mapping) for r in history):
        raise TypeError(f"curves: history must be a sequence of EpochRecord or mappings, got {abbreviated(history)}")
    records = [asdict(record) if isinstance(record, EpochRecord) else record for record in history]
    keys = dict.fromkeys(k for record in records for k, value in record.items() if _is_number(value))
    panels = [
        (ending, label, lines)
        for ending, label in (("loss", "cost"), ("accuracy", "accuracy, %"))
        if (lines := {_line_label(k, ending): k for k in keys if k.endswith(ending)})
    ]
    if not panels:
        raise ValueError(
            "curves: history must have numbers under a key that ends in 'loss' or 'accuracy', "
            f"got {abbreviated(history)}"
        )
    styles = dict(zip(dict.fromkeys(line for _, _, lines in panels for line in lines), cycle(_STYLES), strict=False))
    canvas = new_figure(figure, WIDTH_INCHES, 1.9 * len(panels) + 0.3)
    axes = canvas.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (ending, label, lines) in zip(axes, panels, strict=True):
        _draw_panel(ax, records, 100 if ending == "accuracy" else 1, lines, styles)
        ax.set_ylabel(label, fontsize=TEXT_POINTS)
    axes[0].set_title("Training, epoch by epoch", fontsize=TITLE_POINTS, loc="left")
    axes[-1].set_xlabel("epoch", fontsize=TEXT_POINTS)
    whole_numbers = require("matplotlib.ticker", "plot").MaxNLocator(integer=True, min_n_ticks=1)
    axes[-1].xaxis.set_major_locator(whole_numbers)
    return canvas


def _draw_panel(
    ax: "Axes",
    records: Sequence[Mapping[str, Any]],
    factor: int,
    lines: dict[str, str],
    styles: dict[str, tuple[str, str, str]],
) -> None:
    for label, key in lines.items():
        colour, dash, marker = styles[label]
        points = [(r.get("epoch", k), r[key] * factor) for k, r in enumerate(records, 1) if _is_number(r.get(key))]
        epochs, values = zip(*points, strict=True)
        ax.plot(epochs, values, color=colour, linestyle=dash, marker=marker, markersize=3.5, label=label)
    ax.legend(fontsize=TEXT_POINTS, frameon=False)
    ax.tick_params(labelsize=TEXT_POINTS)
    ax.grid(axis="y", color="0.9")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _line_label(key: str, ending: str) -> str:
    """``validation`` for ``validation_loss``; ``training`` for ``loss`` alone."""
    return key.removesuffix(ending).strip("_").replace("_", " ") or "training"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
