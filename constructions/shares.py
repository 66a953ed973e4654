"""How ε is shared out, and what is kept back: the constants that every budget is made of."""

ROUNDING_SHARE = 1 / 16
"""The part of ε kept for the arithmetic of the exported dtype."""
FORMULA_SHARE = 1 / 64
"""So much of ε, where float64 is exported and the whole error has a bound by a formula: the rest is for proofs to come near it."""
HELD_OUT_SAFETY = 1.5
"""A largest held-out error understates the true sup by up to 1.4 (measured); what is not climbed on, scores and experts whose width is
given, is built and claimed with this factor."""
LEAF_SAFETY = 1.15
"""Experts are built to budget / this first: what held-out points understate most often. Whether they meet their budget is then found out by
climbing, as a proof would find it out, and they are built again to a lower budget, or to a higher one."""
UNSEEN = 1.1
"""In three dimensions and more climbing from thousands of points still understates the true sup: of the worst of 128 smooth experts on
S³ by 1.12. Smooth experts are accepted with this factor to spare, which is cheap, as their errors fall fast."""
SHARPENINGS = 4
"""How often something that misses its budget on fresh points is built again to a lower one."""
LOOSENINGS = 2
"""How often something that stays far within its budget is built again to a higher one: it may be narrower then."""
TIGHT = 0.6
"""Part of its budget that an error has to reach, so that nothing narrower is looked for."""
SHARPER = 0.9
"""How far below what the miss asks for the next budget lies."""
