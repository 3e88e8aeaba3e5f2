/* Every micro-kernel of the table against loops in double precision written from the formulas of kernels.h.

   cc -std=c11 -O1 -g -Wall -Wextra -ffp-contract=off -Icsrc tests/c/test_kernels.c csrc/[a-z]*.c -pthread -lm
   The same with -fsanitize=address,undefined. Arguments are names of instruction sets; without any, all that this
   machine runs. The exit status is 1 if a check failed.

   Data are small integers wherever the result is then exact in float too, whatever the order of the sum: equality is
   demanded. Every buffer has just the elements that the contract names and ends where a page begins that may not be
   touched, so that one element too many, read or written, ends the program; in front of it stands a pattern. */
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

static void begin(const char *name, ptrdiff_t a, ptrdiff_t b, ptrdiff_t c, ptrdiff_t d) {
    now.name = name;
    now.a = a, now.b = b, now.c = c, now.d = d;
}

static void check(int ok, const char *what, ptrdiff_t i, double got, double expected) {
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
        fprintf(stderr, "test_kernels: no memory\n");
        exit(2);
    }
    return memory;
}

static void map_buffers(void) {
    const size_t page = 1 << 16; /* a multiple of every system's page */
    for (int i = 0; i < BUFFERS; i++) buffer_end[i] = map_before_guard(page) + BUFFER_BYTES;
}

/* Buffer number `i` with room for exactly n elements of `size` bytes. */
static void *take(int i, ptrdiff_t n, int size) {
    buffer_start[i] = buffer_end[i] - n * size;
    memset(buffer_start[i] - FRONT_BYTES, FRONT, FRONT_BYTES);
    return buffer_start[i];
}

static void check_fronts(void) {
    int whole = 1;
    for (int i = 0; i < BUFFERS; i++)
        for (int j = 1; buffer_start[i] && j <= FRONT_BYTES; j++) whole &= buffer_start[i][-j] == FRONT;
    check(whole, "bytes in front of a buffer", 0, 0, 0);
}

/* ---- elements ------------------------------------------------------------------------------------------------- */

static double get(const void *p, ptrdiff_t i) {
    return item == 4 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void put(void *p, ptrdiff_t i, double value) {
    if (item == 4)
        ((float *)p)[i] = (float)value;
    else
        ((double *)p)[i] = value;
}

static double rounded(double value) { return item == 4 ? (double)(float)value : value; }

static double epsilon(void) { return item == 4 ? FLT_EPSILON : DBL_EPSILON; }

static uint32_t random_state = 1;

static int draw(int n) { /* 0 to n - 1 */
    random_state = random_state * 1664525u + 1013904223u;
    return (int)((random_state >> 8) % (uint32_t)n);
}

/* A buffer of n integers from -4 to 4. */
static void *integers(int buffer, ptrdiff_t n) {
    void *p = take(buffer, n, item);
    for (ptrdiff_t i = 0; i < n; i++) put(p, i, draw(9) - 4);
    return p;
}

static void *filled(int buffer, ptrdiff_t n, double value) {
    void *p = take(buffer, n, item);
    for (ptrdiff_t i = 0; i < n; i++) put(p, i, value);
    return p;
}

static double expected[MOST_VALUES], bound[MOST_VALUES];

/* Whatever the kernel should not touch is to stay as it is. */
static void expect_unchanged(const void *p, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) expected[i] = get(p, i);
}

static int same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

static void check_equal(const char *what, const void *p, ptrdiff_t n) {
    ptrdiff_t i = 0;
    while (i < n && same(get(p, i), expected[i])) i++;
    check(i == n, what, i, i < n ? get(p, i) : 0, i < n ? expected[i] : 0);
}

static void check_within_bound(const char *what, const void *p, ptrdiff_t n) {
    ptrdiff_t i = 0;
    while (i < n && fabs(get(p, i) - expected[i]) <= bound[i]) i++;
    check(i == n, what, i, i < n ? get(p, i) : 0, i < n ? expected[i] : 0);
}

static void check_all(const char *what, const void *p, ptrdiff_t n, double value) {
    for (ptrdiff_t i = 0; i < n; i++) expected[i] = value;
    check_equal(what, p, n);
}

