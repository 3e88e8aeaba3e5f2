/* Winograd's transforms, against matrices that are made here from the points. */
#include "kernel_cases.h"

enum { POINTS = 6, MOST_SIDE = 6 };

static const double points[POINTS - 1] = {0, 5.0 / 8, -5.0 / 8, 3.0 / 2, -3.0 / 2};

/* A matrix for one axis: `rows` results of `cols` elements. */
typedef struct {
    int rows, cols;
    double entry[MOST_SIDE][MOST_SIDE];
} matrix;

static double share(int point) {
    double product = 1;
    for (int q = 0; q < POINTS - 1; q++)
        if (q != point) product *= points[point] - points[q];
    return 1 / product;
}

/* Of 6 elements of the map: coefficients of the product of (x - q) over the other points, for the last over all. */
static matrix of_input(void) {
    matrix m = {POINTS, POINTS, {{0}}};
    for (int p = 0; p < POINTS; p++) {
        int degree = 0;
        m.entry[p][0] = 1;
        for (int q = 0; q < POINTS - 1; q++)
            if (q != p) {
                for (int k = ++degree; k > 0; k--) m.entry[p][k] = m.entry[p][k - 1] - points[q] * m.entry[p][k];
                m.entry[p][0] *= -points[q];
            }
    }
    return m;
}

/* Powers of the points, for `count` coefficients; infinity stands for the last one. */
static matrix powers(int count, int shared) {
    matrix m = {POINTS, count, {{0}}};
    for (int p = 0; p < POINTS - 1; p++)
        for (int k = 0; k < count; k++) m.entry[p][k] = pow(points[p], k) * (shared ? share(p) : 1);
    m.entry[POINTS - 1][count - 1] = 1;
    return m;
}

static matrix transposed(matrix m) {
    matrix t = {m.cols, m.rows, {{0}}};
    for (int i = 0; i < m.rows; i++)
        for (int j = 0; j < m.cols; j++) t.entry[j][i] = m.entry[i][j];
    return t;
}

/* Expect m * from * m' at expected[i * to_row + j * to_col], within 16 epsilon of the absolute sum: at most 10 roundings. */
static void expect_both_axes(const matrix *m, double from[MOST_SIDE][MOST_SIDE], ptrdiff_t at, ptrdiff_t to_row,
                             ptrdiff_t to_col) {
    for (int i = 0; i < m->rows; i++)
        for (int j = 0; j < m->rows; j++) {
            double sum = 0, size = 0;
            for (int k = 0; k < m->cols; k++)
                for (int l = 0; l < m->cols; l++) {
                    const double term = m->entry[i][k] * from[k][l] * m->entry[j][l];
                    sum += term;
                    size += fabs(term);
                }
            expected[at + i * to_row + j * to_col] = sum;
            bound[at + i * to_row + j * to_col] = 16 * epsilon() * size;
        }
}

static void leave(const void *p, ptrdiff_t n) {
    expect_unchanged(p, n);
    for (ptrdiff_t i = 0; i < n; i++) bound[i] = 0;
}

static void check_changed(const char *what, const void *p, ptrdiff_t n) {
    check_within_bound(what, p, n);
    check_fronts();
}

/* ---- a map, a gradient ------------------------------------------------------------------------------------------ */

static void test_tile_of(int span, ptrdiff_t channels, cn_winograd_tile t) {
    const matrix m = span == 6 ? of_input() : powers(4, 0);
    const ptrdiff_t rows = t.end_row - t.first_row, cols = t.end_col - t.first_col, padded = vectors(channels);
    const ptrdiff_t width = padded * kernels->lanes, exists = rows > 0 && cols > 0;
    t.channels = channels, t.pixel_step = channels + draw(3), t.row_step = (cols + draw(2)) * t.pixel_step + draw(2);
    t.plane = width + draw(3);
    const ptrdiff_t x_size = exists ? (rows - 1) * t.row_step + (cols - 1) * t.pixel_step + channels : 0;
    const void *x = integers(0, x_size);
    const ptrdiff_t size = 35 * t.plane + width;
    void *planes = filled(1, size, 7);
    begin(span == 6 ? "winograd_input" : "winograd_gradient", channels, t.first_row, t.end_row, t.first_col);
    leave(planes, size);
    for (ptrdiff_t c = 0; c < width; c++) {
        double tile[MOST_SIDE][MOST_SIDE] = {{0}};
        for (ptrdiff_t i = t.first_row; i < t.end_row; i++)
            for (ptrdiff_t j = t.first_col; c < channels && j < t.end_col; j++)
                tile[i][j] = get(x, (i - t.first_row) * t.row_step + (j - t.first_col) * t.pixel_step + c);
        expect_both_axes(&m, tile, c, 6 * t.plane, t.plane);
    }
    (span == 6 ? kernels->winograd_input : kernels->winograd_gradient)(planes, x, &t);
    check_changed("planes", planes, size);
}

static void test_tiles(int span) {
    for (ptrdiff_t channels = 1; channels <= 40; channels++) {
        test_tile_of(span, channels, (cn_winograd_tile){.end_row = span, .end_col = span});
        for (int i = 0; i < 12; i++) {
            cn_winograd_tile t = {.first_row = draw(span), .first_col = draw(span)};
            t.end_row = t.first_row + draw(span + 1 - (int)t.first_row);
            t.end_col = t.first_col + draw(span + 1 - (int)t.first_col);
            test_tile_of(span, channels, t);
        }
    }
}

/* ---- outputs ---------------------------------------------------------------------------------------------------- */

