/* Batch normalisation of channels-last maps; vectors run along rows of `fold` pixels (see cn_norm), whose sums are kept
   in memory, one for each column. Four rows meet before they are added there: one store for four loads. */

static CN_INLINE void NAME(sum_columns)(T *sum, const T *x, ptrdiff_t row, const int rows, ptrdiff_t n) {
    V s = NAME(load_some)(x, n);
    if (rows == 4)
        s = v_add(v_add(s, NAME(load_some)(x + row, n)),
                  v_add(NAME(load_some)(x + 2 * row, n), NAME(load_some)(x + 3 * row, n)));
    NAME(store_some)(sum, v_add(NAME(load_some)(sum, n), s), n);
}

static CN_INLINE void NAME(sum_rows)(T *sum, const T *x, ptrdiff_t row, ptrdiff_t cols, const int rows) {
    ptrdiff_t j = 0;
    for (; j + LANES <= cols; j += LANES) NAME(sum_columns)(sum + j, x + j, row, rows, LANES);
    if (j < cols) NAME(sum_columns)(sum + j, x + j, row, rows, cols - j);
}

static CN_INLINE void NAME(deviation_columns)(T *sum, T *square, const T *center, const T *x, ptrdiff_t row,
                                              const int rows, ptrdiff_t n) {
    const V middle = NAME(load_some)(center, n);
    V s = v_zero(), q = v_zero();
    CN_UNROLL for (int i = 0; i < rows; i++) {
        const V d = v_sub(NAME(load_some)(x + i * row, n), middle);
        s = v_add(s, d);
        q = v_fma(d, d, q);
    }
    NAME(store_some)(sum, v_add(NAME(load_some)(sum, n), s), n);
    NAME(store_some)(square, v_add(NAME(load_some)(square, n), q), n);
}

static CN_INLINE void NAME(deviation_rows)(T *sum, T *square, const T *center, const T *x, ptrdiff_t row,
                                           ptrdiff_t cols, const int rows) {
    ptrdiff_t j = 0;
    for (; j + LANES <= cols; j += LANES)
        NAME(deviation_columns)(sum + j, square + j, center + j, x + j, row, rows, LANES);
    if (j < cols) NAME(deviation_columns)(sum + j, square + j, center + j, x + j, row, rows, cols - j);
}

/* The pixels that one step along a chunk takes: four rows, one, or what is left. */
static CN_INLINE ptrdiff_t NAME(step)(ptrdiff_t left, ptrdiff_t fold) {
    return left >= 4 * fold ? 4 * fold : left < fold ? left : fold;
}

static void NAME(fold_columns)(double *channel, const T *column, ptrdiff_t channels, ptrdiff_t fold) {
    for (ptrdiff_t j = 0; j < channels; j++) channel[j] = (double)column[j];
    for (ptrdiff_t p = 1; p < fold; p++)
        for (ptrdiff_t j = 0; j < channels; j++) channel[j] += (double)column[p * channels + j];
}

static void NAME(unfold_channels)(T *column, const double *channel, ptrdiff_t channels, ptrdiff_t fold) {
    for (ptrdiff_t p = 0; p < fold; p++)
        for (ptrdiff_t j = 0; j < channels; j++) column[p * channels + j] = (T)channel[j];
}

/* Two passes, the second from the cache: deviations from a mean that is known to some roundings of |x| have no such
   error themselves, so that their sum corrects the mean and their squares lose nothing to a mean that is far from 0. */
static void NAME(moments)(double *mean, double *squares, const void *x, ptrdiff_t pixels, ptrdiff_t channels,
                          ptrdiff_t fold, void *scratch) {
    const ptrdiff_t row = fold * channels;
    T *sum = scratch, *square = sum + row, *center = square + row;
    const T *from = x;
    for (ptrdiff_t j = 0; j < row; j++) sum[j] = 0;
    for (ptrdiff_t p = 0, step; p < pixels; p += step) {
        step = NAME(step)(pixels - p, fold);
        if (step == 4 * fold)
            NAME(sum_rows)(sum, from + p * channels, row, row, 4);
        else
            NAME(sum_rows)(sum, from + p * channels, row, step * channels, 1);
    }
    NAME(fold_columns)(mean, sum, channels, fold);
    for (ptrdiff_t j = 0; j < channels; j++) mean[j] /= (double)pixels;
    NAME(unfold_channels)(center, mean, channels, fold);
    for (ptrdiff_t j = 0; j < row; j++) sum[j] = square[j] = 0;
    for (ptrdiff_t p = 0, step; p < pixels; p += step) {
        step = NAME(step)(pixels - p, fold);
        if (step == 4 * fold)
            NAME(deviation_rows)(sum, square, center, from + p * channels, row, row, 4);
        else
            NAME(deviation_rows)(sum, square, center, from + p * channels, row, step * channels, 1);
    }
    NAME(fold_columns)(mean, sum, channels, fold);
    NAME(fold_columns)(squares, square, channels, fold);
    for (ptrdiff_t j = 0; j < channels; j++) {
        const double rest = squares[j] - mean[j] * mean[j] / (double)pixels;
        squares[j] = rest < 0 ? 0 : rest; /* NaN stays */
        mean[j] = (double)center[j] + mean[j] / (double)pixels;
    }
}

