"""What a proof about charts may have to assume of a task, word by word.

The statements are fixed texts, so that whoever checks a certificate knows which ones there can be.
"""

from __future__ import annotations

from .ledger import Assumption


def agreement(chart: str, other: str) -> Assumption:
    """Of two charts of which exact arithmetic does not show that they agree."""
    statement = f'M is a manifold in which the images of charts "{chart}" and "{other}" are open and agree where they meet'
    return Assumption(f"open[{chart}, {other}]", statement)


def faces(chart: str) -> Assumption:
    """Of points that another chart has on boundary faces of this one, up to what enclosures add."""
    statement = f'M does not go on behind the boundary faces of chart "{chart}" (by less than 1e-6 of its width)'
    return Assumption(f"faces[{chart}]", statement)


def support(chart: str) -> Assumption:
    """Of a chart without a forward map, whose bump says where it is."""
    return Assumption(f"support[{chart}]", f'the bump of chart "{chart}", which has no forward map, is 0 off its image')


def of_block(block: str, taken: Assumption) -> Assumption:
    """The same about the charts of a block of a task graph."""
    return Assumption(f"block[{block}].{taken.name}", f"{block}: {taken.statement}")
