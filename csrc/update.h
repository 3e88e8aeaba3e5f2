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
