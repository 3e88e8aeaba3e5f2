from typing import Any

import numpy as np
from numpy.typing import NDArray

def conv2d_weight_gradient(
    dy_nhwc: NDArray[Any],
    relu_output: NDArray[Any] | None,
    codes: NDArray[np.uint8] | None,
    x_nhwc: NDArray[Any],
    dw_oihw: NDArray[Any] | None,
    db: NDArray[Any] | None,
    kh: int,
    kw: int,
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
