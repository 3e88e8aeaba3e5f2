# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Depthwise convolution: each channel has a filter of its own, so vectors run over channels.

For every row and every column of the result a table lists the taps that lie inside the source. Columns with the same
taps, evenly spaced, form a run (the borders, and the middle, which needs no checks); a micro-kernel handles a run.
The data gradient is the same sum with other tables: element i of the input is reached by the taps t for which
i + before - t * dilation is a multiple of the stride.

Tasks are (image, block of rows, slice of channels), those of the weight gradient (chunk of rows, slice of channels).
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from convnet.kernels.runtime cimport (
    alloc, cn_depthwise_run, cn_kernels, kernels_for, num_threads, parallel_for, release,
)

ctypedef fused real:
    float
    double

cdef Py_ssize_t BLOCK_ROWS = 16
# The source rows under a row of the result, in one slice of channels: they must stay in L1 until the next row.
cdef Py_ssize_t SLICE_BYTES = 24 * 1024
cdef Py_ssize_t SLICE = 64             # channels of a slice: a multiple of it
cdef Py_ssize_t MOST_CHUNKS = 16       # of the weight gradient, each with a buffer of its own
cdef Py_ssize_t CHUNK_PIXELS = 256     # a buffer is worth its summation from there on


cdef struct Axis:
    Py_ssize_t source, out, taps       # elements of the source and of the result, taps of the kernel
    Py_ssize_t source_step, out_step   # from one element of a run to the next
    Py_ssize_t *count                  # for each element of the result: how many taps lie in the source,
    Py_ssize_t *tap                    # which,
    Py_ssize_t *at                     # and where


