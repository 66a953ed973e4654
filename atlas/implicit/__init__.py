"""Manifolds that are given by equations: their zeros, tangent charts with proofs, and the cover by them."""
