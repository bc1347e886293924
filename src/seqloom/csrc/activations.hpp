// The activations of gates over contiguous memory: what the kernels compute inside a scan, within reach of a test.
#pragma once

#include <cstddef>
#include <tuple>

#include "isa.hpp"

namespace seqloom {

// output[i] = 1 / (1 + exp(-input[i])) and output[i] = tanh(input[i]) for 0 <= i < count, within 3 units in the last
// place (math.hpp).
//
// isa     one that choose() gave; the highest target that was built and that it holds computes
// input   [count], read only; any number: infinity gives the limit, NaN gives NaN
// output  [count], written; may be `input` itself, and must not overlap it otherwise
//
// Both may be null if count is 0, and need no alignment beyond that of their type. Nothing is kept after the call.
// T is float or double.
template <typename T>
void sigmoid(Isa isa, const T* input, T* output, std::size_t count) noexcept;

template <typename T>
void tanh(Isa isa, const T* input, T* output, std::size_t count) noexcept;

// The same for one target; activations_target.cpp defines `activations` for each that is built.
template <typename T>
struct Activations {
    void (*sigmoid)(const T* input, T* output, std::size_t count) noexcept;
    void (*tanh)(const T* input, T* output, std::size_t count) noexcept;
};
using TargetActivations = std::tuple<Activations<float>, Activations<double>>;

namespace portable {
extern const TargetActivations activations;
}
namespace avx2 {
extern const TargetActivations activations;
}
namespace avx512 {
extern const TargetActivations activations;
}
namespace avx512_bf16 {
extern const TargetActivations activations;
}
namespace amx {
extern const TargetActivations activations;
}

}  // namespace seqloom
