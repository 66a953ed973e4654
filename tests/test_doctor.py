"""Every sign of the doctor, with the disease planted and in health; and the statements that set its thresholds."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.doctor import Charts, Choice, Diagnosis, Expert, Gate, Health, Local, Oracle, Patient, examine
from atlasmoe.doctor.power_cells import EmptyCell, empty_cell, holds
from atlasmoe.doctor.rounding import logit_errors, stored_error
from atlasmoe.doctor.signs.collapse import cover_number
from atlasmoe.doctor.signs.dimension import two_nearest
from atlasmoe.doctor.signs.margins import Margins
from atlasmoe.doctor.signs.structure import ignoring, mixed
from atlasmoe.doctor.signs.width import by_counting
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, Known
from atlasmoe.moe.halves import rounded
from conftest import circle_model

N = 2000


def gate(weight: np.ndarray, bias: np.ndarray, rows: np.ndarray, dtype: str = "float64", **fields: object) -> Gate:
    """An affine gate that sees these rows."""
    logits = rows @ weight.T + bias
    names = tuple(f"e{k}" for k in range(len(bias)))

    def in_dtype(name: str) -> np.ndarray:
        if name == "bfloat16":
            return rounded(rounded(rows, name) @ rounded(weight, name).T + rounded(bias, name), name)
        return (rows.astype(name) @ weight.astype(name).T + bias.astype(name)).astype(float)

    known = {"choice": Choice(1), "dtype": dtype, "rows": rows, "affine": (weight, bias), "in_dtype": in_dtype, "reads": rows.shape[1]}
    error = stored_error(weight, bias, rows, logits, dtype)
    return Gate("gate", names, **{**known, "logits": logits, "error": error, **fields})


def centres(E: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The gate of E centres on the unit circle (B1)."""
    angle = 2 * np.pi * np.arange(E) / E
    weight = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return weight, np.zeros(E)


def circle(count: int = N, seed: int = 0) -> np.ndarray:
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def seen(gate: Gate, sign: str, **fields: object) -> Diagnosis:
    """What one sign finds at a patient of one gate."""
    (found,) = examine(Patient("patient", "module", (gate,), "here", **fields)).of(sign)
    return found


# collapse


def test_a_gate_that_takes_one_route_is_collapsed() -> None:
    weight, bias = centres()
    assert not seen(gate(weight, bias, circle()), "collapse").ill
    collapsed = seen(gate(weight, bias + np.array([9.0, 0, 0, 0, 0]), circle()), "collapse")
    assert collapsed.ill
    assert "1 of 5 experts" in collapsed.what
    for different, told in ((2, False), (3, True)):  # 1 + ln 20/ln 5 = 2.9, and a row that is repeated is one row
        near = np.repeat(weight[:1] + 1e-3 * np.arange(different)[:, None], 50, axis=0)  # all of them go to expert 0
        health = examine(Patient("p", "module", (gate(weight, bias, near),), "here"))
        assert [one.ill for one in health.of("collapse")] == [True] * told


def test_alive_balls_that_do_not_cover_are_collapse() -> None:
    weight, bias = centres()
    rows = circle()
    powers = 1.3**2 - ((rows[:, None] - weight) ** 2).sum(-1)
    charts = Charts(tuple("abcde"), "chart", powers > 0, True, powers)
    healthy = seen(gate(weight, bias, rows, charts=charts), "collapse")
    assert not healthy.ill
    # κ of five balls of radius r around the corners: r² − |x − c|² at the middle of an arc, |x − c| = 2·sin(π/10)
    assert healthy.value == pytest.approx(1.3**2 - (2 * np.sin(np.pi / 10)) ** 2, abs=1e-3)
    ill = seen(gate(weight, bias + np.array([9.0, 0, 0, 0, 0]), rows, charts=charts), "collapse")
    assert ill.ill
    assert ill.value == pytest.approx(1.3**2 - 4, abs=1e-3)


def test_fewer_alive_experts_than_charts_that_cover() -> None:
    rows = circle()
    weight, bias = centres(6)
    hold = ((rows[:, None] - weight) ** 2).sum(-1) < 1  # arcs of 120°, of which three cover with ends that do not overlap
    assert cover_number(hold) == 3
    charts = Charts(tuple("abcdef"), "chart", hold, False)
    two, zero = centres(2)
    assert seen(gate(two, zero, rows, charts=charts), "collapse").ill
    assert not seen(gate(weight, bias, rows, charts=charts), "collapse").ill


# dead experts


