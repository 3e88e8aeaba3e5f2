# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Convolution: one sliding product serves the forward pass and the data gradient, its mirror the weight gradient.

Names: n images, h x w pixels, c channels; o output channels; kh x kw taps; g groups. Arrays are channels-last.

A *correlation* multiplies pixels of a source map with packed weights. Element (pixel r, tap and channel k) of the
source lies at ``row_offset[r] + k_offset[k]``; both tables are made once a call. The weight gradient contracts over
pixels instead of taps, so it reads the same elements with the two tables swapped.

Work is cut into strips, groups of whole output rows of one image, by shape alone. Where the window reaches over the
edge of the map, the strip's input is first copied between zeros into scratch memory (it then lies in L2, which costs
less than treating edges apart); otherwise it is read in place.
"""

from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from convnet.kernels.runtime cimport alloc, cn_kernels, cn_product, kernels_for, num_threads, parallel_for, release

from convnet.errors import UnsupportedError

ctypedef fused real:
    float
    double

# Bytes of one strip's input: with its weights and outputs it must share L2 (512 KiB on the smallest CPU we tune for).
cdef Py_ssize_t STRIP_BYTES = 96 * 1024
# The weight gradient is summed in up to this many chunks, each into a buffer of its own, that meet in a fixed tree.
cdef Py_ssize_t MOST_CHUNKS = 16
# All those buffers together; above it fewer chunks are made and the rows of the gradient are cut instead.
cdef Py_ssize_t CHUNK_BYTES = 32 * 1024 * 1024
cdef Py_ssize_t MOST_OFFSET = 2**31 - 1


cdef struct Axis:
    # One axis of a correlation, in pixels: output i reads source pixels i * step + reach[t] - before for taps t.
    Py_ssize_t size     # of the source
    Py_ssize_t out      # number of outputs
    Py_ssize_t step
    Py_ssize_t before   # padding in front; negative crops
    Py_ssize_t taps
    Py_ssize_t reach    # offset from the first tap to the last
    Py_ssize_t spread   # offset from one tap to the next


cdef struct Correlation:
    const cn_kernels *kernels
    Py_ssize_t item, n, c, groups, cols    # item: bytes of an element; c: source channels; cols: outputs of a group
    Axis y, x
    Py_ssize_t strip_rows, strips          # output rows of a strip; strips of an image
    bint padded
    Py_ssize_t row_pixels                  # source pixels from one row to the next, in a strip
    Py_ssize_t strip_bytes                 # scratch memory of one strip, 0 when read in place
    Py_ssize_t depth                       # taps times channels of a group
    int32_t *row_offset
    int32_t *k_offset
    const char *source
    char *scratch


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t most(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef const cn_kernels *kernels_for_columns(int item, Py_ssize_t cols) noexcept nogil:
    """Half as wide vectors where they hold all columns: 8 outputs would leave half of each AVX-512 vector idle."""
    cdef const cn_kernels *kernels = kernels_for(item, False)
    cdef const cn_kernels *narrow = kernels_for(item, True)
    return narrow if cols <= narrow.lanes else kernels


cdef bint reads_outside(Axis *a) noexcept nogil:
    return a.before != 0 or (a.out - 1) * a.step + a.reach >= a.size


cdef void plan_strips(Correlation *p) noexcept nogil:
    """Choose the strip height and whether strips are copied; from the shape alone."""
    cdef Py_ssize_t row_bytes, width
    p.padded = reads_outside(&p.y) or reads_outside(&p.x)
    width = (p.x.out - 1) * p.x.step + p.x.reach + 1
    p.row_pixels = width if p.padded else p.x.size
    row_bytes = p.row_pixels * p.c * p.item * p.y.step
    p.strip_rows = most(1, least(p.y.out, STRIP_BYTES // most(row_bytes, 1)))
    p.strips = ceil_div(p.y.out, p.strip_rows)
    p.strip_rows = ceil_div(p.y.out, p.strips)  # even heights
    p.strip_bytes = 0
    if p.padded:
        p.strip_bytes = ((p.strip_rows - 1) * p.y.step + p.y.reach + 1) * width * p.c * p.item
        p.strip_bytes = ceil_div(p.strip_bytes, 64) * 64


cdef void fill_tables(Correlation *p) noexcept nogil:
    cdef Py_ssize_t i, j, q, r = 0
    for i in range(p.strip_rows):
        for j in range(p.x.out):
            p.row_offset[r] = <int32_t> ((i * p.y.step * p.row_pixels + j * p.x.step) * p.c)
            r += 1
    r = 0
    for i in range(p.y.taps):
        for j in range(p.x.taps):
            for q in range(p.c // p.groups):
                p.k_offset[r] = <int32_t> ((i * p.y.spread * p.row_pixels + j * p.x.spread) * p.c + q)
                r += 1


cdef bint prepare(Correlation *p) except False:
    """Plan, allocate tables and scratch memory, fill the tables. `finish` releases them, also after a failure."""
    p.row_offset = p.k_offset = NULL
    p.scratch = NULL
    plan_strips(p)
    p.depth = p.y.taps * p.x.taps * (p.c // p.groups)
    if (p.strip_rows * p.y.step + p.y.reach + 1) * p.row_pixels * p.c > MOST_OFFSET:
        raise UnsupportedError(
            f"conv2d: expected rows of a strip to have at most {MOST_OFFSET} elements, "
            f"got {p.row_pixels} pixels of {p.c} channels"
        )
    p.row_offset = <int32_t *> alloc(p.strip_rows * p.x.out * sizeof(int32_t))
    p.k_offset = <int32_t *> alloc(p.depth * sizeof(int32_t))
    p.scratch = <char *> alloc(p.strip_bytes * num_threads())
    if p.row_offset == NULL or p.k_offset == NULL or p.scratch == NULL:
        raise MemoryError("conv2d: no memory for the tables of a convolution")
    fill_tables(p)
    return True


cdef void finish(Correlation *p) noexcept nogil:
    release(p.row_offset)
    release(p.k_offset)
    release(p.scratch)


cdef void copy_row(const Correlation *p, char *to, const char *row) noexcept nogil:
    """One source row between zeros: `row` is its first pixel, or NULL for a row outside the map."""
    cdef Py_ssize_t pixel = p.c * p.item
    cdef Py_ssize_t left = least(most(p.x.before, 0), p.row_pixels)
    cdef Py_ssize_t first = most(-p.x.before, 0)
    cdef Py_ssize_t inside = most(least(p.x.size - first, p.row_pixels - left), 0)
    if row == NULL:
        memset(to, 0, p.row_pixels * pixel)
        return
    memset(to, 0, left * pixel)
    memcpy(to + left * pixel, row + first * pixel, inside * pixel)
    memset(to + (left + inside) * pixel, 0, (p.row_pixels - left - inside) * pixel)


cdef const char *strip_source(
    const Correlation *p, Py_ssize_t image, Py_ssize_t first_row, Py_ssize_t rows, int worker
) noexcept nogil:
    """Where the strip's tables start to count: in the map itself, or in a padded copy of the strip."""
    cdef Py_ssize_t row_bytes = p.x.size * p.c * p.item
    cdef Py_ssize_t i, y, y0 = first_row * p.y.step - p.y.before
    cdef const char *map_start = p.source + image * p.y.size * row_bytes
    cdef char *to = p.scratch + worker * p.strip_bytes
    if not p.padded:
        return map_start + y0 * row_bytes
    for i in range((rows - 1) * p.y.step + p.y.reach + 1):
        y = y0 + i
        copy_row(p, to + i * p.row_pixels * p.c * p.item, map_start + y * row_bytes if 0 <= y < p.y.size else NULL)
    return to


