"""Stock classes of Hugging Face transformers as formats: a network as a decoder of theirs, one short file a class."""

from .gpt_oss import GptOss
from .mixtral import Mixtral
from .nemotron_h import NemotronH
from .qwen_moe import QwenMoe

__all__ = ["GptOss", "Mixtral", "NemotronH", "QwenMoe"]
