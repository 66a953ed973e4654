"""What was written: text to trees and sympy and back, maps given by expressions, boxes.

Only `parse` needs a parser, and is imported by whoever reads text.
"""

from .box import Array, Box, box_cells, halved
from .from_sympy import tree_of
from .maps import ExpressionMap

__all__ = ["Array", "Box", "ExpressionMap", "box_cells", "halved", "tree_of"]
