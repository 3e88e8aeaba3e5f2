"""Networks from ONNX files."""

from convnet.onnx.importer._load import load as load

__all__ = ["load"]
