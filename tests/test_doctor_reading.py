"""What the doctor reads: torch modules of several makes, checkpoint folders by the names in their files, and the command line."""

from __future__ import annotations

import json
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.cli import main
from atlasmoe.doctor.reading.names import find
from atlasmoe.errors import InvalidArgument
from click.testing import CliRunner
from conftest import circle_model, circle_task
from safetensors.torch import save_file
from torch import nn

E, D, M = 6, 8, 5


class Listed(nn.Module):
    """A linear gate and a list of experts."""

    def __init__(self, inputs: int = 2, dead: bool = False) -> None:
        super().__init__()
        angle = torch.arange(3) * 2 * torch.pi / 3
        self.gate = nn.Linear(inputs, 4 if dead else 3)
        with torch.no_grad():
            self.gate.weight.zero_()
            self.gate.bias.fill_(-9.0)
            self.gate.weight[:3, :2] = torch.stack([torch.cos(angle), torch.sin(angle)], 1)
            self.gate.bias[:3] = 0
        self.experts = nn.ModuleList([nn.Sequential(nn.Linear(inputs, 6), nn.ReLU(), nn.Linear(6, 1)) for _ in self.gate.bias])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        route = self.gate(x).argmax(-1)
        out = x.new_zeros(len(x), 1)
        for k, expert in enumerate(self.experts):
            out[route == k] = expert(x[route == k])
        return out


class Stacked(nn.Module):
    """Router and experts as parameters that are never called; the block around them is."""

    def __init__(self) -> None:
        super().__init__()
        inner = nn.Module()
        inner.router = nn.Parameter(Listed().gate.weight.detach().clone()[None])
        inner.experts = nn.ParameterList([nn.Parameter(torch.randn(3, 6, 2)), nn.Parameter(torch.randn(3, 1, 6))])
        inner.top_k = 1
        inner.forward = lambda x: (x @ inner.router[0].T).max(-1, keepdim=True).values  # type: ignore[method-assign]
        self.block = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.block(x)


def test_a_module_is_read_with_the_rows_that_reach_its_router() -> None:
    torch.manual_seed(0)
    module = Listed()
    module.train()
    found = atlasmoe.doctor(module, task=circle_task(), samples=600)
    assert module.training  # as it was
    assert not module.gate._forward_hooks
    assert found.healthy, str(found)
    assert found.of("margins")[0].where == "gate"
    assert atlasmoe.doctor(Listed(dead=True), task=circle_task(), samples=600).of("dead")[0].ill
    stacked = atlasmoe.doctor(Stacked(), task=circle_task(), samples=600)
    assert stacked.healthy, str(stacked)
    assert {one.where for one in stacked.of("load")} == {"block.router"}


def test_our_own_modules_are_as_healthy_as_their_models() -> None:
    model = circle_model()
    found = atlasmoe.doctor(atlasmoe.to_torch(model), task=model.task, samples=600)
    assert found.healthy, str(found)
    assert {one.where for one in found.of("dead")} == {"layers.1.router"}


def test_narrow_experts_of_a_module_are_found_with_a_task_on_a_box() -> None:
    box = atlasmoe.Box((-1.0, -1.0), (1.0, 1.0))
    block = atlasmoe.Block.parse("f", ("x", "y"), atlasmoe.Tiling.whole(box), ["sin(20*x) + y"])
    task = atlasmoe.TaskGraph("waves", (atlasmoe.Input("p", box, ("x", "y")), block), "f")
    (narrow,) = atlasmoe.doctor(Listed(), task=task, epsilon=0.05, samples=900).of("width")
    assert narrow.ill
    (wide,) = atlasmoe.doctor(Listed(), task=task, epsilon=2.0, samples=900).of("width")
    assert not wide.ill