def test_a_dead_expert_is_found_and_proved() -> None:
    weight, bias = centres()
    inside = np.vstack([weight, 0.5 * weight[:1] + 0.2 * weight[1:2]])  # in the hull of the others, with a bias below theirs
    rows = circle()
    ill = seen(gate(inside, np.append(bias, -0.5), rows), "dead")
    assert ill.ill
    assert ill.known is Known.PROVED
    assert "e5 (proved)" in ill.what
    assert not seen(gate(weight, bias, rows), "dead").ill
    few = examine(Patient("p", "module", (gate(inside, np.append(bias, -0.5), rows[:9]),), "here"))
    assert few.of("dead") == ()
    assert [one.needs for one in few.unanswered if one.sign == "dead"] == [
        "at least (E/K)·ln(20·E) = 29 rows to tell a dead expert from an unlucky one; got 9"
    ]


def test_an_expert_whose_own_chart_holds_no_row_is_not_called_dead() -> None:
    weight, bias = centres()
    rows = circle()
    away = bias + np.array([-9.0, 0, 0, 0, 0])  # expert 0 is never chosen
    hold = ((rows[:, None] - weight) ** 2).sum(-1) < 1.3**2
    names = tuple("abcde")
    assert seen(gate(weight, away, rows, charts=Charts(names, "chart", hold, True)), "dead").ill
    unseen = hold & (np.arange(5) > 0)
    healthy = seen(gate(weight, away, rows, charts=Charts(names, "chart", unseen, True)), "dead")
    assert not healthy.ill
    assert "1 more have a chart that holds none of the rows" in healthy.what
    assert seen(gate(weight, away, rows, charts=Charts(names, "chart", unseen, False)), "dead").ill  # nobody says which chart is whose


def test_the_certificate_is_exact_and_falls_with_the_numbers() -> None:
    rng = np.random.default_rng(0)
    low, high = -np.ones(3), np.ones(3)
    proofs = met = 0
    for _ in range(25):
        weight, bias = rng.normal(size=(7, 3)), rng.normal(size=7)
        wins = np.bincount((rng.uniform(-1, 1, (4000, 3)) @ weight.T + bias).argmax(1), minlength=7)
        for i in range(7):
            proof = empty_cell(weight, bias, i, low, high)
            if proof is None:
                met += wins[i] > 0
                continue
            proofs += 1
            assert wins[i] == 0
            assert holds(proof, weight, bias, low, high)
            assert all(type(factor) is Fraction for part in proof.factors for factor in part)
            better = bias + (np.arange(7) == i) * (proof.beaten_by * 40)
            assert not holds(proof, weight, better, low, high)
    assert proofs > 20
    assert met > 20
    forged = EmptyCell(0, ((1,),), ((Fraction(-1),),), 1.0)
    assert not holds(forged, np.eye(2), np.zeros(2), -np.ones(2), np.ones(2))


def test_of_two_that_are_chosen_two_disjoint_sets_have_to_be_better() -> None:
    weight = np.array([[1.0], [-1.0], [1.0], [-1.0], [0.0]])
    bias = np.array([0.0, 0.0, 0.1, 0.1, -0.5])
    low, high = np.array([-1.0]), np.array([1.0])
    proof = empty_cell(weight, bias, 4, low, high, top_k=2)
    assert proof is not None
    assert holds(proof, weight, bias, low, high)
    assert empty_cell(weight[[0, 1, 4]], bias[[0, 1, 4]], 2, low, high, top_k=2) is None  # only one is better everywhere


# load


def test_capacity_is_what_loads_are_held_against() -> None:
    weight, bias = centres()
    rows = circle()
    uneven = gate(weight, bias + np.array([0.6, 0, 0, 0, 0]), rows)
    assert not seen(uneven, "load").ill  # nothing is dropped where nothing is dropped
    ill = seen(uneven, "load", capacity=1.25)
    assert ill.ill
    p = uneven.shares
    assert ill.value == pytest.approx(5 * p.max())
    kept = np.minimum(uneven.hits, 1.25 * N / 5)
    assert f"{1 - kept.sum() / N:.1%} of all choices are dropped" in ill.what
    assert not seen(gate(weight, bias, rows), "load", capacity=1.25).ill


# margins and precision


