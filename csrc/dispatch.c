/* One table of kernels for each instruction set in this build. */
#include "kernels.h"

const cn_kernels *cn_kernels_baseline(int itemsize);
const cn_kernels *cn_kernels_avx2(int itemsize);
const cn_kernels *cn_kernels_avx512(int itemsize);

const cn_kernels *cn_kernels_for(cn_isa isa, int itemsize) {
    if (!cn_isa_supported(isa)) return NULL;
    switch (isa) {
#if defined(__x86_64__) || defined(_M_X64)
    case CN_AVX2: return cn_kernels_avx2(itemsize);
    case CN_AVX512: return cn_kernels_avx512(itemsize);
#endif
    default: return cn_kernels_baseline(itemsize);
    }
}
