// Who has copies of whose atoms, and how rows of numbers come from the owners to the copies.
//
// Rows go straight from owner to copy, one message for each two processes, whatever LAMMPS's own
// swaps are: it sends ghosts, of which an atom has many, as doubles.

#pragma once

#include <mpi.h>

#include <ctime>
#include <cstdint>
#include <cstring>
#include <vector>

namespace mlpotential {

// CPU seconds of this thread. MPI waits busily, so waiting counts; being preempted does not.
inline double cpu_seconds() {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

class Exchange {
public:
    // Tells all owners what is wanted of them. `wanted[rank]` are numbers of atoms (tags); the copies
    // get rows from `n_owned` on in this order. `row_of(tag)` is the row of an own atom.
    template <class Tag, class RowOf>
    void arrange(MPI_Comm world, MPI_Datatype type, const std::vector<std::vector<Tag>>& wanted,
                 int64_t n_owned, const RowOf& row_of) {
        world_ = world;
        partners_.clear();
        const int n_ranks = int(wanted.size());
        if (n_ranks == 1) return;
        std::vector<int> n_wanted(n_ranks), n_sent(n_ranks);
        for (int rank = 0; rank < n_ranks; ++rank) n_wanted[rank] = int(wanted[rank].size());
        MPI_Alltoall(n_wanted.data(), 1, MPI_INT, n_sent.data(), 1, MPI_INT, world);
        std::vector<std::vector<Tag>> asked(n_ranks);
        requests_.clear();
        for (int rank = 0; rank < n_ranks; ++rank) {
            if (n_sent[rank]) {
                asked[rank].resize(n_sent[rank]);
                MPI_Irecv(asked[rank].data(), n_sent[rank], type, rank, 0, world, request());
            }
            if (n_wanted[rank])
                MPI_Isend(wanted[rank].data(), n_wanted[rank], type, rank, 0, world, request());
        }
        wait();
        int64_t first = n_owned;
        for (int rank = 0; rank < n_ranks; ++rank) {
            if (!n_wanted[rank] && !n_sent[rank]) continue;
            Partner partner{rank, {}, first, n_wanted[rank], {}};
            partner.sent.reserve(asked[rank].size());
            for (const Tag tag : asked[rank]) partner.sent.push_back(row_of(tag));
            first += partner.n_copies;
            partners_.push_back(std::move(partner));
        }
    }

    // Overwrites the rows of all copies. As SchNetHalo wants it: `self` is an Exchange.
    static void fetch(void* self, void* rows, int64_t bytes_per_row) {
        static_cast<Exchange*>(self)->fetch(static_cast<char*>(rows), bytes_per_row);
    }

    double seconds = 0.0;  // CPU time of exchanges, waiting for others included

private:
    struct Partner {
        int rank;
        std::vector<int> sent;  // rows of own atoms that it has copies of
        int64_t first;          // row of the copies of its atoms
        int n_copies;
        std::vector<char> buffer;
    };

    void fetch(char* rows, int64_t bytes) {
        if (partners_.empty()) return;
        const double start = cpu_seconds();
        MPI_Datatype row;
        MPI_Type_contiguous(int(bytes), MPI_BYTE, &row);  // counts of bytes overflow an int
        MPI_Type_commit(&row);
        requests_.clear();
        for (auto& partner : partners_)
            if (partner.n_copies)
                MPI_Irecv(rows + partner.first * bytes, partner.n_copies, row, partner.rank, 0,
                          world_, request());
        for (auto& partner : partners_) {
            if (partner.sent.empty()) continue;
            partner.buffer.resize(partner.sent.size() * bytes);
            char* to = partner.buffer.data();
            for (const int from : partner.sent) {
                std::memcpy(to, rows + from * bytes, bytes);
                to += bytes;
            }
            MPI_Isend(partner.buffer.data(), int(partner.sent.size()), row, partner.rank, 0, world_,
                      request());
        }
        wait();
        MPI_Type_free(&row);
        seconds += cpu_seconds() - start;
    }

    MPI_Request* request() {
        requests_.emplace_back();
        return &requests_.back();
    }
    void wait() {
        MPI_Waitall(int(requests_.size()), requests_.data(), MPI_STATUSES_IGNORE);
    }

    MPI_Comm world_ = MPI_COMM_NULL;
    std::vector<Partner> partners_;
    std::vector<MPI_Request> requests_;
};

}  // namespace mlpotential
