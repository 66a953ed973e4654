"""The registry: every way to be ill, a file each, in the order in which they are told."""

from .base import Answer, GateSign, Sign
from .collapse import Collapse
from .dead import Dead
from .dimension import Dimension
from .load import Load
from .manifold import OffManifold
from .margins import Margins
from .misrouted import Misrouted
from .precision import Precision
from .structure import Structure
from .width import Width

SIGNS: tuple[Sign, ...] = (
    Collapse(),
    Dead(),
    Load(),
    Margins(),
    Precision(),
    Misrouted(),
    OffManifold(),
    Dimension(),
    Structure(),
    Width(),
)

__all__ = ["SIGNS", "Answer", "GateSign", "Sign"]