/* A table of n offsets: first, first + step, ... */
static int32_t *offsets(int buffer, ptrdiff_t n, ptrdiff_t first, ptrdiff_t step) {
    int32_t *table = take(buffer, n, sizeof *table);
    for (ptrdiff_t i = 0; i < n; i++) table[i] = (int32_t)(first + i * step);
    return table;
}

static ptrdiff_t vectors(ptrdiff_t cols) { return (cols + kernels->lanes - 1) / kernels->lanes; }

/* ---- the product ---------------------------------------------------------------------------------------------- */

enum { PACKED = 1, BIAS = 2, ACCUMULATE = 4, COLUMNS_OF_A = 8, MODES = 16 };

static ptrdiff_t c_size(const cn_product *p) { return p->rows ? p->c_row[0] + p->cols : 0; }

static void expect_product(const cn_product *p) {
    expect_unchanged(p->c, c_size(p));
    for (ptrdiff_t r = 0; r < p->rows; r++)
        for (ptrdiff_t j = 0; j < p->cols; j++) {
            double sum = p->accumulate ? get(p->c, p->c_row[r] + j) : p->bias ? get(p->bias, j) : 0;
            const ptrdiff_t in_b = j / kernels->lanes * p->b_vector + j % kernels->lanes;
            for (ptrdiff_t k = 0; k < p->depth; k++)
                sum += get(p->a, p->a_row[r] + p->a_k[k]) * get(p->b, in_b + k * p->b_k);
            expected[p->c_row[r] + j] = sum;
        }
}

static void test_product_of(ptrdiff_t rows, ptrdiff_t depth, ptrdiff_t cols, int mode) {
    const ptrdiff_t lanes = kernels->lanes, gap = draw(3), c_stride = cols + draw(3);
    const ptrdiff_t packed_size = vectors(cols) * depth * lanes;
    const ptrdiff_t in_place_size = depth ? (depth - 1) * (cols + gap) + cols : 0;
    const ptrdiff_t c_elements = (rows - 1) * c_stride + cols;
    const int columns = mode & COLUMNS_OF_A, packed = mode & PACKED, accumulate = mode & ACCUMULATE;
    const cn_product p = {
        .rows = rows,
        .depth = depth,
        .cols = cols,
        .a = integers(0, rows * depth),
        .a_row = columns ? offsets(1, rows, 0, 1) : offsets(1, rows, (rows - 1) * depth, -depth),
        .a_k = columns ? offsets(2, depth, 0, rows) : offsets(2, depth, 0, 1),
        .b = integers(3, packed ? packed_size : in_place_size),
        .b_k = packed ? lanes : cols + gap,
        .b_vector = packed ? depth * lanes : lanes,
        .c = accumulate ? integers(4, c_elements) : filled(4, c_elements, NAN),
        .c_row = offsets(5, rows, (rows - 1) * c_stride, -c_stride),
        .bias = mode & BIAS ? integers(6, cols) : NULL,
        .accumulate = accumulate,
    };
    begin("product", rows, depth, cols, mode);
    expect_product(&p);
    kernels->product(&p);
    check_equal("c", p.c, c_elements);
    check_fronts();
}

static void test_product(void) {
    for (ptrdiff_t rows = 1; rows <= 20; rows++)
        for (ptrdiff_t cols = 1; cols <= 70; cols++)
            for (int mode = 0; mode < MODES; mode++)
                test_product_of(rows, (rows * 5 + cols * 11 + mode * 3) % 31, cols, mode);
    for (int mode = 0; mode < MODES; mode++)
        for (ptrdiff_t depth = 510; depth <= 1030; depth += 130)
            test_product_of(1 + draw(9), depth, 1 + draw(50), mode);
}

/* ---- moving elements ------------------------------------------------------------------------------------------ */

static void test_pack(void) {
    const ptrdiff_t lanes = kernels->lanes;
    for (ptrdiff_t depth = 1; depth <= 9; depth++)
        for (ptrdiff_t cols = 1; cols <= 40; cols++)
            for (int by_k = 0; by_k < 2; by_k++) {
                const ptrdiff_t size = vectors(cols) * depth * lanes, col_stride = by_k ? 1 : depth;
                const void *src = integers(0, depth * cols);
                const int32_t *k = by_k ? offsets(1, depth, (depth - 1) * cols, -cols) : offsets(1, depth, 0, 1);
                void *packed = filled(2, size, NAN);
                begin("pack", depth, cols, by_k, 0);
                for (ptrdiff_t i = 0; i < size; i++) expected[i] = 0;
                for (ptrdiff_t j = 0; j < cols; j++)
                    for (ptrdiff_t i = 0; i < depth; i++)
                        expected[j / lanes * depth * lanes + i * lanes + j % lanes] = get(src, k[i] + j * col_stride);
                kernels->pack(packed, src, k, depth, col_stride, cols);
                check_equal("packed", packed, size);
                check_fronts();
            }
}

