"""Exchange with other libraries and machines: ONNX, C, safetensors, DLPack, scikit-learn."""

from ..storage.safetensors import load_safetensors, save_safetensors
from .c import to_c
from .dlpack import from_dlpack
from .onnx import from_onnx
from .onnx_export import to_onnx

__all__ = ["from_dlpack", "from_onnx", "load_safetensors", "save_safetensors", "to_c", "to_onnx"]
