# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What visits each element once: rectifiers, sums, dropout, softmax and its loss, the optimisers' updates, layout."""

from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t, uint32_t, uint64_t

from convnet.kernels.runtime cimport alloc, cn_kernels, cn_task, kernels_for, parallel_for, release

ctypedef fused real:
    float
    double

# Elements of a task: 64 KiB of float32, a few microseconds of work.
cdef Py_ssize_t BLOCK = 16384
# Smaller, so that the threads' shares are even: lenet's step, two threads: 1.06 ms instead of 1.09.
cdef Py_ssize_t UPDATE_BLOCK = 4096


cdef inline Py_ssize_t least(Py_ssize_t a, Py_ssize_t b) noexcept nogil:
    return a if a < b else b


cdef inline Py_ssize_t blocks(Py_ssize_t n) noexcept nogil:
    return (n + BLOCK - 1) // BLOCK


cdef inline Py_ssize_t update_blocks(Py_ssize_t n) noexcept nogil:
    return (n + UPDATE_BLOCK - 1) // UPDATE_BLOCK


cdef struct Arrays:
    const cn_kernels *kernels
    Py_ssize_t n, item
    const char *a
    const char *b
    char *out
    bint relu
    double ceiling


cdef void relu_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Arrays *s = <Arrays *> job
    cdef Py_ssize_t at = index * BLOCK
    s.kernels.relu(s.out + at * s.item, s.a + at * s.item, least(BLOCK, s.n - at), s.ceiling)


def relu_forward(const real[::1] x, real[::1] y, double ceiling):
    """y = x from 0 to ``ceiling``, or without end where that is NaN; a NaN in x stays."""
    cdef Arrays s
    if x.shape[0] == 0:
        return
    s.kernels, s.n, s.item, s.ceiling = kernels_for(sizeof(real), False), x.shape[0], sizeof(real), ceiling
    s.a, s.out = <const char *> &x[0], <char *> &y[0]
    with nogil:
        parallel_for(relu_block, &s, blocks(s.n), 16.0 * s.n * s.item)


cdef void relu_gradient_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Arrays *s = <Arrays *> job
    cdef Py_ssize_t at = index * BLOCK
    s.kernels.relu_gradient(s.out + at * s.item, s.a + at * s.item, s.b + at * s.item, least(BLOCK, s.n - at),
                            s.ceiling)


def relu_gradient(const real[::1] dy, const real[::1] y, real[::1] dx, double ceiling):
    """dx = dy where 0 < y < ``ceiling`` or NaN, else 0; a ceiling of NaN is none."""
    cdef Arrays s
    if dy.shape[0] == 0:
        return
    s.kernels, s.n, s.item, s.ceiling = kernels_for(sizeof(real), False), dy.shape[0], sizeof(real), ceiling
    s.a, s.b, s.out = <const char *> &dy[0], <const char *> &y[0], <char *> &dx[0]
    with nogil:
        parallel_for(relu_gradient_block, &s, blocks(s.n), 24.0 * s.n * s.item)


cdef void sum_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Arrays *s = <Arrays *> job
    cdef Py_ssize_t at = index * BLOCK
    s.kernels.sum(s.out + at * s.item, s.a + at * s.item, s.b + at * s.item, least(BLOCK, s.n - at), s.relu)


def sum_forward(const real[::1] a, const real[::1] b, real[::1] y, bint relu):
    """y = a + b, with `relu` its positive part."""
    cdef Arrays s
    if a.shape[0] == 0:
        return
    s.kernels, s.n, s.item, s.relu = kernels_for(sizeof(real), False), a.shape[0], sizeof(real), relu
    s.a, s.b, s.out = <const char *> &a[0], <const char *> &b[0], <char *> &y[0]
    with nogil:
        parallel_for(sum_block, &s, blocks(s.n), 24.0 * s.n * s.item)


# ---- dropout -------------------------------------------------------------------------------------------------------


cdef struct Dropout:
    const cn_kernels *kernels
    Py_ssize_t n, item
    const char *x
    char *y
    uint32_t threshold
    uint64_t seed
    double scale


cdef void dropout_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef const Dropout *s = <const Dropout *> job
    cdef Py_ssize_t start = index * BLOCK, at = start * s.item
    s.kernels.dropout(s.y + at, s.x + at, least(BLOCK, s.n - start), start, s.threshold, s.seed, s.scale)


def dropout(const real[::1] x, real[::1] y, uint32_t threshold, uint64_t seed, double scale):
    """y = 0 with a probability of threshold / 2 ** 32, else x * scale; the seed decides where."""
    cdef Dropout s
    if x.shape[0] == 0:
        return
    s.kernels, s.n, s.item = kernels_for(sizeof(real), False), x.shape[0], sizeof(real)
    s.x, s.y, s.threshold, s.seed, s.scale = <const char *> &x[0], <char *> &y[0], threshold, seed, scale
    with nogil:
        parallel_for(dropout_block, &s, blocks(s.n), 24.0 * s.n * s.item)


# ---- softmax and cross-entropy -------------------------------------------------------------------------------------


