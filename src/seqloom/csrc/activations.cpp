#include "activations.hpp"

namespace seqloom {
namespace {

const TargetActivations& highest([[maybe_unused]] Isa isa) noexcept {
#ifdef SEQLOOM_HAS_AMX
    if (isa >= Isa::amx) return amx::activations;
#endif
#ifdef SEQLOOM_HAS_AVX512_BF16
    if (isa >= Isa::avx512_bf16) return avx512_bf16::activations;
#endif
#ifdef SEQLOOM_HAS_AVX512
    if (isa >= Isa::avx512) return avx512::activations;
#endif
#ifdef SEQLOOM_HAS_AVX2
    if (isa >= Isa::avx2) return avx2::activations;
#endif
    return portable::activations;
}

}  // namespace

template <typename T>
void sigmoid(Isa isa, const T* input, T* output, std::size_t count) noexcept {
    std::get<Activations<T>>(highest(isa)).sigmoid(input, output, count);
}

template <typename T>
void tanh(Isa isa, const T* input, T* output, std::size_t count) noexcept {
    std::get<Activations<T>>(highest(isa)).tanh(input, output, count);
}

template void sigmoid(Isa, const float*, float*, std::size_t) noexcept;
template void sigmoid(Isa, const double*, double*, std::size_t) noexcept;
template void tanh(Isa, const float*, float*, std::size_t) noexcept;
template void tanh(Isa, const double*, double*, std::size_t) noexcept;

}  // namespace seqloom
