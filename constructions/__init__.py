"""The proofs as code: a task goes in, exact weights and a ledger of every inequality come out.

The data types are imported at once; `compile`, with all the builders behind it, only when it is asked for: whoever
verifies or loads a model runs no builder code.
"""

from typing import TYPE_CHECKING

import lazy_loader

from .ledger import Claim, Known, Ledger
from .model import Model
from .network import Affine, MoELayer, Network, NeuronGroup, ReLUNet, Trace
from .ridge import Ridge

if TYPE_CHECKING:
    from .compile import compile

__getattr__, _, _ = lazy_loader.attach(__name__, submod_attrs={"compile": ["compile"]})

__all__ = ["Affine", "Claim", "Known", "Ledger", "MoELayer", "Model", "Network", "NeuronGroup", "ReLUNet", "Ridge", "Trace", "compile"]
