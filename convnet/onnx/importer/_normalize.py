"""Operators that normalise."""

from __future__ import annotations

import numpy as np

from convnet.layers import (
    BatchNorm2d,
    GroupNorm,
    LocalResponseNorm,
)
from convnet.onnx.importer._build import Builder, Inputs, Map
from convnet.onnx.importer._layers import Affine, Reshape
from convnet.onnx.importer._read import Operator

__all__ = ["batch_norm", "group_norm", "instance_norm", "local_response_norm"]


def batch_norm(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """BatchNormalization, of images as a layer that trains, of rows as fixed numbers to start from."""
    x = build.map(operator, inputs[0], 3, 1)
    attributes = operator.attributes
    if attributes.get("training_mode", 0) or attributes.get("spatial", 1) != 1:
        raise build.unsupported(operator, "the form for inference, a number a channel", "another")
    names = ("a scale", "a bias", "means", "variances")
    scale, bias, mean, variance = (build.weights(operator, v, n) for v, n in zip(inputs[1:5], names, strict=True))
    eps = float(attributes.get("epsilon", 1e-5))
    if {each.shape for each in (scale, bias, mean, variance)} != {x.shape[:1]}:
        raise build.unsupported(operator, f"{x.shape[0]} numbers of each kind", scale.shape)
    if len(x.shape) == 1:
        factor = scale / np.sqrt(variance + build.dtype.type(eps))
        return build.put(operator, Affine(factor, bias - mean * factor), x, weight=inputs[1])
    layer = BatchNorm2d(x.shape[0], eps, round(1 - float(attributes.get("momentum", 0.9)), 9), dtype=build.dtype)
    assert layer.weight is not None
    assert layer.bias is not None
    layer.weight.value, layer.bias.value = scale, bias
    layer.running_mean[...], layer.running_var[...] = mean, variance
    return build.put(operator, layer, x, weight=inputs[1])


def instance_norm(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """InstanceNormalization."""
    return _grouped_norm(build, operator, inputs, None)


def group_norm(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """GroupNormalization."""
    return _grouped_norm(build, operator, inputs, int(operator.attributes["num_groups"]))


def _grouped_norm(build: Builder, operator: Operator, inputs: Inputs, groups: int | None) -> Map:
    """Scales are those of channels, or before opset 21 of groups."""
    given = build.map(operator, inputs[0])
    x, channels = (
        build.put(operator, Reshape((*given.shape, 1)), given) if len(given.shape) == 2 else given,
        given.shape[0],
    )
    build.map(operator, x, 3)
    layer = GroupNorm(groups or channels, channels, float(operator.attributes.get("epsilon", 1e-5)), dtype=build.dtype)
    assert layer.weight is not None
    assert layer.bias is not None
    for parameter, value in ((layer.weight, inputs[1]), (layer.bias, inputs[2])):
        numbers = build.weights(operator, value, "a scale and a bias")
        if numbers.size == 0 or channels % numbers.size:
            raise build.unsupported(operator, f"a number for each of {channels} channels", numbers.size)
        parameter.value = np.repeat(numbers.ravel(), channels // numbers.size)
    y = build.put(operator, layer, x, weight=inputs[1])
    return y if x is given else build.put(operator, Reshape(given.shape), y)


def local_response_norm(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """LRN."""
    x = build.map(operator, inputs[0], 3)
    size = int(operator.attributes["size"])
    if size % 2 == 0:
        raise build.unsupported(operator, "an odd size", size)
    settings = {"alpha": 1e-4, "beta": 0.75, "bias": 1.0} | operator.attributes
    layer = LocalResponseNorm(size, float(settings["alpha"]), float(settings["beta"]), float(settings["bias"]))
    return build.put(operator, layer, x)
