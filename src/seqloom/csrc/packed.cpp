#include "packed.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "threads.hpp"

namespace seqloom {
namespace {

using Word = std::uint32_t;

// Sign and exponent among the low bits too: in sums of many words what changes high bits alone, such as every sign, may
// leave nothing behind.
inline Word scattered(Word word) noexcept { return word ^ (word >> 15); }

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
                sums[lane] += scattered(words[n + lane]);
                weighted[lane] += sums[lane];
            }
        }
        for (; n < count; n += step) mix(words[n]);
        for (long lane = 0; step == 1 && lane < width; ++lane) {
            mix(sums[lane]);
            mix(weighted[lane]);
        }
    }

    void add(std::uint64_t value) noexcept {
        mix(static_cast<Word>(value));
        mix(static_cast<Word>(value >> 32));
    }

    std::uint64_t value() const noexcept { return weighted_ * 0x9e3779b97f4a7c15u + sum_; }  // odd, without a pattern

private:
    void mix(Word word) noexcept {
        sum_ += word;
        weighted_ += sum_;
    }

    std::uint64_t sum_ = 0, weighted_ = 0;
};

// What there is a checksum of: two arrays, which may be null.
using Arrays = std::array<std::pair<const Word*, long>, 2>;

struct MatricesAndBiases {
    Arrays matrices, biases;
};

// The weights as words.
template <typename T>
MatricesAndBiases words_of(const Weights<T>& weights, Sizes sizes, long gates) noexcept {
    const long rows = gates * sizes.hidden;
    const auto words = [](const T* values, long count) {
        return std::pair(reinterpret_cast<const Word*>(values), count * static_cast<long>(sizeof(T) / sizeof(Word)));
    };
    return {{words(weights.input, rows * sizes.inputs), words(weights.hidden, rows * sizes.hidden)},
            {words(weights.input_bias, rows), words(weights.hidden_bias, rows)}};
}

// From one word of a sample to the next. Odd: both halves of a double have their turn.
constexpr long sample_step(long count) noexcept { return (count / 16) | 1; }

std::uint64_t sample_of(const Arrays& arrays) noexcept {
    Checksum sum;
    for (const auto& [words, count] : arrays) {
        if (words != nullptr) sum.add(words, count, sample_step(count));
    }
    return sum.value();
}

// What one thread adds up at once.
struct Piece {
    const Word* words;
    long count;
    std::uint64_t sum() const noexcept {
        Checksum sum;
        sum.add(words, count, 1);
        return sum.value();
    }
};

// Of all words: the sum of the sums of pieces, whoever adds them up. Many weights lie in no near cache, and two threads
// read them nearly twice as fast as one.
std::uint64_t whole_of(const Arrays& arrays, int threads) {
    constexpr long most = 1 << 14, worth_a_thread = 1 << 18;  // words
    Checksum sum;
    std::vector<Piece> pieces;
    long all = 0;
    for (const auto& [words, count] : arrays) {
        if (words == nullptr) continue;
        if (count <= most) sum.add(Piece{words, count}.sum());
        for (long n = 0; count > most && n < count; n += most)
            pieces.push_back({words + n, std::min(most, count - n)});
        all += count;
    }
    if (pieces.empty()) return sum.value();
    std::vector<std::uint64_t> sums(pieces.size());
    run_team(static_cast<int>(std::min<long>(threads, all / worth_a_thread)), [&](int member, int members) noexcept {
        const auto first = sums.size() * member / members, last = sums.size() * (member + 1) / members;
        for (auto n = first; n < last; ++n) sums[n] = pieces[n].sum();
    });
    for (const auto each : sums) sum.add(each);
    return sum.value();
}

}  // namespace

template <typename T>
Packed<T>::Packed(const Kernels<T>& kernels, Sizes sizes, const Weights<T>& weights, int threads)
    : kernels_(kernels),
      sizes_(sizes),
      forward_(acquire(kernels.forward_bytes(sizes))),
      whole_(checksum(weights, true, threads)),
      sample_(checksum(weights, false, 1)) {
    kernels_.pack_forward(sizes_, weights, threads, forward_.data());
}

template <typename T>
auto Packed<T>::checksum(const Weights<T>& weights, bool whole, int threads) const -> Sums {
    const auto [matrices, biases] = words_of(weights, sizes_, kernels_.gates);
    if (whole) return {whole_of(matrices, threads), whole_of(biases, 1)};
    return {sample_of(matrices), sample_of(biases)};
}

template <typename T>
void Packed<T>::fetch_sample(const Weights<T>& weights) const noexcept {
    const auto all = words_of(weights, sizes_, kernels_.gates);
    for (const auto& arrays : {all.matrices, all.biases}) {
        for (const auto& [words, count] : arrays) {
            for (long n = 0; words != nullptr && n < count; n += sample_step(count)) __builtin_prefetch(words + n);
        }
    }
}

template <typename T>
bool Packed<T>::matches(const Weights<T>& weights, bool whole, int threads) const {
    return checksum(weights, whole, threads) == (whole ? whole_ : sample_);
}

template <typename T>
void Packed<T>::backward(const Weights<T>& weights, const Backward<T>& call) {
    if (has_backward_.load(std::memory_order_acquire) || pack_backward(weights, call))
        return kernels_.backward(sizes_, backward_.data(), call);
    // Numbers may have changed since forward, behind torch's counter: as torch does, this call reads what is there now.
    const Block now = acquire(kernels_.backward_bytes(sizes_));
    kernels_.pack_backward(sizes_, weights, call.threads, now.data());
    kernels_.backward(sizes_, now.data(), call);
}

// Whether there is now what backward reads, and of the numbers that forward read. False too while another thread packs
// it: a forked child would wait for ever for one that it does not have.
template <typename T>
bool Packed<T>::pack_backward(const Weights<T>& weights, const Backward<T>& call) {
    const std::unique_lock one_at_a_time(backward_packing_, std::try_to_lock);
    if (!one_at_a_time) return false;
    if (has_backward_.load(std::memory_order_relaxed)) return true;
    const bool whole = call.batch * call.time >= whole_from();
    const Weights<T> matrices{weights.input, weights.hidden, nullptr, nullptr};
    if (checksum(matrices, whole, call.threads).matrices != (whole ? whole_ : sample_).matrices) return false;
    backward_ = acquire(kernels_.backward_bytes(sizes_));
    kernels_.pack_backward(sizes_, weights, call.threads, backward_.data());
    has_backward_.store(true, std::memory_order_release);
    return true;
}

template class Packed<float>;
template class Packed<double>;

}  // namespace seqloom
