"""Activations beyond the rectifiers: functions of each number alone."""

from typing import Literal

import numpy as np

from convnet.context import Context
from convnet.errors import SettingError
from convnet.functional import activation, activation_backward
from convnet.layers._checks import as_array, check_dtype
from convnet.layers._geometry import brief
from convnet.layers._layer import Layer, Shape
from convnet.settings import real

__all__ = ["ELU", "GELU", "Elementwise", "HardSigmoid", "HardSwish", "LeakyReLU", "SiLU", "Sigmoid", "Tanh"]


class Elementwise(Layer):
    """What the activations below share: a function of `convnet.functional.activation`, by name, and its parameter."""

    _function: Literal[
        "elu", "gelu", "gelu_tanh", "hard_sigmoid", "hard_swish", "leaky_relu", "sigmoid", "silu", "tanh"
    ]
    _a = 1.0
    _saves_output = False

    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return the function of each number, of the shape, dtype and memory layout of ``x``."""
        x = as_array(x)
        check_dtype(x, type(self).__name__)
        y = activation(x, self._function, self._a)
        if ctx is not None:
            ctx.saved = y if self._saves_output else x
        return y

    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return ``dy`` times the derivative."""
        return activation_backward(dy, ctx.saved, self._function, self._a) if ctx.wants_dx else None

    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of the input."""
        return tuple(input_shape)


class LeakyReLU(Elementwise):
    """Rectifier that lets through a little: ``y = x`` where ``x > 0``, else ``negative_slope * x``; of any shape.

    Maas, Hannun and Ng 2013, Rectifier nonlinearities improve neural network acoustic models (ICML 30).

    Parameters
    ----------
    negative_slope : float
        At least 0.

    Notes
    -----
    Saved for backward: ``x``. The gradient at 0 is that below it.

    Examples
    --------
    >>> LeakyReLU(0.5)(np.array([[-2.0, 4.0]]))
    array([[-1.,  4.]])
    """

    _function = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        self.negative_slope = self._a = real(negative_slope, "LeakyReLU negative_slope")

    def _settings(self) -> str:
        return brief("", {"negative_slope": self.negative_slope}, {"negative_slope": 0.01})


class ELU(Elementwise):
    """Exponential linear unit: ``y = x`` where ``x > 0``, else ``alpha * (exp(x) - 1)``; of any shape.

    Clevert, Unterthiner and Hochreiter 2016, arXiv:1511.07289.

    Parameters
    ----------
    alpha : float
        At least 0.

    Notes
    -----
    Saved for backward: ``x``.

    Examples
    --------
    >>> ELU()(np.array([[-1.0, 4.0]])).round(3)
    array([[-0.632,  4.   ]])
    """

    _function = "elu"

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = self._a = real(alpha, "ELU alpha")

    def _settings(self) -> str:
        return brief("", {"alpha": self.alpha}, {"alpha": 1.0})


class GELU(Elementwise):
    """Gaussian error linear unit: ``y = x (1 + erf(x / sqrt(2))) / 2``, x times the share of normal numbers below x.

    Hendrycks and Gimpel 2016, arXiv:1606.08415.

    Parameters
    ----------
    approximate : "none" or "tanh"
        With "tanh", ``y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x ** 3))) / 2``, as networks trained with it need it.

    Notes
    -----
    Saved for backward: ``x``.

    Examples
    --------
    >>> GELU()(np.array([[-1.0, 0.0, 1.0]])).round(4)
    array([[-0.1587,  0.    ,  0.8413]])
    """

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        if approximate not in ("none", "tanh"):
            raise SettingError(f"GELU approximate: expected 'none' or 'tanh', got {approximate!r}")
        self.approximate = approximate
        self._function = "gelu" if approximate == "none" else "gelu_tanh"

    def _settings(self) -> str:
        return brief("", {"approximate": self.approximate}, {"approximate": "none"})


class SiLU(Elementwise):
    """Sigmoid-weighted linear unit, or Swish: ``y = x / (1 + exp(-x))``; of any shape.

    Elfwing, Uchibe and Doya 2018, arXiv:1702.03118; Ramachandran, Zoph and Le 2017, arXiv:1710.05941.

    Notes
    -----
    Saved for backward: ``x``.

    Examples
    --------
    >>> SiLU()(np.array([[-1.0, 0.0, 1.0]])).round(3)
    array([[-0.269,  0.   ,  0.731]])
    """

    _function = "silu"


class HardSwish(Elementwise):
    """Swish made of straight lines: ``y = x * min(max(x + 3, 0), 6) / 6``; of any shape.

    Howard et al. 2019, Searching for MobileNetV3, arXiv:1905.02244, section 5.2.

    Notes
    -----
    Saved for backward: ``x``. The gradient at -3 is 0, at 3 it is 1.

    Examples
    --------
    >>> HardSwish()(np.array([[-4.0, -1.5, 6.0]]))
    array([[-0.   , -0.375,  6.   ]])
    """

    _function = "hard_swish"


class HardSigmoid(Elementwise):
    """Sigmoid made of straight lines: ``y = min(max(x + 3, 0), 6) / 6``; of any shape.

    Howard et al. 2019, Searching for MobileNetV3, arXiv:1905.02244, section 5.2.

    Notes
    -----
    Saved for backward: ``x``. The gradient at -3 and 3 is 0.

    Examples
    --------
    >>> HardSigmoid()(np.array([[-4.0, 0.0, 6.0]]))
    array([[0. , 0.5, 1. ]])
    """

    _function = "hard_sigmoid"


class Sigmoid(Elementwise):
    """Logistic function: ``y = 1 / (1 + exp(-x))``; of any shape.

    Rumelhart, Hinton and Williams 1986, Learning representations by back-propagating errors (Nature 323, 533-536).

    Notes
    -----
    Saved for backward: ``y``.

    Examples
    --------
    >>> Sigmoid()(np.array([[-1.0, 0.0, 1.0]])).round(3)
    array([[0.269, 0.5  , 0.731]])
    """

    _function = "sigmoid"
    _saves_output = True


class Tanh(Elementwise):
    """Hyperbolic tangent: ``y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))``; of any shape.

    LeCun, Bottou, Orr and Müller 1998, Efficient BackProp (Neural Networks: Tricks of the Trade), section 4.4.

    Notes
    -----
    Saved for backward: ``y``.

    Examples
    --------
    >>> Tanh()(np.array([[-1.0, 0.0, 1.0]])).round(3)
    array([[-0.762,  0.   ,  0.762]])
    """

    _function = "tanh"
    _saves_output = True