def tensors(style: str, dtype: torch.dtype = torch.float32) -> dict[str, torch.Tensor]:
    """Two layers of one family, as their files have them."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(dtype)

    found = {"model.embed_tokens.weight": random(11, D)}
    for layer in range(2):
        if style == "mixtral":
            at = f"model.layers.{layer}.block_sparse_moe"
            found[f"{at}.gate.weight"] = random(E, D)
            for k in range(E):
                found |= {f"{at}.experts.{k}.w{j}.weight": random(*((D, M) if j == 2 else (M, D))) for j in (1, 2, 3)}
        elif style == "qwen2_moe":
            at = f"model.layers.{layer}.mlp"
            found |= {f"{at}.gate.weight": random(E, D), f"{at}.shared_expert_gate.weight": random(1, D)}
            found |= {f"{at}.shared_expert.gate_proj.weight": random(M, D)}
            for k in range(E):
                found |= {f"{at}.experts.{k}.{n}_proj.weight": random(*((D, M) if n == "down" else (M, D))) for n in ("gate", "up", "down")}
        elif style == "gpt_oss":
            at = f"model.layers.{layer}.mlp"
            found |= {f"{at}.router.weight": random(E, D), f"{at}.router.bias": random(E)}
            found |= {f"{at}.experts.gate_up_proj": random(E, D, 2 * M), f"{at}.experts.gate_up_proj_bias": random(E, 2 * M)}
            found |= {f"{at}.experts.down_proj": random(E, M, D), f"{at}.experts.down_proj_bias": random(E, D)}
        elif style == "nemotron_h":
            at = f"backbone.layers.{layer}.mixer"
            found |= {f"{at}.gate.weight": random(E, D), f"{at}.gate.e_score_correction_bias": random(E)}
            for k in range(E):
                found |= {f"{at}.experts.{k}.up_proj.weight": random(M, D), f"{at}.experts.{k}.down_proj.weight": random(D, M)}
    return found


def checkpoint(folder: Path, style: str, dtype: torch.dtype = torch.float32, **config: object) -> Path:
    folder.mkdir()
    save_file(tensors(style, dtype), folder / "model.safetensors")
    said = {"model_type": style, "num_experts_per_tok": 2, **config}
    (folder / "config.json").write_text(json.dumps(said))
    return folder


@pytest.mark.parametrize("style", ["mixtral", "qwen2_moe", "gpt_oss", "nemotron_h"])
def test_routers_of_published_families_are_found_by_name(style: str) -> None:
    found = find({name: tuple(tensor.shape) for name, tensor in tensors(style).items()})
    assert [(one.count, one.reads, one.widths, one.expert_reads) for one in found] == [(E, D, (M,), D)] * 2
    assert all(one.lanes == (style != "nemotron_h") for one in found)
    assert all((one.correction is not None) == (style == "nemotron_h") for one in found)
    assert all((one.biases != (None,)) == (style == "gpt_oss") for one in found)


def test_a_checkpoint_is_examined_on_the_rows_that_are_given(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(3000, D))
    found = atlasmoe.doctor(checkpoint(tmp_path / "a", "mixtral"), data=rows)
    assert {one.where for one in found.of("load")} == {f"model.layers.{k}.block_sparse_moe.gate" for k in range(2)}
    stored = tensors("mixtral")["model.layers.1.block_sparse_moe.gate.weight"].double().numpy()
    chosen = np.argsort(-(rows @ stored.T), axis=1)[:, :2]
    share = np.bincount(chosen.ravel(), minlength=E) / chosen.size
    assert found.of("load")[1].value == pytest.approx(E * share.max())
    assert not found.of("precision")[0].ill
    half = atlasmoe.doctor(checkpoint(tmp_path / "b", "mixtral", torch.bfloat16), data=rows, router=r"layers\.1\.")
    assert {one.where for one in half} == {"model.layers.1.block_sparse_moe.gate"}
    assert half.of("precision")[0].ill
    assert half.of("margins")[0].ill
    with pytest.raises(InvalidArgument, match=r"reads 8 numbers: data for a checkpoint are rows"):
        atlasmoe.doctor(tmp_path / "a", data=rows[:, :5])


def test_without_rows_weights_alone_are_examined(tmp_path: Path) -> None:
    found = atlasmoe.doctor(checkpoint(tmp_path / "a", "gpt_oss"))
    assert not any(one.ill for one in found.of("dead"))  # six directions in R^8 have cells that are not empty
    assert found.of("dead")[0].rows is None
    assert found.of("load") == ()
    dead = tensors("gpt_oss")
    weight, bias = dead["model.layers.0.mlp.router.weight"], dead["model.layers.0.mlp.router.bias"]
    weight[5], bias[5] = weight[:5].mean(0), bias[:5].min() - 1  # below the mean of five others, two of which are better everywhere?
    weight[4], bias[4] = weight[5], bias[5] + 0.5
    save_file(dead, tmp_path / "a" / "model.safetensors")
    ill = atlasmoe.doctor(tmp_path / "a", top_k=1).of("dead")[0]
    assert ill.ill
    assert "expert 5" in ill.what


def test_what_cannot_be_read_is_said_in_words(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "a", "mixtral")
    for wrong, said in (
        ({"router": "("}, "no regular expression"),
        ({"router": "nothing"}, "no tensor matches"),
        ({"top_k": 9}, "9 cannot be chosen"),
        ({"data": np.zeros((2, 3, 4, 5))}, "embeddings"),
        ({"data": np.array(["a"])}, "not finite|of type"),
        ({"task": circle_task()}, "leave it out"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            atlasmoe.doctor(folder, **wrong)  # type: ignore[arg-type]
    (folder / "config.json").write_text("{")
    with pytest.raises(InvalidArgument, match="no JSON"):
        atlasmoe.doctor(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(InvalidArgument, match="top_k=2"):
        atlasmoe.doctor(folder)
    with pytest.raises(InvalidArgument, match="no router with experts beside it"):
        atlasmoe.doctor(nn.Linear(3, 3))
    with pytest.raises(InvalidArgument, match="does not run on inputs"):
        atlasmoe.doctor(Listed(), data=np.zeros((5, 3)))
    with pytest.raises(InvalidArgument, match="int: nothing that can be examined"):
        atlasmoe.doctor(3)  # type: ignore[arg-type]


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["doctor", *arguments])
    return done.exit_code, done.output


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    atlasmoe.save(circle_model(), tmp_path / "model")
    code, text = run("model", "--samples", "500", "--figures", "figures")
    assert code == 0
    assert "healthy:" in text
    assert len(list((tmp_path / "figures").glob("*.png"))) >= 6
    code, text = run(str(checkpoint(tmp_path / "checkpoint", "mixtral")), "--json")
    assert code == 0
    assert json.loads(text)["kind"] == "checkpoint"
    np.save("points.npy", 1.1 * circle_task().atlas.sample(50, 0).ambient)
    code, text = run("model", "--data", "points.npy")
    assert code == 1
    assert "proved to be off the manifold" in " ".join(text.split())
    Path("points.npy").write_text("no array")
    for wrong, said in (
        (("nothing",), "no such folder"),
        (("model", "--data", "points.npy"), "not an .npy file"),
        (("model", "--precision", "int4"), "--precision bfloat16"),
        (("made.up:thing",), "--trust-code"),
        (("made.up:thing", "--trust-code"), "No module named"),
    ):
        code, text = run(*wrong)
        assert code == 2, text
        assert said in text


def test_code_is_run_only_where_it_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine_doctor.py").write_text("open('ran', 'w').close()\nfrom test_doctor_reading import Listed as Net\nbroken = 3\n")
    assert run("mine_doctor:Net")[0] == 2
    assert not Path("ran").exists()
    points = circle_task().atlas.sample(600, 0).ambient
    np.save("points.npy", points)
    code, text = run("mine_doctor:Net", "--trust-code", "--data", "points.npy")
    assert code == 0, text
    assert Path("ran").exists()
    assert "Listed" in text
    code, text = run("mine_doctor:broken", "--trust-code")
    assert code == 2
    assert "no torch.nn.Module" in text


def test_pieces_of_several_blocks_are_told_apart() -> None:
    box = atlasmoe.Box((0.0, 0.0), (2.0, 2.0))
    blocks = [atlasmoe.Block.parse(f"f{k}", (f"x_{k}",), atlasmoe.Tiling.intervals((0, 1, 2)), ["0", "1"]) for k in (1, 2)]
    task = atlasmoe.TaskGraph("four", (atlasmoe.Input("x", box), *blocks, atlasmoe.Combine.parse("f", ("f1", "f2"), "f1 + f2")), "f")
    found = atlasmoe.doctor(Listed(), task=task, samples=600)
    assert found.of("collapse")[0].threshold == 4
    assert found.of("collapse")[0].ill  # three experts, four pieces
    assert found.of("misrouted")[0].ill
