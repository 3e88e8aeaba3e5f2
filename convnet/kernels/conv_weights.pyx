# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The gradient of a convolution with respect to its weights and bias. See conv.pyx for the idea.

The same correlation as in the forward pass, contracted over pixels instead of taps. Each chunk of strips sums into a
buffer of its own; the buffers meet in a fixed tree.

Both factors are read down columns of pixels. Pixels of many channels lie so far apart that they compete for few lines
of L1 and touch a page each, so both are first copied *by vectors*: one vector of channels of all pixels after the
other. The rows of the gradient are then ordered alike (vector of channels, tap, channel), so that a block of them needs
its channels only. 8 x 256 x 14 x 14 to 512, 3 x 3, stride 2, one thread: 8.0 ms instead of 11.5.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from convnet.kernels.conv cimport finish, prepare, real, take_scratch, upstream_of, weight_places
from convnet.kernels.correlation cimport (
    Correlation, Strip, Upstream, ceil_div, fold_axis, fold_of, forward_axis, kernels_for_columns, least, most,
    strip_at, strip_source, upstream_row, worker_result, worker_strip,
)
from convnet.kernels.runtime cimport alloc, cn_kernels, cn_product, kernels_for, parallel_for, release

# The weight gradient is summed in up to this many chunks, each into a buffer of its own, that meet in a fixed tree.
cdef Py_ssize_t MOST_CHUNKS = 16
# Where there are fewer chunks, the rows of the gradient are cut too, into blocks: up to this many tasks.
cdef Py_ssize_t MOST_BLOCKS = 8
# All those buffers together; above it fewer chunks are made and the rows of the gradient are cut instead.
cdef Py_ssize_t CHUNK_BYTES = 32 * 1024 * 1024
# Elements of a strip, at most, that is copied by vectors.
cdef Py_ssize_t BY_VECTORS = 1024 * 1024
# Bytes of a buffer above which it stays outside of L2: then a chunk must hold more pixels.
cdef Py_ssize_t LARGE_PART = 256 * 1024
# Elements of a task that adds buffers.
cdef Py_ssize_t SUM_BLOCK = 4096


cdef struct WeightGradient:
    Correlation p
    Upstream upstream
    bint fused                        # whether dy must be expanded, into scratch memory
    bint weights, bias                # what is wanted
    Py_ssize_t outputs                # channels of dy
    const cn_kernels *pixel_kernels   # vectors that fit a pixel of dy
    Py_ssize_t dy_pixel               # elements from one pixel of dy to the next, where the product reads it
    Py_ssize_t fold                   # neighbouring pixels that are columns of one; see fold_of
    Py_ssize_t cols                   # columns of a group in a chunk's buffer: whole vectors after expansion
    Py_ssize_t chunks, blocks         # cuts of the strips and of the gradient's rows
    Py_ssize_t part                   # elements of one chunk's buffer: (groups, depth, cols), then the bias (outputs)
    char *parts
    int32_t *part_row
    char *dw
    char *db
    int32_t *place
    Py_ssize_t col_stride
    bint by_vectors                   # whether strips of both factors are copied so
    Py_ssize_t strip_vector           # elements of a vector of channels of a copied strip
    Py_ssize_t row_bytes              # of a row of dy, expanded before it is copied; 0 without


cdef void dy_by_vectors(WeightGradient *w, const Strip *strip, char *to) noexcept nogil:
    cdef Correlation *p = &w.p
    cdef Py_ssize_t i, lanes = p.kernels.lanes, rows = strip.images * strip.rows, vector = rows * p.x.out * lanes
    cdef const char *from_ = w.upstream.dy + (strip.image * p.y.out + strip.first_row) * p.x.out * w.outputs * p.item
    cdef char *row = to + p.result_bytes - w.row_bytes
    if not w.fused:
        p.kernels.columns(to, from_, rows * p.x.out, w.outputs, w.outputs, vector)
        return
    for i in range(rows):
        upstream_row(&w.upstream, p.kernels, p.item, strip.image + i // strip.rows, strip.first_row + i % strip.rows,
                     0, p.x.out, row, w.dy_pixel)
        p.kernels.columns(to + i * p.x.out * lanes * p.item, row, p.x.out, w.dy_pixel, w.dy_pixel, vector)


