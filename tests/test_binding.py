"""A certificate is written only beside what it is about, and takes the place of no better one without saying so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.cli.main import main
from atlasmoe.errors import FolderError, ProofKept
from atlasmoe.moe import Model
from atlasmoe.moe.beside import earlier
from atlasmoe.moe.design import Design
from atlasmoe.moe.ledger import Assumption
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import Certificate, certify
from atlasmoe.verify.prove.binding import first_difference
from certificates import CERTIFICATE, loose
from click.testing import CliRunner
from conftest import EPSILON
from folders import resign

SPEC = """
[task]
name = "g"
kind = "graph"
output = "f"
[[input]]
name = "u"
domain = [0, 2]
[[block]]
name = "f"
reads = ["u"]
piece = [{{domain = [0, 1], expression = "u"}}, {{domain = [1, 2], expression = "2 - u{}"}}]
"""


def task(folder: Path, more: str = "") -> atlasmoe.TaskGraph:
    path = folder / "spec.toml"
    path.write_text(SPEC.format(more))
    return atlasmoe.load_task(str(path))


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Certificate]:
    model = atlasmoe.compile(task(tmp_path_factory.mktemp("spec")), epsilon=1e-2)
    return model, certify(model)


def test_a_proof_of_one_task_is_not_written_beside_another(graph: tuple[Model, Certificate], tmp_path: Path) -> None:
    """The same weights, the same names, another expression: the network is wrong by 5 there."""
    model, certificate = graph
    assert certificate.status == "proved"
    other = replace(model, task=task(tmp_path, " + 5"))
    folder = atlasmoe.save(other, tmp_path / "other")
    with pytest.raises(
        FolderError, match=r"task\.toml: block\[0\]\.piece\[1\]\.expression(\[0\])? is '.*', but what was certified has"
    ) as caught:
        certificate.write(folder)
    assert "certify the model of this folder" in str(caught.value)
    assert not (folder / CERTIFICATE).exists()
    certificate.write(atlasmoe.save(model, tmp_path / "own"))
    assert check(tmp_path / "own").verdict == "confirmed"


def test_another_wiring_or_design_is_named(graph: tuple[Model, Certificate], tmp_path: Path) -> None:
    model, certificate = graph
    folder = atlasmoe.save(model, tmp_path / "m")
    resign(folder, lambda config: config["network"]["layers"][0]["channels"].__setitem__(0, "z"))
    with pytest.raises(FolderError, match=r"config\.json: network\.layers\[0\]\.channels\[0\] is 'z', but what was certified has"):
        certificate.write(folder)
    folder = atlasmoe.save(model, tmp_path / "again")
    resign(folder, lambda config: config["design"].update(form="residual"))
    with pytest.raises(FolderError, match=r"config\.json: design\.form is 'residual', but what was certified has 'paper'"):
        certificate.write(folder)


def test_one_bit_of_a_weight_is_a_difference(circle: Model, tmp_path: Path) -> None:
    certificate = loose(circle.network, circle.task, epsilon=EPSILON)
    folder = atlasmoe.save(circle, tmp_path / "m")
    layer = certificate.network.layers[0]
    bias = layer.experts[0].affines[0].bias.copy()
    bias[0] = -0.0 if not np.signbit(bias[0]) else 0.0
    maps = (replace(layer.experts[0].affines[0], bias=bias), *layer.experts[0].affines[1:])
    changed = replace(layer, experts=(replace(layer.experts[0], affines=maps), *layer.experts[1:]))
    network = replace(certificate.network, layers=(changed, *certificate.network.layers[1:]))
    with pytest.raises(FolderError, match=r"layers\.0\.experts\.0\.affines\.0\.bias is not what was certified"):
        replace(certificate, network=network).write(folder)


@pytest.mark.parametrize(
    ("a", "b", "found"),
    [
        ({"a": [1, {"b": 2}]}, {"a": [1, {"b": 3}]}, ("a[1].b", "2", "3")),
        ({"a": 1}, {"a": 1, "b": 2}, ("b", "missing", "2")),
        ({"a": [1, 2]}, {"a": [1]}, ("the length of a", "2", "1")),
        ({"a": True}, {"a": 1}, ("a", "True", "1")),
        ([], {}, ("the document", "[]", "{}")),
        ({"a": [1.0]}, {"a": [1]}, None),
    ],
)
def test_the_first_difference_is_named(a: object, b: object, found: object) -> None:
    assert first_difference("", a, b) == found


def test_a_better_proof_stays(circle: Model, tmp_path: Path) -> None:
    tight = loose(circle)
    total, *others = tight.claims
    weak = replace(tight, claims=(replace(total, bound=1.5 * total.bound), *others))
    folder = atlasmoe.save(circle, tmp_path / "m")
    weak.write(folder)
    assert earlier(folder) is not None
    tight.write(folder)  # a smaller bound takes its place
    with pytest.raises(ProofKept, match=r"stays as it is: it says that a bound of .* --force"):
        weak.write(folder)
    assert json.loads((folder / CERTIFICATE).read_text())["bound"] == tight.bound
    unknown = certify(circle, epsilon=EPSILON, tightness=1.0001, boxes=300)
    with pytest.raises(ProofKept, match="this one says unknown"):
        unknown.write(folder)
    weak.write(folder, overwrite=True)
    assert json.loads((folder / CERTIFICATE).read_text())["bound"] == weak.bound


def test_a_proof_of_other_files_or_none_is_replaced(circle: Model, tmp_path: Path) -> None:
    tight = certify(circle, epsilon=EPSILON, tightness=1.01)
    folder = atlasmoe.save(circle, tmp_path / "m")
    path = tight.write(folder)
    good = path.read_text()
    for bad in ("", "{}", good.replace('"status":"proved"', '"status":"sure"'), good.replace('"config.json":"', '"config.json":"0')):
        path.write_text(bad)
        assert earlier(folder) is None


def test_the_command_line_says_what_replaced_what(circle: Model, tmp_path: Path) -> None:
    folder = str(atlasmoe.save(circle, tmp_path / "m"))

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["certify", folder, *arguments])
        return result.exit_code, " ".join(result.stdout.split())

    code, out = run("--tightness", "none")
    assert (code, "replaces" in out) == (0, False)
    code, out = run("--tightness", "none")
    assert (code, "it replaces one that said that a bound of" in out) == (0, True)
    path = Path(folder) / CERTIFICATE
    document = json.loads(path.read_text())
    total = next(one for one in document["claims"] if one["name"] == "total")
    document["bound"] = total["bound"] = 1e-9
    path.write_text(json.dumps(document))
    code, out = run("--tightness", "none")
    assert (code, "stays as it is" in out) == (0, True)
    code, out = run("--tightness", "none", "--force", "--json")
    assert (code, json.loads(out)["written"]) == (0, True)


def test_the_status_says_what_it_assumes(circle: Model) -> None:
    certificate = loose(circle.network, circle.task, epsilon=EPSILON)
    assert certificate.verdict == "proved"
    taken = replace(certificate, assumptions=(Assumption("forward", "the forward map of chart x is a Python function"),))
    assert taken.verdict == "proved, assuming forward"
    assert taken.to_dict()["assumptions"][0]["name"] == "forward"


def test_designs_are_compared_only_where_one_was_relied_on(circle: Model, tmp_path: Path) -> None:
    certificate = loose(circle.network, circle.task, epsilon=EPSILON)
    assert certificate.design is None
    assert isinstance(loose(circle).design, Design)
    certificate.write(atlasmoe.save(circle, tmp_path / "m"))
