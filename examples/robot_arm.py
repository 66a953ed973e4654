"""Forward kinematics: from the directions of motor shafts to the place of a robot's tip, in millimetres.

Every shaft is a point of a circle, so angles never jump. It drives its joint through a universal joint bent by 20°, which does not turn
it evenly (tan θ' = tan θ / cos 20°, off by up to 1.8°): that is the shaft's block, compiled on charts of the circle. Cosines of sums of
angles are products of what the blocks give; f_out is a chain of them, one combination a link, from the tip inwards (R10).

    planar arm    examples/robot_arm.toml: three joints, links of 0.5, 0.4 and 0.3 m
    spatial arm   six joints by their Denavit–Hartenberg parameters (those of the UR5), and a tool

    python examples/robot_arm.py              # compiles, verifies on 100 000 random poses and the adversarial ones, draws
    python examples/robot_arm.py --epsilon 1  # to a millimetre

The bound of the ledger adds up what could go wrong at worst in every joint and link at once; the error of a pose is much smaller.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import atlasmoe
import numpy as np
from atlasmoe import Block, Combine, Input, TaskGraph
from rich.console import Console
from rich.table import Table

PLANAR = Path(__file__).with_name("robot_arm.toml")
BEND = np.radians(20)
CHARTS = 6
"""Balls on each circle of the spatial arm: chart maps are affine, and an affine gate routes without scores (B1)."""
DH = (
    # a, d in metres, and α in quarter turns
    (0.0, 0.089159, 1),
    (-0.425, 0.0, 0),
    (-0.39225, 0.0, 0),
    (0.0, 0.10915, 1),
    (0.0, 0.09465, -1),
    (0.0, 0.0823, 0),
)
"""Of the UR5. Joint i turns by θ about z, moves by d along z and by a along x, and turns by α about x."""
TOOL = (0.05, 0.0, 0.1)
"""The tip in the frame of the last joint."""
PLANAR_LINKS = (0.5, 0.4, 0.3)
MAX_WIDTH = 4096


def spatial_arm() -> TaskGraph:
    """p_{i−1} = Rz(θ_i)·(Rx(α_i)·p_i + (a_i, 0, d_i)), from the tool inwards: p_0 is the tip in the frame of the base."""
    bend = "cos(pi/9)"
    nodes: list[Input | Block | Combine] = []
    for i in range(1, len(DH) + 1):
        circle = atlasmoe.builtin("circle", atlas="ball", charts=CHARTS)
        u, v = f"u{i}", f"v{i}"
        length = f"sqrt(({u}*{bend})**2 + {v}**2)"
        nodes.append(Input(f"shaft{i}", circle, (u, v)))
        turned = [[f"{u}*{bend}/{length}", f"{v}/{length}"]] * len(circle)
        nodes.append(Block.parse(f"joint{i}", (u, v), circle, turned, (f"c{i}", f"s{i}")))
    x, y, z = (repr(value) for value in TOOL)
    for i, (a, d, quarters) in reversed(list(enumerate(DH, 1))):
        # Rx(α) with cos α and sin α of 0 and ±1 only.
        along, across, up = {0: (x, y, z), 1: (x, f"(-{z})", y), -1: (x, z, f"(-{y})")}[quarters]
        along, up = f"({along} + {a!r})", f"{up} + {d!r}"
        reads = [name for name in (x, y, z) if name.isidentifier()]
        turning = [name for name in reads if name in along + across]
        turned = [f"c{i}*{along} - s{i}*{across}", f"s{i}*{along} + c{i}*{across}"]
        nodes.append(Combine.parse(f"link{i}", (f"c{i}", f"s{i}", *turning), turned, (f"x{i}", f"y{i}")))
        if lifting := [name for name in reads if name in up]:
            nodes.append(Combine.parse(f"lift{i}", lifting, up, (f"z{i}",)))
            z = f"z{i}"
        else:
            # Nothing has been turned out of the plane yet: a number.
            z = repr(sum(float(part) for part in up.replace("(", "").replace(")", "").split("+")))
        x, y = f"x{i}", f"y{i}"
    nodes.append(Combine.parse("tip", (x, y, z), [x, y, z]))
    return TaskGraph("spatial arm", tuple(nodes), "tip")


def joint_angles(shafts: np.ndarray) -> np.ndarray:
    """θ' of every joint, from points (N, 2·joints)."""
    return np.arctan2(shafts[:, 1::2], shafts[:, 0::2] * np.cos(BEND))


