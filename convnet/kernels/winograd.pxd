"""What plan.pyx shares with winograd.pyx."""

from convnet.kernels.conv cimport Convolution as Settings


# All of a forward pass but its arrays, with transformed weights; `finish_winograd` releases it. `b` must outlive it.
cdef void *plan_winograd(const Settings *layer, const char *w_oihw, const char *b) except NULL
cdef void finish_winograd(void *plan) noexcept nogil

# For n images; False when out of memory.
cdef bint run_winograd(const void *plan, Py_ssize_t n, const char *x_nhwc, char *y_nhwc) noexcept nogil
