"""What hidden neurons do to their pre-activations: one file a function; `ACTIVATIONS` has them by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ...errors import InvalidArgument, did_you_mean
from .base import Activation
from .gelu import GELU
from .gelu_tanh import GELU_TANH
from .identity import IDENTITY
from .relu import RELU
from .relu2 import RELU2
from .silu import SILU

ACTIVATIONS: Mapping[str, Activation] = MappingProxyType({a.name: a for a in (RELU, RELU2, GELU, GELU_TANH, SILU, IDENTITY)})

__all__ = ["ACTIVATIONS", "GELU", "GELU_TANH", "IDENTITY", "RELU", "RELU2", "SILU", "Activation", "activation"]


def activation(name: str | Activation) -> Activation:
    """The activation of this name. Raises `InvalidArgument` for others, with the nearest name."""
    if isinstance(name, Activation):
        return name
    if name not in ACTIVATIONS:
        raise InvalidArgument(f"activation {name!r} is not one of {', '.join(ACTIVATIONS)}{did_you_mean(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]
