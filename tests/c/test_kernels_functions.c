/* The activations beyond the rectifiers, PReLU, the gradient of softmax, local response normalisation, blending. */
#include "kernel_cases.h"

/* ---- functions of each element ---------------------------------------------------------------------------------- */

static double share(double x) { return erfc(-x / sqrt(2)) / 2; }
static double bell(double x) { return exp(-x * x / 2) / sqrt(2 * acos(-1.0)); }
static double logistic(double x) { return 1 / (1 + exp(-x)); }
static double steepness(double x) { return logistic(x) * logistic(-x); }
static double twice_cubic(double x) { return sqrt(8 / acos(-1.0)) * (x + 0.044715 * x * x * x); }
static double hard(double x) { return fmin(fmax(x + 3, 0), 6) / 6; }

static double function_of(cn_function f, double x, double a) {
    switch (f) {
    case CN_LEAKY_RELU: return x > 0 ? x : a * x;
    case CN_ELU: return x > 0 ? x : a * expm1(x);
    case CN_GELU: return x * share(x);
    case CN_GELU_TANH: return x * logistic(twice_cubic(x));
    case CN_SILU: return x * logistic(x);
    case CN_HARD_SWISH: return x * hard(x);
    case CN_HARD_SIGMOID: return hard(x);
    case CN_SIGMOID: return logistic(x);
    default: return tanh(x);
    }
}

static double slope_of(cn_function f, double x, double a) {
    switch (f) {
    case CN_LEAKY_RELU: return x > 0 ? 1 : a;
    case CN_ELU: return x > 0 ? 1 : a * exp(x);
    case CN_GELU: return share(x) + x * bell(x);
    case CN_GELU_TANH:
        return logistic(twice_cubic(x)) +
               x * steepness(twice_cubic(x)) * sqrt(8 / acos(-1.0)) * (1 + 3 * 0.044715 * x * x);
    case CN_SILU: return logistic(x) + x * steepness(x);
    case CN_HARD_SWISH: return x <= -3 ? 0 : x < 3 ? x / 3 + 0.5 : 1;
    case CN_HARD_SIGMOID: return x <= -3 || x >= 3 ? 0 : 1.0 / 6;
    case CN_SIGMOID: return x * (1 - x);
    default: return 1 - x * x;
    }
}

/* Roundings of a function: exp errs by 3 u (u = epsilon / 2), the sums, products and quotients around it by at most 5 u
   of their sizes, which are no larger than 1 + |x|; halved arguments of exp add |argument| u e^argument < u. */
static void test_function(cn_function f, ptrdiff_t n) {
    const int of_result = f == CN_SIGMOID || f == CN_TANH;
    const void *x = integers(0, n), *dy = integers(1, n);
    void *saved = take(2, n, item), *y = filled(3, n, 7), *dx = filled(4, n, 7);
    for (ptrdiff_t i = 0; i < n; i++) put((void *)x, i, get(x, i) * 0.75);
    begin("activation", (ptrdiff_t)f, n, 0, 0);
    for (ptrdiff_t i = 0; i < n; i++) {
        put(saved, i, of_result ? 0.125 * (draw(7) + 1) : get(x, i));
        expected[i] = function_of(f, get(x, i), 0.5);
        bound[i] = 4 * epsilon() * (1 + fabs(get(x, i)));
    }
    kernels->activation(y, x, n, f, 0.5);
    check_within_bound("y", y, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        expected[i] = get(dy, i) * slope_of(f, get(saved, i), 0.5);
        bound[i] = 8 * epsilon() * fabs(get(dy, i)) * (1 + fabs(get(x, i)));
    }
    kernels->activation_gradient(dx, dy, saved, n, f, 0.5);
    check_within_bound("dx", dx, n);
    check_fronts();
}

/* ---- PReLU, softmax ----------------------------------------------------------------------------------------------- */

static void test_prelu(ptrdiff_t n, ptrdiff_t row) {
    const void *x = integers(0, n), *dy = integers(1, n), *slope = integers(2, row);
    void *y = filled(3, n, 7), *dx = filled(4, n, 7), *sums = integers(5, row);
    begin("prelu", n, row, 0, 0);
    for (ptrdiff_t i = 0; i < n; i++) expected[i] = get(x, i) * (get(x, i) > 0 ? 1 : get(slope, i % row));
    kernels->prelu(y, x, slope, n, row);
    check_equal("y", y, n);
    expect_unchanged(sums, row);
    for (ptrdiff_t i = 0; i < n; i++) expected[i % row] += get(x, i) > 0 ? 0 : get(dy, i) * get(x, i);
    kernels->prelu_gradient(dx, sums, dy, x, slope, n, row);
    check_equal("sums", sums, row);
    for (ptrdiff_t i = 0; i < n; i++) expected[i] = get(dy, i) * (get(x, i) > 0 ? 1 : get(slope, i % row));
    check_equal("dx", dx, n);
    check_fronts();
}

