/* Products of rows with rows: both matrices are contiguous along k, so neither is packed and no vector is broadcast.
   Sums of the lanes stay apart until the end. For dense layers, whose weights are too many to be rearranged. */

/* R rows of x by C rows of w: 24 (12) sums hide the latency, and with C + R loads for them in registers too. */
#if defined(CN_SIMD_AVX512) || defined(CN_SIMD_NEON)
#define CN_DOT_ROWS 4
#define CN_DOT_COLS 6
#else
#define CN_DOT_ROWS 3
#define CN_DOT_COLS 4
#endif

/* The sums of the lanes of LANES vectors: lane i belongs to v[i]. Two vectors make one that holds half as many partial
   sums of both, in turn. */
static CN_INLINE V NAME(lane_sums)(V *v) {
    CN_UNROLL for (int n = LANES; n > 1; n /= 2) CN_UNROLL for (int i = 0; i < n / 2; i++) v[i] =
        v_add(v_zip_low(v[i], v[i + n / 2]), v_zip_high(v[i], v[i + n / 2]));
    return v[0];
}

static CN_INLINE void NAME(dot_tile)(const int R, const int C, const cn_dots *d, const T *x, const T *w, const T *bias,
                                     T *y) {
    enum { MOST = CN_DOT_ROWS * CN_DOT_COLS, ROOM = (MOST + LANES - 1) / LANES * LANES };
    V acc[ROOM];
    T sums[ROOM];
    const ptrdiff_t depth = d->depth, x_row = d->x_row, w_row = d->w_row;
    ptrdiff_t k = 0;
    CN_UNROLL for (int i = 0; i < ROOM; i++) acc[i] = v_zero();
    for (; k + LANES <= depth; k += LANES) {
        V a[CN_DOT_ROWS];
        CN_UNROLL for (int r = 0; r < R; r++) a[r] = v_load(x + r * x_row + k);
        CN_UNROLL for (int c = 0; c < C; c++) {
            const V b = v_load(w + c * w_row + k);
            CN_UNROLL for (int r = 0; r < R; r++) acc[r * C + c] = v_fma(a[r], b, acc[r * C + c]);
        }
    }
    if (k < depth) {
        CN_UNROLL for (int c = 0; c < C; c++) {
            const V b = v_load_part(w + c * w_row + k, depth - k);
            CN_UNROLL for (int r = 0; r < R; r++) acc[r * C + c] =
                v_fma(v_load_part(x + r * x_row + k, depth - k), b, acc[r * C + c]);
        }
    }
    CN_UNROLL for (int i = 0; i < R * C; i += LANES) v_store(sums + i, NAME(lane_sums)(acc + i));
    CN_UNROLL for (int r = 0; r < R; r++) CN_UNROLL for (int c = 0; c < C; c++) y[r * d->y_row + c] =
        sums[r * C + c] + (bias ? bias[c] : 0);
}

/* All rows of x by C rows of w. */
#define CN_DOT_COLUMNS(C)                                                                                              \
    static void NAME(dot_columns_##C)(const cn_dots *d, const T *w, const T *bias, T *y) {                             \
        ptrdiff_t r = 0;                                                                                               \
        for (; r + CN_DOT_ROWS <= d->rows; r += CN_DOT_ROWS)                                                           \
            NAME(dot_tile)(CN_DOT_ROWS, C, d, (const T *)d->x + r * d->x_row, w, bias, y + r * d->y_row);              \
        for (; r < d->rows; r++) NAME(dot_tile)(1, C, d, (const T *)d->x + r * d->x_row, w, bias, y + r * d->y_row);   \
    }
CN_DOT_COLUMNS(1)
#if CN_DOT_COLS == 6
CN_DOT_COLUMNS(6)
#define CN_DOT_WIDE NAME(dot_columns_6)
#else
CN_DOT_COLUMNS(4)
#define CN_DOT_WIDE NAME(dot_columns_4)
#endif

static void NAME(dots)(const cn_dots *d) {
    ptrdiff_t j = 0;
    const T *w = d->w, *bias = d->bias;
    T *y = d->y;
    for (; j + CN_DOT_COLS <= d->cols; j += CN_DOT_COLS)
        CN_DOT_WIDE(d, w + j * d->w_row, bias ? bias + j : NULL, y + j);
    for (; j < d->cols; j++) NAME(dot_columns_1)(d, w + j * d->w_row, bias ? bias + j : NULL, y + j);
}
#undef CN_DOT_COLUMNS
#undef CN_DOT_WIDE
#undef CN_DOT_ROWS
#undef CN_DOT_COLS
