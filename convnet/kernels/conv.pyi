from typing import Any

import numpy as np
from numpy.typing import NDArray

def conv2d_forward(
    x_nhwc: NDArray[Any],
    w_oihw: NDArray[Any],
    b: NDArray[Any] | None,
    y_nhwc: NDArray[Any],
    codes: NDArray[np.uint8] | None,
    stride_y: int,
    stride_x: int,
    top: int,
    left: int,
    dilation_y: int,
    dilation_x: int,
    groups: int,
    relu: bool,
    pool_y: int,
    pool_x: int,
) -> None: ...
def conv2d_data_gradient(
    dy_nhwc: NDArray[Any],
    relu_output: NDArray[Any] | None,
    codes: NDArray[np.uint8] | None,
    w_oihw: NDArray[Any],
    b: NDArray[Any] | None,
    dx_nhwc: NDArray[Any],
    stride_y: int,
    stride_x: int,
    top: int,
    left: int,
    dilation_y: int,
    dilation_x: int,
    groups: int,
    pool_y: int,
    pool_x: int,
) -> None: ...
