/* Batch normalisation, and the sum of two maps. */
#include "kernel_cases.h"

enum { MOST_CHANNELS = 160, MOST_PIXELS = 80 };

static double mean[MOST_CHANNELS], squares[MOST_CHANNELS], got_mean[MOST_CHANNELS], got_squares[MOST_CHANNELS];

/* `fold` times the channels, each in the buffer's type. */
static void *constants(int buffer, const double *values, ptrdiff_t channels, ptrdiff_t fold) {
    void *row = take(buffer, channels * fold, item);
    for (ptrdiff_t i = 0; i < channels * fold; i++) put(row, i, values[i % channels]);
    return row;
}

static void check_doubles(const char *what, const double *got, const double *exact, ptrdiff_t n) {
    ptrdiff_t i = 0;
    while (i < n && fabs(got[i] - exact[i]) <= bound[i]) i++;
    check(i == n, what, i, i < n ? got[i] : 0, i < n ? exact[i] : 0);
}

/* Deviations d are at most 8, with u = epsilon / 2 rounded by 8 u each. A sum of K terms errs by at most K u times the
   sum of their sizes: that of d, divided by K, by (K + 2) 4 epsilon, that of d * d by K (K + 3) 32 epsilon. */
static void test_moments_of(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t fold, double shift) {
    void *x = integers(0, pixels * channels), *scratch = take(1, 3 * fold * channels, item);
    for (ptrdiff_t i = 0; i < pixels * channels; i++) put(x, i, get(x, i) + shift);
    begin("moments", pixels, channels, fold, (ptrdiff_t)shift);
    for (ptrdiff_t j = 0; j < channels; j++) {
        mean[j] = squares[j] = 0;
        for (ptrdiff_t p = 0; p < pixels; p++) mean[j] += get(x, p * channels + j);
        mean[j] /= (double)pixels;
        for (ptrdiff_t p = 0; p < pixels; p++) squares[j] += pow(get(x, p * channels + j) - mean[j], 2);
    }
    kernels->moments(got_mean, got_squares, x, pixels, channels, fold, scratch);
    for (ptrdiff_t j = 0; j < channels; j++)
        bound[j] = 4 * ((double)pixels + 2) * epsilon() + 4 * DBL_EPSILON * fabs(shift);
    check_doubles("mean", got_mean, mean, channels);
    for (ptrdiff_t j = 0; j < channels; j++)
        bound[j] =
            32 * (double)pixels * ((double)pixels + 3) * epsilon() + 64 * DBL_EPSILON * fabs(shift) * (double)pixels;
    check_doubles("squares", got_squares, squares, channels);
    check_fronts();
}

/* ---- the map and its gradient, exact: the constants are small integers too -------------------------------------- */

static double offset_of(const void *row, ptrdiff_t i, ptrdiff_t channels) { return get(row, i % channels); }

static double normalized(const cn_norm *norm, const void *x, ptrdiff_t i) {
    const ptrdiff_t c = norm->channels;
    return (get(x, i) - offset_of(norm->mean, i, c)) * offset_of(norm->scale, i, c) + offset_of(norm->shift, i, c);
}

static cn_norm draw_norm(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t fold, int relu) {
    static double values[5][MOST_CHANNELS];
    for (int i = 0; i < 5; i++)
        for (ptrdiff_t j = 0; j < channels; j++) values[i][j] = draw(9) - 4;
    return (cn_norm){pixels,
                     channels,
                     fold,
                     constants(3, values[0], channels, fold),
                     constants(4, values[1], channels, fold),
                     constants(5, values[2], channels, fold),
                     constants(6, values[3], channels, fold),
                     constants(7, values[4], channels, fold),
                     relu,
                     ceiling_of(relu)};
}

static void test_normalize_of(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t fold, int adds, int relu) {
    const ptrdiff_t n = pixels * channels;
    const void *x = integers(0, n), *add = adds ? integers(1, n) : NULL;
    void *y = filled(2, n, 7);
    const cn_norm norm = draw_norm(pixels, channels, fold, relu);
    begin("normalize", pixels, channels, fold, RELUS * adds + relu);
    for (ptrdiff_t i = 0; i < n; i++) {
        expected[i] = rectified(normalized(&norm, x, i) + (adds ? get(add, i) : 0), relu);
    }
    kernels->normalize(y, x, add, &norm);
    check_equal("y", y, n);
    check_fronts();
}

static double sums[MOST_CHANNELS], dots[MOST_CHANNELS], got_sums[MOST_CHANNELS], got_dots[MOST_CHANNELS];

