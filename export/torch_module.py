"""`to_torch`: a compiled network as a `torch.nn.Module` whose MoE layers run each input through one expert only.

The experts of a layer are stored as stacks of affine maps, (stored experts, out, in); narrower experts are padded with
zero neurons, which changes no value. Rows are sent to their experts in one of three ways, chosen by how many rows an
expert gets (`ExpertStack.forward`); all three compute the same sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InvalidArgument
from ..moe import Affine, Model, MoELayer, Network, ReLUNet
from .dispatch import Maps, choose_dispatch

ROUTER_NUMBERS = 1 << 18
"""Logits computed at a time when only the winner is wanted, so that they never leave the cache."""
BLOCK_ROWS = 1 << 16
"""Rows sent through all layers at a time, so that what passes between the layers stays small."""
BLOCK_LOAD = 1 << 10
"""…but at least this many per expert, so that blocks do not turn long segments into short ones."""


class Routed(NamedTuple):
    """What `forward(x, return_routes=True)` returns."""

    y: Tensor
    """[..., outputs]."""
    routes: tuple[Tensor, ...]
    """Per layer, the gate output that won, [...] int64."""
    logits: tuple[Tensor, ...]
    """Per layer, [..., E]."""


def winner(logits: Tensor) -> Tensor:
    """The first index of the largest logit, [N, E] to [N]: what `argmax` gives, for about half its time on a CPU."""
    return logits.max(-1).indices


class StackedAffine(nn.Module):
    """x ↦ W_k·x + b_k for k in a stack of experts: `weight` (experts, out, in), `bias` (experts, out)."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, affines: Sequence[Affine], rows: int, columns: int) -> None:
        super().__init__()
        dtype = affines[0].weight.dtype
        weight, bias = np.zeros((len(affines), rows, columns), dtype), np.zeros((len(affines), rows), dtype)
        for k, affine in enumerate(affines):
            out, inputs = affine.weight.shape
            weight[k, :out, :inputs], bias[k, :out] = affine.weight, affine.bias
        self.weight = nn.Parameter(torch.from_numpy(weight))
        self.bias = nn.Parameter(torch.from_numpy(bias))

    def extra_repr(self) -> str:
        return "experts={}, out={}, in={}".format(*self.weight.shape)


class ExpertStack(nn.ModuleList):
    """Expert nets of equal depth: affine maps with ReLU between them, one stack per depth."""

    def __init__(self, experts: Sequence[ReLUNet]) -> None:
        depths = {len(net.affines) for net in experts}
        if len(depths) != 1:
            raise InvalidArgument(f"the experts of one layer must have equally many affine maps to be stacked, got {sorted(depths)}")
        stacks, columns = [], experts[0].affines[0].weight.shape[1]
        for affines in zip(*(net.affines for net in experts), strict=True):
            rows = max(affine.weight.shape[0] for affine in affines)
            stacks.append(StackedAffine(affines, rows, columns))
            columns = rows
        super().__init__(stacks)

    @property
    def stored(self) -> int:
        """How many experts are stored."""
        return int(self.maps[0][1].shape[0])

    @property
    def maps(self) -> Maps:
        """(weight, bias) of every affine map, innermost first."""
        return [(affine.weight, affine.bias) for affine in cast(Iterator[StackedAffine], iter(self))]

    def forward(self, x: Tensor, expert: Tensor | None) -> Tensor:
        """[N, in] and the stored expert of every row, [N] or None if there is only one, to [N, out]."""
        return choose_dispatch(self.maps, len(x), expert)(self.maps, x, expert)