def test_a_tie_is_a_thin_margin() -> None:
    weight, bias = centres(4)
    rows = circle()
    assert not seen(gate(weight, bias, rows), "margins").ill
    at = np.array([[np.sqrt(0.5), np.sqrt(0.5)]])
    tied = seen(gate(weight, bias, np.vstack([rows, at])), "margins")
    assert tied.ill
    assert tied.witnesses[0] == tuple(at[0])
    # The same tie is harmless where both charts hold the point, and is not where one of them does not.
    hold = np.ones((N + 1, 4), bool)
    assert not seen(gate(weight, bias, np.vstack([rows, at]), charts=Charts(tuple("abcd"), "chart", hold, True)), "margins").ill
    hold[-1, 1] = False
    assert seen(gate(weight, bias, np.vstack([rows, at]), charts=Charts(tuple("abcd"), "chart", hold, True)), "margins").ill


def test_half_precision_reroutes_and_is_ill_where_it_is_asked_for() -> None:
    weight, bias = centres(64)
    one = gate(weight, bias, circle())
    told = seen(one, "precision")
    assert not told.ill
    assert told.value > 0
    assert seen(one, "precision", precision="bfloat16").ill
    stored = gate(rounded(weight, "bfloat16"), bias, rounded(circle(), "bfloat16"), "bfloat16")
    assert seen(stored, "precision").ill
    assert seen(stored, "margins").ill
    assert not seen(gate(*centres(2), circle(200)), "precision", precision="float32").ill


def test_error_bounds_hold_against_more_digits_and_are_zero_for_what_is_exact() -> None:
    model = circle_model("float32")
    points = model.task.atlas.sample(300, 0).ambient.astype(np.float32).astype(float)  # type: ignore[union-attr]
    narrow, wide = model.network.trace(points), model.network.astype("float64").trace(points)
    for bound, few, many in zip(logit_errors(model.network, points, narrow), narrow.logits, wide.logits, strict=True):
        assert (np.abs(few - many) <= bound).all()
    assert logit_errors(model.network, points, narrow)[1].max() < 1e-5
    carried = Affine(np.array([[1.0, 0], [0, -2.0], [1.0, 1.0]], np.float32), np.zeros(3, np.float32)).net
    from atlasmoe.doctor.rounding import net_error

    _, error = net_error(carried, points, np.zeros_like(points))
    assert error[:, :2].max() == 0
    assert 0 < error[:, 2].max() < 2e-7


def test_exact_logits_may_tie_if_the_first_of_them_holds_the_row() -> None:
    rows = np.array([[0.0], [0.5]])
    weight, bias = np.array([[1.0], [-1.0]]), np.zeros(2)  # equal at 0, where the first is taken
    for holder, off, ill in ((0, 0.0, False), (1, 0.0, True), (0, 1e-9, True)):
        hold = np.array([[holder == 0, holder == 1], [True, False]])
        one = gate(weight, bias, rows, charts=Charts(("a", "b"), "piece", hold, True), error=np.full((2, 2), off))
        (found,) = Margins().at(one, Patient("p", "module", (one,), "here"))
        assert isinstance(found, Diagnosis)
        assert found.ill == ill


@pytest.mark.parametrize("on", ["logits", "softmax", "sigmoid"])
def test_choices_are_those_of_probabilities(on: str) -> None:
    rng = np.random.default_rng(1)
    z, b = rng.normal(size=(500, 8)), rng.normal(size=8) * 0.1 if on == "sigmoid" else None
    compared = {
        "logits": z,
        "softmax": np.exp(z) / np.exp(z).sum(1, keepdims=True),
        "sigmoid": 1 / (1 + np.exp(-z)) + (0 if b is None else b),
    }
    choice = Choice(2, on, b)  # type: ignore[arg-type]
    assert (np.sort(choice.choose(z)) == np.sort(np.argsort(-compared[on])[:, :2])).all()
    lead, needed = choice.lead(z, np.full_like(z, 1e-9), choice.choose(z))
    assert (lead >= 0).all()
    assert (needed > 0).all()
    grouped = Choice(2, on, b, groups=4, taken_groups=1)  # type: ignore[arg-type]
    both = grouped.choose(z) // 2
    assert (both[:, 0] == both[:, 1]).all()
    best = choice.scores(z).reshape(500, 4, 2).sum(-1).argmax(1)
    assert (both[:, 0] == best).all()


# what a task says


