# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Group normalisation of channels-last maps, with the kernels of batch normalisation: image by image.

An image's pixels are cut into chunks whose sums, channel by channel, are left in double; those of all chunks and of a
group's channels then meet in their order, and become one row of constants for each image.
"""

from libc.math cimport sqrt

from convnet.kernels.norm cimport fold_of
from convnet.kernels.plan cimport Operation, address_of
from convnet.kernels.runtime cimport alloc, cn_kernels, cn_norm, kernels_for, num_threads, parallel_for, release

ctypedef fused real:
    float
    double

# Elements of a chunk, and its least number of rows, as in norm.pyx.
cdef Py_ssize_t CHUNK = 16384
cdef Py_ssize_t LEAST_ROWS = 64
# Rows of constants: mean, scale, shift; slope, offset.
cdef Py_ssize_t CONSTANTS = 5


cdef struct Groups:
    const cn_kernels *kernels
    Py_ssize_t item, pixels, c, groups, fold, chunk, chunks   # pixels and chunks of an image
    double eps
    const char *weight          # or NULL
    const char *bias
    const char *x
    const char *dy
    char *result
    double *sums                # for each chunk: two numbers a channel, all of the first before those of the second
    double *moments             # for each image: the groups' means, then their variances
    char *constants             # for each image
    char *scratch               # for each worker


cdef inline double value_of(const char *array, Py_ssize_t item, Py_ssize_t j) noexcept nogil:
    return (<const float *> array)[j] if item == sizeof(float) else (<const double *> array)[j]


cdef inline double rounded(double value, Py_ssize_t item) noexcept nogil:
    return <double> <float> value if item == sizeof(float) else value


cdef inline Py_ssize_t row_bytes(const Groups *s) noexcept nogil:
    return s.fold * s.c * s.item


cdef void put_constant(const Groups *s, Py_ssize_t image, Py_ssize_t number, Py_ssize_t channel,
                       double value) noexcept nogil:
    """Into each of a row's pixels."""
    cdef char *row = s.constants + (image * CONSTANTS + number) * row_bytes(s)
    cdef Py_ssize_t pixel
    for pixel in range(s.fold):
        if s.item == sizeof(float):
            (<float *> row)[pixel * s.c + channel] = <float> value
        else:
            (<double *> row)[pixel * s.c + channel] = value


cdef cn_norm constants_of(const Groups *s, Py_ssize_t index) noexcept nogil:
    """Of a chunk."""
    cdef cn_norm norm
    cdef Py_ssize_t row = row_bytes(s)
    cdef const char *first = s.constants + index // s.chunks * CONSTANTS * row
    norm.pixels = min(s.chunk, s.pixels - index % s.chunks * s.chunk)
    norm.channels, norm.fold, norm.relu, norm.ceiling = s.c, s.fold, False, 0
    norm.mean, norm.scale, norm.shift = first, first + row, first + 2 * row
    norm.slope, norm.offset = first + 3 * row, first + 4 * row
    return norm


