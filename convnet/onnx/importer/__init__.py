"""Networks from ONNX files."""

from convnet.onnx.importer._load import load as load
from convnet.onnx.importer._load import operators as operators

__all__ = ["load", "operators"]
