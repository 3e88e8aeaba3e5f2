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

from libc.math cimport NAN
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memcpy, memset

from convnet.kernels.correlation cimport (
    Axis, Convolution, Correlation, Strip, Upstream, ceil_div, fill_tables, fold_axis, fold_of, forward_axis, gcd,
    gradient_axis, kernels_for_columns, least, most, plan_strips, strip_at, strip_source, worker_result,
)
from convnet.kernels.runtime cimport (
    alloc, cn_kernels, cn_pool_run, cn_product, kernels_for, num_threads, parallel_for, release,
)
from convnet.kernels.scatter cimport Scatter, finish_scatter, plan_scatter, run_scatter, scatters

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
    elif s.relu and (s.blocks > 1 or s.apart):
        for count in range(product.rows):
            p.kernels.relu(out + s.out_offset[count] * p.item, out + s.out_offset[count] * p.item, cols * p.groups,
                           s.ceiling)
    elif s.relu:
        p.kernels.relu(out, out, product.rows * p.cols * p.groups, s.ceiling)


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
    s.relu, s.ceiling, s.outputs = layer.relu, layer.ceiling, layer.o
    s.pool_y, s.pool_x = layer.pool_y, layer.pool_x
    s.result_pixel = pixel if s.pool_y * s.pool_x > 1 else 0
    s.row_stride = layer.ow // s.pool_x * layer.o
    s.image_stride = layer.oh // s.pool_y * s.row_stride
    s.fold, s.apart = fold, False
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
    layer.relu, layer.ceiling, layer.pool_y, layer.pool_x = relu, NAN, pool_y, pool_x
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


# ---- data gradient, transposed convolution ---------------------------------------------------------------------------


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


cdef struct Transposed:
    Slide *phases
    Py_ssize_t count
    bint few                               # channels: then `scatter` does it all
    Scatter scatter


