"""A table as the function: temperatures on a grid of longitudes and latitudes, compiled, proved and checked against their interpolant.

    python examples/table_field.py [--epsilon 0.75] [--out out/table_field]

The script makes the table itself: an annual mean in °C on 37 × 25 grid points between 60° south and 60° north, warm at the equator,
colder over two continents. Any .npz file with the same arrays would do. The spec names it, a cubic spline between the grid points is f, and
longitude is periodic, so that two charts that overlap twice tell one value of every point. The model folder holds the spline's
coefficients and needs the table no more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import atlasmoe
import numpy as np
from numpy.typing import NDArray

SPEC = """
[task]
name = "temperature"

[manifold]
ambient = ["x", "y", "z"]
intrinsic = ["lon", "lat"]
atlas = "ball"
charts = 24

[[chart]]
name = "Greenwich"
domain = [[-2.0, 2.0], ["-pi/3", "pi/3"]]
boundary = [[false, false], [true, true]]
inverse = ["cos(lat)*cos(lon)", "cos(lat)*sin(lon)", "sin(lat)"]
forward = ["atan2(y, x)", "asin(z)"]

[[chart]]
name = "Pacific"
domain = [[1.2, 5.1], ["-pi/3", "pi/3"]]
boundary = [[false, false], [true, true]]
inverse = ["cos(lat)*cos(lon)", "cos(lat)*sin(lon)", "sin(lat)"]
forward = ["pi + atan2(-y, -x)", "asin(z)"]

[target]
table = "temperature.npz"
coordinates = "chart"
interpolation = "bicubic"
periodic = ["lon"]
"""
LATITUDE = np.pi / 3


def grid() -> dict[str, NDArray[np.float64]]:
    """The arrays of the table: both axes in radians, both ends of the period, values in °C."""
    lon, lat = np.linspace(0, 2 * np.pi, 37), np.linspace(-LATITUDE, LATITUDE, 25)
    east, north = np.meshgrid(lon, lat, indexing="ij")
    sea = 30 * np.cos(north) ** 2 - 8
    for where, above, drop in ((1.3, 0.8, 9.0), (4.6, 0.7, 7.0)):
        sea -= drop * np.exp(2 * (np.cos(east - where) - 1) - 4 * (north - above) ** 2)
    sea[-1] = sea[0]
    return {"lon": lon, "lat": lat, "values": sea}


def figure(model: atlasmoe.Model, certificate: atlasmoe.Certificate, arrays: dict[str, NDArray[np.float64]], path: Path) -> None:
    """The interpolant with its grid points, and the error of the network with what is proved of it."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    lon, lat = np.linspace(-np.pi, np.pi, 361), np.linspace(-LATITUDE, LATITUDE, 151)
    east, north = (part.ravel() for part in np.meshgrid(lon, lat))
    points = np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)
    truth, found = (values[:, 0].reshape(len(lat), len(lon)) for values in (model.task(points), model(points)))
    drawn, axes = plt.subplots(2, 1, figsize=(7.5, 7.5), sharex=True, layout="constrained")
    shown = [
        (truth, "viridis", "f: the interpolant, °C"),
        (found - truth, "RdBu_r", f"Ψ − f, K; proved: |Ψ − f| ≤ {certificate.bound:.3g} K"),
    ]
    for one, (values, colours, title) in zip(axes, shown, strict=True):
        most = float(np.abs(values).max())
        limits = {"vmin": -most, "vmax": most} if colours == "RdBu_r" else {}
        image = one.pcolormesh(np.degrees(lon), np.degrees(lat), values, cmap=colours, shading="gouraud", **limits)
        drawn.colorbar(image, ax=one)
        one.set(title=title, ylabel="latitude, °", xlim=(-180, 180))
    turned = np.degrees((arrays["lon"][:-1] + np.pi) % (2 * np.pi) - np.pi)
    sites = np.meshgrid(turned, np.degrees(arrays["lat"]))
    axes[0].plot(*(part.ravel() for part in sites), ".", color="white", markersize=1.5, label="grid points of the table")
    axes[0].legend(loc="lower left", framealpha=0.9, labelcolor="white", facecolor="0.3")
    axes[1].set_xlabel("longitude, °")
    drawn.savefig(path, dpi=150)
    plt.close(drawn)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epsilon", type=float, default=0.75, help="in K")
    parser.add_argument("--out", type=Path, default=Path("out/table_field"), help="folder of the table, the spec, the model and the figure")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    arrays = grid()
    np.savez(given.out / "temperature.npz", **arrays)
    (given.out / "temperature.toml").write_text(SPEC, encoding="utf-8")
    task = atlasmoe.load_task(given.out / "temperature.toml")
    model = atlasmoe.compile(task, epsilon=given.epsilon)
    report = atlasmoe.verify(model, samples=20_000)
    certificate = atlasmoe.certify(model, epsilon=given.epsilon, tightness=None)
    folder = atlasmoe.save(model, given.out / "model", overwrite=True)
    certificate.write(folder, overwrite=True)
    checked = atlasmoe.check(folder)
    figure(model, certificate, arrays, given.out / "temperature.png")
    experts = len(model.network.layers[-1].experts)
    sizes = f"{len(arrays['lon'])} × {len(arrays['lat'])} values, {experts} experts, {model.network.parameters} numbers"
    held = "nothing" if report.holds else "something"
    print(f"{sizes}; refuted: {held}; |f − Ψ| ≤ {certificate.bound:.3g} K {certificate.status}, {checked.verdict}")
    print(f"figure: {given.out / 'temperature.png'}")


if __name__ == "__main__":
    main()
