"""How ε is shared out, and what is kept back: the constants that every budget is made of."""

ROUNDING_SHARE = 1 / 16
"""The part of ε kept for the arithmetic of the exported dtype."""
FORMULA_SHARE = 1 / 64
"""So much of ε, where float64 is exported and the whole error has a bound by a formula: the rest is for proofs to come near it."""
HELD_OUT_SAFETY = 1.5
"""A largest held-out error understates the true sup by up to 1.4 (measured); leaves are built to budget / this."""
SHARPENINGS = 3
"""How often something that misses its budget on fresh points is built again to a lower one."""
SHARPER = 0.9
"""How far below what the miss asks for the next budget lies."""
