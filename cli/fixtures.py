"""`atlasmoe fixtures`: layers with known routes, margins and outputs, for whoever writes a kernel or a port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..errors import InvalidArgument
from .options import force_option, json_option, seed_option, takes_only
from .output import print_json, print_wrapped


@click.command(short_help="Write mixture-of-experts layers with known routes and outputs, to test kernels and ports with.")
@click.option("--experts", type=int, metavar="E", default=128, show_default=True, help="Routed experts, 4 at least.")
@click.option(
    "--top-k",
    type=int,
    metavar="K",
    default=8,
    show_default=True,
    help="Experts that a token goes through, at least 1, and fewer than there are.",
)
@click.option("--dim", type=int, metavar="D", default=64, show_default=True, help="Inputs and outputs of the layer, 32 at least.")
@click.option("--hidden", type=int, metavar="H", default=256, show_default=True, help="Hidden neurons of an expert, 1 at least.")
@click.option("--dtype", metavar="NAME", default="float32", show_default=True, help="float64, float32, float16 or bfloat16 (bf16).")
@click.option(
    "--activation",
    metavar="NAME",
    default="swiglu",
    show_default=True,
    help="relu, relu2, silu, gelu, gelu_tanh; with a gate reglu, swiglu, geglu, clamped_swiglu.",
)
@click.option(
    "--weighting",
    metavar="NAME",
    default="softmax",
    show_default=True,
    help="softmax, renormalised, sigmoid, sigmoid_renormalised or unscaled.",
)
@click.option("--shared", type=int, metavar="N", default=0, show_default=True, help="Shared experts, in all cases, 0 at least.")
@click.option("--case", "cases", metavar="NAME", multiple=True, help="This case alone; may be given more than once. Default: all.")
@click.option("--list", "listing", is_flag=True, help="Say what cases there are, or what those of --case are, and write nothing.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for the result. Default: none, as with --list.")
@seed_option
@force_option
@json_option
def fixtures(cases: tuple[str, ...], listing: bool, output: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Write layers whose routes are decided in integers and whose outputs are exact, or known to the last bit, with derived tolerances.

    One file of tensors, a manifest, a page, and a test of 40 lines that needs torch and safetensors only.
    """
    from ..export.fixtures.written import listed, write_fixtures

    if listing:
        takes_only("--list", "cases", "as_json")
        found = listed(cases or None)
        if as_json:
            print_json({"cases": [{"name": name, "sentence": sentence} for name, sentence in found]})
            return
        for name, sentence in found:
            print_wrapped(f"{name}: {sentence}", "reset")
        return
    if output is None:
        raise InvalidArgument("say where the fixtures go: -o FOLDER; or see what there are: --list")
    done = write_fixtures(output, cases=cases or None, overwrite=force, **options)
    if as_json:
        print_json(done.to_dict())
        return
    said = f"{len(done.cases)} case" + "s" * (len(done.cases) != 1)
    click.echo(f"{done.path}: {said}, {done.exact} of them exact in any order of summation; {done.size:,} bytes")
    for name, why in done.left_out.items():
        print_wrapped(f"left out {name}: {why}", "yellow")
    click.echo("test a layer with it: MOE=package.module:function python -m pytest " + str(done.path / "test_moe.py"))
