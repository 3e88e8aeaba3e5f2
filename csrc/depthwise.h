/* Depthwise convolution over runs of pixels that see the same taps; vectors run over channels. */

/* Eight pixels share each loaded vector of weights and are the eight chains that two units of latency four keep busy:
   nine loads for eight multiply-adds, with any number of taps and without registers for their weights. With 14, which
   AVX-512 has registers for, maps of 112 x 112 took a tenth longer. */
#define CN_DEPTHWISE_PIXELS 8

static CN_INLINE void NAME(depthwise_pixels)(T *y, const T *x, const T *w, const T *bias, int relu, T ceiling,
                                             const cn_depthwise_run *run, const int pixels, const ptrdiff_t n) {
    const ptrdiff_t x_step = run->x_step, y_step = run->y_step;
    const V first = bias ? NAME(load_some)(bias, n) : v_zero();
    V sum[CN_DEPTHWISE_PIXELS];
    CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] = first;
    for (ptrdiff_t r = 0; r < run->rows; r++) {
        const T *from = x + run->x_row[r], *weights = w + run->w_row[r];
        for (ptrdiff_t i = run->row; i > 0; i--, from += run->x_gap, weights += run->w_gap) {
            const V weight = NAME(load_some)(weights, n);
            CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] =
                v_fma(NAME(load_some)(from + p * x_step, n), weight, sum[p]);
        }
    }
    if (relu) CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] = NAME(rectified)(sum[p], ceiling);
    CN_UNROLL for (int p = 0; p < pixels; p++) NAME(store_some)(y + p * y_step, sum[p], n);
}

/* Rows of `row` taps, of which `stride` make the step from one pixel to the next: each element of x is loaded once for
   all the pixels that see it. The order of each pixel's sum is that of the loop above, so its bits are the same. */
static CN_INLINE void NAME(depthwise_rows)(T *y, const T *x, const T *w, const T *bias, int relu, T ceiling,
                                           const cn_depthwise_run *run, const int pixels, const int row,
                                           const int stride) {
    const ptrdiff_t gap = run->x_gap, y_step = run->y_step;
    const V first = bias ? v_load(bias) : v_zero();
    V sum[CN_DEPTHWISE_PIXELS], weight[5];
    CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] = first;
    for (ptrdiff_t r = 0; r < run->rows; r++) {
        const T *from = x + run->x_row[r], *weights = w + run->w_row[r];
        CN_UNROLL for (int i = 0; i < row; i++) weight[i] = v_load(weights + i * run->w_gap);
        CN_UNROLL for (int q = 0; q < (pixels - 1) * stride + row; q++) {
            const V value = v_load(from);
            from += gap;
            CN_UNROLL for (int i = row - 1; i >= 0; i--) {
                const int p = (q - i) / stride;
                if (q >= i && p * stride == q - i && p < pixels) sum[p] = v_fma(value, weight[i], sum[p]);
            }
        }
    }
    if (relu) CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] = NAME(rectified)(sum[p], ceiling);
    CN_UNROLL for (int p = 0; p < pixels; p++) v_store(y + p * y_step, sum[p]);
}

/* Blocks of nearly equal length: 16 pixels as 8 + 8, since a short one waits for its sums. */
static CN_INLINE void NAME(depthwise_blocks)(T *y, const T *x, const T *w, const T *bias, int relu, T ceiling,
                                             const cn_depthwise_run *run, const int most, const int row,
                                             const int stride) {
    ptrdiff_t left = run->pixels, blocks = (left + most - 1) / most, n;
    for (; blocks > 0; blocks--, left -= n, x += n * run->x_step, y += n * run->y_step) {
        n = (left + blocks - 1) / blocks;
        CN_UNROLL for (int p = 1; p <= CN_DEPTHWISE_PIXELS; p++) if (p <= most && p == n)
            NAME(depthwise_rows)(y, x, w, bias, relu, ceiling, run, p, row, stride);
    }
}

/* Kernels of three and five columns with a stride of one or two elements of x that are taps; says whether it is one. */
static CN_INLINE int NAME(depthwise_common)(T *y, const T *x, const T *w, const T *bias, int relu, T ceiling,
                                            const cn_depthwise_run *run) {
    const int stride = run->x_step == run->x_gap ? 1 : run->x_step == 2 * run->x_gap ? 2 : 0;
    if (run->row == 3 && stride == 1)
        NAME(depthwise_blocks)(y, x, w, bias, relu, ceiling, run, CN_DEPTHWISE_PIXELS, 3, 1);
    else if (run->row == 3 && stride == 2)
        NAME(depthwise_blocks)(y, x, w, bias, relu, ceiling, run, 7, 3, 2);
    else if (run->row == 5 && stride == 1)
        NAME(depthwise_blocks)(y, x, w, bias, relu, ceiling, run, CN_DEPTHWISE_PIXELS, 5, 1);
    else if (run->row == 5 && stride == 2)
        NAME(depthwise_blocks)(y, x, w, bias, relu, ceiling, run, 5, 5, 2);
    else
        return 0;
    return 1;
}

