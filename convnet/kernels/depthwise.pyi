from typing import Any

from numpy.typing import NDArray

def depthwise_forward(
    x_nhwc: NDArray[Any],
    w_oihw: NDArray[Any],
    b: NDArray[Any] | None,
    y_nhwc: NDArray[Any],
    stride_y: int,
    stride_x: int,
    top: int,
    left: int,
    dilation_y: int,
    dilation_x: int,
    relu: bool,
) -> None: ...
def depthwise_data_gradient(
    dy_nhwc: NDArray[Any],
    w_oihw: NDArray[Any],
    b: NDArray[Any] | None,
    dx_nhwc: NDArray[Any],
    stride_y: int,
    stride_x: int,
    top: int,
    left: int,
    dilation_y: int,
    dilation_x: int,
) -> None: ...
def depthwise_weight_gradient(
    dy_nhwc: NDArray[Any],
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
) -> None: ...
