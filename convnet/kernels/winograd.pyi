from typing import Any

import numpy as np
from numpy.typing import NDArray

def winograd_forward(
    x_nhwc: NDArray[Any],
    w_oihw: NDArray[Any],
    b: NDArray[Any] | None,
    y_nhwc: NDArray[Any],
    codes: NDArray[np.uint8] | None,
    top: int,
    left: int,
    relu: bool,
    pool_y: int,
    pool_x: int,
) -> None: ...
def winograd_data_gradient(
    dy_nhwc: NDArray[Any],
    relu_output: NDArray[Any] | None,
    codes: NDArray[np.uint8] | None,
    w_oihw: NDArray[Any],
    b: NDArray[Any] | None,
    dx_nhwc: NDArray[Any],
    top: int,
    left: int,
    pool_y: int,
    pool_x: int,
) -> None: ...
