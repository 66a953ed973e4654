"""REFUTED is a proof: a witness counts if f and the network, enclosed at that very point, exclude ε; and anybody can look again."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import CallableTarget
from atlasmoe.atlas.graph import as_graph
from atlasmoe.atlas.graph.pointwise import NotPointwise, Pointwise, Spot
from atlasmoe.cli.main import main
from atlasmoe.errors import FolderError
from atlasmoe.expressions.precise import Enclosed, Undefined
from atlasmoe.moe import Affine, Known, Model, MoELayer, Network, ReLUNet
from atlasmoe.moe.exact import NotDecided, evaluate
from atlasmoe.moe.layout import describe, tensors
from atlasmoe.moe.network import NeuronGroup
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.check import check
from atlasmoe.verify.check.layers import read_layers
from atlasmoe.verify.check.pointwise import evaluated
from atlasmoe.verify.prove import certify
from certificates import edited
from click.testing import CliRunner
from conftest import EPSILON
from general_layers import KINDS, general_network
from handmade import with_expert

FILE = "refutation.json"


def interval(expression: str, folder: Path, domain: str = "[-1, 1]") -> atlasmoe.ManifoldTask:
    path = folder / "spec.toml"
    path.write_text(f'[task]\nname = "t"\n[manifold]\nbuiltin = "interval"\ndomain = {domain}\n[target]\nexpression = "{expression}"\n')
    return atlasmoe.load_task(str(path))


def exactly(point: np.ndarray) -> list[Enclosed]:
    return [Enclosed(Fraction(float(v)), Fraction(float(v))) for v in point]


def test_cancellation_is_no_counterexample(tmp_path: Path) -> None:
    """f = x² written with terms of 1e16: in floats it seems to be off by 3.5, where it is off by 5e-4."""
    network = atlasmoe.compile(interval("x1**2", tmp_path), epsilon=1e-3).network
    task = interval("(x1 + 1e8)**2 - 1e16 - 2e8*x1", tmp_path)
    points = task.atlas.sample(2000, 0)
    assert np.abs(network(points.ambient) - task.evaluate(points)).max() > 1
    certificate = certify(network, task, epsilon=1e-3, tightness=None, boxes=20_000)
    assert certificate.status is not Known.REFUTED
    assert 4e-4 < certificate.found <= 1e-3
    assert certify(network, task, epsilon=1e-4, tightness=None).status is Known.REFUTED


def test_a_miss_too_small_for_floats_is_refuted(tmp_path: Path) -> None:
    """f = 1e8 + x² against 1e8 + x² + 1e-9: floats cannot tell them apart, fractions can."""
    task = interval("1e8 + x1", tmp_path)
    net = ReLUNet((Affine(np.ones((1, 1)), np.array([1e8 + 1.5e-8])),), ())
    network = Network((MoELayer(None, (net,), (0,), ("all",), ("f",)),), ("x1",))
    certificate = certify(network, task, epsilon=1e-9, tightness=None, boxes=4000)
    assert certificate.status is Known.REFUTED
    assert certificate.bound == pytest.approx(float(Fraction(1e8 + 1.5e-8) - 10**8), rel=1e-12)


def test_a_python_target_is_refuted_by_its_enclosure(circle: Model, tmp_path: Path) -> None:
    """It cannot be evaluated again by anybody else, but what it encloses excludes ε too."""
    target = CallableTarget(lambda y: y[:, 0] * y[:, 1], enclosure=lambda y: y[:, [0]] * y[:, [1]])
    task = replace(circle.task, target=target)
    wrong = certify(wrong_circle(circle).network, task, epsilon=EPSILON, tightness=None)
    assert wrong.status is Known.REFUTED
    assert wrong.bound == pytest.approx(0.5, abs=0.02)
    assert certify(circle.network, task, epsilon=EPSILON, tightness=None).status is Known.PROVED


def wrong_circle(circle: Model) -> Model:
    return replace(circle, network=with_expert(circle.network, 1, 0, lambda arrays: arrays[1][1].__iadd__(0.5)))


@pytest.fixture(scope="module")
def folder(circle: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    wrong = wrong_circle(circle)
    folder = atlasmoe.save(wrong, tmp_path_factory.mktemp("wrong") / "m")
    certificate = certify(wrong)
    assert certificate.status is Known.REFUTED
    certificate.write(folder)
    return folder


def test_the_witness_is_a_file_that_anybody_can_evaluate(folder: Path) -> None:
    document = json.loads((folder / FILE).read_text())
    model = atlasmoe.load(folder)
    (place,) = document["point"]
    u = np.array([float.fromhex(part["hex"]) for part in place["coordinates"]])
    assert [Fraction(part["fraction"]) for part in place["coordinates"]] == [Fraction(v) for v in u]
    chart = next(chart for chart in model.manifold_task.atlas.charts if chart.name == place["chart"])
    y = chart.inverse(u)
    f, psi = y[0] * y[1], model.network(y[None])[0, 0]
    for value, said in ((f, document["f"][0]), (psi, document["network"][0])):
        assert float.fromhex(said["lower"]) - 1e-12 <= value <= float.fromhex(said["upper"]) + 1e-12
    assert abs(f - psi) == pytest.approx(document["error"], abs=1e-12)
    assert document["error"] > document["epsilon"] == 0.02
    assert set(document["files"]) == {"model.safetensors", "config.json", "task.toml"}


def test_check_looks_at_it_again(folder: Path) -> None:
    report = check(folder)
    assert (report.verdict, report.holds, report.claims) == ("refuted", False, ())
    assert "|f − Ψ| is at least 0.5" in report.refutation
    result = CliRunner().invoke(main, ["check", str(folder)])
    assert (result.exit_code, "above ε = 0.02" in result.stdout, result.stdout.splitlines()[-1]) == (1, True, "refuted")


def changed(folder: Path, copy: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    shutil.copytree(folder, copy)
    document = json.loads((copy / FILE).read_text())
    change(document)
    (copy / FILE).write_text(json.dumps(document))
    return copy


def coordinate(value: float) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        document["point"][0]["coordinates"] = [{"hex": value.hex(), "fraction": "{}/{}".format(*value.as_integer_ratio())}]

    return change


@pytest.mark.parametrize(
    "change",
    [
        edited("epsilon", 0.01),
        edited("task", "other"),
        edited("refutes", "routing.valid"),
        edited("refutes", "defined"),
        edited("files", {}),
    ],
)
def test_a_refutation_that_shows_something_else_is_rejected(
    change: Callable[[dict[str, Any]], object], folder: Path, tmp_path: Path
) -> None:
    report = check(changed(folder, tmp_path / "copy", change))
    assert report.verdict == "rejected", report.failures
    assert report.refutation == ""


@pytest.mark.parametrize("value", [9.0, 1.4])
def test_a_point_off_its_chart_shows_nothing(value: float, folder: Path, tmp_path: Path) -> None:
    assert check(changed(folder, tmp_path / "copy", coordinate(value))).verdict == "undecided"


@pytest.mark.parametrize(
    "change",
    [
        edited("schema", 2), edited("refutes", "taste"), edited("point", []), edited("point/0/chart", "nowhere"),
        edited("point/0/coordinates", []), edited("point/0/coordinates/0/hex", "nan"), edited("point/0/coordinates/0/hex", "0x1p0"),
        edited("point/0/coordinates/0/fraction", "1/0"), edited("note", "trust me"), edited("epsilon", "small"),
    ],
)  # fmt: skip
def test_what_is_no_refutation_is_said_to_be_none(change: Callable[[dict[str, Any]], object], folder: Path, tmp_path: Path) -> None:
    copy = changed(folder, tmp_path / "copy", change)
    with pytest.raises(FolderError, match=FILE):
        check(copy)


def test_a_certificate_without_its_witness_is_undecided(folder: Path, tmp_path: Path) -> None:
    copy = changed(folder, tmp_path / "copy", id)
    (copy / FILE).unlink()
    report = check(copy)
    assert report.verdict == "undecided"
    assert "there is no refutation.json" in str(report.failures[0])


def test_a_proof_takes_the_witness_away(circle: Model, tmp_path: Path) -> None:
    wrong = certify(circle, epsilon=1e-4, tightness=None)
    assert wrong.status is Known.REFUTED
    folder = atlasmoe.save(circle, tmp_path / "m")
    wrong.write(folder)
    assert (folder / FILE).is_file()
    certify(circle, tightness=None).write(folder)
    assert not (folder / FILE).exists()
    wrong.write(folder, overwrite=True)
    assert check(folder).verdict == "refuted"
    atlasmoe.save(circle, folder, overwrite=True)
    assert not (folder / FILE).exists()


def test_a_wrong_route_is_refuted_and_confirmed(circle: Model, tmp_path: Path) -> None:
    """A gate that prefers one arc everywhere, and an ε that nothing misses."""
    first, last = circle.network.layers
    weight = last.gate.weight.copy()
    weight[1] *= 0.5
    weight[1, :2] = [0.0, 1.5]
    network = Network((first, replace(last, gate=Affine(weight, last.gate.bias))), circle.network.inputs)
    model = replace(circle, network=network)
    certificate = certify(model, epsilon=50.0, tightness=None)
    assert certificate["routing.valid"].known is certificate.status is Known.REFUTED
    certificate.write(folder := atlasmoe.save(model, tmp_path / "m"))
    report = check(folder)
    assert (report.verdict, report.refutation) == ("refuted", 'chart "north" gives it coordinates outside of its domain')


def test_graphs_have_witnesses_too(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(
        '[task]\nname="g"\nkind="graph"\noutput="f"\n[[input]]\nname="u"\ndomain=[0,2]\n[[block]]\nname="f"\nreads=["u"]\n'
        'piece=[{domain=[0,1],expression="u"},{domain=[1,2],expression="2-u"}]\n'
    )
    model = atlasmoe.compile(atlasmoe.load_task(str(tmp_path / "g.toml")), epsilon=1e-2)
    last = model.network.layers[-1]
    moved = tuple(replace(e, affines=(*e.affines[:-1], replace(e.affines[-1], bias=e.affines[-1].bias + 0.25))) for e in last.experts)
    wrong = replace(model, network=Network((*model.network.layers[:-1], replace(last, experts=moved)), model.network.inputs))
    certificate = certify(wrong)
    assert certificate.status is Known.REFUTED
    assert certificate.bound == pytest.approx(0.25)
    certificate.write(folder := atlasmoe.save(wrong, tmp_path / "m"))
    assert check(folder).verdict == "refuted"
    (place,) = json.loads((folder / FILE).read_text())["point"]
    assert place["chart"] is None


# f and networks at a point


def test_f_at_a_point_is_that_of_the_text(circle: Model) -> None:
    graph = as_graph(circle.task)
    (source,) = graph.inputs
    found = Pointwise(graph, {source.name: Spot(0, (Fraction(1, 2),))}).output[0]
    assert isinstance(found, Enclosed)
    assert found.lower <= found.upper < found.lower + Fraction(1, 10**40)
    assert float(found.lower) == pytest.approx(math.sin(0.5) * math.cos(0.5), abs=1e-16)
    for spot in (Spot(0, (Fraction(7, 5),)), Spot(7, (Fraction(0),)), Spot(None, (Fraction(0),))):
        with pytest.raises(NotPointwise):
            _ = Pointwise(graph, {source.name: spot}).output


def test_f_may_have_no_value_at_a_point(tmp_path: Path) -> None:
    graph = as_graph(interval("x1/(x1 - 0.25)", tmp_path))
    (source,) = graph.inputs
    assert isinstance(Pointwise(graph, {source.name: Spot(0, (Fraction(1, 4),))}).output[0], Undefined)


@pytest.mark.parametrize("kind", KINDS)
def test_two_exact_evaluations_agree_with_floats(kind: str) -> None:
    """Gates with hidden layers, sets of K, all weightings, carried channels, shared experts."""
    network = general_network(kind)
    _, _, layers = read_layers(Fields.of(json.loads(json.dumps(describe(network))), Path("config.json")), tensors(network))
    for x in np.random.default_rng(0).uniform(-1, 1, (3, len(network.inputs))):
        expected = network(x[None])[0]
        ours, routes = evaluate(network, exactly(x))
        theirs, chosen = evaluated(layers, exactly(x))
        for one, other, value in zip(ours, theirs, expected, strict=True):
            assert one.lower <= other.high
            assert other.low <= one.upper
            assert one.upper - one.lower < Fraction(1, 10**30)
            assert float(one.lower) == pytest.approx(float(value), rel=1e-9, abs=1e-9)
        assert routes[-1] == chosen == tuple(sorted(network.trace(x[None]).chosen[-1][0]))


def test_ties_go_to_the_first_and_open_choices_are_none() -> None:
    net = ReLUNet((Affine(np.eye(1), np.zeros(1)), Affine(np.eye(1), np.zeros(1))), ((NeuronGroup("n", 1, "by hand"),),))
    layer = MoELayer(Affine(np.array([[1.0], [1.0]]), np.zeros(2)), (net,), (0, 0), ("a", "b"), ("f",))
    network = Network((layer,), ("x",))
    assert evaluate(network, exactly(np.array([0.5])))[1] == [(0,)]
    with pytest.raises(NotDecided):
        evaluate(network, [Enclosed(Fraction(0), Fraction(1))])
