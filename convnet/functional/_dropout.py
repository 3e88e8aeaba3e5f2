"""Dropout: zeros where random numbers say so, the same ones for the gradient."""

from convnet.errors import SettingError
from convnet.functional._arrays import FloatArray, contiguous, empty, floats, to_nchw, to_nhwc
from convnet.kernels import elementwise as kernels
from convnet.settings import integer, real


def dropout(x: FloatArray, rate: float, seed: int) -> FloatArray:
    """Zero each number with probability ``rate``, and scale the others by ``1 / (1 - rate)``.

    Parameters
    ----------
    x : array of any shape, float32 or float64
    rate : float
        In [0, 1).
    seed : int
        In [0, 2**64). It decides, with the place of a number in the order (n, h, w, c), what becomes zero: whatever
        the memory layout, the type, the number of threads and the instruction set.

    Returns
    -------
    array of x's shape, channels-last in memory where it has four dimensions

    Raises
    ------
    DTypeError, SettingError

    Notes
    -----
    Srivastava et al. 2014 (JMLR 15, 1929-1958). The gradient with respect to ``x`` is the same function of ``dy``:
    ``dropout(dy, rate, seed)``. Random words are a function of their number, so no mask is kept; drawing them again
    costs less than reading one. The generator is Threefry-4x32 of 13 rounds: Salmon, Moraes, Dror and Shaw 2011,
    Parallel random numbers: as easy as 1, 2, 3 (SC11, doi:10.1145/2063384.2063405). The rate counts to 2**-33.

    Examples
    --------
    >>> dropout(np.ones(6), 0.5, 5)
    array([2., 2., 0., 2., 0., 0.])
    >>> dropout(np.arange(1.0, 7.0), 0.5, 5)
    array([2., 4., 0., 8., 0., 0.])
    """
    array = floats(x, "dropout", "x")
    rate = real(rate, "dropout rate", below=1)
    if integer(seed, "dropout seed", least=0) >= 2**64:
        raise SettingError(f"dropout seed: expected an integer below 2**64, got {seed}")
    source = to_nhwc(array) if array.ndim == 4 else contiguous(array)
    y = empty(source.shape, array.dtype)
    threshold = min(round(rate * 2**32), 2**32 - 1)
    kernels.dropout(source.reshape(-1), y.reshape(-1), threshold, int(seed), 1 / (1 - rate))
    return to_nchw(y) if array.ndim == 4 else y
