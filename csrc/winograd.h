/* Winograd's convolution with 3 x 3 taps: transforms of one tile, vectors running over channels.

   Along one axis, 4 outputs of 3 taps (or 3 outputs of 4) take 6 products, of what the factors are worth at 6 points:
   0, +-a, +-b and infinity. tests/winograd_oracle.py derives the matrices below from the points; 5/8 and 3/2 are exact
   in binary and their errors among the smallest (4.8 times those of the direct sum; 0, +-1, +-2 give 10.8). A tile is
   6 x 6 such values, which lie `plane` elements apart.
   Lavin and Gray, "Fast algorithms for convolutional neural networks" (arXiv:1509.09308). */

#define CN_A (5.0 / 8)
#define CN_B (3.0 / 2)
#define CN_AA (CN_A * CN_A)
#define CN_BB (CN_B * CN_B)
/* One over the product of a point's differences to the other finite points: the filters' share. */
#define CN_SHARE_0 (1 / (CN_AA * CN_BB))
#define CN_SHARE_A (1 / (2 * CN_AA * (CN_AA - CN_BB)))
#define CN_SHARE_B (1 / (2 * CN_BB * (CN_BB - CN_AA)))

/* even + odd * p at +p and -p */
static CN_INLINE void NAME(at_both_signs)(V *at_plus, V *at_minus, double p, V even, V odd) {
    *at_plus = v_fma(v_set1((T)p), odd, even);
    *at_minus = v_fma(v_set1((T)-p), odd, even);
}

/* Six elements of the map. Each point's row holds the coefficients of the product of (x - other point). */
static CN_INLINE void NAME(input_at_points)(V *at, const V *d) {
    const V aa = v_set1((T)-CN_AA), bb = v_set1((T)-CN_BB);
    const V even = v_fma(aa, d[2], d[4]), odd = v_fma(aa, d[1], d[3]);
    at[0] = v_fma(bb, v_fma(aa, d[0], d[2]), even);
    NAME(at_both_signs)(at + 1, at + 2, CN_A, v_fma(bb, d[2], d[4]), v_fma(bb, d[1], d[3]));
    NAME(at_both_signs)(at + 3, at + 4, CN_B, even, odd);
    at[5] = v_fma(bb, odd, v_fma(aa, d[3], d[5]));
}

/* The polynomial of four coefficients. */
static CN_INLINE void NAME(gradient_at_points)(V *at, const V *d) {
    const V aa = v_set1((T)CN_AA), bb = v_set1((T)CN_BB);
    at[0] = d[0];
    NAME(at_both_signs)(at + 1, at + 2, CN_A, v_fma(aa, d[2], d[0]), v_fma(aa, d[3], d[1]));
    NAME(at_both_signs)(at + 3, at + 4, CN_B, v_fma(bb, d[2], d[0]), v_fma(bb, d[3], d[1]));
    at[5] = d[3];
}

/* The polynomial of three coefficients, times the point's share. */
static CN_INLINE void NAME(weights_at_points)(V *at, const V *g) {
    const V share_a = v_set1((T)CN_SHARE_A), share_b = v_set1((T)CN_SHARE_B);
    const V even_a = v_mul(share_a, v_fma(v_set1((T)CN_AA), g[2], g[0]));
    const V even_b = v_mul(share_b, v_fma(v_set1((T)CN_BB), g[2], g[0]));
    at[0] = v_mul(v_set1((T)CN_SHARE_0), g[0]);
    NAME(at_both_signs)(at + 1, at + 2, CN_A * CN_SHARE_A, even_a, g[1]);
    NAME(at_both_signs)(at + 3, at + 4, CN_B * CN_SHARE_B, even_b, g[1]);
    at[5] = g[2];
}

/* Four outputs: sums over the points of value times point to the power 0, 1, 2, 3. */
static CN_INLINE void NAME(output_from_points)(V *y, const V *at) {
    const V even_a = v_add(at[1], at[2]), odd_a = v_sub(at[1], at[2]);
    const V even_b = v_add(at[3], at[4]), odd_b = v_sub(at[3], at[4]);
    y[0] = v_add(at[0], v_add(even_a, even_b));
    y[1] = v_fma(v_set1((T)CN_A), odd_a, v_mul(v_set1((T)CN_B), odd_b));
    y[2] = v_fma(v_set1((T)CN_AA), even_a, v_mul(v_set1((T)CN_BB), even_b));
    y[3] = v_fma(v_set1((T)(CN_A * CN_AA)), odd_a, v_fma(v_set1((T)(CN_B * CN_BB)), odd_b, at[5]));
}

