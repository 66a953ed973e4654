"""The Earth's magnetic field as a mixture of experts: IGRF-14 at the reference radius, one expert per tangent chart.

The target is a function somebody else wrote (the package ppigrf), not an expression: three Cartesian components in
nanotesla on the sphere of radius 6371.2 km. Run it:

    python examples/igrf.py                      # 48 charts, below 64 nT
    python examples/igrf.py --charts 96 --epsilon 10

ppigrf evaluates 195 spherical harmonics a point; the compiled model, a few hundred neurons.
"""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path

import atlasmoe
import numpy as np
import ppigrf

RADIUS_KM = 6371.2
DATE = datetime(2025, 1, 1)
BATCH = 20_000
POLE = 1e-8


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--charts", type=int, default=48, help="number of balls that cover the sphere (default 48)")
    parser.add_argument("--epsilon", type=float, default=64.0, help="largest error of a component in nT (default 64)")
    parser.add_argument("--samples", type=int, default=200_000, help="points to verify with (default 200000)")
    parser.add_argument("--output", type=Path, default=Path("out/igrf"), help="model folder (default out/igrf)")
    options = parser.parse_args()

    atlas = atlasmoe.builtin("sphere", dimension=2, atlas="ball", charts=options.charts)
    task = atlasmoe.ManifoldTask("igrf14", atlas, atlasmoe.CallableTarget(field, outputs=3, name="IGRF-14, 2025-01-01, nT"))
    try:
        model = atlasmoe.compile(task, epsilon=options.epsilon)
    except atlasmoe.AtlasMoEError as error:
        raise SystemExit(f"igrf: {error}") from None
    report = atlasmoe.verify(model, samples=options.samples)
    atlasmoe.save(model, options.output, overwrite=True)
    total = report["total"]
    facts = model.facts
    print(f"theorem {facts['theorem']}, routing {facts['routing']}, E = {facts['experts']}, m = {facts['m']}")
    print(f"built in {facts['seconds']:.1f} s")
    print(f"{facts['parameters']:,} parameters, {facts['active_parameters']:,} of them per input")
    print(f"largest error of a component: {total.bound:.2f} nT on {total.samples:,} points (asked for: {options.epsilon:g} nT)")
    print(f"every claim holds: {report.holds}; model: {options.output}")


if __name__ == "__main__":
    main()
