/* The two peaks of a machine; GCC and Clang only. BYTES is the width of a vector. */
#include <stdint.h>

#define CHAINS 12

typedef float vector __attribute__((vector_size(BYTES)));

/* Multiply-adds as fast as the machine can: twelve chains of them, as many as a latency of four cycles and two units
   need with half to spare, and nothing else in the loop. Does `rounds` rounds; returns how many floating-point
   operations a round has. */
int multiply_add(int64_t rounds, float *sink) {
    vector sum[CHAINS], a = (vector){} + sink[0], b = (vector){} + sink[1];
    for (int i = 0; i < CHAINS; i++) sum[i] = a + (float)i;
    for (int64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < CHAINS; i++) sum[i] = sum[i] * a + b;
    }
    for (int i = 1; i < CHAINS; i++) sum[0] += sum[i];
    sink[2] = sum[0][0];
    return 2 * CHAINS * BYTES / (int)sizeof(float);
}

/* Memory traffic: two arrays read, one of them written. It is the one that has been read, so that no line is fetched only
   to be overwritten, which would not count. */
void accumulate(int64_t n, float *restrict a, const float *restrict b) {
    for (int64_t i = 0; i < n; i++) a[i] += 0.5f * b[i];
}
