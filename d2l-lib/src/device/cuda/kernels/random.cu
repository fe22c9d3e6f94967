// The numbers of `random`: Philox4x32-10, a function of the seed and of the block's number, so
// every thread makes its own.

struct Words {
    u32 word[4];
};

__device__ inline Words philox(u64 seed, u64 block, u32 turn) {
    u32 counter[4] = {u32(block), u32(block >> 32), turn, 0};
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

    __device__ Words words(u64 block, u32 turn = 0) const {
        return cell ? philox(cell[0], cell[1] + block, turn) : philox(seed, first + block, turn);
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

// Words without end for one number: those of its block, turn after turn.
struct Endless {
    const Source &source;
    u64 block;
    u32 turn, used;
    Words made;

    __device__ Endless(const Source &source, u64 block)
        : source(source), block(block), turn(0), used(4) {}

    // The next number in [0, 1).
    __device__ double unit() {
        if (used == 4) {
            made = source.words(block, turn++);
            used = 0;
        }
        return made.word[used++] / 4294967296.0;
    }
};

// The logarithm of `n!`, by Stirling's series from 9 on.
__device__ inline double log_factorial(double n) {
    double x = n + 1, product = 1;
    for (; x < 9; x += 1) product *= x;
    double square = x * x;
    double rest =
        1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - 1.0 / 1680 / square) / square) / square;
    return (x - 0.5) * log(x) - x + 0.9189385332046728 + rest / x - log(product);
}

// A count of arrivals before time `rate`; from 10 on by Hörmann's algorithm PTRS ("The
// transformed rejection method for generating Poisson random variables", 1993).
__device__ inline double arrivals(double rate, Endless words) {
    if (rate < 10) {
        double limit = exp(-rate), product = 1, count = -1;
        while (product > limit || count < 0) {
            product *= 1 - words.unit();
            count += 1;
        }
        return count;
    }
    double b = 0.931 + 2.53 * sqrt(rate), a = 0.02483 * b - 0.059;
    double steepness = 1.1239 + 1.1328 / (b - 3.4), sure = 0.9277 - 3.6224 / (b - 2);
    for (;;) {
        double u = words.unit() - 0.5, v = 1 - words.unit();
        double edge = 0.5 - fabs(u);
        double count = floor((2 * a / edge + b) * u + rate + 0.43);
        if (edge >= 0.07 && v <= sure) return count;
        if (count < 0 || (edge < 0.013 && v > edge)) continue;
        double limit = count * log(rate) - rate - log_factorial(count);
        if (log(v * steepness / (a / (edge * edge) + b)) <= limit) return count;
    }
}

extern "C" __global__ void poisson(Source source, i64 count, const double *rates, double *out) {
    EACH(i, count) out[i] = arrivals(rates[i], Endless(source, i));
}
EXPORT(poisson)

// Sums of weights, as on the processor: of each piece of a row up to each of its weights, not
// numbers from a weight on that is none.
extern "C" __global__ void running_sums(i64 rows, i64 length, i64 piece, const double *weights,
                                        double *sums) {
    const i64 pieces = (length + piece - 1) / piece;
    EACH(at, rows * pieces) {
        i64 from = at % pieces * piece, to = from + piece < length ? from + piece : length;
        i64 first = at / pieces * length;
        double total = 0;
        for (i64 i = first + from; i < first + to; ++i) {
            double weight = weights[i], none = weight - weight;
            // The difference is 0 for every finite number.
            total += weight >= 0 && none == 0 ? weight : double(__int_as_float(0x7fc00000));
            sums[i] = total;
        }
    }
}
EXPORT(running_sums)

// What comes before each piece, and behind the last.
extern "C" __global__ void sums_before(i64 rows, i64 length, i64 piece, const double *sums,
                                       double *before, double *totals) {
    const i64 pieces = (length + piece - 1) / piece;
    EACH(row, rows) {
        double total = 0;
        for (i64 i = 0; i < pieces; ++i) {
            before[row * pieces + i] = total;
            i64 end = (i + 1) * piece < length ? (i + 1) * piece : length;
            total += sums[row * length + end - 1];
        }
        totals[row] = total;
    }
}
EXPORT(sums_before)

// Draws `count` positions for each row, whose sums are given; a row has random words of its own.
extern "C" __global__ void multinomial(Source source, i64 rows, i64 length, i64 piece, i64 count,
                                       const double *sums, const double *before,
                                       const double *totals, i64 *out) {
    const i64 blocks = (count + 3) / 4, pieces = (length + piece - 1) / piece;
    EACH(at, rows * blocks) {
        i64 row = at / blocks, block = at % blocks;
        Words words = source.words(at);
        for (int i = 0; i < 4 && 4 * block + i < count; ++i) {
            double limit = unit(words.word[i]) * totals[row];
            i64 low = 0, high = length;
            while (low < high) {
                i64 middle = (low + high) / 2;
                if (before[row * pieces + middle / piece] + sums[row * length + middle] <= limit)
                    low = middle + 1;
                else
                    high = middle;
            }
            out[row * count + 4 * block + i] = low;
        }
    }
}
EXPORT(multinomial)
