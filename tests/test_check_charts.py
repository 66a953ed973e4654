"""Bumps as `check` bounds them, by logarithms and by patches, against their values at points; both ways, and the search's, agree."""

from __future__ import annotations

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import Atlas, PartitionOfUnity
from atlasmoe.verify.check.charts import Charts
from atlasmoe.verify.check.scores import Scores
from atlasmoe.verify.prove.manifold import EnclosedManifold

ATLASES = {
    "circle": atlasmoe.builtin("circle", charts=4),
    "sphere": atlasmoe.builtin("sphere"),
    "interval with ends": atlasmoe.builtin("interval", charts=3),
}


def atlas_of(name: str, profile: str) -> Atlas:
    atlas = ATLASES[name]
    return Atlas(atlas.coordinates, atlas.charts, PartitionOfUnity(profile, 3))


@pytest.mark.parametrize("profile", ["polynomial", "smooth"])
@pytest.mark.parametrize("name", ATLASES)
def test_bumps_lie_where_they_are_said_to(name: str, profile: str) -> None:
    atlas = atlas_of(name, profile)
    charts, manifold = Charts(atlas), EnclosedManifold(atlas)
    scores = Scores(charts, None)
    rng = np.random.default_rng(0)
    for p, chart in enumerate(charts.charts):
        domain = np.array([chart.domain.lower, chart.domain.upper])
        lower = domain[0] + rng.uniform(0, 0.9, (80, charts.dimension)) * (domain[1] - domain[0])
        upper = np.minimum(lower + 0.05 * (domain[1] - domain[0]), domain[1])
        u, y = charts.points(p, lower, upper)
        own, others = charts._formula(p, u, y), [charts._bump(j, p, u, y) if j != p else None for j in range(len(atlas))]
        shares = scores(p, u, y).value
        searched = manifold._own_bump(manifold.place(p, lower, upper))
        for _ in range(5):
            points = chart.inverse(lower + rng.uniform(0, 1, lower.shape) * (upper - lower))
            inside = np.ones(len(lower), bool) if chart.region is None else chart.region(lower)[:, 0] > 0.2
            inside &= charts.outside(p, u, y)[1]
            bumps, rho = np.stack([atlas.partition.bump(other, points) for other in atlas.charts], axis=1), atlas.rho(points)
            for low, high in ((own.lower, own.upper), (searched.lower, searched.upper)):
                assert ((low - 1e-9 <= bumps[:, p]) & (bumps[:, p] <= high + 1e-9))[inside].all()
            for j, found in enumerate(others):
                if found is not None:
                    assert ((found[0] - 1e-9 <= bumps[:, j]) & (bumps[:, j] <= found[1] + 1e-9))[inside].all()
            assert ((shares.lower - 1e-9 <= rho) & (rho <= shares.upper + 1e-9))[inside].all()


@pytest.mark.parametrize("profile", ["polynomial", "smooth"])
def test_both_ways_are_close(profile: str) -> None:
    """In the middle of a chart, where nothing vanishes."""
    atlas = atlas_of("circle", profile)
    charts, manifold = Charts(atlas), EnclosedManifold(atlas)
    lower = np.linspace(-0.5, 0.49, 50)[:, None]
    u, y = charts.points(0, lower, lower + 1e-3)
    checked, searched = charts._formula(0, u, y), manifold._own_bump(manifold.place(0, lower, lower + 1e-3))
    assert np.abs(checked.lower - searched.lower).max() < 0.02
    assert np.abs(checked.upper - searched.upper).max() < 0.02
    assert (checked.upper >= searched.lower).all()
    assert (searched.upper >= checked.lower).all()
