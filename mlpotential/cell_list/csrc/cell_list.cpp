// A cell list: atoms sorted into boxes, so that all neighbours of an atom are in a few of them.
//
// Two passes, each shared out over threads by boxes: pairs of each first atom are counted, then
// written to their places. What is written does not depend on the number of threads.

#include "cell_list.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <vector>

#include "../../inference/schnet/csrc/team.h"
#include "../../nn/csrc/processor.h"

namespace mlpotential {
namespace {

struct Neighborhood {  // a box beside another one
    int64_t begin, end;    // its atoms as they are sorted
    double translation[3];
    int64_t shift;         // its part of the number of a shift
    int32_t is_forward;    // whether an atom is the first one of the pair with its own image here
};

class CellList {
public:
    CellList(const CellListSearch& search, int n_threads, int64_t* row_start,
             CellListShifts& shifts)
        : search_(search), squared_radius_(search.radius * search.radius) {
        sort_atoms(n_threads);
        number_shifts(shifts);
        const int64_t n = search.n_atoms;
        row_start[0] = 0;
        for_boxes(n_threads, [&](int, int64_t box, const std::vector<Neighborhood>& around) {
            for (int64_t a = box_start_[box]; a < box_start_[box + 1]; ++a)
                row_start[order_[a] + 1] = count(a, around);
        });
        for (int64_t i = 0; i < n; ++i) row_start[i + 1] += row_start[i];
    }

    void fill(int n_threads, const int64_t* row_start, int32_t* neighbors, int32_t* shift_index,
              uint8_t* present) const {
        const size_t n_shifts = size_t(size_[0] * size_[1] * size_[2]);
        std::vector<std::vector<uint8_t>> seen(n_threads, std::vector<uint8_t>(n_shifts, 0));
        std::vector<std::vector<uint64_t>> rows(n_threads, std::vector<uint64_t>(longest_ + 1));
        for_boxes(n_threads, [&](int thread, int64_t box, const std::vector<Neighborhood>& around) {
            uint64_t* const keys = rows[thread].data();
            uint8_t* const met = seen[thread].data();
            for (int64_t a = box_start_[box]; a < box_start_[box + 1]; ++a) {
                const int64_t n_found = find(a, around, keys);
                std::sort(keys, keys + n_found);
                const int64_t first = row_start[order_[a]];
                for (int64_t k = 0; k < n_found; ++k) {
                    const auto shift = uint32_t(keys[k]);
                    neighbors[first + k] = int32_t(keys[k] >> 32);
                    shift_index[first + k] = int32_t(shift);
                    met[shift] = 1;
                }
            }
        });
        std::vector<int32_t> numbers(n_shifts);
        int32_t n_present = 0;
        for (size_t s = 0; s < n_shifts; ++s) {
            present[s] = 0;
            for (const auto& met : seen) present[s] |= met[s];
            numbers[s] = n_present;
            n_present += present[s];
        }
        const int64_t n_pairs = row_start[search_.n_atoms];
        run_side_by_side(n_threads, [&](int thread) {
            const int64_t end = n_pairs * (thread + 1) / n_threads;
            for (int64_t p = n_pairs * thread / n_threads; p < end; ++p)
                shift_index[p] = numbers[shift_index[p]];
        });
    }

private:
    // Folded positions in the order of boxes, those of one box in the order of atoms.
    void sort_atoms(int n_threads) {
        const int64_t n = search_.n_atoms;
        const int64_t* boxes = search_.n_boxes;
        const int64_t n_all = boxes[0] * boxes[1] * boxes[2];
        std::vector<int64_t> box_of(n);
        std::vector<double> folded(3 * n);
        wraps_.resize(3 * n);
        run_side_by_side(n_threads, [&](int thread) {
            const int64_t end = n * (thread + 1) / n_threads;
            for (int64_t i = n * thread / n_threads; i < end; ++i)
                box_of[i] = fold(i, folded.data() + 3 * i);
        });
        box_start_.assign(n_all + 1, 0);
        for (int64_t i = 0; i < n; ++i) ++box_start_[box_of[i] + 1];
        for (int64_t b = 0; b < n_all; ++b) box_start_[b + 1] += box_start_[b];
        std::vector<int64_t> next(box_start_.begin(), box_start_.end() - 1);
        order_.resize(n);
        for (auto& coordinate : sorted_) coordinate.resize(n);
        for (int64_t i = 0; i < n; ++i) {
            const int64_t a = next[box_of[i]]++;
            order_[a] = int32_t(i);
            for (int k = 0; k < 3; ++k) sorted_[k][a] = folded[3 * i + k];
        }
        longest_ = 0;
        for (int64_t b = 0; b < n_all; ++b)
            longest_ = std::max(longest_, box_start_[b + 1] - box_start_[b]);
        for (int k = 0; k < 3; ++k) longest_ *= 2 * search_.reach[k] + 1;
    }

