/* The micro-kernels, as the Cython loops see them: one table of functions for each instruction set and element type.
   Pointers are void because a table serves one type; sizes and strides count elements, not bytes. */
#ifndef CONVNET_KERNELS_H
#define CONVNET_KERNELS_H

#include "runtime.h"

/* c[r, j] = sum over k of a[r, k] * b[k, j], the product that every convolution pass and dense layer is made of.
   a is read where it lies, through two tables: element (r, k) is a[a_row[r] + a_k[k]]. A convolution needs no
   im2col that way: one table holds the offsets of output pixels, the other those of taps and channels, and the
   weight gradient merely swaps the two.
   b is read in columns of one vector: element (k, j) is b[(j / lanes) * b_vector + k * b_k + j % lanes], either a
   matrix in place (b_vector = lanes) or the output of `pack` (b_k = lanes, b_vector = depth * lanes).           */
typedef struct {
    ptrdiff_t rows, depth, cols;
    const void *a;
    const int32_t *a_row, *a_k;
    const void *b;
    ptrdiff_t b_k, b_vector;
    void *c;
    const int32_t *c_row; /* row r starts at c[c_row[r]] */
    const void *bias;     /* cols elements to start from, or NULL */
    int accumulate;       /* add to what c holds (bias is then ignored) */
    int two_chains;       /* sum odd and even k apart where a tile is too short to hide the latency of its sums: for
                             callers that always cut the rows alike, as bits depend on the height of a tile then */
} cn_product;

/* y[r, j] = bias[j] + sum over k of x[r, k] * w[j, k]; strides from row to row. The order of a sum does not depend on
   rows and cols. */
typedef struct {
    ptrdiff_t rows, depth, cols;
    const void *x;
    ptrdiff_t x_row;
    const void *w;
    ptrdiff_t w_row;
    const void *bias; /* or NULL */
    void *y;
    ptrdiff_t y_row;
} cn_dots;

/* A run of output pixels of one pooling row that see the same taps. */
typedef struct {
    ptrdiff_t pixels, channels;
    ptrdiff_t x_step, y_step; /* elements from one pixel to the next, in the input and in the output */
    ptrdiff_t taps;
    const int32_t *tap_offset; /* from the run's first window to the tap, in the input */
    const int32_t *tap_code;   /* the tap's position in the window */
    int code_bytes;            /* 1 or 4: size of a code in memory */
    double scale;              /* average pooling: one over the number of elements that count */
} cn_pool_run;

/* A chunk of neighbouring pixels under batch normalisation, y = (x - mean) * scale + shift. Rows of `fold` pixels, and
   what is left, are gone over as one; so that few channels fill vectors too, the constants have fold * channels
   elements, those of the channels `fold` times. The gradient is dx = dy * scale + (x - mean) * slope + offset. */
typedef struct {
    ptrdiff_t pixels, channels, fold;
    const void *mean, *scale, *shift, *slope, *offset;
    int relu; /* y is rectified, up to a ceiling: here as elsewhere NaN is none */
    double ceiling;
} cn_norm;

/* A tile of a map: 6 x 6 pixels to be multiplied with 3 x 3 taps, or 4 x 4 of an output. */
typedef struct {
    ptrdiff_t row_step, pixel_step;                   /* elements from one to the next, in the map */
    ptrdiff_t first_row, end_row, first_col, end_col; /* the pixels of the tile that exist */
    ptrdiff_t channels;
    ptrdiff_t plane; /* elements from a tile's value at one of the 36 points to that at the next */
} cn_winograd_tile;

/* A run of pixels of one row that see the same taps of a depthwise convolution. */
typedef struct {
    ptrdiff_t pixels, channels;
    ptrdiff_t x_step, y_step; /* elements from one pixel to the next */
    ptrdiff_t rows, row;      /* rows of `row` taps */
    ptrdiff_t x_gap, w_gap;   /* elements from a tap to the next of its row, in x and in the weights */
    const ptrdiff_t *x_row;   /* where the rows of the first pixel start in x */
    const ptrdiff_t *w_row;   /* and in the weights */
} cn_depthwise_run;

/* Channels of pixels as a grouped convolution wants them, so that it is a depthwise one with more taps: a pixel of the
   result has `vectors` vectors, whose lane i is channel index[i] of x, for the k-th index[k * lanes + i]. */
typedef struct {
    ptrdiff_t pixels, channels, vectors; /* channels: of x */
    const int32_t *index;                /* rises in each vector */
} cn_spread;
/* Activations: x is what a function is applied to, y its result, a the parameter of those that have one. */
typedef enum {
    CN_LEAKY_RELU,   /* x > 0 ? x : a x */
    CN_ELU,          /* x > 0 ? x : a (e^x - 1) */
    CN_GELU,         /* x times the normal distribution up to x */
    CN_GELU_TANH,    /* x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 */
    CN_SILU,         /* x / (1 + e^-x) */
    CN_HARD_SWISH,   /* x min(max(x + 3, 0), 6) / 6 */
    CN_HARD_SIGMOID, /* min(max(x + 3, 0), 6) / 6 */
    CN_SIGMOID,      /* 1 / (1 + e^-x) */
    CN_TANH
} cn_function;

