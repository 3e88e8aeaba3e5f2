# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The process-wide state of the kernels: the worker pool, the buffer cache and the chosen instruction set."""

import operator
import os

from cpython.buffer cimport PyBuffer_FillInfo

from convnet.errors import SettingError, UnsupportedError
from convnet.threads import MAX_THREADS, available_cpus


cdef extern from "runtime.h" nogil:
    void cn_parallel_for(cn_task task, void *job, ptrdiff_t tasks, double work)
    void cn_parallel_for_back(cn_task task, void *job, ptrdiff_t tasks, double work)
    void cn_set_num_threads(int threads)
    int cn_num_threads()

    void *cn_alloc(size_t nbytes)
    void cn_free(void *block)
    void cn_empty_cache()
    void cn_set_cache_limit(size_t nbytes)
    ctypedef struct cn_memory_stats:
        size_t in_use, peak_in_use, cached, limit, hits, misses
    cn_memory_stats cn_get_memory_stats()

    ctypedef enum cn_isa:
        CN_BASELINE, CN_NEON, CN_AVX2, CN_AVX512
    cn_isa cn_best_isa()
    bint cn_isa_supported(cn_isa isa)
    const char *cn_isa_name(cn_isa isa)
    int cn_isa_from_name(const char *name)

cdef extern from "kernels.h" nogil:
    const cn_kernels *cn_kernels_for(cn_isa isa, int itemsize)


# ---- for the other kernel modules ------------------------------------------------------------------------------

cdef void parallel_for(cn_task task, void *job, ptrdiff_t tasks, double work) noexcept nogil:
    cn_parallel_for(task, job, tasks, work)


cdef void parallel_for_back(cn_task task, void *job, ptrdiff_t tasks, double work) noexcept nogil:
    cn_parallel_for_back(task, job, tasks, work)


cdef int num_threads() noexcept nogil:
    return cn_num_threads()


cdef void *alloc(size_t nbytes) noexcept nogil:
    return cn_alloc(nbytes)


cdef void release(void *block) noexcept nogil:
    cn_free(block)


cdef const cn_kernels *kernels_for(int itemsize, bint narrow) noexcept nogil:
    return tables[itemsize == 8][narrow]


# ---- threads ---------------------------------------------------------------------------------------------------

def set_num_threads(n):
    """Set how many threads a call may use, the calling one included."""
    try:
        threads = operator.index(n)
    except TypeError:
        raise SettingError(f"set_num_threads: expected an integer, got {n!r}") from None
    if not 1 <= threads <= MAX_THREADS:
        raise SettingError(f"set_num_threads: expected 1 to {MAX_THREADS} threads, got {threads}")
    cn_set_num_threads(threads)


def get_num_threads():
    """Return how many threads a call may use, the calling one included."""
    return cn_num_threads()


# ---- memory ----------------------------------------------------------------------------------------------------

cdef class Buffer:
    """``nbytes`` writable bytes, 64-byte aligned, from the cache; they go back to it with the object.

    Exports the buffer protocol (one dimension, bytes); the contents are arbitrary at first.

    Raises
    ------
    MemoryError
        If the system has no such block.
    """

    cdef void *block
    cdef Py_ssize_t nbytes

    def __cinit__(self, Py_ssize_t nbytes):
        if nbytes < 0:
            raise SettingError(f"Buffer: expected a size of at least 0 bytes, got {nbytes}")
        self.block = cn_alloc(<size_t>nbytes)
        if self.block is NULL:
            raise MemoryError(f"Buffer: out of memory for a block of {nbytes} bytes")
        self.nbytes = nbytes

    def __dealloc__(self):
        cn_free(self.block)

    def __len__(self):
        return self.nbytes

    def __getbuffer__(self, Py_buffer *view, int flags):
        PyBuffer_FillInfo(view, self, self.block, self.nbytes, False, flags)


def memory_stats():
    """Return the cache's figures.

    Returns
    -------
    dict of str to int
        ``in_use``, ``peak_in_use`` (bytes handed out now, at most), ``cached``, ``limit`` (bytes kept for reuse now,
        at most), ``hits``, ``misses`` (blocks served from the cache, from the system).
    """
    return cn_get_memory_stats()


def empty_cache():
    """Give the bytes kept for reuse back to the system."""
    with nogil:
        cn_empty_cache()


def set_cache_limit(n):
    """Keep at most ``n`` bytes for reuse; 0 keeps none."""
    try:
        nbytes = operator.index(n)
    except TypeError:
        raise SettingError(f"set_cache_limit: expected an integer, got {n!r}") from None
    if not 0 <= nbytes <= <size_t>-1:
        raise SettingError(f"set_cache_limit: expected 0 to {<size_t>-1} bytes, got {nbytes}")
    cn_set_cache_limit(nbytes)


# ---- instruction set -------------------------------------------------------------------------------------------

cdef cn_isa selected
cdef const cn_kernels *tables[2][2]  # [double][narrow]


def isa_name():
    """Return the name of the instruction set whose kernels are used."""
    return cn_isa_name(selected).decode()


def supported_isas():
    """Return the names `select_isa` takes on this machine, narrowest first."""
    cdef int isa
    return [
        cn_isa_name(<cn_isa>isa).decode()
        for isa in range(CN_BASELINE, CN_AVX512 + 1)
        if cn_isa_supported(<cn_isa>isa)
    ]


def select_isa(name):
    """Use the kernels of the instruction set ``name`` from now on.

    Raises
    ------
    UnsupportedError
        If this machine cannot run them.
    """
    _select(name, "select_isa")


def _select(name, who):
    global selected
    cdef int double
    if name not in supported_isas():
        raise UnsupportedError(f"{who}: expected one of {', '.join(supported_isas())}, got {name!r}")
    selected = <cn_isa>cn_isa_from_name(name.encode())
    for double in range(2):
        tables[double][0] = cn_kernels_for(selected, 8 if double else 4)
        tables[double][1] = cn_kernels_for(CN_AVX2 if selected == CN_AVX512 else selected, 8 if double else 4)


set_num_threads(available_cpus())
_select(os.environ.get("CONVNET_CPU") or cn_isa_name(cn_best_isa()).decode(), "CONVNET_CPU")
