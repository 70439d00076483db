"""Files: atomic writes, the archive, weights, safetensors."""
