# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Batch normalisation over channels-last maps, seen as a matrix of pixels and channels.

The pixels are cut into chunks that a core keeps in its cache. Each chunk's sums are taken in its own element type and
left in double; those of all chunks then meet in the order of the chunks. The pass that needs the sums goes backwards:
where a core's share of a map is larger than its cache, the end of it is still there (2 MiB of L2, one thread, maps of
2, 4 and 8 MB: forward 1.16, 1.12, 1.05 times as fast, backward 1.17, 1.09, 1.04).

Where a ReLU and a max pool follow whose windows lie side by side, neither the normalised map nor its gradient is ever
whole: rows of them are made in a core's cache, where the map is pooled and the gradient expanded through the codes that
the convolutions use too (one byte a pooled output: the winner's place in its window, 255 where the ReLU gave 0).
"""

from libc.math cimport NAN, sqrt
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from convnet.kernels.runtime cimport (
    alloc, cn_kernels, cn_norm, cn_pool_run, kernels_for, num_threads, parallel_for, parallel_for_back,
    release,
)

ctypedef fused real:
    float
    double

# Elements of a chunk: 64 KiB of float32. With many channels at least so many rows, or else putting the chunks together
# costs more than they do (2048 channels, 7 x 7, 8 images: statistics in 0.45 ms with 8 rows, in 0.19 with 64).
cdef Py_ssize_t CHUNK = 16384
cdef Py_ssize_t LEAST_ROWS = 64
# Elements of a row of pixels (cn_norm) at least, where channels are fewer, and what it is a multiple of.
cdef Py_ssize_t ROW = 64
cdef Py_ssize_t VECTOR = 16
# Channels of a task that puts chunks together.
cdef Py_ssize_t SLICE = 64


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t most(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef Py_ssize_t fold_of(Py_ssize_t c) noexcept nogil:
    """How many pixels of `c` channels make a row that fills vectors."""
    cdef Py_ssize_t whole = 1
    if c >= ROW:
        return 1
    while whole * c % VECTOR:
        whole *= 2
    return whole * ceil_div(ROW, whole * c)


cdef struct Windows:
    const uint8_t *codes    # NULL: nothing is pooled
    Py_ssize_t h, w, oh, ow, pool_y, pool_x


cdef struct Norm:
    const cn_kernels *kernels
    cn_norm constants
    Windows windows
    Py_ssize_t item, pixels, c, chunk, chunks
    const char *x
    const char *add
    char *y
    const char *dy
    char *masked
    char *dx
    double *sums            # for each chunk: two numbers a channel, all of the first before those of the second
    char *scratch           # for each worker: that of the kernels' sums, then a chunk or a row of windows
    Py_ssize_t sums_bytes, scratch_bytes
    double *first           # what the chunks' numbers amount to
    double *second


cdef void begin(Norm *s, int item, Py_ssize_t pixels, Py_ssize_t c) noexcept nogil:
    cdef Py_ssize_t fold = fold_of(c)
    s.kernels, s.item, s.pixels, s.c = kernels_for(item, False), item, pixels, c
    s.chunk = most(LEAST_ROWS, CHUNK // (fold * c)) * fold
    s.chunks = ceil_div(pixels, s.chunk)
    s.constants.channels, s.constants.fold, s.constants.relu, s.constants.ceiling = c, fold, False, NAN
    s.add = s.dy = s.x = NULL
    s.y = s.masked = s.dx = NULL
    s.windows.codes = NULL
    s.sums_bytes = s.scratch_bytes = ceil_div(3 * fold * c * item, 64) * 64


cdef bint begin_sums(Norm *s) except False:
    s.sums = <double *> alloc(s.chunks * 2 * s.c * sizeof(double))
    s.scratch = <char *> alloc(num_threads() * s.scratch_bytes)
    if s.sums == NULL or s.scratch == NULL:
        end_sums(s)
        raise MemoryError("batch_norm: no memory for the sums")
    return True


cdef void end_sums(Norm *s) noexcept nogil:
    release(s.sums)
    release(s.scratch)


cdef inline const char *at_chunk(const char *array, const Norm *s, Py_ssize_t index) noexcept nogil:
    return NULL if array == NULL else array + index * s.chunk * s.c * s.item


cdef inline Py_ssize_t chunk_pixels(const Norm *s, Py_ssize_t index) noexcept nogil:
    return least(s.chunk, s.pixels - index * s.chunk)


# ---- statistics ----------------------------------------------------------------------------------------------------


cdef void moments_of_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Norm *s = <Norm *> job
    cdef double *mean = s.sums + index * 2 * s.c
    s.kernels.moments(mean, mean + s.c, at_chunk(s.x, s, index), chunk_pixels(s, index), s.c, s.constants.fold,
                      s.scratch + worker * s.scratch_bytes)


cdef void join_moments(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """The mean of the chunks' means; then what their squares, taken about their own means, lack about that."""
    cdef Norm *s = <Norm *> job
    cdef Py_ssize_t start = index * SLICE, end = least(s.c, start + SLICE), k, j
    cdef double *mean
    cdef double weight, difference
    for k in range(s.chunks):
        mean, weight = s.sums + k * 2 * s.c, <double> chunk_pixels(s, k) / s.pixels
        for j in range(start, end):
            s.first[j] += weight * mean[j]
    for k in range(s.chunks):
        mean, weight = s.sums + k * 2 * s.c, <double> chunk_pixels(s, k) / s.pixels
        for j in range(start, end):
            difference = mean[j] - s.first[j]
            s.second[j] += mean[s.c + j] / s.pixels + weight * difference * difference


def moments(const real[:, ::1] x, double[::1] mean, double[::1] var):
    """Add the mean of each column of x, and the mean of the squared deviations from it."""
    cdef Norm s
    if x.shape[0] == 0 or x.shape[1] == 0:
        return
    begin(&s, sizeof(real), x.shape[0], x.shape[1])
    s.x, s.first, s.second = <const char *> &x[0, 0], &mean[0], &var[0]
    begin_sums(&s)
    with nogil:
        parallel_for(moments_of_chunk, &s, s.chunks, 12.0 * s.pixels * s.c * s.item)
        parallel_for(join_moments, &s, ceil_div(s.c, SLICE), 32.0 * s.chunks * s.c)
        end_sums(&s)


# ---- the map -------------------------------------------------------------------------------------------------------


cdef void set_constants(Norm *s, real *rows, const real[::1] weight, const real[::1] bias, const double *mean,
                        const double *var, double eps) noexcept nogil:
    """Rows of mean, scale and shift; what rounding takes from the mean goes into the shift."""
    cdef Py_ssize_t row = s.c * s.constants.fold, j
    cdef double scale
    for j in range(s.c):
        scale = (1.0 if weight is None else <double> weight[j]) / sqrt(var[j] + eps)
        rows[j], rows[row + j] = <real> mean[j], <real> scale
        rows[2 * row + j] = <real> ((0.0 if bias is None else <double> bias[j]) - (mean[j] - <double> rows[j]) * scale)
    repeat(s, rows, 3)
    s.constants.mean, s.constants.scale, s.constants.shift = rows, rows + row, rows + 2 * row


cdef void repeat(Norm *s, real *rows, Py_ssize_t count) noexcept nogil:
    """Fill rows whose first `c` elements are there."""
    cdef Py_ssize_t row = s.c * s.constants.fold, i, j
    for i in range(count):
        for j in range(s.c, row):
            rows[i * row + j] = rows[i * row + j - s.c]


cdef void normalize_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Norm *s = <Norm *> job
    cdef cn_norm constants = s.constants
    constants.pixels = chunk_pixels(s, index)
    s.kernels.normalize(<char *> at_chunk(s.y, s, index), at_chunk(s.x, s, index), at_chunk(s.add, s, index),
                        &constants)


def normalize(
    const real[:, ::1] x, const real[:, ::1] add, const real[::1] weight, const real[::1] bias,
    const double[::1] mean, const double[::1] var, double eps, bint relu, double ceiling, real[:, ::1] y,
):
    """y = (x - mean) / sqrt(var + eps) * weight + bias + add, with `relu` its part from 0 to ``ceiling``, or NaN.

    add, weight (1) and bias (0) may be None.
    """
    cdef Norm s
    cdef real *rows
    if x.shape[0] == 0 or x.shape[1] == 0:
        return
    begin(&s, sizeof(real), x.shape[0], x.shape[1])
    rows = <real *> alloc(3 * s.c * s.constants.fold * sizeof(real))
    if rows == NULL:
        raise MemoryError("batch_norm: no memory for the constants")
    s.x, s.y = <const char *> &x[0, 0], <char *> &y[0, 0]
    s.add = NULL if add is None else <const char *> &add[0, 0]
    s.constants.relu, s.constants.ceiling = relu, ceiling
    with nogil:
        set_constants(&s, rows, weight, bias, &mean[0], &var[0], eps)
        parallel_for_back(normalize_chunk, &s, s.chunks, 16.0 * s.pixels * s.c * s.item)
        release(rows)


# ---- its gradient --------------------------------------------------------------------------------------------------


cdef void expand_row(const Norm *s, Py_ssize_t row, char *to) noexcept nogil:
    """A row, counted over all images, of the gradient in front of the ReLU and the pool; 0 outside the windows."""
    cdef const Windows *v = &s.windows
    cdef Py_ssize_t image = row // v.h, y = row % v.h, inside = v.ow * v.pool_x, pixel = s.c * s.item
    cdef Py_ssize_t at = (image * v.oh + y // v.pool_y) * v.ow * s.c
    if y >= v.oh * v.pool_y:
        memset(to, 0, v.w * pixel)
        return
    s.kernels.unpool(to, s.dy + at * s.item, v.codes + at, 0, inside, s.c, s.c, v.pool_x, y % v.pool_y * v.pool_x)
    memset(to + inside * pixel, 0, (v.w - inside) * pixel)


cdef const char *gradient_chunk(const Norm *s, ptrdiff_t index, char *scratch) noexcept nogil:
    """A chunk of dy where it lies or, behind a pool, expanded into scratch memory."""
    cdef Py_ssize_t i, rows, row_bytes = s.windows.w * s.c * s.item
    if s.windows.codes == NULL:
        return at_chunk(s.dy, s, index)
    rows = chunk_pixels(s, index) // s.windows.w
    for i in range(rows):
        expand_row(s, index * (s.chunk // s.windows.w) + i, scratch + i * row_bytes)
    return scratch


cdef void sums_of_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Norm *s = <Norm *> job
    cdef cn_norm constants = s.constants
    cdef double *sums = s.sums + index * 2 * s.c
    cdef char *scratch = s.scratch + worker * s.scratch_bytes
    constants.pixels = chunk_pixels(s, index)
    s.kernels.norm_sums(sums, sums + s.c, <char *> at_chunk(s.masked, s, index),
                        gradient_chunk(s, index, scratch + s.sums_bytes), at_chunk(s.x, s, index),
                        at_chunk(s.y, s, index), &constants, scratch)


cdef void join_sums(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Norm *s = <Norm *> job
    cdef Py_ssize_t start = index * SLICE, end = least(s.c, start + SLICE), k, j
    cdef double *sums
    for k in range(s.chunks):
        sums = s.sums + k * 2 * s.c
        for j in range(start, end):
            s.first[j] += sums[j]
            s.second[j] += sums[s.c + j]


cdef void gradient_of_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Norm *s = <Norm *> job
    cdef cn_norm constants = s.constants
    cdef char *scratch = s.scratch + worker * s.scratch_bytes
    constants.pixels = chunk_pixels(s, index)
    s.kernels.norm_gradient(<char *> at_chunk(s.dx, s, index), gradient_chunk(s, index, scratch + s.sums_bytes),
                            at_chunk(s.x, s, index), &constants)


cdef void set_slopes(Norm *s, real *rows, const double *mean, const double *var, double eps) noexcept nogil:
    """Rows behind those of `set_constants`: dx = scale * (g - mean(g) - d * mean(g d) / (var + eps)), d = x - mean."""
    cdef Py_ssize_t row = s.c * s.constants.fold, j
    cdef const real *kept = <const real *> s.constants.mean
    cdef double scale, slope
    for j in range(s.c):
        scale = <double> (<const real *> s.constants.scale)[j]
        slope = -scale * s.second[j] / s.pixels / (var[j] + eps)
        rows[j] = <real> slope
        rows[row + j] = <real> (-scale * s.first[j] / s.pixels - slope * (mean[j] - <double> kept[j]))
    repeat(s, rows, 2)
    s.constants.slope, s.constants.offset = rows, rows + row


cdef void add_to_parameters(Norm *s, real[::1] dweight, real[::1] dbias, const double *var, double eps) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(s.c):
        if dweight is not None:
            dweight[j] += <real> (s.second[j] / sqrt(var[j] + eps))
        if dbias is not None:
            dbias[j] += <real> s.first[j]


cdef bint run_gradient(Norm *s, const real[::1] weight, const real[::1] bias, const double[::1] mean,
                       const double[::1] var, double eps, real[::1] dweight, real[::1] dbias) except False:
    """All of a gradient but the maps, which `s` knows."""
    cdef Py_ssize_t row = s.c * s.constants.fold, j
    cdef real *rows = NULL
    begin_sums(s)
    rows = <real *> alloc(5 * row * sizeof(real))
    s.first = <double *> alloc(2 * s.c * sizeof(double))
    s.second = s.first + s.c
    try:
        if rows == NULL or s.first == NULL:
            raise MemoryError("batch_norm_backward: no memory for the constants")
        with nogil:
            for j in range(2 * s.c):
                s.first[j] = 0
            set_constants(s, rows, weight, bias, &mean[0], &var[0], eps)
            parallel_for(sums_of_chunk, s, s.chunks, 20.0 * s.pixels * s.c * s.item)
            parallel_for(join_sums, s, ceil_div(s.c, SLICE), 4.0 * s.chunks * s.c)
            for j in range(s.c):  # the sums are about the mean as it was rounded
                s.second[j] -= (mean[j] - <double> rows[j]) * s.first[j]
            add_to_parameters(s, dweight, dbias, &var[0], eps)
            if s.dx != NULL:
                set_slopes(s, rows + 3 * row, &mean[0], &var[0], eps)
                if s.masked != NULL:
                    s.dy = s.masked
                parallel_for_back(gradient_of_chunk, s, s.chunks, 24.0 * s.pixels * s.c * s.item)
    finally:
        release(rows)
        release(s.first)
        end_sums(s)
    return True


def batch_norm_gradient(
    const real[:, ::1] dy, const real[:, ::1] x, const real[:, ::1] y, const real[::1] weight, const real[::1] bias,
    const double[::1] mean, const double[::1] var, double eps, bint relu, double ceiling, real[:, ::1] dx,
    real[::1] dweight, real[::1] dbias, real[:, ::1] dadd,
):
    """dx, and added to dweight and dbias their gradients; each may be None.

    With `relu`, y and dadd belong to a forward pass with `add` and are both given or both None.
    """
    cdef Norm s
    if x.shape[0] == 0 or x.shape[1] == 0:
        return
    begin(&s, sizeof(real), x.shape[0], x.shape[1])
    s.x, s.dy = <const char *> &x[0, 0], <const char *> &dy[0, 0]
    if dadd is not None:
        s.y, s.masked = <char *> &y[0, 0], <char *> &dadd[0, 0]
    s.dx = NULL if dx is None else <char *> &dx[0, 0]
    s.constants.relu, s.constants.ceiling = relu and dadd is None, ceiling
    run_gradient(&s, weight, bias, mean, var, eps, dweight, dbias)


# ---- with a ReLU and a max pool behind it ----------------------------------------------------------------------------


cdef struct Pooling:
    Norm norm
    cn_pool_run run
    uint8_t *codes
    Py_ssize_t rows, task_rows      # of windows, over all images


cdef void pool_rows(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """Some rows of windows, each normalised into scratch memory and pooled from there."""
    cdef Pooling *q = <Pooling *> job
    cdef Norm *s = &q.norm
    cdef Windows *v = &s.windows
    cdef Py_ssize_t i, from_row, at, row_bytes = v.w * s.c * s.item
    cdef char *scratch = s.scratch + worker * s.scratch_bytes
    for i in range(index * q.task_rows, least(q.rows, (index + 1) * q.task_rows)):
        from_row = i // v.oh * v.h + i % v.oh * v.pool_y
        at = i * v.ow * s.c
        s.kernels.normalize(scratch, s.x + from_row * row_bytes, NULL, &s.constants)
        s.kernels.relu_max_pool(s.y + at * s.item, NULL if q.codes == NULL else q.codes + at, scratch, &q.run)


cdef void set_windows(Norm *s, Py_ssize_t h, Py_ssize_t w, Py_ssize_t oh, Py_ssize_t ow, Py_ssize_t pool_y,
                      Py_ssize_t pool_x) noexcept nogil:
    s.windows.h, s.windows.w, s.windows.oh, s.windows.ow = h, w, oh, ow
    s.windows.pool_y, s.windows.pool_x = pool_y, pool_x


def normalize_pool(
    const real[:, :, :, ::1] x_nhwc, const real[::1] weight, const real[::1] bias, const double[::1] mean,
    const double[::1] var, double eps, real[:, :, :, ::1] y_nhwc, uint8_t[:, :, :, ::1] codes,
    Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """The maxima of `normalize` with `relu` in windows side by side, and which elements they are; codes may be None."""
    cdef Pooling q
    cdef Norm *s = &q.norm
    cdef Py_ssize_t row, t
    cdef real *rows
    cdef int32_t *offsets
    if y_nhwc.shape[0] == 0 or y_nhwc.shape[3] == 0:
        return
    begin(s, sizeof(real), pool_y * x_nhwc.shape[2], x_nhwc.shape[3])
    set_windows(s, x_nhwc.shape[1], x_nhwc.shape[2], y_nhwc.shape[1], y_nhwc.shape[2], pool_y, pool_x)
    s.x, s.y = <const char *> &x_nhwc[0, 0, 0, 0], <char *> &y_nhwc[0, 0, 0, 0]
    q.codes = NULL if codes is None else &codes[0, 0, 0, 0]
    q.rows = y_nhwc.shape[0] * s.windows.oh
    q.task_rows = most(1, CHUNK // (s.pixels * s.c))
    s.constants.pixels, row = s.pixels, s.c * s.constants.fold
    q.run.pixels, q.run.channels, q.run.taps = s.windows.ow, s.c, pool_y * pool_x
    q.run.x_step, q.run.y_step = pool_x * s.c, s.c
    s.scratch_bytes = ceil_div(s.pixels * s.c * s.item, 64) * 64 + 64  # the pool reads whole vectors
    rows = <real *> alloc(3 * row * sizeof(real))
    offsets = <int32_t *> alloc(q.run.taps * sizeof(int32_t))
    s.scratch = <char *> alloc(num_threads() * s.scratch_bytes)
    try:
        if rows == NULL or offsets == NULL or s.scratch == NULL:
            raise MemoryError("batch_norm: no memory for rows of windows")
        with nogil:
            for t in range(q.run.taps):
                offsets[t] = <int32_t> ((t // pool_x * s.windows.w + t % pool_x) * s.c)
            q.run.tap_offset = offsets
            set_constants(s, rows, weight, bias, &mean[0], &var[0], eps)
            parallel_for_back(pool_rows, &q, ceil_div(q.rows, q.task_rows), 16.0 * q.rows * s.pixels * s.c * s.item)
    finally:
        release(rows)
        release(offsets)
        release(s.scratch)


def batch_norm_pool_gradient(
    const real[:, :, :, ::1] dy_nhwc, const uint8_t[:, :, :, ::1] codes, const real[:, :, :, ::1] x_nhwc,
    const real[::1] weight, const double[::1] mean, const double[::1] var, double eps, real[:, :, :, ::1] dx_nhwc,
    real[::1] dweight, real[::1] dbias, Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """As `batch_norm_gradient`, from the gradient behind `normalize_pool`."""
    cdef Norm s
    cdef const real[::1] no_bias = None
    cdef Py_ssize_t pixels = x_nhwc.shape[0] * x_nhwc.shape[1] * x_nhwc.shape[2]
    if pixels == 0 or x_nhwc.shape[3] == 0:
        return
    begin(&s, sizeof(real), pixels, x_nhwc.shape[3])
    set_windows(&s, x_nhwc.shape[1], x_nhwc.shape[2], dy_nhwc.shape[1], dy_nhwc.shape[2], pool_y, pool_x)
    s.chunk = most(1, s.chunk // s.windows.w) * s.windows.w
    s.chunks = ceil_div(pixels, s.chunk)
    s.scratch_bytes += ceil_div(s.chunk * s.c * s.item, 64) * 64
    s.x, s.dy = <const char *> &x_nhwc[0, 0, 0, 0], <const char *> &dy_nhwc[0, 0, 0, 0]
    s.windows.codes = &codes[0, 0, 0, 0]
    s.dx = NULL if dx_nhwc is None else <char *> &dx_nhwc[0, 0, 0, 0]
    run_gradient(&s, weight, no_bias, mean, var, eps, dweight, dbias)
