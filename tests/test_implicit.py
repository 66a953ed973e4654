"""Implicit manifolds: tubes and their enclosures, components, refusals, and proofs from the equations to a checked certificate."""

from __future__ import annotations

import pickle
from fractions import Fraction
from pathlib import Path

import atlasmoe
import mpmath
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Atlas, ExpressionMap, ExpressionTarget, ManifoldTask, task_from_spec, task_to_spec
from atlasmoe.atlas.graph import as_graph
from atlasmoe.atlas.graph.pointwise import NotPointwise, Pointwise, Spot
from atlasmoe.atlas.implicit.build import CORE, implicit
from atlasmoe.atlas.implicit.components import components, meant
from atlasmoe.atlas.implicit.cover import cover, edge_cell
from atlasmoe.atlas.implicit.singular import touches
from atlasmoe.atlas.implicit.zeros import ZeroSet
from atlasmoe.errors import AtlasMoEError
from atlasmoe.expressions import Box
from atlasmoe.expressions.implicit import Tube, reflections, turned
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.expressions.precise import Enclosed, Undecided, enclose_at
from atlasmoe.intervals import Interval, NaturalEnclosure
from atlasmoe.intervals.gradients import GradientEnclosure
from atlasmoe.intervals.implicit import Equations, prove_all
from atlasmoe.intervals.patch import Patch, PatchMap
from atlasmoe.intervals.program import Program, equations_of
from atlasmoe.report.tables import certificate_table, render
from atlasmoe.verify.check.expressions import Functions, JetMap
from atlasmoe.verify.check.faces import off_faces
from atlasmoe.verify.check.implicit import single
from atlasmoe.verify.check.polynomials import space
from atlasmoe.verify.enclosure import ExpressionEnclosure
from atlasmoe.verify.prove.certificate import principal
from certificates import retold

U = sympy.symbols("u1 u2", real=True)
SPHERE = "x**2 + y**2 + z**2 - 1"
CIRCLE = "x**2 + y**2 - 1"


def functions(*texts: str, names: str = "xyz") -> ExpressionMap:
    symbols = real_symbols(names)
    return ExpressionMap.of(symbols.values(), [read_expression(text, symbols) for text in texts])


def tube(half: float = 0.5, height: float = 0.4, equation: str = SPHERE) -> Tube:
    g, center = functions(equation), np.array([0.6, 0.1, 0.8])
    center = center / np.linalg.norm(center)
    return Tube(g, tuple(center), reflections(g.jacobian_at(center)), (half,) * 2, (height,))


def atlas_of(*texts: str, box: float = 1.5, names: str = "xyz", **options: object) -> Atlas:
    return implicit(texts, [[-box, box]] * len(names), coordinates=list(names), **options)  # type: ignore[arg-type]


def test_a_tube_inverts_its_coordinates_exactly() -> None:
    one, u = tube(), np.random.default_rng(0).uniform(-0.5, 0.5, (500, 2))
    frame = one.frame
    assert all(sum(a * b for a, b in zip(p, q, strict=True)) == (p is q) for p in frame for q in frame)
    y = one.inverse(U)(u)
    assert np.abs(functions(SPHERE)(y)).max() < 1e-14
    assert np.abs(one.forward(y) - u).max() < 1e-14
    assert pickle.loads(pickle.dumps(one)) == one
    composed = functions("sin(3*x) + y*z").after(one.inverse(U))
    again = pickle.loads(pickle.dumps(composed.expressions[0]))
    assert again == composed.expressions[0]


