"""Default bumps of charts with a region: functions of the region as it was written."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe.atlas import Atlas, Box, Chart, ExpressionMap
from atlasmoe.errors import InvalidArgument
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.intervals.patch import Patch, PatchMap
from atlasmoe.verify.check.charts import of_depths
from atlasmoe.verify.enclosure import TaylorForms
from atlasmoe.verify.prove.manifold import EnclosedManifold
from atlasmoe.verify.prove.scores import bump_expression


def read(name: str, text: str) -> ExpressionMap:
    return ExpressionMap.of(real_symbols([name]).values(), [read_expression(text, [name])])


def half(upper: float, region: str) -> Chart:
    return Chart("half", Box((-1.0,), (upper,)), read("t", "t"), read("x", "x"), region=read("t", region))


def test_a_bump_has_no_value_where_the_text_of_its_region_has_none() -> None:
    """sympy drops the logarithm: t + 0.316 is left of it, also for t < −0.316. Neither the search nor check may."""
    chart = half(1.0, "0.4 + t + (exp(log(t + 0.316)) - t - 0.316)")
    assert chart.region is not None
    assert "log" not in str(chart.region.expressions)
    lower, upper = np.array([[-0.35], [0.2]]), np.array([[-0.33], [0.21]])
    searched = bump_expression(chart, EnclosedManifold(Atlas(("x",), (chart,))), None)(TaylorForms.variables(lower, upper))
    patched = PatchMap(of_depths(chart, lambda factors: factors))(Patch.coordinates(lower, upper)).value
    assert np.isfinite(searched.radius[:, 0]).tolist() == [False, True]
    assert np.isfinite(patched.upper[:, 0]).tolist() == [False, True]


def test_a_region_without_a_value_at_the_centre_is_refused() -> None:
    with pytest.raises(InvalidArgument, match='chart "half": its region is nan at the centre'):
        half(0.5, "0.4 - t + 0*sqrt(t)").height  # noqa: B018
