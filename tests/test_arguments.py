"""Arguments of public functions: what is meant is taken, and what means nothing gets one sentence that says so."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas.arguments import dtype_name
from atlasmoe.atlas.relative import absolute_epsilon
from atlasmoe.errors import AtlasMoEError, InvalidArgument
from atlasmoe.moe import Model

WRONG: list[tuple[str, Callable[[Model, Any], object], str]] = [
    ("epsilon is a word", lambda m, t: atlasmoe.compile(t, epsilon="small"), "neither a number nor a percentage"),
    ("epsilon is negative", lambda m, t: atlasmoe.compile(t, epsilon="-1%"), "must be a positive number"),
    ("epsilon is beyond floats", lambda m, t: atlasmoe.certify(m, epsilon=10**400), "epsilon must be a positive number"),
    ("epsilon is a list", lambda m, t: atlasmoe.compile(t, epsilon=[0.1]), r"got \[0\.1\]"),
    ("epsilon is true", lambda m, t: atlasmoe.compile(t, epsilon=True), "got True"),
    ("width is no integer", lambda m, t: atlasmoe.compile(t, width=16.5), "width must be an integer"),
    ("width is a text", lambda m, t: atlasmoe.compile(t, width="wide"), "got 'wide'"),
    ("seed is negative", lambda m, t: atlasmoe.compile(t, epsilon=0.1, seed=-1), "seed must be an integer from 0"),
    ("seed is a fraction", lambda m, t: atlasmoe.verify(m, seed=0.5), "seed must be an integer from 0"),
    ("dtype is none that we have", lambda m, t: atlasmoe.compile(t, epsilon=0.1, dtype=np.int32), "dtype 'int32' is not one of"),
    ("dtype is a number", lambda m, t: atlasmoe.compile(t, epsilon=0.1, dtype=32), "dtype 32 is not one of"),
    ("the task is a path", lambda m, t: atlasmoe.compile("sphere.toml", epsilon=0.1), r"load_task\(path\) reads one"),
    ("lint of a path", lambda m, t: atlasmoe.lint("sphere.toml"), r"load_task\(path\) reads one"),
    ("lint of few samples", lambda m, t: atlasmoe.lint(t, samples=8), "samples must be an integer from 64 up"),
    ("samples is a word", lambda m, t: atlasmoe.verify(m, samples="many"), "samples must be an integer from 1"),
    ("samples are infinitely many", lambda m, t: atlasmoe.verify(m, samples=np.inf), "samples must be an integer"),
    (
        "verify of an array",
        lambda m, t: atlasmoe.verify(np.zeros(2)),
        "verify takes a compiled model, or the path .* got ndarray",
    ),
    ("verify of other weights", lambda m, t: atlasmoe.verify(m, network="float32"), "as a Network, like .*, got str"),
    ("certify of a task", lambda m, t: atlasmoe.certify(t), "certify takes a compiled model, or the path"),
    ("tightness is a text", lambda m, t: atlasmoe.certify(m, tightness="1.1"), "tightness must be above 1, or None, got '1.1'"),
    ("boxes is negative", lambda m, t: atlasmoe.certify(m, boxes=-5), "boxes must be an integer from 1"),
    ("seconds is a text", lambda m, t: atlasmoe.certify(m, seconds="10 min"), "seconds must be a finite number above 0"),
    ("to_torch of nothing", lambda m, t: atlasmoe.to_torch(None), "to_torch takes a compiled model"),
    ("words into a module", lambda m, t: atlasmoe.to_torch(m)(["a", "b"]), "the module reads a tensor of numbers"),
    ("explain of two points", lambda m, t: m.explain([[0.6, 0.8], [1, 0]]), "one point of R"),
    ("plan of a negative epsilon", lambda m, t: atlasmoe.plan(t, -1), "epsilon must be a positive number"),
    ("baseline of a path that is none", lambda m, t: atlasmoe.dense_baseline("nowhere"), "there is no such folder"),
    ("substitute in a task", lambda m, t: atlasmoe.substitute(t, "gelu"), "substitute takes a compiled model"),
    ("export of a task", lambda m, t: atlasmoe.export_to(t, "numpy", "x"), "export_to takes a compiled model"),
    ("figure of a task", lambda m, t: atlasmoe.figure(t), "figure takes a compiled model"),
    ("a report that is none", lambda m, t: atlasmoe.figure(m, 5), "figure: report is 5"),
    ("explain of a text", lambda m, t: m.explain("0.6,0.8"), "holds no real numbers; explain takes one point"),
    ("explain of complex numbers", lambda m, t: m.explain([0.6 + 1j, 0.8]), "holds no real numbers"),
    ("points that are words", lambda m, t: list(atlasmoe.explain_points(m, [["a", "b"]])), "give rows of 2 coordinates"),
    ("a layer that is a text", lambda m, t: atlasmoe.explain_neuron(m, "1", "arc0", 0), "layer must be an integer from 0 up"),
    ("encodings of a number", lambda m, t: atlasmoe.encodings(3), "encodings takes a compiled model"),
    ("words into a model", lambda m, t: m("abc"), "the network reads rows of 2 numbers"),
    ("nothing into a module", lambda m, t: atlasmoe.to_torch(m)(None), "the module reads a tensor of numbers"),
    ("check of a model", lambda m, t: atlasmoe.check(m), "check takes the path of a folder"),
    ("load of bytes", lambda m, t: atlasmoe.load(b"sphere"), "load takes the path of a folder, got b'sphere'"),
    ("save into nothing", lambda m, t: atlasmoe.save(m, None), "save takes the path of a folder, got None"),
    ("save the other way round", lambda m, t: atlasmoe.save("sphere", m), "save: model is 'sphere'"),
    ("a null character", lambda m, t: atlasmoe.save(m, "a\0b"), "holds a null character"),
    ("a task as a dict", lambda m, t: atlasmoe.load_task({"task": {}}), "load_task takes the path of a spec file"),
    ("a task as its text", lambda m, t: atlasmoe.load_task('[task]\nname = "x"'), "write the text to a file first"),
    ("export to a number", lambda m, t: atlasmoe.export_to(m, "numpy", 3), "export_to takes the path"),
    ("report to a number", lambda m, t: atlasmoe.write_report("x", 3), "write_report takes the path of a file"),
    ("fixtures to a number", lambda m, t: atlasmoe.write_fixtures(3), "write_fixtures takes the path"),
    ("fixtures of a text", lambda m, t: atlasmoe.fixtures(experts="8"), "is no whole number; give one, like experts=128"),
    ("doctor with a path", lambda m, t: atlasmoe.doctor(m, task="x.toml"), r"doctor: task .*load_task\(path\) reads one"),
    ("doctor holds to a word", lambda m, t: atlasmoe.doctor(m, epsilon="x"), "neither a number nor a percentage"),
    ("substitute for nothing", lambda m, t: atlasmoe.substitute(m, "gelu", epsilon=0), "epsilon must be a positive number"),
    ("quantise to a text", lambda m, t: atlasmoe.quantise(m, "int8", epsilon="x"), "neither a number nor a percentage"),
    ("a box of letters", lambda m, t: atlasmoe.Box("a", "b"), "one number for each coordinate"),
    ("a map of texts", lambda m, t: atlasmoe.ExpressionMap(["u"], ["u**2"]), "or read texts: .*expression_map"),
    ("a target of a text", lambda m, t: atlasmoe.ExpressionTarget("x1"), "give an ExpressionMap"),
    ("a target that cannot be called", lambda m, t: atlasmoe.CallableTarget("sin"), "cannot be called"),
    ("a target without outputs", lambda m, t: atlasmoe.CallableTarget(np.sin, outputs=0), "outputs must be an integer from 1"),
    ("chart targets of numbers", lambda m, t: atlasmoe.ChartTarget([1, 2]), r"functions\[0\] is 1 .int.; give a list"),
    ("stacked texts", lambda m, t: atlasmoe.StackedTarget(["x1"]), "give a list, each of it an ExpressionTarget or a CallableTarget"),
    ("a chart of texts", lambda m, t: atlasmoe.Chart("n", atlasmoe.Box(0, 1), "u"), "Chart: inverse is 'u'"),
    ("an atlas of texts", lambda m, t: atlasmoe.Atlas(("x",), ["chart"]), "give a list, each of it a Chart or a BallChart"),
    ("a task with a text for a target", lambda m, t: atlasmoe.ManifoldTask("n", t.atlas, "x1"), "ManifoldTask: target is 'x1'"),
    ("balls on nothing", lambda m, t: atlasmoe.ball_atlas(None), "give an Atlas"),
    ("nothing embedded", lambda m, t: atlasmoe.embed(None, 3), "give an Atlas"),
    ("a product with nothing", lambda m, t: atlasmoe.product(t.atlas, None), "product: b is None; give two Atlases"),
    ("an input on a text", lambda m, t: atlasmoe.Input("x", "box"), "give a Box or an Atlas"),
    ("a block on nothing", lambda m, t: atlasmoe.Block("b", (), None, ()), "give an Atlas or a Tiling"),
    ("a combination of a text", lambda m, t: atlasmoe.Combine("c", ["x"], "x + 1"), "Combine: function is 'x \\+ 1'"),
    ("a piece of nothing", lambda m, t: atlasmoe.BoxPiece("p", None), "give a Box"),
    ("a graph of texts", lambda m, t: atlasmoe.TaskGraph("g", ["x"], "x"), "give a list, each of it an Input or a Block or a Combine"),
    ("an affine map of lists", lambda m, t: atlasmoe.Affine([[1.0]], [0.0]), "give an array of float64"),
    ("fewer neurons than one", lambda m, t: atlasmoe.NeuronGroup("g", -1, "o"), "give how many neurons it has"),
    ("a net of texts", lambda m, t: atlasmoe.ReLUNet(["a"], ()), "affines.0. is 'a'"),
    ("a network of texts", lambda m, t: atlasmoe.Network(["a"], ["x"]), "give a list, each of it a MoELayer"),
    ("a model of nothing", lambda m, t: Model(None, None, None, {}), "give a Network"),
    ("a claim that is guessed", lambda m, t: atlasmoe.Claim("n", "", "", 1.0, 1.0, "guessed"), "known 'guessed' is not one of"),
    ("a claim below", lambda m, t: atlasmoe.Claim("n", "", "", 1.0, 1.0, "exact", "<"), "sense '<' is not one of"),
    ("a claim about a text", lambda m, t: atlasmoe.Claim("n", "", "", "1", 1.0, "exact"), "Claim: budget is '1'"),
    ("a ledger of nothing", lambda m, t: atlasmoe.Ledger(None), "give a Claim"),
    ("figure as a film", lambda m, t: atlasmoe.figure(m, path="x.gif"), "figures are written as"),
]


@pytest.mark.parametrize(("call", "message"), [(call, message) for _, call, message in WRONG], ids=[name for name, _, _ in WRONG])
def test_what_means_nothing_gets_a_sentence(circle: Model, call: Callable[..., object], message: str) -> None:
    with pytest.raises(AtlasMoEError, match=message) as caught:
        call(circle, circle.task)
    assert len(str(caught.value).splitlines()) == 1


def test_what_is_meant_is_taken(circle: Model, tmp_path: Path) -> None:
    task = circle.task
    assert absolute_epsilon("2e-2", task) == 0.02
    assert absolute_epsilon("50%", task) == pytest.approx(10 * absolute_epsilon("5%", task), rel=2e-2)
    assert [dtype_name(x) for x in (np.float32, np.dtype("float64"), "float32")] == ["float32", "float64", "float32"]
    torch = pytest.importorskip("torch")
    assert dtype_name(torch.float32) == "float32"
    spread = 100 * absolute_epsilon("1%", task)
    assert atlasmoe.substitute(circle, "gelu", epsilon="1%").facts["substituted"]["epsilon"] == pytest.approx(spread / 100)
    assert atlasmoe.quantise(circle, "int16", epsilon="50%").ledger.root.budget == pytest.approx(spread / 2)
    said = atlasmoe.compile(task, width=16.0, seed=np.int64(3), dtype=np.float32)
    assert said.network.dtype == np.float32
    assert said.facts["seed"] == 3
    folder = atlasmoe.save(circle, tmp_path / "m")
    assert atlasmoe.verify(folder, samples=1e3).to_dict()["seed"] == 0
    x = np.array([[0.6, 0.8]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.allclose(atlasmoe.to_torch(str(folder))(x).detach().numpy(), circle(x), atol=1e-14)


def test_every_message_is_an_invalid_argument(circle: Model) -> None:
    with pytest.raises(InvalidArgument):
        atlasmoe.certify(circle, epsilon="some")
