/* The optimisers' updates: each parameter, its gradient and its state are read and written once, and the gradient is
   cleared in the same pass. */

static CN_INLINE void NAME(sgd_vector)(V *value, V grad, V *velocity, V lr, V momentum, int nesterov, V weight_decay) {
    grad = v_fma(weight_decay, *value, grad);
    if (velocity) {
        *velocity = v_fma(momentum, *velocity, grad);
        grad = nesterov ? v_fma(momentum, *velocity, grad) : *velocity;
    }
    *value = v_sub(*value, v_mul(lr, grad));
}

static void NAME(sgd)(void *value, void *grad, void *velocity, ptrdiff_t n, double lr, double momentum, int nesterov,
                      double weight_decay) {
    const V rate = v_set1((T)lr), mu = v_set1((T)momentum), decay = v_set1((T)weight_decay);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t here = n - i < LANES ? n - i : LANES;
        T *w = (T *)value + i, *g = (T *)grad + i, *v = velocity ? (T *)velocity + i : NULL;
        V weight = NAME(load_some)(w, here), speed = v ? NAME(load_some)(v, here) : v_zero();
        NAME(sgd_vector)(&weight, NAME(load_some)(g, here), v ? &speed : NULL, rate, mu, nesterov, decay);
        NAME(store_some)(w, weight, here);
        NAME(store_some)(g, v_zero(), here);
        if (v) NAME(store_some)(v, speed, here);
    }
}

/* value = shrink * value - step_size * mean / (sqrt(variance) / root_correction + eps) */
static void NAME(adam)(void *value, void *grad, void *mean, void *variance, ptrdiff_t n, double step_size, double beta1,
                       double beta2, double eps, double root_correction, double weight_decay, double shrink) {
    const V step = v_set1((T)step_size), b1 = v_set1((T)beta1), b2 = v_set1((T)beta2), small = v_set1((T)eps);
    const V rest1 = v_set1((T)(1 - beta1)), rest2 = v_set1((T)(1 - beta2)), root = v_set1((T)(1 / root_correction));
    const V decay = v_set1((T)weight_decay), keep = v_set1((T)shrink);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t here = n - i < LANES ? n - i : LANES;
        T *w = (T *)value + i, *g = (T *)grad + i, *m = (T *)mean + i, *s = (T *)variance + i;
        V weight = NAME(load_some)(w, here), gradient = v_fma(decay, weight, NAME(load_some)(g, here));
        V first = v_fma(b1, NAME(load_some)(m, here), v_mul(rest1, gradient));
        V second = v_fma(b2, NAME(load_some)(s, here), v_mul(rest2, v_mul(gradient, gradient)));
        V move = v_div(v_mul(step, first), v_fma(v_sqrt(second), root, small));
        NAME(store_some)(w, v_sub(v_mul(keep, weight), move), here);
        NAME(store_some)(g, v_zero(), here);
        NAME(store_some)(m, first, here);
        NAME(store_some)(s, second, here);
    }
}

/* square = alpha * square + (1 - alpha) * grad^2, and mean likewise of grad itself where there is one; the step is
   lr * grad / (sqrt(square - mean^2) + eps), or its velocity. Rounding may bring the difference below zero. */
static void NAME(rmsprop)(void *value, void *grad, void *square, void *velocity, void *mean, ptrdiff_t n, double lr,
                          double alpha, double eps, double momentum, double weight_decay) {
    const V rate = v_set1((T)lr), keep = v_set1((T)alpha), rest = v_set1((T)(1 - alpha)), small = v_set1((T)eps);
    const V mu = v_set1((T)momentum), decay = v_set1((T)weight_decay);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t here = n - i < LANES ? n - i : LANES;
        T *w = (T *)value + i, *g = (T *)grad + i, *s = (T *)square + i;
        V weight = NAME(load_some)(w, here), gradient = v_fma(decay, weight, NAME(load_some)(g, here));
        V second = v_fma(keep, NAME(load_some)(s, here), v_mul(rest, v_mul(gradient, gradient))), variance = second;
        if (mean) {
            V first = v_fma(keep, NAME(load_some)((T *)mean + i, here), v_mul(rest, gradient));
            variance = v_max(v_zero(), v_sub(second, v_mul(first, first))); /* NaN stays */
            NAME(store_some)((T *)mean + i, first, here);
        }
        V move = v_div(gradient, v_add(v_sqrt(variance), small));
        if (velocity) {
            move = v_fma(mu, NAME(load_some)((T *)velocity + i, here), move);
            NAME(store_some)((T *)velocity + i, move, here);
        }
        NAME(store_some)(w, v_sub(weight, v_mul(rate, move)), here);
        NAME(store_some)(g, v_zero(), here);
        NAME(store_some)(s, second, here);
    }
}

/* In double precision a square of floats is exact and cannot overflow. Sixteen sums, whatever the vectors: the same
   bits for every instruction set. */
static double NAME(sum_squares)(const void *x, ptrdiff_t n) {
    const T *from = x;
    double sums[16] = {0};
    ptrdiff_t i = 0;
    for (; i + 16 <= n; i += 16)
        CN_UNROLL for (int j = 0; j < 16; j++) sums[j] += (double)from[i + j] * (double)from[i + j];
    for (int j = 0; i < n; i++, j++) sums[j] += (double)from[i] * (double)from[i];
    for (int half = 8; half > 0; half /= 2)
        for (int j = 0; j < half; j++) sums[j] += sums[j + half];
    return sums[0];
}

static void NAME(clip)(void *x, ptrdiff_t n, double scale, double limit) {
    const V factor = v_set1((T)scale), top = v_set1((T)limit), bottom = v_set1((T)-limit);
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t here = n - i < LANES ? n - i : LANES;
        V a = v_mul(factor, NAME(load_some)((T *)x + i, here));
        a = v_select(v_gt(a, top), top, a);
        NAME(store_some)((T *)x + i, v_select(v_gt(bottom, a), bottom, a), here);
    }
}

/* From the nearer of both ends: a share of 1 gives x itself. */
static void NAME(average)(void *mean, const void *x, ptrdiff_t n, double share) {
    const int near_mean = share < 0.5;
    const V part = v_set1((T)(near_mean ? share : 1 - share));
    for (ptrdiff_t i = 0; i < n; i += LANES) {
        const ptrdiff_t here = n - i < LANES ? n - i : LANES;
        V before = NAME(load_some)((T *)mean + i, here), now = NAME(load_some)((const T *)x + i, here);
        V after = near_mean ? v_fma(part, v_sub(now, before), before) : v_fma(part, v_sub(before, now), now);
        NAME(store_some)((T *)mean + i, after, here);
    }
}
