"""`Assumption`: something that a proof rests on and does not prove, by name.

What a task leaves open is listed in its certificate. The statements are fixed texts, so that whoever checks a certificate knows which ones
there can be.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Assumption:
    """A premise of a theorem about a task."""

    name: str
    statement: str

    def of_block(self, block: str) -> Assumption:
        """The same about a block of a task graph."""
        return Assumption(f"block[{block}].{self.name}", f"{block}: {self.statement}")


def agreement(chart: str, other: str) -> Assumption:
    """Two charts of which exact arithmetic does not show that they agree."""
    return Assumption(
        f"open[{chart}, {other}]",
        f'M is a manifold in which the images of charts "{chart}" and "{other}" are open and agree where they meet',
    )


def faces(chart: str) -> Assumption:
    """Points that another chart has on boundary faces of this one, up to what enclosures add."""
    return Assumption(f"faces[{chart}]", f'M does not go on behind the boundary faces of chart "{chart}" (by less than 1e-6 of its width)')


def support(chart: str) -> Assumption:
    """A chart without a forward map, whose bump says where it is."""
    return Assumption(f"support[{chart}]", f'the bump of chart "{chart}", which has no forward map, is 0 off its image')


def on_manifold(block: str) -> Assumption:
    """What a block on charts reads, if other blocks compute it."""
    return Assumption(f"manifold[{block}]", f"the values that {block} reads lie on the manifold of its charts")
