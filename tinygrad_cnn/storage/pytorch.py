"""Weights in ``.pt`` files, as ``torch.save`` writes a state dict: its tensors, read without running anything.

Such a file is a zip archive with the tensors' numbers, and a pickle that says which tensor is where. A pickle is a
program for a machine that can call any function. Here its opcodes are interpreted by a machine that has lists,
dictionaries and numbers, and of functions only those that make a tensor, as plain records. All else is refused.
"""

import io
import math
import pickletools
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks import abbreviated
from .archive import Arrays
from .atomic import CheckpointError, PathLike, check_regular_file

ENDINGS = (".pt", ".pth")

_DTYPES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",  # the upper half of a float32
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_GLOBALS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}
_STATE_KEYS = "state_dict", "model_state_dict", "model", "net", "weights"
_BEFORE_ZIP = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", b"\x80\x04\x95", b"\x80\x02"
_MAX_REUSE = 16  # tensors that share a storage take memory of their own here
_ADVICE = (
    "in PyTorch write safetensors.torch.save_file(model.state_dict(), 'weights.safetensors'), "
    "or torch.save(model.state_dict(), 'weights.pt')"
)


class _Global(NamedTuple):
    """The name of a function or class."""

    module: str
    name: str


class _Storage(NamedTuple):
    """The storage of a tensor's numbers: their type, the member of the archive, and how many there are."""

    kind: str
    key: str
    length: int


class _Tensor(NamedTuple):
    """A part of a storage, as a tensor's offset, shape and strides say."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark(NamedTuple):
    """The beginning of the items of a list, a tuple or a dictionary."""


def load_pytorch(path: PathLike) -> Arrays:
    """Return the arrays by name of a state dict that ``torch.save`` wrote.

    Also of a checkpoint that has one under ``state_dict``, ``model_state_dict`` or ``model``. Float16 and bfloat16
    become float32. Nothing in the file is executed.

    Raises:
        CheckpointError: the file is of another format, is damaged, or holds more than tensors under names; the message
            says how to write one that can be read.
    """
    name = check_regular_file(path)
    try:
        with open(name, "rb") as file:
            start = file.read(16)
            if not start.startswith(b"PK"):
                raise CheckpointError(_other_format(start))
            with zipfile.ZipFile(file) as archive:
                return _read(archive, file.seek(0, io.SEEK_END))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}") from error
    except Exception as error:  # of zipfile, pickletools and NumPy, of every kind, where a file is damaged
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{path}: is not a PyTorch file of weights, or is damaged ({reason})") from error


def _other_format(start: bytes) -> str:
    if start.startswith(_BEFORE_ZIP):
        return f"is a pickle or of PyTorch before 1.6, and would run code when it is loaded: {_ADVICE}"
    return f"is not a file that torch.save wrote; {_ADVICE}"


def _read(archive: zipfile.ZipFile, file_bytes: int) -> Arrays:
    members = {m.filename: m for m in archive.infolist()}
    heads = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
    if any(name.rpartition("/")[2] == "constants.pkl" for name in members):
        raise CheckpointError(f"is a TorchScript program, not weights: {_ADVICE}")
    if len(heads) != 1:
        raise CheckpointError(f"is not a file that torch.save wrote (it has no data.pkl); {_ADVICE}")
    if len(members) < len(archive.infolist()) or sum(m.file_size for m in members.values()) > file_bytes:
        raise CheckpointError("is damaged (its members overlap, or are larger than the file)")
    if any(m.compress_type != zipfile.ZIP_STORED or m.flag_bits & 1 for m in members.values()):
        raise CheckpointError("has compressed or encrypted members, which torch.save does not write")
    folder = heads[0].removesuffix("data.pkl")
    state = _state_of(_Machine(archive.read(heads[0])).run())
    order = archive.read(f"{folder}byteorder") if f"{folder}byteorder" in members else b"little"
    numbers = sum(math.prod(t.shape) for t in state.values())
    if numbers > _MAX_REUSE * file_bytes:
        raise CheckpointError(f"is damaged (its tensors have {numbers:,} numbers, the file {file_bytes:,} bytes)")
    storages: dict[str, NDArray[Any]] = {}
    return {name: _array(archive, folder, name, t, storages, order) for name, t in state.items()}


def _state_of(value: Any) -> dict[str, _Tensor]:
    """Return the tensors by name of what a file holds."""
    if not isinstance(value, dict):
        raise CheckpointError(f"holds no state dict: {_ADVICE}")
    if value and all(isinstance(v, _Tensor) for v in value.values()):
        state = value
    else:
        inner = [value[k] for k in _STATE_KEYS if isinstance(value.get(k), dict)]
        if not inner:
            keys = ", ".join(map(abbreviated, list(value)[:5]))
            raise CheckpointError(f"holds {keys or 'nothing'}, and no tensors under names: {_ADVICE}")
        state = inner[0]
    wrong = [k for k, v in state.items() if not isinstance(k, str) or not isinstance(v, _Tensor)]
    if wrong:
        raise CheckpointError(f"holds {abbreviated(wrong[0])}, which is no tensor: {_ADVICE}")
    return state


def _array(
    archive: zipfile.ZipFile, folder: str, name: str, tensor: _Tensor, storages: dict[str, NDArray[Any]], order: bytes
) -> NDArray[Any]:
    """Return a tensor's numbers, copied. CheckpointError if they are not all in its storage."""
    storage = tensor.storage
    dtype = np.dtype(_DTYPES[storage.kind]).newbyteorder("<" if order.strip() == b"little" else ">")
    if storage.key not in storages:
        content = archive.read(f"{folder}data/{storage.key}")
        if len(content) != storage.length * dtype.itemsize:
            raise CheckpointError(f"is damaged ({name} needs {storage.length} numbers, its storage has another size)")
        storages[storage.key] = np.frombuffer(content, np.uint8)
    numbers = storages[storage.key].view(dtype)
    count = math.prod(tensor.shape)
    last = tensor.offset + sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
    if count and (last >= numbers.size or count > max(numbers.size, 1)):
        raise CheckpointError(f"is damaged ({name}, shape {tensor.shape}, reaches beyond its storage)")
    strides = tuple(s * dtype.itemsize for s in tensor.strides)
    view = np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides) if count else None
    array = np.zeros(tensor.shape, dtype) if view is None else np.array(view, order="C")
    array = array.astype(dtype.newbyteorder("="))
    if storage.kind == "BFloat16Storage":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32) if storage.kind == "HalfStorage" else array


