// Rows of atoms and of copies, and pairs of them, once for each neighbour list of LAMMPS.

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "atom.h"
#include "comm.h"
#include "neigh_list.h"
#include "neighbor.h"

#include "pair_mlpotential.h"

using namespace LAMMPS_NS;

namespace {

constexpr double NO_DIFFERENCE = 1e-6;  // A; chosen: above the rounding of positions of images

}  // namespace

void PairMLPotential::connect() {
    if (stale_ && neighbor->exclude)  // which is not known before the lists are
        refuse("neigh_modify exclude leaves pairs out, on which its energies depend: remove it");
    stale_ = false;
    owner_.assign(atom->nlocal + atom->nghost, comm->me);
    if (comm->nprocs > 1) comm->forward_comm(this);
    number_rows();
    list_pairs();
    if (std::isinf(file_->model.cutoff)) check_all_pairs();
    positions_.resize(3 * n_rows_);
    translations_.resize(3 * size_t(atom->nlocal + atom->nghost));
}

// Whether two atoms are in the list for our sake, not for that of another pair style.
bool PairMLPotential::is_near(int i, int j) const {
    const double reach = file_->model.cutoff + neighbor->skin;
    const double *a = atom->x[i], *b = atom->x[j];
    double squared = 0.0;
    for (int k = 0; k < 3; ++k) squared += (b[k] - a[k]) * (b[k] - a[k]);
    return squared <= reach * reach;
}

void PairMLPotential::number_rows() {
    const int n_local = atom->nlocal, n_all = n_local + atom->nghost;
    const tagint* tag = atom->tag;
    std::unordered_map<tagint, int> row_of;
    row_of.reserve(2 * size_t(n_all));
    row_.assign(n_all, -1);
    first_.clear();
    for (int i = 0; i < n_local; ++i)
        if (element_[atom->type[i]] >= 0) {
            row_of[tag[i]] = row_[i] = int(first_.size());
            first_.push_back(i);
        }
    n_owned_ = int64_t(first_.size());

    // copies of those ghosts only that an own atom sees
    std::vector<char> is_seen(n_all, 0);
    for (int k = 0; k < list->inum; ++k) {
        const int i = list->ilist[k];
        if (row_[i] < 0) continue;
        for (int n = 0; n < list->numneigh[i]; ++n) {
            const int j = list->firstneigh[i][n] & NEIGHMASK;
            if (j >= n_local && !is_seen[j] && is_near(i, j)) is_seen[j] = 1;
        }
    }
    std::vector<std::vector<tagint>> wanted(comm->nprocs);
    std::vector<std::vector<int>> ghosts(comm->nprocs);
    for (int j = n_local; j < n_all; ++j) {
        const int owner = owner_[j];
        if (owner == comm->me || !is_seen[j] || element_[atom->type[j]] < 0) continue;
        if (!row_of.emplace(tag[j], -1).second) continue;  // an image of another ghost
        wanted[owner].push_back(tag[j]);
        ghosts[owner].push_back(j);
    }
    for (int rank = 0; rank < comm->nprocs; ++rank)
        for (const int j : ghosts[rank]) {
            row_of[tag[j]] = int(first_.size());
            first_.push_back(j);
        }
    n_rows_ = int64_t(first_.size());
    exchange_.arrange(world, MPI_LMP_TAGINT, wanted, n_owned_,
                      [&](tagint t) { return row_of.at(t); });

    for (int j = n_local; j < n_all; ++j) {
        const auto found = row_of.find(tag[j]);
        if (found != row_of.end()) row_[j] = found->second;
    }
    row_elements_.resize(n_rows_);
    for (int64_t row = 0; row < n_rows_; ++row)
        row_elements_[row] = element_[atom->type[first_[row]]];
}

// Each unordered pair once; those with copies are in the lists of both processes, and come last.
void PairMLPotential::list_pairs() {
    row_start_.assign(1, 0);
    neighbors_.clear();
    images_.clear();
    std::vector<int> copies;
    for (int64_t row = 0; row < n_owned_; ++row) {
        const int i = first_[row];
        copies.clear();
        for (int n = 0; n < list->numneigh[i]; ++n) {
            const int j = list->firstneigh[i][n] & NEIGHMASK, other = row_[j];
            if (other < 0 || !(other > row || (other == row && comes_first(i, j)))) continue;
            if (!is_near(i, j)) continue;
            if (other >= n_owned_) {
                copies.push_back(j);
                continue;
            }
            neighbors_.push_back(other);
            images_.push_back(j);
        }
        for (const int j : copies) {
            neighbors_.push_back(row_[j]);
            images_.push_back(j);
        }
        row_start_.push_back(int64_t(neighbors_.size()));
    }
    row_start_.resize(n_rows_ + 1, int64_t(neighbors_.size()));
}

// Of an atom and its image: one of the two opposite translations.
bool PairMLPotential::comes_first(int i, int j) const {
    for (int k = 0; k < 3; ++k) {
        const double translation = atom->x[j][k] - atom->x[i][k];
        if (std::fabs(translation) > NO_DIFFERENCE) return translation > 0.0;
    }
    return false;
}

// Without a cutoff every pair of atoms counts.
void PairMLPotential::check_all_pairs() const {
    bigint own[3] = {bigint(n_owned_), 0, 0}, all[3];
    for (const int32_t other : neighbors_) own[1 + (other >= n_owned_)] += 1;
    MPI_Allreduce(own, all, 3, MPI_LMP_BIGINT, MPI_SUM, world);
    if (all[1] + all[2] / 2 != all[0] * (all[0] - 1) / 2)
        refuse("the model has no cutoff, and LAMMPS does not list all pairs of atoms any more: the "
               "molecule has grown too much since the run began");
}

// Positions of rows and translations of images, which change with every step.
void PairMLPotential::place() {
    double** const x = atom->x;
    for (int64_t row = 0; row < n_rows_; ++row)
        for (int k = 0; k < 3; ++k) positions_[3 * row + k] = x[first_[row]][k];
    const int n_all = atom->nlocal + atom->nghost;
    for (int j = 0; j < n_all; ++j)
        for (int k = 0; k < 3; ++k)
            translations_[3 * size_t(j) + k] =
                row_[j] < 0 ? 0.0 : x[j][k] - positions_[3 * size_t(row_[j]) + k];
}
