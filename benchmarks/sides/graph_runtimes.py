"""Runtimes that take an ONNX graph and only infer: onnxruntime and OpenVINO."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from functools import lru_cache

import numpy as np
from networks import Network, torch_twin

from sides.base import Side, UnavailableError, Work


@lru_cache(maxsize=1)
def _exported(network: Network, batch: int) -> bytes:
    """Export the network's twin for one batch size."""
    try:
        import onnxscript  # noqa: F401  the exporter imports it late, and says less
        import torch
    except ImportError as error:
        raise UnavailableError(f"the graph is exported by PyTorch: {error}") from error
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # which tells of each operator of absent packages
    file, x = io.BytesIO(), torch.zeros(batch, *network.input_shape)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # PyTorch warns of itself
        torch.onnx.export(torch_twin(network.make()).eval(), (x,), file, dynamo=True, verbose=False)
    return file.getvalue()


class OnnxRuntime(Side):
    """onnxruntime's CPU provider, all graph optimisations on."""

    def __init__(self, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise UnavailableError(str(error)) from error
        self._runtime, self.version = onnxruntime, onnxruntime.__version__
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads = threads
        self._options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL

    def inference(self, network: Network, x: np.ndarray) -> Work:
        """Run a session."""
        model = _exported(network, len(x))
        session = self._runtime.InferenceSession(model, self._options, providers=["CPUExecutionProvider"])
        inputs = {session.get_inputs()[0].name: x}
        return Work(lambda: session.run(None, inputs), lambda: {"outputs": session.run(None, inputs)[0]})


class OpenVino(Side):
    """OpenVINO's CPU plugin, tuned for latency, kept to float32 (on some CPUs it would take bfloat16)."""

    def __init__(self, threads: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise UnavailableError(str(error)) from error
        self._core, self.version = openvino.Core(), openvino.__version__
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERFORMANCE_HINT": "LATENCY",
        }

    def inference(self, network: Network, x: np.ndarray) -> Work:
        """Run a request again and again, its input and output shared with NumPy."""
        model = self._core.compile_model(
            self._core.read_model(io.BytesIO(_exported(network, len(x)))), "CPU", self._settings
        )
        request = model.create_infer_request()

        def run() -> np.ndarray:
            return request.infer([x], share_inputs=True, share_outputs=True)[0]

        return Work(run, lambda: {"outputs": run().copy()})