def test_misrouted_inputs_have_witnesses() -> None:
    model = circle_model()
    assert atlasmoe.doctor(model, samples=800).healthy
    layer = model.network.layers[1]
    weight = np.array(layer.gate.weight)  # type: ignore[union-attr]
    swapped = replace(layer, gate=Affine(weight[[1, 0, 2]], np.zeros(3)).net)
    broken = replace(model, network=replace(model.network, layers=(model.network.layers[0], swapped)))
    found = atlasmoe.doctor(broken, samples=800)
    (wrong,) = found.of("misrouted")
    assert wrong.ill
    charts = model.manifold_task.atlas
    for x in wrong.witnesses:
        taken = int(broken.network.trace(np.array([x])).routes[1][0])
        assert not charts.contains(taken, np.array(x))


def test_cells_that_lie_in_no_chart_are_misrouted() -> None:
    rows = circle()
    weight, bias = centres(6)
    hold = ((rows[:, None] - weight) ** 2).sum(-1) < 1
    charts = Charts(tuple("abcdef"), "chart", hold, False)
    assert not seen(gate(weight, bias, rows, charts=charts), "misrouted", points=rows).ill
    turned = gate(weight, bias + np.array([0.8, 0, 0, 0, 0, 0]), rows, charts=charts)
    ill = seen(turned, "misrouted", points=rows)
    assert ill.ill
    worst = np.array(ill.witnesses[0])
    assert np.linalg.norm(worst - weight[0]) >= 1


def test_points_off_the_manifold_are_proved_to_be_off() -> None:
    model = circle_model()
    points = circle(300)
    healthy = atlasmoe.doctor(model, data=points)
    assert not healthy.of("manifold")[0].ill
    off = np.array(points)
    off[7] *= 1.001
    (found,) = atlasmoe.doctor(model, data=off).of("manifold")
    assert found.ill
    assert found.witnesses == (tuple(off[7]),)


def test_reconstruction_of_points_of_balls_is_within_the_reach() -> None:
    from atlasmoe.doctor.residual import _by_tangents

    sphere = atlasmoe.ball_atlas(atlasmoe.builtin("sphere", dimension=2), radius=0.8)
    balls = list(sphere.charts)
    points = sphere.sample(500, 0).base
    residual, allowed = _by_tangents(balls, points, 1.0)  # type: ignore[arg-type]
    assert (residual <= allowed).all()
    assert (residual > 0.5 * allowed).mean() > 0.5  # the bound is near what points of the sphere have
    residual, allowed = _by_tangents(balls, 0.9 * points, 1.0)  # type: ignore[arg-type]
    assert (residual > allowed).mean() > 0.5


def test_the_dimension_of_data() -> None:
    rng = np.random.default_rng(0)
    for d in (1, 2, 4):
        rows = np.zeros((3000, 12))
        rows[:, :d] = rng.uniform(size=(3000, d))
        estimate, low, high, _ = two_nearest(rows) or (0, 0, 0, 0)
        assert low < estimate < high
        assert abs(estimate - d) < 0.15 * d
    flat = gate(*centres(3), circle())
    assert not seen(flat, "dimension", points=circle(), dimension=1).ill
    noisy = circle() + 0.05 * rng.normal(size=(N, 2))
    assert seen(flat, "dimension", points=noisy, dimension=1).ill
    assert two_nearest(np.repeat(circle(40), 50, axis=0)) is None


def test_points_that_keep_apart_are_no_illness() -> None:
    angle = np.linspace(0, 2 * np.pi, N, endpoint=False)
    even = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    _, low, _, _ = two_nearest(even) or (0, 0, 0, 0)
    assert low > 100  # so the estimate alone would say that a circle is no curve
    health = examine(Patient("p", "module", (), "here", points=even, dimension=1))
    assert health.healthy
    assert [one.sign for one in health.unanswered if "grid" in one.needs] == ["dimension"]


def test_the_edge_of_a_manifold_is_on_it() -> None:
    from atlasmoe.atlas.graph import as_graph
    from atlasmoe.doctor.residual import distance_of

    task = as_graph(atlasmoe.load_task(Path(__file__).parent.parent / "examples" / "swiss_roll_R100.toml"))
    distance, node = distance_of(task), task.inputs[0]
    assert distance is not None
    rng = np.random.default_rng(0)
    for chart in node.domain.parametrising:
        lower, upper = np.array(chart.domain.lower), np.array(chart.domain.upper)
        u = np.where(rng.random((100, 2)) < 0.5, lower, upper)
        u[:, 1] = rng.uniform(lower[1], upper[1], 100)
        x = node.embed(chart.inverse(u))
        residual, bound, _ = distance(x)
        assert (residual <= bound).all()
        residual, bound, _ = distance(x * 1.001)
        assert (residual > bound).all()


