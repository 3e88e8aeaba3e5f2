"""Networks written into ONNX files."""

from convnet.onnx.exporter._export import export as export

__all__ = ["export"]
