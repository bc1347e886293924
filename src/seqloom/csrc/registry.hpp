// Where compiled cells make themselves known, when the library is loaded.
#pragma once

#include <string_view>

#include "scan.hpp"

namespace seqloom {

// The kernels of a cell, of one instruction set and precision.
template <typename T>
struct CellKernels {
    std::string_view cell;
    Isa isa;
    Precision precision;
    Kernels<T> kernels;
};

// Enters kernels where find_kernels looks; they live as long as the program. To be called while the library is loaded.
void enter(const CellKernels<float>& kernels);
void enter(const CellKernels<double>& kernels);

}  // namespace seqloom
