/* ReLU, ReLU6, dropout, softmax with its loss, and the updates of the optimisers. */
#include "kernel_cases.h"

/* ---- ReLU, ReLU6 ------------------------------------------------------------------------------------------------- */

/* Even numbers from -8 to 8: 6 and what is beyond among them. */
static const void *twice_special(int buffer, ptrdiff_t n) {
    void *p = special(buffer, n);
    for (ptrdiff_t i = 0; i < n; i++) put(p, i, 2 * get(p, i));
    return p;
}

static void test_relu(ptrdiff_t n, int relu) {
    const void *x = twice_special(0, n);
    void *y = filled(1, n, 7);
    begin("relu", n, relu, 0, 0);
    for (ptrdiff_t i = 0; i < n; i++) expected[i] = rectified(get(x, i), relu);
    kernels->relu(y, x, n, ceiling_of(relu));
    check_equal("y", y, n);
    check_fronts();
}

static void test_relu_gradient(ptrdiff_t n, int relu) {
    const void *dy = special(0, n), *y = twice_special(1, n);
    void *dx = filled(2, n, 7);
    begin("relu_gradient", n, relu, 0, 0);
    for (ptrdiff_t i = 0; i < n; i++) expected[i] = passes(get(y, i), relu) ? get(dy, i) : 0;
    kernels->relu_gradient(dx, dy, y, n, ceiling_of(relu));
    check_equal("dx", dx, n);
    check_fronts();
}

static void test_relus(void) {
    for (ptrdiff_t n = 0; n <= 140; n++)
        for (int relu = 1; relu < RELUS; relu++) {
            test_relu(n, relu);
            test_relu_gradient(n, relu);
        }
}

/* ---- dropout ----------------------------------------------------------------------------------------------------- */

/* Element 16 k has word k of the first counter; these are published for counter and key 0. */
static void test_dropout_words(void) {
    static const uint32_t words[] = {0x531c7e4f, 0x39491ee5, 0x2c855a92, 0x3d6abf9a};
    const void *x = filled(0, 64, 3);
    void *y = filled(1, 64, 7);
    for (int k = 0; k < 4; k++) {
        begin("dropout of a known word", k, 0, 0, 0);
        kernels->dropout(y, x, 64, 0, words[k], 0, 2);
        check(get(y, 16 * k) == 6, "kept", 16 * k, get(y, 16 * k), 6);
        kernels->dropout(y, x, 64, 0, words[k] + 1, 0, 2);
        check(get(y, 16 * k) == 0, "dropped", 16 * k, get(y, 16 * k), 0);
    }
}

static void test_dropout(void) {
    double kept[192];
    test_dropout_words();
    void *ones = filled(0, 192, 1);
    kernels->dropout(ones, ones, 192, 128, 1u << 31, 5, 2);
    for (ptrdiff_t i = 0; i < 192; i++) kept[i] = get(ones, i);
    for (ptrdiff_t n = 0; n <= 140; n++) {
        const void *x = special(0, n);
        void *y = filled(1, n, 7);
        begin("dropout", n, 0, 0, 0);
        for (ptrdiff_t i = 0; i < n; i++) expected[i] = kept[i] != 0 ? 2 * get(x, i) : 0;
        kernels->dropout(y, x, n, 128, 1u << 31, 5, 2);
        check_equal("y", y, n);
        check_fronts();
    }
}

/* ---- softmax -------------------------------------------------------------------------------------------------- */

enum { NO_TARGET, LABELS, TARGETS };

/* Logits differ by integers, so the kernel's subtraction of the maximum is exact. What is left are the roundings of
   exp (2 u, with u = epsilon / 2), of the product and of the subtraction of the target: 2 epsilon of the terms. The
   sum of the exponentials, and so its logarithm, carries the 2 u of exp. */
