/* What the tests of the micro-kernels share: each kernel of the table is compared with loops in double precision
   written from the formulas of kernels.h. Each test_kernels_*.c is a program of its own:

   cc -std=c11 -O1 -g -Wall -Wextra -ffp-contract=off -Icsrc tests/c/test_kernels_NAME.c csrc/[a-z]*.c -pthread -lm

   and the same with -fsanitize=address,undefined. Arguments are names of instruction sets; without any, all that this
   machine runs. The exit status is 1 if a check failed.

   Data are small integers wherever the result is then exact in float too, whatever the order of the sum: equality is
   demanded. Every buffer has just the elements that the contract names and ends where a page begins that may not be
   touched, so that one element too many, read or written, ends the program; in front of it stands a pattern. */
#ifndef CONVNET_KERNEL_CASES_H
#define CONVNET_KERNEL_CASES_H

#include "os.h"

#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <sys/mman.h>
#endif

enum { BUFFERS = 8, BUFFER_BYTES = 1 << 20, MOST_VALUES = 1 << 16, FRONT_BYTES = 64, FRONT = 0x5a };

static const cn_kernels *kernels; /* the table under test */
static int item;                  /* bytes of its element: 4 float, 8 double */
static int passed, failed;

/* The case under test, for the report of a failure. */
static struct {
    const char *name;
    ptrdiff_t a, b, c, d;
} now;

static inline void begin(const char *name, ptrdiff_t a, ptrdiff_t b, ptrdiff_t c, ptrdiff_t d) {
    now.name = name;
    now.a = a, now.b = b, now.c = c, now.d = d;
}

static inline void check(int ok, const char *what, ptrdiff_t i, double got, double expected) {
    passed += ok != 0;
    failed += !ok;
    if (!ok && failed <= 20)
        fprintf(stderr, "%s float%d %s(%d, %d, %d, %d): %s[%d] expected %.17g, got %.17g\n", cn_isa_name(kernels->isa),
                8 * item, now.name, (int)now.a, (int)now.b, (int)now.c, (int)now.d, what, (int)i, expected, got);
}

/* ---- buffers -------------------------------------------------------------------------------------------------- */

static char *buffer_end[BUFFERS], *buffer_start[BUFFERS];

