"""`Explanation` and `NeuronOrigin` for people: who won, by how much, and what that is worth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..atlas.wanted import IN_UNITS
from ..explain import BlockChoice, Explanation, LayerStep, LookedUp, NeuronOrigin, Partial, Score
from .listing import RIGHT, Listing, Row

MOST = 8
"""Coordinates, outputs, charts or terms that are shown."""
BEST = 3
"""Charts of a block of a graph that are shown."""
FORMULA = 100
"""Characters of a formula."""
COLUMNS = (("computed", RIGHT), ("true", RIGHT), ("error", RIGHT))


def point(found: Explanation) -> RenderableType:
    """The point, the layers, the choice of every block, the output beside the truth."""
    head = [("x", _point(found)), ("on M" if found.alone else "domain", _domain(found))]
    head += [(f"layer {step.layer}", _layer(step, found.alone)) for step in found.layers]
    result = [("output", _some(f"{name} = {value:.8g}" for name, value in found.output.items()))]
    if found.truth is not None:
        result.append(
            ("truth", _called(found.truth, _outputs(found), 8) if found.alone else _some(f"{value:.8g}" for value in found.truth))
        )
        units = f", {IN_UNITS}" if found.targets else ""
        result.append(("error", f"{found.error:.3g} here{units}; {_everywhere(found)}"))
        result += [(one.name, f"{one.error:.3g} here; ε of {one.name} is {one.epsilon:.3g}") for one in found.targets]
    if not found.alone:
        return Group(_facts(head), Text(), Listing("", "component", COLUMNS, list(_components(found))), _facts(result))
    if found.local is not None:
        head.append(("local", f"φ(x) = {_called(found.local, found.blocks[-1].local_names)} in chart {found.chart}"))
    return Group(_facts(head + result), Text(), _best(found.scores))


def _everywhere(found: Explanation) -> str:
    """What is known of the error at all points: what sampling saw is no bound."""
    if found.known == "refuted":
        mend = "`atlasmoe check`" if found.source.startswith("certificate.json") else "`atlasmoe verify`"
        return f"{found.source} says at most {found.bound:.3g} everywhere, which this point refutes: {mend} looks at all that it says"
    if found.known == "unknown":
        return f"of {'all of M' if found.alone else 'the whole domain'} nothing is known (ledger.json)"
    if found.known == "sampled":
        return f"on samples of {'M' if found.alone else 'the domain'} up to {found.bound:.3g} (sampled, not proved)"
    seen = "" if found.found is None else f", {found.found:.3g} the largest found"
    how = f"{found.known}: {found.source}"
    whole = "all of M" if found.alone else "the whole domain"
    return f"over {whole} at most {found.bound:.3g} ({how}){seen}"


def neuron(origin: NeuronOrigin) -> RenderableType:
    """Name, origin, and what the neuron reads and writes."""
    writes = _shortened([f"{weight:.6g} to {name}" for name, weight in origin.writes.items()]) or "nothing"
    return _facts(
        [
            ("neuron", f"{origin.name}, number {origin.index} of hidden layer {origin.hidden}"),
            ("of", f"expert {origin.expert}, layer {origin.layer}"),
            ("origin", origin.origin),
            ("computes", origin.formula),
            ("w·x + b", _combination(origin.reads, origin.bias)),
            *([] if origin.times is None else [("v·x + c", _combination(origin.times, origin.times_bias or 0.0))]),
            ("writes", writes),
        ]
    )


def _facts(lines: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for label, value in lines:
        table.add_row(label, Text(value))  # as text: names like tau[north] are no markup
    return table


def _best(scores: Sequence[Score]) -> Table:
    table = Table("chart", "ρ", "τ", box=None, header_style="bold", title="best charts", title_justify="left")
    for k, score in enumerate(scores[:MOST]):
        table.add_row(Text(score.chart), _rho(score), f"{score.tau:.6g}", style="green" if k == 0 else None)
    return table


def _rho(score: Score) -> str:
    return "–" if score.rho is None else f"{score.rho:.6g}"


def _point(found: Explanation) -> str:
    values = found.coordinates
    shown = (
        _called(tuple(values.values()), tuple(values)) if found.alone else _some(f"{name} = {value:.6g}" for name, value in values.items())
    )
    return shown + ("" if len(values) == len(found.point) else f", embedded in R^{len(found.point)}")


def _domain(found: Explanation) -> str:
    if found.on_manifold is None:
        return "unknown: the charts have no forward maps"
    if found.on_manifold:
        return "yes"
    if not found.alone:
        return f"no: {'; '.join(found.outside)}: nothing is claimed here"
    near = found.distance is not None and math.isfinite(found.distance)
    why = f"|φ⁻¹(φ(x)) − x| = {found.distance:.3g}" if near else "no chart's box contains φ(x)"
    return f"no ({why}): nothing is claimed here"


def _layer(step: LayerStep, alone: bool) -> str:
    if not step.matters:
        won = "all experts are equal" if alone else ""
    elif len(step.chosen) > 1:
        rest = "" if step.runner_up is None else f", leading by {step.margin:.6g} before {step.runner_up}"
        won = f"{' + '.join(f'{weight:.4g}·{name}' for name, weight in step.chosen)}{rest}"
    elif step.runner_up is None:
        won = f"{step.expert} (the only one)"
    elif step.margin > 0:
        won = f"{step.expert} won by {step.margin:.6g} before {step.runner_up}"
    else:
        won = f"{step.expert}, tied with {step.runner_up}: the first wins"
    parts = [
        part
        for part in ("" if alone else step.does, won, _list(step.looked_up), "and what all points share" if step.shared else "")
        if part
    ]
    return ": ".join(parts[:2]) + "".join(f", {part}" for part in parts[2:])


def _list(found: LookedUp | None) -> str:
    """Which list of a gate in two levels was used."""
    if found is None:
        return ""
    where = f"list {found.group} of {found.groups}" if found.group is not None else "no list"
    return f"looked up in {where}, {found.candidates} candidates"


def _components(found: Explanation) -> Iterator[Row]:
    """Every value that is computed; below the first of a block where it was routed, and below each of a block its formula."""
    for choice in sorted(found.blocks, key=lambda choice: choice.layer):
        style = "red" if choice.right is False else ""
        for k, part in enumerate(choice.outputs):
            formula = f"{part.name} = {choice.subtask[k]}" if choice.subtask else part.name
            cut = formula if len(formula) <= FORMULA else f"{formula[: FORMULA - 1]}…"
            sentence = Text(f"{_choice(choice)}\n{cut}" if k == 0 else cut, style)
            yield Row(Text(part.name, style or "bold"), _numbers(part), sentence)
    for part in found.combines:
        yield Row(Text(part.name, "bold"), _numbers(part), Text("a combination", "dim"))


def _choice(choice: BlockChoice) -> str:
    """Where a block was routed, and by what margin."""
    taken = " + ".join(f"{weight:.4g}·{name}" for name, weight in choice.chosen) if len(choice.chosen) > 1 else choice.piece
    wrong = f", but the point belongs to {' or '.join(choice.holds)}" if choice.right is False else ""
    reads = _some(f"{part.name} = {part.value:.6g}" for part in choice.reads)
    if math.isinf(choice.margin):
        margin = "the only one"
    elif choice.margin_of == "interface":
        margin = f"{choice.margin:.3g} from an interface" if choice.margin > 0 else "on an interface"
    else:
        margin = f"score leads by {choice.margin:.3g}, before {choice.runner_up}"
        margin += "; ρ and τ: " + ", ".join(f"{s.chart} {_rho(s)} and {s.tau:.6g}" for s in choice.scores[:BEST])
    return f"block {choice.block}, layer {choice.layer}, reads {reads}: {taken}{wrong} ({margin})"


def _numbers(part: Partial) -> tuple[Text, Text, Text]:
    computed = "in the output" if part.value is None else f"{part.value:.8g}"
    truth = "–" if part.truth is None else f"{part.truth:.8g}"
    return Text(computed), Text(truth), Text("–" if part.error is None else f"{part.error:.3g}")


def _some(texts: Iterator[str]) -> str:
    listed = list(texts)
    return ", ".join(listed[:MOST]) + (f", … {len(listed)} in all" if len(listed) > MOST else "")


def _called(values: tuple[float, ...], names: Sequence[str], digits: int = 6) -> str:
    """The numbers, each with the name that the user gave it; in parentheses where there are several that nobody named."""
    plain = [[f"{letter}{k + 1}" for k in range(len(values))] for letter in "xu"] + [[str(k) for k in range(len(values))], ["x"]]
    if len(names) != len(values) or list(names) in plain:
        return _vector(values, digits) if len(values) > 1 else f"{values[0]:.{digits}g}"
    return _some(f"{name} = {value:.{digits}g}" for name, value in zip(names, values, strict=True))


def _outputs(found: Explanation) -> list[str]:
    """The names of the outputs, without the brackets of their channels."""
    return [channel.removeprefix("y[").removesuffix("]") for channel in found.output]


def _vector(values: tuple[float, ...], digits: int = 6) -> str:
    shown = ", ".join(f"{value:.{digits}g}" for value in values[:MOST])
    return f"({shown}, … {len(values)} in all)" if len(values) > MOST else f"({shown})"


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
