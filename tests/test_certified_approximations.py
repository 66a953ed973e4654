"""The benchmark of dynamical systems, in short: two systems are proved and confirmed at the ε of others, by fewer numbers than theirs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    import certified_approximations

    return certified_approximations


@pytest.mark.parametrize(("name", "hidden"), [("WaterTank", (12,)), ("NonLinear1", (64, 64, 64))])
def test_it_is_proved_and_confirmed(benchmark: ModuleType, name: str, hidden: tuple[int, ...]) -> None:
    epsilon = dict(benchmark.SYSTEMS[name].theirs)[hidden]
    found = benchmark.row(name, hidden, epsilon)
    assert found.verdict == "proved, confirmed"
    assert 0 < found.bound <= epsilon
    if hidden == benchmark.LARGE:
        assert found.numbers < found.theirs / 10


def test_what_stores_least_is_found_among_all_neurons(benchmark: ModuleType) -> None:
    """Products of coordinates: a few relu² neurons or product lanes hold them exactly, and errors of rounding size are confirmed too."""
    found = benchmark.best("Lorenz", benchmark.LARGE, 0.6, below=150)
    assert found is not None
    assert found.verdict == "proved, confirmed"
    assert found.neurons <= 8


def test_what_is_refused_says_why(benchmark: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    hard = benchmark.System(((0.0, 1.0),), ("sqrt(x1)",), (((8,), 1e-9),))
    monkeypatch.setitem(benchmark.SYSTEMS, "hard", hard)
    found = benchmark.row("hard", (8,), 1e-9)
    assert found.verdict.startswith("refused: ")
    assert found.verdict in benchmark.markdown([found])


def test_systems_are_the_functions_that_they_are_said_to_be(benchmark: ModuleType) -> None:
    """Written out again, at random points of their boxes."""
    again = {
        "WaterTank": lambda x: [1.5 - np.sqrt(x)],
        "JetEngine": lambda x, y: [-y - 1.5 * x**2 - 0.5 * x**3 - 0.1, 3 * x - y],
        "SteamGovernor": lambda x, y, z: [y, z**2 * 0.5 * np.sin(2 * x) - np.sin(x) - 3 * y, -(np.cos(x) - 1)],
        "Exponential": lambda x, y: [-np.sin(np.exp(y**3 + 1)) - y**2, -x],
        "NonLinear1": lambda x, y: [y, np.sqrt(x)],
        "NonLinear2": lambda x, y: [x**2 + y, np.cbrt(x**2) - x],
        "VanDerPol": lambda x, y: [y, (1 - x**2) * y - x],
        "Sine2D": lambda x, y: [np.sin(0.5 * y), -np.sin(x)],
        "NonlinearOscillator": lambda x: [-x - 0.5 * x**3 + 0.3 * np.sin(x)],
        "LowThrustSpacecraft": spacecraft,
        "Lorenz": lambda x, y, z: [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z],
    }
    assert again.keys() == benchmark.SYSTEMS.keys()
    for name, system in benchmark.SYSTEMS.items():
        given = benchmark.task(name, system)
        points = given.atlas.sample(200, 0)
        expected = np.stack(again[name](*points.ambient.T), axis=1)
        np.testing.assert_allclose(given.evaluate(points), expected, rtol=1e-12, atol=1e-15)


def spacecraft(*x: np.ndarray) -> list[np.ndarray]:
    """In kilometres, as they compute it."""
    r, vr, vt, m, thrust, angle = x[0] * 1000, x[2] * 1e-3, x[3] * 1e-3, x[4], x[5], x[6]
    push = thrust / (750.0 + m)
    radial = -3.986e5 / r**2 + vt**2 / r + push * np.cos(angle)
    return [vr, vt / r, radial, -vr * vt / r + push * np.sin(angle), -thrust / 40]


def test_the_page_keeps_what_is_around_its_table(benchmark: ModuleType) -> None:
    page = f"before {benchmark.BEGIN} old {benchmark.END} after"
    written = benchmark.written_into(page, "new")
    assert "old" not in written
    assert written.startswith("before")
    assert written.endswith("after")
    assert benchmark.written_into(written, "new") == written


def test_numbers_of_a_dense_net(benchmark: ModuleType) -> None:
    assert benchmark.numbers(2, (64, 64, 64), 2) == 2 * 64 + 64 + 2 * (64 * 64 + 64) + 64 * 2 + 2
