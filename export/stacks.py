"""The weights of nets as modules: experts of one layer in stacks, gates and shared experts one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import InvalidArgument
from ..moe import Affine, Net
from ..moe.sums import Sums
from .capture import recording
from .dispatch import Stages, choose_dispatch
from .stages import Bend, Stage, arranged, bend_of, through
from .sums import affine

Places = list[NDArray[np.intp]]


class StackedAffine(nn.Module):
    """x ↦ W_k·x + b_k for k in a stack of experts: `weight` (experts, out, in), `bias` (experts, out); of lanes, `up` is another one."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, affines: Sequence[Affine], rows: Places, columns: Places, size: tuple[int, int], bend: Bend = ()) -> None:
        """Entry (i, j) of expert k's map goes to (rows[k][i], columns[k][j]) of a matrix of this size."""
        super().__init__()
        dtype = affines[0].weight.dtype
        weight, bias = np.zeros((len(affines), *size), dtype), np.zeros((len(affines), size[0]), dtype)
        for k, (map_, row, column) in enumerate(zip(affines, rows, columns, strict=True)):
            weight[k][np.ix_(row, column)], bias[k, row] = map_.weight, map_.bias
        self.weight = nn.Parameter(torch.from_numpy(weight))
        self.bias = nn.Parameter(torch.from_numpy(bias))
        self.bend = bend
        self.up: StackedAffine | None = None

    @property
    def stage(self) -> Stage:
        """Its weights and biases, and what is done with them."""
        return Stage(self.weight, self.bias, self.bend, None if self.up is None else (self.up.weight, self.up.bias))

    def extra_repr(self) -> str:
        names = "".join(f", {name}" for name in dict.fromkeys(name for _, name in self.bend))
        return "experts={}, out={}, in={}".format(*self.weight.shape) + names


class ExpertStack(nn.ModuleList):
    """Expert nets of equal depth: affine maps with activations between them, one stack per depth, and lanes where layers have some."""

    def __init__(self, experts: Sequence[Net]) -> None:
        depths = {len(net.affines) for net in experts}
        if len(depths) != 1:
            raise InvalidArgument(f"the experts of one layer must have equally many affine maps to be stacked, got {sorted(depths)}")
        super().__init__()
        columns: Places = [np.arange(net.inputs) for net in experts]
        width = experts[0].inputs
        for j in range(depths.pop()):
            affines = [net.affines[j] for net in experts]
            last = j == len(experts[0].affines) - 1
            bend, rows = ((), [np.arange(net.outputs) for net in experts]) if last else arranged([bend_of(net, j) for net in experts])
            size = (experts[0].outputs if last else bend[-1][0].stop, width)
            stacked = StackedAffine(affines, rows, columns, size, bend)
            if not last and any(net.ups[j] is not None for net in experts):
                stacked.up = StackedAffine([_up(net, j) for net in experts], rows, columns, size)
            self.append(stacked)
            columns, width = rows, size[0]

    @property
    def stored(self) -> int:
        """How many experts are stored."""
        return int(self.stages[0].weight.shape[0])

    @property
    def stages(self) -> Stages:
        """Innermost first."""
        return [stacked.stage for stacked in cast(Iterator[StackedAffine], iter(self))]

    @property
    def dtype(self) -> torch.dtype:
        return self.stages[0].weight.dtype

    def forward(self, x: Tensor, expert: Tensor | None, sums: Sums = Sums.PLAIN) -> Tensor:
        """[N, in] and the stored expert of every row, [N] or None if there is only one, to [N, out]."""
        stages = self.stages
        if (recorded := recording(x)) is not None:
            return recorded(stages, x.to(self.dtype), expert, sums)
        return choose_dispatch(stages, len(x), expert, sums)(stages, x.to(self.dtype), expert, sums)


def _up(net: Net, layer: int) -> Affine:
    """The map of a hidden layer that multiplies; 1 of plain neurons."""
    up = net.ups[layer]
    if up is not None:
        return up
    weight = net.affines[layer].weight
    return Affine(np.zeros_like(weight), np.ones(len(weight), weight.dtype))


class SingleNet(nn.Sequential):
    """A gate with hidden layers, or a shared expert: linear maps, activations between them, and a second linear map in layers of lanes."""

    def __init__(self, net: Net) -> None:
        modules: list[nn.Module] = []
        for j, map_ in enumerate(net.affines):
            modules.append(_linear(map_))
            if j < len(net.affines) - 1:
                up = net.ups[j]
                modules.append(Hidden(bend_of(net, j), None if up is None else _linear(up)))
        super().__init__(*modules)

    @property
    def stages(self) -> Stages:
        """As dispatch has them."""
        linear, hidden = cast(list[nn.Linear], list(self)[::2]), cast(list[Hidden], list(self)[1::2])
        return [
            *(Stage(map_.weight, _bias(map_), part.bend, part.maps) for map_, part in zip(linear, hidden, strict=False)),
            Stage(linear[-1].weight, _bias(linear[-1])),
        ]

    def forward(self, x: Tensor) -> Tensor:
        return through(self.stages, x, Sums.PLAIN)


class Hidden(nn.Module):
    """What a hidden layer makes of the map before it: activations, and lanes' other factor."""

    def __init__(self, bend: Bend, up: nn.Linear | None) -> None:
        super().__init__()
        self.bend, self.up = bend, up

    @property
    def maps(self) -> tuple[Tensor, Tensor] | None:
        return None if self.up is None else (self.up.weight, _bias(self.up))

    def extra_repr(self) -> str:
        return ", ".join(dict.fromkeys(name for _, name in self.bend))


def _linear(affine: Affine) -> nn.Linear:
    weight, bias = torch.tensor(affine.weight), torch.tensor(affine.bias)
    linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype, bias=not affine.linear)
    linear.load_state_dict({"weight": weight} if affine.linear else {"weight": weight, "bias": bias})
    return linear


def as_module(net: Net) -> nn.Linear | SingleNet:
    """A gate or a shared expert: an `nn.Linear` if it has no hidden layer."""
    return _linear(net.affine) if len(net.affines) == 1 else SingleNet(net)


def stages_of(module: nn.Linear | SingleNet) -> Stages:
    """As dispatch has them."""
    return [Stage(module.weight, _bias(module))] if isinstance(module, nn.Linear) else module.stages


def encoded(module: nn.Linear | SingleNet, x: Tensor, sums: Sums) -> Tensor:
    """What experts read behind an encoder, [N, in] to [N, latent]: a map with others behind it."""
    assert isinstance(module, nn.Linear)
    return affine(x, module.weight, _bias(module), sums, last=False)


def _bias(linear: nn.Linear) -> Tensor:
    return linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias
