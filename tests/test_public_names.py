"""The root of the package is its map: lazy, complete, and the same for Python as for type checkers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import atlasmoe

ROOT = Path(atlasmoe.__file__)


def test_lazy_map_and_type_checking_block_agree() -> None:
    tree = ast.parse(ROOT.read_text())
    lazy = next(
        ast.literal_eval(keyword.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "submod_attrs"
    )
    block = next(node for node in tree.body if isinstance(node, ast.If))
    explicit = [(node.module, alias.name, alias.asname) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(explicit) == sorted((module, name, name) for module, names in lazy.items() for name in names)


def test_every_public_name_exists_and_is_no_module() -> None:
    for name in atlasmoe.__all__:
        assert type(getattr(atlasmoe, name)).__name__ != "module", name


def test_verify_stays_a_function_after_its_folder_is_imported() -> None:
    code = "import atlasmoe.verify; import atlasmoe; assert type(atlasmoe.verify).__name__ == 'function', atlasmoe.verify"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_is_light() -> None:
    code = "import sys, atlasmoe, atlasmoe.cli; print(*{'torch', 'sympy', 'scipy', 'numpy', 'networkx', 'matplotlib'} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not loaded, f"`import atlasmoe` loads {loaded}"
