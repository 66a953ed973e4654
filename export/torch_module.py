"""`to_torch`: a network as a `torch.nn.Module` whose MoE layers run each input through its chosen experts only.

The experts of a layer are stored as stacks of affine maps, (stored experts, out, in), those of lanes beside them as `up`; narrower
experts are padded with neurons that are 0, which changes no value. Rows are sent to their experts in one of three ways, chosen by how
many rows an expert gets (`ExpertStack.forward`); all three compute the same sums, in the order that `to_torch(sums=…)` names (`moe.sums`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InvalidArgument
from ..moe import Model, MoELayer, Network
from ..moe.gate_tree import by_tree
from ..moe.layer import Indices, Weighting
from ..moe.network import ROWS
from ..moe.sums import Sums, known
from .capture import recording, require_plain
from .gate_tree import TorchTree
from .precision import Conversion, Sample, as_stored, at_least_single, reduced, warn
from .stacks import ExpertStack, as_module, encoded, stages_of
from .stages import through

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
    """Per layer, the gate output that won, [...] int64; of a layer that chooses K > 1, [..., K], best first."""
    logits: tuple[Tensor, ...]
    """Per layer, [..., E]; zeros [..., 1] of a dense one."""
    weights: tuple[Tensor, ...]
    """Per layer, what the outputs of the chosen experts were multiplied by, shaped like its routes."""


def winner(logits: Tensor) -> Tensor:
    """The first index of the largest logit, [N, E] to [N]: what `argmax` gives, for about half its time on a CPU."""
    return logits.max(-1).indices


def _placement(layer: MoELayer) -> dict[str, Indices | None]:
    """`origins` and `sums` of a layer; None where what is written is all that leaves, and where nothing is added."""
    sources, targets = layer.sources, layer.targets
    if np.array_equal(targets, np.arange(len(sources))) and (sources < 0).all():
        return {"origins": None, "sums": None}
    origins = len(targets) + 1 + sources  # a zero where nothing arrives
    origins[targets] = np.arange(len(targets))
    both = targets[sources[targets] >= 0]
    return {"origins": origins, "sums": np.stack([both, sources[both]]) if len(both) else None}


def _rows(state: Sequence[Tensor], which: Sequence[int] | None) -> Tensor:
    """Some channels of a state, [N, channels]."""
    return torch.stack([*state] if which is None else [state[k] for k in which], 1)


class MoE(nn.Module):
    """h ← carry(h) + scatter(Σ_k w_k · f^(k)(P·h[reads]) + shared(h[reads])), the K experts k with the largest logits; ties go to the
    first.

    `serves[i]` is the stored expert behind gate output i: experts that are equal are stored once. Carried channels pass no expert.
    """

    serves: Tensor
    reads: Tensor | None
    sees: Tensor | None
    origins: Tensor | None
    """Where every channel that leaves is found among what is written, a zero, and what arrives."""
    sums: Tensor | None
    """(2, n): channels that are written and carried, and what is carried there."""

    def __init__(self, layer: MoELayer, order: Sums = Sums.PLAIN, guides: bool = False, trees: bool = False) -> None:
        """`order`: of its sums. `guides`: a later gate reads what the experts write, so they keep at least float32, as gates do.
        `trees`: an affine gate that picks one of several is evaluated in two levels."""
        super().__init__()
        self.order, self.guides = order, guides
        self.router = None if layer.gate is None else as_module(layer.gate)
        self.shared = None if layer.shared is None else as_module(layer.shared)
        self.latent = None if layer.latent is None else as_module(layer.latent.net)
        self.experts = ExpertStack(layer.experts)
        self.tree = TorchTree(self.router) if trees and isinstance(self.router, nn.Linear) and layer.tree is not None else None
        self.top_k, self.weighting = layer.top_k, layer.weighting
        self.unit = layer.unit
        self.names, self.channels = layer.names, layer.channels
        self.places = {"reads": layer.reads, "sees": layer.sees, "sources": layer.sources.tolist(), "targets": layer.targets.tolist()}
        for name, numbers in {"serves": layer.serves, "reads": layer.reads, "sees": layer.sees, **_placement(layer)}.items():
            self.register_buffer(name, None if numbers is None else torch.tensor(numbers, dtype=torch.int64))

    def extra_repr(self) -> str:
        return f"E={len(self.names)}" + ("" if self.unit else f", K={self.top_k}, weights {self.weighting}")

    def _apply(self, fn: Conversion, recurse: bool = True) -> MoE:
        """Conversions of dtype and device: gates, and experts that guide them, go no lower than float32."""
        super()._apply(fn, recurse=False)  # type: ignore[no-untyped-call]
        for child in self.children() if recurse else ():
            child._apply(at_least_single(fn) if child is self.router or self.guides else fn)  # type: ignore[no-untyped-call]
        return self

    @property
    def reading(self) -> torch.dtype:
        """The dtype in which states arrive."""
        return self.experts.dtype if self.router is None else next(self.router.parameters()).dtype

    def logits(self, x: Tensor) -> Tensor:
        """[N, in] to [N, E]; zeros of a dense layer."""
        return self._scores(x if self.sees is None else x.index_select(1, self.sees))

    def _scores(self, x: Tensor) -> Tensor:
        """Of the channels that the router sees."""
        if self.router is None:
            return x.new_zeros(x.shape[0], 1)
        with as_stored(x):
            return through(stages_of(self.router), x, self.order)

    def choose(self, logits: Tensor) -> Tensor:
        """The K gate outputs with the largest logits, best first, of equal ones the first: [N, E] to [N, K] int64."""
        if self.top_k == 1:
            return winner(logits)[:, None]
        return logits.sort(stable=True, descending=True).indices[:, : self.top_k]

    def weights(self, chosen: Tensor, logits: Tensor) -> Tensor:
        """w of the chosen experts, [N, K]."""
        scores = logits.gather(-1, chosen)
        match self.weighting:
            case Weighting.RECTIFIED:
                return scores.relu()
            case Weighting.UNIFORM:
                return torch.full_like(scores, 1 / self.top_k)
            case Weighting.SOFTMAX:
                return scores.softmax(-1)

    def route(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """The chosen gate outputs of every row and their weights, [N, K] each; no weights where the weight is 1."""
        return self._route(x if self.sees is None else x.index_select(1, self.sees))

    def _route(self, seen: Tensor) -> tuple[Tensor, Tensor | None]:
        if recording(seen) is not None:
            logits = self._scores(seen)
            chosen = self.choose(logits)
            return chosen, None if self.unit else self.weights(chosen, logits)
        if self.tree is not None:
            return self.tree.choose(seen, self._scores, max(1, ROUTER_NUMBERS // len(self.names)), self.order)[:, None], None
        parts, weights = [], []
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.unit):
            for part in torch.split(seen, max(1, ROUTER_NUMBERS // len(self.names))):
                logits = self._scores(part)
                parts.append(self.choose(logits))
                if not self.unit:
                    weights.append(self.weights(parts[-1], logits))
        return torch.cat(parts), torch.cat(weights) if weights else None

    def forward(self, x: Tensor, chosen: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
        """[N, in] to [N, out]; `chosen` and `weights`, [N, K] each, override the router together."""
        with as_stored(x, self.guides):
            return self._forward(x, chosen, weights)

    def _forward(self, x: Tensor, chosen: Tensor | None, weights: Tensor | None) -> Tensor:
        if chosen is None and self.chooses:
            chosen, weights = self.route(x)
        y = self._written(x if self.reads is None else x.index_select(1, self.reads), chosen, weights)
        return y if self.origins is None else self._placed(x, y, self.origins)

    def advance(self, state: Sequence[Tensor]) -> list[Tensor]:
        """`forward` of a state channel by channel, [N] each: what is carried is not even copied."""
        with as_stored(state[0], self.guides):
            chosen, weights = self._route(_rows(state, self.places["sees"])) if self.chooses else (None, None)
            y = self._written(_rows(state, self.places["reads"]), chosen, weights)
        y = y.to(torch.promote_types(y.dtype, state[0].dtype))
        out = [state[source] if source >= 0 else y.new_zeros(y.shape[0]) for source in self.places["sources"] or ()]
        for target, column in zip(self.places["targets"] or (), y.unbind(1), strict=True):
            out[target] = out[target] + column if (self.places["sources"] or ())[target] >= 0 else column
        return out

    @property
    def chooses(self) -> bool:
        """Whether what leaves depends on the gate."""
        return self.experts.stored > 1 or not self.unit

    def _written(self, inputs: Tensor, chosen: Tensor | None, weights: Tensor | None) -> Tensor:
        """What the chosen experts and the shared one make of what they read, [N, writes]."""
        expert = None if chosen is None or self.experts.stored == 1 else self.serves[chosen].flatten()
        low = inputs if self.latent is None else encoded(self.latent, inputs.to(self.experts.dtype), self.order)
        if weights is None or self.unit:
            y = self.experts(low, expert, self.order)
        else:
            parts = self.experts(low.repeat_interleave(self.top_k, 0), expert, self.order)
            y = self._weighed(weights.to(parts.dtype), parts.view(-1, self.top_k, parts.shape[-1]))
        return y if self.shared is None else y + through(stages_of(self.shared), inputs.to(y.dtype), self.order)

    def _weighed(self, weights: Tensor, parts: Tensor) -> Tensor:
        """Σ_k w_k·y_k for weights [N, K] and outputs [N, K, out]; one after the other where the order is fixed."""
        if self.order is Sums.PLAIN:
            return (weights[..., None] * parts).sum(1)
        out = weights[:, :1] * parts[:, 0]
        for k in range(1, self.top_k):
            out = out + weights[:, k : k + 1] * parts[:, k]
        return out

    def _placed(self, x: Tensor, written: Tensor, origins: Tensor) -> Tensor:
        """carry(x) + scatter(written): one gather, and a sum where a channel is both."""
        out = torch.cat((written, x.new_zeros(x.shape[0], 1), x), 1).index_select(1, origins)
        return out if self.sums is None else out.index_add(1, self.sums[0], x.index_select(1, self.sums[1]))


class AtlasMoE(nn.Module):
    """Stacked MoE layers R^D → R^out, as compiled; `inputs`, `outputs` name their channels.

    Computes what the numpy `Network` computes, up to the rounding of sums taken in another order (so an argmax that is
    tied to rounding may fall the other way). Differentiable in x and in the weights through the chosen experts.

    x is rounded to the dtype of the first gate (of the first experts, if there is none), whatever its own: float64 inputs of a float32
    module are no error, and f is approximated at the rounded point. `.to(dtype)`, `.half()` and `.bfloat16()` leave gates, and experts
    that a later gate reads, in float32 at least, and warn once of what the other experts lose (`precision`). Under autocast gates run in
    their own dtype.
    """

    def __init__(self, network: Network, sums: Sums = Sums.PLAIN, sample: Sample | None = None, trees: bool = False) -> None:
        super().__init__()
        last = max((n for n, layer in enumerate(network.layers) if len(layer) > 1), default=0)
        self.layers = nn.ModuleList([MoE(layer, sums, guides=n < last, trees=trees) for n, layer in enumerate(network.layers)])
        self.sums, self.sample = sums, sample
        self.inputs, self.outputs = network.inputs, network.outputs
        most = max(len(layer.experts) for layer in network.layers)
        self.carrying = any(layer.carries is not None for layer in network.layers)
        """Whether channels pass beside experts; then a state is kept channel by channel."""
        self.block_rows = ROWS if self.carrying else max(BLOCK_ROWS, BLOCK_LOAD * most)

    @property
    def stack(self) -> list[MoE]:
        """The layers, first to last."""
        return [cast(MoE, layer) for layer in self.layers]

    def extra_repr(self) -> str:
        return f"inputs={len(self.inputs)}, outputs={self.outputs}"

    def forward(self, x: Tensor, return_routes: bool = False) -> Tensor | Routed:
        """[..., D] to [..., out], in the dtype of the weights; or `Routed` with every layer's routes and logits."""
        if x.shape[-1:] != (len(self.inputs),):
            raise InvalidArgument(f"the network reads [..., {len(self.inputs)}], got {tuple(x.shape)}")
        x = x.to(self.stack[0].reading)
        batch, rows = x.shape[:-1], x.reshape(-1, x.shape[-1])
        if recording(rows) is not None:
            require_plain(self.sums)
        if return_routes:
            return self._traced(batch, rows)
        if recording(rows) is not None or not len(rows):
            y = self._block(rows)
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
        if self.carrying:
            state = list(x.unbind(1))
            for layer in self.stack:
                state = layer.advance(state)
            return torch.stack(state, 1).to(self.dtype)
        for layer in self.stack:
            x = layer(x)
        return x.to(self.dtype)

    def _traced(self, batch: torch.Size, x: Tensor) -> Routed:
        routes, logits, weights = [], [], []
        for layer in self.stack:
            scores = layer.logits(x)
            chosen = layer.choose(scores)
            w = layer.weights(chosen, scores)
            x = layer(x, chosen, w)
            shape = batch if layer.top_k == 1 else (*batch, layer.top_k)
            routes.append(chosen.reshape(shape))
            logits.append(scores.reshape(*batch, len(layer.names)))
            weights.append(w.reshape(shape))
        return Routed(x.to(self.dtype).reshape(*batch, len(self.outputs)), tuple(routes), tuple(logits), tuple(weights))


def to_torch(model: Model | Network, *, sums: Sums | str = Sums.PLAIN, gates: str | None = None) -> AtlasMoE:
    """The network as a `torch.nn.Module`, in its own dtype, on the CPU, with trainable parameters.

    `sums`: in which order sums of products are taken (`moe.sums`). "plain": as the library likes. "blocks": in blocks of 32, float32
    errs far less. "float64": in one fixed order, the last sum of every net in float64: equal bits for a row whatever the batch and the
    threads, those of numpy. A certificate bounds each, as claims `total.float32`, `total.float32.blocks` and `total.float32.float64`.

    `gates`: "flat", or "tree", affine gates in two levels (`moe.gate_tree`): the same routes, sooner where there are many experts. Nothing
    said, a model decides, by the `gate` that it was compiled with.

    Raises `InvalidArgument` if the experts of a layer differ in depth, or for another word.
    """
    order = known(sums)
    if isinstance(model, Model):
        return AtlasMoE(model.network, order, Sample.of(model.network, model.task), by_tree(gates or model.gates))
    return AtlasMoE(model, order, trees=by_tree(gates or "flat"))
