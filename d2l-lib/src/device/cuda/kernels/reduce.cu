// Many elements in, one out. Floats are computed with in `double`, integers in `i64`; in an order
// that depends on the shape alone, not on where in memory the elements are.

// Pieces of `LANES` elements that a thread waits for at once.
#define AHEAD 4

// A reduction: `outer` walks the results, `inner` the elements that fall into one. Row `y` of the grid takes the elements `y * part .. (y + 1) * part` of
// each, and leaves its result in row `y` of `out`, so that few long reductions fill a GPU too; a
// second pass then reduces over rows.
struct Reduction {
    Walk<1> outer, inner;
    i64 part;
    const void *x;
    void *out;
    // What sums of floats are multiplied by.
    double scale;
    u32 from, to;
    // Whether the elements of `inner` lie side by side.
    u32 together;
    // Whether the least is wanted: it is found as the greatest of what has the other sign.
    u32 least;

    __device__ i64 first() const { return blockIdx.y * part; }
    __device__ i64 last() const {
        return first() + part < inner.count ? first() + part : inner.count;
    }
};

// Not inlined, as the divisions take long to compile and are seldom needed.
__device__ __noinline__ i64 divided(const Walk<1> &walk, i64 i) {
    i64 at[1];
    walk.find(i, at);
    return at[0];
}

// Where element `i` of a walk is.
__device__ inline i64 place(const Walk<1> &walk, i64 i) {
    return walk.ndim <= 1 ? walk.start[0] + i * walk.step[0][0] : divided(walk, i);
}

// Calls `f` with a value of the type that has this code.
template <class F> __device__ void of_type(u32 type, double, F f) {
    switch (type) {
    case FLOAT: return f(float());
    case HALF: return f(F16());
    case BRAIN: return f(BF16());
    default: f(double());
    }
}
template <class F> __device__ void of_type(u32 type, i64, F f) {
    switch (type) {
    case LONG: return f(i64());
    default: f(u8());
    }
}

__device__ inline double lift(const Reduction &r, double x) { return r.least ? -x : x; }
__device__ inline i64 lift(const Reduction &r, i64 x) { return r.least ? ~x : x; }

// A result in memory.
__device__ inline void put(const Reduction &r, i64 at, double x) {
    x = lift(r, x);
    if (r.scale != 1) x *= r.scale;
    switch (r.to) {
    case FLOAT: static_cast<float *>(r.out)[at] = float(x); break;
    case HALF: static_cast<F16 *>(r.out)[at] = rounded_f16(float(x)); break;
    case BRAIN: static_cast<BF16 *>(r.out)[at] = rounded_bf16(float(x)); break;
    default: static_cast<double *>(r.out)[at] = x;
    }
}
__device__ inline void put(const Reduction &r, i64 at, i64 x) {
    x = lift(r, x);
    if (r.to == LONG)
        static_cast<i64 *>(r.out)[at] = x;
    else
        static_cast<u8 *>(r.out)[at] = u8(x);
}

// Joins to `sum` the elements at `places`, which are `count`; those of all lanes may lie `together`.
template <class S, class J>
__device__ void add(const Reduction &r, const i64 (&places)[LANES], bool together, i64 count,
                    S (&sum)[LANES], J join) {
    of_type(r.from, S(), [&](auto type) {
        typedef Stored<decltype(type)> Own;
        auto *x = static_cast<const typename Own::Bits *>(r.x);
        S own[LANES];
        if (together && count >= LANES && u64(x + places[0]) % Own::ALIGNMENT == 0)
            Own::read_all(x + places[0], own);
        else
            EVERY_LANE if (j < count) own[j] = S(Own::number(x[places[j]]));
        EVERY_LANE if (j < count) sum[j] = join(sum[j], lift(r, own[j]));
    });
}

// Joins to `sum` `LANES` elements at `at`, and at all further places a step apart that are before
// `end`, while there are `AHEAD` of them; gives the place of the first one that is left. All are
// aligned.
template <class S, class J>
__device__ i64 add_ahead(const Reduction &r, i64 at, i64 step, i64 end, S (&sum)[LANES], J join) {
    of_type(r.from, S(), [&](auto type) {
        typedef Stored<decltype(type)> Own;
        auto *x = static_cast<const typename Own::Bits *>(r.x);
        if (u64(x + at) % Own::ALIGNMENT != 0 || step % LANES != 0) return;
#pragma unroll 1
        for (; at + (AHEAD - 1) * step + LANES <= end; at += AHEAD * step) {
            S own[AHEAD][LANES];
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) Own::read_all(x + at + k * step, own[k]);
#pragma unroll
            for (int k = 0; k < AHEAD; ++k) EVERY_LANE sum[j] = join(sum[j], lift(r, own[k][j]));
        }
    });
    return at;
}

