// Chains of functions of every element, in `float`: one kernel for all, which follows a list of
// steps as a calculator does that keeps its numbers in a stack. So what lies between two steps is
// never in memory, and nothing is compiled for a chain.

#define MAX_LEAVES 8
#define MAX_STEPS 24

// What a chain begins with: elements in memory, or, where there are none, one number for all.
struct Leaf {
    const void *values;
    float value;
    u32 type;
    // Whether the elements lie side by side.
    u32 dense;
    u32 end;
};

// A function of what is on top of the stack, with two numbers that it may need; or, if its code is
// below `MAX_LEAVES`, the leaf that comes on top.
struct Step {
    u32 code;
    float p, q;
};

struct Chain {
    // The last layout is the result's.
    Walk<MAX_LEAVES + 1> walk;
    Leaf leaf[MAX_LEAVES];
    Leaf result;
    u32 count;
    Step step[MAX_STEPS];
    u32 end;
};

// Where element `i` of layout `n` is.
__device__ i64 place(const Chain &chain, int n, i64 i) {
    const auto &walk = chain.walk;
    i64 at = walk.start[n];
    if (walk.count < (i64(1) << 31)) {
        u32 rest = u32(i);
#pragma unroll 1
        for (int axis = int(walk.ndim) - 1; axis > 0; --axis) {
            u32 own = u32(walk.length[axis]);
            at += i64(rest % own) * walk.step[n][axis];
            rest /= own;
        }
        return at + i64(rest) * walk.step[n][0];
    }
#pragma unroll 1
    for (int axis = int(walk.ndim) - 1; axis > 0; --axis) {
        at += i % walk.length[axis] * walk.step[n][axis];
        i /= walk.length[axis];
    }
    return at + i * walk.step[n][0];
}

// Elements `first ..` of a leaf.
template <class T>
__device__ void load(const Chain &chain, int n, i64 first, int count, float (&out)[LANES]) {
    const auto *values = static_cast<const typename Stored<T>::Bits *>(chain.leaf[n].values);
    if (chain.leaf[n].dense && count == LANES)
        return Stored<T>::read_all(values + chain.walk.start[n] + first, out);
    EVERY_LANE out[j] = j < count ? Stored<T>::number(values[place(chain, n, first + j)]) : 0;
}

template <class T>
__device__ void store(const Chain &chain, i64 first, int count, const float (&x)[LANES]) {
    auto *values =
        static_cast<typename Stored<T>::Bits *>(const_cast<void *>(chain.result.values));
    if (chain.result.dense && count == LANES)
        return Stored<T>::write_all(values + chain.walk.start[MAX_LEAVES] + first, x);
    EVERY_LANE if (j < count)
        values[place(chain, MAX_LEAVES, first + j)] = Stored<T>::bits(x[j]);
}

// One, two, or three numbers are replaced by one: `top` is the last, and those below move up.
#define MAP_FLOATS(name, expression)                                                             \
    case code(#name): {                                                                          \
        EVERY_LANE { float x = top[j]; top[j] = expression; }                                    \
        break;                                                                                   \
    }
#define ZIP_FLOATS(name, a, b, expression)                                                       \
    case code(#name): {                                                                          \
        EVERY_LANE {                                                                             \
            float a = second[j], b = top[j];                                                     \
            top[j] = expression;                                                                 \
            second[j] = third[j];                                                                \
            third[j] = fourth[j];                                                                \
        }                                                                                        \
        break;                                                                                   \
    }
#define MAP_NUMBERS(name, expression) MAP_FLOATS(name, expression)
#define ZIP_NUMBERS(name, a, b, expression) ZIP_FLOATS(name, a, b, expression)
#define COMPARE(name, operation) ZIP_FLOATS(name, a, b, float(a operation b))

// Follows the steps for elements `first ..`, of which the result is stored.
__device__ void follow(const Chain &chain, i64 first, int count) {
    float top[LANES], second[LANES], third[LANES], fourth[LANES];
    EVERY_LANE top[j] = second[j] = third[j] = fourth[j] = 0;
#pragma unroll 1
    for (u32 i = 0; i < chain.count; ++i) {
        u32 own = chain.step[i].code;
        float p = chain.step[i].p, q = chain.step[i].q;
        if (own < MAX_LEAVES) {
            EVERY_LANE {
                fourth[j] = third[j];
                third[j] = second[j];
                second[j] = top[j];
            }
            const Leaf &leaf = chain.leaf[own];
            if (!leaf.values) {
                EVERY_LANE top[j] = leaf.value;
            } else if (leaf.type == FLOAT) {
                load<float>(chain, own, first, count, top);
            } else if (leaf.type == BRAIN) {
                load<BF16>(chain, own, first, count, top);
            } else if (leaf.type == HALF) {
                load<F16>(chain, own, first, count, top);
            } else {
                load<bool>(chain, own, first, count, top);
            }
            continue;
        }
        switch (own) {
        case code("where"): {
            EVERY_LANE {
                top[j] = third[j] != 0 ? second[j] : top[j];
                second[j] = fourth[j];
            }
            break;
        }
        // What is stored in halves between two steps is rounded.
        case code("bf16"): {
            EVERY_LANE top[j] = widened(rounded_bf16(top[j]));
            break;
        }
        case code("f16"): {
            EVERY_LANE top[j] = widened(rounded_f16(top[j]));
            break;
        }
