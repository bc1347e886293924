#include "packed.hpp"

#include <cstdint>

namespace seqloom {
namespace {

using Word = std::uint32_t;

// Fletcher's checksum in lanes that a compiler can run side by side: sums of the words, and sums of those sums, so that
// the place of a word counts.
class Checksum {
public:
    // Every `step`-th of `count` words.
    void add(const Word* words, long count, long step) noexcept {
        constexpr long width = 32;
        Word sums[width] = {}, weighted[width] = {};
        long n = 0;
        for (; step == 1 && n + width <= count; n += width) {
            for (long lane = 0; lane < width; ++lane) {
                sums[lane] += words[n + lane];
                weighted[lane] += sums[lane];
            }
        }
        for (; n < count; n += step) mix(words[n]);
        for (long lane = 0; step == 1 && lane < width; ++lane) {
            mix(sums[lane]);
            mix(weighted[lane]);
        }
    }

    std::uint64_t value() const noexcept { return weighted_ * 0x9e3779b97f4a7c15u + sum_; }  // odd, without a pattern

private:
    void mix(Word word) noexcept {
        sum_ += word;
        weighted_ += sum_;
    }

    std::uint64_t sum_ = 0, weighted_ = 0;
};

}  // namespace

template <typename T>
Packed<T>::Packed(const Kernels<T>& kernels, Sizes sizes, const Weights<T>& weights)
    : kernels_(kernels),
      sizes_(sizes),
      forward_(acquire(kernels.forward_bytes(sizes))),
      whole_(checksum(weights, true)),
      sample_(checksum(weights, false)) {
    kernels_.pack_forward(sizes_, weights, forward_.data());
}

template <typename T>
std::uint64_t Packed<T>::checksum(const Weights<T>& weights, bool whole) const noexcept {
    const long rows = kernels_.gates * sizes_.hidden;
    Checksum sum;
    const auto add = [&](const T* values, long count) {
        constexpr long words = sizeof(T) / sizeof(Word);
        const long step = whole ? 1 : (count * words / 16) | 1;  // odd: both halves of a double have their turn
        if (values != nullptr) sum.add(reinterpret_cast<const Word*>(values), count * words, step);
    };
    add(weights.input, rows * sizes_.inputs);
    add(weights.hidden, rows * sizes_.hidden);
    add(weights.input_bias, rows);
    add(weights.hidden_bias, rows);
    return sum.value();
}

template <typename T>
bool Packed<T>::matches(const Weights<T>& weights, bool whole) const noexcept {
    return checksum(weights, whole) == (whole ? whole_ : sample_);
}

template <typename T>
void Packed<T>::backward(const Weights<T>& weights, const Backward<T>& call) {
    std::call_once(backward_packed_, [&] {
        backward_.emplace(acquire(kernels_.backward_bytes(sizes_)));
        kernels_.pack_backward(sizes_, weights, backward_->data());
    });
    kernels_.backward(sizes_, backward_->data(), call);
}

template class Packed<float>;
template class Packed<double>;

}  // namespace seqloom
