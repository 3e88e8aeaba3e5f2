/* Max and average pooling and ReLU with max pooling, with their gradients. */
#include "kernel_cases.h"

/* ---- pooling -------------------------------------------------------------------------------------------------- */

enum { MOST_TAPS = 9 };

typedef struct {
    cn_pool_run run;
    ptrdiff_t x_size, y_size;
} pool_case;

/* Tap numbers that grow up to what one byte, or an integer exact in float, holds. */
static int32_t *tap_codes(int buffer, ptrdiff_t taps, int bytes) {
    return bytes == 1 ? offsets(buffer, taps, 255 - 28 * (taps - 1), 28)
                      : offsets(buffer, taps, (1 << 24) - 1900000 * (taps - 1), 1900000);
}

/* A run of pixels whose windows see `taps` taps, in rows of three, of a map with a pixel every `pixel` elements. */
static pool_case make_pool(ptrdiff_t pixels, ptrdiff_t pixel, ptrdiff_t channels, ptrdiff_t taps, int code_bytes) {
    const ptrdiff_t stride = 1 + draw(3), map_row = ((pixels - 1) * stride + 3) * pixel;
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
                const pool_case p = make_pool(pixels, channels + draw(3), channels, taps, code_bytes);
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

/* ---- ReLU and max pooling ------------------------------------------------------------------------------------- */

enum { RECTIFIED = 255, MOST_CHANNELS = 40 };

static ptrdiff_t whole_vectors(ptrdiff_t channels) { return vectors(channels) * kernels->lanes; }

/* Whole vectors may be read behind every pixel, the last one included; codes of taps are not needed. */
static pool_case make_relu_pool(ptrdiff_t pixels, ptrdiff_t pixel, ptrdiff_t channels, ptrdiff_t taps) {
    pool_case p = make_pool(pixels, pixel, channels, taps, 1);
    p.run.tap_code = NULL;
    p.run.code_bytes = 0;
    p.x_size += whole_vectors(channels) - channels;
    return p;
}

static void test_relu_max_pool_of(const pool_case *p, int with_codes) {
    const cn_pool_run *run = &p->run;
    const void *x = special(2, p->x_size);
    void *y = filled(3, p->y_size, 7), *codes = take(4, p->y_size, 1);
    memset(codes, 77, (size_t)p->y_size);
    expect_unchanged(y, p->y_size);
    for (ptrdiff_t i = 0; i < p->y_size; i++) expected_codes[i] = 77;
    for (ptrdiff_t i = 0; i < run->pixels; i++)
        for (ptrdiff_t j = 0; j < run->channels; j++) {
            const ptrdiff_t t = winner(run, x, i * run->x_step + j), to = i * run->y_step + j;
            const double largest = get(x, i * run->x_step + j + run->tap_offset[t]);
            expected[to] = largest <= 0 ? 0 : largest;
            if (with_codes) expected_codes[to] = largest <= 0 ? RECTIFIED : (int32_t)t;
        }
    kernels->relu_max_pool(y, with_codes ? codes : NULL, x, run);
    check_equal("y", y, p->y_size);
    check_codes(codes, 1, p->y_size);
    check_fronts();
}

static void test_relu_max_pool(void) {
    for (ptrdiff_t channels = 1; channels <= MOST_CHANNELS; channels++)
        for (ptrdiff_t taps = 1; taps <= RECTIFIED; taps += taps < MOST_TAPS ? 1 : RECTIFIED - MOST_TAPS)
            for (int padded = 0; padded <= 1; padded++) {
                const ptrdiff_t pixels = 1 + draw(5), pixel = padded ? whole_vectors(channels) : channels + draw(3);
                const pool_case p = make_relu_pool(pixels, pixel, channels, taps);
                begin("relu_max_pool with codes", pixels, pixel, channels, taps);
                test_relu_max_pool_of(&p, 1);
                begin("relu_max_pool", pixels, pixel, channels, taps);
                test_relu_max_pool_of(&p, 0);
            }
}

/* Codes of the row's taps, of other taps of the window, and of none. */
static uint8_t *unpool_codes(int buffer, ptrdiff_t n, ptrdiff_t window, ptrdiff_t tap) {
    uint8_t *codes = take(buffer, n, 1);
    for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t column = draw((int)window + 2);
        codes[i] = (uint8_t)(column < window ? tap + column : column == window ? RECTIFIED : draw(RECTIFIED));
    }
    return codes;
}

/* dx ends behind the last pixel's channels or, where dx_step has room for them, its whole vectors, which get zeros. */
static void test_unpool_of(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t dx_step, ptrdiff_t window) {
    const ptrdiff_t whole = whole_vectors(channels), first = draw(2 * (int)window + 1), tap = draw(256 - (int)window);
    const ptrdiff_t width = dx_step < whole ? channels : whole, dx_size = (pixels - 1) * dx_step + width;
    const ptrdiff_t pooled = ((first + pixels - 1) / window + 1) * channels;
    const void *dy = special(2, pooled);
    const uint8_t *codes = unpool_codes(3, pooled, window, tap);
    void *dx = filled(4, dx_size, 7);
    expect_unchanged(dx, dx_size);
    for (ptrdiff_t i = 0; i < pixels; i++)
        for (ptrdiff_t j = 0; j < width; j++) {
            const ptrdiff_t from = (first + i) / window * channels + j;
            const int won = j < channels && codes[from] == tap + (first + i) % window;
            expected[i * dx_step + j] = won ? get(dy, from) : 0;
        }
    kernels->unpool(dx, dy, codes, first, pixels, channels, dx_step, window, tap);
    check_equal("dx", dx, dx_size);
    check_fronts();
}

static void test_unpool(void) {
    for (ptrdiff_t channels = 1; channels <= MOST_CHANNELS; channels++)
        for (ptrdiff_t window = 1; window <= 4; window++) {
            const ptrdiff_t whole = whole_vectors(channels), room = whole - channels;
            const ptrdiff_t steps[] = {channels, channels + (room ? draw((int)room) : 0), whole, whole + 1 + draw(3)};
            for (int i = 0; i < 16; i++) {
                const ptrdiff_t pixels = 1 + draw(3 * (int)window);
                begin("unpool", pixels, channels, steps[i % 4], window);
                test_unpool_of(pixels, channels, steps[i % 4], window);
            }
        }
}

/* ---------------------------------------------------------------------------------------------------------------- */

static void test_table(void) {
    test_pooling();
    test_relu_max_pool();
    test_unpool();
}

int main(int count, char **names) { return test_instruction_sets(count, names); }
