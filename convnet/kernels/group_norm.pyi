from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnet.kernels.plan import Operation

class GroupNorm(Operation):
    def __init__(
        self,
        item: int,
        pixels: int,
        channels: int,
        groups: int,
        eps: float,
        weight: NDArray[Any] | None,
        bias: NDArray[Any] | None,
    ) -> None: ...
    def forward(self, x: NDArray[Any], y: NDArray[Any], moments: NDArray[np.float64]) -> None: ...
    def gradient(
        self,
        dy: NDArray[Any],
        x: NDArray[Any],
        moments: NDArray[np.float64],
        dx: NDArray[Any] | None,
        dweight: NDArray[Any] | None,
        dbias: NDArray[Any] | None,
    ) -> None: ...
