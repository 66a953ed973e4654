"""What a block may ask of whoever compiles it: the names of its options, and the values that they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import Finding, Severity, did_you_mean
from ..expressions.builder import excerpt

ACTIVATIONS = ("relu", "relu2", "gelu", "gelu_tanh", "silu", "auto")
"""What the neurons of experts compute; auto: the smallest that meets ε."""
GATES = ("linear", "nonlinear", "tree")
"""What a gate is: an affine map of what arrives, a two-layer net of it (N1), or two affine levels."""
EXPERTS = ("dense", "factorised", "encoder", "projected", "auto")
"""What the first maps of experts are stored as (B6, N9): whole, in two factors each, or behind one map of all, of all dimensions that
charts span or of fewer (N10); auto: the fewest numbers of those that change no chart.
"""
WEIGHTINGS = ("softmax", "uniform", "rectified")
"""How the outputs of several chosen experts are weighed."""
MOST_CHOSEN = 1 << 12
"""Experts that an input may go through."""
OptionValue = str | bool | int
"""What an option is set to."""


@dataclass(frozen=True)
class Option:
    """One option of a block."""

    kind: type
    default: OptionValue
    """What a block gets of which nothing is said."""
    words: tuple[str, ...] = ()
    """All words there are; () where whoever compiles the block knows them."""
    switch: bool = False
    """Whether true and false are values too, beside words."""

    def problem(self, value: object) -> tuple[str, str] | None:
        """What is wrong with a value, and what to write instead; None if nothing is."""
        if self.switch and isinstance(value, bool):
            return None
        if self.kind is bool:
            return (
                None if isinstance(value, bool) else (f"expected true or false, got {_shown(value)}", "write true or false, without quotes")
            )
        if self.kind is int:
            if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_CHOSEN:
                return None
            return f"expected a whole number from 1 to {MOST_CHOSEN}, got {_shown(value)}", "write it without quotes"
        if not isinstance(value, self.kind) or not value:
            kind = "true, false or a text" if self.switch else "a text"
            return f"expected {kind}, got {_shown(value)}", "write it in quotes"
        if self.words and value not in self.words:
            words = ", ".join((*self.words, *(("true", "false") if self.switch else ())))
            return f"unknown word {_shown(value)}", f"{did_you_mean(str(value), self.words, '', ' ')}the words are {words}"
        return None


OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "routing": Option(str, "auto"),
        "theorem": Option(str, "auto"),
        "activation": Option(str, "relu", ACTIVATIONS),
        "gated": Option(bool, False),
        "gate": Option(str, "linear", GATES),
        "experts": Option(str, "dense", EXPERTS),
        "top_k": Option(int, 1),
        "weighting": Option(str, "softmax", WEIGHTINGS),
        "shared": Option(str, False, ("auto",), switch=True),
    }
)
"""Options of a block, and of a task on one manifold, which is a block by itself."""
EXACT = "exact"
"""What a combination may ask of its neurons: that they compute it up to rounding."""
COMBINE_OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "activation": Option(str, "relu", (*ACTIVATIONS, EXACT)),
        "gated": Option(bool, False),
    }
)
"""Options of a combination."""


def _shown(value: object) -> str:
    return excerpt(repr(value), length=40)


def findings(where: str, options: Mapping[str, object], known: Mapping[str, Option] = OPTIONS) -> list[Finding]:
    """What is wrong with options: names that are not `known`, and values that they do not take."""
    found = []
    for name, value in options.items():
        if name not in known:
            remedy = f"{did_you_mean(name, known, '', ' ')}the options are {', '.join(known)}"
            found.append(Finding(Severity.ERROR, where, f"has an unknown option {name!r}", remedy))
        elif (problem := known[name].problem(value)) is not None:
            found.append(Finding(Severity.ERROR, f"{where}: {name}", *problem))
    return found
