// The rules of `optim`, one pass over parameter, gradient and memories each.

struct Rule {
    double lr, decay;
    // What else a rule needs, in the order in which it names it.
    double a, b, c, d, e;
};

#define RULE(name, T, suffix, body)                                                              \
    extern "C" __global__ void name##_##suffix(Rule given, const Rule *cell, i64 count,          \
                                               T *values, const T *gradients, T *first,          \
                                               T *second) {                                      \
        const Rule rule = cell ? *cell : given;                                                  \
        const T lr = T(rule.lr), decay = T(rule.decay), a = T(rule.a), b = T(rule.b),            \
                c = T(rule.c), d = T(rule.d), e = T(rule.e);                                     \
        EACH(i, count) {                                                                         \
            T w = values[i], g = gradients[i];                                                   \
            T m = first ? first[i] : T(0), s = second ? second[i] : T(0);                        \
            body;                                                                                \
            values[i] = w;                                                                       \
            if (first) first[i] = m;                                                             \
            if (second) second[i] = s;                                                           \
        }                                                                                        \
        (void)lr, (void)decay, (void)a, (void)b, (void)c, (void)d, (void)e;                      \
    }                                                                                            \
    EXPORT(name##_##suffix)
#define RULES(name, body) RULE(name, float, f32, body) RULE(name, double, f64, body)

RULES(sgd, w -= lr * (g + decay * w))
// `a` is the momentum; `b` is 1 with Nesterov's look ahead, else 0.
RULES(momentum, {
    g += decay * w;
    m = a * m + g;
    w -= lr * (b != 0 ? g + a * m : m);
})
// `a` the share of the new gradient in the mean, `b` and `c` the old and new share in the square,
// `d` the step along the mean, `e` the square's correction; here `lr` is what is added below.
RULES(adam, {
    g += decay * w;
    m += a * (g - m);
    s = b * s + c * g * g;
    w -= d * m / (sqrt(e * s) + lr);
})
RULES(adamw, {
    w *= decay;
    m += a * (g - m);
    s = b * s + c * g * g;
    w -= d * m / (sqrt(e * s) + lr);
})
RULES(yogi, {
    g += decay * w;
    m += a * (g - m);
    auto apart = s - g * g;
    s -= c * (apart > 0 ? 1 : apart < 0 ? -1 : 0) * g * g;
    w -= d * m / (sqrt(e * s) + lr);
})
RULES(adagrad, {
    g += decay * w;
    m += g * g;
    w -= lr * g / (sqrt(m) + a);
})
// `a` and `b` the shares of the old and the new square, `c` what is added below, `d` the momentum.
RULES(rmsprop, {
    g += decay * w;
    m = a * m + b * g * g;
    s = d * s + g / (sqrt(m) + c);
    w -= lr * s;
})
RULES(adadelta, {
    g += decay * w;
    m = a * m + b * g * g;
    auto change = sqrt((s + c) / (m + c)) * g;
    s = a * s + b * change * change;
    w -= lr * change;
})
