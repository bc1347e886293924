// The activations of the target that this file is compiled for.
#include "activations.hpp"
#include "math.hpp"

namespace seqloom::SEQLOOM_TARGET {
namespace {

template <typename T, typename Function>
SEQLOOM_INLINE void apply(const T* input, T* output, std::size_t count, Function function) noexcept {
    std::size_t i = 0;
    for (; i + lanes<T> <= count; i += lanes<T>) store(output + i, function(load(input + i)));
    if (i == count) return;
    const int rest = static_cast<int>(count - i);
    store_part(output + i, function(load_part(input + i, rest)), rest);
}

template <typename T>
void sigmoid_of_all(const T* input, T* output, std::size_t count) noexcept {
    apply(input, output, count, [](Vec<T> x) SEQLOOM_INLINE_LAMBDA { return sigmoid(x); });
}

template <typename T>
void tanh_of_all(const T* input, T* output, std::size_t count) noexcept {
    apply(input, output, count, [](Vec<T> x) SEQLOOM_INLINE_LAMBDA { return tanh(x); });
}

}  // namespace

constinit const TargetActivations activations{{&sigmoid_of_all<float>, &tanh_of_all<float>},
                                              {&sigmoid_of_all<double>, &tanh_of_all<double>}};

}  // namespace seqloom::SEQLOOM_TARGET
