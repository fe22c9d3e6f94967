        default: {
            EVERY_LANE top[j] = __int_as_float(0x7fc00000);
            (void)q;
        }
        }
    }
    switch (chain.result.type) {
    case FLOAT: store<float>(chain, first, count, top); break;
    case BRAIN: store<BF16>(chain, first, count, top); break;
    case HALF: store<F16>(chain, first, count, top); break;
    default: store<bool>(chain, first, count, top);
    }
}

extern "C" __global__ void __launch_bounds__(256) chain(const __grid_constant__ Chain chain) {
    i64 count = chain.walk.count;
    EACH(i, (count + LANES - 1) / LANES) {
        i64 first = i * LANES;
        follow(chain, first, count - first < LANES ? int(count - first) : LANES);
    }
}
EXPORT(chain)
