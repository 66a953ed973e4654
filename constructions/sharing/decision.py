"""When a shared expert is worth having (N5), and the numbers that say so.

Statement: let N numbers reach the error ε = (N/C)^{−α} of a function whose constant is C. Experts alone then store C·ε^{−1/α} numbers,
C = ΣC(F_i), and beside a function h experts on F_i − h store B·ε^{−1/α}, B = ΣC(F_i − h).

* If h is a net of n numbers, it stores less if and only if n + B·ε^{−1/α} < C·ε^{−1/α}: ε < ((C − B)/n)^α (`threshold`).
* If h has to be approximated too, with A·ε_s^{−1/α} numbers to ε_s beside experts to ε − ε_s, best at ε_s/ε = A^a/(A^a + B^a) with
  a = α/(α + 1), the sum is (A^a + B^a)^{1/a}·ε^{−1/α}, and it is less if and only if (A^a + B^a)^{1/a} < C, whatever ε (`split`).

It is about stored numbers. Of active ones a shared expert never saves any (N4).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SLOPES = (0.25, 16.0)
"""Rates α that are believed."""


def threshold(without: float, beside: float, numbers: float, rate: float) -> float:
    """The ε below which an h of so many numbers is worth sharing: ((C − B)/n)^α; 0 where it never is."""
    return max(0.0, (without - beside) / numbers) ** rate


def split(shared: float, beside: float, rate: float) -> tuple[float, float]:
    """ε_s/ε at the best split between an h of constant A and experts of constant B, and the constant of the sum, (A^a + B^a)^{1/a}."""
    a = rate / (rate + 1)
    parts = shared**a, beside**a
    whole = sum(parts)
    return (parts[0] / whole if whole else 0.5), whole ** (1 / a)


@dataclass(frozen=True)
class Decision:
    """Whether to share, and what from: all that N5 asks for, as pilots found it."""

    share: bool
    asked: bool | str
    rule: str
    """The inequality in words, with its numbers."""
    epsilon: float
    """What experts may err by."""
    alpha: float
    without: float
    """C, of stored numbers."""
    beside: float
    """B."""
    shared: float
    """A where h is approximated; n where it is a net."""
    threshold: float | None
    """Of ε, where h is a net."""
    stored: float
    """Numbers of the experts of the block with the shared one, as predicted."""
    stored_without: float
    """And of experts alone."""
    width: int = 0
    """Hidden neurons of the shared expert that was found best."""

    def record(self) -> dict[str, Any]:
        """As JSON, for the facts of a model."""
        return asdict(self)


def exact(
    asked: bool | str, epsilon: float, alpha: float, without: float, beside: float, numbers: float, *, width: int, what: str
) -> Decision:
    """The decision about an h that is a net of so many numbers, beside `beside` numbers of experts in the place of `without`."""
    unit = epsilon ** (1 / alpha)
    C, B = without * unit, beside * unit
    bound = threshold(C, B, numbers, alpha)
    better = epsilon < bound
    rule = (
        f"ε = {epsilon:.4g} {'<' if better else '≥'} ((C − B)/n)^α = {bound:.4g}, with C = {C:.4g}, B = {B:.4g}, n = {numbers:.0f} numbers "
        f"of {what}, α = {alpha:.3g} (N5)"
    )
    share = better if asked == "auto" else True
    return Decision(share, asked, rule, epsilon, alpha, C, B, numbers, bound, numbers + beside, without, width)


def approximated(asked: bool | str, epsilon: float, alpha: float, without: float, beside: float, shared: float) -> Decision:
    """The decision about an h that takes `shared` numbers to reach ε, beside `beside` numbers of experts in the place of `without`."""
    unit = epsilon ** (1 / alpha)
    C, B, A = without * unit, beside * unit, shared * unit
    part, whole = split(A, B, alpha)
    better = whole < C
    rule = (
        f"(A^a + B^a)^(1/a) = {whole:.4g} {'<' if better else '≥'} C = {C:.4g}, with A = {A:.4g}, B = {B:.4g}, α = {alpha:.3g}, "
        f"a = {alpha / (alpha + 1):.3g}; ε_s/ε = {part:.3g} (N5)"
    )
    share = better if asked == "auto" else True
    return Decision(share, asked, rule, epsilon, alpha, C, B, A, None, whole / unit, without)
