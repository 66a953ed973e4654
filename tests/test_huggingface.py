"""Stock classes of transformers compute the network, whole and as blocks, for every kind of layer; others are refused."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import InvalidArgument
from atlasmoe.atlas.graph import as_graph
from atlasmoe.export.exported import CARD, export_to
from atlasmoe.export.formats import FORMATS
from atlasmoe.export.formats.huggingface import Deepseek, GptOss, Mixtral, NemotronH, Olmoe, QwenMoe, run
from atlasmoe.export.formats.huggingface.decoder import Unfit, decoder
from atlasmoe.export.formats.huggingface.selection import Rule, U, scale
from atlasmoe.export.formats.huggingface.stock import StockClass
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup
from atlasmoe.moe.activations import ACTIVATIONS
from atlasmoe.moe.layer import Weighting
from atlasmoe.moe.nets import Net
from general_layers import experts, general_network, net

pytest.importorskip("transformers")
CLASSES: tuple[StockClass, ...] = (Mixtral(), QwenMoe(), Olmoe(), Deepseek(), GptOss(), NemotronH())
EXAMPLES = Path(__file__).parents[1] / "examples"
HELD = ("top 1, softmax", "shared", "two-layer gate", "dense", "carries", "carries, written too")


def agree(form: StockClass, network: Network, folder: Path, x: np.ndarray, what: str = "model", room: float = 16) -> None:
    """Written, loaded by transformers and run: the same routes, and outputs but for so many units of rounding."""
    x = x.astype(network.dtype)
    done = form.checkpoint(network, x, folder, what=what)
    y, routes = run.runner(form, folder, network, done, what)(x)
    trace = network.trace(x)
    for mine, theirs in zip(trace.chosen, routes, strict=True):
        np.testing.assert_array_equal(np.sort(mine, axis=1), np.sort(theirs, axis=1))
    scale = 1 + max(np.abs(state).max() for state in trace.states)
    np.testing.assert_allclose(y, trace.output, rtol=0, atol=room * np.finfo(network.dtype).eps * scale)


@pytest.mark.parametrize("form", CLASSES, ids=lambda form: form.name)
def test_every_kind_of_layer_is_a_decoder_of_the_class(form: StockClass, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(200, 2))
    softmax = () if form.rule is Rule.SIGMOID else ("top 2, softmax", "top 3, softmax")
    for k, kind in enumerate((*HELD, *softmax)):
        agree(form, general_network(kind).astype("float32"), tmp_path / f"{k}", x, run_as(k))


def run_as(k: int) -> str:
    return ("model", "block")[k % 2]


def bent(network: Network, name: str, gated: bool, inner: str | None = None) -> Network:
    """The network with other neurons in its last experts; `inner` in their first hidden layer, if another."""
    rng = np.random.default_rng(3)
    (*before, layer) = network.layers

    def other(one: Net) -> Net:
        names = [inner or name, *[name] * (len(one.groups) - 1)]
        groups = tuple(tuple(replace(g, activation=ACTIVATIONS[a]) for g in layer) for a, layer in zip(names, one.groups, strict=True))
        ups = tuple(Affine(rng.normal(size=a.weight.shape), rng.normal(size=a.bias.shape)) for a in one.affines[:-1])
        return replace(one, groups=groups, ups=ups if gated else ())

    return Network((*before, replace(layer, experts=tuple(map(other, layer.experts)))), network.inputs)


@pytest.mark.parametrize("form", CLASSES, ids=lambda form: form.name)
def test_activations_lanes_and_mixtures_of_them(form: StockClass, tmp_path: Path) -> None:
    """Smooth and quadratic neurons, product lanes where the class has them, ReLU scores before smooth experts; blocks are enough."""
    x = np.random.default_rng(1).normal(size=(200, 2))
    tried = 0
    for name in form.activations:
        for gated in (False, True)[: 1 if isinstance(form, NemotronH) else 2]:
            for kind in ("top 1, softmax", "dense"):  # the dense layer before is of ReLUs
                if name == "relu2" and kind == "dense":
                    continue
                agree(form, bent(general_network(kind), name, gated).astype("float32"), tmp_path / f"{tried}", x, "block", 64)
                tried += 1
    assert tried >= 6


def deep_network(top_k: int = 1) -> Network:
    """Experts of two hidden layers and of one, a shared expert of two, an encoder."""
    rng = np.random.default_rng(5)
    several = (net(rng, 2, 5, 4, 1), net(rng, 2, 6, 1), net(rng, 2, 3, 7, 1))
    shared = net(rng, 2, 4, 3, 1)
    encoder = Affine.without_bias(rng.normal(size=(2, 2)))
    layer = MoELayer(
        net(rng, 2, 3), several, (0, 1, 2), ("a", "b", "c"), ("f",), shared=shared, latent=encoder, top_k=top_k, weighting=Weighting.SOFTMAX
    )
    return Network((layer,), ("x", "y"))


@pytest.mark.parametrize("form", CLASSES, ids=lambda form: form.name)
def test_experts_of_several_hidden_layers_are_several_layers(form: StockClass, tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(200, 2))
    agree(form, deep_network().astype("float32"), tmp_path / "a", x)
    made = decoder(deep_network(), one=True, encoders=False, sharing=True)
    assert [stage.layer for stage in made.stages] == [None, None, 0]  # the encoder, first hidden layers, last ones
    assert made.stages[1].router is made.stages[2].router
    one = deep_network()
    linear = replace(one.layers[0], experts=experts(np.random.default_rng(0), 3, 2, 1), shared=None)
    agree(form, Network((linear,), one.inputs).astype("float32"), tmp_path / "b", x, "block")  # the encoder of the class, where it has one
    factor = bent(
        Network((replace(one.layers[0], experts=(net(np.random.default_rng(0), 2, 2, 9, 1),) * 3),), one.inputs), "relu", False, "identity"
    )
    agree(form, factor.astype("float32"), tmp_path / "c", x, "block")
    with pytest.raises(Unfit, match="takes 2 experts of 2 hidden layers"):
        form.lowered(deep_network(2))


def test_blocks_of_gpt_oss_keep_float64(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(200, 2))
    agree(GptOss(), general_network("carries"), tmp_path, x, "block")


@pytest.mark.parametrize("form", CLASSES, ids=lambda form: form.name)
def test_ties_at_zero_go_to_the_first(form: StockClass, tmp_path: Path) -> None:
    """Scores as pieces have them, 0 for all that hold x: at a common face the first of them is taken, one unit beside it the right one."""
    gate = Net(
        (
            Affine(np.array([[1.0], [-1.0]]), np.array([-1.0, 1.0])),
            Affine(np.array([[0.0, -1.0], [-1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]]), np.zeros(4)),
        ),
        ((NeuronGroup("sides", 2, "by hand"),),),
    )
    constant = tuple(Net((Affine(np.zeros((1, 1)), np.array([float(k)])),), ()) for k in range(4))
    network = Network((MoELayer(gate, constant, (0, 1, 2, 3), tuple("abcd"), ("f",)),), ("x",)).astype("float32")
    at = np.float32(1)
    x = np.array([[1.0], [np.nextafter(at, np.float32(0))], [np.nextafter(at, np.float32(2))], [0.3], [7.0]], np.float32)
    assert network.trace(x).routes[0].tolist() == [0, 1, 0, 1, 0]
    agree(form, network, tmp_path / "a", np.repeat(x, 9, axis=0))


@pytest.mark.parametrize("form", CLASSES, ids=lambda form: form.name)
def test_of_chosen_logits_that_are_0_all_weights_are_equal(form: StockClass, tmp_path: Path) -> None:
    """Two groups of experts, one of each (N15), weighed by softmax: of numbers that are 0, sigmoids give the same."""
    sides = Affine(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), np.zeros(4))
    gate = Net((sides, Affine(-np.eye(4), np.zeros(4))), ((NeuronGroup("sides", 4, "by hand"),),))
    rng = np.random.default_rng(0)
    layer = MoELayer(gate, experts(rng, 4, 2, 1), (0, 1, 2, 3), tuple("abcd"), ("f",), top_k=2, weighting=Weighting.SOFTMAX)
    agree(form, Network((layer,), ("x", "y")).astype("float32"), tmp_path, rng.normal(size=(200, 2)))


def selected(rule: Rule, logits: torch.Tensor) -> torch.Tensor:
    return logits.softmax(-1) if rule is Rule.SOFTMAX else logits.sigmoid()


@pytest.mark.parametrize("rule", [Rule.SOFTMAX, Rule.SIGMOID])
@pytest.mark.parametrize(("low", "high"), [(-1e-3, 1e-3), (0.4, 1.0), (-300.0, 200.0), (5.0, 5.0)])
def test_logits_further_apart_than_the_resolution_are_told_apart(rule: Rule, low: float, high: float) -> None:
    """The second as far behind the largest as the statement says, the largest half as far again as sampled. Unscaled sigmoids fail."""
    rng = np.random.default_rng(0)
    layer = general_network("top 1, softmax").layers[0]
    sampled = rng.uniform(low, high, (1000, 1)) - [[0.0, 1.0, 2.0]] * rng.random((1000, 1))
    found = scale(rule, layer, sampled.astype(np.float32), None)
    assert np.log2(found.factor) % 1 == 0
    assert found.resolution <= 256 * 2 * U * max(found.largest, 1)  # below what counts as tied
    slack = 0.5 * (high - low)
    best = rng.uniform(low - slack, high + slack, 200_000).astype(np.float32)
    second = (best.astype(float) - 1.01 * found.resolution - np.spacing(np.abs(best))).astype(np.float32)
    first = rng.random(len(best)) < 0.5
    logits = torch.from_numpy(np.stack([np.where(first, best, second), np.where(first, second, best)], axis=1))
    p = selected(rule, logits * found.factor + found.shift)
    assert torch.equal(p[:, 0] > p[:, 1], torch.from_numpy(first))
    if rule is Rule.SIGMOID:
        assert torch.equal(p / (p + 1e-20), torch.ones_like(p))
        if high > 100:
            p = selected(rule, logits)
            assert (p[:, 0] == p[:, 1]).any()


def test_norms_are_the_identity(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(50, 2))
    for form in CLASSES:
        form.checkpoint(general_network("carries").astype("float32"), x, tmp_path / form.name)
        model = run.load(form, tmp_path / form.name, None, "model", np.dtype("float32"))
        norms = [module for name, module in model.named_modules() if name.endswith(("norm", "norm_f")) and "attn" not in name]
        assert len(norms) >= 3
        h = torch.from_numpy((np.random.default_rng(1).normal(size=(100, 1, model.config.hidden_size)) * 1e3).astype("float32"))
        h[0] *= 1e-20
        for norm in norms:
            assert torch.equal(norm(h), h)


def test_what_classes_cannot_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(form: StockClass, network: Network) -> str:
        said = form.unfit(network.astype("float32"))
        assert said is not None
        return said

    lanes = bent(general_network("top 1, softmax"), "silu", True)
    assert "product lanes" in refused(NemotronH(), lanes)
    assert QwenMoe().unfit(lanes) is None
    assert "export to hf-mixtral" in refused(GptOss(), bent(general_network("top 1, softmax"), "gelu", False))
    assert "take {top_k=1} for all" in refused(Mixtral(), general_network("everything"))
    mixed = bent(general_network("dense"), "relu2", False)
    assert "relu and relu2" in refused(Mixtral(), mixed)
    x = np.random.default_rng(0).normal(size=(50, 2))
    for kind, said in (("top 2, uniform", "whatever their logits"), ("top 2, rectified", "not normalised")):
        with pytest.raises(Unfit, match=said):
            Mixtral().checkpoint(general_network(kind).astype("float32"), x, Path("nowhere"))
    for form in (NemotronH(), Deepseek()):
        with pytest.raises(Unfit, match="in this class by sigmoids"):
            form.checkpoint(general_network("top 2, softmax").astype("float32"), x, Path("nowhere"))
    monkeypatch.setattr("atlasmoe.export.formats.huggingface.stock.LARGEST", 100)
    assert "{form=residual}" in refused(Mixtral(), general_network("dense"))


@pytest.fixture(scope="module")
def steps() -> atlasmoe.Model:
    """Pieces that jump, in float32."""
    x = atlasmoe.Input("x", atlasmoe.Box((0.0,), (3.0,)))
    block = atlasmoe.Block.parse("a", ("x",), atlasmoe.Tiling.intervals(range(4)), ["x", "5 - x", "x**2"])
    return atlasmoe.compile(atlasmoe.TaskGraph("steps", (x, block), "a"), epsilon=0.05, dtype="float32")


@pytest.mark.parametrize("to", [form.name for form in CLASSES])
def test_models_are_exported_run_and_compared(to: str, steps: atlasmoe.Model, tmp_path: Path) -> None:
    done = export_to(steps, to, tmp_path / "out")
    assert done.comparison is not None
    assert (done.comparison.flips, done.comparison.ties) == (0, 0)
    assert done.comparison.difference < 1e-5
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"config.json", "model.safetensors", "export.json", CARD}
    card = (tmp_path / "out" / CARD).read_text()
    assert "from_pretrained" in card
    assert "| c | s | r |" in card
    block = export_to(steps, to, tmp_path / "block", what="block")
    assert block.comparison is not None
    assert block.comparison.holds


def keep(form: StockClass, network: Network, x: np.ndarray, folder: Path) -> Path:
    """A checkpoint, with points beside it and what the network makes of them, as examples/huggingface.py leaves them."""
    form.checkpoint(network, x, folder)
    trace, stages = network.trace(x), form.lowered(network)[0].stages
    layers = [k for k, stage in enumerate(stages) if stage.layer is not None and stage.router is not None]
    routes = np.stack([trace.routes[stages[k].layer] for k in layers], axis=1)
    np.savez(folder / "points.npz", x=x, y=trace.output, layers=layers, routes=routes)
    return folder


def test_a_process_without_this_library_reads_checkpoints(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A sphere and a function of 4^16 pieces, as Mixtral and as NemotronH, by the reading half of examples/huggingface.py, which imports
    numpy, torch and transformers only: every route, and outputs to rounding.
    """
    monkeypatch.syspath_prepend(str(EXAMPLES / "experiments"))
    from compositional import task

    sphere = atlasmoe.compile(atlasmoe.load_task(EXAMPLES / "sphere.toml"), epsilon=0.3, dtype="float32")
    pieces = atlasmoe.compile(task(4, 16), epsilon=0.2, dtype="float32", form="residual")
    folders = [
        keep(form, model.network, as_graph(model.task).sample(300, 0).astype(np.float32), tmp_path / f"{model.task.name}-{form.name}")
        for model in (sphere, pieces)
        for form in (Mixtral(), NemotronH())
    ]
    command = [sys.executable, EXAMPLES / "huggingface.py", "--read", *folders]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout.splitlines()
    assert [line.split()[1] for line in said] == ["MixtralForCausalLM", "NemotronHForCausalLM"] * 2
    for line in said:
        found = re.search(r"largest difference (\S+), (\d+) of (\d+) routes differ", line)
        assert found is not None, line
        assert int(found[2]) == 0 < int(found[3]), line
        assert float(found[1]) < 1e-5, line


def test_wrong_words_are_answered(steps: atlasmoe.Model, tmp_path: Path) -> None:
    for options, said in (
        ({"what": "layer"}, "what 'layer' is not one of model, block"),
        ({"dtype": "bfloat16"}, "not one of float32, float64"),
        ({"dtype": "float64"}, "export to hf-gpt-oss with --option what=block"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            export_to(steps, "hf-mixtral", tmp_path / "a", **options)
    with pytest.raises(InvalidArgument, match="add --option what=block"):
        export_to(steps, "hf-gpt-oss", tmp_path / "a", dtype="float64")
    with pytest.raises(InvalidArgument, match="did you mean 'hf-mixtral'"):
        export_to(steps, "hf-mixtrall", tmp_path / "a")
    assert not list(tmp_path.iterdir())
    assert set(FORMATS) >= {form.name for form in CLASSES}
