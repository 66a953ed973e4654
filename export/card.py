"""The model card: README.md of a model folder, in the form the Hugging Face hub shows."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..atlas import CallableTarget, ExpressionTarget, ManifoldTask, StackedTarget, Target, TaskGraph
from ..atlas.graph import as_graph
from ..moe import Claim, Model, Network
from ..moe.premises import standing

LONGEST_FORMULA = 200
MOST_CLAIMS = 16
MOST_NODES = 8
MOST_DIGITS = 10**24
"""Larger counts of pieces are shown by their size."""


def model_card(model: Model) -> str:
    """Markdown with YAML front matter: what is approximated, by which theorem, how large, how well, and how to load it."""
    network, facts, graph = model.network, model.facts, as_graph(model.task)
    root, sampled = model.claimed, graph.sample(1, seed=0)[0]
    point = ", ".join(f"{v:.6g}" for v in sampled[:4]) + (", …" if len(sampled) > 4 else "")
    widths = " / ".join("×".join(map(str, _widest(layer.experts))) for layer in network.layers)
    sizes = {
        "theorem": facts.get("theorem", "–"),
        "routing": facts.get("routing", "–"),
        **_counts(model, graph),
        "layers": len(network.layers),
        "form": model.design.form,
        "m (the theorem's width)": facts.get("m", "–"),
        "activation of experts": _activations(network),
        "true hidden widths, layer by layer": widths,
        "parameters stored": f"{network.parameters:,}",
        "parameters used per input": f"{network.active_parameters:,}",
        "dtype": network.dtype,
        "seed": facts.get("seed", "–"),
    }
    return f"""---
library_name: atlasmoe
model_name: {json.dumps(graph.name)}
tags: [mixture-of-experts, function-approximation, manifold, {", ".join(_bends(network))}, atlasmoe]
---

# {_inline(graph.name)}

A mixture of experts, {_made(model)}, for {_described(graph)}
{_run(model)}

| | |
|---|---|
{_rows(sizes)}
{_tried(model)}
## How good it is

Claimed: {_inline(root.statement)}; {_bound(root)}.{_proved(model)}

| claim | statement | source | budget | bound | known | holds |
|---|---|---|---|---|---|---|
{_claims(root)}

The full tree of {sum(1 for _ in model.ledger)} claims is in `ledger.json`; `atlasmoe verify` checks it on these weights.

`atlasmoe certify` proves what it can for every point, and `atlasmoe check` confirms it; `certificate.json`, where there is one, says what
is proved{_assuming(graph)}.

## How to load it

```python
import torch
import atlasmoe
model = atlasmoe.load(".")         # checks every hash; numpy
module = atlasmoe.to_torch(model)  # torch.nn.Module
y = module(torch.tensor([[{point}]]))
```

Inputs: {_names(graph.read)}{_called(graph)}. Outputs: {_names(network.outputs)}.
"""


def _called(graph: TaskGraph) -> str:
    """What the inputs are images of, where they are no coordinates of the task."""
    return "" if graph.read == graph.coordinates else f", an isometric image of {_names(graph.coordinates)}"


def _made(model: Model) -> str:
    """How its weights came about."""
    return "compiled, and changed afterwards" if "changed" in model.facts else "compiled and not trained"


def _proved(model: Model) -> str:
    """What a certificate proves that the ledger does not say."""
    beside = model.beside
    if beside is None or not beside.proved or model.contradicted:
        return ""
    assuming = f", assuming {_inline(', '.join(beside.assumptions))}" if beside.assumptions else ""
    seen = "" if beside.found is None else f"; the largest error found is {beside.found:.4g}"
    each = "; ".join(f"|{_inline(name)} − Ψ| ≤ {bound:.6g} (ε = {epsilon:.6g})" for name, epsilon, bound in beside.targets)
    return f"\n\n**Proved for every point: {each or f'|f − Ψ| ≤ {beside.bound:.6g}'}** (`certificate.json`{assuming}){seen}."


def _assuming(graph: TaskGraph) -> str:
    """What every proof of this task assumes; others may turn out to be needed, and are then named there."""
    names = ", ".join(f"`{_inline(taken.name)}` ({_inline(taken.statement)})" for taken in standing(graph))
    return f", assuming {names}" if names else ", and what that assumes, if anything"


def _counts(model: Model, graph: TaskGraph) -> dict[str, object]:
    """How many experts, and of several blocks how many pieces they have together."""
    if model.design.alone:
        return {"experts E": graph.subtasks}
    pieces = graph.pieces
    return {
        "blocks L": len(graph.blocks),
        "experts, all blocks": graph.subtasks,
        "pieces, ∏ E_l": f"{pieces:,}" if pieces < MOST_DIGITS else f"about 10^{len(str(pieces)) - 1}",
    }


def _described(graph: TaskGraph) -> str:
    """What is approximated, in a sentence."""
    given = graph.blocks[0].given if graph.blocks else None
    return _function(given) if given is not None else _composed(graph)


def _function(task: ManifoldTask) -> str:
    atlas = task.atlas
    manifold = f"a {atlas.dimension}-dimensional manifold in R^{atlas.ambient_dimension} with {len(atlas)} charts"
    return f"the function {_formula(task.target)}\non {manifold}."


def _composed(graph: TaskGraph) -> str:
    inputs = ", ".join(f"`{_inline(i.name)}` ({'manifold' if i.box is None else 'box'})" for i in graph.inputs[:MOST_NODES])
    more = ", …" if len(graph.inputs) > MOST_NODES else ""
    blocks, combines = len(graph.blocks), len(graph.combines)
    parts = f"{blocks} block{'s'[: blocks != 1]} and {combines} combination{'s'[: combines != 1]}"
    return f"a task graph of {parts}\non the product of {inputs}{more} in R^{graph.ambient_dimension}; see `task.toml`."


def _run(model: Model) -> str:
    """How many experts an input meets."""
    counts = [layer.top_k + (layer.shared is not None) for layer in model.network.layers]
    return f"Every input runs through {'one expert' if set(counts) == {1} else f'{max(counts)} experts at most'} per layer."


def _tried(model: Model) -> str:
    """The routers that were tried and left, with why."""
    lines = [f"- block `{_inline(t['block'])}`, {t['router']}: {_inline(t['why'])}" for t in model.facts.get("tried", ())]
    return "\n".join(["", "## What was tried, and left", "", *lines, ""]) if lines else ""


def _bends(network: Network) -> list[str]:
    """The names of all activations, those of the last layer's experts first."""
    nets = [net for layer in reversed(network.layers) for net in (*layer.experts, *layer.nets)]
    return list(dict.fromkeys(activation.name for net in nets for parts in net.activations for _, activation in parts)) or ["affine"]


