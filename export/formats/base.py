"""`Format`: one of the forms in which a model leaves the house, and what is known of it there."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from ...moe import Model, Network
from .comparison import Run


class Standing(StrEnum):
    """What a certificate of the model says about what was exported."""

    CARRIES = "certificates carry over"
    """The same weights in the same dtype, sums in some order, activations and exponentials to so many digits (`moe.engines`): what is
    proved of the model for "plain" sums holds of it.
    """
    MEASURED = "measured only"
    """Differences are those that were measured, no more."""


@dataclass(frozen=True)
class Written:
    """What a format put into its folder."""

    network: Network
    """The network that the files hold."""
    run: Run | None
    """The files, run; None where this machine has nothing to run them with."""
    how: str
    """What ran them, with versions; or why they were not run."""
    use: str
    """How to use them: a few lines of Markdown."""
    model: Model | None = None
    """The model that the files hold, where that is another than the one that was given."""
    standing: tuple[Standing, str] | None = None
    """What certificates say of it, and why, where options change that; None: what the format says."""
    advice: str = ""
    """What to do if they are found to differ, where that is known beforehand."""


class Format(ABC):
    """A form that other people's tools read. There is one object of each subclass."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """What it is and what it can hold, in a sentence."""
    options: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def standing(self, network: Network) -> tuple[Standing, str]:
        """What certificates say of such a network in this form, and why."""

    def unfit(self, network: Network) -> str | None:
        """Why it cannot hold the network, with a remedy; None if it can."""
        return None

    def evaluating(self, model: Model, name: str) -> dict[str, str]:
        """The texts of the files that evaluate the model, by what they are called; none of formats that never hold a model of their own."""
        return {}

    @abstractmethod
    def write(self, model: Model, folder: Path, **options: Any) -> Written:
        """Write its files into the folder, which is there and empty."""
