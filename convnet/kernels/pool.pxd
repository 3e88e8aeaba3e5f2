"""What plan.pyx shares with pool.pyx."""

from libc.stdint cimport int32_t

from convnet.kernels.runtime cimport cn_kernels


cdef struct Axis:
    Py_ssize_t size, out, taps, step, spread, before
    Py_ssize_t behind   # padding behind that counts as part of the map (average pooling)


cdef struct Pool:
    const cn_kernels *kernels
    Py_ssize_t item, c, slices
    Axis y, x
    bint adaptive, average, gradient, count_padding
    int code_bytes
    const char *source      # forward: the input; gradient: dy
    char *result            # forward: the output; gradient: dx
    char *codes             # max pooling, or NULL
    int32_t *taps           # for each worker: offsets, then codes


cdef void pool_axis(
    Axis *a, Py_ssize_t size, Py_ssize_t out, Py_ssize_t taps, Py_ssize_t step, Py_ssize_t pad, Py_ssize_t spread,
) noexcept nogil
cdef void adaptive_axis(Axis *a, Py_ssize_t size, Py_ssize_t out) noexcept nogil
cdef bint check_offsets(Pool *p) except False

# For n images; False when out of memory.
cdef bint run_pool(const Pool *plan, Py_ssize_t n, const char *source, char *result) noexcept nogil
