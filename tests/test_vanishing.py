"""x·log x and its kind near 0: bounded from both sides by search and check, defined only where 0 is excluded strictly."""

from __future__ import annotations

import json
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import task_from_spec
from atlasmoe.atlas.graph import expression_map
from atlasmoe.intervals import Interval, NaturalEnclosure
from atlasmoe.intervals.vanishing import bounded
from atlasmoe.verify.check.expressions import Functions, JetMap
from atlasmoe.verify.check.polynomials import Space
from atlasmoe.verify.check.vanishing import bounded as again
from atlasmoe.verify.enclosure import ExpressionEnclosure
from certificates import certified

RNG = np.random.default_rng(5)
INSIDE = [
    "x*log(x)",
    "-3*x*log(x)/log(2)",
    "x**2*log(x)",
    "sqrt(x)*log(x)",
    "x**0.3*log(x)",
    "x*log(x)**2",
    "x**2*log(x)**3*exp(x)",
    "x**2/sqrt(x)",
    "(2 + sin(x))*x*log(x)",
]
PATCHED = [
    *(f"Piecewise(({text}, x > 0), (0, True))" for text in INSIDE),
    "Piecewise((0, x <= 0), (x*log(x), True))",
    "Piecewise((abs(x)*log(abs(x)), abs(x) > 0), (0, True))",
    "Piecewise((x*log(x) + (1 - x)*log(1 - x), (x > 0) & (x < 1)), (0, True))",
    "x + Piecewise((x*log(x), x > 0), (0, True))*Piecewise((1, x < 2), (x, True))",
]
NOWHERE = [
    "x*log(x)",
    "Piecewise((x*log(x), x >= 0), (0, True))",
    "Piecewise((0, x < 0), (x*log(x), True))",
    "Piecewise((x*log(x), x > -1), (0, True))",
    "abs(x)*log(abs(x))",
    "Piecewise((x*log(x) + (1 - x)*log(1 - x), (x > 0) & (x <= 1)), (0, True))",
    "Piecewise((x*log(x)/x**2, x > 0), (0, True))",
]


def function(text: str):
    return expression_map(("x",), text)


def enclosures(text: str, lower: np.ndarray, upper: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the interval, the Taylor form and the jet say of all points of the boxes, (N,) each."""
    f = function(text)
    (natural,) = NaturalEnclosure(f)([Interval(lower, upper)])
    form = ExpressionEnclosure(f).over(lower[:, None], upper[:, None])
    jets = JetMap(f)(Functions.coordinates(Space(1, 3), lower[:, None], upper[:, None]))
    span = form.forms.range()
    return [(natural.lower, natural.upper), (span.lower[:, 0], span.upper[:, 0]), (jets.value.lower[0], jets.value.upper[0])]


@pytest.mark.parametrize("text", PATCHED)
def test_what_is_patched_at_0_is_enclosed_on_boxes_that_reach_it(text: str) -> None:
    upper = np.concatenate([10.0 ** RNG.uniform(-300, 0.4, 60), [1e-308, 2.8e-14, 1.0, np.exp(-1), 0.5]])
    lower = np.concatenate([np.zeros(40), -RNG.uniform(0, 1, 25) * upper[40:]])
    values = []
    for _ in range(12):
        x = lower + (upper - lower) * RNG.uniform(0, 1, len(upper)) ** RNG.choice([1, 8])
        values.append(function(text)(x[:, None])[:, 0])
    values += [function(text)(x[:, None])[:, 0] for x in (lower, upper, np.clip(0.0, lower, upper), np.clip(np.exp(-1.0), lower, upper))]
    for low, high in enclosures(text, lower, upper):
        assert np.isfinite(low).all()
        assert np.isfinite(high).all()
        for value in values:
            slack = 1e-14 * np.abs(value)
            assert (low - slack <= value).all()
            assert (value <= high + slack).all()
    tiny = enclosures(text, np.array([0.0]), np.array([2.8e-14]))
    at = function(text)(np.array([[0.0]]))[0, 0]
    assert max(max(abs(low[0] - at), abs(high[0] - at)) for low, high in tiny) < 0.02


@pytest.mark.parametrize("text", NOWHERE)
def test_nothing_is_known_where_0_is_not_excluded(text: str) -> None:
    for low, high in enclosures(text, np.array([-1.0]), np.array([2.0])):
        assert np.isinf(low).all() or np.isinf(high).all()


@pytest.mark.parametrize("rule", [bounded, again])
def test_both_lemmas_hold(rule: object) -> None:
    anything = Interval(np.full(400, -np.inf), np.full(400, np.inf))
    for power, logs in ((1.0, 1), (2.0, 1), (0.25, 1), (1.0, 2), (3.0, 5), (0.5, 0), (1e-3, 1)):
        h = 10.0 ** RNG.uniform(-40, 2, 400)
        said = rule(anything, Interval(np.zeros(400), h), Interval.of(power), logs)
        for x in (h, h * RNG.uniform(0, 1, 400), h * 10.0 ** RNG.uniform(-9, 0, 400), np.minimum(h, max(np.exp(-logs / power), 1e-300))):
            value = x**power * np.log(x) ** logs
            slack = 1e-12 * np.abs(value)
            assert (said.lower - slack <= value).all()
            assert (value <= said.upper + slack).all()
    unbounded = rule(anything, Interval(np.full(400, -1.0), h), Interval.of(1.0), 1)
    assert np.isinf(unbounded.lower).all()


def test_an_entropy_is_proved_and_confirmed(tmp_path: Path) -> None:
    text = "Piecewise((0, x1 <= 0), (x1*log(x1), True)) + Piecewise(((1 - x1)*log(1 - x1), x1 < 1), (0, True))"
    spec = {"task": {"name": "h"}, "manifold": {"builtin": "interval"}, "target": {"expression": text}}
    folder = certified(atlasmoe.compile(task_from_spec(spec), epsilon=0.1), tmp_path / "h")
    report = atlasmoe.check(folder)
    assert report.verdict == "confirmed", report.failures
    assert json.loads((folder / "certificate.json").read_text())["bound"] <= 0.1
