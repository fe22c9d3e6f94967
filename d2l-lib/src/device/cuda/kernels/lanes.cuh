// Elements as numbers to compute with, some at a time, whatever their type in memory is.

// How many elements a thread has at a time.
#define LANES 4
#define EVERY_LANE _Pragma("unroll") for (int j = 0; j < LANES; ++j)

// How elements are stored.
enum Type { FLOAT, HALF, BRAIN, BOOL, DOUBLE, LONG, BYTE };

// The code of a function by its name (FNV-1a), above all small numbers.
__device__ constexpr u32 code(const char *name) {
    u32 hash = 0x811c9dc5u;
    while (*name) hash = (hash ^ u32(u8(*name++))) * 0x01000193u;
    return hash | 0x80000000u;
}

// Elements by their bits: the type of these, and how all lanes are read and written: at once, or
// where numbers have 64 bits at twice, at a multiple of `ALIGNMENT`.
template <class T> struct Stored;
#define STORED(T, Bits_, All, from_bits, to_bits)                                                \
    template <> struct Stored<T> {                                                               \
        typedef Bits_ Bits;                                                                      \
        static const u32 ALIGNMENT = LANES * sizeof(Bits);                                       \
        static __device__ float number(Bits x) { return from_bits; }                             \
        static __device__ Bits bits(float x) { return to_bits; }                                 \
        template <class S> static __device__ void read_all(const Bits *at, S (&out)[LANES]) {    \
            All all = *reinterpret_cast<const All *>(at);                                        \
            out[0] = number(all.x), out[1] = number(all.y);                                      \
            out[2] = number(all.z), out[3] = number(all.w);                                      \
        }                                                                                        \
        template <class S> static __device__ void write_all(Bits *at, const S (&x)[LANES]) {     \
            All all = {bits(x[0]), bits(x[1]), bits(x[2]), bits(x[3])};                          \
            /* An assignment would become four. */                                               \
            __stcg(reinterpret_cast<All *>(at), all);                                            \
        }                                                                                        \
    };
STORED(float, float, float4, x, x)
STORED(F16, u16, ushort4, widened(F16{x}), rounded_f16(x).bits)
STORED(BF16, u16, ushort4, widened(BF16{x}), rounded_bf16(x).bits)
STORED(bool, u8, uchar4, x, x != 0)
STORED(u8, u8, uchar4, x, u8(x))
#define STORED_LONG(T, Two)                                                                      \
    template <> struct Stored<T> {                                                               \
        typedef T Bits;                                                                          \
        static const u32 ALIGNMENT = 2 * sizeof(T);                                              \
        static __device__ T number(T x) { return x; }                                            \
        static __device__ T bits(T x) { return x; }                                              \
        static __device__ void read_all(const T *at, T (&out)[LANES]) {                          \
            const Two *all = reinterpret_cast<const Two *>(at);                                  \
            Two first = all[0], last = all[1];                                                   \
            out[0] = first.x, out[1] = first.y, out[2] = last.x, out[3] = last.y;                \
        }                                                                                        \
        static __device__ void write_all(T *at, const T (&x)[LANES]) {                           \
            Two *all = reinterpret_cast<Two *>(at);                                              \
            __stcg(all, Two{x[0], x[1]});                                                        \
            __stcg(all + 1, Two{x[2], x[3]});                                                    \
        }                                                                                        \
    };
STORED_LONG(double, double2)
STORED_LONG(i64, longlong2)

// `count` elements that lie side by side from the first on, all lanes at once where that is
// possible; the others stay as they are.
template <class T, class S>
__device__ void read(const void *from, i64 first, i64 count, S (&out)[LANES]) {
    typedef typename Stored<T>::Bits Bits;
    const Bits *at = static_cast<const Bits *>(from) + first;
    if (count >= LANES && u64(at) % Stored<T>::ALIGNMENT == 0)
        return Stored<T>::read_all(at, out);
    EVERY_LANE if (j < count) out[j] = Stored<T>::number(at[j]);
}
template <class T, class S>
__device__ void write(void *to, i64 first, i64 count, const S (&x)[LANES]) {
    typedef typename Stored<T>::Bits Bits;
    Bits *at = static_cast<Bits *>(to) + first;
    if (count >= LANES && u64(at) % Stored<T>::ALIGNMENT == 0)
        return Stored<T>::write_all(at, x);
    EVERY_LANE if (j < count) at[j] = Stored<T>::bits(x[j]);
}

// The same for every type that is computed with in `float`, and for the one that is in `double`.
__device__ inline void read(const void *from, u32 type, i64 first, i64 count,
                            float (&out)[LANES]) {
    if (type == FLOAT) return read<float>(from, first, count, out);
    if (type == BRAIN) return read<BF16>(from, first, count, out);
    read<F16>(from, first, count, out);
}
__device__ inline void read(const void *from, u32, i64 first, i64 count, double (&out)[LANES]) {
    read<double>(from, first, count, out);
}
__device__ inline void write(void *to, u32 type, i64 first, i64 count, const float (&x)[LANES]) {
    if (type == FLOAT) return write<float>(to, first, count, x);
    if (type == BRAIN) return write<BF16>(to, first, count, x);
    write<F16>(to, first, count, x);
}
__device__ inline void write(void *to, u32, i64 first, i64 count, const double (&x)[LANES]) {
    write<double>(to, first, count, x);
}
