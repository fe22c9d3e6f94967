// The rules of `optim`: one pass over many parameters, their gradients and their memories.

struct Rule {
    double lr, decay;
    // What else a rule needs, in the order in which it names it.
    double a, b, c, d, e;
};

// A parameter; halves are computed with in `float`, in which also their memories are.
struct Parameter {
    void *values;
    const void *gradients;
    void *first, *second;
    // Where its rule is, if that is another one each time.
    const Rule *cell;
    i64 count;
    // How many chunks those before it have.
    i64 before;
};

#define MAX_PARAMETERS 64

struct Parameters {
    Rule rule;
    u32 code, type;
    i64 count, chunks;
    Parameter all[MAX_PARAMETERS];
};

// Calls `body(chunk, parameter, first, left)` for all parameters, a chunk of which a block takes at
// a time, and each of its threads the first `LANES` of the elements that are left.
template <class F> __device__ void each_piece(const Parameters &given, F body) {
#pragma unroll 1
    for (i64 chunk = blockIdx.x; chunk < given.chunks; chunk += gridDim.x) {
        // The last parameter that does not begin behind it.
        int n = 0;
#pragma unroll 1
        for (int apart = MAX_PARAMETERS / 2; apart > 0; apart /= 2)
            if (n + apart < given.count && given.all[n + apart].before <= chunk) n += apart;
        const Parameter &own = given.all[n];
        i64 first = ((chunk - own.before) * blockDim.x + threadIdx.x) * LANES;
        body(chunk, own, first, own.count - first);
    }
}

#define RULE(name, body)                                                                         \
    case code(#name): {                                                                          \
        EVERY_LANE {                                                                             \
            T w = value[j], g = gradient[j], m = memory[j], s = other[j];                        \
            body;                                                                                \
            value[j] = w, memory[j] = m, other[j] = s;                                           \
        }                                                                                        \
        break;                                                                                   \
    }

template <class T> __device__ void update(const Parameters &given) {
    each_piece(given, [&](i64, const Parameter &own, i64 first, i64 count) {
        if (count <= 0) return;
        const Rule &rule = own.cell ? *own.cell : given.rule;
        const T lr = T(rule.lr), decay = T(rule.decay), a = T(rule.a), b = T(rule.b),
                c = T(rule.c), d = T(rule.d), e = T(rule.e);
        T value[LANES], gradient[LANES], memory[LANES], other[LANES];
        EVERY_LANE value[j] = gradient[j] = memory[j] = other[j] = 0;
        read(own.values, given.type, first, count, value);
        if (own.gradients) read(own.gradients, given.type, first, count, gradient);
        if (own.first) read<T>(own.first, first, count, memory);
        if (own.second) read<T>(own.second, first, count, other);
        switch (given.code) {
        RULE(sgd, w -= lr * (g + decay * w))
        // `a` is the momentum; `b` is 1 with Nesterov's look ahead, else 0.
        RULE(momentum, {
            g += decay * w;
            m = a * m + g;
            w -= lr * (b != 0 ? g + a * m : m);
        })
        // `a` the share of the new gradient in the mean, `b` and `c` the old and new share in the
        // square, `d` the step along the mean, `e` the square's correction; here `lr` is what is
        // added below.
        RULE(adam, {
            g += decay * w;
            m += a * (g - m);
            s = b * s + c * g * g;
            w -= d * m / (sqrt(e * s) + lr);
        })
        RULE(adamw, {
            w *= decay;
            m += a * (g - m);
            s = b * s + c * g * g;
            w -= d * m / (sqrt(e * s) + lr);
        })
        RULE(yogi, {
            g += decay * w;
            m += a * (g - m);
            T apart = s - g * g;
            s -= c * (apart > 0 ? 1 : apart < 0 ? -1 : 0) * g * g;
            w -= d * m / (sqrt(e * s) + lr);
        })
        RULE(adagrad, {
            g += decay * w;
            m += g * g;
            w -= lr * g / (sqrt(m) + a);
        })
        // `a` and `b` the shares of the old and the new square, `c` what is added below, `d` the
        // momentum.
        RULE(rmsprop, {
            g += decay * w;
            m = a * m + b * g * g;
            s = d * s + g / (sqrt(m) + c);
            w -= lr * s;
        })
        RULE(adadelta, {
            g += decay * w;
            m = a * m + b * g * g;
            T change = sqrt((s + c) / (m + c)) * g;
            s = a * s + b * change * change;
            w -= lr * change;
        })
        // Of gradients themselves, to keep them within bounds.
        RULE(scale, w *= lr)
        }
        write(own.values, given.type, first, count, value);
        if (own.first) write<T>(own.first, first, count, memory);
        if (own.second) write<T>(own.second, first, count, other);
    });
}

// The sum of the squares of the values of each chunk.
template <class T> __device__ void squares(const Parameters &given, double *sums) {
    each_piece(given, [&](i64 chunk, const Parameter &own, i64 first, i64 count) {
        T value[LANES];
        EVERY_LANE value[j] = 0;
        read(own.values, given.type, first, count, value);
        double sum = 0;
        EVERY_LANE sum += double(value[j]) * double(value[j]);
        sum = join_row(sum, Plus());
        if (threadIdx.x == 0) sums[chunk] = sum;
    });
}

#define KERNELS(T, suffix)                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                            \
        update_##suffix(const __grid_constant__ Parameters given) {                              \
        update<T>(given);                                                                        \
    }                                                                                            \
    EXPORT(update_##suffix)                                                                      \
    extern "C" __global__ void __launch_bounds__(256)                                            \
        squares_##suffix(const __grid_constant__ Parameters given, double *sums) {               \
        squares<T>(given, sums);                                                                 \
    }                                                                                            \
    EXPORT(squares_##suffix)
KERNELS(float, f32)
KERNELS(double, f64)