static void test_scatter_add(void) {
    for (ptrdiff_t depth = 1; depth <= 9; depth++)
        for (ptrdiff_t cols = 1; cols <= 40; cols++)
            for (int by_k = 0; by_k < 2; by_k++) {
                const ptrdiff_t src_row = cols + draw(4), col_stride = by_k ? 1 : depth;
                const void *src = integers(0, (depth - 1) * src_row + cols);
                const int32_t *k = by_k ? offsets(1, depth, (depth - 1) * cols, -cols) : offsets(1, depth, 0, 1);
                void *dst = integers(2, depth * cols);
                begin("scatter_add", depth, cols, src_row, by_k);
                expect_unchanged(dst, depth * cols);
                for (ptrdiff_t j = 0; j < cols; j++)
                    for (ptrdiff_t i = 0; i < depth; i++) expected[k[i] + j * col_stride] += get(src, i * src_row + j);
                kernels->scatter_add(dst, src, k, depth, col_stride, cols, src_row);
                check_equal("dst", dst, depth * cols);
                check_fronts();
            }
}

static void test_add(void) {
    for (ptrdiff_t n = 0; n <= 70; n++) {
        void *dst = integers(0, n);
        const void *src = integers(1, n);
        begin("add", n, 0, 0, 0);
        for (ptrdiff_t i = 0; i < n; i++) expected[i] = get(dst, i) + get(src, i);
        kernels->add(dst, src, n);
        check_equal("dst", dst, n);
        check_fronts();
    }
}

static void test_column_sums(void) {
    for (ptrdiff_t rows = 0; rows <= 9; rows++)
        for (ptrdiff_t cols = 1; cols <= 40; cols++) {
            const ptrdiff_t row_stride = cols + draw(4);
            const void *src = integers(0, rows ? (rows - 1) * row_stride + cols : 0);
            void *sums = integers(1, cols);
            begin("column_sums", rows, cols, row_stride, 0);
            expect_unchanged(sums, cols);
            for (ptrdiff_t r = 0; r < rows; r++)
                for (ptrdiff_t j = 0; j < cols; j++) expected[j] += get(src, r * row_stride + j);
            kernels->column_sums(sums, src, rows, cols, row_stride);
            check_equal("sums", sums, cols);
            check_fronts();
        }
}

static void test_transpose(void) {
    for (ptrdiff_t rows = 1; rows <= 37; rows += 1 + draw(3))
        for (ptrdiff_t cols = 1; cols <= 37; cols++) {
            const ptrdiff_t src_row = cols + draw(4), dst_row = rows + draw(4), size = (cols - 1) * dst_row + rows;
            const void *src = integers(0, (rows - 1) * src_row + cols);
            void *dst = filled(1, size, NAN);
            begin("transpose", rows, cols, dst_row, src_row);
            expect_unchanged(dst, size);
            for (ptrdiff_t i = 0; i < rows; i++)
                for (ptrdiff_t j = 0; j < cols; j++) expected[j * dst_row + i] = get(src, i * src_row + j);
            kernels->transpose(dst, src, rows, cols, dst_row, src_row);
            check_equal("dst", dst, size);
            check_fronts();
        }
}

/* ---- ReLU ----------------------------------------------------------------------------------------------------- */

/* Integers among values that comparisons treat specially. */
static void *special(int buffer, ptrdiff_t n) {
    const double values[] = {NAN, -0.0, 0.0, INFINITY, -INFINITY, 1e-40, -1e-40, -NAN};
    void *p = integers(buffer, n);
    for (ptrdiff_t i = 0; i < n; i++)
        if (draw(3) == 0) put(p, i, values[draw(8)]);
    return p;
}

