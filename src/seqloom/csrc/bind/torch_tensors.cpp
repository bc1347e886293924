#include "torch_tensors.hpp"

#include <array>
#include <new>
#include <stdexcept>
#include <utility>

#include "../memory.hpp"
#include "../threads.hpp"

namespace seqloom::bind {

// As of DLPack 1.0 (DLManagedTensorVersioned).
struct Managed {
    struct {
        std::uint32_t major, minor;
    } version;
    void* context;
    void (*free)(Managed* self);
    std::uint64_t flags;
    Tensor tensor;
};

namespace {

// DLPack's table of functions, as of version 1.3; only what is used is named.
struct Exchange {
    struct {
        std::uint32_t major, minor;
    } version;
    Exchange* older;
    void (*allocate)();
    void (*managed_from_object)();
    int (*managed_to_object)(Managed* tensor, void** object);
    int (*view)(void* object, Tensor* to);
    void (*stream)();
};

constexpr int cpu = 1;  // DLPack's number of the device

const Exchange* exchange_of(nb::handle tensor_type) {
    if (!nb::hasattr(tensor_type, "__dlpack_c_exchange_api__")) return nullptr;
    const nb::object capsule = tensor_type.attr("__dlpack_c_exchange_api__");
    const void* table = PyCapsule_GetPointer(capsule.ptr(), "dlpack_exchange_api");
    if (table == nullptr) {
        PyErr_Clear();
        return nullptr;
    }
    const auto* exchange = static_cast<const Exchange*>(table);
    while (exchange != nullptr && exchange->version.major > 1) exchange = exchange->older;
    return exchange;
}

// What stands before the numbers of a tensor that is made here, in the same block.
struct alignas(64) Made {
    Managed managed;
    Block block;
    std::int64_t sizes[3], strides[3];

    static void free(Managed* managed) {
        auto* const made = static_cast<Made*>(managed->context);
        const Block block = std::move(made->block);  // ends last
        made->~Made();
    }
};

bool is_true(const nb::object& answer) { return answer.is(nb::handle(Py_True)); }

}  // namespace

const Torch* Torch::find() {
    static const Torch* const torch = [] {
        auto* const found = new Torch;  // never destroyed: Python may be gone by then
        return found->to_view_ != nullptr ? found : nullptr;
    }();
    return torch;
}

Torch::Torch() {
    const nb::module_ torch = nb::module_::import_("torch");
    tensor_type_ = torch.attr("Tensor");
    const Exchange* exchange = exchange_of(tensor_type_);
    const nb::object version = tensor_type_.attr("_version");
    if (exchange == nullptr || !PyObject_TypeCheck(version.ptr(), &PyGetSetDescr_Type)) return;
    version_ = *reinterpret_cast<PyGetSetDescrObject*>(version.ptr())->d_getset;
    to_view_ = exchange->view;
    to_object_ = exchange->managed_to_object;
    const nb::object inner = torch.attr("_C");
    is_neg_ = tensor_type_.attr("is_neg");
    is_zero_ = tensor_type_.attr("_is_zerotensor");
    level_ = nb::str("_current_level");
    get_num_threads_ = torch.attr("get_num_threads");
    is_grad_enabled_ = inner.attr("is_grad_enabled");
    is_autocast_enabled_ = inner.attr("_is_any_autocast_enabled");
    modes_ = inner.attr("_len_torch_dispatch_stack");
    is_tracing_ = inner.attr("_is_tracing");
    transforms_ = inner.attr("_functorch").attr("peek_interpreter_stack");
    forward_mode_ = nb::module_::import_("torch.autograd.forward_ad");
}

bool Torch::view(nb::handle tensor, Tensor& to) const {
    if (to_view_(tensor.ptr(), &to) != 0) {
        PyErr_Clear();
        return false;
    }
    if (to.device.device_type != cpu || to.data == nullptr) return false;
    // A part of what has no memory is said to lie as far from nowhere as it begins behind its first number.
    constexpr std::uintptr_t low = std::uintptr_t{1} << 32;
    if (reinterpret_cast<std::uintptr_t>(to.data) > low) return true;
    return !is_true(is_zero_(tensor)) && nb::cast<long>(tensor.attr("untyped_storage")().attr("nbytes")()) > 0;
}

void New::Free::operator()(Managed* managed) const noexcept { managed->free(managed); }

New Torch::reserve(nb::dlpack::dtype type, std::span<const long> sizes) const {
    long bytes = type.bits / 8;
    for (const long size : sizes) {
        if (__builtin_mul_overflow(bytes, size, &bytes)) throw std::bad_alloc();
    }
    Block block = acquire(sizeof(Made) + static_cast<std::size_t>(bytes));
    void* const data = block.data() + sizeof(Made);
    auto* const made = new (block.data()) Made{};
    made->block = std::move(block);
    const int axes = static_cast<int>(sizes.size());
    long stride = 1;
    for (int axis = axes - 1; axis >= 0; --axis) {
        made->sizes[axis] = sizes[static_cast<std::size_t>(axis)];
        made->strides[axis] = stride;
        stride *= made->sizes[axis];
    }
    made->managed = {{1, 0}, made, Made::free, 0, {data, {cpu, 0}, axes, type, made->sizes, made->strides, 0}};
    return {std::unique_ptr<Managed, New::Free>(&made->managed), data};
}

nb::object Torch::make(New memory) const {
    void* object = nullptr;
    if (to_object_(memory.managed.get(), &object) != 0) nb::raise_python_error();
    memory.managed.release();
    return nb::steal(static_cast<PyObject*>(object));
}

long Torch::version(nb::handle tensor) const {
    const nb::object version = nb::steal(version_.get(tensor.ptr(), version_.closure));
    if (!version.is_valid()) nb::raise_python_error();
    return nb::cast<long>(version);
}

bool Torch::wants_gradients() const { return is_true(is_grad_enabled_()); }

bool Torch::watched() const {
    return is_true(is_autocast_enabled_()) || is_true(is_tracing_()) || nb::cast<int>(modes_()) != 0 ||
           !transforms_().is_none() || nb::cast<int>(nb::getattr(forward_mode_, level_)) >= 0;
}

int Torch::threads() const {
    thread_local bool told = false;
    const int usual = told ? usual_threads() : 0;
    told = true;
    return usual > 0 ? usual : nb::cast<int>(get_num_threads_());
}

void define_torch_tensors(nb::module_& m) {
    m.def(
        "has_torch", [] { return Torch::find() != nullptr; },
        "Whether torch offers the functions that tensors are read and made with.");
    m.def(
        "memory",
        [](bool wide, nb::tuple sizes) {
            std::array<long, 3> each{};
            if (sizes.size() > each.size()) throw std::invalid_argument("a tensor made here has at most three axes");
            for (std::size_t n = 0; n < sizes.size(); ++n) each[n] = nb::cast<long>(sizes[n]);
            const auto bits = static_cast<std::uint8_t>(wide ? 64 : 32);
            const nb::dlpack::dtype type{static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), bits, 1};
            const Torch& torch = *Torch::find();
            return torch.make(torch.reserve(type, std::span(each.data(), sizes.size())));
        },
        "A tensor of float64, or float32, of these sizes, undefined, in memory that is used again and again.");
}

}  // namespace seqloom::bind
