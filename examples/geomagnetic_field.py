"""The Earth's magnetic field by place, height and date: WMM2025 as a network that is proved for every point, and as C.

The domain is the shell from 1 km below the ellipsoid to 600 km above it, poles included, from 2025.0 to 2030.0. A direction, a radius and a
date are read, Cartesian components come out: `geomagnetic/geodesy.py` and `geomagnetic/wmm_at.c` make the former of latitude, longitude and
height, and the latter into north, east and down. How the task is built, and what that leaves out: `geomagnetic/task.py`. Results:
docs/geomagnetic.md.

    python examples/geomagnetic_field.py                       # compile to 2 nT, measure, prove, write C and its test
    python examples/geomagnetic_field.py --epsilon 0.5 --charts 96
    python examples/geomagnetic_field.py --figure              # and draw where it errs
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np

HERE = Path(__file__).parent / "geomagnetic"
sys.path.insert(0, str(HERE))

from atlasmoe.intervals.harmonics import Harmonics, read_coefficients  # noqa: E402
from atlasmoe.intervals.harmonics.solid import degree_of  # noqa: E402
from atlasmoe.report.palette import FEW  # noqa: E402
from geodesy import DATES, HEIGHTS, coordinates, north_east_down  # noqa: E402
from reference import WMM2025  # noqa: E402
from task import field, graph_of, remainder, series_of  # noqa: E402

COLORS, STYLES = FEW[:3], ("-", "--", "-.")
"""Of north, east and down."""
UNCERTAINTY = (137, 89, 141)
"""Of the World Magnetic Model itself, north, east and down, in nT: its own error model."""
POINTS = 200_000
TESTED = """#include <stdio.h>
#include "wmm_at.h"

