"""What plan.pyx shares with dense.pyx."""

from libc.stdint cimport int32_t

from convnet.kernels.runtime cimport cn_kernels


cdef struct Product:
    # c[r, j] (+)= sum over k of a[r, k] * b[k, j]
    const cn_kernels *kernels
    Py_ssize_t item, rows, depth, cols
    Py_ssize_t task_rows, task_cols, col_tasks
    Py_ssize_t block_depth             # of a product
    const char *a
    Py_ssize_t a_row, a_k              # strides in elements
    const char *b
    Py_ssize_t b_row                   # stride of b's rows; of its columns when `pack`
    bint pack                          # b is given transposed
    bint packed_before                 # and all of it has been packed
    char *packed                       # a panel for each worker, or all of b
    Py_ssize_t panel_bytes
    char *c
    const char *bias
    bint accumulate, relu
    double ceiling                     # of the ReLU; NaN for none
    int32_t *row_offset                # tables of the register tile: rows of a, its k, rows of c
    int32_t *k_offset
    int32_t *c_offset


# All of y = x @ w.T + bias but x and y; `finish_dense` releases it, also after a failure. `bias` must outlive the plan.
cdef bint plan_dense(
    Product *p, Py_ssize_t item, Py_ssize_t depth, Py_ssize_t cols, const char *w, const char *bias, bint relu,
    double ceiling,
) except False
cdef void run_dense(const Product *plan, Py_ssize_t rows, const char *x, char *y) noexcept nogil
cdef void finish_dense(Product *p) noexcept nogil
