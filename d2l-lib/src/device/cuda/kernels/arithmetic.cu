// Functions of two numbers.

template <class T> __device__ T power(T base, T exponent) { return pow(base, exponent); }
template <> __device__ i64 power(i64 base, i64 exponent) {
    u64 result = 1, square = u64(base);
    for (; exponent > 0; exponent >>= 1, square *= square)
        if (exponent & 1) result *= square;
    return i64(result);
}
template <> __device__ u8 power(u8 base, u8 exponent) { return u8(power(i64(base), i64(exponent))); }

ZIP_NUMBERS(add, a, b, plus(a, b))
ZIP_NUMBERS(sub, a, b, minus(a, b))
ZIP_NUMBERS(mul, a, b, times(a, b))
ZIP_FLOATS(div, a, b, a / b)
ZIP_NUMBERS(pow, a, b, power(a, b))
ZIP_NUMBERS(maximum, a, b, greater(a, b))
ZIP_NUMBERS(minimum, a, b, smaller(a, b))
