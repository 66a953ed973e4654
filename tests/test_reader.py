"""The reader of expressions against a parser that is made from the grammar itself: the same trees, the same refusals."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import lark
import pytest
from atlasmoe.expressions.grammar import GRAMMAR
from atlasmoe.expressions.parsed import Token, Tree
from atlasmoe.expressions.reader import Unexpected, Unknown, parse

MADE = lark.Lark(GRAMMAR, parser="lalr", maybe_placeholders=False)
WORDS = (
    *("x", "y", "sin", "atan2", "True", "Piecewise", "and", "or", "andx", "orTrue", "e", "1", "2.5", ".5", "3.", "1e5", "1e", "0.5e-3"),
    *("(", ")", "(", ")", ",", "+", "-", "*", "/", "**", "<", "<=", ">", ">=", "&", "|", " ", ".", "^", "=", "é", "_"),
)
TEXTS = (
    *(
        "",
        " ",
        "x",
        "-x**-y**2",
        "2**3**2 - x**2",
        "(x",
        "sin(x, ",
        "sin(",
        "x y",
        "x andy",
        "(x and y)",
        "2x",
        "x.5",
        "x(",
        "1 (x)",
        "True(x)",
    ),
    "Piecewise((x, x < 1), (1, True))",
    "Piecewise((x, (x) < 1 and ((y > 2) or x + 1 > (2))), (1, True),)",
    "Piecewise((1, ((x < 1))), (2, True))",
    "Piecewise((1, (True)), (2, True))",
    "Piecewise((1, x < 1 andy > 2 ory < 1), (2, True))",
    "Piecewise((1, (x < 1) < 2))",
    "Piecewise((1, ((x) + 1)*2 < 1))",
    "Piecewise((1, (x < 1 or y > 2) and x > 0 & y < 1 | True))",
    *(
        "Piecewise((1",
        "Piecewise((1, (x",
        "Piecewise((1, x < 1",
        "Piecewise((1, True)andy",
        "Piecewise((1, Truey))",
        "Piecewise((1, True + 1))",
    ),
    *("-" * 3000 + "x", "**".join("x" * 2000), "+".join("x" * 3000), "(" * 100 + "x" + ")" * 100, "sin(" * 100 + "x" + ")" * 100),
    "Piecewise((1, " + "(" * 90 + "x" + ")" * 90 + " < 1), (x, True))",
)


def ours(text: str) -> Any:
    def plain(part: Any) -> Any:
        return (part.rule, *map(plain, part.children)) if isinstance(part, Tree) else (str(part), part.start, part.end)

    return outcome(lambda: plain(parse(text)))


def theirs(text: str) -> Any:
    def plain(part: Any) -> Any:
        return (str(part.data), *map(plain, part.children)) if isinstance(part, lark.Tree) else (str(part), part.start_pos, part.end_pos)

    return outcome(lambda: plain(MADE.parse(text)))


def outcome(read: Callable[[], Any]) -> Any:
    """What was read, or why not: where, what, and at the end whether a parenthesis could come."""
    try:
        return read()
    except RecursionError:  # of `plain`: the tree itself is as deep as the text is long
        return "deep"
    except (Unknown, lark.exceptions.UnexpectedCharacters) as error:
        return "character", error.place if isinstance(error, Unknown) else error.pos_in_stream
    except Unexpected as error:
        return ("end", error.closes) if error.token.kind == "END" else ("token", str(error.token), error.token.start)
    except lark.exceptions.UnexpectedToken as error:
        return ("end", "RPAR" in error.expected) if error.token.type == "$END" else ("token", str(error.token), error.token.start_pos)


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    assert ours(text) == theirs(text)


def test_random_texts() -> None:
    rng = random.Random(1)
    seen = set()
    for _ in range(1500):
        text = "".join(rng.choices(WORDS, k=rng.randint(1, 12)))
        seen.add(type(ours(text)[0]))
        assert ours(text) == theirs(text), text


def test_texts_that_are_nearly_right() -> None:
    rng = random.Random(2)
    right = [text for text in TEXTS if len(text) < 200]
    for _ in range(1500):
        words = re.findall(r"\w+|\*\*|<=|.", rng.choice(right))
        for _ in range(rng.randint(0, 2)):
            at = rng.randrange(len(words) + 1)
            words[at : at + rng.randint(0, 1)] = rng.choices(WORDS, k=rng.randint(0, 1))
        text = "".join(words)
        assert ours(text) == theirs(text), text


def test_tokens_travel() -> None:
    import pickle

    token = Token("NAME", "x", 3, 4)
    copy = pickle.loads(pickle.dumps(token))
    assert (copy, copy.kind, copy.start, copy.end) == ("x", "NAME", 3, 4)
