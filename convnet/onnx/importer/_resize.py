"""Resize and Upsample."""

from __future__ import annotations

import numpy as np

from convnet.layers import Upsample2d
from convnet.onnx.importer._build import Builder, Inputs, Map
from convnet.onnx.importer._read import Operator

__all__ = ["resize", "upsample"]


def upsample(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Upsample, of opsets 7 to 9: to the nearest pixel above and on the left."""
    x = build.map(operator, inputs[0], 3)
    given = operator.attributes.get("scales")
    scales = np.asarray(given) if given is not None else build.array(operator, inputs[1], "scales")
    if operator.attributes.get("mode", "nearest") != "nearest":
        raise build.unsupported(operator, "mode nearest", operator.attributes["mode"])
    return _resized(build, operator, x, _scaled(build, operator, x, scales), "nearest", align_corners=False)


def resize(build: Builder, operator: Operator, inputs: Inputs) -> Map:
    """Resize, where it is one of the interpolations of `Upsample2d`."""
    x = build.map(operator, inputs[0], 3)
    mode = operator.attributes.get("mode", "nearest")
    at = operator.attributes.get("coordinate_transformation_mode", "asymmetric" if build.opset < 11 else "half_pixel")
    size = _wanted(build, operator, x, inputs)
    whole = all(b % a == 0 for a, b in zip(x.shape[1:], size, strict=True))
    rounding = operator.attributes.get("nearest_mode", "floor" if build.opset < 11 else "round_prefer_floor")
    floors = at == "asymmetric" and rounding == "floor"
    if mode == "nearest" and (floors or (whole and at == "half_pixel" and rounding.startswith("round"))):
        return _resized(build, operator, x, size, "nearest", align_corners=False)
    if mode == "linear" and at in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        if operator.attributes.get("antialias", 0):
            raise build.unsupported(operator, "antialias 0", 1)
        if not (at == "pytorch_half_pixel" and 1 in size):
            return _resized(build, operator, x, size, "bilinear", align_corners=at == "align_corners")
    expected = "nearest (asymmetric, floor) or linear (half_pixel or align_corners)"
    raise build.unsupported(operator, expected, f"{mode} ({at}, {rounding})")


def _wanted(build: Builder, operator: Operator, x: Map, inputs: Inputs) -> tuple[int, int]:
    scales = inputs[1] if build.opset < 11 else (inputs[2] if len(inputs) > 2 else None)
    if isinstance(scales, np.ndarray) and scales.size:
        return _scaled(build, operator, x, _of_all_axes(operator, scales, (1, 1, 1, 1)))
    given = build.array(operator, inputs[3] if len(inputs) > 3 else None, "scales or sizes")
    if operator.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise build.unsupported(operator, "sizes that are what is wanted", "a policy to keep the aspect ratio")
    sizes = _of_all_axes(operator, given, (1, *x.shape))
    if sizes.size != 4 or sizes[1] != x.shape[0]:
        raise build.unsupported(operator, "sizes of four axes, the channels as they are", sizes.tolist())
    return int(sizes[2]), int(sizes[3])


def _of_all_axes(operator: Operator, given: np.ndarray, others: tuple[int, ...]) -> np.ndarray:
    """Numbers for four axes, where those of some are given."""
    values = np.array(others, given.dtype)
    axes = operator.attributes.get("axes")
    if axes is None:
        return given.ravel()
    values[list(axes)] = given.ravel()
    return values


def _scaled(build: Builder, operator: Operator, x: Map, scales: np.ndarray) -> tuple[int, int]:
    if scales.size != 4 or tuple(scales.ravel()[:2]) != (1, 1):
        raise build.unsupported(operator, "scales of four axes, the first two 1", scales.tolist())
    h, w = (int(np.floor(n * float(scale))) for n, scale in zip(x.shape[1:], scales.ravel()[2:], strict=True))
    if any(abs(n * float(s) - m) > 1e-3 for n, s, m in zip(x.shape[1:], scales.ravel()[2:], (h, w), strict=True)):
        raise build.unsupported(operator, f"scales that make whole sizes of {x.shape[1:]}", scales.tolist())
    return h, w


def _resized(build: Builder, operator: Operator, x: Map, size: tuple[int, int], mode: str, align_corners: bool) -> Map:
    most = 64
    if min(size) < 1 or any(b > most * a for a, b in zip(x.shape[1:], size, strict=True)):
        raise build.unsupported(operator, f"a size of at least 1 and at most {most} times {x.shape[1:]}", size)
    layer = Upsample2d(size, mode=mode, align_corners=align_corners)  # type: ignore[arg-type]
    return build.put(operator, layer, x)
