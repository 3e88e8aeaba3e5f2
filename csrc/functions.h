/* Activations beyond the rectifiers: for each a function of x, and its derivative from what was saved, x or y. */

#define CN_EACH_FUNCTION(use)                                                                                          \
    use(CN_LEAKY_RELU, leaky_relu) use(CN_ELU, elu) use(CN_GELU, gelu) use(CN_GELU_TANH, gelu_tanh) use(CN_SILU, silu) \
        use(CN_HARD_SWISH, hard_swish) use(CN_HARD_SIGMOID, hard_sigmoid) use(CN_SIGMOID, sigmoid) use(CN_TANH, tanh)

static CN_INLINE V NAME(leaky_relu)(V x, V a) { return v_select(v_gt(x, v_zero()), x, v_mul(a, x)); }
static CN_INLINE V NAME(leaky_relu_slope)(V x, V a) { return v_select(v_gt(x, v_zero()), v_set1(1), a); }

static CN_INLINE V NAME(elu)(V x, V a) {
    return v_select(v_gt(x, v_zero()), x, v_mul(a, NAME(expm1)(NAME(minus_abs)(x))));
}
static CN_INLINE V NAME(elu_slope)(V x, V a) {
    return v_select(v_gt(x, v_zero()), v_set1(1), v_mul(a, NAME(exp)(NAME(minus_abs)(x))));
}

/* x times the share of the normal distribution below x. */
static CN_INLINE V NAME(gelu)(V x, V a) {
    V bell, tail = NAME(normal_tail)(x, &bell);
    (void)a;
    return v_mul(x, v_select(v_gt(x, v_zero()), v_sub(v_set1(1), tail), tail));
}
static CN_INLINE V NAME(gelu_slope)(V x, V a) {
    V bell, tail = NAME(normal_tail)(x, &bell);
    (void)a;
    const V share = v_select(v_gt(x, v_zero()), v_sub(v_set1(1), tail), tail);
    const V rest = v_mul(v_mul(x, v_set1((T)0.39894228040143267794)), bell); /* 1 / sqrt(2 pi) */
    return v_add(share, v_select(v_eq(bell, v_zero()), v_zero(), rest));
}

/* With e = e^-|x|, so that nothing overflows. */
static CN_INLINE V NAME(logistic)(V x, V e) {
    return v_div(v_select(v_gt(x, v_zero()), v_set1(1), e), v_add(v_set1(1), e));
}
/* x * logistic(t) by x, where x dt/dx is `pace`: logistic(t) + logistic(t) logistic(-t) pace. */
static CN_INLINE V NAME(gated_slope)(V t, V pace) {
    const V e = NAME(exp)(NAME(minus_abs)(t)), share = NAME(logistic)(t, e), sum = v_add(v_set1(1), e);
    const V rest = v_mul(v_div(v_div(e, sum), sum), pace);
    return v_add(share, v_select(v_eq(e, v_zero()), v_zero(), rest)); /* an infinite pace does not matter there */
}

static CN_INLINE V NAME(sigmoid)(V x, V a) { return (void)a, NAME(logistic)(x, NAME(exp)(NAME(minus_abs)(x))); }
static CN_INLINE V NAME(sigmoid_slope)(V y, V a) { return (void)a, v_mul(y, v_sub(v_set1(1), y)); }

static CN_INLINE V NAME(silu)(V x, V a) { return v_mul(x, NAME(sigmoid)(x, a)); }
static CN_INLINE V NAME(silu_slope)(V x, V a) { return (void)a, NAME(gated_slope)(x, x); }

/* (1 + tanh(t / 2)) / 2 = logistic(t), t / 2 = sqrt(2 / pi) (x + 0.044715 x^3) */
#define CN_GELU_T(x, share)                                                                                            \
    v_mul(v_mul(x, v_set1((T)1.59576912160573071176)), v_fma(v_mul(x, x), v_set1((T)(share)), v_set1(1)))
static CN_INLINE V NAME(gelu_tanh)(V x, V a) { return v_mul(x, NAME(sigmoid)(CN_GELU_T(x, 0.044715), a)); }
static CN_INLINE V NAME(gelu_tanh_slope)(V x, V a) {
    return (void)a, NAME(gated_slope)(CN_GELU_T(x, 0.044715), CN_GELU_T(x, 3 * 0.044715));
}
#undef CN_GELU_T

static CN_INLINE V NAME(hard_sigmoid)(V x, V a) {
    const V six = v_set1(6), t = v_max(v_zero(), v_add(x, v_set1(3))); /* second operand: NaN stays */
    (void)a;
    return v_mul(v_select(v_gt(t, six), six, t), v_set1((T)(1.0 / 6)));
}
/* `inside` between -3 and 3, `above` from there on, 0 below */
static CN_INLINE V NAME(hard_slope)(V x, V inside, V above) {
    return v_select(v_gt(v_set1(3), x), v_select(v_gt(x, v_set1(-3)), inside, v_zero()), above);
}
static CN_INLINE V NAME(hard_sigmoid_slope)(V x, V a) {
    return (void)a, NAME(hard_slope)(x, v_set1((T)(1.0 / 6)), v_zero());
}

