"""Reading the tables of a spec: every mistake is a finding that names the field, and none of them stops the reading."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...errors import AtlasMoEError, Finding, Severity, SpecError, did_you_mean
from ...expressions.builder import excerpt
from ...expressions.fields import Component
from ...expressions.maps import Formula
from ...expressions.parse import parse_number, read_expression
from ...expressions.scope import scope_of
from ..options import OPTIONS, Option, OptionValue

Symbols = Mapping[str, str]
"""Coordinates by their names, as `parse.coordinates` has them."""

IN_LOOP = re.compile(r'("[^"]*"|\d+) \([A-Za-z_]\w* = .*?\)(?=: |$)')
"""The name, or the number, and the loop values of a table in a label."""


UNKNOWN = re.compile(r"unknown (?:function|name) '(\w+)'")
"""What a finding says of a name that is called and that nobody declared."""


class Fields:
    """Collects the findings of one spec; its methods return None where the field is wrong."""

    def __init__(self, kept: bool = False) -> None:
        """`kept`: of a file of ours, whose expressions were read before they were written."""
        self.kept = kept
        self.findings: list[Finding] = []
        self.declared: list[tuple[str, list[str], set[str]]] = []
        self.origins: dict[str, str] = {}
        """The loop values of every table that a loop made, by its label."""
        self.functions: dict[str, Component] = {}
        """What expressions may call beside the functions of the grammar."""
        self.lost: set[str] = set()
        """Names of tables that could not be read, for reasons that are findings: expressions that call them are not to blame."""

    def declare(self, where: str, names: list[str], used: set[str]) -> None:
        """Names of constants, and the set in which those that are met are noted."""
        self.declared.append((where, names, used))

    def unused(self) -> None:
        """A finding for every constant that no text names; asked for once everything is read, and nothing else is wrong."""
        for where, names, used in self.declared:
            for name in names:
                if name not in used:
                    self.error(f"{where}: {name}", "is used nowhere", "remove it, or use it")

    def error(self, where: str, problem: str, remedy: str) -> None:
        self.findings.append(Finding(Severity.ERROR, where, problem, remedy))

    def failure(self, where: str, error: AtlasMoEError, remedy: str) -> None:
        """The error that a constructor raised, as a finding; the findings it carries, if it carries any. `remedy` is for one without."""
        if isinstance(error, SpecError):
            found = [(one.where if one.where.startswith("manifold") else f"{where}: {one.where}", one) for one in error.findings]
            self.findings.extend(dataclasses.replace(one, where=at) for at, one in found)
            return
        problem, _, own = " ".join(str(error).removeprefix(f"{where}: ").split()).rpartition("; ")
        self.error(where, problem or own, own if problem else remedy)

    def adopt(self, inner: Fields, label: str) -> None:
        """The findings of a part that was read by itself; each says of which part it is."""
        for finding in inner.findings:
            where = finding.where.removeprefix("manifold: ")
            self.findings.append(dataclasses.replace(finding, where=label if where == "manifold" else f"{label}: {where}"))

    def shadows(self, names: Iterable[Any], where: str) -> bool:
        """Whether a name that is declared is that of a constant already."""
        found = [(name, given) for name in names if (given := scope_of(name).get(str(name))) is not None]
        for name, given in found:
            self.error(where, f"{shown(str(name))} is the name of a {given.kind} already", f"rename the {given.kind}")
        return bool(found)

    def table(self, value: Any, where: str, accepted: Iterable[str]) -> Mapping[str, Any]:
        """A table, its unknown keys reported; the empty table if it is none."""
        if not isinstance(value, Mapping):
            self.error(where, f"expected a table, got {shown(value)}", f"write [{where}] and its keys below")
            return {}
        accepted = list(accepted)
        for key in value:
            if key not in accepted:
                near = did_you_mean(str(key), accepted, "", " ")
                self.error(where, f"unknown key {shown(key)}", f"{near}the keys are {', '.join(accepted)}")
        return value

    def sequence(self, value: Any, where: str, length: int | None, what: str, each: str = "coordinate") -> Sequence[Any] | None:
        """A list, of `length` entries (one for each `each`) unless that is None."""
        if not isinstance(value, list | tuple):
            self.error(where, f"expected a list of {what}, got {shown(value)}", "write it in brackets: [..., ...]")
        elif length is not None and len(value) != length:
            self.error(where, f"expected {length} {_plural('entry', length)}, got {len(value)}", f"give {what}, one for each {each}")
        else:
            return value
        return None

    def text(self, value: Any, where: str, most: int = 100) -> str | None:
        """A printable text of one line."""
        if not isinstance(value, str):
            self.error(where, f"expected a text, got {shown(value)}", "write it in quotes")
        elif not value.strip() or len(value) > most or not value.isprintable():
            self.error(where, f"{shown(value)} is empty, longer than {most} characters or not printable", "choose a short plain name")
        else:
            return str(value)
        return None

    def options(self, table: Mapping[str, Any], label: str, known: Mapping[str, Option] = OPTIONS) -> dict[str, OptionValue]:
        """The options of a block, or of what else has the `known` ones, that a table has, those of them that can be read."""
        found: dict[str, OptionValue] = {}
        for key in known:
            if key not in table:
                continue
            if known[key].kind is str and not known[key].switch and self.text(table[key], f"{label}: {key}") is None:
                continue
            if (problem := known[key].problem(table[key])) is not None:
                self.error(f"{label}: {key}", *problem)
            else:
                found[key] = str(table[key]) if isinstance(table[key], str) else table[key]
        return found

    def integer(self, value: Any, where: str, lowest: int, highest: int) -> int | None:
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.error(where, f"expected an integer from {lowest} to {highest}, got {shown(value)}", "correct it")
            return None
        return value

    def number(self, value: Any, where: str) -> float | None:
        """A number, or a constant expression as text."""
        try:
            return parse_number(value, where)
        except SpecError as error:
            self.findings.extend(error.findings)
            return None

    def expression(self, value: Any, where: str, symbols: Symbols) -> Formula | None:
        """An expression as text, or a number."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = repr(value)
        try:
            return read_expression(value, {**symbols, **self._callable(symbols, where)}, where, kept=self.kept)
        except SpecError as error:
            self.findings.extend(finding for finding in error.findings if not self._calls_lost(finding))
            return None

    def _calls_lost(self, finding: Finding) -> bool:
        """Whether all that is wrong is that a table is not there, which could not be read."""
        called = UNKNOWN.search(finding.problem)
        return called is not None and any(re.fullmatch(rf"{name}(_[0-9]+)?", called[1]) for name in self.lost)

    def _callable(self, symbols: Symbols, where: str) -> dict[str, Component]:
        """The functions, none of which may be called like a coordinate."""
        for name in sorted(self.functions.keys() & symbols.keys()):
            problem = f"the name {name!r} is that of a coordinate and of a table"
            raise SpecError([Finding(Severity.ERROR, where, problem, "give the table another name")])
        return self.functions

    def expressions(self, value: Any, where: str, symbols: Symbols, length: int | None) -> tuple[Formula, ...] | None:
        """A list of expressions, all of them read even if one is wrong."""
        entries = self.sequence(value, where, length, "expressions")
        if entries is None:
            return None
        if not entries:
            self.error(where, "is an empty list", "give at least one expression")
            return None
        read = [self.expression(entry, f"{where}[{k}]", symbols) for k, entry in enumerate(entries)]
        good = tuple(e for e in read if e is not None)
        return good if len(good) == len(read) else None

    def components(self, value: Any, where: str, symbols: Symbols) -> tuple[Formula, ...] | None:
        """One expression, or a list of them."""
        if isinstance(value, list | tuple):
            return self.expressions(value, where, symbols, None)
        one = self.expression(value, where, symbols)
        return None if one is None else (one,)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else noun.removesuffix("y") + "ies"


