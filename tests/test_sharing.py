"""Shared experts: the joint fit (N6), the rule (N5), what is and what is not saved (N4), and models that have them."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
import torch
from atlasmoe.atlas import Block, Box, Input, ManifoldTask, TaskGraph, Tiling, task_from_spec
from atlasmoe.constructions.sharing import decision
from atlasmoe.constructions.sharing.claims import counted
from atlasmoe.constructions.sharing.joint import Samples, chosen, joint
from atlasmoe.constructions.sharing.pieces import parts
from atlasmoe.constructions.smooth.least_squares import Cost
from atlasmoe.errors import InvalidArgument
from atlasmoe.expressions.maps import ExpressionMap
from atlasmoe.moe import Affine, Model, Net, NeuronGroup
from atlasmoe.moe.nets import beside
from atlasmoe.report import explanation, render
from atlasmoe.verify.check import check
from scipy.linalg import block_diag


def cells(seed: int, sizes: tuple[int, ...] = (30, 41, 25), shared: int = 4, outputs: int = 2) -> list[Samples]:
    rng = np.random.default_rng(seed)
    return [Samples(rng.normal(size=(n, shared)), rng.normal(size=(n, 3 + k)), rng.normal(size=(n, outputs))) for k, n in enumerate(sizes)]


def squares(some: list[Samples], shared: np.ndarray, routed: tuple[np.ndarray, ...]) -> float:
    return sum(float(((c.values - c.shared @ shared - c.routed @ r) ** 2).sum()) for c, r in zip(some, routed, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_the_joint_fit_is_the_dense_least_squares_fit_and_never_worse_than_routed_only_or_than_shared_first(seed: int) -> None:
    some = cells(seed)
    found = joint(some)
    columns = np.concatenate([np.concatenate([c.shared for c in some]), block_diag(*(c.routed for c in some))], axis=1)
    values = np.concatenate([c.values for c in some])
    dense = np.linalg.lstsq(columns, values, rcond=None)[0]
    np.testing.assert_allclose(found.shared, dense[: len(found.shared)], atol=1e-11)
    np.testing.assert_allclose(np.concatenate(found.routed), dense[len(found.shared) :], atol=1e-11)
    best = squares(some, found.shared, found.routed)
    nothing = np.zeros_like(found.shared)
    alone = squares(some, nothing, tuple(np.linalg.lstsq(c.routed, c.values, rcond=None)[0] for c in some))
    first = np.linalg.lstsq(np.concatenate([c.shared for c in some]), values, rcond=None)[0]
    then = tuple(np.linalg.lstsq(c.routed, c.values - c.shared @ first, rcond=None)[0] for c in some)
    assert best < alone
    assert best < squares(some, first, then)


def test_columns_that_the_experts_have_too_or_that_vanish_do_no_harm() -> None:
    doubled = [Samples(np.column_stack([c.shared, c.routed[:, 0], np.zeros(len(c.values))]), c.routed, c.values) for c in cells(0)]
    found, plain = joint(doubled), joint(cells(0))
    assert np.isfinite(found.shared).all()
    assert squares(doubled, found.shared, found.routed) <= squares(cells(0), plain.shared, plain.routed) * (1 + 1e-12)
    damped = chosen(doubled, doubled, Cost(1e-10))
    assert np.isfinite(damped.error)


@pytest.mark.parametrize(("A", "B", "rate"), [(3.0, 5.0, 2.0), (1.0, 40.0, 0.5), (7.0, 7.0, 6.0)])
def test_the_split_is_the_best_and_the_constant_is_its_sum(A: float, B: float, rate: float) -> None:
    def stored(part: float) -> float:
        return A * part ** (-1 / rate) + B * (1 - part) ** (-1 / rate)

    part, whole = decision.split(A, B, rate)
    assert stored(part) == pytest.approx(whole, rel=1e-12)
    assert min(stored(0.98 * part), stored(min(1.02 * part, 1 - 1e-9))) > whole
    assert min(map(stored, np.linspace(0.001, 0.999, 2000))) > 0.98 * whole


def test_the_threshold_is_where_sharing_begins_to_store_less() -> None:
    C, B, numbers, rate = 90.0, 31.0, 77.0, 1.7
    bound = decision.threshold(C, B, numbers, rate)
    for epsilon, pays in ((0.98 * bound, True), (1.02 * bound, False)):
        unit = epsilon ** (-1 / rate)
        assert (numbers + B * unit < C * unit) == pays
        made = decision.exact("auto", epsilon, rate, C * unit, B * unit, numbers, width=5, what="a net")
        assert made.share == pays
    assert decision.threshold(3.0, 4.0, 10.0, 2.0) == 0


def net(seed: int, width: int, inputs: int = 3, outputs: int = 2) -> Net:
    rng = np.random.default_rng(seed)
    hidden = Affine(rng.normal(size=(width, inputs)), rng.normal(size=width))
    return Net((hidden, Affine(rng.normal(size=(outputs, width)), rng.normal(size=outputs))), ((NeuronGroup("n", width, "by hand"),),))


def test_what_is_saved_is_counted_on_the_same_function_without_sharing_and_no_active_number_is() -> None:
    shared, experts = net(0, 7), [net(k + 1, 4 + k) for k in range(5)]
    merged = [beside(shared, expert) for expert in experts]
    x = np.random.default_rng(9).normal(size=(50, 3))
    for one, expert in zip(merged, experts, strict=True):
        np.testing.assert_allclose(one(x), shared(x) + expert(x), atol=1e-12)
    saved, unsaved = counted(shared, experts, "block[b].")
    stored, active = shared.parameters + sum(e.parameters for e in experts), shared.parameters + max(e.parameters for e in experts)
    assert saved.bound == sum(m.parameters for m in merged) - stored == 4 * shared.parameters - 5 * shared.outputs
    assert saved.budget == 4 * shared.parameters
    assert saved.holds
    assert (unsaved.bound, unsaved.budget) == (active, max(m.parameters for m in merged))
    assert unsaved.holds
    assert unsaved.bound >= unsaved.budget
    assert "saves no active numbers" in unsaved.statement


def manifold(builtin: str, f: str, **manifold: object) -> ManifoldTask:
    spec = {"task": {"name": builtin, "kind": "manifold"}, "manifold": {"builtin": builtin, **manifold}, "target": {"expression": f}}
    task = task_from_spec(spec)
    assert isinstance(task, ManifoldTask)
    return task


BUMP = "0.3*exp(-20*((x1-0.6)**2+(x2-0.8)**2))"
TASKS = {
    "sphere": (lambda: manifold("sphere", f"sin(3*x1)+{BUMP}", atlas="ball", charts=8), {"width": 12}),
    "circle": (lambda: manifold("circle", "sin(5*x1)", charts=3), {"epsilon": 0.1}),
    "torus": (lambda: manifold("torus", "x3**2+0.1*x1", atlas="ball"), {"width": 8}),
    "pieces": (lambda: graph(), {"epsilon": 0.01}),
}


def graph() -> TaskGraph:
    """Three intervals with a strong common part, and differences that vanish where they meet."""
    texts = [f"sin(9*t) + {k + 1}*(t-{k})*({k + 1}-t)/4" for k in range(3)]
    block = Block.parse("b", ("t",), Tiling.intervals([0, 1, 2, 3]), texts)
    return TaskGraph("pieces", (Input("t", Box((0,), (3,))), block), "b")


@pytest.mark.parametrize("name", TASKS)
def test_models_are_verified_proved_confirmed_explained_saved_and_run_in_torch(name: str, tmp_path: Path) -> None:
    make, asked = TASKS[name]
    model: Model = atlasmoe.compile(make(), shared=True, **asked)  # type: ignore[arg-type]
    last = model.network.layers[-1]
    assert last.shared is not None
    assert last.shared.widths
    (record,) = model.facts["shared"].values()
    assert record["share"]
    saved = next(claim for claim in model.ledger if claim.name.endswith("shared.stored"))
    unsaved = next(claim for claim in model.ledger if claim.name.endswith("shared.active"))
    assert 0 < saved.bound <= saved.budget
    assert unsaved.bound >= unsaved.budget
    assert atlasmoe.verify(model, samples=2000).holds
    folder = atlasmoe.save(model, tmp_path / "m")
    loaded = atlasmoe.load(folder)
    task = loaded.task
    x = task.sample(200, 1) if isinstance(task, TaskGraph) else task.atlas.sample(200, seed=1).ambient
    assert loaded(x).tobytes() == model(x).tobytes()
    np.testing.assert_allclose(atlasmoe.to_torch(loaded)(torch.from_numpy(x)).detach().numpy(), model(x), rtol=0, atol=1e-10)
    certificate = atlasmoe.certify(loaded)
    assert certificate.status == "proved"
    certificate.write(folder)
    report = check(folder)
    assert report.verdict == "confirmed", report.failures
    found = atlasmoe.explain_point(loaded, x[0])
    assert found.layers[-1].shared
    assert "what all points share" in render(explanation.point(found))


def test_auto_leaves_what_has_nothing_in_common_and_says_why() -> None:
    model = atlasmoe.compile(manifold("circle", "x1*x2", charts=3), epsilon=0.2, shared="auto")
    assert model.network.layers[-1].shared is None
    (record,) = model.facts["shared"].values()
    assert not record["share"]
    assert record["epsilon"] >= record["threshold"]
    assert "≥" in record["rule"]


def test_common_terms_are_those_of_all_pieces_and_bend() -> None:
    x = sympy.Symbol("x", real=True)
    found = parts([ExpressionMap((x,), [x**2 + 3 * x + (k + 1) * x**3]) for k in range(3)])
    assert found is not None
    assert found.common.expressions == (x**2,)
    assert [own.expressions[0] for own in found.own] == [3 * x + (k + 1) * x**3 for k in range(3)]
    assert parts([ExpressionMap((x,), [3 * x + 1 + (k + 1) * x**3]) for k in range(3)]) is None


def test_what_cannot_be_shared_is_refused_in_words() -> None:
    task = manifold("circle", "x1*x2", charts=4)
    with pytest.raises(InvalidArgument, match="depends on ε"):
        atlasmoe.compile(task, width=16, shared="auto")
