"""Which expert a gate picks: scores, half-spaces, affine gates; each with the claims that make it valid."""
