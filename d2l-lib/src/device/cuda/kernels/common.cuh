// What all kernels share. NVRTC compiles it for a GPU; with `emulate.h` before it, a C++ compiler
// makes the same kernels for the processor.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifndef EMULATED
// Makes a kernel callable; only the emulation has something to do for it.
#define EXPORT(name)
#define WARP 32
// The shared memory whose size a launch says.
#define DYNAMIC_SHARED(T, name)                                                                  \
    extern __shared__ __align__(16) u8 shared_bytes[];                                           \
    T *name = reinterpret_cast<T *>(shared_bytes)
#endif

#define MAX_NDIM 8

// An operand: elements in memory, or, where there are none, one number for all.
template <class T> struct Operand {
    const T *values;
    T value;
};

// The elements of N layouts of one shape, in order; neighbouring axes are merged.
template <int N> struct Walk {
    i64 count;
    i64 ndim;
    i64 length[MAX_NDIM];
    i64 start[N];
    i64 step[N][MAX_NDIM];

    // Where element `i` of each layout is, by divisions of type `I`.
    template <class I> __device__ void divide(I i, i64 (&at)[N]) const {
        // Unrolled, the many divisions would take long to compile.
#pragma unroll 1
        for (int axis = int(ndim) - 1; axis > 0; --axis) {
            I own = I(length[axis]), place = i % own;
            i /= own;
            for (int n = 0; n < N; ++n) at[n] += i64(place) * step[n][axis];
        }
        for (int n = 0; n < N; ++n) at[n] += i64(i) * step[n][0];
    }

    // Where element `i` of each layout is.
    __device__ void find(i64 i, i64 (&at)[N]) const {
        for (int n = 0; n < N; ++n) at[n] = start[n];
        if (ndim <= 1)
            for (int n = 0; n < N; ++n) at[n] += i * step[n][0];
        else if (count < (i64(1) << 31))
            divide(u32(i), at);
        else
            divide(i, at);
    }
};

// The numbers of this thread in a loop over `count` by the whole grid. Not unrolled: the many
// threads hide how long memory takes, and copies of the body would take long to compile.
#define EACH(i, count)                                                                           \
    _Pragma("unroll 1")                                                                          \
    for (i64 i = i64(blockIdx.x) * blockDim.x + threadIdx.x; i < (count);                        \
         i += i64(gridDim.x) * blockDim.x)

// Calls `body(at)` for every element of a walk.
template <int N, class F> __device__ void each(const Walk<N> &walk, F body) {
    EACH(i, walk.count) {
        i64 at[N];
        walk.find(i, at);
        body(at);
    }
}

template <class T> struct Limits;
template <> struct Limits<float> {
    static __device__ float lowest() { return -__int_as_float(0x7f800000); }
};
template <> struct Limits<double> {
    static __device__ double lowest() { return -double(__int_as_float(0x7f800000)); }
};

template <class T> __device__ bool is_nan(T x) { return x != x; }

// The greater of both, NaN if one is; as `Number::greater`.
template <class T> __device__ T greater(T a, T b) { return a >= b || is_nan(a) ? a : b; }
template <class T> __device__ T smaller(T a, T b) { return a <= b || is_nan(a) ? a : b; }

struct Plus {
    template <class T> __device__ T operator()(T a, T b) const { return a + b; }
};
struct Greater {
    template <class T> __device__ T operator()(T a, T b) const { return greater(a, b); }
};

// `value` of all threads of a row of the block (those with one `threadIdx.y`) joined; every one
// of them gets the result. Rows are as long as a power of 2; those of more than one warp need the
// block for themselves.
template <class T, class J> __device__ T join_row(T value, J join) {
    for (int apart = (blockDim.x < WARP ? blockDim.x : WARP) / 2; apart > 0; apart /= 2)
        value = join(value, T(__shfl_xor_sync(0xffffffffu, value, apart)));
    if (blockDim.x <= WARP) return value;
    __shared__ T warps[32];
    int count = blockDim.x / WARP;
    __syncthreads();
    if (threadIdx.x % WARP == 0) warps[threadIdx.x / WARP] = value;
    __syncthreads();
    value = warps[0];
#pragma unroll 1
    for (int i = 1; i < count; ++i) value = join(value, warps[i]);
    return value;
}
