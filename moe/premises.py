"""What a proof about charts may have to assume of a task, word by word.

The statements are fixed texts, so that whoever checks a certificate knows which ones there can be.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..atlas import Atlas, Block, CallableTarget, Chart, TaskGraph
from ..atlas.declared import Declared
from ..atlas.targets import parts
from .ledger import Assumption


def agreement(chart: str, other: str) -> Assumption:
    """Of two charts of which exact arithmetic does not show that they agree."""
    statement = f'M is a manifold in which the images of charts "{chart}" and "{other}" are open and agree where they meet'
    return Assumption(f"open[{chart}, {other}]", statement)


def faces(chart: str) -> Assumption:
    """Of points that another chart has on boundary faces of this one, up to what enclosures add."""
    statement = f'M does not go on behind the boundary faces of chart "{chart}" (by less than 1e-6 of its width)'
    return Assumption(f"faces[{chart}]", statement)


def support(chart: str) -> Assumption:
    """Of a chart without a forward map, whose bump says where it is."""
    return Assumption(f"support[{chart}]", f'the bump of chart "{chart}", which has no forward map, is 0 off its image')


def declared(target: CallableTarget) -> Assumption:
    """Of a Python function of which constants are declared, from which alone it is enclosed."""
    said = Declared(target.name, target.values, 1, target.outputs, target.lipschitz, target.second_derivative)
    return Assumption(f"declared[{target.name}]", said.statement)


def enclosed(target: CallableTarget) -> Assumption:
    """Of a Python function that brings an enclosure of its own, which alone knows it on boxes."""
    return Assumption(f"enclosure[{target.name}]", f"the enclosure that the Python function {target.name!r} declares holds it on every box")


def of_block(block: str, taken: Assumption) -> Assumption:
    """The same about the charts of a block of a task graph."""
    return Assumption(f"block[{block}].{taken.name}", f"{block}: {taken.statement}")


def of_target(target: str, taken: Assumption) -> Assumption:
    """The same about one of several targets."""
    return Assumption(f"target[{target}].{taken.name}", f"{target}: {taken.statement}")


def standing(graph: TaskGraph) -> Iterator[Assumption]:
    """What is assumed of a task graph whatever is proved: that what a block on charts reads lies on the manifold of its charts.

    Not of one that reads all of an input that has these very charts. And what is declared of a Python function: constants, or an enclosure.
    """
    for block in graph.blocks:
        atlas = block.atlas
        for name, function in _in_python(block):
            if function.declares:
                yield of_target(name, declared(function)) if name else declared(function)
            if function.enclosure is not None:
                yield of_target(name, enclosed(function)) if name else enclosed(function)
        own = block.given is not None or any(node.components == block.reads and _same(node.atlas, atlas) for node in graph.inputs)
        if atlas is not None and not own:
            statement = f"what {block.name} reads lies on the manifold of its charts, wherever it is to hold"
            yield Assumption(f"manifold[{block.name}]", statement)


def about(graph: TaskGraph) -> str:
    """What a claim about all of M has to add where inputs take finitely many values; empty where none does."""
    finite = [node for node in graph.inputs if node.values]
    if not finite:
        return ""
    if graph.cases is not None:
        return f"; M is the {graph.cases:,} points whose coordinates take the values of their inputs"
    return f"; coordinates of {', '.join(node.name for node in finite)} take the values of their inputs only"


def possible(graph: TaskGraph, alone: bool) -> Iterator[Assumption]:
    """All that a certificate of the task may assume."""
    yield from standing(graph)
    for block in graph.blocks:
        for name, function in _in_python(block):
            if function.enclosure is None:  # which was there when it was proved; a folder keeps the name of a function only
                yield of_target(name, enclosed(function)) if name else enclosed(function)
        if block.atlas is not None:
            for taken in _of_charts(block.atlas):
                yield taken if alone else of_block(block.name, taken)


def _in_python(block: Block) -> Iterator[tuple[str, CallableTarget]]:
    """The Python functions that it computes, with the name of their target where there are several."""
    if block.given is None:
        return
    names = [one.name for one in block.given.wanted] or [""]
    for name, part in zip(names, parts(block.given), strict=True):
        for function in part.target.functions_in_python:
            yield name, function


def _of_charts(atlas: Atlas) -> Iterator[Assumption]:
    for chart in atlas.parametrising:
        yield faces(chart.name) if chart.forward is not None else support(chart.name)
        yield from (agreement(chart.name, other.name) for other in atlas.parametrising if other is not chart)


def _same(a: Atlas | None, b: Atlas | None) -> bool:
    """Whether two atlases are the same charts."""
    if a is None or b is None or a is b:
        return a is b
    return len(a.parametrising) == len(b.parametrising) and all(map(_same_chart, a.parametrising, b.parametrising))


def _same_chart(a: Chart, b: Chart) -> bool:
    regions = [None if chart.region is None else chart.region.trees for chart in (a, b)]
    return (a.domain, a.boundary, a.inverse.trees, regions[0]) == (b.domain, b.boundary, b.inverse.trees, regions[1])