    // The box of an atom, its position and how it was moved there.
    int64_t fold(int64_t i, double* position) {
        const double* r = search_.positions + 3 * i;
        const double *cell = search_.cell, *inverse = search_.inverse;
        int64_t box = 0;
        std::copy_n(r, 3, position);
        for (int k = 0; k < 3; ++k) {
            double part = r[0] * inverse[k] + r[1] * inverse[3 + k] + r[2] * inverse[6 + k];
            const double wrap = search_.periodic[k] ? -std::floor(part) : 0.0;
            part += wrap;
            wraps_[3 * i + k] = int32_t(wrap);
            for (int c = 0; c < 3; ++c) position[c] += wrap * cell[3 * k + c];
            const int64_t n_boxes = search_.n_boxes[k];
            const auto along = int64_t((part - search_.low[k]) / search_.extent[k] * n_boxes);
            box = box * n_boxes + std::min(std::max<int64_t>(along, 0), n_boxes - 1);
        }
        return box;
    }

    // The image of a box and the wraps of both atoms make a shift.
    void number_shifts(CellListShifts& shifts) {
        for (int k = 0; k < 3; ++k) {
            int32_t least = 0, most = 0;
            for (int64_t i = 0; i < search_.n_atoms; ++i) {
                least = i ? std::min(least, wraps_[3 * i + k]) : wraps_[k];
                most = i ? std::max(most, wraps_[3 * i + k]) : wraps_[k];
            }
            const int64_t farthest = int64_t(most) - least + 
                                     (search_.periodic[k] ? search_.reach[k] : 0);
            shifts.first[k] = -farthest;
            shifts.size[k] = size_[k] = 2 * farthest + 1;
        }
        center_ = number(shifts.size[0] / 2, shifts.size[1] / 2, shifts.size[2] / 2);
        wrap_numbers_.resize(search_.n_atoms);
        for (int64_t a = 0; a < search_.n_atoms; ++a) {
            const int32_t* wrap = wraps_.data() + 3 * int64_t(order_[a]);
            wrap_numbers_[a] = number(wrap[0], wrap[1], wrap[2]);
        }
        std::vector<int32_t>().swap(wraps_);
    }
    int64_t number(int64_t s0, int64_t s1, int64_t s2) const {
        return (s0 * size_[1] + s1) * size_[2] + s2;
    }

    template <class Work> void for_boxes(int n_threads, const Work& work) const {
        const int64_t* n = search_.n_boxes;
        const int64_t n_all = n[0] * n[1] * n[2];
        std::vector<std::vector<Neighborhood>> around(n_threads);
        for (auto& of_thread : around) of_thread.reserve(n_around());
        run_side_by_side(n_threads, [&](int thread) {
            // equal numbers of atoms, not of boxes
            const auto boundary = [&](int part) {
                const int64_t wanted = search_.n_atoms * part / n_threads;
                return part == n_threads ? n_all
                                         : std::lower_bound(box_start_.begin(), box_start_.end() - 1,
                                                            wanted) -
                                               box_start_.begin();
            };
            const int64_t end = boundary(thread + 1);
            for (int64_t box = boundary(thread); box < end; ++box) {
                if (box_start_[box] == box_start_[box + 1]) continue;
                look_around(box, around[thread]);
                work(thread, box, around[thread]);
            }
        });
    }

    size_t n_around() const {
        size_t product = 1;
        for (int k = 0; k < 3; ++k) product *= size_t(2 * search_.reach[k] + 1);
        return product;
    }

