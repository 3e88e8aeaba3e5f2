/* What every CPU of the architecture runs: SSE2 on x86-64, NEON on aarch64, else (or with CN_SIMD_SCALAR) plain C. */
#if defined(CN_SIMD_SCALAR)
#elif defined(__x86_64__) || defined(_M_X64)
#include <emmintrin.h>
#define CN_SIMD_SSE2
#if defined(__GNUC__) && !defined(__clang__)
/* Few CPUs come here, so small code counts more: 68 KB less of the wheel, training steps take 3 to 6 % longer. */
#pragma GCC optimize("Os")
#endif
#elif defined(__aarch64__) || defined(_M_ARM64)
#include <arm_neon.h>
#define CN_SIMD_NEON
#endif

#if defined(CN_SIMD_NEON)
#define CN_THIS_ISA CN_NEON
#else
#define CN_THIS_ISA CN_BASELINE
#endif
#define CN_TABLE cn_kernels_baseline
#include "instantiate.h"
