"""What a block may ask of whoever compiles it: the names of its options, and the values that they take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import Finding, Severity
from ..expressions.builder import excerpt, suggestion

ACTIVATIONS = ("relu", "relu2", "gelu", "gelu_tanh", "silu", "auto")
"""What the neurons of experts compute; auto: the smallest that meets ε."""


@dataclass(frozen=True)
class Option:
    """One option of a block."""

    kind: type
    words: tuple[str, ...] = ()
    """All values there are; () where whoever compiles the block knows them."""

    def problem(self, value: object) -> tuple[str, str] | None:
        """What is wrong with a value, and what to write instead; None if nothing is."""
        if self.kind is bool:
            return (
                None if isinstance(value, bool) else (f"expected true or false, got {_shown(value)}", "write true or false, without quotes")
            )
        if not isinstance(value, self.kind) or not value:
            return f"expected a text, got {_shown(value)}", "write it in quotes"
        if self.words and value not in self.words:
            return f"unknown word {_shown(value)}", f"{suggestion(str(value), self.words)}the words are {', '.join(self.words)}"
        return None


OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "routing": Option(str),
        "theorem": Option(str),
        "activation": Option(str, ACTIVATIONS),
        "gated": Option(bool),
    }
)
"""Options of a block, and of a task on one manifold, which is a block by itself."""
EXACT = "exact"
"""What a combination may ask of its neurons: that they compute it up to rounding."""
COMBINE_OPTIONS: Mapping[str, Option] = MappingProxyType(
    {
        "activation": Option(str, (*ACTIVATIONS, EXACT)),
        "gated": Option(bool),
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
            remedy = f"{suggestion(name, known)}the options are {', '.join(known)}"
            found.append(Finding(Severity.ERROR, where, f"has an unknown option {name!r}", remedy))
        elif (problem := known[name].problem(value)) is not None:
            found.append(Finding(Severity.ERROR, f"{where}: {name}", *problem))
    return found
