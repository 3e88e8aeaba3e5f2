"""Transposed convolution to few channels: each pixel is multiplied with whole windows, which are added up in place.

Inline, for conv.pyx. y[p * stride + i, q * stride ...] += x[p, q] * w[i]: one product for each input column q and tap
row i, whose rows are the input rows p of a few images and whose columns are all taps j and channels of tap row i. They
lie side by side in y, and rows of one product never meet, so the register tile adds in place.
"""

from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from convnet.kernels.correlation cimport Convolution, Upstream, ceil_div, least, most, upstream_row
from convnet.kernels.runtime cimport alloc, cn_kernels, cn_product, kernels_for, num_threads, parallel_for, release


cdef struct Scatter:
    const cn_kernels *kernels
    Convolution layer
    Py_ssize_t n, images                   # images: of a task
    const Upstream *upstream               # in place of x, or NULL
    const char *x
    const char *bias                       # or NULL
    char *weights                          # (kh, c, kw, o)
    char *y
    char *scratch                          # for each worker: the expanded x of a task
    Py_ssize_t scratch_bytes
    int32_t *x_row                         # rows of x and of y, for each tap row: images * h entries each
    int32_t *y_row
    int32_t *k_offset


# SCATTER_BYTES: x of one image must stay in L2 while all of its taps pass over it.
cdef enum:
    SCATTER_BYTES = 256 * 1024
    SCATTER_ROWS = 32
    SCATTER_OFFSET = 0x7FFFFFFF


cdef inline bint scatters(const Convolution *layer) noexcept nogil:
    """Whether there are so few channels that a correlation would waste lanes.

    100 x (16, 8, 8) to (6, 12, 12) with 5 x 5 taps, one thread: 930 us as a correlation, 270 us so.
    """
    return (layer.groups == 1 and layer.dilation_x == 1 and layer.kw > 1
            and layer.o <= kernels_for(<int> layer.item, True).lanes
            and layer.h * layer.w * layer.c * layer.item <= SCATTER_BYTES
            and layer.oh * layer.ow * layer.o * SCATTER_ROWS <= SCATTER_OFFSET)


