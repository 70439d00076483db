"""The 1,797 real 8x8 digits that come with the package."""

from pathlib import Path

import numpy as np

from .dataset import Dataset

_FILE = Path(__file__).with_name("digits.npz")


def digits() -> tuple[Dataset, Dataset]:
    """Return (train, test): 1,437 + 360 handwritten digits of 8x8 pixels, 10 classes, no file needed.

    A pixel counts the ink in a 4x4 block of the scan, 0 to 16, so `images` has 17 levels in [0, 1]. The split is
    fixed, and stratified: every class is split in the same proportion.

    Source: E. Alpaydin & C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998
    (CC BY 4.0; `digits.md` beside the file lists the changes).

    >>> train, test = digits()
    >>> train, test
    (Dataset(1,437 images of 1x8x8, 10 classes), Dataset(360 images of 1x8x8, 10 classes))
    """
    with np.load(_FILE, allow_pickle=False) as stored:
        train, test = (
            Dataset(stored[f"{part}_pixels"], stored[f"{part}_labels"], num_classes=10, full_scale=16, fit="ink")
            for part in ("train", "test")
        )
    return train, test
