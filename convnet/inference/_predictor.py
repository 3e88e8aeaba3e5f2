"""A model compiled for inference."""

import numpy as np

from convnet.functional import Plan
from convnet.inference._places import assign
from convnet.inference._program import Operation, Program, Shape, lower
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
    batch_size : int
        How many images a call will mostly bring. Any number can come; but of the algorithms of a convolution, the one
        that is fastest for so many is taken, and a plan for larger batches may hold four times the bytes for weights.

    Raises
    ------
    UnsupportedError
        If the model holds a layer that is not of this package.
    ShapeError
        If it cannot take inputs of this shape.
    SettingError
        If batch_size is not a positive integer.

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

    def __init__(self, model: Layer, input_shape: tuple[int, ...], *, batch_size: int = 1) -> None:
        shape = tuple(integer(size, "Predictor input_shape") for size in input_shape)
        images = integer(batch_size, "Predictor batch_size", least=1)
        parameters = model.parameters()
        self._dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
        program = lower(model, shape)
        simplify(program)
        self.input_shape, self.output_shape = shape, program.shapes[program.output]
        self._lines = [_line(program, i) for i in range(len(program.operations))]
        self._plan = _planned(program, self._dtype, images)

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


def _planned(program: Program, dtype: np.dtype, images: int) -> Plan:
    """Call the plan's method for each operation, with its places."""
    places, total = assign(program)
    room = sum(len(operation.inputs) for operation in program.operations) + 1
    plan = Plan(program.shapes[0], program.shapes[program.output], dtype, room, total, images)
    for operation in program.operations:
        shapes = [program.shapes[value] for value in operation.inputs]
        arguments = [*(places[value] for value in operation.inputs), places[operation.output]]
        _plan_one(plan, operation, arguments, shapes)
    if program.output == 0:
        plan.copy()
    return plan


def _plan_one(plan: Plan, operation: Operation, places: list[int], shapes: list[Shape]) -> None:
    """The last of the places is that of the result."""
    if operation.name == "concat":
        first, channels = 0, sum(shape[0] for shape in shapes)
        for place, shape in zip(places, shapes, strict=False):
            plan.place(place, places[-1], shape, first=first, channels=channels)
            first += shape[0]
    elif operation.name == "dense":
        plan.dense(places[0], places[1], **operation.settings)
    elif operation.name == "multiply":
        plan.multiply(places[0], places[1], places[2], shapes[0], shapes[1])
    else:
        getattr(plan, operation.name)(*places, shapes[0], **operation.settings)


def _line(program: Program, i: int) -> tuple[str, tuple[int, ...]]:
    """What an operation does and the shape of its result."""
    operation = program.operations[i]
    relu = f"relu{operation.settings['ceiling']:g}" if "ceiling" in operation.settings else "relu"
    words = [relu if operation.name == "relu" else operation.name]
    if operation.settings.get("relu"):
        words.append(relu)
    if "pool" in operation.settings:
        words.append(f"pool={operation.settings['pool']}")
    return " ".join(words), program.shapes[operation.output]
