"""Spherical harmonics as fields: values against formulas, derivatives that are harmonic, enclosures that hold what they should, files."""

from __future__ import annotations

import itertools
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import atlasmoe
import mpmath
import numpy as np
import pytest
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.atlas.spec import load_task, task_from_spec, task_to_spec
from atlasmoe.atlas.spec.table_target import field_target
from atlasmoe.errors import InvalidArgument, SpecError
from atlasmoe.expressions.fields import callables
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.intervals.harmonics import Harmonics, count, places, read_coefficients, vector_field
from atlasmoe.intervals.harmonics.euler import by_euler, compared, stepped
from atlasmoe.intervals.harmonics.solid import upwards
from atlasmoe.moe import Known
from atlasmoe.verify.check import check
from numpy.typing import NDArray

WMM = Path(__file__).parents[1] / "examples" / "geomagnetic" / "WMM2025.COF"
RNG = np.random.default_rng(0)
DEGREE = 9


def some(decaying: bool, outputs: int = 2, degree: int = DEGREE, seed: int = 1) -> Harmonics:
    l, _ = places(degree)
    given = np.random.default_rng(seed).standard_normal((outputs, 2, count(degree))) / (1 + l) ** 2
    return Harmonics("B", given, decaying)


def by_formula(degree: int, point: NDArray) -> list[mpmath.mpc]:
    """S_lm = √((2−δ)(l−m)!(l+m)!)·((x+iy)/2)^m·Σ_k (−(x²+y²)/4)^k z^(l−m−2k)/((m+k)! k! (l−m−2k)!), with 60 digits."""
    found = []
    with mpmath.workdps(60):
        x, y, z = (mpmath.mpf(float(v)) for v in point)
        f = [mpmath.factorial(n) for n in range(2 * degree + 1)]
        for l in range(degree + 1):
            for m in range(l + 1):
                series = sum(
                    (-(x * x + y * y) / 4) ** k * z ** (l - m - 2 * k) / (f[m + k] * f[k] * f[l - m - 2 * k])
                    for k in range((l - m) // 2 + 1)
                )
                norm = mpmath.sqrt((2 if m else 1) * f[l - m] * f[l + m])
                found.append(norm * (mpmath.mpc(x, y) / 2) ** m * series)
    return found


def sizes(errors: NDArray, degree: int) -> NDArray:
    """Euclidean norms by degree of (2, places)."""
    return np.array([np.linalg.norm(errors[:, count(l - 1) : count(l)]) for l in range(degree + 1)])


@pytest.mark.parametrize("point", [(0.6, -0.8, 1e-9), (0, 0, 1), (0, 0, -1), (1e-200, 0, 1), (0.3, 0.2, -0.7), (1.1, -0.4, 0.9)])
def test_harmonics_err_by_no_more_than_is_said(point: tuple[float, float, float]) -> None:
    at = np.array([point], float)
    reach = np.linalg.norm(at, axis=1) * (1 + 1e-12)
    exact = by_formula(DEGREE, at[0])
    for found, bound in (by_euler(DEGREE, at, reach), compared(DEGREE, at, reach, upwards(DEGREE, at))):
        numbers = found.reshape(2, -1)
        off = np.array(
            [
                [float(v.real - re) for v, re in zip(exact, numbers[0], strict=True)],
                [float(v.imag - im) for v, im in zip(exact, numbers[1], strict=True)],
            ]
        )
        assert (sizes(off, DEGREE) <= bound[:, 0]).all()
        assert (bound[:, 0] < 1e-12 * reach ** np.arange(DEGREE + 1) + 1e-150).all()
    assert sum(abs(v) ** 2 for v in exact[-DEGREE - 1 :]) == pytest.approx(float(reach[0]) ** (2 * DEGREE), rel=1e-9), (
        "the addition theorem"
    )


def by_recursion(degree: int, point: NDArray) -> NDArray:
    """S_lm in the order of places by the recursion of `solid`, with 60 digits: (2, places) of mpmath numbers."""
    with mpmath.workdps(60):
        x, y, z = (mpmath.mpf(float(v)) for v in point)
        square, found = x * x + y * y + z * z, {(0, 0): mpmath.mpc(1)}
        for l in range(1, degree + 1):
            for m in range(l):
                found[l, m] = (2 * l - 1) * z * found[l - 1, m]
                if m < l - 1:
                    found[l, m] -= mpmath.sqrt((l - 1) ** 2 - m * m) * square * found[l - 2, m]
                found[l, m] /= mpmath.sqrt(l * l - m * m)
            found[l, l] = (mpmath.sqrt(mpmath.mpf(2 * l - 1) / (2 * l)) if l > 1 else 1) * mpmath.mpc(x, y) * found[l - 1, l - 1]
        return np.array([[getattr(found[l, m], part) for l in range(degree + 1) for m in range(l + 1)] for part in ("real", "imag")])


@pytest.mark.parametrize("point", [(1e-9, 0, -1), (0.6, 0.64, 0.48)])
def test_bounds_say_something_at_degree_133(point: tuple[float, float, float]) -> None:
    degree, at = 133, np.array([point], float)
    reach = np.linalg.norm(at, axis=1) * (1 + 1e-12)
    exact = by_recursion(degree, at[0])
    for found, bound in (by_euler(degree, at, reach), compared(degree, at, reach, upwards(degree, at))):
        off = (exact - found.reshape(2, -1)).astype(float)
        assert (sizes(off, degree) <= bound[:, 0]).all()
        assert bound.max() < 3e-12


def test_numbers_that_are_no_harmonics_are_found_out() -> None:
    at = RNG.standard_normal((30, 3))
    reach = np.linalg.norm(at, axis=1) * (1 + 1e-12)
    right = upwards(DEGREE, at)
    for place in (0, 3, 20, count(DEGREE) + 4):
        wrong = right.copy()
        wrong[place] += 1e-3
        # By how much it is wrong is known up to what adding rounds, and what `right` is off by.
        added = 1e-3 - 64 * np.finfo(float).eps * np.maximum(reach, 1) ** DEGREE
        assert (added > 0.999e-3).all()
        assert (compared(DEGREE, at, reach, wrong)[1].max(0) >= added).all()


@pytest.mark.parametrize("degree", [1, 2, 7, 60])
def test_a_step_enlarges_nothing_beyond_the_length_of_the_point(degree: int) -> None:
    points = np.concatenate([RNG.standard_normal((20, 3)), np.eye(3), [[1, 1, 0.0]]])
    given = np.eye(2 * degree)[:, :, None].reshape(2 * degree, 2, degree, 1)
    given = np.delete(given, degree, axis=0)  # Im S_l0 is none
    for point in points:
        matrix = np.array([stepped(degree, one, point[None]).ravel() for one in given])
        assert np.linalg.norm(matrix, 2) <= np.linalg.norm(point) * (1 + 1e-12)


@pytest.mark.parametrize("decaying", [False, True])
def test_derivatives_are_harmonic_and_those_of_differences(decaying: bool) -> None:
    series = some(decaying)
    laplace = sum(series.sum(orders).coefficients for orders in ((2, 0, 0), (0, 2, 0), (0, 0, 2)))
    assert np.abs(laplace).max() < 1e-12 * np.abs(series.sum((2, 0, 0)).coefficients).max()
    points = RNG.standard_normal((40, 3)) * 0.6 + (0, 0, 0.2)
    step = 1e-5
    for orders in [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 2, 1), (2, 1, 1)]:
        k = next(k for k in range(3) if orders[k])
        below = tuple(o - (j == k) for j, o in enumerate(orders))
        slope = (series.values(points + step * np.eye(3)[k], below) - series.values(points - step * np.eye(3)[k], below)) / (2 * step)
        size = np.abs(series.values(points, tuple(o + 2 * (j == k) for j, o in enumerate(orders)))) + 1
        assert (np.abs(slope - series.values(points, orders)) < 1e-8 * size + 1e-5 * np.abs(slope)).all()


