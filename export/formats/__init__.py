"""Formats that other people's tools read, one file each: what is written is run, and compared with the network."""

from collections.abc import Mapping

from .base import Format, Standing, Written
from .c import C
from .comparison import Comparison, compared
from .huggingface import GptOss, Mixtral, NemotronH, QwenMoe
from .numpy_file import NumPy
from .onnx_file import Onnx
from .pt2 import Pt2

FORMATS: Mapping[str, Format] = {form.name: form for form in (C(), NumPy(), Onnx(), Pt2(), Mixtral(), QwenMoe(), GptOss(), NemotronH())}

__all__ = ["FORMATS", "Comparison", "Format", "Standing", "Written", "compared"]