static CN_INLINE V NAME(hard_swish)(V x, V a) { return v_mul(x, NAME(hard_sigmoid)(x, a)); }
static CN_INLINE V NAME(hard_swish_slope)(V x, V a) {
    return (void)a, NAME(hard_slope)(x, v_fma(x, v_set1((T)(1.0 / 3)), v_set1((T)0.5)), v_set1(1));
}

/* -m / (2 + m) with m = e^(-2 |x|) - 1, which is accurate where it is small; NaN has no sign that matters */
static CN_INLINE V NAME(tanh)(V x, V a) {
    const V negative = NAME(minus_abs)(x), m = NAME(expm1)(v_add(negative, negative));
    const V size = v_div(m, v_add(v_set1(2), m));
    (void)a;
    return v_select(v_gt(x, v_zero()), v_sub(v_zero(), size), size);
}
static CN_INLINE V NAME(tanh_slope)(V y, V a) { return (void)a, v_mul(v_sub(v_set1(1), y), v_add(v_set1(1), y)); }

#define CN_LOOPS(number, f)                                                                                            \
    static void NAME(f##_map)(T * y, const T *x, ptrdiff_t n, T a) {                                                   \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                                                                     \
            const ptrdiff_t here = n - i < LANES ? n - i : LANES;                                                      \
            NAME(store_some)(y + i, NAME(f)(NAME(load_some)(x + i, here), v_set1(a)), here);                           \
        }                                                                                                              \
    }                                                                                                                  \
    static void NAME(f##_gradient)(T * dx, const T *dy, const T *saved, ptrdiff_t n, T a) {                            \
        for (ptrdiff_t i = 0; i < n; i += LANES) {                                                                     \
            const ptrdiff_t here = n - i < LANES ? n - i : LANES;                                                      \
            const V slope = NAME(f##_slope)(NAME(load_some)(saved + i, here), v_set1(a));                              \
            NAME(store_some)(dx + i, v_mul(NAME(load_some)(dy + i, here), slope), here);                               \
        }                                                                                                              \
    }
CN_EACH_FUNCTION(CN_LOOPS)
#undef CN_LOOPS

static void NAME(activation)(void *y, const void *x, ptrdiff_t n, cn_function function, double a) {
#define CN_MAP(number, f) [number] = NAME(f##_map),
    static void (*const maps[])(T *, const T *, ptrdiff_t, T) = {CN_EACH_FUNCTION(CN_MAP)};
#undef CN_MAP
    maps[function](y, x, n, (T)a);
}

static void NAME(activation_gradient)(void *dx, const void *dy, const void *saved, ptrdiff_t n, cn_function function,
                                      double a) {
#define CN_GRADIENT(number, f) [number] = NAME(f##_gradient),
    static void (*const gradients[])(T *, const T *, const T *, ptrdiff_t, T) = {CN_EACH_FUNCTION(CN_GRADIENT)};
#undef CN_GRADIENT
    gradients[function](dx, dy, saved, n, (T)a);
}
#undef CN_EACH_FUNCTION

/* ---- PReLU: a slope for each column ------------------------------------------------------------------------------ */

static void NAME(prelu)(void *y, const void *x, const void *slope, ptrdiff_t n, ptrdiff_t row) {
    const T *from = x;
    T *to = y;
    for (ptrdiff_t left = n; left > 0; left -= row, from += row, to += row)
        for (ptrdiff_t j = 0; j < row && j < left; j += LANES) {
            const ptrdiff_t cols = left < row ? left : row, here = cols - j < LANES ? cols - j : LANES;
            const V a = NAME(load_some)((const T *)slope + j, here);
            NAME(store_some)(to + j, NAME(leaky_relu)(NAME(load_some)(from + j, here), a), here);
        }
}

static void NAME(prelu_gradient)(void *dx, void *sums, const void *dy, const void *x, const void *slope, ptrdiff_t n,
                                 ptrdiff_t row) {
    const T *from = x, *g = dy;
    T *to = dx, *sum = sums;
    for (ptrdiff_t left = n; left > 0; left -= row, from += row, g += row, to += row)
        for (ptrdiff_t j = 0; j < row && j < left; j += LANES) {
            const ptrdiff_t cols = left < row ? left : row, here = cols - j < LANES ? cols - j : LANES;
            const V value = NAME(load_some)(from + j, here), up = NAME(load_some)(g + j, here);
            const V a = NAME(load_some)((const T *)slope + j, here), old = NAME(load_some)(sum + j, here);
            const M positive = v_gt(value, v_zero());
            NAME(store_some)(to + j, v_select(positive, up, v_mul(a, up)), here);
            NAME(store_some)(sum + j, v_select(positive, old, v_fma(up, value, old)), here);
        }
}
