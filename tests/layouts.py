"""One array in many memory layouts: a function must give the same bits for each and write to none."""

import numpy as np


def _channels_last(a):
    """A copy whose second axis, if it has one, is the fastest in memory."""
    if a.ndim < 2:
        return a.copy()
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def _reversed(a):
    backwards = (slice(None, None, -1),) * a.ndim
    return a[backwards].copy()[backwards]


def _strided(a):
    sparse = np.full([2 * length for length in a.shape], np.nan if a.dtype.kind == "f" else 77, a.dtype)
    sparse[(slice(None, None, 2),) * a.ndim] = a
    return sparse[(slice(None, None, 2),) * a.ndim]


def _read_only(a):
    a = _channels_last(a)
    a.flags.writeable = False
    return a


def _unaligned(a):
    raw = np.empty(a.nbytes + 1, np.uint8)[1:]
    raw[:] = np.frombuffer(a.tobytes(), np.uint8)
    return raw.view(a.dtype).reshape(a.shape)


LAYOUTS = {
    "channels-last": _channels_last,
    "fortran": np.asfortranarray,
    "reversed": _reversed,
    "strided": _strided,
    "read-only": _read_only,
    "unaligned": _unaligned,
}


def freeze(*arrays):
    """Make arrays read-only and give their bytes, to be compared after a call."""
    for a in arrays:
        a.flags.writeable = False
    return [a.tobytes() for a in arrays]


def is_channels_last(a):
    """Whether a (n, c, h, w) array is a C-contiguous (n, h, w, c) array in memory."""
    return a.transpose(0, 2, 3, 1).flags.c_contiguous
