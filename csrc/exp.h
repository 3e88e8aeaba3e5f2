/* e^x for x <= 0, to about one unit in the last place; 0 where a normal number is too small. NaN passes.
   With n = x / log 2 rounded and r = x - n log 2, |r| <= 0.35, e^x is 2^n e^r; e^r is its Taylor polynomial, whose next
   term is below a tenth of a unit. log 2 is cut in two: n times the first part is exact, without fma too. */
#if CN_DOUBLE
#define CN_EXP_TERMS 13
#define CN_LOG2_HIGH 0x1.62e42fefa4p-1
#define CN_LOG2_LOW (-1.7239444525614834773e-13)
#define CN_EXP_LEAST (-709.0)
#define CN_EXP_SHIFT (0x1.8p52 + 1023) /* rounds what is added to it; leaves n + the exponent's bias in its low bits */
#else
#define CN_EXP_TERMS 7
#define CN_LOG2_HIGH 0.693359375f
#define CN_LOG2_LOW (-2.1219444005469058e-4f)
#define CN_EXP_LEAST (-88.0f)
#define CN_EXP_SHIFT (0x1.8p23f + 127)
#endif

/* Returns e^r - 1 and sets *power to 2^n. */
static CN_INLINE V NAME(reduced_expm1)(V x, V *power) {
    static const double inverse_factorials[] = {0.5,           1.0 / 6,        1.0 / 24,        1.0 / 120,
                                                1.0 / 720,     1.0 / 5040,     1.0 / 40320,     1.0 / 362880,
                                                1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800};
    const V bounded = v_max(v_set1(CN_EXP_LEAST), x); /* second operand: NaN stays */
    const V shifted = v_fma(bounded, v_set1((T)1.44269504088896340736), v_set1(CN_EXP_SHIFT));
    const V n = v_sub(shifted, v_set1(CN_EXP_SHIFT));
    const V r = v_fma(n, v_set1(-CN_LOG2_LOW), v_fma(n, v_set1(-CN_LOG2_HIGH), bounded));
    V sum = v_set1((T)inverse_factorials[CN_EXP_TERMS - 2]);
    CN_UNROLL for (int i = CN_EXP_TERMS - 3; i >= 0; i--) sum = v_fma(sum, r, v_set1((T)inverse_factorials[i]));
    *power = v_exponent(shifted);
    return v_fma(v_mul(r, r), sum, r);
}

static CN_INLINE V NAME(exp)(V x) {
    V power, rest = NAME(reduced_expm1)(x, &power);
    return v_mul(power, v_add(v_set1(1), rest)); /* power * rest alone might be too small for a normal number */
}

/* e^x - 1: loses nothing where that is small, for then n is 0. */
static CN_INLINE V NAME(expm1)(V x) {
    V power, rest = NAME(reduced_expm1)(x, &power);
    return v_fma(power, rest, v_sub(power, v_set1(1)));
}

static CN_INLINE V NAME(minus_abs)(V x) { return v_sub(v_zero(), v_max(v_sub(v_zero(), x), x)); }

/* The share of the normal distribution beyond |x|, and e^(-x x / 2). With z = |x| / sqrt 2 and u = (z - 3) / (z + 3),
   erfc(z) = e^(-z z) P(u) / (1 + 2 z); P interpolates in Chebyshev's points, to 6e-9 and 1.2e-17. */
static CN_INLINE V NAME(normal_tail)(V x, V *bell) {
#if CN_DOUBLE
    static const T p[] = {
        8.8642190164270916e-10,  9.8857988311393651e-10, -8.5003979297726153e-09, -1.3326364813003834e-08,
        4.1807846988455821e-08,  1.0187000600072885e-07, -1.4160064940265987e-07, -6.1664960776043527e-07,
        3.5683839153992204e-07,  3.4724146028756862e-06, -7.3151051641590624e-07, -2.0100567931289227e-05,
        4.9494849925705948e-06,  1.2509935235563107e-04, -1.0515979981501177e-04, -7.7983227210839912e-04,
        1.8886903591561553e-03,  2.5293918160662391e-03, -2.3770514918645888e-02, 6.8308027343978478e-02,
        -1.1927366341530699e-01, 1.2964515870276061e-01, -4.7562294353450871e-02, -1.3562110612458117e-01,
        1.2530080582697296e+00};
#else
    static const T p[] = {8.007454975e-5f, -9.253769126e-5f, -7.340820504e-4f, 1.875060246e-3f,
                          2.506778672e-3f, -2.37635597e-2f,  6.831319672e-2f,  -1.192752814e-1f,
                          1.296447209e-1f, -4.756215615e-2f, -1.356211001e-1f, 1.253008056f};
#endif
    const V far = v_max(v_set1(-60), NAME(minus_abs)(x)); /* the tail of 60 is 0 in double too */
    const V z = v_mul(far, v_set1((T)-0.70710678118654752440));
    const V u = v_div(v_sub(z, v_set1(3)), v_add(z, v_set1(3)));
    V sum = v_set1(p[0]);
    CN_UNROLL for (int i = 1; i < (int)(sizeof p / sizeof *p); i++) sum = v_fma(sum, u, v_set1(p[i]));
    *bell = NAME(exp)(v_mul(v_mul(far, far), v_set1((T)-0.5)));
    return v_div(v_mul(v_mul(*bell, v_set1((T)0.5)), sum), v_fma(z, v_set1(2), v_set1(1)));
}
#undef CN_EXP_TERMS
#undef CN_LOG2_HIGH
#undef CN_LOG2_LOW
#undef CN_EXP_LEAST
#undef CN_EXP_SHIFT
