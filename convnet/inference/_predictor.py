"""A model compiled for inference."""

from typing import Any

import numpy as np

from convnet.functional import Plan
from convnet.inference._places import assign
from convnet.inference._program import Program, lower
from convnet.inference._simplify import simplify
from convnet.layers import Layer
from convnet.settings import integer

__all__ = ["Predictor"]


class Predictor:
    """A model's inference, compiled once into an immutable plan.

    Weights are packed as the kernels read them, neighbouring operations are merged into one, and the memory of the
    activations is laid out in advance. A call then runs all of it without the interpreter: ``predictor(x)`` equals
    ``model(x)`` but for rounding, with the same bits for any number of threads and whatever the batch it is part of.

    Parameters
    ----------
    model : Layer
        Made of the layers of this package. Its weights are copied: later training does not show.
    input_shape : (c, h, w) or (features,)
        Shape of one input.

    Raises
    ------
    UnsupportedError
        If the model holds a layer that is not of this package.
    ShapeError
        If it cannot take inputs of this shape.

    Notes
    -----
    Any number of threads may share a predictor; each call takes its own memory. Large batches run in passes of a few
    images, so memory is bounded.

    Examples
    --------
    >>> from convnet.models import lenet
    >>> model = lenet(rng=0)
    >>> predictor = Predictor(model, input_shape=(1, 28, 28))
    >>> x = np.random.default_rng(0).random((5, 1, 28, 28), np.float32)
    >>> bool(np.allclose(predictor(x), model(x), atol=1e-5))
    True
    >>> print(predictor)
    Predictor((1, 28, 28) -> (10,))
      conv2d relu pool=(2, 2)  (6, 12, 12)
      conv2d relu pool=(2, 2)  (16, 4, 4)
      dense relu               (120,)
      dense relu               (84,)
      dense                    (10,)
    """

    def __init__(self, model: Layer, input_shape: tuple[int, ...]) -> None:
        shape = tuple(integer(size, "Predictor input_shape") for size in input_shape)
        parameters = model.parameters()
        self._dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
        program = lower(model, shape)
        simplify(program)
        self.input_shape, self.output_shape = shape, program.shapes[program.output]
        self._lines = [_line(program, i) for i in range(len(program.operations))]
        self._plan = _planned(program, self._dtype)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Apply the model.

        Parameters
        ----------
        x : array of shape (n, *input_shape)
            Of the dtype of the model, any strides; never written to.

        Returns
        -------
        array of shape (n, *output_shape)
            Images lie channels-last in memory.

        Raises
        ------
        ShapeError, DTypeError
            If x does not fit.
        """
        return self._plan.run(x, "Predictor")

    def __repr__(self) -> str:
        width = max((len(left) for left, _ in self._lines), default=0)
        lines = [f"\n  {left:{width}}  {shape}" for left, shape in self._lines]
        return f"Predictor({self.input_shape} -> {self.output_shape})" + "".join(lines)


def _planned(program: Program, dtype: np.dtype) -> Plan:
    """Call the plan's method for each operation, with its places."""
    places, total = assign(program)
    arguments: list[Any]
    plan = Plan(program.shapes[0], program.shapes[program.output], dtype, len(program.operations) + 1, total)
    for operation in program.operations:
        inputs = [places[value] for value in operation.inputs]
        arguments = [*inputs, places[operation.output]]
        if operation.name != "dense":
            arguments.append(program.shapes[operation.inputs[0]])
        getattr(plan, operation.name)(*arguments, **operation.settings)
    if program.output == 0:
        plan.copy()
    return plan


def _line(program: Program, i: int) -> tuple[str, tuple[int, ...]]:
    """What an operation does and the shape of its result."""
    operation = program.operations[i]
    words = [operation.name]
    if operation.settings.get("relu"):
        words.append("relu")
    if "pool" in operation.settings:
        words.append(f"pool={operation.settings['pool']}")
    return " ".join(words), program.shapes[operation.output]
