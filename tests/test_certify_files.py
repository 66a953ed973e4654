"""`certify` writes what it proved beside the weights, and says on the command line how it ended."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import atlasmoe
import pytest
from atlasmoe.cli.main import main
from atlasmoe.errors import FolderError
from atlasmoe.moe import Model
from atlasmoe.moe.typed_json import canonical
from atlasmoe.verify.prove import certify
from certificates import loose
from click.testing import CliRunner
from conftest import EPSILON
from handmade import with_expert


def test_certificate_files(circle: Model, tmp_path: Path) -> None:
    proved = loose(circle.network, circle.task, epsilon=EPSILON)
    with pytest.raises(FolderError, match="holds no model"):
        proved.write(tmp_path)
    folder = atlasmoe.save(circle, tmp_path / "m")
    path = proved.write(folder)
    document = json.loads(path.read_text())
    assert document["status"] == "proved"
    assert document["bound"] == proved.bound
    assert document["epsilon"] == EPSILON
    assert [claim["name"] for claim in document["claims"]] == [claim.name for claim in proved.claims]
    assert {"model.safetensors", "config.json", "task.toml", "ledger.json", "certificate.safetensors"} == set(document["files"])
    assert document["root"] == hashlib.sha256(canonical(document["files"])).hexdigest()
    (site,) = document["sites"]
    assert [piece["boxes"] for piece in site["pieces"]] == [len(tree) for tree in proved.trees.values()]
    other = replace(proved, network=with_expert(circle.network, 1, 0, lambda arrays: arrays[0][0].__imul__(2)))
    with pytest.raises(FolderError, match=r"layers\.1\.experts\.0\.affines\.0\.weight is not what was certified"):
        other.write(folder)


def test_an_open_bound_is_null_in_the_file(circle: Model, tmp_path: Path) -> None:
    certificate = certify(circle.network, circle.task, epsilon=EPSILON, tightness=1.0001, boxes=300)
    document = json.loads(certificate.write(atlasmoe.save(circle, tmp_path / "m")).read_text())
    assert document["bound"] is None
    assert document["status"] == "unknown"


def test_command_line(circle: Model, tmp_path: Path) -> None:
    folder = str(atlasmoe.save(circle, tmp_path / "m"))

    def run(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, ["certify", folder, *arguments])
        return result.exit_code, result.stdout, result.stderr

    code, out, _ = run("--tightness", "none", "--json")
    assert code == 0
    assert json.loads(out)["certificate"]["status"] == "proved"
    assert (Path(folder) / "certificate.json").is_file()
    code, out, _ = run("--tightness", "none")
    assert (code, "proved" in out.lower()) == (0, True)
    code, out, _ = run("--tightness", "none", "--epsilon", "1e-5", "--json")
    assert (code, json.loads(out)["certificate"]["status"]) == (1, "refuted")
    code, out, _ = run("--tightness", "1.0001", "--boxes", "300", "--json")
    assert (code, json.loads(out)["certificate"]["status"]) == (1, "unknown")
    code, _, err = run("--tightness", "soon")
    assert (code, "--tightness" in err) == (2, True)
    code, _, err = run("--epsilon", "-1")
    assert (code, "epsilon must be a positive number" in err) == (2, True)
    # What an unknown one has settled waits for another run.
    assert [path.name for path in tmp_path.glob(".m.*")] == [".m.certify.safetensors"]
    assert run("--tightness", "1.0001")[0] == 0
    assert not list(tmp_path.glob(".m.*"))
