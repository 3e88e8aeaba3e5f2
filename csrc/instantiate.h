/* Compiles every kernel for the instruction set that the including isa_*.c chose, in float and in double, and defines
   the function CN_TABLE that returns their tables. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

#if defined(_MSC_VER) && !defined(__clang__)
#define CN_INLINE __forceinline
#define CN_UNROLL
#else
#define CN_INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define CN_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CN_UNROLL _Pragma("GCC unroll 16")
#endif
#endif

#define CN_KERNELS                                                                                                     \
    {                                                                                                                  \
        .isa = CN_THIS_ISA,                                                                                            \
        .lanes = LANES,                                                                                                \
        .product = NAME(product),                                                                                      \
        .dots = NAME(dots),                                                                                            \
        .pack = NAME(pack),                                                                                            \
        .scatter_add = NAME(scatter_add),                                                                              \
        .columns = NAME(columns),                                                                                      \
        .add = NAME(add),                                                                                              \
        .all_finite = NAME(all_finite),                                                                                \
        .column_sums = NAME(column_sums),                                                                              \
        .transpose = NAME(transpose),                                                                                  \
        .relu = NAME(relu),                                                                                            \
        .relu_gradient = NAME(relu_gradient),                                                                          \
        .max_pool = NAME(max_pool),                                                                                    \
        .max_pool_gradient = NAME(max_pool_gradient),                                                                  \
        .relu_max_pool = NAME(relu_max_pool),                                                                          \
        .unpool = NAME(unpool),                                                                                        \
        .average_pool = NAME(average_pool),                                                                            \
        .average_pool_gradient = NAME(average_pool_gradient),                                                          \
        .winograd_input = NAME(winograd_input),                                                                        \
        .winograd_gradient = NAME(winograd_gradient),                                                                  \
        .winograd_output = NAME(winograd_output),                                                                      \
        .winograd_weights = NAME(winograd_weights),                                                                    \
        .winograd_taps = NAME(winograd_taps),                                                                          \
        .depthwise = NAME(depthwise),                                                                                  \
        .depthwise_weights = NAME(depthwise_weights),                                                                  \
        .spread = NAME(spread),                                                                                        \
        .activation = NAME(activation),                                                                                \
        .activation_gradient = NAME(activation_gradient),                                                              \
        .prelu = NAME(prelu),                                                                                          \
        .prelu_gradient = NAME(prelu_gradient),                                                                        \
        .local_response = NAME(local_response),                                                                        \
        .local_response_gradient = NAME(local_response_gradient),                                                      \
        .dropout = NAME(dropout),                                                                                      \
        .blend = NAME(blend),                                                                                          \
        .softmax = NAME(softmax),                                                                                      \
        .softmax_gradient = NAME(softmax_gradient),                                                                    \
        .moments = NAME(moments),                                                                                      \
        .normalize = NAME(normalize),                                                                                  \
        .norm_sums = NAME(norm_sums),                                                                                  \
        .norm_gradient = NAME(norm_gradient),                                                                          \
        .sum = NAME(sum),                                                                                              \
        .sgd = NAME(sgd),                                                                                              \
        .adam = NAME(adam),                                                                                            \
        .rmsprop = NAME(rmsprop),                                                                                      \
        .sum_squares = NAME(sum_squares),                                                                              \
        .clip = NAME(clip),                                                                                            \
        .average = NAME(average),                                                                                      \
    }

#define CN_DOUBLE 0
#define CN_POW powf
#include "simd.h"
#include "tile.h"
#include "dots.h"
#include "layout.h"
#include "pool.h"
#include "winograd.h"
#include "depthwise.h"
#include "exp.h"
#include "activation.h"
#include "functions.h"
#include "response.h"
#include "blend.h"
#include "dropout.h"
#include "norm.h"
#include "update.h"
static const cn_kernels kernels_f32 = CN_KERNELS;

#undef CN_DOUBLE
#undef CN_POW
#define CN_DOUBLE 1
#define CN_POW pow
#include "simd.h"
#include "tile.h"
#include "dots.h"
#include "layout.h"
#include "pool.h"
#include "winograd.h"
#include "depthwise.h"
#include "exp.h"
#include "activation.h"
#include "functions.h"
#include "response.h"
#include "blend.h"
#include "dropout.h"
#include "norm.h"
#include "update.h"
static const cn_kernels kernels_f64 = CN_KERNELS;

const cn_kernels *CN_TABLE(int itemsize) { return itemsize == 4 ? &kernels_f32 : &kernels_f64; }
