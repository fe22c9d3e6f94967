// Scaled dot-product attention, of heads side by side as in `ops::attention`. A block takes one
// query of one head: its scores stay in shared memory from the products to the sums of values.

struct Attention {
    i64 batch, heads, queries, keys, width, value_width;
    // Where the mask of a query and a key is.
    i64 mask_start, mask_step[4];
    double scale;
};

// Calls `body(b, head, query)` for all queries.
template <class F> __device__ void each_query(const Attention &s, F body) {
    i64 all = s.batch * s.heads * s.queries;
    for (i64 i = blockIdx.x; i < all; i += gridDim.x)
        body(i / s.queries / s.heads, i / s.queries % s.heads, i % s.queries);
}

template <class T>
__device__ void attention(const Attention &s, const T *q, const T *k, const T *v, const bool *mask,
                          T *weights, T *out) {
    DYNAMIC_SHARED(T, scores);
    i64 wide = s.heads * s.width, value_wide = s.heads * s.value_width;
    each_query(s, [&](i64 b, i64 head, i64 i) {
        const T *query = q + (b * s.queries + i) * wide + head * s.width;
        i64 masked = s.mask_start + b * s.mask_step[0] + head * s.mask_step[1] + i * s.mask_step[2];
        T top = Limits<T>::lowest();
        for (i64 j = threadIdx.x; j < s.keys; j += blockDim.x) {
            const T *key = k + (b * s.keys + j) * wide + head * s.width;
            T score = 0;
            for (i64 l = 0; l < s.width; ++l) score += query[l] * key[l];
            if (mask && !mask[masked + j * s.mask_step[3]]) score = Limits<T>::lowest();
            scores[j] = score;
            top = score > top ? score : top;
        }
        top = join_row(top, Greater());
        // A query that sees no key gets zeros.
        bool blind = top == Limits<T>::lowest();
        T sum = 0;
        for (i64 j = threadIdx.x; j < s.keys; j += blockDim.x) {
            scores[j] = blind ? T(0) : exp((scores[j] - top) * T(s.scale));
            sum += scores[j];
        }
        sum = join_row(sum, Plus());
        for (i64 j = threadIdx.x; j < s.keys; j += blockDim.x) {
            scores[j] = blind ? T(0) : scores[j] / sum;
            weights[((b * s.heads + head) * s.queries + i) * s.keys + j] = scores[j];
        }
        __syncthreads();
        for (i64 l = threadIdx.x; l < s.value_width; l += blockDim.x) {
            const T *value = v + b * s.keys * value_wide + head * s.value_width + l;
            T total = 0;
            for (i64 j = 0; j < s.keys; ++j) total += scores[j] * value[j * value_wide];
            out[(b * s.queries + i) * value_wide + head * s.value_width + l] = total;
        }
        __syncthreads();
    });
}

// From the gradient of the results to that of the products of queries and keys, `slopes`, laid
// out as the weights; those of queries, keys and values are products of matrices from there.
template <class T>
__device__ void attention_back(const Attention &s, const T *v, const T *weights, const T *g,
                               T *slopes) {
    i64 value_wide = s.heads * s.value_width;
    each_query(s, [&](i64 b, i64 head, i64 i) {
        i64 at = ((b * s.heads + head) * s.queries + i) * s.keys;
        const T *own = g + (b * s.queries + i) * value_wide + head * s.value_width;
        T sum = 0;
        for (i64 j = threadIdx.x; j < s.keys; j += blockDim.x) {
            const T *value = v + (b * s.keys + j) * value_wide + head * s.value_width;
            T product = 0;
            for (i64 l = 0; l < s.value_width; ++l) product += own[l] * value[l];
            slopes[at + j] = product;
            sum += product * weights[at + j];
        }
        sum = join_row(sum, Plus());
        for (i64 j = threadIdx.x; j < s.keys; j += blockDim.x)
            slopes[at + j] = weights[at + j] * (slopes[at + j] - sum) * T(s.scale);
    });
}

#define ATTENTION(T, suffix)                                                                     \
    extern "C" __global__ void attention_##suffix(Attention s, const T *q, const T *k,           \
                                                  const T *v, const bool *mask, T *weights,      \
                                                  T *out) {                                      \
        attention(s, q, k, v, mask, weights, out);                                               \
    }                                                                                            \
    EXPORT(attention_##suffix)                                                                   \
    extern "C" __global__ void attention_back_##suffix(Attention s, const T *v,                  \
                                                       const T *weights, const T *g,             \
                                                       T *slopes) {                              \
        attention_back(s, v, weights, g, slopes);                                                \
    }                                                                                            \
    EXPORT(attention_back_##suffix)
ATTENTION(float, f32)
ATTENTION(double, f64)
