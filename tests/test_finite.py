"""Inputs and components of finitely many values: a sum of indicators has margin 1/2, and claims are about these values alone (B9)."""

from __future__ import annotations

import dataclasses
import itertools
from fractions import Fraction

import atlasmoe as am
import numpy as np
import pytest
import torch
from atlasmoe.atlas.graph.finite import Places
from atlasmoe.atlas.spec import task_from_spec, task_to_spec
from atlasmoe.constructions.ranges import reachable
from atlasmoe.errors import LintError, SpecError
from atlasmoe.moe.nets import Affine


def bits(count, between=False):
    """How many of `count` bits are 1, and a code that depends on it; `between`: the bits are thresholds of numbers in [0, 1]."""
    of = {"domain": [0, 1]} if between else {"values": [0, 1]}
    steps = [{"domain": [0, 0.5], "expression": "0"}, {"domain": [0.5, 1], "expression": "1"}]
    table = [{"domain": [k - 0.5, k + 0.5], "expression": str(k % 3)} for k in range(count + 1)]
    return {
        "task": {"name": "count", "kind": "graph", "output": "out"},
        "input": [{"name": f"t{k}", **of} for k in range(count)],
        "block": [{"name": f"is{k}", "reads": [f"t{k}"], "piece": steps} for k in range(count)]
        + [{"name": "table", "reads": ["count"], "piece": table}],
        "combine": [
            {"name": "count", "expression": " + ".join(f"is{k}" for k in range(count))},
            {"name": "out", "outputs": ["total", "code"], "expression": ["count", "table"]},
        ],
    }


def levels():
    """A table over five levels and a number of [0, 1], and a level's own curve."""
    pieces = [{"domain": [[a, b], [0, 1]], "expression": e} for a, b, e in ((0, 1.5, "s*n/4"), (1.5, 3.2, "1 - s"), (3.2, 5, "s**2 - 1"))]
    return {
        "task": {"name": "levels", "kind": "graph", "output": "out"},
        "input": [{"name": "n", "values": [0, 1, 2, "7/2", 5]}, {"name": "s", "domain": [0, 1]}],
        "block": [
            {"name": "part", "reads": ["n", "s"], "piece": pieces},
            {"name": "curve", "reads": ["n"], "piece": [{"domain": [0, 5], "expression": "exp(-n/2)"}]},
        ],
        "combine": [{"name": "out", "expression": "part + curve"}],
    }


def coded():
    """A product of two digits, read by a table: a combination that is no sum."""
    table = [{"domain": [a, b], "expression": str(c)} for a, b, c in ((-0.5, 0.5, 0), (0.5, 2.5, 1), (2.5, 4.5, -1))]
    return {
        "task": {"name": "coded", "kind": "graph", "output": "table"},
        "input": [{"name": "x", "coordinates": ["p", "q"], "values": [0, 1, 2]}],
        "block": [
            {"name": "a", "reads": ["p"], "piece": [{"domain": [0, 2], "expression": "p"}]},
            {"name": "b", "reads": ["q"], "piece": [{"domain": [0, 2], "expression": "q"}]},
            {"name": "table", "reads": ["m"], "piece": table},
        ],
        "combine": [{"name": "m", "expression": "a*b", "activation": "exact"}],
    }


def every(task):
    return np.array(list(itertools.product(*(axis for node in task.inputs for axis in node.values))))


@pytest.fixture(scope="module")
def counted():
    return am.compile(task_from_spec(bits(12)), epsilon=1e-2)


@pytest.fixture(scope="module")
def fewer():
    return am.compile(task_from_spec(bits(9)), epsilon=1e-2)


def test_all_routes_of_twelve_bits_are_exact(counted):
    x = every(counted.task)
    assert len(x) == counted.task.cases == 4096
    assert np.array_equal(counted.network(x), counted.task(x))
    claim = next(c for _, c in counted.ledger.root.walk() if c.name == "block[table].routing")
    assert claim.bound == 0.5
    assert np.array_equal(am.to_torch(counted)(torch.tensor(x)).detach().numpy(), counted.task(x))


def test_it_is_proved_and_confirmed_for_these_points(fewer, tmp_path):
    certificate = am.certify(fewer)
    assert certificate.status == "proved"
    assert certificate.bound < 1e-9
    assert certificate.claims[0].statement.endswith("; M is the 512 points whose coordinates take the values of their inputs")
    am.save(fewer, tmp_path / "m")
    certificate.write(tmp_path / "m")
    found = am.check(tmp_path / "m")
    assert found.verdict == "confirmed"
    again = am.load(tmp_path / "m")
    assert again.task.inputs[0].values == ((0.0, 1.0),)
    assert am.verify(again, samples=64).holds
    text = (tmp_path / "m" / "certificate.json").read_text(encoding="utf-8")
    (tmp_path / "m" / "certificate.json").write_text(text.replace("; M is the 512 points", "; M is the 513 points"), encoding="utf-8")
    assert am.check(tmp_path / "m").verdict != "confirmed"


