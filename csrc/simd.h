/* One vector vocabulary. Kernels are written once against it and compiled once for each instruction set and each of
   float and double: a source isa_*.c defines CN_SIMD_AVX512, CN_SIMD_AVX2, CN_SIMD_SSE2, CN_SIMD_NEON or nothing
   (vectors of one element, plain C), then includes instantiate.h, which includes this file with CN_DOUBLE 0 and again
   with 1.

     T, V, M              element, vector, comparison mask
     LANES                elements in a vector
     v_zero v_set1        constants
     v_load v_store       LANES elements, any alignment
     v_load_part v_store_part   the first n < LANES elements; memory behind them is not touched, lanes behind read 0
     v_load_u8 v_store_u8       the first n <= LANES elements from and to bytes; lanes hold whole numbers from 0 to 255
     v_add v_sub v_mul v_div v_sqrt
     v_fma(a, b, c)       a * b + c
     v_max v_min(a, b)    b when either is NaN
     v_gt v_ge v_eq v_nan v_or v_select(m, a, b)   comparisons (false with NaN; v_nan tests one), m ? a : b
     v_zip_low v_zip_high(a, b)   first and second half of a0 b0 a1 b1 ...
     P, v_places(p), v_permute(a, places)   lane i is lane p[i] of a; only where CN_PERMUTES is 1
     v_exponent(a)        the number whose sign and exponent are the lowest bits of a and whose other bits are 0     */

#undef T
#undef V
#undef M
#undef P
#undef CN_PERMUTES
#undef LANES
#undef NAME
#undef OP
#undef CN_CAT
#undef CN_CAT_

#if CN_DOUBLE
#define T double
#define NAME(f) f##_f64
#else
#define T float
#define NAME(f) f##_f32
#endif
#define V NAME(vector)
#define M NAME(mask)
#define P NAME(places)
#define CN_CAT_(a, b, c) a##b##c
#define CN_CAT(a, b, c) CN_CAT_(a, b, c)

#define v_zero NAME(v_zero)
#define v_set1 NAME(v_set1)
#define v_load NAME(v_load)
#define v_store NAME(v_store)
#define v_load_part NAME(v_load_part)
#define v_store_part NAME(v_store_part)
#define v_load_u8 NAME(v_load_u8)
#define v_store_u8 NAME(v_store_u8)
#define v_add NAME(v_add)
#define v_sub NAME(v_sub)
#define v_mul NAME(v_mul)
#define v_div NAME(v_div)
#define v_sqrt NAME(v_sqrt)
#define v_fma NAME(v_fma)
#define v_max NAME(v_max)
#define v_min NAME(v_min)
#define v_gt NAME(v_gt)
#define v_ge NAME(v_ge)
#define v_eq NAME(v_eq)
#define v_nan NAME(v_nan)
#define v_or NAME(v_or)
#define v_select NAME(v_select)
#define v_zip_low NAME(v_zip_low)
#define v_zip_high NAME(v_zip_high)
#define v_places NAME(v_places)
#define v_permute NAME(v_permute)
#define v_exponent NAME(v_exponent)

/* ---- x86: the three widths differ in a prefix, the two types in a suffix --------------------------------------- */
#if defined(CN_SIMD_AVX512) || defined(CN_SIMD_AVX2) || defined(CN_SIMD_SSE2)
#if CN_DOUBLE
#define CN_SUFFIX _pd
#else
#define CN_SUFFIX _ps
#endif

#if defined(CN_SIMD_AVX512)
#define OP(f) CN_CAT(_mm512_, f, CN_SUFFIX)
#define LANES (64 / (ptrdiff_t)sizeof(T))
#elif defined(CN_SIMD_AVX2)
#define OP(f) CN_CAT(_mm256_, f, CN_SUFFIX)
#define LANES (32 / (ptrdiff_t)sizeof(T))
#else
#define OP(f) CN_CAT(_mm_, f, CN_SUFFIX)
#define LANES (16 / (ptrdiff_t)sizeof(T))
#endif

