"""Batch normalisations taken into the convolutions before them."""

from __future__ import annotations

import numpy as np

from convnet.inference._simplify import absorbed
from convnet.onnx.exporter._draft import Draft, Operator

__all__ = ["fold"]


def fold(draft: Draft) -> None:
    """Multiply each batch normalisation into the weights of a convolution that nobody else reads."""
    writers = {operator.output: operator for operator in draft.operators}
    for norm in [operator for operator in draft.operators if operator.kind == "BatchNormalization"]:
        conv = writers.get(norm.inputs[0])
        if conv is not None and conv.kind in ("Conv", "ConvTranspose") and len(draft.readers(conv.output)) == 1:
            _absorb(draft, conv, norm)
            writers[norm.output] = conv
            draft.operators.remove(norm)
    read = {name for operator in draft.operators for name in operator.inputs}
    draft.constants = {name: array for name, array in draft.constants.items() if name in read}


def _absorb(draft: Draft, conv: Operator, norm: Operator) -> None:
    weight, bias, mean, var = (draft.constants[name].astype(np.float64) for name in norm.inputs[1:])
    scale = weight / np.sqrt(var + norm.attributes["epsilon"])
    groups = conv.attributes["group"] if conv.kind == "ConvTranspose" else None
    w, *b = (draft.constants[name] for name in conv.inputs[1:])
    folded = absorbed(w, b[0] if b else None, mean, scale, bias, transposed_groups=groups)
    names = conv.inputs[1:] if b else [conv.inputs[1], norm.inputs[2]]
    conv.inputs[1:] = [_put(draft, name, array) for name, array in zip(names, folded, strict=True)]
    conv.output = norm.output


def _put(draft: Draft, name: str, array: np.ndarray) -> str:
    """Put an array in the place of a constant or, if others read that too, beside it; returns the name."""
    if len(draft.readers(name)) > 1:
        return draft.constant(array)
    draft.constants[name] = array
    return name
