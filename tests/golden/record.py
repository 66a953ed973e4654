"""Record what the library makes of the golden cases, and compare records.

    python tests/golden/record.py --output NEW                      # every case, one JSON file each
    python tests/golden/record.py --output NEW --quick              # a subset
    python tests/golden/record.py --output NEW --compare OLD        # and what is different from OLD, bit by bit
    python tests/golden/record.py --compared NEW --compare OLD      # two folders that were recorded before
    python tests/golden/record.py --output tests/golden --kept      # the files that tests/test_golden.py compares with

Exit code 1 if anything is different. `--loose` leaves out hashes and allows for rounding. CPU seconds of each case go to stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cases import CASES, Case
from differences import differences, without_hashes
from observe import observe


def record(case: Case, folder: Path, kept: bool = False) -> None:
    """Write the record of one case; for `kept` without hashes."""
    started = time.process_time()
    data = observe(case)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(without_hashes(data) if kept else data, ensure_ascii=False, allow_nan=False, indent=None if kept else 1)
    (folder / f"{case.name}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{case.name}: {time.process_time() - started:.1f} CPU s", file=sys.stderr, flush=True)


def read(folder: Path, case: Case) -> object:
    """The record of one case, {} if there is none."""
    path = folder / f"{case.name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def chosen(arguments: argparse.Namespace) -> Iterator[Case]:
    """The cases that were asked for."""
    for case in CASES:
        named = not arguments.case or case.name in arguments.case
        if named and (case.quick or not arguments.quick) and (case.kept or not arguments.kept):
            yield case


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], metavar="NAME", help="one case; may be repeated")
    parser.add_argument("--quick", action="store_true", help="the cheap cases")
    parser.add_argument("--kept", action="store_true", help="the cases of the test, without hashes")
    parser.add_argument("--list", action="store_true", help="names of the cases")
    parser.add_argument("--output", type=Path, metavar="DIR", help="record into this folder")
    parser.add_argument("--compared", type=Path, metavar="DIR", help="records to compare, in place of new ones")
    parser.add_argument("--compare", type=Path, metavar="OLD_DIR", help="records to compare with")
    parser.add_argument("--loose", action="store_true", help="compare without hashes, and numbers but for rounding")
    arguments = parser.parse_args()
    cases = list(chosen(arguments))
    if arguments.list:
        print("\n".join(case.name for case in cases))
        return 0
    if (arguments.output is None) == (arguments.compared is None):
        parser.error("give either --output or --compared")
    found = 0
    for case in cases:
        if arguments.output is not None:
            record(case, arguments.output, arguments.kept)
        if arguments.compare is not None:
            lines = differences(read(arguments.compare, case), read(arguments.output or arguments.compared, case), arguments.loose)
            found += len(lines)
            print("\n".join([f"{case.name}: {len(lines)} differences", *(f"  {line}" for line in lines)]), flush=True)
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