/* One vector of channels; n of its lanes. */
static CN_INLINE void NAME(depthwise_channels)(T *y, const T *x, const T *w, const T *bias, int relu, T ceiling,
                                               const cn_depthwise_run *run, const ptrdiff_t n) {
    ptrdiff_t left = run->pixels;
    if (n == LANES && NAME(depthwise_common)(y, x, w, bias, relu, ceiling, run)) return;
    for (; left >= 8; left -= 8, x += 8 * run->x_step, y += 8 * run->y_step)
        NAME(depthwise_pixels)(y, x, w, bias, relu, ceiling, run, 8, n);
    for (; left >= 3; left -= 3, x += 3 * run->x_step, y += 3 * run->y_step)
        NAME(depthwise_pixels)(y, x, w, bias, relu, ceiling, run, 3, n);
    for (; left > 0; left--, x += run->x_step, y += run->y_step)
        NAME(depthwise_pixels)(y, x, w, bias, relu, ceiling, run, 1, n);
}

/* All vectors of a few pixels before the next ones: lines of memory are then met in their order. */
#define CN_DEPTHWISE_BLOCK 14

static void NAME(depthwise)(void *y, const void *x, const void *w, const void *bias, int relu, double ceiling,
                            const cn_depthwise_run *run) {
    const ptrdiff_t blocks = (run->pixels + CN_DEPTHWISE_BLOCK - 1) / CN_DEPTHWISE_BLOCK;
    cn_depthwise_run part = *run;
    for (ptrdiff_t b = 0; b < blocks; b++) {
        const ptrdiff_t p = b * run->pixels / blocks;
        part.pixels = (b + 1) * run->pixels / blocks - p;
        for (ptrdiff_t j = 0; j < run->channels; j += LANES) {
            T *to = (T *)y + p * run->y_step + j;
            const T *from = (const T *)x + p * run->x_step + j, *weights = (const T *)w + j;
            const T *first = bias ? (const T *)bias + j : NULL;
            if (run->channels - j >= LANES)
                NAME(depthwise_channels)(to, from, weights, first, relu, (T)ceiling, &part, LANES);
            else
                NAME(depthwise_channels)(to, from, weights, first, relu, (T)ceiling, &part, run->channels - j);
        }
    }
}

/* ---- gradient with respect to the weights ----------------------------------------------------------------------- */

/* Taps [t, t + taps): their sums stay in registers and share each loaded vector of dy. */
static CN_INLINE void NAME(depthwise_taps)(T *dw, const T *dy, const T *x, const cn_depthwise_run *run, ptrdiff_t t,
                                           const int taps, const ptrdiff_t n) {
    const ptrdiff_t x_step = run->x_step, y_step = run->y_step, pixels = run->pixels;
    ptrdiff_t row = t / run->row, col = t % run->row;
    const T *from[9];
    T *to[9];
    V sum[9];
    CN_UNROLL for (int i = 0; i < taps; i++) {
        from[i] = x + run->x_row[row] + col * run->x_gap;
        to[i] = dw + run->w_row[row] + col * run->w_gap;
        sum[i] = NAME(load_some)(to[i], n);
        if (++col == run->row) row++, col = 0;
    }
    for (ptrdiff_t p = 0; p < pixels; p++) {
        const V gradient = NAME(load_some)(dy + p * y_step, n);
        const ptrdiff_t at = p * x_step;
        CN_UNROLL for (int i = 0; i < taps; i++) sum[i] = v_fma(NAME(load_some)(from[i] + at, n), gradient, sum[i]);
    }
    CN_UNROLL for (int i = 0; i < taps; i++) NAME(store_some)(to[i], sum[i], n);
}

