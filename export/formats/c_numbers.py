"""Numbers as C text: hexadecimal floats, which every C99 compiler reads exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...moe.network import Floats

LINE = 110


def real(value: float, single: bool) -> str:
    """A literal with this value: 0x1.8p+1, and F behind it in single precision."""
    text = float(value).hex()
    sign, text = ("-", text[1:]) if text.startswith("-") else ("", text)
    mantissa, exponent = text.split("p")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{sign}{mantissa}p{exponent}{'F' if single else ''}"


def reals(values: Floats) -> list[str]:
    single = values.dtype == np.float32
    return [real(value, single) for value in values.reshape(-1).tolist()]


def listed(items: Iterable[str], indent: str = "    ") -> str:
    """Items with commas between, in lines."""
    lines: list[str] = []
    current = indent
    for item in items:
        if len(current) + len(item) > LINE and current.strip():
            lines.append(current.rstrip())
            current = indent
        current += f"{item}, "
    if current.strip():
        lines.append(current.rstrip().rstrip(","))
    return "\n".join(lines)


def array(kind: str, name: str, items: Sequence[str]) -> str:
    """A constant array of file scope; of nothing, one 0, as C has no empty arrays."""
    return f"static const {kind} {name}[{max(1, len(items))}] = {{\n{listed(items or ['0'])}\n}};\n"
