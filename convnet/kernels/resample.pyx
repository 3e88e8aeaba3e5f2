# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Maps that are linear along each axis of channels-last images: padding, interpolation and their transposes.

Along an axis, position i of the result is the sum over t, first[i] <= t < first[i + 1], of weight[t] times position
source[t] of the image. Rows meet first, into a row of the image's width, and then its pixels.
"""

from libc.stdint cimport int32_t
from libc.string cimport memset

from convnet.kernels.plan cimport Operation, address_of
from convnet.kernels.runtime cimport alloc, cn_blend, cn_kernels, kernels_for, num_threads, parallel_for, release

# Elements of a task.
cdef Py_ssize_t BLOCK = 16384


cdef struct Taps:
    const int32_t *first
    const int32_t *source
    const char *weight


cdef struct Resampling:
    const cn_kernels *kernels
    Py_ssize_t item, h, w, c, oh, ow, block, blocks     # block: rows of a task
    Taps y, x
    bint rows_only                                      # pixels stay where they are in their row
    double work                                         # of an image
    const char *source
    char *result
    char *scratch                                       # for each worker: a row of pixels


cdef inline bint is_copy(const Taps *a, Py_ssize_t item, Py_ssize_t i) noexcept nogil:
    """Whether position i is one of the image's."""
    cdef Py_ssize_t t = a.first[i]
    if a.first[i + 1] - t != 1:
        return False
    return (<const float *> a.weight)[t] == 1 if item == sizeof(float) else (<const double *> a.weight)[t] == 1


cdef void resample_row(const Resampling *s, const char *image, Py_ssize_t i, char *row, char *y) noexcept nogil:
    cdef cn_blend blend
    cdef Py_ssize_t width = s.w * s.c
    if s.y.first[i] == s.y.first[i + 1]:
        memset(y, 0, s.ow * s.c * s.item)
        return
    if is_copy(&s.y, s.item, i) and not s.rows_only:
        row = <char *> image + s.y.source[s.y.first[i]] * width * s.item
    else:
        blend.rows, blend.n, blend.step, blend.first = 1, width, width, s.y.first + i
        blend.source, blend.weight = s.y.source, s.y.weight
        s.kernels.blend(y if s.rows_only else row, image, &blend)
    if not s.rows_only:
        blend.rows, blend.n, blend.step, blend.first = s.ow, s.c, s.c, s.x.first
        blend.source, blend.weight = s.x.source, s.x.weight
        s.kernels.blend(y, row, &blend)


cdef void resample_rows(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Resampling *s = <Resampling *> job
    cdef Py_ssize_t image = index // s.blocks, first = index % s.blocks * s.block, i
    cdef const char *source = s.source + image * s.h * s.w * s.c * s.item
    cdef char *result = s.result + image * s.oh * s.ow * s.c * s.item
    for i in range(first, min(first + s.block, s.oh)):
        resample_row(s, source, i, s.scratch + worker * s.w * s.c * s.item, result + i * s.ow * s.c * s.item)


cdef bint apply_resampling(const void *state, Py_ssize_t n, const char *x, char *y) noexcept nogil:
    cdef Resampling s = (<const Resampling *> state)[0]
    s.source, s.result = x, y
    s.scratch = <char *> alloc(num_threads() * s.w * s.c * s.item)
    if s.scratch == NULL:
        return False
    parallel_for(resample_rows, &s, n * s.blocks, n * s.work)
    release(s.scratch)
    return True


cdef bint set_taps(
    Taps *taps, const int32_t[::1] first, const int32_t[::1] source, weight, Py_ssize_t item,
) except False:
    taps.first = &first[0]
    taps.source = NULL if source.shape[0] == 0 else &source[0]
    taps.weight = address_of(weight, item)
    return True


cdef class Resample(Operation):
    """Images (h, w, c) become (oh, ow, c); for each axis the arrays first, source and weight."""

    cdef Resampling settings
    cdef object arrays          # that the settings point to

    def __cinit__(self, Py_ssize_t item, tuple size, Py_ssize_t c, const int32_t[::1] y_first,
                  const int32_t[::1] y_source, y_weight, const int32_t[::1] x_first, const int32_t[::1] x_source,
                  x_weight):
        cdef Resampling *s = &self.settings
        cdef Py_ssize_t j
        s.kernels, s.item, s.c = kernels_for(<int> item, c <= 8), item, c
        s.h, s.w = size
        s.oh, s.ow = y_first.shape[0] - 1, x_first.shape[0] - 1
        set_taps(&s.y, y_first, y_source, y_weight, item)
        set_taps(&s.x, x_first, x_source, x_weight, item)
        self.arrays = y_first, y_source, y_weight, x_first, x_source, x_weight
        s.rows_only = s.w == s.ow
        for j in range(s.ow):
            s.rows_only = s.rows_only and is_copy(&s.x, s.item, j) and s.x.source[s.x.first[j]] == j
        s.block = max(1, BLOCK // max(s.ow * c, 1))
        s.blocks = (s.oh + s.block - 1) // s.block
        s.work = 8.0 * s.item * c * (y_source.shape[0] * s.w + s.oh * (x_source.shape[0] + s.ow))
        self.apply, self.state = apply_resampling, s
