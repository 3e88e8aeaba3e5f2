# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Winograd's convolution: 3 x 3 taps, stride 1, a quarter of the multiplications. See csrc/winograd.h for the idea.

A map is cut into tiles of 4 x 4 outputs. Each is transformed into its values at 36 points; at each point the values of
a group of tiles, (tiles x channels), are multiplied with the transformed weights, (channels x outputs), by the same
register tile as all else; the products are transformed back. The weight gradient lives in
winograd_weights.pyx.

Transformed data is 2.25 times as large as the map, so a group has few enough tiles to stay in L2 between the steps.
The 36 planes lie a cache line more than a multiple of their size apart: at a power of two a tile's 36 values would
share one set of L1.

Work is cut by shape alone, as in conv.pyx; what is fused to a convolution works as there, too.
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t, uint8_t

from convnet.kernels.conv cimport real, upstream_of
from convnet.kernels.correlation cimport Upstream, ceil_div, least, most, upstream_row
from convnet.kernels.runtime cimport (
    alloc, cn_kernels, cn_pool_run, cn_product, cn_winograd_tile, kernels_for, num_threads, parallel_for, release,
)

# Outputs multiplied at a time.
cdef Py_ssize_t BLOCK = 192


# ---- tiles of a map --------------------------------------------------------------------------------------------------


cdef Py_ssize_t strip_bytes(const Grid *g, Py_ssize_t tiles) noexcept nogil:
    """Bytes of the pixels of up to `tiles` tiles side by side, where they must be expanded through fused layers."""
    if g.upstream == NULL:
        return 0
    return ceil_div(g.span * least(g.w, (least(tiles, g.across) - 1) * TILE + g.span) * g.c * g.item, LINE) * LINE


cdef void transform_run(const Grid *g, Py_ssize_t first, Py_ssize_t run, const Wanted *q, char *to) noexcept nogil:
    """Transform tiles [first, first + run), which lie side by side."""
    cdef cn_winograd_tile tile
    cdef Py_ssize_t image = first // g.across // g.down
    cdef Py_ssize_t y = first // g.across % g.down * TILE - g.top, x = first % g.across * TILE - g.left
    cdef Py_ssize_t row = most(y, 0), rows = most(least(y + g.span, g.h) - row, 0)
    cdef Py_ssize_t col = most(x, 0), cols = most(least(x + (run - 1) * TILE + g.span, g.w) - col, 0), i, start
    cdef const char *source = q.strip
    tile.channels, tile.plane, tile.pixel_step, tile.row_step = q.channels, g.plane, g.c, cols * g.c
    tile.first_row, tile.end_row = row - y, row - y + rows
    if g.upstream == NULL:
        source = g.map + ((image * g.h + row) * g.w + col) * g.c * g.item
        tile.row_step = g.w * g.c
    elif cols:
        for i in range(rows):
            upstream_row(g.upstream, g.kernels, g.item, image, row + i, col, cols,
                         q.strip + i * tile.row_step * g.item, g.c)
    source += q.channel * g.item
    if q.sums != NULL:
        for i in range(rows):
            g.kernels.column_sums(q.sums, source + i * tile.row_step * g.item, cols, q.channels, g.c)
    for _ in range(run):
        start = most(x, 0)
        tile.first_col, tile.end_col = start - x, least(g.span, g.w - x)
        if g.span == TILE:
            g.kernels.winograd_gradient(to, source + (start - col) * g.c * g.item, &tile)
        else:
            g.kernels.winograd_input(to, source + (start - col) * g.c * g.item, &tile)
        to += g.step * g.item
        x += TILE


cdef void transform_tiles(const Grid *g, Py_ssize_t first, Py_ssize_t tiles, const Wanted *q, char *to) noexcept nogil:
    cdef Py_ssize_t run
    while tiles > 0:
        run = least(tiles, g.across - first % g.across)
        transform_run(g, first, run, q, to)
        to += run * g.step * g.item
        first += run
        tiles -= run


# ---- weights ---------------------------------------------------------------------------------------------------------


