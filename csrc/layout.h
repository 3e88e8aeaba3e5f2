/* Moving elements: packing of weights, its inverse for gradients, transposition, sums. */

static void NAME(pack)(void *packed, const void *src, const int32_t *k_offset, ptrdiff_t depth, ptrdiff_t col_stride,
                       ptrdiff_t cols) {
    T *to = packed;
    for (ptrdiff_t j = 0; j < cols; j += LANES) {
        const T *from = (const T *)src + j * col_stride;
        const ptrdiff_t here = cols - j < LANES ? cols - j : LANES;
        for (ptrdiff_t k = 0; k < depth; k++, to += LANES) {
            for (ptrdiff_t i = 0; i < here; i++) to[i] = from[k_offset[k] + i * col_stride];
            for (ptrdiff_t i = here; i < LANES; i++) to[i] = 0;
        }
    }
}

static void NAME(scatter_add)(void *dst, const void *src, const int32_t *k_offset, ptrdiff_t depth,
                              ptrdiff_t col_stride, ptrdiff_t cols, ptrdiff_t src_row) {
    T *to = dst;
    const T *from = src;
    for (ptrdiff_t j = 0; j < cols; j++)
        for (ptrdiff_t k = 0; k < depth; k++) to[k_offset[k] + j * col_stride] += from[k * src_row + j];
}

static void NAME(add)(void *dst, const void *src, ptrdiff_t n) {
    T *to = dst;
    const T *from = src;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) v_store(to + i, v_add(v_load(to + i), v_load(from + i)));
    for (; i < n; i++) to[i] += from[i];
}

static void NAME(column_sums)(void *sums, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t row_stride) {
    for (ptrdiff_t j = 0; j < cols; j += LANES) {
        const ptrdiff_t here = cols - j;
        const T *from = (const T *)src + j;
        T *to = (T *)sums + j;
        if (here >= LANES) {
            V sum[4] = {v_load(to), v_zero(), v_zero(), v_zero()}; /* four chains hide the latency of the addition */
            for (ptrdiff_t r = 0; r < rows; r++) sum[r & 3] = v_add(sum[r & 3], v_load(from + r * row_stride));
            v_store(to, v_add(v_add(sum[0], sum[1]), v_add(sum[2], sum[3])));
        } else {
            V sum = v_load_part(to, here);
            for (ptrdiff_t r = 0; r < rows; r++) sum = v_add(sum, v_load_part(from + r * row_stride, here));
            v_store_part(to, sum, here);
        }
    }
}

/* dst[j][i] = src[i][j] in blocks of 16 x 16, whose 32 cache lines stay in L1 */
static void NAME(transpose)(void *dst, const void *src, ptrdiff_t rows, ptrdiff_t cols, ptrdiff_t dst_row,
                            ptrdiff_t src_row) {
    T *to = dst;
    const T *from = src;
    for (ptrdiff_t i0 = 0; i0 < rows; i0 += 16)
        for (ptrdiff_t j0 = 0; j0 < cols; j0 += 16) {
            const ptrdiff_t i_end = i0 + 16 < rows ? i0 + 16 : rows, j_end = j0 + 16 < cols ? j0 + 16 : cols;
            for (ptrdiff_t j = j0; j < j_end; j++)
                for (ptrdiff_t i = i0; i < i_end; i++) to[j * dst_row + i] = from[i * src_row + j];
        }
}
