// One evaluation: SchNet with tabulated filters and its derivative by hand.
//
// K. T. Schuett et al., J. Chem. Phys. 148, 241722 (2018), doi:10.1063/1.5019779, Fig. 2; the
// equations are numbered as in `tabulated.py`, which does the same in torch. For each interaction
//
//     y = A x,  m_i = w_i sum_j y_j o W(r_ij),  a = B m + b,  x <- x + C ssp(a) + c,     (1)
//     q = B^T [sigmoid(a) o C^T g] w_i,  g = dE/dx,                                      (2)
//     dE/dr_ij += sum_f (q_i o y_j + q_j o y_i) o dW/dr,                                 (3)
//     g <- g + A^T sum_j q_j o W(r_ij).                                                  (4)
//
// Every unordered pair is met once and serves both directions; W is computed anew in the backward
// pass rather than kept. Distances and all sums over atoms and interactions are float64.

#pragma once

#include <cstring>

#include "network.h"
#include "team.h"

namespace mlpotential {

constexpr int ROWS_AT_ONCE = 48;  // chosen: such a block of rows and a panel fit the first cache

constexpr int64_t ROWS_OF_A_GROUP = 16;  // chosen: about as many atoms lie side by side

struct Range {
    int64_t begin, end;
    bool empty() const { return begin >= end; }
};

inline Range share(int64_t n, int part, int n_parts) {
    return {n * part / n_parts, n * (part + 1) / n_parts};
}

// Arrays that outlive an evaluation, so that the next one finds them.
template <class T> struct Workspace {
    Aligned<T> x, y, sigma, q, messages, block, fraction, inverse_counts;
    Aligned<uint32_t> interval;
    Aligned<int32_t> neighbor, shift, counts, coordination;
    Aligned<uint8_t> touched;                               // of each thread and group of rows
    Aligned<int64_t> first_pair, end_owned_pair, end_pair;  // of each first atom
    Aligned<double> tension, forces, virial, nearest;
};

// Structures `graphs` of a graph, by one thread or by a team; atoms count from the first of them.
template <class T> class Evaluation {
public:
    Evaluation(const Network<T>& network, const SchNetGraph& graph, Range graphs, int n_threads,
               SchNetResult& answer, Workspace<T>& space)
        : net_(network), graph_(graph), graphs_(graphs), n_threads_(n_threads), answer_(answer),
          space_(space), barrier_(n_threads), first_atom_(graph.graph_start[graphs.begin]),
          n_(graph.graph_start[graphs.end] - first_atom_),
          n_owned_(graph.halo ? graph.halo->n_owned : n_),
          first_listed_(graph.row_start[first_atom_]), own_(n_threads),
          seen_(n_threads), watches_(answer.findings && !network.neighborhoods.empty()) {
        const size_t n = n_, width = net_.width, trace = n * width * net_.n_interactions;
        // Those beyond the cutoff leave an end that is never touched, and costs no memory; neither
        // does what the next list may have more of.
        const size_t n_listed = graph.row_start[first_atom_ + n_] - first_listed_;
        const size_t n_pairs = n_listed + n_listed / 16;
        space.x.reserve(n * width);
        space.y.reserve(trace);
        space.sigma.reserve(trace);
        space.q.reserve(n * width);
        space.messages.reserve(n * width * n_threads);
        space.block.reserve(size_t(2 * ROWS_AT_ONCE) * widest() * n_threads);
        space.fraction.reserve(n_pairs);
        space.interval.reserve(n_pairs);
        space.neighbor.reserve(n_pairs);
        if (graph.shift_index) space.shift.reserve(n_pairs);
        if (n_threads > 1) space.touched.reserve(n_groups() * n_threads);
        space.first_pair.reserve(n);
        space.end_owned_pair.reserve(n);
        space.end_pair.reserve(n);
        space.tension.reserve(n_pairs);
        space.forces.reserve(n * 3 * n_threads);
        space.virial.reserve(size_t(graphs.end - graphs.begin) * 9 * n_threads);
        if (watches_) {
            space.nearest.reserve(n * n_threads);
            space.coordination.reserve(n * n_threads);
        }
        if (net_.averages) {
            space.counts.reserve(n * n_threads);
            space.inverse_counts.reserve(n);
        }
    }

    // The part of one thread; all threads of the team call it.
    void run(int thread) {
        const bool differentiates = answer_.forces || answer_.virial;
        connect(thread);
        begin_features(thread);
        barrier_.wait();
        divide(thread);
        if (watches_) compare_neighborhoods(thread);
        if (net_.averages) count_neighbors(thread);
        for (int l = 0; l < net_.n_interactions; ++l) {
            clear_messages(thread);
            for_slices([&](auto vectors, int column) {
                convolve<decltype(vectors)::value>(thread, l, column);
                if (graph_.halo) convolve_copies<decltype(vectors)::value>(thread, l, column);
            });
            barrier_.wait();
            for_own_rows(thread, [&](Range rows) { update_features(thread, l, rows); });
            if (l + 1 == net_.n_interactions) break;
            barrier_.wait();
            fetch(thread, row(space_.y, l + 1, 0));
        }
        if (answer_.findings && net_.feature_scales.get())
            for_own_rows(thread, [&](Range rows) { measure_deviations(thread, rows); });
        if (answer_.charges && net_.charge_readout)
            for_own_rows(thread, [&](Range rows) { read_charges(thread, rows); });
        for_own_rows(thread, [&](Range rows) { read_out(thread, rows, differentiates); });
        if (!differentiates) return;
        for (int l = net_.n_interactions - 1; l >= 0; --l) {
            for_own_rows(thread, [&](Range rows) { differentiate_update(thread, l, rows); });
            barrier_.wait();
            fetch(thread, row(space_.q, 0));
            if (l > 0) clear_messages(thread);
            for_slices([&](auto vectors, int column) {
                if (l > 0)
                    differentiate_convolution<decltype(vectors)::value, true>(thread, l, column);
                else
                    differentiate_convolution<decltype(vectors)::value, false>(thread, l, column);
                if (graph_.halo && l > 0)
                    differentiate_copies<decltype(vectors)::value, true>(thread, l, column);
                else if (graph_.halo)
                    differentiate_copies<decltype(vectors)::value, false>(thread, l, column);
            });
            if (l == 0) break;
            barrier_.wait();
            for_own_rows(thread, [&](Range rows) { differentiate_products(thread, l, rows); });
        }
        pull(thread);
        barrier_.wait();
        sum_derivatives(thread);
    }

    // The extremes of all threads, atoms counted from the first of the graph.
    void report_extremes(SchNetResult& answer) const {
        for (const auto& seen : seen_) {
            answer.distance_deficit = std::max(answer.distance_deficit, seen.distance_deficit);
            answer.feature_deviation = std::max(answer.feature_deviation, seen.feature_deviation);
            answer.nearest_ratio = std::max(answer.nearest_ratio, seen.nearest_ratio);
            answer.coordination_deficit =
                std::max(answer.coordination_deficit, seen.coordination_deficit);
            if (seen.distance < answer.closest) {
                answer.closest = seen.distance;
                answer.closest_pair[0] = first_atom_ + seen.i;
                answer.closest_pair[1] = first_atom_ + seen.j;
            }
        }
    }

private:
    struct Extremes {
        double distance = std::numeric_limits<double>::infinity();
        int64_t i = 0, j = 0;  // at that distance
        double distance_deficit = -std::numeric_limits<double>::infinity(), feature_deviation = 0.0;
        double nearest_ratio = 0.0;
        int64_t coordination_deficit = 0;
    };

    int widest() const { return std::max(net_.width, net_.hidden_width); }
    T* row(Aligned<T>& array, int64_t atom) const { return array.get() + atom * net_.width; }
    T* row(Aligned<T>& array, int l, int64_t atom) const { return row(array, l * n_ + atom); }
    T* messages(int thread, int64_t atom) const {
        return row(space_.messages, thread * n_ + atom);
    }
    T* block(int thread, int which) const {
        return space_.block.get() + size_t(2 * thread + which) * ROWS_AT_ONCE * widest();
    }

    // First atoms whose listed pairs a thread measures: equal numbers of pairs, not of atoms.
    Range listed_pairs(int thread) const {
        const int64_t* starts = graph_.row_start + first_atom_;
        const int64_t n_listed = starts[n_] - starts[0];
        const auto boundary = [&](int part) {
            if (part == n_threads_) return n_;
            const int64_t wanted = starts[0] + n_listed * part / n_threads_;
            return int64_t(std::lower_bound(starts, starts + n_, wanted) - starts);
        };
        return {boundary(thread), boundary(thread + 1)};
    }

    // First atoms whose pairs a thread works through, and groups of rows with atoms of these pairs.
    // Pairs that are only listed do not count: the order of sums would depend on the age of the list.
    void divide(int thread) {
        own_[thread] = {0, n_owned_};
        if (n_threads_ == 1) return;
        const int64_t *first = space_.first_pair.get(), *end = space_.end_pair.get();
        const int64_t* end_owned = space_.end_owned_pair.get();
        int64_t n_pairs = 0;
        for (int64_t i = 0; i < n_; ++i) n_pairs += end[i] - first[i];
        const auto boundary = [&](int part) {
            int64_t i = part == n_threads_ ? n_ : 0;
            for (int64_t before = 0; before < n_pairs * part / n_threads_ && i < n_; ++i)
                before += end[i] - first[i];
            return i;
        };
        own_[thread] = {boundary(thread), boundary(thread + 1)};
        uint8_t* touched = space_.touched.get() + thread * n_groups();
        std::fill_n(touched, n_groups(), uint8_t(0));
        for (int64_t i = own_[thread].begin; i < own_[thread].end; ++i) {
            touched[i / ROWS_OF_A_GROUP] = 1;
            for (int64_t p = first[i]; p < end_owned[i]; ++p)
                touched[space_.neighbor.get()[p] / ROWS_OF_A_GROUP] = 1;
        }
    }

    size_t n_groups() const { return size_t(n_ + ROWS_OF_A_GROUP - 1) / ROWS_OF_A_GROUP; }

    // Whether a thread has messages for the group of a row.
    bool touches(int thread, int64_t row) const {
        return space_.touched.get()[thread * n_groups() + row / ROWS_OF_A_GROUP];
    }

    // Rows of the copies from their owners, for all threads.
    void fetch(int thread, T* rows) const {
        if (!graph_.halo) return;
        if (thread == 0)
            graph_.halo->fetch(graph_.halo->context, rows, net_.width * int64_t(sizeof(T)));
        barrier_.wait();
    }

    template <class Work> void for_own_rows(int thread, const Work& work) const {
        const Range own = share(n_owned_, thread, n_threads_);
        const int n_blocks = int((own.end - own.begin + ROWS_AT_ONCE - 1) / ROWS_AT_ONCE);
        for (int part = 0; part < n_blocks; ++part) {
            const Range rows = share(own.end - own.begin, part, n_blocks);
            work(Range{own.begin + rows.begin, own.begin + rows.end});
        }
    }

    template <class Work> void for_slices(const Work& work) const {
        for (int column = 0; column < net_.width; column += SLICE * LANES<T>)
            with_vectors<SLICE>(net_.slice_vectors(column), column, work);
    }
    template <int N, class Work>
    static void with_vectors(int n_vectors, int column, const Work& work) {
        if constexpr (N > 0) {
            if (n_vectors == N) return work(std::integral_constant<int, N>{}, column);
            with_vectors<N - 2>(n_vectors, column, work);
        }
    }

    // Distances of the own pairs within the cutoff, and where they lie in the table.
    void connect(int thread) {
        const Range own = listed_pairs(thread);
        const bool compares = answer_.findings && !net_.shortest.empty();
        Extremes& seen = seen_[thread];
        double* const nearest = space_.nearest.get() + thread * n_;
        int32_t* const coordination = space_.coordination.get() + thread * n_;
        if (watches_) {
            std::fill(nearest, nearest + n_, std::numeric_limits<double>::infinity());
            std::fill(coordination, coordination + n_, 0);
        }
        int64_t pair = graph_.row_start[first_atom_ + own.begin] - first_listed_;
        for (int64_t i = own.begin; i < own.end; ++i) {
            space_.first_pair.get()[i] = space_.end_owned_pair.get()[i] = pair;
            SchNetFinding finding{-std::numeric_limits<double>::infinity(), 0.0, 0.0, 0,
                                  first_atom_ + i};
            const double* const bonds = watches_ ? of_element(net_.bond_lengths, i) : nullptr;
            const int64_t end = graph_.row_start[first_atom_ + i + 1];
            for (int64_t listed = graph_.row_start[first_atom_ + i]; listed < end; ++listed) {
                const int64_t j = graph_.neighbors[listed] - first_atom_;
                const int32_t shift = graph_.shift_index ? graph_.shift_index[listed] : 0;
                double d[3];
                const double distance = displacement(i, j, shift, d);
                if (distance >= net_.cutoff) continue;
                if (distance < seen.distance) seen.distance = distance, seen.i = i, seen.j = j;
                if (compares) compare(i, j, distance, finding);
                if (watches_) {
                    nearest[i] = std::min(nearest[i], distance);
                    nearest[j] = std::min(nearest[j], distance);
                    const bool bonded = distance < bonds[graph_.atomic_numbers[first_atom_ + j]];
                    coordination[i] += bonded;
                    coordination[j] += bonded;
                }
                locate(pair, distance);
                space_.neighbor.get()[pair] = int32_t(j);
                if (graph_.shift_index) space_.shift.get()[pair] = shift;
                space_.tension.get()[pair] = 0.0;
                ++pair;
                if (j < n_owned_) space_.end_owned_pair.get()[i] = pair;
            }
            space_.end_pair.get()[i] = pair;
            if (answer_.findings) answer_.findings[first_atom_ + i] = finding;
            seen.distance_deficit = std::max(seen.distance_deficit, finding.distance_deficit);
        }
    }

    // A distance with the least one in training.
    void compare(int64_t i, int64_t j, double distance, SchNetFinding& finding) const {
        const double shortest =
            of_element(net_.shortest, i)[graph_.atomic_numbers[first_atom_ + j]];
        if (shortest - distance <= finding.distance_deficit) return;
        finding.distance_deficit = shortest - distance;
        finding.partner = first_atom_ + j;
    }

    // The row of an atom's element in a table of pairs of elements.
    const double* of_element(const std::vector<double>& table, int64_t atom) const {
        return table.data() + size_t(graph_.atomic_numbers[first_atom_ + atom]) * net_.n_elements;
    }

    // How alone the atoms are, with their elements in training.
    void compare_neighborhoods(int thread) {
        const Range rows = share(n_owned_, thread, n_threads_);
        Extremes& seen = seen_[thread];
        for (int64_t atom = rows.begin; atom < rows.end; ++atom) {
            double nearest = space_.nearest.get()[atom];
            int64_t coordination = space_.coordination.get()[atom];
            for (int part = 1; part < n_threads_; ++part) {
                nearest = std::min(nearest, space_.nearest.get()[part * n_ + atom]);
                coordination += space_.coordination.get()[part * n_ + atom];
            }
            const double* known =
                net_.neighborhoods.data() + 3 * graph_.atomic_numbers[first_atom_ + atom];
            if (known[2] != 0.0 && std::isinf(nearest)) continue;
            SchNetFinding& finding = answer_.findings[first_atom_ + atom];
            finding.nearest_ratio = nearest / known[0];
            finding.coordination_deficit = int64_t(known[1]) - coordination;
            seen.nearest_ratio = std::max(seen.nearest_ratio, finding.nearest_ratio);
            seen.coordination_deficit =
                std::max(seen.coordination_deficit, finding.coordination_deficit);
        }
    }

    double displacement(int64_t i, int64_t j, int32_t shift_index, double* d) const {
        const double* from = graph_.positions + 3 * (first_atom_ + i);
        const double* to = graph_.positions + 3 * (first_atom_ + j);
        const double* shift =
            graph_.shift_index ? graph_.translations + 3 * int64_t(shift_index) : nullptr;
        for (int k = 0; k < 3; ++k) d[k] = to[k] - from[k] + (shift ? shift[k] : 0.0);
        return std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    }

    // Interval of the table and the fraction t of it.
    void locate(int64_t pair, double distance) const {
        const double scaled = distance * per_spacing_;
        const double interval = scaled < net_.last_interval ? std::floor(scaled)
                                                            : net_.last_interval;
        space_.fraction.get()[pair] = T(std::min(scaled - interval, 1.0));  // NaN stays NaN
        space_.interval.get()[pair] = uint32_t(interval);
    }

    // x and y of the first interaction depend on the element alone.
    void begin_features(int thread) const {
        const Range own = share(n_, thread, n_threads_);
        const size_t bytes = net_.width * sizeof(T);
        for (int64_t atom = own.begin; atom < own.end; ++atom) {
            const size_t element = graph_.atomic_numbers[first_atom_ + atom];
            std::memcpy(row(space_.x, atom), net_.embedding.get() + element * net_.width, bytes);
            std::memcpy(row(space_.y, atom), net_.first_products.get() + element * net_.width,
                        bytes);
        }
    }

    void count_neighbors(int thread) const {
        int32_t* counts = space_.counts.get() + thread * n_;
        std::fill(counts, counts + n_, 0);
        const Range own = own_[thread];
        for (int64_t i = own.begin; i < own.end; ++i)
            for (int64_t p = space_.first_pair.get()[i]; p < space_.end_pair.get()[i]; ++p) {
                ++counts[i];
                ++counts[space_.neighbor.get()[p]];
            }
        barrier_.wait();
        const Range rows = share(n_, thread, n_threads_);
        for (int64_t atom = rows.begin; atom < rows.end; ++atom) {
            int32_t sum = 0;
            for (int part = 0; part < n_threads_; ++part)
                sum += space_.counts.get()[part * n_ + atom];
            space_.inverse_counts.get()[atom] = T(1) / T(std::max(sum, 1));
        }
    }

    void clear_messages(int thread) const {
        const size_t bytes = net_.width * sizeof(T);
        if (n_owned_ == 0) return;  // of a process without atoms of its own
        if (n_threads_ == 1) {
            std::memset(messages(0, 0), 0, n_owned_ * bytes);
            return;
        }
        const uint8_t* touched = space_.touched.get() + thread * n_groups();
        for (int64_t group = 0; group < int64_t(n_groups()); ++group) {
            const int64_t begin = group * ROWS_OF_A_GROUP;
            if (touched[group])
                std::memset(messages(thread, begin), 0,
                            std::min(n_ - begin, ROWS_OF_A_GROUP) * bytes);
        }
    }

    // The pairs, as local pointers: stores to messages cannot change them.
    struct Pairs {
        explicit Pairs(const Workspace<T>& space)
            : fraction(space.fraction.get()), interval(space.interval.get()),
              neighbor(space.neighbor.get()), first(space.first_pair.get()),
              end_owned(space.end_owned_pair.get()), end(space.end_pair.get()) {}
        const T* const fraction;
        const uint32_t* const interval;
        const int32_t* const neighbor;
        const int64_t *const first, *const end_owned, *const end;
    };

    // W = sum_n c_n t^n of a pair, by Horner's rule, in one slice of columns.
    template <int N> struct Filter {
        Filter(const Pairs& pairs, int64_t p, const T* table)
            : t(broadcast<T>(pairs.fraction[p])),
              c(table + size_t(pairs.interval[p]) * ((DEGREE<T> + 1) * N * LANES<T>)) {}
        Vector<T> row(int n, int v) const { return at(c, n * N + v); }
        Vector<T> value(int v) const {
            Vector<T> w = row(0, v);
#pragma GCC unroll 8
            for (int n = 1; n <= DEGREE<T>; ++n) w = w * t + row(n, v);
            return w;
        }
        // dW/dt, and W without its last step.
        Vector<T> slope(int v, Vector<T>& w) const {
            Vector<T> slope = row(0, v);
            w = slope * t + row(1, v);
#pragma GCC unroll 8
            for (int n = 2; n <= DEGREE<T>; ++n) {
                slope = slope * t + w;
                if (n < DEGREE<T>) w = w * t + row(n, v);
            }
            return slope;
        }
        Vector<T> finished(int v, Vector<T> w) const { return w * t + row(DEGREE<T>, v); }
        const Vector<T> t;
        const T* const c;
    };

    // sum_j y_j o W(r_ij) for both atoms of each own pair, in one slice of columns. Eq. (1)
    template <int N>
    __attribute__((noinline)) void convolve(int thread, int l, int column) const {
        const size_t width = net_.width;
        const T* const table = net_.table(l, column);
        const T* const y = row(space_.y, l, 0) + column;
        T* const m = messages(thread, 0) + column;
        const Pairs pairs(space_);
        const Range own = own_[thread];
        for (int64_t i = own.begin; i < own.end; ++i) {
            Slice<N> y_i, sum = {};
            load(y_i, y + i * width);
            const int64_t end = pairs.end_owned[i];
            for (int64_t p = pairs.first[i]; p < end; ++p) {
                const Filter<N> filter(pairs, p, table);
                const size_t j = pairs.neighbor[p] * width;
#pragma GCC unroll 8
                for (int v = 0; v < N; ++v) {
                    const Vector<T> w = filter.value(v);
                    sum[v] += w * at(y + j, v);
                    at(m + j, v) += w * y_i[v];
                }
            }
            for (int v = 0; v < N; ++v) at(m + i * width, v) += sum[v];
        }
    }

    // Eqs. (3), by t, and, unless nothing lies before this interaction, (4).
    template <int N, bool GOES_ON>
    __attribute__((noinline)) void differentiate_convolution(int thread, int l, int column) const {
        const size_t width = net_.width;
        const T* const table = net_.table(l, column);
        const T* const y = row(space_.y, l, 0) + column;
        const T* const q = row(space_.q, 0) + column;
        T* const back = messages(thread, 0) + column;
        double* const tensions = space_.tension.get();
        const Pairs pairs(space_);
        const Range own = own_[thread];
        for (int64_t i = own.begin; i < own.end; ++i) {
            Slice<N> y_i, q_i, sum = {};
            load(y_i, y + i * width);
            load(q_i, q + i * width);
            const int64_t end = pairs.end_owned[i];
            for (int64_t p = pairs.first[i]; p < end; ++p) {
                const Filter<N> filter(pairs, p, table);
                const size_t j = pairs.neighbor[p] * width;
                Vector<T> tension{};
#pragma GCC unroll 8
                for (int v = 0; v < N; ++v) {
                    const Vector<T> q_j = at(q + j, v);
                    Vector<T> w;
                    tension += (q_i[v] * at(y + j, v) + q_j * y_i[v]) * filter.slope(v, w);
                    if (GOES_ON) {
                        w = filter.finished(v, w);
                        sum[v] += w * q_j;
                        at(back + j, v) += w * q_i[v];
                    }
                }
                tensions[p] += double(lane_sum<T>(tension));
            }
            if (GOES_ON)
                for (int v = 0; v < N; ++v) at(back + i * width, v) += sum[v];
        }
    }

    // The same for pairs with copies, whose messages are for their owners. Functions of their own:
    // loops beside the loops above would make these slower.
    template <int N>
    __attribute__((noinline)) void convolve_copies(int thread, int l, int column) const {
        const size_t width = net_.width;
        const T* const table = net_.table(l, column);
        const T* const y = row(space_.y, l, 0) + column;
        T* const m = messages(thread, 0) + column;
        const Pairs pairs(space_);
        for (int64_t i = own_[thread].begin; i < own_[thread].end; ++i) {
            Slice<N> sum = {};
            const int64_t end = pairs.end[i];
            for (int64_t p = pairs.end_owned[i]; p < end; ++p) {
                const Filter<N> filter(pairs, p, table);
                const size_t j = pairs.neighbor[p] * width;
#pragma GCC unroll 8
                for (int v = 0; v < N; ++v) sum[v] += filter.value(v) * at(y + j, v);
            }
            for (int v = 0; v < N; ++v) at(m + i * width, v) += sum[v];
        }
    }
    template <int N, bool GOES_ON>
    __attribute__((noinline)) void differentiate_copies(int thread, int l, int column) const {
        const size_t width = net_.width;
        const T* const table = net_.table(l, column);
        const T* const y = row(space_.y, l, 0) + column;
        const T* const q = row(space_.q, 0) + column;
        T* const back = messages(thread, 0) + column;
        double* const tensions = space_.tension.get();
        const Pairs pairs(space_);
        for (int64_t i = own_[thread].begin; i < own_[thread].end; ++i) {
            Slice<N> y_i, q_i, sum = {};
            load(y_i, y + i * width);
            load(q_i, q + i * width);
            const int64_t end = pairs.end[i];
            for (int64_t p = pairs.end_owned[i]; p < end; ++p) {
                const Filter<N> filter(pairs, p, table);
                const size_t j = pairs.neighbor[p] * width;
                Vector<T> tension{};
#pragma GCC unroll 8
                for (int v = 0; v < N; ++v) {
                    const Vector<T> q_j = at(q + j, v);
                    Vector<T> w;
                    tension += (q_i[v] * at(y + j, v) + q_j * y_i[v]) * filter.slope(v, w);
                    if (GOES_ON) sum[v] += filter.finished(v, w) * q_j;
                }
                tensions[p] += double(lane_sum<T>(tension));
            }
            if (GOES_ON)
                for (int v = 0; v < N; ++v) at(back + i * width, v) += sum[v];
        }
    }

    template <int N> using Slice = Vector<T>[N];
    template <int N> static void load(Slice<N>& slice, const T* row) {
        for (int v = 0; v < N; ++v) slice[v] = at(row, v);
    }

    // The messages of some rows, summed over all threads that reached them, in their order.
    const T* total_messages(int thread, Range rows) const {
        if (n_threads_ == 1) return messages(0, rows.begin);
        if (const int only = only_thread_of(rows); only >= 0) return messages(only, rows.begin);
        T* const total = block(thread, 0);
        for (int64_t begin = rows.begin; begin < rows.end;) {
            const int64_t end =
                std::min((begin / ROWS_OF_A_GROUP + 1) * ROWS_OF_A_GROUP, rows.end);
            T* to = total + (begin - rows.begin) * net_.width;
            const int64_t n_vectors = (end - begin) * net_.width / LANES<T>;
            bool is_first = true;
            for (int part = 0; part < n_threads_; ++part) {
                if (!touches(part, begin)) continue;
                const T* from = messages(part, begin);
                if (is_first) std::memcpy(to, from, n_vectors * sizeof(Vector<T>));
                else
                    for (int64_t v = 0; v < n_vectors; ++v) at(to, int(v)) += at(from, int(v));
                is_first = false;
            }
            if (is_first) std::memset(to, 0, n_vectors * sizeof(Vector<T>));
            begin = end;
        }
        return total;
    }

    // The one that reached all groups of some rows, if no other one reached any; else -1.
    int only_thread_of(Range rows) const {
        int only = -1;
        for (int part = 0; part < n_threads_; ++part) {
            int64_t n_touched = 0, n_groups = 0;
            const int64_t last = (rows.end - 1) / ROWS_OF_A_GROUP;
            for (int64_t group = rows.begin / ROWS_OF_A_GROUP; group <= last; ++group, ++n_groups)
                n_touched += touches(part, group * ROWS_OF_A_GROUP);
            if (n_touched == 0) continue;
            if (only >= 0 || n_touched < n_groups) return -1;
            only = part;
        }
        return only;
    }

    // a = B m + b, x <- x + C ssp(a) + c, and y of the next interaction. Eq. (1)
    void update_features(int thread, int l, Range rows) const {
        const Interaction<T>& layer = net_.interactions[l];
        const int n_rows = int(rows.end - rows.begin), n_vectors = net_.width / LANES<T>;
        const T* m = average(thread, total_messages(thread, rows), rows);
        T* a = block(thread, 1);
        layer.filter_to_out.times(n_rows, m, a, layer.filter_to_out_bias.get());
        T* sigma = row(space_.sigma, l, rows.begin);
        for (int v = 0; v < n_rows * n_vectors; ++v) {
            const Activated<T> activated = shifted_softplus<T>(at(a, v));
            at(a, v) = activated.value;
            at(sigma, v) = activated.slope;
        }
        T* x = row(space_.x, rows.begin);
        layer.output.add_times(n_rows, a, x, layer.output_bias.get());
        if (l + 1 < net_.n_interactions)
            net_.interactions[l + 1].in_to_filter.times(n_rows, x,
                                                        row(space_.y, l + 1, rows.begin));
    }

    // Messages over the number of neighbours, where the cutoff is hard.
    const T* average(int thread, const T* m, Range rows) const {
        if (!net_.averages) return m;
        T* averaged = block(thread, 0);
        const int n_vectors = net_.width / LANES<T>;
        for (int64_t atom = rows.begin; atom < rows.end; ++atom) {
            const T weight = space_.inverse_counts.get()[atom];
            const int64_t offset = (atom - rows.begin) * net_.width;
            for (int v = 0; v < n_vectors; ++v)
                at(averaged + offset, v) = weight * at(m + offset, v);
        }
        return averaged;
    }

    // Models of other programs have other activations here; `nn/activations.py` names them.
    Activated<T> activate_readout(Vector<T> x) const {
        const Activated<T> ssp = shifted_softplus<T>(x);
        const Vector<T> one = broadcast<T>(T(1));
        switch (net_.readout_activation) {
            case SCHNET_SSP_LINEAR_FROM_14:
                return {x > T(14) ? x - T(LOG_2) : ssp.value, x > T(14) ? one : ssp.slope};
            case SCHNET_SILU:
                return {x * ssp.slope, ssp.slope * (one + x * (one - ssp.slope))};
            default:
                return ssp;
        }
    }

    // How far the last features lie from the middle of their range in training.
    void measure_deviations(int thread, Range rows) {
        const int n_vectors = net_.width / LANES<T>;
        for (int64_t atom = rows.begin; atom < rows.end; ++atom) {
            const size_t first = size_t(graph_.atomic_numbers[first_atom_ + atom]) * net_.width;
            const T* center = net_.feature_centers.get() + first;
            const T* scale = net_.feature_scales.get() + first;
            const T* x = row(space_.x, atom);
            Vector<T> farthest{};
            for (int v = 0; v < n_vectors; ++v) {
                const Vector<T> deviation = (at(x, v) - at(center, v)) * at(scale, v);
                const Vector<T> size = deviation < Vector<T>{} ? -deviation : deviation;
                farthest = size > farthest ? size : farthest;
            }
            T largest = 0;
            for (int lane = 0; lane < LANES<T>; ++lane) largest = std::max(largest, farthest[lane]);
            answer_.findings[first_atom_ + atom].feature_deviation = double(largest);
            double& seen = seen_[thread].feature_deviation;
            seen = std::max(seen, double(largest));
        }
    }

    // Gives `keep` what a readout makes of each of some atoms. Leaves in the first block of the
    // thread the derivatives of these numbers by the hidden layer before its activation.
    template <class Keep>
    void apply(const Readout<T>& readout, int thread, Range rows, const Keep& keep) const {
        const int n_rows = int(rows.end - rows.begin), n_vectors = net_.hidden_width / LANES<T>;
        T* hidden = block(thread, 0);
        readout.hidden.times(n_rows, row(space_.x, rows.begin), hidden,
                             readout.hidden_bias.get());
        for (int r = 0; r < n_rows; ++r) {
            T* h = hidden + size_t(r) * net_.hidden_width;
            Vector<T> sum{};
            for (int v = 0; v < n_vectors; ++v) {
                const Activated<T> activated = activate_readout(at(h, v));
                const Vector<T> output = at(readout.output.get(), v);
                sum += output * activated.value;
                at(h, v) = output * activated.slope;
            }
            keep(first_atom_ + rows.begin + r, double(lane_sum<T>(sum)) + readout.bias);
        }
    }

    void read_charges(int thread, Range rows) const {
        apply(*net_.charge_readout, thread, rows,
              [&](int64_t atom, double charge) { answer_.charges[atom] = charge; });
    }

    // Atomic energies, and g = dE/dx in the place of x, in units of the readout.
    void read_out(int thread, Range rows, bool differentiates) const {
        apply(net_.readout, thread, rows, [&](int64_t atom, double energy) {
            answer_.atomic_energies[atom] =
                net_.energy_scale * energy + net_.atom_energies[graph_.atomic_numbers[atom]];
        });
        if (differentiates)
            net_.readout_back.times(int(rows.end - rows.begin), block(thread, 0),
                                    row(space_.x, rows.begin));
    }

    // q from g. Eq. (2)
    void differentiate_update(int thread, int l, Range rows) const {
        const Interaction<T>& layer = net_.interactions[l];
        const int n_rows = int(rows.end - rows.begin), n_vectors = net_.width / LANES<T>;
        T* product = block(thread, 0);
        layer.output_back.times(n_rows, row(space_.x, rows.begin), product);
        const T* sigma = row(space_.sigma, l, rows.begin);
        for (int v = 0; v < n_rows * n_vectors; ++v) at(product, v) *= at(sigma, v);
        T* q = row(space_.q, rows.begin);
        layer.filter_to_out_back.times(n_rows, product, q);
        if (net_.averages)
            std::memcpy(q, average(thread, q, rows), n_rows * net_.width * sizeof(T));
    }

    // g <- g + A^T (sum_j q_j o W). Eq. (4)
    void differentiate_products(int thread, int l, Range rows) const {
        net_.interactions[l].in_to_filter_back.add_times(int(rows.end - rows.begin),
                                                         total_messages(thread, rows),
                                                         row(space_.x, rows.begin));
    }

    // Forces and virial of the own pairs: a pair under tension pulls its atoms together.
    void pull(int thread) const {
        double* forces = space_.forces.get() + thread * n_ * 3;
        double* virials = space_.virial.get() + thread * (graphs_.end - graphs_.begin) * 9;
        std::fill(forces, forces + n_ * 3, 0.0);
        std::fill(virials, virials + (graphs_.end - graphs_.begin) * 9, 0.0);
        const Range own = own_[thread];
        int64_t graph = graphs_.begin;
        for (int64_t i = own.begin; i < own.end; ++i) {
            while (graph_.graph_start[graph + 1] <= first_atom_ + i) ++graph;
            double* virial = virials + (graph - graphs_.begin) * 9;
            for (int64_t p = space_.first_pair.get()[i]; p < space_.end_pair.get()[i]; ++p) {
                double d[3];  // anew: it would be the largest array of the pairs
                const int64_t j = space_.neighbor.get()[p];
                const double distance =
                    displacement(i, j, graph_.shift_index ? space_.shift.get()[p] : 0, d);
                const double per_length = distance < net_.last ? per_spacing_ : 0.0;
                const double scale =
                    net_.energy_scale * per_length * space_.tension.get()[p] / distance;
                double* on_j = forces + 3 * j;
                const double counted = j < n_owned_ ? 1.0 : 0.5;  // the rest where j is owned
                for (int k = 0; k < 3; ++k) {
                    const double pulled = scale * d[k];
                    forces[3 * i + k] += pulled;
                    on_j[k] -= pulled;
                    for (int c = 0; c < 3; ++c) virial[3 * c + k] -= counted * d[c] * pulled;
                }
            }
        }
    }

    void sum_derivatives(int thread) const {
        const Range rows = share(n_, thread, n_threads_);
        if (answer_.forces)
            for (int64_t k = 3 * rows.begin; k < 3 * rows.end; ++k) {
                double sum = 0.0;
                for (int part = 0; part < n_threads_; ++part)
                    sum += space_.forces.get()[part * n_ * 3 + k];
                answer_.forces[3 * first_atom_ + k] = sum;
            }
        if (!answer_.virial || thread != 0) return;
        const int64_t n_numbers = (graphs_.end - graphs_.begin) * 9;
        for (int64_t k = 0; k < n_numbers; ++k) {
            double sum = 0.0;
            for (int part = 0; part < n_threads_; ++part)
                sum += space_.virial.get()[part * n_numbers + k];
            answer_.virial[9 * graphs_.begin + k] = sum;
        }
    }

    const Network<T>& net_;
    const SchNetGraph& graph_;
    const Range graphs_;
    const int n_threads_;
    SchNetResult& answer_;
    Workspace<T>& space_;
    mutable Barrier barrier_;
    const double per_spacing_ = 1.0 / net_.spacing;
    const int64_t first_atom_, n_, n_owned_, first_listed_;
    std::vector<Range> own_;
    std::vector<Extremes> seen_;
    const bool watches_;  // how alone atoms are
};

}  // namespace mlpotential
