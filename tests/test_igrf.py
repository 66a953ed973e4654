"""The enclosure of the Earth's field: it is ppigrf's, nothing lies outside, and a model of it is proved for every point."""

from __future__ import annotations

import importlib
from datetime import datetime
from fractions import Fraction
from math import factorial
from pathlib import Path
from types import ModuleType

import atlasmoe
import numpy as np
import pytest
from atlasmoe import CallableTarget, InvalidArgument, ManifoldTask, builtin
from atlasmoe.moe import Known, Model
from atlasmoe.verify.prove import certify
from atlasmoe.verify.prove.manifold import EnclosedManifold

DEGREE = 3
"""Of the field that is compiled and proved."""
SPHERE = builtin("sphere", dimension=2, atlas="ball", charts=24)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1] / "examples")
        return importlib.import_module("igrf")


@pytest.fixture(scope="module")
def series(example: ModuleType) -> object:
    return example.FieldEnclosure(example.coefficients())


def cut_off(example: ModuleType, dipole: float = 0.0) -> object:
    """The series up to DEGREE, its first coefficient changed by so many nT."""
    known = {key: value for key, value in example.coefficients().items() if key[0] <= DEGREE}
    return example.FieldEnclosure({**known, (1, 0): (known[1, 0][0] + dipole, 0.0)})


def task_of(field: object, enclosure: object) -> ManifoldTask:
    return ManifoldTask("field", SPHERE, CallableTarget(field.values, outputs=3, name="field", enclosure=enclosure))


@pytest.fixture(scope="module")
def model(example: ModuleType) -> Model:
    field = cut_off(example)
    return atlasmoe.compile(task_of(field, field), width=16)


def test_the_series_is_ppigrfs(example: ModuleType, series: object, monkeypatch: pytest.MonkeyPatch) -> None:
    points = example.fresh(300)
    points[:2] = [[1e-5, 0, 1], [0, 1e-5, -1]]
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    assert series.values(points) == pytest.approx(example.field(points), rel=0, abs=1e-8)
    between = datetime(2022, 7, 2)
    monkeypatch.setattr(example, "DATE", between)
    then = example.FieldEnclosure(example.coefficients(between))
    assert then.values(points) == pytest.approx(example.field(points), rel=0, abs=1e-8)
    assert np.abs(then.values(points) - series.values(points)).max() > 1


def test_errors_of_the_harmonics_are_bounded(example: ModuleType, series: object) -> None:
    """Against the explicit polynomials, exactly: R_lm = ((x+iy)/2)^m Σ_k (−(x²+y²)/4)^k z^(l−m−2k) / ((m+k)! k! (l−m−2k)!)."""
    tools = importlib.import_module("igrf_enclosure")
    points = np.vstack([example.fresh(6), [[0, 0, 1], [1, 0, 0], [0.6, -0.8, 1e-9]]])
    found = tools.harmonics(series.keys, points).reshape(2, len(series.keys), -1)
    sizes, errors = tools.harmonic_bounds(series.keys)
    assert (errors < 1e-9 * sizes)[1:].all()
    for n, point in enumerate(points):
        x, y, z = map(Fraction, point)
        real, imaginary = [Fraction(1)], [Fraction(0)]  # of ((x+iy)/2)^m
        for _ in range(series.keys[-1][0]):
            real, imaginary = (
                [*real, (x * real[-1] - y * imaginary[-1]) / 2],
                [*imaginary, (x * imaginary[-1] + y * real[-1]) / 2],
            )
        for (l, m), size, error, row in zip(series.keys, sizes, errors, found[:, :, n].T, strict=True):
            total = sum(
                (-(x * x + y * y) / 4) ** k * z ** (l - m - 2 * k) / (factorial(m + k) * factorial(k) * factorial(l - m - 2 * k))
                for k in range((l - m) // 2 + 1)
            )
            assert max(abs(Fraction(row[0]) - real[m] * total), abs(Fraction(row[1]) - imaginary[m] * total)) <= error
            assert (real[m] ** 2 + imaginary[m] ** 2) * total**2 <= Fraction(size) ** 2


@pytest.mark.parametrize("half", [1e-3, 1e-2, 0.1, 0.4])
def test_no_value_lies_outside_the_forms(series: object, half: float) -> None:
    rng = np.random.default_rng(0)
    manifold = EnclosedManifold(SPHERE)
    for number, enclosed in enumerate(manifold.charts):
        domain = enclosed.chart.domain
        middle = rng.uniform(np.array(domain.lower) + half, np.array(domain.upper) - half, (100, 2))
        forms = series(manifold.place(number, middle - half, middle + half).y)
        for t in (*rng.uniform(-1, 1, (20, 2)), [-1, -1], [-1, 1], [1, 1]):
            values = series.values(enclosed.chart.inverse(middle + half * np.array(t)))
            held = forms.at(np.tile(t, (100, 1)))
            computed = series.rounding[0]
            assert ((held.lower - computed <= values) & (values <= held.upper + computed)).all()
    if half <= 1e-2:
        assert forms.radius.max() < 10 * (half / 1e-2) ** 3, "third order"


def test_nothing_is_claimed_off_the_sphere(series: object) -> None:
    manifold = EnclosedManifold(SPHERE)
    y = manifold.place(0, np.zeros((1, 2)), np.full((1, 2), 0.01)).y
    assert np.isfinite(series(y).radius).all()
    assert np.isinf(series(y.times(1.01)).radius).all()


def test_a_proof_for_every_point_of_the_sphere(model: Model) -> None:
    certificate = certify(model, tightness=None)
    assert certificate.status is Known.PROVED
    assert certificate.found <= certificate.bound <= model.facts["epsilon"]
    points = model.task.atlas.sample(20_000, 5)
    assert np.abs(model(points.ambient) - model.task.evaluate(points)).max() <= certificate.bound


def test_another_field_is_not_proved(example: ModuleType, model: Model) -> None:
    """One coefficient is off by more than ε, in what the enclosure knows alone: trying the enclosure finds it."""
    other = task_of(cut_off(example), cut_off(example, dipole=2 * model.facts["epsilon"]))
    with pytest.raises(InvalidArgument, match="mend the enclosure"):
        certify(model.network, other, epsilon=model.facts["epsilon"], tightness=None, boxes=20_000)
