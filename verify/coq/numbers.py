"""Floats as Coq reads them: (m, e) for m·2^e, exactly; and matrices as few shared rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from numpy.typing import NDArray

Dyadic = tuple[int, int]
ZERO: Dyadic = (0, 0)


def dyadic(value: float) -> Dyadic:
    """(m, e) with value = m·2^e, m odd or both 0."""
    numerator, denominator = float(value).as_integer_ratio()
    if numerator == 0:
        return ZERO
    twos = (numerator & -numerator).bit_length() - 1
    return numerator >> twos, twos - (denominator.bit_length() - 1)


def number(pair: Dyadic) -> str:
    """The pair in Coq."""
    return f"({pair[0]},{pair[1]})"


def numbers(pairs: Iterable[Dyadic]) -> str:
    """A list of them."""
    return "[" + ";".join(map(number, pairs)) + "]"


def shared_rows(weight: NDArray) -> tuple[list[list[Dyadic]], list[tuple[int, Dyadic]]]:
    """Rows D and pairs (k_j, c_j) with row j = c_j·D[k_j], c_j = ±2^n: rows that differ by such a factor are written once."""
    known: dict[tuple[Dyadic, ...], tuple[int, int, int]] = {}
    rows: list[list[Dyadic]] = []
    chosen: list[tuple[int, Dyadic]] = []
    for row in weight.tolist():
        pairs = [dyadic(x) for x in row]
        some = [pair for pair in pairs if pair[0]]
        shift, sign = min((e for _, e in some), default=0), -1 if some and some[0][0] < 0 else 1
        key = tuple((sign * m, e - shift) if m else ZERO for m, e in pairs)
        if key not in known:
            known[key] = len(rows), shift, sign
            rows.append(pairs)
        place, first_shift, first_sign = known[key]
        chosen.append((place, (sign * first_sign, shift - first_shift)))
    return rows, chosen


def block(weight: NDArray, bias: NDArray) -> str:
    """The affine map W·x + b in Coq, of type `block dyadic`."""
    rows, chosen = shared_rows(weight)
    lines = ";\n  ".join(map(numbers, rows))
    places = ";".join(f"({place}%nat,{number(factor)})" for place, factor in chosen)
    return f"([{lines}],\n [{places}],\n {numbers(map(dyadic, bias.tolist()))})"


def naturals(values: Sequence[int]) -> str:
    """A list of natural numbers."""
    return "[" + ";".join(map(str, values)) + "]%nat"


def comment(text: str) -> str:
    """The text between the signs of a comment, whatever is in it."""
    plain = text.replace('"', "'").replace("(*", "( *").replace("*)", "* )")
    return f"(* {' '.join(plain.split())} *)"
