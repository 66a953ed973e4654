"""`graph_figure`: a task graph in one picture, inputs on the left, the output on the right, pieces as coloured cells."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networkx
import numpy as np
from scipy.optimize import isotonic_regression

from ..atlas import Array, Atlas, Block, Combine, Input, ManifoldTask, TaskGraph
from ..atlas.graph import Node, as_graph
from ..errors import AtlasMoEError
from .cells import told_apart
from .graph_tree import formula, kind, parts, range_of, summary, title
from .palette import FAINT, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 160
MOST_IN_LAYER = 16
"""Nodes drawn in one layer; the rest stands together in one."""
SWEEPS = 8
"""How often layers are ordered by the mean place of their neighbours, which removes most crossings."""
CHARACTER, BOLD, LINE, LETTER = 0.064, 0.082, 0.155, 0.1
"""Width of a character, of one of a name, height of a line, and width of a letter of the heading, in inches."""
ROW, GAP = 0.22, 0.9
"""Inches between nodes of a layer, and between layers."""
HEAD = 0.12
"""Straight end of an edge, on which the arrow head sits."""
CELLS = 0.13
"""Height in inches of the strip of cells of a block on intervals or charts."""
MOSAIC = 0.62
"""Side in inches of the picture of a block on boxes in the plane."""
LONGEST = 40
"""Characters of a line in a node."""
MOST_FORMULAS = 4
"""Components of a combination that have a line each."""
KEY = {
    "input": "rounded: inputs",
    "block": "white: blocks, with a cell for every piece or chart",
    "combine": "tinted: combinations",
}
"""What the frames of nodes mean."""
MOST_TOUCHING = 20_000
"""Pairs of cells that are told apart by their colours."""
FILL = {"input": "#eef4fa", "block": "#ffffff", "combine": "#f6f1fa", "more": "none"}


@dataclass(eq=False)
class _Spot:
    """A node as it is drawn: lines of text, cells below them, and its place in inches. Without lines: a place that an edge runs through."""

    kind: str
    lines: tuple[str, ...]
    layer: int
    block: Block | None = None
    x: float = 0.0
    y: float = 0.0
    column: tuple[float, float] = (0.0, 0.0)
    """Left and right end of its layer."""

    @property
    def cells(self) -> float:
        """Height of the picture of the pieces."""
        if self.block is None:
            return 0.0
        return MOSAIC if self.block.domain.exclusive and self.block.domain.dimension == 2 else CELLS

    @property
    def below(self) -> float:
        """Room for the name of the coordinate below the picture of boxes in the plane."""
        return 0.1 if self.cells == MOSAIC else 0.0

    @property
    def width(self) -> float:
        if not self.lines:
            return 0.0
        text = max(BOLD * len(self.lines[0]), CHARACTER * max(map(len, self.lines)))
        return max(text + 0.24, 1.2 if self.block is not None else 0.7)

    @property
    def height(self) -> float:
        return LINE * len(self.lines) + 0.16 + (self.cells + 0.07 if self.cells else 0) + self.below if self.lines else 0.0


@dataclass(frozen=True, eq=False)
class _Drawing:
    """Spots by name, layer by layer from top to bottom, and edges with what they carry and all the spots they run through."""

    layers: list[list[str]]
    spots: dict[str, _Spot]
    edges: dict[tuple[str, ...], tuple[str, ...]]


def graph_figure(task: ManifoldTask | TaskGraph, path: str | Path | None = None) -> Figure:
    """Draw the graph of a task; write it to `path` (.svg, .png, .pdf) if given.

    A block shows its pieces as cells, intervals and rectangles to scale; an edge says which components are read where
    those are not all of a node. Layers of more than MOST_IN_LAYER nodes are drawn in part, and say so.

    Raises `AtlasMoEError` if matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AtlasMoEError("figures need matplotlib: pip install 'atlasmoe[figures]'") from error
    graph = as_graph(task)
    drawing = _drawing(graph)
    width, height = _place(drawing)
    heading = summary(graph)
    height += 0.12
    width = max(width, 6.2, 0.4 + LETTER * len(heading))
    drawn = Figure(figsize=(width, height + 0.45))
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(-height, 0.45))
    axes.set_axis_off()
    axes.text(0.2, 0.2, heading, fontsize=10, color=INK, va="center", weight="bold")
    found = {spot.kind for spot in drawing.spots.values()}
    key = " · ".join([*(said for one, said in KEY.items() if one in found), "thick frame: the output"])
    axes.text(0.2, -height + 0.08, key, fontsize=6.5, color="#777777", va="center")
    for way, names in drawing.edges.items():
        _edge(axes, [drawing.spots[name] for name in way], names)
    for name, spot in drawing.spots.items():
        _node(axes, spot, output=name == graph.output)
    if path is not None:
        # Text of an SVG stays text, and the same graph gives the same file.
        with rc_context({"svg.fonttype": "none", "svg.hashsalt": "atlasmoe"}):
            drawn.savefig(path, dpi=DPI, metadata={"Date": None} if Path(path).suffix.lower() == ".svg" else None)
    return drawn


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _lines(node: Node) -> tuple[str, ...]:
    match node:
        case Input():
            called = () if node.coordinates == (node.name,) else (_cut(", ".join(node.coordinates)),)
            return (_cut(node.name), *called, _cut(range_of(node.domain)))
        case Block():
            return (_cut(title(node)), _cut(parts(node)))
        case Combine():
            texts = [f"{name} = {text}" for name, text in zip(node.components, node.function.texts, strict=True)]
            each = 1 < len(texts) <= MOST_FORMULAS
            return (_cut(title(node)), *(map(_cut, texts) if each else (formula(node.function, LONGEST),)))