static double expect_softmax_row(ptrdiff_t first, ptrdiff_t classes, const void *z, const double *target, double scale,
                                 double *loss_bound) {
    double top = -INFINITY, sum = 0, target_sum = 0, loss = 0;
    for (ptrdiff_t j = 0; j < classes; j++) top = fmax(top, get(z, first + j));
    for (ptrdiff_t j = 0; j < classes; j++) sum += exp(get(z, first + j) - top);
    for (ptrdiff_t j = 0; j < classes; j++) target_sum += target[j];
    for (ptrdiff_t j = 0; j < classes; j++) {
        const double p = exp(get(z, first + j) - top) / sum;
        expected[first + j] = (p * target_sum - target[j]) * scale;
        bound[first + j] = 2 * epsilon() * (p * target_sum + target[j]) * scale + DBL_MIN;
        if (target[j] != 0) loss += target[j] * (log(sum) + top - get(z, first + j));
    }
    *loss_bound += 4 * epsilon() * target_sum + 16 * DBL_EPSILON * fabs(loss);
    return loss;
}

/* What a row is compared with: one-hot, probabilities that need not add up to 1, or, without a target, p itself. */
static void make_target(double *target, void *targets, int64_t *label, ptrdiff_t first, ptrdiff_t classes, int kind) {
    *label = draw((int)classes);
    for (ptrdiff_t j = 0; j < classes; j++) {
        target[j] = kind == TARGETS ? draw(5) / 8.0 : j == *label;
        put(targets, first + j, target[j]);
    }
}

static void test_softmax_of(ptrdiff_t rows, ptrdiff_t classes, int kind) {
    const double scale = kind == NO_TARGET ? 1 : 0.25;
    void *z = integers(0, rows * classes), *targets = take(1, rows * classes, item);
    int64_t *labels = take(2, rows, sizeof *labels);
    void *gradient = filled(3, rows * classes, NAN);
    double target[64], loss = 0, loss_bound = 0;
    for (ptrdiff_t r = 0; r < rows; r++) {
        put(z, r * classes + draw((int)classes), draw(2) ? 80 : 30000);
        make_target(target, targets, &labels[r], r * classes, classes, kind);
        loss += expect_softmax_row(r * classes, classes, z, target, scale, &loss_bound);
        if (kind == NO_TARGET) expected[r * classes + labels[r]] += 1;
    }
    begin("softmax", rows, classes, kind, 0);
    const double got = kernels->softmax(gradient, z, kind == LABELS ? labels : NULL, kind == TARGETS ? targets : NULL,
                                        rows, classes, scale);
    check_within_bound("gradient", gradient, rows * classes);
    check(kind == NO_TARGET || fabs(got - loss) <= loss_bound, "loss", 0, got, loss);
    check_fronts();
}

/* A class that cannot be, log p = -inf, costs nothing where the target says so too. */
static void test_softmax_of_an_impossible_class(void) {
    void *z = filled(0, 3, 0), *targets = filled(1, 3, 0.5), *gradient = filled(2, 3, NAN);
    put(z, 1, -INFINITY);
    put(targets, 1, 0);
    begin("softmax of -inf", 1, 3, TARGETS, 0);
    const double loss = kernels->softmax(gradient, z, NULL, targets, 1, 3, 1.0);
    check(fabs(loss - log(2.0)) <= 4 * epsilon(), "loss", 0, loss, log(2.0));
    check_all("gradient", gradient, 3, 0);
}

static void test_softmax(void) {
    for (ptrdiff_t classes = 1; classes <= 40; classes++)
        for (int kind = NO_TARGET; kind <= TARGETS; kind++) test_softmax_of(draw(5), classes, kind);
    test_softmax_of_an_impossible_class();
}

/* ---- updates: with rates that are powers of two, or few bits more, nothing is rounded -------------------------- */

