"""`lint` finds where a text is undefined, with the part, the point and a remedy; ends that belong to a domain are clean."""

from __future__ import annotations

import pytest
from atlasmoe.atlas import lint, task_from_spec
from atlasmoe.errors import Finding, Severity


def interval(expression: str | list[str], domain: tuple[float, float] = (-1, 1)) -> dict:
    return {
        "task": {"name": "interval"},
        "manifold": {"builtin": "interval", "domain": list(domain)},
        "target": {"expression": expression},
    }


def errors(spec: dict) -> list[Finding]:
    return [finding for finding in lint(task_from_spec(spec)) if finding.severity is Severity.ERROR]


@pytest.mark.parametrize(
    ("expression", "domain"),
    [
        ("sqrt(x1**2)", (-1, 1)),
        ("log(exp(x1))", (-1, 1)),
        ("sqrt(x1)", (0, 1)),
        ("x1**1.5 + x1**2.5", (0, 1)),
        ("asin(x1) + acos(x1)", (-1, 1)),
        ("sqrt(1 - x1**2)", (-1, 1)),
        ("sqrt(1 - x1**2)**2", (-1, 1)),
        ("sqrt(0.3 - x1)", (-1, 0.3)),
        ("acosh(x1)", (1, 2)),
        ("x1**2.0 + x1**(4/2)", (-1, 1)),
        ("Piecewise((log(x1)*x1, x1 > 0), (0, True))", (0, 1)),
        ("Piecewise((sqrt(x1), x1 >= 0), (sqrt(-x1), True))", (-1, 1)),
        ("sqrt(sin(x1)**2 + cos(x1)**2 - 1 + x1)*0 + x1", (1e-3, 1)),
        ("x1/(x1**2 + 1e-3)", (-1, 1)),
        ("exp(log(x1))", (0.001, 1)),
    ],
)
def test_defined_expressions_are_clean(expression, domain):
    assert errors(interval(expression, domain)) == []


@pytest.mark.parametrize(
    ("expression", "domain", "part", "where", "remedy"),
    [
        ("sqrt(x1)**2", (-1, 1), "sqrt(x1)", lambda x: x < 0, "write x1 if that is meant"),
        ("x1/x1", (-1, 1), "1/x1", lambda x: x == 0, "write 1 if that is meant"),
        ("exp(log(x1))", (0, 1), "log(x1)", lambda x: x == 0, "write x1 if that is meant"),
        ("sin(asin(x1))", (-1.01, 1), "asin(x1)", lambda x: x < -1, "write x1 if that is meant"),
        ("0*log(x1) + x1", (-1, 1), "log(x1)", lambda x: x <= 0, "write x1 if that is meant"),
        ("sqrt(x1 - 0.01)", (0, 1), "sqrt(x1 - 0.01)", lambda x: x < 0.01, "write sqrt(Max(x1 - 0.01, 0))"),
        ("asin(2*x1)", (0, 0.6), "asin(2*x1)", lambda x: x > 0.5, "write asin(Max(-1, Min(1, 2*x1)))"),
        ("acosh(x1)", (0.9, 2), "acosh(x1)", lambda x: x < 1, "write acosh(Max(1, x1))"),
        ("x1**0.5", (-0.001, 1), "x1**0.5", lambda x: x < 0, "write Max(x1, 0)**0.5"),
        ("x1**(1/3)", (-1, 1), "x1**(1/3)", lambda x: x < 0, "write sign(x1)*Abs(x1)**(1/3) if that is meant"),
        ("(x1 - 0.5)**(2/3)", (0, 1), "(x1 - 0.5)**(2/3)", lambda x: x < 0.5, "write Abs(x1 - 0.5)**(2/3) if that is meant"),
        ("x1*log(x1)", (0, 1), "log(x1)", lambda x: x == 0, "Piecewise((…, x1 > 0), (…, True))"),
        ("(x1**2 - 2)/(x1**2 - 2)", (1, 2), "1/(x1**2 - 2)", lambda x: abs(x**2 - 2) < 1e-3, "write 1 if that is meant"),
        ("(x1 - 0.37)**3/(x1 - 0.37)**2", (0, 1), "1/(x1 - 0.37)**2", lambda x: abs(x - 0.37) < 1e-4, "if that is meant"),
        ("tan(x1)*cot(x1)", (1, 2), "tan(x1)", lambda x: abs(x - 1.5708) < 1e-4, "define the target"),
        ("sqrt((x1 - 0.1234)**2 - 1e-9) + 1", (0, 1), None, lambda x: abs(x - 0.1234) < 1e-4, "write sqrt(Max("),
        ("atan2(x1 - 0.25, 2*x1 - 0.5) + 1", (0, 1), "atan2(x1 - 0.25, 2*x1 - 0.5)", lambda x: x == 0.25, "define the target"),
        ("Piecewise((1/(x1 - 0.75), x1 > 0.5), (0, True))", (0, 1), "1/(x1 - 0.75)", lambda x: x == 0.75, "Piecewise((…,"),
        ("Piecewise((x1, log(x1) > -1), (0, True))", (-1, 1), "log(x1)", lambda x: x <= 0, "Piecewise((…, x1 > 0)"),
    ],
)
def test_undefined_points_are_found(expression, domain, part, where, remedy):
    found = errors(interval(expression, domain))
    named = [f for f in found if part is None or f": {part} has a value only where" in f.problem]
    assert named, found
    assert where(named[0].witness[0])
    assert remedy in named[0].remedy
    assert str(named[0]).isprintable()


