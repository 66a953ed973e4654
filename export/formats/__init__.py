"""Formats that other people's tools read, one file each: what is written is run, and compared with the network."""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module

from .base import Format, Standing, Written
from .comparison import Comparison, compared

PLACES = {
    "c": (".c", "C"),
    "numpy": (".numpy_file", "NumPy"),
    "onnx": (".onnx_file", "Onnx"),
    "pt2": (".pt2", "Pt2"),
    "hf-mixtral": (".huggingface", "Mixtral"),
    "hf-qwen-moe": (".huggingface", "QwenMoe"),
    "hf-olmoe": (".huggingface", "Olmoe"),
    "hf-deepseek": (".huggingface", "Deepseek"),
    "hf-gpt-oss": (".huggingface", "GptOss"),
    "hf-nemotron-h": (".huggingface", "NemotronH"),
}
"""The module and the class of each format."""


class _Formats(Mapping[str, Format]):
    """Formats by their names. One is loaded when it is asked for: most need PyTorch, which whoever writes C or NumPy does not wait for."""

    def __getitem__(self, name: str) -> Format:
        return _made(*PLACES[name])

    def __iter__(self) -> Iterator[str]:
        return iter(PLACES)

    def __len__(self) -> int:
        return len(PLACES)


@cache
def _made(module: str, kind: str) -> Format:
    made: Format = getattr(import_module(module, __package__), kind)()
    return made


FORMATS: Mapping[str, Format] = _Formats()

__all__ = ["FORMATS", "Comparison", "Format", "Standing", "Written", "compared"]
