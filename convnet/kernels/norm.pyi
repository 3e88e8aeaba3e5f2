from typing import Any

import numpy as np
from numpy.typing import NDArray

def moments(x: NDArray[Any], mean: NDArray[np.float64], var: NDArray[np.float64]) -> None: ...
def normalize(
    x: NDArray[Any],
    add: NDArray[Any] | None,
    weight: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    mean: NDArray[np.float64],
    var: NDArray[np.float64],
    eps: float,
    relu: bool,
    ceiling: float,
    y: NDArray[Any],
) -> None: ...
def batch_norm_gradient(
    dy: NDArray[Any],
    x: NDArray[Any],
    y: NDArray[Any] | None,
    weight: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    mean: NDArray[np.float64],
    var: NDArray[np.float64],
    eps: float,
    relu: bool,
    ceiling: float,
    dx: NDArray[Any] | None,
    dweight: NDArray[Any] | None,
    dbias: NDArray[Any] | None,
    dadd: NDArray[Any] | None,
) -> None: ...
def normalize_pool(
    x_nhwc: NDArray[Any],
    weight: NDArray[Any] | None,
    bias: NDArray[Any] | None,
    mean: NDArray[np.float64],
    var: NDArray[np.float64],
    eps: float,
    y_nhwc: NDArray[Any],
    codes: NDArray[np.uint8] | None,
    pool_y: int,
    pool_x: int,
) -> None: ...
def batch_norm_pool_gradient(
    dy_nhwc: NDArray[Any],
    codes: NDArray[np.uint8],
    x_nhwc: NDArray[Any],
    weight: NDArray[Any] | None,
    mean: NDArray[np.float64],
    var: NDArray[np.float64],
    eps: float,
    dx_nhwc: NDArray[Any] | None,
    dweight: NDArray[Any] | None,
    dbias: NDArray[Any] | None,
    pool_y: int,
    pool_x: int,
) -> None: ...
