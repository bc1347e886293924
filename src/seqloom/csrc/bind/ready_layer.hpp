// A layer of a Ready: its weights, packed, and by what it is seen that they are as they were then.
#pragma once

#include <nanobind/nanobind.h>

#include <array>

#include "packed_weights.hpp"
#include "torch_tensors.hpp"

namespace seqloom::bind {

class ReadyLayer {
public:
    // `weights`: four tensors or None, in the order of WeightAddresses, contiguous and of the type and sizes that the
    // layer has; they must outlive it. `kept`: what Python notes of them, Kept of kernels/packed.py.
    ReadyLayer(const Torch& torch, nb::handle weights, nb::handle kept);

    // Looks up what Python keeps of the weights now: it may have packed them anew.
    void look_up();

    // Whether all weights hold the numbers that were packed; `steps`: how many of how many rows are to run, B * T.
    bool as_packed(long steps, int threads) const;

    // Packs weights whose numbers alone may have changed; false where more has.
    bool pack_again(int threads);

    // Whether beside so many steps of rows all weights are looked at, not a sample.
    bool looks_at_all(long steps) const noexcept { return steps >= whole_from_; }

    void fetch_sample() const noexcept { packed_->fetch_sample(addresses_); }

    // Null for no bias.
    nb::handle weight(std::size_t n) const noexcept { return weights_[n]; }

    // Who holds `packed`.
    const nb::object& object() const noexcept { return object_; }
    const PackedWeights* packed() const noexcept { return packed_; }

    nb::dlpack::dtype type() const noexcept { return type_; }
    long inputs() const noexcept { return columns_[0]; }
    long hidden() const noexcept { return columns_[1]; }

    // For Python's collector of garbage.
    int traverse(visitproc visit, void* arg) const;

private:
    // Whether it is still of the layer's type and sizes, without gaps.
    bool is_weight(const Tensor& view, std::size_t n) const noexcept;

    const Torch& torch_;
    nb::object kept_, object_;
    const PackedWeights* packed_ = nullptr;
    std::array<nb::handle, 4> weights_;
    std::array<long, 4> versions_{};  // negative where torch does not count
    WeightAddresses addresses_{};
    long whole_from_, rows_ = 0;
    std::array<long, 4> columns_{};  // 0 for a bias, which has none
    nb::dlpack::dtype type_{};
};

}  // namespace seqloom::bind
