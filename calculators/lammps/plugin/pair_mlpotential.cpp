// See pair_mlpotential.h. How atoms get rows and pairs is in connect.cpp, the guard in guard.cpp.

#include "pair_mlpotential.h"

#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "atom.h"
#include "comm.h"
#include "domain.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

using namespace LAMMPS_NS;

namespace {

constexpr double KCAL_PER_MOL_PER_EV = 23.060547830619026;  // CODATA 2018, exact; 4184 J/kcal
constexpr int MAX_THREADS = 1024;                           // chosen: a slip ends in words

}  // namespace

PairMLPotential::PairMLPotential(LAMMPS* lmp) : Pair(lmp) {
    one_coeff = 1;
    manybody_flag = 1;
    single_enable = 0;
    no_virial_fdotr_compute = 1;
    centroidstressflag = CENTROID_NOTAVAIL;
    comm_forward = 1;
    nextra = N_EXTRA;
    pvector = new double[nextra]();
}

PairMLPotential::~PairMLPotential() {
    if (network_) kernel_.destroy(network_);
    delete[] pvector;
    if (allocated) {
        memory->destroy(setflag);
        memory->destroy(cutsq);
    }
}

void PairMLPotential::refuse(const std::string& text) const {
    error->all(FLERR, "Pair style mlpotential: " + text);
}

// ---------------------------------------------------------------- what the input file says

void PairMLPotential::settings(int narg, char** arg) {
    const std::string usage = "pair_style mlpotential FILE.mlpk [threads N] [guard warn|stop|off]";
    if (narg < 1 || narg % 2 == 0) refuse("it is written " + usage);
    threads_ = 1;
    guard_ = Guard::WARN;
    for (int k = 1; k < narg; k += 2) {
        const std::string name = arg[k], value = arg[k + 1];
        if (name == "threads") {
            threads_ = utils::inumeric(FLERR, arg[k + 1], false, lmp);
            if (threads_ < 1 || threads_ > MAX_THREADS)
                refuse("threads must be from 1 to " + std::to_string(MAX_THREADS) + ", not " +
                       value);
        } else if (name == "guard") {
            if (value == "warn") guard_ = Guard::WARN;
            else if (value == "stop") guard_ = Guard::STOP;
            else if (value == "off") guard_ = Guard::OFF;
            else refuse("guard must be warn, stop or off, not " + value);
        } else {
            refuse("there is no option " + name + ": " + usage);
        }
    }
    load(arg[0]);
}

void PairMLPotential::allocate() {
    const int n = atom->ntypes;
    if (allocated) {
        memory->destroy(setflag);
        memory->destroy(cutsq);
    }
    allocated = 1;
    memory->create(setflag, n + 1, n + 1, "pair:setflag");
    memory->create(cutsq, n + 1, n + 1, "pair:cutsq");
    for (int i = 1; i <= n; ++i)
        for (int j = 1; j <= n; ++j) setflag[i][j] = 0;
    symbols_.assign(n + 1, "");
    element_.assign(n + 1, -1);
}

void PairMLPotential::assign(int type, const std::string& symbol) {
    if (symbol == "NULL") return;
    const auto found = file_->elements.find(symbol);
    if (found == file_->elements.end()) {
        std::string known;
        for (const auto& [name, row] : file_->elements) known += (known.empty() ? "" : " ") + name;
        refuse("the model knows the elements " + known + ", not " + symbol + " (of atom type " +
               std::to_string(type) + ")");
    }
    symbols_[type] = symbol;
    element_[type] = found->second;
}

void PairMLPotential::coeff(int narg, char** arg) {
    const int n = atom->ntypes;
    const bool is_for_all = narg > 1 && !std::strcmp(arg[0], "*") && !std::strcmp(arg[1], "*");
    if (!is_for_all || narg != 2 + n)
        refuse("write pair_coeff * * and then an element, or NULL, for each of the " +
               std::to_string(n) + " atom types");
    allocate();
    for (int type = 1; type <= n; ++type) assign(type, arg[1 + type]);
    int n_set = 0;
    for (int i = 1; i <= n; ++i)
        for (int j = i; j <= n; ++j)
            if (element_[i] >= 0 && element_[j] >= 0) setflag[i][j] = 1, ++n_set;
    if (!n_set) refuse("every atom type is NULL in pair_coeff");
}

