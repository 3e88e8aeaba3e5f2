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
    dx: NDArray[Any] | None,
    dweight: NDArray[Any] | None,
    dbias: NDArray[Any] | None,
    dadd: NDArray[Any] | None,
) -> None: ...
