"""Networks in ONNX files, which other tools open, serve and convert (``pip install "convnet-cpu[onnx]"``)."""

from convnet.onnx.exporter import export as export
from convnet.onnx.importer import load as load
from convnet.onnx.importer import operators as operators

__all__ = ["export", "load", "operators"]
