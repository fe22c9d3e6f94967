// Softmax of rows, its logarithm, its loss, and their gradients. A row of the block takes a row
// of the matrix; the rows of a grid take the next ones. Rows that fit stay in shared memory, so
// that they are read once; of others what is read again.

// What is wanted of the rows.
enum Wanted { SOFTMAX, LOGARITHM, LOSS };

struct Softmax {
    i64 rows, length;
    const void *x;
    // The gradient of the result, in the type of `x`; of a loss it is one number.
    const void *g;
    void *out;
    // For each row its greatest element and the sum of the exponentials, if they are wanted.
    void *sums;
    const i64 *targets;
    void *losses;
    u32 type, wanted;
    // Pieces of a row for which there is shared memory: all or none.
    i64 kept;

    __device__ Row row(i64 number) const { return Row{number * length, length, 1, 0}; }
};

// Calls `body(row)` for all rows, `row < 0` where a thread has none but must come to barriers.
template <class F> __device__ void each_row(i64 rows, F body) {
#pragma unroll 1
    for (i64 first = blockIdx.x * i64(blockDim.y); first < rows; first += i64(gridDim.x) * blockDim.y) {
        i64 row = first + threadIdx.y;
        body(row < rows ? row : -1);
    }
}

struct Greatest {
    // NaN is found by the sum of the exponentials.
    template <class T> __device__ T operator()(T a, T b) const { return b > a ? b : a; }
};

// The least number that is finite.
__device__ inline float finite_least(float) { return -__int_as_float(0x7f7fffff); }
__device__ inline double finite_least(double) { return -1.7976931348623157e308; }

// The greatest element and the sum of all exponentials relative to that, of what is added.
template <class T> struct Exponentials {
    // Not infinite, so that two of them can be subtracted.
    T top = finite_least(T()), sum = 0;

    __device__ void add(const T (&x)[LANES], i64 count) {
        T higher = top;
        EVERY_LANE if (j < count) higher = Greatest()(higher, x[j]);
        sum *= exp(top - higher);
        top = higher;
        EVERY_LANE if (j < count) sum += exp(x[j] - top);
    }

    __device__ void join() {
        T higher = join_row(top, Greatest());
        sum = join_row(sum * exp(top - higher), Plus());
        top = higher;
    }
};

// What a row gives for an element.
template <class T> __device__ T result(u32 wanted, T x, T top, T sum) {
    return wanted == LOGARITHM ? x - top - log(sum) : exp(x - top) * (T(1) / sum);
}

template <class T> __device__ void softmax(const Softmax &s) {
    DYNAMIC_SHARED(Kept<T>, shared);
    Kept<T> *kept = shared + threadIdx.y * s.kept;
    T *sums = static_cast<T *>(s.sums);
    each_row(s.rows, [&](i64 number) {
        Row row = s.row(number);
        i64 pieces = number < 0 ? 0 : row.pieces();
        Exponentials<T> all;
        each_piece<T>({s.x}, s.type, row, 0, pieces,
                      [&](i64 piece, i64, i64, i64 left, const T (&x)[1][LANES]) {
                          all.add(x[0], left);
                          if (s.kept > 0) keep(kept[piece], x[0]);
                      });
        all.join();
        if (number < 0) return;
        if (sums && threadIdx.x == 0) {
            sums[2 * number] = all.top;
            sums[2 * number + 1] = all.sum;
        }
        if (s.wanted == LOSS) {
            if (threadIdx.x > 0) return;
            i64 target = s.targets[number];
            // A target that is no class gives NaN, for a kernel has nobody to complain to.
            T x[LANES] = {T(__int_as_float(0x7fc00000))};
            if (target >= 0 && target < s.length) read(s.x, s.type, row.start + target, 1, x);
            static_cast<T *>(s.losses)[number] = log(all.sum) - (x[0] - all.top);
            return;
        }
#pragma unroll 1
        for (i64 piece = threadIdx.x; piece < pieces; piece += blockDim.x) {
            i64 at = row.start + piece * LANES, left = s.length - piece * LANES;
            T x[LANES];
            if (s.kept > 0)
                recall(kept[piece], x);
            else
                read(s.x, s.type, at, left, x);
            EVERY_LANE x[j] = result(s.wanted, x[j], all.top, all.sum);
            write(s.out, s.type, at, left, x);
        }
    });
}

