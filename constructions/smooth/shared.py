"""Many functions on one reference domain: one lattice and one factorisation, a right-hand side each."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...moe.activations import Activation
from ...moe.ridge import Ridge
from ..relu.dictionary import Coordinates
from ..relu.fit import Effort
from ..relu.samples import Data
from ..relu.shared import VOTERS, SharedSamples
from .fit import COSTS
from .forms import Form
from .least_squares import Cost
from .search import CHEAP, Search


@dataclass(frozen=True, eq=False)
class SharedFit:
    """E two-layer nets with the same hidden neurons (gates, if they have lanes), and for each its held-out sup error and the index of
    the point where that occurs."""

    form: Form
    weights: Array
    """(p, E, q): coefficients of the form's columns."""
    errors: Array
    """(E,)."""
    worst: Array
    direction_count: int

    def ridge(self, index: int) -> Ridge:
        ridge = self.form.ridge(self.weights[:, index])
        assert ridge is not None
        return ridge


def fit_shared(
    samples: SharedSamples,
    width: int,
    direction_count: int | None = None,
    *,
    activation: Activation,
    gated: bool = False,
    dtype: str = "float64",
    effort: Effort = "quick",
    budget: float | Array = 0.0,
) -> SharedFit:
    """The best lattice of at most `width` neurons or lanes found for all functions together, by their largest objective.

    VOTERS of the functions, spread over all, decide its shape; `direction_count` of an earlier fit saves the search for that. λ is
    chosen for each function by itself. `effort` as of `fit`. `budget`, of each function
    or of all: errors below it are worth nothing if profiles bend less (`Cost`). Raises `InvalidArgument` where `fit` does.
    """
    E, q = samples.values.shape[1:]
    voters = np.unique(np.linspace(0, E - 1, VOTERS).round().astype(int))
    budgets = np.broadcast_to(np.asarray(budget, float), E)
    search = _search(samples, voters, width, activation, gated, replace(COSTS[dtype], budget=np.repeat(budgets[voters], q)))
    best = search.run(direction_count)[0]
    if effort == "thorough" or search.unknowns <= CHEAP:
        best = search.sharpened(best)
    everyone = _search(samples, np.arange(E), width, activation, gated, replace(COSTS[dtype], budget=np.repeat(budgets, q)))
    solved = everyone.solved(best.form, search.enough, len(samples.held_inputs))
    errors, worst = solved.errors.reshape(E, q), solved.worst.reshape(E, q)
    output = errors.argmax(1)
    rows = np.arange(E)
    return SharedFit(best.form, solved.weights.reshape(-1, E, q), errors[rows, output], worst[rows, output], best.shape.count)


def _search(samples: SharedSamples, chosen: NDArray[np.intp], width: int, activation: Activation, gated: bool, cost: Cost) -> Search:
    """The search for the chosen functions, side by side as outputs of one."""
    values = samples.values[:, chosen].reshape(len(samples.values), -1)
    held = samples.held_values[:, chosen].reshape(len(samples.held_values), -1)
    data = Data(samples.inputs, values, samples.held_inputs, held)
    known = samples.inputs[:0]
    return Search(known, data, Coordinates.of(samples.inputs), width, samples.values.shape[2], activation, gated, cost)
