"""`Patient`: what every mixture becomes before it is examined: gates with the rows that reach them, experts with their sizes, what is
known.

Signs know patients only. Whether a model of this library, a torch module or a checkpoint was read makes no difference to them; what a
reader could not find out is None, and a sign that needs it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array, TaskGraph
from ..errors import InvalidArgument
from .choice import Choice, Indices

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Charts:
    """What the task says of N rows at a gate: which of E charts or pieces hold them."""

    names: tuple[str, ...]
    noun: str
    """"chart" or "piece"."""
    hold: Bools
    """(N, E)."""
    own: bool
    """Whether gate output i stands for chart i; else nobody knows which chart an expert is for."""
    powers: Array | None = None
    """Of balls r_i² − |x − c_i|², (N, E)."""


@dataclass(frozen=True)
class Expert:
    """The size of one expert, as far as it matters."""

    widths: tuple[int, ...]
    """Of its hidden layers."""
    linear_pieces: int | None
    """Into how many linear pieces it cuts a segment at most: ∏(width + 1) of a ReLU net; None for other activations."""


@dataclass(frozen=True, eq=False)
class Local:
    """The function that the experts of one gate compute, on a flat domain: for segments inside their cells, which are convex."""

    points: Array
    """What they read, row by row, (N, k)."""
    function: Callable[[Array], Array]
    """(N, k) to (N, out)."""
    budget: float | None
    """The error that they are allowed."""


@dataclass(frozen=True, eq=False)
class Gate:
    """One router with its experts, and what was seen of it on N rows."""

    name: str
    experts: tuple[str, ...]
    choice: Choice
    dtype: str
    """In which it computes its logits: float64, float32, bfloat16, float16."""
    logits: Array | None = None
    """(N, E) in float64; None where no rows are known."""
    error: Array | None = None
    """How far each may be from real arithmetic on the stored weights, (N, E)."""
    rows: Array | None = None
    """What the gate reads, (N, D)."""
    affine: tuple[Array, Array] | None = None
    """(W, b) of an affine gate, exactly as stored."""
    chosen: Indices | None = None
    """What it chose, (N, K), best first, −1 for none; None: as `choice` says of the logits."""
    charts: Charts | None = None
    sizes: tuple[Expert, ...] = ()
    """One for every gate output; () if nobody knows."""
    reads: int | None = None
    """How many numbers an expert reads."""
    either: bool = False
    """Whether weights fade at interfaces, so that a change of route there changes nothing (N18, N12)."""
    local: Local | None = None
    in_dtype: Callable[[str], Array] | None = None
    """Logits of the same rows as the gate computes them in another dtype, rows and weights rounded to it."""

    def __post_init__(self) -> None:
        E = len(self.experts)
        for name, array in (("logits", self.logits), ("error", self.error)):
            if array is not None and array.shape[1:] != (E,):
                raise InvalidArgument(f"gate {self.name!r}: {name} of shape {array.shape} for {E} experts")
        if self.choice.top_k > E:
            raise InvalidArgument(f"gate {self.name!r}: {self.choice.top_k} of {E} experts cannot be chosen; give {{top_k={E}}} at most")

    def __len__(self) -> int:
        return len(self.experts)

    @cached_property
    def routes(self) -> Indices | None:
        """(N, K), −1 for none; None without rows."""
        if self.chosen is not None:
            return self.chosen
        return None if self.logits is None else self.choice.choose(self.logits)

    @cached_property
    def hits(self) -> NDArray[np.intp]:
        """How often each expert is chosen. Raises `InvalidArgument` without rows."""
        routes = self.seen
        return np.bincount(routes[routes >= 0], minlength=len(self))

    @property
    def seen(self) -> Indices:
        """`routes`, for whoever has made sure that there are some."""
        if self.routes is None:
            raise InvalidArgument(f"gate {self.name!r}: no rows are known that reach it")
        return self.routes

    @cached_property
    def alive(self) -> Bools:
        """Which experts are chosen at all, (E,)."""
        return np.asarray(self.hits > 0)

    @cached_property
    def shares(self) -> Array:
        """p_i, of all choices; (E,), they sum to 1."""
        return np.asarray(self.hits / max(1, int(self.hits.sum())))


@dataclass(frozen=True, eq=False)
class Oracle:
    """What the mixture should compute."""

    graph: TaskGraph
    blocks: tuple[tuple[str, ...], ...] | None
    """Groups of coordinates such that the mixture is a sum of functions of one group each; None if nobody says."""


@dataclass(frozen=True, eq=False)
class Patient:
    """A mixture that is examined."""

    name: str
    kind: str
    gates: tuple[Gate, ...]
    source: str
    """Where the rows come from."""
    points: Array | None = None
    """Inputs of the mixture, (N, D)."""
    oracle: Oracle | None = None
    epsilon: float | None = None
    """The error that it should stay below."""
    dimension: int | None = None
    """d, of the set that inputs are said to lie on."""
    run: Callable[[Array], Array] | None = None
    """The mixture itself, (N, D) to (N, out)."""
    distance: Callable[[Array], tuple[Array, Array, str]] | None = None
    """Of inputs (N, D): a residual that must not exceed a bound for points of the manifold, both (N,), and what it is in words."""
    given: bool = False
    """Whether the points are the user's, rather than drawn from the task."""
    misrouted: Bools | None = None
    """Where a model takes a chart or piece that the task does not allow, (N,)."""
    error: Array | None = None
    """|f − Ψ| at the points, (N,)."""
    assumes: tuple[str, ...] = ()
    capacity: float | None = None
    """C, if tokens beyond C·N·K/E of an expert are dropped."""
    precision: str | None = None
    """A dtype in which the mixture is going to run."""