class TopOneMoE(nn.Module):
    """y = f^(i)(x[reads]), i = argmax of router(x); the first index wins a tie.

    `serves[i]` is the stored expert behind gate output i: experts that are equal are stored once.
    """

    router: nn.Linear
    experts: ExpertStack
    serves: Tensor
    reads: Tensor | None

    def __init__(self, layer: MoELayer) -> None:
        super().__init__()
        gates, inputs = layer.affine_gate.weight.shape
        weight, bias = torch.tensor(layer.affine_gate.weight), torch.tensor(layer.affine_gate.bias)
        self.router = nn.Linear(inputs, gates, dtype=weight.dtype)
        self.router.load_state_dict({"weight": weight, "bias": bias})
        self.experts = ExpertStack(layer.experts)
        self.register_buffer("serves", torch.tensor(layer.serves, dtype=torch.int64))
        self.register_buffer("reads", None if layer.reads is None else torch.tensor(layer.reads, dtype=torch.int64))
        self.names, self.channels = layer.names, layer.channels

    def extra_repr(self) -> str:
        return f"E={len(self.names)}"

    def route(self, x: Tensor) -> Tensor:
        """The winning gate output of every row, [N, in] to [N] int64."""
        if not len(x):
            return winner(self.router(x))
        return torch.cat([winner(self.router(part)) for part in torch.split(x, max(1, ROUTER_NUMBERS // len(self.names)))])

    def forward(self, x: Tensor, route: Tensor | None = None) -> Tensor:
        """[N, in] to [N, out]; `route` [N] overrides the router."""
        expert = None
        if self.experts.stored > 1:
            with torch.no_grad():
                expert = self.serves[self.route(x) if route is None else route]
        return self.experts(x if self.reads is None else x[:, self.reads], expert)


class AtlasMoE(nn.Module):
    """Stacked top-1 MoE layers R^D → R^out, as compiled; `inputs`, `outputs` name their channels.

    Computes what the numpy `Network` computes, up to the rounding of sums taken in another order (so an argmax that is
    tied to rounding may fall the other way). Differentiable in x and in the weights through the chosen experts.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.layers = nn.ModuleList([TopOneMoE(layer) for layer in network.layers])
        self.inputs, self.outputs = network.inputs, network.outputs
        most = max(len(layer.experts) for layer in network.layers)
        self.block_rows = max(BLOCK_ROWS, BLOCK_LOAD * most)

    @property
    def stack(self) -> list[TopOneMoE]:
        """The layers, first to last."""
        return [cast(TopOneMoE, layer) for layer in self.layers]

    def extra_repr(self) -> str:
        return f"inputs={len(self.inputs)}, outputs={self.outputs}"

    def forward(self, x: Tensor, return_routes: bool = False) -> Tensor | Routed:
        """[..., D] to [..., out], in the dtype of the weights; or `Routed` with every layer's routes and logits."""
        if x.shape[-1:] != (len(self.inputs),):
            raise InvalidArgument(f"the network reads [..., {len(self.inputs)}], got {tuple(x.shape)}")
        x = x.to(self.stack[0].router.weight.dtype)
        batch, rows = x.shape[:-1], x.reshape(-1, x.shape[-1])
        if return_routes:
            return self._traced(batch, rows)
        y = torch.cat([self._block(part) for part in torch.split(rows, self.block_rows)]) if len(rows) else self._block(rows)
        return y.reshape(*batch, len(self.outputs))

    def _block(self, x: Tensor) -> Tensor:
        for layer in self.stack:
            x = layer(x)
        return x

    def _traced(self, batch: torch.Size, x: Tensor) -> Routed:
        routes, logits = [], []
        for layer in self.stack:
            scores = layer.router(x)
            route = winner(scores)
            x = layer(x, route)
            routes.append(route.reshape(batch))
            logits.append(scores.reshape(*batch, len(layer.names)))
        return Routed(x.reshape(*batch, len(self.outputs)), tuple(routes), tuple(logits))


def to_torch(model: Model | Network) -> AtlasMoE:
    """The network as a `torch.nn.Module`, in its own dtype, on the CPU, with trainable parameters.

    Raises `InvalidArgument` if the experts of a layer differ in depth.
    """
    return AtlasMoE(model.network if isinstance(model, Model) else model)
