# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dense layers: three matrix products on the register tile, each cut into blocks of its result.

The two gradients read all three matrices in place. Only the forward pass packs the weights, a few vectors of outputs
at a time, because it runs along their rows.
"""

from libc.stdint cimport int32_t

from convnet.errors import UnsupportedError

from convnet.kernels.runtime cimport alloc, cn_kernels, cn_product, kernels_for, num_threads, parallel_for, release

ctypedef fused real:
    float
    double

# A block of the result: enough rows to use each loaded column often, few enough for many blocks.
cdef Py_ssize_t BLOCK_ROWS = 64
cdef Py_ssize_t BLOCK_VECTORS = 6
cdef Py_ssize_t MOST_OFFSET = 2**31 - 1  # of the register tile's tables


cdef struct Product:
    # c[r, j] (+)= sum over k of a[r, k] * b[k, j]
    const cn_kernels *kernels
    Py_ssize_t item, rows, depth, cols, row_blocks
    const char *a
    Py_ssize_t a_row, a_k              # strides in elements
    const char *b
    Py_ssize_t b_row                   # stride of b's rows; of its columns when `pack`
    bint pack                          # b is given transposed
    char *packed                       # a panel for each worker
    Py_ssize_t panel_bytes
    char *c
    const char *bias
    bint accumulate
    int32_t *row_offset                # tables of the register tile: rows of a, its k, rows of c
    int32_t *k_offset
    int32_t *c_offset


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef void block_rows(Product *p, Py_ssize_t row, Py_ssize_t rows, Py_ssize_t col, int worker,
                     bint packed) noexcept nogil:
    """One block of the result; `packed` says that this worker's panel holds its columns already."""
    cdef Py_ssize_t lanes = p.kernels.lanes
    cdef cn_product product
    product.rows, product.depth, product.cols = rows, p.depth, least(BLOCK_VECTORS * lanes, p.cols - col)
    product.a = p.a + row * p.a_row * p.item
    product.a_row, product.a_k, product.c_row = p.row_offset, p.k_offset, p.c_offset
    product.b, product.b_k, product.b_vector = p.b + col * p.item, p.b_row, lanes
    if p.pack:
        product.b, product.b_k, product.b_vector = p.packed + worker * p.panel_bytes, lanes, p.depth * lanes
        if not packed:
            p.kernels.pack(<void *> product.b, p.b + col * p.b_row * p.item, p.k_offset, p.depth, p.b_row, product.cols)
    product.c = p.c + (row * p.cols + col) * p.item
    product.bias = NULL if p.bias == NULL else p.bias + col * p.item
    product.accumulate = p.accumulate
    p.kernels.product(&product)


cdef void block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Product *p = <Product *> job
    cdef Py_ssize_t col = index // p.row_blocks * BLOCK_VECTORS * p.kernels.lanes
    cdef Py_ssize_t row = index % p.row_blocks * BLOCK_ROWS
    block_rows(p, row, least(BLOCK_ROWS, p.rows - row), col, worker, False)


cdef void column_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    """All rows of a few columns, so that these are packed once."""
    cdef Product *p = <Product *> job
    cdef Py_ssize_t i, col = index * BLOCK_VECTORS * p.kernels.lanes
    for i in range(p.row_blocks):
        block_rows(p, i * BLOCK_ROWS, least(BLOCK_ROWS, p.rows - i * BLOCK_ROWS), col, worker, i > 0)


cdef bint run(Product *p) except False:
    cdef Py_ssize_t lanes = p.kernels.lanes, rows = least(p.rows, BLOCK_ROWS), r, k
    cdef Py_ssize_t col_blocks = ceil_div(p.cols, BLOCK_VECTORS * lanes)
    cdef int32_t *tables
    if rows * p.a_row > MOST_OFFSET or rows * p.cols > MOST_OFFSET or p.depth * p.a_k > MOST_OFFSET:
        raise UnsupportedError(f"dense: expected at most {MOST_OFFSET // rows} features, got {p.depth} and {p.cols}")
    tables = <int32_t *> alloc((2 * rows + p.depth) * sizeof(int32_t))
    p.panel_bytes = BLOCK_VECTORS * lanes * p.depth * p.item
    p.packed = <char *> alloc(p.panel_bytes * num_threads() if p.pack else 0)
    p.row_blocks = ceil_div(p.rows, BLOCK_ROWS)
    p.row_offset, p.c_offset, p.k_offset = tables, tables + rows, tables + 2 * rows
    try:
        if tables == NULL or p.packed == NULL:
            raise MemoryError("dense: no memory for the tables of a matrix product")
        with nogil:
            for r in range(rows):
                p.row_offset[r], p.c_offset[r] = <int32_t> (r * p.a_row), <int32_t> (r * p.cols)
            for k in range(p.depth):
                p.k_offset[k] = <int32_t> (k * p.a_k)
            if p.pack:
                parallel_for(column_block, p, col_blocks, 2.0 * p.rows * p.depth * p.cols)
            else:
                parallel_for(block, p, col_blocks * p.row_blocks, 2.0 * p.rows * p.depth * p.cols)
    finally:
        release(tables)
        release(p.packed)
    return True


def dense_forward(const real[:, ::1] x, const real[:, ::1] w, const real[::1] b, real[:, ::1] y):
    """y[n, o] = b[o] + sum over k of x[n, k] * w[o, k]; b may be None."""
    cdef Product p
    if y.shape[0] == 0 or y.shape[1] == 0:
        return
    p.rows, p.depth, p.cols, p.item = x.shape[0], x.shape[1], w.shape[0], sizeof(real)
    p.kernels = kernels_for(sizeof(real), False)
    p.a, p.a_row, p.a_k = <const char *> &x[0, 0] if p.depth else NULL, p.depth, 1
    p.b, p.b_row, p.pack = <const char *> &w[0, 0] if p.depth else NULL, p.depth, True
    p.bias = NULL if b is None else <const char *> &b[0]
    p.c, p.accumulate = <char *> &y[0, 0], False
    run(&p)


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
    p.c, p.accumulate = <char *> &dx[0, 0], False
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
    p.c, p.accumulate = <char *> &dw[0, 0], True
    while first < n:
        p.depth = least(n - first, MOST_OFFSET // p.a_k)
        p.a, p.b = <const char *> &dy[first, 0], <const char *> &x[first, 0]
        run(&p)
        first += p.depth
