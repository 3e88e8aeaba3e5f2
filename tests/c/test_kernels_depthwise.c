/* Depthwise convolution: runs of pixels, with taps in rows as a convolution has them and scattered ones. */
#include "kernel_cases.h"

enum { MOST_ROWS = 5, MOST_VECTORS = 3, MOST_LANES = 16 };

typedef struct {
    cn_depthwise_run run;
    ptrdiff_t x_size, y_size, w_size; /* elements that may be touched */
} depthwise_case;

/* Rows of `row` taps, one pixel apart, and `stride` of them to the next pixel of the result; `pixel` elements each. */
static depthwise_case make_depthwise(ptrdiff_t pixels, ptrdiff_t pixel, ptrdiff_t channels, ptrdiff_t rows,
                                     ptrdiff_t row, ptrdiff_t stride) {
    static ptrdiff_t x_row[MOST_ROWS], w_row[MOST_ROWS];
    const ptrdiff_t wide = (pixels - 1) * stride + row, taps = rows * row;
    depthwise_case p = {
        {pixels, channels, stride * pixel, pixel + draw(3), rows, row, row > 1 ? pixel : 0, -pixel, x_row, w_row},
        taps ? ((rows - 1) * wide + wide - 1) * pixel + channels : 0,
        0,
        taps ? (taps - 1) * pixel + channels : 0};
    p.y_size = (pixels - 1) * p.run.y_step + channels;
    for (ptrdiff_t r = 0; r < rows; r++) {
        x_row[r] = r * wide * pixel;
        w_row[r] = (taps - 1 - r * row) * pixel; /* in the other direction, as in a data gradient */
    }
    return p;
}

/* Where tap t of the first pixel lies. */
static ptrdiff_t x_tap(const cn_depthwise_run *run, ptrdiff_t t) {
    return run->x_row[t / run->row] + t % run->row * run->x_gap;
}

static ptrdiff_t w_tap(const cn_depthwise_run *run, ptrdiff_t t) {
    return run->w_row[t / run->row] + t % run->row * run->w_gap;
}

static void test_depthwise_of(const depthwise_case *p, int with_bias, int relu) {
    const cn_depthwise_run *run = &p->run;
    const void *x = integers(0, p->x_size), *w = integers(1, p->w_size), *bias = integers(2, run->channels);
    void *y = filled(3, p->y_size, 7);
    expect_unchanged(y, p->y_size);
    for (ptrdiff_t i = 0; i < run->pixels; i++)
        for (ptrdiff_t j = 0; j < run->channels; j++) {
            double sum = with_bias ? get(bias, j) : 0;
            for (ptrdiff_t t = 0; t < run->rows * run->row; t++)
                sum += get(x, i * run->x_step + x_tap(run, t) + j) * get(w, w_tap(run, t) + j);
            expected[i * run->y_step + j] = rectified(sum, relu);
        }
    kernels->depthwise(y, x, w, with_bias ? bias : NULL, relu, ceiling_of(relu), run);
    check_equal("y", y, p->y_size);
    check_fronts();
}

static void test_depthwise_weights_of(const depthwise_case *p) {
    const cn_depthwise_run *run = &p->run;
    const void *x = integers(0, p->x_size), *dy = integers(1, p->y_size);
    void *dw = integers(2, p->w_size);
    expect_unchanged(dw, p->w_size);
    for (ptrdiff_t i = 0; i < run->pixels; i++)
        for (ptrdiff_t j = 0; j < run->channels; j++)
            for (ptrdiff_t t = 0; t < run->rows * run->row; t++)
                expected[w_tap(run, t) + j] +=
                    get(x, i * run->x_step + x_tap(run, t) + j) * get(dy, i * run->y_step + j);
    kernels->depthwise_weights(dw, dy, x, run);
    check_equal("dw", dw, p->w_size);
    check_fronts();
}

static void test_case(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t row, ptrdiff_t stride) {
    const depthwise_case p = make_depthwise(pixels, channels + draw(3), channels, rows, row, stride);
    for (int way = 0; way < 2 * RELUS; way++) {
        begin(way & 1 ? "depthwise with bias" : "depthwise", pixels, channels, 10 * rows + row, stride);
        test_depthwise_of(&p, way & 1, way >> 1);
    }
    begin("depthwise_weights", pixels, channels, 10 * rows + row, stride);
    test_depthwise_weights_of(&p);
}

/* Vectors of channels in rising order, over at most `reach` of them. */
static void test_spread(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t vectors, ptrdiff_t reach) {
    static int32_t index[MOST_VECTORS * MOST_LANES];
    const ptrdiff_t lanes = kernels->lanes;
    const cn_spread s = {pixels, channels, vectors, index};
    begin("spread", pixels, channels, vectors, reach);
    for (ptrdiff_t k = 0; k < vectors; k++) {
        const ptrdiff_t first = draw((int)channels);
        for (ptrdiff_t i = 0; i < lanes; i++) {
            const ptrdiff_t at = first + i * reach / lanes;
            index[k * lanes + i] = (int32_t)(at < channels ? at : channels - 1);
        }
    }
    const void *x = integers(0, pixels * channels);
    void *to = filled(1, pixels * vectors * lanes, 7);
    for (ptrdiff_t p = 0; p < pixels; p++)
        for (ptrdiff_t i = 0; i < vectors * lanes; i++)
            expected[p * vectors * lanes + i] = get(x, p * channels + index[i]);
    kernels->spread(to, x, &s);
    check_equal("to", to, pixels * vectors * lanes);
    check_fronts();
}

static void test_table(void) {
    for (ptrdiff_t channels = 1; channels <= 37; channels++)
        for (ptrdiff_t vectors = 1; vectors <= MOST_VECTORS; vectors++)
            for (ptrdiff_t reach = 1; reach <= 40; reach++) test_spread(1 + draw(3), channels, vectors, reach);
    for (ptrdiff_t channels = 1; channels <= 37; channels++)
        for (ptrdiff_t row = 1; row <= 5; row++)
            for (ptrdiff_t stride = 1; stride <= 3; stride++)
                test_case(1 + draw(21), channels, draw((int)row + 1), row, stride);
    for (ptrdiff_t pixels = 1; pixels <= 21; pixels++)
        for (ptrdiff_t row = 3; row <= 5; row++)
            for (ptrdiff_t stride = 1; stride <= 2; stride++) test_case(pixels, 33, row, row, stride);
}

int main(int count, char **names) { return test_instruction_sets(count, names); }
