"""What commands load: a person waits for it every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import distinct
from atlasmoe.atlas.neighbours import by_leaves
from atlasmoe.expressions.sobol import AXES, sobol
from scipy.spatial import cKDTree
from scipy.stats import qmc

SPEC = '[task]\nname = "circle"\nkind = "manifold"\n[manifold]\nbuiltin = "circle"\n[target]\nexpression = "x1*x2"\n'
NEVER = ("torch", "scipy.stats", "networkx", "matplotlib", "transformers", "onnx", "pandas", "lark")
"""What no command needs that looks at a model or compiles a manifold of the library."""
FEW = {
    "show": (
        "sympy",
        "scipy",
        "joblib",
        "numpy.ma",
        "numpy.random",
        "atlasmoe.atlas.checks",
        "atlasmoe.verify.sample.sample",
        "atlasmoe.constructions",
        "atlasmoe.verify.prove",
    ),
    "show circle.toml": ("scipy", "joblib", "numpy.ma", "numpy.random", "atlasmoe.atlas.checks", "atlasmoe.report.graph_figure"),
    "explain": ("sympy", "scipy", "joblib", "atlasmoe.constructions", "atlasmoe.verify.prove"),
    "explain --at 0.6,0.8": ("scipy", "joblib", "numpy.ma", "numpy.random", "atlasmoe.constructions", "atlasmoe.verify.prove"),
    "lint": ("scipy", "joblib", "rich", "numpy.ma", "atlasmoe.constructions", "atlasmoe.verify"),
    "certify": ("scipy", "dask", "atlasmoe.constructions"),
    "check": ("scipy", "joblib", "atlasmoe.constructions", "atlasmoe.verify.prove", "atlasmoe.export.formats"),
    "compile": ("dask", "numba"),
    "export": ("dask", "numba", "atlasmoe.export.formats.huggingface"),
}
"""And what this command does not need either, if no other one ran before it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("start")
    (place / "circle.toml").write_text(SPEC)
    model = atlasmoe.compile(atlasmoe.load_task(place / "circle.toml"), epsilon=0.1)
    atlasmoe.certify(model, tightness=None).write(atlasmoe.save(model, place / "model"))
    return place


@pytest.mark.parametrize("command", list(FEW))
def test_a_command_loads_only_what_it_needs(folder: Path, command: str) -> None:
    arguments = {
        "show": ["model"],
        "show circle.toml": [],
        "explain": ["model", "--layer", "2", "--expert", "arc0", "--neuron", "0"],
        "explain --at 0.6,0.8": ["model"],
        "lint": ["circle.toml"],
        "certify": ["model", "--tightness", "none"],
        "check": ["model"],
        "compile": ["circle.toml", "-o", "again", "--epsilon", "0.1"],
        "export": ["model", "--to", "numpy", "-o", "written"],
    }[command]
    code = (
        "import sys; from atlasmoe.cli.main import main\n"
        f"try: main({[*command.split(), *arguments]!r})\n"
        "except SystemExit as done: assert not done.code, done.code\n"
        f"print([name for name in {(*NEVER, *FEW[command])!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=folder)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("dimension", [1, 2, 3, len(AXES) + 1])
@pytest.mark.parametrize("seed", [0, 12345])
def test_points_are_those_of_scipy(dimension: int, seed: int) -> None:
    ours = sobol(dimension, 11, seed)
    assert np.array_equal(ours, qmc.Sobol(dimension, seed=seed).random_base2(11))
    assert ours.shape == (2048, dimension)


@pytest.mark.parametrize(("count", "dimension"), [(18, 1), (600, 2), (700, 3)])
def test_neighbours_are_those_of_scipy(count: int, dimension: int) -> None:
    points = np.random.default_rng(dimension).normal(size=(count, dimension)) ** 3
    distance, near = by_leaves(points, 16)
    found = cKDTree(points).query(points, 17)
    np.testing.assert_allclose(distance, found[0][:, 1:], rtol=1e-12)
    assert np.array_equal(near, found[1][:, 1:])
    assert (by_leaves(np.zeros((200, 2)), 3)[0] == 0).all()


def test_more_axes_than_we_know_of() -> None:
    assert np.array_equal(sobol(len(AXES) + 2, 4, 1), qmc.Sobol(len(AXES) + 2, seed=1).random_base2(4))


def test_what_differs() -> None:
    rng = np.random.default_rng(3)
    for whole in (rng.integers(-4, 9, (300, 3)), rng.integers(0, 2, (1, 3)), np.zeros((0, 3), np.intp)):
        assert np.array_equal(distinct.numbers(whole), np.unique(whole))
        assert np.array_equal(distinct.rows(whole.astype(float)), np.unique(whole.astype(float), axis=0))
