"""A block on pieces as a block on one: the same function, its cases told apart by `Piecewise` in the place of a gate.

The box is cut at one place of one coordinate at a time, and what lies on either side again: where such a condition is open, on a box
around the place, only what meets there is left, so that enclosures of a continuous function stay narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..atlas import Block, Tiling
from ..atlas.graph.nodes import expression_map
from ..atlas.spec.write import texts_of
from ..errors import InvalidArgument


def one_piece(block: Block) -> Block:
    """The block on the whole of its box. Every interface point keeps the owner that it has.

    Raises `InvalidArgument` for pieces that no straight cut parts, as four around a fifth in a pinwheel.
    """
    tiling = block.tiling
    assert tiling is not None
    if len(tiling) == 1:
        return block
    whole = f'block "{block.name}"'
    texts = [texts_of(function, block.reads, whole) for function in block.subtasks]
    cases = [_Cases(block, tiling, [text[j] for text in texts]).of(list(range(len(tiling)))) for j in range(len(block.components))]
    function = expression_map(block.reads, cases, whole)
    return replace(block, domain=Tiling.whole(tiling.domain, tiling.coordinates), subtasks=(function,))


@dataclass(frozen=True, eq=False)
class _Cases:
    """One component of a block, piece by piece."""

    block: Block
    tiling: Tiling
    texts: Sequence[str]

    def of(self, pieces: list[int]) -> str:
        """What the component is on these pieces together, as a text."""
        if len(pieces) == 1:
            return self.texts[pieces[0]]
        lower, upper = self.tiling.lower[pieces], self.tiling.upper[pieces]
        cuts = [(axis, float(t)) for axis in range(lower.shape[1]) for t in np.unique(lower[:, axis])[1:]]
        # The most even cut first: cases are nested as deep as cuts follow each other.
        for axis, t in sorted(cuts, key=lambda cut: abs(2 * int((upper[:, cut[0]] <= cut[1]).sum()) - len(pieces))):
            below = [i for i in pieces if self.tiling.upper[i, axis] <= t]
            above = [i for i in pieces if self.tiling.lower[i, axis] >= t]
            if len(below) + len(above) == len(pieces) and (sign := self._owner(below, above, axis, t)) is not None:
                return f"Piecewise(({self.of(below)}, {self.block.reads[axis]} {sign} {t!r}), ({self.of(above)}, True))"
        raise InvalidArgument(
            f'block "{self.block.name}": its pieces are not parted by straight cuts, one after the other, so that one net for all of them '
            "has no function to follow that enclosures could tell apart; leave theorem 'dense' out"
        )

    def _owner(self, below: list[int], above: list[int], axis: int, t: float) -> str | None:
        """The comparison that is true below a cut, points on it included where those below own them; None if some do and some do not."""
        low, high = self.tiling.owned
        own = {bool(high[i, axis]) for i in below if self.tiling.upper[i, axis] == t}
        own |= {not low[i, axis] for i in above if self.tiling.lower[i, axis] == t}
        return None if len(own) != 1 else "<=" if own.pop() else "<"
