"""A torch module by its name, package.module:name. Importing runs the code of the module: only for whoever trusts it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from ...errors import InvalidArgument


def imported(module: str, name: str) -> Any:
    """The object; if it is a class or a function, what it makes without arguments. The folder one stands in is looked into, as Python does.

    Raises `InvalidArgument` where there is no such module or name, or where importing or calling it fails.
    """
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
    except ImportError as error:
        raise InvalidArgument(f"{module}:{name}: {error}; say it as Python imports it, from a folder where that works") from error
    except Exception as error:
        raise InvalidArgument(f"{module}:{name}: importing it fails with {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(here)
    for part in name.split("."):
        if not hasattr(found, part):
            raise InvalidArgument(f"{module}:{name}: there is no {part!r} in {module}; it has {', '.join(_public(found))}")
        found = getattr(found, part)
    if isinstance(found, type) or (callable(found) and not hasattr(found, "state_dict")):
        try:
            found = found()
        except Exception as error:
            raise InvalidArgument(
                f"{module}:{name} is called without arguments to make the module, and fails with {type(error).__name__}: {error}; "
                "name an object "
                "that is a module, or a function that makes one"
            ) from error
    if not hasattr(found, "state_dict") or not hasattr(found, "named_modules"):
        raise InvalidArgument(f"{module}:{name} is a {type(found).__name__}, no torch.nn.Module")
    return found


def _public(found: Any) -> list[str]:
    return [name for name in dir(found) if not name.startswith("_")][:12]