def test_every_part_is_named_and_every_component():
    found = errors(interval(["sqrt(x1)**2 + exp(log(x1))", "x1", "1/x1"]))
    assert [(f.where, f.problem.split(": ")[1].split(" has")[0]) for f in found] == [
        ("target[0]", "sqrt(x1)"),
        ("target[0]", "log(x1)"),
        ("target[2]", "1/x1"),
    ]


@pytest.mark.parametrize("count", [20, 60])
def test_no_condition_is_left_out(count):
    """The last of many roots is the one that fails, between the lattice points."""
    many = " + ".join(f"sqrt(x1 + {k})" for k in range(2, count + 2))
    (found,) = errors(interval(f"{many} + sqrt((x1 - 0.12345)**2 - 1e-8)**2"))
    assert "sqrt((x1 - 0.12345)**2 - 1e-08) has a value only where" in found.problem
    assert abs(found.witness[0] - 0.12345) < 1e-4


def test_the_remedy_works():
    """What the findings say to write is clean."""
    for expression, domain in [("sqrt(x1)**2 + exp(log(x1))", (-1, 1)), ("sqrt(x1 - 0.01)", (0, 1)), ("asin(2*x1)", (0, 0.6))]:
        (found, *_) = errors(interval(expression, domain))
        again = found.remedy.removeprefix("write ").split(" if that is meant")[0].split(", or ")[0]
        assert errors(interval(again, domain)) == []


CHARTS = {
    "task": {"name": "charts"},
    "manifold": {"ambient": ["x", "y"], "intrinsic": ["t"]},
    "chart": [
        {"name": "a", "domain": [[-1, 1]], "boundary": [[True, True]], "inverse": ["t", "t**2"], "forward": ["x"]},
    ],
    "target": {"expression": "x + y"},
}


@pytest.mark.parametrize(
    ("key", "value", "where", "part"),
    [
        ("inverse", ["t", "sqrt(t)**4"], 'chart "a": inverse[1]', "sqrt(t)"),
        ("inverse", ["t**2/t", "t**2"], 'chart "a": inverse[0]', "1/t"),
        ("forward", ["exp(log(x))"], 'chart "a": forward', "log(x)"),
        ("forward", ["x*y/y"], 'chart "a": forward', "1/y"),
        ("region", "sqrt(t)**2/2 + 1 - t/2", 'chart "a": region', "sqrt(t)"),
        ("bump", "1 + 0*log(t)", 'chart "a": bump', "log(t)"),
        ("bump", "y/y", 'chart "a": bump', "1/y"),
        ("partition", "x/x", 'chart "a": partition', "1/x"),
        ("target", "t/t", 'chart "a": target', "1/t"),
    ],
)
def test_every_map_of_a_chart_is_looked_at(key, value, where, part):
    spec = {**CHARTS, "chart": [{**CHARTS["chart"][0], key: value}]}
    if key == "target":
        del spec["target"]
    found = errors(spec)
    assert any(f.where == where and f": {part} has a value only where" in f.problem for f in found), found


