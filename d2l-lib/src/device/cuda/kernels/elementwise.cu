// One element in, one element out: the functions of `ops::float`, `ops::number` and their
// derivatives, over any layouts.

template <class I, class O, class F>
__device__ void map(const Walk<2> &walk, Operand<I> x, O *out, F f) {
    each(walk, [&](const i64(&at)[2]) { out[at[1]] = f(x.values ? x.values[at[0]] : x.value); });
}

template <class A, class O, class F>
__device__ void zip(const Walk<3> &walk, Operand<A> a, Operand<A> b, O *out, F f) {
    each(walk, [&](const i64(&at)[3]) {
        out[at[2]] = f(a.values ? a.values[at[0]] : a.value, b.values ? b.values[at[1]] : b.value);
    });
}

// `name_type`: `expression` of every element `x`, with two numbers `p` and `q`.
#define MAP_OF(name, T, suffix, expression)                                                      \
    extern "C" __global__ void name##_##suffix(Walk<2> walk, Operand<T> x, T *out, T p, T q) {   \
        map(walk, x, out, [=](T x) -> T { return expression; });                                 \
    }                                                                                            \
    EXPORT(name##_##suffix)
#define MAP_FLOATS(name, expression)                                                             \
    MAP_OF(name, float, f32, expression) MAP_OF(name, double, f64, expression)
#define MAP_NUMBERS(name, expression)                                                            \
    MAP_FLOATS(name, expression)                                                                 \
    MAP_OF(name, i64, i64, expression) MAP_OF(name, u8, u8, expression)

// `name_type`: `expression` of every pair of elements.
#define ZIP_OF(name, T, suffix, O, a, b, expression)                                             \
    extern "C" __global__ void name##_##suffix(Walk<3> walk, Operand<T> left, Operand<T> right,  \
                                               O *out) {                                         \
        zip(walk, left, right, out, [=](T a, T b) -> O { return expression; });                  \
    }                                                                                            \
    EXPORT(name##_##suffix)
#define ZIP_FLOATS(name, a, b, expression)                                                       \
    ZIP_OF(name, float, f32, float, a, b, expression)                                            \
    ZIP_OF(name, double, f64, double, a, b, expression)
#define ZIP_NUMBERS(name, a, b, expression)                                                      \
    ZIP_FLOATS(name, a, b, expression)                                                           \
    ZIP_OF(name, i64, i64, i64, a, b, expression) ZIP_OF(name, u8, u8, u8, a, b, expression)
#define COMPARE(name, operation)                                                                 \
    ZIP_OF(name, float, f32, bool, a, b, a operation b)                                          \
    ZIP_OF(name, double, f64, bool, a, b, a operation b)                                         \
    ZIP_OF(name, i64, i64, bool, a, b, a operation b)                                            \
    ZIP_OF(name, u8, u8, bool, a, b, a operation b)                                              \
    ZIP_OF(name, bool, bool, bool, a, b, a operation b)

template <class T> __device__ T sigmoid(T x) {
    // The exponential of what is not positive never overflows.
    T e = exp(x < 0 ? x : -x);
    return (x < 0 ? e : T(1)) / (T(1) + e);
}

// The probability that a standard normal number is below `x`.
template <class T> __device__ T normal_below(T x) {
    return erfc(-x * T(0.70710678118654752440)) / T(2);
}

template <class T> __device__ T power(T base, T exponent) { return pow(base, exponent); }
template <> __device__ i64 power(i64 base, i64 exponent) {
    u64 result = 1, square = u64(base);
    for (; exponent > 0; exponent >>= 1, square *= square)
        if (exponent & 1) result *= square;
    return i64(result);
}
template <> __device__ u8 power(u8 base, u8 exponent) { return u8(power(i64(base), i64(exponent))); }

// Overflow of integers wraps around, which in C++ only unsigned ones do.
template <class T> struct Wrapping { typedef T Type; };
template <> struct Wrapping<i64> { typedef u64 Type; };
#define WRAP(T, a, operation, b) \
    (T(typename Wrapping<T>::Type(a) operation typename Wrapping<T>::Type(b)))
template <class T> __device__ T plus(T a, T b) { return WRAP(T, a, +, b); }
template <class T> __device__ T minus(T a, T b) { return WRAP(T, a, -, b); }
template <class T> __device__ T times(T a, T b) { return WRAP(T, a, *, b); }
template <class T> __device__ T magnitude(T x) { return x < T(0) ? minus(T(0), x) : x; }
template <> __device__ float magnitude(float x) { return fabsf(x); }
template <> __device__ double magnitude(double x) { return fabs(x); }

MAP_FLOATS(exp, exp(x))
MAP_FLOATS(ln, log(x))
MAP_FLOATS(sqrt, sqrt(x))
MAP_FLOATS(sin, sin(x))
MAP_FLOATS(cos, cos(x))
MAP_FLOATS(tanh, tanh(x))
MAP_FLOATS(sigmoid, sigmoid(x))
MAP_FLOATS(gelu, x *normal_below(x))
MAP_FLOATS(erf, erf(x))
MAP_FLOATS(silu, x *sigmoid(x))
MAP_FLOATS(softplus, (x > 0 ? x : 0) + log1p(exp(-magnitude(x))))
MAP_FLOATS(leaky_relu, x *(x > 0 ? 1 : p))
MAP_FLOATS(elu, x > 0 ? x : expm1(x))
MAP_FLOATS(floor, floor(x))
MAP_FLOATS(round, rint(x))
MAP_NUMBERS(abs, magnitude(x))
MAP_NUMBERS(relu, greater(x, decltype(x)(0)))
MAP_NUMBERS(clamp, x < p ? p : x > q ? q : x)

ZIP_NUMBERS(add, a, b, plus(a, b))
ZIP_NUMBERS(sub, a, b, minus(a, b))
ZIP_NUMBERS(mul, a, b, times(a, b))
ZIP_FLOATS(div, a, b, a / b)
ZIP_NUMBERS(pow, a, b, power(a, b))
ZIP_NUMBERS(maximum, a, b, greater(a, b))
ZIP_NUMBERS(minimum, a, b, smaller(a, b))
COMPARE(eq, ==)
COMPARE(ne, !=)
COMPARE(lt, <)
COMPARE(le, <=)
COMPARE(gt, >)
COMPARE(ge, >=)

// Derivatives: of the result `y` or the operand `x`, and the gradient `g` of the result.
ZIP_FLOATS(exp_back, y, g, g *y)
ZIP_FLOATS(ln_back, x, g, g / x)
ZIP_FLOATS(sqrt_back, y, g, g / (y + y))
ZIP_FLOATS(sin_back, x, g, g *cos(x))
ZIP_FLOATS(cos_back, x, g, -(g * sin(x)))
ZIP_FLOATS(tanh_back, y, g, g *(1 - y * y))
ZIP_FLOATS(sigmoid_back, y, g, g *y *(1 - y))
ZIP_FLOATS(relu_back, y, g, y <= 0 ? 0 : g)
// The normal density is exp(-x²/2) / √2π.
ZIP_FLOATS(gelu_back, x, g,
           g *(normal_below(x) + x * exp(-(x * x / 2)) / decltype(x)(2.506628274631000502)))

#define CHOOSE(T, suffix)                                                                        \
    extern "C" __global__ void where_##suffix(Walk<4> walk, Operand<bool> condition,             \
                                              Operand<T> a, Operand<T> b, T *out) {              \
        each(walk, [&](const i64(&at)[4]) {                                                      \
            bool is = condition.values ? condition.values[at[0]] : condition.value;              \
            if (is)                                                                              \
                out[at[3]] = a.values ? a.values[at[1]] : a.value;                               \
            else                                                                                 \
                out[at[3]] = b.values ? b.values[at[2]] : b.value;                               \
        });                                                                                      \
    }                                                                                            \
    EXPORT(where_##suffix)
CHOOSE(float, f32)
CHOOSE(double, f64)
CHOOSE(i64, i64)
CHOOSE(u8, u8)
CHOOSE(bool, bool)

// The same number in another type. As in Rust, a float becomes the nearest whole number towards
// 0 that the integer holds, and NaN becomes 0.
template <class O> struct Convert {
    template <class I> static __device__ O of(I x) { return O(x); }
};
template <> struct Convert<i64> {
    template <class I> static __device__ i64 of(I x) { return i64(x); }
    static __device__ i64 of(float x) { return of(double(x)); }
    static __device__ i64 of(double x) {
        const double limit = 9223372036854775808.0;
        if (x != x) return 0;
        if (x >= limit) return i64((u64(1) << 63) - 1);
        if (x < -limit) return i64(u64(1) << 63);
        return i64(x);
    }
};
template <> struct Convert<u8> {
    template <class I> static __device__ u8 of(I x) { return u8(x); }
    static __device__ u8 of(float x) { return u8(Convert<i64>::of(double(x))); }
    static __device__ u8 of(double x) { return u8(Convert<i64>::of(x)); }
};
template <> struct Convert<bool> {
    template <class I> static __device__ bool of(I x) { return x != I(0); }
};

#define CAST(I, from, O, to)                                                                     \
    extern "C" __global__ void cast_##from##_##to(Walk<2> walk, Operand<I> x, O *out) {          \
        map(walk, x, out, [](I x) -> O { return Convert<O>::of(x); });                           \
    }                                                                                            \
    EXPORT(cast_##from##_##to)
#define CAST_FROM(I, from)                                                                       \
    CAST(I, from, float, f32)                                                                    \
    CAST(I, from, double, f64) CAST(I, from, i64, i64) CAST(I, from, u8, u8)                     \
    CAST(I, from, bool, bool)
CAST_FROM(float, f32)
CAST_FROM(double, f64)
CAST_FROM(i64, i64)
CAST_FROM(u8, u8)
CAST_FROM(bool, bool)
