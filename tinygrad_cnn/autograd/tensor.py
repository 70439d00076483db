"""Tensor: an array that remembers how it was made.

What a tensor can do by itself stands here, each operation with its rule: arithmetic, reductions, shapes, indexing.
A rule is a *pullback* ``(g, y) -> dC/dx``, where ``g`` is dC/dy; it is written with the operations themselves, so that
it can be differentiated again. Where an input was broadcast, the graph sums its gradient back (`graph.fitted`).
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Self, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..checks import Axis, abbreviated, flag, normal_axes, one_axis
from ..kernels.memory import empty, is_alone
from ..kernels.warnings import without_warnings
from .dtypes import FLOATS, as_dtype, cast, is_basic, new_array
from .engine import (
    GraphError,
    Node,
    backpropagate,
    caller,
    check_anomaly,
    enable_grad,
    no_grad,
    state,
)
from .notebook import tensor_html

Pullback = Callable[["Tensor", "Tensor"], "Tensor"]


class Tensor:
    """An n-dimensional array with a gradient.

    Args:
        data: numbers, nested sequences of them, an array, or a tensor; always copied. Python floats become float32;
            arrays keep their type: float32, float64, an integer or bool. Arithmetic on integers is done in floating
            point, so that none wraps around. What is too large for that is an infinity, what has no answer NaN, and
            no warning says so, as in PyTorch; `detect_anomaly` finds the op that made it.
        requires_grad: whether `backward` shall leave dC/d(this) in `grad`; floating point only.
        dtype: the type wanted instead.

    Raises TypeError for a type that is not one of these, ValueError for a ragged sequence.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_data", "_requires_grad", "grad", "node", "version")
    __array_ufunc__ = None  # so that `ndarray * Tensor` asks Tensor, instead of making an array of objects

    _data: NDArray[Any]
    _requires_grad: bool
    grad: "Tensor | None"
    node: Node | None
    version: int  # how often the data was replaced or edited through this tensor

    def __init__(
        self, data: "ArrayLike | Tensor", *, requires_grad: bool = False, dtype: DTypeLike | None = None
    ) -> None:
        self._data = new_array(data.data if isinstance(data, Tensor) else data, dtype)
        self.grad, self.node, self.version = None, None, 0
        self._requires_grad = False
        self.requires_grad = requires_grad

    # What it is -------------------------------------------------------------------------------------------------------

    @property
    def data(self) -> NDArray[Any]:
        """The array itself. Read-only while a graph that has yet to run backward remembers it."""
        return self._data

    @data.setter
    def data(self, value: ArrayLike) -> None:
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
        if array.shape != self.shape:
            raise ValueError(f"Tensor.data: the new data has shape {array.shape}, this tensor {self.shape}")
        if array is not self._data:
            self._data = new_array(array, self.dtype)
        self.version += 1

    @property
    def requires_grad(self) -> bool:
        """Whether a gradient is computed for it. May be set on tensors that no op made."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        value = flag("Tensor", "requires_grad", value)
        if self.node is not None and value != self._requires_grad:
            raise GraphError(f"Tensor: this is a result of {self.node.name}; detach() it to leave it out of the graph")
        if value and self.dtype not in FLOATS:
            raise TypeError(f"Tensor: only float32 and float64 can require a gradient, got {self.dtype}")
        self._requires_grad = value

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The numbers' type."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return self._data.size

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded op made it: then `backward` leaves its gradient in `grad`."""
        return self.node is None

    def numpy(self) -> NDArray[Any]:
        """The array, not copied; the same as `data`."""
        return self._data

    def item(self) -> float | int | bool:
        """The only number, as a Python number. ValueError if there are more or none."""
        if self.size != 1:
            raise ValueError(f"item: needs exactly one number, this tensor has shape {self.shape}")
        return self._data.item()  # type: ignore[no-any-return]

    def detach(self) -> "Tensor":
        """The same numbers (not copied), outside the graph."""
        return wrap(self._data)

    def writable(self) -> NDArray[Any]:
        """The array, to be edited in place; graphs that remember this tensor become stale, and say so in `backward`."""
        if not self._data.flags.writeable:
            self._data = self._data.copy(order="K")
        self.version += 1
        return self._data

    # The graph --------------------------------------------------------------------------------------------------------

    def backward(
        self, gradient: "ArrayLike | Tensor | None" = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add dC/d(leaf) to the `grad` of every leaf that this tensor was made from and that requires one.

        Args:
            gradient: dC/d(this), of this tensor's shape; may be left out when this is C itself, a single number.
            retain_graph: keep the graph, so that it can be walked again. Otherwise it is freed on the way.
            create_graph: record the rules too, so that the gradients have gradients; implies ``retain_graph``.

        Raises GraphError when nothing requires a gradient, the graph was used up, or a tensor in it was changed.
        """
        create_graph = flag("backward", "create_graph", create_graph)
        retain = flag("backward", "retain_graph", retain_graph) or create_graph
        seed = self._seed(gradient)
        given: set[int] = {id(seed.data)}
        for leaf, g in backpropagate(self, seed, None, retain=retain, record=create_graph):
            if leaf.grad is None:
                g = _own(g, given, create_graph)
            elif not isinstance(leaf.grad, Tensor) or leaf.grad.shape != g.shape:
                raise GraphError(
                    f"backward: a gradient of shape {g.shape} cannot be added to .grad={abbreviated(leaf.grad)}"
                )
            else:
                with enable_grad() if create_graph else no_grad():
                    g = leaf.grad + g
            if not create_graph:
                g.data.setflags(write=True)
            leaf.grad = g

    def _seed(self, gradient: "ArrayLike | Tensor | None") -> "Tensor":
        if not self._requires_grad:
            raise GraphError("backward: nothing that this tensor was made from requires a gradient")
        if gradient is None:
            if self.size != 1:
                raise GraphError(
                    f"backward: this tensor has shape {self.shape}; pass the gradient dC/d(this), or reduce it to one "
                    "number, with sum() or mean(), first"
                )
            return wrap(np.ones_like(self._data))
        seed = as_tensor("backward", gradient)
        if seed.shape != self.shape:
            raise GraphError(f"backward: the gradient has shape {seed.shape}, this tensor {self.shape}")
        return seed if seed.dtype == self.dtype else seed.astype(self.dtype)

    # Arithmetic -------------------------------------------------------------------------------------------------------

    def __add__(self, other: "Operand") -> "Tensor":
        return binary("add", np.add, self, other, lambda a, b: (lambda g, y: g, lambda g, y: g))

    def __sub__(self, other: "Operand") -> "Tensor":
        return binary("subtract", np.subtract, self, other, lambda a, b: (lambda g, y: g, lambda g, y: -g))

    def __mul__(self, other: "Operand") -> "Tensor":
        return binary("multiply", np.multiply, self, other, lambda a, b: (lambda g, y: g * b, lambda g, y: g * a))

    def __truediv__(self, other: "Operand") -> "Tensor":
        """``a / b``; by NumPy's rules x/0 is an infinity and 0/0 NaN."""
        return binary("divide", np.divide, self, other, lambda a, b: (lambda g, y: g / b, lambda g, y: -g * y / b))

    def __pow__(self, other: "Operand") -> "Tensor":
        """``a ** b``. dy/da = b a^(b-1), which is 0 where b = 0; dy/db = y log a, which is 0 where a = 0 and b > 0."""
        return binary("power", np.power, self, other, _power_rules)

    def __radd__(self, other: "Operand") -> "Tensor":
        return self + other

    def __rmul__(self, other: "Operand") -> "Tensor":
        return self * other

    def __rsub__(self, other: "Operand") -> "Tensor":
        return _operand("subtract", other, self) - self

    def __rtruediv__(self, other: "Operand") -> "Tensor":
        return _operand("divide", other, self) / self

    def __rpow__(self, other: "Operand") -> "Tensor":
        return _operand("power", other, self) ** self

    def __matmul__(self, other: "Operand") -> "Tensor":
        if not isinstance(other, Tensor) and not _is_number(other):
            return NotImplemented
        return matmul(self, _operand("matmul", other, self))

    def __rmatmul__(self, other: "Operand") -> "Tensor":
        return matmul(_operand("matmul", other, self), self)

    def __neg__(self) -> "Tensor":
        return unary("negative", np.negative, self, lambda g, y: -g)

    def __abs__(self) -> "Tensor":
        return self.abs()

    def abs(self) -> "Tensor":
        """``|x|``; its slope at 0 is taken as 0."""
        return unary("abs", np.abs, self, lambda g, y: g * np.sign(self.data))

    def exp(self) -> "Tensor":
        """``e^x``."""
        return unary("exp", np.exp, self, lambda g, y: g * y)

    def log(self) -> "Tensor":
        """The natural logarithm: -inf at 0 (where its slope is an infinity), NaN below."""
        return unary("log", np.log, self, lambda g, y: g / self)

    def sqrt(self) -> "Tensor":
        """The square root: slope infinite at 0, NaN below."""
        return unary("sqrt", np.sqrt, self, lambda g, y: g / (2 * y))

    def clip(self, low: float | None = None, high: float | None = None) -> "Tensor":
        """Numbers below ``low`` raised to it, above ``high`` lowered to it; no gradient passes where that happened."""
        ends = (-math.inf if low is None else low, math.inf if high is None else high)
        bottom, top = (_operand("clip", end, self).item() for end in ends)
        if not bottom <= top:
            raise ValueError(f"clip: low must not be above high, got {low} and {high}")
        inside = (self.data >= bottom) & (self.data <= top)
        return unary("clip", lambda a: np.clip(a, bottom, top), self, lambda g, y: g * inside, low=low, high=high)

    def astype(self, dtype: DTypeLike) -> "Tensor":
        """The numbers in another type; the gradient comes back in this one."""
        target = as_dtype("astype", dtype)
        if dtype is None or (target not in FLOATS and self.requires_grad):
            raise TypeError(
                f"astype: a tensor that requires a gradient stays float32 or float64, got {abbreviated(dtype)}"
            )
        return record("astype", cast("astype", self._data, target), (self,), (lambda g, y: g,), dtype=target.name)

    # Comparisons: no gradient -----------------------------------------------------------------------------------------

    def __eq__(self, other: object) -> "Tensor":  # type: ignore[override]
        return _compare(np.equal, self, other)

    def __ne__(self, other: object) -> "Tensor":  # type: ignore[override]
        return _compare(np.not_equal, self, other)

    def __lt__(self, other: object) -> "Tensor":
        return _compare(np.less, self, other)

    def __le__(self, other: object) -> "Tensor":
        return _compare(np.less_equal, self, other)

    def __gt__(self, other: object) -> "Tensor":
        return _compare(np.greater, self, other)

    def __ge__(self, other: object) -> "Tensor":
        return _compare(np.greater_equal, self, other)

    __hash__ = object.__hash__

    # Reductions -------------------------------------------------------------------------------------------------------

    def sum(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The sum over ``axis`` (all by default); each summand's gradient is the sum's."""
        x, axes = as_float(self), normal_axes("sum", axis, self.ndim)
        kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        return record(
            "sum",
            without_warnings(np.add.reduce, x.data, axis=axes, keepdims=flag("sum", "keepdims", keepdims)),
            (x,),
            (lambda g, y: g.reshape(kept).broadcast_to(x.shape),),
            axis=axis,
            keepdims=keepdims,
        )

    def mean(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The mean over ``axis`` (all by default). ValueError over no numbers."""
        axes = normal_axes("mean", axis, self.ndim)
        count = math.prod(self.shape[i] for i in axes)
        if count == 0:
            raise ValueError(f"mean: no numbers to average over axis {axis} of shape {self.shape}")
        return self.sum(axis, keepdims) * (1 / count)

    def max(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The largest over ``axis`` (all by default). The gradient goes to the first of equals; a NaN wins."""
        return _extreme("max", np.argmax, self, axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> "Tensor":
        """The smallest over ``axis`` (all by default). The gradient goes to the first of equals."""
        return _extreme("min", np.argmin, self, axis, keepdims)

    def argmax(self, axis: int | None = None) -> "Tensor":
        """Where the largest stands, the first of equals (integers, no gradient)."""
        if axis is not None:
            axis = one_axis("argmax", axis, self.ndim)
        if not (self.size if axis is None else self.shape[axis]):
            raise ValueError(f"argmax: no numbers to compare over axis {axis} of shape {self.shape}")
        return wrap(np.asarray(self._data.argmax(axis)))

    # Shapes -----------------------------------------------------------------------------------------------------------

    def reshape(self, *shape: int | tuple[int, ...]) -> "Tensor":
        """The same numbers in row-major order under another shape; one length may be -1."""
        target = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
        try:
            data = self._data.reshape(target)  # type: ignore[arg-type]
        except (OverflowError, TypeError, ValueError):
            raise ValueError(
                f"reshape: {self.size} numbers of shape {self.shape} do not fit {abbreviated(target)}"
            ) from None
        before = self.shape
        data.setflags(write=False)  # it may show this tensor's own numbers, which a graph may have to rely on
        return record("reshape", data, (self,), (lambda g, y: g.reshape(before),), shape=data.shape)

    def flatten(self, start_dim: int = 0) -> "Tensor":
        """The axes from ``start_dim`` on as one."""
        start = one_axis("flatten", start_dim, max(self.ndim, 1))
        return self.reshape(*self.shape[:start], math.prod(self.shape[start:]))

    def transpose(self, *axes: Any) -> "Tensor":
        """The axes in another order (NumPy's meaning: all of them are named); reversed when none is given."""
        axes = tuple(axes[0]) if len(axes) == 1 and isinstance(axes[0], tuple | list) else axes
        order = normal_axes("transpose", axes or tuple(reversed(range(self.ndim))), self.ndim)
        if len(order) != self.ndim:
            raise ValueError(f"transpose: axes {axes} must name all {self.ndim} axes; swapaxes(a, b) swaps two")
        data = self._data.transpose(order)
        data.setflags(write=False)
        return record("transpose", data, (self,), (lambda g, y: g.transpose(np.argsort(order).tolist()),), axes=order)

    @property
    def T(self) -> "Tensor":
        """All axes reversed."""
        return self.transpose()

    def swapaxes(self, a: int, b: int) -> "Tensor":
        """Two axes exchanged."""
        order = list(range(self.ndim))
        a, b = (one_axis("swapaxes", axis, self.ndim) for axis in (a, b))
        order[a], order[b] = b, a
        return self.transpose(*order)

    def broadcast_to(self, shape: tuple[int, ...]) -> "Tensor":
        """Axes of length 1, and missing leading ones, repeated (not copied) to fill ``shape``."""
        if type(shape) is tuple and self.shape == shape:
            return self
        try:
            data = np.broadcast_to(self._data, shape)
        except (OverflowError, TypeError, ValueError):
            raise ValueError(f"broadcast_to: shape {self.shape} does not stretch to {abbreviated(shape)}") from None
        return record("broadcast_to", data, (self,), (lambda g, y: g,), shape=shape)

    def __getitem__(self, index: Any) -> "Tensor":
        """NumPy's indexing, basic and advanced; an element that is read twice receives both gradients."""
        try:
            where = _plain_index(index)
            data = np.asarray(self._data[where])
        except (IndexError, OverflowError, TypeError, ValueError) as error:
            raise IndexError(f"indexing: {error} (shape {self.shape})") from None
        shape = self.shape
        if data.base is not None:
            data.setflags(write=False)
        return record("getitem", data, (self,), (lambda g, y: put(g, where, shape),), index=where)

    # Python's protocols -----------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len: a tensor of one number without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is not one answer; compare, then reduce")
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"only a tensor of one integer can be an index, this one has dtype {self.dtype}")
        return int(self.item())

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self._data, dtype=dtype, copy=copy)

    def __dlpack__(self, *, copy: bool | None = None, **request: Any) -> Any:
        """The memory itself for another library; a copy where that could not be edited or walked safely.

        Copied are memory that a graph still reads (PyTorch overlooks that it is read-only) and negative strides
        (PyTorch aborts on them).
        """
        shared = self._data.flags.writeable and min(self._data.strides, default=0) >= 0
        if copy is False and not shared:
            raise BufferError("this tensor's memory is read by a graph or runs backwards: it can only be copied")
        return (self._data if shared and not copy else self._data.copy()).__dlpack__(**request)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as numbers: the copy is a leaf, and the graph stays behind."""
        return _restored, (type(self), self._data, self._requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return _restored(type(self), self._data.copy(order="K"), self._requires_grad)  # type: ignore[return-value]

    def __repr__(self) -> str:
        numbers = np.array2string(self._data, separator=", ", prefix=f"{type(self).__name__}(", threshold=100)
        if not self.size and self.ndim > 1:  # the brackets alone do not tell the shape
            numbers = f"[], shape={self.shape}"
        kind = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        made = f", op={self.node.name}" if self.node else ", requires_grad=True" if self._requires_grad else ""
        return f"{type(self).__name__}({numbers}{kind}{made})"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        made = f" made by {self.node.name}" if self.node else " requires_grad" if self._requires_grad else ""
        return tensor_html(type(self).__name__, f"{self.shape} {self.dtype}{made}", self._data)


Operand = Tensor | float | int | NDArray[Any]


def wrap(array: NDArray[Any]) -> Tensor:
    """The array as a tensor outside the graph, not copied."""
    t = Tensor.__new__(Tensor)
    t._data, t._requires_grad, t.grad, t.node, t.version = array, False, None, None, 0
    return t


def record(
    name: str, data: NDArray[Any], inputs: tuple[Tensor, ...], pullbacks: tuple[Pullback, ...], **params: Any
) -> Tensor:
    """The result of an op as a tensor that remembers its making: this is how every op ends.

    Args:
        name: the op's name, for messages, drawings and export.
        data: what its kernel computed.
        inputs: the tensors it was computed from.
        pullbacks: for each input its backward rule: a function of g = dC/dy and y that returns dC/d(input). It is
            called only if that input requires a gradient, and must not keep y itself.
        params: whatever else the op was told, for drawings and export.
    """
    out = wrap(np.asarray(data))
    if state.anomaly:
        check_anomaly(out._data, name, caller(), [t._data for t in inputs])
    if len(pullbacks) != len(inputs):
        raise ValueError(f"{name}: takes one pullback for each of its {len(inputs)} inputs, got {len(pullbacks)}")
    if state.recording and any([t._requires_grad for t in inputs]):
        out.node = Node(name, inputs, pullbacks, params)
        out._requires_grad = True
        out._data.setflags(write=False)  # a rule may read it
    return out


def unary(
    name: str, kernel: Callable[[NDArray[Any]], NDArray[Any]], x: Tensor, pullback: Pullback, **params: Any
) -> Tensor:
    """An elementwise op of one input."""
    x = as_float(x)
    with np.errstate(all="ignore"):
        return record(name, kernel(x.data), (x,), (pullback,), **params)


def binary(
    name: str,
    kernel: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]],
    a: Tensor,
    b: Operand,
    rules: Callable[[Tensor, Tensor], tuple[Pullback, Pullback]],
) -> Tensor:
    """An elementwise op, by a function of NumPy's own, of two inputs that broadcast against each other.

    NotImplemented for an unknown operand.
    """
    if not isinstance(b, Tensor) and not _is_number(b):
        return NotImplemented  # type: ignore[no-any-return]
    b = _operand(name, b, a)
    a, b = same_float(a, b)
    try:
        data = without_warnings(kernel, a._data, b._data)
    except ValueError:
        raise ValueError(f"{name}: shapes {a.shape} and {b.shape} do not broadcast") from None
    return record(name, data, (a, b), rules(a, b))


def matmul(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product ``a @ b``; leading axes are batches and broadcast, a vector counts as one row or column.

    Rules: dC/da = g bᵀ and dC/db = aᵀ g, the article's fully connected layer.

    Args:
        a: shape ``(..., M, K)`` or ``(K,)``.
        b: shape ``(..., K, N)`` or ``(K,)``.

    Raises ValueError when the inner lengths differ, batches do not broadcast, or one has no axis.

    >>> matmul(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]))
    Tensor([[11.]])
    """
    a, b = same_float(as_tensor("matmul", a), as_tensor("matmul", b))
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(f"matmul: inner lengths must match (a.shape={a.shape}, b.shape={b.shape})")
    if a.ndim == 1:
        return matmul(a.reshape(1, -1), b).reshape(*b.shape[:-2], *b.shape[-1:][: b.ndim - 1])
    if b.ndim == 1:
        return matmul(a, b.reshape(-1, 1)).reshape(a.shape[:-1])
    try:
        if a.ndim == b.ndim == 2:  # `numpy.dot` has no slow path for a single row or column
            data = without_warnings(np.dot, a.data, b.data, empty((a.shape[0], b.shape[1]), a.dtype))
        else:
            data = without_warnings(np.matmul, a.data, b.data)
    except ValueError:
        raise ValueError(f"matmul: batches do not broadcast (a.shape={a.shape}, b.shape={b.shape})") from None
    return record(
        "matmul",
        data,
        (a, b),
        (lambda g, y: matmul(g, b.swapaxes(-1, -2)), lambda g, y: matmul(a.swapaxes(-1, -2), g)),
    )


def put(g: Tensor, index: Any, shape: tuple[int, ...]) -> Tensor:
    """Zeros of ``shape`` with ``g`` added at ``index``: the transpose of indexing, and indexing its rule."""
    data = np.zeros(shape, g.dtype)
    if is_basic(index):
        data[index] = g.data
    else:
        without_warnings(np.add.at, data, index, g.data)
    return record("put", data, (g,), (lambda v, y: v[index],), index=index)


def grad(
    output: Tensor, inputs: "Tensor | list[Tensor] | tuple[Tensor, ...]", *, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """dC/d(input) for each input, returned instead of left in ``.grad``.

    Args:
        output: C, a single number.
        inputs: tensors that C was made from, leaves or results.
        create_graph: keep the graph and record the rules, so that the gradients can be differentiated again.

    Raises GraphError when C was not made from an input.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> (slope,) = grad(x ** 3, [x], create_graph=True)
    >>> slope.item(), grad(slope, [x])[0].item()
    (27.0, 18.0)
    """
    wanted = inputs if isinstance(inputs, tuple | list) else (inputs,)
    if not all(isinstance(t, Tensor) for t in (output, *wanted)):
        raise TypeError("grad: the output and the inputs must be tensors")
    create_graph = flag("grad", "create_graph", create_graph)
    seed = output._seed(None)
    given = {id(seed.data)}
    pairs = backpropagate(output, seed, wanted, retain=create_graph, record=create_graph)
    found = {id(t): _own(g, given, create_graph) for t, g in pairs}
    for k, t in enumerate(wanted):
        if id(t) not in found:
            raise GraphError(f"grad: input {k}, shape {t.shape}, is not among what the output was made from")
    return tuple(found[id(t)] for t in wanted)


def _own(g: Tensor, given: set[int], create_graph: bool) -> Tensor:
    """``g``, or a copy where something else lives in its memory: editing one gradient must not edit another."""
    if not is_alone(g.data) or id(g.data) in given:
        with enable_grad():
            g = g * 1 if create_graph else wrap(g.data.copy())
    given.add(id(g.data))
    return g


def as_tensor(name: str, x: object) -> Tensor:
    """``x`` if it is a tensor, else a tensor of it; the op's name is for the message."""
    if isinstance(x, Tensor):
        return x
    try:
        return Tensor(x)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: expected a Tensor ({error})") from None


def as_float(x: Tensor) -> Tensor:
    """``x`` in floating point: float32 where that holds all of its integers' values, else float64."""
    return x if x.dtype in FLOATS else wrap(x.data.astype(np.result_type(x.dtype, np.float32)))


def _is_number(x: object) -> TypeGuard[Operand]:
    return isinstance(x, int | float | np.ndarray | np.generic)


def _operand(name: str, x: Operand, like: Tensor) -> Tensor:
    """The other operand as a tensor; a bare number takes the tensor's float type."""
    if isinstance(x, Tensor):
        return x
    if isinstance(x, np.ndarray) and x.ndim:
        return as_tensor(name, x)
    if not isinstance(x, int | float):
        x = as_tensor(name, x).item()  # refuses what is not a real number
    try:
        array = without_warnings(np.asarray, x, dtype=like.dtype if like.dtype in FLOATS else as_float(like).dtype)
    except OverflowError:
        raise ValueError(f"{name}: the integer is too large for a tensor") from None
    array.setflags(write=False)  # nobody else has it, so no graph need hold it
    return wrap(array)


def same_float(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one float type: the wider, where neither is an integer and neither a lone number."""
    if a.dtype == b.dtype and a.dtype in FLOATS:
        return a, b
    if a.dtype in FLOATS and (b.dtype not in FLOATS or b.ndim == 0 < a.ndim):
        return a, b.astype(a.dtype)
    if b.dtype in FLOATS and (a.dtype not in FLOATS or a.ndim == 0 < b.ndim):
        return a.astype(b.dtype), b
    wider = np.result_type(as_float(a).dtype, as_float(b).dtype)
    return (a if a.dtype == wider else a.astype(wider)), (b if b.dtype == wider else b.astype(wider))


def _power_rules(a: Tensor, b: Tensor) -> tuple[Pullback, Pullback]:
    def for_base(g: Tensor, y: Tensor) -> Tensor:
        flat: NDArray[np.bool_] = b.data == 0
        return g * b * (a + flat) ** (b - 1 + flat) * ~flat

    def for_exponent(g: Tensor, y: Tensor) -> Tensor:
        level: NDArray[np.bool_] = (a.data == 0) & (b.data > 0)
        return g * y * (a + level).log()

    return for_base, for_exponent


def _extreme(name: str, arg: Callable[..., NDArray[np.intp]], x: Tensor, axis: Axis, keepdims: bool) -> Tensor:
    """max and min: gather at the first extreme; its rule sends g there."""
    x, axes, keepdims = as_float(x), normal_axes(name, axis, x.ndim), flag(name, "keepdims", keepdims)
    if not math.prod(x.shape[i] for i in axes):
        raise ValueError(f"{name}: no numbers to compare over axis {axis} of shape {x.shape}")
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    moved = x.transpose(*rest, *axes) if x.ndim else x
    rows = moved.reshape(math.prod(x.shape[i] for i in rest), math.prod(x.shape[i] for i in axes))
    best = rows[np.arange(len(rows)), arg(rows.data, axis=1)]
    return best.reshape(tuple(1 if i in axes else x.shape[i] for i in range(x.ndim) if keepdims or i not in axes))


def _compare(kernel: Callable[..., Any], a: Tensor, b: object) -> Tensor:
    if isinstance(b, Tensor):
        b = b.data
    elif not _is_number(b):
        return NotImplemented  # type: ignore[no-any-return]
    try:
        return wrap(np.asarray(without_warnings(kernel, a.data, b)))
    except OverflowError:
        raise ValueError("comparison: the integer is too large") from None
    except ValueError:
        raise ValueError(f"comparison: shapes {a.shape} and {np.shape(b)} do not broadcast") from None


def _plain_index(index: Any) -> Any:
    """The index with its tensors and lists as arrays of its own: a rule reads it later."""
    if isinstance(index, tuple):
        return tuple(_plain_index(i) for i in index)
    if isinstance(index, Tensor | list | np.ndarray):
        array = np.array(index)
        return array if array.size else array.astype(array.dtype if array.dtype == bool else int)
    return index


def _restored(kind: type[Tensor], data: NDArray[Any], requires_grad: bool) -> Tensor:
    t = kind.__new__(kind)
    t._data, t.grad, t.node, t.version = data, None, None, 0
    t._requires_grad = requires_grad
    return t
