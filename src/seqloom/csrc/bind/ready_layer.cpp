#include "ready_layer.hpp"

#include <algorithm>

namespace seqloom::bind {
namespace {

WeightAddresses weights_at(const std::array<Address, 4>& each) noexcept { return {each[0], each[1], each[2], each[3]}; }

Address address_of(const Tensor& view) noexcept { return reinterpret_cast<Address>(data_of(view)); }

}  // namespace

ReadyLayer::ReadyLayer(const Torch& torch, nb::handle weights, nb::handle kept)
    : torch_(torch), kept_(nb::borrow(kept)), whole_from_(nb::cast<long>(kept.attr("whole_from"))) {
    for (std::size_t n = 0; n < weights_.size(); ++n) {
        const nb::object weight = weights[n];
        if (weight.is_none()) continue;
        weights_[n] = weight;
        Tensor view;
        if (!torch_.view(weight, view)) continue;
        columns_[n] = view.ndim > 1 ? view.shape[1] : 0;
        rows_ = view.shape[0];
        type_ = view.dtype;
    }
    look_up();
}

void ReadyLayer::look_up() {
    const nb::object seen = kept_.attr("seen");
    std::array<Address, 4> addresses{};
    for (std::size_t n = 0; n < versions_.size(); ++n) {
        versions_[n] = nb::cast<long>(seen[0][n]);
        addresses[n] = nb::cast<Address>(seen[1][n]);
    }
    addresses_ = weights_at(addresses);
    object_ = kept_.attr("packed");
    packed_ = nb::cast<const PackedWeights*>(object_);
}

bool ReadyLayer::as_packed(long steps, int threads) const {
    const std::array<Address, 4> addresses{addresses_.weight_ih, addresses_.weight_hh, addresses_.bias_ih,
                                           addresses_.bias_hh};
    for (std::size_t n = 0; n < weights_.size(); ++n) {
        Tensor view;
        if (!weights_[n].is_valid()) continue;
        const bool counted = versions_[n] >= 0;
        if ((counted && torch_.version(weights_[n]) != versions_[n]) || !torch_.view(weights_[n], view) ||
            address_of(view) != addresses[n] || !is_weight(view, n))
            return false;
    }
    return packed_->matches(addresses_, looks_at_all(steps), threads);
}

bool ReadyLayer::pack_again(int threads) {
    std::array<long, 4> versions{};
    std::array<Address, 4> addresses{};
    for (std::size_t n = 0; n < weights_.size(); ++n) {
        Tensor view;
        if (!weights_[n].is_valid()) continue;
        if (versions_[n] < 0 || !torch_.view(weights_[n], view) || !is_weight(view, n)) return false;
        versions[n] = torch_.version(weights_[n]);  // before the numbers are read: see kernels/packed.py
        addresses[n] = address_of(view);
    }
    const nb::object alive = object_;  // others may run meanwhile
    const nb::object made = nb::cast(packed_->again(weights_at(addresses), threads));
    const auto tuple = [](const auto& each) { return nb::make_tuple(each[0], each[1], each[2], each[3]); };
    kept_.attr("packed") = made;
    kept_.attr("seen") = nb::make_tuple(tuple(versions), tuple(addresses));
    look_up();
    return true;
}

int ReadyLayer::traverse(visitproc visit, void* arg) const {
    Py_VISIT(kept_.ptr());
    Py_VISIT(object_.ptr());
    return 0;
}

bool ReadyLayer::is_weight(const Tensor& view, std::size_t n) const noexcept {
    const long columns = columns_[n];
    if (!same_type(view.dtype, type_) || view.ndim != (columns == 0 ? 1 : 2) || view.shape[0] != rows_) return false;
    const bool rows_follow = view.strides[0] == std::max(columns, 1L) || rows_ == 1;
    return columns == 0 ? rows_follow
                        : rows_follow && view.shape[1] == columns && (view.strides[1] == 1 || columns == 1);
}

}  // namespace seqloom::bind
