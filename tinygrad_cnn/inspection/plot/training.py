"""Training curves: the cost and the accuracy, epoch by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import cycle
from typing import TYPE_CHECKING, Any

from ...checks import abbreviated, require
from ...training.records import EpochRecord
from .canvas import TEXT, TITLE, WIDTH, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .canvas import Canvas

_LOOKS = (("#0072b2", "-", "o"), ("#d55e00", "--", "s"), ("#000000", ":", "^"))  # colours of Okabe and Ito (2008)


def curves(history: Sequence[EpochRecord | Mapping[str, Any]], *, figure: "Canvas | None" = None) -> "Canvas":
    """The cost and the accuracy after each epoch.

    A falling training cost with a rising validation cost is overfitting; a flat one is a network that is stuck.

    Args:
        history: the epochs of a run (`fit`), or a mapping for each. Every key that ends in ``loss`` is a line of the
            upper picture (in nats for `cross_entropy`), every one that ends in ``accuracy`` (0 to 1) of the lower.
        figure: where to draw; a new figure by default.

    Raises ValueError when there is nothing to draw, TypeError for what is no history.

    >>> picture = curves([{"epoch": 1, "loss": 2.3, "accuracy": 0.2}, {"epoch": 2, "loss": 0.4, "accuracy": 0.9}])
    """
    if not isinstance(history, Sequence) or not all(isinstance(r, EpochRecord | Mapping) for r in history):
        raise TypeError(f"curves: history must be a sequence of EpochRecord or mappings, got {abbreviated(history)}")
    records = [asdict(record) if isinstance(record, EpochRecord) else record for record in history]
    keys = [k for k in dict.fromkeys(k for record in records for k in record) if any(_known(r.get(k)) for r in records)]
    panels = [
        (ending, label, lines)
        for ending, label in (("loss", "cost"), ("accuracy", "accuracy, %"))
        if (lines := {_data(k, ending): k for k in keys if k.endswith(ending)})
    ]
    looks = dict(zip(dict.fromkeys(data for _, _, lines in panels for data in lines), cycle(_LOOKS), strict=False))
    if not panels:
        raise ValueError("curves: no record of the history has a key that ends in 'loss' or 'accuracy'")
    canvas = new_figure(figure, WIDTH, 1.9 * len(panels) + 0.3)
    axes = canvas.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for ax, (ending, label, lines) in zip(axes, panels, strict=True):
        _panel(ax, records, 100 if ending == "accuracy" else 1, lines, looks)
        ax.set_ylabel(label, fontsize=TEXT)
    axes[0].set_title("Training, epoch by epoch", fontsize=TITLE, loc="left")
    axes[-1].set_xlabel("epoch", fontsize=TEXT)
    whole = require("matplotlib.ticker", "plot").MaxNLocator(integer=True, min_n_ticks=1)
    axes[-1].xaxis.set_major_locator(whole)
    return canvas


def _panel(
    ax: "Axes",
    history: Sequence[Mapping[str, Any]],
    factor: int,
    lines: dict[str, str],
    looks: dict[str, tuple[str, str, str]],
) -> None:
    for data, key in lines.items():
        colour, dash, marker = looks[data]
        points = [(r.get("epoch", k), r[key] * factor) for k, r in enumerate(history, 1) if _known(r.get(key))]
        ax.plot(
            *zip(*points, strict=True),
            color=colour,
            linestyle=dash,
            marker=marker,
            markersize=3.5,
            label=data,
        )
    ax.legend(fontsize=TEXT, frameon=False)
    ax.tick_params(labelsize=TEXT)
    ax.grid(axis="y", color="0.9")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


def _data(key: str, ending: str) -> str:
    """``validation_loss`` is of the images held out for validation, a bare ``loss`` of those learnt from."""
    return key.removesuffix(ending).strip("_").replace("_", " ") or "training"


def _known(value: object) -> bool:
    return isinstance(value, int | float)
