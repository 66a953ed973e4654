"""What helps where ε is out of reach: what was tried, what will do and what it costs, in the words of whoever reads it."""

from __future__ import annotations

import pytest
from atlasmoe import Block, Box, Combine, EpsilonNotReached, Tiling, builtin
from atlasmoe.constructions.advice import WIDEST, Missing, advised, predicted
from atlasmoe.constructions.choices import Choice
from atlasmoe.errors import written


def miss(reached: float, width: int) -> EpsilonNotReached:
    return EpsilonNotReached("expert[a].g", budget=1e-3, reached=reached, width=width, remedy="none")


CHARTS = Block.parse("f", ("x", "y", "z"), builtin("sphere"), "x*y")
PIECES = Block.parse("g", ("s", "t"), Tiling.whole(Box((0, 0), (1, 1))), "s*t")


def test_options_are_written_as_their_reader_does():
    remedy = "{max_width=4096}, {activation=auto}, {prove=True} or {epsilon=1e-3}, as in {x | x > 0}"
    assert written(remedy) == 'max_width=4096, activation="auto", prove=True or epsilon=1e-3, as in {x | x > 0}'
    assert written(remedy, shell=True) == "--max-width 4096, --activation auto, --prove or --epsilon 1e-3, as in {x | x > 0}"


def test_the_width_that_is_recommended_reaches_the_budget_at_the_paper_s_rate():
    """error = 2e-3·(m/256)^(−5/4) in two dimensions: the budget takes 446."""
    assert predicted(miss(2e-3, 256), 2) == pytest.approx(256 * 2**0.8, abs=1)
    said = str(advised(miss(2e-3, 256), Missing(CHARTS, Choice(), 0.01, 256, True)))
    assert "max_width=1024, up to 5,120 numbers in each of 2 experts" in said
    assert "widths up to 256 were tried of the 256 allowed; (a)" in said
    assert 'minimise="active"' in said
    assert "epsilon=0.025" in said


def test_what_will_not_help_is_not_recommended():
    """The search ended long before the limit; lanes are there already; pieces have no charts."""
    found = advised(miss(0.5, 64), Missing(PIECES, Choice(activation="silu", gated=True), None, 2048, False))
    assert str(found).endswith(
        "widths up to 64 were tried of the 2,048 allowed, and at the rate seen more than 16,384 are needed; finer pieces of g"
    )
    assert (found.reached, found.budget, found.width, found.what) == (0.5, 1e-3, 64, "expert[a].g")
    beyond = str(advised(miss(1e3, 2048), Missing(PIECES, Choice(), 0.1, 2048, False)))
    assert "max_width" not in beyond
    assert WIDEST == 16384


def test_a_combination_has_neither_charts_nor_pieces():
    said = advised(miss(2e-3, 64), Missing(Combine.parse("h", ("s", "t"), "s*t"), Choice(), 0.1, 64, False)).on_the_command_line()
    assert "(b) wider experts: --max-width 256, up to 1,024 numbers; (c) a larger error: --epsilon 0.25" in said
