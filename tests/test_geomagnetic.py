"""The example of the Earth's field: published values, what the sum over radii leaves out, poles, a proof, and C."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import atlasmoe
import numpy as np
import pytest
from atlasmoe.intervals.harmonics import Harmonics, read_coefficients
from atlasmoe.moe import Known, Model

EXAMPLES = Path(__file__).parents[1] / "examples"
DEGREE, WIDTH = 1, 16
"""Of the field that is compiled and proved, and of its experts."""


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        patch.syspath_prepend(EXAMPLES / "geomagnetic")
        yield importlib.import_module("geomagnetic_field")


@pytest.fixture(scope="module")
def series(example: ModuleType) -> Harmonics:
    return example.series_of(read_coefficients((example.HERE / "WMM2025.COF").read_text()))


@pytest.fixture(scope="module")
def low(example: ModuleType) -> Harmonics:
    return example.series_of(read_coefficients((example.HERE / "WMM2025.COF").read_text()).cut(DEGREE))


@pytest.fixture(scope="module")
def model(example: ModuleType, low: Harmonics) -> Model:
    return atlasmoe.compile(example.graph_of(low, 6, 1, 1), width=WIDTH, form="residual")


def off_by(example: ModuleType, series: Harmonics, rows: tuple) -> np.ndarray:
    """North, east and down, (N, 3)."""
    date, height, latitude, longitude, *known = np.array(rows, float).T
    found = example.field(series, example.coordinates(latitude, longitude, height, date))
    return np.abs(example.north_east_down(found, latitude, longitude) - np.stack(known, axis=1))


def test_the_series_has_the_published_values(example: ModuleType, series: Harmonics) -> None:
    error = off_by(example, series, example.WMM2025)
    assert error[:12].max() < 0.0501, "published to 0.1 nT"
    assert error[12:, 1:].max() < 2e-6, "published to 1e-6 nT"
    assert error[12:, 0].max() < 4e-4, "the published ones are as far from pygeomag, which is within 1e-6 of this"


def test_the_series_of_degree_133_has_the_published_values(example: ModuleType) -> None:
    pygeomag = pytest.importorskip("pygeomag")
    file = Path(pygeomag.__file__).parent / "wmm" / "WMMHR_2025.COF"
    reference = importlib.import_module("reference")
    error = off_by(example, example.series_of(read_coefficients(file.read_text())), reference.WMMHR2025)
    assert error[:, 1:].max() < 2e-6
    assert error[:, 0].max() < 4e-4


def test_poles_are_like_other_places(example: ModuleType, series: Harmonics) -> None:
    for latitude in (90.0, -90.0):
        longitude = np.linspace(-180, 180, 9)
        at = example.coordinates(latitude, longitude, 0.0, 2026.0)
        field = example.field(series, at)
        assert np.ptp(field, axis=0).max() < 1e-6
        turned = example.north_east_down(field, latitude, longitude)
        np.testing.assert_allclose(np.linalg.norm(turned[:, :2], axis=1), np.linalg.norm(field[0, :2]), rtol=1e-12)
        nearby = example.field(series, example.coordinates(latitude * (1 - 1e-9), longitude, 0.0, 2026.0))
        assert np.abs(nearby - field).max() < 1e-3


def test_what_the_sum_over_radii_leaves_out_is_bounded(example: ModuleType, series: Harmonics) -> None:
    latitude, longitude, height, date = example.places(4000)
    at = example.coordinates(latitude, longitude, height, date)
    truth = example.field(series, at)
    for kept, rates in ((2, 1), (3, 2), (4, 3)):
        bound = example.remainder(series, kept, rates)
        left = np.abs(example.graph_of(series, 8, kept, rates)(at) - truth).max()
        assert 0.01 * bound < left <= bound + 1e-6
    assert bound < 0.25


def test_a_field_is_proved_all_over_the_shell(example: ModuleType, model: Model, low: Harmonics) -> None:
    certificate = atlasmoe.certify(model, epsilon=2 * model.facts["epsilon"], tightness=None)
    assert certificate.status is Known.PROVED
    at = example.coordinates(*example.places(20_000))
    assert np.abs(model(at) - example.field(low, at)).max() <= certificate.bound + example.remainder(low, 1, 1)


def test_c_has_the_values_of_the_network(
    example: ModuleType, model: Model, low: Harmonics, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    latitude, longitude, height, date = (v[::3][:60] for v in example.places(200))
    at = example.coordinates(latitude, longitude, height, date)
    values = example.north_east_down(model(at), latitude, longitude)
    monkeypatch.setattr(example, "WMM2025", np.column_stack([date, height, latitude, longitude, values]).tolist())
    said = example.written(model, tmp_path / "c", -0.05 + 1e-6)
    assert said[0].startswith("no C compiler") or said[1] == "60 published values: off by at most 0.000 nT"
