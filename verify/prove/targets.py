"""Several targets, proved one by one: each is f and Ψ in its own components, with its own ε.

Behind the last layer nothing mixes outputs, so the network with some of its outputs left out is the same function in the others, and takes
the same routes. What is proved of a target there is proved of the whole network; no bound, tightness or ε of one target enters the proof
of another. A task of one target is its own and only part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...atlas import ManifoldTask, TaskGraph
from ...atlas.graph import as_graph
from ...atlas.targets import parts_of_graph
from ...atlas.wanted import columns
from ...moe.design import Design
from ...moe.ledger import Claim, Known
from ...moe.network import Network
from ...moe.outputs import chosen
from .sites import SiteProof

WHOLE = "for every x ∈ M{}: max_j |f_j(x) − Ψ_j(x)|/ε_j ≤ 1, every target within its own ε, "
REAL = WHOLE.format("") + "Ψ the real-arithmetic function of the stored weights"
BOTH = WHOLE.format("") + "in real arithmetic and evaluated in float64"


@dataclass(frozen=True, eq=False)
class Part:
    """What one target is about."""

    name: str
    """Of the target; empty where there is but one."""
    network: Network
    design: Design
    graph: TaskGraph
    epsilon: float | None
    first: int = 0
    """Its first output among those of the whole network."""

    def called(self, site: str) -> str:
        """What a site of its is called in the whole: of a task on one manifold, where there is but one, like the target."""
        return site if not self.name else self.name if self.graph.blocks[0].given is not None else f"{self.name}/{site}"

    def of_whole(self, site: SiteProof) -> SiteProof:
        """Its site as one of the whole network."""
        last = len(self.network.layers)
        final = self.graph.blocks[0].given is not None or site.folded or site.name == self.graph.output
        moved = tuple((layer, self.first + c) if layer == last and final else (layer, c) for layer, c in site.channels)
        return replace(site, name=self.called(site.name), channels=moved)


def parts_of(network: Network, design: Design, task: ManifoldTask | TaskGraph, epsilon: float | None) -> tuple[Part, ...]:
    """One part for every target, or the whole where there is but one."""
    whole = as_graph(task)
    if not task.wanted:
        return (Part("", network, design, whole, epsilon),)
    found = []
    for graph, (wanted, place) in zip(parts_of_graph(whole), columns(task.wanted), strict=True):
        names = {before.name: block.name for before, block in zip(whole.blocks, graph.blocks, strict=True)}
        sites = tuple(replace(site, block=names[site.block]) for site in design.sites)
        states = (*design.states[:-1], design.states[-1][place])
        alone = chosen(network, place)
        found.append(Part(wanted.name, alone, replace(design, states=states, sites=sites), graph, float(wanted.epsilon), place.start))
    return tuple(found)


def named(target: str, claims: Sequence[Claim]) -> tuple[Claim, ...]:
    """The claims of a target, which say whose they are; of the only one as they are."""
    if not target:
        return tuple(claims)
    return tuple(replace(one, name=f"target[{target}].{one.name}", statement=f"{target}: {one.statement}") for one in claims)


def share(bound: float, epsilon: float) -> float:
    """bound/ε rounded up, but not above 1 where the bound is within ε."""
    found = float(np.nextafter(bound / epsilon, np.inf))
    return min(found, 1.0) if bound <= epsilon else found


def together(task: ManifoldTask | TaskGraph, claims: Mapping[str, Sequence[Claim]], said: str) -> tuple[Claim, ...]:
    """The totals in units of the targets' ε, of the claims of all targets: what the whole task says of its errors, `said` in words."""
    epsilons = {one.name: float(one.epsilon) for one in task.wanted}
    found = []
    for total in next(iter(claims.values())):
        if total.name != "total" and not total.name.startswith("total."):
            continue
        same = {name: next((one for one in own if one.name == total.name), None) for name, own in claims.items()}
        shares = [np.inf if one is None else share(one.bound, epsilons[name]) for name, one in same.items()]
        known = {Known.UNKNOWN if one is None else one.known for one in same.values()}
        how = next((one for one in (Known.REFUTED, Known.UNKNOWN) if one in known), Known.PROVED)
        worst = list(same)[int(np.argmax(shares))]
        statement, note = total.statement, f"the largest is that of {worst}"
        statement = said if total.name == "total" else statement
        found.append(replace(total, statement=statement, budget=1.0, bound=max(shares), known=how, note=note, witness=None))
    return tuple(found)