#if defined(CN_SIMD_AVX512) && CN_DOUBLE
typedef __m512d V;
typedef __mmask8 M;
#elif defined(CN_SIMD_AVX512)
typedef __m512 V;
typedef __mmask16 M;
#elif defined(CN_SIMD_AVX2) && CN_DOUBLE
typedef __m256d V;
typedef __m256d M;
#elif defined(CN_SIMD_AVX2)
typedef __m256 V;
typedef __m256 M;
#elif CN_DOUBLE
typedef __m128d V;
typedef __m128d M;
#else
typedef __m128 V;
typedef __m128 M;
#endif

static inline V v_zero(void) { return OP(setzero)(); }
static inline V v_set1(T x) { return OP(set1)(x); }
static inline V v_load(const T *p) { return OP(loadu)(p); }
static inline void v_store(T *p, V a) { OP(storeu)(p, a); }
static inline V v_add(V a, V b) { return OP(add)(a, b); }
static inline V v_sub(V a, V b) { return OP(sub)(a, b); }
static inline V v_mul(V a, V b) { return OP(mul)(a, b); }
static inline V v_div(V a, V b) { return OP(div)(a, b); }
static inline V v_sqrt(V a) { return OP(sqrt)(a); }
static inline V v_max(V a, V b) { return OP(max)(a, b); }
static inline V v_min(V a, V b) { return OP(min)(a, b); }

