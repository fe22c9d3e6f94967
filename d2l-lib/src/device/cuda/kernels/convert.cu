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
// Floats of 16 bits, to `float` and back, to the nearest with ties to the even one; as `halves.rs`,
// which explains the steps.
struct F16 {
    u16 bits;
};
struct BF16 {
    u16 bits;
};

__device__ u32 bits_of(float x) { return u32(__float_as_int(x)); }
__device__ float float_of(u32 bits) { return __int_as_float(int(bits)); }

template <> struct Convert<float> {
    template <class I> static __device__ float of(I x) { return float(x); }
    static __device__ float of(BF16 x) { return float_of(u32(x.bits) << 16); }
    static __device__ float of(F16 x) {
        const u32 exponents = 0x7c00u << 13;
        u32 shifted = (x.bits & 0x7fffu) << 13, exponent = shifted & exponents;
        u32 size = shifted + (112u << 23);
        if (exponent == 0) size = bits_of(float_of(size + (1u << 23)) - float_of(113u << 23));
        if (exponent == exponents)
            size = (shifted + (224u << 23)) | 0x7f800000u | (shifted > exponents ? 0x400000u : 0);
        return float_of(size | (x.bits & 0x8000u) << 16);
    }
};
template <> struct Convert<BF16> {
    static __device__ BF16 of(BF16 x) { return x; }
    static __device__ BF16 of(float x) {
        u32 bits = bits_of(x);
        u32 rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
        return BF16{u16(is_nan(x) ? bits >> 16 | 0x40u : rounded)};
    }
};
template <> struct Convert<F16> {
    static __device__ F16 of(F16 x) { return x; }
    static __device__ F16 of(float x) {
        u32 sign = bits_of(x) & 0x80000000u, size = bits_of(x) ^ sign;
        u32 half = (size - (112u << 23) + 0xfffu + (size >> 13 & 1)) >> 13;
        const u32 round = 126u << 23;
        if (size < 113u << 23) half = bits_of(float_of(size) + float_of(round)) - round;
        if (size >= 143u << 23) half = 0x7c00u;
        if (is_nan(x)) half = 0x7e00u | (size >> 13 & 0x3ffu);
        return F16{u16(half | sign >> 16)};
    }
};

CAST(F16, f16, F16, f16)
CAST(F16, f16, float, f32)
CAST(float, f32, F16, f16)
CAST(BF16, bf16, BF16, bf16)
CAST(BF16, bf16, float, f32)
CAST(float, f32, BF16, bf16)
CAST_FROM(float, f32)
CAST_FROM(double, f64)
CAST_FROM(i64, i64)
CAST_FROM(u8, u8)
CAST_FROM(bool, bool)
