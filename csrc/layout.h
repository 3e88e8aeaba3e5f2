/* Moving elements: packing of weights, its inverse for gradients, transposition, sums. */

static void NAME(columns)(void *dst, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t src_row,
                          ptrdiff_t dst_vector) {
    T *to = dst;
    const T *from = src;
    for (ptrdiff_t r = 0; r < rows; r++, to += LANES, from += src_row) {
        T *column = to;
        ptrdiff_t j = 0;
        for (; j + LANES <= cols; j += LANES, column += dst_vector) v_store(column, v_load(from + j));
        if (j < cols) v_store(column, v_load_part(from + j, cols - j));
    }
}

static void NAME(add)(void *dst, const void *src, ptrdiff_t n) {
    T *to = dst;
    const T *from = src;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) v_store(to + i, v_add(v_load(to + i), v_load(from + i)));
    for (; i < n; i++) to[i] += from[i];
}

/* x * 0 is NaN where x is NaN or infinite, else 0. */
static int NAME(all_finite)(const void *x, ptrdiff_t n) {
    const T *from = x;
    V a = v_zero(), b = v_zero(), c = v_zero(), d = v_zero();
    T lanes[LANES];
    ptrdiff_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
        a = v_fma(v_load(from + i), v_zero(), a);
        b = v_fma(v_load(from + i + LANES), v_zero(), b);
        c = v_fma(v_load(from + i + 2 * LANES), v_zero(), c);
        d = v_fma(v_load(from + i + 3 * LANES), v_zero(), d);
    }
    for (; i < n; i += LANES) a = v_fma(NAME(load_some)(from + i, n - i < LANES ? n - i : LANES), v_zero(), a);
    v_store(lanes, v_add(v_add(a, b), v_add(c, d)));
    for (i = 0; i < LANES; i++)
        if (lanes[i] != 0) return 0;
    return 1;
}

static void NAME(column_sums)(void *sums, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row_stride) {
    for (ptrdiff_t j = 0; j < cols; j += LANES) {
        const ptrdiff_t here = cols - j;
        const T *from = (const T *)src + j;
        T *to = (T *)sums + j;
        if (here >= LANES) {
            V a = v_load(to), b = v_zero(), c = v_zero(), d = v_zero(); /* four chains hide the addition's latency */
            ptrdiff_t r = 0;
            for (; r + 4 <= rows; r += 4, from += 4 * row_stride) {
                a = v_add(a, v_load(from));
                b = v_add(b, v_load(from + row_stride));
                c = v_add(c, v_load(from + 2 * row_stride));
                d = v_add(d, v_load(from + 3 * row_stride));
            }
            for (; r < rows; r++, from += row_stride) a = v_add(a, v_load(from));
            v_store(to, v_add(v_add(a, b), v_add(c, d)));
        } else {
            V sum = v_load_part(to, here);
            for (ptrdiff_t r = 0; r < rows; r++) sum = v_add(sum, v_load_part(from + r * row_stride, here));
            v_store_part(to, sum, here);
        }
    }
}

/* Transposition by interleaving. One step, the first half of n vectors with the second, moves element p to place 2 p
   modulo n * LANES - 1; element (i, j) of `rows` x `cols` lies at i * cols + j and belongs to j * rows + i, which is
   `rows` times as much: log2(rows) steps. */
static CN_INLINE void NAME(interleave)(V *v, const int n, const int rows) {
    V next[LANES];
    CN_UNROLL for (int factor = 1; factor < rows; factor *= 2) {
        CN_UNROLL for (int i = 0; i < n / 2; i++) {
            next[2 * i] = v_zip_low(v[i], v[i + n / 2]);
            next[2 * i + 1] = v_zip_high(v[i], v[i + n / 2]);
        }
        CN_UNROLL for (int i = 0; i < n; i++) v[i] = next[i];
    }
}

/* At most LANES rows and columns. */
static CN_INLINE void NAME(transpose_block)(T *to, const T *from, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t dst_row,
                                            ptrdiff_t src_row) {
    V v[LANES];
    CN_UNROLL for (int i = 0; i < LANES; i++) v[i] = i < rows ? NAME(load_some)(from + i * src_row, cols) : v_zero();
    NAME(interleave)(v, LANES, LANES);
    CN_UNROLL for (int j = 0; j < LANES; j++) if (j < cols) NAME(store_some)(to + j * dst_row, v[j], rows);
}

/* LANES rows of half a vector, one after the other: 8 channels with AVX-512. Half the work of a padded block. */
static CN_INLINE void NAME(transpose_half_rows)(T *to, const T *from, ptrdiff_t dst_row) {
    V v[LANES];
    CN_UNROLL for (int i = 0; i < LANES / 2; i++) v[i] = v_load(from + i * LANES);
    NAME(interleave)(v, LANES / 2, LANES);
    CN_UNROLL for (int j = 0; j < LANES / 2; j++) v_store(to + j * dst_row, v[j]);
}

/* The way back. */
static CN_INLINE void NAME(transpose_to_half_rows)(T *to, const T *from, ptrdiff_t src_row) {
    V v[LANES];
    CN_UNROLL for (int i = 0; i < LANES / 2; i++) v[i] = v_load(from + i * src_row);
    NAME(interleave)(v, LANES / 2, LANES / 2);
    CN_UNROLL for (int j = 0; j < LANES / 2; j++) v_store(to + j * LANES, v[j]);
}

