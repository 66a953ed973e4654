"""`to_torch`: a network as a `torch.nn.Module` whose MoE layers run each input through its chosen experts only.

The experts of a layer are stored as stacks of affine maps, (stored experts, out, in), those of lanes beside them as `up`; narrower
experts are padded with neurons that are 0, which changes no value. Rows are sent to their experts in one of three ways, chosen by how
many rows an expert gets (`ExpertStack.forward`); all three compute the same sums, in the order that `to_torch(sums=…)` names (`moe.sums`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InvalidArgument
from ..moe import Ledger, Model, Network
from ..moe.called import AS_STORED, Names, called
from ..moe.design import Design
from ..moe.gate_tree import by_tree
from ..moe.network import ROWS
from ..moe.opened import opened
from ..moe.sums import Sums, known
from .capture import recording, require_plain
from .precision import Conversion, Sample, reduced, warn
from .ridge import by_ridge
from .torch_layer import MoE, Record

BLOCK_ROWS = 1 << 16
"""Rows sent through all layers at a time, so that what passes between the layers stays small."""
SHOWN = 8
"""Inputs that are named where a module is printed."""
BLOCK_LOAD = 1 << 10
"""…but at least this many per expert, so that blocks do not turn long segments into short ones."""


class Routed(NamedTuple):
    """What `forward(x, return_routes=True)` returns."""

    y: Tensor
    """[..., outputs]."""
    routes: tuple[Tensor, ...]
    """Per layer, the gate output that won, [...] int64; of a layer that chooses K > 1, [..., K], best first."""
    logits: tuple[Tensor, ...]
    """Per layer, [..., E]; zeros [..., 1] of a dense one."""
    weights: tuple[Tensor, ...]
    """Per layer, what the outputs of the chosen experts were multiplied by, shaped like its routes."""


class AtlasMoE(nn.Module):
    """Stacked MoE layers R^D → R^out, as compiled; `inputs`, `outputs` name their channels, inputs by
    the coordinates of the task.

    Computes what the numpy `Network` computes, up to the rounding of sums taken in another order (so an argmax that is
    tied to rounding may fall the other way). Differentiable in x and in the weights through the chosen experts.

    x is rounded to the dtype of the first gate (of the first experts, if there is none), whatever its own: float64 inputs of a float32
    module are no error, and f is approximated at the rounded point. `.to(dtype)`, `.half()` and `.bfloat16()` leave gates, and experts
    that a later gate reads, in float32 at least, and warn once of what the other experts lose (`precision`). Under autocast gates run in
    their own dtype.
    """

    def __init__(
        self,
        network: Network,
        sums: Sums = Sums.PLAIN,
        sample: Sample | None = None,
        trees: bool = False,
        ridge: bool = False,
        called: Names = AS_STORED,
    ) -> None:
        super().__init__()
        last = max((n for n, layer in enumerate(network.layers) if len(layer) > 1), default=0)
        arriving = [network.inputs, *(layer.channels for layer in network.layers)]
        self.layers = nn.ModuleList(
            [
                MoE(layer, sums, guides=n < last, trees=trees, arriving=arriving[n], ridge=ridge, called=called)
                for n, layer in enumerate(network.layers)
            ]
        )
        self.sums, self.sample = sums, sample
        self.origin: tuple[Mapping[str, Any], Design, Ledger] | None = None
        """Facts, design and ledger of the model that it was made of, for `from_torch`."""
        self.inputs, self.outputs = called(network.inputs), network.outputs
        self.stored = network.inputs
        """What files call the inputs."""
        most = max(len(layer.experts) for layer in network.layers)
        self.carrying = any(layer.carries is not None for layer in network.layers)
        """Whether channels pass beside experts; then a state is kept channel by channel."""
        self.block_rows = ROWS if self.carrying else max(BLOCK_ROWS, BLOCK_LOAD * most)

    @property
    def stack(self) -> list[MoE]:
        """The layers, first to last."""
        return [cast(MoE, layer) for layer in self.layers]

    def extra_repr(self) -> str:
        return f"inputs={self.inputs if len(self.inputs) <= SHOWN else len(self.inputs)}, outputs={self.outputs}"

    def forward(self, x: Tensor, return_routes: bool = False) -> Tensor | Routed:
        """[..., D] to [..., out], in the dtype of the weights; or `Routed` with every layer's routes and logits."""
        if isinstance(x, (np.ndarray, list, tuple)):
            x = _as_tensor(x)
        if not isinstance(x, Tensor):
            raise InvalidArgument(f"the module reads a tensor of numbers, [..., {len(self.inputs)}], got {type(x).__name__}")
        traced = not torch.compiler.is_compiling() and torch._C._is_tracing()  # which would warn of the comparison
        if not traced and x.shape[-1:] != (len(self.inputs),):
            raise InvalidArgument(f"the network reads [..., {len(self.inputs)}], got {tuple(x.shape)}")
        x = x.to(self.stack[0].reading)
        batch, rows = x.shape[:-1], x.reshape(-1, x.shape[-1])
        if recording(rows) is not None:
            require_plain(self.sums)
        if return_routes:
            return self._traced(batch, rows)
        if recording(rows) is not None or not len(rows):
            y = self._block(rows)
        elif any(layer.observed(rows) for layer in self.stack):
            y = self._layer_by_layer(rows)  # every hook sees all rows at once
        else:
            y = torch.cat([self._block(part) for part in torch.split(rows, self.block_rows)])
        return y.reshape(*batch, len(self.outputs))

    def _apply(self, fn: Conversion, recurse: bool = True) -> AtlasMoE:
        before = self.dtype
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if reduced(self.dtype) and not reduced(before):
            self._warn()
        return self

    def _warn(self) -> None:
        """Measure what rounding did to the module."""
        if self.sample is None or self.stack[-1].experts.stages[0].weight.is_meta:
            return warn(self.dtype, None, None)
        with torch.no_grad():
            found = cast(
                Routed, self(torch.from_numpy(self.sample.points).to(self.stack[-1].experts.stages[0].weight.device), return_routes=True)
            )
        return warn(self.dtype, self.sample, self.sample.compared(found.y, found.routes))

    @property
    def dtype(self) -> torch.dtype:
        """Of the last layer's experts, and of the outputs."""
        return self.stack[-1].experts.dtype

    def _block(self, x: Tensor) -> Tensor:
        if not self.carrying:
            return self._layer_by_layer(x)
        state = list(x.unbind(1))
        for layer in self.stack:
            state = layer.advance(state)
        return torch.stack(state, 1).to(self.dtype)

    def _layer_by_layer(self, x: Tensor, record: Record | None = None) -> Tensor:
        for layer in self.stack:
            x = layer(x) if record is None else layer(x, record=record)
        return x.to(self.dtype)

    def _traced(self, batch: torch.Size, x: Tensor) -> Routed:
        record: Record = []
        y = self._layer_by_layer(x, record).reshape(*batch, len(self.outputs))
        shapes = [batch if layer.top_k == 1 else (*batch, layer.top_k) for layer in self.stack]
        routes = tuple(chosen.reshape(shape) for (chosen, _, _), shape in zip(record, shapes, strict=True))
        logits = tuple(scores.reshape(*batch, scores.shape[-1]) for _, scores, _ in record)
        weights = tuple(w.reshape(shape) for (_, _, w), shape in zip(record, shapes, strict=True))
        return Routed(y, routes, logits, weights)


