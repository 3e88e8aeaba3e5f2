/* Local response normalisation across channels: y = x d^-power with d = offset + scale * the sum of x x over a window of
   channels. A pixel's squares lie in `scratch` between zeros, so that no window meets an end. */

static CN_INLINE V NAME(window_sum)(const T *row, ptrdiff_t window) {
    V sum = v_load(row);
    for (ptrdiff_t i = 1; i < window; i++) sum = v_add(sum, v_load(row + i));
    return sum;
}

/* d^-power. The powers that papers use take roots, which are exact to half a unit; others the function of libm. */
static CN_INLINE V NAME(inverse_power)(V d, T power) {
    T lanes[LANES];
    if (power == (T)0.75) {
        const V root = v_sqrt(d);
        return v_div(v_set1(1), v_mul(root, v_sqrt(root)));
    }
    if (power == (T)0.5) return v_div(v_set1(1), v_sqrt(d));
    if (power == 1) return v_div(v_set1(1), d);
    v_store(lanes, d);
    for (ptrdiff_t i = 0; i < LANES; i++) lanes[i] = CN_POW(lanes[i], -power);
    return v_load(lanes);
}

static void NAME(clear)(T *row, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; i++) row[i] = 0;
}

static CN_INLINE void NAME(square_pixel)(T *squares, const T *x, const cn_response *r) {
    for (ptrdiff_t j = 0; j < r->channels; j += LANES) {
        const ptrdiff_t here = r->channels - j < LANES ? r->channels - j : LANES;
        const V value = NAME(load_some)(x + j, here);
        NAME(store_some)(squares + r->before + j, v_mul(value, value), here);
    }
}

static CN_INLINE V NAME(response)(const T *squares, const cn_response *r) {
    const V sum = NAME(window_sum)(squares, r->before + r->after + 1);
    return v_fma(sum, v_set1((T)r->scale), v_set1((T)r->offset));
}

static void NAME(local_response)(void *y, const void *x, const cn_response *r) {
    const T *from = x;
    T *to = y, *squares = r->scratch;
    NAME(clear)(squares, r->channels + r->before + r->after + LANES);
    for (ptrdiff_t p = 0; p < r->pixels; p++, from += r->channels, to += r->channels) {
        NAME(square_pixel)(squares, from, r);
        for (ptrdiff_t j = 0; j < r->channels; j += LANES) {
            const ptrdiff_t here = r->channels - j < LANES ? r->channels - j : LANES;
            const V d = NAME(response)(squares + j, r);
            const V value = NAME(load_some)(from + j, here);
            NAME(store_some)(to + j, v_mul(value, NAME(inverse_power)(d, (T)r->power)), here);
        }
    }
}

/* dx[j] = dy[j] d[j]^-power - 2 scale power x[j] * the sum of dy x d^(-power - 1) over the channels that see j: as
   far behind it as a window reaches forward, and the other way round. */
static void NAME(local_response_gradient)(void *dx, const void *dy, const void *x, const cn_response *r) {
    const ptrdiff_t window = r->before + r->after + 1, room = r->channels + window - 1 + LANES;
    const V factor = v_set1((T)(-2 * r->scale * r->power));
    const T *from = x, *up = dy;
    T *to = dx, *squares = r->scratch, *terms = squares + room;
    NAME(clear)(squares, 2 * room);
    for (ptrdiff_t p = 0; p < r->pixels; p++, from += r->channels, up += r->channels, to += r->channels) {
        NAME(square_pixel)(squares, from, r);
        for (ptrdiff_t j = 0; j < r->channels; j += LANES) {
            const ptrdiff_t here = r->channels - j < LANES ? r->channels - j : LANES;
            const V d = NAME(response)(squares + j, r);
            const V direct = v_mul(NAME(load_some)(up + j, here), NAME(inverse_power)(d, (T)r->power));
            NAME(store_some)(to + j, direct, here);
            NAME(store_some)(terms + r->after + j, v_div(v_mul(direct, NAME(load_some)(from + j, here)), d), here);
        }
        for (ptrdiff_t j = 0; j < r->channels; j += LANES) {
            const ptrdiff_t here = r->channels - j < LANES ? r->channels - j : LANES;
            const V rest = v_mul(v_mul(factor, NAME(load_some)(from + j, here)), NAME(window_sum)(terms + j, window));
            NAME(store_some)(to + j, v_add(NAME(load_some)(to + j, here), rest), here);
        }
    }
}
