"""Out to other tools: PyTorch modules (`torch_module`), and folders of safetensors and JSON (`folder`)."""
