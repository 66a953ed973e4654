"""Options of blocks: whatever can be asked for one manifold can be asked for every block, and "auto" goes on until something fits."""

import atlasmoe
import numpy as np
import pytest
from atlasmoe import (
    Block,
    Box,
    Combine,
    ExpressionMap,
    ExpressionTarget,
    Input,
    InvalidArgument,
    LintError,
    ManifoldTask,
    SpecError,
    TaskGraph,
    Tiling,
    builtin,
    compile,
)
from atlasmoe.atlas.graph import as_graph
from atlasmoe.atlas.options import ACTIVATIONS as WORDS
from atlasmoe.atlas.spec import task_from_spec, task_to_spec
from atlasmoe.constructions.choices import Choices
from atlasmoe.moe.activations import ACTIVATIONS
from sympy import symbols


@pytest.fixture(scope="module")
def graph() -> TaskGraph:
    """Two circles and an interval, one block each."""
    nodes = (
        Input("c", builtin("circle"), ("a", "b")),
        Input("d", builtin("circle"), ("p", "q")),
        Input("t", Box((0,), (2,)), ("t",)),
        Block.parse("u", ("a", "b"), builtin("circle"), "a*b"),
        Block.parse("v", ("p", "q"), builtin("circle", charts=6), "p + q**2"),
        Block.parse("w", ("t",), Tiling.intervals((0, 1, 2)), ["t", "2 - t"]),
        Combine.parse("f", ("u", "v", "w"), "u + v + w"),
    )
    return TaskGraph("options", nodes, "f")


def test_each_block_has_a_router_of_its_own(graph):
    model = compile(graph, epsilon=0.1, routing={"u": "plateau", "v": "multiplicity"})
    assert (model.design["u"].router, model.design["v"].router) == ("plateau", "multiplicity")
    x = graph.sample(3000, 1)
    assert np.abs(model(x) - graph(x)).max() <= 0.1


def test_one_word_for_all_goes_to_the_blocks_it_fits(graph):
    routers = compile(graph, epsilon=0.5, routing="plateau").facts["routers"]
    assert (routers["u"], routers["v"]) == ("plateau", "plateau")
    assert routers["w"] not in ("plateau", "auto")


def test_what_a_block_asks_for_itself_goes_first(graph):
    nodes = tuple(
        Block.parse("u", ("a", "b"), builtin("circle"), "a*b", routing="multiplicity") if node.name == "u" else node for node in graph.nodes
    )
    routers = compile(TaskGraph("own", nodes, "f"), epsilon=0.5, routing="plateau").facts["routers"]
    assert (routers["u"], routers["v"]) == ("multiplicity", "plateau")
    named = compile(TaskGraph("own", nodes, "f"), epsilon=0.5, routing={"u": "plateau"}).facts["routers"]
    assert named["u"] == "plateau", "what is asked of a block by its name goes before what it says itself"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"routing": {"w": "plateau"}}, r'block "w" is given on pieces, whose faces route by themselves'),
        ({"theorem": {"w": "4.8"}}, r'block "w" is given on pieces, which is Theorem 5.3'),
        ({"theorem": {"u": "5.3"}}, r'block "u" is given on charts, which is Theorem 5.2'),
        ({"routing": {"x": "plateau"}}, r"there is no block 'x'; the blocks are u, v, w"),
        ({"routing": {"u": "platau"}}, r'block "u": routing \'platau\' is not one of .*; did you mean \'plateau\''),
        ({"minimise": {"x": "total"}}, r"minimise: there is no block 'x'; the blocks are u, v, w"),
        ({"minimise": {"u": "totl"}}, r"unknown minimise 'totl'; did you mean 'total'"),
        ({"theorem": {"u": "affine"}, "routing": {"u": "plateau"}}, r'block "u": theorem "affine" routes by its gate alone'),
    ],
)
def test_options_that_fit_no_block_are_refused_by_its_name(graph, options, message):
    with pytest.raises(InvalidArgument, match=message):
        compile(graph, epsilon=0.1, **options)


