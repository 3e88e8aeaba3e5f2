"""What other modules share with plan.pyx: operations that they define."""

ctypedef bint (*Apply)(const void *state, Py_ssize_t n, const char *x, char *y) noexcept nogil


cdef class Operation:
    cdef Apply apply            # for n images; False when out of memory
    cdef const void *state      # the settings, which belong to the object


# Where a one-dimensional array of elements of so many bytes begins; NULL for None and for an empty one.
cdef const char *address_of(array, Py_ssize_t item) except? NULL
