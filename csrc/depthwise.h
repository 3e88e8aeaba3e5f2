/* Depthwise convolution over runs of pixels that see the same taps; vectors run over channels. */

/* Eight pixels share each loaded vector of weights and are the eight chains that two units of latency four keep busy:
   nine loads for eight multiply-adds, with any number of taps and without registers for their weights. */
#define CN_DEPTHWISE_PIXELS 8

static CN_INLINE void NAME(depthwise_pixels)(T *y, const T *x, const T *w, const T *bias, int relu,
                                             const cn_depthwise_run *run, const int pixels, const ptrdiff_t n) {
    const ptrdiff_t x_step = run->x_step, y_step = run->y_step, taps = run->taps;
    const V first = bias ? NAME(load_some)(bias, n) : v_zero();
    V sum[CN_DEPTHWISE_PIXELS];
    CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] = first;
    for (ptrdiff_t t = 0; t < taps; t++) {
        const V weight = NAME(load_some)(w + run->w_tap[t], n);
        const T *from = x + run->x_tap[t];
        CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] =
            v_fma(NAME(load_some)(from + p * x_step, n), weight, sum[p]);
    }
    if (relu) CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] = v_max(v_zero(), sum[p]); /* NaN stays */
    CN_UNROLL for (int p = 0; p < pixels; p++) NAME(store_some)(y + p * y_step, sum[p], n);
}

/* Rows of `row` taps, of which `stride` make the step from one pixel to the next: each element of x is loaded once for
   all the pixels that see it. The order of each pixel's sum is that of the loop above, so its bits are the same. */
static CN_INLINE void NAME(depthwise_rows)(T *y, const T *x, const T *w, const T *bias, int relu,
                                           const cn_depthwise_run *run, const int pixels, const int row,
                                           const int stride) {
    const ptrdiff_t gap = run->gap, y_step = run->y_step, taps = run->taps;
    const V first = bias ? v_load(bias) : v_zero();
    V sum[CN_DEPTHWISE_PIXELS], weight[5];
    CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] = first;
    for (ptrdiff_t t = 0; t < taps; t += row) {
        const T *from = x + run->x_tap[t];
        CN_UNROLL for (int i = 0; i < row; i++) weight[i] = v_load(w + run->w_tap[t + i]);
        CN_UNROLL for (int q = 0; q < (pixels - 1) * stride + row; q++) {
            const V value = v_load(from);
            from += gap;
            CN_UNROLL for (int i = row - 1; i >= 0; i--) {
                const int p = (q - i) / stride;
                if (q >= i && p * stride == q - i && p < pixels) sum[p] = v_fma(value, weight[i], sum[p]);
            }
        }
    }
    if (relu) CN_UNROLL for (int p = 0; p < pixels; p++) sum[p] = v_max(v_zero(), sum[p]);
    CN_UNROLL for (int p = 0; p < pixels; p++) v_store(y + p * y_step, sum[p]);
}

/* As many pixels of a run as whole blocks hold; returns how many those are. */
static CN_INLINE ptrdiff_t NAME(depthwise_blocks)(T *y, const T *x, const T *w, const T *bias, int relu,
                                                  const cn_depthwise_run *run, ptrdiff_t p, const int pixels,
                                                  const int row, const int stride) {
    for (; p + pixels <= run->pixels; p += pixels)
        NAME(depthwise_rows)(y + p * run->y_step, x + p * run->x_step, w, bias, relu, run, pixels, row, stride);
    return p;
}

/* Kernels of three and five columns with a stride of one or two elements of x that are taps. */
static CN_INLINE ptrdiff_t NAME(depthwise_common)(T *y, const T *x, const T *w, const T *bias, int relu,
                                                  const cn_depthwise_run *run) {
    const int stride = run->x_step == run->gap ? 1 : run->x_step == 2 * run->gap ? 2 : 0;
    ptrdiff_t p = 0;
    if (run->row == 3 && stride == 1) {
        p = NAME(depthwise_blocks)(y, x, w, bias, relu, run, p, 8, 3, 1);
        p = NAME(depthwise_blocks)(y, x, w, bias, relu, run, p, 4, 3, 1);
    } else if (run->row == 3 && stride == 2) {
        p = NAME(depthwise_blocks)(y, x, w, bias, relu, run, p, 6, 3, 2);
    } else if (run->row == 5 && stride == 1) {
        p = NAME(depthwise_blocks)(y, x, w, bias, relu, run, p, 8, 5, 1);
        p = NAME(depthwise_blocks)(y, x, w, bias, relu, run, p, 4, 5, 1);
    } else if (run->row == 5 && stride == 2) {
        p = NAME(depthwise_blocks)(y, x, w, bias, relu, run, p, 5, 5, 2);
    }
    return p;
}

/* One vector of channels; n of its lanes. */
static CN_INLINE void NAME(depthwise_channels)(T *y, const T *x, const T *w, const T *bias, int relu,
                                               const cn_depthwise_run *run, const ptrdiff_t n) {
    const ptrdiff_t done = n == LANES ? NAME(depthwise_common)(y, x, w, bias, relu, run) : 0;
    ptrdiff_t left = run->pixels - done;
    x += done * run->x_step;
    y += done * run->y_step;
    for (; left >= 8; left -= 8, x += 8 * run->x_step, y += 8 * run->y_step)
        NAME(depthwise_pixels)(y, x, w, bias, relu, run, 8, n);
    for (; left >= 3; left -= 3, x += 3 * run->x_step, y += 3 * run->y_step)
        NAME(depthwise_pixels)(y, x, w, bias, relu, run, 3, n);
    for (; left > 0; left--, x += run->x_step, y += run->y_step) NAME(depthwise_pixels)(y, x, w, bias, relu, run, 1, n);
}

