// Numbers with mean 0 and variance 1, channel by channel, and then scaled and shifted; the input
// counts as `(outer, channels, inner)`, as in `ops::normalize`. A row of the block takes a channel,
// or a part of one: few channels are cut, so that they fill a GPU, and then take two launches. What
// fits stays in shared memory, so that it is read once.

// What a launch does.
enum Stage {
    // All of it.
    WHOLE,
    // The sums of parts, and what follows from these.
    SUMS,
    REST,
    // What follows from moments that are known.
    KNOWN
};

struct Channels {
    i64 outer, channels, inner;
    // How many parts a channel has; pieces of a channel for which there is shared memory.
    i64 parts, kept;
    double eps;
    const void *x;
    // The gradient of the result, in the type of `x`.
    const void *g;
    // Those of an element of each channel, or of each element of a row, if there are some.
    const void *weight, *bias;
    void *out;
    // Mean and variance of each channel.
    double *moments;
    // The two sums of each part of each channel.
    double *sums;
    u32 type, weight_type, stage;
    // Whether there is a weight for each element of a row; else there is one for each channel.
    u32 along;

    __device__ Row row(i64 channel) const {
        return Row{channel * inner, inner, outer, channels * inner};
    }
    __device__ double size() const { return double(outer * inner); }
};

// Calls `body(channel, from, to)` with the pieces of a channel that are this thread's row's; of
// none where it must only come to barriers.
template <class F> __device__ void each_channel(const Channels &c, F body) {
    i64 pieces = c.row(0).pieces(), part = (pieces + c.parts - 1) / c.parts;
    i64 from = blockIdx.y * part, to = from + part < pieces ? from + part : pieces;
#pragma unroll 1
    for (i64 first = blockIdx.x * i64(blockDim.y); first < c.channels;
         first += i64(gridDim.x) * blockDim.y) {
        i64 channel = first + threadIdx.y;
        bool is = channel < c.channels;
        body(is ? channel : 0, is ? from : 0, is ? to : 0, is && threadIdx.x == 0);
    }
}

// The weight of a channel: `fallback` where there is none, or another one for each element.
template <class T>
__device__ T weight_of(const Channels &c, const void *weight, i64 channel, T fallback) {
    T own[LANES] = {fallback};
    if (weight && !c.along) read(weight, c.weight_type, channel, 1, own);
    return own[0];
}

// The weights of a piece.
template <class T>
__device__ void weights(const Channels &c, const void *weight, T own, i64 behind, T (&out)[LANES]) {
    EVERY_LANE out[j] = own;
    if (weight && c.along) read(weight, c.weight_type, behind, c.inner - behind, out);
}

// Both sums of a channel, of which this thread has a share, known to its whole row of threads;
// whether there is more to do.
__device__ inline bool join_sums(const Channels &c, i64 channel, bool is_first, double &a,
                                 double &b) {
    double *sums = c.sums + 2 * (blockIdx.y * c.channels + channel);
    if (c.stage == REST) {
        a = b = 0;
        for (i64 part = threadIdx.x; part < c.parts; part += blockDim.x) {
            a += c.sums[2 * (part * c.channels + channel)];
            b += c.sums[2 * (part * c.channels + channel) + 1];
        }
    }
    a = join_row(a, Plus());
    b = join_row(b, Plus());
    if (c.stage == SUMS && is_first) sums[0] = a, sums[1] = b;
    return c.stage != SUMS;
}

