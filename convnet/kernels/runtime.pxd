"""The process-wide state of the kernels: the worker pool, the buffer cache and the chosen instruction set.

Other kernel modules cimport from here and never link csrc/threads.c, memory.c or dispatch.c themselves: each module
that did would have a pool and a cache of its own.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t


cdef extern from "runtime.h" nogil:
    ctypedef void (*cn_task)(void *job, ptrdiff_t index, int worker) noexcept nogil


# Run task(job, index, worker) for every index in [0, tasks); `work`: operations, 8 a byte.
cdef void parallel_for(cn_task task, void *job, ptrdiff_t tasks, double work) noexcept nogil

# The same, each thread beginning with the last of its tasks: for a second pass, over what the first left in the cache.
cdef void parallel_for_back(cn_task task, void *job, ptrdiff_t tasks, double work) noexcept nogil

# An upper bound of `worker` in the calls of parallel_for that this thread makes next.
cdef int num_threads() noexcept nogil

# A 64-byte-aligned block from the cache, or NULL when out of memory; its contents are arbitrary.
cdef void *alloc(size_t nbytes) noexcept nogil
cdef void release(void *block) noexcept nogil


cdef extern from "kernels.h" nogil:
    ctypedef struct cn_product:
        ptrdiff_t rows, depth, cols
        const void *a
        const int32_t *a_row
        const int32_t *a_k
        const void *b
        ptrdiff_t b_k, b_vector
        void *c
        const int32_t *c_row
        const void *bias
        bint accumulate
        bint two_chains

    ctypedef struct cn_dots:
        ptrdiff_t rows, depth, cols
        const void *x
        ptrdiff_t x_row
        const void *w
        ptrdiff_t w_row
        const void *bias
        void *y
        ptrdiff_t y_row

    ctypedef struct cn_pool_run:
        ptrdiff_t pixels, channels, x_step, y_step, taps
        const int32_t *tap_offset
        const int32_t *tap_code
        int code_bytes
        double scale

    ctypedef struct cn_norm:
        ptrdiff_t pixels, channels, fold
        const void *mean
        const void *scale
        const void *shift
        const void *slope
        const void *offset
        bint relu
        double ceiling

    ctypedef struct cn_winograd_tile:
        ptrdiff_t row_step, pixel_step, first_row, end_row, first_col, end_col, channels, plane

    ctypedef struct cn_depthwise_run:
        ptrdiff_t pixels, channels, x_step, y_step, rows, row, x_gap, w_gap
        const ptrdiff_t *x_row
        const ptrdiff_t *w_row

    ctypedef struct cn_spread:
        ptrdiff_t pixels, channels, vectors
        const int32_t *index

    ctypedef enum cn_function:
        CN_LEAKY_RELU, CN_ELU, CN_GELU, CN_GELU_TANH, CN_SILU, CN_HARD_SWISH, CN_HARD_SIGMOID, CN_SIGMOID, CN_TANH

    ctypedef struct cn_response:
        ptrdiff_t pixels, channels, before, after
        double scale, power, offset
        void *scratch

    ctypedef struct cn_blend:
        ptrdiff_t rows, n, step
        const int32_t *first
        const int32_t *source
        const void *weight

    ctypedef struct cn_kernels:
        ptrdiff_t lanes
        void (*product)(const cn_product *p) noexcept nogil
        void (*dots)(const cn_dots *d) noexcept nogil
        void (*pack)(
            void *packed, const void *src, const int32_t *place, ptrdiff_t run, ptrdiff_t cols, ptrdiff_t col_stride,
            ptrdiff_t count, ptrdiff_t src_step
        ) noexcept nogil
        void (*scatter_add)(
            void *dst, const void *src, const int32_t *place, ptrdiff_t run, ptrdiff_t col_stride, ptrdiff_t cols,
            ptrdiff_t src_row
        ) noexcept nogil
        void (*columns)(
            void *dst, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t src_row, ptrdiff_t dst_vector
        ) noexcept nogil
        void (*add)(void *dst, const void *src, ptrdiff_t n) noexcept nogil
        bint (*all_finite)(const void *x, ptrdiff_t n) noexcept nogil
        void (*column_sums)(
            void *sums, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row_stride
        ) noexcept nogil
        void (*transpose)(
            void *dst, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t dst_row, ptrdiff_t src_row
        ) noexcept nogil
        void (*relu)(void *y, const void *x, ptrdiff_t n, double ceiling) noexcept nogil
        void (*relu_gradient)(void *dx, const void *dy, const void *y, ptrdiff_t n, double ceiling) noexcept nogil
        void (*max_pool)(void *y, void *codes, const void *x, const cn_pool_run *run) noexcept nogil
        void (*max_pool_gradient)(void *dx, const void *dy, const void *codes, const cn_pool_run *run) noexcept nogil
        void (*relu_max_pool)(void *y, void *codes, const void *x, const cn_pool_run *run) noexcept nogil
        void (*unpool)(
            void *dx, const void *dy, const void *codes, ptrdiff_t first, ptrdiff_t pixels, ptrdiff_t channels,
            ptrdiff_t dx_step, ptrdiff_t window, ptrdiff_t tap
        ) noexcept nogil
        void (*average_pool)(void *y, const void *x, const cn_pool_run *run) noexcept nogil
        void (*average_pool_gradient)(void *dx, const void *dy, const cn_pool_run *run) noexcept nogil
        void (*winograd_input)(void *planes, const void *x, const cn_winograd_tile *tile) noexcept nogil
        void (*winograd_gradient)(void *planes, const void *dy, const cn_winograd_tile *tile) noexcept nogil
        void (*winograd_output)(
            void *y, const void *planes, const void *bias, bint relu, double ceiling, const cn_winograd_tile *tile
        ) noexcept nogil
        void (*winograd_weights)(
            void *planes, const void *w, ptrdiff_t depth, ptrdiff_t k_stride, ptrdiff_t cols, ptrdiff_t col_stride,
            bint flip, ptrdiff_t plane
        ) noexcept nogil
        void (*winograd_taps)(
            void *w, const void *planes, ptrdiff_t count, ptrdiff_t step, ptrdiff_t plane
        ) noexcept nogil
        void (*depthwise)(
            void *y, const void *x, const void *w, const void *bias, bint relu, double ceiling,
            const cn_depthwise_run *run
        ) noexcept nogil
        void (*depthwise_weights)(
            void *dw, const void *dy, const void *x, const cn_depthwise_run *run
        ) noexcept nogil
        void (*spread)(void *to, const void *x, const cn_spread *spread) noexcept nogil
        void (*activation)(void *y, const void *x, ptrdiff_t n, cn_function function, double a) noexcept nogil
        void (*activation_gradient)(
            void *dx, const void *dy, const void *saved, ptrdiff_t n, cn_function function, double a
        ) noexcept nogil
        void (*prelu)(void *y, const void *x, const void *slope, ptrdiff_t n, ptrdiff_t row) noexcept nogil
        void (*prelu_gradient)(
            void *dx, void *sums, const void *dy, const void *x, const void *slope, ptrdiff_t n, ptrdiff_t row
        ) noexcept nogil
        void (*local_response)(void *y, const void *x, const cn_response *response) noexcept nogil
        void (*local_response_gradient)(
            void *dx, const void *dy, const void *x, const cn_response *response
        ) noexcept nogil
        void (*blend)(void *y, const void *x, const cn_blend *blend) noexcept nogil
        void (*dropout)(
            void *y, const void *x, ptrdiff_t n, uint64_t first, uint32_t threshold, uint64_t seed, double scale,
        ) noexcept nogil
        double (*softmax)(
            void *gradient, const void *logits, const int64_t *labels, const void *targets, ptrdiff_t rows,
            ptrdiff_t classes, double scale
        ) noexcept nogil
        void (*softmax_gradient)(
            void *dx, const void *dp, const void *p, ptrdiff_t rows, ptrdiff_t classes
        ) noexcept nogil
        void (*moments)(
            double *mean, double *squares, const void *x, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t fold,
            void *scratch
        ) noexcept nogil
        void (*normalize)(void *y, const void *x, const void *add, const cn_norm *norm) noexcept nogil
        void (*norm_sums)(
            double *sums, double *dots, void *masked, const void *dy, const void *x, const void *y,
            const cn_norm *norm, void *scratch
        ) noexcept nogil
        void (*norm_gradient)(void *dx, const void *dy, const void *x, const cn_norm *norm) noexcept nogil
        void (*sum)(void *y, const void *a, const void *b, ptrdiff_t n, bint relu) noexcept nogil
        void (*sgd)(
            void *value, void *grad, void *velocity, ptrdiff_t n, double lr, double momentum, bint nesterov,
            double weight_decay
        ) noexcept nogil
        void (*adam)(
            void *value, void *grad, void *mean, void *variance, ptrdiff_t n, double step_size, double beta1,
            double beta2, double eps, double root_correction, double weight_decay, double shrink
        ) noexcept nogil
        void (*rmsprop)(
            void *value, void *grad, void *square, void *velocity, void *mean, ptrdiff_t n, double lr, double alpha,
            double eps, double momentum, double weight_decay
        ) noexcept nogil
        double (*sum_squares)(const void *x, ptrdiff_t n) noexcept nogil
        void (*clip)(void *x, ptrdiff_t n, double scale, double limit) noexcept nogil
        void (*average)(void *mean, const void *x, ptrdiff_t n, double share) noexcept nogil


# The chosen instruction set's kernels for elements of 4 or 8 bytes; with `narrow` those of the next narrower vectors
# where there are such (AVX2 for AVX-512): fewer idle lanes for few columns.
cdef const cn_kernels *kernels_for(int itemsize, bint narrow) noexcept nogil
