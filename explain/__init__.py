"""Why a point came out as it did, and where a neuron comes from."""

from .encoding import Encoding, encodings
from .explanation import BlockChoice, Explanation, LayerStep, LookedUp, NeuronOrigin, Partial, Score
from .neuron import explain_neuron
from .point import explain_point

__all__ = [
    "BlockChoice",
    "Encoding",
    "Explanation",
    "LayerStep",
    "LookedUp",
    "NeuronOrigin",
    "Partial",
    "Score",
    "encodings",
    "explain_neuron",
    "explain_point",
]
