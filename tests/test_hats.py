"""One layer for continuous targets (N18): hats that add up to 1, what they cost at kinks, and what errors of logits cost; both sharply."""

from __future__ import annotations

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.constructions.routers.hats import APART, PART, hats, width_of
from atlasmoe.errors import InvalidArgument
from atlasmoe.verify.sample import verify

KNOTS = (-1.0, 0.0, 1.25, 3.0)
TILING = Tiling.intervals(KNOTS)
ORDER = [2, 0, 1]


def weights(widths: np.ndarray, x: np.ndarray, off: np.ndarray | float = 0.0) -> np.ndarray:
    """σ(z) of the pieces from left to right, [N, 3]; `off`: errors of the logits, in the gate's order."""
    found = np.maximum(hats(TILING, ORDER, widths)(x[:, None]) + off, 0)
    return found[:, np.argsort(ORDER)]


def test_hats_add_up_to_one_and_two_at_most_weigh_anything() -> None:
    widths = np.array([0.25, 0.125])
    x = np.concatenate([np.linspace(-2, 4, 40_001), *(t + np.linspace(-0.2, 0.2, 999) for t in KNOTS[1:-1])])
    found = weights(widths, x)
    assert np.abs(found.sum(1) - 1).max() < 1e-14
    assert ((found > 0).sum(1) <= 2).all()
    for t, w in zip(KNOTS[1:-1], widths, strict=True):
        near = np.abs(x - t) < w / 2
        assert ((found[near] > 0).sum(1) == 2).all()
    assert (np.isin(found[np.all([np.abs(x - t) > 0.2 for t in KNOTS[1:-1]], axis=0)], (0, 1))).all()


def absolute(w: float) -> float:
    """sup ||x| − Σ σ(z)·g|, g the two halves of |x| exactly, on a grid that holds both quarters of the ramp."""
    x = np.linspace(-w, w, 8 * 64 + 1)
    found = weights(np.array([w, w]), x)
    return float(np.abs(np.abs(x) - found[:, 0] * -x - found[:, 1] * x).max())


@pytest.mark.parametrize("w", [0.25, 2.0**-9])
def test_a_kink_costs_a_sixteenth_of_its_change_of_slope_times_the_width(w: float) -> None:
    kink = 2.0
    assert absolute(w) <= kink * w / PART * (1 + 1e-12)
    assert absolute(w) > 0.98 * kink * w / PART, "1/16 cannot be 2 % less"


def test_an_error_of_logits_costs_k_times_itself() -> None:
    """Experts that are all 1 where both logits of a ramp are too large by η: 2η more; and no set of K loses one that weighs."""
    w, eta = 0.25, 0.2
    x = np.linspace(-2, 4, 10_001)
    exact = weights(np.array([w, w]), x)
    worst = 0.0
    rng = np.random.default_rng(0)
    for signs in (np.ones((len(x), 3)), *(rng.choice([-1.0, 1.0], (len(x), 3)) for _ in range(20))):
        logits = hats(TILING, ORDER, np.array([w, w]))(x[:, None]) + eta * signs
        chosen = np.argsort(-logits, axis=1, kind="stable")[:, :2]
        found = np.zeros_like(logits)
        np.put_along_axis(found, chosen, np.maximum(np.take_along_axis(logits, chosen, 1), 0), 1)
        change = np.abs(found[:, np.argsort(ORDER)] - exact).sum(1).max()
        worst = max(worst, float(change))
    assert worst <= 2 * eta * (1 + 1e-12)
    assert worst > 0.98 * 2 * eta


def test_pieces_of_less_than_three_widths_lose_experts() -> None:
    """What 3w is for: with a middle piece as long as its ramps a third logit passes a positive one when each is off by η."""
    eta, w = 0.24, 1.0
    tiling = Tiling.intervals((-5.0, 0.0, w, 6.0))
    z = hats(tiling, [0, 1, 2], np.array([w, w]))(np.linspace(-w, 2 * w, 4001)[:, None])
    third = np.sort(z, axis=1)[:, 0]
    assert third.max() > -1 + 2 * eta
    apart = hats(Tiling.intervals((-5.0, 0.0, 3 * w, 9.0)), [0, 1, 2], np.array([w, w]))(np.linspace(-w, 4 * w, 4001)[:, None])
    assert np.sort(apart, axis=1)[:, 0].max() <= -1 + 2 * eta


