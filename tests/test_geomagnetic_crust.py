"""The example of the field to degree 133: what is split and left out, patches that are the sphere, their proofs, and C."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import atlasmoe
import numpy as np
import pytest
from atlasmoe.intervals.harmonics import Coefficients, count, places
from atlasmoe.moe import Known, Model
from atlasmoe.verify.check import check

EXAMPLES = Path(__file__).parents[1] / "examples"
DEGREE = 16
RNG = np.random.default_rng(7)


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(EXAMPLES)
        patch.syspath_prepend(EXAMPLES / "geomagnetic")
        yield importlib.import_module("geomagnetic_crust")


def made_up(degree: int, rates: int = 3) -> Coefficients:
    """Like rocks: a size of its own for every degree, and rates of the lowest."""
    n, m = places(degree)
    both = np.random.default_rng(3).standard_normal((2, 2, count(degree))) * np.where(n > 0, 3.0 / (n + 1), 0.0)
    both[:, 1, m == 0] = 0.0
    return Coefficients(both[0], both[1] * (n <= rates) / 100, 2025.0)


@pytest.fixture(scope="module")
def models(example: ModuleType) -> tuple[Model, Model]:
    given = made_up(DEGREE)
    low, high = (example.series_of(part) for part in example.crust.split(given))
    main = atlasmoe.compile(example.graph_of(example.series_of(made_up(1, 1)), 6, 1, 1), width=8, form="residual")
    assert low.degree == example.crust.MAIN + 1
    return main, atlasmoe.compile(example.crust.task_of(high, 12), width=8, activation="silu", routing="affine")


def points(count: int) -> np.ndarray:
    x = RNG.standard_normal((count, 3))
    x[:2] = [[0, 0, 1], [0, 0, -1]]
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_parts_are_the_field_up_to_what_is_left_out(example: ModuleType) -> None:
    crust, given = example.crust, made_up(60, 15)
    low, high = (example.series_of(part) for part in crust.split(given))
    x, r = points(2000), RNG.uniform(1 / crust.MOST, 1 / crust.LEAST, 2000)
    r[:2] = 1 / crust.MOST, 1 / crust.LEAST
    at = np.column_stack([x, r, RNG.uniform(2025, 2030, 2000)])
    whole = example.field(example.series_of(given), at)
    parts = crust.on_sphere(high).values(x).reshape(crust.KEPT, 3, -1)
    off = np.abs(example.field(low, at) + np.einsum("kn,kcn->nc", crust.weights(r), parts) - whole).max()
    assert 0.005 * crust.left_out(high) < off <= crust.left_out(high)
    assert (crust.weights(r).max(1) * crust.SCALES <= crust.MOST**crust.POWER * (1 + 1e-12)).all()


def test_cells_are_nearly_hexagons(example: ModuleType) -> None:
    centres = example.crust.centres(162)
    assert centres.shape == (162, 3)
    assert 162 * example.crust.reach(centres) ** 2 < 5.6, (
        "4.84 for hexagons in a plane, 10 to 14 for points as far from each other as may be"
    )


def test_patches_cover_the_sphere(example: ModuleType) -> None:
    patches = importlib.import_module("patches")
    some = points(20)
    for x, number in zip(some, patches.number_of(some), strict=True):
        axis = int(np.abs(x).argmax())
        chart = patches.chart(int(number), ("x1", "x2", "x3"))
        assert chart.contains(x[None]).all()
        np.testing.assert_allclose(chart.forward(x[None])[0], np.delete(x / abs(x[axis]), axis), atol=1e-12)
    assert {k * patches.STRIDE % patches.PATCHES for k in range(patches.PATCHES)} == set(range(patches.PATCHES))


def test_a_patch_is_proved_and_kept(example: ModuleType, models: tuple[Model, Model], tmp_path: Path) -> None:
    patches, rocks = importlib.import_module("patches"), models[1]
    network, task = patches.on_patch(rocks, 5)
    assert len(network.layers[0].experts) < len(rocks.network.layers[0].experts)
    sample = task.atlas.sample(3000, 2)
    np.testing.assert_array_equal(network(sample.ambient), rocks(sample.ambient))
    (one,) = patches.prove(rocks, tmp_path / "log", 1, 1.5 * rocks.facts["epsilon"], 100.0, tmp_path)
    (other,) = patches.prove(rocks, tmp_path / "log", 1, 0.0, 0.0)
    assert one == other, "it was kept"
    assert one["status"] == "proved"
    assert check(tmp_path / str(one["patch"])).verdict == "confirmed"
    network, task = patches.on_patch(rocks, one["patch"])
    sample = task.atlas.sample(3000, 2)
    error = np.abs(network(sample.ambient) - task.evaluate(sample)).max()
    assert error <= one["bound"]
    assert atlasmoe.certify(network, task, epsilon=0.3 * error, tightness=None, boxes=4000).status is not Known.PROVED


def test_c_adds_the_two(example: ModuleType, models: tuple[Model, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    latitude, longitude, height, date = (v[::3][:60] for v in example.places(200))
    at = example.coordinates(latitude, longitude, height, date)
    values = example.north_east_down(example.evaluated(*models, at), latitude, longitude)
    monkeypatch.setattr(example, "WMMHR2025", np.column_stack([date, height, latitude, longitude, values]).tolist())
    said = example.written(*models, tmp_path / "c", 1e-6)
    assert said[0].startswith("C:") or said[1] == "60 published values: off by at most 0.000 nT"


def test_without_coefficients_it_says_where_they_are(example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pygeomag", None)
    with pytest.raises(atlasmoe.InvalidArgument, match="pip install pygeomag"):
        example.coefficients(None)
    with pytest.raises(atlasmoe.InvalidArgument, match="name NOAA's file"):
        example.coefficients(Path("none.COF"))
