/* ReLU, the sum of two maps, and softmax with cross-entropy. */

static void NAME(relu)(void *y, const void *x, ptrdiff_t n, double ceiling) {
    T *to = y;
    const T *from = x, end = (T)ceiling;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) v_store(to + i, NAME(rectified)(v_load(from + i), end));
    if (i < n) v_store_part(to + i, NAME(rectified)(v_load_part(from + i, n - i), end), n - i);
}

static void NAME(relu_gradient)(void *dx, const void *dy, const void *y, ptrdiff_t n, double ceiling) {
    T *to = dx;
    const T *from = dy, *out = y, end = (T)ceiling;
    ptrdiff_t i = 0;
    for (; i + LANES <= n; i += LANES) v_store(to + i, NAME(through_relu)(v_load(from + i), v_load(out + i), end));
    if (i < n) {
        V last = NAME(through_relu)(v_load_part(from + i, n - i), v_load_part(out + i, n - i), end);
        v_store_part(to + i, last, n - i);
    }
}

static CN_INLINE void NAME(sum_of)(T *y, const T *a, const T *b, ptrdiff_t n, const int relu) {
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t here = n - i < LANES ? n - i : LANES;
        V total = v_add(NAME(load_some)(a + i, here), NAME(load_some)(b + i, here));
        NAME(store_some)(y + i, relu ? v_max(v_zero(), total) : total, here);
    }
}

static void NAME(sum)(void *y, const void *a, const void *b, ptrdiff_t n, int relu) {
    if (relu)
        NAME(sum_of)(y, a, b, n, 1);
    else
        NAME(sum_of)(y, a, b, n, 0);
}

static CN_INLINE T NAME(largest)(const T *z, ptrdiff_t n) {
    T top = z[0], lanes[LANES];
    ptrdiff_t j = 1;
    if (n >= LANES) {
        V most = v_load(z + n - LANES);
        for (j = 0; j + LANES <= n; j += LANES) most = v_max(most, v_load(z + j));
        v_store(lanes, most);
        for (ptrdiff_t i = 0; i < LANES; i++) top = lanes[i] > top ? lanes[i] : top;
        return top;
    }
    for (; j < n; j++) top = z[j] > top ? z[j] : top;
    return top;
}

/* g = e^(z - top); returns the sum, in double. Four chains, and vectors for the maximum, hide the latency of one: 256
   rows of 1000 classes in 0.16 ms instead of 0.51. */
static CN_INLINE double NAME(powers)(T *g, const T *z, T top, ptrdiff_t classes) {
    double sum[4] = {0, 0, 0, 0};
    ptrdiff_t j = 0;
    for (; j < classes; j += LANES) {
        const ptrdiff_t here = classes - j < LANES ? classes - j : LANES;
        NAME(store_some)(g + j, NAME(exp)(v_sub(NAME(load_some)(z + j, here), v_set1(top))), here);
    }
    for (j = 0; j + 4 <= classes; j += 4)
        for (int i = 0; i < 4; i++) sum[i] += g[j + i];
    for (; j < classes; j++) sum[0] += g[j];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Subtracting the row's maximum keeps exp below 1; the loss is log(sum) - (logit - maximum), never log(0) of a
   rounded p. */
static double NAME(softmax)(void *gradient, const void *logits, const int64_t *labels, const void *targets,
                            ptrdiff_t rows, ptrdiff_t classes, double scale) {
    double loss = 0;
    for (ptrdiff_t r = 0; r < rows; r++) {
        const T *z = (const T *)logits + r * classes, *target = targets ? (const T *)targets + r * classes : NULL;
        T *g = (T *)gradient + r * classes;
        const T top = NAME(largest)(z, classes);
        double target_sum = 0, row_loss = 0;
        const double sum = NAME(powers)(g, z, top, classes);
        const double log_sum = log(sum), inverse = 1 / sum;
        if (labels) {
            for (ptrdiff_t j = 0; j < classes; j++) g[j] = (T)(g[j] * inverse * scale);
            g[labels[r]] -= (T)scale;
            row_loss = log_sum - ((double)z[labels[r]] - (double)top);
        } else if (target) {
            for (ptrdiff_t j = 0; j < classes; j++) {
                target_sum += target[j];
                if (target[j] != 0) row_loss += target[j] * (log_sum - ((double)z[j] - (double)top));
            }
            for (ptrdiff_t j = 0; j < classes; j++) g[j] = (T)((g[j] * inverse * target_sum - target[j]) * scale);
        } else {
            for (ptrdiff_t j = 0; j < classes; j++) g[j] = (T)(g[j] * inverse);
        }
        loss += row_loss;
    }
    return loss;
}

static void NAME(softmax_gradient)(void *dx, const void *dp, const void *p, ptrdiff_t rows, ptrdiff_t classes) {
    for (ptrdiff_t r = 0; r < rows; r++) {
        const T *up = (const T *)dp + r * classes, *share = (const T *)p + r * classes;
        T *to = (T *)dx + r * classes;
        double sum[4] = {0, 0, 0, 0};
        ptrdiff_t k = 0;
        for (; k + 4 <= classes; k += 4)
            for (int i = 0; i < 4; i++) sum[i] += (double)up[k + i] * (double)share[k + i];
        for (; k < classes; k++) sum[0] += (double)up[k] * (double)share[k];
        const double mean = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        for (ptrdiff_t j = 0; j < classes; j++) to[j] = (T)(((double)up[j] - mean) * (double)share[j]);
    }
}
