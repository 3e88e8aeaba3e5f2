/* Pooling over runs of pixels that see the same taps; vectors run over channels. */

/* Codes count taps of one window: exact in T, kept as one byte or, for windows of more than 256 taps, four. Bytes by
   vector conversion: 16 channels, 2 x 2 taps, AVX-512: 5.7 ns a pixel with codes, 5.2 without; lane by lane 20. */
static CN_INLINE void NAME(store_codes)(void *codes, int bytes, ptrdiff_t at, V code, ptrdiff_t n) {
    T lanes[LANES];
    if (bytes == 1) {
        v_store_u8((uint8_t *)codes + at, code, n);
        return;
    }
    v_store(lanes, code);
    for (ptrdiff_t i = 0; i < n; i++) ((int32_t *)codes)[at + i] = (int32_t)lanes[i];
}

static CN_INLINE V NAME(load_codes)(const void *codes, int bytes, ptrdiff_t at, ptrdiff_t n) {
    T lanes[LANES] = {0};
    if (bytes == 1) return v_load_u8((const uint8_t *)codes + at, n);
    for (ptrdiff_t i = 0; i < n; i++) lanes[i] = (T)((const int32_t *)codes)[at + i];
    return v_load(lanes);
}

/* A later tap wins only when it is larger or NaN: ties go to the first, NaN stays, as in PyTorch. A dilated window may
   lie wholly between the elements of the map, in padding: it has no taps, and its maximum is -infinity. */
static CN_INLINE void NAME(max_pool_pixel)(T *y, void *codes, ptrdiff_t at, const T *x, const cn_pool_run *run,
                                           ptrdiff_t n) {
    V best = v_set1((T)-INFINITY), code = v_set1((T)(run->taps ? run->tap_code[0] : 0));
    for (ptrdiff_t t = 0; t < run->taps; t++) {
        V value = NAME(load_some)(x + run->tap_offset[t], n);
        M wins = v_or(v_gt(value, best), v_nan(value));
        best = v_select(wins, value, best);
        code = v_select(wins, v_set1((T)run->tap_code[t]), code);
    }
    NAME(store_some)(y, best, n);
    if (codes) NAME(store_codes)(codes, run->code_bytes, at, code, n);
}

static void NAME(max_pool)(void *y, void *codes, const void *x, const cn_pool_run *run) {
    for (ptrdiff_t p = 0; p < run->pixels; p++) {
        const ptrdiff_t from = p * run->x_step, to = p * run->y_step;
        ptrdiff_t j = 0;
        for (; j + LANES <= run->channels; j += LANES)
            NAME(max_pool_pixel)((T *)y + to + j, codes, to + j, (const T *)x + from + j, run, LANES);
        if (j < run->channels)
            NAME(max_pool_pixel)((T *)y + to + j, codes, to + j, (const T *)x + from + j, run, run->channels - j);
    }
}

/* dx at tap t with the gradient added where the tap was the maximum. */
static CN_INLINE V NAME(max_pool_gradient_tap)(const T *dx, V code, V gradient, const cn_pool_run *run, ptrdiff_t t,
                                               ptrdiff_t n) {
    M won = v_eq(code, v_set1((T)run->tap_code[t]));
    return v_add(NAME(load_some)(dx + run->tap_offset[t], n), v_select(won, gradient, v_zero()));
}

/* Taps in pairs: when channels are fewer than lanes, a tap's load must not come right after the store of its neighbour
   to the left. The CPU takes the masked store for a whole vector, so the load would wait for it (8 channels, AVX-512,
   2 x 2 taps: 16 ns a pixel, in pairs 10). */
static CN_INLINE void NAME(max_pool_gradient_pixel)(T *dx, const T *dy, const void *codes, ptrdiff_t at,
                                                    const cn_pool_run *run, ptrdiff_t n) {
    const V gradient = NAME(load_some)(dy, n), code = NAME(load_codes)(codes, run->code_bytes, at, n);
    ptrdiff_t t = 0;
    for (; t + 2 <= run->taps; t += 2) {
        const V left = NAME(max_pool_gradient_tap)(dx, code, gradient, run, t, n);
        const V right = NAME(max_pool_gradient_tap)(dx, code, gradient, run, t + 1, n);
        NAME(store_some)(dx + run->tap_offset[t], left, n);
        NAME(store_some)(dx + run->tap_offset[t + 1], right, n);
    }
    if (t < run->taps)
        NAME(store_some)(dx + run->tap_offset[t], NAME(max_pool_gradient_tap)(dx, code, gradient, run, t, n), n);
}