def _levels(graph: TaskGraph) -> dict[str, int]:
    """The layer of each node: its longest way from an input; an input stands just left of the first node that reads it."""
    level: dict[str, int] = {}
    for node in graph.order:
        level[node.name] = 0 if kind(node) == "input" else 1 + max((level[name] for name in graph.graph.pred[node.name]), default=0)
    for node in graph.inputs:
        level[node.name] = min((level[name] - 1 for name in graph.graph.succ[node.name]), default=0)
    return level


def _drawing(graph: TaskGraph) -> _Drawing:
    """What is drawn: the nodes, of large layers only some and one that stands for the rest; and the ways of all edges."""
    level = _levels(graph)
    layers: list[list[str]] = [[] for _ in range(max(level.values()) + 1)]
    for node in graph.order:
        layers[level[node.name]].append(node.name)
    spots: dict[str, _Spot] = {}
    blocks = {block.name: block for block in graph.blocks}
    stands_for: dict[str, str] = {}
    for i, layer in enumerate(layers):
        kept = layer if len(layer) <= MOST_IN_LAYER else layer[: MOST_IN_LAYER - 1]
        rest = [name for name in layer if name not in kept]
        for name in kept:
            spots[name] = _Spot(kind(graph[name]), _lines(graph[name]), i, blocks.get(name))
        if rest:
            more = f" more {i}"  # a space in front makes it a name that no node has
            spots[more] = _Spot("more", (f"⋮  {len(rest)} more",), i)
            stands_for |= dict.fromkeys(rest, more)
        layers[i] = [*kept, *([f" more {i}"] if rest else [])]
    edges: dict[tuple[str, ...], tuple[str, ...]] = {}
    for source, target, reads in graph.graph.edges(data="reads"):
        a, b = stands_for.get(source, source), stands_for.get(target, target)
        way = [f" way {a} {b} {i}" for i in range(spots[a].layer + 1, spots[b].layer)]
        for i, name in enumerate(way, spots[a].layer + 1):
            if name not in spots:
                spots[name] = _Spot("way", (), i)
                layers[i].append(name)
        whole = set(reads) == set(graph[source].components) or (a, b) != (source, target)
        edges[(a, *way, b)] = () if whole else tuple(reads)
    drawing = _Drawing(layers, spots, edges)
    _order(drawing)
    return drawing