cdef inline Py_ssize_t scatter_rows(const Convolution *v, Py_ssize_t i, Py_ssize_t images) noexcept nogil:
    """How many rows of x of `images` images reach rows of y with tap row i: the length of its tables."""
    cdef Py_ssize_t shift = i * v.dilation_y - v.top
    cdef Py_ssize_t first = most(ceil_div(-shift, v.stride_y), 0) if shift < 0 else 0
    cdef Py_ssize_t end = least((v.oh - 1 - shift) // v.stride_y + 1, v.h) if v.oh > shift else 0
    return images * most(end - first, 0)


cdef inline void fill_scatter_tables(Scatter *s) noexcept nogil:
    cdef const Convolution *v = &s.layer
    cdef Py_ssize_t i, image, p, r, target
    for i in range(v.kh):
        r = i * s.images * v.h
        for image in range(s.images):
            for p in range(v.h):
                target = p * v.stride_y + i * v.dilation_y - v.top
                if 0 <= target < v.oh:
                    s.x_row[r] = <int32_t> ((image * v.h + p) * v.w * v.c)
                    s.y_row[r] = <int32_t> ((image * v.oh + target) * v.ow * v.o)
                    r += 1
    for i in range(v.c):
        s.k_offset[i] = <int32_t> i


cdef inline void fill_pixels(char *to, const char *pixel, Py_ssize_t bytes, Py_ssize_t count) noexcept nogil:
    """Copies of a pixel, or zeros."""
    cdef Py_ssize_t done = bytes, total = count * bytes
    if pixel == NULL:
        memset(to, 0, total)
        return
    memcpy(to, pixel, bytes)
    while done < total:  # a pixel of three numbers at a time is far slower
        memcpy(to + done, to, least(done, total - done))
        done *= 2


cdef inline void scatter_images(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Scatter *s = <Scatter *> job
    cdef const Convolution *v = &s.layer
    cdef Py_ssize_t image = index * s.images, images = least(s.images, s.n - image), i, q, first, end, row
    cdef Py_ssize_t pixels = v.oh * v.ow, pixel_bytes = v.o * v.item, row_bytes = v.w * v.c * v.item
    cdef const char *x = s.x + image * v.h * row_bytes
    cdef char *y = s.y + image * pixels * pixel_bytes
    cdef char *expanded = s.scratch + worker * s.scratch_bytes
    cdef cn_product product
    if s.upstream != NULL:
        x = expanded
        for row in range(images * v.h):
            upstream_row(s.upstream, s.kernels, v.item, image + row // v.h, row % v.h, 0, v.w,
                         expanded + row * row_bytes, v.c)
    fill_pixels(y, s.bias, pixel_bytes, images * pixels)
    product.depth, product.a_k, product.bias = v.c, s.k_offset, NULL
    product.accumulate, product.two_chains = True, False
    product.b_k, product.b_vector = v.kw * v.o, s.kernels.lanes
    for i in range(v.kh):
        product.rows = scatter_rows(v, i, images)
        product.a_row, product.c_row = s.x_row + i * s.images * v.h, s.y_row + i * s.images * v.h
        for q in range(v.w):
            first = most(v.left - q * v.stride_x, 0)
            end = least(v.ow + v.left - q * v.stride_x, v.kw)
            if first >= end:
                continue
            product.cols = (end - first) * v.o
            product.a = x + q * v.c * v.item
            product.b = s.weights + (i * v.c * v.kw + first) * v.o * v.item
            product.c = y + (q * v.stride_x - v.left + first) * pixel_bytes
            s.kernels.product(&product)
    if v.relu:
        s.kernels.relu(y, y, images * pixels * v.o, v.ceiling)


cdef inline void weights_by_tap_row(char *to, const char *w, const Convolution *v) noexcept nogil:
    """Copy weights (c, o, kh, kw) as (kh, c, kw, o)."""
    cdef Py_ssize_t i, k, j, o, item = v.item
    for i in range(v.kh):
        for k in range(v.c):
            for j in range(v.kw):
                for o in range(v.o):
                    memcpy(to, w + (((k * v.o + o) * v.kh + i) * v.kw + j) * item, item)
                    to += item


cdef inline bint plan_scatter(Scatter *s, const Convolution *layer, const char *w, const char *b,
                              const Upstream *upstream, Py_ssize_t images) except False:
    """For calls of at most so many images at a time; `finish_scatter` releases it, also after a failure."""
    cdef Py_ssize_t rows
    s.layer, s.kernels, s.bias, s.upstream = layer[0], kernels_for(<int> layer.item, False), b, upstream
    s.images = least(images, most(1, SCATTER_ROWS // layer.h))
    rows = s.images * layer.h
    s.scratch_bytes = ceil_div(rows * layer.w * layer.c * layer.item, 64) * 64 if upstream != NULL else 0
    s.weights = <char *> alloc(layer.kh * layer.c * layer.kw * layer.o * layer.item)
    s.x_row = <int32_t *> alloc((2 * layer.kh * rows + layer.c) * sizeof(int32_t))
    if s.weights == NULL or s.x_row == NULL:
        raise MemoryError("conv2d: no memory for the tables of a data gradient")
    s.y_row, s.k_offset = s.x_row + layer.kh * rows, s.x_row + 2 * layer.kh * rows
    with nogil:
        weights_by_tap_row(s.weights, w, layer)
        fill_scatter_tables(s)
    return True


cdef inline bint run_scatter(const Scatter *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc) noexcept nogil:
    """All of y; False when out of memory."""
    cdef Scatter s = plan[0]
    cdef const Convolution *v = &s.layer
    s.n, s.x, s.y = n, x_nhwc, y_nhwc
    s.scratch = <char *> alloc(s.scratch_bytes * num_threads())
    if s.scratch == NULL:
        return False
    parallel_for(scatter_images, &s, ceil_div(n, s.images), 2.0 * n * v.h * v.w * v.c * v.kh * v.kw * v.o)
    release(s.scratch)
    return True


cdef inline void finish_scatter(Scatter *s) noexcept nogil:
    release(s.weights)
    release(s.x_row)
