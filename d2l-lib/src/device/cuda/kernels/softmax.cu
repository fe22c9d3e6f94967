// Softmax of rows, its logarithm, its loss, and their gradients. A row of the block takes a row
// of the matrix; the rows of a grid take the next ones. What is read more than once is in the
// cache of the multiprocessor by then, or else in L2.

// Calls `body(row)` for all rows, `row < 0` where a thread has none but must come to barriers.
template <class F> __device__ void each_row(i64 rows, F body) {
    for (i64 first = blockIdx.x * i64(blockDim.y); first < rows; first += i64(gridDim.x) * blockDim.y) {
        i64 row = first + threadIdx.y;
        body(row < rows ? row : -1);
    }
}

struct Greatest {
    // NaN is found by the sum of the exponentials.
    template <class T> __device__ T operator()(T a, T b) const { return b > a ? b : a; }
};

template <class T> __device__ T row_greatest(const T *x, i64 length) {
    T top = Limits<T>::lowest();
    for (i64 i = threadIdx.x; i < length; i += blockDim.x) top = Greatest()(top, x[i]);
    return join_row(top, Greatest());
}

template <class T> __device__ T row_exponentials(const T *x, i64 length, T top) {
    T sum = 0;
    for (i64 i = threadIdx.x; i < length; i += blockDim.x) sum += exp(x[i] - top);
    return join_row(sum, Plus());
}

template <class T> __device__ void softmax(const T *x, T *out, i64 rows, i64 length) {
    each_row(rows, [&](i64 row) {
        const T *from = x + row * length;
        i64 own = row < 0 ? 0 : length;
        T top = row_greatest(from, own);
        T share = T(1) / row_exponentials(from, own, top);
        for (i64 i = threadIdx.x; i < own; i += blockDim.x)
            out[row * length + i] = exp(from[i] - top) * share;
    });
}

template <class T> __device__ void log_softmax(const T *x, T *out, i64 rows, i64 length) {
    each_row(rows, [&](i64 row) {
        const T *from = x + row * length;
        i64 own = row < 0 ? 0 : length;
        T top = row_greatest(from, own);
        T sum = log(row_exponentials(from, own, top));
        for (i64 i = threadIdx.x; i < own; i += blockDim.x)
            out[row * length + i] = from[i] - top - sum;
    });
}

// `y (g - Σ g y)`
template <class T>
__device__ void softmax_back(const T *y, const T *g, T *out, i64 rows, i64 length) {
    each_row(rows, [&](i64 row) {
        i64 own = row < 0 ? 0 : length, at = row * length;
        T sum = 0;
        for (i64 i = threadIdx.x; i < own; i += blockDim.x) sum += y[at + i] * g[at + i];
        sum = join_row(sum, Plus());
        for (i64 i = threadIdx.x; i < own; i += blockDim.x)
            out[at + i] = y[at + i] * (g[at + i] - sum);
    });
}

// `g - exp(y) Σ g`
template <class T>
__device__ void log_softmax_back(const T *y, const T *g, T *out, i64 rows, i64 length) {
    each_row(rows, [&](i64 row) {
        i64 own = row < 0 ? 0 : length, at = row * length;
        T sum = 0;
        for (i64 i = threadIdx.x; i < own; i += blockDim.x) sum += g[at + i];
        sum = join_row(sum, Plus());
        for (i64 i = threadIdx.x; i < own; i += blockDim.x)
            out[at + i] = g[at + i] - exp(y[at + i]) * sum;
    });
}

// Losses of rows of logits, and `(softmax(x) - onehot(target)) / rows`. A target that is no class
// gives NaN, for a kernel has nobody to complain to.
template <class T>
__device__ void cross_entropy(const T *x, const i64 *targets, T *losses, T *gradient, i64 rows,
                              i64 length) {
    each_row(rows, [&](i64 row) {
        const T *from = x + row * length;
        i64 own = row < 0 ? 0 : length;
        T top = row_greatest(from, own);
        T sum = row_exponentials(from, own, top);
        if (row < 0) return;
        i64 target = targets[row];
        bool is_class = target >= 0 && target < length;
        T scale = T(1) / T(rows), share = scale / sum;
        for (i64 i = threadIdx.x; i < own; i += blockDim.x)
            gradient[row * length + i] = exp(from[i] - top) * share - (i == target ? scale : T(0));
        if (threadIdx.x == 0)
            losses[row] = is_class ? log(sum) - (from[target] - top) : T(__int_as_float(0x7fc00000));
    });
}

#define SOFTMAX(T, suffix)                                                                       \
    extern "C" __global__ void softmax_##suffix(const T *x, T *out, i64 rows, i64 length) {      \
        softmax(x, out, rows, length);                                                           \
    }                                                                                            \
    EXPORT(softmax_##suffix)                                                                     \
    extern "C" __global__ void log_softmax_##suffix(const T *x, T *out, i64 rows, i64 length) {  \
        log_softmax(x, out, rows, length);                                                       \
    }                                                                                            \
    EXPORT(log_softmax_##suffix)                                                                 \
    extern "C" __global__ void softmax_back_##suffix(const T *y, const T *g, T *out, i64 rows,   \
                                                     i64 length) {                               \
        softmax_back(y, g, out, rows, length);                                                   \
    }                                                                                            \
    EXPORT(softmax_back_##suffix)                                                                \
    extern "C" __global__ void log_softmax_back_##suffix(const T *y, const T *g, T *out,         \
                                                         i64 rows, i64 length) {                 \
        log_softmax_back(y, g, out, rows, length);                                               \
    }                                                                                            \
    EXPORT(log_softmax_back_##suffix)                                                            \
    extern "C" __global__ void cross_entropy_##suffix(const T *x, const i64 *targets, T *losses, \
                                                      T *gradient, i64 rows, i64 length) {       \
        cross_entropy(x, targets, losses, gradient, rows, length);                               \
    }                                                                                            \
    EXPORT(cross_entropy_##suffix)
SOFTMAX(float, f32)
SOFTMAX(double, f64)
