"""`Model`: a compiled network with its ledger and the task it was compiled from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike

from ..atlas import ManifoldTask
from .ledger import Ledger
from .network import Floats, Network


@dataclass(frozen=True, eq=False)
class Model:
    """What `compile` returns and `save` writes."""

    network: Network
    ledger: Ledger
    task: ManifoldTask
    facts: Mapping[str, Any]
    """JSON-able: theorem, routing, epsilon, delta (the budget of τ), multiplicity, mu, m, true_width, seconds, seed."""

    def __call__(self, x: ArrayLike) -> Floats:
        """Ψ(x) for ambient points [N, D]; [N, outputs] in the network's dtype."""
        return self.network(x)
