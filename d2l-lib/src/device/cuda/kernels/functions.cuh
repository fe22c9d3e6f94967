// Functions of single numbers, for the expressions of the programs below.

template <class T> __device__ T sigmoid(T x) {
    // The exponential of what is not positive never overflows.
    T e = exp(x < 0 ? x : -x);
    return (x < 0 ? e : T(1)) / (T(1) + e);
}

// The probability that a standard normal number is below `x`.
template <class T> __device__ T normal_below(T x) {
    return erfc(-x * T(0.70710678118654752440)) / T(2);
}

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

template <class T> __device__ T power(T base, T exponent) { return pow(base, exponent); }
template <> __device__ i64 power(i64 base, i64 exponent) {
    u64 result = 1, square = u64(base);
    for (; exponent > 0; exponent >>= 1, square *= square)
        if (exponent & 1) result *= square;
    return i64(result);
}
template <> __device__ u8 power(u8 base, u8 exponent) { return u8(power(i64(base), i64(exponent))); }