def graph(combine: str, block: str = "x") -> dict:
    return {
        "task": {"name": "graph", "kind": "graph", "output": "f"},
        "input": [{"name": "x", "domain": [0, 1]}, {"name": "y", "domain": [0, 2]}],
        "block": [
            {
                "name": "a",
                "reads": ["x"],
                "piece": [{"domain": [0, 0.5], "expression": block}, {"domain": [0.5, 1], "expression": block}],
            },
            {"name": "b", "reads": ["y"], "piece": [{"domain": [0, 2], "expression": "y - 1"}]},
        ],
        "combine": [{"name": "f", "expression": combine}],
    }


@pytest.mark.parametrize(
    ("combine", "part", "where"),
    [
        ("sqrt(a - b)**2", "sqrt(a - b)", lambda a, b: a < b),
        ("a*b/b", "1/b", lambda a, b: abs(b) < 1e-9),
        ("(a - b)**2/(a - b)", "1/(a - b)", lambda a, b: abs(a - b) < 1e-9),
        ("sqrt((a - 0.12345)**2 + (b - 0.54321)**2 - 1e-8)**2", None, lambda a, b: abs(a - 0.12345) + abs(b - 0.54321) < 1e-3),
        ("a*b*tan(pi*a)", "tan(pi*a)", lambda a, b: abs(a - 0.5) < 1e-9),
        ("Piecewise((log(a), b > 0), (a, True))", "log(a)", lambda a, b: a == 0 and b > 0),
        ("a*b + 0*acosh(a + 1.5 + b)", "acosh(a + 1.5 + b)", lambda a, b: a + b < -0.5),
    ],
)
def test_combinations_are_followed_through_the_graph(combine, part, where):
    (found,) = errors(graph(combine))
    assert part is None or f": {part} has a value only where" in found.problem
    assert found.where == 'combine "f"'
    if combine != "a*b/b" and combine != "a*b*tan(pi*a)":
        assert where(*found.witness)


@pytest.mark.parametrize(
    "combine",
    [
        "sqrt(a) + b",
        "sqrt(1 - a)**2*b",
        "sqrt(1 - b**2)**2 + asin(b) + acos(2*a - 1)",
        "a/(b + 1.5)",
        "log(exp(a - b))*a",
        "atan2(a + 1, b)",
    ],
)
def test_combinations_with_closed_ends_are_clean(combine):
    assert errors(graph(combine)) == []


def test_pieces_are_looked_at_by_the_text():
    found = errors(graph("a + b", "sqrt(x - 0.25)**2 + x/x"))
    assert [f.where for f in found] == ['block "a": piece "piece1": expression'] * 2
    assert all(f.remedy.startswith("write x + 0.75 if that is meant") for f in found)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("(x1 + 1e8)**2 - 1e16 - 2e8*x1", "comes out as"),
        ("x1 + 1.0 + 1e16 - 1e16", "where it is"),
        ("(1 - cos(1e-9*x1))*1e18", "comes out as 0 where it is 0.5"),
    ],
)
def test_lost_digits_are_a_warning(expression, value):
    found = [finding for finding in lint(task_from_spec(interval(expression))) if "loses its digits" in finding.problem]
    assert [(f.where, f.severity) for f in found] == [("target", Severity.WARNING)]
    assert value in found[0].problem


def test_the_region_that_is_proposed_where_a_direction_is_none_leaves_that_out() -> None:
    manifold = {"builtin": "sphere", "coordinates": ["x", "y", "z"]}
    spec = {"task": {"name": "t"}, "manifold": manifold, "target": {"expression": "x*cos(atan2(y, x))"}}
    (finding,) = [found for found in lint(task_from_spec(spec), samples=256) if found.severity is Severity.ERROR]
    region = finding.remedy.split('region = "')[1].split('"')[0]
    left = task_from_spec({**spec, "manifold": {**manifold, "region": region}})
    assert not [found for found in lint(left, samples=256) if found.severity is Severity.ERROR]
