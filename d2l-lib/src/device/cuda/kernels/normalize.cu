// Numbers with mean 0 and variance 1, channel by channel; the input counts as
// `(outer, channels, inner)`, as in `ops::normalize`. A row of the block takes a channel.

struct Channels {
    i64 outer, channels, inner;

    // Where element `i` of a channel is.
    __device__ i64 at(i64 channel, i64 i) const {
        return (i / inner * channels + channel) * inner + i % inner;
    }
    __device__ i64 size() const { return outer * inner; }
};

template <class F> __device__ void each_channel(const Channels &c, F body) {
    for (i64 first = blockIdx.x * i64(blockDim.y); first < c.channels;
         first += i64(gridDim.x) * blockDim.y) {
        i64 channel = first + threadIdx.y;
        bool is = channel < c.channels;
        body(is ? channel : 0, is ? c.size() : 0);
    }
}

// The sum of `term(i)` over the elements `i` of a channel, known to its whole row of threads.
template <class F> __device__ double channel_sum(i64 size, F term) {
    double sum = 0;
    for (i64 i = threadIdx.x; i < size; i += blockDim.x) sum += term(i);
    return join_row(sum, Plus());
}

// Writes the result, and mean and variance of every channel.
template <class T>
__device__ void standardize(const Channels &c, const T *x, T *out, double *moments, double eps) {
    each_channel(c, [&](i64 channel, i64 size) {
        double mean = channel_sum(size, [&](i64 i) { return double(x[c.at(channel, i)]); });
        mean /= double(c.size());
        double variance = channel_sum(size, [&](i64 i) {
            double apart = double(x[c.at(channel, i)]) - mean;
            return apart * apart;
        });
        variance /= double(c.size());
        T middle = T(mean), scale = T(1 / sqrt(variance + eps));
        for (i64 i = threadIdx.x; i < size; i += blockDim.x)
            out[c.at(channel, i)] = (x[c.at(channel, i)] - middle) * scale;
        if (threadIdx.x == 0 && size > 0) {
            moments[2 * channel] = mean;
            moments[2 * channel + 1] = variance;
        }
    });
}

template <class T>
__device__ void standardize_back(const Channels &c, const T *y, const T *g, const double *moments,
                                 T *out, double eps) {
    each_channel(c, [&](i64 channel, i64 size) {
        double mean = channel_sum(size, [&](i64 i) { return double(g[c.at(channel, i)]); });
        double along = channel_sum(size, [&](i64 i) {
            return double(y[c.at(channel, i)]) * double(g[c.at(channel, i)]);
        });
        T middle = T(mean / double(c.size())), share = T(along / double(c.size()));
        T scale = size > 0 ? T(1 / sqrt(moments[2 * channel + 1] + eps)) : T(0);
        for (i64 i = threadIdx.x; i < size; i += blockDim.x) {
            i64 at = c.at(channel, i);
            out[at] = (g[at] - middle - y[at] * share) * scale;
        }
    });
}

#define NORMALIZE(T, suffix)                                                                     \
    extern "C" __global__ void standardize_##suffix(Channels c, const T *x, T *out,              \
                                                    double *moments, double eps) {               \
        standardize(c, x, out, moments, eps);                                                    \
    }                                                                                            \
    EXPORT(standardize_##suffix)                                                                 \
    extern "C" __global__ void standardize_back_##suffix(                                        \
        Channels c, const T *y, const T *g, const double *moments, T *out, double eps) {         \
        standardize_back(c, y, g, moments, out, eps);                                            \
    }                                                                                            \
    EXPORT(standardize_back_##suffix)
NORMALIZE(float, f32)
NORMALIZE(double, f64)