static void test_sgd_of(ptrdiff_t n, int momentum, int nesterov, int decay) {
    const double lr = 0.5, mu = momentum ? 0.75 : 0, weight_decay = decay ? 0.125 : 0;
    void *value = integers(0, n), *grad = integers(1, n), *velocity = momentum ? integers(2, n) : NULL;
    double *speed = bound;
    for (ptrdiff_t i = 0; i < n; i++) {
        double step = get(grad, i) + weight_decay * get(value, i);
        if (momentum) {
            speed[i] = mu * get(velocity, i) + step;
            step = nesterov ? step + mu * speed[i] : speed[i];
        }
        expected[i] = get(value, i) - lr * step;
    }
    begin("sgd", n, momentum, nesterov, decay);
    kernels->sgd(value, grad, velocity, n, lr, mu, nesterov, weight_decay);
    check_equal("value", value, n);
    check_all("grad", grad, n, 0);
    memcpy(expected, speed, sizeof expected);
    if (momentum) check_equal("velocity", velocity, n);
    check_fronts();
}

static void test_sgd(void) {
    for (ptrdiff_t n = 0; n <= 40; n++)
        for (int mode = 0; mode < 8; mode++) test_sgd_of(n, mode & 1, mode >> 1 & 1, mode >> 2);
}

/* Of the value alone are rounded: the root, the sum below the fraction, the fraction, the difference. */
static void test_adam_of(ptrdiff_t n, double weight_decay, double shrink) {
    const double step_size = 0.25, beta1 = 0.75, beta2 = 0.5, eps = 0.0625, root_correction = 0.5;
    void *value = integers(0, n), *grad = integers(1, n), *mean = integers(2, n), *variance = integers(3, n);
    static double first[MOST_VALUES], second[MOST_VALUES];
    for (ptrdiff_t i = 0; i < n; i++) {
        put(variance, i, fabs(get(variance, i)));
        const double g = get(grad, i) + weight_decay * get(value, i);
        first[i] = beta1 * get(mean, i) + (1 - beta1) * g;
        second[i] = beta2 * get(variance, i) + (1 - beta2) * g * g;
        const double move = step_size * first[i] / (sqrt(second[i]) / root_correction + eps);
        expected[i] = shrink * get(value, i) - move;
        bound[i] = 2 * epsilon() * (fabs(shrink * get(value, i)) + fabs(move));
    }
    begin("adam", n, weight_decay != 0, shrink != 1, 0);
    kernels->adam(value, grad, mean, variance, n, step_size, beta1, beta2, eps, root_correction, weight_decay, shrink);
    check_within_bound("value", value, n);
    check_all("grad", grad, n, 0);
    memcpy(expected, first, sizeof expected);
    check_equal("mean", mean, n);
    memcpy(expected, second, sizeof expected);
    check_equal("variance", variance, n);
    check_fronts();
}

static void test_adam(void) {
    for (ptrdiff_t n = 0; n <= 40; n++) {
        test_adam_of(n, 0, 1);
        test_adam_of(n, 0.125, 1);
        test_adam_of(n, 0, 0.75);
    }
}

/* With an alpha of 0.75, mean squares are exact; of the value are rounded: the root, the sum below the fraction, the
   fraction and the difference, of the velocity the first three and the sum. */
static void test_rmsprop_of(ptrdiff_t n, int momentum, int centered, double weight_decay) {
    const double lr = 0.25, alpha = 0.75, eps = 0.0625, mu = momentum ? 0.5 : 0;
    void *value = integers(0, n), *grad = integers(1, n), *square = integers(2, n);
    void *velocity = momentum ? integers(3, n) : NULL, *mean = centered ? integers(4, n) : NULL;
    static double first[MOST_VALUES], second[MOST_VALUES], speed[MOST_VALUES], move_bound[MOST_VALUES];
    for (ptrdiff_t i = 0; i < n; i++) {
        put(square, i, get(square, i) * get(square, i) + 64);
        if (centered && draw(4) == 0) put(mean, i, 64); /* more than a mean square can be, but for rounding */
        const double g = get(grad, i) + weight_decay * get(value, i);
        second[i] = alpha * get(square, i) + (1 - alpha) * g * g;
        first[i] = centered ? alpha * get(mean, i) + (1 - alpha) * g : 0;
        const double variance = fmax(second[i] - first[i] * first[i], 0), move = g / (sqrt(variance) + eps);
        speed[i] = move + (momentum ? mu * get(velocity, i) : 0);
        move_bound[i] = 2 * epsilon() * (fabs(move) + fabs(speed[i]));
        expected[i] = get(value, i) - lr * speed[i];
        bound[i] = lr * move_bound[i] + 2 * epsilon() * (fabs(get(value, i)) + lr * fabs(speed[i]));
    }
    begin("rmsprop", n, momentum, centered, weight_decay != 0);
    kernels->rmsprop(value, grad, square, velocity, mean, n, lr, alpha, eps, mu, weight_decay);
    check_within_bound("value", value, n);
    check_all("grad", grad, n, 0);
    memcpy(expected, second, sizeof expected);
    check_equal("square", square, n);
    memcpy(expected, first, sizeof expected);
    if (centered) check_equal("mean", mean, n);
    memcpy(expected, speed, sizeof expected);
    memcpy(bound, move_bound, sizeof move_bound);
    if (momentum) check_within_bound("velocity", velocity, n);
    check_fronts();
}

