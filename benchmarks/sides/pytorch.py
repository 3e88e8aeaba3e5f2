"""PyTorch: eager in either memory format, and compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from networks import Network, torch_twin
from shapes import Shape

from sides.base import LR, MOMENTUM, Side, UnavailableError, Work

if TYPE_CHECKING:
    import torch


class Torch(Side):
    """One mode. ``double`` makes it the reference that the numbers of all sides are measured against."""

    def __init__(self, threads: int, channels_last: bool = False, compiled: bool = False, double: bool = False) -> None:
        try:
            import torch
        except ImportError as error:
            raise UnavailableError(str(error)) from error
        torch.set_num_threads(threads)
        self.torch, self.version, self._compiled = torch, torch.__version__, compiled
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._dtype = torch.float64 if double else torch.float32

    def step(self, network: Network, x: np.ndarray, y: np.ndarray) -> Work:
        """One step; the update is the fused one, which was the fastest of SGD's three."""
        torch = self.torch
        twin = self._twin(network).train()
        inputs, targets = self._tensor(x), torch.from_numpy(y)
        optimizer = torch.optim.SGD(twin.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
        loss_of = self._compile(lambda x, y: torch.nn.functional.cross_entropy(twin(x), y))

        def run() -> float:
            optimizer.zero_grad()
            loss = loss_of(inputs, targets)
            loss.backward()
            optimizer.step()
            return loss.item()

        return Work(run, lambda: {name: p.detach().numpy() for name, p in twin.named_parameters()})

    def inference(self, network: Network, x: np.ndarray) -> Work:
        """Apply the network; the compiler may freeze the weights."""
        model = self._compile(self._twin(network).eval(), freezing=True)
        return self._without_gradients(model, "outputs", self._tensor(x))

    def convolution(self, shape: Shape, arrays: tuple[np.ndarray, ...], which: str) -> Work:
        """Call the operator itself, in the backward passes as automatic differentiation does."""
        torch = self.torch
        x, w, dy = map(self._tensor, arrays)
        if which == "forward":
            return self._without_gradients(
                self._compile(lambda x, w: torch.nn.functional.conv2d(x, w, **shape.settings)), which, x, w
            )
        position = ("data gradient", "weight gradient").index(which)
        wanted = [position == 0, position == 1, False]
        geometry = [shape.stride] * 2, [shape.padding] * 2, [1, 1], False, [0, 0], shape.groups
        backward = torch.ops.aten.convolution_backward
        run = self._compile(lambda dy, x, w: backward(dy, x, w, None, *geometry, wanted)[position])
        return self._without_gradients(run, which, dy, x, w)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return self.torch.from_numpy(array).to(dtype=self._dtype, memory_format=self._layout)

    def _twin(self, network: Network) -> torch.nn.Module:
        return torch_twin(network.make()).to(dtype=self._dtype, memory_format=self._layout)

    def _compile(self, function: Any, **options: bool) -> Any:
        return self.torch.compile(function, options=options) if self._compiled else function

    def _without_gradients(self, function: Any, name: str, *inputs: torch.Tensor) -> Work:
        mode = self.torch.no_grad if self._compiled else self.torch.inference_mode  # freezing wants no_grad

        def run() -> torch.Tensor:
            with mode():
                return function(*inputs)

        return Work(run, lambda: {name: run().numpy()})
