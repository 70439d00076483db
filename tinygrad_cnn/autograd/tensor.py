"""Tensor: an array that records how it was made.

The class has storage, graph and Python's protocols; every op in `ops` ends with `record`, and methods are attached by
`tensor_method`.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from ..checks import Axis, abbreviated, flag
from ..kernels.memory import is_alone
from .dtypes import FLOATS, new_array
from .engine import GraphError, Node, Rule, backward_pass, caller, check_anomaly
from .modes import enable_grad, no_grad, state
from .notebook import tensor_html


class Tensor:
    """An n-dimensional array with a gradient.

    Arithmetic on integers is done in floating point, so that nothing wraps around. Overflow gives inf and undefined
    results NaN, without a warning, as in PyTorch; `detect_anomaly` finds the op that made one.

    Args:
        data: numbers, nested sequences of them, an array, or a tensor; always copied. Python floats become float32;
            arrays keep their type: float32, float64, an integer or bool.
        requires_grad: if True, `backward` accumulates this tensor's gradient in `grad`; floating point only.
        dtype: another type for the data.

    Raises:
        TypeError: the data type is not one of these.
        ValueError: the sequence is ragged.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_data", "_requires_grad", "grad", "node")
    __array_ufunc__ = None  # so that `ndarray * Tensor` asks Tensor, instead of making an array of objects
    __hash__ = object.__hash__

    _data: NDArray[Any]
    _requires_grad: bool
    grad: "Tensor | None"
    node: Node | None

    def __init__(
        self, data: "ArrayLike | Tensor", *, requires_grad: bool = False, dtype: DTypeLike | None = None
    ) -> None:
        self._data = new_array(data.data if isinstance(data, Tensor) else data, dtype)
        self.grad, self.node, self._requires_grad = None, None, False
        self.requires_grad = requires_grad

    @property
    def data(self) -> NDArray[Any]:
        """The array. Read-only while a graph that has yet to run backward reads it."""
        return self._data

    @data.setter
    def data(self, value: ArrayLike) -> None:
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
        if array.shape != self.shape:
            raise ValueError(f"Tensor.data: the new data has shape {array.shape}, this tensor {self.shape}")
        if array is not self._data:
            self._data = new_array(array, self.dtype)

    @property
    def requires_grad(self) -> bool:
        """True if a gradient is computed for this tensor. Can be set on leaves."""
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
        """The data type."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._data.size

    @property
    def is_leaf(self) -> bool:
        """True if no recorded op made this tensor: `backward` then leaves its gradient in `grad`."""
        return self.node is None

    def numpy(self) -> NDArray[Any]:
        """Return the array, not copied; the same as `data`."""
        return self._data

    def item(self) -> float | int | bool:
        """Return the only element as a Python number. ValueError if there are more or none."""
        if self.size != 1:
            raise ValueError(f"item: needs exactly one number, this tensor has shape {self.shape}")
        return self._data.item()  # type: ignore[no-any-return]

    def detach(self) -> "Tensor":
        """Return the same data (not copied) outside the graph."""
        return wrap(self._data)

    def writable(self) -> NDArray[Any]:
        """Return the array for editing in place.

        Where a graph still reads the array, the tensor gets a copy first; `backward` through that graph then raises.
        """
        if not self._data.flags.writeable:
            self._data = self._data.copy(order="K")
        return self._data

    def backward(
        self, gradient: "ArrayLike | Tensor | None" = None, *, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add dC/d(leaf) to the `grad` of every leaf that this tensor was computed from and that requires one.

        Args:
            gradient: dC/d(this), of this tensor's shape; may be left out when this is C itself, a single number.
            retain_graph: keep the graph for another pass; otherwise it is freed on the way.
            create_graph: record the rules too, so that gradients have gradients; implies ``retain_graph``.

        Raises:
            GraphError: nothing requires a gradient, the graph was freed, or a tensor in it was changed.
        """
        create_graph = flag("backward", "create_graph", create_graph)
        retain = flag("backward", "retain_graph", retain_graph) or create_graph
        seed = self._seed(gradient)
        used = {id(seed.data)}
        for leaf, g in backward_pass(self, seed, retain_graph=retain, record=create_graph):
            if leaf.grad is None:
                leaf.grad = _own(g, used, create_graph)
            elif not isinstance(leaf.grad, Tensor) or leaf.grad.shape != g.shape:
                previous = abbreviated(leaf.grad)
                raise GraphError(f"backward: a gradient of shape {g.shape} cannot be added to .grad={previous}")
            else:
                with enable_grad() if create_graph else no_grad():
                    leaf.grad = leaf.grad + g

    def _seed(self, gradient: "ArrayLike | Tensor | None") -> "Tensor":
        """Return dC/d(this) to start a backward pass from."""
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
        """Share the memory with another library, or a copy of it where sharing is not safe.

        Memory that a graph still reads is copied (PyTorch overlooks that it is read-only), and so are negative strides
        (PyTorch aborts on them).
        """
        shared = self._data.flags.writeable and min(self._data.strides, default=0) >= 0
        if copy is False and not shared:
            raise BufferError("this tensor's memory is read by a graph or runs backwards: it can only be copied")
        return (self._data if shared and not copy else self._data.copy()).__dlpack__(**request)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._data.__dlpack_device__()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy as data: the copy is a leaf, without the graph."""
        return _restored, (type(self), self._data, self._requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return _restored(type(self), self._data.copy(order="K"), self._requires_grad)  # type: ignore[return-value]

    def __format__(self, spec: str) -> str:
        """Format the number of a tensor that has one alone, as in ``f"{loss:.4f}"``. TypeError for several."""
        if not self.ndim or (spec and self.size == 1):
            return format(self.item(), spec)
        if spec:
            raise TypeError(f"format: {spec!r} needs a tensor of one number, this one has shape {self.shape}")
        return str(self)

    def __repr__(self) -> str:
        numbers = np.array2string(self._data, separator=", ", prefix=f"{type(self).__name__}(", threshold=100)
        if not self.size and self.ndim > 1:  # the brackets alone do not show the shape
            numbers = f"[], shape={self.shape}"
        kind = "" if self.dtype in (np.float32, np.int64, np.bool_) else f", dtype={self.dtype}"
        made = f", op={self.node.name}" if self.node else ", requires_grad=True" if self._requires_grad else ""
        return f"{type(self).__name__}({numbers}{kind}{made})"

    def _repr_html_(self) -> str:
        """The display of a notebook."""
        made = f" made by {self.node.name}" if self.node else " requires_grad" if self._requires_grad else ""
        return tensor_html(type(self).__name__, f"{self.shape} {self.dtype}{made}", self._data)

    if TYPE_CHECKING:  # each is defined, with its rules, in `ops`, and attached by `tensor_method`

        def __add__(self, other: "Operand") -> "Tensor": ...
        def __iadd__(self, other: "Operand") -> Self: ...

        __sub__ = __mul__ = __truediv__ = __pow__ = __matmul__ = __add__
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rpow__ = __rmatmul__ = __add__
        __isub__ = __imul__ = __itruediv__ = __ipow__ = __imatmul__ = __iadd__

        def __neg__(self) -> "Tensor": ...
        def __abs__(self) -> "Tensor": ...
        def __eq__(self, other: object) -> "Tensor": ...  # type: ignore[override]
        def __ne__(self, other: object) -> "Tensor": ...  # type: ignore[override]
        def __lt__(self, other: object) -> "Tensor": ...

        __le__ = __gt__ = __ge__ = __lt__

        def __getitem__(self, index: Any) -> "Tensor": ...
        def abs(self) -> "Tensor": ...
        def clip(self, low: float | None = None, high: float | None = None) -> "Tensor": ...
        def astype(self, dtype: DTypeLike) -> "Tensor": ...
        def sum(
            self, axis: Axis = None, keepdims: bool | None = None, *, dim: Axis = None, keepdim: bool | None = None
        ) -> "Tensor": ...
        def var(self, axis: Axis = None, *, correction: float = 1, dim: Axis = None, **keep: bool) -> "Tensor": ...
        def reshape(self, *shape: int | tuple[int, ...]) -> "Tensor": ...
        def flatten(self, start_dim: int = 0, end_dim: int = -1) -> "Tensor": ...
        def squeeze(self, dim: Axis = None, *, axis: Axis = None) -> "Tensor": ...
        def unsqueeze(self, dim: int) -> "Tensor": ...
        def transpose(self, *axes: Any) -> "Tensor": ...
        def swapaxes(self, a: int, b: int) -> "Tensor": ...
        def broadcast_to(self, shape: tuple[int, ...]) -> "Tensor": ...

        exp = log = sqrt = erf = abs
        mean = max = min = argmax = sum
        std, view, permute = var, reshape, transpose
        T: "Tensor"


Operand = Tensor | float | int | NDArray[Any]
Op = TypeVar("Op")


def tensor_method(*names: str) -> Callable[[Op], Op]:
    """Attach the decorated op to `Tensor` as a method or operator under these names."""

    def attach(op: Op) -> Op:
        for name in names:
            setattr(Tensor, name, op)
        return op

    return attach


def wrap(array: NDArray[Any]) -> Tensor:
    """Return the array as a tensor outside the graph, not copied."""
    t = Tensor.__new__(Tensor)
    t._data, t._requires_grad, t.grad, t.node = array, False, None, None
    return t


def record(
    name: str,
    data: NDArray[Any],
    inputs: tuple[Tensor, ...],
    rules: tuple[Rule, ...] | Rule,
    *,
    kind: str = "",
    formula: str = "",
    **params: Any,
) -> Tensor:
    """Return the result of an op as a tensor that records how it was made: every op ends with this.

    Args:
        name: the op's name, for messages, drawings and export.
        data: the array that its kernel computed.
        inputs: the tensors that it was computed from.
        rules: the backward rule of each input, a function of g = dC/dy and y that returns dC/d(input), and whose
            docstring says so in the article's notation; or one joint rule that returns the gradients of all inputs as
            a tuple, its docstring a line for each. A rule runs only for inputs that require a gradient; it keeps no y.
        kind: for drawings and summaries: "sliding", "pooling", "linear", "activation", "normalization",
            "regularization", "cost", "arithmetic", "reduction", or "movement" (of numbers to other places).
        formula: the forward pass in the article's notation, for `explain`.
        params: the op's other arguments, for drawings and export.
    """
    out = wrap(np.asarray(data))
    if state.anomaly:
        if state.observer is not None:
            state.observer(out)
        else:
            check_anomaly(out._data, name, caller(), [t._data for t in inputs])
    if type(rules) is tuple and len(rules) != len(inputs):
        raise ValueError(f"{name}: takes one pullback for each of its {len(inputs)} inputs, got {len(rules)}")
    if state.recording and any([t._requires_grad for t in inputs]):
        out.node = Node(name, out._data, inputs, rules, kind, formula, params)
        out._requires_grad = True
        out._data.setflags(write=False)  # a rule may read it
    return out


def grad(
    output: Tensor, inputs: "Tensor | list[Tensor] | tuple[Tensor, ...]", *, create_graph: bool = False
) -> tuple[Tensor, ...]:
    """Return dC/d(input) for each input, and leave every ``.grad`` alone.

    Args:
        output: C, a single number.
        inputs: tensors that C was computed from, leaves or results.
        create_graph: keep the graph and record the rules, so that the gradients can be differentiated again.

    Raises:
        GraphError: C was not computed from an input.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> (slope,) = grad(x ** 3, [x], create_graph=True)
    >>> slope.item(), grad(slope, [x])[0].item()
    (27.0, 18.0)
    """
    targets = inputs if isinstance(inputs, tuple | list) else (inputs,)
    if not all(isinstance(t, Tensor) for t in (output, *targets)):
        raise TypeError("grad: the output and the inputs must be tensors")
    create_graph = flag("grad", "create_graph", create_graph)
    seed = output._seed(None)
    used = {id(seed.data)}
    pairs = backward_pass(output, seed, targets, retain_graph=create_graph, record=create_graph)
    grads = {id(t): _own(g, used, create_graph) for t, g in pairs}
    for k, t in enumerate(targets):
        if id(t) not in grads:
            raise GraphError(f"grad: input {k}, shape {t.shape}, is not among what the output was made from")
    return tuple(grads[id(t)] for t in targets)


def _own(g: Tensor, used: set[int], create_graph: bool) -> Tensor:
    """Return ``g``, or a copy if its memory is shared or read-only: editing one gradient must not edit another."""
    if not is_alone(g.data) or id(g.data) in used or not (create_graph or g.data.flags.writeable):
        with enable_grad():
            g = g * 1 if create_graph else wrap(g.data.copy())
    used.add(id(g.data))
    return g


def as_tensor(op: str, x: object) -> Tensor:
    """Return ``x`` if it is a tensor, else a tensor of it; the op's name begins the message of an error."""
    if isinstance(x, Tensor):
        return x
    try:
        return Tensor(x)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{op}: expected a Tensor ({error})") from None


def _restored(kind: type[Tensor], data: NDArray[Any], requires_grad: bool) -> Tensor:
    t = kind.__new__(kind)
    t._data, t.grad, t.node, t._requires_grad = data, None, None, requires_grad
    return t
