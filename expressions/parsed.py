"""What the parser sees in a text: `Token`, `Tree`, and `Fold`, which makes something of a tree from its leaves up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class Token(str):
    """A word, number or sign of the text, characters [start, end); its `kind` is a terminal of `grammar.GRAMMAR`."""

    __slots__ = ("end", "kind", "start")
    kind: str
    start: int
    end: int

    def __new__(cls, kind: str, text: str, start: int, end: int) -> Token:
        token = super().__new__(cls, text)
        token.kind, token.start, token.end = kind, start, end
        return token

    def __reduce__(self) -> tuple[Any, ...]:
        return Token, (self.kind, str(self), self.start, self.end)


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """A rule of the grammar, by the name of it or of its alternative, and what stands in its place."""

    rule: str
    children: list[Any]
    """Trees and tokens."""

    def trees(self) -> Iterator[Tree]:
        """This tree and all in it."""
        pending = [self]
        while pending:
            tree = pending.pop()
            yield tree
            pending.extend(child for child in tree.children if isinstance(child, Tree))


class Fold:
    """Has a method for each rule, which gets what became of the children, in the order of the text. Not recursive: trees may be deep."""

    def transform(self, tree: Tree) -> Any:
        """What the method of the whole tree returns."""
        order: list[Tree | Token] = []
        pending: list[Tree | Token] = [tree]
        while pending:  # parents before children, later children first
            part = pending.pop()
            order.append(part)
            if isinstance(part, Tree):
                pending.extend(part.children)
        made: list[Any] = []
        for part in reversed(order):
            if isinstance(part, Tree):
                first = len(made) - len(part.children)
                made[first:] = [getattr(self, part.rule)(made[first:])]
            else:
                made.append(part)
        return made[0]
