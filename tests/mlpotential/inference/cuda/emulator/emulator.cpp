// Runs the threads of a kernel one at a time, each as a fiber, in an order that is asked for.
//
// Orders: 0 ascending, 1 descending, 2 to 99 shuffled in each round; in these, every fiber in its
// turn runs up to its next barrier. From 100 on depth first: warps are shuffled once, and the first
// of them that can run does, so that it races as far ahead as barriers let it. Some races are
// noticed by these alone.
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <memory>
#include <algorithm>
#include <numeric>
#include <vector>
#include <ucontext.h>

#include "device.h"

namespace emulated {
struct Barrier {
    int members = 0, arrived = 0, line = 0;
    long passed = 0;
};
constexpr size_t STACK = 1 << 16;
constexpr int DEPTH_FIRST = 100;

struct Fiber {
    ucontext_t start;
    jmp_buf at;
    bool started, done;
    int number;
    Barrier* waits_for;
    long until;
    std::unique_ptr<char[]> stack{new char[STACK]};
};

Index thread, block;
int rank;

static std::vector<Fiber> fibers;
static Fiber* now;
static jmp_buf scheduler;
static std::vector<std::vector<double>> memories;  // of doubles, for their alignment
static std::vector<Barrier> warps, blocks;
static Barrier cluster;
static std::vector<double> lanes;
static bool released;  // a barrier was passed, and fibers that waited can run
static void (*kernel)(void**);
static void** arguments;

unsigned char* shared_memory(int rank) {
    return reinterpret_cast<unsigned char*>((size_t(memories[rank].data()) + 15) / 16 * 16);
}

double& lane(int bits) { return lanes[now->number ^ bits]; }

[[noreturn]] static void fail(const char* why, int one, int other) {
    std::fprintf(stderr, why, one, other);
    std::abort();
}

void wait(Members members, int line) {
    Barrier& barrier = members == WARP    ? warps[now->number / 32]
                       : members == BLOCK ? blocks[rank]
                                          : cluster;
    if (barrier.arrived && barrier.line != line)
        fail("threads stop at the barriers of lines %d and %d\n", barrier.line, line);
    barrier.line = line;
    now->until = barrier.passed + 1;
    if (++barrier.arrived == barrier.members) {
        barrier.arrived = 0;
        ++barrier.passed;
        released = true;
        return;
    }
    now->waits_for = &barrier;
    if (!_setjmp(now->at)) _longjmp(scheduler, 1);
}

static void enter() {
    kernel(arguments);
    now->done = true;
    _longjmp(scheduler, 1);
}

static bool can_run(const Fiber& fiber) {
    return !fiber.done && !(fiber.waits_for && fiber.waits_for->passed < fiber.until);
}

static void run(Fiber& fiber, int n_threads, int first_block) {
    fiber.waits_for = nullptr;
    now = &fiber;
    thread.x = fiber.number % n_threads;
    rank = fiber.number / n_threads;
    block.x = first_block + rank;
    if (_setjmp(scheduler)) return;
    if (fiber.started) _longjmp(fiber.at, 1);
    fiber.started = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get();
    fiber.start.uc_stack.ss_size = STACK;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, enter, 0);
    setcontext(&fiber.start);
}

static std::vector<int> turns(int n, int order, std::mt19937& random) {
    std::vector<int> turn(n), warp(n / 32);
    std::iota(turn.begin(), turn.end(), 0);
    if (order == 1) std::reverse(turn.begin(), turn.end());
    if (order < DEPTH_FIRST) return turn;
    std::iota(warp.begin(), warp.end(), 0);
    std::shuffle(warp.begin(), warp.end(), random);
    for (int k = 0; k < n; ++k) turn[k] = warp[k / 32] * 32 + k % 32;
    return turn;
}

static void run_cluster(int n, int n_threads, int first_block, int order, std::mt19937& random) {
    std::vector<int> turn = turns(n, order, random);
    for (int left = n; left;) {
        if (order > 1 && order < DEPTH_FIRST) std::shuffle(turn.begin(), turn.end(), random);
        bool moved = false;
        for (int k : turn) {
            if (!can_run(fibers[k])) continue;
            moved = true, released = false;
            run(fibers[k], n_threads, first_block);
            left -= fibers[k].done;
            if (order >= DEPTH_FIRST && released) break;  // the first may go on
        }
        if (!moved) fail("a barrier that not all threads reach\n", 0, 0);
    }
}
}  // namespace emulated

extern "C" void emulated_launch(void (*kernel)(void**), int grid, int n_threads, int n_blocks,
                                long long n_bytes, int order, void** arguments) {
    using namespace emulated;
    const int n = n_threads * n_blocks;
    std::mt19937 random(order);
    emulated::kernel = kernel;
    emulated::arguments = arguments;
    if (int(fibers.size()) != n) {
        fibers.clear();
        fibers.resize(n);
    }
    for (int first_block = 0; first_block < grid; first_block += n_blocks) {
        memories.assign(n_blocks, std::vector<double>(n_bytes / 8 + 3, std::nan("")));
        warps.assign(n / 32, Barrier{32});
        blocks.assign(n_blocks, Barrier{n_threads});
        cluster = Barrier{n};
        lanes.assign(n, 0.0);
        for (int k = 0; k < n; ++k) {
            Fiber& fiber = fibers[k];
            fiber.started = fiber.done = false;
            fiber.waits_for = nullptr;
            fiber.number = k;
        }
        run_cluster(n, n_threads, first_block, order, random);
    }
}
