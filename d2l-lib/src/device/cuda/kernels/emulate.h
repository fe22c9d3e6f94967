// CUDA's execution model on the processor: every thread of a block is a fiber, blocks run one
// after the other. Slow, and exact in what it promises: barriers and shuffles wait for the same
// threads as on a GPU, and a barrier that some thread never reaches is reported, not waited for.

#pragma once
#include <cmath>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <ucontext.h>
#include <utility>
#include <vector>

#define EMULATED 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__
#define __restrict__
#define __launch_bounds__(...)
#define __grid_constant__
#define WARP 32

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
struct alignas(16) longlong2 {
    long long x, y;
};
struct alignas(8) ushort4 {
    unsigned short x, y, z, w;
};
struct alignas(4) uchar4 {
    unsigned char x, y, z, w;
};

namespace emulation {

constexpr size_t STACK = 64 * 1024;

// One thread. A fiber lives on from kernel to kernel, for a context is made by asking the system,
// and jumped to without.
struct Fiber {
    ucontext_t context;
    jmp_buf at;
    std::unique_ptr<char[]> stack{new char[STACK]};
    dim3 thread;
    bool started = false;
    bool done = false;
};

// How many of a group of threads have come to their barrier, and how often all of them had.
struct Barrier {
    unsigned arrived = 0, round = 0;
};

struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    jmp_buf scheduler;
    size_t current = 0;
    size_t alive = 0;
    // Counts every barrier that opened and every thread that ended: what did not move is stuck.
    size_t progress = 0;
    Barrier all;
    std::vector<Barrier> warps;
    std::vector<unsigned long long> exchanged;
    std::vector<char> shared;
    const std::function<void()> *body = nullptr;
};

extern dim3 grid_size, block_size, block_index;
extern Block *block;

inline Fiber &current() { return *block->fibers[block->current]; }

inline unsigned number() {
    auto &at = current().thread;
    return (at.z * block_size.y + at.y) * block_size.x + at.x;
}

inline void yield() {
    if (_setjmp(current().at) == 0) _longjmp(block->scheduler, 1);
}

inline void wait(Barrier &barrier, unsigned members) {
    unsigned round = barrier.round;
    if (++barrier.arrived == members) {
        barrier.arrived = 0;
        ++barrier.round;
        ++block->progress;
        return;
    }
    while (barrier.round == round) yield();
}

inline unsigned threads() { return block_size.x * block_size.y * block_size.z; }

inline unsigned warp_members() {
    unsigned first = number() / WARP * WARP;
    return threads() - first < WARP ? threads() - first : WARP;
}

inline void wait_warp() { wait(block->warps[number() / WARP], warp_members()); }

template <class T> T exchange(T value, unsigned lane_from) {
    static_assert(sizeof(T) <= 8, "what a shuffle carries");
    unsigned own = number(), first = own / WARP * WARP;
    std::memcpy(&block->exchanged[own], &value, sizeof(T));
    wait_warp();
    unsigned from = first + lane_from;
    T result = value;
    if (lane_from < warp_members()) std::memcpy(&result, &block->exchanged[from], sizeof(T));
    wait_warp();
    return result;
}

// Runs all blocks; false if threads waited for others that never came.
bool run(const dim3 &grid, const dim3 &threads, size_t shared, const std::function<void()> &body);

template <class... A, size_t... I>
void call(void (*kernel)(A...), void **args, std::index_sequence<I...>) {
    kernel(*static_cast<std::decay_t<A> *>(args[I])...);
}

template <class... A>
bool launch(void (*kernel)(A...), const unsigned *sizes, size_t shared, void **args) {
    dim3 grid{sizes[0], sizes[1], sizes[2]}, threads{sizes[3], sizes[4], sizes[5]};
    return run(grid, threads, shared,
               [&] { call(kernel, args, std::index_sequence_for<A...>()); });
}

} // namespace emulation

#define threadIdx (emulation::current().thread)
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

// One block runs at a time, so what its threads share may be static.
#define __shared__ static
#define DYNAMIC_SHARED(T, name) T *name = reinterpret_cast<T *>(emulation::block->shared.data())

inline void __syncthreads() { emulation::wait(emulation::block->all, emulation::threads()); }
inline void __syncwarp(unsigned = 0xffffffffu) { emulation::wait_warp(); }

template <class T> T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulation::exchange(value, (emulation::number() % WARP) ^ unsigned(mask));
}
template <class T> T __shfl_sync(unsigned, T value, int lane) {
    return emulation::exchange(value, unsigned(lane));
}
inline unsigned __ballot_sync(unsigned, bool vote) {
    unsigned votes = 0;
    for (unsigned lane = 0; lane < emulation::warp_members(); ++lane)
        votes |= unsigned(emulation::exchange(vote, lane)) << lane;
    return votes;
}

template <class T> void __stcg(T *to, T value) { *to = value; }

inline float __int_as_float(int bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline int __float_as_int(float value) {
    int bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return unsigned((static_cast<unsigned long long>(a) * b) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>((static_cast<unsigned __int128>(a) * b) >> 64);
}
inline int __ffs(int x) { return __builtin_ffs(x); }
using std::isnan;
// Of `float` one in `float`, as on a GPU.
using std::sqrt;

#define EXPORT(name)                                                                             \
    extern "C" __attribute__((visibility("default"))) bool launch_##name(                        \
        const unsigned *sizes, size_t shared, void **args) {                                     \
        return emulation::launch(&name, sizes, shared, args);                                    \
    }

namespace emulation {

dim3 grid_size, block_size, block_index;
Block *block = nullptr;

inline void enter() {
    for (;;) {
        (*block->body)();
        current().done = true;
        --block->alive;
        ++block->progress;
        yield();
    }
}

// Lets the current thread go on until it waits or ends.
__attribute__((noinline)) inline void resume() {
    if (_setjmp(block->scheduler) != 0) return;
    Fiber &fiber = current();
    if (fiber.started) _longjmp(fiber.at, 1);
    fiber.started = true;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = STACK;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, &enter, 0);
    setcontext(&fiber.context);
}

inline bool run_block(size_t count) {
    block->alive = count;
    block->all = {};
    for (auto &warp : block->warps) warp = {};
    for (size_t i = 0; i < count; ++i) {
        Fiber &fiber = *block->fibers[i];
        fiber.done = false;
        fiber.thread.x = unsigned(i % block_size.x);
        fiber.thread.y = unsigned(i / block_size.x % block_size.y);
        fiber.thread.z = unsigned(i / block_size.x / block_size.y);
    }
    while (block->alive > 0) {
        size_t before = block->progress;
        for (block->current = 0; block->current < count; ++block->current)
            if (!current().done) resume();
        if (block->progress == before) {
            // These never come back.
            block->fibers.clear();
            return false;
        }
    }
    return true;
}

inline bool run(const dim3 &grid, const dim3 &threads, size_t shared,
         const std::function<void()> &body) {
    static Block only;
    grid_size = grid;
    block_size = threads;
    block = &only;
    only.body = &body;
    size_t count = size_t(threads.x) * threads.y * threads.z;
    while (only.fibers.size() < count) only.fibers.emplace_back(new Fiber);
    only.warps.resize((count + WARP - 1) / WARP);
    only.exchanged.resize(count);
    only.shared.resize(shared);
    for (block_index.z = 0; block_index.z < grid.z; ++block_index.z)
        for (block_index.y = 0; block_index.y < grid.y; ++block_index.y)
            for (block_index.x = 0; block_index.x < grid.x; ++block_index.x)
                if (!run_block(count)) return false;
    return true;
}

} // namespace emulation