int main(void) {{
    static const double known[][7] = {{{rows}}};
    double worst = 0.0;
    unsigned n, k;
    for (n = 0; n < sizeof known / sizeof known[0]; n++) {{
        double b[3];
        if (wmm_at(known[n][2], known[n][3], known[n][1], known[n][0], b)) return 2;
        for (k = 0; k < 3; k++) {{
            double error = b[k] > known[n][4 + k] ? b[k] - known[n][4 + k] : known[n][4 + k] - b[k];
            if (error > worst) worst = error;
        }}
    }}
    (void)printf("%u published values: off by at most %.3f nT\\n", n, worst);
    return worst > {allowed!r};
}}
"""


def places(count: int, seed: int = 12) -> tuple[np.ndarray, ...]:
    """Latitudes, longitudes, heights and dates, evenly over the sphere, both poles and all ends among them."""
    rng = np.random.default_rng(seed)
    latitude, longitude = np.degrees(np.arcsin(rng.uniform(-1, 1, count))), rng.uniform(-180, 180, count)
    height, date = rng.uniform(*HEIGHTS, count), rng.uniform(*DATES, count)
    latitude[:40:2], latitude[1:40:2] = 90, -90
    height[40:80], height[80:120] = HEIGHTS
    date[40:120:2], date[41:120:2] = DATES
    return latitude, longitude, height, date


def measured(model: atlasmoe.Model, series: Harmonics) -> tuple[np.ndarray, np.ndarray]:
    """Errors (N, 3) along x, y, z, and to the north, east and down, at places that nothing was fitted to."""
    latitude, longitude, height, date = places(POINTS)
    at = coordinates(latitude, longitude, height, date)
    begun = time.process_time()
    values = model(at)
    middle = time.process_time()
    truth = field(series, at)
    ended = time.process_time()
    error = values - truth
    turned = north_east_down(error, latitude, longitude)
    print(f"largest errors at {POINTS:,} places, nT: x, y, z {_list(np.abs(error).max(0))};")
    print(f"  north, east, down {_list(np.abs(turned).max(0))}")
    print(f"  root mean square {np.sqrt((turned**2).mean()):.3f}; the World Magnetic Model itself errs by {UNCERTAINTY} (root mean square)")
    times = [seconds / POINTS * 1e6 for seconds in (middle - begun, ended - middle)]
    print(f"CPU time of one place in numpy, µs: the network {times[0]:.2f}, the series {times[1]:.2f}")
    return turned, at


def _list(values: np.ndarray) -> str:
    return ", ".join(f"{v:.2f}" for v in values)


def written(model: atlasmoe.Model, folder: Path, error: float) -> list[str]:
    """C99 in a folder, compiled with all warnings and run against the published values where there is a compiler; what was said."""
    if folder.exists():
        shutil.rmtree(folder)
    atlasmoe.export_to(model, "c", folder, prefix="wmm")
    for name in ("wmm_at.h", "wmm_at.c"):
        shutil.copy(HERE / name, folder)
    rows = ", ".join("{" + ", ".join(repr(float(v)) for v in row) + "}" for row in WMM2025)
    (folder / "test_wmm_at.c").write_text(TESTED.format(rows=rows, allowed=error + 0.05))
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return ["no C compiler here: written, not run"]
    flags = ["-Wall", "-Wextra", "-Werror", "-std=c99", "-O2"]
    sources = ["wmm.c", "wmm_at.c", "test_wmm_at.c"]
    subprocess.run([compiler, *flags, *sources, "-lm", "-o", "test_wmm_at"], cwd=folder, check=True)
    done = subprocess.run(["./test_wmm_at"], cwd=folder, check=True, capture_output=True, text=True)
    size = sum((folder / name).stat().st_size for name in ("wmm.c", "wmm.h"))
    object_size = _object_size(compiler, flags, folder)
    return [
        f"compiled by {Path(compiler).name} {' '.join(flags)}",
        done.stdout.strip(),
        f"wmm.c and wmm.h {size:,} bytes, compiled {object_size:,}",
    ]


def _object_size(compiler: str, flags: list[str], folder: Path) -> int:
    subprocess.run([compiler, *flags, "-c", "wmm.c", "-o", "wmm.o"], cwd=folder, check=True)
    return (folder / "wmm.o").stat().st_size


def globe(axes: Any, title: str) -> None:
    """A map by the sine of the latitude: equal areas of it are equal areas of the sphere, and places lie evenly on both."""
    parallels = (-90, -60, -30, 0, 30, 60, 90)
    axes.set_yticks(np.sin(np.radians(parallels)), [f"{angle}".replace("-", "−") for angle in parallels])
    axes.set(xlim=(-180, 180), ylim=(-1, 1), xticks=range(-180, 181, 60), xlabel="longitude, degrees", ylabel="latitude, degrees")
    axes.set_title(title, fontsize="medium")


def errors_on_map(axes: Any, turned: np.ndarray, latitude: np.ndarray, longitude: np.ndarray, size: float) -> Any:
    """A dot at every place with the largest error of its components, large ones above small ones; what a scale of colours is made of."""
    worst = np.abs(turned).max(1)
    order = np.argsort(worst)
    up = np.sin(np.radians(latitude[order]))
    shown = axes.scatter(longitude[order], up, c=worst[order], s=size, linewidths=0, cmap="magma_r", vmin=0, rasterized=True)
    globe(axes, "largest error of north, east, down (all heights and dates)")
    return shown


def distribution(axes: Any, turned: np.ndarray) -> None:
    """How many places err by less, component by component, beside what the World Magnetic Model itself errs by."""
    for name, component, error, color, style in zip(("north", "east", "down"), turned.T, UNCERTAINTY, COLORS, STYLES, strict=True):
        sizes = np.sort(np.abs(component))
        share = 100 * np.arange(len(sizes))[::50] / len(sizes)
        axes.semilogx(sizes[::50], share, color=color, linestyle=style, label=f"{name}: network beside the series")
        axes.axvline(error, color=color, linestyle=style, linewidth=1)
    north, east, down = UNCERTAINTY
    axes.text(0.9 * east, 50, f"east {east}", rotation=90, ha="right", va="center", fontsize="small")
    axes.text(1.1 * max(north, down), 50, f"north {north}, down {down}", rotation=90, ha="left", va="center", fontsize="small")
    axes.plot([], [], color="#555555", linewidth=1, label="upright: the World Magnetic Model beside the Earth")
    axes.set(xlim=(1e-3, 1e3), xlabel="error, nT", ylabel="part of all places with a smaller one, %")
    axes.set_title("how errors are distributed", fontsize="medium")


def figure(turned: np.ndarray, path: Path) -> None:
    """Where the network errs, as a map, and how its errors are distributed beside the model's own uncertainty."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    latitude, longitude, *_ = places(POINTS)
    canvas, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), width_ratios=(3, 2), layout="constrained")
    canvas.colorbar(errors_on_map(left, turned, latitude, longitude, 5), ax=left, label="nT")
    distribution(right, turned)
    canvas.legend(fontsize="small", loc="outside lower center", ncols=4, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas.savefig(path, dpi=110)
    print(f"figure: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coefficients", type=Path, default=HERE / "WMM2025.COF", help="file of Gauss coefficients (default WMM2025)")
    parser.add_argument("--degree", type=int, help="cut the series off behind this degree (default: all of the file)")
    parser.add_argument("--charts", type=int, default=48, help="number of balls that cover the sphere (default 48)")
    parser.add_argument("--epsilon", type=float, default=2.0, help="error of a component in nT (default 2)")
    parser.add_argument("--kept", type=int, default=4, help="polynomials in the radius, of the field (default 4, at most 6)")
    parser.add_argument("--rates", type=int, default=3, help="and of its rate (default 3)")
    parser.add_argument("--output", type=Path, default=Path("out/geomagnetic"), help="folder of the model, of C and of the figure")
    parser.add_argument("--minutes", type=float, default=10.0, help="give the proof up after so many (default 10); 0: no proof")
    parser.add_argument("--figure", action="store_true", help="draw a map of the errors")
    options = parser.parse_args()
    try:
        run(options)
    except atlasmoe.AtlasMoEError as error:
        raise SystemExit(f"geomagnetic_field: {error}") from None


def run(options: argparse.Namespace) -> None:
    given = read_coefficients(options.coefficients.read_text(), options.coefficients.name)
    last = degree_of(given.main.shape[1])
    if options.degree is not None and options.degree > last:
        problem = f"--degree {options.degree}: {options.coefficients.name} ends with degree {last}"
        raise atlasmoe.InvalidArgument(f"{problem}; python examples/geomagnetic_crust.py is for degree 133")
    series = series_of(given if options.degree is None else given.cut(options.degree))
    left_out = remainder(series, options.kept, options.rates)
    begun = time.process_time()
    model = atlasmoe.compile(graph_of(series, options.charts, options.kept, options.rates), epsilon=options.epsilon, form="residual")
    facts = model.facts
    numbers = f"{facts['parameters']:,} numbers, {facts['active_parameters']:,} an input"
    print(f"degree {series.degree - 1}: {options.charts} experts on the sphere; {numbers}")
    print(f"compiled in {time.process_time() - begun:.0f} CPU seconds; the series in the radius leaves out at most {left_out:.3f} nT")
    turned, _ = measured(model, series)
    atlasmoe.save(model, options.output / "model", overwrite=True)
    bound = float(model.ledger["total"].budget)
    if options.minutes:
        begun = time.process_time()
        certificate = atlasmoe.certify(model, epsilon=options.epsilon, tightness=None, seconds=60 * options.minutes)
        certificate.write(options.output / "model")
        if certificate.status == "proved":
            bound = certificate.bound
            print(f"proved: every component is within {bound:.2f} + {left_out:.3f} nT of the series, all over the shell, at every date;")
        else:
            print(f"not proved in {options.minutes:g} minutes: {certificate.status}, at most {certificate.bound:.3g} where it is known;")
        print(f"  {certificate.boxes:,} boxes, {time.process_time() - begun:.0f} CPU seconds; largest error found {certificate.found:.2f}")
    for line in written(model, options.output / "c", 3**0.5 * (bound + left_out)):
        print(line)
    if options.figure:
        figure(turned, options.output / "geomagnetic.png")


if __name__ == "__main__":
    main()
