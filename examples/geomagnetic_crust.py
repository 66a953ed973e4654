"""The Earth's magnetic field to degree 133: the high-resolution World Magnetic Model as two mixtures of experts that are added, and as C.

The main field, degrees 1 to 12 and all that changes with the date, is the task graph of `geomagnetic_field.py`. What rocks do, degrees
13 to 133, is a mixture of depth one on the sphere (`geomagnetic/crust.py`): fifteen functions of the direction, which five functions of the
radius add up. The coefficients come with pygeomag (pip install pygeomag), or from NOAA. Results: docs/geomagnetic.md.

Every stage leaves its result in the folder of the output; a run that was stopped goes on from the last one.

    python examples/geomagnetic_crust.py                        # compile, measure, prove all of it, write C: a quarter of an hour
    python examples/geomagnetic_crust.py --patches 20           # prove 20 patches of the rest in the place of 864
    python examples/geomagnetic_crust.py --balls 1002 --width 192 --figure
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import atlasmoe
import numpy as np

HERE = Path(__file__).parent / "geomagnetic"
sys.path.insert(0, str(HERE))

import crust  # noqa: E402
from atlasmoe.intervals.harmonics import Coefficients, Harmonics, read_coefficients  # noqa: E402
from geodesy import coordinates, north_east_down  # noqa: E402
from geomagnetic_field import TESTED, UNCERTAINTY, distribution, errors_on_map, globe, places  # noqa: E402
from patches import PATCHES, number_of, prove  # noqa: E402
from reference import WMMHR2025  # noqa: E402
from task import field, graph_of, remainder, series_of  # noqa: E402

POINTS = 100_000
COMPARED = TESTED.replace("wmm_at", "wmmhr_at")
"""The same comparison with published values, of this field's files."""


def coefficients(path: Path | None) -> Coefficients:
    """Of a file, or of the one that pygeomag brings. Raises `InvalidArgument` where there is none."""
    if path is None:
        try:
            import pygeomag
        except ImportError:
            problem = "the coefficients of degree 133 are not here"
            raise atlasmoe.InvalidArgument(f"{problem}; pip install pygeomag, or name NOAA's file: --coefficients WMMHR.COF") from None
        path = Path(pygeomag.__file__).parent / "wmm" / "WMMHR_2025.COF"
    try:
        return read_coefficients(path.read_text(), path.name)
    except (OSError, UnicodeDecodeError) as error:
        raise atlasmoe.InvalidArgument(f"{path} cannot be read as text: {error}; name NOAA's file: --coefficients WMMHR.COF") from None


def kept(folder: Path, make: Callable[[], atlasmoe.Model]) -> atlasmoe.Model:
    """The model in a folder, or one that is made and saved there."""
    if (folder / "config.json").exists():
        print(f"{folder.name}: as compiled before ({folder})")
        return atlasmoe.load(folder)
    begun = time.process_time()
    model = make()
    atlasmoe.save(model, folder, overwrite=True)
    facts = model.facts
    numbers = f"{facts['parameters']:,} numbers, {facts['active_parameters']:,} an input"
    print(f"{folder.name}: {numbers}; compiled in {time.process_time() - begun:.0f} CPU seconds")
    return model


def evaluated(main: atlasmoe.Model, rocks: atlasmoe.Model, at: np.ndarray) -> np.ndarray:
    """B (N, 3) at directions, radii and dates (N, 5)."""
    parts = rocks(at[:, :3]).reshape(-1, crust.KEPT, 3)
    return np.asarray(main(at) + np.einsum("kn,nkc->nc", crust.weights(at[:, 3]), parts))


