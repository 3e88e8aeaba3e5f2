/* Only this file's functions may use AVX2: nothing in it is called before cn_isa_supported(CN_AVX2) said yes. */
#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#include <math.h>
#include "kernels.h"
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif

#define CN_SIMD_AVX2
#define CN_THIS_ISA CN_AVX2
#define CN_TABLE cn_kernels_avx2
#include "instantiate.h"

#if defined(__clang__)
#pragma clang attribute pop
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif
#endif