static void test_output_of(ptrdiff_t channels, ptrdiff_t rows, ptrdiff_t cols, int biased, int relu) {
    const matrix m = transposed(powers(4, 0));
    const ptrdiff_t width = vectors(channels) * kernels->lanes;
    cn_winograd_tile t = {.end_row = rows, .end_col = cols, .channels = channels, .plane = width + draw(3)};
    t.pixel_step = channels + draw(3), t.row_step = cols * t.pixel_step + draw(2);
    const void *planes = integers(0, 35 * t.plane + width), *bias = biased ? integers(2, channels) : NULL;
    const ptrdiff_t size = (rows - 1) * t.row_step + (cols - 1) * t.pixel_step + channels;
    void *y = filled(1, size, 7);
    begin("winograd_output", channels, rows, cols, RELUS * biased + relu);
    leave(y, size);
    for (ptrdiff_t c = 0; c < channels; c++) {
        double tile[MOST_SIDE][MOST_SIDE];
        const ptrdiff_t out = MOST_VALUES - 64; /* all 16 outputs, before those that exist are taken */
        for (int p = 0; p < 36; p++) tile[p / 6][p % 6] = get(planes, p * t.plane + c);
        expect_both_axes(&m, tile, out, 4, 1);
        for (ptrdiff_t i = 0; i < rows; i++)
            for (ptrdiff_t j = 0; j < cols; j++) {
                const ptrdiff_t at = i * t.row_step + j * t.pixel_step + c;
                const double sum = expected[out + 4 * i + j] + (bias ? get(bias, c) : 0);
                expected[at] = rectified(sum, relu);
                bound[at] = bound[out + 4 * i + j] + epsilon() * fabs(sum);
            }
    }
    kernels->winograd_output(y, planes, bias, relu, ceiling_of(relu), &t);
    check_changed("y", y, size);
}

static void test_output(void) {
    for (ptrdiff_t channels = 1; channels <= 40; channels++)
        for (int mode = 0; mode < 2 * RELUS; mode++) {
            test_output_of(channels, 4, 4, mode & 1, mode >> 1);
            test_output_of(channels, 1 + draw(4), 1 + draw(4), mode & 1, mode >> 1);
        }
}

static void test_output_passes_nan(void) {
    const ptrdiff_t lanes = kernels->lanes;
    const cn_winograd_tile t = {
        .end_row = 4, .end_col = 4, .channels = lanes, .plane = lanes, .pixel_step = lanes, .row_step = 4 * lanes};
    void *planes = filled(0, 36 * lanes, 1), *y = filled(1, 16 * lanes, 7);
    begin("winograd_output", lanes, 4, 4, 0);
    put(planes, 0, NAN);
    kernels->winograd_output(y, planes, NULL, 1, 6, &t);
    check(isnan(get(y, 0)), "NaN behind the ReLU", 0, get(y, 0), NAN);
    check_fronts();
}

/* ---- weights ---------------------------------------------------------------------------------------------------- */

static void test_weights_of(ptrdiff_t depth, ptrdiff_t cols, int flip, int rows_first) {
    const matrix m = powers(3, 1);
    const ptrdiff_t lanes = kernels->lanes, plane = depth * lanes + draw(3), size = 35 * plane + depth * lanes;
    const ptrdiff_t k_stride = rows_first ? 9 : 9 * cols, col_stride = rows_first ? 9 * depth : 9;
    const void *w = integers(0, 9 * depth * cols);
    void *planes = filled(1, size, 7);
    begin("winograd_weights", depth, cols, flip, rows_first);
    leave(planes, size);
    for (ptrdiff_t i = 0; i < depth * lanes; i++) {
        const ptrdiff_t k = i / lanes, col = i % lanes;
        double taps[MOST_SIDE][MOST_SIDE];
        for (int t = 0; t < 9; t++)
            taps[t / 3][t % 3] = col < cols ? get(w, k * k_stride + col * col_stride + (flip ? 8 - t : t)) : 0;
        expect_both_axes(&m, taps, i, 6 * plane, plane);
    }
    kernels->winograd_weights(planes, w, depth, k_stride, cols, col_stride, flip, plane);
    check_changed("planes", planes, size);
}

static void test_weights(void) {
    for (ptrdiff_t depth = 1; depth <= 9; depth++)
        for (ptrdiff_t cols = 1; cols <= kernels->lanes; cols++)
            for (int mode = 0; mode < 4; mode++) test_weights_of(depth, cols, mode & 1, mode >> 1);
}

static void test_taps(void) {
    matrix m = transposed(powers(3, 1));
    const ptrdiff_t lanes = kernels->lanes;
    for (ptrdiff_t count = 1; count <= 9; count++) {
        const ptrdiff_t step = lanes + draw(3), plane = count * step + draw(3), size = 9 * count * lanes;
        const void *planes = integers(0, 35 * plane + (count - 1) * step + lanes);
        void *w = filled(1, size, 7);
        begin("winograd_taps", count, step, plane, 0);
        leave(w, size);
        for (ptrdiff_t i = 0; i < count * lanes; i++) {
            double sums[MOST_SIDE][MOST_SIDE];
            for (int p = 0; p < 36; p++) sums[p / 6][p % 6] = get(planes, p * plane + i / lanes * step + i % lanes);
            expect_both_axes(&m, sums, i / lanes * 9 * lanes + i % lanes, 3 * lanes, lanes);
        }
        kernels->winograd_taps(w, planes, count, step, plane);
        check_changed("w", w, size);
    }
}

static void test_table(void) {
    test_tiles(6);
    test_tiles(4);
    test_output();
    test_output_passes_nan();
    test_weights();
    test_taps();
}

int main(int count, char **names) { return test_instruction_sets(count, names); }