@pytest.mark.parametrize("scale", [0.2, 0.01])
def test_enclosures_hold_what_they_enclose(scale: float) -> None:
    rng, one = np.random.default_rng(1), tube()
    inverse = one.inverse(U)
    composed = functions("sin(3*x) + y*z").after(inverse)
    lower = rng.uniform(-0.5, 0.5 - scale, (400, 2))
    upper = lower + scale * rng.uniform(0, 1, lower.shape)
    t = rng.uniform(-1, 1, (60, 400, 2))
    t[0], t[1] = -1, 1
    u = (lower + upper) / 2 + t * (upper - lower) / 2
    sides = [Interval(lower[:, j], upper[:, j]) for j in range(2)]
    for found, value in zip(NaturalEnclosure(inverse)(sides), np.moveaxis(inverse(u), -1, 0), strict=True):
        assert ((found.lower - 1e-13 <= value) & (value <= found.upper + 1e-13)).all()
    slopes, jacobian = GradientEnclosure(inverse)(sides)[1], inverse.jacobian_at(u)
    for k in range(3):
        for j in range(2):
            assert ((slopes[k][j].lower - 1e-11 <= jacobian[..., k, j]) & (jacobian[..., k, j] <= slopes[k][j].upper + 1e-11)).all()
    value = composed(u)[..., 0]
    patch = PatchMap(composed)(Patch.coordinates(lower, upper))
    assert ((patch.value.lower[:, 0] - 1e-13 <= value) & (value <= patch.value.upper[:, 0] + 1e-13)).all()
    inner, h = u[2:] * (1 - 1e-3), 1e-4
    step = np.array([h, 0.0])
    bend = (composed(inner + step) - 2 * composed(inner) + composed(inner - step))[..., 0] / h**2
    inside = np.all((lower <= inner - step) & (inner + step <= upper), axis=-1)
    assert inside.any()
    assert ((patch.second.lower[:, 0, 0] - 1e-4 <= bend) & (bend <= patch.second.upper[:, 0, 0] + 1e-4) | ~inside).all()
    for degree in (2, 3):
        forms = ExpressionEnclosure(composed).over(lower, upper, degree).forms
        polynomial = sum(forms.coefficients[:, c, 0] * np.prod(t ** np.array(e), axis=-1) for c, e in enumerate(forms.monomials))
        assert (np.abs(polynomial - value) <= forms.radius[:, 0] + 1e-13).all()
        assert forms.radius.max() < (1e3 if degree == 2 else 3e3) * scale ** (degree + 1)
        jets = JetMap(composed)(Functions.coordinates(sp := space(2, degree), lower, upper)).jets
        polynomial = sum(jets.coefficients[c, 0] * np.prod(t ** np.array(e), axis=-1) for c, e in enumerate(sp.exponents))
        assert (np.abs(polynomial - value) <= jets.rest[0] + 1e-13).all()


@pytest.mark.parametrize(
    ("half", "height", "equation", "holds"),
    [
        (0.5, 0.4, SPHERE, True),
        (0.5, 0.05, SPHERE, False),  # the graph leaves the box
        (0.5, 2.5, SPHERE, False),  # two zeros over each u
        (1.2, 1.2, SPHERE, False),  # none over some
        (0.5, 0.4, f"({SPHERE})**2", False),  # a double zero
        (0.5, 0.4, f"Abs({SPHERE}) + {SPHERE}", False),  # more than isolated zeros
        (0.3, 0.15, f"log({SPHERE} + 1)", True),
        (0.5, 0.4, f"sqrt({SPHERE})", False),  # undefined inside
        (0.5, 0.4, f"1e300*({SPHERE})", True),
        (0.5, 0.4, f"1e-300*({SPHERE})", True),
    ],
)
def test_one_zero_over_each_u_is_proved_where_it_is_so(half: float, height: float, equation: str, holds: bool) -> None:
    one = tube(half, height, equation)
    assert equations_of(one).prove(1 << 9) == holds
    assert single(one) == holds


SHEETS = [SPHERE, "x*y*z - 0.1", f"({SPHERE})*({SPHERE} - 0.1)", "z**2 - x**2 - y**2", "(z - 0.1*x)*(z - 0.1*x - 1e-3)", "z**3 - 1e-9*z"]


