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

// Where random words come from: blocks from `first` on, or what the cell says, if there is one.
struct Source {
    u64 seed, first;
    const u64 *cell;

    __device__ Words words(u64 block) const {
        return cell ? philox(cell[0], cell[1] + block) : philox(seed, first + block);
    }
};

// A multiple of 2⁻²⁴ in [0, 1).
__device__ inline float unit(u32 word) { return float(word >> 8) / float(1 << 24); }

extern "C" __global__ void uniform(Source source, i64 count, float *out) {
    EACH(block, (count + 3) / 4) {
        Words words = source.words(block);
        for (int i = 0; i < 4 && 4 * block + i < count; ++i)
            out[4 * block + i] = unit(words.word[i]);
    }
}
EXPORT(uniform)

// Box and Muller's normal numbers, in `double` as on the processor, then rounded.
extern "C" __global__ void normal(Source source, i64 count, double mean, double std,
                                  float *out) {
    EACH(block, (count + 3) / 4) {
        Words words = source.words(block);
        for (int pair = 0; pair < 2; ++pair) {
            const double scale = 1.0 / 4294967296.0;
            double radius = sqrt(-2.0 * log(1.0 - words.word[2 * pair] * scale));
            double angle = 6.283185307179586 * (words.word[2 * pair + 1] * scale);
            i64 at = 4 * block + 2 * pair;
            if (at < count) out[at] = float(mean + std * (radius * cos(angle)));
            if (at + 1 < count) out[at + 1] = float(mean + std * (radius * sin(angle)));
        }
    }
}
EXPORT(normal)

// Whole numbers from `low` on, `range` of them.
extern "C" __global__ void integers(Source source, i64 count, i64 low, u64 range, i64 *out) {
    EACH(block, (count + 1) / 2) {
        Words words = source.words(block);
        for (int i = 0; i < 2 && 2 * block + i < count; ++i) {
            u64 bits = u64(words.word[2 * i]) << 32 | words.word[2 * i + 1];
            out[2 * block + i] = i64(u64(low) + __umul64hi(bits, range));
        }
    }
}
EXPORT(integers)

// Numbers of the exponential distribution, in `double` as on the processor, then rounded.
extern "C" __global__ void exponential(Source source, i64 count, double rate, float *out) {
    EACH(block, (count + 3) / 4) {
        Words words = source.words(block);
        for (int i = 0; i < 4 && 4 * block + i < count; ++i)
            out[4 * block + i] = float(-log(1.0 - unit(words.word[i])) / rate);
    }
}
EXPORT(exponential)

// For each row the sums of its weights up to each, added in the processor's order; not numbers if a
// weight is none.
extern "C" __global__ void running_sums(i64 rows, i64 length, const double *weights, double *sums) {
    EACH(row, rows) {
        double total = 0;
        for (i64 i = row * length; i < (row + 1) * length; ++i) {
            double weight = weights[i], none = weight - weight;
            // The difference is 0 for every finite number.
            total += weight >= 0 && none == 0 ? weight : double(__int_as_float(0x7fc00000));
            sums[i] = total;
        }
    }
}
EXPORT(running_sums)

// Draws `count` positions for each row, whose sums are given; a row has random words of its own.
extern "C" __global__ void multinomial(Source source, i64 rows, i64 length, i64 count,
                                       const double *sums, i64 *out) {
    const i64 blocks = (count + 3) / 4;
    EACH(at, rows * blocks) {
        i64 row = at / blocks, block = at % blocks;
        const double *own = sums + row * length;
        Words words = source.words(at);
        for (int i = 0; i < 4 && 4 * block + i < count; ++i) {
            double limit = unit(words.word[i]) * own[length - 1];
            i64 low = 0, high = length;
            while (low < high) {
                i64 middle = (low + high) / 2;
                if (own[middle] <= limit)
                    low = middle + 1;
                else
                    high = middle;
            }
            out[row * count + 4 * block + i] = low;
        }
    }
}
EXPORT(multinomial)
