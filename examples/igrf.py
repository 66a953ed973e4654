"""The Earth's magnetic field as a mixture of experts: IGRF-14 at the reference radius, one expert per tangent chart.

The target is a function somebody else wrote (the package ppigrf), not an expression: three Cartesian components in
nanotesla on the sphere of radius 6371.2 km. With ReLU experts charts E and width m are interchangeable up to a point (B3: error about
E^(−1)·m^(−2)); the field is analytic, so with SiLU experts the error falls faster than any power of m. The frontier shows both. Beside it,
the table that autopilots ship: |F| on a grid of 10° in latitude and longitude, interpolated bilinearly.

    python examples/igrf.py                           # the frontier, down to a few thousandths of 1 nT, and its figure
    python examples/igrf.py --charts 48 --epsilon 1   # one model to a given error, verified and saved
    python examples/igrf.py --certify                 # one model, and a proof of 0.5 nT for every point of the sphere

ppigrf evaluates 195 spherical harmonics a point; the compiled model, one narrow expert. The proof is about the series that ppigrf sums,
with its coefficients, see `igrf_enclosure.py`; how closely ppigrf computes it is measured.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import atlasmoe
import numpy as np
import ppigrf
from atlasmoe.moe import Affine, Network
from igrf_enclosure import FieldEnclosure

RADIUS_KM = 6371.2
DATE = datetime(2025, 1, 1)
BATCH = 20_000
POLE = 1e-8
FRONTIER = (
    *((24, 64, "relu"), (96, 64, "relu"), (96, 192, "relu"), (192, 192, "relu")),
    *((24, 48, "silu"), (24, 96, "silu"), (48, 64, "silu"), (48, 128, "silu")),
)
"""(E, m, activation)."""
CHECKED = 50_000
CERTIFIED = (48, 64, 0.5)
"""(E, m, what is to be proved in nT), of SiLU experts."""
TIGHTNESS = 2.0
"""Boxes are cut until bounds are within this factor of the largest error found, or below ε."""
GRID_DEGREES = 10
COMPONENTS = ("x", "y", "z")


def field(points: np.ndarray) -> np.ndarray:
    """(N, 3) points of the unit sphere to the Cartesian field (N, 3) in nT."""
    out = np.empty((len(points), 3))
    for start in range(0, len(points), BATCH):
        x, y, z = points[start : start + BATCH].T
        # ppigrf divides by sin(colatitude): stay 6 cm away from the poles, where the field differs by less than 0.001 nT.
        colatitude = np.clip(np.arctan2(np.hypot(x, y), z), POLE, np.pi - POLE)
        longitude = np.arctan2(y, x)
        radial, south, east = (
            component.ravel() for component in ppigrf.igrf_gc(RADIUS_KM, np.degrees(colatitude), np.degrees(longitude), DATE)
        )
        cos_c, sin_c, cos_l, sin_l = np.cos(colatitude), np.sin(colatitude), np.cos(longitude), np.sin(longitude)
        horizontal = radial * sin_c + south * cos_c
        out[start : start + BATCH, 0] = horizontal * cos_l - east * sin_l
        out[start : start + BATCH, 1] = horizontal * sin_l + east * cos_l
        out[start : start + BATCH, 2] = radial * cos_c - south * sin_c
    return out


def coefficients(date: datetime = DATE) -> dict[tuple[int, int], tuple[float, float]]:
    """The Gauss coefficients (n, m) ↦ (g, h) in nT at a date, interpolated in time as ppigrf does it: the same floats."""
    tables = []
    for table in ppigrf.ppigrf.read_shc():
        dates = table.index.union([date])
        tables.append(table.reindex(dates).interpolate(method="time").loc[date])
    g, h = tables
    return {key: (float(g[key]), float(h[key])) for key in g.index}


def task_on(charts: int) -> atlasmoe.ManifoldTask:
    atlas = atlasmoe.builtin("sphere", dimension=2, atlas="ball", charts=charts)
    return atlasmoe.ManifoldTask("igrf14", atlas, atlasmoe.CallableTarget(field, outputs=3, name="IGRF-14, 2025-01-01, nT"))


def fresh(count: int) -> np.ndarray:
    """(count, 3) points, uniform on the sphere, that nothing was fitted to."""
    points = np.random.default_rng(14).normal(size=(count, 3))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def table_error(points: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Largest errors of bilinear interpolation on the grid: of a table of |F|, and of a table of each component."""
    latitudes = np.arange(-90, 91, GRID_DEGREES)
    longitudes = np.arange(-180, 181, GRID_DEGREES)
    at = np.radians(np.stack(np.meshgrid(latitudes, longitudes, indexing="ij"), axis=-1).reshape(-1, 2))
    nodes = np.stack([np.cos(at[:, 0]) * np.cos(at[:, 1]), np.cos(at[:, 0]) * np.sin(at[:, 1]), np.sin(at[:, 0])], axis=1)
    values = field(nodes)
    values = np.column_stack([np.linalg.norm(values, axis=1), values]).reshape(len(latitudes), len(longitudes), 4)
    latitude, longitude = np.degrees(np.arcsin(np.clip(points[:, 2], -1, 1))), np.degrees(np.arctan2(points[:, 1], points[:, 0]))
    row, column = (latitude + 90) / GRID_DEGREES, (longitude + 180) / GRID_DEGREES
    i, j = np.minimum(row.astype(int), len(latitudes) - 2), np.minimum(column.astype(int), len(longitudes) - 2)
    s, t = (row - i)[:, None], (column - j)[:, None]
    upper = (1 - t) * values[i + 1, j] + t * values[i + 1, j + 1]
    lower = (1 - t) * values[i, j] + t * values[i, j + 1]
    between = (1 - s) * lower + s * upper
    error = np.abs(between - np.column_stack([np.linalg.norm(truth, axis=1), truth])).max(0)
    return float(error[0]), error[1:]


