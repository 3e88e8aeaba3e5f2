"""Where a classifier looks: maps of what in an image its answer hangs on.

All of them explain the function that inference computes, with running averages and without dropout, and leave the
model as it is. Maps are numbers, larger for what matters more; `convnet.plot.heatmap` lays one over its image.

>>> from convnet import explain, models
>>> model, x = models.lenet(rng=0), np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
>>> explain.grad_cam(model, x).shape, explain.saliency(model, x).shape, explain.occlusion(model, x, 7).shape
((2, 28, 28), (2, 28, 28), (2, 28, 28))
"""

import itertools
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from convnet.context import Context
from convnet.data import as_floats
from convnet.errors import DataError, DTypeError, SettingError, ShapeError, UnsupportedError
from convnet.functional import activation, softmax, upsample2d
from convnet.inference import fuse
from convnet.inference.frozen import frozen
from convnet.inference.probe import last_map, probed
from convnet.layers import Graph, Layer, Sigmoid, Softmax
from convnet.settings import Seed, generator, integer, real
from convnet.shapes import IntPair, pair
from convnet.training._arrays import checked_images

__all__ = ["grad_cam", "occlusion", "saliency"]

Classes = int | ArrayLike | None


def grad_cam(
    model: Layer, x: ArrayLike, class_index: Classes = None, layer: str | None = None, *, batch_size: int = 64
) -> np.ndarray:
    """Where the features lie that speak for a class.

    ``max(0, sum over k of a[k] * A[k])`` with the maps ``A[k]`` that a layer gives and ``a[k]`` the mean of the
    gradient of the class's output over map k. Selvaraju et al. 2017, arXiv:1610.02391.

    Parameters
    ----------
    model : Layer
        A classifier: a container that gives (n, classes).
    x : array of shape (n, c, h, w), uint8 or the dtype of the model
        Images; uint8 is scaled to 0-1, as `Trainer` does.
    class_index : int or (n,) of int, optional
        The class to explain, for all images or for each; by default the one with the largest output.
    layer : str, optional
        Name of the layer, as `summary` prints it; by default the last one whose output is a map. Earlier layers give
        finer maps of simpler features.
    batch_size : int
        Bounds the memory; does not change the result but for rounding.

    Returns
    -------
    ndarray of shape (n, h, w), of the dtype of the model
        At least 0, interpolated (bilinear) from the size of the layer's maps. 0 everywhere where nothing speaks for
        the class.

    Raises
    ------
    ShapeError, DTypeError
        If ``x`` does not fit the model, or the model or the layer gives something else.
    SettingError, DataError
        If there is no such layer or class.

    Notes
    -----
    One forward and one backward pass, with the gradients of the weights, for which memory is taken as well.
    """
    who = "grad_cam"
    images, classes, size = _checked(who, model, x, class_index, batch_size)
    name = last_map(model, images.shape[1:], who) if layer is None else layer
    twin, probe = probed(frozen(model), name, who)

    def explain(part: slice) -> np.ndarray:
        _backward(twin, images[part], classes[part])
        if probe.output.ndim != 4:
            raise ShapeError(f"{who}: expected a layer that gives (n, c, h, w), got {name!r}: {probe.output.shape}")
        weights = probe.gradient.mean(axis=(2, 3), keepdims=True)
        maps = np.maximum(np.sum(weights * probe.output, axis=1, keepdims=True), 0)
        return upsample2d(maps, images.shape[2:], mode="bilinear")[:, 0]

    return _in_parts(explain, len(images), size)


