"""`atlasmoe certify`: prove the claims of a model for every point, and leave a certificate in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import InvalidArgument
from .options import Real, Whole, figure_option, jobs_option, json_option, trust_option
from .output import check_figure_path, print_json, print_rich

if TYPE_CHECKING:
    from ..moe import Model
    from ..verify.prove import Certificate

CHECKPOINT = "{name}.certify.safetensors"
"""Beside the model's folder: where an interrupted proof is kept."""


def _write(model: Model, certificate: Certificate, folder: Path, force: bool) -> str:
    """Write the certificate, or leave the one that is there, and say which."""
    from dataclasses import replace

    from ..errors import ProofKept
    from ..export.folder import save_proof
    from ..moe.beside import earlier

    before = earlier(folder)
    try:
        written = save_proof(replace(model, certificate=certificate), folder, overwrite=force)
    except ProofKept as kept:
        return str(kept)
    return f"certificate: {written}" + ("" if before is None or not before.proved else f"; it replaces one that said that {before}")


@click.command(short_help="Prove the claims of the model for every point.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--epsilon", metavar="E", help="Error to prove: above 0, or like `1%` of the target's range. Default: the model's own ε.")
@click.option(
    "--tightness",
    metavar="T",
    default="1.1",
    show_default=True,
    help="Go on until the bound is within T > 1 times the largest error found; `none` stops as soon as ε is proved.",
)
@click.option("--boxes", type=Whole(1), metavar="N", default=4_000_000, show_default=True, help="Boxes to look at, at most.")
@click.option(
    "--seconds",
    type=Real(0, min_open=True),
    metavar="S",
    default=600.0,
    show_default=True,
    help="Time to spend, at most.",
)
@jobs_option
@click.option(
    "--for",
    "engines",
    metavar="FORMAT",
    multiple=True,
    help="Also for what runs an export: c, numpy, onnx, pt2, or torch for to_torch. What that assumes of the engine is listed. Repeatable."
    " Default: none.",
)
@click.option("--force", is_flag=True, help="Replace a better certificate too: one that is proved, or of a smaller bound.")
@figure_option("Draw the boxes of the proof into this file.")
@click.option("--ledger", is_flag=True, help="Show the model's ledger too, with what is proved written into it.")
@trust_option
@json_option
def certify(
    folder: Path,
    epsilon: str | None,
    tightness: str,
    boxes: int,
    seconds: float,
    jobs: int,
    engines: tuple[str, ...],
    force: bool,
    figure: Path | None,
    ledger: bool,
    trust_code: bool,
    as_json: bool,
) -> None:
    """Prove, for every point of M, that the model in FOLDER routes to a valid chart and that its error stays below ε.

    Writes certificate.json and certificate.safetensors into FOLDER, and into the model card what is proved; `atlasmoe check FOLDER`
    re-verifies them. FOLDER may be an export of small integers, whose own network is then proved, for the engine that it is for. A better
    certificate there stays. Exit code 1 if a claim is refuted or not proved within the budget. What an interrupted run has settled is kept
    beside FOLDER, in .NAME.certify.safetensors, and the same command goes on from there.
    """
    import joblib

    from ..export.carried import state
    from ..export.export_listing import is_export, model_inside, read_listing
    from ..export.folder import load
    from ..verify.prove import certify as prove
    from ..verify.prove.ledger import with_proofs

    try:
        ratio = None if tightness == "none" else float(tightness)
    except ValueError:
        raise InvalidArgument(f"--tightness {tightness!r} is neither a number above 1 nor `none`") from None
    check_figure_path(figure)
    export = folder if is_export(folder) else None
    if export is not None:
        folder, engines = model_inside(export), engines or (str(read_listing(export)["format"]),)
    model = load(folder, trust_code=trust_code)
    if export is not None:
        from ..export.exported import require_written

        require_written(export, model)
    place = folder.absolute()
    checkpoint = place.with_name(CHECKPOINT.format(name=f".{place.name}"))
    if checkpoint.exists() and not as_json:
        click.echo(
            f"{checkpoint}: an earlier run stopped there; if it was about the same model and options, this one goes on from it", err=True
        )
    click.get_current_context().meta["atlasmoe.interrupted"] = lambda: _stopped(checkpoint)
    with joblib.parallel_config(n_jobs=jobs):
        certificate = prove(model, epsilon=epsilon, tightness=ratio, boxes=boxes, seconds=seconds, checkpoint=checkpoint, for_=engines)
    written = _write(model, certificate, folder, force)
    if export is not None:
        state(export, model)
    if figure is not None and certificate.trees:
        from ..report.certificate_figure import certificate_figure

        certificate_figure(certificate, figure)
    if as_json:
        document = {"folder": str(place), "written": written.startswith("certificate:"), "certificate": certificate.to_dict()}
        document |= {"ledger": with_proofs(model.ledger, certificate).root.to_dict()} if ledger else {}
        print_json({**document, "checkpoint": str(checkpoint) if checkpoint.exists() else None})
    else:
        from ..report.tables import certificate_table, ledger_table

        if ledger:
            print_rich(ledger_table(with_proofs(model.ledger, certificate)))
        print_rich(certificate_table(certificate))
        click.echo(written)
        if checkpoint.exists():
            click.echo(f"checkpoint: {checkpoint}; the same command with more --boxes or --seconds goes on from there")
        if figure is not None:
            click.echo(f"figure: {figure}" if certificate.trees else "figure: none, as no box was looked at")
    if certificate.status != "proved" or any(engine.known != "proved" for engine in certificate.engines):
        click.get_current_context().exit(1)


def _stopped(checkpoint: Path) -> str:
    """What is said of a run that was interrupted."""
    kept = (
        f"{checkpoint} holds what is settled, and the same command goes on from there" if checkpoint.exists() else "nothing was settled yet"
    )
    return f"interrupted; no certificate was written: {kept}"
