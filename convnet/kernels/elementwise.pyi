from typing import Any

import numpy as np
from numpy.typing import NDArray

def relu_forward(x: NDArray[Any], y: NDArray[Any]) -> None: ...
def relu_gradient(dy: NDArray[Any], y: NDArray[Any], dx: NDArray[Any]) -> None: ...
def sum_forward(a: NDArray[Any], b: NDArray[Any], y: NDArray[Any], relu: bool) -> None: ...
def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64] | None,
    targets: NDArray[Any] | None,
    gradient: NDArray[Any],
    scale: float,
) -> float: ...

class Updates:
    @property
    def count(self) -> int: ...
    def __init__(self, room: int) -> None: ...
    def append(
        self, value: NDArray[Any], grad: NDArray[Any], first: NDArray[Any] | None, second: NDArray[Any] | None
    ) -> None: ...
    def sgd(self, lr: float, momentum: float, nesterov: bool, weight_decay: float) -> None: ...
    def adam(
        self,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        weight_decay: float,
        decoupled: bool,
        steps: list[int],
    ) -> None: ...

def transpose(source: NDArray[Any], result: NDArray[Any]) -> None: ...
