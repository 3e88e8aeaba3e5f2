/* Multiply-adds as fast as the machine can: twelve chains of them, as many as a latency of four cycles and two units
   need with half to spare, and nothing else in the loop. BYTES is the width of a vector; GCC and Clang only. */
#include <stdint.h>

#define CHAINS 12

typedef float vector __attribute__((vector_size(BYTES)));

/* Does `rounds` rounds; returns how many floating-point operations a round has. */
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
