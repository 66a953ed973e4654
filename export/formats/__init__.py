"""Formats that other people's tools read, one file each: what is written is run, and compared with the network."""

from collections.abc import Mapping

from .base import Format, Standing, Written
from .c import C
from .comparison import Comparison, compared
from .huggingface import Deepseek, GptOss, Mixtral, NemotronH, Olmoe, QwenMoe
from .numpy_file import NumPy
from .onnx_file import Onnx
from .pt2 import Pt2

STOCK = (Mixtral(), QwenMoe(), Olmoe(), Deepseek(), GptOss(), NemotronH())
FORMATS: Mapping[str, Format] = {form.name: form for form in (C(), NumPy(), Onnx(), Pt2(), *STOCK)}

__all__ = ["FORMATS", "Comparison", "Format", "Standing", "Written", "compared"]
