"""Shapes and settings to test with: hand-picked edges and a sampled grid that is the same every time."""

from dataclasses import dataclass

import numpy as np
from oracles import conv2d_shape, pair, pool2d_shape


@dataclass(frozen=True)
class Conv:
    """A convolution of x (n, c, h, w) with w (out, c / groups, *kernel)."""

    n: int
    c: int
    h: int
    w: int
    out: int
    kernel: tuple[int, int]
    stride: int | tuple[int, int] = 1
    padding: object = 0
    dilation: int | tuple[int, int] = 1
    groups: int = 1

    def __str__(self):
        settings = (f"{name[0]}{value}" for name, value in self.settings.items())
        size = f"{self.n}x{self.c}x{self.h}x{self.w}-{self.out}"
        return "-".join([size, f"k{self.kernel}", *settings]).replace(" ", "")

    @property
    def settings(self):
        """The keyword arguments of conv2d."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}

    @property
    def x_shape(self):
        return self.n, self.c, self.h, self.w

    @property
    def w_shape(self):
        return self.out, self.c // self.groups, *self.kernel

    @property
    def y_shape(self):
        return conv2d_shape(self.x_shape, self.w_shape, **self.settings)

    @property
    def products(self):
        """The number of products that one element of (y, dx, dw, db) sums, at most."""
        n, _, oh, ow = self.y_shape
        taps = self.kernel[0] * self.kernel[1]
        return self.c // self.groups * taps + 1, self.out // self.groups * taps, n * oh * ow, n * oh * ow

    @property
    def cost(self):
        return self.products[0] * self.out * self.products[2]

    @property
    def fits(self):
        return min(self.y_shape) >= 1

    def integers(self, rng, dtype):
        """(x, w, b, dy) of small integers: every sum of products is exact in float32."""
        shapes = self.x_shape, self.w_shape, (self.out,), self.y_shape
        return tuple(rng.integers(-4, 5, shape).astype(dtype) for shape in shapes)

    def reals(self, rng, dtype):
        """(x, w, b, dy) of normal deviates."""
        shapes = self.x_shape, self.w_shape, (self.out,), self.y_shape
        return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


CONV_EDGES = [
    Conv(1, 1, 1, 1, 1, (1, 1)),
    Conv(1, 1, 4, 4, 2, (3, 3)),  # the map of the classic exercise
    Conv(2, 1, 28, 28, 8, (3, 3), padding=1),  # simple_cnn
    Conv(2, 1, 28, 28, 6, (5, 5)),  # lenet
    Conv(2, 6, 12, 12, 16, (5, 5)),
    Conv(2, 2, 7, 14, 8, (2, 3)),  # few outputs, an even row: two pixels in a vector
    Conv(2, 1, 9, 24, 4, (3, 3), padding=1),  # four
    Conv(1, 3, 9, 20, 2, (3, 5), stride=2, padding=2),  # two or four, a step apart
    Conv(1, 3, 33, 33, 64, (3, 3), padding=1),  # a first layer
    Conv(1, 3, 33, 33, 16, (11, 11), stride=4, padding=2),  # alexnet
    Conv(1, 3, 33, 31, 12, (7, 7), stride=2, padding=3),  # resnet
    Conv(3, 40, 7, 7, 40, (1, 1)),
    Conv(2, 40, 9, 9, 24, (1, 1), stride=2),  # most of x unused
    Conv(2, 5, 6, 6, 7, (1, 1), stride=3, padding=2),  # outputs wholly in the padding
    Conv(1, 2, 3, 3, 3, (2, 2), padding=((5, 0), (0, 4))),  # padding larger than the kernel and the map
    Conv(1, 2, 3, 2, 3, (6, 5), padding=((2, 3), (3, 1)), dilation=1),  # kernel larger than the map, not with padding
    Conv(5, 17, 5, 5, 33, (5, 5)),  # kernel = map
    Conv(1, 4, 1, 33, 4, (1, 7), padding=(0, 3)),  # one row
    Conv(1, 4, 33, 1, 4, (7, 1), padding=(3, 0)),  # one column
    Conv(1, 3, 10, 10, 5, (4, 4), padding="same"),  # an odd number of padded pixels
    Conv(1, 3, 11, 10, 5, (3, 2), stride=(2, 3), padding="same", dilation=(2, 3)),
    Conv(2, 4, 13, 13, 6, (3, 3), stride=4, dilation=3, padding=3),
    Conv(1, 3, 9, 9, 4, (2, 2), stride=4),  # stride larger than the kernel: gaps in dx
    Conv(2, 32, 9, 9, 32, (3, 3), padding=1, groups=32),  # depthwise
    Conv(2, 7, 9, 9, 7, (3, 3), padding=1, groups=7, stride=2),  # ragged depthwise
    Conv(1, 5, 8, 8, 15, (5, 5), padding=2, groups=5),  # depthwise with a multiplier
    Conv(2, 39, 6, 6, 26, (3, 3), groups=13, padding="valid"),  # 3 -> 2 channels a group
    Conv(1, 32, 16, 16, 32, (3, 3), padding=1),  # several register tiles, threads
    Conv(9, 33, 6, 7, 31, (3, 3), padding=1),
]

# Large enough to be cut into pieces for the threads, in every way: by images, by rows, by channels, by taps.
CONV_LARGE = [
    Conv(1, 16, 130, 200, 8, (3, 3), padding=1),
    Conv(1, 16, 130, 200, 9, (3, 3), padding=((1, 0), (0, 1)), stride=2),
    Conv(20, 3, 40, 40, 8, (5, 5), stride=2, padding=2),
    Conv(100, 1, 28, 28, 8, (3, 3), padding=1),
    Conv(6, 64, 30, 30, 16, (1, 1)),
    Conv(2, 40, 64, 64, 40, (3, 3), dilation=2, padding=2),
    Conv(2, 512, 5, 5, 40, (3, 3)),
    Conv(3, 20, 9, 9, 500, (3, 3), padding=1),
    Conv(3, 96, 40, 40, 96, (5, 5), padding=2, groups=96),
    Conv(300, 33, 3, 3, 65, (3, 3)),
]


def _sample_conv(rng, most_products):
    """One random convolution that fits and is cheap enough."""
    while True:
        groups = int(rng.choice([1, 1, 1, 2, 3, 5]))
        c, out = (groups * int(rng.integers(1, 40 // groups + 1)) for _ in range(2))
        if rng.random() < 0.15:
            groups, out = c, c * int(rng.integers(1, 3))
        kernel = tuple(map(int, rng.choice([1, 2, 3, 3, 4, 5, 5, 6, 7, 11], 2)))
        kernel = (kernel[0], kernel[0]) if rng.random() < 0.6 else kernel
        sides = tuple(tuple(map(int, rng.integers(0, 5, 2))) for _ in range(2))
        paddings = [0, 1, 2, "same", "valid", (2, 1), sides, sides]
        geometry = Conv(
            *(int(rng.integers(1, 4)), c, int(rng.integers(1, 34)), int(rng.integers(1, 34)), out, kernel),
            stride=_one_or_pair(rng, [1, 1, 2, 3, 4]),
            padding=paddings[rng.integers(len(paddings))],
            dilation=_one_or_pair(rng, [1, 1, 1, 2, 3]),
            groups=groups,
        )
        if geometry.fits and geometry.cost <= most_products:
            return geometry


def _one_or_pair(rng, choices):
    first, second = map(int, rng.choice(choices, 2))
    return first if rng.random() < 0.6 else (first, second)


def sampled_conv(count, seed=0, most_products=2_000_000):
    """``count`` random convolutions: strides 1-4, every kind of padding, dilations 1-3, channels 1-40, sizes 1-33."""
    rng = np.random.default_rng(seed)
    return [_sample_conv(rng, most_products) for _ in range(count)]


@dataclass(frozen=True)
class Pool:
    """A pooling of x (n, c, h, w)."""

    n: int
    c: int
    h: int
    w: int
    kernel: int | tuple[int, int]
    stride: int | tuple[int, int] | None = None
    padding: int | tuple[int, int] = 0
    dilation: int | tuple[int, int] = 1
    ceil_mode: bool = False

    def __str__(self):
        ceil = "-ceil" if self.ceil_mode else ""
        size = f"{self.n}x{self.c}x{self.h}x{self.w}-k{self.kernel}"
        return f"{size}-s{self.stride}-p{self.padding}-d{self.dilation}{ceil}".replace(" ", "")

    @property
    def settings(self):
        """The keyword arguments of max_pool2d."""
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "ceil_mode": self.ceil_mode}

    @property
    def undilated(self):
        """The keyword arguments of avg_pool2d."""
        return {"stride": self.stride, "padding": self.padding, "ceil_mode": self.ceil_mode}

    @property
    def x_shape(self):
        return self.n, self.c, self.h, self.w

    @property
    def y_shape(self):
        return pool2d_shape(self.x_shape, self.kernel, **self.settings)

    @property
    def fits(self):
        spans = zip((self.h, self.w), pair(self.kernel), pair(self.padding), pair(self.dilation), strict=True)
        return all(p <= (d * (k - 1) + 1) // 2 and d * (k - 1) < size + 2 * p for size, k, p, d in spans)


POOL_EDGES = [
    Pool(1, 1, 1, 1, 1),
    Pool(2, 8, 28, 28, 2),  # simple_cnn
    Pool(2, 16, 8, 8, 2),  # lenet
    Pool(1, 64, 12, 12, 3, 2, 1),  # resnet
    Pool(1, 19, 13, 13, 3, 2),  # alexnet, ragged channels
    Pool(2, 5, 7, 7, 7),  # global
    Pool(1, 3, 5, 5, 2, ceil_mode=True),
    Pool(1, 3, 7, 5, 3, 2, ceil_mode=True),
    Pool(1, 3, 6, 6, 3, 2, 1, ceil_mode=True),  # overhangs the padded map
    Pool(1, 2, 4, 4, 1, 3, ceil_mode=True),
    Pool(1, 2, 5, 5, 2, 3, 1, ceil_mode=True),  # one more window would start in the trailing padding
    Pool(1, 3, 9, 8, (3, 2), (1, 2), (1, 0)),
    Pool(1, 3, 6, 5, 2, 3),  # gaps between the windows
    Pool(1, 33, 9, 9, 3, 1, 1),  # overlapping windows
    Pool(1, 2, 9, 9, 3, 1, 0, 2),
    Pool(1, 2, 8, 9, (2, 3), (2, 1), (1, 2), (3, 2)),
    Pool(1, 2, 8, 8, 2, 3, 2, 3, ceil_mode=True),
    Pool(1, 1, 40, 35, (17, 19), 7, 5),  # more than 256 positions in a window
]


def _sample_pool(rng):
    while True:
        kernel = _one_or_pair(rng, [1, 2, 2, 3, 3, 4, 5])
        geometry = Pool(
            *map(int, rng.integers(1, [3, 20, 18, 18])),
            kernel=kernel,
            stride=None if rng.random() < 0.3 else _one_or_pair(rng, [1, 2, 2, 3, 4]),
            padding=_one_or_pair(rng, [0, 0, 1, 2]),
            dilation=_one_or_pair(rng, [1, 1, 1, 2, 3]),
            ceil_mode=bool(rng.random() < 0.5),
        )
        if geometry.fits:
            return geometry


def sampled_pool(count, seed=0):
    """``count`` random poolings: strides 1-4, paddings 0-2, dilations 1-3, with and without ceil mode."""
    rng = np.random.default_rng(seed)
    return [_sample_pool(rng) for _ in range(count)]
