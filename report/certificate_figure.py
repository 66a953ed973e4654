"""`certificate_figure`: the boxes of a proof, coloured by what was proved on each."""

from __future__ import annotations

import textwrap
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atlas.graph import as_graph
from ..atlas.wanted import measure
from ..errors import AtlasMoEError
from ..moe.ledger import Known
from ..verify.prove import Certificate
from ..verify.prove.tree import PROVED, UNSETTLED, Tree
from .evaluation import names_of_panels
from .palette import ERROR_MAP, FAINT, INK, LIMIT, cut_short, legend_below, tidy, write

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_PANELS = 12
COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3, 9: 3}
"""Of so many panels; of other numbers four."""
ALIKE = 2.0
"""The sides of a chart are drawn to one scale where the longer is less than so many times the shorter."""
TICKS = 5
COLOR, ELSEWHERE_COLOR = "#4c78a8", "#eeeeee"


def certificate_figure(certificate: Certificate, path: str | Path | None = None) -> Figure:
    """One panel for each chart (the first twelve): d = 1, the proved bound along it; d = 2, its boxes; d ≥ 3, how bounds are distributed.

    What is bounded is |f − Ψ|, or in a graph the error of the panel's node on what it reads. Grey boxes are left to other charts or lie
    off their own; boxes about which nothing is known are red, from d = 3 on they are counted. Written to `path` if given.
    Raises `AtlasMoEError` if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as NewFigure
    except ImportError as error:
        raise AtlasMoEError("figures need matplotlib: pip install 'atlasmoe[figures]'") from error
    each = {one.name: float(one.epsilon) for one in certificate.problem.wanted}
    trees = [(name, _in_units(tree, each.get(name.split("/")[0]))) for name, tree in certificate.trees.items()][:MOST_PANELS]
    whole = certificate.kind == "manifold"
    label = f"proved bound of {'|f − Ψ|' if whole else 'the own error'}" + ("/ε" if each else "")
    if not trees:
        raise AtlasMoEError("the certificate has no boxes to draw: it was refuted before any was looked at")
    columns = COLUMNS.get(len(trees), 4)
    rows = -(-len(trees) // columns)
    drawn = NewFigure(figsize=(1.2 + 3.1 * columns, 0.9 + 2.7 * rows), layout="constrained")
    # Only boxes in the plane have colours, and these a scale.
    bounds = np.concatenate([np.zeros(0), *(tree.bounds[tree.tags == PROVED] for _, tree in trees if len(tree.lower) == 2)])
    low, high = (float(bounds.min()), float(bounds.max())) if len(bounds) else (0.0, 1.0)
    last: Any = None
    panels = [drawn.add_subplot(rows, columns, n + 1) for n in range(len(trees))]
    names = names_of_panels(as_graph(certificate.problem))
    for axes, (name, tree) in zip(panels, trees, strict=True):
        d = len(tree.lower)
        if d == 1:
            _steps(axes, tree, (1.0 if each else float(certificate.epsilon)) if whole else np.inf)
        elif d == 2:
            last = _boxes(axes, tree, low, high)
        else:
            _distribution(axes, tree, label)
        open_ = int((tree.tags == UNSETTLED).sum()) if d > 2 else 0
        tidy(axes, f"{cut_short(name)}: {len(tree):,} boxes" + (f", {open_:,} unsettled" if open_ else ""))
        called = names(name, d)
        if d <= 2:
            axes.set_xlabel(called[0], fontsize=8)
            axes.set_ylabel(called[1] if d == 2 else label, fontsize=8)
    if last is not None and len(bounds):
        bar = drawn.colorbar(last, ax=panels, shrink=0.8, aspect=30)
        bar.set_label(label, fontsize=8)
        bar.ax.tick_params(labelsize=8)
        bar.ax.yaxis.get_offset_text().set_fontsize(8)
    handles = _legend(panels, [tree for _, tree in trees])
    if handles:
        legend_below(drawn, handles)
    head = _headline(certificate, len(trees))
    drawn.suptitle("\n".join(textwrap.wrap(head, int(13 * drawn.get_figwidth()))), x=0.01, ha="left", fontsize=10)
    if path is not None:
        write(drawn, path, 160)
    return drawn


def _in_units(tree: Tree, epsilon: float | None) -> Tree:
    """The tree with its bounds in units of the ε of its target, where there are several."""
    return tree if epsilon is None else replace(tree, bounds=tree.bounds / epsilon)


def _legend(panels: list[Axes], trees: list[Tree]) -> list[Artist]:
    """What lines and greys mean, of those that there are."""
    from matplotlib.patches import Patch

    lines = {handle.get_label(): handle for axes in panels for handle in axes.get_legend_handles_labels()[0]}
    found: list[Artist] = list(lines.values())
    flat = [tree for tree in trees if len(tree.lower) <= 2]
    if any((tree.tags == UNSETTLED).any() for tree in flat):
        found.append(Patch(facecolor=LIMIT, label="nothing is known"))
    if any(((tree.tags != PROVED) & (tree.tags != UNSETTLED)).any() for tree in flat):
        found.append(Patch(facecolor=ELSEWHERE_COLOR, edgecolor=FAINT, label="other charts' points, or off this chart"))
    return found


def _headline(certificate: Certificate, shown: int) -> str:
    more = f", {shown} of {len(certificate.trees)} charts shown" if shown < len(certificate.trees) else ""
    found = f"{certificate.boxes:,} boxes, largest error found {certificate.found:.4g}{more}"
    what = measure(certificate.problem.wanted)
    if certificate.status is Known.REFUTED:
        # What is refuted is ε, or a route, and not the bound of what is left.
        names = ", ".join(claim.name for claim in certificate.claims if claim.known is Known.REFUTED)
        return f"{certificate.task}: refuted, {names} ({what} ≤ {certificate.epsilon:.4g} was asked; {found})"
    verdict = "proved for every point" if certificate.status is Known.PROVED else "not proved"
    return f"{certificate.task}: {what} ≤ {certificate.bound:.4g}, {verdict} ({found})"


def _steps(axes: Axes, tree: Tree, epsilon: float) -> None:
    lower, upper = tree.leaves()
    order = np.argsort(lower[:, 0])
    proved = tree.tags[order] == PROVED
    values = np.where(proved, tree.bounds[order], np.nan)
    said = "proved on each box" if proved.any() else None
    axes.stairs(values, np.append(lower[order, 0], upper[order[-1], 0]), color=INK, linewidth=0.9, label=said)
    for n in order[~proved]:
        axes.axvspan(lower[n, 0], upper[n, 0], color=LIMIT if tree.tags[n] == UNSETTLED else ELSEWHERE_COLOR, linewidth=0)
    if np.isfinite(epsilon):
        axes.axhline(epsilon, color=LIMIT, linewidth=0.9, linestyle="--", label="ε")
    axes.set_xlim(float(tree.lower[0]), float(tree.upper[0]))
    axes.set_ylim(bottom=0)
    axes.yaxis.get_offset_text().set_fontsize(8)


def _boxes(axes: Axes, tree: Tree, low: float, high: float) -> Any:
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import Normalize

    lower, upper = tree.leaves()
    corners = np.stack([lower, np.stack([upper[:, 0], lower[:, 1]], 1), upper, np.stack([lower[:, 0], upper[:, 1]], 1)], axis=1)
    proved, open_ = tree.tags == PROVED, tree.tags == UNSETTLED
    axes.add_collection(PolyCollection(corners[~proved & ~open_], facecolor=ELSEWHERE_COLOR, edgecolor="white", linewidth=0.2))
    axes.add_collection(PolyCollection(corners[open_], facecolor=LIMIT, edgecolor="none"))
    shown = PolyCollection(
        corners[proved], array=tree.bounds[proved], cmap=ERROR_MAP, norm=Normalize(low, high), edgecolor=FAINT, linewidth=0.1
    )
    axes.add_collection(shown)
    axes.set_xlim(float(tree.lower[0]), float(tree.upper[0]))
    axes.set_ylim(float(tree.lower[1]), float(tree.upper[1]))
    widths = np.asarray(tree.upper, float) - tree.lower
    axes.set_aspect("equal" if widths.max() < ALIKE * widths.min() else "auto")
    return shown


def _distribution(axes: Axes, tree: Tree, label: str) -> None:
    proved = tree.tags == PROVED
    lower, upper = tree.leaves()
    axes.hist(tree.bounds[proved], bins=40, weights=(upper - lower).prod(1)[proved], color=COLOR)
    axes.locator_params(axis="x", nbins=TICKS)
    axes.xaxis.get_offset_text().set_fontsize(8)
    axes.set_xlabel(label, fontsize=8)
    axes.set_ylabel("volume of boxes", fontsize=8)
