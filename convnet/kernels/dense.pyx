# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dense layers: three matrix products on the register tile, each cut into blocks of its result.

The two gradients read all three matrices in place. Only the forward pass packs the weights, because it runs along
their rows, and only for many rows of x: each task packs what it needs itself, as what another core has packed is slower
to read than to pack again (100 rows, 1568 x 64 weights, two threads: 63 us, and 90 us with shared packed weights).
"""

from libc.math cimport NAN
from libc.stdint cimport int32_t
from libc.string cimport memset

from convnet.errors import UnsupportedError

from convnet.kernels.runtime cimport (
    alloc, cn_dots, cn_kernels, cn_product, kernels_for, num_threads, parallel_for, release,
)

ctypedef fused real:
    float
    double

# A block of the result: enough rows to use each loaded column often, few enough for many blocks.
cdef Py_ssize_t BLOCK_ROWS = 64
cdef Py_ssize_t BLOCK_VECTORS = 6
# The forward pass is cut into MANY tasks where it is large enough: by columns first (one vector alone would not fill
# the register tile), then by rows, enough of them to pay for packing.
cdef Py_ssize_t MANY = 16
cdef Py_ssize_t LEAST_VECTORS = 2
cdef Py_ssize_t PACK_ROWS = 128
# Of packed weights a task takes whole column groups of the register tile, of up to 3 vectors.
cdef Py_ssize_t PLAN_VECTORS = 6
# Few rows do not pay for packing: then the weights are read once, in place. 16 x 9216 by 4096, two threads: 11 ms, with
# packing 22; 1 x 9216: 3.1 and 17; 100 x 1568 by 64: 197 us and 110.
cdef Py_ssize_t FEW_ROWS = 32
cdef Py_ssize_t DOT_DEPTH = 256    # less would not pay for adding lanes
cdef Py_ssize_t DOT_COLS = 24
# The gradients read weights in place, row by row. From LONG_ROW columns on, they take a few rows at a time and long
# stretches of each, so that every one streams from memory. 16 x 9216 by 4096, one thread: dx 15 ms instead of 52, dw 16
# instead of 37.
cdef Py_ssize_t LONG_ROW = 2048
cdef Py_ssize_t STREAMS = 16
cdef Py_ssize_t STRETCH = 4096
# Of the data gradient of at most BLOCK_ROWS rows, each task then sums a chunk of the outputs; the sums meet in a tree.
cdef Py_ssize_t CHUNK_OUTPUTS = 64
cdef Py_ssize_t MOST_OFFSET = 2**31 - 1  # of the register tile's tables


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t most(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a > b else b


cdef void pack(Product *p, char *panel, Py_ssize_t col, Py_ssize_t cols) noexcept nogil:
    """Transpose a vector of columns after the other; what is missing of the last is 0."""
    cdef Py_ssize_t lanes = p.kernels.lanes, vector_bytes = lanes * p.depth * p.item, end = col + cols
    while col < end:
        if end - col < lanes:
            memset(panel, 0, vector_bytes)
        p.kernels.transpose(panel, p.b + col * p.b_row * p.item, least(lanes, end - col), p.depth, lanes, p.b_row)
        panel += vector_bytes
        col += lanes


cdef void rectify(Product *p, cn_product *block) noexcept nogil:
    cdef Py_ssize_t r
    cdef char *row
    for r in range(block.rows):
        row = <char *> block.c + r * p.cols * p.item
        p.kernels.relu(row, row, block.cols, p.ceiling)


cdef void task(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Product *p = <Product *> job
    # By rows first: the threads' shares are then whole samples, those they have met in the layer before.
    cdef Py_ssize_t row = index // p.col_tasks * p.task_rows, col = index % p.col_tasks * p.task_cols
    cdef Py_ssize_t end = least(row + p.task_rows, p.rows), k
    cdef const char *b = p.b + col * p.item
    cdef cn_product block
    block.cols = least(p.task_cols, p.cols - col)
    block.a_row, block.a_k, block.c_row = p.row_offset, p.k_offset, p.c_offset
    block.b_k, block.b_vector = p.b_row, p.kernels.lanes
    if p.pack:
        block.b_k, block.b_vector = p.kernels.lanes, p.kernels.lanes * p.depth
        if p.packed_before:
            b = p.packed + col * p.depth * p.item
        else:
            b = p.packed + worker * p.panel_bytes
            pack(p, <char *> b, col, block.cols)
    block.bias = NULL if p.bias == NULL else p.bias + col * p.item
    block.two_chains = False
    while row < end:
        block.rows = least(BLOCK_ROWS, end - row)
        block.c = p.c + (row * p.cols + col) * p.item
        k = 0
        while k == 0 or k < p.depth:
            block.depth = least(p.block_depth, p.depth - k)
            block.accumulate = p.accumulate or k > 0
            block.a = p.a + (row * p.a_row + k * p.a_k) * p.item
            block.b = b + k * block.b_k * p.item
            p.kernels.product(&block)
            k += p.block_depth
        if p.relu:
            rectify(p, &block)
        row += BLOCK_ROWS


cdef Py_ssize_t plan_tasks(Product *p) noexcept nogil:
    """Cut the result, by its shape alone; return the number of tasks."""
    cdef Py_ssize_t lanes = p.kernels.lanes, vectors = BLOCK_VECTORS
    p.task_rows = ceil_div(p.rows, ceil_div(p.rows, BLOCK_ROWS))  # even heights
    if p.pack:
        vectors = most(LEAST_VECTORS, least(BLOCK_VECTORS, ceil_div(p.cols, lanes) // MANY))
    p.task_cols = vectors * lanes
    p.block_depth = most(p.depth, 1)
    if not p.pack and p.cols >= LONG_ROW:
        p.block_depth, p.task_cols = STREAMS, STRETCH
        p.task_rows = least(p.task_rows, STREAMS if p.accumulate else BLOCK_ROWS)
    p.col_tasks = ceil_div(p.cols, p.task_cols)
    if p.pack:
        p.task_rows = most(PACK_ROWS, ceil_div(p.rows, ceil_div(MANY, p.col_tasks)))
    return p.col_tasks * ceil_div(p.rows, p.task_rows)


cdef bint fill_tables(Product *p) except False:
    """Allocate and fill the tables of the register tile, for blocks of at most BLOCK_ROWS rows; the caller releases
    `row_offset`."""
    cdef Py_ssize_t rows = least(p.rows, BLOCK_ROWS), r, k
    if rows * p.a_row > MOST_OFFSET or rows * p.cols > MOST_OFFSET or p.depth * p.a_k > MOST_OFFSET:
        raise UnsupportedError(f"dense: expected at most {MOST_OFFSET // rows} features, got {p.depth} and {p.cols}")
    p.row_offset = <int32_t *> alloc((2 * rows + p.depth) * sizeof(int32_t))
    if p.row_offset == NULL:
        raise MemoryError("dense: no memory for the tables of a matrix product")
    p.c_offset, p.k_offset = p.row_offset + rows, p.row_offset + 2 * rows
    for r in range(rows):
        p.row_offset[r], p.c_offset[r] = <int32_t> (r * p.a_row), <int32_t> (r * p.cols)
    for k in range(p.depth):
        p.k_offset[k] = <int32_t> (k * p.a_k)
    return True


cdef bint run(Product *p) except False:
    cdef Py_ssize_t tasks = plan_tasks(p)
    fill_tables(p)
    p.packed_before = False
    p.panel_bytes = p.task_cols * p.depth * p.item
    p.packed = <char *> alloc(p.panel_bytes * num_threads() if p.pack else 0)
    try:
        if p.packed == NULL:
            raise MemoryError("dense: no memory for the packed weights of a matrix product")
        with nogil:
            parallel_for(task, p, tasks, 2.0 * p.rows * p.depth * p.cols)
    finally:
        release(p.row_offset)
        release(p.packed)
    return True


# ---- for plans -------------------------------------------------------------------------------------------------------


cdef bint plan_dense(Product *p, Py_ssize_t item, Py_ssize_t depth, Py_ssize_t cols, const char *w, const char *bias,
                     bint relu, double ceiling) except False:
    """All of y = x @ w.T + bias but x and y, with w packed; `finish_dense` releases it, also after a failure."""
    cdef Py_ssize_t lanes
    p.kernels, p.item, p.depth, p.cols, p.rows = kernels_for(<int> item, False), item, depth, cols, BLOCK_ROWS
    p.a_row, p.a_k, p.b, p.b_row, p.pack, p.packed_before = depth, 1, w, depth, True, True
    p.bias, p.accumulate, p.relu, p.ceiling, p.panel_bytes = bias, False, relu, ceiling, 0
    p.row_offset, p.packed = NULL, NULL
    lanes = p.kernels.lanes
    p.packed = <char *> alloc(ceil_div(cols, lanes) * lanes * depth * item)
    if p.packed == NULL:
        raise MemoryError("dense: no memory for packed weights")
    fill_tables(p)
    pack(p, p.packed, 0, cols)
    return True


cdef void run_dense(const Product *plan, Py_ssize_t rows, const char *x, char *y) noexcept nogil:
    """A row of 1 is as fast as memory delivers the weights, so they are cut for all threads, not by rows."""
    cdef Product p = plan[0]
    p.rows, p.a, p.c = rows, x, y
    p.block_depth = most(p.depth, 1)
    p.task_rows, p.task_cols = BLOCK_ROWS, PLAN_VECTORS * p.kernels.lanes
    p.col_tasks = ceil_div(p.cols, p.task_cols)
    parallel_for(task, &p, p.col_tasks * ceil_div(rows, p.task_rows), 2.0 * rows * p.depth * p.cols
                 + 8.0 * p.depth * p.cols * p.item)


cdef void finish_dense(Product *p) noexcept nogil:
    release(p.row_offset)
    release(p.packed)


# ---- for layers ------------------------------------------------------------------------------------------------------


cdef struct Dots:
    const cn_kernels *kernels
    cn_dots all
    Py_ssize_t item
    bint relu


cdef void dots_task(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Dots *p = <Dots *> job
    cdef Py_ssize_t col = index * DOT_COLS, r
    cdef cn_dots d = p.all
    cdef char *y = <char *> d.y + col * p.item
    d.cols = least(DOT_COLS, d.cols - col)
    d.w = <const char *> d.w + col * d.w_row * p.item
    d.bias = NULL if d.bias == NULL else <const char *> d.bias + col * p.item
    d.y = y
    p.kernels.dots(&d)
    if p.relu:
        for r in range(d.rows):
            p.kernels.relu(y + r * d.y_row * p.item, y + r * d.y_row * p.item, d.cols, NAN)


cdef void forward_in_place(const char *x, const char *w, const char *b, char *y, int item, Py_ssize_t rows,
                           Py_ssize_t depth, Py_ssize_t cols, bint relu) noexcept nogil:
    cdef Dots p
    p.kernels, p.item, p.relu = kernels_for(item, False), item, relu
    p.all.rows, p.all.depth, p.all.cols = rows, depth, cols
    p.all.x, p.all.x_row, p.all.w, p.all.w_row, p.all.bias, p.all.y, p.all.y_row = x, depth, w, depth, b, y, cols
    parallel_for(dots_task, &p, ceil_div(cols, DOT_COLS), 2.0 * rows * depth * cols + 8.0 * depth * cols * item)


def dense_forward(const real[:, ::1] x, const real[:, ::1] w, const real[::1] b, real[:, ::1] y, bint relu):
    """y[n, o] = b[o] + sum over k of x[n, k] * w[o, k], with `relu` its positive part; b may be None."""
    cdef Product p
    if y.shape[0] == 0 or y.shape[1] == 0:
        return
    if x.shape[0] <= FEW_ROWS and x.shape[1] >= DOT_DEPTH:
        with nogil:
            forward_in_place(<const char *> &x[0, 0], <const char *> &w[0, 0],
                             NULL if b is None else <const char *> &b[0], <char *> &y[0, 0], sizeof(real),
                             x.shape[0], x.shape[1], w.shape[0], relu)
        return
    p.rows, p.depth, p.cols, p.item = x.shape[0], x.shape[1], w.shape[0], sizeof(real)
    p.kernels = kernels_for(sizeof(real), False)
    p.a, p.a_row, p.a_k = <const char *> &x[0, 0] if p.depth else NULL, p.depth, 1
    p.b, p.b_row, p.pack = <const char *> &w[0, 0] if p.depth else NULL, p.depth, True
    p.bias = NULL if b is None else <const char *> &b[0]
    p.c, p.accumulate, p.relu, p.ceiling = <char *> &y[0, 0], False, relu, NAN
    run(&p)


cdef struct Chunks:
    Product product
    Py_ssize_t count, elements
    char *sums                         # of all chunks but the first, which sums into dx


cdef char *chunk_sum(Chunks *s, Py_ssize_t chunk) noexcept nogil:
    return s.product.c if chunk == 0 else s.sums + (chunk - 1) * s.elements * s.product.item


cdef void gradient_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Chunks *s = <Chunks *> job
    cdef Product *p = &s.product
    cdef Py_ssize_t k = index * p.depth // s.count, first = k, end = (index + 1) * p.depth // s.count
    cdef cn_product block
    block.rows, block.cols, block.c = p.rows, p.cols, chunk_sum(s, index)
    block.a_row, block.a_k, block.c_row = p.row_offset, p.k_offset, p.c_offset
    block.b_k, block.b_vector, block.bias, block.two_chains = p.b_row, p.kernels.lanes, NULL, False
    while k < end:
        block.a, block.b, block.accumulate = p.a + k * p.item, p.b + k * p.b_row * p.item, k > first
        block.depth = least(STREAMS, end - k)
        p.kernels.product(&block)
        k += STREAMS


cdef void add_chunks(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Chunks *s = <Chunks *> job
    cdef Product *p = &s.product
    cdef Py_ssize_t start = index * STRETCH, count = least(STRETCH, s.elements - start), distance = 1, chunk
    while distance < s.count:
        chunk = 0
        while chunk + distance < s.count:
            p.kernels.add(chunk_sum(s, chunk) + start * p.item, chunk_sum(s, chunk + distance) + start * p.item, count)
            chunk += 2 * distance
        distance *= 2


cdef bint run_in_chunks(Product *p) except False:
    cdef Chunks s
    fill_tables(p)
    s.product, s.elements = p[0], p.rows * p.cols
    s.count = most(1, least(MANY, p.depth // CHUNK_OUTPUTS))
    s.sums = <char *> alloc((s.count - 1) * s.elements * p.item)
    try:
        if s.sums == NULL:
            raise MemoryError("dense: no memory for the sums of a data gradient")
        with nogil:
            parallel_for(gradient_chunk, &s, s.count, 2.0 * p.rows * p.depth * p.cols + 8.0 * p.depth * p.cols * p.item)
            parallel_for(add_chunks, &s, ceil_div(s.elements, STRETCH), 16.0 * s.count * s.elements * p.item)
    finally:
        release(p.row_offset)
        release(s.sums)
    return True


def dense_data_gradient(const real[:, ::1] dy, const real[:, ::1] w, real[:, ::1] dx):
    """dx[n, k] = sum over o of dy[n, o] * w[o, k]."""
    cdef Product p
    if dx.shape[0] == 0 or dx.shape[1] == 0:
        return
    p.rows, p.depth, p.cols, p.item = dy.shape[0], dy.shape[1], w.shape[1], sizeof(real)
    p.kernels = kernels_for(sizeof(real), False)
    p.a, p.a_row, p.a_k = <const char *> &dy[0, 0] if p.depth else NULL, p.depth, 1
    p.b, p.b_row, p.pack = <const char *> &w[0, 0] if p.depth else NULL, p.cols, False
    p.bias = NULL
    p.c, p.accumulate, p.relu = <char *> &dx[0, 0], False, False
    if p.rows <= BLOCK_ROWS and p.cols >= LONG_ROW and p.depth > 0:
        run_in_chunks(&p)
    else:
        run(&p)


def dense_weight_gradient(const real[:, ::1] dy, const real[:, ::1] x, real[:, ::1] dw, real[::1] db):
    """Add dw[o, k] = sum over n of dy[n, o] * x[n, k] and db[o] = sum over n of dy[n, o]; dw or db may be None."""
    cdef Product p
    cdef Py_ssize_t n = dy.shape[0], first = 0
    if dy.shape[0] == 0 or dy.shape[1] == 0:
        return
    p.kernels = kernels_for(sizeof(real), False)
    if db is not None:
        with nogil:
            p.kernels.column_sums(&db[0], &dy[0, 0], dy.shape[0], dy.shape[1], dy.shape[1])
    if dw is None or x.shape[1] == 0:
        return
    p.rows, p.cols, p.item = dy.shape[1], x.shape[1], sizeof(real)
    p.a_row, p.a_k = 1, dy.shape[1]
    p.b_row, p.pack = p.cols, False
    p.bias = NULL
    p.c, p.accumulate, p.relu = <char *> &dw[0, 0], True, False
    while first < n:
        p.depth = least(n - first, MOST_OFFSET // p.a_k)
        p.a, p.b = <const char *> &dy[first, 0], <const char *> &x[first, 0]
        run(&p)
        first += p.depth