def test_blocks_of_graphs_are_planned_and_minimised(graph):
    rows = atlasmoe.plan(graph, 0.1, block="u", experts=[4])
    assert [row.experts for row in rows] == [4]
    model = compile(graph, epsilon=0.1, minimise="total")
    assert model.facts["routers"]["u"] == model.facts["routers"]["v"] == "affine"
    x = graph.sample(3000, 2)
    assert np.abs(model(x) - graph(x)).max() <= 0.1


def test_one_block_alone_is_minimised(graph):
    model = compile(graph, epsilon=0.1, minimise={"v": "active"})
    assert (model.facts["routers"]["u"] != "affine", model.facts["routers"]["v"]) == (True, "affine")
    (planned,) = model.facts["plan"]
    assert (planned["block"], planned["minimise"]) == ("v", "active")
    assert "block v planned for least active" in model.ledger.root.note


def test_auto_goes_on_to_what_reaches_its_budget():
    """Charts whose scores are out of reach at this width: balls are tried next, and the facts say why the charts were left."""
    atlas = builtin("circle", charts=40)
    x1, x2 = symbols("x1:3", real=True)
    task = ManifoldTask("circle", atlas, ExpressionTarget(ExpressionMap((x1, x2), (x1 * x2,))))
    with pytest.raises(atlasmoe.EpsilonNotReached, match="tau"):
        compile(task, epsilon=0.05, routing="theorem", max_width=24)
    model = compile(task, epsilon=0.05, max_width=24)
    assert model.design["f"].router == "affine"
    assert [one["router"] for one in model.facts["tried"]] == ["affine", "theorem", "multiplicity", "plateau"]
    assert "tau: error" in model.facts["tried"][-1]["why"]
    points = atlas.sample(3000, 3)
    assert np.abs(model(points.base) - task(points.base)).max() <= 0.05


# Activations and lanes -------------------------------------------------------------------------------------------------


def chosen(graph: TaskGraph, **options: object) -> dict[str, tuple[str, bool]]:
    choices = Choices.of(graph, **options)
    return {block.name: (choices[block].activation, choices[block].gated) for block in graph.blocks}


def test_words_for_activations_are_those_there_are():
    assert {*ACTIVATIONS, "auto"} - {"identity"} == set(WORDS)


def test_activations_and_lanes_are_options_of_blocks(graph):
    assert set(chosen(graph).values()) == {("relu", False)}
    assert chosen(graph, activation="silu", gated=True)["w"] == ("silu", True)
    assert chosen(graph, activation={"v": "gelu"}, gated={"u": True}) == {"u": ("relu", True), "v": ("gelu", False), "w": ("relu", False)}
    u = Block.parse("u", ("a", "b"), builtin("circle"), "a*b", activation="gelu", gated=True)
    own = TaskGraph("own", tuple(u if node.name == "u" else node for node in graph.nodes), "f")
    assert chosen(own, activation="silu")["u"] == ("gelu", True), "what a block says itself goes before a value for all"
    assert chosen(own, activation={"u": "silu"}, gated={"u": False})["u"] == ("silu", False)


def test_a_task_on_one_manifold_has_options_which_what_is_asked_for_goes_before():
    spec = {"task": {"name": "t", "activation": "gelu", "gated": True}, "manifold": {"builtin": "circle"}, "target": {"expression": "x1"}}
    task = task_from_spec(spec)
    assert chosen(as_graph(task))["f"] == ("gelu", True)
    assert chosen(as_graph(task), activation="relu", gated=False)["f"] == ("relu", False)
    assert chosen(as_graph(atlasmoe.refine(task, experts=8)))["f"] == ("gelu", True)
    assert task_to_spec(task)[0]["task"] == {"name": "t", "kind": "manifold", "activation": "gelu", "gated": True}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "swish"}, r"^activation 'swish' is not one of relu, relu2, gelu, gelu_tanh, silu, auto"),
        ({"activation": {"u": "gelutanh"}}, r"block \"u\": activation 'gelutanh' .*; did you mean 'gelu_tanh'\?"),
        ({"activation": {"x": "gelu"}}, r"activation: there is no block 'x'"),
        ({"gated": "yes"}, r"^gated: expected true or false, got 'yes'; give True or False"),
        ({"gated": {"v": 1}}, r'^block "v": gated: expected true or false, got 1'),
    ],
)
def test_wrong_activations_and_lanes_are_refused(graph, options, message):
    with pytest.raises(InvalidArgument, match=message):
        compile(graph, epsilon=0.1, **options)


