"""What plan.pyx shares with depthwise.pyx."""

from convnet.kernels.correlation cimport Convolution


# All of a forward pass but its arrays, with packed weights; `finish_depthwise` releases it. `b` must outlive it.
cdef void *plan_depthwise(const Convolution *layer, const char *w, const char *b) except NULL
cdef void finish_depthwise(void *plan) noexcept nogil

# For n images; False when out of memory.
cdef bint run_depthwise(const void *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc) noexcept nogil