/* Sums of integers, exact in any order. y and masked share no buffer with the constants that this kernel reads. */
static void test_norm_sums_of(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t fold, int adds, int relu) {
    const ptrdiff_t n = pixels * channels;
    const void *dy = integers(0, n), *x = integers(1, n);
    cn_norm norm = draw_norm(pixels, channels, fold, relu);
    norm.relu = relu && !adds;
    const void *y = adds ? integers(6, n) : NULL;
    void *masked = adds ? filled(7, n, 7) : NULL, *scratch = take(2, 2 * fold * channels, item);
    begin("norm_sums", pixels, channels, fold, RELUS * adds + relu);
    for (ptrdiff_t j = 0; j < channels; j++) sums[j] = dots[j] = bound[j] = 0;
    for (ptrdiff_t i = 0; i < n; i++) {
        expected[i] = passes(adds ? get(y, i) : normalized(&norm, x, i), relu) ? get(dy, i) : 0;
        sums[i % channels] += expected[i];
        dots[i % channels] += expected[i] * (get(x, i) - offset_of(norm.mean, i, channels));
    }
    kernels->norm_sums(got_sums, got_dots, masked, dy, x, y, &norm, scratch);
    check_doubles("sums", got_sums, sums, channels);
    check_doubles("dots", got_dots, dots, channels);
    if (adds) check_equal("masked", masked, n);
    check_fronts();
}

static void test_norm_gradient_of(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t fold, int relu) {
    const ptrdiff_t n = pixels * channels;
    const void *dy = integers(0, n), *x = integers(1, n);
    void *dx = filled(2, n, 7);
    const cn_norm norm = draw_norm(pixels, channels, fold, relu);
    begin("norm_gradient", pixels, channels, fold, relu);
    for (ptrdiff_t i = 0; i < n; i++) {
        const double deviation = get(x, i) - offset_of(norm.mean, i, channels);
        const double g = passes(normalized(&norm, x, i), relu) ? get(dy, i) : 0;
        expected[i] = g * offset_of(norm.scale, i, channels) + deviation * offset_of(norm.slope, i, channels) +
                      offset_of(norm.offset, i, channels);
    }
    kernels->norm_gradient(dx, dy, x, &norm);
    check_equal("dx", dx, n);
    check_fronts();
}

/* A NaN marks its channel in everything but the sum of dy, and passes the ReLU. */
static void test_nan(void) {
    const ptrdiff_t pixels = 21, channels = 19, n = pixels * channels;
    void *x = integers(0, n), *y = take(1, n, item), *scratch = take(2, 3 * channels, item);
    put(x, 5 * channels + 3, NAN);
    const cn_norm norm = draw_norm(pixels, channels, 1, 2);
    begin("nan", pixels, channels, 1, 0);
    kernels->moments(got_mean, got_squares, x, pixels, channels, 1, scratch);
    for (ptrdiff_t j = 0; j < channels; j++) {
        check(!isnan(got_mean[j]) == (j != 3), "mean", j, got_mean[j], 0);
        check(!isnan(got_squares[j]) == (j != 3), "squares", j, got_squares[j], 0);
    }
    kernels->normalize(y, x, NULL, &norm);
    for (ptrdiff_t i = 0; i < n; i++) check(!isnan(get(y, i)) == (i != 5 * channels + 3), "y", i, get(y, i), 0);
}

static void test_sum(void) {
    for (ptrdiff_t n = 0; n <= 70; n++)
        for (int relu = 0; relu <= 1; relu++) {
            const void *a = special(0, n), *b = integers(1, n);
            void *y = filled(2, n, 7);
            begin("sum", n, relu, 0, 0);
            for (ptrdiff_t i = 0; i < n; i++) {
                expected[i] = rounded(get(a, i) + get(b, i));
                if (relu && expected[i] <= 0) expected[i] = 0;
            }
            kernels->sum(y, a, b, n, relu);
            check_equal("y", y, n);
            check_fronts();
        }
}

/* ---------------------------------------------------------------------------------------------------------------- */

static void test_shape(ptrdiff_t pixels, ptrdiff_t channels, ptrdiff_t fold) {
    if (channels * fold > MOST_CHANNELS) return;
    test_moments_of(pixels, channels, fold, 0);
    test_moments_of(pixels, channels, fold, 1000);
    for (int relu = 0; relu < RELUS; relu++) {
        test_normalize_of(pixels, channels, fold, 0, relu);
        test_normalize_of(pixels, channels, fold, 1, relu);
        test_norm_sums_of(pixels, channels, fold, 0, relu);
        test_norm_gradient_of(pixels, channels, fold, relu);
    }
    test_norm_sums_of(pixels, channels, fold, 1, 1);
    test_norm_sums_of(pixels, channels, fold, 1, 2);
}

static void test_table(void) {
    const ptrdiff_t folds[] = {1, 2, 3, 16};
    for (ptrdiff_t channels = 1; channels <= 40; channels++)
        for (int f = 0; f < 4; f++)
            for (ptrdiff_t pixels = 1; pixels <= MOST_PIXELS; pixels += pixels < 12 ? 1 : 17)
                test_shape(pixels, channels, folds[f]);
    for (ptrdiff_t channels = 60; channels <= MOST_CHANNELS; channels += 25) test_shape(9, channels, 1);
    test_nan();
    test_sum();
}

int main(int count, char **names) { return test_instruction_sets(count, names); }
