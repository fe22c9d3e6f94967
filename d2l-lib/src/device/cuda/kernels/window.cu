// A window that slides over the last two axes of `(n, c, h, w)`: columns for convolution by
// products of matrices, and pooling.

struct Window {
    i64 images, channels, h, w;
    i64 oh, ow;
    i64 kh, kw, stride_h, stride_w, padding_h, padding_w;
};

// Columns `(c·kh·kw, n·oh·ow)` of images.
template <class T> __device__ void unfold(const Window &s, const T *image, T *columns) {
    i64 places = s.images * s.oh * s.ow;
    EACH(at, s.channels * s.kh * s.kw * places) {
        i64 row = at / places, place = at % places;
        i64 kx = row % s.kw, ky = row / s.kw % s.kh, c = row / s.kw / s.kh;
        i64 ox = place % s.ow, oy = place / s.ow % s.oh, n = place / s.ow / s.oh;
        i64 x = ox * s.stride_w + kx - s.padding_w, y = oy * s.stride_h + ky - s.padding_h;
        bool inside = x >= 0 && x < s.w && y >= 0 && y < s.h;
        columns[at] = inside ? image[((n * s.channels + c) * s.h + y) * s.w + x] : T(0);
    }
}

// The places along an axis whose window covers position `at`.
__device__ inline void covering(i64 at, i64 kernel, i64 stride, i64 padding, i64 places, i64 &from,
                                i64 &to) {
    i64 shifted = at + padding;
    from = shifted < kernel ? 0 : (shifted - kernel) / stride + 1;
    to = shifted / stride + 1;
    if (to > places) to = places;
}

// Adds columns back to where they were taken: each element of the image gathers its own, so
// nothing depends on the order of threads.
template <class T> __device__ void fold(const Window &s, const T *columns, T *image) {
    i64 places = s.images * s.oh * s.ow;
    EACH(at, s.images * s.channels * s.h * s.w) {
        i64 x = at % s.w, y = at / s.w % s.h, c = at / s.w / s.h % s.channels;
        i64 n = at / s.w / s.h / s.channels, top, bottom, left, right;
        covering(y, s.kh, s.stride_h, s.padding_h, s.oh, top, bottom);
        covering(x, s.kw, s.stride_w, s.padding_w, s.ow, left, right);
        T sum = 0;
        for (i64 oy = top; oy < bottom; ++oy)
            for (i64 ox = left; ox < right; ++ox) {
                i64 ky = y + s.padding_h - oy * s.stride_h, kx = x + s.padding_w - ox * s.stride_w;
                sum += columns[((c * s.kh + ky) * s.kw + kx) * places + (n * s.oh + oy) * s.ow + ox];
            }
        image[at] = sum;
    }
}

// The part of the image under a window.
struct Seen {
    i64 top, bottom, left, right;
};

__device__ inline Seen seen(const Window &s, i64 oy, i64 ox) {
    i64 top = oy * s.stride_h - s.padding_h, left = ox * s.stride_w - s.padding_w;
    i64 bottom = top + s.kh, right = left + s.kw;
    Seen part = {top < 0 ? 0 : top, bottom > s.h ? s.h : bottom, left < 0 ? 0 : left,
                 right > s.w ? s.w : right};
    return part;
}

// The greatest elements under the window, and where in their channel they are.
template <class T> __device__ void max_pool(const Window &s, const T *x, T *out, u32 *chosen) {
    EACH(at, s.images * s.channels * s.oh * s.ow) {
        i64 plane = at / s.ow / s.oh;
        Seen part = seen(s, at / s.ow % s.oh, at % s.ow);
        const T *from = x + plane * s.h * s.w;
        i64 best = part.top * s.w + part.left;
        for (i64 y = part.top; y < part.bottom; ++y)
            for (i64 i = y * s.w + part.left; i < y * s.w + part.right; ++i)
                if (from[i] > from[best] || (is_nan(from[i]) && !is_nan(from[best]))) best = i;
        out[at] = from[best];
        chosen[at] = u32(best);
    }
}

