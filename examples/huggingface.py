"""Checkpoints of stock classes of Hugging Face transformers, made here and read where this library is not.

    python examples/huggingface.py [--out out/huggingface] [--small]

Two functions, the sphere of examples/sphere.toml and a function with 4^16 = 4.3·10⁹ pieces (examples/experiments/compositional.py), become
MixtralForCausalLM and NemotronHForCausalLM checkpoints: experts are the compiled ones, attention is 0, the residual stream carries what
layers pass on. Then a process of its own, which imports numpy, torch and transformers only, reads them by `from_pretrained`, runs them at
points that were kept with what the network makes of them, half of them the hardest to reproduce, and prints differences and route flips.
`--small`: 4^2 pieces in the place of 4^16.

Half of the points are close to ties by intention. Where a router compares sigmoids (NemotronH), logits that differ by less than it
resolves may choose the other expert: 46 routes of the sphere differ there; the card of the checkpoint counts ties apart.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
FORMATS = ("hf-mixtral", "hf-nemotron-h")
POINTS = 2048
KEPT = "points.npz"


def build(out: Path, small: bool) -> list[Path]:
    """Compile, export, and keep points with outputs and routes beside each checkpoint."""
    import atlasmoe
    from atlasmoe.atlas.graph import as_graph
    from atlasmoe.export.formats import FORMATS as KNOWN
    from atlasmoe.verify.sample.hardest import hardest

    sys.path.insert(0, str(HERE / "experiments"))
    from compositional import task

    L = 2 if small else 16
    sphere = atlasmoe.compile(atlasmoe.load_task(HERE / "sphere.toml"), epsilon=0.05, dtype="float32")
    pieces = atlasmoe.compile(task(4, L), epsilon=0.05, dtype="float32", form="residual")
    folders = []
    for name, model in (("sphere", sphere), (f"4^{L}", pieces)):
        hard = hardest(model, seed=5).ambient[:POINTS]
        x = np.concatenate([as_graph(model.task).sample(POINTS, 4), hard]).astype(np.float32)
        trace = model.network.trace(x)
        for to in FORMATS:
            folder = out / f"{name}-{to.removeprefix('hf-')}"
            atlasmoe.export_to(model, to, folder, overwrite=True)
            decoder, _, _ = KNOWN[to].lowered(model.network)
            layers = [k for k, stage in enumerate(decoder.stages) if stage.layer is not None and stage.router is not None]
            chosen = [trace.routes[decoder.stages[k].layer] for k in layers]
            np.savez(folder / KEPT, x=x, y=trace.output, layers=layers, routes=np.stack(chosen, axis=1))
            folders.append(folder)
    return folders


def read(folder: Path) -> str:
    """What plain transformers makes of a checkpoint, beside what was kept."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    assert "atlasmoe" not in sys.modules
    logging.disable_progress_bar()
    kept = np.load(folder / KEPT)
    x = torch.from_numpy(kept["x"])
    started = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, experts_implementation="eager")
    loaded = time.perf_counter() - started
    routes: dict[int, torch.Tensor] = {}
    for k in kept["layers"].tolist():
        layer = model.model.layers[k]
        router = (layer.mlp if hasattr(layer, "mlp") else layer.mixer).gate
        router.register_forward_hook(lambda _module, _inputs, out, k=k: routes.update({k: out[2][:, 0]}))
    h = torch.zeros(len(x), 1, model.config.hidden_size)
    h[:, 0, : x.shape[1]] = x
    h[:, 0, x.shape[1]] = 1  # the constant that biases are read from
    with torch.no_grad():
        y = model(inputs_embeds=h, use_cache=False).logits[:, 0]
    flips = sum(int((routes[k].numpy() != kept["routes"][:, n]).sum()) for n, k in enumerate(kept["layers"].tolist()))
    size = (folder / "model.safetensors").stat().st_size
    return (
        f"{folder.name:20} {type(model).__name__:20} {len(model.model.layers):3} layers {size / 2**20:6.2f} MiB, loaded in {loaded:.1f} s, "
        f"{len(x)} points: largest difference {np.abs(y.numpy() - kept['y']).max():.2g}, {flips} of {kept['routes'].size} routes differ"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/huggingface"))
    parser.add_argument("--small", action="store_true", help="4^2 pieces in the place of 4^16")
    parser.add_argument("--read", type=Path, nargs="*", help="only read these checkpoints")
    arguments = parser.parse_args()
    if arguments.read:
        for folder in arguments.read:
            print(read(folder), flush=True)
        return
    folders = build(arguments.out, arguments.small)
    subprocess.run([sys.executable, __file__, "--read", *map(str, folders)], check=True)


if __name__ == "__main__":
    main()
