"""Substitution (N21): GELU, its tanh form or SiLU in the place of σ, with the constant that is proved and a bound that holds."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from atlasmoe import Block, Combine, Input, Model, TaskGraph, certify, check, compile, load, save, substitute, to_torch, verify
from atlasmoe.atlas import Box, BoxPiece, CallableTarget, ManifoldTask, Tiling, ball_atlas, builtin
from atlasmoe.atlas.spec import read_task
from atlasmoe.constructions.sensitivity import Slot, moved, through
from atlasmoe.constructions.substitution import STEEPEST, carried_beside, substituted, without
from atlasmoe.errors import EpsilonNotReached, InvalidArgument
from atlasmoe.moe import ACTIVATIONS, Affine, MoELayer, Net, Network, NeuronGroup
from atlasmoe.moe.activations import GELU, GELU_TANH, RELU, SILU
from flint import arb, ctx

TAKEN = (GELU, GELU_TANH, SILU)