/* ---- the map ---------------------------------------------------------------------------------------------------- */

/* In front of the ReLU. The gradient repeats this to find out which outputs were rectified. */
static CN_INLINE V NAME(normalized)(V deviation, const cn_norm *norm, ptrdiff_t j, ptrdiff_t n) {
    return v_fma(deviation, NAME(load_some)((const T *)norm->scale + j, n),
                 NAME(load_some)((const T *)norm->shift + j, n));
}

static CN_INLINE V NAME(deviation)(const T *x, const cn_norm *norm, ptrdiff_t j, ptrdiff_t n) {
    return v_sub(NAME(load_some)(x + j, n), NAME(load_some)((const T *)norm->mean + j, n));
}

static CN_INLINE void NAME(normalize_columns)(T *y, const T *x, const T *add, const cn_norm *norm, ptrdiff_t j,
                                              ptrdiff_t n, const int adds, const int relu) {
    V value = NAME(normalized)(NAME(deviation)(x, norm, j, n), norm, j, n);
    if (adds) value = v_add(value, NAME(load_some)(add + j, n));
    if (relu) value = NAME(rectified)(value, (T)norm->ceiling);
    NAME(store_some)(y + j, value, n);
}

static CN_INLINE void NAME(normalize_pixels)(T *y, const T *x, const T *add, const cn_norm *norm, const int adds,
                                             const int relu) {
    const ptrdiff_t row = norm->fold * norm->channels;
    for (ptrdiff_t left = norm->pixels * norm->channels; left > 0; left -= row, x += row, y += row) {
        const ptrdiff_t cols = left < row ? left : row;
        ptrdiff_t j = 0;
        for (; j + LANES <= cols; j += LANES) NAME(normalize_columns)(y, x, add, norm, j, LANES, adds, relu);
        if (j < cols) NAME(normalize_columns)(y, x, add, norm, j, cols - j, adds, relu);
        if (adds) add += row;
    }
}

static void NAME(normalize)(void *y, const void *x, const void *add, const cn_norm *norm) {
    const cn_norm own = *norm; /* what no store to y can change stays in registers */
    if (add && own.relu)
        NAME(normalize_pixels)(y, x, add, &own, 1, 1);
    else if (add)
        NAME(normalize_pixels)(y, x, add, &own, 1, 0);
    else if (own.relu)
        NAME(normalize_pixels)(y, x, NULL, &own, 0, 1);
    else
        NAME(normalize_pixels)(y, x, NULL, &own, 0, 0);
}

/* ---- its gradient ----------------------------------------------------------------------------------------------- */

/* `relu`: what was rectified follows from x; `adds`: from y, and g is kept, as dx and what was added both need it. */
static CN_INLINE void NAME(gradient_sum_columns)(T *sum, T *dot, T *masked, const T *dy, const T *x, const T *y,
                                                 const cn_norm *norm, ptrdiff_t row, const int rows, ptrdiff_t j,
                                                 ptrdiff_t n, const int relu, const int adds) {
    V s = v_zero(), product = v_zero();
    CN_UNROLL for (int i = 0; i < rows; i++) {
        const V d = NAME(deviation)(x + i * row, norm, j, n);
        V g = NAME(load_some)(dy + i * row + j, n);
        if (relu) g = NAME(through_relu)(g, NAME(normalized)(d, norm, j, n), (T)norm->ceiling);
        if (adds) {
            g = NAME(through_relu)(g, NAME(load_some)(y + i * row + j, n), (T)norm->ceiling);
            NAME(store_some)(masked + i * row + j, g, n);
        }
        s = v_add(s, g);
        product = v_fma(g, d, product);
    }
    NAME(store_some)(sum + j, v_add(NAME(load_some)(sum + j, n), s), n);
    NAME(store_some)(dot + j, v_add(NAME(load_some)(dot + j, n), product), n);
}

