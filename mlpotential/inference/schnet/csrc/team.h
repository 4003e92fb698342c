// Threads that work on one evaluation, started for it and ended with it: nothing lives on between
// calls, so a process may fork.

#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace mlpotential {

// Where all threads of a team wait for each other: a short spin, then sleep.
class Barrier {
public:
    explicit Barrier(int n_threads) : n_threads_(n_threads) {}

    void wait() {
        if (n_threads_ == 1) return;
        const int round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == n_threads_) {
            arrived_.store(0, std::memory_order_relaxed);
            {
                std::lock_guard<std::mutex> lock(mutex_);
                round_.store(round + 1, std::memory_order_release);
            }
            opened_.notify_all();
            return;
        }
        for (int spin = 0; spin < SPINS; ++spin)
            if (round_.load(std::memory_order_acquire) != round) return;
        std::unique_lock<std::mutex> lock(mutex_);
        opened_.wait(lock, [&] { return round_.load(std::memory_order_acquire) != round; });
    }

private:
    static constexpr int SPINS = 2000;  // chosen: a few microseconds, less than waking up costs
    const int n_threads_;
    std::atomic<int> arrived_{0}, round_{0};
    std::mutex mutex_;
    std::condition_variable opened_;
};

// Runs work(0) ... work(n_threads - 1) side by side, all or, where the system gives no threads,
// none (std::system_error). The work must not throw: the others would wait for it for ever.
template <class Work> void run_side_by_side(int n_threads, const Work& work) {
    enum { WAIT, GO, GIVE_UP };
    std::atomic<int> order{WAIT};
    std::vector<std::thread> others;
    others.reserve(n_threads);
    const auto obey = [&](int index) noexcept {
        while (order.load(std::memory_order_acquire) == WAIT) std::this_thread::yield();
        if (order.load(std::memory_order_acquire) == GO) work(index);
    };
    try {
        for (int index = 1; index < n_threads; ++index) others.emplace_back(obey, index);
    } catch (...) {
        order.store(GIVE_UP, std::memory_order_release);
        for (auto& other : others) other.join();
        throw;
    }
    order.store(GO, std::memory_order_release);
    work(0);
    for (auto& other : others) other.join();
}

}  // namespace mlpotential