def shown(value: Any) -> str:
    """A value as it may stand in a message: one line, not long."""
    return excerpt(repr(value), length=40)


def label_of(kind: str, number: int, table: Any) -> str:
    """How messages call a node or a chart: by its name, or by its place (from 1) where it has none."""
    name = table.get("name") if isinstance(table, Mapping) else None
    label = f'{kind} "{name}"' if isinstance(name, str) and name.isprintable() and 0 < len(name) <= 100 else f"{kind} {number + 1}"
    return f"{label} ({table.origin})" if isinstance(table, Instance) else label


class Instance(dict[str, Any]):
    """One table of a loop, and the values of its variables: `i = 0, j = 1`."""

    def __init__(self, table: Mapping[str, Any], origin: str) -> None:
        super().__init__(table)
        self.origin = origin


def once(findings: Sequence[Finding]) -> list[Finding]:
    """The findings in their order, each once; of those that all tables of a loop share the first, which says how many more there are."""
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for finding in dict.fromkeys(findings):
        said = tuple(IN_LOOP.sub("", part) for part in (finding.where, finding.problem, finding.remedy))
        key = (*said, finding.text, finding.column) if IN_LOOP.search(finding.where) else (finding,)
        groups.setdefault(key, []).append(finding)
    found = []
    for first, *more in groups.values():
        where = IN_LOOP.sub(lambda said: f"{said[0][:-1]}; and {len(more)} more)", first.where, count=1) if more else first.where  # noqa: B023
        found.append(dataclasses.replace(first, where=where))
    return found