cdef struct Softmax:
    const cn_kernels *kernels
    const char *logits
    const int64_t *labels
    const char *targets
    char *gradient
    Py_ssize_t rows, classes
    double scale, loss


cdef void softmax_rows(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Softmax *s = <Softmax *> job
    s.loss = s.kernels.softmax(s.gradient, s.logits, s.labels, s.targets, s.rows, s.classes, s.scale)


def softmax_cross_entropy(
    const real[:, ::1] logits, const int64_t[::1] labels, const real[:, ::1] targets, real[:, ::1] gradient,
    double scale,
):
    """Return the sum over rows of -sum over j of target[j] * log(softmax(logits)[j]); gradient is its gradient * scale.

    The targets are `labels`, one index a row, or the rows of `targets`; the other one is None. With both None,
    gradient receives the softmax itself and 0 is returned.
    """
    cdef Softmax s
    if logits.shape[0] == 0 or logits.shape[1] == 0:
        return 0.0
    s.kernels, s.rows, s.classes, s.scale = kernels_for(sizeof(real), False), logits.shape[0], logits.shape[1], scale
    s.logits, s.gradient = <const char *> &logits[0, 0], <char *> &gradient[0, 0]
    s.labels = NULL if labels is None else &labels[0]
    s.targets = NULL if targets is None else <const char *> &targets[0, 0]
    with nogil:
        parallel_for(softmax_rows, &s, 1, 0)
    return s.loss


# ---- updates -------------------------------------------------------------------------------------------------------


cdef struct Parameter:
    const cn_kernels *kernels
    Py_ssize_t n, item, first_task
    char *value
    char *grad                  # for `average`, what is averaged
    char *state[3]              # each may be NULL
    double weight_decay, step_size, root_correction


cdef struct Step:
    const Parameter *parameters
    double lr, momentum, beta1, beta2, eps, scale, limit
    bint nesterov, decoupled
    double *sums                # of each task


cdef struct Part:               # the elements of one task
    const Parameter *parameter
    Py_ssize_t at, n
    char *value
    char *grad
    char *state[3]


cdef inline Part part_of(const Step *s, ptrdiff_t index) noexcept nogil:
    cdef Part part
    cdef const Parameter *p = s.parameters
    cdef Py_ssize_t start
    cdef int i
    while index >= p[1].first_task:
        p += 1
    start = (index - p.first_task) * UPDATE_BLOCK
    part.parameter, part.at, part.n = p, start * p.item, least(UPDATE_BLOCK, p.n - start)
    part.value, part.grad = p.value + part.at, p.grad + part.at
    for i in range(3):
        part.state[i] = NULL if p.state[i] == NULL else p.state[i] + part.at
    return part


cdef void sgd_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef const Step *s = <const Step *> job
    cdef Part a = part_of(s, index)
    a.parameter.kernels.sgd(a.value, a.grad, a.state[0], a.n, s.lr, s.momentum, s.nesterov, a.parameter.weight_decay)


cdef void adam_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef const Step *s = <const Step *> job
    cdef Part a = part_of(s, index)
    cdef const Parameter *p = a.parameter
    cdef double decay = 0 if s.decoupled else p.weight_decay, shrink = 1 - s.lr * p.weight_decay if s.decoupled else 1
    p.kernels.adam(a.value, a.grad, a.state[0], a.state[1], a.n, p.step_size, s.beta1, s.beta2, s.eps,
                   p.root_correction, decay, shrink)


cdef void rmsprop_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef const Step *s = <const Step *> job
    cdef Part a = part_of(s, index)
    a.parameter.kernels.rmsprop(a.value, a.grad, a.state[0], a.state[1], a.state[2], a.n, s.lr, s.beta1, s.eps,
                                s.momentum, a.parameter.weight_decay)


cdef void squares_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef const Step *s = <const Step *> job
    cdef Part a = part_of(s, index)
    s.sums[index] = a.parameter.kernels.sum_squares(a.grad, a.n)


cdef void clip_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef const Step *s = <const Step *> job
    cdef Part a = part_of(s, index)
    a.parameter.kernels.clip(a.grad, a.n, s.scale, s.limit)


cdef void average_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef const Step *s = <const Step *> job
    cdef Part a = part_of(s, index)
    a.parameter.kernels.average(a.value, a.grad, a.n, s.scale)


cdef class Updates:
    """The arrays of many parameters, for steps that visit them all in one call."""

    cdef list arrays              # keeps what the pointers point to
    cdef Parameter *parameters    # and behind the last one the number of tasks
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t room
    cdef double nbytes

    def __cinit__(self, Py_ssize_t room):
        self.arrays, self.count, self.room, self.nbytes = [], 0, room, 0
        self.parameters = <Parameter *> alloc((room + 1) * sizeof(Parameter))
        if self.parameters == NULL:
            raise MemoryError("Updates: no memory for the table of parameters")
        self.parameters[0].first_task = 0

    def __dealloc__(self):
        release(self.parameters)

    def append(self, real[::1] value, real[::1] grad, real[::1] first, real[::1] second, real[::1] third):
        """Add a parameter; the last three are its state, in the order of the kernel's arguments, each may be None."""
        cdef Parameter *p = self.parameters + self.count
        assert self.count < self.room
        self.arrays.append((value, grad, first, second, third))
        p.kernels, p.n, p.item = kernels_for(sizeof(real), False), value.shape[0], sizeof(real)
        p.value, p.grad = <char *> &value[0], <char *> &grad[0]
        p.state[0] = NULL if first is None else <char *> &first[0]
        p.state[1] = NULL if second is None else <char *> &second[0]
        p.state[2] = NULL if third is None else <char *> &third[0]
        p[1].first_task = p.first_task + update_blocks(p.n)
        self.count += 1
        self.nbytes += p.n * p.item

    cdef void run(self, cn_task block, Step *s, double work) noexcept:
        s.parameters = self.parameters
        with nogil:
            parallel_for(block, s, self.parameters[self.count].first_task, work * self.nbytes)

    cdef void set_decays(self, list decays) except *:
        cdef Py_ssize_t i
        for i in range(self.count):
            self.parameters[i].weight_decay = decays[i]

    def sgd(self, double lr, double momentum, bint nesterov, list decays):
        """One step of stochastic gradient descent in place; gradients are cleared; a weight decay a parameter."""
        cdef Step s
        self.set_decays(decays)
        s.lr, s.momentum, s.nesterov = lr, momentum, nesterov
        self.run(sgd_block, &s, 464.0)

    def adam(self, double lr, double beta1, double beta2, double eps, list decays, bint decoupled, list steps):
        """One step of Adam in place; gradients are cleared; steps are counted from 1, for each parameter.

        value = shrink * value - step_size * mean / (sqrt(variance) / root_correction + eps)
        """
        cdef Step s
        cdef Py_ssize_t i
        cdef double step
        self.set_decays(decays)
        for i in range(self.count):
            step = steps[i]
            self.parameters[i].step_size = lr / (1 - pow(beta1, step))
            self.parameters[i].root_correction = sqrt(1 - pow(beta2, step))
        s.lr, s.beta1, s.beta2, s.eps, s.decoupled = lr, beta1, beta2, eps, decoupled
        self.run(adam_block, &s, 64.0)

    def rmsprop(self, double lr, double alpha, double eps, double momentum, list decays):
        """One step of RMSprop in place; gradients are cleared."""
        cdef Step s
        self.set_decays(decays)
        s.lr, s.beta1, s.eps, s.momentum = lr, alpha, eps, momentum
        self.run(rmsprop_block, &s, 64.0)

    def sum_squares(self):
        """Sum of the squares of all gradients, task by task in order."""
        cdef Step s
        cdef Py_ssize_t i, tasks = self.parameters[self.count].first_task
        cdef double total = 0
        s.sums = <double *> alloc((tasks + 1) * sizeof(double))  # never 0 bytes
        if s.sums == NULL:
            raise MemoryError("Updates: no memory for the sums of squares")
        self.run(squares_block, &s, 8.0)
        for i in range(tasks):
            total += s.sums[i]
        release(s.sums)
        return total

    def clip(self, double scale, double limit):
        """gradient = gradient * scale, but from -limit to limit."""
        cdef Step s
        s.scale, s.limit = scale, limit
        self.run(clip_block, &s, 16.0)

    def average(self, double share):
        """value += share * (grad - value)"""
        cdef Step s
        s.scale = share
        self.run(average_block, &s, 24.0)


# ---- memory layout -------------------------------------------------------------------------------------------------


cdef struct Transpose:
    const cn_kernels *kernels
    Py_ssize_t item, rows, cols, blocks   # of one matrix
    const char *source
    char *result


cdef Py_ssize_t TRANSPOSE_ROWS = 256


cdef void transpose_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Transpose *t = <Transpose *> job
    cdef Py_ssize_t matrix = index // t.blocks, row = index % t.blocks * TRANSPOSE_ROWS
    cdef Py_ssize_t start = matrix * t.rows * t.cols
    t.kernels.transpose(t.result + (start + row) * t.item, t.source + (start + row * t.cols) * t.item,
                        least(TRANSPOSE_ROWS, t.rows - row), t.cols, t.rows, t.cols)


def transpose(const real[:, :, ::1] source, real[:, :, ::1] result):
    """result[i, c, r] = source[i, r, c]: channels-first maps to channels-last ones and back."""
    cdef Transpose t
    if source.shape[0] == 0 or source.shape[1] == 0 or source.shape[2] == 0:
        return
    t.kernels, t.item, t.rows, t.cols = kernels_for(sizeof(real), False), sizeof(real), source.shape[1], source.shape[2]
    t.blocks = (t.rows + TRANSPOSE_ROWS - 1) // TRANSPOSE_ROWS
    t.source, t.result = <const char *> &source[0, 0, 0], <char *> &result[0, 0, 0]
    with nogil:
        parallel_for(transpose_block, &t, source.shape[0] * t.blocks, 16.0 * source.shape[0] * t.rows * t.cols * t.item)