cdef struct Weights:
    # Weights at the points: at each one packed for the product, (cols / lanes, depth, lanes)
    const cn_kernels *kernels
    Py_ssize_t item, depth, cols, vectors, blocks
    Py_ssize_t k_stride, col_stride        # elements of (o, c, 3, 3)
    Py_ssize_t plane
    bint flip
    const char *w
    char *at

cdef Py_ssize_t DEPTH_BLOCK = 32           # rows that a task transforms


cdef void transform_weights(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One vector of columns, one block of rows; task after task reads on where the one before ended."""
    cdef Weights *q = <Weights *> job
    cdef bint by_rows = q.k_stride < q.col_stride
    cdef Py_ssize_t vector = index // q.blocks if by_rows else index % q.vectors
    cdef Py_ssize_t block = index % q.blocks if by_rows else index // q.vectors, k = block * q.depth // q.blocks
    cdef Py_ssize_t lanes = q.kernels.lanes, col = vector * lanes
    q.kernels.winograd_weights(
        q.at + (vector * q.depth + k) * lanes * q.item, q.w + (k * q.k_stride + col * q.col_stride) * q.item,
        (block + 1) * q.depth // q.blocks - k, q.k_stride, least(lanes, q.cols - col), q.col_stride, q.flip, q.plane,
    )


cdef bint transform_all(Weights *q) except False:
    """Allocate and fill `at`, which the caller releases, also after a failure."""
    q.vectors, q.blocks = ceil_div(q.cols, q.kernels.lanes), ceil_div(q.depth, DEPTH_BLOCK)
    q.plane = padded(q.vectors * q.kernels.lanes * q.depth, q.item)
    q.at = <char *> alloc(POINTS * q.plane * q.item)
    if q.at == NULL:
        raise MemoryError("conv2d: no memory for the transformed weights of a convolution")
    with nogil:
        parallel_for(transform_weights, q, q.vectors * q.blocks, 8.0 * POINTS * q.plane * q.item)
    return True


# ---- forward pass and data gradient ----------------------------------------------------------------------------------


cdef struct Convolution:
    Grid source
    Weights weights
    Py_ssize_t n, oh, ow, o                # of the output, before pooling
    Py_ssize_t tiles, groups, blocks       # tiles of all images; tasks are groups of them by blocks of outputs
    Py_ssize_t group, block                # at most so many tiles, so many outputs (whole vectors)
    Py_ssize_t plane                       # of the products at the points
    const char *bias                       # or NULL
    bint relu
    double ceiling                         # of the ReLU; NaN for none
    Py_ssize_t pool_y, pool_x              # windows of a fused max pool; 1 without
    char *out
    char *codes                            # or NULL
    char *values                           # all groups at the points where there are blocks to share them, else NULL
    char *scratch                          # for each worker: a group at the points, its products, a strip, a result
    Py_ssize_t scratch_bytes, values_bytes, products_bytes, strip_bytes
    int32_t *tile_row                      # offsets of a group's tiles among the values and among the products
    int32_t *product_row
    int32_t *k_offset
    int32_t tap_offset[TILE * TILE]


cdef void pool_tile(Convolution *s, const char *result, Py_ssize_t image, Py_ssize_t y, Py_ssize_t x, Py_ssize_t col,
                    const cn_winograd_tile *tile) noexcept nogil:
    """ReLU and max pool of a tile's outputs: windows lie inside it."""
    cdef cn_pool_run run
    cdef Py_ssize_t i, item = s.source.item
    cdef Py_ssize_t at = ((image * (s.oh // s.pool_y) + y // s.pool_y) * (s.ow // s.pool_x) + x // s.pool_x) * s.o + col
    run.pixels, run.channels = tile.end_col // s.pool_x, tile.channels
    run.x_step, run.y_step = s.pool_x * tile.pixel_step, s.o
    run.taps, run.tap_offset = s.pool_y * s.pool_x, s.tap_offset
    for i in range(tile.end_row // s.pool_y):
        s.source.kernels.relu_max_pool(s.out + at * item, NULL if s.codes == NULL else s.codes + at,
                                       result + i * s.pool_y * tile.row_step * item, &run)
        at += s.ow // s.pool_x * s.o


cdef void put_tiles(Convolution *s, Py_ssize_t first, Py_ssize_t tiles, Py_ssize_t col, Py_ssize_t cols,
                    const char *products, char *result) noexcept nogil:
    """Transform the products of outputs [col, col + cols) back and write them."""
    cdef Grid *g = &s.source
    cdef cn_winograd_tile tile
    cdef Py_ssize_t t, image, y, x
    cdef const char *bias = NULL if s.bias == NULL else s.bias + col * g.item
    cdef bint pools = s.pool_y * s.pool_x > 1
    tile.channels, tile.plane = cols, s.plane
    tile.pixel_step = s.block if pools else s.o
    tile.row_step = TILE * s.block if pools else s.ow * s.o
    for t in range(first, first + tiles):
        image, y, x = t // g.across // g.down, t // g.across % g.down * TILE, t % g.across * TILE
        tile.end_row, tile.end_col = least(TILE, s.oh - y), least(TILE, s.ow - x)
        if pools:
            g.kernels.winograd_output(result, products, bias, False, NAN, &tile)
            pool_tile(s, result, image, y, x, col, &tile)
        else:
            g.kernels.winograd_output(s.out + (((image * s.oh + y) * s.ow + x) * s.o + col) * g.item, products, bias,
                                      s.relu, s.ceiling, &tile)
        products += s.block * g.item


cdef void transform_group(Convolution *s, Py_ssize_t first, Py_ssize_t tiles, char *values, int worker) noexcept nogil:
    cdef Wanted wanted
    wanted.channel, wanted.channels, wanted.sums = 0, s.source.c, NULL
    wanted.strip = s.scratch + worker * s.scratch_bytes + s.values_bytes + s.products_bytes
    transform_tiles(&s.source, first, tiles, &wanted, values)


cdef void transform_shared(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """An eighth of a group's tiles."""
    cdef Convolution *s = <Convolution *> job
    cdef Py_ssize_t group = index // 8, part = index % 8, first = group * s.tiles // s.groups
    cdef Py_ssize_t tiles = (group + 1) * s.tiles // s.groups - first, start = part * tiles // 8
    transform_group(s, first + start, (part + 1) * tiles // 8 - start,
                    s.values + (group * POINTS * s.source.plane + start * s.source.step) * s.source.item, worker)


cdef void convolve_group(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One group of tiles, one block of outputs."""
    cdef Convolution *s = <Convolution *> job
    cdef Grid *g = &s.source
    cdef Weights *w = &s.weights
    cdef Py_ssize_t group = index // s.blocks, block = index % s.blocks, lanes = g.kernels.lanes, p, col
    cdef Py_ssize_t first = group * s.tiles // s.groups, tiles = (group + 1) * s.tiles // s.groups - first
    cdef Py_ssize_t end = least(s.o, (block + 1) * w.vectors // s.blocks * lanes)
    cdef char *values = s.scratch + worker * s.scratch_bytes
    cdef char *products = values + s.values_bytes
    cdef char *result = products + s.products_bytes + s.strip_bytes
    cdef cn_product product
    if s.values == NULL:
        transform_group(s, first, tiles, values, worker)
    else:
        values = s.values + group * POINTS * g.plane * g.item
    product.rows, product.depth = tiles, g.c
    product.a_row, product.a_k, product.c_row = s.tile_row, s.k_offset, s.product_row
    product.b_k, product.b_vector = lanes, w.depth * lanes
    product.bias, product.accumulate, product.two_chains = NULL, False, False
    col = block * w.vectors // s.blocks * lanes
    while col < end:
        product.cols = least(s.block, whole(g.kernels, end - col))
        for p in range(POINTS):
            product.a = values + p * g.plane * g.item
            product.b = w.at + (p * w.plane + col * w.depth) * g.item
            product.c = products + p * s.plane * g.item
            g.kernels.product(&product)
        put_tiles(s, first, tiles, col, least(s.block, end - col), products, result)
        col += s.block


# Tasks at least, where tiles are few: then the outputs are cut, too, into blocks of at least so many, and all groups
# are transformed before; where that does not make half of them, groups become smaller. On one thread, 16 tiles of 64
# channels are as fast as 64; but each group reads all of the weights.
cdef Py_ssize_t LEAST_OUTPUTS = 64
cdef Py_ssize_t LEAST_TILES = 16


cdef void cut_convolution(Convolution *s) noexcept nogil:
    """Choose groups and blocks from the shape alone."""
    cdef Grid *g = &s.source
    s.tiles = s.n * g.down * g.across
    s.groups = ceil_div(s.tiles, GROUP)
    s.blocks = most(1, least(ceil_div(FEW_TASKS, s.groups), s.o // LEAST_OUTPUTS))
    s.groups = most(s.groups, least(ceil_div(FEW_TASKS, 2 * s.blocks), ceil_div(s.tiles, LEAST_TILES)))
    s.group = ceil_div(s.tiles, s.groups)
    s.block = least(ceil_div(BLOCK, g.kernels.lanes), s.weights.vectors) * g.kernels.lanes
    g.step = whole(g.kernels, g.c)
    g.plane, s.plane = padded(s.group * g.step, g.item), padded(s.group * s.block, g.item)
    s.values_bytes = POINTS * g.plane * g.item if s.blocks == 1 else 0
    s.products_bytes = POINTS * s.plane * g.item
    s.strip_bytes = strip_bytes(g, s.group)
    s.scratch_bytes = s.values_bytes + s.products_bytes + s.strip_bytes
    if s.pool_y * s.pool_x > 1:
        s.scratch_bytes += TILE * TILE * s.block * g.item


cdef void fill_tables(Convolution *s) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(s.group):
        s.tile_row[i], s.product_row[i] = <int32_t> (i * s.source.step), <int32_t> (i * s.block)
    for i in range(s.source.c):
        s.k_offset[i] = <int32_t> i
    for i in range(s.pool_y * s.pool_x):
        s.tap_offset[i] = <int32_t> ((i // s.pool_x * TILE + i % s.pool_x) * s.block)


cdef bint run_convolution(Convolution *s) noexcept nogil:
    """Fill the output, with weights that have been transformed; False when out of memory."""
    cdef Grid *g = &s.source
    cdef double macs = <double> s.n * s.oh * s.ow * s.o * g.c * TAPS / 4
    cdef bint enough
    s.scratch = s.values = NULL
    cut_convolution(s)
    s.tile_row = <int32_t *> alloc((2 * s.group + g.c) * sizeof(int32_t))
    s.product_row, s.k_offset = s.tile_row + s.group, s.tile_row + 2 * s.group
    s.scratch = <char *> alloc(s.scratch_bytes * num_threads())
    if s.blocks > 1:
        s.values = <char *> alloc(s.groups * POINTS * g.plane * g.item)
    enough = s.tile_row != NULL and s.scratch != NULL and (s.values != NULL or s.blocks == 1)
    if enough:
        fill_tables(s)
        if s.blocks > 1:
            parallel_for(transform_shared, s, 8 * s.groups, 32.0 * s.tiles * POINTS * g.c)
        parallel_for(convolve_group, s, s.groups * s.blocks, 2 * macs)
    release(s.tile_row)
    release(s.scratch)
    release(s.values)
    return enough


cdef bint convolve(Convolution *s) except False:
    """Fill the output. `source`, `weights` and what describes the output have been set."""
    cdef bint enough
    transform_all(&s.weights)
    with nogil:
        enough = run_convolution(s)
        release(s.weights.at)
    if not enough:
        raise MemoryError("conv2d: no memory for the tiles of a convolution")
    return True


cdef void describe(Convolution *s, Py_ssize_t item, Py_ssize_t top, Py_ssize_t left) noexcept nogil:
    """What follows from the sizes of the source and the output."""
    cdef Grid *g = &s.source
    g.kernels, g.item, g.span, g.top, g.left = kernels_for(<int> item, False), item, TILE + 2, top, left
    g.down, g.across = ceil_div(s.oh, TILE), ceil_div(s.ow, TILE)
    s.weights.kernels, s.weights.item, s.weights.depth, s.weights.cols = g.kernels, item, g.c, s.o


cdef void *plan_winograd(const Settings *layer, const char *w_oihw, const char *b) except NULL:
    cdef Convolution *s = <Convolution *> alloc(sizeof(Convolution))
    if s == NULL:
        raise MemoryError("conv2d: no memory for a plan")
    s.oh, s.ow, s.o = layer.oh, layer.ow, layer.o
    s.source.h, s.source.w, s.source.c, s.source.upstream = layer.h, layer.w, layer.c, NULL
    describe(s, layer.item, layer.top, layer.left)
    s.weights.w, s.weights.k_stride, s.weights.col_stride, s.weights.flip = w_oihw, TAPS, TAPS * layer.c, False
    s.bias, s.relu, s.ceiling, s.codes = b, layer.relu, layer.ceiling, NULL
    s.pool_y, s.pool_x = layer.pool_y, layer.pool_x
    try:
        transform_all(&s.weights)
    except BaseException:
        release(s)
        raise
    return s


cdef bint run_winograd(const void *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc) noexcept nogil:
    cdef Convolution s = (<const Convolution *> plan)[0]
    s.n, s.source.map, s.out = n, x_nhwc, y_nhwc
    return run_convolution(&s)


cdef void finish_winograd(void *plan) noexcept nogil:
    release((<Convolution *> plan).weights.at)
    release(plan)


def winograd_forward(
    const real[:, :, :, ::1] x_nhwc, const real[:, :, :, ::1] w_oihw, const real[::1] b,
    real[:, :, :, ::1] y_nhwc, uint8_t[:, :, :, ::1] codes,
    Py_ssize_t top, Py_ssize_t left, bint relu, Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """As `conv2d_forward`, with 3 x 3 taps and no strides, dilations, groups; ``pool_y`` and ``pool_x`` divide 4."""
    cdef Convolution s
    cdef Grid *g = &s.source
    cdef Weights *w = &s.weights
    s.n, s.oh, s.ow, s.o = y_nhwc.shape[0], y_nhwc.shape[1] * pool_y, y_nhwc.shape[2] * pool_x, y_nhwc.shape[3]
    if s.n * s.oh * s.ow * s.o == 0:
        return
    g.map, g.upstream = <const char *> &x_nhwc[0, 0, 0, 0], NULL
    g.h, g.w, g.c = x_nhwc.shape[1], x_nhwc.shape[2], x_nhwc.shape[3]
    describe(&s, sizeof(real), top, left)
    w.w, w.k_stride, w.col_stride, w.flip = <const char *> &w_oihw[0, 0, 0, 0], TAPS, TAPS * g.c, False
    s.bias = NULL if b is None else <const char *> &b[0]
    s.relu, s.ceiling, s.pool_y, s.pool_x = relu, NAN, pool_y, pool_x
    s.out = <char *> &y_nhwc[0, 0, 0, 0]
    s.codes = NULL if codes is None else <char *> &codes[0, 0, 0, 0]
    convolve(&s)


def winograd_data_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] relu_output, const uint8_t[:, :, :, ::1] codes,
    const real[:, :, :, ::1] w_oihw, const real[::1] b, real[:, :, :, ::1] dx_nhwc,
    Py_ssize_t top, Py_ssize_t left, Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """As `conv2d_data_gradient`: the convolution of dy with the flipped weights, inputs and outputs exchanged."""
    cdef Convolution s
    cdef Grid *g = &s.source
    cdef Weights *w = &s.weights
    cdef Upstream upstream
    s.n, s.oh, s.ow, s.o = dx_nhwc.shape[0], dx_nhwc.shape[1], dx_nhwc.shape[2], dx_nhwc.shape[3]
    if s.n * s.oh * s.ow * s.o == 0:
        return
    g.map = <const char *> &dy_nhwc[0, 0, 0, 0]
    g.upstream = &upstream if upstream_of(&upstream, dy_nhwc, relu_output, codes, pool_y, pool_x) else NULL
    g.h, g.w, g.c = dy_nhwc.shape[1] * pool_y, dy_nhwc.shape[2] * pool_x, dy_nhwc.shape[3]
    describe(&s, sizeof(real), 2 - top, 2 - left)
    w.w, w.k_stride, w.col_stride, w.flip = <const char *> &w_oihw[0, 0, 0, 0], TAPS * s.o, TAPS, True
    s.bias = NULL if b is None else <const char *> &b[0]
    s.relu, s.ceiling, s.pool_y, s.pool_x = False, NAN, 1, 1
    s.out, s.codes = <char *> &dx_nhwc[0, 0, 0, 0], NULL
    convolve(&s)
