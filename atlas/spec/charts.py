"""The `[manifold]` table and the `[[chart]]` tables of a spec, for an atlas that the user writes down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import AtlasMoEError
from ...expressions.box import Box
from ...expressions.maps import ExpressionMap, Formula
from ...expressions.parse import coordinates, wrong_name
from ...expressions.tree import free_names
from ..arguments import MAX_CHARTS, MAX_DIMENSION
from ..atlas import Atlas
from ..chart import Chart
from ..partition import PROFILES, PartitionOfUnity
from .fields import Fields, Symbols, label_of, shown

MAX_COORDINATES = 256
"""The most ambient coordinates of an atlas that the user writes down (before embedding)."""

MANIFOLD_KEYS = ("ambient", "intrinsic", "partition", "partition_power", "region", "embed", "atlas", "charts", "radius", "seed", "arrays")
CHART_KEYS = ("name", "domain", "inverse", "forward", "boundary", "region", "bump", "partition", "target")


Components = tuple[Formula, ...]


@dataclass(frozen=True)
class Written:
    """What a spec says of its manifold; what is wrong in it is missing here, and a finding instead."""

    atlas: Atlas | None
    coordinates: tuple[str, ...] | None
    """The ambient names, which a target may use."""
    targets: tuple[tuple[str, Components | None], ...] = ()
    """The charts by label that have a target of their own."""


def read_charts(fields: Fields, table: Mapping[str, Any], tables: Any) -> Written:
    """The atlas that the `[manifold]` table and the `[[chart]]` tables describe, before any balls or embedding."""
    ambient = read_names(fields, table, "ambient", MAX_COORDINATES)
    intrinsic = read_names(fields, table, "intrinsic", MAX_DIMENSION)
    if ambient is not None and intrinsic is not None:
        for name in sorted(set(ambient) & set(intrinsic)):
            fields.error("manifold", f"the name {name!r} is both ambient and intrinsic", "rename one of the two")
    partition = read_partition(fields, table)
    if tables is None:
        fields.error("chart", "there are no charts", "add a [[chart]] table for each chart, or name a builtin manifold in [manifold]")
        return Written(None, ambient)
    if not isinstance(tables, list):
        fields.error("chart", f"expected a list of tables, got {shown(tables)}", "begin each chart with [[chart]], in double brackets")
        return Written(None, ambient)
    if not 1 <= len(tables) <= MAX_CHARTS:
        fields.error("chart", f"there are {len(tables)} charts", f"give from 1 to {MAX_CHARTS}")
        return Written(None, ambient)
    read = [_chart(fields, number, chart_table, ambient, intrinsic) for number, chart_table in enumerate(tables)]
    _distinct(fields, tables)
    labels = [label_of("chart", number, chart_table) for number, chart_table in enumerate(tables)]
    given = [isinstance(chart_table, Mapping) and "target" in chart_table for chart_table in tables]
    targets = tuple((label, target) for label, there, (_, target) in zip(labels, given, read, strict=True) if there)
    charts = tuple(chart for chart, _ in read if chart is not None)
    if fields.findings or ambient is None or partition is None:
        return Written(None, ambient, targets)
    try:
        return Written(Atlas(ambient, charts, partition), ambient, targets)
    except AtlasMoEError as error:
        fields.failure("manifold", error, "correct the charts")
        return Written(None, ambient, targets)


def read_partition(fields: Fields, table: Mapping[str, Any]) -> PartitionOfUnity | None:
    """`partition` and `partition_power` of the `[manifold]` table."""
    profile, power = table.get("partition", "polynomial"), table.get("partition_power", 4)
    good = True
    if profile not in PROFILES:
        fields.error("manifold", f"unknown partition {shown(profile)}", f"the partitions are {', '.join(PROFILES)}")
        good = False
    if fields.integer(power, "manifold: partition_power", 1, 64) is None:
        good = False
    return PartitionOfUnity(profile, power) if good else None


def read_names(fields: Fields, table: Mapping[str, Any], key: str, most: int, at: str = "manifold") -> tuple[str, ...] | None:
    """The names of coordinates or outputs, valid and distinct."""
    where = f"{at}: {key}"
    if key not in table:
        example = '["x", "y", "z"]' if key == "ambient" else '["u", "v"]'
        fields.error("manifold", f"the key {key!r} is missing", f"name the {key} coordinates, e.g. {key} = {example}")
        return None
    names = fields.sequence(table[key], where, None, "names")
    if names is None:
        return None
    if not 1 <= len(names) <= most:
        fields.error(where, f"there are {len(names)} names", f"give from 1 to {most}")
        return None
    good = True
    for name in names:
        if why := wrong_name(name):
            fields.error(where, f"{shown(name)} {why}", "choose another name")
            good = False
    for name in dict.fromkeys(n for n in names if isinstance(n, str)):
        if names.count(name) > 1:
            fields.error(where, f"the name {shown(name)} is there {names.count(name)} times", "give every coordinate its own name")
            good = False
    good = good and not fields.shadows(names, where)
    return tuple(map(str, names)) if good else None


def _distinct(fields: Fields, tables: list[Any]) -> None:
    """No two charts of the same name."""
    names = [table.get("name") for table in tables if isinstance(table, Mapping)]
    texts = [name for name in names if isinstance(name, str)]
    for name in dict.fromkeys(texts):
        if texts.count(name) > 1:
            fields.error("chart", f"{texts.count(name)} charts are called {shown(name)}", "give every chart its own name")


def _chart(
    fields: Fields, number: int, table: Any, ambient: tuple[str, ...] | None, intrinsic: tuple[str, ...] | None
) -> tuple[Chart | None, Components | None]:
    """One chart and its own target. Expressions are read only when the names in them are known."""
    label = label_of("chart", number, table)
    before = len(fields.findings)
    table = fields.table(table, label, CHART_KEYS)
    for key in ("name", "domain", "inverse"):
        if key not in table:
            fields.error(label, f"the key {key!r} is missing", f"every chart has a name, a domain and an inverse: add {key} = ...")
    name = fields.text(table["name"], f"{label}: name") if "name" in table else None
    d = None if intrinsic is None else len(intrinsic)
    domain = read_domain(fields, table["domain"], f"{label}: domain", d) if "domain" in table else None
    boundary = _boundary(fields, table["boundary"], f"{label}: boundary", d) if "boundary" in table else ()
    if ambient is None or intrinsic is None:
        return None, None
    u, y = coordinates(intrinsic), coordinates(ambient)
    inverse = _map(fields, table, label, "inverse", u, len(y))
    forward = _map(fields, table, label, "forward", y, len(u))
    region = _scalar(fields, table, label, "region", u, {})
    bump = _scalar(fields, table, label, "bump", u, y)
    partition = _scalar(fields, table, label, "partition", u, y)
    target = fields.components(table["target"], f"{label}: target", u) if "target" in table else None
    if len(fields.findings) > before or name is None or domain is None or inverse is None or boundary is None:
        return None, target
    try:
        return Chart(name, domain, inverse, forward, boundary, region, bump, partition), target
    except AtlasMoEError as error:
        fields.failure(label, error, "correct the chart")
        return None, target


def read_domain(fields: Fields, value: Any, where: str, d: int | None) -> Box | None:
    """[[lower, upper], …], one pair of numbers for each intrinsic coordinate."""
    pairs = fields.sequence(value, where, d, "pairs [lower, upper]")
    if pairs is None:
        return None
    bounds: list[tuple[float, float]] = []
    for k, pair in enumerate(pairs):
        ends = fields.sequence(pair, f"{where}[{k}]", 2, "two numbers", "end")
        if ends is None:
            continue
        read = [fields.number(end, f"{where}[{k}][{side}]") for side, end in enumerate(ends)]
        lower, upper = read
        if lower is None or upper is None:
            continue
        if not lower < upper:
            fields.error(f"{where}[{k}]", f"the lower end {lower:g} is not below the upper end {upper:g}", "give [lower, upper]")
            continue
        bounds.append((lower, upper))
    if not bounds or len(bounds) != len(pairs):
        return None
    return Box(tuple(lower for lower, _ in bounds), tuple(upper for _, upper in bounds))


def _boundary(fields: Fields, value: Any, where: str, d: int | None) -> tuple[tuple[bool, bool], ...] | None:
    """[[lower, upper], …]: which faces of the box are boundary of M."""
    pairs = fields.sequence(value, where, d, "pairs [lower, upper] of true or false")
    if pairs is None:
        return None
    for k, pair in enumerate(pairs):
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(isinstance(face, bool) for face in pair):
            fields.error(
                f"{where}[{k}]", f"expected [true or false, true or false], got {shown(pair)}", "say it for the lower and upper face"
            )
            return None
    return tuple((bool(lower), bool(upper)) for lower, upper in pairs)


def _map(fields: Fields, table: Mapping[str, Any], label: str, key: str, symbols: Symbols, outputs: int) -> ExpressionMap | None:
    if key not in table:
        return None
    value = [table[key]] if outputs == 1 and isinstance(table[key], str) else table[key]
    read = fields.expressions(value, f"{label}: {key}", symbols, outputs)
    return None if read is None else ExpressionMap.of(symbols.values(), read)


def _scalar(fields: Fields, table: Mapping[str, Any], label: str, key: str, u: Symbols, y: Symbols) -> ExpressionMap | None:
    """A function of the intrinsic or of the ambient coordinates, by the names that occur in it; constants count as intrinsic."""
    if key not in table:
        return None
    where = f"{label}: {key}"
    read = fields.expression(table[key], where, {**u, **y})
    if read is None:
        return None
    used = free_names(read.tree)
    if used & set(u) and used & set(y):
        fields.error(where, "mixes ambient and intrinsic names", "write it in one kind of coordinates")
        return None
    return ExpressionMap.of((y if used & set(y) else u).values(), (read,))
