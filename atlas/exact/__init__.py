"""Exact arithmetic with functions of a few real variables: whether a composition of maps is an identity, decided in a polynomial ring.

A function is a quotient of polynomials over ℚ in *generators*: the variables, π, and one for every part that is no quotient: cos and
sin of an argument, a square root, exp or log of something. Squares of sines and of square roots are known polynomials in earlier
generators and are replaced by them. A quotient whose numerator becomes 0 is 0 at every point at which all that it was computed from is
defined. Nothing is assumed of the other direction: that a numerator does not become 0 shows nothing.

Some steps hold on a part of the domain only: √(q²) = q where q ≥ 0, atan2(r·sin θ, r·cos θ) = θ where r ≥ 0 and −π < θ ≤ π. Which
branch is taken is read off at one point, in 40 digits, and what it needs is kept in `conditions`: whoever uses a result has to prove
them where it is used. A wrong reading makes a condition that cannot be proved, never a wrong result.
"""

from .angles import FinerError, with_finer_angles
from .field import Condition, Quotient, Unsettled
from .functions import Functions, substituted

__all__ = ["Condition", "FinerError", "Functions", "Quotient", "Unsettled", "substituted", "with_finer_angles"]
