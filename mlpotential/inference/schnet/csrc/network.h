// A SchNet packed for the kernel: matrices in panels, filter table in column slices.

#pragma once

#include <optional>
#include <vector>

#include "dense.h"
#include "schnet.h"

namespace mlpotential {

// Pairs are worked through one slice of columns after another, so that the slice of the table and
// the rows of neighbouring atoms stay in the second cache.
constexpr int SLICE = 8;  // vectors

// Of the polynomials of t that the filters are in each interval. What bounds the sums over pairs is
// reading their coefficients: fewer of them are faster, although the intervals are shorter.
template <class T> constexpr int DEGREE = sizeof(T) == 4 ? 4 : 5;

template <class T> struct Interaction {
    Matrix<T> in_to_filter, filter_to_out, output;                 // A, B, C: forward
    Matrix<T> in_to_filter_back, filter_to_out_back, output_back;  // their transposes
    Aligned<T> filter_to_out_bias, output_bias;
};

template <class T> inline Aligned<T> padded_rows(const double* rows, size_t n_rows, int n) {
    const int width = padded<T>(n);
    Aligned<T> result(n_rows * width);
    for (size_t row = 0; row < n_rows; ++row)
        for (int k = 0; k < width; ++k)
            result.get()[row * width + k] = k < n ? T(rows[row * n + k]) : T(0);
    return result;
}

// Two dense layers, features -> one number: the second is a sum over the first, activated.
template <class T> struct Readout {
    Readout(const double* hidden_rows, const double* hidden_bias_row, const double* output_row,
            double output_bias, int n_features, int n_hidden)
        : hidden(hidden_rows, n_features, n_hidden, false),
          hidden_bias(padded_rows<T>(hidden_bias_row, 1, n_hidden)),
          output(padded_rows<T>(output_row, 1, n_hidden)),
          bias(output_bias) {}

    Matrix<T> hidden;
    Aligned<T> hidden_bias, output;
    double bias;
};

template <class T> class Network {
public:
    explicit Network(const SchNetModel& model)
        : n_interactions(int(model.n_interactions)),
          width(padded<T>(int(model.n_features))),
          hidden_width(padded<T>(int(model.n_hidden))),
          last_interval(double(model.n_intervals - 1)),
          spacing(model.spacing),
          last(model.last),
          cutoff(model.cutoff),
          averages(model.averages != 0),
          energy_scale(model.energy_scale),
          readout_activation(model.readout_activation),
          embedding(padded_rows<T>(model.embedding, model.n_elements, int(model.n_features))),
          first_products(
              padded_rows<T>(model.first_products, model.n_elements, int(model.n_features))),
          atom_energies(model.atom_energies, model.atom_energies + model.n_elements),
          readout(model.readout_hidden, model.readout_hidden_bias, model.readout_output,
                  model.readout_bias, int(model.n_features), int(model.n_hidden)),
          readout_back(model.readout_hidden, int(model.n_hidden), int(model.n_features), true),
          n_elements(size_t(model.n_elements)),
          shortest(model.shortest,
                   model.shortest + (model.shortest ? n_elements * n_elements : 0)),
          bond_lengths(model.bond_lengths,
                       model.bond_lengths + (model.bond_lengths ? n_elements * n_elements : 0)),
          neighborhoods(model.neighborhoods,
                        model.neighborhoods + (model.neighborhoods ? n_elements * 3 : 0)),
          table_(size_t(model.n_intervals) * N_POWERS * n_interactions * width) {
        const int n = int(model.n_features);
        for (int l = 0; l < n_interactions; ++l) {
            const double* a = model.in_to_filter + size_t(l) * n * n;
            const double* b = model.filter_to_out + size_t(l) * n * n;
            const double* c = model.output + size_t(l) * n * n;
            interactions.push_back({{a, n, n, false}, {b, n, n, false}, {c, n, n, false},
                                    {a, n, n, true}, {b, n, n, true}, {c, n, n, true},
                                    padded_rows<T>(model.filter_to_out_bias + l * n, 1, n),
                                    padded_rows<T>(model.output_bias + l * n, 1, n)});
        }
        if (model.charge_hidden)
            charge_readout.emplace(model.charge_hidden, model.charge_hidden_bias,
                                   model.charge_output, model.charge_bias, n,
                                   int(model.n_hidden));
        pack_table(model.table, size_t(model.n_intervals), n);
        if (model.feature_centers) {
            feature_centers = padded_rows<T>(model.feature_centers, n_elements, n);
            feature_scales = padded_rows<T>(model.feature_scales, n_elements, n);
        }
    }

    // Columns from `column` on of all intervals: rows of the highest power of t first.
    const T* table(int interaction, int column) const {
        const size_t n_rows = size_t(last_interval + 1) * N_POWERS;
        return table_.get() + n_rows * (size_t(interaction) * width + column);
    }
    int slice_vectors(int column) const {
        return std::min(SLICE, (width - column) / LANES<T>);
    }

    const int n_interactions, width, hidden_width;
    const double last_interval, spacing, last, cutoff;
    const bool averages;
    const double energy_scale;
    const int64_t readout_activation;
    const Aligned<T> embedding, first_products;
    const std::vector<double> atom_energies;
    std::vector<Interaction<T>> interactions;
    const Readout<T> readout;
    const Matrix<T> readout_back;
    std::optional<Readout<T>> charge_readout;
    const size_t n_elements;
    const std::vector<double> shortest, bond_lengths, neighborhoods;
    Aligned<T> feature_centers, feature_scales;

private:
    static constexpr int N_POWERS = DEGREE<T> + 1;

    void pack_table(const double* coefficients, size_t n_intervals, int n) {
        for (int l = 0; l < n_interactions; ++l)
            for (int column = 0; column < width; column += SLICE * LANES<T>) {
                const int columns = slice_vectors(column) * LANES<T>;
                T* slice = table_.get() + n_intervals * N_POWERS * (size_t(l) * width + column);
                for (size_t interval = 0; interval < n_intervals; ++interval)
                    for (int row = 0; row < N_POWERS; ++row) {
                        const size_t from = interval * N_POWERS + N_POWERS - 1 - row;
                        const double* of_power = coefficients + (from * n_interactions + l) * n;
                        for (int k = 0; k < columns; ++k)
                            *slice++ = column + k < n ? T(of_power[column + k]) : T(0);
                    }
            }
    }

    Aligned<T> table_;
};

}  // namespace mlpotential
