"""The graphs of examples/robot_arm.py and robot_arm.toml are the arms that they say they are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import atlasmoe
import numpy as np
import pytest
from atlasmoe import TaskGraph

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("robot_arm", EXAMPLES / "robot_arm.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_spatial_arm_is_a_product_of_matrices(example: ModuleType) -> None:
    graph = example.spatial_arm()
    assert (graph.ambient_dimension, graph.outputs, graph.pieces) == (12, 3, example.CHARTS**6)
    shafts = graph.sample(500, 0)
    np.testing.assert_allclose(graph(shafts), example.by_matrices(shafts), atol=1e-14)


def test_the_planar_arm_is_a_sum_of_links(example: ModuleType) -> None:
    graph = atlasmoe.load_task(EXAMPLES / "robot_arm.toml")
    assert isinstance(graph, TaskGraph)
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (500, 3))
    shafts = example.shaft_points(angles)
    np.testing.assert_allclose(np.cos(example.joint_angles(shafts)), np.cos(angles), atol=1e-14)
    np.testing.assert_allclose(graph(shafts), example.planar_joints(angles)[:, -1], atol=1e-14)


def test_a_universal_joint_is_uneven(example: ModuleType) -> None:
    shaft = np.linspace(-np.pi, np.pi, 2001)
    turned = example.joint_angles(np.stack([np.cos(shaft), np.sin(shaft)], axis=1))[:, 0]
    uneven = np.angle(np.exp(1j * (turned - shaft)))
    assert np.degrees(np.abs(uneven).max()) == pytest.approx(1.8, abs=0.05), "as the example says"
