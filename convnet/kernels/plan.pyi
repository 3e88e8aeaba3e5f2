from typing import Any

from numpy.typing import NDArray

INPUT: int
OUTPUT: int

class Operation:
    def run(self, x: NDArray[Any], y: NDArray[Any], n: int) -> None: ...

class Plan:
    def __init__(self, room: int, item: int, places: int, x_elements: int, y_elements: int) -> None: ...
    def conv2d(
        self,
        x_place: int,
        y_place: int,
        w: NDArray[Any],
        b: NDArray[Any] | None,
        size: tuple[int, int],
        out_size: tuple[int, int],
        window: tuple[int, int, int, int, int, int],
        groups: int,
        relu: bool,
        ceiling: float,
        pool: tuple[int, int],
        algorithm: str,
        transposed: bool,
    ) -> None: ...
    def dense(
        self, x_place: int, y_place: int, w: NDArray[Any], b: NDArray[Any] | None, relu: bool, ceiling: float
    ) -> None: ...
    def pool2d(
        self,
        x_place: int,
        y_place: int,
        c: int,
        size: tuple[int, int],
        out_size: tuple[int, int],
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        average: bool,
        count_include_pad: bool,
    ) -> None: ...
    def adaptive_pool2d(
        self, x_place: int, y_place: int, c: int, size: tuple[int, int], out_size: tuple[int, int], average: bool
    ) -> None: ...
    def add(self, a_place: int, b_place: int, y_place: int, elements: int, relu: bool) -> None: ...
    def batch_norm(
        self,
        x_place: int,
        y_place: int,
        elements: int,
        mean: NDArray[Any],
        scale: NDArray[Any],
        shift: NDArray[Any],
        relu: bool,
        ceiling: float,
    ) -> None: ...
    def multiply(self, a_place: int, b_place: int, y_place: int, elements: int, gate: int) -> None: ...
    def place(
        self, x_place: int, y_place: int, first: int, count: int, channels: int, pixels: int, zero: bool
    ) -> None: ...
    def apply(self, x_place: int, y_place: int, elements: int, operation: Operation) -> None: ...
    def relu(self, x_place: int, y_place: int, elements: int, ceiling: float) -> None: ...
    def flatten(self, x_place: int, y_place: int, c: int, pixels: int) -> None: ...
    def run(self, x: NDArray[Any], y: NDArray[Any]) -> None: ...
