"""The contract of every layer, and what all layers share: parameters by name, weights in and out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from convnet.context import Context
from convnet.errors import WeightsError
from convnet.parameter import Parameter
from convnet.windows import Window

Shape = tuple[int, ...]

# The count that batch normalisation only needs without momentum; files of older versions of PyTorch have none.
OPTIONAL = "num_batches_tracked"


class LoadReport(NamedTuple):
    """What `Layer.load_state_dict` did not match: both lists are empty after a strict load."""

    missing_keys: list[str]
    """Names that only the model has."""
    unexpected_keys: list[str]
    """Names that only the state has."""


class Layer(ABC):
    """A differentiable function with parameters.

    A layer of your own defines `forward`, `backward` and `output_shape`. Parameters, buffers (arrays that belong to the
    state without being trained, such as running averages) and layers kept as attributes are found by their attribute
    names, so that weights get PyTorch's keys (``conv1.weight``).

    Examples
    --------
    >>> class Scale(Layer):
    ...     def __init__(self):
    ...         self.weight = Parameter(np.ones(1))
    ...     def forward(self, x, ctx=None):
    ...         if ctx is not None:
    ...             ctx.x = x
    ...         return x * self.weight.value
    ...     def backward(self, dy, ctx):
    ...         self.weight.grad += np.sum(dy * ctx.x)
    ...         return dy * self.weight.value
    ...     def output_shape(self, input_shape):
    ...         return input_shape
    >>> list(Scale().state_dict())
    ['weight']
    """

    @abstractmethod
    def forward(self, x: np.ndarray, ctx: Context | None = None) -> np.ndarray:
        """Return the output for the batch ``x``.

        Without ``ctx`` this is inference: nothing is written to the layer, so threads may share it. With ``ctx`` it is
        training, and ``ctx`` receives what `backward` needs. ``x`` is never written to; it must stay as it is until
        `backward` has run.
        """

    @abstractmethod
    def backward(self, dy: np.ndarray, ctx: Context) -> np.ndarray | None:
        """Return the gradient with respect to ``x`` and add the parameters' gradients into their ``grad``.

        ``dy`` is the gradient with respect to the output, and is never written to; ``ctx`` is the one that the forward
        pass was given. The result may be None where ``ctx.wants_dx`` is False.
        """

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of one output for one input of ``input_shape``; both without the batch, as in (c, h, w)."""

    def check_training(self, images: int, input_shape: Shape) -> None:
        """Raise a `ShapeError` if so many images of ``input_shape``, which `output_shape` takes, cannot train together.

        Most layers train on whatever they infer from, and do nothing here.
        """
        return

    def multiply_adds(self, input_shape: Shape) -> int:
        """Multiply-adds with weights that one input of ``input_shape`` costs in a forward pass; other work counts 0."""
        return 0

    def window(self, input_shape: Shape) -> Window:
        """What part of an input of ``input_shape`` one pixel of the output sees; here the pixel in its place."""
        return Window()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Inference: ``forward(x)``."""
        return self.forward(x)

    def named_children(self) -> Iterator[tuple[str, Layer]]:
        """Yield the layers inside this one, in order, by name."""
        for name, value in vars(self).items():
            if isinstance(value, Layer):
                yield name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield all parameters in order, the layer's own first; names are the path to them, as in ``"3.weight"``.

        A parameter that occurs twice has two names.
        """
        for name, value in self._named_state():
            if isinstance(value, Parameter):
                yield name, value

    def named_buffers(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield all buffers in the same way: the arrays among the attributes, but for those named with an underscore.

        Training changes them in place.
        """
        for name, value in self._named_state():
            if isinstance(value, np.ndarray):
                yield name, value

    def _named_state(self) -> Iterator[tuple[str, Parameter | np.ndarray]]:
        """Yield the layer's own parameters, its own buffers, then those of the layers inside."""
        attributes = list(vars(self).items())
        yield from ((name, value) for name, value in attributes if isinstance(value, Parameter))
        yield from ((name, value) for name, value in attributes if isinstance(value, np.ndarray) and name[0] != "_")
        for child_name, child in self.named_children():
            for name, value in child._named_state():
                yield f"{child_name}.{name}", value

    def named_generators(self) -> Iterator[tuple[str, np.random.Generator]]:
        """Yield the random generators that training passes draw from, in the same way; one may occur several times."""
        for name, value in vars(self).items():
            if isinstance(value, np.random.Generator):
                yield name, value
        for child_name, child in self.named_children():
            yield from ((f"{child_name}.{name}", generator) for name, generator in child.named_generators())

    def parameters(self) -> list[Parameter]:
        """All parameters in order, each once."""
        return list(dict.fromkeys(parameter for _, parameter in self.named_parameters()))

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of parameters and buffers by name, with PyTorch's names and axis order; training leaves them alone."""
        return {name: array.copy() for name, array in self._state().items()}

    def _state(self) -> dict[str, np.ndarray]:
        return {name: value.value if isinstance(value, Parameter) else value for name, value in self._named_state()}

    def inference_form(self, input_shape: Shape) -> Layer | None:
        """For a `Predictor`: the same in inference, made of layers that it knows; None if there is no such thing."""
        return None

    def load_state_dict(self, state: Mapping[str, np.ndarray], strict: bool = True) -> LoadReport:
        """Copy values into the parameters and buffers of the same names.

        float16, float32 and float64 values are converted to the dtype of the parameter. Everything is checked before
        the first value is written: after an error the layer is as it was. As in PyTorch, the buffer
        ``num_batches_tracked`` of a batch normalisation may be missing, and then stays.

        Parameters
        ----------
        state : mapping of str to ndarray
            Values by name, as `state_dict` returns them.
        strict : bool
            With False, names that only one side knows are reported instead of refused.

        Returns
        -------
        LoadReport
            ``(missing_keys, unexpected_keys)``.

        Raises
        ------
        WeightsError
            If names (when ``strict``), shapes, dtypes or values do not fit; the text names every such key, with what
            was expected and what came.
        """
        arrays, faults = self._state(), []
        missing = [name for name in arrays if name not in state and name.rpartition(".")[2] != OPTIONAL]
        unexpected = [name for name in state if name not in arrays]
        if strict and (missing or unexpected):
            faults.append(
                f"expected exactly the keys of the model, got missing keys {missing} and unexpected keys {unexpected}"
            )
        values = {}
        for name, array in arrays.items():
            try:
                if name in state:
                    values[name] = _fitting(name, state[name], array)
            except WeightsError as error:
                faults.append(str(error))
        if faults:
            raise WeightsError(f"{type(self).__name__}: {'; '.join(faults)}")
        for name, value in values.items():
            arrays[name][...] = value
        return LoadReport(missing, unexpected)

    def _settings(self) -> str:
        """What stands between the parentheses of the repr."""
        return ""

    def __repr__(self) -> str:
        children = [f"\n({name}): {child!r}".replace("\n", "\n  ") for name, child in self.named_children()]
        return f"{type(self).__name__}({self._settings()}{''.join(children)}" + ("\n)" if children else ")")


def _fitting(name: str, value: np.ndarray, array: np.ndarray) -> np.ndarray:
    """Return ``value`` in the dtype of ``array``, or say why it does not fit."""
    try:
        value = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # PyTorch's of bfloat16, or that ask for a gradient
        advice = "convert it first, a tensor as in tensor.detach().float().numpy()"
        raise WeightsError(f"{name}: expected an array that NumPy can read, got {error}; {advice}") from error
    if value.shape != array.shape:
        raise WeightsError(f"{name}: expected shape {array.shape}, got {value.shape}")
    if array.dtype.kind != "f":
        if value.dtype != array.dtype:
            raise WeightsError(f"{name}: expected dtype {array.dtype}, got {value.dtype}")
        return value
    if value.dtype not in (np.float16, np.float32, np.float64):
        raise WeightsError(f"{name}: expected dtype float16, float32 or float64, got {value.dtype}")
    with np.errstate(over="ignore"):  # the check below says it better
        fitting: np.ndarray = value.astype(array.dtype, copy=False)
    if fitting.dtype.itemsize < value.dtype.itemsize and np.any(np.isinf(fitting) & np.isfinite(value)):
        raise WeightsError(f"{name}: expected values in the range of {array.dtype}, got larger ones")
    return fitting
