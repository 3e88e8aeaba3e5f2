from typing import Any

from numpy.typing import NDArray

def dense_forward(
    x: NDArray[Any], w: NDArray[Any], b: NDArray[Any] | None, y: NDArray[Any], relu: bool
) -> None: ...
def dense_data_gradient(dy: NDArray[Any], w: NDArray[Any], dx: NDArray[Any]) -> None: ...
def dense_weight_gradient(
    dy: NDArray[Any], x: NDArray[Any], dw: NDArray[Any] | None, db: NDArray[Any] | None
) -> None: ...
