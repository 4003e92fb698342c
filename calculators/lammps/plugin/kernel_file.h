// A model as the kernel reads it, from the file that `mlpotential lammps export` writes.
//
// mlpotential/inference/schnet/kernel_file.py says what is in such a file. Nothing here knows LAMMPS.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "schnet.h"

namespace mlpotential {

inline uint32_t crc32(const char* bytes, size_t n, uint32_t before = 0) {
    static const std::vector<uint32_t> table = [] {
        std::vector<uint32_t> t(256);
        for (uint32_t k = 0; k < 256; ++k) {
            t[k] = k;
            for (int bit = 0; bit < 8; ++bit)
                t[k] = t[k] & 1 ? 0xEDB88320u ^ (t[k] >> 1) : t[k] >> 1;
        }
        return t;
    }();
    uint32_t crc = ~before;
    for (size_t k = 0; k < n; ++k) crc = table[(crc ^ uint8_t(bytes[k])) & 255] ^ (crc >> 8);
    return ~crc;
}

class KernelFile {
public:
    SchNetModel model{};
    int64_t bytes_per_number = 0;
    std::map<std::string, int> elements;  // rows of the embedding by symbol
    std::string sha256;                   // of the model file
    double distance_tolerance = 0, max_feature_deviation = 0, max_nearest_ratio = 0;
    double smallest_distance = 0, total_charge = 0;

    // Takes over the content of a file; why it cannot be used, in words, empty where it can.
    std::string read(const std::string& content) {
        const std::string magic = "mlpotential kernel file ";
        const std::string anew = ": make it anew with mlpotential lammps export";
        if (content.size() > 9 && content[8] == '{')
            return "is a model file: mlpotential lammps export makes a kernel file of it";
        if (content.compare(0, magic.size(), magic) != 0)
            return "is no kernel file: mlpotential lammps export makes one of a model file";
        std::map<std::string, std::string> fields;
        std::vector<std::string> array_lines;
        size_t at = 0, text_end = 0;
        bool ended = false;
        while (!ended) {
            const size_t line_end = content.find('\n', at);
            if (line_end == std::string::npos) return "is cut short" + anew;
            const std::string line = content.substr(at, line_end - at);
            const size_t blank = line.find(' ');
            const std::string name = line.substr(0, blank);
            const std::string rest = blank == std::string::npos ? "" : line.substr(blank + 1);
            if (at == 0 && line != magic + "1") return "is of another version" + anew;
            if (name == "interface" && rest != std::to_string(SCHNET_INTERFACE))
                return "is for kernels of interface " + rest + ", and this plugin is for those of " +
                       std::to_string(SCHNET_INTERFACE) +
                       ": make it anew with mlpotential lammps export, or the plugin with "
                       "mlpotential lammps build";
            if (name == "array") array_lines.push_back(rest);
            fields[name] = rest;
            if ((ended = name == "end")) text_end = at;
            at = line_end + 1;
        }
        const uint32_t crc = crc32(content.data() + at, content.size() - at,
                                   crc32(content.data(), text_end));
        if (std::to_string(crc) != fields["end"]) return "is cut short or damaged" + anew;
        if (!take_scalars(fields) || !take_arrays(array_lines, content, at))
            return "lacks something" + anew;
        return is_stale(fields["model_path"])
                   ? "was made of an earlier " + fields["model_path"] + anew
                   : "";
    }

    // Of the tables that the network does not need; null where there are none.
    const double* table(const std::string& name) const {
        const auto found = arrays_.find(name);
        return found == arrays_.end() ? nullptr : found->second.data();
    }

    // Once the network is packed: lets go of everything but the small tables.
    void forget_network() {
        for (auto& [name, array] : arrays_)
            if (name != "shortest" && name != "neighborhoods") std::vector<double>().swap(array);
    }

private:
    bool take_scalars(std::map<std::string, std::string>& fields) {
        bool complete = true;
        const auto text = [&](const char* name) {
            const auto found = fields.find(name);
            if (found == fields.end()) complete = false;
            return found == fields.end() ? std::string("0") : found->second;
        };
        const auto whole = [&](const char* name, int64_t& to) {
            to = std::strtoll(text(name).c_str(), nullptr, 10);
        };
        const auto real = [&](const char* name, double& to) {
            to = std::strtod(text(name).c_str(), nullptr);
        };
        whole("bytes_per_number", bytes_per_number);
        whole("n_interactions", model.n_interactions);
        whole("n_features", model.n_features);
        whole("n_hidden", model.n_hidden);
        whole("n_elements", model.n_elements);
        whole("n_intervals", model.n_intervals);
        whole("averages", model.averages);
        whole("readout_activation", model.readout_activation);
        real("spacing", model.spacing);
        real("last", model.last);
        real("cutoff", model.cutoff);
        real("energy_scale", model.energy_scale);
        real("readout_bias", model.readout_bias);
        real("charge_bias", model.charge_bias);
        real("distance_tolerance", distance_tolerance);
        real("max_feature_deviation", max_feature_deviation);
        real("max_nearest_ratio", max_nearest_ratio);
        real("smallest_distance", smallest_distance);
        real("total_charge", total_charge);
        sha256 = text("model_sha256");
        std::istringstream words(text("elements"));
        std::string symbol;
        for (int row; words >> symbol >> row;) elements[symbol] = row;
        return complete && !elements.empty();
    }

    bool take_arrays(const std::vector<std::string>& lines, const std::string& content, size_t at) {
        for (const auto& line : lines) {
            std::istringstream words(line);
            std::string name, type;
            size_t n = 0;
            words >> name >> type >> n;
            const size_t size = type == "float32" ? 4 : 8;
            if (at + n * size > content.size()) return false;
            auto& array = arrays_[name];
            array.resize(n);
            if (size == 8) {
                std::memcpy(array.data(), content.data() + at, n * size);
            } else {
                std::vector<float> numbers(n);
                std::memcpy(numbers.data(), content.data() + at, n * size);
                array.assign(numbers.begin(), numbers.end());
            }
            at += n * size;
        }
        const auto of = [&](const char* name) { return table(name); };
        model.table = of("table");
        model.embedding = of("embedding");
        model.first_products = of("first_products");
        model.atom_energies = of("atom_energies");
        model.in_to_filter = of("in_to_filter");
        model.filter_to_out = of("filter_to_out");
        model.filter_to_out_bias = of("filter_to_out_bias");
        model.output = of("output");
        model.output_bias = of("output_bias");
        model.readout_hidden = of("readout_hidden");
        model.readout_hidden_bias = of("readout_hidden_bias");
        model.readout_output = of("readout_output");
        model.charge_hidden = of("charge_hidden");
        model.charge_hidden_bias = of("charge_hidden_bias");
        model.charge_output = of("charge_output");
        model.shortest = of("shortest");
        model.feature_centers = of("feature_centers");
        model.feature_scales = of("feature_scales");
        model.bond_lengths = of("bond_lengths");
        model.neighborhoods = of("neighborhoods");
        return model.table && model.embedding && model.readout_output;
    }

    // Whether the model file is still there and holds something else now: its header has its sha256.
    bool is_stale(const std::string& path) const {
        std::ifstream file(path, std::ios::binary);
        uint64_t n = 0;
        if (!file.read(reinterpret_cast<char*>(&n), 8) || n > (uint64_t(1) << 30)) return false;
        std::string header(n, '\0');
        if (!file.read(header.data(), std::streamsize(n))) return false;
        return header.find(sha256) == std::string::npos;
    }

    std::map<std::string, std::vector<double>> arrays_;
};

}  // namespace mlpotential