def shaft_points(angles: np.ndarray) -> np.ndarray:
    """The shafts' directions for joint angles θ', (N, joints) to (N, 2·joints)."""
    shaft = np.arctan2(np.sin(angles) * np.cos(BEND), np.cos(angles))
    return np.stack([np.cos(shaft), np.sin(shaft)], axis=-1).reshape(len(angles), -1)


def by_matrices(shafts: np.ndarray) -> np.ndarray:
    """The tip by products of 4×4 matrices, (N, 3): the usual way, which knows nothing of the graph."""
    return spatial_joints(joint_angles(shafts))[:, -1]


def planar_joints(angles: np.ndarray) -> np.ndarray:
    """The places of base, elbows and tip, (N, 4, 2), for joint angles (N, 3)."""
    turned = np.cumsum(angles, axis=1)[..., None]
    steps = np.concatenate([np.cos(turned), np.sin(turned)], axis=-1) * np.array(PLANAR_LINKS)[:, None]
    return np.concatenate([np.zeros((len(angles), 1, 2)), np.cumsum(steps, axis=1)], axis=1)


def spatial_joints(angles: np.ndarray) -> np.ndarray:
    """The places of the base, of the origins of all frames and of the tip, (N, joints + 2, 3), for joint angles (N, joints)."""
    frame = np.tile(np.eye(4), (len(angles), 1, 1))
    found = [frame[:, :3, 3]]
    for (a, d, quarters), angle in zip(DH, angles.T, strict=True):
        ca, sa = np.cos(quarters * np.pi / 2), np.sin(quarters * np.pi / 2)
        c, s, zero, one = np.cos(angle), np.sin(angle), np.zeros_like(angle), np.ones_like(angle)
        rows = [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [zero, sa * one, ca * one, d * one], [zero, zero, zero, one]]
        frame = frame @ np.moveaxis(np.array(rows), 2, 0)
        found.append(frame[:, :3, 3])
    found.append((frame @ np.array([*TOOL, 1.0]))[:, :3])
    return np.stack(found, axis=1)


def millimetres(model: atlasmoe.Model, shafts: np.ndarray) -> np.ndarray:
    """The distance of the computed tip from the true one at each pose, (N,)."""
    return 1000 * np.linalg.norm(model(shafts) - model.task(shafts), axis=1)


