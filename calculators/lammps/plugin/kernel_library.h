// The compiled kernels of the package, opened at run time: the best that every processor can run.

#pragma once

#include <dlfcn.h>

#include <string>

#include "schnet.h"

namespace mlpotential {

class KernelLibrary {
public:
    decltype(&schnet_create) create = nullptr;
    decltype(&schnet_destroy) destroy = nullptr;
    decltype(&schnet_evaluate) evaluate = nullptr;

    // The most demanding instruction set, 0, 1 or 2, that this processor has and a kernel was
    // compiled for; negative, with the reason in words, where there is no kernel.
    static int best(std::string& problem) {
        void* portable = open_set(0, problem);
        if (!portable) return -1;
        int level = int(function<decltype(&schnet_processor)>(portable, "schnet_processor")());
        std::string ignored;
        while (level > 0 && !open_set(level, ignored)) --level;
        return level;
    }

    // Why it cannot be used, in words, empty where it can.
    std::string open(int level) {
        std::string problem;
        void* library = open_set(level, problem);
        if (!library) return problem;
        create = function<decltype(&schnet_create)>(library, "schnet_create");
        destroy = function<decltype(&schnet_destroy)>(library, "schnet_destroy");
        evaluate = function<decltype(&schnet_evaluate)>(library, "schnet_evaluate");
        return "";
    }

    static const char* name(int level) {
        const char* const names[] = {"portable", "avx2", "avx512"};
        return names[level];
    }

private:
    template <class F> static F function(void* library, const char* name) {
        return reinterpret_cast<F>(dlsym(library, name));
    }

    // MLPOTENTIAL_KERNELS and _SUFFIX are where they lie, said by `mlpotential lammps build`.
    static void* open_set(int level, std::string& problem) {
        const std::string path =
            std::string(MLPOTENTIAL_KERNELS "/_schnet_") + name(level) + MLPOTENTIAL_SUFFIX;
        const std::string anew = ": build the plugin anew with mlpotential lammps build";
        void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!library) {
            problem = "cannot open the kernel " + path + " of the package mlpotential" + anew;
            return nullptr;
        }
        const auto interface =
            function<decltype(&schnet_interface)>(library, "schnet_interface");
        if (!interface || interface() != SCHNET_INTERFACE) {
            problem = "the kernel " + path + " is of another version than the plugin" + anew;
            return nullptr;
        }
        return library;
    }
};

}  // namespace mlpotential
