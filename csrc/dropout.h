/* Dropout. Which elements stay is a function of the seed and of their place alone, whatever the vectors and the
   threads: Threefry-4x32 (Salmon, Moraes, Dror and Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3", SC11,
   doi:10.1145/2063384.2063405), a block cipher's rounds of additions, rotations and exclusive ors that turn a counter
   into four random words. Thirteen rounds are the fewest that its authors publish known answers for. Plain C that
   compilers turn into vectors: it needs no multiplication, which few instruction sets have for 32-bit lanes. */

#define CN_MIX(a, b, k) (a += b, b = (b << k | b >> (32 - k)) ^ a)
#define CN_EVEN_ROUND(k, l) (CN_MIX(x0, x1, k), CN_MIX(x2, x3, l))
#define CN_ODD_ROUND(k, l) (CN_MIX(x0, x3, k), CN_MIX(x2, x1, l))
/* The key has five words, of which four are added, from another one on each time. */
#define CN_INJECT(step, a, b, c, d) (x0 += a, x1 += b, x2 += c, x3 += d + step)

/* Word k of counter + i, i < 16, is word[16 * k + i]; the counter is a multiple of 16, so that its low half does not
   overflow within. */
static CN_INLINE void NAME(random_words)(uint32_t *restrict word, uint64_t counter, uint64_t seed) {
    const uint32_t low = (uint32_t)counter, high = (uint32_t)(counter >> 32);
    const uint32_t s = (uint32_t)seed, t = (uint32_t)(seed >> 32), parity = 0x1BD11BDA ^ s ^ t;
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t x0 = low + i, x1 = high, x2 = 0, x3 = 0;
        CN_INJECT(0, s, t, 0, 0);
        CN_EVEN_ROUND(10, 26), CN_ODD_ROUND(11, 21), CN_EVEN_ROUND(13, 27), CN_ODD_ROUND(23, 5);
        CN_INJECT(1, t, 0, 0, parity);
        CN_EVEN_ROUND(6, 20), CN_ODD_ROUND(17, 11), CN_EVEN_ROUND(25, 10), CN_ODD_ROUND(18, 20);
        CN_INJECT(2, 0, 0, parity, s);
        CN_EVEN_ROUND(10, 26), CN_ODD_ROUND(11, 21), CN_EVEN_ROUND(13, 27), CN_ODD_ROUND(23, 5);
        CN_INJECT(3, 0, parity, s, t);
        CN_EVEN_ROUND(6, 20);
        word[i] = x0, word[16 + i] = x1, word[32 + i] = x2, word[48 + i] = x3;
    }
}

/* 3.2 million floats in 0.9 ms with AVX-512, 1.5 with AVX2, 2.9 with SSE2, on one thread. */
static void NAME(dropout)(void *y, const void *x, ptrdiff_t n, uint64_t first, uint32_t threshold, uint64_t seed,
                          double scale) {
    const V factor = v_set1((T)scale);
    uint32_t word[64];
    T keep[64];
    for (ptrdiff_t at = 0; at < n; at += 64) {
        const ptrdiff_t count = n - at < 64 ? n - at : 64;
        NAME(random_words)(word, (first + (uint64_t)at) / 4, seed);
        for (int i = 0; i < 64; i++) keep[i] = (T)(int)(word[i] >= threshold);
        for (ptrdiff_t i = 0; i < count; i += LANES) {
            const ptrdiff_t here = count - i < LANES ? count - i : LANES;
            const V scaled = v_mul(factor, NAME(load_some)((const T *)x + at + i, here));
            /* a choice: infinity times 0 is not 0 */
            NAME(store_some)((T *)y + at + i, v_select(v_gt(v_load(keep + i), v_zero()), scaled, v_zero()), here);
        }
    }
}