cdef struct Depthwise:
    const cn_kernels *kernels
    Py_ssize_t item, n, c, slice, slices, blocks
    Axis y, x
    Py_ssize_t runs
    Py_ssize_t *run_start
    Py_ssize_t *run_pixels
    Py_ssize_t *tables                 # for each worker: offsets of the taps in the source, then in the weights
    Py_ssize_t table                   # elements of one worker's
    bint relu
    const char *source
    const char *weights                # (taps, channels)
    const char *bias                   # or NULL
    char *result
    const char *dy                     # weight gradient only, from here on
    char *parts                        # for each chunk: the sums (taps, channels), then those of the bias
    Py_ssize_t chunks, part            # part: elements of one
    char *dw
    char *db


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t most(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


# ---- tables ----------------------------------------------------------------------------------------------------------


cdef bint make_axis(Axis *a, Py_ssize_t source, Py_ssize_t out, Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t before,
                    Py_ssize_t dilation, bint gradient) except False:
    cdef Py_ssize_t i, k, t, n, at
    a.source, a.out, a.taps = source, out, taps
    a.source_step, a.out_step = 1 if gradient else stride, stride if gradient else 1
    a.count = <Py_ssize_t *> alloc(out * (2 * taps + 1) * sizeof(Py_ssize_t))
    if a.count == NULL:
        raise MemoryError("conv2d: no memory for the tables of a depthwise convolution")
    a.tap, a.at = a.count + out, a.count + out * (taps + 1)
    for i in range(out):
        n = 0
        for k in range(taps):
            t = taps - 1 - k if gradient else k  # along the source
            at = i + before - t * dilation if gradient else i * stride + t * dilation - before
            if gradient:
                at = at // stride if at >= 0 and at % stride == 0 else -1
            if 0 <= at < source:
                a.tap[i * taps + n], a.at[i * taps + n] = t, at
                n += 1
        a.count[i] = n
    return True


cdef bint same_taps(Axis *a, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Whether j sees the taps of i, moved by one step of a run."""
    cdef Py_ssize_t t
    if a.count[i] != a.count[j]:
        return False
    for t in range(a.count[i]):
        if a.tap[i * a.taps + t] != a.tap[j * a.taps + t]:
            return False
    return True


cdef bint make_runs(Depthwise *d) except False:
    cdef Axis *a = &d.x
    cdef Py_ssize_t phase, start, end
    d.runs = 0
    d.run_start = <Py_ssize_t *> alloc(2 * a.out * sizeof(Py_ssize_t))
    if d.run_start == NULL:
        raise MemoryError("conv2d: no memory for the tables of a depthwise convolution")
    d.run_pixels = d.run_start + a.out
    for phase in range(least(a.out_step, a.out)):
        start = phase
        while start < a.out:
            end = start + a.out_step
            while end < a.out and same_taps(a, start, end):
                end += a.out_step
            d.run_start[d.runs], d.run_pixels[d.runs] = start, (end - start) // a.out_step
            d.runs += 1
            start = end
    return True


cdef void clear(Depthwise *d) noexcept nogil:
    d.y.count = d.x.count = d.run_start = d.tables = NULL
    d.bias = d.weights = NULL
    d.parts = NULL
    d.relu = False


cdef void finish(Depthwise *d) noexcept nogil:
    release(d.y.count)
    release(d.x.count)
    release(d.run_start)
    release(d.tables)
    release(d.parts)


cdef bint prepare(Depthwise *d) except False:
    """What follows from the axes."""
    make_runs(d)
    d.kernels = kernels_for(<int> d.item, d.c <= 8)
    d.slice = most(1, SLICE_BYTES // (d.y.taps * most(1, d.x.source) * d.item * SLICE)) * SLICE
    d.slices, d.blocks = ceil_div(d.c, d.slice), ceil_div(d.y.out, BLOCK_ROWS)
    d.table = ceil_div(2 * d.y.taps * d.x.taps, 16) * 16  # no cache line belongs to two workers
    d.tables = <Py_ssize_t *> alloc(d.table * num_threads() * sizeof(Py_ssize_t))
    if d.tables == NULL:
        raise MemoryError("conv2d: no memory for the tables of a depthwise convolution")
    return True


cdef void set_run(Depthwise *d, Py_ssize_t row, Py_ssize_t r, Py_ssize_t *table, cn_depthwise_run *run) noexcept nogil:
    """Run r of a row: offsets from the first element of an image, and from the first weight."""
    cdef Py_ssize_t i, j, t = 0, col = d.run_start[r]
    cdef Py_ssize_t *w_tap = table + d.y.taps * d.x.taps
    for i in range(row * d.y.taps, row * d.y.taps + d.y.count[row]):
        for j in range(col * d.x.taps, col * d.x.taps + d.x.count[col]):
            table[t] = (d.y.at[i] * d.x.source + d.x.at[j]) * d.c
            w_tap[t] = (d.y.tap[i] * d.x.taps + d.x.tap[j]) * d.c
            t += 1
    run.pixels, run.taps, run.x_tap, run.w_tap = d.run_pixels[r], t, <ptrdiff_t *> table, <ptrdiff_t *> w_tap
    run.row = d.x.count[col]
    run.gap = table[1] - table[0] if t > 1 and run.row > 1 else 0
    run.x_step, run.y_step = d.x.source_step * d.c, d.x.out_step * d.c


cdef inline double elements(Depthwise *d) noexcept nogil:
    return <double> d.n * d.c * (<double> d.y.out * d.x.out + <double> d.y.source * d.x.source)


# ---- forward pass and data gradient ----------------------------------------------------------------------------------


cdef void rows_of_slice(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Depthwise *d = <Depthwise *> job
    cdef Py_ssize_t channel = index % d.slices * d.slice, block = index // d.slices % d.blocks
    cdef Py_ssize_t image = index // d.slices // d.blocks, row, r, to
    cdef const char *source = d.source + (image * d.y.source * d.x.source * d.c + channel) * d.item
    cdef const char *bias = NULL if d.bias == NULL else d.bias + channel * d.item
    cdef cn_depthwise_run run
    run.channels = least(d.slice, d.c - channel)
    for row in range(block * BLOCK_ROWS, least((block + 1) * BLOCK_ROWS, d.y.out)):
        for r in range(d.runs):
            set_run(d, row, r, d.tables + worker * d.table, &run)
            to = ((image * d.y.out + row) * d.x.out + d.run_start[r]) * d.c + channel
            d.kernels.depthwise(d.result + to * d.item, source, d.weights + channel * d.item, bias, d.relu, &run)


cdef bint fill(Depthwise *d, const char *w) except False:
    """All of the result, with weights (channels, taps)."""
    cdef Py_ssize_t taps = d.y.taps * d.x.taps
    cdef char *weights
    prepare(d)
    weights = <char *> alloc(taps * d.c * d.item)
    if weights == NULL:
        raise MemoryError("conv2d: no memory for the packed weights of a depthwise convolution")
    d.weights = weights
    with nogil:
        d.kernels.transpose(weights, w, d.c, taps, d.c, taps)
        parallel_for(rows_of_slice, d, d.n * d.blocks * d.slices, 8.0 * d.item * elements(d))
    release(weights)
    return True


def depthwise_forward(
    const real[:, :, :, ::1] x_nhwc, const real[:, :, :, ::1] w_oihw, const real[::1] b, real[:, :, :, ::1] y_nhwc,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, bint relu,
):
    """As `conv2d_forward` with as many groups as channels and outputs; ``b`` may be None."""
    cdef Depthwise d
    clear(&d)
    d.n, d.c, d.item, d.relu = x_nhwc.shape[0], x_nhwc.shape[3], sizeof(real), relu
    d.source, d.result = <const char *> &x_nhwc[0, 0, 0, 0], <char *> &y_nhwc[0, 0, 0, 0]
    d.bias = NULL if b is None else <const char *> &b[0]
    try:
        make_axis(&d.y, x_nhwc.shape[1], y_nhwc.shape[1], w_oihw.shape[2], stride_y, top, dilation_y, False)
        make_axis(&d.x, x_nhwc.shape[2], y_nhwc.shape[2], w_oihw.shape[3], stride_x, left, dilation_x, False)
        fill(&d, <const char *> &w_oihw[0, 0, 0, 0])
    finally:
        finish(&d)


def depthwise_data_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] w_oihw, real[:, :, :, ::1] dx_nhwc,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x,
):
    """dx = the gradient of `depthwise_forward` with respect to x; dx_nhwc is overwritten."""
    cdef Depthwise d
    clear(&d)
    d.n, d.c, d.item = dx_nhwc.shape[0], dx_nhwc.shape[3], sizeof(real)
    d.source, d.result = <const char *> &dy_nhwc[0, 0, 0, 0], <char *> &dx_nhwc[0, 0, 0, 0]
    try:
        make_axis(&d.y, dy_nhwc.shape[1], dx_nhwc.shape[1], w_oihw.shape[2], stride_y, top, dilation_y, True)
        make_axis(&d.x, dy_nhwc.shape[2], dx_nhwc.shape[2], w_oihw.shape[3], stride_x, left, dilation_x, True)
        fill(&d, <const char *> &w_oihw[0, 0, 0, 0])
    finally:
        finish(&d)


# ---- weight gradient -------------------------------------------------------------------------------------------------


cdef void chunk_of_slice(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """The sums over one chunk of all images' rows."""
    cdef Depthwise *d = <Depthwise *> job
    cdef Py_ssize_t channel = index % d.slices * d.slice, chunk = index // d.slices, rows = d.n * d.y.out
    cdef Py_ssize_t taps = d.y.taps * d.x.taps, line, t, r, row
    cdef char *part = d.parts + (chunk * d.part + channel) * d.item
    cdef const char *source
    cdef const char *dy
    cdef cn_depthwise_run run
    run.channels = least(d.slice, d.c - channel)
    for t in range(taps + 1):
        memset(part + t * d.c * d.item, 0, run.channels * d.item)
    for line in range(chunk * rows // d.chunks, (chunk + 1) * rows // d.chunks):
        row = line % d.y.out
        source = d.source + (line // d.y.out * d.y.source * d.x.source * d.c + channel) * d.item
        dy = d.dy + (line * d.x.out * d.c + channel) * d.item
        for r in range(d.runs if d.dw != NULL else 0):
            set_run(d, row, r, d.tables + worker * d.table, &run)
            d.kernels.depthwise_weights(part, dy + d.run_start[r] * d.c * d.item, source, &run)
        if d.db != NULL:
            d.kernels.column_sums(part + taps * d.c * d.item, dy, d.x.out, run.channels, d.c)


cdef void add_slice(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """Add the chunks' sums pairwise, in a tree that depends on their number alone, and the total to dw and db."""
    cdef Depthwise *d = <Depthwise *> job
    cdef Py_ssize_t channel = index * d.slice, channels = least(d.slice, d.c - channel)
    cdef Py_ssize_t taps = d.y.taps * d.x.taps, distance = 1, chunk, t
    cdef int32_t origin = 0
    cdef char *total = d.parts + channel * d.item
    cdef char *at
    while distance < d.chunks:
        chunk = 0
        while chunk + distance < d.chunks:
            for t in range(taps + 1):
                at = total + (chunk * d.part + t * d.c) * d.item
                d.kernels.add(at, at + distance * d.part * d.item, channels)
            chunk += 2 * distance
        distance *= 2
    if d.dw != NULL:
        for t in range(taps):
            d.kernels.scatter_add(d.dw + (channel * taps + t) * d.item, total + t * d.c * d.item, &origin, 1, taps,
                                  channels, 0)
    if d.db != NULL:
        d.kernels.add(d.db + channel * d.item, total + taps * d.c * d.item, channels)


def depthwise_weight_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] x_nhwc, real[:, :, :, ::1] dw_oihw, real[::1] db,
    Py_ssize_t kh, Py_ssize_t kw, Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x,
):
    """Add the gradients with respect to w and b of `depthwise_forward` to ``dw_oihw`` and ``db`` (or None)."""
    cdef Depthwise d
    clear(&d)
    d.n, d.c, d.item = x_nhwc.shape[0], x_nhwc.shape[3], sizeof(real)
    if dy_nhwc.shape[0] == 0 or dy_nhwc.shape[1] == 0 or dy_nhwc.shape[2] == 0:
        return
    d.source, d.dy = <const char *> &x_nhwc[0, 0, 0, 0], <const char *> &dy_nhwc[0, 0, 0, 0]
    d.dw = NULL if dw_oihw is None else <char *> &dw_oihw[0, 0, 0, 0]
    d.db = NULL if db is None else <char *> &db[0]
    d.part = (kh * kw + 1) * d.c
    d.chunks = least(MOST_CHUNKS, d.n * dy_nhwc.shape[1])
    d.chunks = most(1, least(d.chunks, d.n * dy_nhwc.shape[1] * dy_nhwc.shape[2] // CHUNK_PIXELS))
    try:
        make_axis(&d.y, x_nhwc.shape[1], dy_nhwc.shape[1], kh, stride_y, top, dilation_y, False)
        make_axis(&d.x, x_nhwc.shape[2], dy_nhwc.shape[2], kw, stride_x, left, dilation_x, False)
        prepare(&d)
        d.parts = <char *> alloc(d.chunks * d.part * d.item)
        if d.parts == NULL:
            raise MemoryError("conv2d: no memory for the partial sums of a weight gradient")
        with nogil:
            parallel_for(chunk_of_slice, &d, d.chunks * d.slices, 8.0 * d.item * elements(&d))
            parallel_for(add_slice, &d, d.slices, 32.0 * d.part * d.chunks)
    finally:
        finish(&d)