def frontier(folder: Path) -> None:
    """Compile every (E, m) of FRONTIER, print errors on the same fresh points as the table's, and draw them."""
    started = time.process_time()
    points = fresh(CHECKED)
    truth = field(points)
    strength = np.linalg.norm(truth, axis=1)
    of_table, per_component = table_error(points, truth)
    print(f"largest errors in nT on {CHECKED:,} fresh points; the field is up to {strength.max():,.0f} nT strong\n")
    print("| experts | E | m | x | y | z | |F| | parameters | per input | CPU s |\n|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for charts, width, activation in FRONTIER:
        begun = time.process_time()
        model = atlasmoe.compile(task_on(charts), width=width, activation=activation)
        seconds = time.process_time() - begun
        values = model(points)
        error = np.abs(values - truth).max(0)
        of_strength = float(np.abs(np.linalg.norm(values, axis=1) - strength).max())
        rows.append((charts, model.facts["m"], float(error.max()), values, activation))
        cells = " | ".join(f"{e:.3g}" for e in (*error, of_strength))
        facts = model.facts
        sizes = f"{facts['parameters']:,} | {facts['active_parameters']:,}"
        print(f"| {activation} | {charts} | {facts['m']} | {cells} | {sizes} | {seconds:.1f} |", flush=True)
    cells = " | ".join(f"{e:.0f}" for e in (*per_component, of_table))
    print(f"| {GRID_DEGREES}° table, bilinear | | | {cells} | | | |")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "igrf.png"
    figure(rows, points, truth, (of_table, float(per_component.max())), path)
    print(f"\n{time.process_time() - started:.0f} CPU seconds in all; figure: {path}")


def figure(rows: list, points: np.ndarray, truth: np.ndarray, table: tuple[float, float], path: Path) -> None:
    """Error against E·m by number of charts, and where the best model errs."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    canvas, (left, right) = plt.subplots(1, 2, figsize=(11, 5), width_ratios=(2, 3), layout="constrained")
    for activation, charts in sorted({(row[4], row[0]) for row in rows}):
        some = [row for row in rows if (row[4], row[0]) == (activation, charts)]
        marker = "o" if activation == "relu" else "s"
        left.loglog([row[1] for row in some], [row[2] for row in some], marker=marker, label=f"{charts} charts, {activation}")
    left.axhline(table[1], color="grey", linestyle="--", label=f"{GRID_DEGREES}° table of components")
    left.axhline(table[0], color="black", linestyle=":", label=f"{GRID_DEGREES}° table of |F|")
    left.axhline(0.5, color="lightgrey", linewidth=1, label="0.5 nT")
    left.set(xlabel="width m of an expert", ylabel="largest error of a component, nT")
    widths = sorted({width for _, width, _ in FRONTIER})
    left.set_xticks(widths, map(str, widths))
    left.minorticks_off()
    left.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    best = min(rows, key=lambda row: row[2])
    error = np.abs(best[3] - truth).max(1)
    order = np.argsort(error)
    longitude, latitude = np.degrees(np.arctan2(points[:, 1], points[:, 0])), np.degrees(np.arcsin(np.clip(points[:, 2], -1, 1)))
    shown = right.scatter(longitude[order], latitude[order], c=error[order], s=2, cmap="magma_r", rasterized=True)
    right.set(xlim=(-180, 180), ylim=(-90, 90), xlabel="longitude", ylabel="latitude")
    right.set_title(f"error of a component with E = {best[0]}, m = {best[1]}, {best[4]}", fontsize="medium")
    canvas.colorbar(shown, ax=right, label="nT")
    canvas.savefig(path, dpi=110)


def single(charts: int, epsilon: float, samples: int, folder: Path) -> None:
    """One model to a given error, verified and saved."""
    started = time.process_time()
    model = atlasmoe.compile(task_on(charts), epsilon=epsilon, activation="silu")
    report = atlasmoe.verify(model, samples=samples)
    atlasmoe.save(model, folder, overwrite=True)
    total = report["total"]
    facts = model.facts
    print(f"theorem {facts['theorem']}, routing {facts['routing']}, E = {facts['experts']}, m = {facts['m']}")
    print(f"{facts['parameters']:,} parameters, {facts['active_parameters']:,} of them per input")
    print(f"largest error of a component: {total.bound:.2f} nT on {total.samples:,} points (asked for: {epsilon:g} nT)")
    print(f"every claim holds: {report.holds}; model: {folder}")
    print(f"{time.process_time() - started:.0f} CPU seconds")


def of_component(model: atlasmoe.Model, k: int, series: FieldEnclosure) -> tuple[Network, atlasmoe.ManifoldTask]:
    """The k-th output of the model, as a network, and what it is to follow."""
    *before, last = model.network.layers
    rows = [net.affines[-1] for net in last.experts]
    experts = tuple(
        replace(net, affines=(*net.affines[:-1], Affine(row.weight[[k]], row.bias[[k]])))
        for net, row in zip(last.experts, rows, strict=True)
    )
    network = Network((*before, replace(last, experts=experts, channels=(last.channels[k],))), model.network.inputs)
    target = atlasmoe.CallableTarget(lambda y: field(y)[:, [k]], name=COMPONENTS[k], enclosure=lambda y: series(y)[:, [k]], degree=3)
    return network, replace(model.task, target=target)


def certified(charts: int, width: int, epsilon: float, minutes: float) -> None:
    """One model, and |f − Ψ| ≤ ε proved for every point of the sphere, component by component, as closely as `TIGHTNESS` asks."""
    series = FieldEnclosure(coefficients())
    points = fresh(CHECKED)
    print(f"the series and ppigrf differ by at most {np.abs(series.values(points) - field(points)).max():.1e} nT on {CHECKED:,} points")
    begun = time.process_time()
    model = atlasmoe.compile(task_on(charts), width=width, activation="silu")
    built = time.process_time()
    print(f"E = {charts}, m = {model.facts['m']}, {model.facts['parameters']:,} parameters; compiled in {built - begun:.0f} CPU seconds\n")
    print("| component | largest error found, nT | bound, nT | the bound is | routing, cover | boxes |\n|---|---|---|---|---|---|")
    bounds = []
    for k, name in enumerate(COMPONENTS):
        certificate = atlasmoe.certify(*of_component(model, k, series), epsilon=epsilon, tightness=TIGHTNESS, seconds=20 * minutes)
        total, routing, cover = (certificate[claim].known for claim in ("total", "routing.valid", "cover"))
        bounds.append(certificate.bound if certificate.status == total == "proved" else np.inf)
        print(
            f"| {name} | {certificate.found:.2f} | {certificate.bound:.2f} | {total} | {routing}, {cover} | {certificate.boxes:,} |",
            flush=True,
        )
    worst = max(bounds)
    said = f"proved for every point of the sphere: every component errs by at most {worst:.2f} nT" if worst <= epsilon else "not proved"
    print(f"\n{said} (asked for: {epsilon:g} nT); {time.process_time() - built:.0f} CPU seconds")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--charts", type=int, help="number of balls that cover the sphere (default 48; with --certify 96)")
    parser.add_argument("--epsilon", type=float, help="one model with at most this error of a component in nT, instead of the frontier")
    parser.add_argument("--samples", type=int, default=200_000, help="with --epsilon: points to verify with (default 200000)")
    parser.add_argument("--output", type=Path, default=Path("out/igrf"), help="folder of the model or the figure (default out/igrf)")
    parser.add_argument("--certify", action="store_true", help="one model and a proof for every point; --charts and --epsilon may be given")
    parser.add_argument("--width", type=int, help=f"with --certify: hidden width of the experts (default {CERTIFIED[1]})")
    parser.add_argument("--minutes", type=float, default=60.0, help="with --certify: give up after so many (default 60)")
    options = parser.parse_args()
    try:
        if options.certify:
            charts, width, epsilon = CERTIFIED
            certified(options.charts or charts, options.width or width, options.epsilon or epsilon, options.minutes)
        elif options.epsilon is None:
            frontier(options.output)
        else:
            single(options.charts or 48, options.epsilon, options.samples, options.output)
    except atlasmoe.AtlasMoEError as error:
        raise SystemExit(f"igrf: {error}") from None


if __name__ == "__main__":
    main()
