// The SchNet kernel by several threads, for a build with a thread sanitizer; ends with 0 where the
// forces of all of them agree. With the argument `race`, two networks write into one answer at the
// same time, which the sanitizer must notice.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

#include "schnet.h"

namespace {

std::mt19937 generator(1);

std::vector<double> random_numbers(size_t n, double largest) {
    std::uniform_real_distribution<double> uniform(-largest, largest);
    std::vector<double> numbers(n);
    for (double& x : numbers) x = uniform(generator);
    return numbers;
}

// A network of random weights, packed.
void* network(bool averages, int64_t bytes_per_number) {
    const int64_t layers = 3, features = 20, hidden = 7, elements = 4, intervals = 50;
    const auto weights = random_numbers(layers * features * features, 0.3);
    const auto table = random_numbers(intervals * 6 * layers * features, 0.1);
    const std::vector<double> bonds(elements * elements, 2.5);
    const std::vector<double> neighborhoods{0.5, 1.0, 0.0, 1.5, 9.0, 1.0,
                                            0.8, 2.0, 0.0, 1.0, 3.0, 1.0};
    const SchNetModel model{
        layers, features, hidden, elements, intervals, 0.1, 5.0, 5.0, averages, 1.0, 0.0,
        SCHNET_SSP, table.data(), weights.data(), weights.data(), weights.data(),
        weights.data(), weights.data(), weights.data(), weights.data(), weights.data(),
        weights.data(), weights.data(), weights.data(), 0.1,  // charges from here on
        weights.data(), weights.data(), weights.data(),
        weights.data(), weights.data(), weights.data(), bonds.data(), neighborhoods.data()};
    return schnet_create(&model, bytes_per_number);
}

// Random atoms, with pairs listed somewhat beyond the cutoff.
struct Structures {
    Structures(int64_t n_graphs, int64_t n_atoms) : start{0}, first{0} {
        positions = random_numbers(n_graphs * n_atoms * 3, 5.0);
        for (int64_t i = 0; i < n_graphs * n_atoms; ++i) {
            elements.push_back(int32_t(i % 4));
            const int64_t end = (i / n_atoms + 1) * n_atoms;
            for (int64_t j = i + 1; j < end; ++j)
                if (distance(i, j) < 6.0) neighbors.push_back(int32_t(j));
            first.push_back(int64_t(neighbors.size()));
            if (i + 1 == end) start.push_back(end);
        }
    }
    double distance(int64_t i, int64_t j) const {
        double sum = 0.0;
        for (int k = 0; k < 3; ++k) sum += std::pow(positions[3 * i + k] - positions[3 * j + k], 2);
        return std::sqrt(sum);
    }
    SchNetGraph graph() const {
        return {int64_t(start.size()) - 1, start.back(), start.data(), elements.data(),
                positions.data(), first.data(), neighbors.data(), nullptr, nullptr};
    }
    std::vector<int64_t> start, first;
    std::vector<int32_t> elements, neighbors;
    std::vector<double> positions;
};

struct Answer {
    explicit Answer(const Structures& s)
        : energies(s.start.back()), charges(s.start.back()), forces(3 * s.start.back()),
          virial(9 * (s.start.size() - 1)), findings(s.start.back()) {}
    void from(void* network, const Structures& structures, int n_threads) {
        const SchNetGraph graph = structures.graph();
        SchNetResult answer{energies.data(), charges.data(), forces.data(), virial.data(), 0.0,
                            {0, 0}, 0.0, 0.0, 0.0, 0, findings.data()};
        if (schnet_evaluate(network, &graph, n_threads, &answer) != SCHNET_DONE) std::abort();
        extremes = {answer.closest, answer.distance_deficit, answer.feature_deviation,
                    answer.nearest_ratio, double(answer.coordination_deficit)};
        for (const auto& finding : findings)
            extremes.insert(extremes.end(),
                            {finding.feature_deviation, finding.nearest_ratio,
                             double(finding.coordination_deficit), double(finding.partner)});
    }
    std::vector<double> energies, charges, forces, virial, extremes;
    std::vector<SchNetFinding> findings;
};

double difference(const std::vector<double>& a, const std::vector<double>& b) {
    double largest = 0.0, off = 0.0;
    for (size_t k = 0; k < a.size(); ++k) {
        largest = std::max(largest, std::abs(b[k]));
        off = std::max(off, std::abs(a[k] - b[k]));
    }
    return off / largest;
}

// Whether threads agree with one thread, alone and while somebody else uses the same network.
bool agrees(bool averages, int64_t bytes_per_number, int64_t n_graphs, int n_threads) {
    void* const shared = network(averages, bytes_per_number);
    const Structures structures(n_graphs, 60), others(2, 30);
    Answer alone(structures), together(structures), elsewhere(others);
    alone.from(shared, structures, 1);
    std::thread other([&] { elsewhere.from(shared, others, 2); });
    for (int repeat = 0; repeat < 3; ++repeat) together.from(shared, structures, n_threads);
    other.join();
    schnet_destroy(shared);
    const double tolerance = bytes_per_number == 8 ? 1e-12 : 1e-4;
    const double off = std::max({difference(together.energies, alone.energies),
                                 difference(together.charges, alone.charges),
                                 difference(together.forces, alone.forces),
                                 difference(together.virial, alone.virial),
                                 difference(together.extremes, alone.extremes)});
    std::printf("averages %d, bytes %d, structures %d, threads %d: %.1e\n", averages,
                int(bytes_per_number), int(n_graphs), n_threads, off);
    return off < tolerance;  // false for NaN
}

void race() {
    void *one = network(false, 8), *two = network(false, 8);
    const Structures structures(2, 60);
    Answer answer(structures);
    std::thread other([&] { answer.from(one, structures, 1); });
    answer.from(two, structures, 1);
    other.join();
    schnet_destroy(one);
    schnet_destroy(two);
}

}  // namespace

int main(int n_arguments, char**) {
    if (n_arguments > 1) return race(), 0;
    bool all = true;
    for (const bool averages : {false, true})
        for (const int64_t bytes : {4, 8})
            for (const int64_t n_graphs : {1, 2, 5})
                for (const int n_threads : {2, 3, 4, 90})
                    all = agrees(averages, bytes, n_graphs, n_threads) && all;
    return all ? 0 : 1;
}