/* Three outputs, with the points' shares, which the gradient's transform leaves out. */
static CN_INLINE void NAME(taps_from_points)(V *w, const V *at) {
    const V even_a = v_mul(v_set1((T)CN_SHARE_A), v_add(at[1], at[2]));
    const V even_b = v_mul(v_set1((T)CN_SHARE_B), v_add(at[3], at[4]));
    const V odd_a = v_sub(at[1], at[2]), odd_b = v_sub(at[3], at[4]);
    w[0] = v_fma(v_set1((T)CN_SHARE_0), at[0], v_add(even_a, even_b));
    w[1] = v_fma(v_set1((T)(CN_A * CN_SHARE_A)), odd_a, v_mul(v_set1((T)(CN_B * CN_SHARE_B)), odd_b));
    w[2] = v_fma(v_set1((T)CN_AA), even_a, v_fma(v_set1((T)CN_BB), even_b, at[5]));
}

/* Pixel (i, j) of a tile, 0 outside the map; n lanes exist. */
static CN_INLINE V NAME(tile_pixel)(const T *x, const cn_winograd_tile *t, ptrdiff_t i, ptrdiff_t j, ptrdiff_t n) {
    if (i < t->first_row || i >= t->end_row || j < t->first_col || j >= t->end_col) return v_zero();
    return NAME(load_some)(x + (i - t->first_row) * t->row_step + (j - t->first_col) * t->pixel_step, n);
}

/* One vector of channels of a tile of `span` x `span` pixels: 6 (a map) or 4 (a gradient). `whole`: all pixels and lanes
   exist. */
static CN_INLINE void NAME(tile_at_points)(T *planes, const T *x, const cn_winograd_tile *t, const int span,
                                           const int whole, ptrdiff_t n) {
    V half[6][6], d[6], at[6];
    CN_UNROLL for (int j = 0; j < span; j++) {
        CN_UNROLL for (int i = 0; i < span; i++) d[i] =
            whole ? v_load(x + i * t->row_step + j * t->pixel_step) : NAME(tile_pixel)(x, t, i, j, n);
        if (span == 6)
            NAME(input_at_points)(at, d);
        else
            NAME(gradient_at_points)(at, d);
        CN_UNROLL for (int i = 0; i < 6; i++) half[i][j] = at[i];
    }
    CN_UNROLL for (int i = 0; i < 6; i++) {
        if (span == 6)
            NAME(input_at_points)(at, half[i]);
        else
            NAME(gradient_at_points)(at, half[i]);
        CN_UNROLL for (int j = 0; j < 6; j++) v_store(planes + (6 * i + j) * t->plane, at[j]);
    }
}

static CN_INLINE void NAME(channels_at_points)(T *planes, const T *x, const cn_winograd_tile *t, const int span) {
    const int inside = t->first_row == 0 && t->end_row == span && t->first_col == 0 && t->end_col == span;
    ptrdiff_t j = 0;
    for (; inside && j + LANES <= t->channels; j += LANES) NAME(tile_at_points)(planes + j, x + j, t, span, 1, LANES);
    for (; j < t->channels; j += LANES) {
        const ptrdiff_t n = t->channels - j < LANES ? t->channels - j : LANES;
        NAME(tile_at_points)(planes + j, x + j, t, span, 0, n);
    }
}

static void NAME(winograd_input)(void *planes, const void *x, const cn_winograd_tile *tile) {
    NAME(channels_at_points)(planes, x, tile, 6);
}

static void NAME(winograd_gradient)(void *planes, const void *dy, const cn_winograd_tile *tile) {
    NAME(channels_at_points)(planes, dy, tile, 4);
}

static CN_INLINE void NAME(output_rows)(V half[6][4], const T *planes, ptrdiff_t plane) {
    V at[6];
    CN_UNROLL for (int i = 0; i < 6; i++) {
        CN_UNROLL for (int j = 0; j < 6; j++) at[j] = v_load(planes + (6 * i + j) * plane);
        NAME(output_from_points)(half[i], at);
    }
}

