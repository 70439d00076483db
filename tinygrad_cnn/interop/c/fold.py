"""Steps folded into others: batch normalisation into convolutions, padding into what slides over it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .plan import Plan, Step, compress

SLIDING = "correlate2d", "convolve2d_full"
"""The functions that have a weight for each filter, and slide."""

_BORDERS = {"correlate2d": 0.0, "avgpool": 0.0, "maxpool": -np.inf}
"""The number that a function takes its border of padding to hold."""


def fold(plan: Plan) -> None:
    """Fold every step that another step can do as well.

    A scale and shift for each channel becomes part of the weights and bias of the convolution or fully connected layer
    before it; also through max pooling, if no scale is negative: a larger number then stays larger. A scale alone
    becomes part of a mean. Padding becomes the border of the convolution or pooling that reads it.
    """
    for step in list(plan.steps):
        if step.op == "scale_and_shift" and _fold_scale_and_shift(plan, step):
            plan.steps.remove(step)
        elif step.op in _BORDERS:
            _fold_pad(plan, step)
    while 0 in (plan.uses()[step.result] for step in plan.steps):
        uses = plan.uses()
        plan.steps[:] = [step for step in plan.steps if uses[step.result]]
    for step in plan.steps:
        if step.op == "scale_and_shift":
            (scale, shift), repeat = compress(np.stack([step.settings["scale"], step.settings["shift"]]))
            step.settings |= {"scale": scale, "shift": shift, "repeat": repeat, "count": len(scale)}


def _fold_scale_and_shift(plan: Plan, step: Step) -> bool:
    """Fold a step into the one that makes its input. Return False if that one cannot take it in."""
    uses, scale, shift = plan.uses(), step.settings["scale"], step.settings["shift"]
    if not np.isfinite([scale, shift]).all():
        return False
    pools: list[Step] = []
    maker = plan.maker(step.inputs[0])
    while maker is not None and maker.op == "maxpool" and uses[maker.result] == 1 and (scale >= 0).all():
        pools.append(maker)
        maker = plan.maker(maker.inputs[0])
    if maker is None or uses[maker.result] > 1 or not _take_in(maker, scale, shift, bool(pools)):
        return False
    _add_layers(maker, step.layers)
    for pool in reversed(pools):  # what reaches it has another scale now than in the network, and so another name
        maker.result = plan.temporary(maker.result, plan.shapes[maker.result])
        pool.inputs, maker = [maker.result], pool
    maker.result = step.result
    return True


def _take_in(maker: Step, scale: NDArray[Any], shift: NDArray[Any], through_pool: bool) -> bool:
    """Change a step so that it makes ``scale x + shift`` instead of x. Return False if it cannot."""
    settings = maker.settings
    if maker.op in SLIDING:
        g = settings["g"]
        factors = _by_channel(np.stack([scale, shift]).reshape(2, g.maps, -1))
        if factors is None:
            return False
        weight = settings["w"]
        if maker.op == "correlate2d":
            settings["w"] = weight * factors[0][:, None, None, None]
        else:  # (channels, maps / groups, ...), of which each group of channels has its own maps
            parts = np.reshape(weight, (g.groups, -1, *weight.shape[1:]))
            by_group = factors[0].reshape(g.groups, 1, -1, 1, 1)
            settings["w"] = (parts * by_group).reshape(weight.shape)
    elif maker.op == "fully_connected" and not through_pool:
        factors = _by_channel(np.stack([scale, shift]).reshape(2, settings["rows"], -1).swapaxes(1, 2))
        if factors is None:
            return False
        settings["w"] = settings["w"] * factors[0][:, None]
    elif maker.op == "scale_and_shift" and not through_pool:
        settings["scale"], settings["shift"] = scale * settings["scale"], scale * settings["shift"] + shift
        return True
    elif "divisor" in settings and not through_pool:
        if not ((scale == scale[0]).all() and scale[0] != 0 and (shift == 0).all()):
            return False
        settings["divisor"] /= float(scale[0])
        return True
    else:
        return False
    settings["b"] = factors[0] * settings["b"] + factors[1]
    return True


def _by_channel(factors: NDArray[Any]) -> NDArray[Any] | None:
    """Return (scale, shift), ``(2, channels)``, from all places ``(2, channels, places)``; None where places differ."""
    first = factors[:, :, 0]
    return first if (factors == first[:, :, None]).all() else None


def _fold_pad(plan: Plan, step: Step) -> None:
    """Let a step read what was padded before it, if its own border can stand for the padding."""
    pad, g = plan.maker(step.inputs[0]), step.settings["g"]
    if pad is None or pad.op != "pad" or pad.settings["value"] != _BORDERS[step.op]:
        return
    *others, rows, columns = pad.settings["widths"]
    if any(width != (0, 0) for width in others) or plan.shapes[pad.result][-2:] != g.image:
        return
    image = g.image[0] - sum(rows), g.image[1] - sum(columns)
    border = g.border[0] + rows[0], g.border[1] + columns[0]
    step.settings["g"] = g._replace(image=image, border=border)
    step.inputs = pad.inputs
    _add_layers(step, pad.layers)


def _add_layers(step: Step, layers: list[str]) -> None:
    step.layers += [layer for layer in layers if layer not in step.layers]
