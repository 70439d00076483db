"""The nodes of ONNX, each computed with this library's ops, so that it has gradients; `READERS` has them by name."""

from ..registry import READERS as READERS
from . import activation as activation
from . import arithmetic as arithmetic
from . import attention as attention
from . import control as control
from . import indexing as indexing
from . import linear as linear
from . import movement as movement
from . import normalization as normalization
from . import pooling as pooling
from . import quantization as quantization
from . import recurrent as recurrent
from . import reduction as reduction
from . import resize as resize
from . import sliding as sliding