template <class T>
__device__ void max_pool_back(const Window &s, const T *g, const u32 *chosen, T *out) {
    EACH(at, s.images * s.channels * s.h * s.w) {
        i64 x = at % s.w, y = at / s.w % s.h, plane = at / s.w / s.h, top, bottom, left, right;
        covering(y, s.kh, s.stride_h, s.padding_h, s.oh, top, bottom);
        covering(x, s.kw, s.stride_w, s.padding_w, s.ow, left, right);
        T sum = 0;
        for (i64 oy = top; oy < bottom; ++oy)
            for (i64 ox = left; ox < right; ++ox) {
                i64 place = (plane * s.oh + oy) * s.ow + ox;
                if (chosen[place] == u32(y * s.w + x)) sum += g[place];
            }
        out[at] = sum;
    }
}

// The means under the window; zeros around the image count.
template <class T> __device__ void mean_pool(const Window &s, const T *x, T *out) {
    EACH(at, s.images * s.channels * s.oh * s.ow) {
        Seen part = seen(s, at / s.ow % s.oh, at % s.ow);
        const T *from = x + at / s.ow / s.oh * s.h * s.w;
        T sum = 0;
        for (i64 y = part.top; y < part.bottom; ++y)
            for (i64 i = y * s.w + part.left; i < y * s.w + part.right; ++i) sum += from[i];
        out[at] = sum * T(1.0 / double(s.kh * s.kw));
    }
}

template <class T> __device__ void mean_pool_back(const Window &s, const T *g, T *out) {
    EACH(at, s.images * s.channels * s.h * s.w) {
        i64 x = at % s.w, y = at / s.w % s.h, plane = at / s.w / s.h, top, bottom, left, right;
        covering(y, s.kh, s.stride_h, s.padding_h, s.oh, top, bottom);
        covering(x, s.kw, s.stride_w, s.padding_w, s.ow, left, right);
        T sum = 0;
        for (i64 oy = top; oy < bottom; ++oy)
            for (i64 ox = left; ox < right; ++ox) sum += g[(plane * s.oh + oy) * s.ow + ox];
        out[at] = sum * T(1.0 / double(s.kh * s.kw));
    }
}

#define WINDOW(T, suffix)                                                                        \
    extern "C" __global__ void unfold_##suffix(Window s, const T *image, T *columns) {           \
        unfold(s, image, columns);                                                               \
    }                                                                                            \
    EXPORT(unfold_##suffix)                                                                      \
    extern "C" __global__ void fold_##suffix(Window s, const T *columns, T *image) {             \
        fold(s, columns, image);                                                                 \
    }                                                                                            \
    EXPORT(fold_##suffix)                                                                        \
    extern "C" __global__ void max_pool_##suffix(Window s, const T *x, T *out, u32 *chosen) {    \
        max_pool(s, x, out, chosen);                                                             \
    }                                                                                            \
    EXPORT(max_pool_##suffix)                                                                    \
    extern "C" __global__ void max_pool_back_##suffix(Window s, const T *g, const u32 *chosen,   \
                                                      T *out) {                                  \
        max_pool_back(s, g, chosen, out);                                                        \
    }                                                                                            \
    EXPORT(max_pool_back_##suffix)                                                               \
    extern "C" __global__ void mean_pool_##suffix(Window s, const T *x, T *out) {                \
        mean_pool(s, x, out);                                                                    \
    }                                                                                            \
    EXPORT(mean_pool_##suffix)                                                                   \
    extern "C" __global__ void mean_pool_back_##suffix(Window s, const T *g, T *out) {           \
        mean_pool_back(s, g, out);                                                               \
    }                                                                                            \
    EXPORT(mean_pool_back_##suffix)
WINDOW(float, f32)
WINDOW(double, f64)
