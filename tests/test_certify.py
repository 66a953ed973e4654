"""`certify`: what is proved is so, what is false is never proved, and everything between says where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Atlas, Box, CallableTarget, Chart, ChartTarget, ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.errors import InvalidArgument
from atlasmoe.intervals.rounding import gamma
from atlasmoe.moe import Affine, Known, Model, MoELayer, Network
from atlasmoe.moe.sums import Sums
from atlasmoe.verify.enclosure import TaylorForms
from atlasmoe.verify.prove import Certificate, certify
from atlasmoe.verify.prove.error import PROVED, ErrorJudge
from atlasmoe.verify.prove.evaluation import Evaluation
from atlasmoe.verify.prove.rounding import Sized, affine
from atlasmoe.verify.sample import verify
from certificates import loose
from conftest import EPSILON, circle_model, circle_task
from handmade import with_expert, with_gate

PRINCIPAL = ("total", "routing.valid", "cover")


def expression_task(atlas: Atlas, *texts: str, name: str = "t") -> ManifoldTask:
    symbols = tuple(sympy.Symbol(c, real=True) for c in atlas.coordinates)
    values = tuple(sympy.sympify(text, locals=dict(zip(atlas.coordinates, symbols, strict=True))) for text in texts)
    return ManifoldTask(name, atlas, ExpressionTarget(ExpressionMap(symbols, values)))


def sampled_error(network: Network, task: ManifoldTask, n: int = 20_000) -> float:
    points = task.atlas.sample(n, 77)
    return float(np.abs(np.asarray(network(points.ambient.astype(network.dtype)), float) - task.evaluate(points)).max())


def require_proved(certificate: Certificate) -> None:
    """PROVED in all that makes the theorem, with a bound that no sample exceeds."""
    assert certificate.status is Known.PROVED
    assert all(certificate[name].known is Known.PROVED for name in PRINCIPAL)
    assert certificate.found <= certificate.bound <= certificate.epsilon
    assert sampled_error(certificate.network, certificate.problem) <= certificate[f"total.{certificate.dtype}"].bound
    assert all(tree.settled for tree in certificate.trees.values())


@pytest.fixture(scope="module")
def ball() -> Model:
    """One layer, affine router."""
    return atlasmoe.compile(expression_task(atlasmoe.builtin("circle", atlas="ball", charts=6), "x1*x2"), width=16)


@pytest.fixture(scope="module")
def proved(circle: Model) -> Certificate:
    return loose(circle.network, circle.task, epsilon=EPSILON)


@pytest.fixture(scope="module")
def tuned(circle: Model) -> Network:
    """Every row is its own direction; no ridge structure is left."""
    rng = np.random.default_rng(3)

    def nudge(arrays: list) -> None:
        for weight, bias in arrays:
            weight += 2e-5 * rng.normal(size=weight.shape)
            bias += 2e-5 * rng.normal(size=bias.shape)

    network = circle.network
    for expert in range(3):
        network = with_expert(network, 1, expert, nudge)
    return network


# What is proved


def test_a_network_made_by_hand_needs_no_ledger(proved: Certificate) -> None:
    require_proved(proved)
    assert not proved.scores


def test_theorem_4_8_with_its_scores_and_the_largest_sample() -> None:
    atlas = atlasmoe.builtin("circle", charts=3)
    model = atlasmoe.compile(expression_task(atlas, "x1*x2"), width=48, theorem="4.8")
    certificate = loose(model)
    require_proved(certificate)
    assert certificate["total.float64"].bound >= verify(model, samples=4000)["total"].bound
    assert certificate["routing.tau"].known is certificate["routing.max_tau"].known is Known.PROVED
    assert certificate["routing.tau"].bound <= model.facts["delta"]


def test_tightness_is_met(circle: Model) -> None:
    certificate = certify(circle.network, circle.task, tightness=1.02)
    require_proved(replace(certificate, epsilon=certificate.bound))
    assert certificate.bound <= 1.02 * certificate.found


def test_theorem_4_9() -> None:
    task = expression_task(atlasmoe.builtin("interval"), "sin(3*x1)" if "x1" in atlasmoe.builtin("interval").coordinates else "sin(3*x)")
    model = atlasmoe.compile(task, width=24, theorem="4.9")
    assert model.facts["theorem"] == "4.9"
    require_proved(loose(model))


def test_affine_router(ball: Model) -> None:
    assert ball.facts["theorem"] == "affine"
    require_proved(loose(ball))


def test_a_vector_target_on_an_embedded_manifold() -> None:
    atlas = atlasmoe.embed(atlasmoe.builtin("circle", atlas="ball", charts=5), 7)
    require_proved(loose(atlasmoe.compile(expression_task(atlas, "x1*x2", "x1"), width=16)))


def test_a_surface() -> None:
    task = expression_task(atlasmoe.builtin("sphere", atlas="ball", charts=14), "x1*x2")
    model = atlasmoe.compile(task, width=16)
    require_proved(loose(model, epsilon=1.3 * sampled_error(model.network, task)))


def test_a_chart_wise_target(circle: Model) -> None:
    charts = circle.task.atlas.parametrising
    functions = []
    for chart in charts:
        x, y = chart.inverse.expressions
        functions.append(ExpressionMap(chart.inverse.variables, (x * y,)))
    require_proved(loose(circle.network, replace(circle.task, target=ChartTarget(tuple(functions))), epsilon=EPSILON))


def test_a_python_function_is_proved_with_an_enclosure_and_refused_without(circle: Model) -> None:
    target = CallableTarget(lambda x: x[:, 0] * x[:, 1], name="product", enclosure=lambda forms: forms[:, 0] * forms[:, 1])
    found = loose(circle.network, replace(circle.task, target=target), epsilon=EPSILON)
    require_proved(found)
    assert found.verdict == "proved, assuming enclosure[product]"
    assert [taken["name"] for taken in found.to_dict()["assumptions"]] == ["enclosure[product]"]
    bare = replace(circle.task, target=CallableTarget(lambda x: x[:, 0] * x[:, 1], name="product"))
    with pytest.raises(InvalidArgument, match=r"Python function 'product'.*enclosure="):
        certify(circle.network, bare, epsilon=EPSILON)


def halved(x: TaylorForms) -> TaylorForms:
    """Right in the middle of every box alone."""
    product = x[:, 0] * x[:, 1]
    keep = np.where(np.arange(product.coefficients.shape[1]) == 0, 1.0, 0.5)[:, None]
    return TaylorForms(product.coefficients * keep, product.radius, degree=product.degree)


def by_the_middle(x: TaylorForms) -> TaylorForms:
    """x·y or x·y + 1e-6, as the middle of the box says."""
    product = x[:, 0] * x[:, 1]
    shifted = product.affine([[1.0]], [1e-6])
    left = (x.coefficients[:, 0, 0] < 0.3)[:, None]
    coefficients = np.where(left[..., None], shifted.coefficients, product.coefficients)
    return TaylorForms(coefficients, np.where(left, shifted.radius, product.radius), degree=product.degree)


WRONG = {
    "another function": lambda x: (x[:, 0] * x[:, 1]).affine([[1.0]], [1e-6]),
    "too large": lambda x: (x[:, 0] * x[:, 1]).times([1 + 1e-6]),
    "too flat": halved,
    "no remainder": lambda x: TaylorForms((x[:, 0] * x[:, 1]).coefficients, np.zeros((len(x), 1))),
    "of a branch": by_the_middle,
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_enclosure_is_found_before_anything_rests_on_it(circle: Model, wrong: str) -> None:
    target = CallableTarget(lambda x: x[:, 0] * x[:, 1], name="product", enclosure=WRONG[wrong])
    said = r"target 'product': its enclosure says of the box .* that f is in .*, but it is .* at \(.*mend the enclosure"
    with pytest.raises(InvalidArgument, match=said):
        certify(circle.network, replace(circle.task, target=target), epsilon=EPSILON)


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda x: 1 / 0, "fails: ZeroDivisionError"),
        (lambda x: x, "makes forms of 2 functions"),
        (lambda x: (x[:, 0] * x[:, 1]).subset(slice(1)), "makes forms of 1 functions on 1 boxes of"),
        (lambda x: x.nothing, "fails: AttributeError"),
    ],
)
def test_an_enclosure_that_is_none_is_refused_in_words(circle: Model, broken: Any, words: str) -> None:
    target = CallableTarget(lambda x: x[:, 0] * x[:, 1], name="product", enclosure=broken)
    with pytest.raises(InvalidArgument, match=f"enclosure of the Python function 'product' {words}"):
        certify(circle.network, replace(circle.task, target=target), epsilon=EPSILON)


def test_weights_after_fine_tuning(tuned: Network, circle: Model) -> None:
    require_proved(loose(tuned, circle.task, epsilon=EPSILON))


def test_a_row_of_ties(circle: Model) -> None:
    """Two charts with the same scores: both experts are possible wherever one is, and both have to be right."""
    network = circle.network
    task = circle.task
    charts = task.atlas.charts
    twice = Atlas(task.atlas.coordinates, (*charts, replace(charts[0], name="again")))
    last = network.layers[-1]
    weight = np.concatenate([last.gate.weight, last.gate.weight[:1]])
    layer = MoELayer(
        Affine(weight, np.zeros(4)), (*last.experts, last.experts[0]), (0, 1, 2, 3), (*last.names, "again"), last.channels, last.reads
    )
    doubled = Network((network.layers[0], layer), network.inputs)
    certificate = loose(doubled, replace(task, atlas=twice), epsilon=EPSILON)
    require_proved(certificate)
    tree = certificate.trees["east"]
    sets = [set(tree.members[a:b]) for a, b in zip(tree.offsets, tree.offsets[1:], strict=False)]
    assert {0, 3} in sets
    assert not any((0 in s) != (3 in s) for s in sets)
    wrong = with_expert(doubled, 1, 3, lambda arrays: arrays[1][1].__iadd__(1.0))  # numpy itself always takes the first of the two
    assert sampled_error(wrong, replace(task, atlas=twice)) < EPSILON
    assert loose(wrong, replace(task, atlas=twice), epsilon=EPSILON, boxes=6000).status is Known.UNKNOWN


def test_float32_has_claims_of_its_own(circle32: Model) -> None:
    certificate = loose(circle32.network, circle32.task, epsilon=EPSILON)
    require_proved(certificate)
    names = ("total", "total.float64", "total.float32.float64", "total.float32.blocks", "total.float32")
    real, double, fixed, blocks, single = (certificate[name] for name in names)
    assert {claim.known for claim in (real, double, fixed, blocks, single)} == {Known.PROVED}
    assert real.bound < double.bound < fixed.bound < blocks.bound <= single.bound
    assert "float32" in single.statement
    assert "blocks of 32" in blocks.statement
    assert "binary tree" in fixed.statement
    # Close to ε only the claims with room for their rounding are proved.
    tight = certify(circle32.network, circle32.task, epsilon=real.bound * (1 + 1e-7), tightness=1.001)
    assert (tight["total"].known, tight["total.float32"].known) == (Known.PROVED, Known.UNKNOWN)


def test_overflow_in_float32_leaves_nothing_known() -> None:
    map_ = Affine(np.full((1, 2), 3e38, np.float32), np.zeros(1, np.float32))
    ways = [*(Evaluation("float32", sums, 2) for sums in Sums), Evaluation("float64", Sums.PLAIN, 2)]
    error = affine(map_, Sized(-np.ones((1, 2)), np.ones((1, 2)), np.zeros((4, 1, 2))), ways, last=True).error
    assert (error[:3] == np.inf).all()
    assert error[3] < 1e24
    assert gamma(2**25, np.float32) == np.inf


# What is not


def test_small_budgets_leave_open_boxes_that_are_named(circle: Model) -> None:
    for budget in ({"boxes": 300}, {"seconds": 1e-9}):
        certificate = certify(circle.network, circle.task, epsilon=EPSILON, tightness=1.0001, **budget)
        assert certificate.status is certificate["routing.valid"].known is Known.UNKNOWN
        assert certificate.bound == np.inf
        assert 'boxes are open, such as "east" [' in certificate["total"].note


def test_refuted_with_a_point_that_the_network_itself_misses(circle: Model) -> None:
    def one_knot(arrays: list) -> None:
        arrays[1][0][0, 7] += 0.3

    wrong = with_expert(circle.network, 1, 1, one_knot)
    total = loose(wrong, circle.task, epsilon=EPSILON)["total"]
    assert total.known is Known.REFUTED
    witness = np.array([total.witness])
    assert np.abs(wrong(witness) - circle.task(witness)).max() == pytest.approx(total.bound, rel=1e-9)
    assert total.bound > EPSILON
    np.testing.assert_allclose((witness**2).sum(), 1)


def test_an_error_between_the_samples_is_found_by_the_boxes(circle: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spike of width 10⁻⁵ that no sample meets."""
    tangent = np.array([0.0, 1.0])

    def spike(arrays: list) -> None:
        (inner, bias), (outer, _) = arrays
        inner[-3:] = tangent
        bias[-3:] = -0.3 + 1e-5 * np.arange(-1, 2)
        outer[0, -3:] = np.array([1, -2, 1]) * 1e5

    wrong = with_expert(circle.network, 1, 0, spike)
    before = sampled_error(wrong, circle.task)
    certificate = loose(wrong, circle.task, epsilon=0.5)
    assert before < 0.5
    assert certificate["total"].known is not Known.PROVED


