"""The artefact: networks of MoE layers, ridges, the ledger, the model.

Whoever verifies, loads or exports a model needs this and no builder.
"""

from .ledger import Claim, Known, Ledger
from .model import Model
from .network import Affine, MoELayer, Network, NeuronGroup, ReLUNet, Trace
from .ridge import Ridge

__all__ = ["Affine", "Claim", "Known", "Ledger", "MoELayer", "Model", "Network", "NeuronGroup", "ReLUNet", "Ridge", "Trace"]
