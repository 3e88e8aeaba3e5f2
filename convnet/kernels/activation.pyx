# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Activations beyond the rectifiers: functions of each element, PReLU with its slopes, softmax of rows."""

from libc.string cimport memcpy, memset

from convnet.kernels.norm cimport fold_of
from convnet.kernels.plan cimport Operation, address_of
from convnet.kernels.runtime cimport (
    CN_ELU, CN_GELU, CN_GELU_TANH, CN_HARD_SIGMOID, CN_HARD_SWISH, CN_LEAKY_RELU, CN_SIGMOID, CN_SILU, CN_TANH, alloc,
    cn_function, cn_kernels, kernels_for, num_threads, parallel_for, release,
)

ctypedef fused real:
    float
    double

# Elements of a task: 64 KiB of float32.
cdef Py_ssize_t BLOCK = 16384

FUNCTIONS = {
    "elu": CN_ELU,
    "gelu": CN_GELU,
    "gelu_tanh": CN_GELU_TANH,
    "hard_sigmoid": CN_HARD_SIGMOID,
    "hard_swish": CN_HARD_SWISH,
    "leaky_relu": CN_LEAKY_RELU,
    "sigmoid": CN_SIGMOID,
    "silu": CN_SILU,
    "tanh": CN_TANH,
}


