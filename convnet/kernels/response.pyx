# cython: language_level=3, freethreading_compatible=True
# cython: boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Local response normalisation across the channels of channels-last maps: each pixel by itself."""

from convnet.kernels.plan cimport Operation
from convnet.kernels.runtime cimport alloc, cn_kernels, cn_response, kernels_for, num_threads, parallel_for, release

ctypedef fused real:
    float
    double

# Elements of a task: 64 KiB of float32.
cdef Py_ssize_t BLOCK = 16384


cdef struct Response:
    const cn_kernels *kernels
    cn_response constants
    Py_ssize_t item, image_pixels, pixels, chunk
    const char *x
    const char *dy
    char *result
    char *scratch           # for each worker
    Py_ssize_t scratch_bytes


cdef void respond(void *job, ptrdiff_t index, int worker) noexcept nogil:
    cdef Response *s = <Response *> job
    cdef cn_response constants = s.constants
    cdef Py_ssize_t pixel = index * s.chunk, at = pixel * constants.channels * s.item
    constants.pixels = min(s.chunk, s.pixels - pixel)
    constants.scratch = s.scratch + worker * s.scratch_bytes
    if s.dy == NULL:
        s.kernels.local_response(s.result + at, s.x + at, &constants)
    else:
        s.kernels.local_response_gradient(s.result + at, s.dy + at, s.x + at, &constants)


cdef bint run_response(const Response *plan, Py_ssize_t n, const char *dy, const char *x, char *result) noexcept nogil:
    cdef Response s = plan[0]
    cdef Py_ssize_t c = s.constants.channels
    s.pixels, s.dy, s.x, s.result = n * s.image_pixels, dy, x, result
    s.chunk = max(1, BLOCK // max(c, 1))
    s.scratch_bytes = 2 * (c + s.constants.before + s.constants.after + s.kernels.lanes) * s.item
    s.scratch = <char *> alloc(num_threads() * s.scratch_bytes)
    if s.scratch == NULL:
        return False
    parallel_for(respond, &s, (s.pixels + s.chunk - 1) // s.chunk, 60.0 * s.pixels * c * s.item)
    release(s.scratch)
    return True


cdef bint apply_response(const void *state, Py_ssize_t n, const char *x, char *y) noexcept nogil:
    return run_response(<const Response *> state, n, NULL, x, y)


cdef class LocalResponse(Operation):
    """y = x * (offset + scale * sum of x * x over channels [j - before, j + after])^-power."""

    cdef Response settings

    def __cinit__(self, Py_ssize_t item, Py_ssize_t image_pixels, Py_ssize_t channels, Py_ssize_t before,
                  Py_ssize_t after, double scale, double power, double offset):
        cdef Response *s = &self.settings
        s.kernels, s.item, s.image_pixels = kernels_for(<int> item, channels <= 8), item, image_pixels
        s.constants.channels, s.constants.before, s.constants.after = channels, before, after
        s.constants.scale, s.constants.power, s.constants.offset = scale, power, offset
        self.apply, self.state = apply_response, s

    def gradient(self, const real[::1] dy, const real[::1] x, real[::1] dx, Py_ssize_t n):
        """The gradient of n images."""
        cdef bint enough
        if dx.shape[0] == 0:
            return
        with nogil:
            enough = run_response(&self.settings, n, <const char *> &dy[0], <const char *> &x[0], <char *> &dx[0])
        if not enough:
            raise MemoryError("LocalResponse: no memory for its scratch space")