def test_thresholds_of_a_continuum_have_the_same_margin():
    task = task_from_spec(bits(4, between=True))
    assert task.finite["count"] == tuple(map(Fraction, range(5)))
    assert reachable(task)["count"].distance(1.5) == 0.5
    model = am.compile(task, epsilon=1e-2)
    assert am.certify(model).status == "proved"


@pytest.mark.parametrize("spec", [levels(), coded()], ids=["levels", "coded"])
def test_claims_of_other_tasks(spec, tmp_path):
    task = task_from_spec(spec)
    model = am.compile(task, epsilon=2e-2)
    assert am.verify(model, samples=2000).holds
    certificate = am.certify(model)
    assert certificate.status == "proved"
    am.save(model, tmp_path / "m")
    certificate.write(tmp_path / "m")
    assert am.check(tmp_path / "m").verdict == "confirmed"
    assert am.explain_point(model, task.sample(1, 0)[0])


def test_what_is_wrong_at_one_value_only_is_not_proved(counted):
    """The last table entry is off by 0.1: one input in 4,096 sees it."""
    (*layers, last) = counted.network.layers
    net = last.experts[last.serves[last.names.index("piece13")]]
    out = net.affines[-1]
    off = net.with_maps((*net.affines[:-1], Affine(np.array(out.weight), out.bias + np.array([0.0, 0.1]))))
    experts = tuple(off if expert is net else expert for expert in last.experts)
    broken = dataclasses.replace(counted.network, layers=(*layers, dataclasses.replace(last, experts=experts)))
    assert am.certify(broken, counted.task, epsilon=1e-2).status == "refuted"
    assert am.certify(broken, counted.task, epsilon=0.11).status == "proved"


def test_more_points_than_can_be_listed():
    task = task_from_spec(bits(24))
    assert task.cases == 2**24
    assert {*np.unique(task.sample(100, 0))} == {0.0, 1.0}
    model = am.compile(task, epsilon=1e-2, form="residual")
    x = task.sample(1000, 1)
    assert np.array_equal(model.network(x), task(x))


def test_places():
    places = Places.of({"n": (Fraction(0), Fraction(1, 3), Fraction(2))}, ("n", "s"), np.array([0.0, 0.5]))
    lower, upper = (
        np.array([[0.1, 0], [0.1, 0], [2.0, 5], [-1, 0], [1 / 3, 0]]),
        np.array([[0.3, 1], [0.4, 1], [2.0, 5], [-0.1, 0], [1 / 3, 0]]),
    )
    assert places.missed(lower, upper).tolist() == [True, False, False, True, False]
    assert places.nearest(np.array([[0.9, 0.7], [1.5, 0.1]])).tolist() == [[1 / 3, 0.7], [2.0, 0.1]]
    assert places.loose([np.array([0, 1.0, 2]), np.array([0, 0.5, 1])], np.array([0.1, 0.1])).tolist() == [0.0, 0.1]
    near = Places.of({"n": (Fraction(1),)}, ("n",), np.array([0.25]))
    assert near.loose([np.array([0, 0.75, 2])], np.array([0.25])).tolist() == [0.25]
    assert Places.of({}, ("n",), np.zeros(1)) is None


WRONG = {
    "[]": "are an empty list",
    "[1]": "are 1 alone",
    "[1, 0]": "are not ascending: 1 stands before 0",
    "[0, 1, 1]": "have 1 twice",
    "[0, 1e999]": "",
    "[[0, 1], [0, 1]]": "2 lists for 1 coordinates",
    "[0, [1]]": "mixes numbers and lists",
    "'0, 1'": "expected a list of numbers",
    "list(range(5000))": "are 5,000",
    "[0, 'x']": "",
    "[0, 3]": "outside of its domain",
}


@pytest.mark.parametrize(("values", "words"), WRONG.items())
def test_hostile_values_are_findings(values, words):
    spec = bits(1)
    spec["input"][0] = {"name": "t0", "coordinates": ["t0"], "values": eval(values), "domain": [0, 2]}
    with pytest.raises(SpecError) as found:
        task_from_spec(spec)
    assert words in str(found.value)
    assert all(finding.remedy for finding in found.value.findings)


def test_values_in_python():
    node = am.Input.finite("x", [0, 1, 4], ["a", "b"])
    assert node.cases == 9
    assert node.box.upper == (4.0, 4.0)
    block = am.Block.parse("f", ("a", "b"), am.Tiling.whole(node.box), "a*b")
    task = am.TaskGraph("t", (node, block), "f")
    assert sorted(map(float, task.finite["f"])) == [0, 1, 4, 16]
    assert len(np.unique(task.sample(9, 0), axis=0)) == 9
    spec, arrays = task_to_spec(task)
    assert spec["input"][0]["values"] == [[0.0, 1.0, 4.0]] * 2
    assert task_to_spec(task_from_spec(spec, arrays=arrays)) == (spec, arrays)
    with pytest.raises(LintError, match="stands before"):
        am.TaskGraph("t", (dataclasses.replace(node, values=((1.0, 0.0), (0.0, 4.0))), block), "f")