static void test_softmax_gradient(ptrdiff_t rows, ptrdiff_t classes) {
    const void *dp = integers(0, rows * classes), *p = integers(1, rows * classes);
    void *dx = filled(2, rows * classes, 7);
    begin("softmax_gradient", rows, classes, 0, 0);
    for (ptrdiff_t r = 0; r < rows; r++) {
        double sum = 0;
        for (ptrdiff_t i = r * classes; i < (r + 1) * classes; i++) sum += get(dp, i) * get(p, i);
        for (ptrdiff_t i = r * classes; i < (r + 1) * classes; i++) expected[i] = get(p, i) * (get(dp, i) - sum);
    }
    kernels->softmax_gradient(dx, dp, p, rows, classes);
    check_equal("dx", dx, rows * classes);
    check_fronts();
}

/* ---- local response normalisation --------------------------------------------------------------------------------- */

static double square_sum(const void *x, const cn_response *r, ptrdiff_t pixel, ptrdiff_t j) {
    double sum = 0;
    for (ptrdiff_t i = j - r->before; i <= j + r->after; i++)
        if (i >= 0 && i < r->channels) sum += pow(get(x, pixel * r->channels + i), 2);
    return r->offset + r->scale * sum;
}

/* Sums of small integers times a power of 2 are exact; roots, quotients, products and libm's pow round 6 times, the
   gradient's sum of `window` terms as often more. */
static void test_local_response(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t before, ptrdiff_t after, double power) {
    const ptrdiff_t n = pixels * channels;
    cn_response r = {pixels, channels, before, after, 0.25, power, 2, NULL};
    r.scratch = filled(4, 2 * (channels + before + after + kernels->lanes), NAN);
    const void *x = integers(0, n), *dy = integers(1, n);
    void *y = filled(2, n, 7), *dx = filled(3, n, 7);
    begin("local_response", channels, before, after, (ptrdiff_t)(power * 100));
    for (ptrdiff_t i = 0; i < n; i++) {
        expected[i] = get(x, i) * pow(square_sum(x, &r, i / channels, i % channels), -power);
        bound[i] = 3 * epsilon() * fabs(expected[i]);
    }
    kernels->local_response(y, x, &r);
    check_within_bound("y", y, n);
    for (ptrdiff_t i = 0; i < n; i++) {
        const ptrdiff_t pixel = i / channels, j = i % channels;
        const double direct = get(dy, i) * pow(square_sum(x, &r, pixel, j), -power);
        double sum = 0, size = 0;
        for (ptrdiff_t k = j - after; k <= j + before; k++) {
            if (k < 0 || k >= channels) continue;
            const ptrdiff_t at = pixel * channels + k;
            const double term = get(dy, at) * get(x, at) * pow(square_sum(x, &r, pixel, k), -power - 1);
            sum += term, size += fabs(term);
        }
        expected[i] = direct - 2 * r.scale * power * get(x, i) * sum;
        bound[i] =
            (6 + (double)(before + after)) * epsilon() * (fabs(direct) + 2 * r.scale * power * fabs(get(x, i)) * size);
    }
    kernels->local_response_gradient(dx, dy, x, &r);
    check_within_bound("dx", dx, n);
    check_fronts();
}

/* ---- blending ------------------------------------------------------------------------------------------------------ */

static void test_blend(ptrdiff_t rows, ptrdiff_t n) {
    enum { SOURCES = 5, MOST_TAPS = 3 };
    const ptrdiff_t step = n + 2;
    const void *x = integers(0, SOURCES * step), *weight = integers(1, rows * MOST_TAPS);
    int32_t *first = take(2, rows + 1, sizeof *first), *source = take(3, rows * MOST_TAPS, sizeof *source);
    void *y = filled(4, rows * n, 7);
    begin("blend", rows, n, 0, 0);
    first[0] = 0;
    for (ptrdiff_t o = 0; o < rows; o++) {
        first[o + 1] = first[o] + draw(MOST_TAPS + 1);
        for (ptrdiff_t j = 0; j < n; j++) expected[o * n + j] = 0;
        for (int32_t t = first[o]; t < first[o + 1]; t++) {
            source[t] = draw(SOURCES);
            for (ptrdiff_t j = 0; j < n; j++) expected[o * n + j] += get(weight, t) * get(x, source[t] * step + j);
        }
    }
    kernels->blend(y, x, &(cn_blend){rows, n, step, first, source, weight});
    check_equal("y", y, rows * n);
    check_fronts();
}

static void test_table(void) {
    for (int f = CN_LEAKY_RELU; f <= CN_TANH; f++)
        for (ptrdiff_t n = 0; n <= 70; n++) test_function((cn_function)f, n);
    for (ptrdiff_t row = 1; row <= 40; row++)
        for (ptrdiff_t n = 0; n <= 3 * row; n += row) test_prelu(n, row), test_softmax_gradient(n / row, row);
    for (ptrdiff_t channels = 1; channels <= 40; channels++)
        for (int window = 0; window < 4; window++) {
            const double powers[] = {0.75, 0.5, 1, 0.6};
            test_local_response(draw(4), channels, window / 2 + draw(2), window - window / 2, powers[window]);
        }
    for (ptrdiff_t n = 1; n <= 40; n++) test_blend(draw(7), n);
}

int main(int argc, char **argv) { return test_instruction_sets(argc, argv); }