def _neighbours(drawing: _Drawing) -> networkx.Graph:
    both = networkx.Graph()
    both.add_nodes_from(drawing.spots)
    for way in drawing.edges:
        networkx.add_path(both, way)
    return both


def _order(drawing: _Drawing) -> None:
    """Orders every layer by the mean place of the neighbours, several times; what stands for the rest comes last."""
    both, layers = _neighbours(drawing), drawing.layers
    place = {name: (i + 0.5) / len(layer) for layer in layers for i, name in enumerate(layer)}
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 else layers[::-1]:
            mean = {name: float(np.mean([place[other] for other in both[name]] or [place[name]])) for name in layer}
            layer.sort(key=lambda name: (drawing.spots[name].kind == "more", mean[name]))
            place |= {name: (i + 0.5) / len(layer) for i, name in enumerate(layer)}


def _place(drawing: _Drawing) -> tuple[float, float]:
    """Gives every spot its place; the width and height of the whole, in inches."""
    spots = drawing.spots
    left = 0.2
    for layer in drawing.layers:
        wide = max(spots[name].width for name in layer)
        for name in layer:
            spots[name].x, spots[name].column = left + (wide - spots[name].width) / 2, (left, left + wide)
        left += wide + GAP
    both = _neighbours(drawing)
    for sweep in range(2 * SWEEPS):
        for layer in drawing.layers if sweep % 2 else drawing.layers[::-1]:
            _line_up([spots[name] for name in layer], [[spots[other].y for other in both[name]] for name in layer])
    top = max(spot.y + spot.height / 2 for spot in spots.values())
    bottom = min(spot.y - spot.height / 2 for spot in spots.values())
    for spot in spots.values():
        spot.y -= top + 0.1
    return left - GAP + 0.3, top - bottom + 0.3


def _line_up(layer: list[_Spot], around: list[list[float]]) -> None:
    """Moves the spots of a layer as near as possible to the height of their neighbours; their order and distances are kept.

    Least squares under y_{i+1} ≤ y_i − distance_i: an isotonic regression, once the distances are added up and taken off.
    """
    heights = np.array([spot.height for spot in layer])
    offsets = np.concatenate([[0.0], np.cumsum((heights[:-1] + heights[1:]) / 2 + ROW)])
    wanted = np.array([np.mean(ys) if ys else spot.y for ys, spot in zip(around, layer, strict=True)])
    fitted = isotonic_regression(wanted + offsets, increasing=False).x - offsets
    for spot, y in zip(layer, fitted, strict=True):
        spot.y = float(y)


def _node(axes: Axes, spot: _Spot, output: bool) -> None:
    from matplotlib.patches import FancyBboxPatch

    middle = spot.x + spot.width / 2
    if spot.kind == "way":
        return
    if spot.kind == "more":
        axes.text(middle, spot.y, spot.lines[0], ha="center", va="center", fontsize=9, color="#666666")
        return
    shape = "round,pad=0,rounding_size=0.09" if spot.kind != "input" else f"round,pad=0,rounding_size={spot.height * 0.42}"
    axes.add_patch(
        FancyBboxPatch(
            (spot.x, spot.y - spot.height / 2),
            spot.width,
            spot.height,
            boxstyle=shape,
            facecolor=FILL[spot.kind],
            edgecolor=INK if output else "#777777",
            linewidth=2.0 if output else 0.8,
            zorder=3,
        )
    )
    y = spot.y + spot.height / 2 - 0.08 - LINE / 2
    for i, line in enumerate(spot.lines):
        style: dict[str, Any] = {"weight": "bold", "fontsize": 8.5} if i == 0 else {"fontsize": 7.5, "color": "#444444"}
        axes.text(middle, y, line.replace("$", r"\$"), ha="center", va="center", zorder=4, **{"color": INK} | style)
        y -= LINE
    if spot.block is not None:
        _cells(axes, spot)