def _activations(network: Network) -> str:
    """What experts of the last layer compute, neurons counted."""
    counts: dict[str, int] = {}
    for net in network.layers[-1].experts:
        for up, parts in zip(net.ups, net.activations, strict=True):
            for rows, activation in parts:
                name = f"{activation.name}{'' if up is None else ' lanes'}"
                counts[name] = counts.get(name, 0) + rows.stop - rows.start
    return ", ".join(f"{name} ({count:,})" for name, count in counts.items()) or "none: they are affine maps"


def _widest(experts: tuple) -> list[int]:
    """Per hidden layer, the width of the widest expert."""
    depth = max(len(net.widths) for net in experts)
    return [max(net.widths[j] for net in experts if j < len(net.widths)) for j in range(depth)]


def _formula(target: Target) -> str:
    match target:
        case CallableTarget():
            return f"{_inline(target.name)} (a Python function)"
        case ExpressionTarget():
            text = ", ".join(target.function.texts)
            return f"`{text}`" if len(text) <= LONGEST_FORMULA and "`" not in text else "given in `task.toml`"
        case StackedTarget(parts=listed):
            return "; ".join(map(_formula, listed))
    return "given chart by chart in `task.toml`"


def _claims(root: Claim) -> str:
    lines = []
    for depth, claim in [(0, root), *((1, child) for child in root.children[:MOST_CLAIMS])]:
        sense = {"<=": "≤", ">=": "≥", ">": ">"}[claim.sense]
        name = f"**{_inline(claim.name)}**" if depth == 0 else _inline(claim.name)
        known = f"{claim.known} ({claim.samples:,} points)" if claim.samples else str(claim.known)
        cells = (name, _inline(claim.statement), _inline(claim.source), f"{sense} {claim.budget:.4g}", f"{claim.bound:.4g}", known)
        lines.append(f"| {' | '.join(cells)} | {'yes' if claim.holds else '**no**'} |")
    if len(root.children) > MOST_CLAIMS:
        lines.append(f"| … {len(root.children) - MOST_CLAIMS} more | | | | | | |")
    return "\n".join(lines)


def _bound(claim: Claim) -> str:
    points = f" at {claim.samples:,} points" if claim.samples else ""
    return f"bound {claim.bound:.4g} for a budget of {claim.budget:.4g}, {claim.known}{points}"


def _names(names: tuple[str, ...]) -> str:
    shown = ", ".join(f"`{_inline(name)}`" for name in names[:8])
    return shown if len(names) <= 8 else f"{shown}, … ({len(names)} in all)"


def _rows(cells: Mapping[str, object]) -> str:
    return "\n".join(f"| {key} | {_inline(str(value))} |" for key, value in cells.items())


def _inline(text: str) -> str:
    """Text that stays within its table cell: one line, and no bars."""
    return " ".join(text.split()).replace("|", "\\|")
