"""Ridge structure of smooth activations: neurons whose stored rows are one direction up to sign, enclosed profile by profile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atlas import Array
from ...moe.activations import Activation
from . import jets
from .fast import smooth_loops
from .powers import Quantities, Total
from .smooth_neurons import SmoothNeurons
from .table import Tables
from .taylor import UNKNOWN, TaylorForms


@dataclass(frozen=True, eq=False)
class SmoothProfiles:
    """x ↦ Σ_k q_k(a_k·x), directions a_k (K, n) and the neurons of each, whose z is ±a_k·x + b."""

    activation: Activation
    directions: Array
    neurons: tuple[jets.Neurons, ...]
    scattered: SmoothNeurons
    """The same neurons one by one, for boxes that reach beyond a table."""

    @cached_property
    def tables(self) -> Tables:
        return jets.tables(self.activation, self.neurons)

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        """The sum over inputs x with these forms (n functions): q functions."""
        with np.errstate(all="ignore"):
            known = forms.radius.max(1) < UNKNOWN
            s = Quantities.of(self.directions, None, forms)
            held = np.asarray(self.tables.holds(s.center, s.reach).all(0))
            found = self._held(s if held.all() else s.where(held)).unknown_where(~(known & held)[:, None])
            beyond = np.flatnonzero(known & ~held)
            if len(beyond):
                other = self.scattered(forms.subset(beyond))
                found.coefficients[beyond], found.radius[beyond] = other.coefficients, other.radius
            return found

    def _held(self, s: Quantities) -> TaylorForms:
        """Where tables hold all quantities."""
        total, tables = Total(self.tables.outputs, s), self.tables
        if compiled := smooth_loops(s.radius.size, len(self.directions)):
            stored = tables.first, tables.count, tables.start, tables.coefficients, tables.errors, tables.tops(s.degree), *tables.slopes
            compiled.OF_DEGREE[s.degree][0](*s.arrays, *stored, *total.tables.arrays, *total.arrays)
        else:
            for k in range(len(self.directions)):
                total.add(k, *tables.local(k, s.center[k], s.reach[k], s.degree))
        return total.forms()
