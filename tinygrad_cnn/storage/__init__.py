"""Files: atomic writes, the archive of arrays and metadata, safetensors."""
