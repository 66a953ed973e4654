"""Why a point came out as it did, and where a neuron comes from."""

from .batch import BlockSummary, Explained, Summary, explain_points
from .circuit_graph import circuit
from .encoding import Encoding, encodings
from .explanation import BlockChoice, Explanation, LayerStep, LookedUp, NeuronOrigin, Partial, Score
from .neuron import explain_neuron
from .point import explain_point

__all__ = [
    "BlockChoice",
    "BlockSummary",
    "Encoding",
    "Explained",
    "Explanation",
    "LayerStep",
    "LookedUp",
    "NeuronOrigin",
    "Partial",
    "Score",
    "Summary",
    "circuit",
    "encodings",
    "explain_neuron",
    "explain_point",
    "explain_points",
]