/* dst[j][i] = src[i][j] */
static void NAME(transpose)(void *dst, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t dst_row,
                            ptrdiff_t src_row) {
    const int half_rows = LANES > 2 && cols == LANES / 2 && src_row == cols;
    const int to_half_rows = LANES > 2 && rows == LANES / 2 && dst_row == rows;
    for (ptrdiff_t i = 0; i < rows; i += LANES)
        for (ptrdiff_t j = 0; j < cols; j += LANES) {
            T *to = (T *)dst + j * dst_row + i;
            const T *from = (const T *)src + i * src_row + j;
            const ptrdiff_t high = rows - i < LANES ? rows - i : LANES, wide = cols - j < LANES ? cols - j : LANES;
            if (half_rows && high == LANES)
                NAME(transpose_half_rows)(to, from, dst_row);
            else if (to_half_rows && wide == LANES)
                NAME(transpose_to_half_rows)(to, from, src_row);
            else if (high == LANES && wide == LANES)
                NAME(transpose_block)(to, from, LANES, LANES, dst_row, src_row);
            else
                NAME(transpose_block)(to, from, high, wide, dst_row, src_row);
        }
}

/* Weights lie tap after tap, channel after channel; products want vectors of outputs (or, for the data gradient, of
   inputs), whose elements lie `col_stride` apart. Both ways go by blocks of LANES x LANES, so that each cache line of
   the weights is met once. */

/* The first `wide` elements of `cols` runs, as `wide` vectors. */
static CN_INLINE void NAME(pack_block)(T *to, const T *from, const int32_t *place, ptrdiff_t wide, ptrdiff_t cols,
                                       ptrdiff_t col_stride) {
    V v[LANES];
    CN_UNROLL for (int i = 0; i < LANES; i++) v[i] = i < cols ? NAME(load_some)(from + i * col_stride, wide) : v_zero();
    NAME(interleave)(v, LANES, LANES);
    CN_UNROLL for (int m = 0; m < LANES; m++) if (m < wide && place[m] >= 0) v_store(to + place[m] * LANES, v[m]);
}

/* Too few of them for a block. */
static CN_INLINE void NAME(pack_elements)(T *to, const T *from, const int32_t *place, ptrdiff_t wide, ptrdiff_t cols,
                                          ptrdiff_t col_stride) {
    for (ptrdiff_t m = 0; m < wide; m++)
        for (ptrdiff_t j = 0; j < LANES && place[m] >= 0; j++)
            to[place[m] * LANES + j] = j < cols ? from[m + j * col_stride] : 0;
}

static CN_INLINE void NAME(pack_run)(T *to, const T *from, const int32_t *place, ptrdiff_t run, ptrdiff_t cols,
                                     ptrdiff_t col_stride) {
    for (; run >= LANES && cols == LANES; run -= LANES, from += LANES, place += LANES)
        NAME(pack_block)(to, from, place, LANES, LANES, col_stride);
    for (; run > 0; run -= LANES, from += LANES, place += LANES) {
        const ptrdiff_t wide = run < LANES ? run : LANES;
        if (4 * wide < LANES)
            NAME(pack_elements)(to, from, place, wide, cols, col_stride);
        else if (cols == LANES)
            NAME(pack_block)(to, from, place, wide, LANES, col_stride);
        else
            NAME(pack_block)(to, from, place, wide, cols, col_stride);
    }
}

static void NAME(pack)(void *packed, const void *src, const int32_t *place, ptrdiff_t run, ptrdiff_t cols,
                       ptrdiff_t col_stride, ptrdiff_t count, ptrdiff_t src_step) {
    T *to = packed;
    const T *from = src;
    for (; count > 0; count--, to += LANES, from += src_step)
        if (run == 1 && col_stride == 1 && place[0] >= 0)
            v_store(to + place[0] * LANES, NAME(load_some)(from, cols));
        else
            NAME(pack_run)(to, from, place, run, cols, col_stride);
}

static CN_INLINE void NAME(scatter_block)(T *to, const T *from, const int32_t *place, ptrdiff_t wide, ptrdiff_t cols,
                                          ptrdiff_t col_stride, ptrdiff_t src_row) {
    V v[LANES];
    CN_UNROLL for (int m = 0; m < LANES; m++) v[m] =
        m < wide ? NAME(load_some)(from + place[m] * src_row, cols) : v_zero();
    NAME(interleave)(v, LANES, LANES);
    CN_UNROLL for (int j = 0; j < LANES; j++) if (j < cols)
        NAME(store_some)(to + j * col_stride, v_add(NAME(load_some)(to + j * col_stride, wide), v[j]), wide);
}

static void NAME(scatter_add)(void *dst, const void *src, const int32_t *place, ptrdiff_t run, ptrdiff_t col_stride,
                              ptrdiff_t cols, ptrdiff_t src_row) {
    for (ptrdiff_t j = 0; j < cols; j += LANES)
        for (ptrdiff_t m = 0; m < run; m += LANES) {
            const ptrdiff_t high = cols - j < LANES ? cols - j : LANES, wide = run - m < LANES ? run - m : LANES;
            T *to = (T *)dst + j * col_stride + m;
            const T *from = (const T *)src + j;
            if (high == LANES && wide == LANES)
                NAME(scatter_block)(to, from, place + m, LANES, LANES, col_stride, src_row);
            else if (4 * wide >= LANES)
                NAME(scatter_block)(to, from, place + m, wide, high, col_stride, src_row);
            else
                for (ptrdiff_t i = 0; i < high * wide; i++)
                    to[i / wide * col_stride + i % wide] += from[place[m + i % wide] * src_row + i / wide];
        }
}
