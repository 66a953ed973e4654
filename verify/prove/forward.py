"""Enclosures of a whole mixture of experts over boxes: which experts may be chosen at each layer, what comes out along each such path."""

from __future__ import annotations

import numpy as np

from ...atlas import Array
from ...moe.network import Network
from ..enclosure import TaylorForms
from .choice import Indices
from .layers import EnclosedLayer, Reading, State


class EnclosedNetwork:
    """A network on points z, |z| ≤ size, of which it reads Q·z."""

    def __init__(self, network: Network, embedding: Array | None, size: Array) -> None:
        self.inputs = len(network.inputs)
        self.layers: list[EnclosedLayer] = []
        carries: Indices = np.arange(self.inputs)
        for layer in network.layers:
            self.layers.append(EnclosedLayer(layer, carries, Reading(embedding, size), self.inputs))
            carries = self.layers[-1].after

    def start(self, z: TaylorForms) -> State:
        """What arrives at the first layer."""
        return State(np.arange(len(z)), z, np.arange(self.inputs), None)

    def before_last(self, z: TaylorForms, eta: float) -> State:
        """The state at the last gate, one row for every path that may lead there."""
        state = self.start(z)
        for layer in self.layers[:-1]:
            state = layer.advance(state, eta)
        return state