@pytest.mark.parametrize("equation", SHEETS)
def test_what_is_proved_of_many_tubes_at_once_is_true(equation: str) -> None:
    """Tubes of any size around zeros, near other sheets and near points without a gradient: signs along w change once over every u."""
    g, rng, tubes = functions(equation), np.random.default_rng(2), []
    zeros = ZeroSet(g, Box((-1.5,) * 3, (1.5,) * 3)).projected(rng.uniform(-1, 1, (60, 3)))
    for center in zeros[np.isfinite(zeros).all(1)]:
        frame = turned(reflections(g.jacobian_at(center)), np.linalg.qr(rng.normal(size=(2, 2)))[0])
        halves = rng.uniform(0.02, 0.5, 2)
        tubes.append(Tube(g, tuple(center), frame, tuple(halves), (halves.max() * 10 ** rng.uniform(-1.5, 0.3),)))
    run = Program(g)
    proved = prove_all([Equations(one, run) for one in tubes], 512)
    assert [Equations(one, run).prove(512) for one in tubes[:6]] == proved[:6].tolist()
    for one in (one for one, good in zip(tubes, proved, strict=True) if good):
        u = rng.uniform(-1, 1, (60, 2)) * one.halves
        w = np.linspace(-one.heights[0], one.heights[0], 801)
        x = one.point(np.repeat(u, len(w), axis=0), np.tile(w, len(u))[:, None])
        value = np.sign(g(x)[:, 0]).reshape(len(u), len(w))
        assert ((value[:, 1:] * value[:, :-1] < 0).sum(1) + (value == 0).sum(1) == 1).all()


def test_axes_of_charts_may_be_turned() -> None:
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    g = functions("x**2 + y**2 + z**2 + t**2 - 1", names="xyzt")
    plain = Tube(g, (0.5,) * 4, vectors := reflections(g.jacobian_at(np.full(4, 0.5))), (0.1,) * 3, (0.1,))
    one = Tube(g, (0.5,) * 4, turned(vectors, axes), (0.1,) * 3, (0.1,))
    assert all(sum(a * b for a, b in zip(p, q, strict=True)) == (p is q) for p in one.frame for q in one.frame)
    assert (one.normal == plain.normal).all()
    assert np.abs(np.abs(one.tangent.T @ plain.tangent @ axes) - np.eye(3)).max() < 0.05


def test_nothing_is_known_outside_of_a_tube() -> None:
    found = NaturalEnclosure(tube().inverse(U))([Interval.of([0.45], [0.5000001]), Interval.of([0.0], [0.1])])
    assert np.isinf(found[0].upper - found[0].lower).all()
    with pytest.raises(AtlasMoEError, match="intervals only"):
        GradientEnclosure(tube().inverse(U).jacobian)([Interval.of([0.0], [0.1])] * 2)


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        ((f"{SPHERE} + 4",), {}, "there is no zero of the equations in the box"),
        (("x**2 + y**2 - z**2",), {"boundary": True}, "not independent at the zero"),
        (("(x - 1)**2 + y**2 + z**2 - 1)*((x + 1)**2 + y**2 + z**2 - 1",), {}, ""),
        (("x**2",), {"boundary": True}, "not independent at the zero"),
        ((SPHERE,), {"box": 0.9}, "write boundary = true"),
        ((CIRCLE,), {"names": "xy", "region": "(x - 1)*(x - 0.2)"}, r"touch M near .x = 1, y = .*let the region cross M, or stay away"),
        ((CIRCLE,), {"names": "xy", "region": "(x - 0.99999999)*(x - 0.2)"}, "next to nothing of M is left there"),
        ((SPHERE,), {"region": "-1 - x**2"}, "the region is negative, or nearly so, at all zeros"),
        (("0*x",), {}, "the equation 0.* is 0 everywhere"),
        (("x**2 + y**2 - 1",), {"names": "xy", "box": 1e9}, "no zero, and none was found near it|no chart"),  # 0 is no zero of it
        (("(x**2 + y**2 - 1)*((x - 0.51)**2 + (y - 0.02)**2 - 1e-14)",), {"names": "xy"}, "no chart of half-width"),  # nor its centre
        ((SPHERE.replace("z", "q"),), {}, "'q'"),
        (("log(x) - y",), {"boundary": True}, "no finite value at"),
        (("x", "y", "z"), {}, "leave no manifold"),
        (("x**2 + y**2 - 1 - 0.1*abs(x)",), {"names": "xy"}, "has a kink"),
        (("y - x*sign(x)",), {"names": "xy"}, "has a kink"),
        ((CIRCLE,), {"names": "xy", "region": "sqrt(y) - 0.1"}, r"the region has no finite value at the zero .*y = -0"),
        (("((x - 0.7)**2 + y**2 - 0.25)*((x + 0.7)**2 + y**2 - 0.25)",), {"names": "xy"}, "2 connected components: 1 near"),
    ],
)
def test_what_is_no_manifold_is_refused(texts: tuple[str, ...], options: dict[str, object], words: str) -> None:
    if not words:
        texts, options, words = (f"({texts[0]})",), {"box": 2.5}, "not independent at the zero"
    with pytest.raises(AtlasMoEError, match=words):
        atlas_of(*texts, **options)


