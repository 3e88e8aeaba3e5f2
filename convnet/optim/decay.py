"""Weight decay that differs from parameter to parameter."""

from dataclasses import dataclass

from convnet.parameter import Parameter
from convnet.settings import real

__all__ = ["WeightsOnly"]


@dataclass(frozen=True, slots=True)
class WeightsOnly:
    """Decay for the weights of convolutions and dense layers; none for biases, normalisation and slopes.

    A function from a parameter to its weight decay: ``decay`` where the parameter has two dimensions or more, else 0.
    What is added to an output or scales one channel is always a vector; pulling it towards 0 does not make the network
    any smoother and costs accuracy (He et al., arXiv:1812.01187, section 3.1). A function of your own does for any
    other grouping.

    Parameters
    ----------
    decay : float

    Raises
    ------
    SettingError
        If it is negative, NaN or infinite.

    Examples
    --------
    >>> from convnet.optim import SGD
    >>> weight, bias = Parameter(np.ones((1, 2))), Parameter(np.ones(2))
    >>> SGD(lr=1, weight_decay=WeightsOnly(0.25)).step([weight, bias])
    >>> weight.value, bias.value
    (array([[0.75, 0.75]]), array([1., 1.]))

    Groups by name, here a larger decay for the last layer alone:

    >>> from convnet.models import lenet
    >>> model = lenet(rng=0)
    >>> last = {p for name, p in model.named_parameters() if name.startswith("11.")}
    >>> optimizer = SGD(lr=0.1, weight_decay=lambda parameter: 1e-2 if parameter in last else 1e-4)
    """

    decay: float

    def __post_init__(self) -> None:
        real(self.decay, "WeightsOnly decay")

    def __call__(self, parameter: Parameter) -> float:
        """Weight decay of ``parameter``."""
        return self.decay if parameter.value.ndim > 1 else 0.0
