"""A library of manifolds with ready atlases: `builtin(name, …)` for those in `LIBRARY`, `product`, `embed` and
`ball_atlas` to make others of them.

Ambient coordinates are named x1, x2, … (before any embedding), intrinsic ones u1, u2, …. One manifold, or one family
made by the same idea, per file.
"""

from ..ball import ball_atlas
from .embedding import embed
from .library import LIBRARY, Entry, builtin
from .product import product

__all__ = ["LIBRARY", "Entry", "ball_atlas", "builtin", "embed", "product"]