#if defined(CN_SIMD_SSE2)
static inline V v_fma(V a, V b, V c) { return v_add(v_mul(a, b), c); }
static inline M v_gt(V a, V b) { return OP(cmpgt)(a, b); }
static inline M v_ge(V a, V b) { return OP(cmpge)(a, b); }
static inline M v_eq(V a, V b) { return OP(cmpeq)(a, b); }
static inline M v_nan(V a) { return OP(cmpunord)(a, a); }
static inline M v_or(M a, M b) { return OP(or)(a, b); }
static inline V v_select(M m, V a, V b) { return OP(or)(OP(and)(m, a), OP(andnot)(m, b)); }
static inline V v_zip_low(V a, V b) { return OP(unpacklo)(a, b); }
static inline V v_zip_high(V a, V b) { return OP(unpackhi)(a, b); }
#if CN_DOUBLE
static inline V v_exponent(V a) { return _mm_castsi128_pd(_mm_slli_epi64(_mm_castpd_si128(a), 52)); }
#else
static inline V v_exponent(V a) { return _mm_castsi128_ps(_mm_slli_epi32(_mm_castps_si128(a), 23)); }
#endif
static inline __m128i NAME(widen_u8)(__m128i bytes) {
    return _mm_unpacklo_epi16(_mm_unpacklo_epi8(bytes, _mm_setzero_si128()), _mm_setzero_si128());
}
static inline uint64_t NAME(narrow_to_u8)(__m128i low, __m128i high) {
    __m128i words = _mm_packs_epi32(low, high);
    return (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(words, words));
}
#if CN_DOUBLE
static inline V v_load_part(const T *p, ptrdiff_t n) { return n ? _mm_load_sd(p) : v_zero(); }
static inline void v_store_part(T *p, V a, ptrdiff_t n) {
    if (n) _mm_store_sd(p, a);
}
static inline V NAME(from_u8)(uint64_t bytes) {
    return _mm_cvtepi32_pd(NAME(widen_u8)(_mm_cvtsi64_si128((int64_t)bytes)));
}
static inline uint64_t NAME(to_u8)(V a) { return NAME(narrow_to_u8)(_mm_cvttpd_epi32(a), _mm_setzero_si128()); }
#else
static inline V v_load_part(const T *p, ptrdiff_t n) {
    V pair = n & 2 ? _mm_castsi128_ps(_mm_loadl_epi64((const __m128i *)p)) : v_zero();
    if (n == 3) return _mm_movelh_ps(pair, _mm_load_ss(p + 2));
    return n == 1 ? _mm_load_ss(p) : pair;
}
static inline void v_store_part(T *p, V a, ptrdiff_t n) {
    if (n & 2) _mm_storel_epi64((__m128i *)p, _mm_castps_si128(a));
    if (n == 3) _mm_store_ss(p + 2, _mm_movehl_ps(a, a));
    if (n == 1) _mm_store_ss(p, a);
}
static inline V NAME(from_u8)(uint64_t bytes) {
    return _mm_cvtepi32_ps(NAME(widen_u8)(_mm_cvtsi64_si128((int64_t)bytes)));
}
static inline uint64_t NAME(to_u8)(V a) { return NAME(narrow_to_u8)(_mm_cvttps_epi32(a), _mm_setzero_si128()); }
#endif
#elif defined(CN_SIMD_AVX2)
static inline V v_fma(V a, V b, V c) { return OP(fmadd)(a, b, c); }
static inline M v_gt(V a, V b) { return OP(cmp)(a, b, _CMP_GT_OQ); }
static inline M v_ge(V a, V b) { return OP(cmp)(a, b, _CMP_GE_OQ); }
static inline M v_eq(V a, V b) { return OP(cmp)(a, b, _CMP_EQ_OQ); }
static inline M v_nan(V a) { return OP(cmp)(a, a, _CMP_UNORD_Q); }
static inline M v_or(M a, M b) { return OP(or)(a, b); }
static inline V v_select(M m, V a, V b) { return OP(blendv)(b, a, m); }
#if CN_DOUBLE
#define CN_HALVES _mm256_permute2f128_pd
#else
#define CN_HALVES _mm256_permute2f128_ps
#endif
static inline V v_zip_low(V a, V b) { return CN_HALVES(OP(unpacklo)(a, b), OP(unpackhi)(a, b), 0x20); }
static inline V v_zip_high(V a, V b) { return CN_HALVES(OP(unpacklo)(a, b), OP(unpackhi)(a, b), 0x31); }
#undef CN_HALVES
#define CN_PERMUTES 1
typedef __m256i P;
#if CN_DOUBLE
static inline P v_places(const int32_t *p) { /* as pairs of 32-bit lanes */
    __m256i even = _mm256_slli_epi64(_mm256_cvtepi32_epi64(_mm_loadu_si128((const __m128i *)p)), 1);
    return _mm256_or_si256(even, _mm256_slli_epi64(_mm256_or_si256(even, _mm256_set1_epi64x(1)), 32));
}
static inline V v_permute(V a, P places) {
    return _mm256_castps_pd(_mm256_permutevar8x32_ps(_mm256_castpd_ps(a), places));
}
#else
static inline P v_places(const int32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline V v_permute(V a, P places) { return _mm256_permutevar8x32_ps(a, places); }
#endif
#if CN_DOUBLE
static inline V v_exponent(V a) { return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(a), 52)); }
static inline __m256i NAME(first)(ptrdiff_t n) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
#else
static inline V v_exponent(V a) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(a), 23)); }
static inline __m256i NAME(first)(ptrdiff_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
#endif
static inline V v_load_part(const T *p, ptrdiff_t n) { return OP(maskload)(p, NAME(first)(n)); }
static inline void v_store_part(T *p, V a, ptrdiff_t n) { OP(maskstore)(p, NAME(first)(n), a); }
static inline uint64_t NAME(narrow_to_u8)(__m128i low, __m128i high) {
    __m128i words = _mm_packs_epi32(low, high);
    return (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(words, words));
}
#if CN_DOUBLE
static inline V NAME(from_u8)(uint64_t bytes) {
    return _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)bytes)));
}
static inline uint64_t NAME(to_u8)(V a) { return NAME(narrow_to_u8)(_mm256_cvttpd_epi32(a), _mm_setzero_si128()); }
#else
static inline V NAME(from_u8)(uint64_t bytes) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)bytes)));
}
static inline uint64_t NAME(to_u8)(V a) {
    __m256i whole = _mm256_cvttps_epi32(a);
    return NAME(narrow_to_u8)(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
}
#endif
#else
static inline V v_fma(V a, V b, V c) { return OP(fmadd)(a, b, c); }
#define CN_PERMUTES 1
typedef __m512i P;
#if CN_DOUBLE
static inline P v_places(const int32_t *p) { return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i *)p)); }
static inline V v_permute(V a, P places) { return _mm512_permutexvar_pd(places, a); }
static inline M v_gt(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ); }
static inline M v_ge(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_GE_OQ); }
static inline M v_eq(V a, V b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
static inline M v_nan(V a) { return _mm512_cmp_pd_mask(a, a, _CMP_UNORD_Q); }
static inline V v_exponent(V a) { return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(a), 52)); }
static inline V v_zip_low(V a, V b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11), b);
}
static inline V v_zip_high(V a, V b) {
    return _mm512_permutex2var_pd(a, _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15), b);
}
#else
static inline P v_places(const int32_t *p) { return _mm512_loadu_si512(p); }
static inline V v_permute(V a, P places) { return _mm512_permutexvar_ps(places, a); }
static inline M v_gt(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline M v_ge(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
static inline M v_eq(V a, V b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline M v_nan(V a) { return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q); }
static inline V v_exponent(V a) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(a), 23)); }
static inline V v_zip_low(V a, V b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), b);
}
static inline V v_zip_high(V a, V b) {
    return _mm512_permutex2var_ps(a, _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
                                  b);
}
#endif
static inline M v_or(M a, M b) { return (M)(a | b); }
static inline V v_select(M m, V a, V b) { return OP(mask_blend)(m, b, a); }
static inline M NAME(first)(ptrdiff_t n) { return (M)((1u << n) - 1u); }
static inline V v_load_part(const T *p, ptrdiff_t n) { return OP(maskz_loadu)(NAME(first)(n), p); }
static inline void v_store_part(T *p, V a, ptrdiff_t n) { OP(mask_storeu)(p, NAME(first)(n), a); }
static inline __m128i NAME(load_bytes)(const uint8_t *p, ptrdiff_t n) {
    return _mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1u), p);
}
#if CN_DOUBLE
static inline V v_load_u8(const uint8_t *p, ptrdiff_t n) {
    return _mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(NAME(load_bytes)(p, n)));
}
static inline void v_store_u8(uint8_t *p, V a, ptrdiff_t n) {
    _mm256_mask_cvtepi32_storeu_epi8(p, NAME(first)(n), _mm512_cvttpd_epi32(a));
}
#else
static inline V v_load_u8(const uint8_t *p, ptrdiff_t n) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(NAME(load_bytes)(p, n)));
}
static inline void v_store_u8(uint8_t *p, V a, ptrdiff_t n) {
    _mm512_mask_cvtepi32_storeu_epi8(p, NAME(first)(n), _mm512_cvttps_epi32(a));
}
#endif
#endif
#undef CN_SUFFIX

