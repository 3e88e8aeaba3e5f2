/* Compiles every kernel for the instruction set that the including isa_*.c chose, in float and in double, and defines
   the function CN_TABLE that returns their tables. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

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
    {CN_THIS_ISA,         LANES,                                                                                       \
     NAME(product),       NAME(pack),                                                                                  \
     NAME(scatter_add),   NAME(add),                                                                                   \
     NAME(column_sums),   NAME(transpose),                                                                             \
     NAME(relu),          NAME(relu_gradient),                                                                         \
     NAME(max_pool),      NAME(max_pool_gradient),                                                                     \
     NAME(relu_max_pool), NAME(unpool),                                                                                \
     NAME(average_pool),  NAME(average_pool_gradient),                                                                 \
     NAME(depthwise),     NAME(depthwise_weights),                                                                     \
     NAME(softmax),       NAME(sgd),                                                                                   \
     NAME(adam)}

#define CN_DOUBLE 0
#define CN_EXP expf
#include "simd.h"
#include "tile.h"
#include "layout.h"
#include "pool.h"
#include "depthwise.h"
#include "activation.h"
#include "update.h"
static const cn_kernels kernels_f32 = CN_KERNELS;

#undef CN_DOUBLE
#undef CN_EXP
#define CN_DOUBLE 1
#define CN_EXP exp
#include "simd.h"
#include "tile.h"
#include "layout.h"
#include "pool.h"
#include "depthwise.h"
#include "activation.h"
#include "update.h"
static const cn_kernels kernels_f64 = CN_KERNELS;

const cn_kernels *CN_TABLE(int itemsize) { return itemsize == 4 ? &kernels_f32 : &kernels_f64; }
