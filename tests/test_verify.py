"""verify/: right numbers for right models, a true witness for every wrong one, and no trust in the builder."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, Known, Model, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.promise import ScorePromise
from atlasmoe.verify.sample import Report, clopper_pearson, sample, survey, verify, verify_network
from handmade import Arrays, circle_model, with_expert, with_gate, with_target
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

SAMPLES = 4000
NAMES = {
    "total",
    "finite",
    "passthrough",
    "routing.valid",
    "routing.separation",
    "routing.tau",
    "routing.sharp",
    "routing.max_score",
    "routing.max_tau",
    "routing.chosen_rho",
    "routing.ties",
}


@pytest.fixture(scope="module")
def model() -> Model:
    return circle_model()


@pytest.fixture(scope="module")
def report(model: Model) -> Report:
    return verify(model, samples=SAMPLES, seed=1)


def test_a_right_model_holds_and_nothing_is_called_proved(report: Report) -> None:
    assert report.holds
    assert {claim.name for claim in report.claims} == NAMES
    assert {claim.known for claim in report.claims} == {Known.SAMPLED}
    assert report.never == ()
    assert report.warnings == ()
    assert sum(report.routes.values()) == SAMPLES == report.counts["uniform"]
    assert set(report.counts) == {"uniform", "low discrepancy", "face", "edge", "tie", "ascent"}
    assert report["total"].samples == report.points == sum(report.counts.values())
    with pytest.raises(InvalidArgument, match="no claim 'nonsense'"):
        report["nonsense"]


def test_worst_values_agree_with_a_dense_grid(model: Model, report: Report) -> None:
    """On the circle brute force is cheap: no grid point may be worse than what was found, and the two nearly agree."""
    angles = np.linspace(0, 2 * np.pi, 200_001)[:-1]
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rho, tau = model.task.atlas.rho(x), model.network.trace(x).logits[-1]
    deviation = np.abs(rho - tau).max()
    assert report["routing.tau"].bound == pytest.approx(deviation, rel=1e-3)
    assert report["routing.tau"].bound >= deviation * (1 - 1e-7)
    assert report.measured["mu"] == pytest.approx(rho.max(1).min(), rel=1e-4)
    assert report["routing.max_tau"].bound == pytest.approx(tau.max(1).min(), rel=1e-4)
    assert report["routing.chosen_rho"].bound == pytest.approx(rho[np.arange(len(x)), tau.argmax(1)].min(), rel=1e-3)
    stranger = np.where(rho > 0, -np.inf, tau).max(1)
    assert report["routing.separation"].bound == pytest.approx((np.where(rho > 0, tau, -np.inf).max(1) - stranger).min(), rel=1e-3)
    assert report.measured["multiplicity"] == 2
    assert report["routing.tau"].budget == 1 / 16
    assert report["routing.max_tau"].budget == 3 / 16
    assert report["routing.chosen_rho"].budget == 1 / 8
    assert report["routing.sharp"].budget == pytest.approx(report.measured["mu"] / 2)


def test_the_total_error_agrees_with_a_dense_grid(model: Model) -> None:
    off = with_target(model, lambda y: 1.5 * y[:, 0] - 0.5 * y[:, 1] + 1e-7 * np.sin(7 * np.arctan2(y[:, 1], y[:, 0])))
    report = verify(off, samples=2000)
    assert report.holds
    assert report["total"].bound == pytest.approx(1e-7, rel=1e-6)


def test_same_seed_same_report(model: Model, report: Report) -> None:
    again = verify(model, samples=SAMPLES, seed=1)
    assert replace(again, seconds=0.0) == replace(report, seconds=0.0)
    assert verify(model, samples=SAMPLES, seed=2).worst != report.worst


def test_chunks_do_not_change_what_is_found(model: Model, report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "CHUNK_NUMBERS", 512)
    small = verify(model, samples=SAMPLES, seed=1)
    assert small.counts["uniform"] == SAMPLES
    assert small["routing.tau"].bound == pytest.approx(report["routing.tau"].bound, rel=1e-5)


def test_float32_weights_are_judged_as_float32(model: Model) -> None:
    report = verify(model, samples=2000, network=model.network.astype("float32"))
    assert report.holds
    assert report.dtype == "float32"
    assert 1e-8 < report["total"].bound < 1e-6
    assert report["passthrough"].bound == 0


def test_an_embedded_circle(model: Model) -> None:
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((7, 2)))[0]
    report = verify(circle_model(embedding=Q), samples=1000)
    assert report.holds
    assert len(report.worst["total"].ambient) == 7
    assert len(report.worst["total"].intrinsic) == 1


def negate_expert(arrays: Arrays) -> None:
    arrays[1][0][:] *= -1


def test_a_sign_flip_in_one_expert_is_refuted_with_a_witness(model: Model) -> None:
    broken = with_expert(model.network, 1, 2, negate_expert)
    report = verify(model, samples=1000, network=broken)
    claim = report["total"]
    assert not report.holds
    assert claim.known is Known.REFUTED
    x = np.array([claim.witness])
    assert np.abs(broken(x) - model.task(x)).max() == pytest.approx(claim.bound)
    assert claim.bound > model.facts["epsilon"]
    assert report.worst["total"].route == "arc2"
    assert report["routing.valid"].holds
    assert report["routing.tau"].holds
    assert report.rate.violations == report.routes["arc2"]
    assert report.rate.bound > 0.25
    assert "REFUTED" in str(report)
    assert "routed to arc2" in str(report)


def test_swapped_gate_rows_are_refuted_with_a_witness(model: Model) -> None:
    weight = model.network.layers[1].gate.weight[[2, 1, 0, 3]]
    broken = with_gate(model.network, weight)
    report = verify(model, samples=1000, network=broken)
    refuted = {claim.name for claim in report.claims if claim.known is Known.REFUTED}
    assert {"routing.valid", "routing.tau", "routing.separation", "routing.chosen_rho"} <= refuted
    assert "total" not in refuted  # f is linear: every expert is right everywhere
    x = np.array([report["routing.valid"].witness])
    chosen = int(broken.trace(x).routes[-1][0])
    assert model.task.atlas.rho(x)[0, chosen] == 0
    assert not model.task.atlas.contains(chosen, x)[0]


def test_scaled_scores_break_the_budget_but_not_the_routing(model: Model) -> None:
    report = verify(model, samples=1000, network=with_gate(model.network, 0.5 * model.network.layers[1].gate.weight))
    refuted = {claim.name for claim in report.claims if claim.known is Known.REFUTED}
    assert {"routing.tau", "routing.sharp"} <= refuted
    assert not refuted & {"routing.valid", "routing.separation", "routing.chosen_rho", "total"}


@pytest.mark.parametrize("where", [(0, 0), (1, 3)])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_nonfinite_weight_is_refuted(model: Model, where: tuple[int, int], value: float) -> None:
    def poison(arrays: Arrays) -> None:
        arrays[-1][0][-1, 0] = value

    report = verify(model, samples=500, network=with_expert(model.network, *where, poison))
    assert report["finite"].known is Known.REFUTED
    assert report.rate.violations > 0
    json.dumps(report.to_dict(), allow_nan=False)


def test_an_input_that_is_not_carried_exactly_is_refuted(model: Model) -> None:
    def nudge(arrays: Arrays) -> None:
        arrays[1][0][0, 0] = np.nextafter(1, 2)

    report = verify(model, samples=500, network=with_expert(model.network, 0, 0, nudge))
    assert report["passthrough"].known is Known.REFUTED
    assert report["passthrough"].bound == pytest.approx(np.finfo(float).eps)


def test_an_expert_wrong_only_beyond_its_cell_is_caught_at_the_tie(model: Model) -> None:
    """Expert 0 breaks right behind the edge of its cell: no point routed to it shows that, but a tied runner-up does."""
    network = model.network.astype("float32")
    low, high = 0.0, np.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        chosen = network.trace([[np.cos(middle), np.sin(middle)]]).routes[-1][0]
        low, high = (middle, high) if chosen == 0 else (low, middle)

    def kink(arrays: Arrays) -> None:
        direction = np.zeros((1, arrays[0][0].shape[1]))
        direction[0, :2] = -np.sin(low), np.cos(low)  # positive beyond the tie
        arrays[0] = np.concatenate([arrays[0][0], direction]), np.append(arrays[0][1], -1.5e-6)
        arrays[1] = np.concatenate([arrays[1][0], [[100.0]]], axis=1), arrays[1][1]

    report = verify(model, samples=1000, network=_grown(model.network, kink).astype("float32"))
    assert report["total"].holds
    assert report["routing.ties"].known is Known.REFUTED
    assert 1e-5 < report["routing.ties"].bound < 1e-3


def _grown(network: Network, change: Callable[[Arrays], None]) -> Network:
    """Like `with_expert` for expert 0 of layer 2, for changes that add neurons."""
    last = network.layers[1]
    arrays = [(a.weight.copy(), a.bias.copy()) for a in last.experts[0].affines]
    change(arrays)
    groups = tuple((NeuronGroup("grown", w.shape[0], "by hand"),) for w, _ in arrays[:-1])
    grown = ReLUNet(tuple(Affine(w, b) for w, b in arrays), groups)
    return Network((network.layers[0], replace(last, experts=(grown, *last.experts[1:]))), network.inputs)


def test_search_finds_a_narrow_error_that_uniform_points_miss(model: Model) -> None:
    """An error of height 1e-3 and width 1e-3 on a gentle slope: 300 points see the slope, ascent climbs to the top."""

    def bumpy(y: np.ndarray) -> np.ndarray:
        angle = np.arctan2(y[:, 1], y[:, 0]) - 0.4321
        return 1.5 * y[:, 0] - 0.5 * y[:, 1] + 1e-7 / (0.01 + angle**2) + 1e-3 * np.exp(-((angle / 1e-3) ** 2))

    off = with_target(model, bumpy)
    promise = ScorePromise.from_facts(model.facts, 4)
    arguments: dict[str, Any] = {"epsilon": 1e-4, "promise": promise, "samples": 300, "seed": 3}
    uniform = verify_network(off.network, off.task, adversarial=False, **arguments)
    searched = verify_network(off.network, off.task, **arguments)
    assert uniform["total"].holds
    assert uniform.rate.violations == 0
    assert searched["total"].known is Known.REFUTED
    assert searched.worst["total"].kind == "ascent"
    assert searched["total"].bound == pytest.approx(1e-3 + 1e-5, rel=1e-6)
    assert searched.rate == uniform.rate  # only i.i.d. points count


def test_without_a_promise_only_what_every_router_owes(model: Model) -> None:
    report = verify_network(model.network, model.task, epsilon=1e-6, samples=500)
    assert {c.name for c in report.claims} == {"total", "finite", "passthrough", "routing.valid", "routing.separation", "routing.ties"}


def test_experts_that_are_never_chosen_are_named(model: Model) -> None:
    weight = model.network.layers[1].gate.weight.copy()
    weight[3] *= -1
    report = verify(model, samples=500, network=with_gate(model.network, weight))
    assert report.never == ("arc3",)
    assert "arc3" in report.warnings[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 0}, "samples must be an integer from 1"),
        ({"epsilon": 0.0}, "epsilon must be positive"),
        ({"epsilon": np.nan}, "epsilon"),
    ],
)
def test_arguments_out_of_their_domain(model: Model, change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        verify_network(model.network, model.task, **{"epsilon": 1.0, **change})


def test_a_network_for_another_task_is_refused(model: Model) -> None:
    with pytest.raises(InvalidArgument, match="chooses from 4 experts"):
        verify_network(model.network, circle_model(5).task, epsilon=1.0)


def test_promises() -> None:
    facts = {"routing": "theorem", "delta": 0.4, "mu": 0.5, "multiplicity": 2, "plateau_level": None}
    assert ScorePromise.from_facts(facts, 8) == ScorePromise(1 / 8, 1 / 32)  # the theorem's delta, whatever the facts say
    assert ScorePromise.from_facts({**facts, "routing": "multiplicity", "delta": 1 / 8}, 8) == ScorePromise(1 / 2, 1 / 8)
    assert ScorePromise.from_facts({**facts, "routing": "plateau", "plateau_level": 0.2}, 8) == ScorePromise(1.0, 0.4, 0.2)
    with pytest.raises(InvalidArgument, match="delta < floor/2"):
        ScorePromise(0.5, 0.25)
    with pytest.raises(InvalidArgument, match="routing 'magic'"):
        ScorePromise.from_facts({**facts, "routing": "magic"}, 8)


def test_clopper_pearson_closed_forms() -> None:
    assert clopper_pearson(0, 1000) == pytest.approx(1 - 0.01 ** (1 / 1000), rel=1e-12)
    assert clopper_pearson(7, 7) == 1.0
    assert clopper_pearson(6, 7) == pytest.approx(0.99 ** (1 / 7))
    for violations, trials in ((1, 0), (0, 0), (-1, 5), (6, 5)):
        with pytest.raises(InvalidArgument):
            clopper_pearson(violations, trials)


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))), st.floats(0.5, 0.9999))
def test_clopper_pearson_inverts_the_binomial(trial: tuple[int, int], confidence: float) -> None:
    k, n = trial
    assert binom.cdf(k, n, clopper_pearson(k, n, confidence)) == pytest.approx(1 - confidence, rel=1e-6)


def test_the_report_is_json(report: Report) -> None:
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert document["holds"] is True
    assert document["claims"][0]["known"] == "sampled"
    assert document["rate"]["confidence"] == 0.99
    assert "uniform" in document["rate"]["measure"]


def test_the_verifier_imports_data_types_only() -> None:
    """It must not trust the builder: it imports rooms below, and what all verifiers share."""
    allowed = {1: None, 2: {"versions"}, 3: {"atlas", "errors", "expressions", "moe", "progress"}}
    for path in Path(sample.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                room = allowed[node.level]
                assert room is None or (node.module or "").partition(".")[0] in room, f"{path.name} imports {node.module}"
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not any(name.startswith(("atlasmoe", "torch")) for name in names), f"{path.name} imports {names}"