@pytest.fixture(scope="module")
def curve() -> Atlas:
    """The right one of two ovals."""
    return atlas_of("((x - 0.7)**2 + y**2 - 0.25)*((x + 0.7)**2 + 2*y**2 - 0.25)", names="xy", component=[1, 0])


@pytest.mark.parametrize(
    ("region", "at", "said"),
    [("(x - 1)*(x - 0.2)", (1.0, 0.0), True), ("0.2 - x", (0.2, 0.98), False), ("3 - x", (1.0, 0.0), False), (None, (1.0, 0.0), False)],
)
def test_a_region_that_touches_m_is_told_from_one_that_crosses_it(region: str | None, at: tuple[float, float], said: bool) -> None:
    x, y = symbols = real_symbols("xy").values()
    g, h = (None if text is None else ExpressionMap.of(symbols, [read_expression(text, {"x": x, "y": y})]) for text in (CIRCLE, region))
    assert g is not None
    cell = np.array(at) - 1e-4, np.array(at) + 2e-4
    assert touches(ZeroSet(g, Box((-1.5, -1.5), (1.5, 1.5)), h), cell) is said


def test_a_component_is_chosen_and_covered(curve: Atlas) -> None:
    assert curve.implicit is not None
    assert len(curve.implicit.aside) > 1
    base = curve.sample(500, 0).base
    assert np.abs((base[:, 0] - 0.7) ** 2 + base[:, 1] ** 2 - 0.25).max() < 1e-12
    tubes = [chart.tube for chart in curve.parametrising if chart.tube is not None]
    assert cover(curve.implicit.zeros, [*tubes, *curve.implicit.aside]).open is None
    done = cover(curve.implicit.zeros, tubes, most=1 << 10)
    assert done.open is not None
    assert done.open[1][0] < 0  # on the other oval


def test_components_next_to_each_other_are_told_apart_by_faces_and_points() -> None:
    """Ends of charts alone say what hangs together, whatever rounding does; and a point means the component that it lies on."""
    rings = atlas_of(f"({CIRCLE})*(x**2 + y**2 - 1.2)", names="xy", component="all")
    assert rings.implicit is not None
    tubes = [chart.tube for chart in rings.parametrising if chart.tube is not None]
    found = components(tubes, np.zeros((0, 2)), CORE)
    assert len(found) == 2
    for radius in (1.0, np.sqrt(1.2)):
        for angle in range(6):
            kept = meant(found, [radius * np.cos(angle), radius * np.sin(angle)], tubes, rings.implicit.zeros)
            assert kept is not None
            assert np.abs([np.hypot(*tubes[i].center) - radius for i in kept]).max() < 1e-9


