from typing import Any

import numpy as np
from numpy.typing import NDArray

def winograd_weight_gradient(
    dy_nhwc: NDArray[Any],
    relu_output: NDArray[Any] | None,
    codes: NDArray[np.uint8] | None,
    x_nhwc: NDArray[Any],
    dw_oihw: NDArray[Any],
    db: NDArray[Any] | None,
    top: int,
    left: int,
    pool_y: int,
    pool_x: int,
) -> None: ...