def _as_tensor(x: object) -> Tensor:
    """What is no tensor but means one: an array or lists of numbers."""
    try:
        return torch.as_tensor(x)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidArgument(f"the module reads a tensor of numbers [..., D], got {type(x).__name__}: {error}") from None


def to_torch(model: Model | Network, *, sums: Sums | str = Sums.PLAIN, gates: str | None = None, experts: str = "dense") -> AtlasMoE:
    """The network as a `torch.nn.Module`, in its own dtype, on the CPU, with trainable parameters.

    `sums`: in which order sums of products are taken (`moe.sums`). "plain": as the library likes. "blocks": in blocks of 32, float32
    errs far less. "float64": in one fixed order, the last sum of every net in float64: equal bits for a row whatever the batch and the
    threads, those of numpy. A certificate bounds each, as claims `total.float32`, `total.float32.blocks` and `total.float32.float64`.

    `gates`: "flat", or "tree", affine gates in two levels (`moe.gate_tree`): the same routes, sooner where there are many experts. Nothing
    said, a model decides, by the `gate` that it was compiled with.

    `experts`: "dense", or "ridge": neurons that share a direction share its product (`ridge`), where no gradients are asked for. What is
    proved for plain sums holds; a route whose logits are tied to rounding may differ where a gate reads what such experts wrote. In-place
    changes of weights are seen, but those through `.data` are not: call `to_torch` again.

    Raises `InvalidArgument` if the experts of a layer differ in depth, or for another word.
    """
    order, ridge = known(sums), by_ridge(experts)
    if ridge and order is not Sums.PLAIN:
        raise InvalidArgument(f'experts="ridge" takes plain sums, and sums={str(order)!r} are in an order of their own; leave one of them')
    if not isinstance(model, Network):
        model = opened(model, "to_torch")
    if isinstance(model, Model):
        module = AtlasMoE(model.network, order, Sample.of(model.network, model.task), by_tree(gates or model.gates), ridge, called(model))
        module.origin = dict(model.facts), model.design, model.ledger
        return module
    return AtlasMoE(model, order, trees=by_tree(gates or "flat"), ridge=ridge)
