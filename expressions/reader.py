"""`parse`: the tree of a text by `grammar.GRAMMAR`.

One token is looked at ahead, and decides: a text that the grammar does not have is refused at the first token with which it can no
longer go on, and whatever stands before that token is the beginning of some text that the grammar has. Only parentheses nest as deep as
functions call each other here, and they are counted before; signs and powers may be thousands in a row.
"""

from __future__ import annotations

import re

from .parsed import Token, Tree

SPACE = re.compile(r"\s*")
TOKEN = re.compile(
    r"""(?P<NUMBER>([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?) | (?P<NAME>[A-Za-z_][A-Za-z_0-9]*) | (?P<POWER>\*\*)
    | (?P<COMPARE>[<>]=?) | (?P<SCALE>[*/]) | (?P<SIGN>[+-]) | (?P<LPAR>\() | (?P<RPAR>\)) | (?P<COMMA>,) | (?P<AND>&) | (?P<OR>\|)""",
    re.VERBOSE,
)
CONNECTIVE = re.compile("(?P<AND>and)|(?P<OR>or)")
"""Words that are signs where a condition may go on, whatever letters come after them."""
WORDS = {"True": "TRUE", "Piecewise": "PIECEWISE"}
END = "END"


class Unexpected(Exception):
    """The grammar does not go on with this token; of kind `END` where the text ends. `closes`: it would with a parenthesis."""

    def __init__(self, token: Token, closes: bool) -> None:
        super().__init__(str(token))
        self.token, self.closes = token, closes


class Unknown(Exception):
    """No token begins at this character of the text."""

    def __init__(self, place: int) -> None:
        super().__init__(str(place))
        self.place = place


def parse(text: str) -> Tree:
    """The tree; raises `Unexpected` or `Unknown`."""
    reader = _Reader(text)
    tree = reader.sum()
    if reader.next.kind != END:
        raise reader.unexpected()
    return Tree("start", [tree])


class _Reader:
    """Reads a text from left to right. Each method is a rule of the grammar: it takes the rule's tokens, and leaves `next` behind them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.next = self._token(0, connected=False)

    def _token(self, start: int, *, connected: bool) -> Token:
        """The token from there on; `connected` if `and` and `or` may come."""
        space = SPACE.match(self.text, start)
        start = space.end() if space else start
        if start == len(self.text):
            return Token(END, "", start, start)
        found = (CONNECTIVE.match(self.text, start) if connected else None) or TOKEN.match(self.text, start)
        if found is None:
            raise Unknown(start)
        kind = str(found.lastgroup)
        return Token(WORDS.get(found[0], kind), found[0], start, found.end())

    def take(self, *kinds: str, connected: bool = False) -> Token:
        """The next token, which is of one of these kinds; `connected` if `and` and `or` may come after it."""
        token = self.next
        if token.kind not in kinds:
            raise self.unexpected(closes="RPAR" in kinds)
        self.next = self._token(token.end, connected=connected)
        return token

    def unexpected(self, *, closes: bool = False) -> Unexpected:
        return Unexpected(self.next, closes)

    def sum(self, first: Tree | None = None) -> Tree:
        """Terms, each of them signs and a product; of the first product the first atom may be read already."""
        terms: list[Tree | Token] = []
        while True:
            signs = [] if first else self.signs()
            factors: list[Tree | Token] = [self.power(first)]
            first = None
            while self.next.kind == "SCALE":
                scale, inner = self.take("SCALE"), self.signs()
                factors += [scale, _signed(inner, self.power())]
            product = factors[0] if len(factors) == 1 else Tree("product", factors)
            assert isinstance(product, Tree)
            terms.append(_signed(signs, product))
            if self.next.kind != "SIGN":
                break
            terms.append(self.take("SIGN"))
        return terms[0] if len(terms) == 1 and isinstance(terms[0], Tree) else Tree("sum", terms)

    def signs(self) -> list[Token]:
        found = []
        while self.next.kind == "SIGN":
            found.append(self.take("SIGN"))
        return found

    def power(self, first: Tree | None = None) -> Tree:
        """An atom to the power of what comes next, to the power of what comes then: from the right."""
        atoms, between = [first or self.atom()], list[tuple[Token, list[Token]]]()
        while self.next.kind == "POWER":
            between.append((self.take("POWER"), self.signs()))
            atoms.append(self.atom())
        tree = atoms.pop()
        for sign, signs in reversed(between):
            tree = Tree("power", [atoms.pop(), sign, _signed(signs, tree)])
        return tree

    def atom(self) -> Tree:
        kind = self.next.kind
        if kind == "NUMBER":
            return Tree("number", [self.take(kind, connected=True)])
        if kind == "LPAR":
            return Tree("group", [self.take(kind), self.sum(), self.close()])
        if kind == "PIECEWISE":
            return self.piecewise()
        if kind not in ("NAME", "TRUE"):
            raise self.unexpected()
        name = self.take(kind, connected=True)
        if self.next.kind != "LPAR":
            return Tree("name", [name])
        children: list[Tree | Token] = [name, self.take("LPAR"), self.sum()]
        while self.next.kind == "COMMA":
            self.take("COMMA")
            children.append(self.sum())
        return Tree("call", [*children, self.close()])

    def close(self) -> Token:
        return self.take("RPAR", connected=True)

    def piecewise(self) -> Tree:
        children: list[Tree | Token] = [self.take("PIECEWISE"), self.take("LPAR"), self.case()]
        while self.next.kind == "COMMA":
            self.take("COMMA")
            if self.next.kind == "RPAR":
                break
            if self.next.kind != "LPAR":
                raise self.unexpected(closes=True)
            children.append(self.case())
        return Tree("piecewise", [*children, self.close()])

    def case(self) -> Tree:
        self.take("LPAR")
        value = self.sum()
        self.take("COMMA")
        condition = self.condition()
        self.take("RPAR")
        return Tree("case", [value, condition])

    def condition(self, first: Tree | None = None) -> Tree:
        """Conditions joined by `or`, each of them truths joined by `and`; the first truth may be read already."""
        joined = []
        while True:
            truths = [first or self.truth()]
            first = None
            while self.next.kind == "AND":
                self.take("AND")
                truths.append(self.truth())
            joined.append(truths[0] if len(truths) == 1 else Tree("conjunction", truths))
            if self.next.kind != "OR":
                return Tree("disjunction", joined)
            self.take("OR")

    def truth(self) -> Tree:
        """A comparison, or True, or a condition in parentheses."""
        found, condition = self.either(within=False)
        return found if condition else self.comparison(found)

    def comparison(self, left: Tree) -> Tree:
        return Tree("comparison", [left, self.take("COMPARE"), self.sum()])

    def either(self, *, within: bool) -> tuple[Tree, bool]:
        """A sum or a truth, and whether it is one; `within` parentheses all of the condition that it begins."""
        if self.next.kind == "TRUE":
            found, condition = Tree("true", [self.take("TRUE", connected=True)]), True
        elif self.next.kind == "LPAR":
            opened = self.take("LPAR")
            found, condition = self.either(within=True)
            closed = self.close()
            if not condition:
                found = self.sum(Tree("group", [opened, found, closed]))
        else:
            found, condition = self.sum(), False
        if not within:
            return found, condition
        if not condition and self.next.kind == "COMPARE":
            found, condition = self.comparison(found), True
        return (self.condition(found), True) if condition else (found, False)


def _signed(signs: list[Token], tree: Tree) -> Tree:
    for sign in reversed(signs):
        tree = Tree("signed", [sign, tree])
    return tree
