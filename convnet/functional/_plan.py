"""Networks compiled for inference: the operations of this package, planned once and run in one call."""

import math

import numpy as np

from convnet.errors import DTypeError, ShapeError
from convnet.functional._algorithm import PLANNED, Problem, takes_winograd
from convnet.functional._arrays import FloatArray, empty, floats, to_nchw, to_nhwc
from convnet.functional._conv import geometry as conv_geometry
from convnet.functional._conv_transpose import geometry as conv_transpose_geometry
from convnet.functional._group_norm import group_norm_operation
from convnet.functional._pool import Geometry
from convnet.functional._pool import geometry as pool_geometry
from convnet.functional._resample import Axis, PadMode, UpsampleMode, pad_axes, resampling, upsample_axes
from convnet.functional._response import response_operation
from convnet.kernels import activation as activations
from convnet.kernels import plan as kernels
from convnet.shapes import IntPair, Padding, pair

Shape = tuple[int, ...]


class Plan:
    """Operations on images of one size, in order.

    Each operation reads one place or two and writes one. A place is an offset, in elements, into memory that a run
    takes for itself (one image's share of it), or ``INPUT`` or ``OUTPUT``. Whoever plans sees to it that places in use
    at the same time do not overlap. Arguments are those of the functions of the same names; shapes are without the
    batch. What is rectified is cut off at a ``ceiling``, too, which NaN means not to have.

    Parameters
    ----------
    input_shape, output_shape : (c, h, w) or (features,)
    dtype : float32 or float64
        Of all arrays; weights are copied.
    operations : int
        At most that many.
    places : int
        Elements of all places of one image.
    images : int
        As many as a run will mostly have: what convolutions' algorithms are chosen for.
    """

    INPUT = kernels.INPUT
    OUTPUT = kernels.OUTPUT

    def __init__(
        self, input_shape: Shape, output_shape: Shape, dtype: np.dtype, operations: int, places: int, images: int
    ) -> None:
        self.input_shape, self.output_shape, self.dtype, self._images = input_shape, output_shape, dtype, images
        x_elements, y_elements = math.prod(input_shape), math.prod(output_shape)
        self._plan = kernels.Plan(operations, dtype.itemsize, places, x_elements, y_elements)

    def conv2d(
        self,
        x: int,
        y: int,
        input_shape: Shape,
        w: FloatArray,
        b: FloatArray | None,
        *,
        stride: IntPair,
        padding: Padding,
        dilation: IntPair,
        groups: int,
        relu: bool = False,
        ceiling: float = math.nan,
        pool: IntPair | None = None,
    ) -> None:
        """Convolve; with ``relu`` rectify; with ``pool`` take maxima of windows side by side.

        ``pool`` needs ``relu`` and has no ``ceiling``.
        """
        size = input_shape[1], input_shape[2]
        out, window = conv_geometry(size, w.shape[2:], stride, padding, dilation)
        windows = (1, 1) if pool is None else pair(pool, "pool")
        problem = Problem(self._images, out, w.shape, window, groups, self.dtype, windows)
        algorithm = "winograd" if takes_winograd(problem, PLANNED, None, "Plan") else problem.direct
        bias, settings = None if b is None else b.copy(), (window, groups, relu, ceiling, windows, algorithm)
        self._plan.conv2d(x, y, np.ascontiguousarray(w), bias, size, out, *settings, transposed=False)

    def conv_transpose2d(
        self,
        x: int,
        y: int,
        input_shape: Shape,
        w: FloatArray,
        b: FloatArray | None,
        *,
        stride: IntPair,
        padding: IntPair,
        output_padding: IntPair,
        dilation: IntPair,
        groups: int,
        relu: bool = False,
        ceiling: float = math.nan,
    ) -> None:
        """Spread pixels over windows; with ``relu`` rectify."""
        size = input_shape[1], input_shape[2]
        out, window = conv_transpose_geometry(size, w.shape[2:], stride, padding, output_padding, dilation)
        problem = Problem(self._images, size, w.shape, window, groups, self.dtype)
        bias, settings = None if b is None else b.copy(), (window, groups, relu, ceiling, (1, 1), problem.direct)
        self._plan.conv2d(x, y, np.ascontiguousarray(w), bias, size, out, *settings, transposed=True)

    def dense(
        self, x: int, y: int, w: FloatArray, b: FloatArray | None, *, relu: bool = False, ceiling: float = math.nan
    ) -> None:
        """Multiply rows with weights; with ``relu`` rectify."""
        self._plan.dense(x, y, np.ascontiguousarray(w), None if b is None else b.copy(), relu, ceiling)

    def max_pool2d(
        self,
        x: int,
        y: int,
        input_shape: Shape,
        *,
        kernel_size: IntPair,
        stride: IntPair,
        padding: IntPair,
        dilation: IntPair,
        ceil_mode: bool,
    ) -> None:
        """Take the maximum of each window."""
        c, *size = input_shape
        geometry = pool_geometry((size[0], size[1]), kernel_size, stride, padding, dilation, ceil_mode)
        self._pool2d(x, y, c, (size[0], size[1]), geometry, False, False)

    def avg_pool2d(
        self,
        x: int,
        y: int,
        input_shape: Shape,
        *,
        kernel_size: IntPair,
        stride: IntPair,
        padding: IntPair,
        ceil_mode: bool,
        count_include_pad: bool,
    ) -> None:
        """Take the mean of each window."""
        c, *size = input_shape
        geometry = pool_geometry((size[0], size[1]), kernel_size, stride, padding, 1, ceil_mode)
        self._pool2d(x, y, c, (size[0], size[1]), geometry, True, count_include_pad)

    def _pool2d(
        self,
        x: int,
        y: int,
        c: int,
        size: tuple[int, int],
        geometry: Geometry,
        average: bool,
        count_include_pad: bool,
    ) -> None:
        window = geometry.window
        kernel, stride, padding = window[:2], window[2:4], window[4:]
        self._plan.pool2d(
            x, y, c, size, geometry.size, kernel, stride, padding, geometry.dilation, average, count_include_pad
        )

    def adaptive_avg_pool2d(self, x: int, y: int, input_shape: Shape, *, output_size: tuple[int, int]) -> None:
        """Take the mean of each of the windows that cover the map evenly."""
        c, height, width = input_shape
        self._plan.adaptive_pool2d(x, y, c, (height, width), output_size, True)

    def adaptive_max_pool2d(self, x: int, y: int, input_shape: Shape, *, output_size: tuple[int, int]) -> None:
        """Take the maximum of each of the windows that cover the map evenly."""
        c, height, width = input_shape
        self._plan.adaptive_pool2d(x, y, c, (height, width), output_size, False)

    def activation(self, x: int, y: int, input_shape: Shape, *, function: str, a: float) -> None:
        """Apply a function to each number."""
        elements = math.prod(input_shape)
        self._plan.apply(x, y, elements, activations.Activation(function, a, self.dtype.itemsize, elements))

    def prelu(self, x: int, y: int, input_shape: Shape, *, weight: FloatArray) -> None:
        """Rectify with slopes."""
        elements = math.prod(input_shape)
        self._plan.apply(x, y, elements, activations.PReLU(weight, self.dtype.itemsize, elements))

    def softmax(self, x: int, y: int, input_shape: Shape) -> None:
        """Turn rows, or the channels of each pixel, into probabilities."""
        elements, classes = math.prod(input_shape), input_shape[0]
        self._plan.apply(x, y, elements, activations.Softmax(self.dtype.itemsize, elements // classes, classes))

    def add(self, a: int, b: int, y: int, input_shape: Shape, *, relu: bool = False) -> None:
        """Add two maps; with ``relu`` rectify."""
        self._plan.add(a, b, y, math.prod(input_shape), relu)

    def batch_norm(
        self,
        x: int,
        y: int,
        input_shape: Shape,
        *,
        mean: FloatArray,
        scale: FloatArray,
        shift: FloatArray,
        relu: bool = False,
        ceiling: float = math.nan,
    ) -> None:
        """Compute ``(x - mean) * scale + shift`` channel by channel; with ``relu`` rectify."""
        mean, scale, shift = (array.astype(self.dtype) for array in (mean, scale, shift))
        self._plan.batch_norm(x, y, math.prod(input_shape), mean, scale, shift, relu, ceiling)

    def group_norm(
        self,
        x: int,
        y: int,
        input_shape: Shape,
        *,
        groups: int,
        eps: float,
        weight: FloatArray | None,
        bias: FloatArray | None,
    ) -> None:
        """Normalise groups of channels."""
        operation = group_norm_operation(input_shape, self.dtype, groups, eps, weight, bias)
        self._plan.apply(x, y, math.prod(input_shape), operation)

    def local_response_norm(
        self, x: int, y: int, input_shape: Shape, *, size: int, alpha: float, beta: float, k: float
    ) -> None:
        """Divide by what the channels around have."""
        operation = response_operation(input_shape, self.dtype, size, alpha, beta, k, "Plan")
        self._plan.apply(x, y, math.prod(input_shape), operation)

    def multiply(self, a: int, b: int, y: int, a_shape: Shape, b_shape: Shape) -> None:
        """Multiply two arrays of one shape, or maps with a gate (c, 1, 1)."""
        if math.prod(a_shape) < math.prod(b_shape):
            a, b, a_shape, b_shape = b, a, b_shape, a_shape
        gate = a_shape != b_shape
        self._plan.multiply(a, b, y, math.prod(a_shape), math.prod(b_shape) if gate else 0)

    def pad2d(self, x: int, y: int, input_shape: Shape, *, padding: Padding, mode: PadMode) -> None:
        """Put pixels around maps."""
        self._resample(x, y, input_shape, *pad_axes((input_shape[1], input_shape[2]), padding, mode, "Plan"))

    def upsample2d(
        self,
        x: int,
        y: int,
        input_shape: Shape,
        *,
        size: IntPair | None,
        scale_factor: float | tuple[float, float] | None,
        mode: UpsampleMode,
        align_corners: bool,
    ) -> None:
        """Interpolate."""
        sizes = input_shape[1], input_shape[2]
        self._resample(x, y, input_shape, *upsample_axes(sizes, size, scale_factor, mode, align_corners, "Plan"))

    def _resample(self, x: int, y: int, input_shape: Shape, rows: Axis, cols: Axis) -> None:
        c, height, width = input_shape
        elements = c * (len(rows.first) - 1) * (len(cols.first) - 1)
        self._plan.apply(x, y, elements, resampling(rows, cols, (height, width), c, self.dtype))

    def place(self, x: int, y: int, input_shape: Shape, *, first: int, channels: int, zero: bool = False) -> None:
        """Make x some of the ``channels`` of y, from ``first`` on; with ``zero`` clear the others."""
        count, *size = input_shape
        self._plan.place(x, y, first, count, channels, math.prod(size), zero)

    def relu(self, x: int, y: int, input_shape: Shape, *, ceiling: float = math.nan) -> None:
        """Rectify."""
        self._plan.relu(x, y, math.prod(input_shape), ceiling)

    def flatten(self, x: int, y: int, input_shape: Shape) -> None:
        """Lay images out in the order (c, h, w)."""
        c, *size = input_shape
        self._plan.flatten(x, y, c, math.prod(size))

    def copy(self) -> None:
        """Hand the input out as the output."""
        self._plan.flatten(self.INPUT, self.OUTPUT, 1, math.prod(self.input_shape))

    def run(self, x: FloatArray, who: str) -> FloatArray:
        """Run all operations on a batch; holds no lock, writes nothing but its result.

        Raises
        ------
        ShapeError, DTypeError
            If x is no batch of the shape and type that was planned for.
        """
        x = floats(x, who, "x")
        if x.shape[1:] != self.input_shape:
            expected = ", ".join(map(str, ("n", *self.input_shape)))
            raise ShapeError(f"{who}: expected x of shape ({expected}), got {x.shape}")
        if x.dtype != self.dtype:
            raise DTypeError(f"{who}: expected x of dtype {self.dtype}, got {x.dtype}")
        maps = to_nhwc(x) if x.ndim == 4 else np.ascontiguousarray(x)
        shape = self.output_shape
        if len(shape) == 3:
            y = empty((len(x), shape[1], shape[2], shape[0]), self.dtype)
        else:
            y = empty((len(x), *shape), self.dtype)
        self._plan.run(maps.reshape(-1), y.reshape(-1))
        return to_nchw(y) if len(shape) == 3 else y
