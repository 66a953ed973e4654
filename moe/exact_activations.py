"""Activations of one number, enclosed in whole-number arithmetic: for `moe.exact`.

All of them but relu² write act(z) = σ(z) + T(|z|), since act(z) − act(−z) = z, and tails T(x) = act(−x), x ≥ 0, are made of exponentials of
numbers ≥ 0, whose Taylor series have positive terms only:

* silu         T(x) = −x/(1 + e^x);
* gelu         T(x) = −x·Q(x), Q(x) = 1/2 − e^{−x²/2}·Σ_n x^{2n+1}/(2n+1)!!/√(2π) (Marsaglia);
* gelu_tanh    T(x) = −x/(1 + e^w), w = 2·√(2/π)·(x + 0.044715·x³), as tanh(w/2) = 1 − 2/(1 + e^w).

A number is an integer times 2^−bits, an enclosure a pair of those. Beyond `FAR` each of them is in [−2^−`FINE`, 0], as x·e^{−x} is there.
All have |act′| < 2, which is what an interval z costs. Python's integers do not round but where it is said here, downwards or upwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache

FINE = 320
"""Binary digits behind the point of what is found."""
WORK = FINE + 96
"""Of what is computed with on the way."""
HALVINGS = 16
"""e^t is the 2^HALVINGS-th power of a series at t/2^HALVINGS."""
FAR = 256
"""Of exponents: FAR·e^−FAR < 2^−(FINE + 32)."""
KAPPA = Fraction(44715, 1_000_000)
"""Of gelu_tanh."""
Pair = tuple[int, int]


def enclose(name: str, lower: int, upper: int, bits: int) -> Pair:
    """Bounds of act(z), times 2^FINE, for lower ≤ z·2^bits ≤ upper. Raises `KeyError` for an activation that is not smooth, or unknown."""
    tail = TAILS[name]
    z = _down(lower, bits - WORK)
    width = _up(upper, bits - WORK) - z
    low, high = tail(abs(z))
    if z > 0:
        low, high = low + z, high + z
    return (low - 2 * width) >> (WORK - FINE), _up(high + 2 * width, WORK - FINE)


def _down(n: int, shift: int) -> int:
    """n/2^shift, rounded down."""
    return n >> shift if shift >= 0 else n << -shift


def _up(n: int, shift: int) -> int:
    return -_down(-n, shift)


def _product(a: Pair, b: Pair) -> Pair:
    """Of numbers ≥ 0."""
    return a[0] * b[0] >> WORK, _up(a[1] * b[1], WORK)


def _quotient(a: Pair, b: Pair) -> Pair:
    """Of numbers ≥ 0 by positive ones."""
    return (a[0] << WORK) // b[1], -((-a[1] << WORK) // b[0])


def exponential(t: Pair) -> Pair:
    """e^t, 0 ≤ t."""
    return _exponential(t[0], False), _exponential(t[1], True)


def _exponential(t: int, up: bool) -> int:
    """A bound of e^t, t < 2^15. Read with HALVINGS more digits, t is r = t/2^HALVINGS ≤ 1/2: a term is off by half of what the one before
    is, and 2 units of its own, so by 4; of a term that is rounded to 0 and all behind it no more than 8 are left.
    """
    digits = WORK + HALVINGS
    total = term = 1 << digits
    n = 0
    while term:
        n += 1
        term = (term * t >> digits) // n
        total += term
    if up:
        total += 4 * n + 8
    for _ in range(HALVINGS):
        total = _up(total * total, digits) if up else total * total >> digits
    return _up(total, HALVINGS) if up else total >> HALVINGS


@cache
def _pi() -> Pair:
    """π = 16·arctan(1/5) − 4·arctan(1/239)."""
    low, high = _arctan(5)
    less, more = _arctan(239)
    return 16 * low - 4 * more, 16 * high - 4 * less


def _arctan(n: int) -> Pair:
    """arctan(1/n): an alternating series, each term of it rounded down."""
    total, count, power, sign = 0, 0, (1 << WORK) // n, 1
    while power:
        total += sign * (power // (2 * count + 1))
        power, sign, count = power // (n * n), -sign, count + 1
    return total - 2 * count - 2, total + 2 * count + 2


@cache
def _root_of_two_over_pi() -> Pair:
    """√(2/π) = √(2π)/π."""
    low, high = _quotient((2 << WORK, 2 << WORK), _pi())
    return math.isqrt(low << WORK), math.isqrt(high << WORK) + 1


def _silu(x: int) -> Pair:
    return _logistic(x, (x, x))


def _logistic(x: int, w: Pair) -> Pair:
    """−x/(1 + e^w)."""
    if w[0] >> WORK >= FAR:
        return -(1 << (WORK - FINE)), 0
    low, high = exponential(w)
    one = 1 << WORK
    smaller, larger = _quotient((x, x), (one + low, one + high))
    return -larger, -smaller


def _gelu_tanh(x: int) -> Pair:
    if x >> WORK >= FAR:
        return -(1 << (WORK - FINE)), 0
    cube, scaled = x * x * x, x * KAPPA.denominator
    inner = [2 * (scaled + rounded(cube * KAPPA.numerator, 2 * WORK)) for rounded in (_down, _up)]
    w = _product(_root_of_two_over_pi(), (inner[0] // KAPPA.denominator, -(-inner[1] // KAPPA.denominator)))
    return _logistic(x, w)


def _gelu(x: int) -> Pair:
    square = x * x
    if square >> (2 * WORK + 1) >= FAR:
        return -(1 << (WORK - FINE)), 0
    half = square >> (WORK + 1), _up(square, WORK + 1)
    series = _double_factorials(x, _down(square, WORK)), _double_factorials(x, _up(square, WORK), True)
    # 2·Q(x) = 1 − √(2/π)·e^{−x²/2}·Σ
    inside = _quotient(_product(_root_of_two_over_pi(), series), exponential(half))
    low, high = (1 << WORK) - inside[1], (1 << WORK) - inside[0]
    return -_up(x * max(high, 0), WORK + 1), -(x * max(low, 0) >> (WORK + 1))


def _double_factorials(x: int, square: int, up: bool = False) -> int:
    """A bound of Σ x^{2n+1}/(2n+1)!!. Once a term is rounded to 0, x² < 2n + 1 and terms fall; from n ≥ x² on they halve: n + 2 is left."""
    total = term = x
    n = 0
    while term or square >> WORK > n:
        n += 1
        term = term * square // ((2 * n + 1) << WORK)
        if up and term:
            term += 1
        total += term
    return total + n + 2 if up else total


TAILS: Mapping[str, Callable[[int], Pair]] = {"silu": _silu, "gelu": _gelu, "gelu_tanh": _gelu_tanh}
