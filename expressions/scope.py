"""Names that stand for constants where a text was written: parameters and loop values of a spec.

A text that may use such names is a `Scoped` text: it carries what they stand for, and every reader of this package puts the
constants in where it meets the names. Columns stay those of the text that the user wrote, and the tree holds numbers: what is
saved, enclosed and proved knows of no parameter. A constant has a size of its own, and so has a text once they are put in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .builder import Refused
from .grammar import MAX_NODES
from .parsed import Token, Tree

NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*")
"""A word of a text that may be a name."""
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
"""What stands in a name of a loop: {i}, {i + 1}."""
MAX_CONSTANT = 1000
"""Characters of a constant, once the constants that it is made of are put in."""


@dataclass(frozen=True, eq=False)
class Given:
    """What a name stands for: a constant expression without names."""

    name: str
    shown: str
    """The value as it was written."""
    text: str
    """The constant, as a text of the grammar."""
    parsed: Tree
    kind: str
    """What messages call it: "parameter" or "loop value"."""
    used: set[str]
    """The names that were met in some text so far; shared by all that were declared at one place."""


Scope = Mapping[str, Given]


class Scoped(str):
    """A text with the constants that it may name."""

    __slots__ = ("scope",)
    scope: Scope

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


def scoped(text: str, scope: Scope) -> str:
    """The text with the constants of the scope; as it is if there are none."""
    if not scope:
        return text
    found = Scoped(text)
    found.scope = scope
    return found


def scope_of(text: object) -> Scope:
    """The constants that a text may name."""
    return text.scope if isinstance(text, Scoped) else {}


def filled(text: str) -> str:
    """The text with its constants written in, in parentheses: it says the same without them."""
    scope = scope_of(text)

    def write(word: re.Match[str]) -> str:
        given = scope.get(word[0])
        if given is None:
            return word[0]
        given.used.add(given.name)
        return f"({given.text})"

    return NAME.sub(write, str(text))


def with_constants(parsed: Tree, scope: Scope, declared: Mapping[str, Any]) -> Tree:
    """What the parser saw, with constants in the place of their names; each takes the columns of its name.

    Raises `Refused` if a name is a coordinate and a constant at once, or if the whole becomes longer than an expression may be.
    """
    if not scope:
        return parsed
    grown = 0

    def copy(tree: Tree) -> Tree:
        nonlocal grown
        token = tree.children[0] if tree.rule == "name" else None
        if isinstance(token, Token) and (given := scope.get(str(token))) is not None:
            column = token.start + 1
            if given.name in declared:
                raise Refused(column, f"the name {given.name!r} is a {given.kind} and a coordinate here", f"rename the {given.kind}")
            given.used.add(given.name)
            grown += _size(given.parsed)
            if grown > MAX_NODES:
                raise Refused(column, "is too long once the parameters are put in", "split it into simpler parts")
            return _placed(given.parsed, token)
        return Tree(tree.rule, [copy(part) if isinstance(part, Tree) else part for part in tree.children])

    return copy(parsed)


def _size(tree: Tree) -> int:
    return sum(1 + len(part.children) for part in tree.trees())


def _placed(tree: Tree, at: Token) -> Tree:
    """A constant in parentheses, all of it where the token `at` is."""

    def move(part: Any) -> Any:
        if isinstance(part, Tree):
            return Tree(part.rule, [move(child) for child in part.children])
        return Token(part.kind, str(part), at.start, at.end)

    inner = tree.children[0] if tree.rule == "start" else tree
    opened, closed = (Token(kind, sign, at.start, at.end) for kind, sign in (("LPAR", "("), ("RPAR", ")")))
    return Tree("group", [opened, move(inner), closed])
