"""UNKNOWN explains itself: the part that is not known to be defined, the gate that does not decide, ε too close, boxes that ran out."""

from __future__ import annotations

import json
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.cli.main import main
from atlasmoe.moe import Affine, Known, Model, MoELayer, Network, ReLUNet
from atlasmoe.verify.prove import Certificate, certify
from atlasmoe.verify.prove.diagnosis import Cause, in_words
from click.testing import CliRunner
from conftest import EPSILON


def interval(expression: str, folder: Path, domain: str = "[0, 1]") -> atlasmoe.ManifoldTask:
    path = folder / "spec.toml"
    path.write_text(f'[task]\nname = "t"\n[manifold]\nbuiltin = "interval"\ndomain = {domain}\n[target]\nexpression = "{expression}"\n')
    return atlasmoe.load_task(str(path))


def line(slope: float = 1.0) -> Network:
    """x ↦ slope·x, one expert."""
    net = ReLUNet((Affine(np.array([[slope]]), np.zeros(1)),), ())
    return Network((MoELayer(None, (net,), (0,), ("all",), ("f",)),), ("x1",))


def unknown(network: Network, task: atlasmoe.ManifoldTask, **options: object) -> Certificate:
    certificate = certify(network, task, **{"tightness": None, "boxes": 3000, **options})  # type: ignore[arg-type]
    assert certificate.status is Known.UNKNOWN
    return certificate


def test_the_part_that_may_be_undefined_is_named(tmp_path: Path) -> None:
    """x·log(x) has no value at 0, which the closed interval holds; nothing shows that at a float inside."""
    certificate = unknown(line(), interval("x1 + 0*x1*log(x1)", tmp_path), epsilon=0.1)
    first = certificate.diagnosis["total"][0]
    assert first.what.startswith('log(x1) in f is not known to be defined on chart "')
    assert first.what.endswith("it is not proved that x1 is positive")
    assert "keep the domain away" in first.remedy
    assert certificate.explain().startswith("total is not proved, likely because (a) log(x1) in f")


def test_a_pole_is_named(tmp_path: Path) -> None:
    certificate = unknown(line(), interval("x1 + 1e-30/(x1 - 1/3)**2", tmp_path), epsilon=0.1)
    (cause, *_) = certificate.diagnosis["total"]
    assert "is not 0" in cause.what
    assert "x1 - 1/3" in cause.what


def test_an_epsilon_next_to_the_error_is_said_to_be_too_close(circle: Model) -> None:
    found = certify(circle, tightness=1.0001).found
    certificate = unknown(circle.network, circle.task, epsilon=found * (1 + 1e-5), boxes=300)  # type: ignore[arg-type]
    assert "of the largest error found" in certificate.diagnosis["total"][-1].what
    assert "larger --epsilon" in certificate.diagnosis["total"][-1].remedy


def test_boxes_that_ran_out_are_said_to_have(circle: Model) -> None:
    certificate = certify(circle.network, circle.task, epsilon=EPSILON, tightness=1.0001, boxes=300)
    cause = certificate.diagnosis["total"][-1]
    assert "boxes or time ran out" in cause.what
    assert "--boxes" in cause.remedy
    assert json.dumps(certificate.to_dict()["search"]["diagnosis"]["total"][-1]) == json.dumps(cause.to_dict())


def test_a_gate_that_does_not_decide_is_named(tmp_path: Path) -> None:
    """Four outputs with one logit, one of whose experts is wrong by more than ε: it never wins, but for all that bounds say it may."""
    spec = "".join(
        f'[[chart]]\nname = "c{k}"\ndomain = [[-1, 1]]\ninverse = ["t"]\nforward = ["x"]\nboundary = [[true, true]]\n' for k in range(4)
    )
    (tmp_path / "s.toml").write_text(
        f'[task]\nname = "t"\n[manifold]\nambient = ["x"]\nintrinsic = ["t"]\n{spec}[target]\nexpression = "x"\n'
    )
    task = atlasmoe.load_task(str(tmp_path / "s.toml"))
    nets = tuple(ReLUNet((Affine(np.array([[1.0]]), np.array([bias])),), ()) for bias in (0.0, 0.0, 0.0, 5.0))
    layer = MoELayer(Affine(np.ones((4, 1)), np.zeros(4)), nets, (0, 1, 2, 3), tuple(task.atlas.names), ("f",))
    certificate = unknown(Network((layer,), ("x",)), task, epsilon=0.1)
    what = certificate.diagnosis["total"][0].what
    assert what.startswith('the gate does not decide between "c0", "c1", "c2" and 1 more')


def test_errors_that_add_up_are_said_to(tmp_path: Path) -> None:
    (tmp_path / "g.toml").write_text(
        '[task]\nname="g"\nkind="graph"\noutput="f"\n[[input]]\nname="u"\ndomain=[0,2]\n[[block]]\nname="a"\nreads=["u"]\n'
        'piece=[{domain=[0,2],expression="u*u"}]\n[[block]]\nname="b"\nreads=["u"]\npiece=[{domain=[0,2],expression="sin(u)"}]\n'
        '[[combine]]\nname="f"\nreads=["a","b"]\nexpression="a + b"\n'
    )
    model = atlasmoe.compile(atlasmoe.load_task(str(tmp_path / "g.toml")), epsilon=1e-2)
    proved = certify(model)
    certificate = certify(model, epsilon=1.0001 * proved.found)
    assert certificate.status is Known.UNKNOWN
    (cause,) = certificate.diagnosis["total"]
    assert "their errors add up to" in cause.what


def test_the_command_line_says_why(tmp_path: Path, circle: Model) -> None:
    folder = str(atlasmoe.save(circle, tmp_path / "m"))
    result = CliRunner().invoke(main, ["certify", folder, "--tightness", "1.0001", "--boxes", "300"])
    assert result.exit_code == 1
    assert "likely because" in " ".join(result.stdout.split())
    other = str(atlasmoe.save(circle, tmp_path / "other"))
    result = CliRunner().invoke(main, ["certify", other, "--tightness", "1.0001", "--boxes", "300", "--json"])
    assert json.loads(result.stdout)["certificate"]["search"]["diagnosis"]["total"]


def test_proofs_have_nothing_to_explain(circle: Model) -> None:
    certificate = certify(circle, tightness=None)
    assert (certificate.diagnosis, certificate.explain()) == ({}, "proved")
    assert "diagnosis" not in certificate.to_dict()["search"]
    assert certify(circle, epsilon=1e-4, tightness=None).explain().startswith("total is refuted: |f − Ψ| is at least")


@pytest.mark.parametrize("count", [1, 2])
def test_causes_are_lettered_if_there_are_several(count: int) -> None:
    (text,) = in_words({"total": [Cause(f"cause {n}", "do") for n in range(count)]})
    assert ("(a) cause 0" in text, "(b) cause 1" in text) == (count > 1, count > 1)