cdef const char *source_by_vectors(WeightGradient *w, const Strip *strip, Py_ssize_t channel, Py_ssize_t channels,
                                   int worker) noexcept nogil:
    """As strip_source; `channel` begins a vector."""
    cdef Correlation *p = &w.p
    cdef Py_ssize_t lanes = p.kernels.lanes, pixel = lanes * p.item, vectors = ceil_div(channels, lanes), image, i, y
    cdef Py_ssize_t left = most(p.x.before, 0), first = most(-p.x.before, 0), at
    cdef Py_ssize_t inside = most(least(p.x.size - first, p.row_pixels - left), 0)
    cdef char *copy = worker_strip(p, worker)
    cdef char *to = copy + channel // lanes * w.strip_vector * p.item
    if p.padded:
        memset(to, 0, vectors * w.strip_vector * p.item)
    for image in range(strip.images):
        for i in range((strip.rows - 1) * p.y.step + p.y.reach + 1):
            y = strip.first_row * p.y.step - p.y.before + i
            if 0 <= y < p.y.size:
                at = (((strip.image + image) * p.y.size + y) * p.x.size + first) * p.c + channel
                p.kernels.columns(to + (image * p.image_step // p.c + i * p.row_pixels + left) * pixel,
                                  p.source + at * p.item, inside, channels, p.c, w.strip_vector)
    return copy


cdef const char *strip_dy(WeightGradient *w, const Strip *strip, int worker) noexcept nogil:
    """dy of a strip: in place, or expanded through what was fused."""
    cdef Correlation *p = &w.p
    cdef char *to = worker_result(p, worker)
    cdef Py_ssize_t i, pixels = p.x.out * w.fold
    cdef Py_ssize_t row_bytes = pixels * w.dy_pixel * p.item
    if w.by_vectors:
        dy_by_vectors(w, strip, to)
        return to
    if not w.fused:
        return w.upstream.dy + (strip.image * p.y.out + strip.first_row) * row_bytes
    for i in range(strip.images * strip.rows):
        upstream_row(&w.upstream, w.pixel_kernels, p.item, strip.image + i // strip.rows,
                     strip.first_row + i % strip.rows, 0, pixels, to + i * row_bytes, w.dy_pixel)
    return to


cdef Py_ssize_t first_row_of_block(const WeightGradient *w, Py_ssize_t block) noexcept nogil:
    cdef const Correlation *p = &w.p
    cdef Py_ssize_t lanes = p.kernels.lanes
    if w.by_vectors:
        return least(block * ceil_div(p.c, lanes) // w.blocks * lanes, p.c) * p.y.taps * p.x.taps
    return block * p.depth // w.blocks


cdef void add_bias(WeightGradient *w, char *bias, const char *dy, Py_ssize_t pixels) noexcept nogil:
    """Sum the pixels of a strip of dy."""
    cdef Correlation *p = &w.p
    cdef Py_ssize_t lanes = p.kernels.lanes, j = 0
    if not w.by_vectors:
        w.pixel_kernels.column_sums(bias, dy, pixels * w.fold, w.outputs, w.dy_pixel)
        return
    while j < w.outputs:
        p.kernels.column_sums(bias + j * p.item, dy + j * pixels * p.item, pixels, least(lanes, w.outputs - j), lanes)
        j += lanes


cdef void gradient_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One chunk of strips, one block of the gradient's rows (taps and channels)."""
    cdef WeightGradient *w = <WeightGradient *> job
    cdef Correlation *p = &w.p
    cdef Py_ssize_t chunk = index // w.blocks, block = index % w.blocks
    cdef Py_ssize_t strips = p.n * p.strips, first = chunk * strips // w.chunks, end = (chunk + 1) * strips // w.chunks
    cdef Py_ssize_t lanes = p.kernels.lanes, taps = p.y.taps * p.x.taps, at = first, g
    cdef Py_ssize_t k = first_row_of_block(w, block), end_k = first_row_of_block(w, block + 1)
    cdef Strip strip
    cdef char *part = w.parts + chunk * w.part * p.item
    cdef char *bias = part + p.groups * p.depth * w.cols * p.item
    cdef const char *source
    cdef const char *dy
    cdef cn_product product
    product.rows = end_k - k
    product.cols = w.cols
    product.a_row = p.k_offset + k
    product.a_k = p.row_offset
    product.b_k = w.dy_pixel * w.fold
    product.b_vector = p.kernels.lanes
    product.c_row = w.part_row + k
    product.bias = NULL
    product.two_chains = True
    if block == 0:
        memset(bias, 0, w.outputs * p.item)
    while at < end:
        strip = strip_at(p, at, end)
        product.depth = strip.images * strip.rows * p.x.out
        product.accumulate = at > first
        at += strip.images
        dy = strip_dy(w, &strip, worker)
        if w.bias and block == 0:
            add_bias(w, bias, dy, product.depth)
        if not w.weights:
            continue
        if w.by_vectors:
            source = source_by_vectors(w, &strip, k // taps, product.rows // taps, worker)
            product.b_k, product.b_vector = lanes, product.depth * lanes
        else:
            source = strip_source(p, &strip, worker)
        for g in range(p.groups):
            product.a = source + g * (p.c // p.groups) * p.item
            product.b = dy + g * p.cols * p.item
            product.c = part + g * p.depth * w.cols * p.item
            p.kernels.product(&product)


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
    """Add one vector of output columns of one group to dw, from (tap, channel, output) to (output, channel, tap).

    Of folded pixels, pixel q lies q steps to the right, so its first tap is q steps down.
    """
    cdef WeightGradient *w = <WeightGradient *> job
    cdef Correlation *p = &w.p
    cdef Py_ssize_t lanes = p.kernels.lanes, vectors = ceil_div(p.cols, lanes), c = p.c // p.groups
    cdef Py_ssize_t g = index // vectors, col = index % vectors * lanes, step = p.x.step // w.fold, q, first
    for q in range(w.fold):
        first = (g * p.depth + q * step * c) * w.cols + q * w.dy_pixel + col
        p.kernels.scatter_add(
            w.dw + (g * p.cols + col) * w.col_stride * p.item, w.parts + first * p.item, w.place, w.col_stride,
            w.col_stride, least(lanes, p.cols - col), w.cols,
        )


cdef void cut_gradient(WeightGradient *w) noexcept nogil:
    """Choose chunks and blocks from the shape alone.

    A chunk costs a buffer to be written and summed, so it must hold many pixels; where there are few, the rows of
    the gradient are cut instead, which costs another copy of each padded strip.
    """
    cdef Correlation *p = &w.p
    cdef Py_ssize_t pixels = p.n * p.y.out * p.x.out * w.fold
    w.part = p.groups * p.depth * w.cols + w.outputs
    w.chunks = least(MOST_CHUNKS, pixels // 256)
    if w.part * p.item > LARGE_PART:
        w.chunks = 8 if pixels >= 4096 else 4 if pixels >= 2048 else 2 if pixels >= 1024 else 1
    w.chunks = most(1, least(w.chunks, least(CHUNK_BYTES // (w.part * p.item), p.n * p.strips)))
    w.blocks = most(1, least(MOST_BLOCKS // w.chunks, p.depth // 32)) if w.weights else 1
    if w.by_vectors:
        w.blocks = least(w.blocks, p.c // p.kernels.lanes)
    p.images = p.most_images


cdef bint plan_by_vectors(WeightGradient *w) except False:
    """Rewrite the tables for strips that are copied by vectors, if they are to be."""
    cdef Correlation *p = &w.p
    cdef Py_ssize_t lanes = p.kernels.lanes, pixels = p.most_images * p.strip_rows * p.x.out, taps, k, t, q, q0
    cdef int32_t *k_offset
    w.row_bytes = 0
    w.strip_vector = p.most_images * p.image_step // most(p.c, 1) * lanes
    w.by_vectors = w.weights and p.groups == 1 and w.fold == 1 and p.c >= lanes and w.outputs > 4 * lanes \
        and p.most_images * p.image_step <= BY_VECTORS and p.y.taps >= p.y.step and p.x.taps >= p.x.step
    if not w.by_vectors:
        return True
    taps = p.y.taps * p.x.taps
    k_offset = <int32_t *> alloc(p.depth * sizeof(int32_t))
    if k_offset == NULL:
        raise MemoryError("conv2d: no memory for the tables of a weight gradient")
    for k in range(p.depth):
        t, q = k // p.c, k % p.c
        q0 = q // lanes * lanes
        k_offset[q0 * taps + t * least(lanes, p.c - q0) + q - q0] = <int32_t> (
            (p.k_offset[k] - q) // p.c * lanes + q // lanes * w.strip_vector + q % lanes)
    for k in range(p.depth):
        t, q = w.place[k] // p.c, w.place[k] % p.c
        q0 = q // lanes * lanes
        w.place[k] = <int32_t> (q0 * taps + t * least(lanes, p.c - q0) + q - q0)
    for k in range(pixels):
        p.row_offset[k] = <int32_t> (p.row_offset[k] // p.c * lanes)
    release(p.k_offset)
    p.k_offset = k_offset
    w.row_bytes = ceil_div(p.x.out * w.dy_pixel * p.item, 64) * 64 if w.fused else 0
    p.strip_bytes = ceil_div(p.c, lanes) * w.strip_vector * p.item
    p.result_bytes = ceil_div(pixels * ceil_div(w.dy_pixel, lanes) * lanes * p.item, 64) * 64 + w.row_bytes
    return True


cdef bint run_gradient(WeightGradient *w) except False:
    cdef Correlation *p = &w.p
    cdef Py_ssize_t k
    cdef double macs = <double> p.n * p.y.out * p.x.out * p.depth * p.cols * p.groups
    cut_gradient(w)
    p.scratch = NULL
    w.parts = <char *> alloc(w.chunks * w.part * p.item)
    w.part_row = <int32_t *> alloc(p.depth * sizeof(int32_t))
    try:
        if w.parts == NULL or w.part_row == NULL or not take_scratch(p):
            raise MemoryError("conv2d: no memory for the partial sums of a weight gradient")
        with nogil:
            for k in range(p.depth):
                w.part_row[k] = <int32_t> (k * w.cols)
            parallel_for(gradient_chunk, w, w.chunks * w.blocks, 2 * macs)
            parallel_for(sum_parts, w, ceil_div(w.part, SUM_BLOCK), 32.0 * w.part * (w.chunks - 1))
            if w.weights:
                parallel_for(scatter_columns, w, p.groups * ceil_div(p.cols, p.kernels.lanes), 64.0 * w.part)
            if w.bias:
                p.kernels.add(w.db, w.parts + p.groups * p.depth * w.cols * p.item, w.outputs)
    finally:
        release(w.parts)
        release(w.part_row)
        release(p.scratch)
    return True


def conv2d_weight_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] relu_output, const uint8_t[:, :, :, ::1] codes,
    const real[:, :, :, ::1] x_nhwc, real[:, :, :, ::1] dw_oihw, real[::1] db,
    Py_ssize_t kh, Py_ssize_t kw, Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, Py_ssize_t groups, Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """Add the gradients of `conv2d_forward` with respect to w and b to ``dw_oihw`` and ``db``; either may be None.

    ``relu_output`` and ``codes`` as for `conv2d_data_gradient`.
    """
    cdef WeightGradient w
    cdef Correlation *p = &w.p
    cdef Py_ssize_t channels = x_nhwc.shape[3] // groups, lanes
    cdef const cn_kernels *wide = kernels_for(sizeof(real), False)
    cdef int32_t *place
    w.outputs = dy_nhwc.shape[3]
    if dy_nhwc.shape[0] == 0 or w.outputs == 0 or dy_nhwc.shape[1] == 0 or dy_nhwc.shape[2] == 0:
        return
    w.weights, w.bias = dw_oihw is not None and channels > 0, db is not None
    p.n, p.c, p.groups, p.item = x_nhwc.shape[0], x_nhwc.shape[3], groups, sizeof(real)
    p.cols = w.outputs // groups
    p.kernels = w.pixel_kernels = kernels_for_columns(sizeof(real), p.cols)
    lanes = p.kernels.lanes
    w.fused = upstream_of(&w.upstream, dy_nhwc, relu_output, codes, pool_y, pool_x)
    w.dy_pixel = ceil_div(w.outputs, lanes) * lanes if codes is not None else w.outputs
    forward_axis(&p.y, x_nhwc.shape[1], dy_nhwc.shape[1] * pool_y, kh, stride_y, top, dilation_y)
    forward_axis(&p.x, x_nhwc.shape[2], dy_nhwc.shape[2] * pool_x, kw, stride_x, left, dilation_x)
    w.fold = fold_of(wide, w.dy_pixel, &p.x) if groups == 1 else 1
    if w.fold > 1:
        fold_axis(&p.x, w.fold)
        p.kernels = wide
    w.cols = w.dy_pixel * w.fold if groups == 1 else p.cols
    p.source, p.upstream = <const char *> &x_nhwc[0, 0, 0, 0], NULL
    w.dw = <char *> &dw_oihw[0, 0, 0, 0] if w.weights else NULL
    w.db = <char *> &db[0] if w.bias else NULL
    w.col_stride = channels * kh * kw
    w.place = place = weight_places(channels, kh, kw, p.x.taps)
    try:
        p.most_images = p.n
        prepare(p, 1, w.dy_pixel * w.fold if w.fused else 0)
        plan_by_vectors(&w)
        run_gradient(&w)
    finally:
        finish(p)
        release(place)
