"""Layers of convnet built again in PyTorch, with weights of the same names."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import reduce

import torch
from torch import nn

import convnet


def twin(layer: convnet.Layer) -> nn.Module:
    """Build the same layer, with weights of its own."""
    if isinstance(layer, convnet.Sequential):
        twins = nn.Sequential()
        for name, child in layer.named_children():
            twins.add_module(name, twin(child))
        return twins
    return _GraphTwin(layer) if isinstance(layer, convnet.Graph) else _TWINS[type(layer)](layer)


class _GraphTwin(nn.Module):
    """A `convnet.Graph` other than a `convnet.Sequential`."""

    def __init__(self, graph: convnet.Graph) -> None:
        super().__init__()
        self.sources = {name: node.sources for name, node in graph.nodes.items()}
        self.source, self.output = graph.input, graph.output
        for name, node in graph.nodes.items():
            self.add_module(name, twin(node.layer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        values = {self.source: x}
        for name, sources in self.sources.items():
            values[name] = self.get_submodule(name)(*(values[source] for source in sources))
        return values[self.output]


class _Join(nn.Module):
    """A merge."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.forward = function


def _conv(layer: convnet.Conv2d) -> nn.Module:
    padding = layer.padding if layer.padding == "same" else tuple(before for before, _ in layer.padding)
    sizes = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, padding, layer.dilation)
    return nn.Conv2d(*sizes, layer.groups, layer.bias is not None)


# ReLU works in place, as in torchvision's models: that is the faster way in PyTorch.
_TWINS: dict[type[convnet.Layer], Callable[..., nn.Module]] = {
    convnet.Conv2d: _conv,
    convnet.BatchNorm2d: lambda m: nn.BatchNorm2d(m.num_features, m.eps, m.momentum, m.weight is not None),
    convnet.ReLU: lambda m: nn.ReLU(inplace=True),
    convnet.MaxPool2d: lambda m: nn.MaxPool2d(m.kernel_size, m.stride, m.padding, m.dilation, ceil_mode=m.ceil_mode),
    convnet.AvgPool2d: lambda m: nn.AvgPool2d(m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad),
    convnet.AdaptiveAvgPool2d: lambda m: nn.AdaptiveAvgPool2d(m.output_size),
    convnet.AdaptiveMaxPool2d: lambda m: nn.AdaptiveMaxPool2d(m.output_size),
    convnet.GlobalAvgPool2d: lambda m: nn.AdaptiveAvgPool2d(1),
    convnet.Dropout: lambda m: nn.Dropout(m.rate),
    convnet.Identity: lambda m: nn.Identity(),
    convnet.Flatten: lambda m: nn.Flatten(),
    convnet.Dense: lambda m: nn.Linear(m.in_features, m.out_features, m.bias is not None),
    convnet.Add: lambda m: _Join(lambda *xs: reduce(operator.add, xs)),
    convnet.Multiply: lambda m: _Join(lambda *xs: reduce(operator.mul, xs)),
    convnet.Concat: lambda m: _Join(lambda *xs: torch.cat(xs, dim=1)),
}
