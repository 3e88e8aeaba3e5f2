/* Weighted sums of rows of elements: a map that is linear along one axis, such as padding or interpolation. */
static void NAME(blend)(void *y, const void *x, const cn_blend *b) {
    const T *from = x, *weight = b->weight;
    T *to = y;
    for (ptrdiff_t o = 0; o < b->rows; o++, to += b->n) {
        const int32_t first = b->first[o], end = b->first[o + 1];
        for (ptrdiff_t j = 0; j < b->n; j += LANES) {
            const ptrdiff_t here = b->n - j < LANES ? b->n - j : LANES;
            V sum = v_zero();
            if (first < end)
                sum = v_mul(v_set1(weight[first]), NAME(load_some)(from + b->source[first] * b->step + j, here));
            for (int32_t t = first + 1; t < end; t++)
                sum = v_fma(v_set1(weight[t]), NAME(load_some)(from + b->source[t] * b->step + j, here), sum);
            NAME(store_some)(to + j, sum, here);
        }
    }
}
