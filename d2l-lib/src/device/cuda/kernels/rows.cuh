// Rows of elements that a row of a block's threads goes through together, a piece of `LANES` each.

// Pieces that a thread waits for at once.
#define AHEAD 4

// A row: runs of `inner` elements, from `start` on and each `apart` from the one before.
struct Row {
    i64 start, inner, runs, apart;

    __device__ i64 pieces_of_run() const { return (inner + LANES - 1) / LANES; }
    __device__ i64 pieces() const { return runs * pieces_of_run(); }

    // Where a piece is: behind how many elements of its run, and in memory.
    __device__ i64 place(i64 piece, i64 &behind) const {
        behind = piece * LANES;
        if (runs == 1) return start + behind;
        u32 each = u32(pieces_of_run()), run = u32(piece) / each;
        behind = i64(u32(piece) % each) * LANES;
        return start + run * apart + behind;
    }

    // How many of the first pieces can be read at once from elements of this type.
    template <class T> __device__ i64 whole(const void *x) const {
        const auto *first = static_cast<const typename Stored<T>::Bits *>(x) + start;
        if (u64(first) % Stored<T>::ALIGNMENT != 0) return 0;
        if (runs == 1) return inner / LANES;
        return inner % LANES == 0 && apart % LANES == 0 ? pieces() : 0;
    }
};

// Calls `f` with a value of the type that has this code.
template <class F> __device__ void of_type(u32 type, float, F f) {
    if (type == FLOAT) return f(float());
    if (type == BRAIN) return f(BF16());
    f(F16());
}
template <class F> __device__ void of_type(u32, double, F f) { f(double()); }

// Calls `f(piece, behind, at, left, elements)` for this thread's pieces of a row of each of `N`
// tensors of the same type: `left` are the elements of the run from `behind` on, of which the
// first `LANES` are in `elements`, where those that are not there are 0.
template <class S, int N, class F>
__device__ void each_piece(const void *const (&x)[N], u32 type, const Row &row, i64 from, i64 to,
                           F f) {
    // Not of `double`, whose functions take long to compile, nor where there are two to wait for.
    const int ahead = sizeof(S) == 8 || N > 1 ? 1 : AHEAD;
    i64 piece = from + threadIdx.x, step = blockDim.x, whole = 0;
    of_type(type, S(), [&](auto own) {
        whole = row.whole<decltype(own)>(x[0]);
        for (int n = 1; n < N; ++n)
            if (row.whole<decltype(own)>(x[n]) < whole) whole = row.whole<decltype(own)>(x[n]);
    });
    if (whole > to) whole = to;
#pragma unroll 1
    for (; ahead > 1 && piece + (ahead - 1) * step < whole; piece += ahead * step) {
        S elements[ahead][N][LANES];
        i64 at[ahead], behind[ahead];
#pragma unroll
        for (int k = 0; k < ahead; ++k) at[k] = row.place(piece + k * step, behind[k]);
        of_type(type, S(), [&](auto own) {
            typedef Stored<decltype(own)> Own;
#pragma unroll
            for (int k = 0; k < ahead; ++k)
#pragma unroll
                for (int n = 0; n < N; ++n)
                    Own::read_all(static_cast<const typename Own::Bits *>(x[n]) + at[k],
                                  elements[k][n]);
        });
#pragma unroll
        for (int k = 0; k < ahead; ++k)
            f(piece + k * step, behind[k], at[k], i64(LANES), elements[k]);
    }
#pragma unroll 1
    for (; piece < to; piece += step) {
        S elements[N][LANES];
        i64 behind, at = row.place(piece, behind);
#pragma unroll
        for (int n = 0; n < N; ++n) {
            EVERY_LANE elements[n][j] = 0;
            read(x[n], type, at, row.inner - behind, elements[n]);
        }
        f(piece, behind, at, row.inner - behind, elements);
    }
}

// Pieces in shared memory.
template <class S> struct alignas(16) Kept {
    S element[LANES];
};
template <class S> __device__ void keep(Kept<S> &kept, const S (&x)[LANES]) {
    EVERY_LANE kept.element[j] = x[j];
}
template <class S> __device__ void recall(const Kept<S> &kept, S (&x)[LANES]) {
    EVERY_LANE x[j] = kept.element[j];
}
