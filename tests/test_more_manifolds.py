"""Matrix manifolds, products, balls and surfaces keep the contract; every manifold of the library is under it; reaches are what is said."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import test_manifolds
from atlasmoe.atlas import LIBRARY, Array, Atlas, builtin
from atlasmoe.atlas.reach import REACHES, reach_of
from atlasmoe.errors import InvalidArgument
from manifold_contract import ManifoldContract
from scipy.spatial.transform import Rotation
from test_manifolds import on_sphere, outside, turn


def symmetric(y: Array, n: int) -> Array:
    """Matrices (N, n, n) of coordinates, by indices alone."""
    P, above = np.zeros((len(y), n, n)), np.triu_indices(n)
    P[:, above[0], above[1]] = y / np.where(above[0] == above[1], 1, np.sqrt(2))
    return P + np.swapaxes(np.triu(P, 1), 1, 2)


def coordinates(P: Array) -> Array:
    """Coordinates of symmetric matrices."""
    j, k = np.triu_indices(P.shape[-1])
    return P[:, j, k] * np.where(j == k, 1, np.sqrt(2))


def frames(rng: np.random.Generator, count: int, n: int, k: int) -> Array:
    """Matrices (count, n, k) with orthonormal columns; the first are columns of the identity, in all orders and with both signs."""
    exact = [np.eye(n)[:, list(order)] * sign for order in itertools.islice(itertools.permutations(range(n), k), 12) for sign in (1, -1)]
    return np.concatenate([exact, np.linalg.qr(rng.standard_normal((count - len(exact), n, k)))[0]])


def projection(y: Array, n: int, k: int) -> Array:
    """How far symmetric matrices are from being projectors of rank k."""
    P = symmetric(y, n)
    return np.abs(P @ P - P).max((1, 2)) + np.abs(np.trace(P, axis1=1, axis2=2) - k)


class TestKleinBottle(ManifoldContract):
    manifold = "klein_bottle"
    cases: ClassVar = [{}, {"tube": 0.8, "charts": 2}, {"atlas": "ball", "charts": 80}]

    def residual(self, y: Array, options: dict) -> Array:
        """How far from the tube, and from the half-line that sin ψ goes along over this θ."""
        r, theta = options.get("tube", 0.5), np.arctan2(y[:, 1], y[:, 0])
        across = np.stack([np.cos(theta / 2), np.sin(theta / 2)], 1)
        side = (across * y[:, 2:]).sum(1)
        return np.linalg.norm(y[:, 2:] - side[:, None] * across, axis=1) + np.abs(np.hypot(np.hypot(y[:, 0], y[:, 1]) - 1, side) - r)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        r, (theta, psi) = options.get("tube", 0.5), rng.uniform(0, 2 * np.pi, (2, count))
        theta[:9], psi[:9] = np.array(list(itertools.product((0, np.pi / 3, np.pi), repeat=2))).T
        distance, side = 1 + r * np.cos(psi), r * np.sin(psi)
        return np.concatenate([distance[:, None] * turn(theta), side[:, None] * turn(theta / 2)], 1)

    def test_going_round_once_turns_the_tube_over(self, atlas: Atlas) -> None:
        inverse = atlas.parametrising[0].inverse
        np.testing.assert_allclose(inverse([[2 * np.pi, 0.4]]), inverse([[0.0, -0.4]]), atol=1e-12)


class TestHelicoid(ManifoldContract):
    manifold = "helicoid"
    cases: ClassVar = [{}, {"turns": 0.5, "height": 1.0, "width": 0.6, "charts": 1}, {"atlas": "ball", "charts": 60}]

    def sizes(self, options: dict) -> tuple[float, float, float]:
        height = options.get("height", 2.0)
        return 2 * np.pi * options.get("turns", 1.0) / height, height / 2, options.get("width", 2.0) / 2

    def residual(self, y: Array, options: dict) -> Array:
        pitch, half, wide = self.sizes(options)
        t = pitch * y[:, 2]
        off = np.abs(y[:, 0] * np.sin(t) - y[:, 1] * np.cos(t))
        return off + outside(y[:, 2], -half, half) + outside(np.hypot(y[:, 0], y[:, 1]), 0, wide + 1e-12)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        pitch, half, wide = self.sizes(options)
        h, w = rng.uniform(-half, half, count), rng.uniform(-wide, wide, count)
        h[:2], w[2:4] = (-half, half), (-wide, wide)
        return np.concatenate([w[:, None] * turn(pitch * h), h[:, None]], 1)


class Radial(ManifoldContract):
    """Balls and shells: points of given distance from the middle."""

    def size(self, options: dict) -> tuple[float, float, int]:
        raise NotImplementedError

    def residual(self, y: Array, options: dict) -> Array:
        inner, outer, _ = self.size(options)
        return outside(np.linalg.norm(y, axis=1), inner - 1e-12, outer + 1e-12)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        inner, outer, n = self.size(options)
        r = rng.uniform(inner, outer, (count, 1))
        r[0], r[1:3] = inner, outer
        return r * on_sphere(rng, count, n - 1)


class TestDisc(Radial):
    manifold = "disc"
    cases: ClassVar = [{}, {"atlas": "ball", "charts": 12}]

    def size(self, options: dict) -> tuple[float, float, int]:
        return 0, 1, 2


class TestBall(Radial):
    manifold = "ball"
    cases: ClassVar = [{}, {"dimension": 5}, {"dimension": 2, "atlas": "ball", "charts": 12}]

    def size(self, options: dict) -> tuple[float, float, int]:
        return 0, 1, options.get("dimension", 3)


class TestAnnulus(Radial):
    manifold = "annulus"
    cases: ClassVar = [{}, {"inner": 1.0, "outer": 3.0}, {"atlas": "ball", "charts": 16}]

    def size(self, options: dict) -> tuple[float, float, int]:
        return options.get("inner", 0.5), options.get("outer", 1.0), 2


class TestShell(Radial):
    manifold = "shell"
    cases: ClassVar = [{}, {"inner": 0.9, "dimension": 4}, {"dimension": 2, "atlas": "ball", "charts": 16}]

    def size(self, options: dict) -> tuple[float, float, int]:
        return options.get("inner", 0.5), 1, options.get("dimension", 3)


class TestSpheres(ManifoldContract):
    manifold = "spheres"
    cases: ClassVar = [{}, {"dimensions": [2, 1]}, {"atlas": "graph"}, {"atlas": "ball", "charts": 40}]

    def parts(self, y: Array, options: dict) -> list[Array]:
        ends = np.cumsum([n + 1 for n in options.get("dimensions", [1, 1])])
        return np.split(y, ends[:-1], axis=1)

    def residual(self, y: Array, options: dict) -> Array:
        return np.abs([np.linalg.norm(part, axis=1) - 1 for part in self.parts(y, options)]).max(0)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        return np.concatenate([on_sphere(rng, count, n) for n in options.get("dimensions", [1, 1])], 1)


class TestRealProjective(ManifoldContract):
    manifold = "real_projective"
    cases: ClassVar = [{}, {"dimension": 3}, {"atlas": "ball", "charts": 24}]

    def residual(self, y: Array, options: dict) -> Array:
        return projection(y, options.get("dimension", 2) + 1, 1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        x = frames(rng, count, options.get("dimension", 2) + 1, 1)
        return coordinates(x @ np.swapaxes(x, 1, 2))

    def test_it_lies_on_the_unit_sphere(self, atlas: Atlas) -> None:
        np.testing.assert_allclose(np.linalg.norm(atlas.sample(50, 0).base, axis=1), 1)


class TestComplexProjective(ManifoldContract):
    manifold = "complex_projective"
    cases: ClassVar = [{}, {"dimension": 2}, {"atlas": "ball", "charts": 24}]

    def hermitian(self, y: Array, options: dict) -> Array:
        m, at = options.get("dimension", 1) + 1, 0
        P = np.zeros((len(y), m, m), complex)
        for j in range(m):
            for k in range(j, m):
                P[:, j, k] = y[:, at] if j == k else (y[:, at] + 1j * y[:, at + 1]) / np.sqrt(2)
                at += 1 if j == k else 2
        return P + np.conj(np.swapaxes(np.triu(P, 1), 1, 2))

    def residual(self, y: Array, options: dict) -> Array:
        P = self.hermitian(y, options)
        return np.abs(P @ P - P).max((1, 2)) + np.abs(np.trace(P, axis1=1, axis2=2) - 1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        m = options.get("dimension", 1) + 1
        z = np.concatenate([np.eye(m), [[1, 1j] + [0] * (m - 2)], rng.standard_normal((count - m - 1, m, 2)) @ [1, 1j]])
        P = np.einsum("nj,nk->njk", z, z.conj()) / (np.abs(z) ** 2).sum(1)[:, None, None]
        scaled = np.sqrt(2) * P
        return np.stack(
            [
                v
                for j in range(m)
                for k in range(j, m)
                for v in ([P[:, j, j].real] if j == k else [scaled[:, j, k].real, scaled[:, j, k].imag])
            ],
            1,
        )


class TestGrassmann(ManifoldContract):
    manifold = "grassmann"
    cases: ClassVar = [{}, {"k": 2, "n": 4}, {"k": 2, "n": 3}, {"atlas": "ball", "charts": 24}]

    def residual(self, y: Array, options: dict) -> Array:
        return projection(y, options.get("n", 3), options.get("k", 1))

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        Y = frames(rng, count, options.get("n", 3), options.get("k", 1))
        return coordinates(Y @ np.swapaxes(Y, 1, 2))


class TestStiefel(ManifoldContract):
    manifold = "stiefel"
    cases: ClassVar = [{}, {"k": 2, "n": 4}, {"k": 1, "atlas": "ball", "charts": 24}]

    def residual(self, y: Array, options: dict) -> Array:
        Y = y.reshape(len(y), options.get("n", 3), options.get("k", 2))
        return np.abs(np.swapaxes(Y, 1, 2) @ Y - np.eye(Y.shape[2])).max((1, 2))

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        return frames(rng, count, options.get("n", 3), options.get("k", 2)).reshape(count, -1)


class TestRigidMotions(ManifoldContract):
    manifold = "se3"
    cases: ClassVar = [{}, {"domain": [[0, 1], [0, 2], [-3, 0]]}]

    def box(self, options: dict) -> Array:
        return np.array(options.get("domain", [[-1, 1]] * 3), float)

    def residual(self, y: Array, options: dict) -> Array:
        R, (low, high) = y[:, :9].reshape(-1, 3, 3), self.box(options).T
        return np.abs(np.swapaxes(R, 1, 2) @ R - np.eye(3)).max((1, 2)) + np.abs(np.linalg.det(R) - 1) + outside(y[:, 9:], low, high).max(1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        R, box = Rotation.random(count, random_state=rng).as_matrix().reshape(count, 9), self.box(options)
        t = rng.uniform(*box.T, (count, 3))
        t[:8] = list(itertools.product(*box))
        return np.concatenate([R, t], 1)


@pytest.mark.parametrize(("name", "k", "n"), [("stiefel", 3, 5), ("grassmann", 3, 4), ("grassmann", 3, 5)])
def test_matrices_of_three_columns(name: str, k: int, n: int) -> None:
    """Too large to differentiate here: both ways of the charts, and that those with coordinates of at most 1 cover."""
    contract = TestStiefel() if name == "stiefel" else TestGrassmann()
    options = {"k": k, "n": n}
    atlas, y = builtin(name, **options), contract.draw(np.random.default_rng(0), 200, options)
    best = np.full(len(y), np.inf)
    with np.errstate(all="ignore"):
        for chart in atlas.parametrising:
            size = np.abs(chart.forward(y)).max(1)
            best = np.fmin(best, size)
            inside = size <= 1.2
            np.testing.assert_allclose(chart.inverse(chart.forward(y[inside])), y[inside], atol=1e-12)
            assert contract.residual(chart.inverse(chart.domain.low_discrepancy(16, 0)), options).max() < 1e-12
    assert best.max() <= 1 + 1e-12


CONTRACTS = [*ManifoldContract.__subclasses__(), *Radial.__subclasses__()]
CONTRACTS.remove(Radial)


def test_every_library_manifold_is_under_contract() -> None:
    assert test_manifolds.TestSphere in CONTRACTS
    assert {case.manifold for case in CONTRACTS} == set(LIBRARY)


def test_every_atlas_of_every_manifold_is_tested() -> None:
    """But balls of SE(3), which has six dimensions: no number of them that is affordable is fine enough."""
    for contract in CONTRACTS:
        entry = LIBRARY[contract.manifold]
        tested = {options.get("atlas", entry.atlases[0]) for options in contract.cases}
        assert tested == set(entry.atlases) - ({"ball"} if contract.manifold == "se3" else set())


def test_every_library_manifold_is_pictured() -> None:
    docs = Path(__file__).parents[1] / "docs"
    page = (docs / "manifolds.md").read_text(encoding="utf-8")
    for name in LIBRARY:
        assert f"(images/manifolds/{name}.png)" in page
        assert (docs / "images" / "manifolds" / f"{name}.png").is_file()


KNOWN = [
    ("circle", {}),
    ("sphere", {}),
    ("torus", {}),
    ("spheres", {}),
    ("so3", {}),
    ("se3", {"domain": [[0, 4]] * 3}),
    ("stiefel", {}),
    ("grassmann", {"k": 2, "n": 4}),
    ("real_projective", {}),
    ("complex_projective", {"dimension": 2}),
]


@pytest.mark.parametrize(("name", "options"), KNOWN)
def test_reach(name: str, options: dict) -> None:
    """Federer (1959, 4.18): τ is the largest number with |q − p|² ≥ 2·τ·dist(q − p, T_p) for all p, q of M."""
    atlas = builtin(name, **options)
    tau = reach_of(atlas)
    assert tau is not None
    points = atlas.sample(300, 0)
    p = points.base
    tangent = np.stack(
        [
            np.linalg.qr(atlas.parametrising[c].inverse.jacobian_at(u[None])[0])[0]
            for c, u in zip(points.chart, points.intrinsic, strict=True)
        ]
    )
    apart = p[None] - p[:, None]
    if name == "se3":
        apart[..., 9:] = 0  # its factor with a reach; the box has none
    along = np.einsum("pkd,pqk->pqd", tangent, apart)
    off = np.linalg.norm(apart - np.einsum("pkd,pqd->pqk", tangent, along), axis=-1)
    square = (apart**2).sum(-1)
    far = off > 1e-6
    ratio = square[far] / (2 * off[far])
    assert ratio.min() >= tau * (1 - 1e-9)
    assert ratio.min() <= 1.3 * tau


def test_every_reach_is_tested() -> None:
    assert set(REACHES) == {name for name, _ in KNOWN}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("real_projective", {"dimension": 0}, "dimension must be an integer from 1 to 7, got 0"),
        ("real_projective", {"dimension": 8}, "dimension must be an integer from 1 to 7, got 8"),
        ("complex_projective", {"dimension": 5}, "dimension must be an integer from 1 to 4, got 5"),
        ("complex_projective", {"dimension": 1.5}, "dimension must be an integer from 1 to 4, got 1.5"),
        ("grassmann", {"k": 3}, "k must be an integer from 1 to 2, got 3"),
        ("grassmann", {"k": 0}, "k must be an integer from 1 to 2, got 0"),
        ("grassmann", {"n": 9}, "n must be an integer from 2 to 8, got 9"),
        ("grassmann", {"k": 4, "n": 8}, "k = 4: charts invert matrices of at most 3 rows; choose k or n - k from 1 to 3"),
        ("stiefel", {"k": 3, "n": 3}, "k must be an integer from 1 to 2, got 3"),
        ("stiefel", {"k": 4, "n": 8}, "k must be an integer from 1 to 3, got 4"),
        ("klein_bottle", {"tube": 1}, "tube must be a number between 0 and 1, both excluded, got 1"),
        ("klein_bottle", {"tube": float("nan")}, "tube must be a number between 0 and 1"),
        ("klein_bottle", {"charts": 65}, "charts = 65 per circle makes 65^2 charts, more than 4096; use fewer"),
        ("helicoid", {"height": -1}, "height must be a finite number above 0, got -1"),
        ("disc", {"radius": 2.0}, "the option 'radius' needs atlas = \"ball\" here"),
        ("ball", {"dimension": 1}, "dimension must be an integer from 2 to 64, got 1"),
        ("annulus", {"inner": -0.5}, "inner must be a finite number above 0, got -0.5"),
        ("annulus", {"inner": 2}, "need inner < outer, got inner = 2 and outer = 1"),
        ("shell", {"outer": 0.5}, "need inner < outer, got inner = 0.5 and outer = 0.5"),
        ("spheres", {"dimensions": [2]}, "dimensions must be a list of two or more dimensions of spheres, e.g. [1, 2], got [2]"),
        ("spheres", {"dimensions": [1, 0]}, "dimensions[1] must be an integer from 1 to 64, got 0"),
        ("spheres", {"dimensions": "12"}, "dimensions must be a list"),
        ("se3", {"domain": [[0, 1]]}, "domain must be a list of 3 pairs [lower, upper], got [[0, 1]]"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        builtin(name, **options)
    assert message in str(caught.value)


def test_one_point_of_a_ball_is_drawn_however_often_the_first_tries_miss() -> None:
    """Of the boxes that contain a ball of a sphere its points are about half: four tries may all miss."""
    atlas = builtin("sphere", atlas="ball", charts=20)
    for seed in range(60):
        _, points = atlas.sample_chart(0, 1, seed)
        assert len(points) == 1
        assert atlas.contains(0, points.base).all()
