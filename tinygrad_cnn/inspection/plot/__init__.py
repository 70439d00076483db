"""Pictures of what a network does, with matplotlib (extra ``plot``), which is imported when the first one is drawn.

Pictures of one panel take an ``ax`` and return it; pictures of several take a ``figure`` (or a subfigure) and return
that. Without either they make a figure that belongs to no window: save it with ``savefig``, or pass ``plt.figure()``.
"""

from .errors import confusion, errors
from .layers import feature_maps, gradients
from .occlusion import occlusion
from .pooling import pooling
from .training import curves
from .weights import filters

__all__ = ["confusion", "curves", "errors", "feature_maps", "filters", "gradients", "occlusion", "pooling"]
