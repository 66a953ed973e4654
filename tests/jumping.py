"""A task graph whose blocks jump at their interfaces, and what a report on it refutes."""

from __future__ import annotations

import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.moe import Known, Model, Network
from atlasmoe.verify.sample import Report

SAMPLES = 400
KNOTS = (0.0, 0.3, 1.0, 2.0)
"""0.3 is no float32 number, and 0.3 as a float64 is not 3/10."""


def jumping(closed: str = "lower") -> TaskGraph:
    """Two blocks that jump at their interfaces, one that shares a coordinate with the first, and a product."""
    return TaskGraph(
        f"jumping {closed}",
        (
            Input("x", Box((0, 0), (2, 2)), ("s", "t")),
            Block.parse("a", ("s",), Tiling.intervals(KNOTS, closed), ["s", "3 + s**2", "1 - s"]),
            Block.parse("b", ("t",), Tiling.intervals(KNOTS, closed), ["1 + t", "-1", "2*t"]),
            Combine.parse("f", ("a", "b"), "a*b + 2*a"),
        ),
        "f",
    )


def refuted(report: Report) -> set[str]:
    return {claim.name for claim in report.claims if claim.known is Known.REFUTED}


def wrong_at(network: Network, report: Report, model: Model) -> bool:
    """Whether the network errs by more than ε at the witness of the total error, by its own output."""
    claim = report["total"]
    assert claim.witness is not None
    x = np.array([claim.witness])
    assert isinstance(model.task, TaskGraph)
    return float(np.abs(network(x) - model.task(x)).max()) == pytest.approx(claim.bound) and claim.bound > model.facts["epsilon"]