def test_the_wrong_chart_may_not_win(circle: Model) -> None:
    """A gate that prefers `north` everywhere: the point opposite to it is not in its chart."""
    weight = circle.network.layers[-1].gate.weight.copy()
    weight[1] *= 0.5  # so that `north` wins where all cosines of the others are negative, or so
    weight[1, :2] = [0.0, 1.5]
    certificate = loose(with_gate(circle.network, weight), circle.task, epsilon=50.0, boxes=6000)
    assert certificate["total"].known is not Known.REFUTED
    routing = certificate["routing.valid"]
    assert routing.known is certificate.status is Known.REFUTED
    assert routing.note == 'chart "north" gives it coordinates outside of its domain'
    route = with_gate(circle.network, weight).trace(np.array([routing.witness])).routes[-1]
    assert route == 1
    assert not circle.task.atlas.contains(1, np.array([routing.witness]))[0]


@pytest.mark.parametrize("half", [0.9, 1.0])
def test_charts_that_do_not_cover_are_not_proved(circle: Model, half: float) -> None:
    """The routing and the error may be as good as they like: between the charts nothing was looked at (3·2·1.0 < 2π)."""
    charts = tuple(replace(chart, domain=Box((-half,), (half,))) for chart in circle.task.atlas.charts)
    task = replace(circle.task, atlas=Atlas(circle.task.atlas.coordinates, charts))
    certificate = loose(circle.network, task, epsilon=EPSILON, boxes=6000)
    assert certificate.status is Known.UNKNOWN
    assert certificate["cover"].known is Known.UNKNOWN
    assert certificate["cover"].witness is not None


