// pair_style mlpotential: a SchNet over the processes of LAMMPS.
//
//     pair_style mlpotential FILE.mlpk [threads N] [guard warn|stop|off]
//     pair_coeff * * H C O                    an element, or NULL, for each atom type
//
// LAMMPS owns and moves the atoms, the compiled kernel of the package evaluates. The kernel sees rows
// of atoms, not of ghosts: all images of an own atom are that atom, at another translation, and all
// images of an atom of another process are one copy of it. What the layers of the network need of the
// copies is fetched from their owners once an interaction, forward and backward (exchange.h).

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pair.h"

#include "exchange.h"
#include "kernel_file.h"
#include "kernel_library.h"

namespace LAMMPS_NS {

class PairMLPotential : public Pair {
public:
    explicit PairMLPotential(LAMMPS* lmp);
    ~PairMLPotential() override;

    void settings(int narg, char** arg) override;
    void coeff(int narg, char** arg) override;
    void init_style() override;
    double init_one(int i, int j) override;
    void compute(int eflag, int vflag) override;

    void write_restart(FILE* file) override;
    void read_restart(FILE* file) override;
    void write_restart_settings(FILE* file) override;
    void read_restart_settings(FILE* file) override;

    int pack_forward_comm(int n, int* list, double* to, int, int*) override;
    void unpack_forward_comm(int n, int first, double* from) override;
    void* extract(const char* name, int& dimension) override;
    void* extract_peratom(const char* name, int& n_columns) override;
    double memory_usage() override;

private:
    enum class Guard { WARN, STOP, OFF };
    // What `compute ID all pair mlpotential` gives, each a sum over all processes: atoms outside the
    // training data, and for each reason; CPU seconds of the run so far, in exchanges and in all;
    // copies of atoms; pairs that are listed.
    enum Extra { OUTSIDE, TOO_NEAR, UNUSUAL, ALONE, EXCHANGE_SECONDS, SECONDS, COPIES, PAIRS,
                 N_EXTRA };

    std::string read_on_all(const std::string& path, std::string& content) const;
    void load(const std::string& path);
    void open_kernel();
    void assign(int type, const std::string& symbol);
    void allocate();

    void connect();
    void number_rows();
    void list_pairs();
    bool is_near(int i, int j) const;
    bool comes_first(int i, int j) const;
    void check_all_pairs() const;
    void place();
    void evaluate(SchNetResult& result);
    void check(const SchNetResult& result);
    void share_charges();

    bool is_outside(const SchNetFinding& finding) const;
    void judge();
    std::string describe(int64_t worst) const;
    std::string symbol_of(int64_t row) const;
    [[noreturn]] void refuse(const std::string& text) const;

    // settings
    std::string path_;
    int threads_ = 1;
    Guard guard_ = Guard::WARN;
    std::vector<std::string> symbols_;  // of each type, from 1 on; empty for NULL
    std::vector<int> element_;          // its row of the embedding; negative for NULL

    // the model
    std::unique_ptr<mlpotential::KernelFile> file_;
    mlpotential::KernelLibrary kernel_;
    void* network_ = nullptr;
    double ev_ = 1.0;      // in the units of energy of LAMMPS
    bool watches_ = false;  // the guard is on, and knows something

    // Rows are of own atoms with an element, then of copies, owner by owner.
    bool stale_ = true;
    int64_t n_owned_ = 0, n_rows_ = 0;
    std::vector<int> owner_;             // of each atom of LAMMPS, ghosts too: its process
    std::vector<int> row_;               // likewise: its row; negative without
    std::vector<int> first_;             // of each row: an atom of LAMMPS
    std::vector<int32_t> row_elements_;  // of each row
    std::vector<int64_t> row_start_;
    std::vector<int32_t> neighbors_, images_;  // of each pair: the row, and which atom of LAMMPS
    std::vector<double> positions_, translations_;
    mlpotential::Exchange exchange_;

    // the answer
    std::vector<double> energies_, forces_, charges_, atom_charges_;
    std::vector<SchNetFinding> findings_;
    int wants_charges_ = 0;
    bool has_warned_ = false;
    double seconds_ = 0.0;
};

}  // namespace LAMMPS_NS
