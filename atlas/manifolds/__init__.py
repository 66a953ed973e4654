"""A library of manifolds with ready atlases: `builtin(name, …)` for those in `LIBRARY`, `product` and `embed` to combine them.

Ambient coordinates are named x1, x2, … (before any embedding), intrinsic ones u1, u2, …. One manifold, or one family
made by the same idea, per file.
"""

from .embedding import embed
from .library import LIBRARY, Entry, builtin
from .product import product

__all__ = ["LIBRARY", "Entry", "builtin", "embed", "product"]
