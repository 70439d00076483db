"""The doctor of backward rules: which gradient is wrong, and how.

`diagnose` takes numerical derivatives at several points (`probing`), compares what the rules return with them, and
tests hypotheses about the difference, the simplest first: `shapes`, `patterns` of the whole gradient, single
contributions (`entries`), `factors`, and other arguments (`variations`). What it examines is a `probing.Subject`:
functions of `tensors`, NumPy `functions`, or `objects` with a forward and a backward method.
"""

from .diagnose import diagnose
from .report import KINDS, Diagnosis, Finding

__all__ = ["KINDS", "Diagnosis", "Finding", "diagnose"]
