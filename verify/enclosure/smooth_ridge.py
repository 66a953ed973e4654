"""Ridge structure of smooth activations: neurons whose stored rows are one direction up to sign, enclosed profile by profile."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atlas import Array
from ...moe.activations import Activation
from . import jets
from .fast import smooth_loops
from .few import LEAST_DEGREE, Few, FewTotal, Span
from .powers import Quantities, Total, monomials
from .smooth_neurons import SmoothNeurons
from .table import LEVEL, Tables
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

    @cached_property
    def span(self) -> Span | None:
        """None where the directions span many dimensions."""
        return Span.of(self.directions)

    @cached_property
    def _weights(self) -> dict[int, Array]:
        return {}

    def quantities(self, forms: TaylorForms) -> Quantities | Few:
        """a_k·x, by few of them where these span all."""
        n = forms.degree
        if n < LEAST_DEGREE or self.span is None:
            return Quantities.of(self.directions, None, forms)
        if n not in self._weights:
            self._weights[n] = self.span.weights(n)
        return Few.of(self.span, self._weights[n], forms)

    def __call__(self, forms: TaylorForms) -> TaylorForms:
        """The sum over inputs x with these forms (n functions): q functions."""
        with np.errstate(all="ignore"):
            known = forms.radius.max(1) < UNKNOWN
            s = self.quantities(forms)
            held = np.asarray(self.tables.holds(s.center, s.reach).all(0))
            found = self._held(s if held.all() else s.where(held)).unknown_where(~(known & held)[:, None])
            beyond = np.flatnonzero(known & ~held)
            if len(beyond):
                other = self.scattered(forms.subset(beyond))
                found.coefficients[beyond], found.radius[beyond] = other.coefficients, other.radius
            return found

    def _held(self, s: Quantities | Few) -> TaylorForms:
        """Where tables hold all quantities."""
        return self._spanned(s) if isinstance(s, Few) else self._summed(s)

    def _spanned(self, s: Few) -> TaylorForms:
        total, tables = FewTotal(self.tables.outputs, s), self.tables
        if compiled := smooth_loops(s.own.size, len(self.directions)):
            stored = tables.first, tables.count, tables.start, tables.coefficients, tables.errors, tables.tops(s.degree), *tables.slopes
            degrees = monomials(total.variables, s.degree).degrees
            compiled.OF_DEGREE[s.degree][2](s.center, s.own, s.reach, s.weights, *stored, degrees, LEVEL, *total.arrays)
        else:
            for k in range(len(self.directions)):
                total.add(k, *tables.local(k, s.center[k], s.reach[k], s.degree))
        return total.forms()

    def _summed(self, s: Quantities) -> TaylorForms:
        total, tables = Total(self.tables.outputs, s), self.tables
        if compiled := smooth_loops(s.radius.size, len(self.directions)):
            stored = tables.first, tables.count, tables.start, tables.coefficients, tables.errors, tables.tops(s.degree), *tables.slopes
            compiled.OF_DEGREE[s.degree][0](*s.arrays, *stored, *total.tables.arrays, LEVEL, *total.arrays)
        else:
            for k in range(len(self.directions)):
                total.add(k, *tables.local(k, s.center[k], s.reach[k], s.degree))
        return total.forms()
