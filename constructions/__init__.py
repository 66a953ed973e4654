"""The proofs as code: a task goes in, exact weights and a ledger of every inequality come out."""

from .compile import compile
from .ledger import Claim, Known, Ledger
from .model import Model
from .network import Affine, MoELayer, Network, NeuronGroup, ReLUNet, Trace
from .ridge import Ridge

__all__ = ["Affine", "Claim", "Known", "Ledger", "MoELayer", "Model", "Network", "NeuronGroup", "ReLUNet", "Ridge", "Trace", "compile"]