/* ---- aarch64 ---------------------------------------------------------------------------------------------------- */
#elif defined(CN_SIMD_NEON)
#define LANES (16 / (ptrdiff_t)sizeof(T))
#if CN_DOUBLE
#define CN_F(f) f##_f64
#define CN_U(f) f##_u64
typedef float64x2_t V;
typedef uint64x2_t M;
#else
#define CN_F(f) f##_f32
#define CN_U(f) f##_u32
typedef float32x4_t V;
typedef uint32x4_t M;
#endif
static inline V v_zero(void) { return CN_F(vdupq_n)(0); }
static inline V v_set1(T x) { return CN_F(vdupq_n)(x); }
static inline V v_load(const T *p) { return CN_F(vld1q)(p); }
static inline void v_store(T *p, V a) { CN_F(vst1q)(p, a); }
static inline V v_add(V a, V b) { return CN_F(vaddq)(a, b); }
static inline V v_sub(V a, V b) { return CN_F(vsubq)(a, b); }
static inline V v_mul(V a, V b) { return CN_F(vmulq)(a, b); }
static inline V v_div(V a, V b) { return CN_F(vdivq)(a, b); }
static inline V v_sqrt(V a) { return CN_F(vsqrtq)(a); }
static inline V v_fma(V a, V b, V c) { return CN_F(vfmaq)(c, a, b); }
static inline M v_gt(V a, V b) { return CN_F(vcgtq)(a, b); }
static inline M v_ge(V a, V b) { return CN_F(vcgeq)(a, b); }
static inline M v_eq(V a, V b) { return CN_F(vceqq)(a, b); }
static inline M v_or(M a, M b) { return CN_U(vorrq)(a, b); }
static inline V v_select(M m, V a, V b) { return CN_F(vbslq)(m, a, b); }
static inline V v_zip_low(V a, V b) { return CN_F(vzip1q)(a, b); }
static inline V v_zip_high(V a, V b) { return CN_F(vzip2q)(a, b); }
static inline M v_nan(V a) { return CN_U(vceqq)(v_eq(a, a), CN_U(vdupq_n)(0)); }
static inline V v_max(V a, V b) { return v_select(v_gt(a, b), a, b); }
static inline V v_min(V a, V b) { return v_select(v_gt(b, a), a, b); }
static inline uint32x4_t NAME(widen_u8)(uint64_t bytes) { return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes)))); }
static inline uint64_t NAME(narrow_to_u8)(uint32x4_t whole) {
    uint16x4_t words = vmovn_u32(whole);
    return vget_lane_u64(vreinterpret_u64_u8(vmovn_u16(vcombine_u16(words, words))), 0);
}
#if CN_DOUBLE
static inline V v_exponent(V a) { return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(a), 52)); }
static inline V v_load_part(const T *p, ptrdiff_t n) { return n ? vld1q_lane_f64(p, v_zero(), 0) : v_zero(); }
static inline void v_store_part(T *p, V a, ptrdiff_t n) {
    if (n) vst1q_lane_f64(p, a, 0);
}
static inline V NAME(from_u8)(uint64_t bytes) { return vcvtq_f64_u64(vmovl_u32(vget_low_u32(NAME(widen_u8)(bytes)))); }
static inline uint64_t NAME(to_u8)(V a) {
    uint32x2_t whole = vmovn_u64(vcvtq_u64_f64(a));
    return NAME(narrow_to_u8)(vcombine_u32(whole, whole));
}
#else
static inline V v_exponent(V a) { return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(a), 23)); }
static inline V v_load_part(const T *p, ptrdiff_t n) {
    V pair = n & 2 ? vcombine_f32(vld1_f32(p), vdup_n_f32(0)) : v_zero();
    if (n == 3) return vld1q_lane_f32(p + 2, pair, 2);
    return n == 1 ? vld1q_lane_f32(p, pair, 0) : pair;
}
static inline void v_store_part(T *p, V a, ptrdiff_t n) {
    if (n & 2) vst1_f32(p, vget_low_f32(a));
    if (n == 3) vst1q_lane_f32(p + 2, a, 2);
    if (n == 1) vst1q_lane_f32(p, a, 0);
}
static inline V NAME(from_u8)(uint64_t bytes) { return vcvtq_f32_u32(NAME(widen_u8)(bytes)); }
static inline uint64_t NAME(to_u8)(V a) { return NAME(narrow_to_u8)(vcvtq_u32_f32(a)); }
#endif
#undef CN_F
#undef CN_U
#else
/* ---- vectors of one element: any other machine ------------------------------------------------------------------ */
#define LANES 1
typedef T V;
typedef int M;
static inline V v_zero(void) { return 0; }
static inline V v_set1(T x) { return x; }
static inline V v_load(const T *p) { return *p; }
static inline void v_store(T *p, V a) { *p = a; }
static inline V v_load_part(const T *p, ptrdiff_t n) { return n ? *p : 0; }
static inline void v_store_part(T *p, V a, ptrdiff_t n) {
    if (n) *p = a;
}
static inline V v_add(V a, V b) { return a + b; }
static inline V v_sub(V a, V b) { return a - b; }
static inline V v_mul(V a, V b) { return a * b; }
static inline V v_div(V a, V b) { return a / b; }
#if CN_DOUBLE
static inline V v_sqrt(V a) { return sqrt(a); }
static inline V v_exponent(V a) {
    uint64_t bits;
    memcpy(&bits, &a, sizeof bits);
    bits <<= 52;
    memcpy(&a, &bits, sizeof bits);
    return a;
}
#else
static inline V v_sqrt(V a) { return sqrtf(a); }
static inline V v_exponent(V a) {
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    bits <<= 23;
    memcpy(&a, &bits, sizeof bits);
    return a;
}
#endif
static inline V v_fma(V a, V b, V c) { return a * b + c; }
static inline V v_max(V a, V b) { return a > b ? a : b; }
static inline V v_min(V a, V b) { return a < b ? a : b; }
static inline M v_gt(V a, V b) { return a > b; }
static inline M v_ge(V a, V b) { return a >= b; }
static inline M v_eq(V a, V b) { return a == b; }
static inline M v_nan(V a) { return a != a; }
static inline M v_or(M a, M b) { return a | b; }
static inline V v_select(M m, V a, V b) { return m ? a : b; }
static inline V v_zip_low(V a, V b) { return (void)b, a; }
static inline V v_zip_high(V a, V b) { return (void)a, b; }
static inline V NAME(from_u8)(uint64_t bytes) { return (V)bytes; }
static inline uint64_t NAME(to_u8)(V a) { return (uint64_t)a; }
#endif

