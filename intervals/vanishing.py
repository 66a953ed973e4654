"""Products that go to 0 where one of their factors has no value: x·log x, x^p·(log x)^m, x²/√x, near 0.

Lemma. Let r > 0 and m ≥ 0 be whole, and h > 0. For 0 < x ≤ h:
* 0 < x^r ≤ h^r;
* s = r/m: x^s·log x falls on (0, e^{−1/s}] and rises beyond, so it is at least −1/(s·e), and at least h^s·log h if h ≤ e^{−1/s}; it is
  at most 0 if h ≤ 1, and at most h^s·log h otherwise; x^r·(log x)^m is its m-th power.

What is said is about x > 0 alone: at 0 the product has no value, and it is not said that it had one. Whether it is asked for at 0 is not
decided here but by its decoration: only in a case of a Piecewise whose conditions exclude x = 0 strictly (`guards`) is the product on
[0, h] defined wherever it is asked for, and continuous there. The value at 0 is that of another case, and that the two fit together is not
claimed: where it is open which case holds, no more than "defined" is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..expressions.tree import Call, Node, Power
from .arithmetic import Flags, Interval
from .collected import Factors

E = Interval.of(np.nextafter(np.e, 0), np.nextafter(np.e, 3))


class Vanishing(NamedTuple):
    """Factors that together are x^power·(log x)^logs, of which one has no value at 0 and all go to 0 there."""

    x: Node
    power: Fraction
    logs: int
    keys: tuple[tuple[Node, bool], ...]
    """Which factors."""


def vanishing(counted: Factors) -> Iterator[Vanishing]:
    """The groups of factors of a product that are such."""
    powers: dict[Node, list[tuple[tuple[Node, bool], Fraction, int]]] = {}
    for key, count in counted.items():
        part, below = key
        match part:
            case Call("log", (x,)) if not below:
                powers.setdefault(x, []).append((key, Fraction(0), count))
            case Call("sqrt", (x,)):
                powers.setdefault(x, []).append((key, Fraction(-count if below else count, 2), 0))
            case Power(x, exponent) if exponent.exact is not None:
                powers.setdefault(x, []).append((key, exponent.exact * (-count if below else count), 0))
            case _:
                powers.setdefault(part, []).append((key, Fraction(-count if below else count), 0))
    for x, found in powers.items():
        power, logs = sum((p for _, p, _ in found), Fraction(0)), sum(m for _, _, m in found)
        if len(found) > 1 and power > 0 and (logs or any(p < 0 for _, p, _ in found)):
            yield Vanishing(x, power, logs, tuple(key for key, _, _ in found))


def bounded(found: Interval, x: Interval, power: Interval, logs: int) -> Interval:
    """What was found of x^power·(log x)^logs, and what the lemma says where x is between 0 and a number. `power` is one number."""
    with np.errstate(all="ignore"):
        known = (x.lower >= 0) & (x.upper > 0) & (x.upper < np.inf)
        top = Interval.of(np.where(known, x.upper, 1.0))
        if not logs:
            said = Interval(np.zeros_like(top.upper), top.raised(power).upper)
        else:
            said = _logarithmic(top, power / Interval.of(float(logs))).power(logs)
    return met(found, said, known)


def _logarithmic(top: Interval, s: Interval) -> Interval:
    """x^s·log x for 0 < x ≤ h."""
    end, least = top.raised(s) * top.log(), -(s * E).inverse()
    falling = top.upper < (-s.inverse()).exp().lower
    low = np.where(falling, np.maximum(end.lower, least.lower), least.lower)
    return Interval(low, np.where(top.upper <= 1, 0.0, np.maximum(end.upper, 0.0)))


def met(found: Interval, said: Interval, known: Flags) -> Interval:
    """Both, where both are known; decorated as what was found."""
    low, high = (
        np.where(known, np.maximum(found.lower, said.lower), found.lower),
        np.where(known, np.minimum(found.upper, said.upper), found.upper),
    )
    empty = ~(low <= high)  # of no point
    return Interval(np.where(empty, found.lower, low), np.where(empty, found.upper, high), found.decoration)
