from typing import Any

import numpy as np
from numpy.typing import NDArray

def max_pool2d_forward(
    x_nhwc: NDArray[Any],
    y_nhwc: NDArray[Any],
    codes: NDArray[np.uint8] | None,
    kh: int,
    kw: int,
    stride_y: int,
    stride_x: int,
    pad_y: int,
    pad_x: int,
    dilation_y: int,
    dilation_x: int,
) -> None: ...
def max_pool2d_gradient(
    dy_nhwc: NDArray[Any],
    codes: NDArray[np.uint8],
    dx_nhwc: NDArray[Any],
    kh: int,
    kw: int,
    stride_y: int,
    stride_x: int,
    pad_y: int,
    pad_x: int,
    dilation_y: int,
    dilation_x: int,
) -> None: ...
def average_pool2d_forward(
    x_nhwc: NDArray[Any],
    y_nhwc: NDArray[Any],
    kh: int,
    kw: int,
    stride_y: int,
    stride_x: int,
    pad_y: int,
    pad_x: int,
    count_include_pad: bool,
) -> None: ...
def average_pool2d_gradient(
    dy_nhwc: NDArray[Any],
    dx_nhwc: NDArray[Any],
    kh: int,
    kw: int,
    stride_y: int,
    stride_x: int,
    pad_y: int,
    pad_x: int,
    count_include_pad: bool,
) -> None: ...
def adaptive_average_pool2d_forward(x_nhwc: NDArray[Any], y_nhwc: NDArray[Any]) -> None: ...
def adaptive_average_pool2d_gradient(dy_nhwc: NDArray[Any], dx_nhwc: NDArray[Any]) -> None: ...
def adaptive_max_pool2d_forward(
    x_nhwc: NDArray[Any], y_nhwc: NDArray[Any], codes: NDArray[np.uint8] | None
) -> None: ...
def adaptive_max_pool2d_gradient(dy_nhwc: NDArray[Any], codes: NDArray[np.uint8], dx_nhwc: NDArray[Any]) -> None: ...
