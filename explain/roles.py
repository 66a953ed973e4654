"""What the nets of a layer are for, by the design, and which claims of the ledger speak of a group of neurons."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..moe.model import Model

PARTS = {".psi": ".chart", ".g": ".target"}
"""Of an expert in two hidden layers: end of its group's name ↦ end of the claim on what that group computes."""


@dataclass(frozen=True)
class Role:
    """What one net is for."""

    kind: str
    """gate, shared, encoder or expert."""
    pieces: tuple[tuple[str, str], ...] = ()
    """The (block, piece) that it computes, routes to, or is shared by."""
    scored: tuple[str, ...] = ()
    """Blocks whose scores its layer writes."""
    joined: tuple[str, ...] = ()
    """Combinations that its layer computes."""

    @property
    def said(self) -> dict[str, Any]:
        """As JSON."""
        return {"pieces": [list(pair) for pair in self.pieces], "scores": list(self.scored), "joins": list(self.joined)}


def roles(model: Model, number: int) -> dict[str, Role]:
    """The role of every net of a layer, from 0: gate, shared, encoder, expert0, expert1, …"""
    layer, design = model.network.layers[number], model.design
    sites = [site for site in design.sites if site.layer == number]
    scored = tuple(site.block for site in design.sites if site.scores == number)
    joined = tuple(join.node for join in design.joins if join.layer == number)
    every = tuple((site.block, piece) for site in sites for piece in site.pieces)
    found = {kind: Role(kind, every, scored, joined) for kind in ("gate", "shared", "encoder")}
    for k in range(len(layer.experts)):
        pairs = [
            (site.block, piece)
            for site in sites
            for output, piece in zip(site.outputs, site.pieces, strict=True)
            if layer.serves[output] == k
        ]
        found[f"expert{k}"] = Role("expert", tuple(dict.fromkeys(pairs)), scored, joined)
    return found


def claims_for(model: Model, role: Role, group: str) -> list[str]:
    """Names of the claims that speak of what a group computes: the nearest that the ledger has, the total if it has none.

    Groups called carry pass channels on: `passthrough`. Of an expert: the claim on its chart map or its target where that has neurons of
    its own, else on the expert. Of scores, and of gates: the claims on routing. Of combinations: theirs.
    """
    known = {claim.name for claim in model.ledger}
    found = [next((name for name in names if name in known), None) for names in _wanted(model, role, group)]
    return list(dict.fromkeys(name for name in found if name)) or [model.ledger.root.name]


def _wanted(model: Model, role: Role, group: str) -> Iterator[tuple[str, ...]]:
    """For everything that a group is for, the claims that could say so, the nearest first."""
    if group == "carry":
        yield ("passthrough",)
        return
    if group.startswith("tau") or (role.kind != "gate" and not role.pieces and not role.joined):
        for block in role.scored:
            inside = (f"{_prefix(model, block)}{name}" for name in ("routing.tau", "routing.valid", "routing"))
            yield (*inside, f"block[{block}]", "routing")
        return
    named = [node for node in role.joined if group == f"combine[{node}]"]
    for node in named or role.joined:
        yield (f"combine[{node}]",)
    if named:
        return
    for block, piece in role.pieces:
        prefix = _prefix(model, block)
        if role.kind == "gate":
            yield f"{prefix}routing.valid", f"{prefix}routing", f"block[{block}]", "routing"
        else:
            ending = next((PARTS[end] for end in PARTS if group.endswith(end)), "")
            yield f"{prefix}expert[{piece}]{ending}", f"{prefix}expert[{piece}]", f"block[{block}]"


def _prefix(model: Model, block: str) -> str:
    return "" if model.design.alone else f"block[{block}]."
