"""`figure`: a compiled model in one picture; curves, surfaces, or histograms from dimension three on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..atlas import TaskGraph
from ..errors import AtlasMoEError
from ..moe.model import Model
from ..verify.sample.report import Report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 160


def figure(model: Model, report: Report | None = None, path: str | Path | None = None) -> Figure:
    """Draw a model as suits the dimension of its manifold; write it to `path` (.png, .pdf, .svg) if given.

    d = 1: f and Ψ, the error below ε, and the scores τ with the route each point takes, chart by chart. d = 2: target,
    routes and error, on the surface itself if it lies in R³, else in the coordinates of each chart. d ≥ 3: histograms of
    errors and margins, and route frequencies. A task graph: maps of f, routes and error on a rectangle, else the error of the output and
    of every node, and the share of every piece. A `report` adds its verdict and marks its worst point.

    Raises `AtlasMoEError` if matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise AtlasMoEError("figures need matplotlib: pip install 'atlasmoe[figures]'") from error
    from . import curves, graph_model, histograms, surfaces

    if isinstance(model.task, TaskGraph):
        drawn = graph_model.draw(model, report)
        drawn.suptitle(graph_model.headline(model, report), x=0.01, ha="left", fontsize=10)
        if path is not None:
            drawn.savefig(path, dpi=DPI)
        return drawn
    dimension = model.manifold_task.atlas.dimension
    if dimension == 1:
        drawn = curves.draw(model, report)
    elif dimension == 2 and model.manifold_task.atlas.base_dimension == 3:
        drawn = surfaces.draw_in_space(model, report)
    elif dimension == 2:
        drawn = surfaces.draw_in_charts(model, report)
    else:
        drawn = histograms.draw(model, report)
    drawn.suptitle(headline(model, report), x=0.01, ha="left", fontsize=10)
    if path is not None:
        drawn.savefig(path, dpi=DPI)
    return drawn


def headline(model: Model, report: Report | None) -> str:
    """Name, construction, ε and, given a report, what was found."""
    atlas, facts = model.manifold_task.atlas, model.facts
    theorem = "affine router" if facts["theorem"] == "affine" else f"Theorem {facts['theorem']}"
    text = f"{model.task.name}: {theorem}, {len(atlas)} expert{'s'[: len(atlas) > 1]}, "
    text += f"d = {atlas.dimension} in R^{atlas.ambient_dimension}"
    text += f", ε = {facts['epsilon']:.3g}"
    if report is None:
        return text
    verdict = "holds" if report.holds else "REFUTED"
    return f"{text}\n{verdict}: worst error {report['total'].bound:.3g} on {report.points:,} sampled points ({report.dtype})"
