// Rows of a table by number, and back. Numbers below 0 count from the end; one that is no row
// gives NaN (an integer 0), for a kernel has nobody to complain to.

__device__ inline i64 row_of(const i64 *index, i64 i, i64 count) {
    i64 row = index[i] < 0 ? index[i] + count : index[i];
    return row >= 0 && row < count ? row : -1;
}

template <class T>
__device__ void rows(const T *table, const i64 *index, T *out, i64 picked, i64 count, i64 width,
                     T missing) {
    EACH(at, picked * width) {
        i64 row = row_of(index, at / width, count);
        out[at] = row < 0 ? missing : table[row * width + at % width];
    }
}

// `out[index[i]] += g[i]`, in the order of `i`. A block takes a number; if none before is the
// same it adds up all of its rows, so the result is the same every time.
template <class T>
__device__ void rows_back(const T *g, const i64 *index, T *out, i64 picked, i64 count, i64 width) {
    for (i64 i = blockIdx.x; i < picked; i += gridDim.x) {
        i64 row = row_of(index, i, count);
        double before = 0;
        for (i64 j = threadIdx.x; j < i; j += blockDim.x)
            before += row_of(index, j, count) == row;
        if (row < 0 || join_row(before, Plus()) > 0) continue;
        for (i64 column = threadIdx.x; column < width; column += blockDim.x) {
            T sum = out[row * width + column];
            for (i64 j = i; j < picked; ++j)
                if (row_of(index, j, count) == row) sum += g[j * width + column];
            out[row * width + column] = sum;
        }
    }
}

#define ROWS(T, suffix, missing)                                                                 \
    extern "C" __global__ void rows_##suffix(const T *table, const i64 *index, T *out,           \
                                             i64 picked, i64 count, i64 width) {                 \
        rows(table, index, out, picked, count, width, T(missing));                               \
    }                                                                                            \
    EXPORT(rows_##suffix)
#define ROWS_BACK(T, suffix)                                                                     \
    extern "C" __global__ void rows_back_##suffix(const T *g, const i64 *index, T *out,          \
                                                  i64 picked, i64 count, i64 width) {            \
        rows_back(g, index, out, picked, count, width);                                          \
    }                                                                                            \
    EXPORT(rows_back_##suffix)
ROWS(float, f32, __int_as_float(0x7fc00000))
ROWS(double, f64, __int_as_float(0x7fc00000))
ROWS(i64, i64, 0)
ROWS(u8, u8, 0)
ROWS(bool, bool, 0)
ROWS_BACK(float, f32)
ROWS_BACK(double, f64)