// The content of a file that one process reads; what is wrong in words.
std::string PairMLPotential::read_on_all(const std::string& path, std::string& content) const {
    bigint size = -1;
    if (comm->me == 0) {
        std::ifstream file(path, std::ios::binary);
        std::ostringstream all;
        if (file && all << file.rdbuf()) {
            content = all.str();
            size = bigint(content.size());
        }
    }
    MPI_Bcast(&size, 1, MPI_LMP_BIGINT, 0, world);
    if (size < 0) return "cannot be read: make it with mlpotential lammps export";
    content.resize(size);
    constexpr bigint AT_ONCE = 1 << 30;
    for (bigint at = 0; at < size; at += AT_ONCE)
        MPI_Bcast(&content[at], int(std::min(AT_ONCE, size - at)), MPI_BYTE, 0, world);
    return "";
}

void PairMLPotential::load(const std::string& path) {
    path_ = path;
    auto file = std::make_unique<mlpotential::KernelFile>();
    std::string content, problem = read_on_all(path, content);
    if (problem.empty()) problem = file->read(content);
    if (!problem.empty()) refuse(path + " " + problem);
    file_ = std::move(file);
    if (network_) kernel_.destroy(network_);
    network_ = nullptr;
    open_kernel();
    network_ = kernel_.create(&file_->model, file_->bytes_per_number);
    if (!network_) error->one(FLERR, "Pair style mlpotential: not enough memory for the model");
    const auto& model = file_->model;
    const bool knows = model.shortest || model.feature_centers || model.neighborhoods;
    watches_ = guard_ != Guard::OFF && knows;
    if (guard_ != Guard::OFF && !knows && comm->me == 0)
        error->warning(FLERR,
                       "Pair style mlpotential: the model says nothing of its training data, so "
                       "structures outside it go unnoticed: mlpotential add-domain adds it");
    file_->forget_network();
}

// The same kernel in all processes: rows are as wide as its vectors demand.
void PairMLPotential::open_kernel() {
    std::string problem;
    int own = mlpotential::KernelLibrary::best(problem), level;
    MPI_Allreduce(&own, &level, 1, MPI_INT, MPI_MIN, world);
    if (own >= 0 && level >= 0) problem = kernel_.open(level);
    int worst_own = problem.empty() ? comm->nprocs : comm->me, worst;
    MPI_Allreduce(&worst_own, &worst, 1, MPI_INT, MPI_MIN, world);
    if (worst < comm->nprocs) {
        int n = int(problem.size());
        MPI_Bcast(&n, 1, MPI_INT, worst, world);
        problem.resize(n);
        MPI_Bcast(&problem[0], n, MPI_CHAR, worst, world);
        refuse(problem);
    }
    if (comm->me == 0)
        utils::logmesg(lmp, "mlpotential: {} kernel, {}, {} thread{} per process\n",
                       mlpotential::KernelLibrary::name(level),
                       file_->bytes_per_number == 8 ? "float64" : "float32", threads_,
                       threads_ == 1 ? "" : "s");
}

void PairMLPotential::init_style() {
    if (!atom->tag_enable) refuse("it needs atom IDs: leave atom_modify id at yes");
    if (!std::strcmp(update->unit_style, "metal")) ev_ = 1.0;
    else if (!std::strcmp(update->unit_style, "real")) ev_ = KCAL_PER_MOL_PER_EV;
    else refuse(std::string("it needs units metal or real, not ") + update->unit_style);
    if (atom->molecular != Atom::ATOMIC && atom->nbonds > 0)
        for (int k = 1; k <= 3; ++k)
            if (force->special_lj[k] == 0.0)
                refuse("special_bonds would leave bonded atoms out of its pairs: "
                       "set special_bonds lj/coul 1.0 1.0 1.0");
    const bool is_periodic = domain->xperiodic || domain->yperiodic || domain->zperiodic;
    if (std::isinf(file_->model.cutoff) && is_periodic)
        refuse("the model has no cutoff, so each atom would see all its periodic images: set "
               "boundary s s s for a molecule, or train with a cutoff");
    neighbor->add_request(this, NeighConst::REQ_FULL);
    stale_ = true;
    has_warned_ = false;
    seconds_ = exchange_.seconds = 0.0;
}

double PairMLPotential::init_one(int, int) {
    if (!std::isinf(file_->model.cutoff)) return file_->model.cutoff;
    // all pairs, though atoms move apart and the shrink-wrapped box grows
    double squared = 0.0;
    for (int k = 0; k < 3; ++k) squared += domain->prd[k] * domain->prd[k];
    return 2.0 * std::sqrt(squared) + 10.0;
}

