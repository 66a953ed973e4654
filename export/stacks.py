"""The weights of nets as modules: experts of one layer in stacks, gates and shared experts one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InvalidArgument
from ..moe import Affine, Net, NeuronGroup
from ..moe.sums import Sums
from .capture import recording
from .dispatch import Stages, choose_dispatch
from .quick import Held, Slices, no_gradients, quick
from .stacked import Places, StackedAffine
from .stages import Bend, Stage, arranged, bend_of
from .sums import affine
from .views import Each
from .watched import Probe, Watched


class ExpertStack(Watched, nn.ModuleList):
    """Expert nets of equal depth: affine maps with activations between them, one stack per depth, and lanes where layers have some."""

    def __init__(self, experts: Sequence[Net], order: Sums = Sums.PLAIN, ridge: bool = False) -> None:
        depths = {len(net.affines) for net in experts}
        if len(depths) != 1:
            raise InvalidArgument(f"the experts of one layer must have equally many affine maps to be stacked, got {sorted(depths)}")
        super().__init__()
        self.order, self.slices = order, Slices(ridge)
        self.places: list[Places] = []
        """Per hidden layer and expert, where in the stack its neurons are."""
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
            stacked.last = last
            for part in (stacked, *(() if stacked.up is None else (stacked.up,))):
                part.order = order
            self.append(stacked)
            if not last:
                self.places.append(rows)
            columns, width = rows, size[0]

    @property
    def stored(self) -> int:
        """How many experts are stored."""
        return int(self.stages[0].weight.shape[0])

    @property
    def maps(self) -> list[StackedAffine]:
        """Innermost first."""
        return list(cast(Iterator[StackedAffine], iter(self)))

    @property
    def stages(self) -> Stages:
        """As dispatch has them."""
        if torch.compiler.is_compiling():
            return [stacked.stage for stacked in self.maps]
        return self._kept().stages

    def _kept(self) -> Slices:
        """What was made of the weights, if they are what they were, and otherwise anew."""
        kept = self.slices
        return kept if kept.current else kept.of([stacked.stage for stacked in self.maps], self._held())

    def _held(self) -> list[Held]:
        """All parts that stages are made of; none where one of them is computed anew whenever it is asked for."""
        stacked = [(one._modules, name, part) for one in (self, *self.maps) for name, part in one._modules.items()]
        maps = [part for _, _, part in stacked]
        if any("weight" not in part._parameters or "bias" not in part._parameters for part in maps if isinstance(part, StackedAffine)):
            return []
        return [*stacked, *((part._parameters, name, one) for part in maps if part is not None for name, one in part._parameters.items())]

    @property
    def dtype(self) -> torch.dtype:
        return self.stages[0].weight.dtype

    def forward(self, x: Tensor, expert: Tensor | None, each: Each | None = None) -> Tensor:
        """[N, in] and the stored expert of every row, [N] or None if there is only one, to [N, out]. Or `each` expert as a module, called
        with its rows; `expert` then holds gate outputs.
        """
        recorded = recording(x)
        if recorded is None:
            kept = self._kept()
            stages = kept.stages
        else:
            stages = [stacked.stage for stacked in self.maps]
        if x.dtype is not stages[0].weight.dtype:
            x = x.to(stages[0].weight.dtype)
        if each is not None and expert is not None:
            return self._one_by_one(x, expert, each)
        if recorded is not None:
            return recorded(stages, x, expert, self.order)
        if self.order is Sums.PLAIN and no_gradients(stages, x):
            return quick(kept, stages, x, expert)
        return choose_dispatch(stages, len(x), expert, self.order)(stages, x, expert, self.order)

    def _one_by_one(self, x: Tensor, chosen: Tensor, each: Each) -> Tensor:
        order = chosen.argsort(stable=True)
        parts = torch.split(x[order], chosen.bincount(minlength=len(each)).tolist())
        y = torch.cat([x.new_zeros(0, self.stages[-1].bias.shape[1]), *(each[k](part) for k, part in enumerate(parts) if len(part))])
        return torch.empty_like(y).index_copy(0, order, y)


def _up(net: Net, layer: int) -> Affine:
    """The map of a hidden layer that multiplies; 1 of plain neurons."""
    up = net.ups[layer]
    if up is not None:
        return up
    weight = net.affines[layer].weight
    return Affine(np.zeros_like(weight), np.ones(len(weight), weight.dtype))


class SingleNet(Watched, nn.Sequential):
    """A gate with hidden layers, or a shared expert: linear maps, activations between them, and a second linear map in layers of lanes."""

    def __init__(self, net: Net, order: Sums) -> None:
        modules: list[nn.Module] = []
        for j, map_ in enumerate(net.affines):
            last = j == len(net.affines) - 1
            modules.append(_linear(map_, order, last))
            if not last:
                up = net.ups[j]
                up_module = None if up is None else _linear(up, order, last=False)
                modules.append(Hidden(bend_of(net, j), up_module, net.groups[j], order))
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
        *inner, last = list(self)
        for linear, hidden in zip(inner[::2], inner[1::2], strict=True):
            x = hidden(linear(x), x)
        out: Tensor = last(x)
        return out


class Hidden(Probe):
    """What a hidden layer makes of the map before it: activations, and lanes' other factor."""

    def __init__(self, bend: Bend, up: Linear | None, groups: tuple[NeuronGroup, ...], order: Sums) -> None:
        super().__init__(groups)
        self.bend, self.up, self.order = bend, up, order

    @property
    def maps(self) -> tuple[Tensor, Tensor] | None:
        return None if self.up is None else (self.up.weight, _bias(self.up))

    def forward(self, z: Tensor, x: Tensor | None = None) -> Tensor:
        """Of pre-activations z and, in layers of lanes, of what they were made of."""
        up = None if self.up is None or x is None else self.up(x)
        return Stage(z, z, self.bend).shaped(z.clone(), up, self.order is Sums.FLOAT64)

    def extra_repr(self) -> str:
        return ", ".join(dict.fromkeys(name for _, name in self.bend))


class Linear(Watched, nn.Linear):
    """An affine map whose sums are taken in an order; `last` of its net or not."""

    order, last = Sums.PLAIN, True

    def forward(self, input: Tensor) -> Tensor:
        return affine(input, self.weight, _bias(self), self.order, self.last)


def _linear(map_: Affine, order: Sums, last: bool) -> Linear:
    weight, bias = torch.tensor(map_.weight), torch.tensor(map_.bias)
    linear = Linear(weight.shape[1], weight.shape[0], dtype=weight.dtype, bias=not map_.linear)
    linear.load_state_dict({"weight": weight} if map_.linear else {"weight": weight, "bias": bias})
    linear.order, linear.last = order, last
    return linear


def as_module(net: Net, order: Sums = Sums.PLAIN, last: bool = True) -> Linear | SingleNet:
    """A gate or a shared expert: an `nn.Linear` if it has no hidden layer. `last`: no map comes behind it."""
    return _linear(net.affine, order, last) if len(net.affines) == 1 else SingleNet(net, order)


def stages_of(module: nn.Linear | SingleNet) -> Stages:
    """As dispatch has them."""
    return [Stage(module.weight, _bias(module))] if isinstance(module, nn.Linear) else module.stages


def _bias(linear: nn.Linear) -> Tensor:
    return linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias
