"""refutation.json, looked at again: whether f and the network at that point really exclude what is claimed to be refuted."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from ...atlas import Atlas
from ...atlas.graph.pointwise import NotPointwise, Pointwise, Spot, outside
from ...atlas.wanted import columns
from ...errors import AtlasMoEError
from ...expressions.precise import Enclosed, Undefined
from ...moe.typed_json import Fields, parse_json
from .documents import Documents, number_or_none
from .groups import number_from, written_out
from .implicit import single
from .pointwise import Open, embedded, evaluated

REFUTATION = "refutation.json"
FIELDS = ("schema", "task", "refutes", "epsilon", "point", "f", "network", "chosen", "error", "why", "files")
CLAIMS = ("total", "defined", "routing.valid")


class Looked(NamedTuple):
    """What became of a refutation."""

    shown: bool
    rejected: bool
    """Whether something in it is wrong; else, if it is not shown, it is only not decided."""
    words: str


def look(data: bytes, path: Path, found: Documents, hashes: Mapping[str, str]) -> Looked:
    """Evaluate it again. Raises `FolderError` if the file cannot be read for what it is."""
    document = Fields.of(parse_json(data, path), path)
    document.only(*FIELDS, "target")
    if document.integer("schema") != 1:
        raise document.error(f"has schema version {document.integer('schema')}, this version of atlasmoe reads 1")
    refutes, spots = document.text("refutes"), _spots(document, found)
    if refutes not in CLAIMS:
        raise document.error(f'"refutes" is {refutes[:80]!r}, not one of {", ".join(CLAIMS)}')
    epsilon, place = _about(document, found)
    if document.text("task") != found.graph.name or number_or_none(document, "epsilon") != epsilon:
        return Looked(False, True, f"{REFUTATION} is about another task or another ε")
    if document.mapping("files") != dict(hashes):
        return Looked(False, True, f"{REFUTATION} is about other files")
    known = {claim.text("name"): claim.text("known") for claim in found.certificate.children("claims")}
    prefix = f"target[{document.text('target')}]." if "target" in document else ""
    if known.get(f"{prefix}{refutes}", known.get("total")) != "refuted":
        return Looked(False, True, f"{REFUTATION} refutes {refutes}, but the certificate does not say so")
    try:
        return _evaluated(refutes, epsilon, spots, found, place)
    except (NotPointwise, Open, AtlasMoEError, OverflowError) as why:
        return Looked(False, False, f"what the point of {REFUTATION} shows is not decided: {why}")


def _about(document: Fields, found: Documents) -> tuple[float | None, slice]:
    """The ε that it is about, and the components of f: of several targets those of one."""
    if not found.graph.wanted:
        if "target" in document:
            raise document.error("is about one of several targets, and the task has but one")
        return found.epsilon, slice(None)
    name = document.text("target")
    for one, place in columns(found.graph.wanted):
        if one.name == name:
            return float(one.epsilon), place
    raise document.error(f'"target" is {name[:80]!r}, not one of {", ".join(one.name for one in found.graph.wanted)}')


def _evaluated(refutes: str, epsilon: float | None, spots: Mapping[str, Spot], found: Documents, place: slice) -> Looked:
    for node in found.graph.inputs:
        chart = spots[node.name].chart
        tube = None if chart is None or node.box is not None else node.domain.parametrising[chart].tube
        if tube is not None and not single(tube):
            raise Open("the point's chart is not shown to hold one zero of the equations over each of its coordinates")
    pointwise = Pointwise(found.graph, spots)
    if found.snapped and refutes != "defined":
        return Looked(False, False, "gates of groups of balls are what an evaluation makes of them, and exact arithmetic decides nothing")
    if found.grouped and refutes != "defined" and not _of_numbers(spots, found):
        return Looked(False, False, "gates of groups may read there what is no number of the dtype, and nothing is claimed of that")
    truth = pointwise.output[place]
    undefined = next((value for value in truth if isinstance(value, Undefined)), None)
    if refutes == "defined":
        shown = undefined is not None
        return Looked(shown, not shown, f"f has no value there: {undefined}" if shown else f"f has a value at the point of {REFUTATION}")
    reads, start = [], 0
    for node in found.graph.inputs:
        reads += embedded(node.domain.embedding, pointwise.coordinates[start : start + node.base_dimension])
        start += node.base_dimension
    outputs, chosen = evaluated(found.layers, reads)
    if refutes == "routing.valid":
        (block,), (spot,) = found.graph.blocks, spots.values()
        if not isinstance(block.domain, Atlas):
            return Looked(False, True, "the task has no charts that a point could be routed to wrongly")
        copies = max(1, len(found.layers[-1].names) // len(block))  # gate outputs that stand for one chart, one after the other
        why = next((why for j in chosen if (why := outside(block.domain, j // copies, pointwise, spot.chart))), "")
        return Looked(bool(why), not why, why or f"the point of {REFUTATION} is routed to charts that may hold it")
    if epsilon is None:
        return Looked(False, True, "no ε was given that an error could be above")
    if not all(isinstance(value, Enclosed) for value in truth):
        return Looked(False, False, f"whether f has a value at the point of {REFUTATION} is not decided")
    of = next((one.name for one, its in columns(found.graph.wanted) if its == place), "f")
    pairs = [(f, psi) for f, psi in zip(truth, outputs[place], strict=True) if isinstance(f, Enclosed)]
    error = max(max(f.lower - psi.high, psi.low - f.upper) for f, psi in pairs)
    if error > Fraction(epsilon):
        return Looked(True, False, f"|{of} − Ψ| is at least {float(error):.6g} there, above ε = {epsilon:.6g}")
    most = max(max(f.upper - psi.low, psi.high - f.lower) for f, psi in pairs)
    return Looked(False, most <= Fraction(epsilon), f"|f − Ψ| is not above ε = {epsilon:.6g} at the point of {REFUTATION}")


def _of_numbers(spots: Mapping[str, Spot], found: Documents) -> bool:
    """Whether groups read inputs only, which are boxes, and the point has coordinates that are numbers of the dtype, 0 or normal."""
    later = written_out(len(found.layers[0].carries), found.layers[1:], found.dtype).numbers
    boxes = all(node.box is not None for node in found.graph.inputs)
    return boxes and not later and all(number_from(float(u), found.dtype) == u for spot in spots.values() for u in spot.coordinates)


def _spots(document: Fields, found: Documents) -> dict[str, Spot]:
    """The point: for every input of the task a chart, and coordinates that are floats."""
    spots: dict[str, Spot] = {}
    for entry in document.children("point"):
        entry.only("input", "chart", "coordinates")
        node = next((node for node in found.graph.inputs if node.name == entry.text("input")), None)
        if node is None or node.name in spots:
            raise entry.error("is no input of the task, or is there twice")
        coordinates = tuple(_coordinate(part) for part in entry.children("coordinates"))
        chart = None
        if entry["chart"] is not None:
            names = [chart.name for chart in node.domain.parametrising]
            if entry.text("chart") not in names:
                raise entry.error('"chart" is none of the input\'s')
            chart = names.index(entry.text("chart"))
        if len(coordinates) != (node.base_dimension if node.box is not None else node.domain.parametrising[0].dimension):
            raise entry.error(f"has {len(coordinates)} coordinates")
        spots[node.name] = Spot(chart, coordinates)
    if set(spots) != {node.name for node in found.graph.inputs}:
        raise document.error('"point" does not say where it lies on every input')
    return spots


def _coordinate(part: Fields) -> Fraction:
    """A float, in hexadecimal and as a fraction."""
    part.only("hex", "fraction")
    try:
        number, (numerator, denominator) = float.fromhex(part.text("hex")), part.text("fraction").split("/")
        if Fraction(number) == Fraction(int(numerator), int(denominator)):
            return Fraction(number)
    except (ValueError, OverflowError, ZeroDivisionError):
        pass
    raise part.error('"hex" and "fraction" are not one finite number')