// ---------------------------------------------------------------- a step

void PairMLPotential::compute(int eflag, int vflag) {
    ev_init(eflag, vflag);
    if (vflag_atom || cvflag_atom)
        refuse("it has no virial per atom, only that of all: use compute pressure instead of "
               "stress/atom and the like");
    const double start = mlpotential::cpu_seconds();
    if (neighbor->ago == 0 || stale_) connect();
    place();

    double virial_of_all[9] = {};
    SchNetResult result{};
    energies_.resize(n_rows_);
    forces_.resize(3 * n_rows_);
    result.atomic_energies = energies_.data();
    result.forces = forces_.data();
    result.virial = virial_of_all;
    if (wants_charges_) {
        charges_.resize(n_rows_);
        result.charges = charges_.data();
    }
    if (watches_) {
        findings_.resize(n_rows_);
        result.findings = findings_.data();
    }
    if (n_owned_ > 0) evaluate(result);  // without own atoms there are no copies either
    if (watches_) judge();
    if (wants_charges_) share_charges();

    double** const f = atom->f;
    for (int64_t row = 0; row < n_owned_; ++row) {
        const int i = first_[row];
        for (int k = 0; k < 3; ++k) f[i][k] += ev_ * forces_[3 * row + k];
        if (eflag_global) eng_vdwl += ev_ * energies_[row];
        if (eflag_atom) eatom[i] += ev_ * energies_[row];
    }
    if (vflag_global) {
        const int from[6] = {0, 4, 8, 1, 2, 5};  // LAMMPS: xx yy zz xy xz yz
        for (int k = 0; k < 6; ++k) virial[k] += ev_ * virial_of_all[from[k]];
    }
    seconds_ += mlpotential::cpu_seconds() - start;
    pvector[EXCHANGE_SECONDS] = exchange_.seconds;
    pvector[SECONDS] = seconds_;
    pvector[COPIES] = double(n_rows_ - n_owned_);
    pvector[PAIRS] = double(neighbors_.size());
}

void PairMLPotential::evaluate(SchNetResult& result) {
    const int64_t graph_start[2] = {0, n_rows_};
    const SchNetHalo halo{n_owned_, &exchange_, &mlpotential::Exchange::fetch};
    const SchNetGraph graph{1,
                            n_rows_,
                            graph_start,
                            row_elements_.data(),
                            positions_.data(),
                            row_start_.data(),
                            neighbors_.data(),
                            images_.data(),
                            translations_.data(),
                            &halo};
    const int64_t status = kernel_.evaluate(network_, &graph, threads_, &result);
    if (status == SCHNET_NO_MEMORY)
        error->one(FLERR, "Pair style mlpotential: not enough memory for " +
                              std::to_string(n_rows_) + " atoms in one process: use more of them");
    if (status == SCHNET_NO_THREADS)
        error->one(FLERR, "Pair style mlpotential: the system does not give " +
                              std::to_string(threads_) + " threads: ask for fewer");
    check(result);
}

// Atoms in one place, and runs that exploded: LAMMPS would go on for a while.
void PairMLPotential::check(const SchNetResult& result) {
    if (result.closest < file_->smallest_distance) {
        const int64_t i = first_[result.closest_pair[0]], j = first_[result.closest_pair[1]];
        error->one(FLERR, "Pair style mlpotential: atoms " + std::to_string(atom->tag[i]) +
                              " and " + std::to_string(atom->tag[j]) + " are in one place");
    }
    double sum = 0.0;
    for (int64_t row = 0; row < n_owned_; ++row) sum += std::fabs(energies_[row]);
    for (int64_t k = 0; k < 3 * n_owned_; ++k) sum += std::fabs(forces_[k]);
    if (!std::isfinite(sum))
        error->one(FLERR, "Pair style mlpotential: energies or forces are not finite: the atoms "
                          "have exploded, so take a smaller timestep or a relaxed structure");
}

