// Where compiled cells make themselves known, when the library is loaded.
#pragma once

#include <string_view>

#include "scan.hpp"

namespace seqloom {

// Enters kernels under a cell's name. Such objects are static and are made before anything can ask find_kernels; the
// name must live as long as the program.
template <typename T>
struct Registration {
    Registration(std::string_view cell, Isa isa, Precision precision, const Kernels<T>& kernels);
};

}  // namespace seqloom
