"""`figure`: a compiled model in one picture; curves, maps or surfaces, or distributions from dimension three on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..atlas.graph import as_graph
from ..atlas.wanted import epsilons
from ..errors import AtlasMoEError
from ..expressions.given import of_kind
from ..moe.model import Model
from ..moe.opened import opened
from ..verify.sample.report import Report, counted
from .evaluation import whole
from .palette import write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 160

BY = {"affine": "affine router", "dense": "dense network", "chen": "all charts in parallel (Chen et al.)"}
"""What figures call constructions that are no theorem of the paper."""


def figure(model: Model, report: Report | None = None, path: str | Path | None = None) -> Figure:
    """Draw a model as suits the dimension of what it is a function on; write it to `path` (.png, .pdf, .svg) if given.

    d = 1: f and Ψ, the error below ε, and the scores τ with the route each point takes, chart by chart. d = 2: target,
    routes and error, on the surface itself if it lies in R³, else in the coordinates of each chart. d ≥ 3, and products of manifolds:
    the errors, the lead of the chosen expert or the errors of all nodes, the share of every piece. A `report` adds its verdict
    and marks its worst point.

    Raises `AtlasMoEError` if matplotlib is not installed.
    """
    model = opened(model, "figure")
    of_kind("figure: report", report, (Report, type(None)), "give the Report of verify(model), or path=… for a file")
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise AtlasMoEError("figures need matplotlib: pip install 'atlasmoe[figures]'") from error
    from . import curves, maps, panels, surfaces

    domain = whole(as_graph(model.task))
    dimension = 0 if domain is None else domain.dimension
    if domain is None or dimension > 2:
        drawn = panels.draw(model, report)
    elif dimension == 1:
        drawn = curves.draw(model, domain, report)
    elif domain.noun == "chart" and domain.base_dimension == 3:
        drawn = surfaces.draw_in_space(model, domain, report)
    else:
        drawn = maps.draw_in_charts(model, domain, report)
    drawn.suptitle(headline(model, report), x=0.01, ha="left", fontsize=10)
    if path is not None:
        write(drawn, path, DPI)
    return drawn


def headline(model: Model, report: Report | None) -> str:
    """Name, construction, ε and, given a report, what was found."""
    graph, theorem = as_graph(model.task), model.facts["theorem"]
    if model.design.alone:
        E, d = graph.subtasks, graph.inputs[0].domain.dimension
        what = f"{E} expert{'s'[: E > 1]}, d = {d} in R^{graph.ambient_dimension}"
    else:
        what = f"{counted(graph.pieces)} pieces from {graph.subtasks} subtasks in {len(graph.blocks)} block{'s'[: len(graph.blocks) > 1]}, "
        what += f"{len(model.network.layers)} layers, R^{graph.ambient_dimension} → R^{graph.outputs}"
    by = BY.get(theorem, f"Theorem {theorem}")
    text = f"{graph.name}: {by}, {what}, {epsilons(graph.wanted) or f'ε = {model.ledger.root.budget:.3g}'}"
    if report is None:
        return text
    verdict = "holds" if report.holds else "REFUTED"
    seen = "" if report.pieces is None else f", {report.pieces.seen:,} distinct pieces"
    worst = f"worst error {report['total'].bound:.3g}{' of its ε' if graph.wanted else ''}"
    return f"{text}\n{verdict}: {worst} on {report.points:,} sampled points{seen} ({report.dtype})"
