"""Containers: modules one after another, and modules in a list."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

from ..autograd.tensor import Tensor
from ..checks import abbreviated
from .module import Module


class Sequential(Module):
    """Modules (or plain functions of one tensor) applied one after another.

    >>> import tinygrad_cnn as tg
    >>> tg.nn.Sequential(tg.nn.Flatten(), tg.nn.Linear(4, 2))
    Sequential(
      (0): Flatten()
      (1): Linear(4, 2)
    )
    """

    def __init__(self, *layers: Callable[[Tensor], Tensor]) -> None:
        for k, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(f"Sequential: argument {k} must be a module or a function, got {abbreviated(layer)}")
            setattr(self, str(k), layer)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers in order."""
        for layer in self:
            x = layer(x)
        return x

    def parts(self) -> Iterator[tuple[str, Any]]:
        """Iterate over the layers, plain functions among them."""
        return ((name, layer) for name, layer in vars(self).items() if name.isdigit())

    def __iter__(self) -> Iterator[Callable[[Tensor], Tensor]]:
        return (layer for _, layer in self.parts())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int | slice) -> Any:
        layers = list(self)
        return Sequential(*layers[index]) if isinstance(index, slice) else layers[index]


class ModuleList(Module):
    """Modules in a list, to be called one by one in a ``forward`` of one's own.

    It has the methods of a list; parameters are found under the modules' indices, as in ``blocks.0.weight``.

    Args:
        modules: the first modules; none by default.

    >>> import tinygrad_cnn as tg
    >>> blocks = tg.nn.ModuleList(tg.nn.Linear(4, 4) for _ in range(2))
    >>> [name for name, _ in blocks.append(tg.nn.ReLU()).named_parameters()]
    ['0.weight', '0.bias', '1.weight', '1.bias']
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self._set(modules or ())

    def forward(self, *args: Any) -> Any:
        """Raise TypeError: a list of modules computes nothing by itself."""
        raise TypeError("ModuleList: call its modules one by one, or use Sequential")

    def append(self, module: Module) -> Self:
        """Add a module at the end."""
        return self._set([*self, module])

    def extend(self, modules: Iterable[Module]) -> Self:
        """Add modules at the end."""
        return self._set([*self, *modules])

    def insert(self, index: int, module: Module) -> None:
        """Add a module before ``index``."""
        modules = list(self)
        modules.insert(index, module)
        self._set(modules)

    def pop(self, index: int = -1) -> Module:
        """Remove the module at ``index`` and return it."""
        modules = list(self)
        module = modules.pop(index)
        self._set(modules)
        return module

    def _set(self, modules: Iterable[Module]) -> Self:
        """Make these the modules, under their indices."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"ModuleList: modules must be a collection of modules, got {abbreviated(modules)}")
        modules = list(modules)
        for k, module in enumerate(modules):
            if not isinstance(module, Module):
                raise TypeError(f"ModuleList: item {k} must be a Module, got {abbreviated(module)}")
        for name in [name for name in vars(self) if name.isdigit()]:
            delattr(self, name)
        for k, module in enumerate(modules):
            setattr(self, str(k), module)
        return self

    def __iter__(self) -> Iterator[Module]:
        return (module for name, module in vars(self).items() if name.isdigit())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __getitem__(self, index: int | slice) -> Any:
        modules = list(self)
        return ModuleList(modules[index]) if isinstance(index, slice) else modules[index]

    def __setitem__(self, index: int, module: Module) -> None:
        modules = list(self)
        modules[index] = module
        self._set(modules)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        del modules[index]
        self._set(modules)

    def __add__(self, other: Iterable[Module]) -> "ModuleList":
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> Self:
        return self.extend(other)
