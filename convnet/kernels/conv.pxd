"""What other modules share with conv.pyx."""

from libc.stdint cimport int32_t, uint8_t

from convnet.kernels.correlation cimport Convolution, Correlation, Upstream
from convnet.kernels.runtime cimport cn_kernels

ctypedef fused real:
    float
    double


cdef struct Slide:
    # A correlation whose results are pixels: y[pixel, o] = bias[o] + sum over k of source[pixel, k] * w[k, o]
    Correlation p
    bint relu
    double ceiling                         # of the ReLU; NaN for none
    bint apart                             # pixels of the output lie between those of other phases
    Py_ssize_t fold                        # neighbouring pixels that are columns of one; see fold_of
    bint finite                            # whether folded pixels were
    Py_ssize_t outputs                     # channels of the output
    Py_ssize_t pool_y, pool_x              # windows of a fused max pool; 1 without
    const cn_kernels *pool_kernels         # vectors that fit a pixel in scratch memory
    Py_ssize_t result_pixel                # elements of a pixel in scratch memory, before pooling; 0 without
    char *packed
    char *bias                             # as many elements as there are columns, whole vectors when pooled; or NULL
    char *out
    char *codes                            # of the fused max pool, or NULL
    int32_t *out_offset                    # of a strip's pixels, from its first one
    int32_t *tap_offset                    # of a pooling window, from its first pixel
    Py_ssize_t image_stride, row_stride    # of the output, in elements
    Py_ssize_t first                       # where it begins, of a phase
    Py_ssize_t blocks                      # cuts of the output's channels, where strips are few


# All of a forward pass but its arrays; `finish_forward` releases it. A `fold` above 1, that of fold_of_layer, computes
# neighbouring pixels together.
cdef Py_ssize_t fold_of_layer(const Convolution *layer) noexcept nogil
cdef bint plan_forward(
    Slide *s, const Convolution *layer, const char *w_oihw, const char *b, Py_ssize_t fold,
) except False
cdef void finish_forward(Slide *s) noexcept nogil

# y, and with a fused max pool the codes unless NULL, for n images; False when out of memory. If `finite` is then False,
# the result is to be computed again without folding.
cdef bint run_forward(
    const Slide *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc, char *codes, bint *finite,
) noexcept nogil

# A transposed convolution, or the data gradient where `upstream` may stand for x: all but its arrays, for about so many
# images a call; `finish_transposed` releases it. `b`, or NULL, must outlive it.
cdef void *plan_transposed(
    const Convolution *layer, const char *w, const char *b, const Upstream *upstream, Py_ssize_t images,
) except NULL
cdef void finish_transposed(void *plan) noexcept nogil

# For n images; False when out of memory.
cdef bint run_transposed(const void *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc) noexcept nogil

# Plan strips of whole multiples of `unit` rows with `result_pixel` elements of scratch memory an output pixel, allocate
# and fill the tables. `finish` releases them, also after a failure.
cdef bint prepare(Correlation *p, Py_ssize_t unit, Py_ssize_t result_pixel) except False
cdef void finish(Correlation *p) noexcept nogil

# Allocate scratch memory for the workers of this thread's next call; the caller releases it.
cdef bint take_scratch(Correlation *p) noexcept nogil

# Which row (tap, channel) of the forward pass each weight (channel, kh, kw) of an output is; `taps` in a row.
cdef int32_t *weight_places(Py_ssize_t channels, Py_ssize_t kh, Py_ssize_t kw, Py_ssize_t taps) except NULL

# Describe dy behind fused layers; returns whether there are any.
cdef bint upstream_of(
    Upstream *u, const real[:, :, :, ::1] dy, const real[:, :, :, ::1] y, const uint8_t[:, :, :, ::1] codes,
    Py_ssize_t pool_y, Py_ssize_t pool_x,
) noexcept
