// The guard: atoms outside the training data of the model, as training_domain.py defines them.

#include <cmath>
#include <cstdio>
#include <string>

#include "atom.h"
#include "comm.h"
#include "error.h"

#include "pair_mlpotential.h"

using namespace LAMMPS_NS;

namespace {

std::string in_A(double length) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3f A", length);
    return text;
}

}  // namespace

bool PairMLPotential::is_outside(const SchNetFinding& finding) const {
    return finding.distance_deficit > file_->distance_tolerance ||
           finding.feature_deviation > file_->max_feature_deviation ||
           finding.nearest_ratio > file_->max_nearest_ratio || finding.coordination_deficit > 0;
}

// Counts own atoms outside; of the first process that has some, the first is told to all.
void PairMLPotential::judge() {
    for (const Extra count : {OUTSIDE, TOO_NEAR, UNUSUAL, ALONE}) pvector[count] = 0.0;
    int64_t worst = -1;
    for (int64_t row = 0; row < n_owned_; ++row) {
        const SchNetFinding& found = findings_[row];
        if (!is_outside(found)) continue;
        if (worst < 0) worst = row;
        pvector[OUTSIDE] += 1.0;
        pvector[TOO_NEAR] += found.distance_deficit > file_->distance_tolerance;
        pvector[UNUSUAL] += found.feature_deviation > file_->max_feature_deviation;
        pvector[ALONE] += found.nearest_ratio > file_->max_nearest_ratio ||
                      found.coordination_deficit > 0;
    }
    if (has_warned_) return;
    int own = worst >= 0 ? comm->me : comm->nprocs, first;
    MPI_Allreduce(&own, &first, 1, MPI_INT, MPI_MIN, world);
    if (first == comm->nprocs) return;
    std::string text = comm->me == first ? describe(worst) : "";
    int n = int(text.size());
    MPI_Bcast(&n, 1, MPI_INT, first, world);
    text.resize(n);
    MPI_Bcast(&text[0], n, MPI_CHAR, first, world);
    text = "outside the training data: " + text + ". Energies and forces are extrapolated here";
    if (guard_ == Guard::STOP) refuse(text);
    if (comm->me == 0)
        error->warning(FLERR, "Pair style mlpotential: " + text +
                                  ". This is said once a run; guard stop would stop here");
    has_warned_ = true;
}

std::string PairMLPotential::symbol_of(int64_t row) const {
    return symbols_[atom->type[first_[row]]];
}

std::string PairMLPotential::describe(int64_t row) const {
    const SchNetFinding& found = findings_[row];
    const std::string symbol = symbol_of(row);
    const std::string name =
        "atom " + std::to_string(atom->tag[first_[row]]) + " (" + symbol + ")";
    if (found.distance_deficit > file_->distance_tolerance) {
        const int64_t n = file_->model.n_elements, other = found.partner;
        const double shortest =
            file_->table("shortest")[row_elements_[row] * n + row_elements_[other]];
        return name + " and atom " + std::to_string(atom->tag[first_[other]]) + " (" +
               symbol_of(other) + ") are " + in_A(shortest - found.distance_deficit) + " apart, " +
               in_A(found.distance_deficit) + " less than any " + symbol + "-" + symbol_of(other) +
               " (" + in_A(shortest) + ")";
    }
    if (found.feature_deviation > file_->max_feature_deviation) {
        char excess[32];
        std::snprintf(excess, sizeof excess, "%.2f", (found.feature_deviation - 1.0) / 2.0);
        return "features of " + name + " lie beyond those of any " + symbol + " by " + excess +
               " of their range";
    }
    const double* known = file_->table("neighborhoods") + 3 * row_elements_[row];
    if (std::isinf(found.nearest_ratio))
        return name + " has no neighbour (each " + symbol + " had one in training)";
    if (found.nearest_ratio > file_->max_nearest_ratio)
        return "the nearest neighbour of " + name + " is " +
               in_A(found.nearest_ratio * known[0]) + " away (in training at most " +
               in_A(known[0]) + ")";
    return name + " has a coordination number of " +
           std::to_string(int64_t(known[1]) - found.coordination_deficit) +
           " (in training at least " + std::to_string(int64_t(known[1])) + ")";
}
