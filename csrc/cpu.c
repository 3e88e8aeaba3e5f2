/* Which instruction sets this CPU and this operating system run, and how denormals are treated. */
#include "runtime.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
#define X86 1
#elif defined(__aarch64__) || defined(_M_ARM64)
#define AARCH64 1
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#define MSVC 1
#include <intrin.h>
#elif defined(X86)
#include <cpuid.h>
#endif
#if defined(__SSE__) || defined(_M_X64) || (defined(_M_IX86_FP) && _M_IX86_FP >= 1)
#define SSE 1
#include <xmmintrin.h>
#endif

/* ---- instruction sets ---------------------------------------------------------------------------------------- */

#ifdef X86

typedef struct {
    unsigned eax, ebx, ecx, edx;
} registers;

/* CPUID; all zero for a leaf that this CPU does not have. */
static registers cpuid(unsigned leaf) {
    registers r = {0, 0, 0, 0};
#ifdef MSVC
    int out[4];
    __cpuid(out, 0);
    if ((unsigned)out[0] >= leaf) {
        __cpuidex(out, (int)leaf, 0);
        r.eax = (unsigned)out[0], r.ebx = (unsigned)out[1], r.ecx = (unsigned)out[2], r.edx = (unsigned)out[3];
    }
#else
    __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
    return r;
}

/* The register states that the operating system saves on a context switch (XCR0). */
static unsigned saved_states(void) {
#ifdef MSVC
    return (unsigned)_xgetbv(0);
#else
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
#endif
}

static int all_set(unsigned word, unsigned bits) { return (word & bits) == bits; }

cn_isa cn_best_isa(void) {
    const unsigned fma_osxsave_avx = 1u << 12 | 1u << 27 | 1u << 28; /* leaf 1, ecx */
    const unsigned avx2 = 1u << 5;                                   /* leaf 7, ebx */
    const unsigned avx512_f_dq_bw_vl = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;
    const unsigned ymm = 0x06, zmm = 0xe6; /* XCR0: xmm and ymm; these, the masks and both halves of zmm */

    if (!all_set(cpuid(1).ecx, fma_osxsave_avx)) return CN_BASELINE;
    unsigned features = cpuid(7).ebx, states = saved_states();
    if (!all_set(features, avx2) || !all_set(states, ymm)) return CN_BASELINE;
    return all_set(features, avx512_f_dq_bw_vl) && all_set(states, zmm) ? CN_AVX512 : CN_AVX2;
}

#elif defined(AARCH64)

cn_isa cn_best_isa(void) { return CN_NEON; /* part of the architecture */ }

#else

cn_isa cn_best_isa(void) { return CN_BASELINE; }

#endif

/* An x86 CPU with AVX-512 runs AVX2 as well; NEON lives on its own. */
int cn_isa_supported(cn_isa isa) {
    cn_isa best = cn_best_isa();
    return isa == CN_BASELINE || isa == best || (isa == CN_AVX2 && best == CN_AVX512);
}

static const char *const names[] = {"baseline", "neon", "avx2", "avx512"};

const char *cn_isa_name(cn_isa isa) { return names[isa]; }

int cn_isa_from_name(const char *name) {
    for (int isa = CN_BASELINE; isa <= CN_AVX512; isa++)
        if (strcmp(name, names[isa]) == 0) return isa;
    return -1;
}

/* ---- denormals ----------------------------------------------------------------------------------------------- */

#if defined(SSE)

cn_fp_mode cn_flush_denormals(void) {
    const unsigned flush_results = 0x8000, read_as_zero = 0x0040;
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | flush_results | read_as_zero);
    return mode;
}

void cn_restore_fp_mode(cn_fp_mode mode) { _mm_setcsr((unsigned)mode); }

#elif defined(AARCH64)

#ifdef MSVC
static cn_fp_mode read_fpcr(void) { return (cn_fp_mode)_ReadStatusReg(ARM64_FPCR); }
static void write_fpcr(cn_fp_mode mode) { _WriteStatusReg(ARM64_FPCR, (__int64)mode); }
#else
static cn_fp_mode read_fpcr(void) {
    cn_fp_mode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}
static void write_fpcr(cn_fp_mode mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }
#endif

cn_fp_mode cn_flush_denormals(void) {
    const cn_fp_mode flush_to_zero = 1ull << 24;
    cn_fp_mode mode = read_fpcr();
    write_fpcr(mode | flush_to_zero);
    return mode;
}

void cn_restore_fp_mode(cn_fp_mode mode) { write_fpcr(mode); }

#else

cn_fp_mode cn_flush_denormals(void) { return 0; }

void cn_restore_fp_mode(cn_fp_mode mode) { (void)mode; }

#endif
