"""What conv_weights.pyx shares with conv.pyx."""

from libc.stdint cimport int32_t, uint8_t

from convnet.kernels.correlation cimport Correlation, Upstream

ctypedef fused real:
    float
    double


# Plan strips of whole multiples of `unit` rows with `result_pixel` elements of scratch memory an output pixel, allocate
# and fill the tables. `finish` releases them, also after a failure.
cdef bint prepare(Correlation *p, Py_ssize_t unit, Py_ssize_t result_pixel) except False
cdef void finish(Correlation *p) noexcept nogil

# Where the k-th row (tap, channel) of the forward pass lies in the weights (o, channels, kh, kw) of one output.
cdef int32_t *weight_offsets(Py_ssize_t channels, Py_ssize_t kh, Py_ssize_t kw) except NULL

# Describe dy behind fused layers; returns whether there are any.
cdef bint upstream_of(
    Upstream *u, const real[:, :, :, ::1] dy, const real[:, :, :, ::1] y, const uint8_t[:, :, :, ::1] codes,
    Py_ssize_t pool_y, Py_ssize_t pool_x,
) noexcept