// `y (g - Σ g y)`, of the logarithm `g - exp(y) Σ g`. `x` is the result `y`; if there are sums, it
// is what that was made of.
template <class T> __device__ void softmax_back(const Softmax &s) {
    DYNAMIC_SHARED(Kept<T>, shared);
    Kept<T> *kept = shared + 2 * threadIdx.y * s.kept, *gradients = kept + s.kept;
    const T *sums = static_cast<const T *>(s.sums);
    each_row(s.rows, [&](i64 number) {
        Row row = s.row(number);
        i64 pieces = number < 0 ? 0 : row.pieces();
        T top = sums && number >= 0 ? sums[2 * number] : T(0);
        T exponentials = sums && number >= 0 ? sums[2 * number + 1] : T(1), sum = 0;
        auto y = [&](T x) { return sums ? result(s.wanted, x, top, exponentials) : x; };
        each_piece<T>({s.x, s.g}, s.type, row, 0, pieces,
                      [&](i64 piece, i64, i64, i64 left, const T (&x)[2][LANES]) {
                          T own[LANES];
                          EVERY_LANE own[j] = y(x[0][j]);
                          EVERY_LANE if (j < left)
                              sum += s.wanted == LOGARITHM ? x[1][j] : own[j] * x[1][j];
                          if (s.kept > 0) {
                              keep(kept[piece], own);
                              keep(gradients[piece], x[1]);
                          }
                      });
        sum = join_row(sum, Plus());
#pragma unroll 1
        for (i64 piece = threadIdx.x; piece < pieces; piece += blockDim.x) {
            i64 at = row.start + piece * LANES, left = s.length - piece * LANES;
            T own[LANES], g[LANES];
            if (s.kept > 0) {
                recall(kept[piece], own);
                recall(gradients[piece], g);
            } else {
                read(s.x, s.type, at, left, own);
                read(s.g, s.type, at, left, g);
                EVERY_LANE own[j] = y(own[j]);
            }
            EVERY_LANE own[j] =
                s.wanted == LOGARITHM ? g[j] - exp(own[j]) * sum : own[j] * (g[j] - sum);
            write(s.out, s.type, at, left, own);
        }
    });
}

// `(softmax(x) - onehot(target)) / rows`, times the gradient of the loss.
template <class T> __device__ void cross_entropy_back(const Softmax &s) {
    const T *sums = static_cast<const T *>(s.sums);
    T g = *static_cast<const T *>(s.g);
    each_row(s.rows, [&](i64 number) {
        if (number < 0) return;
        Row row = s.row(number);
        T top = sums[2 * number], scale = T(1) / T(s.rows), share = scale / sums[2 * number + 1];
        i64 target = s.targets[number];
#pragma unroll 1
        for (i64 i = threadIdx.x * LANES; i < s.length; i += blockDim.x * LANES) {
            T x[LANES];
            read(s.x, s.type, row.start + i, s.length - i, x);
            EVERY_LANE x[j] = (exp(x[j] - top) * share - (i + j == target ? scale : T(0))) * g;
            write(s.out, s.type, row.start + i, s.length - i, x);
        }
    });
}

#define KERNEL(name, T, suffix)                                                                  \
    extern "C" __global__ void __launch_bounds__(256)                                            \
        name##_##suffix(const __grid_constant__ Softmax s) {                                     \
        name<T>(s);                                                                              \
    }                                                                                            \
    EXPORT(name##_##suffix)
#define KERNELS(T, suffix)                                                                       \
    KERNEL(softmax, T, suffix)                                                                   \
    KERNEL(softmax_back, T, suffix)                                                              \
    KERNEL(cross_entropy_back, T, suffix)
KERNELS(float, f32)
KERNELS(double, f64)
