"""What other modules share with norm.pyx."""

cdef Py_ssize_t fold_of(Py_ssize_t c) noexcept nogil
