"""`Explanation` and `NeuronOrigin`: what `Model.explain` answers.

A network is a sequence of layers, and its task a set of blocks; an explanation looks at one point in both ways, and sets what was
computed beside what the task says. The explanation of a point of one manifold is that of a graph of one block.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Chosen = tuple[tuple[str, float], ...]
"""The K experts that a gate chose, best first, each with the weight of its output; 1 if K = 1."""


@dataclass(frozen=True)
class Partial:
    """One component: as the network has it, and as the task has it."""

    name: str
    value: float | None
    """None where the last layer folds it into the output."""
    truth: float | None
    """None off the domain."""

    @property
    def error(self) -> float | None:
        return None if self.value is None or self.truth is None else abs(self.value - self.truth)


@dataclass(frozen=True)
class Score:
    """One chart or piece at a point."""

    chart: str
    rho: float | None
    """The partition of unity, of pieces the indicator; None off the domain."""
    tau: float
    """Its logit at the gate that routes the block."""


@dataclass(frozen=True)
class LookedUp:
    """The list of a gate in two levels in which a point was looked up."""

    group: int | None
    """Counted from 1; None where the point is in no group's reach, and is compared with all experts."""
    groups: int
    candidates: int
    """How many experts it was compared with."""


@dataclass(frozen=True)
class LayerStep:
    """What one layer did, and what its gate decided."""

    layer: int
    """Counted from 1."""
    does: str
    """In words: which scores it appends, which block it routes, which combinations it computes."""
    expert: str
    """The first of the chosen."""
    logit: float
    runner_up: str | None
    """The expert with the largest logit of those that were not chosen; None if there is none."""
    margin: float
    """The least logit of a chosen expert minus that of the runner-up; ∞ without one, 0 at a tie (then the first of them won)."""
    matters: bool
    """False where all experts of the layer are equal, so that the gate is arbitrary, and where there is no gate."""
    chosen: Chosen = ()
    shared: bool = False
    """Whether an expert that all points share is added."""
    looked_up: LookedUp | None = None
    """Where the gate has two levels."""


@dataclass(frozen=True)
class BlockChoice:
    """Which piece or chart a block took, and what came of it."""

    block: str
    layer: int
    """The layer whose gate decided, counted from 1."""
    piece: str
    """The first of the chosen."""
    subtask: tuple[str, ...]
    """The formula of that piece, one text for each output; () where there is none, as of Python functions."""
    holds: tuple[str, ...]
    """All pieces or charts that hold the point in the task; () off the domain."""
    margin: float
    """The distance of what was read to the nearest interface; or for charts the lead of the winning score. ∞ with one piece."""
    margin_of: str
    """"interface" or "score": which of the two."""
    runner_up: str | None
    """The piece with the largest logit of those that were not chosen."""
    reads: tuple[Partial, ...]
    outputs: tuple[Partial, ...]
    chosen: Chosen = ()
    scores: tuple[Score, ...] = ()
    """All charts or pieces, best τ first."""
    local: tuple[float, ...] | None = None
    """φ_i of what was read, i the chart taken; of a piece what was read. None off the domain, or if the chart has no forward map."""
    local_names: tuple[str, ...] = ()
    """What these numbers are called; () for the axes of a tangent plane."""

    @property
    def right(self) -> bool | None:
        """Whether every piece that was chosen holds the point; None off the domain."""
        return None if not self.holds else {name for name, _ in self.chosen} <= set(self.holds)


@dataclass(frozen=True)
class TargetError:
    """One of several targets at a point."""

    name: str
    error: float | None
    """Largest component of |f(x) − Ψ(x)| of its own; None where f is not known."""
    epsilon: float