cdef inline Py_ssize_t ceil_div(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return (a + b - 1) // b


# ---- functions of each element ---------------------------------------------------------------------------------------


cdef struct Map:
    const cn_kernels *kernels
    cn_function function
    double a
    Py_ssize_t item, image_elements, n
    const char *x
    const char *dy
    char *result


cdef void map_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Map *s = <Map *> job
    cdef Py_ssize_t at = index * BLOCK * s.item, count = min(BLOCK, s.n - index * BLOCK)
    if s.dy == NULL:
        s.kernels.activation(s.result + at, s.x + at, count, s.function, s.a)
    else:
        s.kernels.activation_gradient(s.result + at, s.dy + at, s.x + at, count, s.function, s.a)


cdef void run_map(const Map *plan, Py_ssize_t n, const char *dy, const char *x, char *result) noexcept nogil:
    cdef Map s = plan[0]
    s.n, s.dy, s.x, s.result = n * s.image_elements, dy, x, result
    parallel_for(map_block, &s, ceil_div(s.n, BLOCK), 30.0 * s.n * s.item)


cdef bint apply_map(const void *state, Py_ssize_t n, const char *x, char *y) noexcept nogil:
    run_map(<const Map *> state, n, NULL, x, y)
    return True


cdef class Activation(Operation):
    """One of FUNCTIONS, with its parameter `a` where it has one."""

    cdef Map settings

    def __cinit__(self, str name, double a, Py_ssize_t item, Py_ssize_t image_elements):
        cdef Map *s = &self.settings
        s.function, s.a = FUNCTIONS[name], a
        s.kernels, s.item, s.image_elements = kernels_for(<int> item, False), item, image_elements
        self.apply, self.state = apply_map, s

    def gradient(self, const real[::1] dy, const real[::1] saved, real[::1] dx, Py_ssize_t n):
        """dx = dy * derivative; saved is y for sigmoid and tanh, else x."""
        if dx.shape[0] == 0:
            return
        with nogil:
            run_map(&self.settings, n, <const char *> &dy[0], <const char *> &saved[0], <char *> &dx[0])


# ---- PReLU -----------------------------------------------------------------------------------------------------------


cdef struct Slopes:
    const cn_kernels *kernels
    Py_ssize_t item, image_elements, c, row, chunk, n   # a row of `row` elements is whole pixels of c channels
    char *slope                                         # of each element of a row
    const char *x
    const char *dy
    char *result
    double *sums                                        # for each chunk: one a channel
    char *scratch                                       # for each worker: one an element of a row


cdef void prelu_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Slopes *s = <Slopes *> job
    cdef Py_ssize_t start = index * s.chunk, at = start * s.item, count = min(s.chunk, s.n - start), j
    cdef char *row_sums = s.scratch + worker * s.row * s.item
    cdef double *sums = s.sums + index * s.c
    if s.dy == NULL:
        s.kernels.prelu(s.result + at, s.x + at, s.slope, count, s.row)
        return
    memset(row_sums, 0, s.row * s.item)
    memset(sums, 0, s.c * sizeof(double))
    s.kernels.prelu_gradient(s.result + at, row_sums, s.dy + at, s.x + at, s.slope, count, s.row)
    for j in range(s.row):
        sums[j % s.c] += (<float *> row_sums)[j] if s.item == sizeof(float) else (<double *> row_sums)[j]


cdef bint apply_prelu(const void *state, Py_ssize_t n, const char *x, char *y) noexcept nogil:
    cdef Slopes s = (<const Slopes *> state)[0]
    s.n, s.x, s.dy, s.result = n * s.image_elements, x, NULL, y
    parallel_for(prelu_chunk, &s, ceil_div(s.n, s.chunk), 16.0 * s.n * s.item)
    return True


cdef class PReLU(Operation):
    """y = x where x > 0, else slope * x, of pixels whose channels have a slope each."""

    cdef Slopes settings

    def __cinit__(self, slope, Py_ssize_t item, Py_ssize_t image_elements):
        cdef Slopes *s = &self.settings
        cdef const char *values = address_of(slope, item)
        cdef Py_ssize_t j
        s.kernels, s.item, s.image_elements, s.c = kernels_for(<int> item, False), item, image_elements, len(slope)
        s.row = fold_of(s.c) * s.c
        s.chunk = max(1, BLOCK // s.row) * s.row
        s.slope = <char *> alloc(s.row * item)
        if s.slope == NULL:
            raise MemoryError("PReLU: no memory for the slopes")
        for j in range(s.row):
            memcpy(s.slope + j * item, values + j % s.c * item, item)
        self.apply, self.state = apply_prelu, s

    def __dealloc__(self):
        release(self.settings.slope)

    def gradient(self, const real[::1] dy, const real[::1] x, real[::1] dx, real[::1] dslope):
        """dx, and added to dslope its gradient."""
        cdef Slopes s = self.settings
        cdef Py_ssize_t chunks, k, j
        cdef double total
        if dx.shape[0] == 0:
            return
        s.n, s.dy, s.x, s.result = dx.shape[0], <const char *> &dy[0], <const char *> &x[0], <char *> &dx[0]
        chunks = ceil_div(s.n, s.chunk)
        s.sums = <double *> alloc(chunks * s.c * sizeof(double))
        s.scratch = <char *> alloc(num_threads() * s.row * s.item)
        try:
            if s.sums == NULL or s.scratch == NULL:
                raise MemoryError("PReLU: no memory for the sums")
            with nogil:
                parallel_for(prelu_chunk, &s, chunks, 24.0 * s.n * s.item)
                for j in range(s.c):
                    total = 0
                    for k in range(chunks):
                        total += s.sums[k * s.c + j]
                    dslope[j] += <real> total
        finally:
            release(s.sums)
            release(s.scratch)


# ---- softmax ---------------------------------------------------------------------------------------------------------


cdef struct Rows:
    const cn_kernels *kernels
    Py_ssize_t item, image_rows, classes, rows, chunk
    const char *x
    const char *dy
    char *result


cdef void softmax_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Rows *s = <Rows *> job
    cdef Py_ssize_t row = index * s.chunk, at = row * s.classes * s.item, count = min(s.chunk, s.rows - row)
    if s.dy == NULL:
        s.kernels.softmax(s.result + at, s.x + at, NULL, NULL, count, s.classes, 1)
    else:
        s.kernels.softmax_gradient(s.result + at, s.dy + at, s.x + at, count, s.classes)


cdef void run_softmax(const Rows *plan, Py_ssize_t n, const char *dy, const char *x, char *result) noexcept nogil:
    cdef Rows s = plan[0]
    s.rows, s.dy, s.x, s.result = n * s.image_rows, dy, x, result
    s.chunk = max(1, BLOCK // s.classes)
    parallel_for(softmax_chunk, &s, ceil_div(s.rows, s.chunk), 60.0 * s.rows * s.classes * s.item)


cdef bint apply_softmax(const void *state, Py_ssize_t n, const char *x, char *y) noexcept nogil:
    run_softmax(<const Rows *> state, n, NULL, x, y)
    return True


cdef class Softmax(Operation):
    """Of each of an image's rows of classes, or pixels of channels."""

    cdef Rows settings

    def __cinit__(self, Py_ssize_t item, Py_ssize_t image_rows, Py_ssize_t classes):
        cdef Rows *s = &self.settings
        s.kernels, s.item = kernels_for(<int> item, classes <= 8), item
        s.image_rows, s.classes = image_rows, classes
        self.apply, self.state = apply_softmax, s

    def gradient(self, const real[::1] dy, const real[::1] y, real[::1] dx, Py_ssize_t n):
        """dx = y * (dy - sum of dy * y)."""
        if dx.shape[0] == 0:
            return
        with nogil:
            run_softmax(&self.settings, n, <const char *> &dy[0], <const char *> &y[0], <char *> &dx[0])