def test_a_box_smaller_than_its_region_does_not_cover() -> None:
    """The region is positive where the box ends: that is an edge, although the region is none."""
    u, x = sympy.symbols("u x", real=True)
    region = ExpressionMap((u,), (4 - u**2,))

    def chart(name: str, low: float, high: float, boundary: tuple[bool, bool]) -> Chart:
        return Chart(name, Box((low,), (high,)), ExpressionMap((u,), (u,)), ExpressionMap((x,), (x,)), (boundary,), region)

    def status(gap: float) -> Known:
        charts = (chart("left", -1.0, -gap, (True, False)), chart("right", gap, 1.0, (False, True)))
        task = ManifoldTask("line", Atlas(("x",), charts), ExpressionTarget(ExpressionMap((x,), (sympy.Integer(0) * x,))))
        net = circle_model().network.layers[1].experts[0]
        nothing = replace(
            net,
            affines=(Affine(np.zeros((1, 1)), np.zeros(1)), Affine(np.zeros((1, 1)), np.zeros(1))),
            groups=((replace(net.groups[0][0], count=1),),),
        )
        gate = Affine(np.array([[-1.0], [1.0]]), np.zeros(2))
        layer = MoELayer(gate, (nothing,), (0, 0), ("left", "right"), ("y",))
        return loose(Network((layer,), ("x",)), task, epsilon=0.1, boxes=4000)["cover"].known

    assert status(0.2) is Known.UNKNOWN


