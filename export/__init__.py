"""Out to other tools: PyTorch modules and folders of safetensors and JSON."""
