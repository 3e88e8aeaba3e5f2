# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Convolution: one sliding product serves the forward pass and the data gradient, its mirror the weight gradient.

Names: n images, h x w pixels, c channels; o output channels; kh x kw taps; g groups. Arrays are channels-last.

A *correlation* multiplies pixels of a source map with packed weights. Element (pixel r, tap and channel k) of the
source lies at ``row_offset[r] + k_offset[k]``; both tables are made once a call. The weight gradient contracts over
pixels instead of taps, so it reads the same elements with the two tables swapped; it lives in conv_weights.pyx.

Work is cut into strips by shape alone: whole output rows of one image, or all rows of a few small images. Where the
window reaches over the edge of the map, the strip's input is first copied between zeros into scratch memory (it then
lies in L2, which costs less than treating edges apart); otherwise it is read in place.

A ReLU, or a ReLU and a max pool whose windows lie side by side, can be fused: the forward pass then pools each strip
while it is in L2 and keeps one byte a pooled output (the winner's place in its window, 255 where the ReLU gave 0)
instead of three maps; the gradients expand dy through it, again strip by strip.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memcpy, memset

from convnet.kernels.correlation cimport (
    Axis, Correlation, Strip, Upstream, ceil_div, fill_tables, fold_axis, fold_of, forward_axis, gcd, gradient_axis,
    kernels_for_columns, least, most, plan_strips, strip_at, strip_source, upstream_row, worker_result,
)
from convnet.kernels.runtime cimport (
    alloc, cn_kernels, cn_pool_run, cn_product, kernels_for, num_threads, parallel_for, release,
)

from convnet.errors import UnsupportedError

cdef Py_ssize_t MOST_OFFSET = 2**31 - 1
# Images are taken together only as long as there are this many tasks; where strips are fewer, the outputs are cut, too,
# into blocks of at least so many vectors. 512 channels of 7 x 7 pixels, one image: both threads have work.
cdef Py_ssize_t LEAST_TASKS = 8
cdef Py_ssize_t LEAST_VECTORS = 4


cdef bint prepare(Correlation *p, Py_ssize_t unit, Py_ssize_t result_pixel) except False:
    """Plan, allocate the tables and fill them. `finish` releases them, also after a failure."""
    p.row_offset = p.k_offset = NULL
    p.depth = p.y.taps * p.x.taps * (p.c // p.groups)
    plan_strips(p, unit, result_pixel)
    if (p.strip_rows * p.y.step + p.y.reach + 1) * p.row_pixels * p.c > MOST_OFFSET:
        raise UnsupportedError(
            f"conv2d: expected rows of a strip to have at most {MOST_OFFSET} elements, "
            f"got {p.row_pixels} pixels of {p.c} channels"
        )
    p.row_offset = <int32_t *> alloc(p.most_images * p.strip_rows * p.x.out * sizeof(int32_t))
    p.k_offset = <int32_t *> alloc(p.depth * sizeof(int32_t))
    if p.row_offset == NULL or p.k_offset == NULL:
        raise MemoryError("conv2d: no memory for the tables of a convolution")
    fill_tables(p)
    return True


cdef void finish(Correlation *p) noexcept nogil:
    release(p.row_offset)
    release(p.k_offset)


cdef bint take_scratch(Correlation *p) noexcept nogil:
    """Allocate scratch memory for the workers of this thread's next call; the caller releases it."""
    p.scratch = <char *> alloc((p.strip_bytes + p.result_bytes) * num_threads())
    return p.scratch != NULL


# ---- forward pass and data gradient ----------------------------------------------------------------------------------


cdef void slide_strip(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """A few strips, one block of outputs."""
    cdef Slide *s = <Slide *> job
    cdef Correlation *p = &s.p
    cdef Py_ssize_t strips = p.n * p.strips, tasks = ceil_div(strips, p.images), task = index // s.blocks
    cdef Strip strip = strip_at(p, task * strips // tasks, (task + 1) * strips // tasks)
    cdef Py_ssize_t rows = strip.images * strip.rows, g, lanes = p.kernels.lanes, block = index % s.blocks
    cdef Py_ssize_t vectors = ceil_div(p.cols, lanes), first = block * vectors // s.blocks * lanes
    cdef Py_ssize_t cols = least((block + 1) * vectors // s.blocks * lanes, p.cols) - first
    cdef Py_ssize_t at = strip.image * s.image_stride + strip.first_row // s.pool_y * s.row_stride + first
    cdef Py_ssize_t packed_group = ceil_div(p.cols, lanes) * lanes * p.depth
    cdef const char *source = strip_source(p, &strip, worker)
    cdef Py_ssize_t source_rows = (strip.rows - 1) * p.y.step + p.y.reach + 1, count
    cdef char *out = worker_result(p, worker) if s.result_pixel else s.out + at * p.item
    cdef cn_product product
    if s.fold > 1:
        count = (strip.images - 1) * p.image_step + source_rows * p.row_pixels * p.c
        if not p.kernels.all_finite(source, count):
            s.finite = False
    product.rows = rows * p.x.out
    product.depth = p.depth
    product.cols = s.result_pixel * s.fold if s.result_pixel and p.groups == 1 else cols
    product.a_row = p.row_offset
    product.a_k = p.k_offset
    product.b_k = lanes
    product.b_vector = p.depth * lanes
    product.c_row = s.out_offset
    product.accumulate = product.two_chains = False
    for g in range(p.groups):
        product.a = source + g * (p.c // p.groups) * p.item
        product.b = s.packed + (g * packed_group + first * p.depth) * p.item
        product.bias = NULL if s.bias == NULL else s.bias + (g * p.cols + first) * p.item
        product.c = out + g * p.cols * p.item
        p.kernels.product(&product)
    if s.result_pixel:
        pool_strip(s, out, at, rows)
    elif s.relu and s.blocks > 1:
        for count in range(product.rows):
            p.kernels.relu(out + s.out_offset[count] * p.item, out + s.out_offset[count] * p.item, cols)
    elif s.relu:
        p.kernels.relu(out, out, product.rows * p.cols * p.groups)


cdef void pool_strip(Slide *s, const char *result, Py_ssize_t at, Py_ssize_t rows) noexcept nogil:
    """ReLU and max pool of a strip's result into the output from element `at` on."""
    cdef Correlation *p = &s.p
    cdef Py_ssize_t i, to, row = p.x.out * s.fold
    cdef cn_pool_run run
    run.pixels, run.channels = row // s.pool_x, s.outputs
    run.x_step, run.y_step = s.pool_x * s.result_pixel, run.channels
    run.taps, run.tap_offset = s.pool_y * s.pool_x, s.tap_offset
    for i in range(rows // s.pool_y):
        to = at + i * s.row_stride
        s.pool_kernels.relu_max_pool(s.out + to * p.item, NULL if s.codes == NULL else s.codes + to,
                                     result + i * s.pool_y * row * s.result_pixel * p.item, &run)


cdef struct Packing:
    const cn_kernels *kernels
    Py_ssize_t item, depth, cols, vectors, group_stride
    const char *w
    char *packed
    const int32_t *place                   # see cn_kernels.pack
    Py_ssize_t run, col_stride, count, step


cdef void pack_vector(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One vector of output columns of one group."""
    cdef Packing *q = <Packing *> job
    cdef Py_ssize_t g = index // q.vectors, col = index % q.vectors * q.kernels.lanes
    q.kernels.pack(
        q.packed + index * q.depth * q.kernels.lanes * q.item,
        q.w + (g * q.group_stride + col * q.col_stride) * q.item,
        q.place, q.run, least(q.kernels.lanes, q.cols - col), q.col_stride, q.count, q.step,
    )


cdef void fill_out_offsets(Slide *s, Py_ssize_t row_step, Py_ssize_t pixel_step) noexcept nogil:
    cdef Correlation *p = &s.p
    cdef Py_ssize_t image_step = p.strip_rows * row_step if s.result_pixel else s.image_stride, image, i, j, r = 0
    for image in range(p.most_images):
        for i in range(p.strip_rows):
            for j in range(p.x.out):
                s.out_offset[r] = <int32_t> (image * image_step + i * row_step + j * pixel_step)
                r += 1
    for i in range(s.pool_y * s.pool_x):
        s.tap_offset[i] = <int32_t> ((i // s.pool_x * p.x.out * s.fold + i % s.pool_x) * s.result_pixel)


cdef bint plan_slide(Slide *s, Packing *q, Py_ssize_t row_step, Py_ssize_t pixel_step) except False:
    """Pack the weights and fill the tables; `row_step` and `pixel_step` place the product's pixels.

    The caller says where the weights lie. `finish_slide` releases all, also after a failure.
    """
    cdef Correlation *p = &s.p
    cdef Py_ssize_t pixels
    p.most_images = least(p.most_images, most(1, MOST_OFFSET // most(1, s.image_stride)))
    pixels = p.most_images * p.strip_rows * p.x.out
    q.kernels, q.item, q.depth, q.cols = p.kernels, p.item, p.depth, p.cols
    q.vectors = ceil_div(p.cols, p.kernels.lanes)
    s.packed = q.packed = <char *> alloc(p.groups * q.vectors * p.kernels.lanes * p.depth * p.item)
    s.out_offset = <int32_t *> alloc((pixels + s.pool_y * s.pool_x) * sizeof(int32_t))
    s.tap_offset = s.out_offset + pixels
    if s.packed == NULL or s.out_offset == NULL:
        raise MemoryError("conv2d: no memory for the packed weights of a convolution")
    with nogil:
        fill_out_offsets(s, row_step, pixel_step)
        parallel_for(pack_vector, q, p.groups * q.vectors, 32.0 * p.groups * p.cols * p.depth)
    return True


cdef bint run_slide(Slide *s) noexcept nogil:
    """Fill every output pixel; False when out of memory."""
    cdef Correlation *p = &s.p
    cdef Py_ssize_t tasks
    if not take_scratch(p):
        return False
    p.images = least(p.most_images, most(1, p.n // LEAST_TASKS))
    tasks, s.blocks = ceil_div(p.n * p.strips, p.images), 1
    if p.groups == 1 and s.fold == 1 and s.result_pixel == 0:
        s.blocks = most(1, least(ceil_div(LEAST_TASKS, tasks), p.cols // (LEAST_VECTORS * p.kernels.lanes)))
    parallel_for(slide_strip, s, tasks * s.blocks,
                 2.0 * p.n * p.y.out * p.x.out * p.depth * p.cols * p.groups)
    release(p.scratch)
    return True


cdef void finish_slide(Slide *s) noexcept nogil:
    release(s.packed)
    release(s.out_offset)


cdef int32_t *weight_places(Py_ssize_t channels, Py_ssize_t kh, Py_ssize_t kw, Py_ssize_t taps) except NULL:
    """Which row (tap, channel) of the forward pass each weight (channel, kh, kw) of an output is; `taps` in a row."""
    cdef int32_t *place = <int32_t *> alloc(channels * kh * kw * sizeof(int32_t))
    cdef Py_ssize_t i, j, q
    if place == NULL:
        raise MemoryError("conv2d: no memory for the places of the weights")
    for q in range(channels):
        for i in range(kh):
            for j in range(kw):
                place[(q * kh + i) * kw + j] = <int32_t> ((i * taps + j) * channels + q)
    return place


cdef char *folded_bias(const char *bias, Py_ssize_t item, Py_ssize_t outputs, Py_ssize_t pixel,
                       Py_ssize_t fold) except NULL:
    """A copy for each pixel, zeros behind it."""
    cdef Py_ssize_t q
    cdef char *copy = <char *> alloc(fold * pixel * item)
    if copy == NULL:
        raise MemoryError("conv2d: no memory for a bias")
    memset(copy, 0, fold * pixel * item)
    if bias != NULL:
        for q in range(fold):
            memcpy(copy + q * pixel * item, bias, outputs * item)
    return copy


cdef char *folded_weights(const char *w_oihw, Py_ssize_t item, Py_ssize_t outputs, Py_ssize_t pixel, Py_ssize_t rows,
                          Py_ssize_t kw, Py_ssize_t step, Py_ssize_t fold) except NULL:
    """The weights of `fold * pixel` outputs: those of pixel q shifted by q steps. `rows`: of taps, of all channels."""
    cdef Py_ssize_t q, o, r, taps = kw + (fold - 1) * step
    cdef char *copy = <char *> alloc(fold * pixel * rows * taps * item)
    if copy == NULL:
        raise MemoryError("conv2d: no memory for weights")
    memset(copy, 0, fold * pixel * rows * taps * item)
    for q in range(fold):
        for o in range(outputs):
            for r in range(rows):
                memcpy(copy + (((q * pixel + o) * rows + r) * taps + q * step) * item,
                       w_oihw + (o * rows + r) * kw * item, kw * item)
    return copy


cdef Py_ssize_t pixel_of(const Convolution *layer) noexcept nogil:
    """Elements from one output pixel to the next: before pooling whole vectors, so that few channels need no masks."""
    cdef Py_ssize_t lanes = kernels_for_columns(<int> layer.item, layer.o // layer.groups).lanes
    return ceil_div(layer.o, lanes) * lanes if layer.pool_y * layer.pool_x > 1 else layer.o


cdef Py_ssize_t fold_of_layer(const Convolution *layer) noexcept nogil:
    cdef Axis x
    if layer.groups > 1:
        return 1
    forward_axis(&x, layer.w, layer.ow, layer.kw, layer.stride_x, layer.left, layer.dilation_x)
    return fold_of(kernels_for(<int> layer.item, False), pixel_of(layer), &x)


cdef bint plan_forward(Slide *s, const Convolution *layer, const char *w_oihw, const char *b,
                       Py_ssize_t fold) except False:
    """All of a forward pass but its arrays; `finish_forward` releases it. ``fold``: 1 or fold_of_layer."""
    cdef Correlation *p = &s.p
    cdef Py_ssize_t rows = layer.c // layer.groups * layer.kh, pixel = pixel_of(layer)
    cdef int32_t *place = NULL
    cdef char *folded = NULL
    cdef Packing q
    p.c, p.groups, p.cols, p.item = layer.c, layer.groups, layer.o // layer.groups, layer.item
    p.kernels = s.pool_kernels = kernels_for_columns(<int> layer.item, p.cols)
    p.upstream = NULL
    forward_axis(&p.y, layer.h, layer.oh, layer.kh, layer.stride_y, layer.top, layer.dilation_y)
    forward_axis(&p.x, layer.w, layer.ow, layer.kw, layer.stride_x, layer.left, layer.dilation_x)
    s.relu, s.outputs, s.pool_y, s.pool_x = layer.relu, layer.o, layer.pool_y, layer.pool_x
    s.result_pixel = pixel if s.pool_y * s.pool_x > 1 else 0
    s.row_stride = layer.ow // s.pool_x * layer.o
    s.image_stride = layer.oh // s.pool_y * s.row_stride
    s.fold = fold
    p.row_offset = p.k_offset = s.out_offset = NULL
    s.packed = s.bias = NULL
    try:
        if fold > 1:
            w_oihw = folded = folded_weights(w_oihw, p.item, layer.o, pixel, rows, layer.kw, layer.stride_x, fold)
            fold_axis(&p.x, fold)
            p.kernels, p.cols = kernels_for(<int> layer.item, False), fold * pixel
        if b != NULL or s.result_pixel:
            s.bias = folded_bias(b, p.item, layer.o, pixel, fold)
        q.w, q.run, q.count, q.step = w_oihw, rows * p.x.taps, 1, 0
        q.col_stride, q.group_stride = q.run, p.cols * q.run
        q.place = place = weight_places(layer.c // layer.groups, layer.kh, p.x.taps, p.x.taps)
        prepare(p, s.pool_y, fold * s.result_pixel)
        plan_slide(s, &q, p.x.out * fold * pixel, fold * pixel)
    except BaseException:
        finish_forward(s)
        raise
    finally:
        release(place)
        release(folded)
    return True


cdef bint run_forward(const Slide *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc, char *codes,
                      bint *finite) noexcept nogil:
    """y, and with a fused max pool the codes unless NULL, for n images; False when out of memory.

    A neighbour's weights of zero turn NaN and infinity into NaN. If folded pixels met such, ``finite`` is False: the
    result is to be computed again without folding.
    """
    cdef Slide s = plan[0]
    cdef bint enough
    s.p.n, s.p.source, s.out, s.codes, s.finite = n, x_nhwc, y_nhwc, codes, True
    enough = run_slide(&s)
    finite[0] = s.finite
    return enough


cdef void finish_forward(Slide *s) noexcept nogil:
    finish(&s.p)
    finish_slide(s)
    release(s.bias)


def conv2d_forward(
    const real[:, :, :, ::1] x_nhwc, const real[:, :, :, ::1] w_oihw, const real[::1] b,
    real[:, :, :, ::1] y_nhwc, uint8_t[:, :, :, ::1] codes,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, Py_ssize_t groups, bint relu, Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """y[n, p, q, o] = b[o] + sum over i, j, k of x[n, p * stride + i * dilation - pad, ..., k] * w[o, k, i, j].

    With `relu` then y = max(y, 0); with pool_y * pool_x > 1, which needs `relu`, y and codes receive the maxima of
    windows of that size. ``b`` and ``codes`` may be None. The caller has checked all shapes; ``top`` and ``left`` are
    the padding in front, the padding behind follows from the size of ``y_nhwc``.
    """
    cdef Slide s
    cdef Convolution layer
    cdef Py_ssize_t n = x_nhwc.shape[0]
    cdef char *places = NULL if codes is None else <char *> &codes[0, 0, 0, 0]
    cdef bint enough, finite = True
    if n == 0 or y_nhwc.shape[1] == 0 or y_nhwc.shape[2] == 0 or y_nhwc.shape[3] == 0:
        return
    layer.item, layer.c, layer.h, layer.w = sizeof(real), x_nhwc.shape[3], x_nhwc.shape[1], x_nhwc.shape[2]
    layer.o, layer.oh, layer.ow = y_nhwc.shape[3], y_nhwc.shape[1] * pool_y, y_nhwc.shape[2] * pool_x
    layer.kh, layer.kw, layer.groups = w_oihw.shape[2], w_oihw.shape[3], groups
    layer.stride_y, layer.stride_x, layer.top, layer.left = stride_y, stride_x, top, left
    layer.dilation_y, layer.dilation_x = dilation_y, dilation_x
    layer.relu, layer.pool_y, layer.pool_x = relu, pool_y, pool_x
    cdef const char *x = <const char *> &x_nhwc[0, 0, 0, 0]
    cdef const char *w = <const char *> &w_oihw[0, 0, 0, 0]
    cdef const char *bias = NULL if b is None else <const char *> &b[0]
    cdef Py_ssize_t fold = fold_of_layer(&layer)
    while True:
        s.p.most_images = n // LEAST_TASKS
        plan_forward(&s, &layer, w, bias, fold)
        with nogil:
            enough = run_forward(&s, n, x, <char *> &y_nhwc[0, 0, 0, 0], places, &finite)
            finish_forward(&s)
        if not enough:
            raise MemoryError("conv2d: no memory for the strips of a convolution")
        if finite:
            break
        fold = 1


cdef void flipped_places(Correlation *p, int32_t *place, Py_ssize_t tap_y, Py_ssize_t tap_x, Py_ssize_t kh,
                         Py_ssize_t kw, Py_ssize_t every_y, Py_ssize_t every_x) noexcept nogil:
    """Which row (tap, output channel) of a phase of the data gradient each tap of output channel 0 is, or -1."""
    cdef Py_ssize_t i, j
    for i in range(kh * kw):
        place[i] = -1
    for i in range(p.y.taps):
        for j in range(p.x.taps):
            place[(tap_y - i * every_y) * kw + tap_x - j * every_x] = <int32_t> (
                (i * p.x.taps + j) * (p.c // p.groups))


cdef bint upstream_of(
    Upstream *u, const real[:, :, :, ::1] dy, const real[:, :, :, ::1] y, const uint8_t[:, :, :, ::1] codes,
    Py_ssize_t pool_y, Py_ssize_t pool_x,
) noexcept:
    """Describe dy behind fused layers; returns whether there are any."""
    u.dy = <const char *> &dy[0, 0, 0, 0]
    u.y = NULL if y is None else <const char *> &y[0, 0, 0, 0]
    u.codes = NULL if codes is None else <const char *> &codes[0, 0, 0, 0]
    u.pool_y, u.pool_x = pool_y, pool_x
    u.rows, u.pixels, u.channels = dy.shape[1], dy.shape[2], dy.shape[3]
    return u.y != NULL or u.codes != NULL


# ---- data gradient of few channels -----------------------------------------------------------------------------------


cdef struct Scatter:
    # dx[y * stride + i, x * stride ...] += dy[y, x] * w[i]: one product for each output column x and tap row i, whose
    # rows are the output rows y of a few images and whose columns are all taps j and channels of tap row i. They lie
    # side by side in dx, and rows of one product never meet, so the register tile adds in place.
    const cn_kernels *kernels
    Upstream upstream
    bint fused
    Py_ssize_t item, n, images             # images: of a task
    Py_ssize_t h, w, c, oh, ow, o, kh, kw
    Py_ssize_t stride_y, stride_x, top, left, dilation_y
    const char *weights                    # (kh, o, kw, c)
    char *dx
    char *scratch                          # for each worker: the expanded dy of a task
    Py_ssize_t scratch_bytes
    int32_t *dy_row                        # rows of dy and of dx, for each tap row: images * oh entries each
    int32_t *dx_row
    int32_t *k_offset


# dy of one image must stay in L2 while all of its taps pass over it.
cdef Py_ssize_t SCATTER_BYTES = 256 * 1024
cdef Py_ssize_t SCATTER_ROWS = 32


cdef bint scatters(const Correlation *p, Py_ssize_t kw, Py_ssize_t oh, Py_ssize_t ow, Py_ssize_t dilation_x,
                   Py_ssize_t dx_elements) noexcept nogil:
    """Whether the data gradient has so few channels that a correlation would waste lanes.

    100 x (16, 8, 8) to (6, 12, 12) with 5 x 5 taps, one thread: 930 us as a correlation, 270 us so.
    """
    return (p.groups == 1 and dilation_x == 1 and kw > 1 and p.cols <= kernels_for(<int> p.item, True).lanes
            and oh * ow * p.c * p.item <= SCATTER_BYTES and dx_elements * SCATTER_ROWS <= MOST_OFFSET)


cdef Py_ssize_t scatter_rows(Scatter *s, Py_ssize_t i, Py_ssize_t images) noexcept nogil:
    """How many output rows of `images` images reach rows of dx with tap row i: the length of its tables."""
    cdef Py_ssize_t shift = i * s.dilation_y - s.top
    cdef Py_ssize_t first = most(ceil_div(-shift, s.stride_y), 0) if shift < 0 else 0
    cdef Py_ssize_t end = least((s.h - 1 - shift) // s.stride_y + 1, s.oh) if s.h > shift else 0
    return images * most(end - first, 0)


cdef void fill_scatter_tables(Scatter *s) noexcept nogil:
    cdef Py_ssize_t i, image, y, r, target
    for i in range(s.kh):
        r = i * s.images * s.oh
        for image in range(s.images):
            for y in range(s.oh):
                target = y * s.stride_y + i * s.dilation_y - s.top
                if 0 <= target < s.h:
                    s.dy_row[r] = <int32_t> ((image * s.oh + y) * s.ow * s.o)
                    s.dx_row[r] = <int32_t> ((image * s.h + target) * s.w * s.c)
                    r += 1
    for i in range(s.o):
        s.k_offset[i] = <int32_t> i


cdef void scatter_images(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Scatter *s = <Scatter *> job
    cdef Py_ssize_t image = index * s.images, images = least(s.images, s.n - image), i, x, first, end, row
    cdef Py_ssize_t map_bytes = s.h * s.w * s.c * s.item, row_bytes = s.ow * s.o * s.item
    cdef const char *dy = s.upstream.dy + image * s.oh * row_bytes
    cdef char *dx = s.dx + image * map_bytes
    cdef char *expanded = s.scratch + worker * s.scratch_bytes
    cdef cn_product product
    if s.fused:
        dy = expanded
        for row in range(images * s.oh):
            upstream_row(&s.upstream, s.kernels, s.item, image + row // s.oh, row % s.oh, 0, s.ow,
                         expanded + row * row_bytes, s.o)
    memset(dx, 0, images * map_bytes)
    product.depth, product.a_k, product.bias = s.o, s.k_offset, NULL
    product.accumulate, product.two_chains = True, False
    product.b_k, product.b_vector = s.kw * s.c, s.kernels.lanes
    for i in range(s.kh):
        product.rows = scatter_rows(s, i, images)
        product.a_row, product.c_row = s.dy_row + i * s.images * s.oh, s.dx_row + i * s.images * s.oh
        for x in range(s.ow):
            first = most(s.left - x * s.stride_x, 0)
            end = least(s.w + s.left - x * s.stride_x, s.kw)
            if first >= end:
                continue
            product.cols = (end - first) * s.c
            product.a = dy + x * s.o * s.item
            product.b = s.weights + (i * s.o * s.kw + first) * s.c * s.item
            product.c = dx + (x * s.stride_x - s.left + first) * s.c * s.item
            s.kernels.product(&product)


cdef void weights_by_tap_row(const real[:, :, :, ::1] w_oihw, real *to) noexcept nogil:
    """Copy weights (o, c, kh, kw) as (kh, o, kw, c)."""
    cdef Py_ssize_t i, o, j, q, k = 0
    for i in range(w_oihw.shape[2]):
        for o in range(w_oihw.shape[0]):
            for j in range(w_oihw.shape[3]):
                for q in range(w_oihw.shape[1]):
                    to[k] = w_oihw[o, q, i, j]
                    k += 1


cdef bint scatter(Scatter *s, const real[:, :, :, ::1] w_oihw) except False:
    cdef Py_ssize_t rows = s.images * s.oh
    cdef real *weights = <real *> alloc(s.kh * s.o * s.kw * s.c * s.item)
    s.scratch_bytes = ceil_div(rows * s.ow * s.o * s.item, 64) * 64 if s.fused else 0
    s.scratch = <char *> alloc(s.scratch_bytes * num_threads())
    s.dy_row = <int32_t *> alloc((2 * s.kh * rows + s.o) * sizeof(int32_t))
    s.dx_row, s.k_offset = s.dy_row + s.kh * rows, s.dy_row + 2 * s.kh * rows
    try:
        if weights == NULL or s.scratch == NULL or s.dy_row == NULL:
            raise MemoryError("conv2d: no memory for the tables of a data gradient")
        with nogil:
            weights_by_tap_row(w_oihw, weights)
            s.weights = <const char *> weights
            fill_scatter_tables(s)
            parallel_for(scatter_images, s, ceil_div(s.n, s.images),
                         2.0 * s.n * s.oh * s.ow * s.o * s.kh * s.kw * s.c)
    finally:
        release(weights)
        release(s.scratch)
        release(s.dy_row)
    return True


def conv2d_data_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] relu_output, const uint8_t[:, :, :, ::1] codes,
    const real[:, :, :, ::1] w_oihw, real[:, :, :, ::1] dx_nhwc,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, Py_ssize_t groups, Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """dx = the gradient of `conv2d_forward` with respect to x; dx_nhwc is overwritten.

    ``codes`` are given after a fused ReLU and max pool, ``relu_output`` (y) after a ReLU alone; otherwise None.
    A stride of s splits the input into s x s phases, each a correlation of dy with the taps that reach it.
    """
    cdef Slide s
    cdef Correlation *p = &s.p
    cdef Scatter few
    cdef Upstream upstream
    cdef Py_ssize_t o = w_oihw.shape[0], channels = w_oihw.shape[1], kh = w_oihw.shape[2], kw = w_oihw.shape[3]
    cdef Py_ssize_t h = dx_nhwc.shape[1], w = dx_nhwc.shape[2], c = dx_nhwc.shape[3], phase_y, phase_x, tap_y, tap_x
    cdef Py_ssize_t oh = dy_nhwc.shape[1] * pool_y, ow = dy_nhwc.shape[2] * pool_x
    cdef Packing q
    cdef int32_t *place
    cdef bint enough
    if dx_nhwc.shape[0] == 0 or c == 0 or h == 0 or w == 0:
        return
    if kh < stride_y or kw < stride_x or dilation_y > 1 or dilation_x > 1 or o * oh * ow == 0:
        memset(&dx_nhwc[0, 0, 0, 0], 0, dx_nhwc.shape[0] * h * w * c * sizeof(real))  # some phases may have no tap
    if o * oh * ow == 0:
        return
    p.n, p.c, p.groups, p.cols, p.item = dy_nhwc.shape[0], o, groups, channels, sizeof(real)
    p.kernels = kernels_for_columns(sizeof(real), p.cols)
    p.source = <const char *> &dy_nhwc[0, 0, 0, 0]
    p.upstream = &upstream if upstream_of(&upstream, dy_nhwc, relu_output, codes, pool_y, pool_x) else NULL
    if scatters(p, kw, oh, ow, dilation_x, h * w * c):
        few.kernels, few.item = kernels_for(sizeof(real), False), p.item
        few.upstream, few.fused = upstream, p.upstream != NULL
        few.n, few.images = p.n, least(p.n, most(1, SCATTER_ROWS // oh))
        few.h, few.w, few.c, few.oh, few.ow, few.o, few.kh, few.kw = h, w, c, oh, ow, o, kh, kw
        few.stride_y, few.stride_x, few.top, few.left, few.dilation_y = stride_y, stride_x, top, left, dilation_y
        few.dx = <char *> &dx_nhwc[0, 0, 0, 0]
        scatter(&few, w_oihw)
        return
    s.relu, s.fold, s.pool_y, s.pool_x, s.result_pixel = False, 1, 1, 1, 0
    s.bias, s.codes = NULL, NULL
    s.image_stride, s.row_stride = h * w * c, stride_y * w * c
    q.w, q.run, q.col_stride = <const char *> &w_oihw[0, 0, 0, 0], kh * kw, kh * kw
    q.count, q.step = o // groups, channels * kh * kw
    q.group_stride = q.count * q.step
    q.place = place = <int32_t *> alloc(kh * kw * sizeof(int32_t))
    try:
        if place == NULL:
            raise MemoryError("conv2d: no memory for the places of the weights")
        for phase_y in range(least(stride_y, h)):
            for phase_x in range(least(stride_x, w)):
                tap_y = gradient_axis(&p.y, phase_y, h, oh, kh, stride_y, top, dilation_y)
                tap_x = gradient_axis(&p.x, phase_x, w, ow, kw, stride_x, left, dilation_x)
                if p.y.taps == 0 or p.x.taps == 0:
                    continue
                flipped_places(p, place, tap_y, tap_x, kh, kw, stride_y // gcd(stride_y, dilation_y),
                               stride_x // gcd(stride_x, dilation_x))
                s.out = <char *> &dx_nhwc[0, phase_y, phase_x, 0]
                s.packed, s.out_offset = NULL, NULL
                try:
                    p.most_images = p.n // LEAST_TASKS
                    prepare(p, 1, 0)
                    plan_slide(&s, &q, s.row_stride, stride_x * c)
                    with nogil:
                        enough = run_slide(&s)
                finally:
                    finish(p)
                    finish_slide(&s)
                if not enough:
                    raise MemoryError("conv2d: no memory for the strips of a data gradient")
    finally:
        release(place)
