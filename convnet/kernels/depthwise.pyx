# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Depthwise convolution and that of small groups: vectors run over channels, each of which has a filter of its own.

For every row and every column of the result a table lists the taps that lie inside the source. Columns with the same
taps, evenly spaced, form a run (the borders, and the middle, which needs no checks); a micro-kernel handles a run.
The data gradient is the same sum with other tables: element i of the input is reached by the taps t for which
i + before - t * dilation is a multiple of the stride.

With several channels a group, the k-th channel of each group is spread over the vector of the group's results, for
each k; the convolution is then depthwise with so many times the taps. The rows of one vector of channels that a row of
the result needs are kept so, between columns of zeros, in a ring that lies in L1. 128 x 56 x 56, 3 x 3 taps, 4 channels
a group, AVX-512, one thread: 0.88 ms as a product for each group, 0.41 ms so.

Tasks are (image, block of rows, slice of channels), those of the weight gradient (chunk of rows, slice of channels).
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from convnet.kernels.runtime cimport (
    alloc, cn_depthwise_run, cn_kernels, cn_spread, kernels_for, num_threads, parallel_for, release,
)

ctypedef fused real:
    float
    double

cdef Py_ssize_t BLOCK_ROWS = 16
# The source rows under a row of the result, in one slice of channels: they must stay in L1 until the next row.
cdef Py_ssize_t SLICE_BYTES = 24 * 1024
cdef Py_ssize_t SLICE = 64             # channels of a slice: a multiple of it
# A ring of spread rows, in L1 with a row of the result; and the fewest pixels beside the columns that two tiles share.
cdef Py_ssize_t RING_BYTES = 24 * 1024
cdef Py_ssize_t TILE = 14
cdef Py_ssize_t MOST_CHUNKS = 16       # of the weight gradient, each with a buffer of its own
cdef Py_ssize_t CHUNK_PIXELS = 256     # a buffer is worth its summation from there on


cdef struct Axis:
    Py_ssize_t source, out, taps       # elements of the source and of the result, taps of the kernel
    Py_ssize_t lead, width             # zeros in front of the source, where it is copied, and the length with them
    Py_ssize_t source_step, out_step   # from one element of a run to the next
    Py_ssize_t *count                  # for each element of the result: how many taps lie in the source,
    Py_ssize_t *tap                    # which,
    Py_ssize_t *at                     # and where


cdef struct Depthwise:
    const cn_kernels *kernels
    Py_ssize_t item, n, c, slice, slices, blocks   # c: channels of the result
    Py_ssize_t per, every, source_c    # channels of a group in the source and in the result; all of the source
    bint spreads                       # whether a group has several
    Axis y, x
    Py_ssize_t *first                  # for each row of the result: the first row of the source for it and those below
    Py_ssize_t ring, ring_bytes        # rows that a row needs, as spread; their bytes
    Py_ssize_t tile, tiles             # pixels of a run that are computed together, where a ring holds no whole rows
    Py_ssize_t row_pixels              # from a row of the source, or of the ring, to the next
    Py_ssize_t x_pixel                 # elements from a pixel to the next, of the source or as spread
    Py_ssize_t plane                   # elements of the weights from a channel of a group to the next
    int32_t *index                     # for each slice: the source's channels in its vectors
    char *rings                        # one for each worker
    Py_ssize_t runs
    Py_ssize_t *run_start
    Py_ssize_t *run_pixels
    Py_ssize_t *tables                 # for each worker: where rows of taps start, in the source and in the weights
    Py_ssize_t table                   # elements of one worker's
    bint relu
    double ceiling                     # of the ReLU; NaN for none
    const char *source
    char *weights                      # (taps, channels)
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
                    Py_ssize_t dilation, bint gradient, bint copied) except False:
    """`copied`: the source is to be copied between as many zeros as the taps reach; `at` then counts from there."""
    cdef Py_ssize_t i, k, t, n, at, reach = (taps - 1) * dilation
    a.source, a.out, a.taps, a.lead, a.width = source, out, taps, 0, source
    if copied:
        a.lead = most(ceil_div(reach - before, stride), 0) if gradient else most(before, 0)
        at = (out - 1 + before) // stride if gradient else (out - 1) * stride + reach - before
        a.width = a.lead + most(source, at + 1)
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
                if at % stride:
                    continue
                at //= stride
            at += a.lead
            if 0 <= at < a.width:
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
    d.parts = d.rings = NULL
    d.first = NULL
    d.index = NULL
    d.relu, d.ceiling = False, NAN


