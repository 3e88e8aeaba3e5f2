/* Depthwise convolution: runs of pixels, with taps in rows as a convolution has them and scattered ones. */
#include "kernel_cases.h"

enum { MOST_TAPS = 25 };

typedef struct {
    cn_depthwise_run run;
    ptrdiff_t x_size, y_size, w_size; /* elements that may be touched */
} depthwise_case;

/* Rows of `row` taps, one pixel apart, and `stride` of them to the next pixel of the result; `pixel` elements each. */
static depthwise_case make_depthwise(ptrdiff_t pixels, ptrdiff_t pixel, ptrdiff_t channels, ptrdiff_t rows,
                                     ptrdiff_t row, ptrdiff_t stride) {
    static ptrdiff_t x_tap[MOST_TAPS], w_tap[MOST_TAPS];
    const ptrdiff_t wide = (pixels - 1) * stride + row, taps = rows * row;
    depthwise_case p = {
        {pixels, channels, stride * pixel, pixel + draw(3), taps, row, row > 1 ? pixel : 0, x_tap, w_tap},
        taps ? ((rows - 1) * wide + wide - 1) * pixel + channels : 0,
        0,
        taps ? (taps - 1) * pixel + channels : 0};
    p.y_size = (pixels - 1) * p.run.y_step + channels;
    for (ptrdiff_t t = 0; t < taps; t++) {
        x_tap[t] = (t / row * wide + t % row) * pixel;
        w_tap[t] = (taps - 1 - t) * pixel; /* in the other direction, as in a data gradient */
    }
    return p;
}

static void test_depthwise_of(const depthwise_case *p, int with_bias, int relu) {
    const cn_depthwise_run *run = &p->run;
    const void *x = integers(0, p->x_size), *w = integers(1, p->w_size), *bias = integers(2, run->channels);
    void *y = filled(3, p->y_size, 7);
    expect_unchanged(y, p->y_size);
    for (ptrdiff_t i = 0; i < run->pixels; i++)
        for (ptrdiff_t j = 0; j < run->channels; j++) {
            double sum = with_bias ? get(bias, j) : 0;
            for (ptrdiff_t t = 0; t < run->taps; t++)
                sum += get(x, i * run->x_step + run->x_tap[t] + j) * get(w, run->w_tap[t] + j);
            expected[i * run->y_step + j] = relu && sum < 0 ? 0 : sum;
        }
    kernels->depthwise(y, x, w, with_bias ? bias : NULL, relu, run);
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
            for (ptrdiff_t t = 0; t < run->taps; t++)
                expected[run->w_tap[t] + j] +=
                    get(x, i * run->x_step + run->x_tap[t] + j) * get(dy, i * run->y_step + j);
    kernels->depthwise_weights(dw, dy, x, run);
    check_equal("dw", dw, p->w_size);
    check_fronts();
}

static void test_case(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t row, ptrdiff_t stride) {
    const depthwise_case p = make_depthwise(pixels, channels + draw(3), channels, rows, row, stride);
    for (int way = 0; way < 4; way++) {
        begin(way & 1 ? "depthwise with bias" : "depthwise", pixels, channels, 10 * rows + row, stride);
        test_depthwise_of(&p, way & 1, way & 2);
    }
    begin("depthwise_weights", pixels, channels, 10 * rows + row, stride);
    test_depthwise_weights_of(&p);
}

static void test_table(void) {
    for (ptrdiff_t channels = 1; channels <= 37; channels++)
        for (ptrdiff_t row = 1; row <= 5; row++)
            for (ptrdiff_t stride = 1; stride <= 3; stride++)
                test_case(1 + draw(21), channels, draw((int)row + 1), row, stride);
    for (ptrdiff_t pixels = 1; pixels <= 21; pixels++)
        for (ptrdiff_t row = 3; row <= 5; row++)
            for (ptrdiff_t stride = 1; stride <= 2; stride++) test_case(pixels, 33, row, row, stride);
}

int main(int count, char **names) { return test_instruction_sets(count, names); }