@pytest.mark.parametrize("decaying", [False, True])
@pytest.mark.parametrize("width", [0.0, 1e-9, 1e-3, 0.1, 0.7])
def test_enclosures_hold_all_values(decaying: bool, width: float) -> None:
    series = some(decaying)
    middle = RNG.standard_normal((400, 3)) * 0.7
    middle[:8] = [[0, 0, 1], [0, 0, -1], [1, 0, 0], [0, 0, 1], [1e-300, 0, 1], [0, -1, 0], [0, 0, 0], [0.5, 0.5, 0]]
    half = width * RNG.uniform(size=(400, 3))
    half[RNG.uniform(size=half.shape) < 0.1] = 0.0
    lower, upper = middle - half, middle + half
    for orders in [(0, 0, 0), (1, 0, 0), (0, 1, 2), (3, 1, 1)]:
        bounds = [series.enclose(1, orders, lower, upper, again=again) for again in (False, True)]
        assert all((low <= high).all() for low, high in bounds)
        assert (np.maximum(bounds[0][0], bounds[1][0]) <= np.minimum(bounds[0][1], bounds[1][1])).all()
        for share in (*RNG.uniform(size=(60, 400, 3)), *np.round(RNG.uniform(size=(6, 400, 3)))):
            value = series.values(np.clip(lower + share * (upper - lower), lower, upper), orders)[1]
            for low, high in bounds:
                slack = 1e-13 * np.maximum(np.abs(low), np.abs(high))
                fine = np.isfinite(value)
                assert ((value >= low - slack) & (value <= high + slack))[fine].all()


