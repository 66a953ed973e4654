"""Combinations that are sums of products of two factors: exact up to rounding, without a share of ε (N22, N23)."""

from __future__ import annotations

import atlasmoe as am
import numpy as np
import pytest
import sympy
from atlasmoe.atlas.spec import task_from_spec, task_to_spec
from atlasmoe.constructions.choices import Choices
from atlasmoe.errors import InvalidArgument, SpecError

CURVES = [
    {"name": "a", "reads": ["s"], "piece": [{"domain": [0, 1], "expression": "sin(s)"}, {"domain": [1, 2], "expression": "s - 2"}]},
    {"name": "b", "reads": ["t"], "piece": [{"domain": [0, 1], "expression": "exp(-t)"}, {"domain": [1, 2], "expression": "t**2"}]},
]


def spec(expressions, **options):
    inputs = [{"name": name, "domain": [0, 2]} for name in "st"]
    combine = {"name": "out", "outputs": [f"y{k}" for k in range(len(expressions))], "expression": expressions, **options}
    return {"task": {"name": "products", "kind": "graph", "output": "out"}, "input": inputs, "block": CURVES, "combine": [combine]}


TASKS = {
    "rotation": ["cos(0.3)*a - sin(0.3)*b + a*b", "a**2 - b**2"],
    "lorenz": ["10*(b - a)", "a*(28 - b) - b", "a*b - 8/3*a"],
    "bilinear": ["0.3*a*b + 0.2*a**2 - b"],
}


OPTIONS = {"rotation": {"activation": "exact"}, "lorenz": {"gated": True}, "bilinear": {"activation": "relu2"}}


@pytest.mark.parametrize(("name", "options"), OPTIONS.items(), ids=str)
def test_products_are_exact_and_leave_epsilon_to_the_blocks(name, options):
    plain = am.compile(task_from_spec(spec(TASKS[name])), epsilon=1e-2)
    model = am.compile(task_from_spec(spec(TASKS[name], **options)), epsilon=1e-2)
    claim = next(c for _, c in model.ledger.root.walk() if c.name == "combine[out]")
    before = next(c for _, c in plain.ledger.root.walk() if c.name == "combine[out]")
    assert claim.bound < 1e-11 < before.bound
    for block in ("a", "b"):
        budgets = [next(c for _, c in m.ledger.root.walk() if c.name == f"block[{block}]").budget for m in (plain, model)]
        assert budgets[1] > 1.4 * budgets[0]  # of three shares one is given to the other two
    assert model.facts["parameters"] < plain.facts["parameters"]
    assert am.verify(model, samples=2000).holds
    assert am.certify(model, epsilon=1e-2).status == "proved"


def test_auto_takes_the_form_with_the_fewest_numbers():
    """A product is three relu² neurons, 3·(2 + 1) + 3 + 1 numbers; two lanes are two maps, 2·2·(2 + 1) + 2 + 1."""
    square, product = (am.compile(task_from_spec(spec([e], activation="auto")), epsilon=5e-2) for e in ("(a + b)**2", "a*b"))
    for model, made in ((square, {"relu2"}), (product, {"relu2"})):
        assert {a.name for runs in model.network.layers[-1].experts[0].activations for _, a in runs} - {"relu"} == made
    forced = am.compile(task_from_spec(spec(["a*b"], activation="auto", gated=True)), epsilon=5e-2)
    assert forced.network.layers[-1].experts[0].gated
    assert forced.facts["parameters"] > product.facts["parameters"]


def test_what_is_no_sum_of_products_is_refused_in_words():
    for expression, words in {"a*b*b": "combination of its own", "sin(a*b)": "put what is no product into a block"}.items():
        with pytest.raises(InvalidArgument, match=words):
            am.compile(task_from_spec(spec([expression], activation="exact")), epsilon=1e-2)
        assert am.compile(task_from_spec(spec([expression], activation="auto")), epsilon=5e-2)


def test_three_factors_take_two_layers():
    given = spec(["p*b"], activation="exact")
    given["combine"].insert(0, {"name": "p", "expression": "a*b", "activation": "exact"})
    model = am.compile(task_from_spec(given), epsilon=1e-2)
    bounds = {c.name: c.bound for _, c in model.ledger.root.walk()}
    assert bounds["combine[p]"] < 1e-11 > bounds["combine[out]"]
    assert am.certify(model, epsilon=1e-2).status == "proved"


def test_options_of_combinations():
    task = task_from_spec(spec(["a*b"], activation="exact", gated=True))
    again, _ = task_to_spec(task)
    assert again["combine"][0]["activation"] == "exact"
    assert again["combine"][0]["gated"] is True
    assert task_from_spec(again)["out"].options == {"activation": "exact", "gated": True}
    chosen = Choices.of(task, activation="silu")[task["out"]]
    assert (chosen.activation, chosen.gated) == ("exact", True)
    assert Choices.of(task, activation={"out": "relu2"}, gated={"out": False})[task["out"]].activation == "relu2"
    assert Choices.of(task_from_spec(spec(["a*b"])), activation="silu")[task["out"]].activation == "silu"
    with pytest.raises(InvalidArgument, match="'out' is a combination"):
        Choices.of(task, routing={"out": "plateau"})
    with pytest.raises(SpecError, match="unknown word"):
        task_from_spec(spec(["a*b"], activation="rleu"))
    node = am.Combine.parse("c", ("p", "q"), "p*q", activation="exact")
    assert node.options == {"activation": "exact"}


def test_an_exact_combination_is_exact():
    """Of values as they arrive, in exact arithmetic: the stored weights, not their claim."""
    model = am.compile(task_from_spec(spec(TASKS["lorenz"], activation="exact")), epsilon=0.1)
    layer = model.network.layers[-1]
    names = [channel.component for channel in model.design.states[-2]]
    values = dict(zip("ab", np.random.default_rng(0).uniform([-1, 0.37], [0.84, 4], (50, 2)).T, strict=True))
    state = np.stack([values[name] for name in names], axis=1)
    found = layer.experts[0](state if layer.reads is None else state[:, list(layer.reads)])
    truth = np.stack([sympy.lambdify(("a", "b"), e)(values["a"], values["b"]) for e in TASKS["lorenz"]], axis=1)
    assert np.abs(found - truth).max() < 1e-12
