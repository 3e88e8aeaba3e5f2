"""Receptive fields: what part of an input a pixel of an output sees. Integers in, integers out, no arrays."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

__all__ = ["Spans", "Window", "covering", "dilated", "interpolating", "sliding", "spreading"]

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Spans:
    """What the pixels of an output see along one axis, as if the map had no border.

    Pixel i sees the pixels from the first to the last of ``seen[i]``. This repeats: pixel ``i + len(seen)`` sees what
    pixel i sees, moved by ``step``. A stride gives a step above 1, a transposed convolution several spans a step.

    Examples
    --------
    A convolution of 3 pixels behind one of stride 2, then the map twice as large:

    >>> Spans(((0, 2),), step=2).then(Spans(((0, 0), (0, 0)), step=1)).then(Spans(((-1, 1),))).size
    5
    """

    seen: tuple[Span, ...] = ((0, 0),)
    step: int = 1

    @property
    def size(self) -> int:
        """Number of pixels that the best of them sees, gaps included."""
        return max(last - first + 1 for first, last in self.seen)

    def at(self, i: int) -> Span:
        """What pixel i sees; a last one before the first means nothing."""
        turns, i = divmod(i, len(self.seen))
        first, last = self.seen[i]
        return first + turns * self.step, last + turns * self.step

    def then(self, other: Self) -> "Spans":
        """What a pixel sees through two layers."""
        turns = len(self.seen) // math.gcd(len(self.seen), other.step)
        seen = tuple(self._from_to(*other.at(i)) for i in range(turns * len(other.seen)))
        return Spans(seen, self.step * other.step * turns // len(self.seen))

    def _from_to(self, first: int, last: int) -> Span:
        """What the pixels between two see together."""
        spans = [self.at(i) for i in range(first, last + 1)]
        if not spans:
            return self.at(first)[0], self.at(first)[0] - 1
        return min(first for first, _ in spans), max(last for _, last in spans)

    def beside(self, other: Self) -> "Spans":
        """What a pixel sees where paths meet.

        If the maps are of different sizes, one of them is a gate for whole maps: then as many pixels as the gate sees,
        with the step of the map.
        """
        fine, coarse = sorted((self, other), key=lambda spans: Fraction(spans.step, len(spans.seen)))
        if fine.step * len(coarse.seen) != coarse.step * len(fine.seen):
            return Spans(tuple((first, max(last, first + coarse.size - 1)) for first, last in fine.seen), fine.step)
        period = math.lcm(len(fine.seen), len(coarse.seen))
        pairs = [(fine.at(i), coarse.at(i)) for i in range(period)]
        seen = tuple((min(a[0], b[0]), max(a[1], b[1])) for a, b in pairs)
        return Spans(seen, fine.step * period // len(fine.seen))


@dataclass(frozen=True, slots=True)
class Window:
    """The part of an input that the pixels of an output see, along both axes.

    Examples
    --------
    Two 3x3 convolutions see as much as one of 5x5:

    >>> sliding((3, 3)).then(sliding((3, 3))).size
    (5, 5)
    """

    vertical: Spans = Spans()
    horizontal: Spans = Spans()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the largest part."""
        return self.vertical.size, self.horizontal.size

    def then(self, other: Self) -> "Window":
        """What a pixel sees through two layers."""
        return Window(self.vertical.then(other.vertical), self.horizontal.then(other.horizontal))

    def beside(self, other: Self) -> "Window":
        """What a pixel sees where paths meet."""
        return Window(self.vertical.beside(other.vertical), self.horizontal.beside(other.horizontal))


def dilated(kernel: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Size of a window whose taps lie ``dilation`` apart.

    Examples
    --------
    >>> dilated((3, 3), (1, 2))
    (3, 5)
    """
    return (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1


def _along_both(spans: Callable[..., Spans], *settings: tuple[int, int]) -> Window:
    vertical, horizontal = (spans(*values) for values in zip(*settings, strict=True))
    return Window(vertical, horizontal)


def sliding(size: tuple[int, int], step: tuple[int, int] = (1, 1), before: tuple[int, int] = (0, 0)) -> Window:
    """A window of a convolution or a pooling with ``before`` pixels of padding at the top and the left."""
    return _along_both(lambda size, step, before: Spans(((-before, size - 1 - before),), step), size, step, before)


def covering(size: tuple[int, int], output_size: tuple[int, int]) -> Window:
    """The windows from ``floor(i h / o)`` to ``ceil((i + 1) h / o)`` of an adaptive pooling.

    Examples
    --------
    >>> covering((7, 7), (1, 3)).size
    (7, 3)
    """
    return _along_both(_covering, size, output_size)


def _covering(length: int, out: int) -> Spans:
    ratio = Fraction(length, out)
    seen = ((math.floor(i * ratio), math.ceil((i + 1) * ratio) - 1) for i in range(ratio.denominator))
    return Spans(tuple(seen), ratio.numerator)


def spreading(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> Window:
    """What a pixel of a transposed convolution sees.

    Examples
    --------
    >>> spreading((5, 5), (2, 2), (2, 2), (1, 1)).size
    (3, 3)
    """
    return _along_both(_spreading, kernel, stride, padding, dilation)


def _spreading(kernel: int, stride: int, padding: int, dilation: int) -> Spans:
    seen = []
    for i in range(padding, padding + stride):
        pixels = [at // stride for at in range(i, i - kernel * dilation, -dilation) if at % stride == 0]
        nothing = -(-i // stride), -(-i // stride) - 1
        seen.append((min(pixels), max(pixels)) if pixels else nothing)
    return Spans(tuple(seen))


def interpolating(ratio: Fraction, linear: bool, corners: bool) -> Spans:
    """What the pixels of an interpolated map see along one axis, ``ratio`` pixels of the input a pixel.

    Those left and right of a position with ``linear``, else the one before it; positions start at the middle of the
    first pixel with ``corners``.
    """
    n = ratio.denominator
    if not linear:
        return Spans(tuple((math.floor(i * ratio),) * 2 for i in range(n)), ratio.numerator)
    places = [i * ratio if corners else (i + Fraction(1, 2)) * ratio - Fraction(1, 2) for i in range(n)]
    return Spans(tuple((math.floor(place), math.ceil(place)) for place in places), ratio.numerator)
