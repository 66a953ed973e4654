"""What the ledger says of a shared expert: what it saves, and what it does not (N4).

Statement: let s be a two-layer net of width m_s and r_1, …, r_E experts of the same depth, of widths m_i. Then s + r_i is one net of
width m_s + m_i, so the same function has a mixture without a shared expert. That one stores (E − 1)·#s − E·q numbers more, #s the numbers
of s and q its outputs, of which s and every expert have biases. An input meets m_s + m_i neurons in either, and with the shared
expert q numbers more. So sharing saves at most (E − 1)·#s stored numbers, and never an active one.

Where experts are deeper than s, as g_i∘ψ_i is, an expert that does the same has s beside it: then (E − 1)·#s numbers more are stored.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...moe.ledger import Claim, Known
from ...moe.nets import Net

SOURCE = "section 4.3(c), N4"


def counted(shared: Net, experts: Sequence[Net], prefix: str = "") -> tuple[Claim, Claim]:
    """What sharing saves of the numbers that are stored; and that it saves none of those that an input meets."""
    E, own = len(experts), shared.parameters
    twice = shared.outputs if all(len(net.affines) == len(shared.affines) for net in experts) else 0
    rest = [net.parameters for net in experts]
    stored, without = own + sum(rest), sum(rest) + E * (own - twice)
    active, met = own + max(rest), max(rest) + own - twice
    saved = Claim(
        f"{prefix}shared.stored",
        f"sharing saves {without - stored} stored numbers, (E − 1)·#s of a shared expert of #s = {own} at most: the same function by {E} "
        f"experts alone, s in each of them, stores {without}, and not {stored}",
        SOURCE,
        float((E - 1) * own),
        float(without - stored),
        Known.EXACT,
    )
    unsaved = Claim(
        f"{prefix}shared.active",
        f"sharing saves no active numbers: s + r_i is one net of as many neurons, and an input that meets {active} numbers of shared and "
        f"routed experts would meet {met} of it",
        SOURCE,
        float(met),
        float(active),
        Known.EXACT,
        ">=",
    )
    return saved, unsaved