static void NAME(depthwise)(void *y, const void *x, const void *w, const void *bias, int relu,
                            const cn_depthwise_run *run) {
    for (ptrdiff_t j = 0; j < run->channels; j += LANES) {
        T *to = (T *)y + j;
        const T *from = (const T *)x + j, *weights = (const T *)w + j, *first = bias ? (const T *)bias + j : NULL;
        if (run->channels - j >= LANES)
            NAME(depthwise_channels)(to, from, weights, first, relu, run, LANES);
        else
            NAME(depthwise_channels)(to, from, weights, first, relu, run, run->channels - j);
    }
}

/* ---- gradient with respect to the weights ----------------------------------------------------------------------- */

/* Taps [t, t + taps): their sums stay in registers and share each loaded vector of dy. */
static CN_INLINE void NAME(depthwise_taps)(T *dw, const T *dy, const T *x, const cn_depthwise_run *run, ptrdiff_t t,
                                           const int taps, const ptrdiff_t n) {
    const ptrdiff_t x_step = run->x_step, y_step = run->y_step, pixels = run->pixels;
    const ptrdiff_t *x_tap = run->x_tap + t, *w_tap = run->w_tap + t;
    const T *from[9];
    V sum[9];
    CN_UNROLL for (int i = 0; i < taps; i++) {
        from[i] = x + x_tap[i];
        sum[i] = NAME(load_some)(dw + w_tap[i], n);
    }
    for (ptrdiff_t p = 0; p < pixels; p++) {
        const V gradient = NAME(load_some)(dy + p * y_step, n);
        const ptrdiff_t at = p * x_step;
        CN_UNROLL for (int i = 0; i < taps; i++) sum[i] = v_fma(NAME(load_some)(from[i] + at, n), gradient, sum[i]);
    }
    CN_UNROLL for (int i = 0; i < taps; i++) NAME(store_some)(dw + w_tap[i], sum[i], n);
}

/* Three rows of three taps, one pixel apart: each element of x is loaded once for four pixels of dy. */
static CN_INLINE void NAME(depthwise_3x3)(T *dw, const T *dy, const T *x, const cn_depthwise_run *run) {
    const ptrdiff_t gap = run->gap, y_step = run->y_step, *w_tap = run->w_tap;
    V sum[9], gradient[4];
    ptrdiff_t p = 0;
    CN_UNROLL for (int i = 0; i < 9; i++) sum[i] = v_load(dw + w_tap[i]);
    for (; p + 4 <= run->pixels; p += 4, dy += 4 * y_step, x += 4 * gap) {
        CN_UNROLL for (int i = 0; i < 4; i++) gradient[i] = v_load(dy + i * y_step);
        CN_UNROLL for (int r = 0; r < 3; r++) {
            const T *from = x + run->x_tap[3 * r];
            CN_UNROLL for (int q = 0; q < 6; q++) {
                const V value = v_load(from);
                from += gap;
                CN_UNROLL for (int i = 0; i < 3; i++) if (q >= i && q - i < 4) sum[3 * r + i] =
                    v_fma(value, gradient[q - i], sum[3 * r + i]);
            }
        }
    }
    for (; p < run->pixels; p++, dy += y_step, x += gap) {
        const V last = v_load(dy);
        CN_UNROLL for (int i = 0; i < 9; i++) sum[i] = v_fma(v_load(x + run->x_tap[i]), last, sum[i]);
    }
    CN_UNROLL for (int i = 0; i < 9; i++) v_store(dw + w_tap[i], sum[i]);
}

static CN_INLINE void NAME(depthwise_weight_channels)(T *dw, const T *dy, const T *x, const cn_depthwise_run *run,
                                                      const ptrdiff_t n) {
    ptrdiff_t t = 0;
    if (n == LANES && run->taps == 9 && run->row == 3 && run->gap == run->x_step) {
        NAME(depthwise_3x3)(dw, dy, x, run);
        return;
    }
    for (; t + 9 <= run->taps; t += 9) NAME(depthwise_taps)(dw, dy, x, run, t, 9, n);
    for (; t + 5 <= run->taps; t += 5) NAME(depthwise_taps)(dw, dy, x, run, t, 5, n);
    for (; t + 2 <= run->taps; t += 2) NAME(depthwise_taps)(dw, dy, x, run, t, 2, n);
    for (; t < run->taps; t++) NAME(depthwise_taps)(dw, dy, x, run, t, 1, n);
}

static void NAME(depthwise_weights)(void *dw, const void *dy, const void *x, const cn_depthwise_run *run) {
    for (ptrdiff_t j = 0; j < run->channels; j += LANES) {
        T *to = (T *)dw + j;
        const T *gradient = (const T *)dy + j, *from = (const T *)x + j;
        if (run->channels - j >= LANES)
            NAME(depthwise_weight_channels)(to, gradient, from, run, LANES);
        else
            NAME(depthwise_weight_channels)(to, gradient, from, run, run->channels - j);
    }
}
