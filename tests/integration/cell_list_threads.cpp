// The cell list by several threads, for a build with a thread sanitizer; ends with 0 where all of
// them find the same pairs.

#include <cstdio>
#include <random>
#include <vector>

#include "cell_list.h"

namespace {

struct Found {
    std::vector<int64_t> row_start;
    std::vector<int32_t> neighbors, shift_index;
    std::vector<uint8_t> present;
    bool operator==(const Found& other) const {
        return row_start == other.row_start && neighbors == other.neighbors &&
               shift_index == other.shift_index && present == other.present;
    }
};

Found list_of(const CellListSearch& search, int64_t n_threads) {
    Found found;
    found.row_start.resize(search.n_atoms + 1);
    CellListShifts shifts;
    void* counted = nullptr;
    if (cell_list_count(&search, n_threads, found.row_start.data(), &shifts, &counted)) return {};
    found.neighbors.resize(found.row_start.back());
    found.shift_index.resize(found.row_start.back());
    found.present.resize(shifts.size[0] * shifts.size[1] * shifts.size[2]);
    cell_list_fill(counted, n_threads, found.row_start.data(), found.neighbors.data(),
                   found.shift_index.data(), found.present.data());
    cell_list_destroy(counted);
    return found;
}

}  // namespace

int main() {
    std::mt19937 generator(1);
    std::uniform_real_distribution<double> anywhere(-30.0, 30.0);
    std::vector<double> positions(3 * 2000);
    for (double& x : positions) x = anywhere(generator);
    const double cell[9] = {20, 0, 0, 0, 20, 0, 0, 0, 20};
    const double inverse[9] = {0.05, 0, 0, 0, 0.05, 0, 0, 0, 0.05};
    const double low[3] = {0, 0, 0}, extent[3] = {1, 1, 1};
    const int64_t periodic[3] = {1, 1, 1}, n_boxes[3] = {4, 3, 1}, reach[3] = {1, 1, 1};
    const CellListSearch search{2000, positions.data(), cell,  inverse, periodic,
                                low,  extent,           n_boxes, reach, 4.5};
    const Found one = list_of(search, 1);
    std::printf("pairs %zu\n", one.neighbors.size());
    for (const int64_t n_threads : {2, 3, 7})
        if (!(list_of(search, n_threads) == one)) return 1;
    return one.neighbors.size() > 50000 ? 0 : 2;
}
