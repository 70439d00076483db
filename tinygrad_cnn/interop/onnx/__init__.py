"""ONNX files of any exporter as networks: the file, its graph, the functions of its nodes, and the layers they make."""

from .load import from_onnx
from .module import OnnxModule

__all__ = ["OnnxModule", "from_onnx"]
