// What a recurrent layer makes of its gates at one time, and back; as in `ops::recurrent`. Gates
// lie `(count, gates · h)`, states `(count, h)`. A thread takes one element of one state.

template <class T> __device__ T squash(T x) {
    T e = exp(x < 0 ? x : -x);
    return (x < 0 ? e : T(1)) / (T(1) + e);
}
// The derivative of the sigmoid, by its value.
template <class T> __device__ T slope(T y) { return y * (1 - y); }

template <class T>
__device__ void lstm(i64 count, i64 h, T *gates, const T *before, T *cell, T *kept, T *hidden) {
    EACH(at, count * h) {
        T *gate = gates + at / h * 4 * h + at % h;
        T i = squash(gate[0]), f = squash(gate[h]), n = tanh(gate[2 * h]), o = squash(gate[3 * h]);
        T c = f * before[at] + i * n, t = tanh(c);
        gate[0] = i, gate[h] = f, gate[2 * h] = n, gate[3 * h] = o;
        cell[at] = c, kept[at] = t, hidden[at] = o * t;
    }
}

template <class T>
__device__ void lstm_back(i64 count, i64 h, T *gates, const T *before, const T *kept,
                          const T *flowing, T *cell_flow) {
    EACH(at, count * h) {
        T *gate = gates + at / h * 4 * h + at % h;
        T i = gate[0], f = gate[h], n = gate[2 * h], o = gate[3 * h], t = kept[at], g = flowing[at];
        T flow = cell_flow[at] + g * o * (1 - t * t);
        gate[0] = flow * n * slope(i);
        gate[h] = flow * before[at] * slope(f);
        gate[2 * h] = flow * i * (1 - n * n);
        gate[3 * h] = g * t * slope(o);
        cell_flow[at] = flow * f;
    }
}

// `share` is the hidden state's share of all gates; its part of the new gate goes, with its bias,
// to `kept`.
template <class T>
__device__ void gru(i64 count, i64 h, T *gates, const T *share, const T *bias, const T *before,
                    T *kept, T *hidden) {
    EACH(at, count * h) {
        i64 row = at / h * 3 * h + at % h;
        T r = squash(gates[row] + share[row]), z = squash(gates[row + h] + share[row + h]);
        T own = share[row + 2 * h] + bias[at % h], n = tanh(gates[row + 2 * h] + r * own);
        gates[row] = r, gates[row + h] = z, gates[row + 2 * h] = n;
        kept[at] = own, hidden[at] = n + z * (before[at] - n);
    }
}

template <class T>
__device__ void gru_back(i64 count, i64 h, T *gates, const T *before, T *kept, T *flowing) {
    EACH(at, count * h) {
        T *gate = gates + at / h * 3 * h + at % h;
        T r = gate[0], z = gate[h], n = gate[2 * h], g = flowing[at];
        T dn = g * (1 - z) * (1 - n * n);
        gate[0] = dn * kept[at] * slope(r);
        gate[h] = g * (before[at] - n) * slope(z);
        gate[2 * h] = dn;
        kept[at] = dn * r, flowing[at] = g * z;
    }
}

#define RECURRENT(T, suffix)                                                                     \
    extern "C" __global__ void lstm_##suffix(i64 count, i64 h, T *gates, const T *before,        \
                                             T *cell, T *kept, T *hidden) {                      \
        lstm(count, h, gates, before, cell, kept, hidden);                                       \
    }                                                                                            \
    EXPORT(lstm_##suffix)                                                                        \
    extern "C" __global__ void lstm_back_##suffix(i64 count, i64 h, T *gates, const T *before,   \
                                                  const T *kept, const T *flowing,               \
                                                  T *cell_flow) {                                \
        lstm_back(count, h, gates, before, kept, flowing, cell_flow);                            \
    }                                                                                            \
    EXPORT(lstm_back_##suffix)                                                                   \
    extern "C" __global__ void gru_##suffix(i64 count, i64 h, T *gates, const T *share,          \
                                            const T *bias, const T *before, T *kept,             \
                                            T *hidden) {                                         \
        gru(count, h, gates, share, bias, before, kept, hidden);                                 \
    }                                                                                            \
    EXPORT(gru_##suffix)                                                                         \
    extern "C" __global__ void gru_back_##suffix(i64 count, i64 h, T *gates, const T *before,    \
                                                 T *kept, T *flowing) {                          \
        gru_back(count, h, gates, before, kept, flowing);                                        \
    }                                                                                            \
    EXPORT(gru_back_##suffix)
RECURRENT(float, f32)
RECURRENT(double, f64)
