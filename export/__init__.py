"""Out to other tools: PyTorch modules (`torch_module`), folders of safetensors and JSON (`folder`), and `formats`.

The package may be called: `atlasmoe.export(model, "onnx", path)` is `atlasmoe.export_to(model, "onnx", path)`, as on the command line.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..moe import Model
    from .exported import Exported


class _Called(ModuleType):
    """A package that is a function besides: of one name there is one object, and parts of the package are looked up in it."""

    def __call__(self, model: Model, to: str, path: str | os.PathLike[str], **options: Any) -> Exported:
        """`export_to`."""
        from .exported import export_to

        return export_to(model, to, path, **options)


sys.modules[__name__].__class__ = _Called
