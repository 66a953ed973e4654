"""atlasmoe: compile an atlas into a mixture of experts, with a proof that it works.

    task  = atlasmoe.load_task("sphere.toml")            # what you give: charts, bumps, a target
    model = atlasmoe.compile(task, epsilon=1e-3)         # the proof as a program: weights and a ledger of claims
    report = atlasmoe.verify(model, samples=200_000)     # every claim sampled on the weights as they are
    atlasmoe.save(model, "sphere")                       # safetensors, JSON and a model card
    module = atlasmoe.to_torch(model)                    # a torch.nn.Module

This file is the map of the library. Names are imported on first use: `import atlasmoe` alone loads neither torch nor sympy.
"""

from typing import TYPE_CHECKING

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["export"],  # which may be called
    submod_attrs={
        # what the user gives
        "atlas": [
            "Atlas",
            "BallChart",
            "Box",
            "CallableTarget",
            "Chart",
            "ChartTarget",
            "ExpressionMap",
            "ExpressionTarget",
            "ManifoldTask",
            "PartitionOfUnity",
            "Points",
            "StackedTarget",
            "Wanted",
        ],
        "atlas.refine": ["refine"],
        "atlas.graph": ["Block", "BoxPiece", "Combine", "Input", "TaskGraph", "Tiling", "Trace"],
        "atlas.manifolds": ["ball_atlas", "builtin", "embed", "product"],
        "atlas.implicit.build": ["implicit"],
        "atlas.spec": ["load_task"],
        "atlas.lint": ["lint"],
        # the artefact
        "moe": ["Affine", "Claim", "Known", "Ledger", "MoELayer", "Model", "Network", "NeuronGroup", "ReLUNet"],
        # the proofs as code
        "front.compile": ["compile"],
        "constructions.baseline": ["dense_baseline"],
        "constructions.plan": ["Frontier", "Plan", "plan"],
        "constructions.substitution": ["substitute"],
        "explain": ["Encoding", "Explanation", "NeuronOrigin", "circuit", "encodings", "explain_neuron", "explain_point", "explain_points"],
        "doctor": ["Diagnosis", "Health", "Patient", "doctor"],
        # does it hold?
        "verify.check": ["CheckReport"],
        "verify.check.check": ["check"],
        "verify.prove": ["Certificate", "certify"],
        "verify.sample": ["Report", "verify"],
        # out to other tools
        "export.exported": ["Exported", "export_to"],
        "export.fixtures.fixtures": ["fixtures"],
        "export.fixtures.written": ["write_fixtures"],
        "export.folder": ["load", "save"],
        "export.from_torch": ["from_torch"],
        "export.quantise": ["quantise"],
        "export.torch_module": ["to_torch"],
        # what a person looks at
        "report.figures": ["figure"],
        "report.page": ["write_report"],
        # what can go wrong
        "errors": [
            "AtlasMoEError",
            "EpsilonNotReached",
            "Finding",
            "FolderError",
            "InvalidArgument",
            "LintError",
            "NotProved",
            "PrecisionWarning",
            "Severity",
            "SpecError",
        ],
    },
)

if TYPE_CHECKING:  # the same map for editors and type checkers
    from .atlas import Atlas as Atlas
    from .atlas import BallChart as BallChart
    from .atlas import Box as Box
    from .atlas import CallableTarget as CallableTarget
    from .atlas import Chart as Chart
    from .atlas import ChartTarget as ChartTarget
    from .atlas import ExpressionMap as ExpressionMap
    from .atlas import ExpressionTarget as ExpressionTarget
    from .atlas import ManifoldTask as ManifoldTask
    from .atlas import PartitionOfUnity as PartitionOfUnity
    from .atlas import Points as Points
    from .atlas import StackedTarget as StackedTarget
    from .atlas import Wanted as Wanted
    from .atlas.graph import Block as Block
    from .atlas.graph import BoxPiece as BoxPiece
    from .atlas.graph import Combine as Combine
    from .atlas.graph import Input as Input
    from .atlas.graph import TaskGraph as TaskGraph
    from .atlas.graph import Tiling as Tiling
    from .atlas.graph import Trace as Trace
    from .atlas.implicit.build import implicit as implicit
    from .atlas.lint import lint as lint
    from .atlas.manifolds import ball_atlas as ball_atlas
    from .atlas.manifolds import builtin as builtin
    from .atlas.manifolds import embed as embed
    from .atlas.manifolds import product as product
    from .atlas.refine import refine as refine
    from .atlas.spec import load_task as load_task
    from .constructions.baseline import dense_baseline as dense_baseline
    from .constructions.plan import Frontier as Frontier
    from .constructions.plan import Plan as Plan
    from .constructions.plan import plan as plan
    from .constructions.substitution import substitute as substitute
    from .doctor import Diagnosis as Diagnosis
    from .doctor import Health as Health
    from .doctor import Patient as Patient
    from .doctor import doctor as doctor
    from .errors import AtlasMoEError as AtlasMoEError
    from .errors import EpsilonNotReached as EpsilonNotReached
    from .errors import Finding as Finding
    from .errors import FolderError as FolderError
    from .errors import InvalidArgument as InvalidArgument
    from .errors import LintError as LintError
    from .errors import NotProved as NotProved
    from .errors import PrecisionWarning as PrecisionWarning
    from .errors import Severity as Severity
    from .errors import SpecError as SpecError
    from .explain import Encoding as Encoding
    from .explain import Explanation as Explanation
    from .explain import NeuronOrigin as NeuronOrigin
    from .explain import circuit as circuit
    from .explain import encodings as encodings
    from .explain import explain_neuron as explain_neuron
    from .explain import explain_point as explain_point
    from .explain import explain_points as explain_points
    from .export.exported import Exported as Exported
    from .export.exported import export_to as export_to
    from .export.fixtures.fixtures import fixtures as fixtures
    from .export.fixtures.written import write_fixtures as write_fixtures
    from .export.folder import load as load
    from .export.folder import save as save
    from .export.from_torch import from_torch as from_torch
    from .export.quantise import quantise as quantise
    from .export.torch_module import to_torch as to_torch
    from .front.compile import compile as compile
    from .moe import Affine as Affine
    from .moe import Claim as Claim
    from .moe import Known as Known
    from .moe import Ledger as Ledger
    from .moe import Model as Model
    from .moe import MoELayer as MoELayer
    from .moe import Network as Network
    from .moe import NeuronGroup as NeuronGroup
    from .moe import ReLUNet as ReLUNet
    from .report.figures import figure as figure
    from .report.page import write_report as write_report
    from .verify.check import CheckReport as CheckReport
    from .verify.check.check import check as check
    from .verify.prove import Certificate as Certificate
    from .verify.prove import certify as certify
    from .verify.sample import Report as Report
    from .verify.sample import verify as verify