static void test_rmsprop(void) {
    for (ptrdiff_t n = 0; n <= 40; n++)
        for (int mode = 0; mode < 8; mode++) test_rmsprop_of(n, mode & 1, mode >> 1 & 1, mode >> 2 ? 0.125 : 0);
}

/* ---- gradients as a whole, and averages ------------------------------------------------------------------------- */

static void test_sum_squares(void) {
    for (ptrdiff_t n = 0; n <= 70; n++) {
        const void *x = integers(0, n);
        double sum = 0;
        for (ptrdiff_t i = 0; i < n; i++) sum += get(x, i) * get(x, i);
        begin("sum_squares", n, 0, 0, 0);
        const double got = kernels->sum_squares(x, n);
        check(got == sum, "sum", 0, got, sum);
        check_fronts();
    }
    put(filled(0, 5, 1), 3, NAN);
    const double got = kernels->sum_squares(buffer_start[0], 5);
    check(isnan(got), "sum with NaN", 0, got, NAN);
}

static void test_clip(void) {
    for (ptrdiff_t n = 0; n <= 40; n++)
        for (int bounded = 0; bounded < 2; bounded++) {
            const double limit = bounded ? 2 : INFINITY;
            void *x = special(0, n);
            begin("clip", n, bounded, 0, 0);
            for (ptrdiff_t i = 0; i < n; i++) {
                const double a = rounded(0.5 * get(x, i));
                expected[i] = a > limit ? limit : a < -limit ? -limit : a; /* NaN stays */
            }
            kernels->clip(x, n, 0.5, limit);
            check_equal("x", x, n);
            check_fronts();
        }
}

static void test_average(void) {
    static const double shares[] = {0, 0.25, 0.5, 0.75, 1};
    for (ptrdiff_t n = 0; n <= 40; n++)
        for (int k = 0; k < 5; k++) {
            void *mean = integers(0, n);
            const void *x = integers(1, n);
            begin("average", n, k, 0, 0);
            for (ptrdiff_t i = 0; i < n; i++) expected[i] = (1 - shares[k]) * get(mean, i) + shares[k] * get(x, i);
            kernels->average(mean, x, n, shares[k]);
            check_equal("mean", mean, n);
            check_fronts();
        }
    put(filled(0, 1, 0), 0, 3e7); /* a share of 1 is the other end itself, however far away */
    put(filled(1, 1, 0), 0, 0.1);
    kernels->average(buffer_start[0], buffer_start[1], 1, 1);
    check(get(buffer_start[0], 0) == get(buffer_start[1], 0), "copy", 0, get(buffer_start[0], 0), 0.1);
}

/* ---------------------------------------------------------------------------------------------------------------- */

static void test_table(void) {
    test_relus();
    test_dropout();
    test_softmax();
    test_sgd();
    test_adam();
    test_rmsprop();
    test_sum_squares();
    test_clip();
    test_average();
}

int main(int count, char **names) { return test_instruction_sets(count, names); }
