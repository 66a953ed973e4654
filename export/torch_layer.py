"""One layer of a network in PyTorch: gate, experts, shared expert, encoder, and channels that pass beside.

While nobody watches, rows are sent to their experts by `dispatch`; where a part has a hook every part is called as a module (`watched`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InvalidArgument
from ..moe.called import AS_STORED, Names
from ..moe.layer import Indices, MoELayer, Weighting
from ..moe.sums import Sums
from .capture import recording
from .gate_tree import TorchTree
from .precision import Conversion, as_stored, at_least_single
from .quick import no_gradients
from .stacks import ExpertStack, as_module, stages_of
from .stages import through
from .views import Each, Expert
from .watched import Probe, Watched, watch_over

ROUTER_NUMBERS = 1 << 18
"""Logits computed at a time when only the winner is wanted, so that they never leave the cache."""
Record = list[tuple[Tensor, Tensor, Tensor]]
"""Of every layer what was chosen [N, K], the logits [N, E], and the weights [N, K]."""


def winner(logits: Tensor) -> Tensor:
    """The first index of the largest logit, [N, E] to [N]: what `argmax` gives, for about half its time on a CPU."""
    return logits.max(-1).indices


def winners(router: nn.Linear, seen: Tensor, step: int) -> Tensor:
    """The first index of the largest logit of an affine gate, [N]; so many rows at a time, whose logits share a buffer."""
    weight, bias = router.weight.mT, router.bias
    if seen.shape[0] <= step:
        return winner(seen @ weight if bias is None else torch.addmm(bias, seen, weight))
    logits, found = seen.new_empty(step, weight.shape[1]), seen.new_empty(len(seen), dtype=torch.int64)
    best = seen.new_empty(step)
    for start in range(0, len(seen), step):
        part = seen[start : start + step]
        some = logits[: len(part)]
        torch.mm(part, weight, out=some) if bias is None else torch.addmm(bias, part, weight, out=some)
        torch.max(some, -1, out=(best[: len(part)], found[start : start + step]))
    return found


def placement(layer: MoELayer) -> dict[str, Indices | None]:
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


class MoE(Watched):
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

    def __init__(
        self,
        layer: MoELayer,
        order: Sums = Sums.PLAIN,
        guides: bool = False,
        trees: bool = False,
        arriving: tuple[str, ...] = (),
        called: Names = AS_STORED,
        ridge: bool = False,
    ) -> None:
        """`order`: of its sums. `guides`: a later gate reads what the experts write, so they keep at least float32, as gates do.
        `trees`: an affine gate that picks one of several is evaluated in two levels. `arriving`: names of the channels that
        arrive; `called`: what the user calls them. `ridge`: hidden layers of experts are evaluated in ridge form."""
        super().__init__()
        self.order, self.guides = order, guides
        self.router = None if layer.gate is None else as_module(layer.gate, order)
        self.routes, self.weighing = Probe(), Probe()
        self.shared = None if layer.shared is None else as_module(layer.shared, order)
        self.latent = None if layer.latent is None else as_module(layer.latent.net, order, last=False)
        self.experts = ExpertStack(layer.experts, order, ridge)
        pairs = zip(layer.names, layer.serves, strict=True)
        self.each = Each([Expert(name, layer.experts[k], k, self.experts.maps, self.experts.places) for name, k in pairs])
        self.tree = TorchTree(self.router) if trees and isinstance(self.router, nn.Linear) and layer.tree is not None else None
        self.top_k, self.weighting = layer.top_k, layer.weighting
        self.unit = layer.unit
        self.single, self.own = len(layer.experts) == 1, layer.serves == tuple(range(len(layer.serves)))
        """Whether one expert is stored, and whether every gate output has one of its own."""
        self.chooses = not self.single or not layer.unit
        """Whether what leaves depends on the gate."""
        self.names, self.channels, self.arriving = layer.names, called(layer.channels), called(arriving)
        """What gate outputs, channels that leave, and channels that arrive are called."""
        self.stored = layer.channels
        """What files call the channels that leave."""
        self.wires = {"reads": layer.reads, "writes": layer.writes, "carries": layer.carries, "sees": layer.sees}
        self.places = {"reads": layer.reads, "sees": layer.sees, "sources": layer.sources.tolist(), "targets": layer.targets.tolist()}
        for name, numbers in {"serves": layer.serves, "reads": layer.reads, "sees": layer.sees, **placement(layer)}.items():
            self.register_buffer(name, None if numbers is None else torch.tensor(numbers, dtype=torch.int64))
        self.watch = watch_over(self)

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

    def observed(self, x: Tensor) -> bool:
        """Whether parts have to be called as modules. Raises `InvalidArgument` if they would have to be while a graph is recorded."""
        if recording(x) is not None:
            self.watch.require_none()
            return False
        return self.watch.active

    def logits(self, x: Tensor) -> Tensor:
        """[N, in] to [N, E]; zeros of a dense layer."""
        return self._scores(x if self.sees is None else x.index_select(1, self.sees))

    def _scores(self, x: Tensor) -> Tensor:
        """Of the channels that the router sees."""
        if self.router is None:
            return x.new_zeros(x.shape[0], 1)
        with as_stored(x):
            return self.router(x) if self.observed(x) else through(stages_of(self.router), x, self.order)

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
        step = max(1, ROUTER_NUMBERS // len(self.names))
        if self.tree is not None:
            return self.tree.choose(seen, self._scores, step, self.order)[:, None], None
        if self.unit and isinstance(self.router, nn.Linear) and self.order is Sums.PLAIN and no_gradients([self.router], seen):
            return winners(self.router, seen, step).unsqueeze(1), None
        parts, weights = [], []
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.unit):
            for part in torch.split(seen, step):
                logits = self._scores(part)
                parts.append(self.choose(logits))
                if not self.unit:
                    weights.append(self.weights(parts[-1], logits))
        return torch.cat(parts), torch.cat(weights) if weights else None

    def forward(self, x: Tensor, record: Record | None = None) -> Tensor:
        """[N, in] to [N, out]; appended to `record` is how rows were routed."""
        with as_stored(x, self.guides):
            return self._forward(x, record)

    def _forward(self, x: Tensor, record: Record | None) -> Tensor:
        observed = self.observed(x)
        chosen, weights = None, None
        if observed or record is not None:
            chosen, weights = self._routed(x, observed, record)
        elif self.chooses:
            chosen, weights = self.route(x)
        y = self._written(x if self.reads is None else x.index_select(1, self.reads), chosen, weights, observed)
        return y if self.origins is None else self._placed(x, y, self.origins)

    def _routed(self, x: Tensor, observed: bool, record: Record | None) -> tuple[Tensor, Tensor | None]:
        """`route`, with all logits at once; of a unit layer no weights, unless a hook has put others there."""
        logits = self.logits(x)
        chosen = self.choose(logits)
        if observed:
            chosen = self._among(self.routes(chosen), chosen)
        weights = computed = self.weights(chosen, logits)
        if observed:
            weights = self.weighing(computed)
        if record is not None:
            record.append((chosen, logits, weights))
        return chosen, None if self.unit and weights is computed else weights

    def _among(self, patched: Tensor, chosen: Tensor) -> Tensor:
        """Routes that a hook has put in the place of others."""
        E = len(self.names)
        if patched is not chosen and (patched.shape != chosen.shape or bool(((patched < 0) | (patched >= E)).any())):
            raise InvalidArgument(
                f"a hook on routes gave {tuple(patched.shape)} in the place of {tuple(chosen.shape)}, or indices beyond {E}"
            )
        return patched

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

    def _written(self, inputs: Tensor, chosen: Tensor | None, weights: Tensor | None, observed: bool = False) -> Tensor:
        """What the chosen experts and the shared one make of what they read, [N, writes]."""
        low = inputs if self.latent is None else self.latent(inputs.to(self.experts.dtype))
        rows = low.repeat_interleave(self.top_k, 0) if self.top_k > 1 else low
        if observed and chosen is not None:
            y = self.experts(rows, chosen.flatten(), self.each)
        else:
            y = self.experts(rows, None if chosen is None or self.single else self._served(chosen))
        if weights is not None:
            y = self._weighed(weights.to(y.dtype), y.view(-1, self.top_k, y.shape[-1]))
        return y if self.shared is None else y + self._shared(inputs.to(y.dtype), observed)

    def _served(self, chosen: Tensor) -> Tensor:
        """The stored experts of chosen gate outputs [N, K], [N·K]."""
        flat = chosen.flatten()
        return flat if self.own else self.serves.index_select(0, flat)

    def _shared(self, inputs: Tensor, observed: bool) -> Tensor:
        """What the shared expert makes of what all experts read."""
        assert self.shared is not None
        return self.shared(inputs) if observed else through(stages_of(self.shared), inputs, self.order)

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
