"""The artefact: networks of MoE layers, activations, ridges, the ledger, the model.

Whoever verifies, loads or exports a model needs this and no builder.
"""

from .activations import ACTIVATIONS, Activation
from .ledger import Claim, Known, Ledger
from .model import Model
from .network import Affine, MoELayer, Net, Network, NeuronGroup, ReLUNet, Trace
from .ridge import Ridge

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Affine",
    "Claim",
    "Known",
    "Ledger",
    "MoELayer",
    "Model",
    "Net",
    "Network",
    "NeuronGroup",
    "ReLUNet",
    "Ridge",
    "Trace",
]
