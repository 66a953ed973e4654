"""What is different between two records of a case: exactly, or but for what rounding may change.

Loosely, numbers are equal to 1e-9; words, names, routes, numbers of boxes and the structure are equal. Left out are hashes; and of
`verify` the places of the worst points and how many points were climbed to, because a climb among equal maxima goes where rounding leads.

Fits by least squares amplify rounding until another direction is chosen or another neuron pruned: on a machine that multiplies matrices in
another order, widths were seen to differ by a third and errors by a fifth. Of such records (`fitted`) a loose comparison looks at words
only: names, claims and how they are known, verdicts, routes, and how all of that hangs together. On one machine they are equal bit by bit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

HASH = "sha256"
NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?(?:e[-+]?\d+)?")
"""In texts; digits that belong to a name like arc0 are none."""
PADDING = re.compile(r"[\s─━│┃]+")
MISSING = "(missing)"
COUNTED = re.compile(r"^verify\.claims\[\d+\]\.statement$")
"""Texts of which only the words are compared: they count the points."""
CLIMBED = (
    r"\.witness$",
    r"^verify\.points$",
    r"^verify\.counts\.ascent$",
    r"^verify\.claims\[\d+\]\.samples$",
    r"^verify\.worst\..*\.(ambient|intrinsic|chart|route|kind)$",
)
NUMBERED = (r"\.shape$", r"^neurons\[\d+\]\.(reads|writes)$")
"""What else is not looked at where only words are: names of the neurons with the largest weights, for one."""


@dataclass(frozen=True)
class Tolerance:
    """How loose a comparison is."""

    ignored: re.Pattern[str]
    """Places not looked at."""
    numbers: bool = True
    """Whether numbers are compared, and not just words."""
    relative: float = 1e-9
    floor: float = 1e-12
    """Numbers that differ by less are equal: what rounding leaves of zero."""

    def close(self, old: float, new: float, unit: float = 0.0) -> bool:
        """Whether two numbers are equal, printed to `unit`."""
        return not self.numbers or abs(old - new) <= self.relative * max(abs(old), abs(new)) + self.floor + 1.001 * unit


CLOSE = Tolerance(re.compile("|".join(CLIMBED)))
SINGLE = Tolerance(re.compile("|".join(CLIMBED)), relative=1e-4, floor=1e-5)
"""For weights in float32."""
WORDS = Tolerance(re.compile("|".join((*CLIMBED, *NUMBERED))), numbers=False)


def differences(old: Any, new: Any, loose: bool = False) -> list[str]:
    """One line for each difference of two records, with its place."""
    if not loose:
        return list(_differ(old, new, "", None))
    single = new.get("verify", {}).get("dtype") == "float32"
    return list(_differ(old, new, "", WORDS if new.get("fitted") else SINGLE if single else CLOSE))


def without_hashes(data: Any) -> Any:
    """The part of a record that a loose comparison looks at."""
    if isinstance(data, dict):
        return {key: without_hashes(value) for key, value in data.items() if key != HASH}
    return [without_hashes(value) for value in data] if isinstance(data, list) else data


def _differ(old: Any, new: Any, place: str, loose: Tolerance | None) -> Iterator[str]:
    if loose is not None and loose.ignored.search(place) and MISSING not in (old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        for key in (*old, *(key for key in new if key not in old)):
            if loose is None or key != HASH:
                yield from _differ(old.get(key, MISSING), new.get(key, MISSING), f"{place}.{key}" if place else key, loose)
    elif isinstance(old, list) and isinstance(new, list):
        for number, (a, b) in enumerate(zip_longest(old, new, fillvalue=MISSING)):
            yield from _differ(a, b, f"{place}[{number}]", loose)
    elif not (_same(old, new) if loose is None else _close(old, new, place, loose)):
        yield f"{place}: {_short(old)} → {_short(new)}"


def _same(old: Any, new: Any) -> bool:
    return type(old) is type(new) and old == new and str(old) == str(new)  # the last for −0.0


def _close(old: Any, new: Any, place: str, loose: Tolerance) -> bool:
    if isinstance(old, str) and isinstance(new, str):
        aside = not loose.numbers or COUNTED.search(place) is not None
        return old == new or (_words(old) == _words(new) and (aside or _same_numbers(old, new, loose)))
    if type(old) is not type(new):
        return False
    if isinstance(old, float) or (type(old) is int and not loose.numbers):
        return loose.close(old, new)
    return old == new


def _words(text: str) -> list[str]:
    """The words of a text without its numbers, sorted: in a table a cell may be wrapped elsewhere when a number is longer."""
    return sorted(PADDING.sub(" ", NUMBER.sub("#", text)).split())


def _same_numbers(old: str, new: str, loose: Tolerance) -> bool:
    """Whether two texts of the same words have the same numbers, but for one in the last digit that is printed."""
    for a, b in zip(NUMBER.findall(old), NUMBER.findall(new), strict=True):
        unit = max(_last_digit(a), _last_digit(b)) if "." in a + b or "e" in a + b else 0.0
        if a != b and not (unit and loose.close(float(a.replace(",", "")), float(b.replace(",", "")), unit)):
            return False
    return True


def _last_digit(number: str) -> float:
    """The unit of the last digit of a printed number."""
    digits, _, exponent = number.partition("e")
    return 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"
