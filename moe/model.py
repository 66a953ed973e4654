"""`Model`: a compiled network with its ledger and the task it was compiled from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from ..atlas import ManifoldTask, TaskGraph
from ..atlas.graph import as_graph
from ..atlas.wanted import epsilons, measure, units
from ..errors import InvalidArgument
from ..expressions.given import parts_of
from .beside import Earlier
from .design import Design, design_of
from .grammar import check_network
from .ledger import EVERYWHERE, Claim, Known, Ledger
from .network import Floats, Network
from .promise import ScorePromise
from .sums import Sums

if TYPE_CHECKING:
    from .. import Certificate, Explanation, NeuronOrigin


@dataclass(frozen=True, eq=False)
class Model:
    """What `compile` returns and `save` writes."""

    network: Network
    ledger: Ledger
    task: ManifoldTask | TaskGraph
    facts: Mapping[str, Any]
    """JSON-able: theorem, routing, epsilon, delta (the budget of τ), multiplicity, mu, m, true_width, seconds, seed.

    For a task graph (routing "graph"), beside theorem, epsilon, m, …: depth, pieces (exactly) and blocks.
    """
    design: Design = None  # type: ignore[assignment]
    """Where everything is in the network. For a task on one manifold it may be left out: gate output i of the last layer is chart i."""
    certificate: Certificate | None = None
    """What was proved of this network, where `compile` was asked to prove it; `save` writes it beside the model."""
    beside: Earlier | None = None
    """What the certificate says that lay beside a model that was loaded, if its hashes fit: believed so far, and not checked."""

    def __post_init__(self) -> None:
        parts_of(self, network=Network, ledger=Ledger, task=(ManifoldTask, TaskGraph), facts=Mapping)
        if self.design is None:
            (block,) = as_graph(self.manifold_task).blocks
            promise = ScorePromise.from_facts(self.facts, len(block.names))
            object.__setattr__(self, "design", design_of(self.network, block.name, block.names, block.components, promise))
        check_network(self.network, self.design)
        if self.certificate is not None and self.certificate.network is not self.network:
            object.__setattr__(self, "certificate", None)  # it is about another network
        if self.certificate is not None:
            sure = self.certificate
            names = tuple(taken.name for taken in sure.assumptions)
            object.__setattr__(self, "beside", Earlier(str(sure.status), sure.epsilon, sure.bound, sure.found, names, sure.targets))

    def __repr__(self) -> str:
        network, total = self.network, self.claimed
        experts = len(network.layers[-1]) if self.design.alone else self.facts["experts"]
        shape = f"R^{len(network.inputs)} → R^{len(network.outputs)}, {len(network.layers)} layers, {experts} experts"
        wanted = self.task.wanted
        known = f"{measure(wanted)} ≤ {total.bound:.3g} ({total.known}), {epsilons(wanted) or f'ε = {total.budget:.3g}'}"
        return f"Model({self.task.name!r}: {shape}, {network.parameters:,} parameters in {network.dtype}; {known})"

    @cached_property
    def claimed(self) -> Claim:
        """What the ledger says of |f − Ψ|, no more than it can: of the whole a certificate alone proves something, which is bound to the
        files by their hashes. A ledger that says "proved" for itself is not believed.
        """
        root, beside = self.ledger.root, self.beside
        if root.known is not Known.PROVED or (beside is not None and beside.proved and beside.bound <= root.bound):
            return root
        note = f"the ledger says that {root.bound:.6g} is proved, and no certificate beside it does: certify the model"
        return replace(root, bound=math.inf, known=Known.UNKNOWN, samples=None, witness=None, note=note)

    @cached_property
    def contradicted(self) -> str:
        """What is known that a certificate beside the model cannot be right with; "" if nothing is. `check` is who confirms one."""
        root, beside = self.ledger.root, self.beside
        if beside is None or not beside.proved:
            return ""
        at = [root.witness or (0.0,) * len(self.network.inputs)]
        seen = [("its own search found", beside.found), ("the ledger has", root.bound if root.known is Known.SAMPLED else None)]
        for who, error in seen:
            if error is not None and error > beside.bound and error > beside.bound + self.room(at):
                return f"certificate.json says that |f − Ψ| ≤ {beside.bound:.6g} is proved, but {who} an error of {error:.6g}"
        return ""

    def room(self, points: ArrayLike) -> float:
        """By how much an error that is computed at these points may pass a bound in real arithmetic and say nothing against it: √u of what
        the network computes, u the unit roundoff of its weights; of several targets in units of the smallest ε, as errors are.
        """
        unit = float(units(self.task.wanted).min()) if self.task.wanted else 1.0
        size = float(np.abs(self.network(points)).max(initial=0.0)) / unit
        return float(np.sqrt(np.finfo(self.network.dtype).eps)) * (1 + size)

    @cached_property
    def stated(self) -> Claim:
        """The strongest statement about |f − Ψ|: the ledger's, or where a certificate proves one that is not known otherwise, that."""
        root, beside = self.claimed, self.beside
        if beside is None or not beside.proved or self.contradicted:
            return root
        if root.known in EVERYWHERE and root.bound <= beside.bound:
            return root
        assuming = f", assuming {', '.join(beside.assumptions)}" if beside.assumptions else ""
        note = f"certificate.json{assuming}"
        return replace(root, bound=beside.bound, known=Known.PROVED, samples=None, witness=None, note=note)

    @property
    def manifold_task(self) -> ManifoldTask:
        """The task, for what can only be said of one manifold. Raises `InvalidArgument` for a task graph."""
        if not isinstance(self.task, ManifoldTask):
            raise InvalidArgument(f"{self.task.name!r} is a task graph: it has no one atlas; look at its blocks")
        return self.task

    @property
    def gates(self) -> str:
        """How its gates are evaluated where nothing else is said: "tree" if it was compiled with such a gate, else "flat"."""
        asked = [options.get("gate") for options in self.facts.get("variants", {}).values()]
        return "tree" if "tree" in asked else "flat"

    def __call__(self, x: ArrayLike, sums: Sums | str = Sums.PLAIN, gates: str | None = None) -> Floats:
        """Ψ(x) for ambient points [N, D]; [N, outputs] in the network's dtype. `sums`: their order, "plain", "blocks" or "float64".
        `gates`: "flat", or "tree", affine gates in two levels with the same routes; nothing said, as the model was compiled.
        """
        return self.network(x, sums, self.gates if gates is None else gates)

    @overload
    def explain(self, x: ArrayLike) -> Explanation: ...

    @overload
    def explain(self, *, layer: int, expert: str | int, neuron: int, hidden: int = 1) -> NeuronOrigin: ...

    def explain(
        self, x: ArrayLike | None = None, *, layer: int = 0, expert: str | int = 0, neuron: int = 0, hidden: int = 1
    ) -> Explanation | NeuronOrigin:
        """Which chart or piece won at the point x [D], by what margin, with what error; or which lemma put a neuron there.

        Of a task graph block by block, with every partial output beside the truth. Layers and hidden layers count from 1, neurons
        from 0; `expert` is a name or a gate output, or "gate" or "shared".
        """
        # Explaining is a room above this one. The map of the package knows where it is, and goes there only when it is asked.
        from .. import explain_neuron, explain_point

        return explain_neuron(self, layer, expert, neuron, hidden) if x is None else explain_point(self, x)
