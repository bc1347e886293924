// The activations of gates, one element at a time over contiguous memory.
#pragma once

#include <cstddef>

namespace seqloom {

// output[i] = 1 / (1 + exp(-input[i])) and output[i] = tanh(input[i]) for 0 <= i < count.
//
// input   [count], read only; any float: infinity gives the limit, NaN gives NaN
// output  [count], written; may be `input` itself, and must not overlap it otherwise
//
// Both may be null if count is 0, and need no alignment beyond that of their type. Nothing is kept after the call.
// T is float or double.
template <typename T>
void sigmoid(const T* input, T* output, std::size_t count) noexcept;

template <typename T>
void tanh(const T* input, T* output, std::size_t count) noexcept;

}  // namespace seqloom
