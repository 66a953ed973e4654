"""What an expert computes: a local target on a cell, or a function on a piece, as a net with a claim."""
