// One element in, one element out, over any layouts: what the programs below have in common. They
// are several, for the time to compile one grows faster than its number of kernels. What computes
// in `float` is in `chain.cuh`.

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
#define MAP_FLOATS(name, expression) MAP_OF(name, double, f64, expression)
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
    ZIP_OF(name, double, f64, double, a, b, expression)
#define ZIP_NUMBERS(name, a, b, expression)                                                      \
    ZIP_FLOATS(name, a, b, expression)                                                           \
    ZIP_OF(name, i64, i64, i64, a, b, expression) ZIP_OF(name, u8, u8, u8, a, b, expression)

// `name_type`: whether two elements compare so.
#define COMPARE(name, operation)                                                                 \
    ZIP_OF(name, double, f64, bool, a, b, a operation b)                                         \
    ZIP_OF(name, i64, i64, bool, a, b, a operation b)                                            \
    ZIP_OF(name, u8, u8, bool, a, b, a operation b)                                              \
    ZIP_OF(name, bool, bool, bool, a, b, a operation b)
