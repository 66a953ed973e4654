"""Colours and axes that all figures share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FEW = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Eight colours that colour-blind readers can tell apart (Okabe and Ito)."""
INK, FAINT, LIMIT = "#222222", "#bbbbbb", "#c1121f"
TARGET_MAP, ERROR_MAP = "viridis", "magma"
FORMATS = (".svg", ".png", ".pdf")
"""What figures are written as."""
FLOOR = 1e-17
"""Errors below this are drawn as this on logarithmic scales."""
MARK, LETTER = 0.45, 0.068
"""Inches of a legend that a mark with what is about it takes, and a letter."""
MOST_ROWS = 24
"""Blocks, or nodes, that get a row in a picture."""


def expert_colors(count: int) -> NDArray[np.float64]:
    """One RGB colour per expert, (count, 3): the eight of FEW, else hues and shades that jump from one to the next."""
    from matplotlib.colors import hsv_to_rgb, to_rgb

    if count <= len(FEW):
        return np.array([to_rgb(color) for color in FEW[:count]])
    i = np.arange(count)
    golden = i * (np.sqrt(5) - 1) / 2 % 1
    return np.asarray(hsv_to_rgb(np.stack([golden, np.choose(i % 3, (0.55, 0.85, 0.7)), np.choose(i % 3, (0.95, 0.75, 0.55))], axis=1)))


def write(drawn: Figure, path: str | Path, dpi: int) -> None:
    """Save a figure as its suffix says. Raises `InvalidArgument` for other suffixes."""
    if Path(path).suffix.lower() not in FORMATS:
        suffix = repr(Path(path).suffix) if Path(path).suffix else "a file without a suffix"
        raise InvalidArgument(f"{path}: figures are written as {', '.join(FORMATS)}, not as {suffix}; choose one of them")
    drawn.savefig(path, dpi=dpi)


def log_error(error: NDArray[np.float64]) -> NDArray[np.float64]:
    """log₁₀ of an error, with a floor."""
    return np.log10(np.maximum(error, FLOOR))


def tidy(axes: Axes, title: str = "", **labels: str) -> None:
    """Thin frame, left-aligned title."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.set_title(title, loc="left", fontsize=9, color=INK)
    axes.set(**labels)
    axes.xaxis.label.set_fontsize(8)
    axes.yaxis.label.set_fontsize(8)


def cut_short(name: str, most: int = 28) -> str:
    """A name that leaves room for what it names."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def legend_below(drawn: Figure, handles: Sequence[Any], **style: Any) -> None:
    """The legend of a whole figure, below it, in as many columns as there is room for."""
    lengths = [len(str(handle.get_label())) for handle in handles]

    def width(columns: int) -> float:
        return sum(MARK + LETTER * float(part.max()) for part in np.array_split(lengths, columns))

    columns = next((n for n in range(len(lengths), 1, -1) if width(n) <= drawn.get_figwidth()), 1)
    drawn.legend(handles=handles, loc="outside lower center", ncols=columns, fontsize=8, frameon=False, handlelength=1.4, **style)


def called(chart: str) -> str:
    """The title of a chart's panel."""
    return chart if chart.startswith("chart") else f"chart {chart}"


def expert_handles(names: tuple[str, ...]) -> list[Any]:
    """What the colours of experts mean: by name if there are few enough, else that neighbours differ."""
    from matplotlib.patches import Patch

    if len(names) > len(FEW):
        return [Patch(color="none", label=f"{len(names)} experts, neighbours in different colours")]
    return [Patch(color=color, label=name) for color, name in zip(expert_colors(len(names)), names, strict=True)]
