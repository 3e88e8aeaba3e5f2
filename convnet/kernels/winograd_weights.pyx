# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The gradient of Winograd's convolution with respect to its weights and bias. See winograd.pyx for the idea.

The values of the map at each point are multiplied with those of dy and contracted over tiles. Each chunk of tiles sums
into a buffer of its own; the buffers meet in a fixed tree.
"""

from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from convnet.kernels.conv cimport real, upstream_of
from convnet.kernels.correlation cimport Upstream, ceil_div, least, most
from convnet.kernels.runtime cimport alloc, cn_kernels, cn_product, kernels_for, num_threads, parallel_for, release
from convnet.kernels.winograd cimport (
    FEW_TASKS, GROUP, POINTS, TAPS, TILE, Grid, Wanted, padded, strip_bytes, transform_tiles, whole,
)

# It is summed in up to this many chunks of tiles, each into a buffer of its own, that meet in a fixed tree.
cdef Py_ssize_t MOST_CHUNKS = 16
# All those buffers together; above it fewer chunks are made.
cdef Py_ssize_t CHUNK_BYTES = 32 * 1024 * 1024
# Channels and outputs of a task: with the values of a group its sums take 1.8 MB. 128 are a fourth faster for 256
# channels of 28 x 28 pixels (fewer transforms again), a fifth slower for 512 of 14 x 14, and leave a quarter of the
# tasks.
cdef Py_ssize_t GRADIENT_BLOCK = 64
# Elements of a task that adds buffers; channels of one that transforms sums back.
cdef Py_ssize_t SUM_BLOCK = 4096
cdef Py_ssize_t BACK_BLOCK = 32


cdef struct WeightGradient:
    # A chunk's buffer holds blocks (c_blocks, o_blocks) of sums (points, channels, outputs), then the sums of the bias.
    # The sums of a task lie together: 256 channels of 56 x 56 pixels take a tenth less than as one matrix a point.
    Grid x, dy
    Upstream upstream
    bint bias                              # whether the sums of dy are wanted
    Py_ssize_t tiles, group                # of all images; at most, of those transformed at a time
    Py_ssize_t chunks, c_blocks, o_blocks  # tasks are chunks of tiles by blocks of channels by blocks of outputs
    Py_ssize_t part, block, plane, row     # elements of a chunk's buffer, a block in it, a point of that, a channel
    char *parts
    char *dw
    char *scratch                          # for each worker: x at the points, dy at the points, a strip
    Py_ssize_t scratch_bytes, x_bytes, dy_bytes
    int32_t *channel                       # offsets of channels, of a group's tiles among the values of x, of sums
    int32_t *tile
    int32_t *sum_row


cdef void gradient_task(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """One chunk of tiles, one block of channels, one block of outputs."""
    cdef WeightGradient *s = <WeightGradient *> job
    cdef Grid *x = &s.x
    cdef Grid *dy = &s.dy
    cdef Py_ssize_t chunk = index // s.c_blocks // s.o_blocks, first = chunk * s.tiles // s.chunks, p, tiles
    cdef Py_ssize_t end = (chunk + 1) * s.tiles // s.chunks, start = first
    cdef Py_ssize_t c_block = index // s.o_blocks % s.c_blocks, o_block = index % s.o_blocks
    cdef char *x_values = s.scratch + worker * s.scratch_bytes
    cdef char *dy_values = x_values + s.x_bytes
    cdef char *part = s.parts + chunk * s.part * x.item
    cdef Wanted from_x, from_dy
    cdef cn_product product
    cut_block(&from_x, x.kernels, x.c, c_block, s.c_blocks)
    cut_block(&from_dy, x.kernels, dy.c, o_block, s.o_blocks)
    from_x.strip = from_dy.strip = dy_values + s.dy_bytes
    if s.bias and c_block == 0:
        from_dy.sums = part + (s.part - dy.c + from_dy.channel) * x.item
        memset(from_dy.sums, 0, from_dy.channels * x.item)
    product.rows, product.cols = from_x.channels, whole(x.kernels, from_dy.channels)
    product.a_row, product.a_k, product.c_row = s.channel, s.tile, s.sum_row
    product.b_k, product.b_vector, product.bias = dy.step, x.kernels.lanes, NULL
    while first < end:
        tiles = least(s.group, end - first)
        transform_tiles(x, first, tiles, &from_x, x_values)
        transform_tiles(dy, first, tiles, &from_dy, dy_values)
        product.depth, product.accumulate, product.two_chains = tiles, first > start, False
        for p in range(POINTS):
            product.a = x_values + p * x.plane * x.item
            product.b = dy_values + p * dy.plane * x.item
            product.c = part + ((c_block * s.o_blocks + o_block) * s.block + p * s.plane) * x.item
            x.kernels.product(&product)
        first += tiles


cdef void cut_block(Wanted *q, const cn_kernels *kernels, Py_ssize_t channels, Py_ssize_t block,
                    Py_ssize_t blocks) noexcept nogil:
    """Block number `block` of the channels, in whole vectors."""
    cdef Py_ssize_t vectors = ceil_div(channels, kernels.lanes)
    q.channel = block * vectors // blocks * kernels.lanes
    q.channels = least((block + 1) * vectors // blocks * kernels.lanes, channels) - q.channel
    q.sums = NULL


cdef Py_ssize_t block_width(const cn_kernels *kernels, Py_ssize_t channels, Py_ssize_t blocks) noexcept nogil:
    """The widest of the blocks, in whole vectors."""
    return ceil_div(ceil_div(channels, kernels.lanes), blocks) * kernels.lanes


cdef void sum_parts(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """Add the chunks' buffers pairwise, in a tree that depends on their number alone."""
    cdef WeightGradient *s = <WeightGradient *> job
    cdef Py_ssize_t start = index * SUM_BLOCK, count = least(SUM_BLOCK, s.part - start), distance = 1, chunk
    cdef char *block = s.parts + start * s.x.item
    while distance < s.chunks:
        chunk = 0
        while chunk + distance < s.chunks:
            s.x.kernels.add(block + chunk * s.part * s.x.item, block + (chunk + distance) * s.part * s.x.item, count)
            chunk += 2 * distance
        distance *= 2