cdef inline Py_ssize_t offset_of(const Groups *s, Py_ssize_t index) noexcept nogil:
    """Of a chunk, in bytes."""
    return (index // s.chunks * s.pixels + index % s.chunks * s.chunk) * s.c * s.item


# ---- forward ---------------------------------------------------------------------------------------------------------


cdef void moments_of_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Groups *s = <Groups *> job
    cdef double *mean = s.sums + index * 2 * s.c
    cdef Py_ssize_t pixels = min(s.chunk, s.pixels - index % s.chunks * s.chunk)
    s.kernels.moments(mean, mean + s.c, s.x + offset_of(s, index), pixels, s.c, s.fold,
                      s.scratch + worker * 3 * row_bytes(s))


cdef void join_image(void *job, ptrdiff_t image, int worker) noexcept nogil:
    """The moments of each group, from those of its channels in each chunk."""
    cdef Groups *s = <Groups *> job
    cdef Py_ssize_t width = s.c // s.groups, g, j, k
    cdef double *mean = s.moments + image * 2 * s.groups
    cdef const double *sums
    cdef double share, away
    for g in range(s.groups):
        mean[g] = mean[s.groups + g] = 0
        for k in range(s.chunks):
            sums = s.sums + (image * s.chunks + k) * 2 * s.c
            share = <double> min(s.chunk, s.pixels - k * s.chunk) / (s.pixels * width)
            for j in range(g * width, (g + 1) * width):
                mean[g] += share * sums[j]
        for k in range(s.chunks):
            sums = s.sums + (image * s.chunks + k) * 2 * s.c
            share = <double> min(s.chunk, s.pixels - k * s.chunk) / (s.pixels * width)
            for j in range(g * width, (g + 1) * width):
                away = sums[j] - mean[g]
                mean[s.groups + g] += sums[s.c + j] / (s.pixels * width) + share * away * away
    set_constants(s, image)


cdef void set_constants(const Groups *s, Py_ssize_t image) noexcept nogil:
    """Mean, scale and shift; what rounding takes from the mean goes into the shift."""
    cdef const double *mean = s.moments + image * 2 * s.groups
    cdef Py_ssize_t j, g
    cdef double scale, shift
    for j in range(s.c):
        g = j // (s.c // s.groups)
        scale = (1.0 if s.weight == NULL else value_of(s.weight, s.item, j)) / sqrt(mean[s.groups + g] + s.eps)
        shift = 0.0 if s.bias == NULL else value_of(s.bias, s.item, j)
        put_constant(s, image, 0, j, mean[g])
        put_constant(s, image, 1, j, scale)
        put_constant(s, image, 2, j, shift - (mean[g] - rounded(mean[g], s.item)) * scale)


cdef void normalize_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Groups *s = <Groups *> job
    cdef cn_norm norm = constants_of(s, index)
    cdef Py_ssize_t at = offset_of(s, index)
    s.kernels.normalize(s.result + at, s.x + at, NULL, &norm)


cdef bint take_memory(Groups *s, Py_ssize_t n) noexcept nogil:
    s.sums = <double *> alloc(n * s.chunks * 2 * s.c * sizeof(double))
    s.constants = <char *> alloc(n * CONSTANTS * row_bytes(s))
    s.scratch = <char *> alloc(num_threads() * 3 * row_bytes(s))
    return s.sums != NULL and s.constants != NULL and s.scratch != NULL


cdef void give_memory(Groups *s) noexcept nogil:
    release(s.sums)
    release(s.constants)
    release(s.scratch)


cdef bint forward(const Groups *plan, Py_ssize_t n, const char *x, char *y, double *moments) noexcept nogil:
    cdef Groups s = plan[0]
    cdef double elements = <double> n * s.pixels * s.c
    cdef bint enough = take_memory(&s, n)
    s.x, s.result, s.moments = x, y, moments
    if enough:
        parallel_for(moments_of_chunk, &s, n * s.chunks, 12.0 * elements * s.item)
        parallel_for(join_image, &s, n, 40.0 * n * s.chunks * s.c)
        parallel_for(normalize_chunk, &s, n * s.chunks, 16.0 * elements * s.item)
    give_memory(&s)
    return enough


cdef bint apply_groups(const void *state, Py_ssize_t n, const char *x, char *y) noexcept nogil:
    cdef const Groups *s = <const Groups *> state
    cdef double *moments = <double *> alloc(n * 2 * s.groups * sizeof(double))
    cdef bint enough = moments != NULL and forward(s, n, x, y, moments)
    release(moments)
    return enough


# ---- backward --------------------------------------------------------------------------------------------------------


cdef void constants_of_image(void *job, ptrdiff_t image, int worker) noexcept nogil:
    set_constants(<Groups *> job, image)


cdef void sums_of_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Groups *s = <Groups *> job
    cdef cn_norm norm = constants_of(s, index)
    cdef Py_ssize_t at = offset_of(s, index)
    cdef double *sums = s.sums + index * 2 * s.c
    s.kernels.norm_sums(sums, sums + s.c, NULL, s.dy + at, s.x + at, NULL, &norm,
                        s.scratch + worker * 3 * row_bytes(s))


cdef void join_sums(void *job, ptrdiff_t image, int worker) noexcept nogil:
    """In the first chunk's place the image's parts of dbias and dweight; slope and offset of each channel.

    dx = (w g - mean of w g - d * (mean of w g d) / v) / sqrt(v), d = x - mean, v = var + eps, means over the group.
    """
    cdef Groups *s = <Groups *> job
    cdef const double *mean = s.moments + image * 2 * s.groups
    cdef double *sums = s.sums + image * s.chunks * 2 * s.c
    cdef Py_ssize_t width = s.c // s.groups, j, k, g
    cdef double first, second, w, inverse, lost, slope
    for k in range(1, s.chunks):
        for j in range(2 * s.c):
            sums[j] += sums[k * 2 * s.c + j]
    for g in range(s.groups):
        first = second = 0
        lost, inverse = mean[g] - rounded(mean[g], s.item), 1 / sqrt(mean[s.groups + g] + s.eps)
        for j in range(g * width, (g + 1) * width):
            w = 1.0 if s.weight == NULL else value_of(s.weight, s.item, j)
            sums[s.c + j] = (sums[s.c + j] - lost * sums[j]) * inverse
            first += w * sums[j]
            second += w * sums[s.c + j]
        slope = -second * inverse * inverse / (s.pixels * width)
        for j in range(g * width, (g + 1) * width):
            put_constant(s, image, 3, j, slope)
            put_constant(s, image, 4, j, -first * inverse / (s.pixels * width) - slope * lost)


cdef void gradient_of_chunk(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Groups *s = <Groups *> job
    cdef cn_norm norm = constants_of(s, index)
    cdef Py_ssize_t at = offset_of(s, index)
    s.kernels.norm_gradient(s.result + at, s.dy + at, s.x + at, &norm)


cdef void add_to_parameters(const Groups *s, Py_ssize_t n, real[::1] dweight, real[::1] dbias) noexcept nogil:
    """Image after image."""
    cdef Py_ssize_t image, j
    cdef const double *sums
    cdef double first, second
    for j in range(s.c):
        first = second = 0
        for image in range(n):
            sums = s.sums + image * s.chunks * 2 * s.c
            first += sums[j]
            second += sums[s.c + j]
        if dbias is not None:
            dbias[j] += <real> first
        if dweight is not None:
            dweight[j] += <real> second


cdef class GroupNorm(Operation):
    """y = (x - mean) / sqrt(var + eps) * weight + bias, mean and variance over each group of an image's channels.

    weight (1) and bias (0) may be None.
    """

    cdef Groups settings
    cdef object arrays          # that the settings point to

    def __cinit__(self, Py_ssize_t item, Py_ssize_t pixels, Py_ssize_t channels, Py_ssize_t groups, double eps, weight,
                  bias):
        cdef Groups *s = &self.settings
        s.kernels, s.item, s.pixels, s.c = kernels_for(<int> item, False), item, pixels, channels
        s.groups, s.eps = groups, eps
        s.fold = fold_of(channels)
        s.chunk = max(LEAST_ROWS, CHUNK // (s.fold * channels)) * s.fold
        s.chunks = (pixels + s.chunk - 1) // s.chunk
        s.weight, s.bias = address_of(weight, item), address_of(bias, item)
        self.arrays = weight, bias
        self.apply, self.state = apply_groups, s

    def forward(self, const real[::1] x, real[::1] y, double[:, :, ::1] moments):
        """Apply it, keeping for each image the groups' means and variances."""
        cdef bint enough
        if x.shape[0] == 0:
            return
        with nogil:
            enough = forward(&self.settings, moments.shape[0], <const char *> &x[0], <char *> &y[0],
                             &moments[0, 0, 0])
        if not enough:
            raise MemoryError("GroupNorm: no memory for the sums")

    def gradient(
        self, const real[::1] dy, const real[::1] x, double[:, :, ::1] moments, real[::1] dx, real[::1] dweight,
        real[::1] dbias,
    ):
        """dx, and added to dweight and dbias their gradients; each may be None."""
        cdef Groups s = self.settings
        cdef Py_ssize_t n = moments.shape[0]
        cdef double elements = <double> n * s.pixels * s.c
        if x.shape[0] == 0:
            return
        s.dy, s.x, s.moments = <const char *> &dy[0], <const char *> &x[0], &moments[0, 0, 0]
        s.result = NULL if dx is None else <char *> &dx[0]
        try:
            if not take_memory(&s, n):
                raise MemoryError("GroupNorm: no memory for the sums")
            with nogil:
                parallel_for(constants_of_image, &s, n, 20.0 * n * s.c)
                parallel_for(sums_of_chunk, &s, n * s.chunks, 20.0 * elements * s.item)
                parallel_for(join_sums, &s, n, 20.0 * n * s.chunks * s.c)
                add_to_parameters(&s, n, dweight, dbias)
                if s.result != NULL:
                    parallel_for(gradient_of_chunk, &s, n * s.chunks, 24.0 * elements * s.item)
        finally:
            give_memory(&s)