static void NAME(max_pool_gradient)(void *dx, const void *dy, const void *codes, const cn_pool_run *run) {
    for (ptrdiff_t p = 0; p < run->pixels; p++) {
        const ptrdiff_t to = p * run->x_step, from = p * run->y_step;
        ptrdiff_t j = 0;
        for (; j + LANES <= run->channels; j += LANES)
            NAME(max_pool_gradient_pixel)((T *)dx + to + j, (const T *)dy + from + j, codes, from + j, run, LANES);
        if (j < run->channels)
            NAME(max_pool_gradient_pixel)((T *)dx + to + j, (const T *)dy + from + j, codes, from + j, run,
                                          run->channels - j);
    }
}

/* ---- ReLU and max pool behind a convolution --------------------------------------------------------------------- */

#define CN_RECTIFIED 255

/* The maximum starts from 0, so it is rectified already, and a tap must be larger than that to get the gradient. */
static CN_INLINE void NAME(relu_max_tap)(V value, V tap, V *best, V *code) {
    const M wins = v_or(v_gt(value, *best), v_nan(value));
    *best = v_select(wins, value, *best);
    *code = v_select(wins, tap, *code);
}

static CN_INLINE void NAME(relu_max_store)(T *y, uint8_t *codes, V best, V code, ptrdiff_t n) {
    NAME(store_some)(y, best, n);
    if (codes) v_store_u8(codes, code, n);
}

/* Windows of 2 x 2, the common ones, with all codes in registers: 5 ns a pixel of 8 channels (AVX2), in the general
   loop 9. */
static CN_INLINE void NAME(relu_max_pool_2x2)(T *y, uint8_t *codes, const T *x, const cn_pool_run *run, ptrdiff_t n) {
    const ptrdiff_t t0 = run->tap_offset[0], t1 = run->tap_offset[1], t2 = run->tap_offset[2], t3 = run->tap_offset[3];
    const V c1 = v_set1(1), c2 = v_set1(2), c3 = v_set1(3), rectified = v_set1(CN_RECTIFIED);
    const ptrdiff_t pixels = run->pixels, x_step = run->x_step, y_step = run->y_step;
    for (ptrdiff_t p = 0; p < pixels; p++, x += x_step, y += y_step) {
        V best = v_zero(), code = rectified;
        NAME(relu_max_tap)(v_load(x + t0), v_zero(), &best, &code);
        NAME(relu_max_tap)(v_load(x + t1), c1, &best, &code);
        NAME(relu_max_tap)(v_load(x + t2), c2, &best, &code);
        NAME(relu_max_tap)(v_load(x + t3), c3, &best, &code);
        NAME(relu_max_store)(y, codes, best, code, n);
        if (codes) codes += y_step;
    }
}

static CN_INLINE void NAME(relu_max_pool_any)(T *y, uint8_t *codes, const T *x, const cn_pool_run *run, ptrdiff_t n) {
    for (ptrdiff_t p = 0; p < run->pixels; p++) {
        V best = v_zero(), code = v_set1(CN_RECTIFIED);
        for (ptrdiff_t t = 0; t < run->taps; t++)
            NAME(relu_max_tap)(v_load(x + p * run->x_step + run->tap_offset[t]), v_set1((T)t), &best, &code);
        NAME(relu_max_store)(y + p * run->y_step, codes ? codes + p * run->y_step : NULL, best, code, n);
    }
}

static CN_INLINE void NAME(relu_max_pool_channels)(T *y, uint8_t *codes, const T *x, const cn_pool_run *run,
                                                   ptrdiff_t n) {
    if (run->taps == 4)
        NAME(relu_max_pool_2x2)(y, codes, x, run, n);
    else
        NAME(relu_max_pool_any)(y, codes, x, run, n);
}