def draw(planar: atlasmoe.Model, spatial: atlasmoe.Model, path: Path) -> None:
    """Poses of the planar arm, its error over two joints; tips of the spatial arm coloured by error, and both distributions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.4, 9.6), layout="constrained")
    grid = figure.add_gridspec(2, 2)
    poses = figure.add_subplot(grid[0, 0])
    rng = np.random.default_rng(3)
    angles = rng.uniform(-np.pi, np.pi, (9, 3)) * (1, 0.7, 0.7)
    colors = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#B8A800", "#222222")
    tips = planar(shaft_points(angles))
    for joints, tip, color in zip(planar_joints(angles), tips, colors, strict=True):
        poses.plot(*joints.T, "-o", color=color, linewidth=2, markersize=4)
        poses.plot(*tip, "o", markersize=11, markerfacecolor="none", markeredgecolor=color, markeredgewidth=1.4)
    poses.plot(0, 0, "s", color="black", markersize=8)
    poses.set(
        xlim=(-1.25, 1.25),
        ylim=(-1.1, 1.1),
        aspect="equal",
        xlabel="x [m]",
        ylabel="y [m]",
        title="planar arm: nine poses, circles where the network puts the tip",
    )

    side, middle = 400, figure.add_subplot(grid[0, 1])
    line = np.linspace(-np.pi, np.pi, side, endpoint=False) + np.pi / side
    second, third = np.meshgrid(line, line, indexing="xy")
    error = millimetres(planar, shaft_points(np.stack([np.full(side**2, 0.4), second.ravel(), third.ravel()], axis=1)))
    shown = middle.imshow(error.reshape(side, side), origin="lower", extent=(-180, 180, -180, 180), cmap="magma", aspect="equal")
    figure.colorbar(shown, ax=middle, shrink=0.85, label="error of the tip [mm]")
    middle.set(xlabel="angle of joint 2 [°]", ylabel="angle of joint 3 [°]", title="planar arm: error of the tip, joint 1 at 23°")

    space = figure.add_subplot(grid[1, 0], projection="3d")
    shafts = spatial.task.sample(4000, 1)
    tips, error = spatial.task(shafts), millimetres(spatial, shafts)
    dots = space.scatter(*tips.T, c=error, s=3, cmap="magma", linewidths=0, alpha=0.8)
    figure.colorbar(dots, ax=space, shrink=0.7, label="error of the tip [mm]", pad=0.08)
    reaching = np.argsort(-np.linalg.norm(tips, axis=1))[:400:90]
    for joints, tip, color in zip(spatial_joints(joint_angles(shafts[reaching])), spatial(shafts[reaching]), colors, strict=False):
        space.plot(*joints.T, "-o", color=color, linewidth=3, markersize=4, zorder=5)
        space.plot(*tip[:, None], "o", markersize=11, markerfacecolor="none", markeredgecolor=color, markeredgewidth=1.4)
    ticks = [-1, -0.5, 0, 0.5, 1]
    space.set(xlabel="x [m]", ylabel="y [m]", zlabel="z [m]", xticks=ticks, yticks=ticks, zticks=ticks, box_aspect=(1, 1, 1))
    space.set_title("spatial arm: tips of 4000 random poses, and five arms with circles as above")

    bars = figure.add_subplot(grid[1, 1])
    for model, color in ((planar, "#0072B2"), (spatial, "#D55E00")):
        error = millimetres(model, model.task.sample(50_000, 2))
        bins = np.linspace(0, max(error.max(), 1e-6), 80)
        bars.hist(
            error, bins=bins.tolist(), histtype="stepfilled", alpha=0.55, color=color, label=f"{model.task.name}, at most {error.max():.2g}"
        )
    bars.legend(frameon=False)
    bars.spines[["top", "right"]].set_visible(False)
    bars.set(xlabel="error of the tip [mm]", ylabel="of 50 000 random poses", title="both arms")
    for axes in (poses, middle, space, bars):
        axes.title.set_fontsize(10)
    figure.savefig(path, dpi=150, bbox_inches="tight")


def compiled(task: TaskGraph, epsilon: float, depth: str, samples: int, table: Table) -> tuple[atlasmoe.Model, bool]:
    """Compile and verify one arm, and add what came out to the table."""
    started = time.process_time()
    model = atlasmoe.compile(task, epsilon=epsilon, depth=depth, max_width=MAX_WIDTH)
    built = time.process_time()
    report = atlasmoe.verify(model, samples=samples)
    checked = time.process_time()
    assert report.pieces is not None
    facts = model.facts
    table.add_row(
        task.name,
        f"{report.pieces.seen:,} of {report.pieces.total:,}",
        f"{facts['depth']}, {facts['experts']}",
        f"{facts['m']}",
        f"{1000 * epsilon:g}",
        f"{1000 * report['total'].bound:.2f}",
        f"{millimetres(model, task.sample(samples, 7)).max():.2f}",
        "holds" if report.holds else "REFUTED",
        f"{report.points:,}",
        f"{built - started:.0f} / {checked - built:.0f}",
    )
    return model, report.holds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epsilon", type=float, default=5.0, help="millimetres, of each coordinate of the tip")
    parser.add_argument("--samples", type=int, default=100_000, help="random poses that each arm is verified on")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the figure")
    arguments = parser.parse_args()
    console = Console(width=None if Console().is_terminal else 160)
    planar, spatial = atlasmoe.load_task(PLANAR), spatial_arm()
    assert isinstance(planar, TaskGraph)
    poses = spatial.sample(1000, 0)
    apart = np.abs(spatial(poses) - by_matrices(poses)).max()
    console.print(f"spatial arm: the graph and a product of 4×4 matrices differ by at most {apart:.1e} m on {len(poses)} poses")

    table = Table(title="from motor shafts to the tip, errors in mm")
    headers = (
        "arm",
        "pieces seen",
        "layers, experts",
        "m",
        "ε",
        "worst coordinate",
        "worst distance",
        "",
        "points",
        "CPU s: compile / verify",
    )
    for header in headers:
        table.add_column(header, justify="right")
    models = []
    holds = True
    for task, depth in ((planar, "L+1"), (spatial, "L")):
        model, good = compiled(task, arguments.epsilon / 1000, depth, arguments.samples, table)
        models.append(model)
        holds &= good
    console.print(table)
    console.print(f"worst distance: on {arguments.samples:,} other random poses; worst coordinate: also adversarial ones, and local ascent")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "robot_arm.png"
    draw(models[0], models[1], path)
    console.print(f"figure: {path}")
    if not holds:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
