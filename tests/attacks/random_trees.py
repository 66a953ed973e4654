"""Random expressions of the whole grammar, and random boxes, many at special numbers: what enclosures are attacked with."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from atlasmoe.expressions.tree import (
    And,
    Call,
    Comparison,
    Constant,
    Name,
    Negative,
    Node,
    Number,
    Or,
    Piecewise,
    Power,
    Product,
    Reciprocal,
    Sum,
    Truth,
)  # fmt: skip

FUNCTIONS = ("sin", "cos", "tan", "cot", "asin", "acos", "atan", "sinh", "cosh", "tanh", "asinh", "acosh", "atanh", "exp", "log", "sqrt")
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.pi / 2, np.pi, 5e-324, 1e-310, 1e-300, 1e-160, 1e160, 1e300)
NUMBERS = (0.0, 0.1, 0.3, 0.5, 1.5, 2.5, 1e-3, 1e5, 1e-30, 1e-200, 1e-310, 1e200)


class Trees:
    """Random trees of the whole grammar."""

    def __init__(self, rng: np.random.Generator, names: tuple[str, ...]) -> None:
        self.rng, self.names = rng, names
        self.made: list[Node] = []

    def __call__(self, depth: int) -> Node:
        rng = self.rng
        if depth <= 0 or rng.random() < 0.12:
            return self.leaf()
        if self.made and rng.random() < 0.1:
            return self.made[rng.integers(len(self.made))]  # a part that occurs again
        node = self.node(depth - 1)
        self.made.append(node)
        return node

    def leaf(self) -> Node:
        if self.rng.random() < 0.75:
            return Name(str(self.rng.choice(self.names)))
        return self.number()

    def number(self) -> Node:
        rng = self.rng
        kind = rng.integers(4)
        if kind == 0:
            return Number(Fraction(int(rng.integers(0, 6))))
        if kind == 1:
            return Number(float(rng.choice(NUMBERS)))
        if kind == 2:
            return Product((Number(Fraction(int(rng.integers(1, 5)))), Reciprocal(Number(Fraction(int(rng.integers(1, 8)))))))
        return Constant(str(rng.choice(["pi", "E"])))

    def node(self, depth: int) -> Node:
        rng = self.rng
        match int(rng.integers(16)):
            case 0 | 1 | 2:
                terms = [self(depth) for _ in range(rng.integers(2, 4))]
                return Sum(tuple(Negative(term) if rng.random() < 0.4 else term for term in terms))
            case 3 | 4:
                return Product(tuple(self(depth) for _ in range(rng.integers(2, 4))))
            case 5:
                return Product((self(depth), Reciprocal(self(depth))))
            case 6:
                return Negative(self(depth))
            case 7 | 8:
                return Power(self(depth), self.exponent(depth))
            case 9 | 10 | 11:
                return Call(str(rng.choice(FUNCTIONS)), (self(depth),))
            case 12:
                return Call(str(rng.choice(["Abs", "sign"])), (self(depth),))
            case 13:
                return Call(str(rng.choice(["Max", "Min", "atan2"])), (self(depth), self(depth)))
            case 14:
                return self.guarded(depth)
        cases = [(self(depth), self.condition(depth)) for _ in range(rng.integers(1, 3))]
        return Piecewise((*cases, (self(depth), Truth(True))))

    def exponent(self, depth: int) -> Node:
        rng = self.rng
        kind = rng.integers(8)
        if kind < 4:
            n = Number(Fraction(int(rng.choice([0, 1, 2, 3, 4, 5, 17])))) if rng.random() < 0.5 else Number(float(rng.integers(1, 5)))
            return Negative(n) if rng.random() < 0.3 else n
        if kind < 7:
            p = Number(float(rng.choice([0.5, 1.5, 2.5, 0.7, 3.5, 0.25])))
            p = Product((Number(Fraction(int(rng.integers(1, 8)))), Reciprocal(Number(Fraction(3))))) if rng.random() < 0.3 else p
            p = Call("sqrt", (Number(Fraction(2)),)) if rng.random() < 0.1 else p
            return Negative(p) if rng.random() < 0.25 else p
        return self(min(depth, 1))

    def condition(self, depth: int) -> Node:
        rng = self.rng
        kind = rng.random()
        if kind < 0.15:
            return And((self.condition(0), self.condition(0)))
        if kind < 0.3:
            return Or((self.condition(0), self.condition(0)))
        right = self.number() if rng.random() < 0.5 else self(min(depth, 1))
        return Comparison(str(rng.choice(["<", "<=", ">", ">="])), self(min(depth, 1)), right)

    def guarded(self, depth: int) -> Node:
        """What is defined because of its condition, or nearly."""
        rng = self.rng
        part = self(min(depth, 1))
        inner = Negative(part) if rng.random() < 0.5 else part
        one = Number(Fraction(1))
        values = [
            *(Call(name, (inner,)) for name in ("sqrt", "log", "asin")),
            Power(inner, Number(1.5)),
            Product((part, Call("log", (inner,)))),
            Product((one, Reciprocal(inner))),
            Call("exp", (Product((Negative(one), Reciprocal(inner))),)),
        ]
        value = values[rng.integers(len(values))]
        relation = str(rng.choice(["<", "<=", ">", ">="]))
        bound = Number(Fraction(0)) if rng.random() < 0.8 else self.number()
        condition = Comparison(relation, part, bound) if rng.random() < 0.8 else Comparison(relation, Call("Abs", (part,)), self.number())
        cases = [(value, condition), (self(min(depth, 1)), Truth(True))]
        if rng.random() < 0.3:
            cases = [(cases[1][0], condition), (value, Truth(True))]
        return Piecewise(tuple(cases))


def random_boxes(rng: np.random.Generator, N: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, d) of every size, some without width, many with an end at a special number or a hair beside it."""
    lower = rng.normal(size=(N, d)) * 10.0 ** rng.choice([-3, -1, 0, 0, 0, 0, 0, 0, 0.5, 3], (N, 1))
    upper = lower + 10.0 ** np.where(rng.random((N, d)) < 0.4, rng.uniform(-9, 0, (N, d)), rng.uniform(-1, 0.7, (N, d))) * (
        rng.random((N, d)) < 0.95
    )
    special = rng.choice(SPECIAL, (N, d))
    special = np.where(rng.random((N, d)) < 0.2, np.nextafter(special, rng.choice([-np.inf, np.inf], (N, d))), special)
    special = special * rng.choice([1.0, 1.0, -1.0], (N, d))
    ends = rng.random((2, N, d)) < 0.2
    lower, upper = np.where(ends[0], special, lower), np.where(ends[1], special, upper)
    return np.minimum(lower, upper), np.maximum(lower, upper)
