// Elements in another type or place, or of one of two tensors.

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
