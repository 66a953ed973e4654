"""What confirming a proof costs beside finding it: CPU seconds of `certify` and of `check`, and boxes a leaf.

    OMP_NUM_THREADS=1 python benchmarks/check.py [--only NAME …]

The cases are those of tests/test_check_confirms.py, which holds them to the verdict and to the number of boxes; the aim here is a ratio of
five at most. CPU seconds are of one thread (time.process_time); `compile` is not counted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import atlasmoe
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from test_check_confirms import CASES

AIM = 5.0
HEADER = f"{'case':40} {'leaves':>8} {'certify':>8} {'check':>8} {'ratio':>6} {'boxes/leaf':>10}  verdict"


def row(name: str) -> str:
    task, epsilon = CASES[name]
    model = atlasmoe.compile(task(), epsilon=epsilon)
    started = time.process_time()
    certificate = certify(model)
    found = time.process_time() - started
    with tempfile.TemporaryDirectory() as place:
        folder = atlasmoe.save(model, Path(place) / "model")
        certificate.write(folder)
        started = time.process_time()
        report = check(folder)
        took = time.process_time() - started
    ratio = took / found
    aside = "" if ratio <= AIM else f"  above the aim of {AIM:g}"
    each = report.boxes / max(1, report.leaves)
    return f"{name:40} {report.leaves:8,} {found:8.2f} {took:8.2f} {ratio:6.2f} {each:10.2f}  {report.verdict}{aside}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(CASES), default=list(CASES), metavar="NAME")
    print(HEADER)
    for name in parser.parse_args().only:
        print(row(name), flush=True)


if __name__ == "__main__":
    main()