static void test_relu(void) {
    for (ptrdiff_t n = 0; n <= 140; n++) {
        const void *x = special(0, n);
        void *y = filled(1, n, 7);
        begin("relu", n, 0, 0, 0);
        for (ptrdiff_t i = 0; i < n; i++) expected[i] = get(x, i) <= 0 ? 0 : get(x, i);
        kernels->relu(y, x, n);
        check_equal("y", y, n);
        check_fronts();
    }
}

static void test_relu_gradient(void) {
    for (ptrdiff_t n = 0; n <= 140; n++) {
        const void *dy = special(0, n), *y = special(1, n);
        void *dx = filled(2, n, 7);
        begin("relu_gradient", n, 0, 0, 0);
        for (ptrdiff_t i = 0; i < n; i++) expected[i] = get(y, i) <= 0 ? 0 : get(dy, i);
        kernels->relu_gradient(dx, dy, y, n);
        check_equal("dx", dx, n);
        check_fronts();
    }
}

/* ---- pooling -------------------------------------------------------------------------------------------------- */

enum { MOST_TAPS = 9 };

/* A run of pixels whose windows see `taps` taps, in rows of three, of a map with a pixel every `pixel` elements. */
typedef struct {
    cn_pool_run run;
    ptrdiff_t x_size, y_size;
} pool_case;

/* Tap numbers that grow up to what one byte, or an integer exact in float, holds. */
static int32_t *tap_codes(int buffer, ptrdiff_t taps, int bytes) {
    return bytes == 1 ? offsets(buffer, taps, 255 - 28 * (taps - 1), 28)
                      : offsets(buffer, taps, (1 << 24) - 1900000 * (taps - 1), 1900000);
}

static pool_case make_pool(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t taps, int code_bytes) {
    const ptrdiff_t pixel = channels + draw(3), stride = 1 + draw(3), map_row = ((pixels - 1) * stride + 3) * pixel;
    int32_t *tap_offset = take(0, taps, sizeof *tap_offset);
    for (ptrdiff_t t = 0; t < taps; t++) tap_offset[t] = (int32_t)(t / 3 * map_row + t % 3 * pixel);
    pool_case p = {
        .run = {.pixels = pixels,
                .channels = channels,
                .x_step = stride * pixel,
                .y_step = channels + draw(3),
                .taps = taps,
                .tap_offset = tap_offset,
                .tap_code = tap_codes(1, taps, code_bytes),
                .code_bytes = code_bytes,
                .scale = 1.0 / (double)(taps + draw(2))},
    };
    ptrdiff_t last = 0;
    for (ptrdiff_t t = 0; t < taps; t++) last = tap_offset[t] > last ? tap_offset[t] : last;
    p.x_size = (pixels - 1) * p.run.x_step + last + channels;
    p.y_size = (pixels - 1) * p.run.y_step + channels;
    return p;
}

static int32_t get_code(const void *codes, int bytes, ptrdiff_t i) {
    return bytes == 1 ? ((const uint8_t *)codes)[i] : ((const int32_t *)codes)[i];
}

static void put_code(void *codes, int bytes, ptrdiff_t i, int32_t code) {
    if (bytes == 1)
        ((uint8_t *)codes)[i] = (uint8_t)code;
    else
        ((int32_t *)codes)[i] = code;
}

static int32_t expected_codes[MOST_VALUES];

static void check_codes(const void *codes, int bytes, ptrdiff_t n) {
    ptrdiff_t i = 0;
    while (i < n && get_code(codes, bytes, i) == expected_codes[i]) i++;
    check(i == n, "codes", i, i < n ? get_code(codes, bytes, i) : 0, i < n ? expected_codes[i] : 0);
}

/* The first of the largest taps, or the last NaN, at x[first + tap_offset[t]]. */
static ptrdiff_t winner(const cn_pool_run *run, const void *x, ptrdiff_t first) {
    ptrdiff_t best = 0;
    for (ptrdiff_t t = 1; t < run->taps; t++) {
        const double value = get(x, first + run->tap_offset[t]);
        if (isnan(value) || value > get(x, first + run->tap_offset[best])) best = t;
    }
    return best;
}

