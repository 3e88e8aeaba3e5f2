# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The gradient of a convolution with respect to its weights and bias. See conv.pyx for the idea.

The same correlation as in the forward pass, contracted over pixels instead of taps. Each chunk of strips sums into a
buffer of its own; the buffers meet in a fixed tree.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from convnet.kernels.conv cimport finish, prepare, real, take_scratch, upstream_of, weight_places
from convnet.kernels.correlation cimport (
    Correlation, Strip, Upstream, ceil_div, fold_axis, fold_of, forward_axis, kernels_for_columns, least, most,
    strip_at, strip_source, upstream_row, worker_result,
)
from convnet.kernels.runtime cimport alloc, cn_kernels, cn_product, kernels_for, parallel_for, release

# The weight gradient is summed in up to this many chunks, each into a buffer of its own, that meet in a fixed tree.
cdef Py_ssize_t MOST_CHUNKS = 16
# All those buffers together; above it fewer chunks are made and the rows of the gradient are cut instead.
cdef Py_ssize_t CHUNK_BYTES = 32 * 1024 * 1024
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
    const int32_t *place
    Py_ssize_t col_stride


cdef const char *strip_dy(WeightGradient *w, const Strip *strip, int worker) noexcept nogil:
    """dy of a strip: in place, or expanded through what was fused."""
    cdef Correlation *p = &w.p
    cdef char *to = worker_result(p, worker)
    cdef Py_ssize_t i, pixels = p.x.out * w.fold
    cdef Py_ssize_t row_bytes = pixels * w.dy_pixel * p.item
    if not w.fused:
        return w.upstream.dy + (strip.image * p.y.out + strip.first_row) * row_bytes
    for i in range(strip.images * strip.rows):
        upstream_row(&w.upstream, w.pixel_kernels, p.item, strip.image + i // strip.rows,
                     strip.first_row + i % strip.rows, 0, pixels, to + i * row_bytes, w.dy_pixel)
    return to


cdef void gradient_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One chunk of strips, one block of the gradient's rows (taps and channels)."""
    cdef WeightGradient *w = <WeightGradient *> job
    cdef Correlation *p = &w.p
    cdef Py_ssize_t chunk = index // w.blocks, block = index % w.blocks
    cdef Py_ssize_t strips = p.n * p.strips, first = chunk * strips // w.chunks, end = (chunk + 1) * strips // w.chunks
    cdef Py_ssize_t k = block * p.depth // w.blocks, at = first, g
    cdef Strip strip
    cdef char *part = w.parts + chunk * w.part * p.item
    cdef char *bias = part + p.groups * p.depth * w.cols * p.item
    cdef const char *source
    cdef const char *dy
    cdef cn_product product
    product.rows = (block + 1) * p.depth // w.blocks - k
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
            w.pixel_kernels.column_sums(bias, dy, product.depth * w.fold, w.outputs, w.dy_pixel)
        if not w.weights:
            continue
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
    w.chunks = least(MOST_CHUNKS, least(pixels // 256, CHUNK_BYTES // (w.part * p.item)))
    w.chunks = most(1, least(w.chunks, p.n * p.strips))
    w.blocks = most(1, least(MOST_CHUNKS // w.chunks, p.depth // 32)) if w.weights else 1
    p.images = p.most_images


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
        prepare(p, 1, w.dy_pixel * w.fold if w.fused else 0)
        run_gradient(&w)
    finally:
        finish(p)
        release(place)
