"""A Python function as `[target]`: passed by whoever loads the spec, or named and, where its code is trusted, imported."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ...errors import InvalidArgument, did_you_mean
from ...expressions.box import Array
from ..foreign import said
from ..targets import parts
from ..task import CallableTarget, ManifoldTask
from .fields import Fields, shown

MAX_OUTPUTS = 4_096
"""Components of a target."""
CALLABLE_KEYS = ("callable", "outputs", "lipschitz", "second_derivative")
DECLARED = CALLABLE_KEYS[2:]
MOST_NAMED = 8
"""Functions of a module that a message names."""
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
"""module:function."""

PythonTarget = CallableTarget | Callable[[Array], ArrayLike]
PythonTargets = PythonTarget | Mapping[str, PythonTarget]
"""What is passed where several targets may be: one for each of their names."""


def alone(fields: Fields, given: PythonTargets | None) -> PythonTarget | None:
    """The function for the only target."""
    if isinstance(given, Mapping):
        fields.error(
            "target", f"functions for {', '.join(map(str, given)) or 'none'} are given, but there is one target", "give its function"
        )
        return None
    return given


def given_in_python(task: ManifoldTask) -> PythonTargets | None:
    """The functions of a task as they were passed."""
    if not task.wanted:
        return task.target if isinstance(task.target, CallableTarget) else None
    named = [(one.name, part.target) for one, part in zip(task.wanted, parts(task), strict=True)]
    return {name: target for name, target in named if isinstance(target, CallableTarget)} or None


def by_name(fields: Fields, given: PythonTargets | None, tables: Sequence[Any]) -> Mapping[str, PythonTarget]:
    """The functions for some of several targets, by name."""
    if given is None:
        return {}
    names = [str(table["name"]) for table in tables if isinstance(table, Mapping) and "name" in table]
    if not isinstance(given, Mapping):
        problem = f"one function is given in Python, and there are several targets, {', '.join(names)}"
        fields.error("target", problem, "give a mapping: target={NAME: function}")
        return {}
    for name in given:
        if name not in names:
            fields.error("target", f"a function is given for {shown(name)}, which is no target", f"the targets are {', '.join(names)}")
    return given


def python_target(
    fields: Fields, given: PythonTarget | None, table: Mapping[str, Any], trusted: bool, folder: Path | None
) -> CallableTarget | None:
    """The function that was passed, or else imported if code is trusted, under the name and with the constants that the spec tells."""
    kept = len(fields.findings)
    name = None if "callable" not in table else fields.text(table["callable"], "target: callable")
    if isinstance(table.get("outputs"), list):
        fields.error(
            "target: outputs",
            f"expected how many components f has, got {shown(table['outputs'])}",
            f"write outputs = {len(table['outputs'])}; names of components are outputs of [task]",
        )
        return None
    outputs = fields.integer(table["outputs"], "target: outputs", 1, MAX_OUTPUTS) if "outputs" in table else None
    constants = {key: _bound(fields, table[key], f"target: {key}") for key in DECLARED if key in table}
    if len(fields.findings) > kept:
        return None
    if given is None and trusted:
        try:
            given = imported(name or "", folder)
        except InvalidArgument as error:
            problem, _, remedy = str(error).partition("; ")
            fields.error("target: callable", problem, remedy)
            return None
    if given is None:
        problem = f"is the Python function {shown(name)}, whose code a spec cannot hold, and which is not run unless it is trusted"
        remedy = (
            "add --trust-code on the command line (trust_code=True in Python), or pass it: target=CallableTarget(function, outputs, name)"
        )
        fields.error("target", problem, remedy)
        return None
    if not isinstance(given, CallableTarget):
        name = name or str(getattr(given, "__name__", "callable"))
        return CallableTarget(given, outputs or 1, name, lipschitz=constants.get(DECLARED[0]), second_derivative=constants.get(DECLARED[1]))
    if outputs is not None and outputs != given.outputs:
        fields.error("target: outputs", f"the spec says {outputs} outputs, the function has {given.outputs}", "pass the function it was")
    for key, value in constants.items():
        if (own := getattr(given, key)) not in (None, value):
            fields.error(f"target: {key}", f"the spec says {value:g}, the function {own:g}", "declare one of them")
    first, second = (constants.get(key, getattr(given, key)) for key in DECLARED)
    same = (first, second) == (given.lipschitz, given.second_derivative)
    return given if same else dataclasses.replace(given, lipschitz=first, second_derivative=second)


def _bound(fields: Fields, value: Any, where: str) -> float | None:
    """A number from 0 on."""
    number = fields.number(value, where)
    if number is not None and number < 0:
        fields.error(where, f"{number:g} is negative", "give a bound of absolute values")
        return None
    return number


def imported(name: str, folder: Path | None) -> PythonTarget:
    """The function `module:function`, of a module that lies beside the spec, in the working folder, or is installed. Runs its code.

    A `CallableTarget` of that name brings its enclosure and constants along; in certificates it goes by the name that finds it again.
    Raises `InvalidArgument` for a name that is none, and for code that cannot be imported.
    """
    if not NAME.fullmatch(name) or ".py:" in name:
        like = re.fullmatch(r"([A-Za-z_][\w.]*?)(?:\.py)?[.:]([A-Za-z_]\w*)", name)
        near = f", as {like[1]}:{like[2]}" if like else ""
        raise InvalidArgument(f"{name[:100]!r} does not name a function of a module; write module:function{near}")
    module, _, attribute = name.partition(":")
    places = [str(place) for place in (folder, Path.cwd()) if place is not None]
    sys.path[:0] = places
    found: Any
    try:
        found = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # the user's code: whatever it raises is the finding
        what = f"{name!r} cannot be imported ({type(error).__name__}: {said(error)})"
        raise InvalidArgument(f"{what}; {_remedy(module, error)}") from None
    finally:
        for place in places:
            sys.path.remove(place)
    try:
        for part in attribute.split("."):
            found = getattr(found, part)
    except AttributeError:
        there = [one for one in vars(sys.modules[module]) if callable(getattr(sys.modules[module], one)) and not one.startswith("_")]
        near = did_you_mean(attribute, there, "", " ")
        functions = f"its functions are {', '.join(there[:MOST_NAMED])}" if there else "it has none"
        raise InvalidArgument(f"{name!r} is not there: the module has no {attribute!r}; {near}{functions}") from None
    if isinstance(found, CallableTarget):
        return dataclasses.replace(found, name=name)
    if not callable(found):
        raise InvalidArgument(f"{name!r} is {shown(found)}, no function; name a function of points (N, k)")
    function: Callable[[Array], ArrayLike] = found
    return function


def _remedy(module: str, error: BaseException) -> str:
    """What helps against an error in importing a module."""
    if isinstance(error, ModuleNotFoundError) and error.name is not None:
        if module == error.name or module.startswith(f"{error.name}."):
            return "put the module beside the spec, or into the folder where the command runs"
        return f"install {error.name}, which the module imports, or put it beside the spec"
    return "correct the module, so that Python can import it"


def known_by_name(tables: Any) -> PythonTargets | None:
    """What `[target]`, or `[[target]]`, says of functions whose code is not there: models run and are exported, who asks for f is told."""
    if not isinstance(tables, list):
        return _named(tables)
    found = {str(table.get("name")): _named(table) for table in tables if isinstance(table, dict)}
    return {name: function for name, function in found.items() if function is not None} or None


def _named(table: Any) -> CallableTarget | None:
    if not isinstance(table, dict) or not isinstance(table.get("callable"), str):
        return None
    outputs = table.get("outputs", 1)
    outputs = len(outputs) if isinstance(outputs, list) else outputs
    first, second = (float(value) if isinstance(value := table.get(key), int | float) and value >= 0 else None for key in DECLARED)
    outputs = outputs if isinstance(outputs, int) else 1
    return CallableTarget(None, outputs, table["callable"], lipschitz=first, second_derivative=second)