static void test_max_pool_of(const pool_case *p, int with_codes) {
    const cn_pool_run *run = &p->run;
    const void *x = special(2, p->x_size);
    void *y = filled(3, p->y_size, 7), *codes = take(4, p->y_size, run->code_bytes);
    memset(codes, 1, (size_t)(p->y_size * run->code_bytes));
    expect_unchanged(y, p->y_size);
    for (ptrdiff_t i = 0; i < p->y_size; i++) expected_codes[i] = get_code(codes, run->code_bytes, i);
    for (ptrdiff_t i = 0; i < run->pixels; i++)
        for (ptrdiff_t j = 0; j < run->channels; j++) {
            const ptrdiff_t t = winner(run, x, i * run->x_step + j);
            expected[i * run->y_step + j] = get(x, i * run->x_step + j + run->tap_offset[t]);
            if (with_codes) expected_codes[i * run->y_step + j] = run->tap_code[t];
        }
    kernels->max_pool(y, with_codes ? codes : NULL, x, run);
    check_equal("y", y, p->y_size);
    check_codes(codes, run->code_bytes, p->y_size);
    check_fronts();
}

static void test_max_pool_gradient_of(const pool_case *p) {
    const cn_pool_run *run = &p->run;
    const void *dy = special(2, p->y_size);
    void *dx = integers(3, p->x_size), *codes = take(4, p->y_size, run->code_bytes);
    memset(codes, 0, (size_t)(p->y_size * run->code_bytes));
    expect_unchanged(dx, p->x_size);
    for (ptrdiff_t i = 0; i < run->pixels; i++)
        for (ptrdiff_t j = 0; j < run->channels; j++) {
            const ptrdiff_t t = draw((int)run->taps);
            put_code(codes, run->code_bytes, i * run->y_step + j, run->tap_code[t]);
            expected[i * run->x_step + j + run->tap_offset[t]] += get(dy, i * run->y_step + j);
        }
    kernels->max_pool_gradient(dx, dy, codes, run);
    check_equal("dx", dx, p->x_size);
    check_fronts();
}

static void test_average_pool_of(const pool_case *p) {
    const cn_pool_run *run = &p->run;
    const void *x = integers(2, p->x_size);
    void *y = filled(3, p->y_size, 7);
    expect_unchanged(y, p->y_size);
    for (ptrdiff_t i = 0; i < run->pixels; i++)
        for (ptrdiff_t j = 0; j < run->channels; j++) {
            double sum = 0;
            for (ptrdiff_t t = 0; t < run->taps; t++) sum += get(x, i * run->x_step + j + run->tap_offset[t]);
            expected[i * run->y_step + j] = rounded(sum * rounded(run->scale));
        }
    kernels->average_pool(y, x, run);
    check_equal("y", y, p->y_size);
    check_fronts();
}

/* With a scale of a power of two, so that the sums of overlapping windows are exact. */
static void test_average_pool_gradient_of(pool_case p) {
    const cn_pool_run *run = &p.run;
    const void *dy = integers(2, p.y_size);
    void *dx = integers(3, p.x_size);
    p.run.scale = 0.125;
    expect_unchanged(dx, p.x_size);
    for (ptrdiff_t i = 0; i < run->pixels; i++)
        for (ptrdiff_t j = 0; j < run->channels; j++)
            for (ptrdiff_t t = 0; t < run->taps; t++)
                expected[i * run->x_step + j + run->tap_offset[t]] += get(dy, i * run->y_step + j) * run->scale;
    kernels->average_pool_gradient(dx, dy, run);
    check_equal("dx", dx, p.x_size);
    check_fronts();
}

static void test_pooling(void) {
    for (ptrdiff_t channels = 1; channels <= 37; channels++)
        for (ptrdiff_t taps = 1; taps <= MOST_TAPS; taps++)
            for (int code_bytes = 1; code_bytes <= 4; code_bytes += 3) {
                const ptrdiff_t pixels = 1 + draw(5);
                const pool_case p = make_pool(pixels, channels, taps, code_bytes);
                begin("max_pool with codes", pixels, channels, taps, code_bytes);
                test_max_pool_of(&p, 1);
                begin("max_pool", pixels, channels, taps, code_bytes);
                test_max_pool_of(&p, 0);
                begin("max_pool_gradient", pixels, channels, taps, code_bytes);
                test_max_pool_gradient_of(&p);
                begin("average_pool", pixels, channels, taps, 0);
                test_average_pool_of(&p);
                begin("average_pool_gradient", pixels, channels, taps, 0);
                test_average_pool_gradient_of(p);
            }
}

/* ---- softmax -------------------------------------------------------------------------------------------------- */

enum { NO_TARGET, LABELS, TARGETS };

