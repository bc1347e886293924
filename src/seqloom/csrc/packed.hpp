// The weights of a layer in the kernels' own order, kept for as long as they stay the same.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "memory.hpp"
#include "scan.hpp"

namespace seqloom {

template <typename T>
class Packed {
public:
    // Packs for forward, by at most so many threads. `kernels` lives as long as the program; the arrays of `weights`
    // are read during the call alone.
    Packed(const Kernels<T>& kernels, Sizes sizes, const Weights<T>& weights, int threads);

    // Other weights of the same sizes, packed for the same kernels.
    std::unique_ptr<Packed> again(const Weights<T>& weights, int threads) const {
        return std::make_unique<Packed>(kernels_, sizes_, weights, threads);
    }

    // Whether `weights` still hold the numbers that were packed: a checksum of all of them, by at most so many threads,
    // or of a sample. Throws std::bad_alloc.
    bool matches(const Weights<T>& weights, bool whole, int threads) const;

    // Asks for the memory that `matches` will read of a sample, which the weights as packed keep out of the caches. It
    // need not be there any more.
    void fetch_sample(const Weights<T>& weights) const noexcept;

    // How many weights there are: products of one step of one row.
    long count() const noexcept { return kernels_.gates * sizes_.hidden * (sizes_.inputs + sizes_.hidden); }

    // What forward reads of them, in bytes.
    std::size_t forward_bytes() const noexcept { return forward_.size(); }

    std::size_t stash_size(long batch, long time) const { return kernels_.stash_size(sizes_, batch, time); }

    // One call goes through the weights from the first and the next one from the last, whatever `call.back` is. Of
    // several at once it does not matter which.
    void forward(Forward<T> call) const {
        call.back = back_.load(std::memory_order_relaxed);
        back_.store(!call.back, std::memory_order_relaxed);
        kernels_.forward(sizes_, forward_.data(), call);
    }

    // Packs for backward when it is called first, and keeps that where `weights`, whose biases are not read, hold the
    // numbers still that were packed for forward. Safe from several threads at once. Throws std::bad_alloc.
    void backward(const Weights<T>& weights, const Backward<T>& call);

    // Beside so many steps of rows `matches` is to look at all weights: then that costs little, as where they are few.
    long whole_from() const noexcept { return count() <= 8192 ? 0 : 256; }

private:
    // What numbers are known by.
    struct Sums {
        std::uint64_t matrices, biases;
        bool operator==(const Sums&) const = default;
    };
    Sums checksum(const Weights<T>& weights, bool whole, int threads) const;
    bool pack_backward(const Weights<T>& weights, const Backward<T>& call);

    const Kernels<T>& kernels_;
    Sizes sizes_;
    Block forward_;
    Block backward_;  // written once, before `has_backward_` is true
    std::atomic<bool> has_backward_{false};
    std::mutex backward_packing_;
    Sums whole_, sample_;
    mutable std::atomic<bool> back_{false};
};

}  // namespace seqloom
