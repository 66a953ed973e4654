"""`[[target]]`: several targets on one atlas, or in the output of a graph, each with its name and its own ε; read and written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...errors import AtlasMoEError
from ...expressions.parse import wrong_name
from ..graph.nodes import component_names
from ..targets import stacked
from ..task import Target
from ..wanted import Wanted, columns, misfit
from .charts import read_names
from .fields import Fields, shown

OWN = ("name", "epsilon", "outputs")
"""Keys of `[[target]]` that `[target]` has not."""
MOST = 64
"""Targets of a task."""
NAMES = 4_096

ReadOne = Callable[[Mapping[str, Any], Any], Target | None]
"""From the keys of a table, and from the name of its target."""
Read = tuple[Target, tuple[str, ...], tuple[Wanted, ...]]
"""f, the names of its components, and the targets that it is made of."""


def read_targets(fields: Fields, listed: Sequence[Any], read_one: ReadOne, keys: Sequence[str]) -> Read | None:
    """The targets of a task on one manifold, of which `read_one` reads what each is, from `keys`."""
    targets: list[Target | None] = []
    names: list[tuple[str, ...]] = []
    wanted: list[Wanted | None] = []
    for label, table in _tables(fields, listed, keys):
        before, own = len(fields.findings), {key: value for key, value in table.items() if key not in OWN}
        if "callable" in table and isinstance(table.get("outputs"), list):
            own["outputs"] = len(table["outputs"])  # no text says how many components code has: their names do
        target = read_one(own, table.get("name"))
        fields.findings[before:] = [
            dataclasses.replace(found, where=found.where.replace("target", label, 1)) for found in fields.findings[before:]
        ]
        targets.append(target)
        for_names = read_names(fields, table, "outputs", NAMES, label) if "outputs" in table else ()
        if target is None or for_names is None:
            wanted.append(None)
            continue
        if for_names and len(for_names) != target.outputs:
            problem = f"there are {len(for_names)} names for {target.outputs} components"
            fields.error(f"{label}: outputs", problem, "name every one of them, or leave outputs out")
        wanted.append(_wanted(fields, label, table, target.outputs))
        names.append(for_names or component_names(str(table.get("name", "")), target.outputs))
    found = [target for target in targets if target is not None]
    if fields.findings or len(found) < len(listed) or None in wanted:
        return None
    try:
        return stacked(found), tuple(name for some in names for name in some), tuple(one for one in wanted if one is not None)
    except AtlasMoEError as error:
        fields.failure("target", error, "write all of them in one way")
        return None


def read_wanted(fields: Fields, listed: Any, components: Sequence[str]) -> tuple[Wanted, ...]:
    """The targets that the output of a graph is made of: each a part of its components, by their names and in their order."""
    if not isinstance(listed, list):
        fields.error(
            "target", f"expected a list of tables, got {shown(listed)}", "a graph says what f is in its nodes; write [[target]] tables"
        )
        return ()
    wanted, parts = [], []
    for label, table in _tables(fields, listed, ()):
        names = read_names(fields, table, "outputs", NAMES, label) if "outputs" in table else (str(table.get("name", "")),)
        parts += list(names or ())
        wanted.append(_wanted(fields, label, table, len(names or (1,))))
    if not fields.findings and parts != list(components):
        problem = f"the targets have the components {', '.join(parts)}, the output has {', '.join(components)}"
        fields.error("target", problem, "name every component of the output in one of them, in this order")
    return tuple(one for one in wanted if one is not None)


def target_tables(tables: Sequence[Mapping[str, Any]], wanted: Sequence[Wanted], names: Sequence[str]) -> list[dict[str, Any]]:
    """The `[[target]]` tables from what says what each of them is."""
    found = []
    for (one, place), table in zip(columns(wanted), tables, strict=True):
        own = tuple(names[place])
        counted = one.outputs == 1 or "callable" not in table
        named = {} if own == component_names(one.name, one.outputs) and counted else {"outputs": list(own)}
        said = {key: value for key, value in table.items() if key not in OWN}
        found.append({"name": one.name, "epsilon": one.epsilon, **named, **said})
    return found


def _tables(fields: Fields, listed: Sequence[Any], keys: Sequence[str]) -> list[tuple[str, Mapping[str, Any]]]:
    """The tables with what messages call them; every one has a name of its own."""
    if not 1 <= len(listed) <= MOST:
        fields.error("target", f"there are {len(listed)} targets", f"give from 1 to {MOST} [[target]] tables")
        return []
    found, seen = [], set[str]()
    for number, value in enumerate(listed):
        name = value.get("name") if isinstance(value, Mapping) else None
        label = f'target "{name}"' if isinstance(name, str) and not wrong_name(name) else f"target {number + 1}"
        table = fields.table(value, label, (*OWN, *keys))
        if "name" not in table:
            fields.error(label, "the key 'name' is missing", 'several targets are told apart by their names: add name = "..."')
        elif why := wrong_name(name):
            fields.error(label, f"the name {shown(name)} {why}", "choose another name")
        elif name in seen:
            fields.error(label, f"another target is called {name!r}", "give every target its own name")
        seen.add(str(name))
        found.append((label, table))
    return found


def _wanted(fields: Fields, label: str, table: Mapping[str, Any], outputs: int) -> Wanted | None:
    """Its name and ε."""
    if "epsilon" not in table:
        remedy = 'add epsilon = 0.1, or a percentage of what this target ranges over: epsilon = "1%"'
        fields.error(label, "the key 'epsilon' is missing: several targets have an ε each", remedy)
        return None
    epsilon = table["epsilon"]
    if isinstance(epsilon, str) and not epsilon.strip().endswith("%"):
        epsilon = fields.number(epsilon, f"{label}: epsilon")
    elif isinstance(epsilon, str):
        epsilon = str(epsilon).strip()
    if epsilon is None:
        return None
    if why := misfit(epsilon):
        problem, _, remedy = why.partition("; ")
        fields.error(f"{label}: epsilon", problem.removeprefix("epsilon "), remedy)
        return None
    name = table.get("name")
    return None if wrong_name(name) else Wanted(str(name), epsilon, outputs)
