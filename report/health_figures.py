"""A figure for every diagnosis: loads and bounds as bars, margins and distances as distributions, with the threshold in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..doctor import Diagnosis, Health
from ..doctor.diagnosis import Bars, Curve, Spread
from ..errors import AtlasMoEError
from .palette import FEW, INK, LIMIT, legend_below, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160
MOST_BARS, MOST_NAMES = 64, 24
LINE = 70
"""Characters of names that stand side by side."""
FAINTER = "#8a8a8a"


def health_figures(found: Health, folder: str | Path) -> tuple[Path, ...]:
    """A PNG for every diagnosis that has a picture, in a folder that is made if it is not there; their paths.

    Raises `AtlasMoEError` if matplotlib is not installed.
    """
    folder = Path(folder)
    shown = [one for one in found if one.picture is not None]
    names = [re.sub(r"[^\w.-]+", "-", f"{one.sign}-{one.where}").strip("-") for one in shown]
    paths = []
    for one, name in zip(shown, names, strict=True):
        drawn = draw(one)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        drawn.savefig(path, dpi=DPI)
        paths.append(path)
    return tuple(paths)


def draw(one: Diagnosis) -> Figure:
    """One diagnosis; what is ill is red. Raises `AtlasMoEError` if matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AtlasMoEError("figures need matplotlib: pip install 'atlasmoe[figures]'") from error
    drawn = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = drawn.subplots()
    match one.picture:
        case Bars():
            _bars(axes, one.picture)
        case Spread():
            _spread(axes, one.picture)
        case Curve():
            _curve(axes, one.picture)
    if axes.get_legend_handles_labels()[0]:
        legend_below(drawn, axes.get_legend_handles_labels()[0])
    verdict = "ill" if one.ill else "healthy"
    sense = {"<=": "≤", ">=": "≥"}.get(one.sense, one.sense)
    head = f"{verdict}: {subscripts(one.quantity)} {one.value:.4g}, healthy if {sense} {one.threshold:.4g}"
    drawn.suptitle(head, x=0.01, ha="left", fontsize=9, color=LIMIT if one.ill else INK)
    return drawn


def _bars(axes: Axes, picture: Bars) -> None:
    values = np.asarray(picture.values, float)
    shown = np.arange(len(values)) if len(values) <= MOST_BARS else np.sort(np.argsort(-values)[:MOST_BARS])
    marked = set(picture.marked)
    colors = [LIMIT if k in marked else FEW[0] for k in shown]
    axes.bar(np.arange(len(shown)), values[shown], color=colors, width=0.8)
    empty = [place for place, k in enumerate(shown) if k in marked and values[k] <= 0]
    if empty:
        axes.plot(empty, np.zeros(len(empty)), "v", color=LIMIT, markersize=6, clip_on=False, linestyle="none", label="what is ill, at 0")
    if len(marked & set(shown.tolist())) > len(empty):
        axes.bar([0], [0], color=LIMIT, width=0, label="what is ill")
    if picture.limit is not None:
        axes.axhline(picture.limit, color=LIMIT, linestyle="--", linewidth=1, label=picture.label)
        axes.set_ylim(0, 1.25 * max(float(values.max(initial=0)), picture.limit))
    if not values[shown].any():
        axes.text(0.5, 0.5, "0 for all of them", transform=axes.transAxes, ha="center", fontsize=9, color=FAINTER)
        axes.set_ylim(0, max(1.0, 1.25 * (picture.limit or 0)))
    few = len(shown) <= MOST_NAMES
    names = [picture.names[k].removeprefix("expert ") for k in shown] if few else []
    turned: dict[str, Any] = {"rotation": 45, "ha": "right"} if sum(map(len, names)) > LINE else {}
    axes.set_xticks(np.arange(len(names)), names, **turned)
    more = "" if len(shown) == len(values) else f" ({len(shown)} of {len(values)})"
    tidy(axes, subscripts(picture.title) + more, xlabel="expert", ylabel=subscripts(picture.title.rpartition(": ")[2]))


def _spread(axes: Axes, picture: Spread) -> None:
    every = np.asarray(picture.values, float)
    values = every[np.isfinite(every) & (every > 0)]
    ends = np.log10([*(values.min(initial=np.inf), values.max(initial=0)), picture.limit]) if len(values) else np.log10([picture.limit])
    low, high = float(np.floor(ends.min())) - 0.2, float(np.ceil(ends.max())) + 0.2
    axes.hist(values, bins=np.logspace(low, high, 60).tolist(), color=FEW[0])
    axes.axvline(picture.limit, color=LIMIT, linestyle="--", linewidth=1, label=picture.said)
    axes.set_xscale("log")
    # A logarithmic scale has no place for these; they may be the ones that are ill.
    for count, what in ((int((every <= 0).sum()), "0"), (int((~np.isfinite(every)).sum()), "no finite number")):
        if count:
            axes.plot([], [], " ", label=f"not shown: {count:,} of {len(every):,} rows, which have {what}")
    tidy(axes, picture.title, xlabel=subscripts(picture.label), ylabel="rows")


def _curve(axes: Axes, picture: Curve) -> None:
    for k, (label, y) in enumerate(picture.lines):
        if picture.dots and k == 0:
            axes.plot(picture.x, y, ".", color=FEW[0], markersize=2, label=label)
        else:
            axes.plot(picture.x, y, color=(INK, LIMIT, FAINTER)[(k - picture.dots) % 3], linewidth=1, label=label)
    top = max(float(np.max(picture.lines[0][1])), 1e-9)
    axes.set_ylim(0, 1.3 * top)
    tidy(axes, picture.title, xlabel=picture.labels[0], ylabel=picture.labels[1])


def subscripts(text: str) -> str:
    """p_i and η_j as they are printed."""
    return re.sub(r"\b([pη])_([ij])\b", lambda found: found[1] + {"i": "ᵢ", "j": "ⱼ"}[found[2]], text)
