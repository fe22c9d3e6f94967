// Floats of 16 bits, to `float` and back, to the nearest with ties to the even one; as `halves.rs`,
// which explains the steps.
struct F16 {
    u16 bits;
};
struct BF16 {
    u16 bits;
};

__device__ inline u32 bits_of(float x) { return u32(__float_as_int(x)); }
__device__ inline float float_of(u32 bits) { return __int_as_float(int(bits)); }

__device__ inline float widened(BF16 x) { return float_of(u32(x.bits) << 16); }
__device__ inline float widened(F16 x) {
    const u32 exponents = 0x7c00u << 13;
    u32 shifted = (x.bits & 0x7fffu) << 13, exponent = shifted & exponents;
    u32 size = shifted + (112u << 23);
    if (exponent == 0) size = bits_of(float_of(size + (1u << 23)) - float_of(113u << 23));
    if (exponent == exponents)
        size = (shifted + (224u << 23)) | 0x7f800000u | (shifted > exponents ? 0x400000u : 0);
    return float_of(size | (x.bits & 0x8000u) << 16);
}

__device__ inline BF16 rounded_bf16(float x) {
    u32 bits = bits_of(x);
    u32 rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    return BF16{u16(is_nan(x) ? bits >> 16 | 0x40u : rounded)};
}
__device__ inline F16 rounded_f16(float x) {
    u32 sign = bits_of(x) & 0x80000000u, size = bits_of(x) ^ sign;
    u32 half = (size - (112u << 23) + 0xfffu + (size >> 13 & 1)) >> 13;
    const u32 round = 126u << 23;
    if (size < 113u << 23) half = bits_of(float_of(size) + float_of(round)) - round;
    if (size >= 143u << 23) half = 0x7c00u;
    if (is_nan(x)) half = 0x7e00u | (size >> 13 & 0x3ffu);
    return F16{u16(half | sign >> 16)};
}