def test_enclosures_are_sharp_on_small_boxes() -> None:
    for decaying, again in itertools.product((False, True), repeat=2):
        series = some(decaying)
        at = np.array([[0.3, 0.4, 0.9], [0, 0, 1.0]])
        low, high = series.enclose(0, (0, 0, 0), at - 1e-6, at + 1e-6, again=again)
        assert (high - low < 1e-6 * 2 * 3 * 10 * (1 + np.abs(series.values(at, (1, 0, 0))).max())).all()


def test_nothing_is_said_of_what_decays_where_its_centre_is() -> None:
    series = some(True)
    low, high = series.enclose(0, (0, 0, 0), np.array([[-0.1, -0.1, -0.1], [0, 0, 0]]), np.array([[0.1, 0.1, 0.1], [0, 0, 0.0]]))
    assert np.isinf(low).all()
    assert np.isinf(high).all()
    assert (series.order(np.array([[-0.1] * 3]), np.array([[0.1] * 3])) < 0).all()
    assert np.isnan(series.evaluate(0, (0, 0, 0), np.zeros((1, 3)))).all()


def test_hostile_boxes_are_not_said_to_be_known() -> None:
    for decaying in (False, True):
        series = some(decaying)
        for box in ([1e150, 1, 1], [np.inf, 0, 0], [np.nan, 0, 1], [1e-200, 1e-200, 1e-200]):
            low, high = series.enclose(0, (1, 0, 0), np.array([box]), np.array([box]))
            if not (decaying or np.abs(box).max() <= 1):
                assert np.isinf(low).all()
            assert not np.isnan([low, high]).any()
            assert (low <= high).all()


def test_equal_series_are_one_and_travel() -> None:
    series = some(True)
    assert some(True) == series != some(False)
    series.values(np.ones((3, 3)))
    again = pickle.loads(pickle.dumps(series))
    assert again == series
    assert not again._seen


def test_points_of_many_parts_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    points = RNG.standard_normal((50, 3))
    expected = some(True).values(points, (1, 0, 0))
    calls = []
    monkeypatch.setattr("atlasmoe.intervals.harmonics.series.AT_ONCE", 20 * count(DEGREE + 1))
    monkeypatch.setattr("atlasmoe.intervals.harmonics.series.upwards", lambda *given: calls.append(1) or upwards(*given))
    series = some(True)
    found = [series.evaluate(k, (1, 0, 0), points) for k in range(2)]
    np.testing.assert_allclose(found, expected, rtol=1e-13)
    assert len(calls) == 5


def test_the_field_of_a_file_is_minus_the_gradient_of_its_potential() -> None:
    given = read_coefficients(WMM.read_text())
    assert given.epoch == 2025.0
    field = vector_field("B", given)
    assert (field.degree, field.outputs) == (13, 6)
    at = np.array([[0, 0, 1.0]])  # the pole: a dipole's field is 2·g_10 along the axis there, and that of degree n (n + 1)·g_n0
    l, m = places(12)
    assert field.values(at)[2, 0] == pytest.approx(((l + 1) * given.main[0])[m == 0].sum(), rel=1e-12)
    assert field.values(at)[0, 0] == pytest.approx(-(np.sqrt(l * (l + 1) / 2) * given.main[0])[m == 1].sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no coefficients"),
        ("2025.0 WMM 1/1/2025", "has no coefficients"),
        ("1 0 1 0\n2 0 -29351.8", "line 2 has 3 entries"),
        ("2025.0 W\n1 0 1 2 3", "line 2 has 5 entries"),
        ("1 2 0 0", "n = 1, m = 2"),
        ("-1 0 0 0", "'-1' is no degree"),
        ("1.5 0 0 0", "'1.5' is no degree"),
        ("401 0 0 0", "0 ≤ m ≤ n ≤ 400"),
        ("1 0 nan 0", "'nan' is no number"),
        ("1 0 1e300 0", "'1e300' is no number"),
        ("1 0 x 0", "'x' is no number"),
        ("1 0 1 0\n1 0 2 0", "is there twice"),
        ("x WMM\n1 0 1 0", "the epoch"),
    ],
)
def test_files_that_are_wrong_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read_coefficients(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 2, 4), (2, 1, 3), (0, 2, 3), (2, 3)])
def test_coefficients_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidArgument, match="of shape"):
        Harmonics("B", np.zeros(shape), True)


