"""Networks in ONNX files, which other tools open, serve and convert (``pip install "convnet-cpu[onnx]"``)."""

from convnet.onnx.exporter import export as export
from convnet.onnx.importer import load as load

__all__ = ["export", "load"]
