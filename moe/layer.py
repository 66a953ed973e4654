"""`MoELayer`: h ← carry(h) + scatter(Σ_k w_k · expert_k(P·h[reads]) + shared(h[reads])), the K experts k with the largest logits.

The layer of the paper is the one with an affine gate, K = 1 and nothing carried or shared: then the chosen expert's output is
the state. Every other part is there to be left out: no gate is a dense layer, a two-layer gate is a nonlinear one (N1), carried
channels pass beside the experts exactly (N8), a shared expert is added for every input (N3–N7), and a linear map P, the encoder, is
one for all experts, which then read few numbers (N9); none is the identity.

Lemma (N8). Let a layer carry channels c to which nothing is written, and let its *paper form* carry them as σ(c) − σ(−c), by two more
neurons each in every expert whose other weights and biases are 0. If every number that arises is finite, then in float64 and float32:

* carried channels agree bit for bit in any order of summation, as a single term is not 0. A carried zero is +0.0 in both;
* logits that are channels, as compared scores are, agree bit for bit; others are sums of the same terms, to which the paper form, whose
  gates read all channels, adds zeros;
* a channel that experts write is the sum of the same terms, to which the paper form adds zeros. BLAS chooses the order of summation by the
  shapes of matrices, so bits agree if all partial sums are exact, and otherwise need not: OpenBLAS gives equal bits for most first maps
  of a net, whose sums have equally many terms, and for a minority of last ones. Each is within γ_{n+1}·(|V|·|z| + |b|) of the exact
  V·z + b, n the number of terms, 2 per carried channel included; so they differ by at most twice that, plus |V| times what z differs;
* so routes agree wherever the gap between logits is more than twice that bound, passed on to the logits.

Where a number overflows, 0·∞ spoils carried channels in the paper form; here they stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..errors import InvalidArgument
from ..expressions.given import lists_of, parts_of
from .gate_tree import GateTree
from .nets import Affine, Floats, Net
from .sums import Sums

Indices = NDArray[np.intp]
ENCODER = "encoder, one linear map for all experts (N9, N10)"
"""Where its channels come from."""
CHUNK = 1 << 22
"""Hidden activations, logits or states evaluated at a time, in numbers: keeps the working set in the cache-to-RAM range of any machine."""


class Weighting(StrEnum):
    """How the outputs of the K chosen experts are weighed, s_k their logits."""

    SOFTMAX = "softmax"
    """exp(s_k) / Σ exp(s_j) over the chosen; exactly 1 if K = 1."""
    UNIFORM = "uniform"
    """1 / K."""
    RECTIFIED = "rectified"
    """σ(s_k), not normalised (N18)."""


@dataclass(frozen=True, eq=False)
class MoELayer:
    """One layer; the module says what it computes. Ties between logits go to the first index.

    Experts that are equal are stored once: gate output i is served by `experts[serves[i]]`. `reads` are the channels that experts
    (and the shared one) read, `sees` those that the gate reads; None: all that arrive. Raises `InvalidArgument` if the parts do not fit
    each other.
    """

    gate: Net | None
    """Logits of the channels that it sees, affine or two-layer; None: a dense layer of one expert. An `Affine` may be given."""
    experts: tuple[Net, ...]
    serves: tuple[int, ...]
    names: tuple[str, ...]
    """One name per gate output; of a dense layer, one for its expert."""
    channels: tuple[str, ...]
    """One name per channel that leaves the layer."""
    reads: tuple[int, ...] | None = None
    writes: tuple[int, ...] | None = None
    """Where among `channels` the outputs of the experts go; None: they are all of them."""
    carries: tuple[int, ...] | None = None
    """For every channel that leaves the one that arrives and is carried there, −1 for none; None: nothing is carried."""
    shared: Net | None = None
    top_k: int = 1
    weighting: Weighting = Weighting.SOFTMAX
    sees: tuple[int, ...] | None = None
    latent: Affine | None = None
    """What the experts read of `reads`, one affine map for all of them: the encoder. None: all of it, as the shared expert always does."""

    def __post_init__(self) -> None:
        if isinstance(self.gate, Affine):
            object.__setattr__(self, "gate", self.gate.net)
        optional = (Net, type(None))
        parts_of(self, gate=optional, shared=optional, latent=(Affine, type(None)))
        lists_of(self, experts=Net, serves=(int, np.integer), names=str, channels=str)
        if self.weighting not in set(Weighting):
            raise InvalidArgument(f"weighting {self.weighting!r} is not one of {', '.join(Weighting)}")
        object.__setattr__(self, "weighting", Weighting(self.weighting))
        gates = 1 if self.gate is None else self.gate.outputs
        if len(self.serves) != gates or len(self.names) != gates or set(self.serves) != set(range(len(self.experts))):
            raise InvalidArgument(
                f"{gates} gate outputs, {len(self.names)} names, routes to stored experts {sorted(set(self.serves))} of {len(self.experts)}"
            )
        if self.top_k not in range(1, gates + 1):
            raise InvalidArgument(f"top_k = {self.top_k}, but there are {gates} gate outputs")
        if self.gate is None and self.weighting is Weighting.RECTIFIED:
            raise InvalidArgument("a dense layer has no logits that could weigh its expert; leave its weighting as it is")
        if self.sees is not None and (self.gate is None or self.gate.inputs != len(self.sees)):
            reading = "there is no gate" if self.gate is None else f"the gate reads {self.gate.inputs}"
            raise InvalidArgument(f"the gate is said to see {len(self.sees)} channels, but {reading}")
        reads = self._inner.inputs if self.reads is None else len(self.reads)
        if self.latent is not None and self.latent.weight.shape[1] != reads:
            raise InvalidArgument(f"the encoder reads {self.latent.weight.shape[1]} channels, the layer {reads}")
        inside = reads if self.latent is None else len(self.latent.bias)
        writes = len(self.channels) if self.writes is None else len(self.writes)
        for net in (*self.experts, *(() if self.shared is None else (self.shared,))):
            if (net.inputs, net.outputs) != (reads if net is self.shared else inside, writes):
                maps = f"R^{net.inputs} to R^{net.outputs}"
                raise InvalidArgument(f"an expert maps {maps}, the layer reads {reads} and writes {writes} channels")
        encoder = () if self.latent is None else (self.latent.net,)
        if len(dtypes := {str(net.dtype) for net in (*self.nets, *encoder)}) > 1:
            raise InvalidArgument(f"gate and experts of one layer are of {' and '.join(sorted(dtypes))}; cast one of them")
        if self.carries is not None and len(self.carries) != len(self.channels):
            raise InvalidArgument(f"{len(self.carries)} entries say what is carried to {len(self.channels)} channels")
        if self.writes is not None and not set(self.writes) <= set(range(len(self.channels))):
            raise InvalidArgument(f"experts write channels {self.writes} of {len(self.channels)}")
        if len(set(self.writes or ())) != len(self.writes or ()):
            raise InvalidArgument(f"experts write a channel twice: {self.writes}")

    def __len__(self) -> int:
        """E, the number of experts the gate chooses from."""
        return len(self.names)

    @property
    def dtype(self) -> np.dtype:
        return self.experts[0].dtype

    @property
    def _inner(self) -> Net:
        """A net that reads what experts read before any encoder."""
        return self.experts[0] if self.latent is None else self.latent.net

    @property
    def nets(self) -> tuple[Net, ...]:
        """All nets: the gate if there is one, the shared expert if there is one, the stored experts."""
        return (*(net for net in (self.gate, self.shared) if net is not None), *self.experts)

    @property
    def unit(self) -> bool:
        """Whether a single chosen expert has weight 1."""
        return self.top_k == 1 and self.weighting is not Weighting.RECTIFIED

    @property
    def sources(self) -> Indices:
        """For every channel that leaves the one that is carried there, −1 for none; (channels,)."""
        return np.full(len(self.channels), -1) if self.carries is None else np.array(self.carries, np.intp)

    @property
    def targets(self) -> Indices:
        """Where among the channels the outputs of the experts go."""
        return np.arange(len(self.channels)) if self.writes is None else np.array(self.writes, np.intp)

    def misfit(self, arriving: int) -> str | None:
        """Why the layer cannot read so many channels, in words; None if it can."""
        unsaid = self.gate if self.sees is None else None, self._inner if self.reads is None else None
        for who, net in zip(("gate reads", "experts read"), unsaid, strict=True):
            if net is not None and net.inputs != arriving:
                return f"its {who} {net.inputs} channels"
        carried = [k for k in self.carries or () if k != -1]
        for verb, channels in (("reads", self.reads or ()), ("sees", self.sees or ()), ("carries", carried)):
            if beyond := [channel for channel in channels if not 0 <= channel < arriving]:
                return f"it {verb} channel {beyond[0]}"
        return None

    @property
    def parameters(self) -> int:
        """Stored numbers."""
        return sum(net.parameters for net in self.nets) + self._encoding

    @property
    def active_parameters(self) -> int:
        """Numbers that one input meets: the gate, the encoder, the shared expert, the K largest experts."""
        largest = sorted((self.experts[k].parameters for k in self.serves), reverse=True)[: self.top_k]
        return sum(net.parameters for net in (self.gate, self.shared) if net is not None) + self._encoding + sum(largest)

    @property
    def _encoding(self) -> int:
        """Numbers of the encoder."""
        return 0 if self.latent is None else self.latent.parameters

    def read(self, x: Floats) -> Floats:
        """What experts read of the state."""
        return x if self.reads is None else x[:, list(self.reads)]

    def logits(self, x: Floats, sums: Sums = Sums.PLAIN) -> Floats:
        """[N, arriving] to [N, E]; zeros of a dense layer."""
        return self._scores(x if self.sees is None else x[:, list(self.sees)], sums)

    def _scores(self, seen: Floats, sums: Sums) -> Floats:
        return np.zeros((len(seen), 1), self.dtype) if self.gate is None else self.gate(seen, sums)

    def plainly(self, arriving: int) -> MoELayer:
        """The same function without what saves numbers: a gate that reads all channels, unseen ones with weight 0, nets `merged`, and the
        encoder as a linear layer in every expert, in which floats do what they did.
        """
        shared, experts = None if self.shared is None else self.shared.merged, tuple(net.merged for net in self.experts)
        if self.latent is not None:
            experts = tuple(net.behind(self.latent, "latent", ENCODER) for net in experts)
        if self.gate is None or self.sees is None:
            return replace(self, experts=experts, shared=shared, latent=None)
        maps = [self._wide(self.gate.affines[0], arriving), *self.gate.affines[1:]]
        ups = [None if up is None else self._wide(up, arriving) for up in self.gate.ups[:1]]
        gate = self.gate.with_maps(maps, (*ups, *self.gate.ups[1:]))
        return replace(self, gate=gate, experts=experts, shared=shared, sees=None, latent=None)

    def _wide(self, map_: Affine, arriving: int) -> Affine:
        """A first map of the gate, of all channels."""
        weight = np.zeros((len(map_.bias), arriving), map_.weight.dtype)
        for column, channel in zip(map_.weight.T, self.sees or (), strict=True):
            weight[:, channel] += column
        return Affine(weight, map_.bias)

    def choose(self, logits: Floats) -> Indices:
        """The K gate outputs with the largest logits, [N, K], best first; the first of equal ones."""
        if self.top_k == 1:
            return np.argmax(logits, axis=1)[:, None]
        return np.argsort(-logits, axis=1, kind="stable")[:, : self.top_k]

    def weights(self, chosen: Indices, logits: Floats) -> Floats:
        """w_k of the chosen experts, [N, K]."""
        scores = np.take_along_axis(logits, chosen, axis=1)
        if self.weighting is Weighting.RECTIFIED:
            return np.maximum(scores, 0)
        if self.weighting is Weighting.UNIFORM:
            return np.full_like(scores, 1 / self.top_k)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    @cached_property
    def tree(self) -> GateTree | None:
        """The gate in two levels, where it is affine, picks one of several, and that pays."""
        if self.gate is None or self.gate.groups or self.top_k > 1 or len(self) < 2:
            return None
        tree = GateTree.of(self.gate.affine)
        return tree if tree.pays else None

    def routes(self, x: Floats, rows: int, sums: Sums = Sums.PLAIN) -> Indices:
        """`choose` of the logits [N, K], in two levels if the gate has them; of so many rows of x at a time where it is flat."""
        if self.tree is not None:
            return self.tree.choose(x if self.sees is None else x[:, list(self.sees)], lambda part: self.logits(x[part], sums), rows, sums)[
                :, None
            ]
        return np.concatenate([self.choose(self.logits(x[k : k + rows], sums)) for k in range(0, max(1, len(x)), rows)])

    def forward(self, x: Floats, chosen: Indices, logits: Floats | None = None, sums: Sums = Sums.PLAIN) -> Floats:
        """The state behind the layer; each input runs through its chosen experts only, [N] or [N, K]."""
        chosen = chosen[:, None] if chosen.ndim == 1 else chosen
        if logits is None and not self.unit:
            logits = self.logits(x, sums)
        return self._placed(x, self._written(self.read(x), chosen, logits, sums))

    def advance(self, state: Sequence[Floats], sums: Sums = Sums.PLAIN) -> list[Floats]:
        """`forward`, along the gate's own choice, of a state channel by channel, [N] each: what is carried is not even copied."""
        inputs = _rows(state, self.reads)
        logits = self._scores(inputs if self.gate is None else _rows(state, self.sees), sums)
        written = self._written(inputs, self.choose(logits), logits, sums)
        out = [state[source] if source >= 0 else None for source in self.sources.tolist()]
        for target, column in zip(self.targets.tolist(), written.T, strict=True):
            before = out[target]
            out[target] = column + (0.0 if before is None else before)
        return [np.zeros(len(written), self.dtype) if column is None else column for column in out]

    def _written(self, inputs: Floats, chosen: Indices, logits: Floats | None, sums: Sums) -> Floats:
        """What the chosen experts and the shared one make of what they read, [N, writes]."""
        low = inputs if self.latent is None else self.latent(inputs, sums, last=False)
        out = self._run(low, chosen[:, 0], sums)
        if not self.unit:
            assert logits is not None
            w = self.weights(chosen, logits)
            out = out * w[:, :1]
            for k in range(1, chosen.shape[1]):
                out = out + w[:, k : k + 1] * self._run(low, chosen[:, k], sums)
        return out if self.shared is None else out + self.shared(inputs, sums)

    def _run(self, inputs: Floats, route: Indices, sums: Sums) -> Floats:
        """One expert's outputs for every row."""
        if len(self.experts) == 1 and len(inputs) <= max(1, CHUNK // max((1, *self.experts[0].widths))):
            return self.experts[0](inputs, sums)
        few = len(self.experts) <= np.iinfo(np.int16).max  # of numbers of 16 bits sorting is fast
        stored = np.asarray(self.serves, np.int16 if few else np.intp)[route]
        out = np.empty((len(inputs), self.experts[0].outputs), self.dtype)
        order = np.argsort(stored, kind="stable")
        bounds = np.searchsorted(stored[order], np.arange(len(self.experts) + 1))
        for k in np.flatnonzero(np.diff(bounds)):
            net, rows = self.experts[k], order[bounds[k] : bounds[k + 1]]
            step = max(1, CHUNK // max((1, *net.widths)))
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                out[part] = net(inputs[part], sums)
        return out

    def _placed(self, x: Floats, written: Floats) -> Floats:
        """carry(h) + scatter(written)."""
        if self.writes is None and self.carries is None:
            return written
        sources = self.sources
        out = np.take(x, sources, axis=1)
        out += 0.0
        out[:, sources < 0] = 0.0
        out[:, self.targets] += written
        return out

    def astype(self, dtype: DTypeLike) -> MoELayer:
        def cast(net: Net | None) -> Net | None:
            return None if net is None else net.astype(dtype)

        experts, latent = tuple(net.astype(dtype) for net in self.experts), None if self.latent is None else self.latent.astype(dtype)
        return replace(self, gate=cast(self.gate), experts=experts, shared=cast(self.shared), latent=latent)


def _rows(state: Sequence[Floats], which: Sequence[int] | None) -> Floats:
    """Some channels of a state, [N, channels]."""
    return np.stack([state[k] for k in (range(len(state)) if which is None else which)]).T
