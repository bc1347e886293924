#include "registry.hpp"

#include <deque>

namespace seqloom {
namespace {

template <typename T>
struct Entry {
    std::string_view cell;
    Isa isa;
    Precision precision;
    Kernels<T> kernels;
};

template <typename T>
std::deque<Entry<T>>& entries() {
    static std::deque<Entry<T>> all;  // made when the first entry comes, whatever the order of files
    return all;
}

}  // namespace

template <typename T>
Registration<T>::Registration(std::string_view cell, Isa isa, Precision precision, const Kernels<T>& kernels) {
    entries<T>().push_back({cell, isa, precision, kernels});
}

template <typename T>
const Kernels<T>* find_kernels(std::string_view cell, Isa isa, Precision precision) noexcept {
    const Entry<T>* best = nullptr;
    for (const auto& entry : entries<T>()) {
        if (entry.cell != cell || entry.precision != precision || entry.isa > isa) continue;
        if (best == nullptr || entry.isa > best->isa) best = &entry;
    }
    return best == nullptr ? nullptr : &best->kernels;
}

template struct Registration<float>;
template struct Registration<double>;
template const Kernels<float>* find_kernels(std::string_view, Isa, Precision) noexcept;
template const Kernels<double>* find_kernels(std::string_view, Isa, Precision) noexcept;

}  // namespace seqloom
