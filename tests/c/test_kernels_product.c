/* The product, and what packs, scatters, adds and transposes around it. */
#include "kernel_cases.h"

/* ---- the product ---------------------------------------------------------------------------------------------- */

enum { PACKED = 1, BIAS = 2, ACCUMULATE = 4, COLUMNS_OF_A = 8, TWO_CHAINS = 16, MODES = 32 };

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
        .two_chains = mode & TWO_CHAINS,
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

/* ---- products of rows with rows ------------------------------------------------------------------------------- */

static void test_dots_of(ptrdiff_t rows, ptrdiff_t depth, ptrdiff_t cols) {
    const ptrdiff_t x_row = depth + draw(3), w_row = depth + draw(3), y_row = cols + draw(3);
    const ptrdiff_t y_elements = (rows - 1) * y_row + cols;
    const cn_dots d = {
        .rows = rows,
        .depth = depth,
        .cols = cols,
        .x = integers(0, (rows - 1) * x_row + depth),
        .x_row = x_row,
        .w = integers(1, (cols - 1) * w_row + depth),
        .w_row = w_row,
        .bias = draw(2) ? integers(2, cols) : NULL,
        .y = filled(3, y_elements, NAN),
        .y_row = y_row,
    };
    begin("dots", rows, depth, cols, 0);
    expect_unchanged(d.y, y_elements);
    for (ptrdiff_t r = 0; r < rows; r++)
        for (ptrdiff_t j = 0; j < cols; j++) {
            double sum = d.bias ? get(d.bias, j) : 0;
            for (ptrdiff_t k = 0; k < depth; k++) sum += get(d.x, r * x_row + k) * get(d.w, j * w_row + k);
            expected[r * y_row + j] = sum;
        }
    kernels->dots(&d);
    check_equal("y", d.y, y_elements);
    check_fronts();
}

static void test_dots(void) {
    for (ptrdiff_t rows = 1; rows <= 10; rows++)
        for (ptrdiff_t cols = 1; cols <= 15; cols++)
            for (ptrdiff_t depth = 1; depth <= 40; depth += 1 + draw(4)) test_dots_of(rows, depth, cols);
}

/* ---- moving elements ------------------------------------------------------------------------------------------ */

/* Places of `run` elements, `step` rows apart, the last one first. */
static const int32_t *places(int i, ptrdiff_t run, ptrdiff_t step) { return offsets(i, run, (run - 1) * step, -step); }

static void test_pack_of(ptrdiff_t run, ptrdiff_t cols, ptrdiff_t count, ptrdiff_t col_stride, int holes) {
    const ptrdiff_t lanes = kernels->lanes, size = run * count * lanes, src_step = (cols - 1) * col_stride + run;
    const void *src = integers(0, count * src_step);
    int32_t *place = (int32_t *)places(1, run, count);
    void *packed = filled(2, size, NAN);
    begin("pack", run, cols, count, holes);
    expect_unchanged(packed, size);
    for (ptrdiff_t m = 0; m < run; m++) {
        if (holes && draw(2)) place[m] = -1;
        for (ptrdiff_t r = 0; r < count && place[m] >= 0; r++)
            for (ptrdiff_t j = 0; j < lanes; j++)
                expected[(place[m] + r) * lanes + j] = j < cols ? get(src, r * src_step + m + j * col_stride) : 0;
    }
    kernels->pack(packed, src, place, run, cols, col_stride, count, src_step);
    check_equal("packed", packed, size);
    check_fronts();
}

static void test_pack(void) {
    for (ptrdiff_t run = 1; run <= 40; run++)
        for (ptrdiff_t cols = 1; cols <= kernels->lanes; cols++)
            for (ptrdiff_t count = 1; count <= 3; count++)
                for (int holes = 0; holes < 2; holes++) {
                    test_pack_of(run, cols, count, run, holes);
                    test_pack_of(run, cols, count, 2 * run + 1, holes);
                }
}

static void test_scatter_add(void) {
    for (ptrdiff_t run = 1; run <= 40; run++)
        for (ptrdiff_t cols = 1; cols <= 40; cols++) {
            const ptrdiff_t src_row = cols + draw(4), col_stride = run + draw(3), size = (cols - 1) * col_stride + run;
            const void *src = integers(0, (run - 1) * src_row + cols);
            const int32_t *place = places(1, run, 1);
            void *dst = integers(2, size);
            begin("scatter_add", run, cols, src_row, (int)col_stride);
            expect_unchanged(dst, size);
            for (ptrdiff_t j = 0; j < cols; j++)
                for (ptrdiff_t m = 0; m < run; m++) expected[m + j * col_stride] += get(src, place[m] * src_row + j);
            kernels->scatter_add(dst, src, place, run, col_stride, cols, src_row);
            check_equal("dst", dst, size);
            check_fronts();
        }
}

static void test_columns(void) {
    const ptrdiff_t lanes = kernels->lanes;
    for (ptrdiff_t rows = 1; rows <= 5; rows++)
        for (ptrdiff_t cols = 1; cols <= 70; cols++) {
            const ptrdiff_t src_row = cols + draw(3), vector = (rows + draw(2)) * lanes;
            const ptrdiff_t size = (vectors(cols) - 1) * vector + rows * lanes;
            const void *src = integers(0, (rows - 1) * src_row + cols);
            void *dst = integers(1, size);
            begin("columns", rows, cols, src_row, vector);
            expect_unchanged(dst, size);
            for (ptrdiff_t r = 0; r < rows; r++)
                for (ptrdiff_t j = 0; j < vectors(cols) * lanes; j++)
                    expected[j / lanes * vector + r * lanes + j % lanes] = j < cols ? get(src, r * src_row + j) : 0;
            kernels->columns(dst, src, rows, cols, src_row, vector);
            check_equal("dst", dst, size);
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

/* Wherever the one number stands. */
static void test_all_finite(void) {
    const double poison[] = {NAN, INFINITY, -INFINITY};
    for (ptrdiff_t n = 0; n <= 150; n++)
        for (ptrdiff_t at = -1; at < n; at += 1 + draw(5)) {
            void *x = filled(0, n, item == 4 ? FLT_MAX : DBL_MAX);
            if (at >= 0) put(x, at, poison[n % 3]);
            begin("all_finite", n, at, 0, 0);
            check((kernels->all_finite(x, n) != 0) == (at < 0), "x", at, 0, at < 0);
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

/* ---------------------------------------------------------------------------------------------------------------- */

static void test_table(void) {
    test_product();
    test_dots();
    test_pack();
    test_scatter_add();
    test_columns();
    test_add();
    test_column_sums();
    test_all_finite();
    test_transpose();
}

int main(int count, char **names) { return test_instruction_sets(count, names); }