cdef bint plan_phase(Slide *s, const Convolution *layer, Py_ssize_t y, Py_ssize_t x, const char *w, const char *b,
                     const Upstream *upstream, Py_ssize_t images) except False:
    """Output rows y, y + stride, ..., of them columns x, x + stride, ...; where no tap leads they are the bias."""
    cdef Correlation *p = &s.p
    cdef Py_ssize_t taps = layer.kh * layer.kw, row = layer.ow * layer.o, tap_y, tap_x
    cdef int32_t *place = <int32_t *> alloc(taps * sizeof(int32_t))
    cdef Packing q
    p.c, p.groups, p.cols, p.item = layer.c, layer.groups, layer.o // layer.groups, layer.item
    p.kernels, p.upstream, p.most_images = kernels_for_columns(<int> p.item, p.cols), upstream, images // LEAST_TASKS
    tap_y = gradient_axis(&p.y, y, layer.oh, layer.h, layer.kh, layer.stride_y, layer.top, layer.dilation_y)
    tap_x = gradient_axis(&p.x, x, layer.ow, layer.w, layer.kw, layer.stride_x, layer.left, layer.dilation_x)
    s.relu, s.ceiling, s.fold, s.pool_y, s.pool_x = layer.relu, layer.ceiling, 1, 1, 1
    s.result_pixel, s.codes = 0, NULL
    s.image_stride, s.row_stride, s.first = layer.oh * row, layer.stride_y * row, y * row + x * layer.o
    s.apart, s.bias = layer.stride_y > 1 or layer.stride_x > 1, <char *> b
    q.w, q.place, q.run, q.col_stride, q.count, q.step = w, place, taps, taps, layer.c // layer.groups, p.cols * taps
    q.group_stride = q.count * q.step
    try:
        if place == NULL:
            raise MemoryError("conv2d: no memory for the places of the weights")
        flipped_places(p, place, tap_y, tap_x, layer.kh, layer.kw,
                       layer.stride_y // gcd(layer.stride_y, layer.dilation_y),
                       layer.stride_x // gcd(layer.stride_x, layer.dilation_x))
        prepare(p, 1, 0)
        plan_slide(s, &q, s.row_stride, layer.stride_x * layer.o)
    finally:
        release(place)
    return True


cdef void *plan_transposed(const Convolution *layer, const char *w, const char *b, const Upstream *upstream,
                           Py_ssize_t images) except NULL:
    """All but its arrays; `finish_transposed` releases it. A stride of s splits the output into s x s phases."""
    cdef Py_ssize_t across = least(layer.stride_x, layer.ow), count = least(layer.stride_y, layer.oh) * across, i
    cdef Transposed *t = <Transposed *> alloc(sizeof(Transposed) + count * sizeof(Slide))
    if t == NULL:
        raise MemoryError("conv2d: no memory for a plan")
    memset(t, 0, sizeof(Transposed) + count * sizeof(Slide))
    t.phases, t.count, t.few = <Slide *> (t + 1), count, scatters(layer)
    try:
        if t.few:
            plan_scatter(&t.scatter, layer, w, b, upstream, images)
        for i in range(0 if t.few else count):
            plan_phase(t.phases + i, layer, i // across, i % across, w, b, upstream, images)
    except BaseException:
        finish_transposed(t)
        raise
    return t


cdef bint run_transposed(const void *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc) noexcept nogil:
    cdef const Transposed *t = <const Transposed *> plan
    cdef Py_ssize_t i
    cdef bint enough = True
    cdef Slide s
    if t.few:
        return run_scatter(&t.scatter, n, x_nhwc, y_nhwc)
    for i in range(t.count):
        s = t.phases[i]
        s.p.n, s.p.source, s.out = n, x_nhwc, y_nhwc + s.first * s.p.item
        enough = enough and run_slide(&s)
    return enough


cdef void finish_transposed(void *plan) noexcept nogil:
    cdef Transposed *t = <Transposed *> plan
    cdef Py_ssize_t i
    for i in range(t.count):
        finish(&t.phases[i].p)
        finish_slide(t.phases + i)
    finish_scatter(&t.scatter)
    release(t)


def conv2d_data_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] relu_output, const uint8_t[:, :, :, ::1] codes,
    const real[:, :, :, ::1] w_oihw, const real[::1] b, real[:, :, :, ::1] dx_nhwc,
    Py_ssize_t stride_y, Py_ssize_t stride_x, Py_ssize_t top, Py_ssize_t left,
    Py_ssize_t dilation_y, Py_ssize_t dilation_x, Py_ssize_t groups, Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """dx = b, or 0 where that is None, + the gradient of `conv2d_forward` with respect to x.

    ``codes`` are given after a fused ReLU and max pool, ``relu_output`` (y) after a ReLU alone; otherwise None.
    """
    cdef Upstream upstream
    cdef Convolution layer
    cdef Py_ssize_t n = dx_nhwc.shape[0]
    cdef const char *bias = NULL if b is None else <const char *> &b[0]
    cdef bint fused, enough
    cdef void *plan
    if n == 0 or dx_nhwc.shape[1] == 0 or dx_nhwc.shape[2] == 0 or dx_nhwc.shape[3] == 0:
        return
    layer.item, layer.c, layer.h, layer.w = sizeof(real), w_oihw.shape[0], dy_nhwc.shape[1] * pool_y, \
        dy_nhwc.shape[2] * pool_x
    layer.oh, layer.ow, layer.o, layer.groups = dx_nhwc.shape[1], dx_nhwc.shape[2], dx_nhwc.shape[3], groups
    layer.kh, layer.kw, layer.relu, layer.ceiling = w_oihw.shape[2], w_oihw.shape[3], False, NAN
    layer.stride_y, layer.stride_x, layer.top, layer.left = stride_y, stride_x, top, left
    layer.dilation_y, layer.dilation_x = dilation_y, dilation_x
    fused = upstream_of(&upstream, dy_nhwc, relu_output, codes, pool_y, pool_x)
    plan = plan_transposed(&layer, <const char *> &w_oihw[0, 0, 0, 0], bias, &upstream if fused else NULL, n)
    with nogil:
        enough = run_transposed(plan, n, <const char *> &dy_nhwc[0, 0, 0, 0], <char *> &dx_nhwc[0, 0, 0, 0])
        finish_transposed(plan)
    if not enough:
        raise MemoryError("conv2d: no memory for the strips of a data gradient")
