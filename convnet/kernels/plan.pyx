# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""A network for inference, compiled: steps that are planned once, then run in one call without the GIL.

A step reads and writes *places*: regions of one block of memory that every call takes for itself, so that any number of
threads may run a plan at once. A place is given by its offset for a batch of one image, in elements; INPUT and OUTPUT
are the caller's arrays. A batch runs in passes of a few images, whose activations stay in the cache from step to step.
"""

from libc.math cimport NAN
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from convnet.kernels.conv cimport (
    Slide, finish_forward, finish_transposed, fold_of_layer, plan_forward, plan_transposed, run_forward, run_transposed,
)
from convnet.kernels.correlation cimport Convolution
from convnet.kernels.dense cimport Product, finish_dense, plan_dense, run_dense
from convnet.kernels.depthwise cimport finish_depthwise, plan_depthwise, run_depthwise
from convnet.kernels.pool cimport Pool, adaptive_axis, check_offsets, pool_axis, run_pool
from convnet.kernels.runtime cimport alloc, cn_kernels, cn_norm, kernels_for, parallel_for, release
from convnet.kernels.winograd cimport finish_winograd, plan_winograd, run_winograd

ctypedef fused real:
    float
    double

INPUT, OUTPUT = -1, -2

# Images of a pass: their activations share this many bytes, as far as one image allows.
cdef Py_ssize_t PASS_BYTES = 16 * 1024 * 1024
# Images that a convolution may take at once: as many as its strips hold, since the tables are filled only once.
cdef Py_ssize_t MOST_IMAGES = 2**31 - 1
# Elements of a task of an elementwise step.
cdef Py_ssize_t BLOCK = 16384


cdef struct Step:
    bint (*run)(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil
    void (*finish)(void *state) noexcept nogil
    void *state                     # what `run` has planned
    Py_ssize_t a, b, y              # places
    Py_ssize_t item, elements       # of y, for one image
    bint relu
    double ceiling                  # of the ReLU; NaN for none


# ---- convolution -----------------------------------------------------------------------------------------------------


cdef struct Convolved:
    void *other                     # another algorithm's plan, or NULL; the direct ones are unused then
    bint (*run_other)(const void *plan, Py_ssize_t n, const char *x, char *y) noexcept nogil
    void (*finish_other)(void *plan) noexcept nogil
    Slide plain, folded             # the folded one, if any, serves finite maps
    Py_ssize_t fold


cdef bint run_conv2d(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    cdef Convolved *s = <Convolved *> step.state
    if s.other != NULL:
        return s.run_other(s.other, n, a, y)
    cdef bint finite = s.fold > 1
    if finite and not run_forward(&s.folded, n, a, y, NULL, &finite):
        return False
    return finite or run_forward(&s.plain, n, a, y, NULL, &finite)


cdef bint plan_conv2d(Convolved *s, const Convolution *layer, str algorithm, const char *w, const char *b) except False:
    s.other = NULL
    if algorithm == "winograd":
        s.other, s.run_other, s.finish_other = plan_winograd(layer, w, b), run_winograd, finish_winograd
        return True
    if algorithm in ("depthwise", "grouped"):
        s.other, s.run_other, s.finish_other = plan_depthwise(layer, w, b), run_depthwise, finish_depthwise
        return True
    if layer.transposed:
        s.other = plan_transposed(layer, w, b, NULL, MOST_IMAGES)
        s.run_other, s.finish_other = run_transposed, finish_transposed
        return True
    s.fold = fold_of_layer(layer)
    s.plain.p.most_images = s.folded.p.most_images = MOST_IMAGES
    plan_forward(&s.plain, layer, w, b, 1)
    if s.fold > 1:
        try:
            plan_forward(&s.folded, layer, w, b, s.fold)
        except BaseException:
            finish_forward(&s.plain)
            raise
    return True


cdef void finish_conv2d(void *state) noexcept nogil:
    cdef Convolved *s = <Convolved *> state
    if s.other != NULL:
        s.finish_other(s.other)
        return
    finish_forward(&s.plain)
    if s.fold > 1:
        finish_forward(&s.folded)


# ---- dense, pooling --------------------------------------------------------------------------------------------------


cdef bint run_dense_step(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    run_dense(<const Product *> step.state, n, a, y)
    return True


cdef void finish_dense_step(void *state) noexcept nogil:
    finish_dense(<Product *> state)


cdef bint run_pool_step(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    return run_pool(<const Pool *> step.state, n, a, y)


cdef void finish_nothing(void *state) noexcept nogil:
    pass


# ---- elementwise -----------------------------------------------------------------------------------------------------


cdef struct Elementwise:
    const cn_kernels *kernels
    const Step *step
    Py_ssize_t n, rows, cols
    const char *a
    const char *b
    char *y


cdef void relu_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Elementwise *e = <Elementwise *> job
    cdef Py_ssize_t at = index * BLOCK, count = min(BLOCK, e.n - at), item = e.step.item
    e.kernels.relu(e.y + at * item, e.a + at * item, count, e.step.ceiling)


cdef bint run_relu(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    cdef Elementwise e
    e.kernels, e.step, e.n, e.a, e.y = kernels_for(<int> step.item, False), step, n * step.elements, a, y
    parallel_for(relu_block, &e, (e.n + BLOCK - 1) // BLOCK, 16.0 * e.n * step.item)
    return True


cdef void sum_block(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Elementwise *e = <Elementwise *> job
    cdef Py_ssize_t at = index * BLOCK, count = min(BLOCK, e.n - at), item = e.step.item
    e.kernels.sum(e.y + at * item, e.a + at * item, e.b + at * item, count, e.step.relu)


cdef bint run_sum(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    cdef Elementwise e
    e.kernels, e.step, e.n, e.a, e.b, e.y = kernels_for(<int> step.item, False), step, n * step.elements, a, b, y
    parallel_for(sum_block, &e, (e.n + BLOCK - 1) // BLOCK, 24.0 * e.n * step.item)
    return True


cdef void multiply(real *y, const real *a, const real *b, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = a[i] * b[i]


cdef void multiply_image(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Elementwise *e = <Elementwise *> job
    cdef Py_ssize_t gate = e.cols, each = gate or e.step.elements, pixel = index * e.step.elements, at
    cdef Py_ssize_t end = pixel + e.step.elements, item = e.step.item
    while pixel < end:
        at = index * gate if gate else pixel
        if item == sizeof(float):
            multiply(<float *> e.y + pixel, <const float *> e.a + pixel, <const float *> e.b + at, each)
        else:
            multiply(<double *> e.y + pixel, <const double *> e.a + pixel, <const double *> e.b + at, each)
        pixel += each


cdef bint run_multiply(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    cdef Elementwise e
    e.step, e.a, e.b, e.y, e.cols = step, a, b, y, (<Py_ssize_t *> step.state)[0]
    parallel_for(multiply_image, &e, n, 24.0 * n * step.elements * step.item)
    return True


cdef struct Normalized:
    cn_norm constants
    Py_ssize_t chunk                # pixels of a task


cdef void normalize_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Elementwise *e = <Elementwise *> job
    cdef Normalized *s = <Normalized *> e.step.state
    cdef cn_norm constants = s.constants
    cdef Py_ssize_t pixel = index * s.chunk, at = pixel * constants.channels * e.step.item
    constants.pixels = min(s.chunk, e.n - pixel)
    e.kernels.normalize(e.y + at, e.a + at, NULL, &constants)


cdef bint run_batch_norm(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    cdef Normalized *s = <Normalized *> step.state
    cdef Elementwise e
    e.kernels, e.step, e.a, e.b, e.y = kernels_for(<int> step.item, False), step, a, b, y
    e.n = n * step.elements // s.constants.channels
    parallel_for(normalize_chunk, &e, (e.n + s.chunk - 1) // s.chunk, 16.0 * n * step.elements * step.item)
    return True


# ---- copies ----------------------------------------------------------------------------------------------------------


cdef struct Channels:
    Py_ssize_t first, count, all, pixels   # where a part of the channels goes
    bint zero                              # the others become 0


cdef void place_image(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Elementwise *e = <Elementwise *> job
    cdef const Channels *s = <const Channels *> e.step.state
    cdef Py_ssize_t pixel = index * s.pixels, end = pixel + s.pixels, item = e.step.item
    if s.zero:
        memset(e.y + pixel * s.all * item, 0, s.pixels * s.all * item)
    while pixel < end:
        memcpy(e.y + (pixel * s.all + s.first) * item, e.a + pixel * s.count * item, s.count * item)
        pixel += 1


cdef bint run_place(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    cdef Elementwise e
    e.kernels, e.step, e.a, e.b, e.y = kernels_for(<int> step.item, False), step, a, b, y
    parallel_for(place_image, &e, n, 16.0 * n * step.elements * step.item)
    return True


cdef void flatten_image(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Elementwise *e = <Elementwise *> job
    cdef Py_ssize_t at = index * e.rows * e.cols * e.step.item
    e.kernels.transpose(e.y + at, e.a + at, e.rows, e.cols, e.rows, e.cols)


cdef bint run_flatten(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    """From (h * w, c) to (c, h * w)."""
    cdef Elementwise e
    e.kernels, e.step, e.a, e.b, e.y = kernels_for(<int> step.item, False), step, a, b, y
    e.cols = (<Py_ssize_t *> step.state)[0]
    e.rows = step.elements // e.cols
    parallel_for(flatten_image, &e, n, 16.0 * n * step.elements * step.item)
    return True


# ---- operations of other modules -------------------------------------------------------------------------------------


cdef class Operation:
    """A function of images of one size, with its settings: run by itself, or a step of a plan."""

    def run(self, const real[::1] x, real[::1] y, Py_ssize_t n):
        """Apply it to n images."""
        cdef bint enough
        if y.shape[0] == 0:
            return
        cdef const char *source = NULL if x.shape[0] == 0 else <const char *> &x[0]
        cdef char *result = <char *> &y[0]
        with nogil:
            enough = self.apply(self.state, n, source, result)
        if not enough:
            raise MemoryError(f"{type(self).__name__}: no memory for its scratch space")


cdef const char *address_of(array, Py_ssize_t item) except? NULL:
    cdef const float[::1] singles
    cdef const double[::1] doubles
    if array is None or len(array) == 0:
        return NULL
    if item == sizeof(float):
        singles = array
        return <const char *> &singles[0]
    doubles = array
    return <const char *> &doubles[0]


cdef struct Applied:
    Apply apply
    const void *state


cdef bint run_operation(const Step *step, Py_ssize_t n, const char *a, const char *b, char *y) noexcept nogil:
    cdef const Applied *s = <const Applied *> step.state
    return s.apply(s.state, n, a, y)


# ---- the plan --------------------------------------------------------------------------------------------------------


cdef class Plan:
    """Steps for images of one size, of elements of ``item`` bytes; ``places`` elements hold all places of one image."""

    cdef list arrays                # weights that the steps point to
    cdef Step *steps
    cdef Py_ssize_t count, room, item, places, x_elements, y_elements

    def __cinit__(self, Py_ssize_t room, Py_ssize_t item, Py_ssize_t places, Py_ssize_t x_elements,
                  Py_ssize_t y_elements):
        self.arrays, self.count, self.room, self.item, self.places = [], 0, room, item, places
        self.x_elements, self.y_elements = x_elements, y_elements
        self.steps = <Step *> malloc((room + 1) * sizeof(Step))
        if self.steps == NULL:
            raise MemoryError("Plan: no memory for the steps")

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.count):
            self.steps[i].finish(self.steps[i].state)
            free(self.steps[i].state)
        free(self.steps)

    cdef Step *new_step(self, Py_ssize_t a, Py_ssize_t b, Py_ssize_t y, Py_ssize_t elements,
                        size_t state_bytes) except NULL:
        """A step that is not yet counted: it becomes one with `add_step`."""
        cdef Step *step = self.steps + self.count
        assert self.count < self.room
        step.a, step.b, step.y, step.elements, step.item = a, b, y, elements, self.item
        step.relu, step.ceiling = False, NAN
        step.finish = finish_nothing
        step.state = malloc(state_bytes + 1)
        if step.state == NULL:
            raise MemoryError("Plan: no memory for a step")
        return step

    def conv2d(
        self, Py_ssize_t x_place, Py_ssize_t y_place, const real[:, :, :, ::1] w, const real[::1] b, tuple size,
        tuple out_size, tuple window, Py_ssize_t groups, bint relu, double ceiling, tuple pool, str algorithm,
        bint transposed,
    ):
        """As `conv2d_forward`, by the algorithm called so; window = (strides, padding in front, dilations).

        With `transposed` it is the convolution's data gradient, as `conv2d_data_gradient`, and no ``pool`` follows.
        """
        cdef Convolution layer
        cdef Convolved *s
        cdef const char *weights = <const char *> &w[0, 0, 0, 0]
        cdef const char *bias = NULL if b is None else <const char *> &b[0]
        layer.item, layer.groups, layer.transposed = self.item, groups, transposed
        layer.c, layer.o = (w.shape[0], w.shape[1] * groups) if transposed else (w.shape[1] * groups, w.shape[0])
        layer.h, layer.w = size
        layer.oh, layer.ow = out_size
        layer.kh, layer.kw = w.shape[2], w.shape[3]
        layer.stride_y, layer.stride_x, layer.top, layer.left, layer.dilation_y, layer.dilation_x = window
        layer.pool_y, layer.pool_x = pool
        layer.relu, layer.ceiling = relu, ceiling
        cdef Py_ssize_t elements = layer.oh // layer.pool_y * (layer.ow // layer.pool_x) * layer.o
        cdef Step *step = self.new_step(x_place, 0, y_place, elements, sizeof(Convolved))
        s = <Convolved *> step.state
        self.arrays.append(b)
        try:
            plan_conv2d(s, &layer, algorithm, weights, bias)
        except BaseException:
            free(s)
            raise
        step.run, step.finish = run_conv2d, finish_conv2d
        self.count += 1

    def dense(self, Py_ssize_t x_place, Py_ssize_t y_place, const real[:, ::1] w, const real[::1] b, bint relu,
              double ceiling):
        """As `dense_forward`."""
        cdef Step *step = self.new_step(x_place, 0, y_place, w.shape[0], sizeof(Product))
        cdef Product *p = <Product *> step.state
        try:
            plan_dense(p, self.item, w.shape[1], w.shape[0], <const char *> &w[0, 0],
                       NULL if b is None else <const char *> &b[0], relu, ceiling)
        except BaseException:
            finish_dense(p)
            free(p)
            raise
        self.arrays.append((w, b))
        step.run, step.finish = run_dense_step, finish_dense_step
        self.count += 1

    def pool2d(
        self, Py_ssize_t x_place, Py_ssize_t y_place, Py_ssize_t c, tuple size, tuple out_size, tuple kernel,
        tuple stride, tuple padding, tuple dilation, bint average, bint count_include_pad,
    ):
        """As `max_pool2d_forward`, or with ``average`` as `average_pool2d_forward`."""
        cdef Step *step = self.new_step(x_place, 0, y_place, out_size[0] * out_size[1] * c, sizeof(Pool))
        cdef Pool *p = <Pool *> step.state
        p.kernels, p.item, p.c = kernels_for(<int> self.item, c <= 8), self.item, c
        pool_axis(&p.y, size[0], out_size[0], kernel[0], stride[0], padding[0], dilation[0])
        pool_axis(&p.x, size[1], out_size[1], kernel[1], stride[1], padding[1], dilation[1])
        p.average, p.gradient, p.adaptive, p.count_padding = average, False, False, count_include_pad
        p.codes, p.code_bytes = NULL, 0
        self.add_pool(step)

    def adaptive_pool2d(self, Py_ssize_t x_place, Py_ssize_t y_place, Py_ssize_t c, tuple size, tuple out_size,
                        bint average):
        """As `adaptive_max_pool2d_forward`, or with ``average`` as `adaptive_average_pool2d_forward`."""
        cdef Step *step = self.new_step(x_place, 0, y_place, out_size[0] * out_size[1] * c, sizeof(Pool))
        cdef Pool *p = <Pool *> step.state
        p.kernels, p.item, p.c = kernels_for(<int> self.item, c <= 8), self.item, c
        adaptive_axis(&p.y, size[0], out_size[0])
        adaptive_axis(&p.x, size[1], out_size[1])
        p.average, p.gradient, p.adaptive, p.count_padding = average, False, True, False
        p.codes, p.code_bytes = NULL, 0
        self.add_pool(step)

    cdef bint add_pool(self, Step *step) except False:
        try:
            check_offsets(<Pool *> step.state)
        except BaseException:
            free(step.state)
            raise
        step.run = run_pool_step
        self.count += 1
        return True

    def apply(self, Py_ssize_t x_place, Py_ssize_t y_place, Py_ssize_t elements, Operation operation):
        """An operation whose result has so many elements."""
        cdef Step *step = self.new_step(x_place, 0, y_place, elements, sizeof(Applied))
        cdef Applied *s = <Applied *> step.state
        s.apply, s.state = operation.apply, operation.state
        self.arrays.append(operation)
        step.run = run_operation
        self.count += 1

    def relu(self, Py_ssize_t x_place, Py_ssize_t y_place, Py_ssize_t elements, double ceiling):
        """As `relu_forward`."""
        cdef Step *step = self.new_step(x_place, 0, y_place, elements, 0)
        step.run, step.ceiling = run_relu, ceiling
        self.count += 1

    def add(self, Py_ssize_t a_place, Py_ssize_t b_place, Py_ssize_t y_place, Py_ssize_t elements, bint relu):
        """y = a + b, with `relu` its positive part."""
        cdef Step *step = self.new_step(a_place, b_place, y_place, elements, 0)
        step.run, step.relu = run_sum, relu
        self.count += 1

    def batch_norm(
        self, Py_ssize_t x_place, Py_ssize_t y_place, Py_ssize_t elements, const real[::1] mean, const real[::1] scale,
        const real[::1] shift, bint relu, double ceiling,
    ):
        """y = (x - mean) * scale + shift, channel by channel, with `relu` its part from 0 to ``ceiling``, or NaN."""
        cdef Step *step = self.new_step(x_place, 0, y_place, elements, sizeof(Normalized))
        cdef Normalized *s = <Normalized *> step.state
        s.constants.channels, s.constants.fold = mean.shape[0], 1
        s.constants.relu, s.constants.ceiling = relu, ceiling
        s.constants.mean, s.constants.scale, s.constants.shift = &mean[0], &scale[0], &shift[0]
        s.chunk = max(1, BLOCK // mean.shape[0])
        self.arrays.append((mean, scale, shift))
        step.run = run_batch_norm
        self.count += 1

    def multiply(self, Py_ssize_t a_place, Py_ssize_t b_place, Py_ssize_t y_place, Py_ssize_t elements,
                 Py_ssize_t gate):
        """y = a * b; with ``gate`` channels, b has one pixel an image."""
        cdef Step *step = self.new_step(a_place, b_place, y_place, elements, sizeof(Py_ssize_t))
        (<Py_ssize_t *> step.state)[0] = gate
        step.run = run_multiply
        self.count += 1

    def place(self, Py_ssize_t x_place, Py_ssize_t y_place, Py_ssize_t first, Py_ssize_t count, Py_ssize_t channels,
              Py_ssize_t pixels, bint zero):
        """Make x the channels [first, first + count) of y, which has ``channels``; with ``zero`` the others are 0."""
        cdef Step *step = self.new_step(x_place, 0, y_place, count * pixels, sizeof(Channels))
        cdef Channels *s = <Channels *> step.state
        s.first, s.count, s.all, s.pixels, s.zero = first, count, channels, pixels, zero
        step.run = run_place
        self.count += 1

    def flatten(self, Py_ssize_t x_place, Py_ssize_t y_place, Py_ssize_t c, Py_ssize_t pixels):
        """Channels-last maps as rows in the order (c, h, w)."""
        cdef Step *step = self.new_step(x_place, 0, y_place, c * pixels, sizeof(Py_ssize_t))
        (<Py_ssize_t *> step.state)[0] = c
        step.run = run_flatten
        self.count += 1

    def run(self, const real[::1] x, real[::1] y):
        """Run all steps; x and y are whole batches."""
        cdef bint enough
        cdef Py_ssize_t n = x.shape[0] // self.x_elements
        assert sizeof(real) == self.item and y.shape[0] == n * self.y_elements
        if n == 0:
            return
        with nogil:
            enough = run_plan(self.steps, self.count, n, self.places * self.item, <const char *> &x[0],
                              self.x_elements * self.item, <char *> &y[0], self.y_elements * self.item)
        if not enough:
            raise MemoryError("Plan: no memory for the activations of a batch")


cdef const char *place(Py_ssize_t offset, Py_ssize_t images, Py_ssize_t item, const char *places, const char *x,
                       const char *y) noexcept nogil:
    if offset == -1:
        return x
    return y if offset == -2 else places + offset * images * item


cdef bint run_plan(const Step *steps, Py_ssize_t count, Py_ssize_t n, Py_ssize_t image_bytes, const char *x,
                   Py_ssize_t x_bytes, char *y, Py_ssize_t y_bytes) noexcept nogil:
    cdef Py_ssize_t images = max(1, min(n, PASS_BYTES // max(image_bytes, 1))), first = 0, here, i
    cdef char *places = <char *> alloc(images * image_bytes)
    cdef const Step *step
    cdef bint enough = places != NULL
    images = (n + (n + images - 1) // images - 1) // ((n + images - 1) // images)  # even passes
    while enough and first < n:
        here = min(images, n - first)
        for i in range(count):
            step = steps + i
            enough = enough and step.run(
                step, here, place(step.a, here, step.item, places, x, y), place(step.b, here, step.item, places, x, y),
                <char *> place(step.y, here, step.item, places, x, y),
            )
        x += here * x_bytes
        y += here * y_bytes
        first += here
    release(places)
    return enough
