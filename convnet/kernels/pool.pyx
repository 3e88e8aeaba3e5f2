# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Max and average pooling over channels-last maps.

An output row is cut into runs of pixels whose windows see the same taps (the edges, where a window reaches into the
padding, and the middle); a micro-kernel handles a run with vectors over channels. Adaptive windows differ in size:
there a run is one pixel. Tasks are (image, slice of channels), so that the gradient's overlapping windows never meet
in two tasks.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from convnet.errors import UnsupportedError

from convnet.kernels.runtime cimport alloc, cn_kernels, cn_pool_run, kernels_for, num_threads, parallel_for, release

ctypedef fused real:
    float
    double

# Channels of a task: whole cache lines, and enough tasks for a single image with many channels.
cdef Py_ssize_t SLICE = 64
cdef Py_ssize_t MOST_OFFSET = 2**31 - 1  # of a tap in its window


cdef struct Axis:
    Py_ssize_t size, out, taps, step, spread, before
    Py_ssize_t behind   # padding behind that counts as part of the map (average pooling)


cdef struct Pool:
    const cn_kernels *kernels
    Py_ssize_t item, c, slices
    Axis y, x
    bint average, gradient, count_padding
    int code_bytes
    const char *source      # forward: the input; gradient: dy
    char *result            # forward: the output; gradient: dx
    char *codes             # max pooling, or NULL
    int32_t *taps           # for each worker: offsets, then codes


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t most(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t first_tap(Axis *a, Py_ssize_t out) noexcept nogil:
    """The first tap of output `out` inside the map."""
    return (most(a.before - out * a.step, 0) + a.spread - 1) // a.spread


cdef inline Py_ssize_t end_tap(Axis *a, Py_ssize_t out) noexcept nogil:
    """One behind the last tap of output `out` inside the map."""
    return least(a.taps, (a.size + a.before - out * a.step - 1) // a.spread + 1)


cdef inline Py_ssize_t counted(Axis *a, Py_ssize_t out, bint count_padding) noexcept nogil:
    """How many elements of the window of output `out` an average divides by: never those behind the padding."""
    cdef Py_ssize_t start = out * a.step - a.before, end = least(start + a.taps, a.size + a.behind)
    return end - start if count_padding else least(end, a.size) - most(start, 0)


cdef Py_ssize_t end_of_run(Pool *p, Py_ssize_t out) noexcept nogil:
    """The first output column after `out` whose window sees other taps."""
    cdef Py_ssize_t first = first_tap(&p.x, out), end = end_tap(&p.x, out)
    cdef Py_ssize_t count = counted(&p.x, out, p.count_padding), behind = out + 1
    while (behind < p.x.out and first_tap(&p.x, behind) == first and end_tap(&p.x, behind) == end
            and counted(&p.x, behind, p.count_padding) == count):
        behind += 1
    return behind


cdef void pool_run(Pool *p, Py_ssize_t image, Py_ssize_t channel, Py_ssize_t row, Py_ssize_t col, Py_ssize_t end,
                   cn_pool_run *run, int32_t *offsets) noexcept nogil:
    """Outputs [col, end) of a row."""
    cdef Py_ssize_t i, j, t = 0
    cdef Py_ssize_t map_row = p.x.size * p.c, y0 = row * p.y.step - p.y.before, x0 = col * p.x.step - p.x.before
    cdef int32_t *codes = offsets + p.y.taps * p.x.taps
    cdef Py_ssize_t in_map = image * p.y.size * map_row + y0 * map_row + x0 * p.c + channel
    cdef Py_ssize_t in_out = ((image * p.y.out + row) * p.x.out + col) * p.c + channel
    for i in range(first_tap(&p.y, row), end_tap(&p.y, row)):
        for j in range(first_tap(&p.x, col), end_tap(&p.x, col)):
            offsets[t] = <int32_t> (i * p.y.spread * map_row + j * p.x.spread * p.c)
            codes[t] = <int32_t> (i * p.x.taps + j)
            t += 1
    run.taps, run.pixels, run.tap_offset, run.tap_code = t, end - col, offsets, codes
    if p.average:
        run.scale = 1.0 / (counted(&p.y, row, p.count_padding) * counted(&p.x, col, p.count_padding))
    apply(p, run, in_map, in_out)


cdef void apply(Pool *p, cn_pool_run *run, Py_ssize_t in_map, Py_ssize_t in_out) noexcept nogil:
    cdef char *at_codes = NULL if p.codes == NULL else p.codes + in_out * p.code_bytes
    if p.average:
        if p.gradient:
            p.kernels.average_pool_gradient(p.result + in_map * p.item, p.source + in_out * p.item, run)
        else:
            p.kernels.average_pool(p.result + in_out * p.item, p.source + in_map * p.item, run)
    elif p.gradient:
        p.kernels.max_pool_gradient(p.result + in_map * p.item, p.source + in_out * p.item, at_codes, run)
    else:
        p.kernels.max_pool(p.result + in_out * p.item, at_codes, p.source + in_map * p.item, run)


cdef void clear_slice(Pool *p, Py_ssize_t image, Py_ssize_t channel, Py_ssize_t channels) noexcept nogil:
    cdef Py_ssize_t pixels = p.y.size * p.x.size, i
    cdef char *at = p.result + (image * pixels * p.c + channel) * p.item
    if channels == p.c:
        memset(at, 0, pixels * p.c * p.item)
        return
    for i in range(pixels):
        memset(at + i * p.c * p.item, 0, channels * p.item)


cdef void pool_slice(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One slice of channels of one image."""
    cdef Pool *p = <Pool *> job
    cdef Py_ssize_t image = index // p.slices, channel = index % p.slices * SLICE, row, col, end
    cdef int32_t *offsets = p.taps + worker * 2 * p.y.taps * p.x.taps
    cdef cn_pool_run run
    run.channels = least(SLICE, p.c - channel)
    run.x_step, run.y_step, run.code_bytes = p.x.step * p.c, p.c, p.code_bytes
    if p.gradient:
        clear_slice(p, image, channel, run.channels)
    for row in range(p.y.out):
        col = 0
        while col < p.x.out:
            end = end_of_run(p, col)
            pool_run(p, image, channel, row, col, end, &run, offsets)
            col = end


cdef inline Py_ssize_t adaptive_start(Axis *a, Py_ssize_t out) noexcept nogil:
    return out * a.size // a.out


cdef inline Py_ssize_t adaptive_end(Axis *a, Py_ssize_t out) noexcept nogil:
    return ((out + 1) * a.size + a.out - 1) // a.out


cdef void adaptive_pixel(Pool *p, Py_ssize_t image, Py_ssize_t channel, Py_ssize_t row, Py_ssize_t col,
                         cn_pool_run *run, int32_t *offsets) noexcept nogil:
    cdef Py_ssize_t y0 = adaptive_start(&p.y, row), height = adaptive_end(&p.y, row) - y0
    cdef Py_ssize_t x0 = adaptive_start(&p.x, col), width = adaptive_end(&p.x, col) - x0, i, j
    cdef int32_t *codes = offsets + p.y.taps * p.x.taps
    for i in range(height):
        for j in range(width):
            offsets[i * width + j] = <int32_t> ((i * p.x.size + j) * p.c)
            codes[i * width + j] = <int32_t> (i * width + j)
    run.taps, run.tap_offset, run.tap_code, run.scale = height * width, offsets, codes, 1.0 / (height * width)
    apply(p, run, ((image * p.y.size + y0) * p.x.size + x0) * p.c + channel,
          ((image * p.y.out + row) * p.x.out + col) * p.c + channel)


cdef void adaptive_slice(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One slice of channels of one image."""
    cdef Pool *p = <Pool *> job
    cdef Py_ssize_t image = index // p.slices, channel = index % p.slices * SLICE, row, col
    cdef int32_t *offsets = p.taps + worker * 2 * p.y.taps * p.x.taps
    cdef cn_pool_run run
    run.pixels, run.channels, run.code_bytes = 1, least(SLICE, p.c - channel), p.code_bytes
    run.x_step = run.y_step = 0
    if p.gradient:
        clear_slice(p, image, channel, run.channels)
    for row in range(p.y.out):
        for col in range(p.x.out):
            adaptive_pixel(p, image, channel, row, col, &run, offsets)


cdef void pool_axis(Axis *a, Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps, Py_ssize_t step, Py_ssize_t pad,
                    Py_ssize_t spread) noexcept nogil:
    a.size, a.out, a.taps, a.step, a.before, a.behind, a.spread = size, out, taps, step, pad, pad, spread


cdef void adaptive_axis(Axis *a, Py_ssize_t size, Py_ssize_t out) noexcept nogil:
    """`taps`: of the largest window."""
    cdef Py_ssize_t i
    a.size, a.out, a.spread, a.step, a.before, a.behind, a.taps = size, out, 1, 1, 0, 0, 0
    for i in range(out):
        a.taps = most(a.taps, adaptive_end(a, i) - adaptive_start(a, i))


cdef bint run(Pool *p, Py_ssize_t n, bint adaptive) except False:
    cdef double work = <double> n * p.y.out * p.x.out * p.c * p.y.taps * p.x.taps
    if p.y.taps * p.y.spread * p.x.size * p.c > MOST_OFFSET:
        raise UnsupportedError(
            f"pool2d: expected rows under one window to have at most {MOST_OFFSET} elements, "
            f"got {p.y.taps * p.y.spread} rows of {p.x.size * p.c}"
        )
    p.slices = (p.c + SLICE - 1) // SLICE
    p.taps = <int32_t *> alloc(2 * p.y.taps * p.x.taps * num_threads() * sizeof(int32_t))
    if p.taps == NULL:
        raise MemoryError("pool2d: no memory for the tables of a pooling")
    with nogil:
        parallel_for(adaptive_slice if adaptive else pool_slice, p, n * p.slices, 20 * work)
    release(p.taps)
    return True


def max_pool2d_forward(
    const real[:, :, :, ::1] x_nhwc, real[:, :, :, ::1] y_nhwc, uint8_t[:, :, :, ::1] codes,
    Py_ssize_t kh, Py_ssize_t kw, Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t pad_y, Py_ssize_t pad_x,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x,
):
    """y = the largest element of each window, codes = the bytes of its position in the window; may be None."""
    cdef Pool p
    if y_nhwc.shape[0] == 0 or y_nhwc.shape[3] == 0:
        return
    p.kernels, p.item, p.c = kernels_for(sizeof(real), x_nhwc.shape[3] <= 8), sizeof(real), x_nhwc.shape[3]
    pool_axis(&p.y, x_nhwc.shape[1], y_nhwc.shape[1], kh, stride_y, pad_y, dilation_y)
    pool_axis(&p.x, x_nhwc.shape[2], y_nhwc.shape[2], kw, stride_x, pad_x, dilation_x)
    p.average = p.gradient = p.count_padding = False
    p.source, p.result = <const char *> &x_nhwc[0, 0, 0, 0], <char *> &y_nhwc[0, 0, 0, 0]
    p.codes = NULL if codes is None else <char *> &codes[0, 0, 0, 0]
    p.code_bytes = 0 if codes is None else <int> (codes.shape[3] // p.c)
    run(&p, x_nhwc.shape[0], False)


def max_pool2d_gradient(
    const real[:, :, :, ::1] dy_nhwc, const uint8_t[:, :, :, ::1] codes, real[:, :, :, ::1] dx_nhwc,
    Py_ssize_t kh, Py_ssize_t kw, Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t pad_y, Py_ssize_t pad_x,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x,
):
    """dx = each element of dy at the place its code names; overlapping windows add up."""
    cdef Pool p
    if dx_nhwc.shape[0] == 0 or dx_nhwc.shape[3] == 0:
        return
    p.kernels, p.item, p.c = kernels_for(sizeof(real), dx_nhwc.shape[3] <= 8), sizeof(real), dx_nhwc.shape[3]
    pool_axis(&p.y, dx_nhwc.shape[1], dy_nhwc.shape[1], kh, stride_y, pad_y, dilation_y)
    pool_axis(&p.x, dx_nhwc.shape[2], dy_nhwc.shape[2], kw, stride_x, pad_x, dilation_x)
    p.average, p.gradient, p.count_padding = False, True, False
    p.source, p.result = <const char *> &dy_nhwc[0, 0, 0, 0], <char *> &dx_nhwc[0, 0, 0, 0]
    p.codes, p.code_bytes = <char *> &codes[0, 0, 0, 0], <int> (codes.shape[3] // p.c)
    run(&p, dx_nhwc.shape[0], False)


cdef bint average(const char *source, char *result, Py_ssize_t n, Py_ssize_t c, int item, Axis y, Axis x, bint gradient,
                  bint count_include_pad, bint adaptive) except False:
    cdef Pool p
    p.kernels, p.item, p.c, p.y, p.x = kernels_for(item, c <= 8), item, c, y, x
    p.average, p.gradient, p.count_padding = True, gradient, count_include_pad
    p.source, p.result, p.codes, p.code_bytes = source, result, NULL, 0
    return run(&p, n, adaptive)


def average_pool2d_forward(
    const real[:, :, :, ::1] x_nhwc, real[:, :, :, ::1] y_nhwc, Py_ssize_t kh, Py_ssize_t kw,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t pad_y, Py_ssize_t pad_x, bint count_include_pad,
):
    """y = the mean of each window, padding counted as zeros if `count_include_pad`."""
    cdef Axis y, x
    if y_nhwc.shape[0] == 0 or y_nhwc.shape[3] == 0:
        return
    pool_axis(&y, x_nhwc.shape[1], y_nhwc.shape[1], kh, stride_y, pad_y, 1)
    pool_axis(&x, x_nhwc.shape[2], y_nhwc.shape[2], kw, stride_x, pad_x, 1)
    average(<const char *> &x_nhwc[0, 0, 0, 0], <char *> &y_nhwc[0, 0, 0, 0], x_nhwc.shape[0], x_nhwc.shape[3],
            sizeof(real), y, x, False, count_include_pad, False)


def average_pool2d_gradient(
    const real[:, :, :, ::1] dy_nhwc, real[:, :, :, ::1] dx_nhwc, Py_ssize_t kh, Py_ssize_t kw,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t pad_y, Py_ssize_t pad_x, bint count_include_pad,
):
    """dx = each element of dy shared evenly among the elements of its window."""
    cdef Axis y, x
    if dx_nhwc.shape[0] == 0 or dx_nhwc.shape[3] == 0:
        return
    pool_axis(&y, dx_nhwc.shape[1], dy_nhwc.shape[1], kh, stride_y, pad_y, 1)
    pool_axis(&x, dx_nhwc.shape[2], dy_nhwc.shape[2], kw, stride_x, pad_x, 1)
    average(<const char *> &dy_nhwc[0, 0, 0, 0], <char *> &dx_nhwc[0, 0, 0, 0], dx_nhwc.shape[0], dx_nhwc.shape[3],
            sizeof(real), y, x, True, count_include_pad, False)


# ---- adaptive pooling ----------------------------------------------------------------------------------------------


def adaptive_average_pool2d_forward(const real[:, :, :, ::1] x_nhwc, real[:, :, :, ::1] y_nhwc):
    """y[i, j] = the mean of rows i h / oh to (i + 1) h / oh and columns j w / ow to (j + 1) w / ow, rounded outwards."""
    cdef Axis y, x
    if y_nhwc.shape[0] == 0 or y_nhwc.shape[3] == 0:
        return
    adaptive_axis(&y, x_nhwc.shape[1], y_nhwc.shape[1])
    adaptive_axis(&x, x_nhwc.shape[2], y_nhwc.shape[2])
    average(<const char *> &x_nhwc[0, 0, 0, 0], <char *> &y_nhwc[0, 0, 0, 0], x_nhwc.shape[0], x_nhwc.shape[3],
            sizeof(real), y, x, False, False, True)


def adaptive_average_pool2d_gradient(const real[:, :, :, ::1] dy_nhwc, real[:, :, :, ::1] dx_nhwc):
    """dx = each element of dy shared evenly among the elements of its window."""
    cdef Axis y, x
    if dx_nhwc.shape[0] == 0 or dx_nhwc.shape[3] == 0:
        return
    adaptive_axis(&y, dx_nhwc.shape[1], dy_nhwc.shape[1])
    adaptive_axis(&x, dx_nhwc.shape[2], dy_nhwc.shape[2])
    average(<const char *> &dy_nhwc[0, 0, 0, 0], <char *> &dx_nhwc[0, 0, 0, 0], dx_nhwc.shape[0], dx_nhwc.shape[3],
            sizeof(real), y, x, True, False, True)


def adaptive_max_pool2d_forward(
    const real[:, :, :, ::1] x_nhwc, real[:, :, :, ::1] y_nhwc, uint8_t[:, :, :, ::1] codes
):
    """y = the largest element of each window, codes = the bytes of its position in the window; may be None."""
    cdef Pool p
    if y_nhwc.shape[0] == 0 or y_nhwc.shape[3] == 0:
        return
    p.kernels, p.item, p.c = kernels_for(sizeof(real), x_nhwc.shape[3] <= 8), sizeof(real), x_nhwc.shape[3]
    adaptive_axis(&p.y, x_nhwc.shape[1], y_nhwc.shape[1])
    adaptive_axis(&p.x, x_nhwc.shape[2], y_nhwc.shape[2])
    p.average = p.gradient = p.count_padding = False
    p.source, p.result = <const char *> &x_nhwc[0, 0, 0, 0], <char *> &y_nhwc[0, 0, 0, 0]
    p.codes = NULL if codes is None else <char *> &codes[0, 0, 0, 0]
    p.code_bytes = 0 if codes is None else <int> (codes.shape[3] // p.c)
    run(&p, x_nhwc.shape[0], True)


def adaptive_max_pool2d_gradient(
    const real[:, :, :, ::1] dy_nhwc, const uint8_t[:, :, :, ::1] codes, real[:, :, :, ::1] dx_nhwc
):
    """dx = each element of dy at the place its code names; overlapping windows add up."""
    cdef Pool p
    if dx_nhwc.shape[0] == 0 or dx_nhwc.shape[3] == 0:
        return
    p.kernels, p.item, p.c = kernels_for(sizeof(real), dx_nhwc.shape[3] <= 8), sizeof(real), dx_nhwc.shape[3]
    adaptive_axis(&p.y, dx_nhwc.shape[1], dy_nhwc.shape[1])
    adaptive_axis(&p.x, dx_nhwc.shape[2], dy_nhwc.shape[2])
    p.average, p.gradient, p.count_padding = False, True, False
    p.source, p.result = <const char *> &dy_nhwc[0, 0, 0, 0], <char *> &dx_nhwc[0, 0, 0, 0]
    p.codes, p.code_bytes = <char *> &codes[0, 0, 0, 0], <int> (codes.shape[3] // p.c)
    run(&p, dx_nhwc.shape[0], True)