def saliency(
    model: Layer,
    x: ArrayLike,
    class_index: Classes = None,
    *,
    samples: int = 0,
    noise: float = 0.15,
    rng: Seed = 0,
    batch_size: int = 64,
) -> np.ndarray:
    """How much the output of a class changes with each pixel: ``max over c of abs(d output / d x[c])``.

    Simonyan, Vedaldi and Zisserman 2013, arXiv:1312.6034. With ``samples`` the gradient is the mean over that many
    noisy copies of the image, which makes the map less ragged: SmoothGrad, Smilkov et al. 2017, arXiv:1706.03825.

    Parameters
    ----------
    model : Layer
        A classifier that gives (n, classes).
    x, class_index, batch_size
        As for `grad_cam`; without ``class_index`` the class is that of the image without noise.
    samples : int
        Noisy copies of each image; 0 takes the image itself.
    noise : float
        Standard deviation of the noise, as a share of the range of the image (its largest number minus its smallest).
    rng : int or numpy.random.Generator, optional
        Where the noise comes from.

    Returns
    -------
    ndarray of shape (n, h, w), of the dtype of the model
        At least 0.

    Raises
    ------
    ShapeError, DTypeError, SettingError, DataError
        As from `grad_cam`, and if ``samples`` or ``noise`` is out of range.

    Notes
    -----
    A forward and a backward pass a sample, and one more forward pass for noisy ones.
    """
    who = "saliency"
    images, classes, size = _checked(who, model, x, class_index, batch_size)
    samples, noise = integer(samples, f"{who} samples", least=0), real(noise, f"{who} noise")
    seeds = generator(rng, "saliency").integers(2**62, size=len(images))  # one an image: parts do not change the noise
    twin = frozen(model)

    def explain(part: slice) -> np.ndarray:
        clean, chosen = images[part], classes[part]
        sources = [np.random.default_rng(seed) for seed in seeds[part]]
        inputs = (_noisy(clean, noise, sources) for _ in range(samples)) if samples else (clean,)
        total = sum(_gradient(twin, images, chosen) for images in inputs)
        largest: np.ndarray = np.abs(total / clean.dtype.type(samples or 1)).max(axis=1)
        return largest

    return _in_parts(explain, len(images), size)


def occlusion(
    model: Layer,
    x: ArrayLike,
    size: IntPair,
    stride: IntPair | None = None,
    class_index: Classes = None,
    *,
    fill: ArrayLike = 0.0,
    batch_size: int = 64,
) -> np.ndarray:
    """How much the probability of a class falls when a window of the image is covered.

    Each pixel gets the mean over the windows that cover it. Zeiler and Fergus 2013, arXiv:1311.2901, section 4.2.

    Parameters
    ----------
    model : Layer
        A classifier that gives (n, classes), logits or, if it ends in `Softmax` or `Sigmoid`, probabilities. One column
        of logits is a yes-or-no question.
    x, class_index
        As for `grad_cam`.
    size : int or pair of int
        Of the window, at most that of the image.
    stride : int or pair of int, optional
        From one window to the next, at most ``size``; by default half of it. The last windows may reach over the edge.
    fill : float or (c,)
        What covers the window, in the numbers that the model sees: 0 is black for images of 0-1.
    batch_size : int
        Covered images that are classified at once.

    Returns
    -------
    ndarray of shape (n, h, w), of the dtype of the model
        From -1 to 1; negative where covering helps.

    Raises
    ------
    ShapeError, DTypeError, SettingError, DataError
        As from `grad_cam`, and if a setting is out of range.

    Notes
    -----
    One forward pass for each window of each image: about ``4 * h * w / size**2`` an image with half a window's stride.
    """
    who = "occlusion"
    images, classes, batch = _checked(who, model, x, class_index, batch_size)
    windows = _windows(images.shape[2:], size, stride)
    cover = _cover(fill, images)
    classify = _probabilities(model)
    maps = np.zeros((len(images), *images.shape[2:]), images.dtype)
    for image, label, drop in zip(images, classes, maps, strict=True):
        drop += _drops(classify, image, label, windows, cover, batch)
    return maps


