// seqloom._native.Packed: one layer and direction, of whatever type its numbers are.
#pragma once

#include <nanobind/nanobind.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

#include "../packed.hpp"

namespace seqloom::bind {

// An address of memory that torch holds; 0 is null. Addresses, as a view of each of some twenty tensors would take
// longer than a short scan.
using Address = std::uintptr_t;

template <typename T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

struct WeightAddresses {
    Address weight_ih, weight_hh, bias_ih, bias_hh;
    template <typename T>
    Weights<T> as() const {
        return {at<T>(weight_ih), at<T>(weight_hh), at<T>(bias_ih), at<T>(bias_hh)};
    }
};

class PackedWeights {
public:
    // Throws std::invalid_argument for a cell or precision that there is not.
    PackedWeights(std::string_view cell, std::string_view isa, std::string_view precision, Sizes sizes,
                  const WeightAddresses& weights, int threads);

    // Other weights of the same sizes, packed in the same way.
    PackedWeights again(const WeightAddresses& weights, int threads) const;

    bool matches(const WeightAddresses& weights, bool whole, int threads) const;
    void fetch_sample(const WeightAddresses& weights) const noexcept;

    // Calls body(packed) with the Packed<float> or Packed<double>.
    template <typename Body>
    auto visit(Body&& body) const {
        return std::visit([&](auto& packed) { return body(*packed); }, packed_);
    }

private:
    PackedWeights() = default;
    template <typename T>
    void make(std::string_view cell, Isa isa, Precision precision, Sizes sizes, const WeightAddresses& weights,
              int threads);

    std::variant<std::unique_ptr<Packed<float>>, std::unique_ptr<Packed<double>>> packed_;
};

void define_packed_weights(nanobind::module_& m);

}  // namespace seqloom::bind
