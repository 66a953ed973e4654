"""Pictures of docs/gallery.md: every specification of this folder, compiled to 1 % of its range and drawn with what was found.

python examples/gallery.py                      # draws docs/images/gallery/*.png; some minutes
python examples/gallery.py sphere klein_bottle  # these alone
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import atlasmoe
from PIL import Image

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "docs" / "images" / "gallery"
TENTH = {"epsilon": "10%", "activation": "relu"}
COARSE = {"epsilon": "40%", "activation": "relu"}
COARSER = {"klein_bottle": {"epsilon": 0.5}, "implicit_genus_two": TENTH, "implicit_clebsch": TENTH, "implicit_rotations": COARSE}
"""Nine curved charts of a surface in R^4, and many balls on surfaces from equations, take minutes at 1 %."""


def draw(name: str) -> str:
    """Compile the specification, sample it, and draw it. What is said is one line of the table."""
    started = time.process_time()
    task = atlasmoe.load_task(HERE / f"{name}.toml")
    asked = {"activation": "auto"} if task.wanted else {"epsilon": "1%", "activation": "auto"} | COARSER.get(name, {})
    model = atlasmoe.compile(task, **asked)
    report = atlasmoe.verify(model, samples=50_000)
    atlasmoe.figure(model, report, FOLDER / f"{name}.png")
    small(FOLDER / f"{name}.png")
    facts = model.facts
    said = f"ε = {facts['epsilon']:.3g}, {facts['parameters']:,} numbers, largest error found {report['total'].bound:.3g}"
    return f"{name}: {said}, {time.process_time() - started:.0f} CPU s"


def small(path: Path) -> None:
    """Write a picture again with 64 shades of each colour: half the bytes, and nothing that one could see."""
    shades = [round(round(value / 255 * 63) * 255 / 63) for value in range(256)]
    with Image.open(path) as picture:
        fewer = picture.convert("RGB").point(shades * 3)
    fewer.save(path, optimize=True)


def main() -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or sorted(path.stem for path in HERE.glob("*.toml")):
        print(draw(name), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
