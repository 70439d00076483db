"""The doctor of backward rules: which gradient is wrong, and how.

`diagnose` takes numerical derivatives at several points (`probing`), compares what the rules return with them, and
tests hypotheses about the difference, the simplest first: about the `whole` gradient, its single contributions
(`entries`), and `factors`. What it examines is a `probing.Subject`: a function of `tensors`, or NumPy `functions`.
"""

from .diagnose import diagnose
from .report import KINDS, Diagnosis, Finding

__all__ = ["KINDS", "Diagnosis", "Finding", "diagnose"]