/* ---- vectors of up to eight elements: to and from bytes through one word, the first element in its lowest byte -- */
#if !defined(CN_SIMD_AVX512)
/* By words that overlap in the middle: byte by byte, the gradient through a fused max pool of 8 channels takes a third
   longer. Only machines whose words begin with their lowest byte have vectors of more than one element here. */
static inline V v_load_u8(const uint8_t *p, ptrdiff_t n) {
    uint64_t bytes = n ? p[0] : 0;
    if (n >= 4) {
        uint32_t low, high;
        memcpy(&low, p, 4);
        memcpy(&high, p + n - 4, 4);
        bytes = low | (uint64_t)high << 8 * (n - 4);
    } else if (n >= 2)
        bytes |= (uint64_t)p[1] << 8 | (uint64_t)p[n - 1] << 8 * (n - 1);
    return NAME(from_u8)(bytes);
}
static inline void v_store_u8(uint8_t *p, V a, ptrdiff_t n) {
    const uint64_t bytes = NAME(to_u8)(a);
    if (n >= 4) {
        const uint32_t low = (uint32_t)bytes, high = (uint32_t)(bytes >> 8 * (n - 4));
        memcpy(p, &low, 4);
        memcpy(p + n - 4, &high, 4);
    } else
        for (ptrdiff_t i = 0; i < n; i++) p[i] = (uint8_t)(bytes >> 8 * i);
}
#endif

#if !defined(CN_PERMUTES)
#define CN_PERMUTES 0
#endif

/* The first n lanes, or all of them where there are more. */
static CN_INLINE V NAME(load_some)(const T *p, ptrdiff_t n) { return n < LANES ? v_load_part(p, n) : v_load(p); }
static CN_INLINE void NAME(store_some)(T *p, V a, ptrdiff_t n) {
    if (n < LANES)
        v_store_part(p, a, n);
    else
        v_store(p, a);
}

/* ReLU, from 0 to a ceiling: NaN is no ceiling. A NaN in `a` stays, as it is the second operand. */
static CN_INLINE V NAME(rectified)(V a, T ceiling) { return v_min(v_set1(ceiling), v_max(v_zero(), a)); }

/* dy where y, of a ReLU, lies between its ends or is NaN, else 0; y may also be what was rectified. */
static CN_INLINE V NAME(through_relu)(V dy, V y, T ceiling) {
    return v_select(v_or(v_ge(v_zero(), y), v_ge(y, v_set1(ceiling))), v_zero(), dy);
}
