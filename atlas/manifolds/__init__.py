"""A library of manifolds with ready atlases."""
