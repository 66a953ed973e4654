"""Lemma 3.1 in one dimension: piecewise-linear splines with free knots, and a-priori bounds for them."""
