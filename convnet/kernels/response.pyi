from typing import Any

from numpy.typing import NDArray

from convnet.kernels.plan import Operation

class LocalResponse(Operation):
    def __init__(
        self,
        item: int,
        image_pixels: int,
        channels: int,
        before: int,
        after: int,
        scale: float,
        power: float,
        offset: float,
    ) -> None: ...
    def gradient(self, dy: NDArray[Any], x: NDArray[Any], dx: NDArray[Any], n: int) -> None: ...
