"""Stock expert parallelism of transformers, two processes with half of the experts each, on an exported checkpoint.

    python examples/expert_parallel.py [FOLDER] [--processes 2]

FOLDER is what `atlasmoe export … --to hf-mixtral` (or another class) wrote; without it a small sphere of 24 experts is compiled and
exported. Every process reads its share of the experts by `from_pretrained(…, distributed_config=…)`; they talk over gloo, on the CPU, and
compare what they compute together with one process that has all experts. Nothing below `work` imports this library. It needs the package
accelerate, which transformers wants for any `distributed_config`.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
from pathlib import Path

import torch

POINTS = 512
SPHERE = """
[task]
name = "sphere"
kind = "manifold"

[manifold]
builtin = "sphere"
atlas = "ball"
charts = 24

[target]
expression = "x1*x2 + exp(x3)/3"
"""


def checkpoint(folder: Path) -> Path:
    """A sphere on 24 balls, as MixtralForCausalLM."""
    import atlasmoe

    (folder / "sphere.toml").write_text(SPHERE)
    model = atlasmoe.compile(atlasmoe.load_task(folder / "sphere.toml"), epsilon=0.05, activation="silu", dtype="float32")
    return atlasmoe.export_to(model, "hf-mixtral", folder / "checkpoint").path


def inputs(width: int) -> torch.Tensor:
    """Points of the stream: coordinates on the unit sphere, then 1, then zeros."""
    x = torch.nn.functional.normalize(torch.randn(POINTS, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    h = torch.zeros(POINTS, 1, width)
    h[:, 0, :3], h[:, 0, 3] = x, 1.0
    return h


def work(rank: int, processes: int, port: int, folder: str) -> None:
    """One process: its experts, and in the first the comparison."""
    import torch.distributed as dist
    from transformers import AutoModelForCausalLM
    from transformers.distributed import DistributedConfig

    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(processes),
    }
    dist.init_process_group("gloo", rank=rank, world_size=processes)
    torch.set_num_threads(1)
    whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, experts_implementation="eager")
    h = inputs(whole.config.hidden_size)
    shared = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        experts_implementation="eager",
        distributed_config=DistributedConfig(fsdp_size=processes, ep_size=processes),
    )
    with torch.no_grad():
        alone, together = whole(inputs_embeds=h, use_cache=False).logits, shared(inputs_embeds=h, use_cache=False).logits
    held = [tuple(getattr(p, "to_local", lambda p=p: p)().shape) for name, p in shared.named_parameters() if name.endswith("down_proj")][-1]
    print(f"process {rank}: experts {held}, largest difference from one process {float((alone - together).abs().max()):.2g}", flush=True)
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, socket.socket() as probe:
        folder = arguments.folder or checkpoint(Path(place))
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        torch.multiprocessing.start_processes(
            work, (arguments.processes, port, str(folder)), nprocs=arguments.processes, start_method="spawn"
        )


if __name__ == "__main__":
    sys.exit(main())