/* Three rows of three taps, one pixel apart: each element of x is loaded once for four pixels of dy. */
static CN_INLINE void NAME(depthwise_3x3)(T *dw, const T *dy, const T *x, const cn_depthwise_run *run, ptrdiff_t row) {
    const ptrdiff_t gap = run->x_gap, y_step = run->y_step;
    const T *from[3];
    T *to[3];
    V sum[9], gradient[4];
    ptrdiff_t p = 0;
    CN_UNROLL for (int r = 0; r < 3; r++) {
        from[r] = x + run->x_row[row + r];
        to[r] = dw + run->w_row[row + r];
    }
    CN_UNROLL for (int i = 0; i < 9; i++) sum[i] = v_load(to[i / 3] + i % 3 * run->w_gap);
    for (; p + 4 <= run->pixels; p += 4, dy += 4 * y_step) {
        CN_UNROLL for (int i = 0; i < 4; i++) gradient[i] = v_load(dy + i * y_step);
        CN_UNROLL for (int r = 0; r < 3; r++) {
            CN_UNROLL for (int q = 0; q < 6; q++) {
                const V value = v_load(from[r] + (p + q) * gap);
                CN_UNROLL for (int i = 0; i < 3; i++) if (q >= i && q - i < 4) sum[3 * r + i] =
                    v_fma(value, gradient[q - i], sum[3 * r + i]);
            }
        }
    }
    for (; p < run->pixels; p++, dy += y_step) {
        const V last = v_load(dy);
        CN_UNROLL for (int i = 0; i < 9; i++) sum[i] = v_fma(v_load(from[i / 3] + (p + i % 3) * gap), last, sum[i]);
    }
    CN_UNROLL for (int i = 0; i < 9; i++) v_store(to[i / 3] + i % 3 * run->w_gap, sum[i]);
}

static CN_INLINE void NAME(depthwise_weight_channels)(T *dw, const T *dy, const T *x, const cn_depthwise_run *run,
                                                      const ptrdiff_t n) {
    const ptrdiff_t taps = run->rows * run->row;
    ptrdiff_t t = 0;
    if (n == LANES && run->row == 3 && run->x_gap == run->x_step)
        for (; t + 9 <= taps; t += 9) NAME(depthwise_3x3)(dw, dy, x, run, t / 3);
    for (; t + 9 <= taps; t += 9) NAME(depthwise_taps)(dw, dy, x, run, t, 9, n);
    for (; t + 5 <= taps; t += 5) NAME(depthwise_taps)(dw, dy, x, run, t, 5, n);
    for (; t + 2 <= taps; t += 2) NAME(depthwise_taps)(dw, dy, x, run, t, 2, n);
    for (; t < taps; t++) NAME(depthwise_taps)(dw, dy, x, run, t, 1, n);
}

/* As above; longer, since each block loads and stores the sums. */
#define CN_DEPTHWISE_WEIGHTS_BLOCK 56

static void NAME(depthwise_weights)(void *dw, const void *dy, const void *x, const cn_depthwise_run *run) {
    const ptrdiff_t blocks = (run->pixels + CN_DEPTHWISE_WEIGHTS_BLOCK - 1) / CN_DEPTHWISE_WEIGHTS_BLOCK;
    cn_depthwise_run part = *run;
    for (ptrdiff_t b = 0; b < blocks; b++) {
        const ptrdiff_t p = b * run->pixels / blocks;
        part.pixels = (b + 1) * run->pixels / blocks - p;
        for (ptrdiff_t j = 0; j < run->channels; j += LANES) {
            T *to = (T *)dw + j;
            const T *gradient = (const T *)dy + p * run->y_step + j, *from = (const T *)x + p * run->x_step + j;
            if (run->channels - j >= LANES)
                NAME(depthwise_weight_channels)(to, gradient, from, &part, LANES);
            else
                NAME(depthwise_weight_channels)(to, gradient, from, &part, run->channels - j);
        }
    }
}

/* ---- channels of groups ------------------------------------------------------------------------------------------ */

#if CN_PERMUTES
/* The n channels from x on hold all that a vector needs. */
static CN_INLINE void NAME(spread_vector)(T *to, const T *x, const int32_t *places, const cn_spread *s,
                                          const ptrdiff_t n) {
    const P place = v_places(places);
    const ptrdiff_t channels = s->channels, step = s->vectors * LANES;
    for (ptrdiff_t p = s->pixels; p > 0; p--, x += channels, to += step)
        v_store(to, v_permute(NAME(load_some)(x, n), place));
}
#endif

static void NAME(spread)(void *to, const void *x, const cn_spread *s) {
    const ptrdiff_t pixels = s->pixels, channels = s->channels, step = s->vectors * LANES;
    for (ptrdiff_t k = 0; k < s->vectors; k++) {
        const int32_t *index = s->index + k * LANES;
        T *vector = (T *)to + k * LANES;
#if CN_PERMUTES
        if (index[LANES - 1] - index[0] < LANES) {
            const T *from = (const T *)x + index[0];
            int32_t places[LANES];
            for (ptrdiff_t i = 0; i < LANES; i++) places[i] = index[i] - index[0];
            if (s->channels - index[0] >= LANES)
                NAME(spread_vector)(vector, from, places, s, LANES);
            else
                NAME(spread_vector)(vector, from, places, s, s->channels - index[0]);
            continue;
        }
#endif
        for (ptrdiff_t p = 0; p < pixels; p++)
            for (ptrdiff_t i = 0; i < LANES; i++) vector[p * step + i] = ((const T *)x)[p * channels + index[i]];
    }
}