static void NAME(relu_max_pool)(void *y, void *codes, const void *x, const cn_pool_run *run) {
    for (ptrdiff_t j = 0; j < run->channels; j += LANES) {
        T *to = (T *)y + j;
        uint8_t *to_codes = codes ? (uint8_t *)codes + j : NULL;
        const T *from = (const T *)x + j;
        if (run->channels - j >= LANES)
            NAME(relu_max_pool_channels)(to, to_codes, from, run, LANES);
        else
            NAME(relu_max_pool_channels)(to, to_codes, from, run, run->channels - j);
    }
}

/* One vector of channels of `unpool`; n of its lanes are read, `room` written. */
static CN_INLINE void NAME(unpool_channels)(T *dx, const T *dy, const uint8_t *codes, ptrdiff_t first, ptrdiff_t pixels,
                                            ptrdiff_t channels, ptrdiff_t dx_step, ptrdiff_t window, ptrdiff_t tap,
                                            ptrdiff_t n, ptrdiff_t room) {
    const V one = v_set1(1);
    ptrdiff_t pooled = first / window, column = first % window;
    for (ptrdiff_t left = pixels; left > 0; pooled++, column = 0) {
        const ptrdiff_t here = window - column < left ? window - column : left;
        const V gradient = NAME(load_some)(dy + pooled * channels, n);
        const V code = v_load_u8(codes + pooled * channels, n);
        V at = v_set1((T)(tap + column));
        for (ptrdiff_t i = 0; i < here; i++, dx += dx_step, at = v_add(at, one))
            NAME(store_some)(dx, v_select(v_eq(code, at), gradient, v_zero()), room);
        left -= here;
    }
}

static void NAME(unpool)(void *dx, const void *dy, const void *codes, ptrdiff_t first, ptrdiff_t pixels,
                         ptrdiff_t channels, ptrdiff_t dx_step, ptrdiff_t window, ptrdiff_t tap) {
    for (ptrdiff_t j = 0; j < channels; j += LANES) {
        T *to = (T *)dx + j;
        const T *from = (const T *)dy + j;
        const uint8_t *from_codes = (const uint8_t *)codes + j;
        if (channels - j >= LANES)
            NAME(unpool_channels)(to, from, from_codes, first, pixels, channels, dx_step, window, tap, LANES, LANES);
        else
            NAME(unpool_channels)(to, from, from_codes, first, pixels, channels, dx_step, window, tap, channels - j,
                                  dx_step - j < LANES ? channels - j : LANES);
    }
}

static void NAME(average_pool)(void *y, const void *x, const cn_pool_run *run) {
    const V scale = v_set1((T)run->scale);
    for (ptrdiff_t p = 0; p < run->pixels; p++)
        for (ptrdiff_t j = 0; j < run->channels; j += LANES) {
            const ptrdiff_t n = run->channels - j < LANES ? run->channels - j : LANES;
            const T *from = (const T *)x + p * run->x_step + j;
            V sum = v_zero();
            for (ptrdiff_t t = 0; t < run->taps; t++) sum = v_add(sum, NAME(load_some)(from + run->tap_offset[t], n));
            NAME(store_some)((T *)y + p * run->y_step + j, v_mul(sum, scale), n);
        }
}

static void NAME(average_pool_gradient)(void *dx, const void *dy, const cn_pool_run *run) {
    const V scale = v_set1((T)run->scale);
    for (ptrdiff_t p = 0; p < run->pixels; p++)
        for (ptrdiff_t j = 0; j < run->channels; j += LANES) {
            const ptrdiff_t n = run->channels - j < LANES ? run->channels - j : LANES;
            const V share = v_mul(NAME(load_some)((const T *)dy + p * run->y_step + j, n), scale);
            T *to = (T *)dx + p * run->x_step + j;
            for (ptrdiff_t t = 0; t < run->taps; t++)
                NAME(store_some)(to + run->tap_offset[t], v_add(NAME(load_some)(to + run->tap_offset[t], n), share), n);
        }
}
