"""The doctor at mixtures that were trained, beside the construction of the same shape.

    python examples/experiments/doctor_trained.py [--out out/doctor]

Two tasks: sin 5x₁ + cos 3x₂ on a circle in R^16 (the paper's first experiment) in 8 balls, and nine pieces on [0, 3]². One layer, one
expert for each input, Adam at 3e-3 for 1500 steps from one seed: with weights that say nothing to the gate (N25), with Switch's, and with
its load-balancing loss as well; and the construction. ε is that of the construction. What is found is in docs/doctor.md.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import atlasmoe
from atlasmoe.report.health_figures import health_figures
from lab.mixture import Mixture, Shape
from lab.training import BALANCE, Data, Recipe, train
from training_dynamics import circle, nine

RECIPE = Recipe(steps=1500, rate=3e-3)
EPSILON = 0.05
WAYS = {"hard gate": ("chosen", 0.0), "Switch": ("all", 0.0), "Switch, balanced": ("all", BALANCE)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    for name, task, shape in (("circle", circle(), (16, 8, 16)), ("nine pieces", nine(), (2, 9, 8))):
        inputs, experts, width = shape
        model = atlasmoe.compile(task, epsilon=EPSILON)
        print(f"\n{name}, as it is constructed: {atlasmoe.doctor(model)}")
        for how, (weighting, balance) in WAYS.items():
            started = time.process_time()
            mixture = Mixture([Shape(inputs, 1, experts, (width,), weighting=weighting)])
            done = train(mixture, Data.of(task), Recipe(RECIPE.steps, rate=RECIPE.rate, balance=balance))
            print(f"\n{name}, {how}: mean square {done.loss:.3g}, {time.process_time() - started:.0f} CPU s")
            # Experts whose output is scaled by a probability are not linear piece by piece.
            activation = "relu" if weighting == "chosen" else None
            found = atlasmoe.doctor(mixture, task=task, epsilon=EPSILON, activation=activation)
            print(found)
            if out is not None:
                health_figures(found, out / f"{name} {how}".replace(", ", "_").replace(" ", "_"))


if __name__ == "__main__":
    main()