// One row of the block for each result: for elements that lie side by side.
template <class S, class J> __device__ void by_row(const Reduction &r, S first, J join) {
    i64 to = r.last(), step = i64(blockDim.x) * LANES;
#pragma unroll 1
    for (i64 row = blockIdx.x * i64(blockDim.y); row < r.outer.count;
         row += i64(gridDim.x) * blockDim.y) {
        // All threads go on to the barriers of `join_row`, also those without a row.
        i64 result = row + threadIdx.y;
        S sum[LANES];
        EVERY_LANE sum[j] = first;
        if (result < r.outer.count) {
            i64 start = place(r.outer, result), i = r.first() + threadIdx.x * LANES;
            if (r.together)
                i = add_ahead(r, start + i, step, start + to, sum, join) - start;
#pragma unroll 1
            for (; i < to; i += step) {
                i64 places[LANES];
                EVERY_LANE places[j] = start + (r.together ? i + j : place(r.inner, i + j));
                add(r, places, r.together, to - i, sum, join);
            }
        }
        S all = join_row(join(join(sum[0], sum[1]), join(sum[2], sum[3])), join);
        if (threadIdx.x == 0 && result < r.outer.count)
            put(r, blockIdx.y * r.outer.count + result, all);
    }
}

// One column of the block for `LANES` results: for results that lie side by side.
template <class S, class J> __device__ void by_column(const Reduction &r, S first, J join) {
    __shared__ S kept[LANES][256];
    i64 to = r.last();
    int own = threadIdx.y * blockDim.x + threadIdx.x;
#pragma unroll 1
    for (i64 group = blockIdx.x * i64(blockDim.x) * LANES; group < r.outer.count;
         group += i64(gridDim.x) * blockDim.x * LANES) {
        i64 result = group + threadIdx.x * LANES, left = r.outer.count - result;
        i64 start[LANES];
        S sum[LANES];
        EVERY_LANE {
            sum[j] = first;
            start[j] = place(r.outer, j < left ? result + j : 0);
        }
        bool together = left >= LANES && start[1] == start[0] + 1 && start[2] == start[0] + 2 &&
                        start[3] == start[0] + 3;
        i64 i = r.first() + threadIdx.y;
        if (together && r.inner.ndim == 1) {
            i64 step = r.inner.step[0][0], base = start[0];
            i64 at = base + i * step, end = base + (to - 1) * step + LANES;
            if (step > 0 && i < to)
                i = (add_ahead(r, at, blockDim.y * step, end, sum, join) - base) / step;
        }
#pragma unroll 1
        for (; i < to; i += blockDim.y) {
            i64 places[LANES], own = place(r.inner, i);
            EVERY_LANE places[j] = start[j] + own;
            add(r, places, together, left, sum, join);
        }
        __syncthreads();
        EVERY_LANE kept[j][own] = sum[j];
        for (int rows = blockDim.y / 2; rows > 0; rows /= 2) {
            __syncthreads();
            if (threadIdx.y < rows)
                EVERY_LANE kept[j][own] = join(kept[j][own], kept[j][own + rows * blockDim.x]);
        }
        if (threadIdx.y == 0)
            EVERY_LANE if (j < left)
                put(r, blockIdx.y * r.outer.count + result + j, kept[j][own]);
    }
}

#define REDUCE(name, S, suffix, first, join)                                                     \
    extern "C" __global__ void __launch_bounds__(256)                                            \
        name##_rows_##suffix(const __grid_constant__ Reduction r) {                              \
        by_row(r, S(first), join());                                                             \
    }                                                                                            \
    EXPORT(name##_rows_##suffix)                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                            \
        name##_columns_##suffix(const __grid_constant__ Reduction r) {                           \
        by_column(r, S(first), join());                                                          \
    }                                                                                            \
    EXPORT(name##_columns_##suffix)

REDUCE(sum, double, f64, 0, Plus)
REDUCE(sum, i64, i64, 0, Plus)
REDUCE(max, double, f64, -double(__int_as_float(0x7f800000)), Greater)
REDUCE(max, i64, i64, i64(u64(1) << 63), Greater)
