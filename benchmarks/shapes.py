"""The single convolutions that the benchmarks time: layers of well-known networks and of those in `networks`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from convnet import conv2d_output_size


class Shape(NamedTuple):
    """A convolution of square maps; as text ``batch x channels x side - out - kernel``, then stride and groups."""

    batch: int
    channels: int
    side: int
    out: int
    kernel: int
    padding: int
    stride: int = 1
    groups: int = 1

    @property
    def output_side(self) -> int:
        """Height and width of the output."""
        return conv2d_output_size((self.side,) * 2, self.kernel, self.stride, self.padding)[0]

    @property
    def settings(self) -> dict[str, int]:
        """What every library calls by these names."""
        return {"stride": self.stride, "padding": self.padding, "groups": self.groups}

    @property
    def multiply_adds(self) -> int:
        """Those of one pass, done directly."""
        taps = self.kernel**2 * self.channels // self.groups
        return self.batch * self.out * self.output_side**2 * taps

    def __str__(self) -> str:
        text = f"{self.batch}x{self.channels}x{self.side}-{self.out}-k{self.kernel}"
        return text + (f"-s{self.stride}" if self.stride > 1 else "") + (f"-g{self.groups}" if self.groups > 1 else "")


SHAPES = [
    Shape(100, 1, 28, 8, 3, 1),
    Shape(100, 6, 12, 16, 5, 0),
    Shape(64, 32, 16, 64, 3, 1),
    Shape(4, 3, 224, 64, 3, 1),
    Shape(8, 3, 224, 64, 7, 3, stride=2),
    Shape(4, 64, 224, 64, 3, 1),
    Shape(4, 256, 56, 256, 3, 1),
    Shape(4, 512, 28, 512, 3, 1),
    Shape(4, 512, 14, 512, 3, 1),
    Shape(8, 64, 27, 192, 5, 2),
    Shape(4, 256, 56, 64, 1, 0),
    Shape(4, 128, 56, 256, 3, 1, stride=2),
    # MobileNet's depthwise layers, ResNeXt's groups
    Shape(8, 32, 112, 32, 3, 1, groups=32),
    Shape(8, 64, 112, 64, 3, 1, stride=2, groups=64),
    Shape(8, 512, 14, 512, 3, 1, groups=512),
    Shape(8, 128, 56, 128, 3, 1, groups=32),
]

PASSES = ("forward", "data gradient", "weight gradient")


def arrays_of(shape: Shape, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random x, w and dy, normally distributed."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((shape.batch, shape.channels, shape.side, shape.side), np.float32)
    w = rng.standard_normal((shape.out, shape.channels // shape.groups, shape.kernel, shape.kernel), np.float32)
    return x, w, rng.standard_normal((shape.batch, shape.out, shape.output_side, shape.output_side), np.float32)