def test_widths_are_powers_of_two_within_what_kinks_allow() -> None:
    assert width_of(1.0, 0.0, None) == 1 / APART
    w = width_of(1.0, 3.0, 1e-3)
    assert np.frexp(w)[0] == 0.5
    assert 3.0 * w / PART <= 1e-3 < 3.0 * 2 * w / PART


def graph(L: int) -> TaskGraph:
    """A sum of L continuous functions with two kinks each, a part of x_1 and a constant."""
    names = tuple(f"x{l}" for l in range(1, L + 1))
    nodes: list[Input | Block | Combine] = [Input("x", Box((-1.0,) * L, (3.0,) * L), names)]
    nodes += [Block.parse(f"f{l}", (v,), TILING, [f"-{v}", v, f"{v}**2 - 0.3125"]) for l, v in enumerate(names, 1)]
    blocks = tuple(f"f{l}" for l in range(1, L + 1))
    text = " + ".join(f"{l}*f{l}" for l in range(1, L + 1)) + " + 0.5*x1 - 3"
    return TaskGraph("kinks", (*nodes, Combine.parse("f", (*blocks, "x1"), text)), "f")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_of_continuous_blocks(dtype: str, tmp_path) -> None:
    task = graph(3)
    model = atlasmoe.compile(task, epsilon=0.02, depth="1", weighting="rectified", dtype=dtype)
    (layer,) = model.network.layers
    assert (len(layer), layer.top_k, layer.gate.widths, layer.weighting) == (9, 6, (12,), "rectified")
    claims = {claim.name: claim for _, claim in model.ledger.root.walk()}
    assert claims["block[f1].ramps"].known == claims["block[f1].robust"].known == "proved"
    assert all(site.either and site.wider > 0 for site in model.design.sites)
    report = verify(model, samples=400)
    assert report.holds, str(report)
    # Logits that are off by as much as float16 rounds still give what N18 promises, and N15's do not.
    x = task.sample(2000, 5)
    assert np.abs(model.network(x).astype(float) - task(x)).max() <= 0.02
    back = atlasmoe.load(atlasmoe.save(model, tmp_path / "m"))
    assert back.design == model.design
    assert (back.network(x) == model.network(x)).all()
    choice = model.explain([0.0, 1.0, 2.0]).blocks[0]
    assert len(choice.chosen) == 2
    assert sum(weight for _, weight in choice.chosen) == pytest.approx(1)
    assert choice.right


def test_at_a_kink_the_ledger_is_not_above_what_is_true() -> None:
    """The claim of the ramps is met by a network to within what its experts err by."""
    halves = Block.parse("f1", ("s",), Tiling.intervals((-1, 0, 1)), ["-s", "s"])
    task = TaskGraph("|s|", (Input("x", Box((-1,), (1,)), ("s",)), halves, Combine.parse("f", ("f1",), "2*f1")), "f")
    model = atlasmoe.compile(task, epsilon=1e-3, depth="1", weighting="rectified")
    claims = {claim.name: claim for _, claim in model.ledger.root.walk()}
    ramps = claims["block[f1].ramps"]
    w = 2 * model.design.sites[0].wider
    x = np.linspace(-w / 2, w / 2, 1025)[:, None]
    error = float(np.abs(model.network(x) - task(x)).max()) / 2
    assert 0.98 * ramps.bound < error <= claims["block[f1]"].bound, "|x| has Δ = 2 at 0, and its experts are exact there"


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (Block.parse("a", ("s",), Tiling.intervals((0, 1, 2)), ["s", "s + 1"]), "jump by 1 at s = 1"),
        (Block.parse("a", ("s", "t"), Tiling.grid([(0, 1, 2), (0, 1, 2)]), "s*t"), "reads 2 coordinates"),
    ],
    ids=["jump", "plane"],
)
def test_what_hats_do_not_join(block: Block, said: str) -> None:
    task = TaskGraph("no", (Input("x", Box((0, 0), (2, 2)), ("s", "t")), block, Combine.parse("f", ("a", "t"), "a + t")), "f")
    with pytest.raises(InvalidArgument, match=said):
        atlasmoe.compile(task, epsilon=0.1, depth="1", weighting="rectified")