// q_i = q'_i + (Q - sum_j q'_j) / n_atoms, as mlpotential/nn/charges.py has it.
void PairMLPotential::share_charges() {
    double own[2] = {0.0, double(n_owned_)}, all[2];
    for (int64_t row = 0; row < n_owned_; ++row) own[0] += charges_[row];
    MPI_Allreduce(own, all, 2, MPI_DOUBLE, MPI_SUM, world);
    const double total = file_->total_charge;
    const double excess = std::isnan(total) ? 0.0 : (total - all[0]) / all[1];
    atom_charges_.assign(atom->nlocal, 0.0);
    for (int64_t row = 0; row < n_owned_; ++row)
        atom_charges_[first_[row]] = charges_[row] + excess;
}

// ---------------------------------------------------------------- what others ask of it

int PairMLPotential::pack_forward_comm(int n, int* list, double* to, int, int*) {
    for (int k = 0; k < n; ++k) to[k] = owner_[list[k]];
    return n;
}

void PairMLPotential::unpack_forward_comm(int n, int first, double* from) {
    for (int k = 0; k < n; ++k) owner_[first + k] = int(from[k]);
}

// fix ID all pair N mlpotential charges 1
void* PairMLPotential::extract(const char* name, int& dimension) {
    dimension = 0;
    const bool has_charges = file_ && file_->model.charge_hidden;
    return !std::strcmp(name, "charges_flag") && has_charges ? &wants_charges_ : nullptr;
}

void* PairMLPotential::extract_peratom(const char* name, int& n_columns) {
    n_columns = 0;
    if (std::strcmp(name, "charges") != 0 || !file_ || !file_->model.charge_hidden) return nullptr;
    if (int64_t(atom_charges_.size()) < atom->nlocal) atom_charges_.resize(atom->nlocal, 0.0);
    return atom_charges_.data();
}

double PairMLPotential::memory_usage() {
    const auto& model = file_->model;
    const double width = double(model.n_features * file_->bytes_per_number);
    const double rows = double(n_rows_) * width * (3.0 + threads_ + 2.0 * model.n_interactions);
    const double pairs = double(neighbors_.capacity()) * (2 * 4 + 4 * 8 + 3 * 4);
    return Pair::memory_usage() + rows + pairs + 8.0 * double(translations_.capacity());
}

// ---------------------------------------------------------------- restart files

void PairMLPotential::write_restart_settings(FILE* file) {
    const int numbers[3] = {int(path_.size()), threads_, int(guard_)};
    fwrite(numbers, sizeof(int), 3, file);
    fwrite(path_.data(), 1, path_.size(), file);
    fwrite(file_->sha256.data(), 1, 64, file);
}

void PairMLPotential::read_restart_settings(FILE* file) {
    int numbers[3];
    std::string path, sha256(64, '0');
    if (comm->me == 0) utils::sfread(FLERR, numbers, sizeof(int), 3, file, nullptr, error);
    MPI_Bcast(numbers, 3, MPI_INT, 0, world);
    path.resize(numbers[0]);
    if (comm->me == 0) {
        utils::sfread(FLERR, &path[0], 1, path.size(), file, nullptr, error);
        utils::sfread(FLERR, &sha256[0], 1, 64, file, nullptr, error);
    }
    MPI_Bcast(&path[0], numbers[0], MPI_CHAR, 0, world);
    MPI_Bcast(&sha256[0], 64, MPI_CHAR, 0, world);
    threads_ = numbers[1];
    guard_ = Guard(numbers[2]);
    load(path);
    if (file_->sha256 != sha256 && comm->me == 0)
        error->warning(FLERR, "Pair style mlpotential: " + path +
                                  " is of another model than the restart file");
}

void PairMLPotential::write_restart(FILE* file) {
    write_restart_settings(file);
    for (int type = 1; type <= atom->ntypes; ++type) {
        char symbol[8] = {};
        std::snprintf(symbol, sizeof symbol, "%s",
                      symbols_[type].empty() ? "NULL" : symbols_[type].c_str());
        fwrite(symbol, 1, sizeof symbol, file);
    }
}

void PairMLPotential::read_restart(FILE* file) {
    read_restart_settings(file);
    std::vector<std::string> words{"*", "*"};
    for (int type = 1; type <= atom->ntypes; ++type) {
        char symbol[8];
        if (comm->me == 0) utils::sfread(FLERR, symbol, 1, sizeof symbol, file, nullptr, error);
        MPI_Bcast(symbol, sizeof symbol, MPI_CHAR, 0, world);
        words.emplace_back(symbol);
    }
    std::vector<char*> arguments;
    for (auto& word : words) arguments.push_back(&word[0]);
    coeff(int(arguments.size()), arguments.data());
}