/* Logits differ by integers, so the kernel's subtraction of the maximum is exact. What is left are the roundings of
   exp (2 u, with u = epsilon / 2), of the product and of the subtraction of the target: 2 epsilon of the terms. The
   sum of the exponentials, and so its logarithm, carries the 2 u of exp. */
static double expect_softmax_row(ptrdiff_t first, ptrdiff_t classes, const void *z, const double *target, double scale,
                                 double *loss_bound) {
    double top = -INFINITY, sum = 0, target_sum = 0, loss = 0;
    for (ptrdiff_t j = 0; j < classes; j++) top = fmax(top, get(z, first + j));
    for (ptrdiff_t j = 0; j < classes; j++) sum += exp(get(z, first + j) - top);
    for (ptrdiff_t j = 0; j < classes; j++) target_sum += target[j];
    for (ptrdiff_t j = 0; j < classes; j++) {
        const double p = exp(get(z, first + j) - top) / sum;
        expected[first + j] = (p * target_sum - target[j]) * scale;
        bound[first + j] = 2 * epsilon() * (p * target_sum + target[j]) * scale + DBL_MIN;
        if (target[j] != 0) loss += target[j] * (log(sum) + top - get(z, first + j));
    }
    *loss_bound += 4 * epsilon() * target_sum + 16 * DBL_EPSILON * fabs(loss);
    return loss;
}

/* What a row is compared with: one-hot, probabilities that need not add up to 1, or, without a target, p itself. */
static void make_target(double *target, void *targets, int64_t *label, ptrdiff_t first, ptrdiff_t classes, int kind) {
    *label = draw((int)classes);
    for (ptrdiff_t j = 0; j < classes; j++) {
        target[j] = kind == TARGETS ? draw(5) / 8.0 : j == *label;
        put(targets, first + j, target[j]);
    }
}

static void test_softmax_of(ptrdiff_t rows, ptrdiff_t classes, int kind) {
    const double scale = kind == NO_TARGET ? 1 : 0.25;
    void *z = integers(0, rows * classes), *targets = take(1, rows * classes, item);
    int64_t *labels = take(2, rows, sizeof *labels);
    void *gradient = filled(3, rows * classes, NAN);
    double target[64], loss = 0, loss_bound = 0;
    for (ptrdiff_t r = 0; r < rows; r++) {
        put(z, r * classes + draw((int)classes), draw(2) ? 80 : 30000);
        make_target(target, targets, &labels[r], r * classes, classes, kind);
        loss += expect_softmax_row(r * classes, classes, z, target, scale, &loss_bound);
        if (kind == NO_TARGET) expected[r * classes + labels[r]] += 1;
    }
    begin("softmax", rows, classes, kind, 0);
    const double got = kernels->softmax(gradient, z, kind == LABELS ? labels : NULL, kind == TARGETS ? targets : NULL,
                                        rows, classes, scale);
    check_within_bound("gradient", gradient, rows * classes);
    check(kind == NO_TARGET || fabs(got - loss) <= loss_bound, "loss", 0, got, loss);
    check_fronts();
}

/* A class that cannot be, log p = -inf, costs nothing where the target says so too. */
static void test_softmax_of_an_impossible_class(void) {
    void *z = filled(0, 3, 0), *targets = filled(1, 3, 0.5), *gradient = filled(2, 3, NAN);
    put(z, 1, -INFINITY);
    put(targets, 1, 0);
    begin("softmax of -inf", 1, 3, TARGETS, 0);
    const double loss = kernels->softmax(gradient, z, NULL, targets, 1, 3, 1.0);
    check(fabs(loss - log(2.0)) <= 4 * epsilon(), "loss", 0, loss, log(2.0));
    check_all("gradient", gradient, 3, 0);
}

static void test_softmax(void) {
    for (ptrdiff_t classes = 1; classes <= 40; classes++)
        for (int kind = NO_TARGET; kind <= TARGETS; kind++) test_softmax_of(draw(5), classes, kind);
    test_softmax_of_an_impossible_class();
}

/* ---- updates: with rates that are powers of two, or few bits more, nothing is rounded -------------------------- */