# ---- forward pass and data gradient ----------------------------------------------------------------------------------


cdef struct Slide:
    # A correlation whose results are pixels: y[pixel, o] = bias[o] + sum over k of source[pixel, k] * w[k, o]
    Correlation p
    const char *packed
    const char *bias
    char *out
    int32_t *out_offset                    # of a strip's pixels
    Py_ssize_t image_stride, row_stride, channels    # of the output, in elements


cdef void slide_strip(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Slide *s = <Slide *> job
    cdef Correlation *p = &s.p
    cdef Py_ssize_t image = index // p.strips, first_row = index % p.strips * p.strip_rows
    cdef Py_ssize_t rows = least(p.strip_rows, p.y.out - first_row)
    cdef Py_ssize_t g, lanes = p.kernels.lanes
    cdef Py_ssize_t group_channels = p.c // p.groups
    cdef Py_ssize_t packed_group = ceil_div(p.cols, lanes) * lanes * p.depth
    cdef const char *source = strip_source(p, image, first_row, rows, worker)
    cdef char *out = s.out + (image * s.image_stride + first_row * s.row_stride) * p.item
    cdef cn_product product
    product.rows = rows * p.x.out
    product.depth = p.depth
    product.cols = p.cols
    product.a_row = p.row_offset
    product.a_k = p.k_offset
    product.b_k = lanes
    product.b_vector = p.depth * lanes
    product.c_row = s.out_offset
    product.accumulate = False
    for g in range(p.groups):
        product.a = source + g * group_channels * p.item
        product.b = s.packed + g * packed_group * p.item
        product.bias = NULL if s.bias == NULL else s.bias + g * p.cols * p.item
        product.c = out + g * p.cols * p.item
        p.kernels.product(&product)


cdef struct Packing:
    const cn_kernels *kernels
    Py_ssize_t item, depth, cols, vectors, col_stride, group_stride
    const char *w
    char *packed
    const int32_t *w_offset


cdef void pack_vector(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One vector of output columns of one group."""
    cdef Packing *q = <Packing *> job
    cdef Py_ssize_t g = index // q.vectors, col = index % q.vectors * q.kernels.lanes
    q.kernels.pack(
        q.packed + index * q.depth * q.kernels.lanes * q.item,
        q.w + (g * q.group_stride + col * q.col_stride) * q.item,
        q.w_offset, q.depth, q.col_stride, least(q.kernels.lanes, q.cols - col),
    )


cdef bint slide(Slide *s, const char *w, const int32_t *w_offset, Py_ssize_t col_stride, Py_ssize_t group_stride,
                Py_ssize_t row_step, Py_ssize_t pixel_step) except False:
    """Pack the weights and fill every output pixel; `row_step` and `pixel_step` place a strip's pixels there."""
    cdef Correlation *p = &s.p
    cdef Packing q
    cdef Py_ssize_t i, j
    cdef double macs = <double> p.n * p.y.out * p.x.out * p.depth * p.cols * p.groups
    q.kernels, q.item, q.depth, q.cols = p.kernels, p.item, p.depth, p.cols
    q.vectors = ceil_div(p.cols, p.kernels.lanes)
    q.col_stride, q.group_stride = col_stride, group_stride
    q.w, q.w_offset = w, w_offset
    q.packed = <char *> alloc(p.groups * q.vectors * p.kernels.lanes * p.depth * p.item)
    s.packed = q.packed
    s.out_offset = <int32_t *> alloc(p.strip_rows * p.x.out * sizeof(int32_t))
    try:
        if s.packed == NULL or s.out_offset == NULL:
            raise MemoryError("conv2d: no memory for the packed weights of a convolution")
        with nogil:
            for i in range(p.strip_rows):
                for j in range(p.x.out):
                    s.out_offset[i * p.x.out + j] = <int32_t> (i * row_step + j * pixel_step)
            parallel_for(pack_vector, &q, p.groups * q.vectors, 8.0 * p.groups * p.cols * p.depth)
            parallel_for(slide_strip, s, p.n * p.strips, 2 * macs)
    finally:
        release(q.packed)
        release(s.out_offset)
    return True


cdef void forward_axis(Axis *a, Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps, Py_ssize_t stride, Py_ssize_t before,
                       Py_ssize_t dilation) noexcept nogil:
    a.size, a.out, a.step, a.before = size, out, stride, before
    a.taps, a.reach, a.spread = taps, (taps - 1) * dilation, dilation


cdef int32_t *weight_offsets(Py_ssize_t channels, Py_ssize_t kh, Py_ssize_t kw) except NULL:
    """Where the k-th row (tap, channel) of the forward pass lies in the weights (o, channels, kh, kw) of one output."""
    cdef int32_t *offset = <int32_t *> alloc(channels * kh * kw * sizeof(int32_t))
    cdef Py_ssize_t t, q
    if offset == NULL:
        raise MemoryError("conv2d: no memory for the offsets of the weights")
    for t in range(kh * kw):
        for q in range(channels):
            offset[t * channels + q] = <int32_t> (q * kh * kw + t)
    return offset


def conv2d_forward(
    const real[:, :, :, ::1] x_nhwc, const real[:, :, :, ::1] w_oihw, const real[::1] b, real[:, :, :, ::1] y_nhwc,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, Py_ssize_t groups,
):
    """y[n, p, q, o] = b[o] + sum over i, j, k of x[n, p * stride + i * dilation - pad, ..., k] * w[o, k, i, j].

    ``b`` may be None. The caller has checked all shapes; ``top`` and ``left`` are the padding in front, the padding
    behind follows from the size of ``y_nhwc``.
    """
    cdef Slide s
    cdef Py_ssize_t o = w_oihw.shape[0], channels = w_oihw.shape[1], kh = w_oihw.shape[2], kw = w_oihw.shape[3]
    cdef int32_t *w_offset
    if y_nhwc.shape[0] == 0 or o == 0:
        return
    s.p.n, s.p.c, s.p.groups, s.p.cols, s.p.item = x_nhwc.shape[0], x_nhwc.shape[3], groups, o // groups, sizeof(real)
    s.p.kernels = kernels_for_columns(sizeof(real), s.p.cols)
    forward_axis(&s.p.y, x_nhwc.shape[1], y_nhwc.shape[1], kh, stride_y, top, dilation_y)
    forward_axis(&s.p.x, x_nhwc.shape[2], y_nhwc.shape[2], kw, stride_x, left, dilation_x)
    s.p.source = <const char *> &x_nhwc[0, 0, 0, 0]
    s.bias = NULL if b is None else <const char *> &b[0]
    s.out = <char *> &y_nhwc[0, 0, 0, 0]
    s.row_stride = y_nhwc.shape[2] * o
    s.image_stride = y_nhwc.shape[1] * s.row_stride
    w_offset = weight_offsets(channels, kh, kw)
    try:
        prepare(&s.p)
        slide(&s, <const char *> &w_oihw[0, 0, 0, 0], w_offset, channels * kh * kw,
              s.p.cols * channels * kh * kw, s.row_stride, o)
    finally:
        finish(&s.p)
        release(w_offset)


cdef Py_ssize_t gcd(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef Py_ssize_t gradient_axis(Axis *a, Py_ssize_t phase, Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps,
                              Py_ssize_t stride, Py_ssize_t before, Py_ssize_t dilation) noexcept nogil:
    """The axis of the data gradient at input pixels phase, phase + stride, ...; return its last tap of the kernel.

    Input pixel phase + i * stride met tap t at output i + (phase + before - t * dilation) / stride. Only taps for which
    that division is exact contribute: every (stride / gcd)-th. Their outputs, in rising order (taps falling), are
    dilation / gcd apart, so that the gradient is again a correlation, with step 1. No tap: a.taps = 0.
    """
    cdef Py_ssize_t common = gcd(stride, dilation), every = stride // common, t = 0
    a.size, a.out, a.step, a.taps, a.spread = out, ceil_div(size - phase, stride), 1, 0, dilation // common
    while t < taps and (phase + before - t * dilation) % stride:
        t += 1
    if t < taps:
        a.taps = (taps - 1 - t) // every + 1
        t += (a.taps - 1) * every
    a.reach = (a.taps - 1) * a.spread
    a.before = -((phase + before - t * dilation) // stride)
    return t


def conv2d_data_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] w_oihw, real[:, :, :, ::1] dx_nhwc,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, Py_ssize_t groups,
):
    """dx = the gradient of `conv2d_forward` with respect to x; dx_nhwc is overwritten.

    A stride of s splits the input into s x s phases, each a correlation of dy with the taps that reach it.
    """
    cdef Slide s
    cdef Py_ssize_t o = w_oihw.shape[0], channels = w_oihw.shape[1], kh = w_oihw.shape[2], kw = w_oihw.shape[3]
    cdef Py_ssize_t h = dx_nhwc.shape[1], w = dx_nhwc.shape[2], c = dx_nhwc.shape[3], phase_y, phase_x, tap_y, tap_x
    cdef int32_t *w_offset
    if dx_nhwc.shape[0] == 0 or c == 0 or h == 0 or w == 0:
        return
    if kh < stride_y or kw < stride_x or dilation_y > 1 or dilation_x > 1 or o == 0:  # some phases may have no tap
        memset(&dx_nhwc[0, 0, 0, 0], 0, dx_nhwc.shape[0] * h * w * c * sizeof(real))
    if o == 0:
        return
    s.p.n, s.p.c, s.p.groups, s.p.cols, s.p.item = dy_nhwc.shape[0], o, groups, channels, sizeof(real)
    s.p.kernels = kernels_for_columns(sizeof(real), s.p.cols)
    s.p.source = <const char *> &dy_nhwc[0, 0, 0, 0]
    s.bias = NULL
    s.image_stride, s.row_stride = h * w * c, stride_y * w * c
    w_offset = <int32_t *> alloc(kh * kw * (o // groups) * sizeof(int32_t))
    try:
        if w_offset == NULL:
            raise MemoryError("conv2d: no memory for the offsets of the weights")
        for phase_y in range(least(stride_y, h)):
            for phase_x in range(least(stride_x, w)):
                tap_y = gradient_axis(&s.p.y, phase_y, h, dy_nhwc.shape[1], kh, stride_y, top, dilation_y)
                tap_x = gradient_axis(&s.p.x, phase_x, w, dy_nhwc.shape[2], kw, stride_x, left, dilation_x)
                if s.p.y.taps == 0 or s.p.x.taps == 0:
                    continue
                flipped_offsets(&s.p, w_offset, tap_y, tap_x, kh, kw, channels,
                                stride_y // gcd(stride_y, dilation_y), stride_x // gcd(stride_x, dilation_x))
                s.out = <char *> &dx_nhwc[0, phase_y, phase_x, 0]
                try:
                    prepare(&s.p)
                    slide(&s, <const char *> &w_oihw[0, 0, 0, 0], w_offset, kh * kw,
                          (o // groups) * channels * kh * kw, s.row_stride, stride_x * c)
                finally:
                    finish(&s.p)
    finally:
        release(w_offset)


cdef void flipped_offsets(Correlation *p, int32_t *offset, Py_ssize_t tap_y, Py_ssize_t tap_x, Py_ssize_t kh,
                          Py_ssize_t kw, Py_ssize_t channels, Py_ssize_t every_y, Py_ssize_t every_x) noexcept nogil:
    """Where row (tap, output channel) of a phase of the data gradient lies in the weights of input channel 0."""
    cdef Py_ssize_t i, j, q, r = 0
    for i in range(p.y.taps):
        for j in range(p.x.taps):
            for q in range(p.c // p.groups):
                offset[r] = <int32_t> ((q * channels * kh + tap_y - i * every_y) * kw + tap_x - j * every_x)
                r += 1


# ---- weight and bias gradient ----------------------------------------------------------------------------------------


cdef struct WeightGradient:
    Correlation p
    bint weights, bias                # what is wanted
    const char *dy
    Py_ssize_t outputs                # channels of dy
    Py_ssize_t chunks, blocks         # cuts of the strips and of the gradient's rows
    Py_ssize_t part                   # elements of one chunk's buffer: (groups, depth, cols), then the bias (outputs)
    char *parts
    int32_t *part_row
    char *dw
    char *db
    const int32_t *w_offset
    Py_ssize_t col_stride


cdef void gradient_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One chunk of strips, one block of the gradient's rows (taps and channels)."""
    cdef WeightGradient *w = <WeightGradient *> job
    cdef Correlation *p = &w.p
    cdef Py_ssize_t chunk = index // w.blocks, block = index % w.blocks
    cdef Py_ssize_t strips = p.n * p.strips, first = chunk * strips // w.chunks, end = (chunk + 1) * strips // w.chunks
    cdef Py_ssize_t k = block * p.depth // w.blocks, strip, image, first_row, g
    cdef Py_ssize_t group_channels = p.c // p.groups
    cdef char *part = w.parts + chunk * w.part * p.item
    cdef char *bias = part + p.groups * p.depth * p.cols * p.item
    cdef const char *source
    cdef const char *dy
    cdef cn_product product
    product.rows = (block + 1) * p.depth // w.blocks - k
    product.cols = p.cols
    product.a_row = p.k_offset + k
    product.a_k = p.row_offset
    product.b_k = w.outputs
    product.b_vector = p.kernels.lanes
    product.c_row = w.part_row + k
    product.bias = NULL
    if block == 0:
        memset(bias, 0, w.outputs * p.item)
    for strip in range(first, end):
        image, first_row = strip // p.strips, strip % p.strips * p.strip_rows
        product.depth = least(p.strip_rows, p.y.out - first_row) * p.x.out
        product.accumulate = strip > first
        dy = w.dy + (image * p.y.out + first_row) * p.x.out * w.outputs * p.item
        if w.bias and block == 0:
            p.kernels.column_sums(bias, dy, product.depth, w.outputs, w.outputs)
        if not w.weights:
            continue
        source = strip_source(p, image, first_row, product.depth // p.x.out, worker)
        for g in range(p.groups):
            product.a = source + g * group_channels * p.item
            product.b = dy + g * p.cols * p.item
            product.c = part + g * p.depth * p.cols * p.item
            p.kernels.product(&product)


cdef Py_ssize_t SUM_BLOCK = 4096  # elements


cdef void sum_parts(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """Add the chunks' buffers pairwise, in a tree that depends on their number alone."""
    cdef WeightGradient *w = <WeightGradient *> job
    cdef Py_ssize_t start = index * SUM_BLOCK, count = least(SUM_BLOCK, w.part - start), distance = 1, chunk
    cdef char *block = w.parts + start * w.p.item
    while distance < w.chunks:
        chunk = 0
        while chunk + distance < w.chunks:
            w.p.kernels.add(block + chunk * w.part * w.p.item, block + (chunk + distance) * w.part * w.p.item, count)
            chunk += 2 * distance
        distance *= 2


cdef void scatter_columns(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """Add one vector of output columns of one group to dw, from (tap, channel, output) to (output, channel, tap)."""
    cdef WeightGradient *w = <WeightGradient *> job
    cdef Correlation *p = &w.p
    cdef Py_ssize_t lanes = p.kernels.lanes, vectors = ceil_div(p.cols, lanes)
    cdef Py_ssize_t g = index // vectors, col = index % vectors * lanes
    p.kernels.scatter_add(
        w.dw + (g * p.cols + col) * w.col_stride * p.item,
        w.parts + (g * p.depth * p.cols + col) * p.item,
        w.w_offset, p.depth, w.col_stride, least(lanes, p.cols - col), p.cols,
    )


cdef void cut_gradient(WeightGradient *w) noexcept nogil:
    """Choose chunks and blocks from the shape alone.

    A chunk costs a buffer to be written and summed, so it must hold many pixels; where there are few, the rows of
    the gradient are cut instead, which costs another copy of each padded strip.
    """
    cdef Correlation *p = &w.p
    cdef Py_ssize_t pixels = p.n * p.y.out * p.x.out
    w.part = p.groups * p.depth * p.cols + w.outputs
    w.chunks = least(MOST_CHUNKS, least(pixels // 256, CHUNK_BYTES // (w.part * p.item)))
    w.chunks = most(1, least(w.chunks, p.n * p.strips))
    w.blocks = most(1, least(MOST_CHUNKS // w.chunks, p.depth // 32)) if w.weights else 1


cdef bint run_gradient(WeightGradient *w) except False:
    cdef Correlation *p = &w.p
    cdef Py_ssize_t k
    cdef double macs = <double> p.n * p.y.out * p.x.out * p.depth * p.cols * p.groups
    cut_gradient(w)
    w.parts = <char *> alloc(w.chunks * w.part * p.item)
    w.part_row = <int32_t *> alloc(p.depth * sizeof(int32_t))
    try:
        if w.parts == NULL or w.part_row == NULL:
            raise MemoryError("conv2d: no memory for the partial sums of a weight gradient")
        with nogil:
            for k in range(p.depth):
                w.part_row[k] = <int32_t> (k * p.cols)
            parallel_for(gradient_chunk, w, w.chunks * w.blocks, 2 * macs)
            parallel_for(sum_parts, w, ceil_div(w.part, SUM_BLOCK), 8.0 * w.part * (w.chunks - 1))
            if w.weights:
                parallel_for(scatter_columns, w, p.groups * ceil_div(p.cols, p.kernels.lanes), 16.0 * w.part)
            if w.bias:
                p.kernels.add(w.db, w.parts + p.groups * p.depth * p.cols * p.item, w.outputs)
    finally:
        release(w.parts)
        release(w.part_row)
    return True


def conv2d_weight_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] x_nhwc, real[:, :, :, ::1] dw_oihw, real[::1] db,
    Py_ssize_t kh, Py_ssize_t kw, Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, Py_ssize_t groups,
):
    """Add the gradients of `conv2d_forward` with respect to w and b to ``dw_oihw`` and ``db``; either may be None."""
    cdef WeightGradient w
    cdef Py_ssize_t channels = x_nhwc.shape[3] // groups
    cdef int32_t *w_offset
    w.outputs = dy_nhwc.shape[3]
    if dy_nhwc.shape[0] == 0 or w.outputs == 0:
        return
    w.weights, w.bias = dw_oihw is not None and channels > 0, db is not None
    w.p.n, w.p.c, w.p.groups, w.p.item = x_nhwc.shape[0], x_nhwc.shape[3], groups, sizeof(real)
    w.p.cols = w.outputs // groups
    w.p.kernels = kernels_for_columns(sizeof(real), w.p.cols)
    forward_axis(&w.p.y, x_nhwc.shape[1], dy_nhwc.shape[1], kh, stride_y, top, dilation_y)
    forward_axis(&w.p.x, x_nhwc.shape[2], dy_nhwc.shape[2], kw, stride_x, left, dilation_x)
    w.p.source = <const char *> &x_nhwc[0, 0, 0, 0]
    w.dy = <const char *> &dy_nhwc[0, 0, 0, 0]
    w.dw = <char *> &dw_oihw[0, 0, 0, 0] if w.weights else NULL
    w.db = <char *> &db[0] if w.bias else NULL
    w.col_stride = channels * kh * kw
    w_offset = weight_offsets(channels, kh, kw)
    w.w_offset = w_offset
    try:
        prepare(&w.p)
        run_gradient(&w)
    finally:
        finish(&w.p)
        release(w_offset)
