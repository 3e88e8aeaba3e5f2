"""The exceptions of convnet. Every text names who complains, what was expected and what came."""


class ConvnetError(Exception):
    """Base of all errors that convnet raises on purpose."""


class ShapeError(ConvnetError, ValueError):
    """An array, or a requested geometry, has a shape that does not fit."""


class DTypeError(ConvnetError, TypeError):
    """An array has a data type other than the ones a function takes."""


class SettingError(ConvnetError, ValueError):
    """A scalar setting, such as a stride or a learning rate, is out of range."""


class DataError(ConvnetError, ValueError):
    """A data set is missing, truncated or not what its name says."""


class WeightsError(ConvnetError, ValueError):
    """A weight file, or a state dictionary, does not fit the model."""


class UnsupportedError(ConvnetError, NotImplementedError):
    """The request is well formed but convnet, or this CPU, cannot do it."""


class DivergedError(ConvnetError, ArithmeticError):
    """Training met a loss, or gradients, that are not finite."""
