"""Networks in ONNX files, which other tools open, serve and convert (``pip install "convnet-cpu[onnx]"``)."""

from convnet.onnx.exporter import export as export

__all__ = ["export"]