    // The box and those beside it, without empty ones.
    void look_around(int64_t box, std::vector<Neighborhood>& around) const {
        const int64_t* n = search_.n_boxes;
        const int64_t at[3] = {box / (n[1] * n[2]), box / n[2] % n[1], box % n[2]};
        const int64_t* reach = search_.reach;
        const int64_t wide[2] = {2 * reach[1] + 1, 2 * reach[2] + 1};
        around.clear();
        for (int64_t step = 0; step < int64_t(n_around()); ++step) {
            const int64_t steps[3] = {step / wide[1] / wide[0] - reach[0],
                                      step / wide[1] % wide[0] - reach[1],
                                      step % wide[1] - reach[2]};
            int64_t other = 0, image[3];
            bool is_there = true;
            for (int k = 0; k < 3; ++k) {
                int64_t along = at[k] + steps[k];
                image[k] = along < 0 ? -((n[k] - 1 - along) / n[k]) : along / n[k];
                if (image[k] && !search_.periodic[k]) is_there = false;
                along -= image[k] * n[k];
                other = other * n[k] + along;
            }
            if (!is_there || box_start_[other] == box_start_[other + 1]) continue;
            const int64_t shift = number(image[0], image[1], image[2]);
            Neighborhood found{box_start_[other], box_start_[other + 1], {}, center_ + shift,
                               shift > 0};
            for (int c = 0; c < 3; ++c)
                for (int k = 0; k < 3; ++k)
                    found.translation[c] += double(image[k]) * search_.cell[3 * k + c];
            around.push_back(found);
        }
    }

    // Calls meet(b, whether it is a pair) for all atoms around.
    template <class Meet>
    __attribute__((always_inline)) void measure(int64_t a, const Neighborhood& box, const Meet& meet) const {
        const double *x = sorted_[0].data(), *y = sorted_[1].data(), *z = sorted_[2].data();
        const double from[3] = {x[a] - box.translation[0], y[a] - box.translation[1],
                                z[a] - box.translation[2]};
        const double reach = squared_radius_;
        const int32_t last_before = order_[a] - box.is_forward;
        const int32_t* const order = order_.data();
        const int64_t end = box.end;
        for (int64_t b = box.begin; b < end; ++b) {
            const double dx = x[b] - from[0], dy = y[b] - from[1], dz = z[b] - from[2];
            meet(b, (dx * dx + dy * dy + dz * dz < reach) & (order[b] > last_before));
        }
    }

    int64_t count(int64_t a, const std::vector<Neighborhood>& around) const {
        int64_t n_found = 0;
        for (const Neighborhood& box : around) {
            int64_t in_box = 0;
            measure(a, box, [&](int64_t, bool found) { in_box += found; });
            n_found += in_box;
        }
        return n_found;
    }

    // Second atom and number of the shift of each pair, in one number to be sorted by.
    int64_t find(int64_t a, const std::vector<Neighborhood>& around, uint64_t* keys) const {
        int64_t n_found = 0;
        for (const Neighborhood& box : around) {
            const int64_t shift = box.shift - wrap_numbers_[a];
            measure(a, box, [&](int64_t b, bool found) {
                keys[n_found] = uint64_t(order_[b]) << 32 | uint32_t(shift + wrap_numbers_[b]);
                n_found += found;
            });
        }
        return n_found;
    }

    const CellListSearch search_;
    const double squared_radius_;
    int64_t size_[3] = {}, center_ = 0, longest_ = 0;
    std::vector<int64_t> box_start_, wrap_numbers_;  // first atoms of boxes; of atoms as sorted
    std::vector<int32_t> order_, wraps_;             // atoms as they are sorted; of atoms
    std::vector<double> sorted_[3];
};

template <class Work> int64_t status_of(const Work& work) {
    try {
        work();
        return CELL_LIST_DONE;
    } catch (const std::bad_alloc&) {
        return CELL_LIST_NO_MEMORY;
    } catch (const std::system_error&) {
        return CELL_LIST_NO_THREADS;
    }
}

}  // namespace
}  // namespace mlpotential

using mlpotential::CellList;

int64_t cell_list_interface() { return CELL_LIST_INTERFACE; }

int64_t cell_list_processor() { return mlpotential::processor_level(); }

int64_t cell_list_count(const CellListSearch* search, int64_t n_threads, int64_t* row_start,
                        CellListShifts* shifts, void** counted) {
    return mlpotential::status_of(
        [&] { *counted = new CellList(*search, int(n_threads), row_start, *shifts); });
}

int64_t cell_list_fill(void* counted, int64_t n_threads, const int64_t* row_start,
                       int32_t* neighbors, int32_t* shift_index, uint8_t* present) {
    return mlpotential::status_of([&] {
        static_cast<const CellList*>(counted)->fill(int(n_threads), row_start, neighbors,
                                                    shift_index, present);
    });
}

void cell_list_destroy(void* counted) { delete static_cast<CellList*>(counted); }
