// The C interface: which structures are evaluated together, and by how many threads.

#include "schnet.h"

#include "../../../nn/csrc/processor.h"
#include "evaluation.h"

namespace mlpotential {
namespace {

constexpr int64_t ATOMS_AT_ONCE = 256;  // chosen: their features fit the second cache, F = 128

class Kernel {
public:
    virtual ~Kernel() = default;
    virtual void evaluate(const SchNetGraph& graph, int n_threads, SchNetResult& answer) = 0;
};

template <class T> class KernelOf : public Kernel {
public:
    explicit KernelOf(const SchNetModel& model) : network_(model) {}

    void evaluate(const SchNetGraph& graph, int n_threads, SchNetResult& answer) override {
        const std::lock_guard<std::mutex> lock(mutex_);
        answer.closest = std::numeric_limits<double>::infinity();
        answer.distance_deficit = -answer.closest;
        answer.feature_deviation = answer.nearest_ratio = 0.0;
        answer.coordination_deficit = 0;
        if (graph.n_graphs >= n_threads)
            evaluate_groups(graph, n_threads, answer);
        else
            evaluate_together(graph, n_threads, answer);
    }

private:
    // Whole structures to each thread: nothing is shared, nobody waits.
    void evaluate_groups(const SchNetGraph& graph, int n_threads, SchNetResult& answer) {
        const std::vector<Range> groups = groups_of(graph, n_threads);
        spaces_.resize(std::max<size_t>(spaces_.size(), n_threads));
        std::vector<SchNetResult> answers(n_threads, answer);
        std::atomic<bool> failed{false};
        std::atomic<size_t> next{0};
        run_side_by_side(n_threads, [&](int thread) {
            try {
                for (size_t g = next++; g < groups.size(); g = next++) {
                    Evaluation<T> part(network_, graph, groups[g], 1, answers[thread],
                                       spaces_[thread]);
                    part.run(0);
                    part.report_extremes(answers[thread]);
                }
            } catch (const std::bad_alloc&) {
                failed = true;
            }
        });
        if (failed) throw std::bad_alloc();
        for (const auto& part : answers) {
            answer.distance_deficit = std::max(answer.distance_deficit, part.distance_deficit);
            answer.feature_deviation = std::max(answer.feature_deviation, part.feature_deviation);
            answer.nearest_ratio = std::max(answer.nearest_ratio, part.nearest_ratio);
            answer.coordination_deficit =
                std::max(answer.coordination_deficit, part.coordination_deficit);
            if (part.closest < answer.closest) {
                answer.closest = part.closest;
                std::copy_n(part.closest_pair, 2, answer.closest_pair);
            }
        }
    }

    // One team for all structures: fewer of them than threads, so large ones.
    void evaluate_together(const SchNetGraph& graph, int n_threads, SchNetResult& answer) {
        spaces_.resize(std::max<size_t>(spaces_.size(), 1));
        Evaluation<T> whole(network_, graph, {0, graph.n_graphs}, n_threads, answer, spaces_[0]);
        run_side_by_side(n_threads, [&](int thread) { whole.run(thread); });
        whole.report_extremes(answer);
    }

    // Consecutive structures, as many as are worth a pass over the weights and fit the cache.
    static std::vector<Range> groups_of(const SchNetGraph& graph, int n_threads) {
        const int64_t fair = (graph.n_graphs + n_threads - 1) / n_threads;
        std::vector<Range> groups;
        for (int64_t begin = 0; begin < graph.n_graphs;) {
            int64_t end = begin + 1;
            while (end < graph.n_graphs && end - begin < fair &&
                   graph.graph_start[end + 1] - graph.graph_start[begin] <= ATOMS_AT_ONCE)
                ++end;
            groups.push_back({begin, end});
            begin = end;
        }
        return groups;
    }

    const Network<T> network_;
    std::vector<Workspace<T>> spaces_;
    std::mutex mutex_;
};

}  // namespace
}  // namespace mlpotential

using namespace mlpotential;

int64_t schnet_interface() { return SCHNET_INTERFACE; }

int64_t schnet_processor() { return mlpotential::processor_level(); }

void* schnet_create(const SchNetModel* model, int64_t bytes_per_number) {
    try {
        if (bytes_per_number == 8) return static_cast<Kernel*>(new KernelOf<double>(*model));
        return static_cast<Kernel*>(new KernelOf<float>(*model));
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void schnet_destroy(void* network) { delete static_cast<Kernel*>(network); }

int64_t schnet_evaluate(void* network, const SchNetGraph* graph, int64_t n_threads,
                        SchNetResult* answer) {
    try {
        static_cast<Kernel*>(network)->evaluate(*graph, int(n_threads), *answer);
        return SCHNET_DONE;
    } catch (const std::bad_alloc&) {
        return SCHNET_NO_MEMORY;
    } catch (const std::system_error&) {
        return SCHNET_NO_THREADS;
    }
}
