"""What the passes of Winograd's convolution share: the tiles of a map; and what plan.pyx takes from winograd.pyx."""

from convnet.kernels.correlation cimport Convolution as Settings, Upstream, ceil_div
from convnet.kernels.runtime cimport cn_kernels

# GROUP: tiles of a group. 64 channels, 112 x 112 pixels, AVX-512, one thread: 555 GFLOP/s (counted as for the direct
# sum), with 32 tiles 529, with 96 483; 256 channels, 28 x 28: 469, with 32 tiles 429.
# FEW_TASKS: tasks at least, where the shape allows it.
cdef enum:
    POINTS = 36
    TILE = 4        # outputs a side
    TAPS = 9
    LINE = 64       # bytes
    GROUP = 64
    FEW_TASKS = 16


cdef inline Py_ssize_t padded(Py_ssize_t elements, Py_ssize_t item) noexcept nogil:
    """Elements of a plane: whole cache lines and one more."""
    return (ceil_div(elements * item, LINE) + 1) * LINE // item


cdef inline Py_ssize_t whole(const cn_kernels *kernels, Py_ssize_t channels) noexcept nogil:
    return ceil_div(channels, kernels.lanes) * kernels.lanes


cdef struct Grid:
    # A map (n, h, w, c) cut into tiles, `down` x `across` an image, whose first pixels are 4 apart
    const cn_kernels *kernels
    Py_ssize_t item, h, w, c
    const char *map
    const Upstream *upstream               # in place of `map` behind fused layers, or NULL
    Py_ssize_t span, top, left             # pixels of a tile a side; how far the first one begins outside the map
    Py_ssize_t down, across
    Py_ssize_t plane, step                 # elements from point to point, from tile to tile, once transformed


cdef struct Wanted:
    # Of which channels; `strip` is room for strip_bytes(), `sums`, or NULL, receives the sums over the tiles' pixels
    Py_ssize_t channel, channels
    char *strip
    char *sums


cdef Py_ssize_t strip_bytes(const Grid *g, Py_ssize_t tiles) noexcept nogil

# Transform tiles [first, first + tiles), counted through all images.
cdef void transform_tiles(const Grid *g, Py_ssize_t first, Py_ssize_t tiles, const Wanted *q, char *to) noexcept nogil


# All of a forward pass but its arrays, with transformed weights; `finish_winograd` releases it. `b` must outlive it.
cdef void *plan_winograd(const Settings *layer, const char *w_oihw, const char *b) except NULL
cdef void finish_winograd(void *plan) noexcept nogil

# For n images; False when out of memory.
cdef bint run_winograd(const void *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc) noexcept nogil