def test_a_product_with_equations_is_written_as_equations(curve: Atlas) -> None:
    with pytest.raises(AtlasMoEError, match="write the product as equations in the coordinates of both"):
        atlasmoe.product(curve, atlasmoe.builtin("interval"))


def test_what_is_written_is_read_again(curve: Atlas) -> None:
    task = ManifoldTask("oval", curve, ExpressionTarget(functions("x*y", names="xy")))
    spec, arrays = task_to_spec(task)
    again = task_from_spec(spec, arrays=arrays)
    assert isinstance(again, ManifoldTask)
    assert [chart.tube for chart in again.atlas.parametrising] == [chart.tube for chart in curve.parametrising]
    arrays["tube_reflections"] = arrays["tube_reflections"] + 0.5
    with pytest.raises(AtlasMoEError, match="the tangent charts are none"):
        task_from_spec(spec, arrays=arrays)


def test_from_an_equation_to_a_checked_certificate(tmp_path: Path) -> None:
    spec = {
        "task": {"name": "oval", "kind": "manifold"},
        "manifold": {"ambient": ["x", "y"], "implicit": "x**2 + 2*y**2 - 1", "box": [[-1.5, 1.5], [-1.5, 1.5]], "region": "y + 0.5"},
        "target": {"expression": "sin(2*x) + y"},
    }
    model = atlasmoe.compile(task_from_spec(spec), epsilon=0.1)
    atlasmoe.save(model, tmp_path / "model")
    certificate = atlasmoe.certify(tmp_path / "model")
    assert certificate.status == "proved"
    assert not certificate.assumptions
    assert {claim.name for claim in certificate.claims if claim.known == "proved"} >= {"total", "cover", "inverse", "zeros"}
    certificate.write(tmp_path / "model")
    assert atlasmoe.check(tmp_path / "model").verdict == "confirmed"
    report = atlasmoe.check(retold(tmp_path / "model", tmp_path / "smaller", "1.5", "0.9"))  # charts as they are, M through faces
    assert report.verdict == "undecided"
    assert any("M stays off the faces of its box" in str(failure) for failure in report.failures)
    beyond = atlasmoe.certify(tmp_path / "smaller", tightness=None)  # the charts, and the error on them, are as they were
    assert (beyond["total"].known, beyond["zeros"].known, beyond.status) == ("proved", "unknown", "unknown")
    assert beyond.explain().startswith("zeros is not proved: M meets the edge of the box, or may, near (")
    assert "not proved: charts may leave out a part of M" in render(certificate_table(beyond))
    beyond.write(tmp_path / "smaller", overwrite=True)
    stored = tmp_path / "smaller" / "certificate.json"
    stored.write_bytes(stored.read_bytes().replace(b'"status":"unknown"', b'"status":"proved"'))
    assert any('amount to "unknown"' in str(failure) for failure in atlasmoe.check(tmp_path / "smaller").failures)
    two = retold(tmp_path / "model", tmp_path / "two", "x**2 + 2*y**2 - 1", "(x**2 + 2*y**2 - 1)*(x**2 + 2*y**2 - 1.1)")
    report = atlasmoe.check(two)  # a tube with two zeros is no chart, which is said before any box of it is cut
    assert report.verdict == "undecided"
    assert any("holds one zero of the equations, and no more" in str(failure) for failure in report.failures)
    refuted = atlasmoe.certify(tmp_path / "model", epsilon=0.03)
    assert refuted.status == "refuted"
    assert refuted.refutation is not None
    assert refuted.refutation.error > 0.03
    refuted.write(tmp_path / "model", overwrite=True)
    assert atlasmoe.check(tmp_path / "model").verdict == "refuted"


