"""Lemma 3.1: two-layer ReLU networks fitted to samples by linear algebra."""
