from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.kernels.plan import Operation

class Resample(Operation):
    def __init__(
        self,
        item: int,
        size: tuple[int, int],
        c: int,
        y_first: NDArray[np.int32],
        y_source: NDArray[np.int32],
        y_weight: NDArray[Any],
        x_first: NDArray[np.int32],
        x_source: NDArray[np.int32],
        x_weight: NDArray[Any],
    ) -> None: ...
