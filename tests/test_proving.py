"""`compile(prove=True)`: it ends with a proof, or says why there is none; what missed ε is built again, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe import CallableTarget, InvalidArgument, Known, Ledger, ManifoldTask, Model, NotProved, TaskGraph
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.constructions.asked import Missed
from atlasmoe.constructions.compile import construct
from atlasmoe.front import proving
from atlasmoe.front.proving import joined, misses, proved


def curve(charts: int = 2) -> ManifoldTask:
    manifold = {"builtin": "interval", "domain": [0, 2], "charts": charts}
    found = task_from_spec({"task": {"name": "curve"}, "manifold": manifold, "target": {"expression": "sin(3*x1)"}})
    assert isinstance(found, ManifoldTask)
    return found


EPSILON = 0.005


@pytest.fixture(scope="module")
def model() -> Model:
    return atlasmoe.compile(curve(), epsilon=EPSILON, prove=True)


def test_it_ends_with_a_proof(model: Model) -> None:
    assert model.certificate is not None
    assert model.certificate.status is Known.PROVED
    assert model.certificate.bound <= EPSILON == model.certificate.epsilon
    assert (model.ledger.root.known, model.ledger.root.bound) == (Known.PROVED, model.certificate.bound)
    assert model.facts["proof"]["bound"] == model.certificate.bound
    assert model.facts["proof"]["rounds"][-1]["status"] == "proved"


def test_the_folder_has_the_certificate(model: Model, tmp_path: Path) -> None:
    atlasmoe.save(model, tmp_path / "model")
    assert atlasmoe.check(tmp_path / "model").verdict == "confirmed"
    again = atlasmoe.load(tmp_path / "model")
    assert again.ledger.root.known is Known.PROVED
    atlasmoe.save(again, tmp_path / "model", overwrite=True)
    assert not (tmp_path / "model" / "certificate.json").exists(), "a model that was loaded brings none"


def test_a_certificate_is_of_one_network(model: Model) -> None:
    assert replace(model, facts=model.facts).certificate is model.certificate
    assert replace(model, network=model.network.astype("float32")).certificate is None


def coarse_first(seen: list[Mapping[str, Mapping[str, Missed]]], task: ManifoldTask) -> Model:
    """Width 8 as long as nothing was missed."""
    missed = seen[-1]
    return construct(task, epsilon=EPSILON, missed=missed) if missed else replace_epsilon(construct(task, width=8))


def replace_epsilon(model: Model) -> Model:
    ledger = Ledger(replace(model.ledger.root, budget=EPSILON))
    return replace(model, ledger=ledger, facts={**model.facts, "epsilon": EPSILON})


def test_what_missed_is_built_again_from_where_it_missed() -> None:
    task, seen = curve(), list[Mapping[str, Mapping[str, Missed]]]()
    built = []

    def build(missed: Mapping[str, Mapping[str, Missed]]) -> Model:
        seen.append(missed)
        built.append(coarse_first(seen, task))
        return built[-1]

    model = proved(build, task, EPSILON)
    assert seen[0] == {}
    ((node, pieces),) = seen[1].items()
    assert node == "f"
    for piece, missed in pieces.items():
        assert proving.LEAST <= missed.factor <= proving.MOST
        assert missed.points is not None
        error = np.abs(built[0](missed.points) - task(missed.points)).max(1)
        assert (error > EPSILON).all(), "these points refute ε"
        routes = built[0].network.trace(missed.points).routes[-1]
        assert {built[0].design["f"].pieces[int(k)] for k in np.ravel(routes)} == {piece}
    first, last = model.facts["proof"]["rounds"]
    assert (first["status"], last["status"]) == ("refuted", "proved")
    assert first["again"] == {"f": {piece: round(missed.factor, 4) for piece, missed in pieces.items()}}


def test_a_lower_budget_is_met() -> None:
    """Half the budget for all of the block: half the error at most."""
    task = curve(1)
    whole, half = (construct(task, epsilon=EPSILON, missed=m) for m in ({}, {"f": {"f": Missed(0.5)}}))
    bounds = [next(c.budget for c in m.ledger if c.name.startswith("expert[")) for m in (whole, half)]
    assert bounds[1] == pytest.approx(bounds[0] / 2)
    assert half.network.parameters > whole.network.parameters


def test_where_nothing_helps_it_says_what_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proving, "ROUNDS", 2)
    monkeypatch.setattr(proving, "STEPS", 1)
    task = curve(1)
    with pytest.raises(NotProved, match="after 2 models: total is refuted") as caught:
        proved(lambda missed: replace_epsilon(construct(task, width=8)), task, 1e-3)
    assert caught.value.exit_code == 1
    assert caught.value.certificate.refutation is not None


def test_open_boxes_say_where(model: Model) -> None:
    """A certificate whose boxes ran out: the experts that own their centres are built again, and shown these points."""
    certificate = atlasmoe.certify(model, epsilon=model.certificate.found * 1.001, tightness=None, boxes=3)
    assert certificate.status is Known.UNKNOWN
    found = misses(certificate, model)["f"]
    assert set(found) <= set(model.design["f"].pieces)
    for piece, missed in found.items():
        routes = model.network.trace(missed.points).routes[-1]
        assert {model.design["f"].pieces[int(k)] for k in np.ravel(routes)} == {piece}
        assert missed.factor == pytest.approx(proving.MOST)


def test_what_other_experts_cannot_mend_is_left_alone(model: Model) -> None:
    assert misses(model.certificate, model) == {}


def test_misses_come_together() -> None:
    first = {"f": {"a": Missed(0.9, np.zeros((1, 2))), "b": Missed(0.8)}}
    found = joined(first, {"f": {"a": Missed(0.5, np.ones((2, 2)))}, "g": {"g": Missed(0.7)}})
    assert {(node, piece): one.factor for node, of in found.items() for piece, one in of.items()} == {
        ("f", "a"): 0.45,
        ("f", "b"): 0.8,
        ("g", "g"): 0.7,
    }
    assert found["f"]["a"].points.tolist() == [[0, 0], [1, 1], [1, 1]]
    assert first["f"]["a"].factor == 0.9


def test_graphs_are_proved_too() -> None:
    nodes = (
        atlasmoe.Input("t", atlasmoe.Box((0,), (2,)), ("t",)),
        atlasmoe.Block.parse("u", ("t",), atlasmoe.Tiling.intervals((0, 1, 2)), ["t**2", "2 - t"]),
        atlasmoe.Combine.parse("f", ("u",), "u + 1"),
    )
    model = atlasmoe.compile(TaskGraph("pieces", nodes, "f"), epsilon=0.05, prove=True)
    assert model.certificate.status is Known.PROVED
    assert model.certificate.bound <= 0.05


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"width": 16}, "prove needs an epsilon"),
        (
            {"epsilon": 0.1, "task": ManifoldTask("f", atlasmoe.builtin("circle"), CallableTarget(lambda x: x[:, 0]))},
            "CallableTarget an enclosure",
        ),
    ],
)
def test_what_cannot_be_proved_is_refused_before_the_work(choices: dict, message: str) -> None:
    task = choices.pop("task", curve())
    with pytest.raises(InvalidArgument, match=message):
        atlasmoe.compile(task, prove=True, **choices)
