"""Stock classes of Hugging Face transformers as formats: a network as a decoder of theirs, one short file a class."""

from .deepseek import Deepseek
from .gpt_oss import GptOss
from .mixtral import Mixtral
from .nemotron_h import NemotronH
from .olmoe import Olmoe
from .qwen_moe import QwenMoe

__all__ = ["Deepseek", "GptOss", "Mixtral", "NemotronH", "Olmoe", "QwenMoe"]