@pytest.mark.parametrize(
    ("equation", "region", "width", "off"),
    [
        ("x**2 + y**2 - 1", "x + 2", 1.0 + 1e-3, True),
        ("x**2 + y**2 - 1", "x + 2", 1.0, False),
        ("x**2 + y**2 - 1", "0.95 - Max(x, -x, y, -y)", 1.0, True),
        ("x - y**3", "x + 5", 1.0, False),
        ("x**2 + y**2 - 1", "x + 2", 0.8, False),
        ("x**2 + y**2 - 1", "x + 2", 0.5, True),
    ],
)
def test_faces_are_looked_at_by_check(equation: str, region: str, width: float, off: bool) -> None:
    zeros = ZeroSet(functions(equation, names="xy"), Box((-width, -width), (width, width)), functions(region, names="xy"))
    assert off_faces(zeros) is off
    assert (edge_cell(zeros) is None) is off


def test_nothing_is_refuted_outside_of_the_box() -> None:
    """M is [−1.9, 1.9] of this curve; the region is positive again beyond the box, where a chart reaches."""
    curve = atlas_of("y - x/10 - x**2/100", box=2.0, names="xy", region=functions("(3.6 - x**2)*(x - 2.05)*(x - 2.4)", names="xy"))
    task = ManifoldTask("line", curve, ExpressionTarget(functions("x", names="xy")))
    (node,) = as_graph(task).inputs
    beyond = 0
    for n, chart in enumerate(curve.parametrising):
        u = np.linspace(*chart.domain.lower, *chart.domain.upper, 41)[1:-1, None]
        for at, x in zip(u[chart.inside(u)], chart.inverse(u[chart.inside(u)]), strict=True):
            spots = {node.name: Spot(n, (Fraction(float(at[0])),))}
            if abs(x[0]) < 2:
                assert float(Pointwise(as_graph(task), spots).coordinates[0].lower) == pytest.approx(x[0])
                continue
            beyond += 1
            with pytest.raises(NotPointwise, match="not surely in the box"):
                Pointwise(as_graph(task), spots)
    assert beyond


def test_points_of_charts_are_enclosed_to_any_precision() -> None:
    rng = np.random.default_rng(3)
    g = functions("x**2 + y**2 + z**2 + t**2 - 1", "x*y - z*t*exp(x)", names="xyzt")
    points = ZeroSet(g, Box((-1.5,) * 4, (1.5,) * 4)).projected(rng.uniform(-1, 1, (4, 4)))
    for center in points:
        one = Tube(g, tuple(center), reflections(g.jacobian_at(center)), (0.1,) * 2, (0.1,) * 2)
        u = rng.uniform(-0.1, 0.1, 2)
        assert equations_of(one).prove(1 << 9)
        x = [enclose_at(tree, dict(zip(("u1", "u2"), u, strict=True)), 60) for tree in one.inverse(U).trees]
        assert all(isinstance(part, Enclosed) and part.upper - part.lower < Fraction(1, 10**50) for part in x)
        assert np.abs([float(part.lower) for part in x] - one.inverse(U)(u)).max() < 1e-14
        with mpmath.workdps(60):
            lower, upper = (
                [mpmath.mpf(end.numerator) / end.denominator for end in row] for row in zip(*((p.lower, p.upper) for p in x), strict=True)
            )
            a, b, c, d = ((p + q) / 2 for p, q in zip(lower, upper, strict=True))
            assert abs(a**2 + b**2 + c**2 + d**2 - 1) < mpmath.mpf(10) ** -48
            assert abs(a * b - c * d * mpmath.exp(a)) < mpmath.mpf(10) ** -48
    outside = enclose_at(one.inverse(U).trees[0], {"u1": 0.1 + 2**-50, "u2": 0.0}, 60)
    assert isinstance(outside, Undecided)


@pytest.mark.parametrize("name", ["zeros", "components", "block[X].zeros", "target[T].components", "target[a.b].zeros", "total.float64"])
def test_what_m_is_counts_towards_the_status(name: str) -> None:
    assert principal(name) is (name != "total.float64")
