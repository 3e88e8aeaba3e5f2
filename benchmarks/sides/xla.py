"""JAX, compiled by XLA. Networks are traced from their PyTorch twins; maps lie channels-last, which XLA prefers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from networks import Network, torch_twin
from shapes import Shape

from sides.base import LR, MOMENTUM, Side, UnavailableError, Work

LAYOUT = ("NHWC", "HWIO", "NHWC")


class Jax(Side):
    """Functions compiled with `jax.jit`; a training step is one of them, and reuses the memory of the weights."""

    def __init__(self, threads: int) -> None:
        try:
            import jax
            import torch.fx
        except ImportError as error:
            raise UnavailableError(str(error)) from error
        self._jax, self.version, self._trace = jax, jax.__version__, torch.fx.symbolic_trace

    def step(self, network: Network, x: np.ndarray, y: np.ndarray) -> Work:
        """One call of a compiled step."""
        jax = self._jax
        weights, apply = self._network(network, training=True)
        velocities = jax.tree.map(jax.numpy.zeros_like, weights)

        def loss_of(weights: Any, x: Any, y: Any) -> Any:
            logits = apply(weights, x)
            return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1))

        def step(weights: Any, velocities: Any, x: Any, y: Any) -> Any:
            loss, gradients = jax.value_and_grad(loss_of)(weights, x, y)
            velocities = jax.tree.map(lambda v, g: MOMENTUM * v + g, velocities, gradients)
            return jax.tree.map(lambda w, v: w - LR * v, weights, velocities), velocities, loss

        compiled, inputs = jax.jit(step, donate_argnums=(0, 1)), (_nhwc(jax, x), jax.numpy.asarray(y))
        state = [weights, velocities]

        def run() -> float:
            *state[:], loss = compiled(*state, *inputs)
            return float(loss)

        return Work(run, lambda: {name: np.asarray(value) for name, value in state[0].items()})

    def inference(self, network: Network, x: np.ndarray) -> Work:
        """Call a compiled function of the images; the weights are constants in it."""
        weights, apply = self._network(network, training=False)
        return self._work(lambda x: apply(weights, x), "outputs", lambda y: y, _nhwc(self._jax, x))

    def convolution(self, shape: Shape, arrays: tuple[np.ndarray, ...], which: str) -> Work:
        """Compile the convolution or one of its two transposed maps."""
        jax = self._jax
        x, w, dy = _nhwc(jax, arrays[0]), jax.numpy.asarray(arrays[1].transpose(2, 3, 1, 0)), _nhwc(jax, arrays[2])

        def forward(x: Any, w: Any) -> Any:
            return _convolve(jax, x, w, (shape.stride,) * 2, (shape.padding,) * 2, (1, 1), shape.groups)

        if which == "forward":
            return self._work(forward, which, _to_nchw, x, w)
        if which == "data gradient":
            return self._work(lambda dy, x, w: jax.vjp(lambda x: forward(x, w), x)[1](dy)[0], which, _to_nchw, dy, x, w)
        return self._work(lambda dy, x, w: jax.vjp(lambda w: forward(x, w), w)[1](dy)[0], which, _to_oihw, dy, x, w)

    def _work(self, function: Callable[..., Any], name: str, restore: Callable[..., Any], *inputs: Any) -> Work:
        compiled = self._jax.jit(function)

        def run() -> Any:
            return compiled(*inputs).block_until_ready()

        return Work(run, lambda: {name: restore(np.asarray(run()))})

    def _network(self, network: Network, training: bool) -> tuple[dict[str, Any], Callable[..., Any]]:
        """The weights by name, and the function of weights and images."""
        twin = torch_twin(network.make()).train(training)
        traced = self._trace(twin)
        layers = dict(traced.named_modules())
        weights = {name: self._jax.numpy.asarray(p.detach().numpy()) for name, p in twin.named_parameters()}

        def apply(weights: dict[str, Any], x: Any) -> Any:
            values: dict[Any, Any] = {}
            for node in traced.graph.nodes:
                arguments = [values.get(a, a) for a in node.args]
                if node.op == "placeholder":
                    values[node] = x
                elif node.op == "output":
                    return arguments[0]
                elif node.op == "call_module":
                    values[node] = self._apply_layer(layers[node.target], node.target, weights, arguments[0])
                else:
                    values[node] = self._call(node.target, arguments)
            raise AssertionError("a traced graph ends with its output")

        return weights, apply

    def _apply_layer(self, layer: Any, name: str, weights: dict[str, Any], x: Any) -> Any:
        kind = type(layer).__name__
        w, b = weights.get(f"{name}.weight"), weights.get(f"{name}.bias")
        if kind not in _LAYERS:
            raise UnavailableError(f"no translation of {kind}")
        return _LAYERS[kind](self._jax, layer, w, b, x)

    def _call(self, function: Any, arguments: list[Any]) -> Any:
        name = getattr(function, "__name__", str(function))
        if name not in ("add", "relu", "flatten"):
            raise UnavailableError(f"no translation of {name}")
        if name == "add":
            return arguments[0] + arguments[1]
        return self._jax.nn.relu(arguments[0]) if name == "relu" else _flatten(arguments[0])


def _nhwc(jax: Any, x: np.ndarray) -> Any:
    return jax.numpy.asarray(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))


def _to_nchw(y: np.ndarray) -> np.ndarray:
    return y.transpose(0, 3, 1, 2)


def _to_oihw(dw: np.ndarray) -> np.ndarray:
    return dw.transpose(3, 2, 0, 1)


def _convolve(jax: Any, x: Any, w_hwio: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return jax.lax.conv_general_dilated(
        x,
        w_hwio,
        stride,
        [(p, p) for p in padding],
        rhs_dilation=dilation,
        dimension_numbers=LAYOUT,
        feature_group_count=groups,
    )


def _conv2d(jax: Any, layer: Any, w: Any, b: Any, x: Any) -> Any:
    y = _convolve(jax, x, w.transpose(2, 3, 1, 0), layer.stride, layer.padding, layer.dilation, layer.groups)
    return y if b is None else y + b


def _batch_norm(jax: Any, layer: Any, w: Any, b: Any, x: Any) -> Any:
    """Normalise; running statistics are not kept, which only spares this side work."""
    if layer.training:
        mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    else:
        mean, variance = layer.running_mean.numpy(), layer.running_var.numpy()
    return (x - mean) * (w * jax.lax.rsqrt(variance + layer.eps)) + b


def _max_pool(jax: Any, layer: Any, w: Any, b: Any, x: Any) -> Any:
    (kh, kw), (sh, sw), (ph, pw) = (
        (v, v) if isinstance(v, int) else v for v in (layer.kernel_size, layer.stride, layer.padding)
    )
    padding = ((0, 0), (ph, ph), (pw, pw), (0, 0))
    return jax.lax.reduce_window(x, -np.inf, jax.lax.max, (1, kh, kw, 1), (1, sh, sw, 1), padding)


def _adaptive_average(jax: Any, layer: Any, w: Any, b: Any, x: Any) -> Any:
    if layer.output_size in (1, (1, 1)):
        return x.mean((1, 2), keepdims=True)
    if layer.output_size not in (x.shape[1], x.shape[1:3]):
        raise UnavailableError(f"no translation of {layer} of maps {x.shape[1:3]}")
    return x


def _flatten(x: Any) -> Any:
    """Flatten in the order of (c, h, w), for the dense weights' sake."""
    return (x.transpose(0, 3, 1, 2) if x.ndim == 4 else x).reshape(x.shape[0], -1)


def _dropout(jax: Any, layer: Any, w: Any, b: Any, x: Any) -> Any:
    if layer.training and layer.p > 0:
        raise UnavailableError("no translation of random layers")
    return x


_LAYERS: dict[str, Callable[..., Any]] = {
    "Conv2d": _conv2d,
    "BatchNorm2d": _batch_norm,
    "MaxPool2d": _max_pool,
    "AdaptiveAvgPool2d": _adaptive_average,
    "ReLU": lambda jax, layer, w, b, x: jax.nn.relu(x),
    "Flatten": lambda jax, layer, w, b, x: _flatten(x),
    "Linear": lambda jax, layer, w, b, x: x @ w.T + b,
    "Dropout": _dropout,
    "Identity": lambda jax, layer, w, b, x: x,
}