def test_weights_that_are_no_numbers(circle: Model) -> None:
    for value in (np.nan, np.inf):
        broken = with_expert(circle.network, 1, 2, lambda arrays, value=value: arrays[0][0].__setitem__((3, 1), value))
        with np.errstate(all="ignore"):
            assert loose(broken, circle.task, epsilon=EPSILON, boxes=8000).status is not Known.PROVED
            weight = circle.network.layers[-1].gate.weight.copy()
            weight[0, 3] = value
            assert loose(with_gate(circle.network, weight), circle.task, epsilon=EPSILON, boxes=8000).status is not Known.PROVED


def test_arguments_out_of_their_domain(circle: Model, ball: Model) -> None:
    network, task = circle.network, circle.task
    for options, words in [
        ({"epsilon": -1.0}, "epsilon must be a positive number"),
        ({"epsilon": float("nan")}, "epsilon must be a positive number"),
        ({"epsilon": None, "tightness": None}, "give epsilon .* or tightness"),
        ({"tightness": 1.0}, "tightness must be above 1"),
        ({"boxes": 0}, "boxes must be an integer from 1 up, got 0"),
        ({"seconds": 0.0}, "seconds must be a finite number above 0"),
    ]:
        with pytest.raises(InvalidArgument, match=words):
            certify(network, task, **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="needs the ManifoldTask"):
        certify(network)
    with pytest.raises(InvalidArgument, match="has its own task"):
        certify(circle, task)
    with pytest.raises(InvalidArgument, match="maps R\\^2 to R\\^1, task 't' needs R\\^3 to R\\^1"):
        certify(network, expression_task(atlasmoe.builtin("sphere"), "x1"))
    with pytest.raises(InvalidArgument, match="chooses from 3 experts, but the atlas has 6 charts"):
        certify(network, ball.task)


