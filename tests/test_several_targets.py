"""Several targets on one atlas: each has its own ε, bound and verdict, by name."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import ManifoldTask, load_task, task_from_spec, task_to_spec
from atlasmoe.atlas.spec.several import OWN
from atlasmoe.atlas.targets import in_units, parts, stacked
from atlasmoe.atlas.wanted import Wanted, columns, largest, units
from atlasmoe.cli.main import main
from atlasmoe.errors import InvalidArgument, SpecError
from atlasmoe.moe.nets import Affine
from atlasmoe.moe.typed_json import canonical
from click.testing import CliRunner
from test_docs import first, tables

EXAMPLE = Path(__file__).parent.parent / "examples" / "several_targets.toml"
SPEC = {
    "task": {"name": "weather"},
    "manifold": {"builtin": "circle"},
    "target": [
        {"name": "heat", "epsilon": "4%", "expression": "100*x1*x2"},
        {"name": "wind", "epsilon": 0.08, "outputs": ["east", "north"], "expression": ["x1**2", "exp(x2)"]},
    ],
}
GRAPH = {
    "task": {"name": "both", "kind": "graph", "output": "out"},
    "input": [{"name": "x", "domain": [[0, 1]]}, {"name": "y", "domain": [[0, 1]]}],
    "block": [{"name": "p", "reads": ["x"], "expression": "x**2"}, {"name": "q", "reads": ["y"], "expression": "sin(y)"}],
    "combine": [{"name": "out", "outputs": ["s", "d"], "expression": ["p + q", "100*(p - q)"]}],
    "target": [{"name": "sum", "outputs": ["s"], "epsilon": 0.01}, {"name": "d", "epsilon": "5%"}],
}


@pytest.fixture(scope="module")
def model():
    return atlasmoe.compile(task_from_spec(SPEC))


@pytest.fixture(scope="module")
def certificate(model):
    return atlasmoe.certify(model)


@pytest.fixture(scope="module")
def folder(model, certificate, tmp_path_factory):
    folder = atlasmoe.save(model, tmp_path_factory.mktemp("several") / "weather")
    certificate.write(folder)
    return folder


def shifted(model, output, by):
    """The model, one output of all experts off by a constant."""
    last = model.network.layers[-1]

    def off(net):
        map_ = net.affines[-1]
        bias = map_.bias.copy()
        bias[output] += by
        return net.with_maps((*net.affines[:-1], Affine(map_.weight, bias)))

    layers = (*model.network.layers[:-1], replace(last, experts=tuple(map(off, last.experts))))
    return replace(model, network=replace(model.network, layers=layers), beside=None)


def test_each_target_is_built_to_its_own_epsilon(model):
    heat, wind = model.task.wanted
    assert (heat.epsilon, wind.epsilon) == (4.0, 0.08)
    assert model.task.names == ("heat", "east", "north")
    points = model.task.atlas.sample(2000, 3)
    gap = np.abs(model(points.ambient) - model.task.evaluate(points))
    assert gap[:, 0].max() <= 4.0
    assert gap[:, 1:].max() <= 0.08
    assert gap[:, 0].max() > 0.08  # one ε for all would have had to be the smallest
    said = {claim.name: claim for _, claim in model.ledger.root.walk()}
    assert said["target[heat]"].budget == 4.0
    assert said["target[wind]"].budget == 0.08
    assert model.ledger.root.budget == 1.0
    assert said["total"].bound == pytest.approx(max(said["target[heat]"].bound / 4, said["target[wind]"].bound / 0.08))


def test_an_epsilon_of_one_target_does_not_loosen_another():
    spec = copy.deepcopy(SPEC)
    spec["target"][0]["epsilon"] = 1e9
    loose = atlasmoe.compile(task_from_spec(spec))
    points = loose.task.atlas.sample(2000, 3)
    assert np.abs(loose(points.ambient) - loose.task.evaluate(points))[:, 1:].max() <= 0.08
    proof = atlasmoe.certify(loose, tightness=None)
    assert proof["target[wind].total"].bound <= 0.08
    assert proof["target[wind].total"].budget == 0.08
    assert atlasmoe.certify(shifted(loose, 2, 0.16), tightness=None).refutation.target == "wind"


def test_every_target_is_proved_by_name_with_its_own_bound(certificate, folder):
    assert certificate.status == "proved"
    for name, epsilon in (("heat", 4.0), ("wind", 0.08)):
        assert certificate[f"target[{name}].total"].budget == epsilon
        assert certificate[f"target[{name}].total"].bound <= epsilon
    assert (
        certificate["target[wind].total"].bound < 0.9 * certificate.bound * 0.08
    )  # heat is the hard one, and its bound is not that of wind
    assert certificate.bound == pytest.approx(certificate["target[heat].total"].bound / 4)
    report = atlasmoe.check(folder)
    assert report.verdict == "confirmed", report.failures
    assert {"total", "target[heat].total", "target[wind].total", "target[wind].cover"} <= set(report.claims)
    assert atlasmoe.load(folder).stated.known == "proved"


@pytest.mark.parametrize(("output", "name", "epsilon"), [(0, "heat", 4.0), (2, "wind", 0.08)])
def test_a_target_that_is_wrong_by_two_epsilon_is_refuted_by_name(model, output, name, epsilon, tmp_path):
    wrong = shifted(model, output, 2 * epsilon)
    proof = atlasmoe.certify(wrong)
    other = "wind" if name == "heat" else "heat"
    assert proof.status == "refuted"
    assert proof.refutation.target == name
    assert name in proof.explain()
    assert proof[f"target[{name}].total"].known == "refuted"
    assert proof[f"target[{other}].total"].known == "proved"
    proof.write(atlasmoe.save(wrong, tmp_path / "wrong"))
    assert atlasmoe.check(tmp_path / "wrong").verdict == "refuted"
    seen = {claim.name for claim in atlasmoe.verify(wrong, samples=500).claims if claim.known == "refuted"}
    assert f"target[{name}]" in seen
    assert f"target[{other}]" not in seen


def edited(folder, place, edit):
    """A copy of a certified folder with an edit of certificate.json, its hashes as they were."""
    import shutil

    shutil.copytree(folder, place)
    path = place / "certificate.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_bytes(canonical(document) + b"\n")
    return place


def swap(document):
    one, two = document["targets"]
    one["epsilon"], two["epsilon"] = two["epsilon"], one["epsilon"]


def swap_everywhere(document):
    swap(document)
    for claim in document["claims"]:
        if ".total" in claim["name"] and claim["name"].startswith("target"):
            claim["budget"] = 0.08 if "heat" in claim["name"] else 4.0


def lose(document):
    document["targets"].pop()


def other_bound(document):
    document["targets"][1]["bound"] /= 2


def one_epsilon(document):
    document["epsilon"] = 0.5


def other_name(document):
    document["targets"][0]["name"] = "wind"


def other_channels(document):
    document["sites"][1]["channels"] = document["sites"][0]["channels"] * 2


def other_sites(document):
    one, two = document["sites"]
    one["name"], two["name"] = two["name"], one["name"]


def no_targets(document):
    del document["targets"]


def lower(document):
    for claim in document["claims"]:
        if claim["name"] == "total":
            claim["bound"] = document["bound"] = 0.25


@pytest.mark.parametrize(
    "edit", [swap, swap_everywhere, lose, other_bound, one_epsilon, other_name, other_channels, other_sites, no_targets, lower]
)
def test_tampered_certificates_are_refused(folder, tmp_path, edit):
    report = atlasmoe.check(edited(folder, tmp_path / "edited", edit))
    assert report.verdict == "rejected"


def test_swapped_epsilons_in_the_task_are_another_file(folder, tmp_path):
    place = edited(folder, tmp_path / "edited", swap_everywhere)
    text = (place / "task.toml").read_text().replace("epsilon = 4.0", "epsilon = A").replace("epsilon = 0.08", "epsilon = 4.0")
    (place / "task.toml").write_text(text.replace("epsilon = A", "epsilon = 0.08"))
    document = json.loads((place / "certificate.json").read_text())
    document["files"]["task.toml"] = hashlib.sha256((place / "task.toml").read_bytes()).hexdigest()
    document["root"] = hashlib.sha256(canonical(document["files"])).hexdigest()
    (place / "certificate.json").write_bytes(canonical(document) + b"\n")
    assert atlasmoe.check(place).verdict == "rejected"


def test_outputs_of_a_graph_have_their_own_epsilon(tmp_path):
    made = atlasmoe.compile(task_from_spec(GRAPH))
    assert [one.epsilon for one in made.task.wanted] == [0.01, pytest.approx(9.2, rel=0.01)]
    proof = atlasmoe.certify(made)
    assert proof.status == "proved"
    assert proof["target[sum].total"].bound <= 0.01
    assert 0.01 < proof["target[d].total"].bound <= made.task.wanted[1].epsilon
    proof.write(atlasmoe.save(made, tmp_path / "graph"))
    assert atlasmoe.check(tmp_path / "graph").verdict == "confirmed"
    assert atlasmoe.check(edited(tmp_path / "graph", tmp_path / "other", swap)).verdict == "rejected"
    wrong = shifted(made, 0, 0.02)
    proof = atlasmoe.certify(wrong)
    assert proof.refutation.target == "sum"
    proof.write(atlasmoe.save(wrong, tmp_path / "wrong"))
    assert atlasmoe.check(tmp_path / "wrong").verdict == "refuted"


def test_specs_round_trip():
    for spec in (SPEC, GRAPH):
        written, arrays = task_to_spec(task_from_spec(spec))
        assert task_to_spec(task_from_spec(written, arrays=arrays))[0] == written
        assert [one["epsilon"] for one in written["target"]] == [one["epsilon"] for one in spec["target"]]
    box = {**SPEC, "manifold": {"box": {"t": [0, 1]}, "periodic": ["t"]}}
    box["target"] = [{"name": "a", "epsilon": 0.1, "expression": "sin(2*pi*t)"}, {"name": "b", "epsilon": 1, "expression": "cos(2*pi*t)"}]
    written, _ = task_to_spec(task_from_spec(box))
    assert task_to_spec(task_from_spec(written))[0] == written
    assert task_from_spec(written).evaluate(task_from_spec(box).atlas.sample(9, 0)).shape == (9, 2)


def edits(number, **changes):
    spec = copy.deepcopy(SPEC)
    spec["target"][number] = {k: v for k, v in {**spec["target"][number], **changes}.items() if v is not None}
    return spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (edits(1, name="heat"), "another target is called 'heat'"),
        (edits(1, name=None), "the key 'name' is missing"),
        (edits(1, epsilon=None), "the key 'epsilon' is missing: several targets have an ε each; add epsilon = 0.1"),
        (edits(1, epsilon=0), "not positive"),
        (edits(1, epsilon="-1%"), "not positive"),
        (edits(1, epsilon="x%"), "neither a number nor a percentage"),
        (edits(1, epsilon=float("nan")), "not positive and finite"),
        (edits(1, epsilon=float("inf")), "not positive and finite"),
        (edits(1, epsilon=True), "not positive"),
        (edits(1, epsilon=[1]), "not positive"),
        (edits(1, colour="red"), "unknown key 'colour'"),
        (edits(1, name="x1"), "called like a coordinate"),
        (edits(1, outputs=["x1", "q"]), "has the name of a coordinate"),
        (edits(1, outputs=["q"]), "there are 1 names for 2 components"),
        (edits(1, outputs=["heat", "q"]), "each its own"),
        (edits(1, expression="x9"), "target \"wind\": expression: column 1: unknown name 'x9'"),
        (edits(1, expression=None, callable="a:b"), "target \"wind\": is the Python function 'a:b', whose code a spec cannot hold"),
        (edits(0, expression=None, charts=["u1"] * 4), "some targets are given on all of M and others chart by chart"),
        ({**SPEC, "target": []}, "there are 0 targets"),
        ({**SPEC, "target": [*SPEC["target"], "heat"]}, "expected a table"),
        ({**SPEC, "task": {"name": "t", "outputs": ["a", "b", "c"]}}, "write outputs in the [[target]] tables"),
        ({**GRAPH, "target": GRAPH["target"][::-1]}, "name every component of the output in one of them, in this order"),
        ({**GRAPH, "target": GRAPH["target"][:1]}, "name every component of the output"),
    ],
)
def test_mistakes_are_named(spec, said):
    with pytest.raises(SpecError) as caught:
        task_from_spec(spec)
    assert said in str(caught.value)


def test_one_epsilon_for_all_is_refused(model):
    for ask in (
        lambda: atlasmoe.compile(model.task, epsilon=0.1),
        lambda: atlasmoe.compile(model.task, width=16),
        lambda: atlasmoe.certify(model, epsilon=0.1),
        lambda: atlasmoe.plan(model.task, 0.1),
    ):
        with pytest.raises(InvalidArgument, match="heat, wind"):
            ask()
    for function in (atlasmoe.dense_baseline, lambda one: atlasmoe.substitute(one, "gelu")):
        with pytest.raises(InvalidArgument, match=r"a model of one target"):
            function(model)


def test_lint_measures_each_target_by_its_own_range():
    spec = edits(1, expression=["x1", "1e-6*sign(x2)"])
    found = [str(finding) for finding in atlasmoe.lint(task_from_spec(spec)) if finding.severity == "error"]
    assert any(line.startswith('target "wind"') and "jumps" in line for line in found), found
    assert not any("heat" in line for line in found)


def test_everybody_names_them(folder, tmp_path):
    runner = CliRunner()
    said = runner.invoke(main, ["explain", str(folder), "--at", "0.6,0.8"]).output
    assert "in units of each target's own ε" in said
    assert "ε of wind is 0.08" in said
    document = json.loads((folder / "certificate.json").read_text())
    assert [one["name"] for one in document["targets"]] == ["heat", "wind"]
    card = (folder / "README.md").read_text()
    assert "target[heat]" in card
    assert "`east`" in card or "y[east]" in card
    assert "target[wind]" in runner.invoke(main, ["show", str(folder)]).output


def test_a_theorem_has_a_conclusion_a_target_under_its_own_epsilon(folder, tmp_path):
    runner = CliRunner()
    proof = tmp_path / "proof"
    written = runner.invoke(main, ["prove", str(folder), "-o", str(proof), "--no-run"])
    assert written.exit_code == 0, written.output
    task, theorem = (proof / "Task.v").read_text(), (proof / "Main.v").read_text()
    assert re.findall(r"Module (Target_\w+).*?outputs : list nat := (\S+)%nat.*?dyadic := (\S+)\.", task, re.DOTALL) == [
        ("Target_heat", "[0]", "(1,2)"),
        ("Target_wind", "[1;2]", "(5764607523034235,-56)"),
    ]
    for name in ("heat", "wind"):
        assert f"close Target_{name}.eps Target_{name}.f y (pick Target_{name}.outputs psi)" in theorem
    assert "heat to 4.0, wind to 0.08" in (proof / "README.md").read_text()
    assert "Theorem error_on_the_circle" in (proof / "Equation.v").read_text()
    assert "eps Target.f" not in (proof / "Equation.v").read_text()
    for more in (["--epsilon", "0.1"], ["--floats"]):
        refused = runner.invoke(main, ["prove", str(folder), "-o", str(tmp_path / "other"), *more])
        assert refused.exit_code == 2
        assert f"several targets, heat, wind, {'each' if more[1:] else 'of which'}" in " ".join(refused.output.split())


def test_parts_and_units_are_the_same_functions():
    task = task_from_spec(edits(0, epsilon=4.0))
    points = task.atlas.sample(200, 1)
    truth = task.evaluate(points)
    for part, (one, place) in zip(parts(task), columns(task.wanted), strict=True):
        np.testing.assert_array_equal(part.evaluate(points), truth[:, place])
        assert part.outputs == one.outputs
    np.testing.assert_allclose(in_units(task).evaluate(points), truth / units(task.wanted), rtol=1e-14)
    both = stacked([part.target for part in parts(task)])
    np.testing.assert_array_equal(replace(task, target=both).evaluate(points), truth)
    np.testing.assert_array_equal(largest(truth, task.wanted), (np.abs(truth) / [4, 0.08, 0.08]).max(1))


def test_wanted_says_what_is_wrong():
    task = task_from_spec(SPEC)
    for wanted, said in (
        ((Wanted("a", 1.0), Wanted("a", 1.0, 2)), "its own name"),
        ((Wanted("a", 1.0), Wanted("b", 1.0)), "have 2 components, f has 3"),
        ((Wanted("x1", 1.0, 3),), "like a coordinate"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            replace(task, wanted=wanted)
    with pytest.raises(InvalidArgument, match="names of components"):
        ManifoldTask("t", task.atlas, task.target, wanted=task.wanted)
    for epsilon in (0, -1, float("inf"), "1e400%", None, "a", 1e-310, 5e-324, 1.7e308):
        with pytest.raises(InvalidArgument):
            Wanted("a", epsilon)


def test_the_page_lists_all_keys():
    assert first(tables("Several targets")[0]) == list(OWN)
    assert [one.name for one in load_task(EXAMPLE).wanted] == ["temperature", "wind"]