@dataclass(frozen=True)
class Explanation:
    """How a model computes its value at one point, beside what the task says there."""

    point: tuple[float, ...]
    """x, as the network reads it."""
    coordinates: Mapping[str, float]
    """The coordinates before embedding, by name."""
    distance: float | None
    """How far x is from the domain: of boxes by how much it leaves them, of manifolds |φ⁻¹(φ(x)) − x| in the best chart (∞ where no
    chart's box holds φ(x)), the largest of all inputs. None if charts have no forward maps to tell by."""
    outside: tuple[str, ...]
    """Inputs whose box or manifold does not hold their part of the point, with the reason: then nothing is claimed."""
    layers: tuple[LayerStep, ...]
    blocks: tuple[BlockChoice, ...]
    combines: tuple[Partial, ...]
    """Values of combinations, in the order in which they depend on each other."""
    output: Mapping[str, float]
    """Ψ(x) by output channel."""
    truth: tuple[float, ...] | None
    """f(x); None off the domain."""
    error: float | None
    """Largest component of |f(x) − Ψ(x)|."""
    bound: float
    """The strongest statement about |f − Ψ| on the whole domain, from the ledger or a certificate beside the weights…"""
    known: str
    """…and how that is known: where it is sampled, the bound is what was seen, and says nothing of other points."""
    alone: bool
    """Whether the task is one function on one manifold; `chart`, `choices`, `scores` and `local` then say all of its block."""

    source: str = "ledger.json"
    """Where it stands, with what it assumes."""
    found: float | None = None
    """The largest error that the search of the certificate found."""
    targets: tuple[TargetError, ...] = ()
    """Where there are several targets: what each errs by here. `error` and `bound` are then in units of their ε."""

    @property
    def base(self) -> tuple[float, ...] | Mapping[str, float]:
        """x before embedding; of a graph by name."""
        return tuple(self.coordinates.values()) if self.alone else self.coordinates

    @property
    def on_manifold(self) -> bool | None:
        """Whether x is a point of M; None if the charts have no forward maps to tell by."""
        return False if self.outside else None if self.distance is None else True

    @property
    def route(self) -> tuple[str, ...]:
        """The pieces and charts taken, block by block: the piece of ∏ E_l that computed the output."""
        return tuple(choice.piece for choice in self.blocks)

    @property
    def choices(self) -> tuple[LayerStep, ...]:
        """`layers`."""
        return self.layers

    @property
    def chart(self) -> str:
        """What the last block took."""
        return self.blocks[-1].piece

    @property
    def scores(self) -> tuple[Score, ...]:
        """Of the last block."""
        return self.blocks[-1].scores

    @property
    def local(self) -> tuple[float, ...] | None:
        """Of the last block."""
        return self.blocks[-1].local

    def to_dict(self) -> dict[str, Any]:
        """As JSON; of one manifold also with what its only block is."""
        data = {**asdict(self), "base": self.base, "route": self.route}
        if self.known != "proved" or self.found is None:
            del data["source"], data["found"]
        if not self.targets:
            del data["targets"]
        if self.alone:
            block = data["blocks"][-1]
            data |= {"chart": self.chart, "on_manifold": self.on_manifold, "choices": data["layers"]}
            data |= {"scores": block["scores"], "local": block["local"]}
        return data


@dataclass(frozen=True)
class NeuronOrigin:
    """Where one hidden neuron comes from, and what it computes: act(weights · inputs + bias), times another such form if it is a lane."""

    layer: int
    """Counted from 1."""
    expert: str
    """The expert; "gate" or "shared" for those nets of the layer."""
    hidden: int
    """Which hidden layer of the expert, counted from 1."""
    index: int
    """Its place in that hidden layer, counted from 0."""
    name: str
    origin: str
    """Which step of which theorem put it there."""
    reads: Mapping[str, float]
    """Input (channel or neuron) ↦ weight, where that is not zero; the 16 largest."""
    bias: float
    writes: Mapping[str, float]
    """Output (channel or neuron) ↦ weight, where that is not zero; the 16 largest."""
    activation: str = "relu"
    """The name of act."""
    times: Mapping[str, float] | None = None
    """Of a lane, input ↦ weight of what the activation is multiplied with; None for plain neurons, whose factor is 1."""
    times_bias: float | None = None

    @property
    def formula(self) -> str:
        """What it computes, in words of mathematics."""
        act = "σ" if self.activation == "relu" else self.activation
        return f"{act}(w·x + b)" if self.times is None else f"{act}(w·x + b)·(v·x + c)"