/* BUFFER_BYTES that may be used and, behind them, a page that may not. */
static char *map_before_guard(size_t page) {
#ifdef _WIN32
    DWORD before;
    char *memory = VirtualAlloc(NULL, BUFFER_BYTES + page, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    int ok = memory && VirtualProtect(memory + BUFFER_BYTES, page, PAGE_NOACCESS, &before);
#else
    char *memory = mmap(NULL, BUFFER_BYTES + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    int ok = memory != MAP_FAILED && mprotect(memory + BUFFER_BYTES, page, PROT_NONE) == 0;
#endif
    if (!ok) {
        fprintf(stderr, "no memory for the buffers\n");
        exit(2);
    }
    return memory;
}

static inline void map_buffers(void) {
    const size_t page = 1 << 16; /* a multiple of every system's page */
    for (int i = 0; i < BUFFERS; i++) buffer_end[i] = map_before_guard(page) + BUFFER_BYTES;
}

/* Buffer number `i` with room for exactly n elements of `size` bytes. */
static inline void *take(int i, ptrdiff_t n, int size) {
    buffer_start[i] = buffer_end[i] - n * size;
    memset(buffer_start[i] - FRONT_BYTES, FRONT, FRONT_BYTES);
    return buffer_start[i];
}

static inline void check_fronts(void) {
    int whole = 1;
    for (int i = 0; i < BUFFERS; i++)
        for (int j = 1; buffer_start[i] && j <= FRONT_BYTES; j++) whole &= buffer_start[i][-j] == FRONT;
    check(whole, "bytes in front of a buffer", 0, 0, 0);
}

/* ---- elements ------------------------------------------------------------------------------------------------- */

static inline double get(const void *p, ptrdiff_t i) {
    return item == 4 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static inline void put(void *p, ptrdiff_t i, double value) {
    if (item == 4)
        ((float *)p)[i] = (float)value;
    else
        ((double *)p)[i] = value;
}

static inline double rounded(double value) { return item == 4 ? (double)(float)value : value; }

static inline double epsilon(void) { return item == 4 ? FLT_EPSILON : DBL_EPSILON; }

static uint32_t random_state = 1;

static inline int draw(int n) { /* 0 to n - 1 */
    random_state = random_state * 1664525u + 1013904223u;
    return (int)((random_state >> 8) % (uint32_t)n);
}

/* A buffer of n integers from -4 to 4. */
static inline void *integers(int buffer, ptrdiff_t n) {
    void *p = take(buffer, n, item);
    for (ptrdiff_t i = 0; i < n; i++) put(p, i, draw(9) - 4);
    return p;
}

static inline void *filled(int buffer, ptrdiff_t n, double value) {
    void *p = take(buffer, n, item);
    for (ptrdiff_t i = 0; i < n; i++) put(p, i, value);
    return p;
}

static double expected[MOST_VALUES], bound[MOST_VALUES];

/* Whatever the kernel should not touch is to stay as it is. */
static inline void expect_unchanged(const void *p, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) expected[i] = get(p, i);
}

/* What a kernel's `relu` is in a case: none, ReLU or ReLU6. NaN is no ceiling. */
enum { RELUS = 3 };

static inline double ceiling_of(int relu) { return relu == 2 ? 6 : NAN; }

static inline int passes(double y, int relu) { return !relu || !(y <= 0 || y >= ceiling_of(relu)); }

static inline double rectified(double x, int relu) { return passes(x, relu) ? x : x <= 0 ? 0 : ceiling_of(relu); }

static inline int same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static inline void check_equal(const char *what, const void *p, ptrdiff_t n) {
    ptrdiff_t i = 0;
    while (i < n && same(get(p, i), expected[i])) i++;
    check(i == n, what, i, i < n ? get(p, i) : 0, i < n ? expected[i] : 0);
}

static inline void check_within_bound(const char *what, const void *p, ptrdiff_t n) {
    ptrdiff_t i = 0;
    while (i < n && fabs(get(p, i) - expected[i]) <= bound[i]) i++;
    check(i == n, what, i, i < n ? get(p, i) : 0, i < n ? expected[i] : 0);
}

static inline void check_all(const char *what, const void *p, ptrdiff_t n, double value) {
    for (ptrdiff_t i = 0; i < n; i++) expected[i] = value;
    check_equal(what, p, n);
}

/* A table of n offsets: first, first + step, ... */
static inline int32_t *offsets(int buffer, ptrdiff_t n, ptrdiff_t first, ptrdiff_t step) {
    int32_t *table = take(buffer, n, sizeof *table);
    for (ptrdiff_t i = 0; i < n; i++) table[i] = (int32_t)(first + i * step);
    return table;
}

/* Integers among values that comparisons treat specially. */
static inline void *special(int buffer, ptrdiff_t n) {
    const double values[] = {NAN, -0.0, 0.0, INFINITY, -INFINITY, 1e-40, -1e-40, -NAN};
    void *p = integers(buffer, n);
    for (ptrdiff_t i = 0; i < n; i++)
        if (draw(3) == 0) put(p, i, values[draw(8)]);
    return p;
}

static inline ptrdiff_t vectors(ptrdiff_t cols) { return (cols + kernels->lanes - 1) / kernels->lanes; }

/* ---- the run --------------------------------------------------------------------------------------------------- */

/* All tests of a program, for one table. */
static void test_table(void);

static inline void test_isa(cn_isa isa) {
    for (item = 4; item <= 8; item += 4) {
        kernels = cn_kernels_for(isa, item);
        test_table();
    }
    printf("%s: %d lanes of double\n", cn_isa_name(kernels->isa), (int)kernels->lanes);
}

/* The instruction sets named, or all that this machine runs; returns the program's exit status. */
static inline int test_instruction_sets(int count, char **names) {
    map_buffers();
    for (int i = 1; i < count; i++) {
        const int isa = cn_isa_from_name(names[i]);
        if (isa < 0 || !cn_isa_supported((cn_isa)isa)) {
            fprintf(stderr, "this machine does not run %s\n", names[i]);
            return 2;
        }
        test_isa((cn_isa)isa);
    }
    for (int isa = CN_BASELINE; count == 1 && isa <= CN_AVX512; isa++)
        if (cn_isa_supported((cn_isa)isa) && cn_kernels_for((cn_isa)isa, 4)->isa == (cn_isa)isa) test_isa((cn_isa)isa);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}

#endif
