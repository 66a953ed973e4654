"""What helps where a budget is missed: what was tried, and each way out with its cost.

Options stand in remedies as `{name=value}`; whoever shows an error writes them as its reader does (`errors.written`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from ..atlas import Block, Combine
from ..errors import EpsilonNotReached
from .choices import UNDIVIDED, Choice

WIDEST = 16384
"""Beyond this the Gram matrix of a single fit would not fit into 2 GiB."""
ROOM = 1.25
"""How much wider than predicted the width that is recommended is."""


@dataclass(frozen=True)
class Missing:
    """What a node that missed its budget was asked for."""

    node: Block | Combine
    choice: Choice
    epsilon: float | None
    limit: int
    alone: bool
    """Whether the node is all of the task."""

    @property
    def dimension(self) -> int:
        """d, of the charts or boxes on which its experts are fitted."""
        if isinstance(self.node, Combine):
            return len(self.node.reads)
        return self.node.domain.dimension if self.node.atlas is not None else len(self.node.reads)

    @property
    def experts(self) -> int:
        return 1 if isinstance(self.node, Combine) or self.undivided else len(self.node)

    @property
    def undivided(self) -> bool:
        """Whether one net was asked for in the place of all experts."""
        return self.choice.theorem in UNDIVIDED


def advised(miss: EpsilonNotReached, missing: Missing) -> EpsilonNotReached:
    """The same miss with what was tried and what will help."""
    wider = _wider(miss, missing)
    tried = f"widths up to {miss.width} were tried of the {missing.limit:,} allowed"
    if wider is None:
        tried += f", and at the rate seen more than {8 * missing.limit:,} are needed"
    ways = list(_ways(miss, missing, wider))
    listed = "; ".join(f"({chr(ord('a') + n)}) {way}" for n, way in enumerate(ways)) if len(ways) > 1 else "".join(ways)
    return EpsilonNotReached(miss.what, budget=miss.budget, reached=miss.reached, width=miss.width, remedy=f"{tried}; {listed}")


def predicted(miss: EpsilonNotReached, dimension: int) -> int:
    """The width that the budget takes, at the rate m^(−(d+3)/(2d)) from what was reached."""
    return math.ceil(miss.width * (miss.reached / miss.budget) ** (2 * dimension / (dimension + 3)))


def _wider(miss: EpsilonNotReached, missing: Missing) -> int | None:
    """A width beyond the limit that should do; None where the search ended before the limit, because no width within reach would."""
    width = 2 ** math.ceil(math.log2(max(ROOM * predicted(miss, missing.dimension), 2 * missing.limit)))
    return width if 2 * miss.width > missing.limit and width <= WIDEST else None


def _ways(miss: EpsilonNotReached, missing: Missing, wider: int | None) -> Iterator[str]:
    node = missing.node
    if missing.choice.activation == "relu" and not missing.choice.gated:
        # Local nets that are put in parallel are of one activation, which has to be named.
        named = "silu" if missing.choice.theorem == "chen" else "auto"
        yield f"smooth neurons, far fewer numbers where f is smooth: {{activation={named}}}"
    if wider is not None:
        # Inputs, a bias and outputs of every neuron.
        numbers = wider * (len(node.reads) + 1 + len(node.components))
        each = f" in each of {missing.experts} experts" if missing.experts > 1 else ""
        yield f"wider experts: {{max_width={wider}}}, up to {numbers:,} numbers{each}"
    if isinstance(node, Combine):
        pass
    elif missing.undivided:
        yield "a mixture of experts: {theorem=auto}"
    elif node.domain.exclusive:
        yield f"finer pieces of {node.name}"
    elif missing.alone and missing.epsilon is not None:
        yield "in the place of the charts as many balls as `plan` finds cheapest: {minimise=active}"
    else:
        yield f"more charts of {node.name}"
    if missing.epsilon is not None and math.isfinite(miss.reached):
        yield f"a larger error: {{epsilon={_rounded(ROOM * missing.epsilon * miss.reached / miss.budget):g}}}"


def _rounded(value: float) -> float:
    """Up to two digits."""
    scale = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / scale) * scale
