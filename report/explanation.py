"""`Explanation` and `NeuronOrigin` for people: who won, by how much, and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..explain.point import Explanation, NeuronOrigin

MOST = 8


def point(found: Explanation) -> RenderableType:
    """Routes, scores of the best charts, local coordinates, value beside the truth."""
    facts = _facts()
    _add(facts, "x", _vector(found.base) + ("" if len(found.base) == len(found.point) else f", embedded in R^{len(found.point)}"))
    _add(facts, "on M", _on_manifold(found))
    for choice in found.choices:
        _add(facts, f"layer {choice.layer}", _margin(choice.expert, choice.margin, choice.runner_up, choice.matters))
    if found.local is not None:
        _add(facts, "local", f"φ(x) = {_vector(found.local)} in chart {found.chart}")
    _add(facts, "output", ", ".join(f"{name} = {value:.8g}" for name, value in list(found.output.items())[:MOST]))
    if found.truth is not None:
        _add(facts, "truth", _vector(found.truth, 8))
        _add(facts, "error", f"{found.error:.3g} here; over all of M the ledger says {found.bound:.3g} ({found.known})")
    if not found.scores:
        return facts
    scores = Table("chart", "ρ", "τ", box=None, header_style="bold", title="best charts", title_justify="left")
    for k, score in enumerate(found.scores[:MOST]):
        rho = "–" if score.rho is None else f"{score.rho:.6g}"
        scores.add_row(Text(score.chart), rho, f"{score.tau:.6g}", style="green" if k == 0 else None)
    return Group(facts, Text(), scores)


def neuron(origin: NeuronOrigin) -> RenderableType:
    """Name, origin, and what the neuron reads and writes."""
    facts = _facts()
    _add(facts, "neuron", f"{origin.name}, number {origin.index} of hidden layer {origin.hidden}")
    _add(facts, "of", f"expert {origin.expert}, layer {origin.layer}")
    _add(facts, "origin", origin.origin)
    _add(facts, "reads", _combination(origin.reads, origin.bias))
    _add(facts, "writes", _shortened([f"{weight:.6g} to {name}" for name, weight in origin.writes.items()]) or "nothing")
    return facts


def _facts() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table


def _add(table: Table, label: str, value: str) -> None:
    table.add_row(label, Text(value))  # as text: names like tau[north] are no markup


def _vector(values: tuple[float, ...], digits: int = 6) -> str:
    shown = ", ".join(f"{value:.{digits}g}" for value in values[:MOST])
    return f"({shown}, … {len(values)} in all)" if len(values) > MOST else f"({shown})"


def _on_manifold(found: Explanation) -> str:
    if found.on_manifold is None:
        return "unknown: the charts have no forward maps"
    if found.on_manifold:
        return "yes"
    assert found.distance is not None
    far = "no chart's box contains φ(x)" if math.isinf(found.distance) else f"|φ⁻¹(φ(x)) − x| = {found.distance:.3g}"
    return f"no ({far}): nothing is claimed here"


def _margin(expert: str, margin: float, runner_up: str | None, matters: bool) -> str:
    if not matters:
        return "all experts are equal"
    if runner_up is None:
        return f"{expert} (the only one)"
    return f"{expert} won by {margin:.6g} before {runner_up}" if margin > 0 else f"{expert}, tied with {runner_up}: the first wins"


def _combination(weights: Mapping[str, float], bias: float) -> str:
    """Σ weight·name + bias, as one would write it."""

    def term(value: float, name: str) -> str:
        size = name if name and abs(value) == 1 else f"{abs(value):.6g}" + (f"·{name}" if name else "")
        return f"{'−' if value < 0 else '+'} {size}"

    shown = _shortened([term(weight, name) for name, weight in weights.items()], " ")
    everything = " ".join(part for part in (shown, term(bias, "") if bias else "") if part) or "0"
    return "−" + everything[2:] if everything.startswith("− ") else everything.removeprefix("+ ")


def _shortened(terms: list[str], separator: str = "; ") -> str:
    return separator.join(terms[:MOST] + (["…"] if len(terms) > MOST else []))
