#include "registry.hpp"

#include <vector>

namespace seqloom {
namespace {

template <typename T>
std::vector<const CellKernels<T>*>& entries() {
    static std::vector<const CellKernels<T>*> all;  // made when the first entry comes, whatever the order of files
    return all;
}

}  // namespace

void enter(const CellKernels<float>& kernels) { entries<float>().push_back(&kernels); }
void enter(const CellKernels<double>& kernels) { entries<double>().push_back(&kernels); }

template <typename T>
const Kernels<T>* find_kernels(std::string_view cell, Isa isa, Precision precision) noexcept {
    const CellKernels<T>* best = nullptr;
    for (const auto* entry : entries<T>()) {
        if (entry->cell != cell || entry->precision != precision || entry->isa > isa) continue;
        if (best == nullptr || entry->isa > best->isa) best = entry;
    }
    return best == nullptr ? nullptr : &best->kernels;
}

template const Kernels<float>* find_kernels(std::string_view, Isa, Precision) noexcept;
template const Kernels<double>* find_kernels(std::string_view, Isa, Precision) noexcept;

}  // namespace seqloom