def test_specs_with_wrong_options_say_so():
    spec = {
        "task": {"name": "t", "activation": "gelutanh", "gated": "no"},
        "manifold": {"builtin": "circle"},
        "target": {"expression": "x1"},
    }
    with pytest.raises(SpecError) as caught:
        task_from_spec(spec)
    assert [str(finding) for finding in caught.value.findings] == [
        "task: activation: unknown word 'gelutanh'; did you mean 'gelu_tanh'? the words are relu, relu2, gelu, gelu_tanh, silu, auto",
        "task: gated: expected true or false, got 'no'; write true or false, without quotes",
    ]
    with pytest.raises(InvalidArgument, match="has an unknown option 'activaton'; did you mean 'activation'"):
        ManifoldTask("t", builtin("circle"), task_from_spec({**spec, "task": {"name": "t"}}).target, {"activaton": "gelu"})


def test_the_facts_say_of_what_neurons_experts_are():
    spec = {"task": {"name": "t"}, "manifold": {"builtin": "interval", "domain": [0, 1]}, "target": {"expression": "exp(x1)"}}
    task = task_from_spec(spec)
    model = compile(task, epsilon=1e-4, activation="silu", gated=True)
    assert model.facts["neurons"]["asked"] == {"f": {"activation": "silu", "gated": True}}
    assert set(model.facts["neurons"]["experts"]["f"]) <= {"gated silu", "gated relu", "gated relu2"}
    assert sum(model.facts["neurons"]["experts"]["f"].values()) == sum(w for net in model.network.layers[-1].experts for w in net.widths)
    assert "neurons" not in compile(task, epsilon=0.1).facts


def test_options_of_variants_are_refused_in_words(graph):
    with pytest.raises(InvalidArgument, match=r"gate .curved. is not one of linear, nonlinear, tree"):
        compile(graph, epsilon=0.1, gate="curved")
    with pytest.raises(InvalidArgument, match='block "u": top_k: expected a whole number from 1 to 4096, got 0'):
        compile(graph, epsilon=0.1, top_k={"u": 0})
    with pytest.raises(InvalidArgument, match="shared 'yes' is not one of auto, True, False"):
        compile(graph, epsilon=0.1, shared="yes")
    with pytest.raises(InvalidArgument, match=r"minimise plans mixtures of one linear gate .* leave out gate"):
        compile(graph, epsilon=0.1, minimise="total", gate="linear")


def test_a_spec_may_ask_for_variants(graph):
    block = Block.parse("u", ("a", "b"), builtin("circle"), "a*b", gate="linear", top_k=1, shared=False)
    asking = TaskGraph("asking", tuple(block if node.name == "u" else node for node in graph.nodes), "f")
    assert task_from_spec(*task_to_spec(asking))["u"].options == {"gate": "linear", "top_k": 1, "shared": False}
    wrong = Block.parse("u", ("a", "b"), builtin("circle"), "a*b", top_k=True, shared=2)
    with pytest.raises(LintError) as refused:
        TaskGraph("wrong", tuple(wrong if node.name == "u" else node for node in graph.nodes), "f")
    assert "top_k: expected a whole number" in str(refused.value)
    assert "shared: expected true, false or a text, got 2" in str(refused.value)
