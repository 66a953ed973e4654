"""Enclosures of targets and networks over boxes: Taylor forms of expressions and of ReLU nets, rounding included."""

from .expression import Enclosed, ExpressionEnclosure
from .network import NetEnclosure, enclose, prepare
from .taylor import TaylorForms

__all__ = ["Enclosed", "ExpressionEnclosure", "NetEnclosure", "TaylorForms", "enclose", "prepare"]