HEAD = '[task]\nname = "field"\n'
SHELL = '[manifold]\nbuiltin = "shell"\ninner = 1.0\nouter = 1.1\n'
DATED = (
    '[manifold]\nbuiltin = "product"\n'
    'factors = [{ builtin = "shell", inner = 1.0, outer = 1.1 }, { builtin = "interval", domain = [2025, 2030] }]\n'
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "short.COF").write_text("2025.0 S\n1 0 -2.9 0 0.01 0\n1 1 -0.1 0.4 0 -0.02\n2 0 -0.2 0 0 0\n" + "9" * 48 + "\n")
    (tmp_path / "undated.COF").write_text("1 0 -2.9 0\n")
    return tmp_path


def loaded(folder: Path, text: str) -> ManifoldTask:
    (folder / "spec.toml").write_text(HEAD + text)
    task = load_task(folder / "spec.toml")
    assert isinstance(task, ManifoldTask)
    return task


def test_a_file_as_target_of_positions_and_dates(folder: Path) -> None:
    field = vector_field("B", read_coefficients((folder / "short.COF").read_text()))
    task = loaded(folder, DATED + '[target]\nharmonics = "short.COF"\n')
    points = task.atlas.sample(50, 0)
    main, rate = field.values(points.base[:, :3]).reshape(2, 3, -1)
    np.testing.assert_allclose(task.evaluate(points), (main + (points.base[:, 3] - 2025) * rate).T, atol=1e-12)
    spec, arrays = task_to_spec(task)
    again = task_from_spec(spec, arrays=arrays)
    np.testing.assert_array_equal(again.evaluate(points), task.evaluate(points))
    assert loaded(folder, SHELL + '[target]\nharmonics = "short.COF"\n').outputs == 3
    table = (
        '[[table]]\nname = "V"\nfile = "short.COF"\nharmonics = "potential"\n[target]\nexpression = "V_1(x1, x2, x3) + V_2(x1, x2, x3)"\n'
    )
    assert loaded(folder, SHELL + table).outputs == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SHELL + '[target]\nharmonics = "none.COF"\n', "is no file beside the spec"),
        (SHELL + '[target]\nharmonics = "../short.COF"\n', "leads out of the folder"),
        (SHELL + "[target]\nharmonics = 3\n", "target: harmonics"),
        ('[manifold]\nbuiltin = "interval"\n[target]\nharmonics = "short.COF"\n', "a series has three"),
        (DATED + '[target]\nharmonics = "undated.COF"\n', "no epoch"),
        (SHELL + '[target]\nharmonics = "short.COF"\nexpression = "x1"\n', "has expression and harmonics"),
        (
            SHELL + '[[table]]\nname = "V"\nfile = "short.COF"\nharmonics = "fields"\n[target]\nexpression = "x1"\n',
            "unknown series 'fields'",
        ),
        (SHELL + '[[table]]\nname = "V"\nharmonics = "field"\n[target]\nexpression = "x1"\n', "unknown series 'field'"),
        (SHELL + '[[table]]\nname = "V"\nharmonics = "solid"\n[target]\nexpression = "x1"\n', "the key 'file' is missing"),
        (
            SHELL + '[[table]]\nname = "V"\nfile = "short.COF"\nharmonics = "field"\naxes = ["x"]\n[target]\nexpression = "x1"\n',
            "is for a grid",
        ),
    ],
)
def test_specs_that_are_wrong_are_refused(folder: Path, text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        loaded(folder, text)
    assert message.replace("'", '"') in str(caught.value).replace("'", '"')


@pytest.fixture(scope="module")
def series() -> Harmonics:
    given = read_coefficients(WMM.read_text()).cut(2)
    return Harmonics("B", vector_field("B", given).coefficients[:1] / 1000, decaying=True)


def task_of(series: Harmonics) -> ManifoldTask:
    atlas = atlasmoe.builtin("sphere", dimension=2, atlas="ball", charts=8)
    return ManifoldTask("field", atlas, field_target(series, atlas, "ambient"))


def test_a_series_is_compiled_proved_and_checked(series: Harmonics, tmp_path: Path) -> None:
    model = atlasmoe.compile(task_of(series), epsilon=2.0, activation="silu", routing="affine")
    certificate = atlasmoe.certify(model, tightness=None)
    assert certificate.status is Known.PROVED
    points = model.task.atlas.sample(20_000, 5)
    assert np.abs(model(points.ambient) - model.task.evaluate(points)).max() <= certificate.bound
    certificate.write(atlasmoe.save(model, tmp_path / "field"))
    report = check(tmp_path / "field")
    assert report.leaves == report.confirmed
    assert report.verdict == "confirmed"
    again = atlasmoe.load(tmp_path / "field")
    np.testing.assert_array_equal(again.task.evaluate(points), model.task.evaluate(points))
    other = series.coefficients.copy()
    other[0, 0, 1] += 6.0  # more than twice ε somewhere
    assert (
        atlasmoe.certify(model.network, task_of(Harmonics("B", other, True)), epsilon=2.0, tightness=None, boxes=20_000).status
        is not Known.PROVED
    )
    assert set(callables(series)) == {"B"}


@pytest.mark.parametrize(
    ("decaying", "place", "coefficient", "point", "exact"),
    [
        (False, 2, 1.0, (1e-170, 0.0, 0.0), 1e-170),  # the square of |p| underflows
        (False, 2, 1e-170, (1.0, 0.0, 0.0), 1e-170),  # and that of a coefficient
        (True, 2, 1e-170, (1.0, 0.0, 0.0), 1e-170),
        (False, 44, 1.0, (1e-60, 0.0, 0.0), 5e-324),  # R^8 does; what is there is more than 0
        (True, 44, 1.0, (1e60, 0.0, 0.0), 5e-324),
    ],
)
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("width", [0.0, 1e-3])
def test_numbers_whose_squares_underflow_are_enclosed(
    decaying: bool, place: int, coefficient: float, point: tuple[float, float, float], exact: float, again: bool, width: float
) -> None:
    given = np.zeros((1, 2, 45))
    given[0, 0, place] = coefficient
    series, at = Harmonics("tiny", given, decaying), np.array([point])
    low, high = series.enclose(0, (0, 0, 0), at * (1 - width), at * (1 + width), again=again)
    assert low[0] <= exact <= high[0]


def test_coefficients_of_which_no_part_is_a_number_are_refused() -> None:
    given = np.zeros((1, 2, 6))
    given[0, 0, 4] = 5e-324  # ∂_z S_21 = √3·S_11: its coefficient would be off by a sixth
    with pytest.raises(InvalidArgument, match="rescale them"):
        Harmonics("tiny", given, decaying=False)


def test_a_network_of_zeros_is_not_proved_where_squares_underflow() -> None:
    given = np.array([[[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    atlas = atlasmoe.builtin("sphere", dimension=2, atlas="ball", charts=8)
    x = real_symbols(atlas.coordinates)

    def task(coefficients: NDArray) -> ManifoldTask:
        names = {**x, **callables(Harmonics("V", coefficients, False))}
        text = f"V({', '.join(f'1e-170*{v}' for v in x)})*1e90*1e80"
        return ManifoldTask("t", atlas, ExpressionTarget(ExpressionMap.of(x.values(), [read_expression(text, names)])))

    model = atlasmoe.compile(task(0 * given), epsilon=0.5, routing="affine")  # all of it is 0, and the other function reaches 1
    certificate = atlasmoe.certify(model.network, task(given), epsilon=0.5, boxes=2000)
    assert certificate.status is not Known.PROVED


def test_threads_that_ask_one_field_for_many_points_get_their_own_values() -> None:
    field = some(False, outputs=1, degree=4)
    batches = [RNG.standard_normal((3, 3)) for _ in range(12)]
    expected = [some(False, outputs=1, degree=4).evaluate(0, (0, 0, 0), points) for points in batches]

    def wrong(seed: int) -> int:
        found = 0
        for k in np.random.default_rng(seed).integers(len(batches), size=400):
            low, high = field.enclose(0, (0, 0, 0), batches[k], batches[k])
            value = field.evaluate(0, (0, 0, 0), batches[k])
            found += int(
                not ((low <= expected[k]) & (expected[k] <= high)).all() or not np.allclose(value, expected[k], rtol=1e-12, atol=1e-12)
            )
        return found

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(wrong, range(6))) == 0
    finally:
        sys.setswitchinterval(interval)
