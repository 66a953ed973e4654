"""The contract of a manifold with an atlas: a class of tests that every manifold of the library inherits.

A manifold says how to build its atlas, how far a point is from it (`residual`), and how to draw points of it without
any chart (`draw`); the tests then compare the atlas with that independent description.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import pytest
from atlasmoe.atlas import Array, Atlas, BallChart, Chart, builtin, embed

COUNT = 1500


class ManifoldContract(ABC):
    """Tests that hold for every manifold and every kind of atlas. `cases` lists the options of each atlas to test."""

    manifold: ClassVar[str]
    cases: ClassVar[list[dict]]

    @abstractmethod
    def residual(self, y: Array, options: dict) -> Array:
        """How far points [N, k] are from M, [N]: zero exactly on M."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        """`count` points of all of M, made without charts; [count, k]."""

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        metafunc.parametrize("options", self.cases, ids=[name_of(options) for options in self.cases])

    @pytest.fixture
    def atlas(self, options: dict) -> Atlas:
        return built(self.manifold, options)

    @pytest.fixture
    def everywhere(self, options: dict) -> Array:
        return self.draw(np.random.default_rng(1), COUNT, options)

    def test_inverse_lands_on_the_manifold(self, atlas: Atlas, options: dict) -> None:
        points = atlas.sample(COUNT, 0, low_discrepancy=True)
        assert np.abs(self.residual(points.base, options)).max() < 1e-9

    def test_independent_points_are_on_the_manifold(self, everywhere: Array, options: dict) -> None:
        assert np.abs(self.residual(everywhere, options)).max() < 1e-9

    def test_forward_undoes_inverse(self, atlas: Atlas) -> None:
        for i, chart in enumerate(atlas.charts):
            if isinstance(chart, Chart):
                assert chart.forward is not None
                intrinsic, points = atlas.sample_chart(i, 200, 0)
                np.testing.assert_allclose(chart.forward(points.base), intrinsic, atol=1e-8)

    def test_some_chart_contains_every_point(self, atlas: Atlas, everywhere: Array) -> None:
        contained = np.stack([atlas.contains(i, everywhere) for i in range(len(atlas))])
        assert contained.any(0).all()

    def test_partition_sums_to_one_and_covers(self, atlas: Atlas, everywhere: Array) -> None:
        rho = atlas.rho(everywhere)
        assert rho.shape == (COUNT, len(atlas))
        assert (rho >= 0).all()
        np.testing.assert_allclose(rho.sum(1), 1, atol=1e-12)
        assert (rho.max(1) >= 1 / len(atlas) - 1e-12).all()

    def test_overlap_is_healthy(self, atlas: Atlas, everywhere: Array) -> None:
        """No point is deep in no chart: the largest bump stays well away from zero."""
        assert atlas.bumps(everywhere).max(1).min() > 1e-4

    def test_supports_lie_inside_charts(self, atlas: Atlas, everywhere: Array) -> None:
        rho = atlas.rho(everywhere)
        for i, chart in enumerate(atlas.charts):
            inside = everywhere[rho[:, i] > 0]
            assert atlas.contains(i, inside).all()
            if isinstance(chart, BallChart):
                assert (np.linalg.norm(inside - chart.center, axis=1) < chart.radius).all()
            else:
                assert chart.forward is not None
                local = chart.forward(inside)
                assert chart.domain.contains(local + 1e-9 * np.sign(chart.domain.center - local)).all()  # but for rounding on the boundary
                assert chart.region is None or (chart.region(local) > 0).all()
                np.testing.assert_allclose(chart.inverse(local), inside, atol=1e-6)

    def test_bumps_vanish_on_faces_that_are_no_boundary(self, atlas: Atlas) -> None:
        for chart in atlas.charts:
            if isinstance(chart, Chart):
                points = chart.domain.low_discrepancy(64, 0)
                for axis, sides in enumerate(chart.boundary):
                    for side, boundary in enumerate(sides):
                        if not boundary:
                            face = chart.domain.on_face(axis, side, points)
                            assert atlas.partition.intrinsic_bump(chart, face).max() < 1e-12

    def test_jacobian_has_full_rank(self, atlas: Atlas) -> None:
        for p, chart in enumerate(atlas.parametrising):
            points = atlas.sample(COUNT, 3)
            intrinsic = points.intrinsic[points.chart == p]
            jacobian = chart.inverse.jacobian_at(intrinsic)
            singular = np.linalg.svd(jacobian, compute_uv=False)
            assert singular.shape == (len(intrinsic), atlas.dimension)
            assert (singular.min(1, initial=1.0) > 1e-3).all()

    def test_batch_shapes(self, atlas: Atlas) -> None:
        base = atlas.sample(12, 0).base
        for points in (base[0], base.reshape(3, 4, -1)):
            batch = points.shape[:-1]
            assert atlas.rho(points).shape == (*batch, len(atlas))
            assert atlas.charts[0].contains(points).shape == batch
            assert atlas.charts[0].forward is not None
            assert atlas.charts[0].forward(points).shape == (*batch, atlas.dimension)
            np.testing.assert_allclose(atlas.rho(points).reshape(-1), atlas.rho(points.reshape(-1, base.shape[1])).reshape(-1), atol=1e-14)

    def test_sampling_is_deterministic_for_a_seed(self, atlas: Atlas) -> None:
        for low_discrepancy in (False, True):
            first, again, other = (atlas.sample(50, seed, low_discrepancy=low_discrepancy) for seed in (4, 4, 5))
            assert len(first) == 50
            np.testing.assert_array_equal(first.ambient, again.ambient)
            assert not np.array_equal(first.ambient, other.ambient)

    def test_embedding_is_an_isometry(self, atlas: Atlas) -> None:
        embedded = embed(atlas, atlas.ambient_dimension + 7, seed=3)
        base = atlas.sample(40, 0).base
        ambient = embedded.embed(base)
        assert embedded.embedding is not None
        np.testing.assert_allclose(embedded.embedding.T @ embedded.embedding, np.eye(atlas.base_dimension), atol=1e-12)
        np.testing.assert_allclose(embedded.unembed(ambient), base, atol=1e-12)
        distance = [np.linalg.norm(p[:, None] - p[None], axis=-1) for p in (base, ambient)]
        np.testing.assert_allclose(distance[0], distance[1], atol=1e-12)

    def test_recipe_rebuilds_the_atlas(self, atlas: Atlas) -> None:
        assert atlas.recipe is not None
        if isinstance(atlas.charts[0], BallChart) and atlas.dimension > 2:
            pytest.skip("slow; other ball atlases are rebuilt")
        table = dict(atlas.recipe)
        again = builtin(table.pop("builtin"), **table)
        assert again.names == atlas.names
        assert again.recipe == atlas.recipe
        np.testing.assert_array_equal(again.sample(20, 0).ambient, atlas.sample(20, 0).ambient)


BUILT: dict[tuple[str, str], Atlas] = {}


def built(manifold: str, options: dict) -> Atlas:
    """The atlas of a case, built once for all its tests."""
    key = (manifold, name_of(options))
    if key not in BUILT:
        BUILT[key] = builtin(manifold, **options)
    return BUILT[key]


def name_of(options: dict) -> str:
    return " ".join(f"{k}={v}" for k, v in options.items()) or "default"