cdef void add_taps(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """Transform the sums of one block of channels by one vector of outputs back and add them to dw."""
    cdef WeightGradient *s = <WeightGradient *> job
    cdef const cn_kernels *kernels = s.x.kernels
    cdef Py_ssize_t item = s.x.item, lanes = kernels.lanes, vectors = s.row // lanes, col = index % vectors * lanes
    cdef Py_ssize_t block = index // vectors, first = 0, outputs, count, o
    cdef char *taps = s.scratch + worker * s.scratch_bytes
    cdef char *turned = taps + BACK_BLOCK * TAPS * lanes * item
    cdef char *dw
    cdef Wanted c, out
    cut_block(&c, kernels, s.x.c, block // s.o_blocks, s.c_blocks)
    cut_block(&out, kernels, s.dy.c, block % s.o_blocks, s.o_blocks)
    outputs = least(lanes, out.channels - col)
    while first < c.channels and outputs > 0:
        count = least(BACK_BLOCK, c.channels - first)
        kernels.winograd_taps(taps, s.parts + (block * s.block + first * s.row + col) * item, count, s.row, s.plane)
        kernels.transpose(turned, taps, count * TAPS, outputs, count * TAPS, lanes)
        for o in range(outputs):
            dw = s.dw + ((out.channel + col + o) * s.x.c + c.channel + first) * TAPS * item
            kernels.add(dw, turned + o * count * TAPS * item, count * TAPS)
        first += count


cdef void cut_gradient(WeightGradient *s) noexcept nogil:
    """Choose chunks and blocks from the shape alone."""
    cdef Grid *x = &s.x
    cdef Grid *dy = &s.dy
    s.c_blocks, s.o_blocks = ceil_div(x.c, GRADIENT_BLOCK), ceil_div(dy.c, GRADIENT_BLOCK)
    x.step, dy.step = block_width(x.kernels, x.c, s.c_blocks), block_width(x.kernels, dy.c, s.o_blocks)
    s.row, s.plane = dy.step, padded(x.step * dy.step, x.item)
    s.block = POINTS * s.plane
    s.part = s.c_blocks * s.o_blocks * s.block + dy.c
    s.chunks = most(s.tiles // (2 * GROUP), least(FEW_TASKS // (s.c_blocks * s.o_blocks), s.tiles // GROUP))
    s.chunks = most(1, least(least(MOST_CHUNKS, s.chunks), CHUNK_BYTES // (s.part * x.item)))
    s.group = least(s.tiles, GROUP)
    x.plane, dy.plane = padded(s.group * x.step, x.item), padded(s.group * dy.step, x.item)
    s.x_bytes, s.dy_bytes = POINTS * x.plane * x.item, POINTS * dy.plane * x.item
    s.scratch_bytes = most(s.x_bytes + s.dy_bytes + strip_bytes(dy, s.group),
                           2 * BACK_BLOCK * TAPS * x.kernels.lanes * x.item)


cdef bint run_gradient(WeightGradient *s, char *db) except False:
    cdef Py_ssize_t i, c = s.x.c, outputs = s.dy.c
    cdef double macs = <double> s.tiles * POINTS * c * outputs
    cut_gradient(s)
    s.parts = <char *> alloc(s.chunks * s.part * s.x.item)
    s.channel = <int32_t *> alloc((2 * s.x.step + s.group) * sizeof(int32_t))
    s.sum_row, s.tile = s.channel + s.x.step, s.channel + 2 * s.x.step
    s.scratch = <char *> alloc(s.scratch_bytes * num_threads())
    try:
        if s.parts == NULL or s.channel == NULL or s.scratch == NULL:
            raise MemoryError("conv2d: no memory for the partial sums of a weight gradient")
        with nogil:
            for i in range(s.x.step):
                s.channel[i], s.sum_row[i] = <int32_t> i, <int32_t> (i * s.row)
            for i in range(s.group):
                s.tile[i] = <int32_t> (i * s.x.step)
            parallel_for(gradient_task, s, s.chunks * s.c_blocks * s.o_blocks, 2 * macs)
            if s.chunks > 1:
                parallel_for(sum_parts, s, ceil_div(s.part, SUM_BLOCK), 32.0 * s.part * (s.chunks - 1))
            parallel_for(add_taps, s, s.c_blocks * s.o_blocks * (s.row // s.x.kernels.lanes), 16.0 * s.part)
            if s.bias:
                s.x.kernels.add(db, s.parts + (s.part - outputs) * s.x.item, outputs)
    finally:
        release(s.parts)
        release(s.channel)
        release(s.scratch)
    return True


def winograd_weight_gradient(
    const real[:, :, :, ::1] dy_nhwc, const real[:, :, :, ::1] relu_output, const uint8_t[:, :, :, ::1] codes,
    const real[:, :, :, ::1] x_nhwc, real[:, :, :, ::1] dw_oihw, real[::1] db,
    Py_ssize_t top, Py_ssize_t left, Py_ssize_t pool_y, Py_ssize_t pool_x,
):
    """As `conv2d_weight_gradient`; ``dw_oihw`` must be given, ``db`` may be None."""
    cdef WeightGradient s
    cdef Grid *x = &s.x
    cdef Grid *dy = &s.dy
    if dy_nhwc.shape[0] * dy_nhwc.shape[1] * dy_nhwc.shape[2] * dy_nhwc.shape[3] == 0:
        return
    x.kernels, x.item = kernels_for(sizeof(real), False), sizeof(real)
    dy.kernels, dy.item = x.kernels, x.item
    dy.h, dy.w, dy.c = dy_nhwc.shape[1] * pool_y, dy_nhwc.shape[2] * pool_x, dy_nhwc.shape[3]
    dy.map, dy.span, dy.top, dy.left = <const char *> &dy_nhwc[0, 0, 0, 0], TILE, 0, 0
    dy.upstream = &s.upstream if upstream_of(&s.upstream, dy_nhwc, relu_output, codes, pool_y, pool_x) else NULL
    x.h, x.w, x.c = x_nhwc.shape[1], x_nhwc.shape[2], x_nhwc.shape[3]
    x.map, x.span, x.top, x.left = <const char *> &x_nhwc[0, 0, 0, 0], TILE + 2, top, left
    x.upstream = NULL
    x.down, x.across = ceil_div(dy.h, TILE), ceil_div(dy.w, TILE)
    dy.down, dy.across = x.down, x.across
    s.tiles = dy_nhwc.shape[0] * x.down * x.across
    s.bias = db is not None
    s.dw = <char *> &dw_oihw[0, 0, 0, 0]
    run_gradient(&s, <char *> &db[0] if s.bias else NULL)
