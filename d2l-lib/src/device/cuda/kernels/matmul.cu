// Products of matrices of any strides: where cuBLASLt is missing, and for integers.

struct Matrices {
    i64 m, n, k;
    // The steps from one row and from one column to the next.
    i64 a_row, a_column, b_row, b_column;
};

#define TILE 16

// A block makes squares of the results: `x` counts columns of squares, `y` bands of rows of all
// matrices, whose starts are walked.
template <class T>
__device__ void product(const Matrices &p, const Walk<2> &batch, const T *a, const T *b, T *out) {
    __shared__ T left[TILE][TILE + 1], right[TILE][TILE + 1];
    i64 column = blockIdx.x * i64(TILE) + threadIdx.x, bands = (p.m + TILE - 1) / TILE;
    i64 squares = batch.count * bands;
    for (i64 square = blockIdx.y; square < squares; square += gridDim.y) {
        i64 number = square / bands, row = square % bands * TILE + threadIdx.y;
        i64 at[2];
        batch.find(number, at);
        T sum = 0;
        for (i64 first = 0; first < p.k; first += TILE) {
            i64 i = first + threadIdx.x, j = first + threadIdx.y;
            left[threadIdx.y][threadIdx.x] =
                row < p.m && i < p.k ? a[at[0] + row * p.a_row + i * p.a_column] : T(0);
            right[threadIdx.y][threadIdx.x] =
                j < p.k && column < p.n ? b[at[1] + j * p.b_row + column * p.b_column] : T(0);
            __syncthreads();
            // Sums of sums lose fewer digits than one long sum.
            T part = 0;
            for (int l = 0; l < TILE; ++l) part += left[threadIdx.y][l] * right[l][threadIdx.x];
            sum += part;
            __syncthreads();
        }
        if (row < p.m && column < p.n) out[(number * p.m + row) * p.n + column] = sum;
    }
}

#define MATMUL(T, suffix)                                                                        \
    extern "C" __global__ void matmul_##suffix(Matrices p, Walk<2> batch, const T *a,            \
                                               const T *b, T *out) {                             \
        product(p, batch, a, b, out);                                                            \
    }                                                                                            \
    EXPORT(matmul_##suffix)
MATMUL(float, f32)
MATMUL(double, f64)
MATMUL(u64, i64)
