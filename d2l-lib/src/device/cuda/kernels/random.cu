// The numbers of `random`: Philox4x32-10, a function of the seed and of the block's number, so
// every thread makes its own.

struct Words {
    u32 word[4];
};

__device__ inline Words philox(u64 seed, u64 block) {
    u32 counter[4] = {u32(block), u32(block >> 32), 0, 0};
    u32 key[2] = {u32(seed), u32(seed >> 32)};
    for (int round = 0; round < 10; ++round) {
        u32 a = 0xD2511F53u * counter[0], a_high = __umulhi(0xD2511F53u, counter[0]);
        u32 b = 0xCD9E8D57u * counter[2], b_high = __umulhi(0xCD9E8D57u, counter[2]);
        counter[0] = b_high ^ counter[1] ^ key[0];
        counter[1] = b;
        counter[2] = a_high ^ counter[3] ^ key[1];
        counter[3] = a;
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
    Words words = {{counter[0], counter[1], counter[2], counter[3]}};
    return words;
}

// Multiples of 2⁻²⁴ in [0, 1).
extern "C" __global__ void uniform(u64 seed, u64 first, i64 count, float *out) {
    EACH(block, (count + 3) / 4) {
        Words words = philox(seed, first + block);
        for (int i = 0; i < 4 && 4 * block + i < count; ++i)
            out[4 * block + i] = float(words.word[i] >> 8) / float(1 << 24);
    }
}
EXPORT(uniform)

// Box and Muller's normal numbers, in `double` as on the processor, then rounded.
extern "C" __global__ void normal(u64 seed, u64 first, i64 count, double mean, double std,
                                  float *out) {
    EACH(block, (count + 3) / 4) {
        Words words = philox(seed, first + block);
        for (int pair = 0; pair < 2; ++pair) {
            const double unit = 1.0 / 4294967296.0;
            double radius = sqrt(-2.0 * log(1.0 - words.word[2 * pair] * unit));
            double angle = 6.283185307179586 * (words.word[2 * pair + 1] * unit);
            i64 at = 4 * block + 2 * pair;
            if (at < count) out[at] = float(mean + std * (radius * cos(angle)));
            if (at + 1 < count) out[at + 1] = float(mean + std * (radius * sin(angle)));
        }
    }
}
EXPORT(normal)

// Whole numbers from `low` on, `range` of them.
extern "C" __global__ void integers(u64 seed, u64 first, i64 count, i64 low, u64 range, i64 *out) {
    EACH(block, (count + 1) / 2) {
        Words words = philox(seed, first + block);
        for (int i = 0; i < 2 && 2 * block + i < count; ++i) {
            u64 bits = u64(words.word[2 * i]) << 32 | words.word[2 * i + 1];
            out[2 * block + i] = i64(u64(low) + __umul64hi(bits, range));
        }
    }
}
EXPORT(integers)
