"""Letters and signs that a spec has not, as it writes them: names and expressions are in ASCII, which C, TOML, Coq and PyTorch all read.

A message that refuses "θ" or "x·y" says what to write, and what it says is accepted.
"""

from __future__ import annotations

import re
import unicodedata

SIGNS = {
    **dict.fromkeys("·⋅×∗", "*"),
    **dict.fromkeys("−–—", "-"),
    **dict.fromkeys("÷∕", "/"),
    **{"π": "pi", "√": "sqrt(...)", "≤": "<=", "≥": ">=", "∧": "and", "∨": "or", "²": "**2", "³": "**3", "½": "(1/2)"},
}
"""Signs of formulas, and what stands for them in an expression."""


def name_like(text: str) -> str:
    """A name near to the text: θ is theta, é is e, x₁ is x1, a space _, and digits at the beginning go to the end. It may be empty."""
    found = re.sub("_+", "_", "".join(map(_letter, text))).rstrip("_")
    rest = found.lstrip("0123456789_")
    return rest + found[: len(found) - len(rest)].strip("_") if rest else ""


def _letter(character: str) -> str:
    """What is written for a character: itself, its plain form, the last word of a letter's name, or _."""
    plain = re.sub(r"[^A-Za-z_0-9]", "", unicodedata.normalize("NFKD", character))
    if plain:
        return plain
    called = unicodedata.name(character, "")
    if not character.isalpha() or "LETTER" not in called:
        return "_"
    word = called.split(" WITH ")[0].split()[-1]
    return word.capitalize() if character.isupper() else word.lower()