# Interruptions and files


CLOSE = {"epsilon": EPSILON, "tightness": 1 + 1e-7}
"""So close that boxes are cut."""


def test_an_interrupted_proof_goes_on_to_the_same_certificate(
    tuned: Network, circle: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "progress"
    judge, calls = ErrorJudge.__call__, [0, 0]

    def counted(self: ErrorJudge, lower: np.ndarray, upper: np.ndarray) -> object:
        calls[0] += 1
        if calls[0] == calls[1]:
            raise KeyboardInterrupt
        return judge(self, lower, upper)

    monkeypatch.setattr(ErrorJudge, "__call__", counted)
    whole = certify(tuned, circle.task, **CLOSE)  # type: ignore[arg-type]
    needed = calls[0]
    assert needed >= 6
    calls[:] = [0, needed // 2]
    with pytest.raises(KeyboardInterrupt):
        certify(tuned, circle.task, **CLOSE, checkpoint=place)  # type: ignore[arg-type]
    assert place.is_file()
    calls[:] = [0, 0]
    resumed = certify(tuned, circle.task, **CLOSE, checkpoint=place)  # type: ignore[arg-type]
    assert calls[0] < needed, "its boxes are judged in large batches"
    assert not place.exists()
    require_proved(resumed)
    assert (resumed.bound, resumed.found) == pytest.approx((whole.bound, whole.found), rel=1e-12)
    for name, tree in whole.trees.items():
        np.testing.assert_array_equal(tree.cuts, resumed.trees[name].cuts)
        np.testing.assert_allclose(tree.bounds, resumed.trees[name].bounds, rtol=1e-12)


def test_a_checkpoint_of_another_problem_is_not_gone_on_from(tuned: Network, circle: Model, tmp_path: Path) -> None:
    """Same name, same weights, another target or wiring: not even the cuts are taken over."""
    place = tmp_path / "progress"

    def stopped() -> None:
        certificate = certify(tuned, circle.task, **CLOSE, boxes=1536, checkpoint=place)  # type: ignore[arg-type]
        assert certificate.status is Known.UNKNOWN
        assert max((tree.tags == PROVED).mean() for tree in certificate.trees.values()) > 0.5

    stopped()
    assert place.is_file()
    x, y = circle.task.target.function.variables  # type: ignore[union-attr]
    moved = replace(circle.task, target=ExpressionTarget(ExpressionMap((x, y), (x * y + sympy.Rational(1, 70),))))
    wrong = certify(tuned, moved, **CLOSE, checkpoint=place)  # type: ignore[arg-type]
    assert wrong.status is Known.REFUTED
    stopped()
    rewired = Network((tuned.layers[0], replace(tuned.layers[-1], serves=(1, 0, 2))), tuned.inputs)
    assert certify(rewired, circle.task, **CLOSE, checkpoint=place).status is not Known.PROVED  # type: ignore[arg-type]
    place.write_bytes(b"no tensors")
    require_proved(loose(circle.network, circle.task, epsilon=EPSILON, checkpoint=place))


def test_the_task_of_the_conftest_is_what_it_says() -> None:
    assert circle_task().atlas.names == ("east", "north", "south")
