"""`Stock`: what has to be said of a class of transformers."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from ....moe.network import Floats
from ..base import Format
from .lanes import Lanes
from .numbers import Neurons, Numbers, Sizes
from .selection import Rule

Parts = tuple[str, str]
"""A module below transformers.models, and a class in it."""


class Stock(Format):
    """A class of transformers. There is one object of each subclass."""

    options = ("what", "dtype")
    causal: ClassVar[Parts]
    """Its …ForCausalLM."""
    configuration: ClassVar[str]
    moe: ClassVar[str]
    """Its mixture block, in the module of `causal`."""
    mlp: ClassVar[str | None] = None
    """What stands in its place in layers without experts, where the class has such."""
    rule: ClassVar[Rule]
    one: ClassVar[bool] = True
    """Whether maps have no biases, so that the stream holds a 1."""
    encoders: ClassVar[bool] = False
    sharing: ClassVar[bool] = False
    least: ClassVar[int] = 1
    """Experts."""
    multiple: ClassVar[int] = 1
    """The width of the stream is one of this."""
    activations: ClassVar[tuple[str, ...]]
    double: ClassVar[bool] = False
    """Whether its blocks keep float64, routers included."""
    returns_pair: ClassVar[bool] = False
    """Whether its blocks return something beside what is added to the stream."""

    @abstractmethod
    def config(self, sizes: Sizes) -> dict[str, Any]:
        """What its configuration says beside what all have."""

    @abstractmethod
    def neurons(self, made: Lanes, act: str, one: int) -> Neurons:
        """Neurons in the terms of the class; `one`: which of the numbers that they read is 1, if one is."""

    @abstractmethod
    def fill(self, block: Any, numbers: Numbers, router: tuple[Floats, Floats], sizes: Sizes) -> None:
        """Put one layer of the decoder into a block whose parameters are 0."""

    def fill_dense(self, block: Any, neurons: Neurons, sizes: Sizes) -> None:
        """The same for a layer without experts, of classes that have such (`mlp`); others are never asked."""
        raise AssertionError(f"{self.name} has no layers without experts")
