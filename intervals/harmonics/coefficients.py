"""Gauss coefficients: what a file of them says, and the series that they make.

Outside of its sources a potential field is B = −∇V, V = a Σ_n (a/r)^{n+1} Σ_m (g_nm cos mφ + h_nm sin mφ)·P_nm(cos θ), P_nm in Schmidt's
semi-normalisation. With lengths in units of the reference radius a, V/a = Σ g·Re T_nm + h·Im T_nm, and the components of B along the axes
are such sums of one degree more. A file of the World Magnetic Model (.COF) says its epoch and name in the first line, then n, m, g, h and
what g and h change by in a year, and ends with nines; a file without a first line is taken as well, and so are lines without rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import InvalidArgument
from ...expressions import Array
from .ladder import derivative
from .series import LARGEST, MAX_DEGREE, Harmonics
from .solid import count

MAX_LINES = 100_000


@dataclass(frozen=True, eq=False)
class Coefficients:
    """g and h, (2, places), their rates a year, and the date that they are of."""

    main: Array
    rates: Array
    epoch: float | None

    def at(self, years: float) -> Array:
        """So many years after the epoch."""
        return self.main + years * self.rates

    def cut(self, degree: int) -> Coefficients:
        """Up to a degree."""
        return Coefficients(self.main[:, : count(degree)], self.rates[:, : count(degree)], self.epoch)


def potential(name: str, given: Coefficients) -> Harmonics:
    """V/a, and what it changes by in a year, of positions in units of the reference radius."""
    return Harmonics(name, np.stack([given.main, given.rates]), decaying=True)


def vector_field(name: str, given: Coefficients) -> Harmonics:
    """The components of B along x, y and z (z through the pole, x through the prime meridian), then what they change by in a year."""
    rows = []
    for some in (given.main, given.rates):
        rows += [-derivative(some[None], np.zeros((1, *some.shape)), axis, decaying=True)[0][0] for axis in range(3)]
    return Harmonics(name, np.stack(rows), decaying=True)


def read_coefficients(text: str, where: str = "coefficients") -> Coefficients:
    """Reads the lines of a file. Raises `InvalidArgument` naming the line that is at fault."""
    lines = text.splitlines()
    if len(lines) > MAX_LINES:
        raise InvalidArgument(f"{where}: has {len(lines)} lines, more than {MAX_LINES}; is it a file of coefficients?")
    epoch: float | None = None
    rows: dict[tuple[int, int], list[float]] = {}
    for number, line in enumerate(lines, 1):
        parts = line.split()
        if parts and set(parts[0]) == {"9"} and len(parts[0]) >= 20:
            break
        if not parts or parts[0].startswith("#"):
            continue
        if number == 1 and len(parts) in (2, 3):
            epoch = _number(parts[0], f"{where}: line 1: the epoch")
            continue
        if len(parts) not in (4, 6):
            raise InvalidArgument(
                f"{where}: line {number} has {len(parts)} entries; write n, m, g, h, and the rates of g and h if there are any"
            )
        n, m = (_integer(part, f"{where}: line {number}") for part in parts[:2])
        if not 0 <= m <= n <= MAX_DEGREE:
            raise InvalidArgument(f"{where}: line {number}: n = {n}, m = {m}; they have to be 0 ≤ m ≤ n ≤ {MAX_DEGREE}")
        if (n, m) in rows:
            raise InvalidArgument(f"{where}: line {number}: n = {n}, m = {m} is there twice; remove one")
        rows[n, m] = [_number(part, f"{where}: line {number}") for part in parts[2:]] + [0.0] * (6 - len(parts))
    if not rows:
        raise InvalidArgument(f"{where}: has no coefficients; write lines of n, m, g, h")
    found = np.zeros((4, count(max(n for n, _ in rows))))
    for (n, m), values in rows.items():
        found[:, n * (n + 1) // 2 + m] = values
    return Coefficients(found[:2], found[2:], epoch)


def _integer(text: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise InvalidArgument(f"{where}: {text[:20]!r} is no degree or order; write a whole number")
    return int(text)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not abs(value) < LARGEST:
        raise InvalidArgument(f"{where}: {text[:20]!r} is no number below {LARGEST:g}; correct it")
    return value