/* One vector of channels of 4 x 4 outputs. */
static CN_INLINE void NAME(output_vector)(T *y, const T *planes, const T *bias, int relu, T ceiling,
                                          const cn_winograd_tile *t, const int whole, ptrdiff_t n) {
    V half[6][4], at[6], out[4];
    const V start = bias ? NAME(load_some)(bias, n) : v_zero();
    NAME(output_rows)(half, planes, t->plane);
    CN_UNROLL for (int j = 0; j < 4; j++) {
        CN_UNROLL for (int i = 0; i < 6; i++) at[i] = half[i][j];
        NAME(output_from_points)(out, at);
        CN_UNROLL for (int i = 0; i < 4; i++) {
            V sum = v_add(out[i], start);
            if (relu) sum = NAME(rectified)(sum, ceiling);
            if (whole)
                v_store(y + i * t->row_step + j * t->pixel_step, sum);
            else if (i < t->end_row && j < t->end_col)
                NAME(store_some)(y + i * t->row_step + j * t->pixel_step, sum, n);
        }
    }
}

static void NAME(winograd_output)(void *y, const void *planes, const void *bias, int relu, double ceiling,
                                  const cn_winograd_tile *tile) {
    const int inside = tile->end_row == 4 && tile->end_col == 4;
    for (ptrdiff_t j = 0; j < tile->channels; j += LANES) {
        const ptrdiff_t n = tile->channels - j < LANES ? tile->channels - j : LANES;
        const T *from = (const T *)planes + j, *start = bias ? (const T *)bias + j : NULL;
        if (inside && n == LANES)
            NAME(output_vector)((T *)y + j, from, start, relu, (T)ceiling, tile, 1, n);
        else
            NAME(output_vector)((T *)y + j, from, start, relu, (T)ceiling, tile, 0, n);
    }
}

/* The nine taps of `cols` filters, `col_stride` apart, as nine vectors; 0 in lanes behind. */
static CN_INLINE void NAME(load_taps)(T *taps, const T *w, ptrdiff_t cols, ptrdiff_t col_stride) {
    int t = 0;
    if (cols == LANES && LANES > 9) {
        NAME(transpose_block)(taps, w, LANES, 9, LANES, col_stride);
        return;
    }
    for (; cols == LANES && t + LANES <= 9; t += LANES)
        NAME(transpose_block)(taps + t * LANES, w + t, LANES, LANES, LANES, col_stride);
    for (; t < 9; t++)
        for (ptrdiff_t i = 0; i < LANES; i++) taps[t * LANES + i] = i < cols ? w[i * col_stride + t] : 0;
}

static void NAME(winograd_weights)(void *planes, const void *w, ptrdiff_t depth, ptrdiff_t k_stride, ptrdiff_t cols,
                                   ptrdiff_t col_stride, int flip, ptrdiff_t plane) {
    const ptrdiff_t first = flip ? 8 : 0, step = flip ? -1 : 1;
    for (ptrdiff_t k = 0; k < depth; k++) {
        T taps[9 * LANES], *to = (T *)planes + k * LANES;
        V half[6][3], g[3], at[6];
        NAME(load_taps)(taps, (const T *)w + k * k_stride, cols, col_stride);
        CN_UNROLL for (int j = 0; j < 3; j++) {
            CN_UNROLL for (int i = 0; i < 3; i++) g[i] = v_load(taps + (first + (3 * i + j) * step) * LANES);
            NAME(weights_at_points)(at, g);
            CN_UNROLL for (int i = 0; i < 6; i++) half[i][j] = at[i];
        }
        CN_UNROLL for (int i = 0; i < 6; i++) {
            NAME(weights_at_points)(at, half[i]);
            CN_UNROLL for (int j = 0; j < 6; j++) v_store(to + (6 * i + j) * plane, at[j]);
        }
    }
}

static void NAME(winograd_taps)(void *w, const void *planes, ptrdiff_t count, ptrdiff_t step, ptrdiff_t plane) {
    for (ptrdiff_t k = 0; k < count; k++) {
        const T *from = (const T *)planes + k * step;
        T *to = (T *)w + 9 * k * LANES;
        V half[6][3], at[6], out[3];
        CN_UNROLL for (int i = 0; i < 6; i++) {
            CN_UNROLL for (int j = 0; j < 6; j++) at[j] = v_load(from + (6 * i + j) * plane);
            NAME(taps_from_points)(half[i], at);
        }
        CN_UNROLL for (int j = 0; j < 3; j++) {
            CN_UNROLL for (int i = 0; i < 6; i++) at[i] = half[i][j];
            NAME(taps_from_points)(out, at);
            CN_UNROLL for (int i = 0; i < 3; i++) v_store(to + (3 * i + j) * LANES, out[i]);
        }
    }
}