cdef void finish(Depthwise *d) noexcept nogil:
    release(d.y.count)
    release(d.x.count)
    release(d.run_start)
    release(d.tables)
    release(d.weights)
    release(d.parts)
    release(d.rings)
    release(d.first)
    release(d.index)


cdef void set_groups(Depthwise *d, Py_ssize_t source_c, Py_ssize_t c, Py_ssize_t per, Py_ssize_t every) noexcept nogil:
    d.source_c, d.c, d.per, d.every = source_c, c, per, every
    d.spreads = per * every > 1


cdef void cut_rows(Depthwise *d) noexcept nogil:
    """Tiles of nearly equal width."""
    cdef Py_ssize_t r, start, reach = 1, longest = 1
    for r in range(d.runs):
        start = d.run_start[r]
        longest = most(longest, d.run_pixels[r])
        if d.x.count[start]:
            reach = most(reach, d.x.at[start * d.x.taps + d.x.count[start] - 1] + 1)
    d.tile = most(TILE, (RING_BYTES // (d.ring * d.x_pixel * d.item) - reach) // d.x.source_step + 1)
    d.tiles = ceil_div(longest, d.tile)
    d.tile = ceil_div(longest, d.tiles)
    d.row_pixels = (d.tile - 1) * d.x.source_step + reach


cdef bint prepare_ring(Depthwise *d) except False:
    """How many rows a ring holds, and which channels go where; see `advance`."""
    cdef Py_ssize_t row, after, last = -1, j, k, lanes = d.kernels.lanes
    d.first = <Py_ssize_t *> alloc((d.y.out + 1) * sizeof(Py_ssize_t))
    d.index = <int32_t *> alloc(d.slices * d.per * lanes * sizeof(int32_t))
    if d.first == NULL or d.index == NULL:
        raise MemoryError("conv2d: no memory for the tables of a depthwise convolution")
    d.first[d.y.out] = d.y.source
    for row in range(d.y.out - 1, -1, -1):
        d.first[row] = d.first[row + 1]
        if d.y.count[row]:
            d.first[row] = least(d.first[row], d.y.at[row * d.y.taps])
    d.ring = 1
    for row in range(d.y.out):
        if d.y.count[row]:
            last = most(last, d.y.at[row * d.y.taps + d.y.count[row] - 1])
        d.ring = most(d.ring, last + 1 - d.first[row])
    d.x_pixel = d.per * lanes
    cut_rows(d)
    d.ring_bytes = ceil_div(d.ring * d.row_pixels * d.x_pixel * d.item, 64) * 64
    for j in range(d.slices * lanes):
        for k in range(d.per):
            after = (j // lanes * d.per + k) * lanes + j % lanes
            d.index[after] = <int32_t> (least(j, d.c - 1) // d.every * d.per + k)
    return True


cdef bint prepare(Depthwise *d) except False:
    """What follows from the axes."""
    make_runs(d)
    d.kernels = kernels_for(<int> d.item, d.c <= 8)
    d.slice = most(1, SLICE_BYTES // (d.y.taps * most(1, d.x.source) * d.item * SLICE)) * SLICE
    if d.spreads:
        d.slice = d.kernels.lanes
    d.slices, d.blocks = ceil_div(d.c, d.slice), ceil_div(d.y.out, BLOCK_ROWS)
    d.plane = d.y.taps * d.x.taps * d.c
    d.table = ceil_div(2 * d.y.taps * d.per, 16) * 16  # no cache line belongs to two workers
    d.ring, d.ring_bytes, d.x_pixel, d.row_pixels = most(1, d.y.source), 0, d.c, d.x.source
    d.tile, d.tiles = d.x.out, 1
    if d.spreads:
        prepare_ring(d)
    return True


cdef bint take_tables(Depthwise *d) noexcept nogil:
    """Allocate a table and a ring for each worker of this thread's next call; False when out of memory."""
    d.tables = <Py_ssize_t *> alloc(d.table * num_threads() * sizeof(Py_ssize_t))
    d.rings = <char *> alloc(d.ring_bytes * num_threads())
    return d.tables != NULL and d.rings != NULL


cdef void set_run(Depthwise *d, Py_ssize_t row, Py_ssize_t r, Py_ssize_t tile, Py_ssize_t *table,
                  cn_depthwise_run *run) noexcept nogil:
    """Run r of a row, in a tile: offsets from the first element of an image or of a ring, and from the first weight."""
    cdef Py_ssize_t i, k, t = 0, first = d.run_start[r] * d.x.taps, at, tap
    cdef Py_ssize_t *x_row = table
    cdef Py_ssize_t *w_row = table + d.y.taps * d.per
    cdef const Py_ssize_t *x_tap = d.x.tap + first
    cdef const Py_ssize_t *x_at = d.x.at + first
    run.pixels, run.row = least(d.tile, d.run_pixels[r] - tile * d.tile), d.x.count[d.run_start[r]]
    run.x_gap = run.w_gap = run.rows = 0
    if run.row > 1:
        run.x_gap, run.w_gap = (x_at[1] - x_at[0]) * d.x_pixel, (x_tap[1] - x_tap[0]) * d.c
    for i in range(row * d.y.taps, row * d.y.taps + (d.y.count[row] if run.row else 0)):
        at = (d.y.at[i] % d.ring * d.row_pixels + x_at[0]) * d.x_pixel
        tap = (d.y.tap[i] * d.x.taps + x_tap[0]) * d.c
        for k in range(d.per):
            x_row[t], w_row[t] = at + k * d.kernels.lanes, tap + k * d.plane
            t += 1
    run.rows, run.x_row, run.w_row = t, <ptrdiff_t *> x_row, <ptrdiff_t *> w_row
    run.x_step, run.y_step = d.x.source_step * d.x_pixel, d.x.out_step * d.c


cdef void advance(Depthwise *d, const char *image, Py_ssize_t row, Py_ssize_t slice, Py_ssize_t tile, char *ring,
                  Py_ssize_t *next) noexcept nogil:
    """Spread what a row of the result needs from row `next` of the source on: row i to place i % d.ring."""
    cdef Py_ssize_t end = d.y.at[row * d.y.taps + d.y.count[row] - 1] + 1 if d.y.count[row] else 0, i
    cdef Py_ssize_t pixel = d.x_pixel * d.item, start = tile * d.tile * d.x.source_step - d.x.lead
    cdef Py_ssize_t left = least(most(-start, 0), d.row_pixels), inside
    cdef char *to
    cdef cn_spread spread
    start = most(start, 0)
    inside = most(least(d.x.source - start, d.row_pixels - left), 0)
    spread.pixels, spread.channels, spread.vectors = inside, d.source_c, d.per
    spread.index = d.index + slice * d.x_pixel
    for i in range(most(next[0], d.first[row]), end):
        to = ring + i % d.ring * d.row_pixels * pixel
        memset(to, 0, left * pixel)
        d.kernels.spread(to + left * pixel, image + (i * d.x.source + start) * d.source_c * d.item, &spread)
        memset(to + (left + inside) * pixel, 0, (d.row_pixels - left - inside) * pixel)
    next[0] = most(next[0], end)


cdef inline double elements(Depthwise *d) noexcept nogil:
    cdef double out = <double> d.n * d.y.out * d.x.out, source = <double> d.n * d.y.source * d.x.source
    return d.c * out * (1 + (d.per * d.y.taps * d.x.taps if d.spreads else 0)) + d.source_c * source


# ---- forward pass and data gradient ----------------------------------------------------------------------------------


cdef void rows_of_slice(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Depthwise *d = <Depthwise *> job
    cdef Py_ssize_t channel = index % d.slices * d.slice, block = index // d.slices % d.blocks
    cdef Py_ssize_t image = index // d.slices // d.blocks, row, r, tile, to, next
    cdef const char *map = d.source + image * d.y.source * d.x.source * d.source_c * d.item
    cdef char *ring = d.rings + worker * d.ring_bytes
    cdef const char *source = ring if d.spreads else map + channel * d.item
    cdef const char *bias = NULL if d.bias == NULL else d.bias + channel * d.item
    cdef cn_depthwise_run run
    run.channels = least(d.slice, d.c - channel)
    for tile in range(d.tiles):
        next = 0
        for row in range(block * BLOCK_ROWS, least((block + 1) * BLOCK_ROWS, d.y.out)):
            if d.spreads:
                advance(d, map, row, index % d.slices, tile, ring, &next)
            for r in range(d.runs):
                set_run(d, row, r, tile, d.tables + worker * d.table, &run)
                to = (image * d.y.out + row) * d.x.out + d.run_start[r] + tile * d.tile * d.x.out_step
                if run.pixels > 0:
                    d.kernels.depthwise(d.result + (to * d.c + channel) * d.item, source,
                                        d.weights + channel * d.item, bias, d.relu, d.ceiling, &run)


cdef bint pack_weights(Depthwise *d, const char *w) except False:
    """From (channels, taps) to (taps, channels), where taps are those of all channels of a group."""
    cdef Py_ssize_t taps = d.y.taps * d.x.taps * d.per
    d.weights = <char *> alloc(taps * d.c * d.item)
    if d.weights == NULL:
        raise MemoryError("conv2d: no memory for the packed weights of a depthwise convolution")
    with nogil:
        d.kernels.transpose(d.weights, w, d.c, taps, d.c, taps)
    return True


cdef char *swapped(Depthwise *d, const char *w) except NULL:
    """Weights (group, output, input, taps) as the data gradient reads them: (group, input, output, taps)."""
    cdef Py_ssize_t g, o, q, taps = d.y.taps * d.x.taps * d.item
    cdef char *copy = <char *> alloc(d.c * d.per * taps)
    if copy == NULL:
        raise MemoryError("conv2d: no memory for weights")
    for g in range(d.c // d.every):
        for o in range(d.per):
            for q in range(d.every):
                memcpy(copy + ((g * d.every + q) * d.per + o) * taps, w + ((g * d.per + o) * d.every + q) * taps, taps)
    return copy


cdef bint fill(Depthwise *d) noexcept nogil:
    """All of the result; False when out of memory."""
    cdef bint enough = take_tables(d)
    if enough:
        parallel_for(rows_of_slice, d, d.n * d.blocks * d.slices, 8.0 * d.item * elements(d))
    release(d.tables)
    release(d.rings)
    d.tables = NULL
    d.rings = NULL
    return enough


cdef bint pack_and_fill(Depthwise *d, const char *w) except False:
    cdef bint enough
    prepare(d)
    pack_weights(d, w)
    with nogil:
        enough = fill(d)
    if not enough:
        raise MemoryError("conv2d: no memory for the tables of a depthwise convolution")
    return True


cdef void *plan_depthwise(const Convolution *layer, const char *w, const char *b) except NULL:
    cdef Depthwise *d = <Depthwise *> alloc(sizeof(Depthwise))
    cdef char *weights = NULL
    if d == NULL:
        raise MemoryError("conv2d: no memory for a plan")
    clear(d)
    d.item, d.relu, d.ceiling, d.bias = layer.item, layer.relu, layer.ceiling, b
    set_groups(d, layer.c, layer.o, layer.c // layer.groups, layer.o // layer.groups)
    try:
        make_axis(&d.y, layer.h, layer.oh, layer.kh, layer.stride_y, layer.top, layer.dilation_y, layer.transposed,
                  False)
        make_axis(&d.x, layer.w, layer.ow, layer.kw, layer.stride_x, layer.left, layer.dilation_x, layer.transposed,
                  d.spreads)
        prepare(d)
        if layer.transposed:
            w = weights = swapped(d, w)
        pack_weights(d, w)
    except BaseException:
        finish_depthwise(d)
        raise
    finally:
        release(weights)
    return d


cdef bint run_depthwise(const void *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc) noexcept nogil:
    cdef Depthwise d = (<const Depthwise *> plan)[0]
    d.n, d.source, d.result = n, x_nhwc, y_nhwc
    return fill(&d)


cdef void finish_depthwise(void *plan) noexcept nogil:
    finish(<Depthwise *> plan)
    release(plan)


def depthwise_forward(
    const real[:, :, :, ::1] x_nhwc, const real[:, :, :, ::1] w_oihw, const real[::1] b, real[:, :, :, ::1] y_nhwc,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, bint relu,
):
    """As `conv2d_forward`, for small groups, whose number follows from the shapes; ``b`` may be None."""
    cdef Depthwise d
    clear(&d)
    d.n, d.item, d.relu = x_nhwc.shape[0], sizeof(real), relu
    set_groups(&d, x_nhwc.shape[3], y_nhwc.shape[3], w_oihw.shape[1],
               y_nhwc.shape[3] * w_oihw.shape[1] // x_nhwc.shape[3])
    d.source, d.result = <const char *> &x_nhwc[0, 0, 0, 0], <char *> &y_nhwc[0, 0, 0, 0]
    d.bias = NULL if b is None else <const char *> &b[0]
    try:
        make_axis(&d.y, x_nhwc.shape[1], y_nhwc.shape[1], w_oihw.shape[2], stride_y, top, dilation_y, False, False)
        make_axis(&d.x, x_nhwc.shape[2], y_nhwc.shape[2], w_oihw.shape[3], stride_x, left, dilation_x, False, d.spreads)
        pack_and_fill(&d, <const char *> &w_oihw[0, 0, 0, 0])
    finally:
        finish(&d)


def depthwise_data_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] w_oihw, const real[::1] b,
    real[:, :, :, ::1] dx_nhwc, Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x,
):
    """dx = b, or 0 where that is None, + the gradient of `depthwise_forward` with respect to x."""
    cdef Depthwise d
    cdef char *weights = NULL
    clear(&d)
    d.n, d.item = dx_nhwc.shape[0], sizeof(real)
    set_groups(&d, dy_nhwc.shape[3], dx_nhwc.shape[3], dy_nhwc.shape[3] * w_oihw.shape[1] // dx_nhwc.shape[3],
               w_oihw.shape[1])
    d.source, d.result = <const char *> &dy_nhwc[0, 0, 0, 0], <char *> &dx_nhwc[0, 0, 0, 0]
    d.bias = NULL if b is None else <const char *> &b[0]
    try:
        make_axis(&d.y, dy_nhwc.shape[1], dx_nhwc.shape[1], w_oihw.shape[2], stride_y, top, dilation_y, True, False)
        make_axis(&d.x, dy_nhwc.shape[2], dx_nhwc.shape[2], w_oihw.shape[3], stride_x, left, dilation_x, True,
                  d.spreads)
        weights = swapped(&d, <const char *> &w_oihw[0, 0, 0, 0])
        pack_and_fill(&d, weights)
    finally:
        release(weights)
        finish(&d)


# ---- weight gradient -------------------------------------------------------------------------------------------------


cdef void chunk_of_slice(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """The sums over one chunk of all images' rows."""
    cdef Depthwise *d = <Depthwise *> job
    cdef Py_ssize_t channel = index % d.slices * d.slice, chunk = index // d.slices, rows = d.n * d.y.out
    cdef Py_ssize_t taps = d.y.taps * d.x.taps * d.per, line, t, r, row, tile, next
    cdef Py_ssize_t first = chunk * rows // d.chunks, end = (chunk + 1) * rows // d.chunks
    cdef char *ring = d.rings + worker * d.ring_bytes
    cdef char *part = d.parts + (chunk * d.part + channel) * d.item
    cdef const char *source
    cdef const char *dy
    cdef cn_depthwise_run run
    run.channels = least(d.slice, d.c - channel)
    for t in range(taps + 1):
        memset(part + t * d.c * d.item, 0, run.channels * d.item)
    for tile in range(d.tiles if d.dw != NULL else 0):
        next = 0
        for line in range(first, end):
            row = line % d.y.out
            source = d.source + line // d.y.out * d.y.source * d.x.source * d.source_c * d.item
            if d.spreads:
                next = next if row else 0
                advance(d, source, row, index % d.slices, tile, ring, &next)
            for r in range(d.runs):
                set_run(d, row, r, tile, d.tables + worker * d.table, &run)
                dy = d.dy + ((line * d.x.out + d.run_start[r] + tile * d.tile) * d.c + channel) * d.item
                if run.pixels > 0:
                    d.kernels.depthwise_weights(part, dy, ring if d.spreads else source + channel * d.item, &run)
    if d.db != NULL:
        d.kernels.column_sums(part + taps * d.c * d.item, d.dy + (first * d.x.out * d.c + channel) * d.item,
                              (end - first) * d.x.out, run.channels, d.c)


cdef void add_slice(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """Add the chunks' sums pairwise, in a tree that depends on their number alone, and the total to dw and db."""
    cdef Depthwise *d = <Depthwise *> job
    cdef Py_ssize_t channel = index * d.slice, channels = least(d.slice, d.c - channel)
    cdef Py_ssize_t taps = d.y.taps * d.x.taps * d.per, distance = 1, chunk, t
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
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, Py_ssize_t groups,
):
    """Add the gradients with respect to w and b of `depthwise_forward` to ``dw_oihw`` and ``db`` (or None)."""
    cdef Depthwise d
    clear(&d)
    cdef Py_ssize_t every = dy_nhwc.shape[3] // groups, per = x_nhwc.shape[3] // groups
    d.n, d.item = x_nhwc.shape[0], sizeof(real)
    set_groups(&d, x_nhwc.shape[3], dy_nhwc.shape[3], per, every)
    if dy_nhwc.shape[0] == 0 or dy_nhwc.shape[1] == 0 or dy_nhwc.shape[2] == 0:
        return
    d.source, d.dy = <const char *> &x_nhwc[0, 0, 0, 0], <const char *> &dy_nhwc[0, 0, 0, 0]
    d.dw = NULL if dw_oihw is None else <char *> &dw_oihw[0, 0, 0, 0]
    d.db = NULL if db is None else <char *> &db[0]
    d.part = (kh * kw * per + 1) * d.c
    d.chunks = least(MOST_CHUNKS, d.n * dy_nhwc.shape[1])
    d.chunks = most(1, least(d.chunks, d.n * dy_nhwc.shape[1] * dy_nhwc.shape[2] // CHUNK_PIXELS))
    try:
        make_axis(&d.y, x_nhwc.shape[1], dy_nhwc.shape[1], kh, stride_y, top, dilation_y, False, False)
        make_axis(&d.x, x_nhwc.shape[2], dy_nhwc.shape[2], kw, stride_x, left, dilation_x, False, d.spreads)
        prepare(&d)
        d.parts = <char *> alloc(d.chunks * d.part * d.item)
        if d.parts == NULL or not take_tables(&d):
            raise MemoryError("conv2d: no memory for the partial sums of a weight gradient")
        with nogil:
            parallel_for(chunk_of_slice, &d, d.chunks * d.slices, 8.0 * d.item * elements(&d))
            parallel_for(add_slice, &d, d.slices, 32.0 * d.part * d.chunks)
    finally:
        finish(&d)