/* Local response normalisation: y = x (offset + scale s)^-power, where s sums x x over `before` channels in front, the
   channel itself and `after` behind it. */
typedef struct {
    ptrdiff_t pixels, channels, before, after;
    double scale, power, offset;
    void *scratch; /* 2 * (channels + before + after + lanes) elements */
} cn_response;

/* Row o of y, of n elements, is the sum over t, first[o] <= t < first[o + 1], of weight[t] times n elements from
   x[source[t] * step] on. */
typedef struct {
    ptrdiff_t rows, n, step;
    const int32_t *first, *source;
    const void *weight;
} cn_blend;

typedef struct {
    cn_isa isa;
    ptrdiff_t lanes; /* elements in a vector */

    void (*product)(const cn_product *p);
    void (*dots)(const cn_dots *d);
    /* packed[(place[m] + r) * lanes + j] = src[r * src_step + m + j * col_stride] for r < count and for m < run, if
       place[m] >= 0, and j < cols (at most lanes); 0 in lanes behind */
    void (*pack)(void *packed, const void *src, const int32_t *place, ptrdiff_t run, ptrdiff_t cols,
                 ptrdiff_t col_stride, ptrdiff_t count, ptrdiff_t src_step);
    /* dst[m + j * col_stride] += src[place[m] * src_row + j]: the way back, for gradients */
    void (*scatter_add)(void *dst, const void *src, const int32_t *place, ptrdiff_t run, ptrdiff_t col_stride,
                        ptrdiff_t cols, ptrdiff_t src_row);
    /* dst[(j / lanes) * dst_vector + r * lanes + j % lanes] = src[r * src_row + j]; 0 in lanes behind */
    void (*columns)(void *dst, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t src_row,
                    ptrdiff_t dst_vector);
    void (*add)(void *dst, const void *src, ptrdiff_t n); /* dst += src */
    int (*all_finite)(const void *x, ptrdiff_t n);        /* neither NaN nor infinite */
    void (*column_sums)(void *sums, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row_stride); /* += */
    void (*transpose)(void *dst, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t dst_row, ptrdiff_t src_row);

    /* y = x from 0 to the ceiling, NaN passes; dx = 0 < y < ceiling ? dy : 0, likewise */
    void (*relu)(void *y, const void *x, ptrdiff_t n, double ceiling);
    void (*relu_gradient)(void *dx, const void *dy, const void *y, ptrdiff_t n, double ceiling);

    void (*max_pool)(void *y, void *codes, const void *x, const cn_pool_run *run); /* codes may be NULL */
    void (*max_pool_gradient)(void *dx, const void *dy, const void *codes, const cn_pool_run *run);
    /* max(largest tap, 0); the code, of one byte, is the index of that tap, or 255 where rectification gave 0. x may be
       read to the end of a whole vector behind each pixel's channels. */
    void (*relu_max_pool)(void *y, void *codes, const void *x, const cn_pool_run *run);
    /* One row of what relu_max_pool's windows (side by side, `window` pixels wide, whose taps in this row have the
       codes from `tap` on, of at most 255) pass back: pixels [first, first + pixels), `dx_step` elements apart. Where
       that leaves room behind the channels, whole vectors are written, with zeros there. */
    void (*unpool)(void *dx, const void *dy, const void *codes, ptrdiff_t first, ptrdiff_t pixels, ptrdiff_t channels,
                   ptrdiff_t dx_step, ptrdiff_t window, ptrdiff_t tap);
    void (*average_pool)(void *y, const void *x, const cn_pool_run *run);
    void (*average_pool_gradient)(void *dx, const void *dy, const cn_pool_run *run);

    /* Winograd's transforms (winograd.h). Values at points lie in whole vectors, 0 behind `channels`.
       `x` and `dy` point to the first pixel that exists, others count as 0; `y` to the tile's first pixel. */
    void (*winograd_input)(void *planes, const void *x, const cn_winograd_tile *tile);     /* of 6 x 6 pixels */
    void (*winograd_gradient)(void *planes, const void *dy, const cn_winograd_tile *tile); /* of 4 x 4 pixels */
    /* y = what the points give, plus bias (may be NULL), with `relu` rectified: pixels before end_row, end_col */
    void (*winograd_output)(void *y, const void *planes, const void *bias, int relu, double ceiling,
                            const cn_winograd_tile *tile);
    /* planes[p * plane + k * lanes + j], j < lanes, from w[k * k_stride + j * col_stride + t], j < cols (at most lanes),
       taps t = 0 ... 8, or 8 ... 0 with `flip`; 0 behind `cols` */
    void (*winograd_weights)(void *planes, const void *w, ptrdiff_t depth, ptrdiff_t k_stride, ptrdiff_t cols,
                             ptrdiff_t col_stride, int flip, ptrdiff_t plane);
    /* w[(9 * k + t) * lanes + j], k < count, from sums of products at planes[p * plane + k * step + j] */
    void (*winograd_taps)(void *w, const void *planes, ptrdiff_t count, ptrdiff_t step, ptrdiff_t plane);

    /* y = bias (or 0 where it is NULL) + the sum over taps of x * w, rectified with `relu` */
    void (*depthwise)(void *y, const void *x, const void *w, const void *bias, int relu, double ceiling,
                      const cn_depthwise_run *run);
    void (*depthwise_weights)(void *dw, const void *dy, const void *x, const cn_depthwise_run *run); /* += dy * x */
    void (*spread)(void *to, const void *x, const cn_spread *spread);

    void (*activation)(void *y, const void *x, ptrdiff_t n, cn_function function, double a);
    /* dx = dy * the derivative; saved: y for CN_SIGMOID and CN_TANH, else x */
    void (*activation_gradient)(void *dx, const void *dy, const void *saved, ptrdiff_t n, cn_function function,
                                double a);
    /* y = x > 0 ? x : slope x, of n elements in rows of `row`, which have a slope for each column; sums += dy x where
       x is not positive, column by column */
    void (*prelu)(void *y, const void *x, const void *slope, ptrdiff_t n, ptrdiff_t row);
    void (*prelu_gradient)(void *dx, void *sums, const void *dy, const void *x, const void *slope, ptrdiff_t n,
                           ptrdiff_t row);
    void (*local_response)(void *y, const void *x, const cn_response *response);
    void (*local_response_gradient)(void *dx, const void *dy, const void *x, const cn_response *response);
    void (*blend)(void *y, const void *x, const cn_blend *blend);
    /* y = x * scale, or 0 where the random word of this seed for the element, counted from `first` (a multiple of 64)
       on, is below the threshold: with probability threshold / 2^32 */
    void (*dropout)(void *y, const void *x, ptrdiff_t n, uint64_t first, uint32_t threshold, uint64_t seed,
                    double scale);

    /* Row by row p = softmax(logits); with labels or targets given, gradient = (p - target) * scale and the return
       value is the sum of the rows' cross-entropies, else gradient receives p. */
    double (*softmax)(void *gradient, const void *logits, const int64_t *labels, const void *targets, ptrdiff_t rows,
                      ptrdiff_t classes, double scale);
    /* Row by row dx = p * (dp - sum of dp * p): the gradient of softmax alone */
    void (*softmax_gradient)(void *dx, const void *dp, const void *p, ptrdiff_t rows, ptrdiff_t classes);

    /* Mean and sum of squared deviations from it, channel by channel; scratch: 3 * fold * channels elements. */
    void (*moments)(double *mean, double *squares, const void *x, ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t fold,
                    void *scratch);
    void (*normalize)(void *y, const void *x, const void *add,
                      const cn_norm *norm); /* add: joins before relu, or NULL */
    /* Channel by channel the sums of g and of g * (x - mean), where g is dy with zeros where the output was rectified.
       With y, the output of `normalize` with `add`, that follows from it and g is written to `masked`; without, and
       with relu, from x. scratch: 2 * fold * channels elements. */
    void (*norm_sums)(double *sums, double *dots, void *masked, const void *dy, const void *x, const void *y,
                      const cn_norm *norm, void *scratch);
    void (*norm_gradient)(void *dx, const void *dy, const void *x, const cn_norm *norm); /* relu: as in norm_sums */

    void (*sum)(void *y, const void *a, const void *b, ptrdiff_t n, int relu); /* y = a + b, rectified if relu */

    void (*sgd)(void *value, void *grad, void *velocity, ptrdiff_t n, double lr, double momentum, int nesterov,
                double weight_decay);
    void (*adam)(void *value, void *grad, void *mean, void *variance, ptrdiff_t n, double step_size, double beta1,
                 double beta2, double eps, double root_correction, double weight_decay, double shrink);
    /* velocity and mean may be NULL */
    void (*rmsprop)(void *value, void *grad, void *square, void *velocity, void *mean, ptrdiff_t n, double lr,
                    double alpha, double eps, double momentum, double weight_decay);
    double (*sum_squares)(const void *x, ptrdiff_t n);
    void (*clip)(void *x, ptrdiff_t n, double scale, double limit); /* x * scale from -limit to limit; NaN stays */
    void (*average)(void *mean, const void *x, ptrdiff_t n, double share); /* mean += share * (x - mean) */
} cn_kernels;

/* The table for an instruction set and an element of 4 (float) or 8 (double) bytes; NULL when not in this build. */
const cn_kernels *cn_kernels_for(cn_isa isa, int itemsize);

#endif