def test_equal_loads_seen_on_few_rows_are_no_illness() -> None:
    rng = np.random.default_rng(0)
    E, N = 64, 192  # 3·E rows: three experts of 64 go without a hit, on average
    weight = np.eye(E)
    rows = weight[rng.integers(E, size=N)]
    health = examine(Patient("p", "module", (gate(weight, np.zeros(E), rows),), "here"))
    assert health.of("dead") == ()


def product(formula: str) -> atlasmoe.TaskGraph:
    square = atlasmoe.Box((-1.0, -1.0), (1.0, 1.0))
    block = atlasmoe.Block.parse("f", ("x", "y"), atlasmoe.Tiling.whole(square), [formula])
    return atlasmoe.TaskGraph("product", (atlasmoe.Input("p", square, ("x", "y")), block), "f")


def test_no_sum_of_functions_is_near_a_product() -> None:
    task = product("x*y")
    best, four, _ = mixed(task, np.array([0]))
    values = task.evaluate(np.array(four))[:, 0]
    assert best == pytest.approx(abs(values[0] - values[1] - values[2] + values[3]) / 4)
    assert 0.9 < best <= 1  # the best additive model of x·y on the square is 0, which errs by 1
    assert mixed(product("sin(x) + y**2"), np.array([0]))[0] < 1e-12
    assert 0.95 < ignoring(product("x + y"), np.array([1]))[0] <= 1
    fields = {"epsilon": 0.1, "points": np.zeros((1, 2))}
    one = gate(*centres(3), circle())
    assert seen(one, "structure", oracle=Oracle(task, (("x",), ("y",))), **fields).ill
    assert not seen(one, "structure", oracle=Oracle(product("x + y"), (("x",), ("y",))), **fields).ill
    assert seen(one, "structure", oracle=Oracle(product("x + y"), (("x",),)), **fields).ill  # y is read by nobody


def test_counting_gives_the_bound_of_b4() -> None:
    local = Local(np.zeros((1, 1)), lambda t: 3 * t**2, None)  # f″ = 6
    for pieces in (1, 2, 5):
        bound = by_counting(local, np.array([0.0]), np.array([2.0]), pieces, pieces)
        assert bound == pytest.approx(6 * 2**2 / (16 * pieces**2), rel=1e-9)
    knots = np.linspace(0, 2, 6)
    best = np.interp(np.linspace(0, 2, 4001), knots, 3 * knots**2 - 6 * (0.4**2) / 16)  # half of h²·f″/8, which is optimal
    error = np.abs(best - 3 * np.linspace(0, 2, 4001) ** 2).max()
    assert by_counting(local, np.array([0.0]), np.array([2.0]), 5, 5) == pytest.approx(error, rel=1e-6)


def test_experts_too_narrow_for_their_cell() -> None:
    rows = np.random.default_rng(0).uniform(-1, 1, (N, 2))
    local = Local(rows, lambda x: (x[:, :1]) ** 2, 1e-2)
    weight, bias = np.array([[1.0, 0], [-1.0, 0]]), np.zeros(2)
    narrow, wide = Expert((1,), 2), Expert((9,), 10)
    assert seen(gate(weight, bias, rows, local=local, sizes=(narrow, narrow)), "width").ill
    assert not seen(gate(weight, bias, rows, local=local, sizes=(wide, wide)), "width").ill


# the whole


def test_a_patient_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="logits of shape"):
        Gate("g", ("a", "b"), Choice(1), "float64", logits=np.zeros((3, 4)))
    with pytest.raises(InvalidArgument, match="top_k=2"):
        Gate("g", ("a", "b"), Choice(3), "float64")
    for wrong in ({"precision": "int8"}, {"epsilon": -1.0}, {"capacity": np.nan}, {"samples": 0}, {"blocks": "x,,|"}):
        with pytest.raises(InvalidArgument):
            atlasmoe.doctor(circle_model(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="a model says itself"):
        atlasmoe.doctor(circle_model(), router="x")
    with pytest.raises(InvalidArgument, match="not finite"):
        atlasmoe.doctor(circle_model(), data=np.full((3, 2), np.nan))


def test_health_is_told_in_text_and_json() -> None:
    found = atlasmoe.doctor(circle_model(), samples=500)
    assert isinstance(found, Health)
    assert str(found).startswith("circle: healthy")
    document = found.to_dict()
    assert document["healthy"]
    assert {one["sign"] for one in document["diagnoses"]} >= {"collapse", "dead", "load", "margins", "precision", "misrouted", "dimension"}
    with pytest.raises(InvalidArgument, match="the signs are"):
        found.of("flu")