template <class T> __device__ void standardize(const Channels &c) {
    DYNAMIC_SHARED(Kept<T>, shared);
    Kept<T> *kept = shared + threadIdx.y * c.kept;
    each_channel(c, [&](i64 channel, i64 from, i64 to, bool is_first) {
        Row row = c.row(channel);
        double mean, variance;
        if (c.stage == KNOWN) {
            mean = c.moments[2 * channel], variance = c.moments[2 * channel + 1];
        } else {
            // Relative to an element, whose distance from the mean is at most the root of their
            // number times the deviation, so that nothing is lost in the difference below.
            T start[LANES] = {0};
            read(c.x, c.type, row.start, 1, start);
            double origin = start[0] - start[0] == 0 ? start[0] : 0, sum = 0, squares = 0;
            if (c.stage != REST)
                each_piece<T>({c.x}, c.type, row, from, to,
                              [&](i64 piece, i64, i64, i64 left, const T (&x)[1][LANES]) {
                                  EVERY_LANE if (j < left) {
                                      double apart = double(x[0][j]) - origin;
                                      sum += apart;
                                      squares += apart * apart;
                                  }
                                  if (c.kept > 0) keep(kept[piece], x[0]);
                              });
            if (!join_sums(c, channel, is_first, sum, squares)) return;
            mean = origin + sum / c.size();
            variance = (squares - sum * sum / c.size()) / c.size();
            // NaN stays.
            if (variance < 0) variance = 0;
            if (is_first && blockIdx.y == 0)
                c.moments[2 * channel] = mean, c.moments[2 * channel + 1] = variance;
        }
        T middle = T(mean), scale = T(1 / sqrt(variance + c.eps));
        T own_weight = weight_of(c, c.weight, channel, T(1));
        T own_bias = weight_of(c, c.bias, channel, T(0));
#pragma unroll 1
        for (i64 piece = from + threadIdx.x; piece < to; piece += blockDim.x) {
            i64 behind, at = row.place(piece, behind), left = c.inner - behind;
            T x[LANES], weight[LANES], bias[LANES];
            if (c.kept > 0)
                recall(kept[piece], x);
            else
                read(c.x, c.type, at, left, x);
            weights(c, c.weight, own_weight, behind, weight);
            weights(c, c.bias, own_bias, behind, bias);
            // The product with a gradient of all elements, whose sum is that of the weight.
            if (c.g) read(c.g, c.type, at, left, weight);
            EVERY_LANE {
                x[j] = (x[j] - middle) * scale * weight[j];
                if (c.bias) x[j] += bias[j];
            }
            write(c.out, c.g ? c.weight_type : c.type, at, left, x);
        }
    });
}

template <class T> __device__ void standardize_back(const Channels &c) {
    DYNAMIC_SHARED(Kept<T>, shared);
    Kept<T> *kept = shared + 2 * threadIdx.y * c.kept, *gradients = kept + c.kept;
    each_channel(c, [&](i64 channel, i64 from, i64 to, bool is_first) {
        Row row = c.row(channel);
        T middle = T(c.moments[2 * channel]);
        T scale = T(1 / sqrt(c.moments[2 * channel + 1] + c.eps));
        T own_weight = weight_of(c, c.weight, channel, T(1));
        // The result before it was scaled and shifted, and the gradient there.
        auto inside = [&](i64 behind, T(&x)[LANES], T(&g)[LANES]) {
            T weight[LANES];
            weights(c, c.weight, own_weight, behind, weight);
            EVERY_LANE {
                x[j] = (x[j] - middle) * scale;
                g[j] *= weight[j];
            }
        };
        double sum = 0, along = 0;
        if (c.stage != REST)
            each_piece<T>({c.x, c.g}, c.type, row, from, to,
                          [&](i64 piece, i64 behind, i64, i64 left, const T (&both)[2][LANES]) {
                              T x[LANES], g[LANES];
                              EVERY_LANE x[j] = both[0][j], g[j] = both[1][j];
                              inside(behind, x, g);
                              EVERY_LANE if (j < left) {
                                  sum += double(g[j]);
                                  along += double(x[j]) * double(g[j]);
                              }
                              if (c.kept > 0) {
                                  keep(kept[piece], x);
                                  keep(gradients[piece], g);
                              }
                          });
        if (!join_sums(c, channel, is_first, sum, along)) return;
        T mean = T(sum / c.size()), share = T(along / c.size());
#pragma unroll 1
        for (i64 piece = from + threadIdx.x; piece < to; piece += blockDim.x) {
            i64 behind, at = row.place(piece, behind), left = c.inner - behind;
            T x[LANES], g[LANES];
            if (c.kept > 0) {
                recall(kept[piece], x);
                recall(gradients[piece], g);
            } else {
                read(c.x, c.type, at, left, x);
                read(c.g, c.type, at, left, g);
                inside(behind, x, g);
            }
            EVERY_LANE x[j] = (g[j] - mean - x[j] * share) * scale;
            write(c.out, c.type, at, left, x);
        }
    });
}

#define NORMALIZE(T, suffix)                                                                     \
    extern "C" __global__ void __launch_bounds__(256)                                            \
        standardize_##suffix(const __grid_constant__ Channels c) {                               \
        standardize<T>(c);                                                                       \
    }                                                                                            \
    EXPORT(standardize_##suffix)                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                            \
        standardize_back_##suffix(const __grid_constant__ Channels c) {                          \
        standardize_back<T>(c);                                                                  \
    }                                                                                            \
    EXPORT(standardize_back_##suffix)
NORMALIZE(float, f32)
NORMALIZE(double, f64)