static CN_INLINE void NAME(gradient_sum_rows)(T *sum, T *dot, T *masked, const T *dy, const T *x, const T *y,
                                              const cn_norm *norm, ptrdiff_t cols, const int rows, const int relu,
                                              const int adds) {
    const ptrdiff_t row = norm->fold * norm->channels;
    ptrdiff_t j = 0;
    for (; j + LANES <= cols; j += LANES)
        NAME(gradient_sum_columns)(sum, dot, masked, dy, x, y, norm, row, rows, j, LANES, relu, adds);
    if (j < cols) NAME(gradient_sum_columns)(sum, dot, masked, dy, x, y, norm, row, rows, j, cols - j, relu, adds);
}

static CN_INLINE void NAME(gradient_sum_pixels)(T *sum, T *dot, T *masked, const T *dy, const T *x, const T *y,
                                                const cn_norm *norm, const int relu, const int adds) {
    const ptrdiff_t channels = norm->channels, fold = norm->fold;
    for (ptrdiff_t p = 0, step; p < norm->pixels; p += step) {
        const ptrdiff_t at = p * channels;
        const T *y_here = adds ? y + at : NULL;
        T *masked_here = adds ? masked + at : NULL;
        step = NAME(step)(norm->pixels - p, fold);
        if (step == 4 * fold)
            NAME(gradient_sum_rows)(sum, dot, masked_here, dy + at, x + at, y_here, norm, fold * channels, 4, relu,
                                    adds);
        else
            NAME(gradient_sum_rows)(sum, dot, masked_here, dy + at, x + at, y_here, norm, step * channels, 1, relu,
                                    adds);
    }
}

static void NAME(norm_sums)(double *sums, double *dots, void *masked, const void *dy, const void *x, const void *y,
                            const cn_norm *norm, void *scratch) {
    const ptrdiff_t row = norm->fold * norm->channels;
    const cn_norm own = *norm;
    T *sum = scratch, *dot = sum + row;
    for (ptrdiff_t j = 0; j < row; j++) sum[j] = dot[j] = 0;
    if (y)
        NAME(gradient_sum_pixels)(sum, dot, masked, dy, x, y, &own, 0, 1);
    else if (own.relu)
        NAME(gradient_sum_pixels)(sum, dot, NULL, dy, x, NULL, &own, 1, 0);
    else
        NAME(gradient_sum_pixels)(sum, dot, NULL, dy, x, NULL, &own, 0, 0);
    NAME(fold_columns)(sums, sum, norm->channels, norm->fold);
    NAME(fold_columns)(dots, dot, norm->channels, norm->fold);
}

static CN_INLINE void NAME(norm_gradient_columns)(T *dx, const T *dy, const T *x, const cn_norm *norm, ptrdiff_t j,
                                                  ptrdiff_t n, const int relu) {
    const V d = NAME(deviation)(x, norm, j, n);
    const V scale = NAME(load_some)((const T *)norm->scale + j, n);
    const V slope = NAME(load_some)((const T *)norm->slope + j, n);
    const V offset = NAME(load_some)((const T *)norm->offset + j, n);
    V g = NAME(load_some)(dy + j, n);
    if (relu) g = NAME(through_relu)(g, NAME(normalized)(d, norm, j, n), (T)norm->ceiling);
    NAME(store_some)(dx + j, v_fma(g, scale, v_fma(d, slope, offset)), n);
}

static CN_INLINE void NAME(norm_gradient_pixels)(T *dx, const T *dy, const T *x, const cn_norm *norm, const int relu) {
    const ptrdiff_t row = norm->fold * norm->channels;
    for (ptrdiff_t left = norm->pixels * norm->channels; left > 0; left -= row, dx += row, dy += row, x += row) {
        const ptrdiff_t cols = left < row ? left : row;
        ptrdiff_t j = 0;
        for (; j + LANES <= cols; j += LANES) NAME(norm_gradient_columns)(dx, dy, x, norm, j, LANES, relu);
        if (j < cols) NAME(norm_gradient_columns)(dx, dy, x, norm, j, cols - j, relu);
    }
}

static void NAME(norm_gradient)(void *dx, const void *dy, const void *x, const cn_norm *norm) {
    const cn_norm own = *norm;
    if (own.relu)
        NAME(norm_gradient_pixels)(dx, dy, x, &own, 1);
    else
        NAME(norm_gradient_pixels)(dx, dy, x, &own, 0);
}
