// Many elements in, one out. Sums of floats are added in `double`, in an order that depends on
// the shape alone.

template <class T> struct Sum { typedef i64 Type; };
template <> struct Sum<float> { typedef double Type; };
template <> struct Sum<double> { typedef double Type; };

// A reduction: `outer` walks the results (of the input, and of the output), `inner` the elements
// that fall into one. Row `y` of the grid takes the elements `y * part .. (y + 1) * part` of
// each, and leaves its result in row `y` of `out`, so that few long reductions fill a GPU too; a
// second pass then reduces over rows.
struct Reduction {
    Walk<2> outer;
    Walk<1> inner;
    i64 part;
};

// One row of the block for each result: for elements that lie side by side.
template <class T, class S, class O, class L, class J>
__device__ void by_row(const Reduction &r, const T *x, O *out, S first, double scale, L lift, J join) {
    i64 from = blockIdx.y * r.part;
    i64 to = from + r.part < r.inner.count ? from + r.part : r.inner.count;
    for (i64 row = blockIdx.x * i64(blockDim.y); row < r.outer.count;
         row += i64(gridDim.x) * blockDim.y) {
        // All threads go on to the barriers of `join_row`, also those without a row.
        i64 result = row + threadIdx.y, at[2] = {0, 0}, inner[1];
        S sum = first;
        if (result < r.outer.count) {
            r.outer.find(result, at);
            for (i64 i = from + threadIdx.x; i < to; i += blockDim.x) {
                r.inner.find(i, inner);
                sum = join(sum, lift(x[at[0] + inner[0]]));
            }
        }
        sum = join_row(sum, join);
        if (threadIdx.x == 0 && result < r.outer.count)
            out[blockIdx.y * r.outer.count + at[1]] = O(scale == 1 ? sum : S(sum * scale));
    }
}

// One thread for each result: for results that lie side by side.
template <class T, class S, class O, class L, class J>
__device__ void by_thread(const Reduction &r, const T *x, O *out, S first, double scale, L lift,
                          J join) {
    i64 from = blockIdx.y * r.part;
    i64 to = from + r.part < r.inner.count ? from + r.part : r.inner.count;
    EACH(result, r.outer.count) {
        i64 at[2], inner[1];
        r.outer.find(result, at);
        S sum = first;
        for (i64 i = from; i < to; ++i) {
            r.inner.find(i, inner);
            sum = join(sum, lift(x[at[0] + inner[0]]));
        }
        out[blockIdx.y * r.outer.count + at[1]] = O(scale == 1 ? sum : S(sum * scale));
    }
}

#define REDUCE(name, T, suffix, S, O, first, lift, join)                                         \
    extern "C" __global__ void name##_rows_##suffix(Reduction r, const T *x, O *out,             \
                                                    double scale) {                              \
        by_row(r, x, out, S(first), scale, [](T x) -> S { return lift; }, join());               \
    }                                                                                            \
    EXPORT(name##_rows_##suffix)                                                                 \
    extern "C" __global__ void name##_threads_##suffix(Reduction r, const T *x, O *out,          \
                                                       double scale) {                           \
        by_thread(r, x, out, S(first), scale, [](T x) -> S { return lift; }, join());            \
    }                                                                                            \
    EXPORT(name##_threads_##suffix)

REDUCE(sum, float, f32, double, float, 0, double(x), Plus)
REDUCE(sum, double, f64, double, double, 0, x, Plus)
REDUCE(sum, i64, i64, i64, i64, 0, x, Plus)
REDUCE(sum, u8, u8, i64, i64, 0, i64(x), Plus)
REDUCE(sum, bool, bool, i64, i64, 0, i64(x), Plus)
// The first of two passes keeps what was added in `double`.
REDUCE(part, float, f32, double, double, 0, double(x), Plus)
// The second.
REDUCE(total, double, f32, double, float, 0, x, Plus)

#define EXTREME(name, T, suffix, first, join)                                                    \
    REDUCE(name, T, suffix, T, T, first, x, join)
EXTREME(max, float, f32, -__int_as_float(0x7f800000), Greater)
EXTREME(max, double, f64, -double(__int_as_float(0x7f800000)), Greater)
EXTREME(max, i64, i64, i64(u64(1) << 63), Greater)
EXTREME(max, u8, u8, 0, Greater)
EXTREME(min, float, f32, __int_as_float(0x7f800000), Smaller)
EXTREME(min, double, f64, double(__int_as_float(0x7f800000)), Smaller)
EXTREME(min, i64, i64, i64((u64(1) << 63) - 1), Smaller)
EXTREME(min, u8, u8, 255, Smaller)
