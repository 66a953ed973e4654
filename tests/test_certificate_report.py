"""What people look at: the table, the figure and the ledger of a certificate, and the command that makes one."""

import json

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Box, ManifoldTask, builtin
from atlasmoe.atlas import ExpressionMap, ExpressionTarget
from atlasmoe.cli.main import main
from atlasmoe.report.certificate_figure import certificate_figure
from atlasmoe.report.tables import certificate_table
from atlasmoe.verify.prove.ledger import expert_bounds, with_proofs
from click.testing import CliRunner
from rich.console import Console
from sympy import symbols


@pytest.fixture(scope="module")
def model():
    atlas = builtin("circle", charts=3)
    x = symbols("x1 x2", real=True)
    return atlasmoe.compile(ManifoldTask("wave", atlas, ExpressionTarget(ExpressionMap(x, (x[0] * x[1],)))), epsilon=5e-2)


@pytest.fixture(scope="module")
def certificate(model):
    return atlasmoe.certify(model)


def test_the_table_says_what_is_proved(certificate):
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(certificate_table(certificate))
    text = console.export_text()
    assert "proved for every point" in text
    assert "routing.max_tau" in text


def test_a_ledger_with_proofs_has_formula_above_what_is_proved(model, certificate):
    ledger = with_proofs(model.ledger, certificate)
    assert ledger.holds
    assert ledger["total"].known == "proved"
    assert ledger["total"].bound == certificate.bound
    assert ledger["routing.tau"].known == ledger["routing.max_tau"].known == "proved"
    bounds = expert_bounds(certificate)
    assert set(bounds) == {f"expert[{name}]" for name in model.network.layers[-1].names}
    assert max(bounds.values()) <= certificate["total"].bound <= max(bounds.values()) * (1 + 2.0**-9)  # it leaves room to confirm it
    for name, bound in bounds.items():
        assert ledger[f"{name}.proved"].bound == bound


def test_what_was_not_proved_changes_no_ledger(model):
    stopped = atlasmoe.certify(model, boxes=1)
    assert stopped.status == "unknown"
    assert with_proofs(model.ledger, stopped).root == model.ledger.root


def test_a_figure_of_a_refutation_does_not_say_what_is_false(model):
    refuted = atlasmoe.certify(model, epsilon=1e-4, boxes=3000)
    drawn = certificate_figure(refuted)
    assert drawn.get_suptitle().replace("\n", " ").startswith("wave: refuted, total (|f − Ψ| ≤ 0.0001 was asked; ")


def test_the_figure_has_a_panel_for_every_chart(certificate, tmp_path):
    drawn = certificate_figure(certificate, tmp_path / "proof.png")
    assert (tmp_path / "proof.png").stat().st_size > 10_000
    assert [axes.get_title(loc="left").split(":")[0] for axes in drawn.axes] == ["arc0", "arc1", "arc2"]


def test_figures_of_surfaces_and_solids(tmp_path):
    u = symbols("x1 x2", real=True)
    flat = builtin("box", domain=[[0, 1], [0, 1]])
    task = ManifoldTask("flat", flat, ExpressionTarget(ExpressionMap(u, (u[0] * u[1],))))
    drawn = certificate_figure(atlasmoe.certify(atlasmoe.compile(task, epsilon=0.1)))
    assert drawn.axes[-1].get_ylabel() == "proved bound of |f − Ψ|"
    assert isinstance(flat.charts[0].domain, Box)


def test_the_command_writes_certificate_and_figure(model, tmp_path):
    folder = atlasmoe.save(model, tmp_path / "model")
    runner = CliRunner()
    result = runner.invoke(main, ["certify", str(folder), "--figure", str(tmp_path / "p.png"), "--ledger"])
    assert result.exit_code == 0, result.output
    assert "proved for every point" in result.output
    assert (tmp_path / "p.png").is_file()
    document = json.loads((folder / "certificate.json").read_text())
    assert document["status"] == "proved"
    assert np.isfinite(document["bound"])
    assert atlasmoe.load(folder).facts == atlasmoe.load(folder).facts  # the certificate does not disturb the model
    for arguments, word in (
        (["--tightness", "tight"], "neither a number"),
        (["--tightness", "0.5"], "above 1"),
        (["--figure", str(tmp_path / "none" / "p.png")], "there is no folder"),
        (["--epsilon", "-1"], "positive"),
    ):
        refused = runner.invoke(main, ["certify", str(folder), *arguments])
        assert refused.exit_code == 2
        assert word in refused.output
    missed = runner.invoke(main, ["certify", str(folder), "--epsilon", "1e-6", "--json"])
    assert missed.exit_code == 1
    assert json.loads(missed.output)["certificate"]["status"] == "refuted"