def _checked(
    who: str, model: Layer, x: ArrayLike, class_index: Classes, batch_size: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Images as the model takes them, the class to explain of each, and how many to take at once."""
    size, parameters = integer(batch_size, f"{who} batch_size"), model.parameters()
    dtype = parameters[0].dtype if parameters else np.dtype(np.float32)
    images = as_floats(checked_images(who, x, model, dtype), dtype)
    if images.ndim != 4:
        raise ShapeError(f"{who}: expected x of shape (n, c, h, w), got {images.shape}")
    shape = model.output_shape(images.shape[1:])
    if len(shape) != 1:
        given = ", ".join(map(str, ("n", *shape)))
        raise ShapeError(f"{who} model: expected one that gives (n, classes), got outputs of shape ({given})")
    return images, _classes(who, model, images, class_index, shape[0], size), size


def _classes(
    who: str, model: Layer, images: np.ndarray, class_index: Classes, count: int, batch_size: int
) -> np.ndarray:
    if class_index is None:
        fast = fuse(model)
        return _in_parts(lambda part: fast(images[part]).argmax(axis=1), len(images), batch_size)
    given = np.asarray(class_index)
    if given.dtype.kind not in "iu":
        raise DTypeError(f"{who} class_index: expected integers, got {class_index!r}")
    if given.shape not in ((), images.shape[:1]):
        raise ShapeError(f"{who} class_index: expected one or {len(images)}, one an image, got shape {given.shape}")
    if given.size and not (given.min() >= 0 and given.max() < count):
        raise DataError(f"{who} class_index: expected classes in 0..{count - 1}, got {class_index!r}")
    return np.broadcast_to(given, images.shape[:1])


def _in_parts(explain: Callable[[slice], np.ndarray], count: int, size: int) -> np.ndarray:
    """Join what ``explain`` gives for each part of the images."""
    return np.concatenate([explain(slice(start, start + size)) for start in range(0, max(count, 1), size)])


def _backward(twin: Layer, x: np.ndarray, classes: np.ndarray) -> np.ndarray | None:
    """Gradient of the outputs of ``classes``, one an image, with respect to ``x``."""
    ctx = Context()
    dy = np.zeros_like(twin.forward(x, ctx))
    dy[np.arange(len(x)), classes] = 1
    return twin.backward(dy, ctx)


def _gradient(twin: Layer, x: np.ndarray, classes: np.ndarray) -> np.ndarray:
    dx = _backward(twin, x, classes)
    if dx is None:  # a layer may have been made for the beginning of a model in training
        raise UnsupportedError("saliency model: expected layers that give the gradient of their input, got None")
    return dx


def _noisy(x: np.ndarray, noise: float, sources: Sequence[np.random.Generator]) -> np.ndarray:
    """Copies with noise from a generator each."""
    spread = x.max(axis=(1, 2, 3), keepdims=True) - x.min(axis=(1, 2, 3), keepdims=True)
    draws = np.array([source.standard_normal(x.shape[1:], x.dtype) for source in sources])
    noisy: np.ndarray = x + x.dtype.type(noise) * spread * draws.reshape(x.shape)
    return noisy


def _windows(image: tuple[int, ...], size: IntPair, stride: IntPair | None) -> list[tuple[slice, slice]]:
    """Windows that together cover an image of (h, w)."""
    sizes = pair(size, "occlusion size")
    strides = tuple(-(-length // 2) for length in sizes) if stride is None else pair(stride, "occlusion stride")
    if sizes[0] > image[0] or sizes[1] > image[1]:
        raise SettingError(f"occlusion size: expected at most that of the image, {image}, got {size!r}")
    if strides[0] > sizes[0] or strides[1] > sizes[1]:
        raise SettingError(f"occlusion stride: expected at most the window's size {sizes}, got {stride!r}")
    rows, columns = (
        [slice(start, start + length) for start in range(0, side - length + step, step)]
        for side, length, step in zip(image, sizes, strides, strict=True)
    )
    return list(itertools.product(rows, columns))


def _cover(fill: ArrayLike, images: np.ndarray) -> np.ndarray:
    cover = np.asarray(fill, images.dtype)
    if cover.shape not in ((), images.shape[1:2]):
        raise ShapeError(f"occlusion fill: expected a number or {images.shape[1]}, one a channel, got {fill!r}")
    return cover.reshape(-1, 1, 1)


def _drops(
    classify: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    label: int,
    windows: Sequence[tuple[slice, slice]],
    cover: np.ndarray,
    batch_size: int,
) -> np.ndarray:
    """Mean drop (h, w) of the probability of ``label`` over the windows that cover a pixel."""
    before = classify(image[None])[0, label]
    total, count = np.zeros(image.shape[1:]), np.zeros(image.shape[1:])
    for start in range(0, len(windows), batch_size):
        part = windows[start : start + batch_size]
        copies = np.repeat(image[None], len(part), axis=0)
        for copy, (rows, columns) in zip(copies, part, strict=True):
            copy[:, rows, columns] = cover
        for window, after in zip(part, classify(copies)[:, label], strict=True):
            total[window] += before - after
            count[window] += 1
    mean: np.ndarray = total / count
    return mean


def _probabilities(model: Layer) -> Callable[[np.ndarray], np.ndarray]:
    """The model as a function that gives probabilities (n, classes)."""
    fast, last = fuse(model), model
    while isinstance(last, Graph) and last.output in last.nodes:
        last = last.nodes[last.output].layer
    if isinstance(last, Softmax | Sigmoid):
        return fast

    def classify(x: np.ndarray) -> np.ndarray:
        logits = fast(x)
        return softmax(logits) if logits.shape[1] > 1 else activation(logits, "sigmoid")

    return classify
