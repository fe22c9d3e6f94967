// Matrices that lie transposed, one behind the other, row after row. Both to read and to write,
// neighbouring threads take neighbouring elements: what is between is turned in shared memory.

#define SIDE 32
#define AT_ONCE 8

template <class T>
__device__ void transpose(i64 count, i64 rows, i64 columns, const T *x, T *out) {
    __shared__ T square[SIDE][SIDE + 1];
    i64 down = (rows + SIDE - 1) / SIDE, across = (columns + SIDE - 1) / SIDE;
    for (i64 i = blockIdx.x; i < count * down * across; i += gridDim.x) {
        i64 matrix = i / down / across, row = i / across % down * SIDE, column = i % across * SIDE;
        const T *from = x + matrix * rows * columns;
        T *to = out + matrix * rows * columns;
        for (int j = threadIdx.y; j < SIDE; j += AT_ONCE)
            if (column + j < columns && row + threadIdx.x < rows)
                square[j][threadIdx.x] = from[(column + j) * rows + row + threadIdx.x];
        __syncthreads();
        for (int j = threadIdx.y; j < SIDE; j += AT_ONCE)
            if (row + j < rows && column + threadIdx.x < columns)
                to[(row + j) * columns + column + threadIdx.x] = square[threadIdx.x][j];
        __syncthreads();
    }
}

// By the number of bytes of an element.
#define TRANSPOSE(T, bytes)                                                                      \
    extern "C" __global__ void transpose_##bytes(i64 count, i64 rows, i64 columns, const T *x,   \
                                                 T *out) {                                       \
        transpose(count, rows, columns, x, out);                                                 \
    }                                                                                            \
    EXPORT(transpose_##bytes)
TRANSPOSE(u8, 1)
TRANSPOSE(u16, 2)
TRANSPOSE(u32, 4)
TRANSPOSE(u64, 8)
