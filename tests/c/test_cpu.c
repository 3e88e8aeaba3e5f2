/* The names of the instruction sets and which of them run here. */
#include "check.h"

static void test_instruction_sets(void) {
    for (int isa = CN_BASELINE; isa <= CN_AVX512; isa++) CHECK(cn_isa_from_name(cn_isa_name((cn_isa)isa)) == isa);
    CHECK(cn_isa_from_name("sse9") == -1 && cn_isa_from_name("") == -1);
    CHECK(cn_isa_supported(CN_BASELINE) && cn_isa_supported(cn_best_isa()));
#if defined(__x86_64__)
    int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    CHECK(cn_isa_supported(CN_AVX2) == avx2);
    int foundation = avx2 && __builtin_cpu_supports("avx512f");
    int extensions =
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    CHECK(cn_isa_supported(CN_AVX512) == (foundation && extensions));
    CHECK(!cn_isa_supported(CN_NEON));
#elif defined(__aarch64__)
    CHECK(cn_best_isa() == CN_NEON && !cn_isa_supported(CN_AVX2) && !cn_isa_supported(CN_AVX512));
#endif
}

int main(void) {
    test_instruction_sets();
    return report();
}
