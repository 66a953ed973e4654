"""What is undefined somewhere is neither proved nor confirmed, however small the place."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import pytest
from atlasmoe.errors import AtlasMoEError
from atlasmoe.verify.check import check
from certificates import certified, retold

SPEC = '[task]\nname = "hole"\n[manifold]\nbuiltin = "interval"\ncharts = 3\n[target]\nexpression = "exp(x1)"\n'
HOLES = [
    "exp(x1) + 1e-30/(x1 - 0.3)**2",
    "exp(x1) + 0*log(x1 - 0.3)",
    "exp(x1) + 1e-20*atan(1/(x1 - 0.3))",
    "exp(x1) + 1e-20*sin(log((x1 - 0.3)**2))",
    "exp(x1)*(x1 - 0.3)/(x1 - 0.3)",
    "exp(x1) + 0*sqrt((x1 - 0.3)**2 - 1e-40)",
    "exp(x1) + 1e-20*(log(x1 - 0.3))**2",
    "Piecewise((exp(x1), 1/(x1 - 0.3) > 0), (exp(x1), True))",
    "exp(x1) + 1e-20*atan2(0, x1 - 0.3)",
]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("holes")
    (folder / "task.toml").write_text(SPEC)
    model = atlasmoe.compile(atlasmoe.load_task(folder / "task.toml"), epsilon=0.02)
    found = certified(model, folder / "model")
    assert check(found).verdict == "confirmed"
    return found


@pytest.mark.parametrize("text", [text for text in HOLES if "log(x1" not in text])  # those take long: undefined on half of M
def test_a_hole_in_the_target_is_not_confirmed(text: str, honest: Path, tmp_path: Path) -> None:
    """A proof of exp, in a folder whose task has a hole at 0.3, all hashes right."""
    folder = retold(honest, tmp_path / "model", '"exp(x1)"', f'"{text}"')
    try:
        report = check(folder)
    except AtlasMoEError:
        return  # cannot be read as a model of this task at all
    assert report.verdict != "confirmed"


@pytest.mark.parametrize("text", HOLES)
def test_a_hole_in_the_target_is_not_proved(text: str, honest: Path, tmp_path: Path) -> None:
    network = atlasmoe.load(honest).network
    (tmp_path / "task.toml").write_text(SPEC.replace("exp(x1)", text))
    task = atlasmoe.load_task(tmp_path / "task.toml")
    assert not atlasmoe.certify(network, task, epsilon=0.02, tightness=None, seconds=5).status.startswith("proved")


def test_the_same_without_a_hole_is(honest: Path, tmp_path: Path) -> None:
    folder = retold(honest, tmp_path / "model", '"exp(x1)"', '"exp(x1) + 0*sqrt((x1 - 0.3)**2)"')
    assert check(folder).verdict == "confirmed"
