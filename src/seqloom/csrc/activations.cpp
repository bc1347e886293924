#include "activations.hpp"

#include <cmath>

namespace seqloom {

template <typename T>
void sigmoid(const T* input, T* output, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) output[i] = T{1} / (T{1} + std::exp(-input[i]));
}

template <typename T>
void tanh(const T* input, T* output, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) output[i] = std::tanh(input[i]);
}

template void sigmoid(const float*, float*, std::size_t) noexcept;
template void sigmoid(const double*, double*, std::size_t) noexcept;
template void tanh(const float*, float*, std::size_t) noexcept;
template void tanh(const double*, double*, std::size_t) noexcept;

}  // namespace seqloom
