// Tensors of torch as this library sees them: through Python's objects, and through the table of C functions that
// torch.Tensor offers for DLPack (https://dmlc.github.io/dlpack/latest/python_spec.html, "DLPack C Exchange API").
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>

namespace seqloom::bind {

namespace nb = nanobind;

using Tensor =
    nb::dlpack::dltensor;  // shape and strides are torch's own; they live as long as the tensor stays as it is

inline const void* data_of(const Tensor& view) noexcept {
    return static_cast<const std::byte*>(view.data) + view.byte_offset;
}

inline bool same_type(const nb::dlpack::dtype& a, const nb::dlpack::dtype& b) noexcept {
    return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes;
}

struct Managed;  // DLPack's tensor with the one who frees it

// Memory of a tensor that is not made yet; its numbers are undefined.
struct New {
    struct Free {
        void operator()(Managed* managed) const noexcept;
    };
    std::unique_ptr<Managed, Free> managed;
    void* data = nullptr;
};

// What is asked of torch again and again, looked up once.
class Torch {
public:
    // Null where torch has no such functions, or other ones than were known in 2026.
    static const Torch* find();

    // False where it is no tensor, or of a subclass, which may stand for something else than its memory.
    bool is_ordinary(nb::handle tensor) const noexcept { return tensor.type().is(tensor_type_); }

    // False where it is not in this machine's memory, or has no numbers.
    bool view(nb::handle tensor, Tensor& to) const;

    // Whether torch keeps a minus sign in mind, so that other numbers are in memory.
    bool is_negated(nb::handle tensor) const { return !is_neg_(tensor).is(nb::handle(Py_False)); }

    // Torch's counter of changes in place.
    long version(nb::handle tensor) const;

    // Whether autograd wants to know what is computed.
    bool wants_gradients() const;

    // Whether anybody else does, or wants to compute something else: autocast, a transform of torch.func, forward-mode
    // differentiation, a tracer, a mode.
    bool watched() const;

    // Memory of the pool for a tensor of this type and these sizes, at most three, without gaps.
    New reserve(nb::dlpack::dtype type, std::span<const long> sizes) const;
    New reserve(nb::dlpack::dtype type, std::initializer_list<long> sizes) const {
        return reserve(type, std::span(sizes.begin(), sizes.size()));
    }

    // The tensor in that memory. Made without torch.empty, which takes three times as long and, where there is much,
    // fresh memory: a page fault a page. Throws nb::python_error where torch does not take it.
    nb::object make(New memory) const;

    // torch.get_num_threads(): its OpenMP runtime is asked in its place, in a tenth of the time, but for the first call
    // of a thread, in which torch tells it.
    int threads() const;

private:
    Torch();

    int (*to_view_)(void* object, Tensor* view) = nullptr;
    int (*to_object_)(Managed* tensor, void** object) = nullptr;
    PyGetSetDef version_{};  // called as it is: in half the time of an attribute
    nb::object tensor_type_, is_neg_, is_zero_, get_num_threads_;
    nb::object is_grad_enabled_, is_autocast_enabled_, modes_, is_tracing_, transforms_, forward_mode_, level_;
};

void define_torch_tensors(nb::module_& m);

}  // namespace seqloom::bind
