"""Hooks on the parts of a module: while somebody watches one, rows pass through modules, and otherwise through `dispatch`.

The fast ways of sending rows to experts call no modules, so that hooks of PyTorch would stay silent on them. So every part knows the
`Watch` of its layer, which hears of hooks as they are registered. While one is there (or a global one), gate, encoder, experts and what
is between their maps are called as modules, each expert once, on its own rows. Values are then those that they are otherwise, up to the
order of sums.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.utils.hooks import RemovableHandle

from ..errors import InvalidArgument
from ..moe import NeuronGroup

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
"""Where PyTorch keeps a module's hooks."""


class Watch:
    """The parts of one layer that were ever given a hook."""

    def __init__(self) -> None:
        self.parts: list[nn.Module] = []

    @property
    def hooked(self) -> bool:
        """Whether one of them has one still."""
        if self.parts:
            self.parts = [part for part in self.parts if any(getattr(part, hooks) for hooks in HOOKS)]
        return bool(self.parts)

    @property
    def active(self) -> bool:
        """Whether modules have to be called."""
        return self.hooked or bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]

    def require_none(self) -> None:
        """Raises `InvalidArgument` if a graph is to be recorded that would leave hooks out."""
        if self.hooked:
            raise InvalidArgument(
                f"a graph holds no hooks inside layers, and {type(self.parts[0]).__name__} has one: remove it (handle.remove()) before "
                "the module is recorded"
            )


class Watched(nn.Module):
    """A module that tells its layer's watch of hooks."""

    watch: Watch

    def register_forward_hook(self, *args: Any, **options: Any) -> RemovableHandle:
        return self._told(super().register_forward_hook(*args, **options))

    def register_forward_pre_hook(self, *args: Any, **options: Any) -> RemovableHandle:
        return self._told(super().register_forward_pre_hook(*args, **options))

    def register_full_backward_hook(self, *args: Any, **options: Any) -> RemovableHandle:
        return self._told(super().register_full_backward_hook(*args, **options))

    def register_full_backward_pre_hook(self, *args: Any, **options: Any) -> RemovableHandle:
        return self._told(super().register_full_backward_pre_hook(*args, **options))

    def _told(self, handle: RemovableHandle) -> RemovableHandle:
        if not any(part is self for part in self.watch.parts):
            self.watch.parts.append(self)
        return handle


class Probe(Watched):
    """A place between two operations: what passes here may be read and replaced by a forward hook, [rows, names]."""

    def __init__(self, groups: tuple[NeuronGroup, ...] = (), names: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.groups, self._names = groups, names

    @property
    def names(self) -> tuple[str, ...]:
        """What the columns are called: neurons `group[k]`, as in the ledger and in `explain`, or gate outputs."""
        return self._names or tuple(f"{group.name}[{k}]" for group in self.groups for k in range(group.count))

    def forward(self, values: Tensor) -> Tensor:
        return values

    def extra_repr(self) -> str:
        return ", ".join(f"{group.name} × {group.count}" for group in self.groups)


def watch_over(parts: nn.Module) -> Watch:
    """One watch for a module and all parts of it."""
    watch = Watch()
    for part in parts.modules():
        if isinstance(part, Watched):
            part.watch = watch
    return watch