def measured(main: atlasmoe.Model, rocks: atlasmoe.Model, series: Harmonics, path: Path) -> np.ndarray:
    """Errors to the north, east and down at places that nothing was fitted to, kept in a file."""
    latitude, longitude, height, date = places(POINTS)
    at = coordinates(latitude, longitude, height, date)
    begun = time.process_time()
    values = evaluated(main, rocks, at)
    middle = time.process_time()
    truth = np.concatenate([field(series, some) for some in np.array_split(at, POINTS // 5000)])
    ended = time.process_time()
    error = values - truth
    turned = north_east_down(error, latitude, longitude)
    print(f"largest errors at {POINTS:,} places, nT: x, y, z {', '.join(f'{v:.2f}' for v in np.abs(error).max(0))};")
    print(f"  north, east, down {', '.join(f'{v:.2f}' for v in np.abs(turned).max(0))}")
    print(f"  root mean square {np.sqrt((turned**2).mean()):.3f}; the World Magnetic Model itself errs by {UNCERTAINTY} (root mean square)")
    times = [seconds / POINTS * 1e6 for seconds in (middle - begun, ended - middle)]
    print(f"CPU time of one place in numpy, µs: the two networks {times[0]:.1f}, the series {times[1]:.0f}")
    np.savez(path, turned=turned, latitude=latitude, longitude=longitude, height=height)
    return turned


def proved(main: atlasmoe.Model, rocks: atlasmoe.Model, options: argparse.Namespace, left: tuple[float, float]) -> list[dict]:
    """Bounds of what both are off by: of the main field everywhere, of the rocks on as many patches of the sphere as were asked for, and
    what came of these."""
    known = options.output / "main" / "certificate.json"
    if not known.exists():
        certificate = atlasmoe.certify(main, tightness=None, seconds=60 * options.minutes)
        certificate.write(options.output / "main")
        print(f"main field: {certificate.status.value}, {certificate.boxes:,} boxes, bound {certificate.bound:.2f}")
    low = next(one for one in json.loads(known.read_text())["claims"] if one["name"] == "total")
    within = f"within {low['bound']:.2f} + {left[0]:.2f} nT of its series" if low["known"] == "proved" else "no bound"
    print(f"main field: {within}, {low['known']}")
    folder = options.output / "patches" if options.keep else None
    found = prove(rocks, options.output / "patches.jsonl", options.patches, options.epsilon, 60 * options.minutes, folder)
    bounds, seconds = [one["bound"] for one in found if one["status"] == "proved"], sum(one["seconds"] for one in found)
    if not found:
        return found
    print(f"rocks: proved on {len(bounds)} of {len(found)} patches, of {PATCHES} that are the sphere; {seconds:.0f} CPU seconds")
    if bounds:
        high = crust.gain() * max(bounds)
        where = "everywhere" if len(bounds) == PATCHES else "there"
        print(f"  {where} every component is within {high:.2f} + {left[1]:.2f} nT of their series")
    if len(found) < PATCHES:
        print(f"  all patches would take about {seconds / len(found) * PATCHES / 60:.0f} CPU minutes")
    return found


def written(main: atlasmoe.Model, rocks: atlasmoe.Model, folder: Path, allowed: float) -> list[str]:
    """C99 in a folder, compiled with all warnings and run against the published values where there is a compiler; what was said."""
    if folder.exists():
        shutil.rmtree(folder)
    for model, prefix in ((main, "wmm"), (rocks, "crust")):
        atlasmoe.export_to(model, "c", folder / prefix, prefix=prefix)
        for name in (f"{prefix}.c", f"{prefix}.h"):
            shutil.move(folder / prefix / name, folder / name)
        shutil.rmtree(folder / prefix)
    for name in ("wmmhr_at.h", "wmmhr_at.c"):
        shutil.copy(HERE / name, folder)
    rows = ", ".join("{" + ", ".join(repr(float(v)) for v in row) + "}" for row in WMMHR2025)
    (folder / "test_wmmhr_at.c").write_text(COMPARED.format(rows=rows, allowed=allowed))
    compiler = shutil.which("cc") or shutil.which("gcc")
    size = sum(path.stat().st_size for path in folder.iterdir())
    if compiler is None:
        return [f"C: {size / 1e6:.1f} MB; no compiler here: written, not run"]
    flags = ["-Wall", "-Wextra", "-Werror", "-std=c99", "-O1"]
    for name in ("wmm", "crust", "wmmhr_at", "test_wmmhr_at"):
        subprocess.run([compiler, *flags, "-c", f"{name}.c"], cwd=folder, check=True)
    objects = [f"{name}.o" for name in ("wmm", "crust", "wmmhr_at", "test_wmmhr_at")]
    subprocess.run([compiler, *objects, "-lm", "-o", "test_wmmhr_at"], cwd=folder, check=True)
    done = subprocess.run(["./test_wmmhr_at"], cwd=folder, check=True, capture_output=True, text=True)
    compiled = sum((folder / name).stat().st_size for name in objects)
    return [
        f"compiled by {Path(compiler).name} {' '.join(flags)}",
        done.stdout.strip(),
        f"C: {size / 1e6:.1f} MB, compiled {compiled / 1e6:.1f}",
    ]


def figure(folder: Path, rocks: atlasmoe.Model, found: list[dict]) -> None:
    """What rocks do to the field at the ground, as the network says it, where and how often both networks err, and what is proved."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    known = np.load(folder / "errors.npz")
    # The middles of pixels that are evenly spaced in the sine of the latitude, like the map.
    longitude, up = np.meshgrid((np.arange(720) - 359.5) / 2, (np.arange(720) - 359.5) / 360)
    latitude = np.degrees(np.arcsin(up))
    at = coordinates(latitude.ravel(), longitude.ravel(), 0.0, 2027.5)
    parts = rocks(at[:, :3]).reshape(-1, crust.KEPT, 3)
    down = north_east_down(np.einsum("kn,nkc->nc", crust.weights(at[:, 3]), parts), latitude.ravel(), longitude.ravel())[:, 2]
    canvas, ((field_, errors), (bounds_, shares)) = plt.subplots(2, 2, figsize=(12, 8), layout="constrained")
    extent = (-180, 180, -1, 1)
    limit = float(np.quantile(np.abs(down), 0.995))
    shown = field_.imshow(down.reshape(up.shape), origin="lower", extent=extent, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    globe(field_, "degrees 13 to 133 at the ground, downwards, by the network")
    canvas.colorbar(shown, ax=field_, label="nT", extend="both")
    canvas.colorbar(errors_on_map(errors, known["turned"], known["latitude"], known["longitude"], 4), ax=errors, label="nT")
    bounds = np.full(PATCHES, np.nan)
    for one in found:
        if one["status"] == "proved":
            bounds[one["patch"]] = one["bound"]
    there = bounds[number_of(at[:, :3])].reshape(up.shape)
    squares = bounds_.imshow(there, origin="lower", extent=extent, cmap="viridis_r", vmin=0, aspect="auto")
    here = np.isfinite(bounds).sum()
    globe(bounds_, f"proved of the fifteen functions, on {here} of {PATCHES} patches" + ("" if here == PATCHES else " (white: not proved)"))
    canvas.colorbar(squares, ax=bounds_, label="bound of the largest error, nT")
    distribution(shares, known["turned"])
    canvas.legend(*shares.get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=4, frameon=False)
    canvas.savefig(folder / "geomagnetic_crust.png", dpi=110)
    print(f"figure: {folder / 'geomagnetic_crust.png'}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--coefficients", type=Path, help="file of Gauss coefficients (default: the one of pygeomag)")
    parser.add_argument("--balls", type=int, default=642, help="about so many balls cover the sphere (default 642)")
    parser.add_argument("--width", type=int, default=256, help="neurons of an expert (default 256)")
    parser.add_argument(
        "--epsilon", type=float, default=0.75, help="what is to be proved of each of the fifteen functions, nT (default 0.75)"
    )
    parser.add_argument("--patches", type=int, default=PATCHES, help=f"how many of {PATCHES} patches of the sphere to prove (default all)")
    parser.add_argument("--keep", action="store_true", help="keep the certificates of patches, as folders that atlasmoe check reads")
    parser.add_argument("--minutes", type=float, default=10.0, help="give a proof up after so many (default 10); 0: no proof")
    parser.add_argument("--output", type=Path, default=Path("out/geomagnetic_crust"), help="folder of models, proofs, C and figure")
    parser.add_argument("--figure", action="store_true", help="draw what rocks do, and the errors")
    options = parser.parse_args()
    try:
        run(options)
    except atlasmoe.AtlasMoEError as error:
        raise SystemExit(f"geomagnetic_crust: {error}") from None


def run(options: argparse.Namespace) -> None:
    given = coefficients(options.coefficients)
    low, high = (series_of(part) for part in crust.split(given))
    left = remainder(low, 4, 3), crust.left_out(high)
    print(f"sums in the radius leave out at most {left[0]:.2f} and {left[1]:.2f} nT")
    main = kept(options.output / "main", lambda: atlasmoe.compile(graph_of(low, 48), epsilon=2.0, form="residual"))
    rocks = kept(
        options.output / "crust",
        lambda: atlasmoe.compile(crust.task_of(high, options.balls), width=options.width, activation="silu", routing="affine"),
    )
    measured(main, rocks, series_of(given), options.output / "errors.npz")
    found = proved(main, rocks, options, left) if options.minutes else []
    for line in written(main, rocks, options.output / "c", 5.0):
        print(line)
    if options.figure:
        figure(options.output, rocks, found)


if __name__ == "__main__":
    main()
