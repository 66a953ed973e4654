"""`[parameters]` and `for`: the tables of a spec with every loop written out, and every text with the constants that it may name.

What comes out is a spec without either, but that its texts are `Scoped`: they are read with the constants in their places, so
that messages speak of the text that was written. What is saved is the task that was read: numbers, and one table for each chart.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from fractions import Fraction
from math import prod
from typing import Any

from ...errors import SpecError
from ...expressions.parse import parse_number, read_constant, wrong_name
from ...expressions.scope import NAME, PLACEHOLDER, Given, Scope, Scoped, filled, scope_of, scoped
from ..arguments import MAX_CHARTS
from ..graph.structure import MAX_SUBTASKS
from .fields import IN_LOOP, Fields, Instance, label_of, shown

LISTED = ("chart", "input", "block", "combine", "piece")
"""The tables that stand in lists, each of which may be a loop."""
MAX_PARAMETERS = 256
"""Parameters of a spec."""
MAX_WRITTEN_OUT = 4_000_000
"""Characters of a spec whose loops are written out."""
WORDS = ("builtin", "atlas", "partition", "coordinates", "intrinsic", "arrays")
EXPRESSIONS = ("expression", "region")
"""Texts of a library manifold that stay texts; of other keys they are numbers."""
EACH = 64
"""What a table and a loop value count for, whatever stands in them."""


def unrolled(fields: Fields, spec: Any) -> Any:
    """The spec without `[parameters]` and loops; as it is where it has neither. What is wrong with them is a finding."""
    if not isinstance(spec, Mapping) or ("parameters" not in spec and not _has_loop(spec)):
        return spec
    reading = _Unrolling(fields)
    scope = reading.parameters(spec["parameters"]) if "parameters" in spec else {}
    return reading.table({key: value for key, value in spec.items() if key != "parameters"}, scope, "")


def _has_loop(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(key in LISTED and isinstance(part, list) and any(map(_loops, part)) for key, part in value.items())
    return False


def _loops(table: Any) -> bool:
    return isinstance(table, Mapping) and ("for" in table or _has_loop(table))


def _words(value: Any) -> list[str]:
    """The words of a constant that may be names, each once."""
    return list(dict.fromkeys(NAME.findall(value))) if isinstance(value, str) else []


def _made_of(name: str, table: Mapping[str, Any]) -> set[str]:
    """The parameters that one is made of, itself among them, directly or by others."""
    found, ahead = set[str](), [name]
    while ahead:
        if (word := ahead.pop()) in table and word not in found:
            found.add(word)
            ahead += _words(table[word])
    return found


class _Unrolling:
    """One pass over a spec; counts what it writes."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.written = 0

    def parameters(self, table: Any) -> dict[str, Given]:
        """The constants of `[parameters]`, in their order: each may name those above it."""
        table = self.fields.table(table, "parameters", table if isinstance(table, Mapping) else ())
        if len(table) > MAX_PARAMETERS:
            self.fields.error("parameters", f"there are {len(table)}", f"give at most {MAX_PARAMETERS}")
            return {}
        scope: dict[str, Given] = {}
        used: set[str] = set()
        for name, value in table.items():
            where = f"parameters: {shown(name)[1:-1]}"
            if not self._named_well(name, scope, where, "parameter"):
                continue
            given = None if self._too_early(name, table, where) else self._given(name, value, scope, where, "parameter", used)
            # What is wrong with a value is not held against those that name it.
            scope[name] = given or read_constant(name, "1", where, "parameter", used)
        self.fields.declare("parameters", list(scope), used)
        return scope

    def _too_early(self, name: str, table: Mapping[str, Any], where: str) -> bool:
        """Whether a parameter names one that stands no higher than itself, so that the order of lines says no value; there are findings."""
        names = list(table)
        below = [word for word in _words(table[name]) if word in names[names.index(name) :] and not wrong_name(word)]
        for word in below:
            if name in _made_of(word, table):
                self.fields.error(where, f"is made of itself{'' if word == name else f', by {word}'}", "give it a value without itself")
            else:
                self.fields.error(where, f"uses {word!r}, which stands below it", f"write {word} = … above {name} = …")
        return bool(below)

    def table(self, table: Mapping[str, Any], scope: Scope, label: str) -> dict[str, Any]:
        """A table with the lists of tables below it written out."""
        return {key: self._value(key, value, scope, label) for key, value in table.items()}

    def _value(self, key: str, value: Any, scope: Scope, label: str) -> Any:
        if isinstance(value, str):
            self.written += len(value)
            return self._text(value, scope, f"{label}{key}")
        if isinstance(value, Mapping):
            return self.table(value, scope, f"{label}{key}: ")
        if not isinstance(value, list):
            self.written += 8
            return value
        if key not in LISTED:
            return [self._value(key, entry, scope, label) for entry in value]
        tables: list[Any] = []
        for entry in value:
            if isinstance(entry, Mapping) and "for" in entry:
                tables += self._loop(key, len(tables), entry, scope, label)
            elif isinstance(entry, Mapping):
                inner = self.table(entry, scope, f"{label}{label_of(key, len(tables), entry)}: ")
                tables.append(inner)
            else:
                tables.append(self._value("", entry, scope, label))
        return tables

    def _loop(self, key: str, before: int, table: Mapping[str, Any], scope: Scope, label: str) -> list[Instance]:
        """The tables of one loop, the last variable fastest."""
        where = f"{label}{label_of(key, before, table)}: for"
        ranges = self._ranges(table["for"], scope, where)
        if ranges is None:
            return []
        count = prod(len(values) for values in ranges.values())
        if count > MAX_SUBTASKS:
            self.fields.error(where, f"makes {count} tables", f"a spec has at most {MAX_SUBTASKS} charts and pieces")
            return []
        rest = {name: value for name, value in table.items() if name != "for"}
        made: list[Instance] = []
        for values in itertools.product(*ranges.values()):
            self.written += EACH
            inner = {**scope, **{given.name: given for given in values}}
            origin = ", ".join(f"{given.name} = {given.shown}" for given in values)
            here = f"{label}{label_of(key, before + len(made), self._named(rest, inner, origin))}: "
            looped = (f"{given.name} = {given.shown}" for given in inner.values() if given.kind == "loop value")
            self.fields.origins[IN_LOOP.sub(r"\1", here[:-2])] = ", ".join(looped)
            made.append(Instance(self.table(rest, inner, here), origin))
            if self.written > MAX_WRITTEN_OUT:
                problem = f"the loops make more than {MAX_WRITTEN_OUT} characters of spec"
                self.fields.error(where, problem, "shorten the lists, or split the spec")
                return []
        return made

    def _named(self, table: Mapping[str, Any], scope: Scope, origin: str) -> Instance:
        """The name of a table of a loop, as far as it can be read, for messages about the rest of it."""
        before = len(self.fields.findings)
        name = table.get("name")
        named = {"name": str(self._text(name, scope, ""))} if isinstance(name, str) else {}
        del self.fields.findings[before:]
        return Instance(named, origin)

    def _ranges(self, value: Any, scope: Scope, where: str) -> dict[str, list[Given]] | None:
        """The values of every variable of a loop."""
        example = "write for = { i = [0, 1, 2] }"
        if not isinstance(value, Mapping) or not value:
            self.fields.error(where, f"expected a table of lists, got {shown(value)}", example)
            return None
        found: dict[str, list[Given]] = {}
        used: set[str] = set()
        good = True
        for name, values in value.items():
            if not self._named_well(name, scope, f"{where}: {shown(name)[1:-1]}", "loop value"):
                good = False
                continue
            if not isinstance(values, list) or not 1 <= len(values) <= MAX_CHARTS:
                self.fields.error(f"{where}: {name}", f"expected a list of values, got {shown(values)}", example)
                good = False
                continue
            self.written += EACH * len(values)
            read = [self._given(name, entry, scope, f"{where}: {name}[{k}]", "loop value", used) for k, entry in enumerate(values)]
            good = good and None not in read
            found[name] = [given for given in read if given is not None]
        self.fields.declare(where, list(found), used)
        return found if good else None

    def _named_well(self, name: Any, scope: Scope, where: str, kind: str) -> bool:
        """Whether a constant may be called so; if not, there is a finding."""
        if why := wrong_name(name):
            self.fields.error(where, f"{shown(name)} {why}", f"choose another name for the {kind}")
        elif name in scope:
            self.fields.error(where, f"{name!r} is the name of a {scope[name].kind} already", "choose another name")
        else:
            return True
        return False

    def _given(self, name: str, value: Any, scope: Scope, where: str, kind: str, used: set[str]) -> Given | None:
        """One constant; None, with a finding, if it is none."""
        try:
            if not isinstance(value, str):
                parse_number(value, where)
                value = repr(value)
            return read_constant(name, scoped(value, scope) if NAME.search(value) else value, where, kind, used)
        except SpecError as error:
            self.fields.findings.extend(error.findings)
            return None

    def _text(self, text: str, scope: Scope, where: str) -> str:
        """A text with its placeholders filled, in a loop, and with the constants that it may name."""
        if any(given.kind == "loop value" for given in scope.values()) and "{" in text:
            text = PLACEHOLDER.sub(lambda found: self._placeholder(found[1], scope, where, found[0]), text)
        return scoped(text, scope)

    def _placeholder(self, inner: str, scope: Scope, where: str, whole: str) -> str:
        """What stands in the place of {i} or {i + 1}: the value as it was written, or the whole number that it is."""
        given = scope.get(inner.strip())
        if given is not None:
            given.used.add(given.name)
            return given.shown
        try:
            found = read_constant("", scoped(inner, scope), f"{where}: {whole}", "placeholder", set())
        except SpecError as error:
            self.fields.findings.extend(error.findings)
            return whole
        try:
            return str(int(found.text))
        except ValueError:
            self.fields.error(where, f"{whole} is {found.text}, no whole number", "only whole numbers and loop values stand in names")
            return whole


def without_names(value: Any, key: str = "") -> Any:
    """The options of a library manifold with their constants put in: a number where a text names one, else the text written out."""
    if isinstance(value, Mapping):
        return {name: without_names(part, str(name)) for name, part in value.items()}
    if isinstance(value, list):
        return [without_names(part, key) for part in value]
    if not isinstance(value, str) or key in WORDS:
        return str(value) if isinstance(value, Scoped) else value
    used = set(NAME.findall(value)) & set(scope_of(value))
    if key in EXPRESSIONS:
        return filled(value) if used else str(value)
    if not used and key == "domain":
        return str(value)
    try:
        number = read_constant("", value, f"manifold: {key}", "number", set()).text
    except SpecError:
        if used:
            raise
        return str(value)  # no constant: the option says what it takes
    exact = Fraction(number) if number.lstrip("-").replace("/", "", 1).isdigit() else None
    return int(exact) if exact is not None and exact.denominator == 1 else parse_number(number)
