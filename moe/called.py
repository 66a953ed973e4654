"""`called`: the user's own names of what a network reads, in the place of x[0], x[1], …, which files say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..atlas.graph import as_graph
from .model import Model


@dataclass(frozen=True)
class Names:
    """What channels are called by files, and by the user."""

    own: dict[str, str]

    def __call__(self, channels: Sequence[str]) -> tuple[str, ...]:
        """These channels; values and scores are called as in the files, where they have the user's names already."""
        return tuple(self.own.get(name, name) for name in channels)


def called(model: Model) -> Names:
    """Of the inputs of a model the names of its coordinates; of one that is embedded x[0], x[1], … stay, as they are no coordinates."""
    return Names(dict(zip(model.network.inputs, as_graph(model.task).read, strict=True)))


AS_STORED = Names({})
"""Of a network whose task is not known."""
