"""Random changes of the training images by name, of a strength that suits most pictures."""

import argparse
from collections.abc import Sequence

from ..data import Augmentation, affine, brightness, compose, crop, cutout, flip

AUGMENTATIONS: dict[str, Augmentation] = {
    "affine": affine(max_pixels=2, max_degrees=10, max_fraction=0.1),
    "crop": crop(4),
    "flip": flip(),
    "brightness": brightness(0.2, 0.2),
    "cutout": cutout(0.3),
}


def augmentation(names: Sequence[str]) -> Augmentation | None:
    """Return the changes with these names, one after another; None for none."""
    return compose(*(AUGMENTATIONS[name] for name in names)) if names else None


def names(text: str) -> list[str]:
    """An argparse type: names separated by commas, or ``none``."""
    chosen = [] if text == "none" else text.split(",")
    if wrong := [name for name in chosen if name not in AUGMENTATIONS]:
        listed = ", ".join(AUGMENTATIONS)
        raise argparse.ArgumentTypeError(f"must be none, or some of {listed} with commas between, got {wrong[0]!r}")
    return chosen