class _Machine:
    """An interpreter of the pickles that ``torch.save`` writes: data, and records for tensors."""

    def __init__(self, program: bytes) -> None:
        self._program = program
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return what the pickle describes. CheckpointError for an opcode or a function that is not allowed."""
        for opcode, argument, _ in pickletools.genops(self._program):
            name = opcode.name
            if name == "STOP":
                return self._stack.pop()
            if name in _PUSHED:
                self._stack.append(_PUSHED[name](argument))
            elif name in ("PROTO", "FRAME"):
                continue
            else:
                if name not in _STEPS:
                    raise CheckpointError(f"uses the pickle's {name}, which weights do not need: {_ADVICE}")
                getattr(self, f"_{name.lower()}")(argument)
        raise CheckpointError("is damaged (its pickle does not end)")

    def _items(self) -> list[Any]:
        """Take the values off the stack up to the last mark."""
        items: list[Any] = []
        while not isinstance(value := self._stack.pop(), _Mark):
            items.append(value)
        return items[::-1]

    def _global(self, argument: str) -> None:
        self._push_global(*argument.split(" ", 1))

    def _stack_global(self, _: None) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push_global(str(module), str(name))

    def _push_global(self, module: str, name: str) -> None:
        storage = module == "torch" and name in _DTYPES
        if not storage and (module, name) not in _GLOBALS:
            text = abbreviated(f"{module}.{name}").strip("'")
            raise CheckpointError(f"holds {text}, which would run code when it is loaded: {_ADVICE}")
        self._stack.append(_Global(module, name))

    def _binpersid(self, _: None) -> None:
        tag, kind, key, _device, count = self._stack.pop()
        if tag != "storage" or not isinstance(kind, _Global) or kind.name not in _DTYPES:
            raise CheckpointError(f"holds a storage of another kind: {_ADVICE}")
        if not isinstance(key, str) or type(count) is not int or count < 0:
            raise CheckpointError("is damaged (a storage has no name or count)")
        self._stack.append(_Storage(kind.name, key, count))

    def _reduce(self, _: None) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise CheckpointError("is damaged (something is called that is no function)")
        if function.name == "OrderedDict" and not arguments:
            self._stack.append({})
        elif function.name == "_rebuild_parameter" and arguments and isinstance(arguments[0], _Tensor):
            self._stack.append(arguments[0])
        elif function.name == "_rebuild_tensor_v2" and len(arguments) >= 4:
            self._stack.append(_tensor(*arguments[:4]))
        else:
            raise CheckpointError(f"calls {function.name} in another way than torch.save writes: {_ADVICE}")

    def _build(self, _: None) -> None:
        """The attributes of a state dict, such as its version: they are not needed."""
        self._stack.pop()
        if not isinstance(self._stack[-1], dict):
            raise CheckpointError(f"sets attributes of what is no state dict: {_ADVICE}")

    def _setitem(self, _: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._store([key, value])

    def _setitems(self, _: None) -> None:
        self._store(self._items())

    def _store(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if not isinstance(target, dict) or not all(isinstance(k, str | int) for k in items[::2]):
            raise CheckpointError("is damaged (an item of what is no dictionary, or under no name)")
        target.update(zip(items[::2], items[1::2], strict=True))

    def _append(self, _: None) -> None:
        value = self._stack.pop()
        self._extend([value])

    def _appends(self, _: None) -> None:
        self._extend(self._items())

    def _extend(self, items: list[Any]) -> None:
        if not isinstance(self._stack[-1], list):
            raise CheckpointError("is damaged (an item of what is no list)")
        self._stack[-1].extend(items)

    def _tuple(self, _: None) -> None:
        self._stack.append(tuple(self._items()))

    def _tuple1(self, _: None) -> None:
        self._stack[-1:] = [tuple(self._stack[-1:])]

    def _tuple2(self, _: None) -> None:
        self._stack[-2:] = [tuple(self._stack[-2:])]

    def _tuple3(self, _: None) -> None:
        self._stack[-3:] = [tuple(self._stack[-3:])]

    def _put(self, number: int) -> None:
        self._memo[number] = self._stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _: None) -> None:
        self._memo[len(self._memo)] = self._stack[-1]

    def _get(self, number: int) -> None:
        self._stack.append(self._memo[number])

    _binget = _long_binget = _get


_STEPS = frozenset(
    [
        *("GLOBAL", "STACK_GLOBAL", "BINPERSID", "REDUCE", "BUILD", "SETITEM", "SETITEMS", "APPEND", "APPENDS"),
        *(
            "TUPLE",
            "TUPLE1",
            "TUPLE2",
            "TUPLE3",
            "PUT",
            "BINPUT",
            "LONG_BINPUT",
            "MEMOIZE",
            "GET",
            "BINGET",
            "LONG_BINGET",
        ),
    ]
)
"""The opcodes for which the machine has a method."""
_PUSHED: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(
        ("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        lambda value: value,
    ),
    "MARK": lambda _: _Mark(),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
}
"""The opcodes that put a new value on the stack, by their argument."""


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    """Return the record of a tensor. CheckpointError unless it is one of a storage."""
    numbers = [offset, *shape, *strides] if isinstance(shape, tuple) and isinstance(strides, tuple) else [None]
    fits = isinstance(storage, _Storage) and all(type(n) is int and n >= 0 for n in numbers)
    if not fits or len(shape) != len(strides) or len(shape) > 64:
        raise CheckpointError("is damaged (a tensor has no storage, or a shape that is none)")
    return _Tensor(storage, offset, shape, strides)
