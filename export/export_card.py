"""README.md of what was exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..moe import Model

if TYPE_CHECKING:
    from .formats import Format, Written

CARD = "README.md"
PROVED = "## What is proved\n"
"""The last section, which is written anew when more is proved."""


def card(model: Model, form: Format, written: Written, done: Mapping[str, Any]) -> str:
    """What it is, how to use it, how it was compared with the network, and what is proved of it."""
    found = done["comparison"]
    lines = [
        f"# {' '.join(model.task.name.split())}, as {done['format']}",
        "",
        f"A mixture of experts, compiled by atlasmoe: {model.ledger.root.statement}, ε = {model.ledger.root.budget:.3g}. "
        f"{done['numbers']:,} numbers, {written.network.dtype}.",
        "",
        written.use,
        "",
        "## Is it the same function?",
        "",
        f"{done['standing'].capitalize()}: {done['because']}.",
        "",
    ]
    if found is None:
        lines.append(f"It was {done['how']}.")
    else:
        lines += [
            f"Run with {done['how']}, at {found['points']:,} points, {found['hardest']:,} of them ties, interfaces, corners "
            "and worst points:",
            "",
            "| | |",
            "|---|---|",
            f"| largest difference from the network, along the same routes | {found['difference']:.3g} |",
            f"| points that take another way | {found['flips']} |",
            f"| points that take another way where logits are tied | {found['ties']} |",
            f"| largest error | {found['error']:.3g} |",
        ]
    return "\n".join([*lines, "", f"{form.summary}.", "", proved_section(done)])


def proved_section(done: Mapping[str, Any]) -> str:
    """What a certificate proves of these files for every point, from export.json."""
    proof = done["proof"]
    if not proof["proved"]:
        said = "nor, as it was not run here, is anything measured" if done["comparison"] is None else "what is above was measured"
        return f"{PROVED}\nNothing, {said}. {proof['why'][:1].upper()}{proof['why'][1:]}.\n"
    where = "model/certificate.json" if proof.get("inside") else "certificate.json, a copy"
    named = (
        "which names this engine" if proof["named"] else "carried over because these files hold the same weights and add up in some order"
    )
    checked = "this folder" if proof.get("inside") else "the folder of the model"
    lines = [
        PROVED,
        f"|f(x) − Ψ̂(x)| ≤ {proof['bound']:.6g} for every point x of M, Ψ̂ what these files compute: claim `{proof['claim']}` of {where}, "
        f"{named}.",
        "",
        f"Certificate {proof['root']}; `atlasmoe check` of {checked} confirms it.",
        "",
        *(f"* assumed: {taken}" for taken in proof["assumed"]),
    ]
    return "\n".join([*lines, ""])