static void test_sgd_of(ptrdiff_t n, int momentum, int nesterov, int decay) {
    const double lr = 0.5, mu = momentum ? 0.75 : 0, weight_decay = decay ? 0.125 : 0;
    void *value = integers(0, n), *grad = integers(1, n), *velocity = momentum ? integers(2, n) : NULL;
    double *speed = bound;
    for (ptrdiff_t i = 0; i < n; i++) {
        double step = get(grad, i) + weight_decay * get(value, i);
        if (momentum) {
            speed[i] = mu * get(velocity, i) + step;
            step = nesterov ? step + mu * speed[i] : speed[i];
        }
        expected[i] = get(value, i) - lr * step;
    }
    begin("sgd", n, momentum, nesterov, decay);
    kernels->sgd(value, grad, velocity, n, lr, mu, nesterov, weight_decay);
    check_equal("value", value, n);
    check_all("grad", grad, n, 0);
    memcpy(expected, speed, sizeof expected);
    if (momentum) check_equal("velocity", velocity, n);
    check_fronts();
}

static void test_sgd(void) {
    for (ptrdiff_t n = 0; n <= 40; n++)
        for (int mode = 0; mode < 8; mode++) test_sgd_of(n, mode & 1, mode >> 1 & 1, mode >> 2);
}

/* Of the value alone are rounded: the root, the sum below the fraction, the fraction, the difference. */
static void test_adam_of(ptrdiff_t n, double weight_decay, double shrink) {
    const double step_size = 0.25, beta1 = 0.75, beta2 = 0.5, eps = 0.0625, root_correction = 0.5;
    void *value = integers(0, n), *grad = integers(1, n), *mean = integers(2, n), *variance = integers(3, n);
    static double first[MOST_VALUES], second[MOST_VALUES];
    for (ptrdiff_t i = 0; i < n; i++) {
        put(variance, i, fabs(get(variance, i)));
        const double g = get(grad, i) + weight_decay * get(value, i);
        first[i] = beta1 * get(mean, i) + (1 - beta1) * g;
        second[i] = beta2 * get(variance, i) + (1 - beta2) * g * g;
        const double move = step_size * first[i] / (sqrt(second[i]) / root_correction + eps);
        expected[i] = shrink * get(value, i) - move;
        bound[i] = 2 * epsilon() * (fabs(shrink * get(value, i)) + fabs(move));
    }
    begin("adam", n, weight_decay != 0, shrink != 1, 0);
    kernels->adam(value, grad, mean, variance, n, step_size, beta1, beta2, eps, root_correction, weight_decay, shrink);
    check_within_bound("value", value, n);
    check_all("grad", grad, n, 0);
    memcpy(expected, first, sizeof expected);
    check_equal("mean", mean, n);
    memcpy(expected, second, sizeof expected);
    check_equal("variance", variance, n);
    check_fronts();
}

static void test_adam(void) {
    for (ptrdiff_t n = 0; n <= 40; n++) {
        test_adam_of(n, 0, 1);
        test_adam_of(n, 0.125, 1);
        test_adam_of(n, 0, 0.75);
    }
}

/* ---------------------------------------------------------------------------------------------------------------- */

static void test_table(cn_isa isa, int itemsize) {
    kernels = cn_kernels_for(isa, itemsize);
    item = itemsize;
    test_product();
    test_pack();
    test_scatter_add();
    test_add();
    test_column_sums();
    test_transpose();
    test_relu();
    test_relu_gradient();
    test_pooling();
    test_softmax();
    test_sgd();
    test_adam();
}

static void test_isa(cn_isa isa) {
    test_table(isa, 4);
    test_table(isa, 8);
    printf("%s: %d lanes of double\n", cn_isa_name(kernels->isa), (int)kernels->lanes);
}

int main(int count, char **names) {
    map_buffers();
    for (int i = 1; i < count; i++) {
        const int isa = cn_isa_from_name(names[i]);
        if (isa < 0 || !cn_isa_supported((cn_isa)isa)) {
            fprintf(stderr, "test_kernels: this machine does not run %s\n", names[i]);
            return 2;
        }
        test_isa((cn_isa)isa);
    }
    for (int isa = CN_BASELINE; count == 1 && isa <= CN_AVX512; isa++)
        if (cn_isa_supported((cn_isa)isa) && cn_kernels_for((cn_isa)isa, 4)->isa == (cn_isa)isa) test_isa((cn_isa)isa);
    printf("%d passed, %d failed\n", passed, failed);
    return failed > 0;
}
