from typing import Any

import numpy as np
from numpy.typing import NDArray

def relu_forward(x: NDArray[Any], y: NDArray[Any]) -> None: ...
def relu_gradient(dy: NDArray[Any], y: NDArray[Any], dx: NDArray[Any]) -> None: ...
def softmax_cross_entropy(
    logits: NDArray[Any],
    labels: NDArray[np.int64] | None,
    targets: NDArray[Any] | None,
    gradient: NDArray[Any],
    scale: float,
) -> float: ...
def sgd_update(
    value: NDArray[Any],
    grad: NDArray[Any],
    velocity: NDArray[Any] | None,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None: ...
def adam_update(
    value: NDArray[Any],
    grad: NDArray[Any],
    mean: NDArray[Any],
    variance: NDArray[Any],
    step_size: float,
    beta1: float,
    beta2: float,
    eps: float,
    root_correction: float,
    weight_decay: float,
    shrink: float,
) -> None: ...
def transpose(source: NDArray[Any], result: NDArray[Any]) -> None: ...
