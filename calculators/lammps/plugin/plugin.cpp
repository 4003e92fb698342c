// What LAMMPS calls when it loads the plugin, and what it refuses to be loaded into.

#include <string>

#include "lammps.h"
#include "library.h"
#include "lmptype.h"

#include "pair_mlpotential.h"

using namespace LAMMPS_NS;

namespace {

// As the PLUGIN package of LAMMPS declares it, in lammpsplugin.h, which not every installation has.
struct Plugin {
    const char *version, *style, *name, *info, *author;
    union {
        void* (*v1)(void*);
        void* (*v2)(void*, int, char**);
    } creator;
    void* handle;
};

// MLPOTENTIAL_LAMMPS is the version of the headers, such as 20250722: another one has other objects.
void* create(void* lammps) {
    const int version = lammps_version(lammps);
    const bool fits = lammps_extract_setting(lammps, "tagint") == int(sizeof(tagint));
    if (version == MLPOTENTIAL_LAMMPS && fits)
        return static_cast<Pair*>(new PairMLPotential(static_cast<LAMMPS*>(lammps)));
    const std::string why =
        fits ? "LAMMPS is version " + std::to_string(version) + " and the plugin was built for " +
                   std::to_string(MLPOTENTIAL_LAMMPS)
             : "LAMMPS has atom IDs of another size than the headers that the plugin was built with";
    const std::string text = "Pair style mlpotential: " + why +
                             ": build it anew with mlpotential lammps build --lammps-include";
    lammps_error(lammps, LMP_ERROR_ALL, text.c_str());
    return nullptr;
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void* lammps, void* handle,
                                                                         void* register_plugin) {
    Plugin plugin{};
    plugin.version = MLPOTENTIAL_LAMMPS_DATE;
    plugin.style = "pair";
    plugin.name = "mlpotential";
    plugin.info = "SchNet of mlpotential over MPI";
    plugin.author = "mlpotential";
    plugin.creator.v1 = &create;
    plugin.handle = handle;
    reinterpret_cast<void (*)(Plugin*, void*)>(register_plugin)(&plugin, lammps);
}
