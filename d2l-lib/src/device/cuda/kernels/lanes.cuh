// Elements as numbers to compute with, some at a time, whatever their type in memory is.

// How many elements a thread has at a time.
#define LANES 4
#define EVERY_LANE _Pragma("unroll") for (int j = 0; j < LANES; ++j)

// How elements are stored.
enum Type { FLOAT, HALF, BRAIN, BOOL, DOUBLE };

// The code of a function by its name (FNV-1a), above all small numbers.
__device__ constexpr u32 code(const char *name) {
    u32 hash = 0x811c9dc5u;
    while (*name) hash = (hash ^ u32(u8(*name++))) * 0x01000193u;
    return hash | 0x80000000u;
}

// Elements by their bits: the type of these, and that of all lanes, which are read and written in
// one access to memory, at a multiple of their size.
template <class T> struct Stored;
#define STORED(T, Bits_, All_, from_bits, to_bits)                                               \
    template <> struct Stored<T> {                                                               \
        typedef Bits_ Bits;                                                                      \
        typedef All_ All;                                                                        \
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
template <> struct Stored<double> {
    typedef double Bits;
    static __device__ double number(double x) { return x; }
    static __device__ double bits(double x) { return x; }
    static __device__ void read_all(const double *at, double (&out)[LANES]) {
        const double2 *all = reinterpret_cast<const double2 *>(at);
        double2 first = all[0], last = all[1];
        out[0] = first.x, out[1] = first.y, out[2] = last.x, out[3] = last.y;
    }
    static __device__ void write_all(double *at, const double (&x)[LANES]) {
        double2 *all = reinterpret_cast<double2 *>(at);
        __stcg(all, double2{x[0], x[1]});
        __stcg(all + 1, double2{x[2], x[3]});
    }
};

// `count` elements that lie side by side from the first on, all of them at once where that is
// possible; the other lanes stay as they are.
template <class T, class S>
__device__ void read(const void *from, i64 first, int count, bool at_once, S (&out)[LANES]) {
    const auto *at = static_cast<const typename Stored<T>::Bits *>(from) + first;
    if (at_once && count >= LANES) return Stored<T>::read_all(at, out);
    EVERY_LANE if (j < count) out[j] = Stored<T>::number(at[j]);
}
template <class T, class S>
__device__ void write(void *to, i64 first, int count, bool at_once, const S (&x)[LANES]) {
    auto *at = static_cast<typename Stored<T>::Bits *>(to) + first;
    if (at_once && count >= LANES) return Stored<T>::write_all(at, x);
    EVERY_LANE if (j < count) at[j] = Stored<T>::bits(x[j]);
}

// The same for any type of those that are computed with in `float`, or in `double`.
__device__ inline void read(const void *from, u32 type, i64 first, int count, bool at_once,
                            float (&out)[LANES]) {
    if (type == FLOAT) return read<float>(from, first, count, at_once, out);
    if (type == BRAIN) return read<BF16>(from, first, count, at_once, out);
    read<F16>(from, first, count, at_once, out);
}
__device__ inline void read(const void *from, u32, i64 first, int count, bool at_once,
                            double (&out)[LANES]) {
    read<double>(from, first, count, at_once, out);
}
__device__ inline void write(void *to, u32 type, i64 first, int count, bool at_once,
                             const float (&x)[LANES]) {
    if (type == FLOAT) return write<float>(to, first, count, at_once, x);
    if (type == BRAIN) return write<BF16>(to, first, count, at_once, x);
    write<F16>(to, first, count, at_once, x);
}
__device__ inline void write(void *to, u32, i64 first, int count, bool at_once,
                             const double (&x)[LANES]) {
    write<double>(to, first, count, at_once, x);
}
// Whether the lanes at multiples of `LANES` can be read and written at once.
__device__ inline bool is_aligned(const void *at) { return u64(at) % 16 == 0; }