def _cells(axes: Axes, spot: _Spot) -> None:
    """The pieces of a block, to scale where they are intervals or rectangles; cells of equal width for anything else."""
    from matplotlib.collections import PolyCollection

    block = spot.block
    assert block is not None
    wide = MOSAIC if spot.cells == MOSAIC else spot.width - 0.28
    left, bottom = spot.x + (spot.width - wide) / 2, spot.y - spot.height / 2 + 0.08 + spot.below
    low, high = _unit_boxes(block)
    low, high = (corner * (wide, spot.cells) + (left, bottom) for corner in (low, high))
    corners = np.stack([low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], axis=1)
    line = 0.7 if len(block) <= 64 else 0.0
    follow = [(i, i + 1) for i in range(len(block) - 1)]
    pairs = follow if isinstance(block.domain, Atlas) else [*follow, *block.domain.touching(MOST_TOUCHING).tolist()]
    colors = told_apart(len(block), pairs)
    axes.add_collection(PolyCollection(list(corners), facecolors=colors, edgecolors="white", linewidths=line, zorder=4))
    if spot.cells == MOSAIC:
        style: dict[str, Any] = {"fontsize": 6, "color": "#555555", "ha": "center", "va": "center", "zorder": 4}
        axes.text(left + wide / 2, bottom - 0.07, block.reads[0], **style)
        axes.text(left - 0.08, bottom + wide / 2, block.reads[1], rotation=90, **style)


def _unit_boxes(block: Block) -> tuple[Array, Array]:
    """Lower and upper corners of the cells in the unit square, (E, 2) each."""
    E, whole = len(block), block.domain.box
    if whole is not None and block.domain.dimension <= 2:
        boxes = [piece.domain for piece in block.domain.parametrising]
        low, high = ((np.array(c) - np.array(whole.lower)) / whole.widths for c in ([b.lower for b in boxes], [b.upper for b in boxes]))
        if block.domain.dimension == 2:
            return low, high
        return np.column_stack([low, np.zeros(E)]), np.column_stack([high, np.ones(E)])
    edges = np.arange(E + 1) / E
    return np.column_stack([edges[:-1], np.zeros(E)]), np.column_stack([edges[1:], np.ones(E)])


def _edge(axes: Axes, way: list[_Spot], names: tuple[str, ...]) -> None:
    """From the right of the first spot to the left of the last; level within layers, bent between them."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path as Curve

    start, end = way[0], way[-1]
    points, codes = [(start.x + start.width, start.y)], [Curve.MOVETO]
    for a, b in itertools.pairwise(way):
        left, right = (a.column[1], a.y), (b.column[0] - HEAD, b.y)
        bend = 0.5 * (right[0] - left[0])
        points += [left, (left[0] + bend, left[1]), (right[0] - bend, right[1]), right]
        codes += [Curve.LINETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4]
    points.append((end.x, end.y))
    codes.append(Curve.LINETO)
    color = FAINT if "more" in (start.kind, end.kind) else "#8a8a8a"
    axes.add_patch(FancyArrowPatch(path=Curve(points, codes), arrowstyle="-|>", mutation_scale=8, linewidth=0.9, color=color, zorder=1))
    if names:
        text = ", ".join(names) if len(names) <= 3 else f"{names[0]}, … ({len(names)})"
        # In the last third of the first bend, where edges of one source have parted.
        x, y = np.array([0.064, 0.288, 0.432, 0.216]) @ np.array(points[1:5])
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axes.text(x, y, text, fontsize=7, color="#555555", ha="center", va="center", bbox=box, zorder=2)
