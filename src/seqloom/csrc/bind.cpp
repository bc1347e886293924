// seqloom._native: the only file that knows Python. Checks nothing but types; the package kernels checks and explains.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <memory>
#include <stdexcept>
#include <variant>

#include "activations.hpp"
#include "isa.hpp"
#include "memory.hpp"
#include "packed.hpp"

namespace nb = nanobind;

namespace {

// --- activations
// ------------------------------------------------------------------------------------------------------

template <typename T>
using Input = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Output = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <typename T>
using Activation = void (*)(seqloom::Isa, const T*, T*, std::size_t) noexcept;

template <typename T>
void define(nb::module_& m, const char* name, Activation<T> activation, const char* doc) {
    m.def(
        name,
        [activation](Input<T> input, Output<T> output, std::string_view isa) {
            if (input.shape(0) != output.shape(0)) throw std::invalid_argument("input and output differ in length");
            const auto chosen = seqloom::choose(isa);
            const nb::gil_scoped_release others_may_run;
            activation(chosen, input.data(), output.data(), input.shape(0));
        },
        // Converted, the output would be written to a copy and lost.
        nb::arg("input").noconvert(), nb::arg("output").noconvert(), nb::arg("isa") = "", doc);
}

std::vector<std::string> supported_names() {
    std::vector<std::string> names;
    for (const auto isa : seqloom::supported()) names.emplace_back(seqloom::name(isa));
    return names;
}

// --- memory
// -----------------------------------------------------------------------------------------------------------

// Memory of the pool as a tensor: it goes back to the pool with the tensor's storage.
template <typename T>
nb::ndarray<nb::pytorch, T, nb::ndim<1>> pooled(std::size_t count) {
    auto block = std::make_unique<seqloom::Block>(seqloom::acquire(count * sizeof(T)));
    auto* data = reinterpret_cast<T*>(block->data());
    const nb::capsule owner(block.release(), [](void* of) noexcept { delete static_cast<seqloom::Block*>(of); });
    return nb::ndarray<nb::pytorch, T, nb::ndim<1>>(data, {count}, owner);
}

// --- scans
// ------------------------------------------------------------------------------------------------------------

// An address of memory that torch holds; 0 is null. Addresses, as a view of each of some twenty tensors would take
// longer than a short scan.
using Address = std::uintptr_t;

template <typename T>
T* at(Address address) {
    return reinterpret_cast<T*>(address);
}

// One layer and direction, of whatever type its numbers are.
class Packed {
    std::variant<std::unique_ptr<seqloom::Packed<float>>, std::unique_ptr<seqloom::Packed<double>>> packed_;

    template <typename Body>
    auto visit(Body&& body) const {
        return std::visit([&](auto& packed) { return body(*packed); }, packed_);
    }

public:
    Packed(std::string_view cell, std::string_view isa, std::string_view precision, long inputs, long hidden,
           Address weight_ih, Address weight_hh, Address bias_ih, Address bias_hh) {
        const Addresses weights{weight_ih, weight_hh, bias_ih, bias_hh};
        const auto level = seqloom::choose(isa);
        const seqloom::Sizes sizes{inputs, hidden};
        if (precision == "float64") make<double>(cell, level, seqloom::Precision::exact, sizes, weights);
        else if (precision == "float32") make<float>(cell, level, seqloom::Precision::exact, sizes, weights);
        else if (precision == "bfloat16") make<float>(cell, level, seqloom::Precision::bfloat16, sizes, weights);
        else
            throw std::invalid_argument("precision must be float32, float64 or bfloat16; given " +
                                        std::string(precision));
    }

    bool matches(Address weight_ih, Address weight_hh, Address bias_ih, Address bias_hh, bool whole) const {
        const Addresses weights{weight_ih, weight_hh, bias_ih, bias_hh};
        return visit([&]<typename T>(seqloom::Packed<T>& packed) { return packed.matches(weights.as<T>(), whole); });
    }

    std::size_t stash_size(long batch, long time) const {
        return visit([&](auto& packed) { return packed.stash_size(batch, time); });
    }

    void forward(int threads, long batch, long time, bool reverse, Address input, long input_row, long input_time,
                 Address output, long output_row, long output_time, Address before_0, Address before_1, Address after_0,
                 Address after_1, Address steps_1, Address lengths, Address fresh, Address mask, Address zone_0,
                 Address zone_1, double rate_0, double rate_1, Address stash) const {
        const nb::gil_scoped_release others_may_run;
        visit([&]<typename T>(seqloom::Packed<T>& packed) {
            seqloom::Forward<T> call;
            static_cast<seqloom::Scan<T>&>(call) = {threads,
                                                    batch,
                                                    time,
                                                    reverse,
                                                    {at<T>(input), input_row, input_time},
                                                    {at<T>(before_0), at<T>(before_1)},
                                                    at<std::int64_t>(lengths),
                                                    at<std::uint8_t>(fresh),
                                                    at<T>(mask),
                                                    {at<std::uint8_t>(zone_0), at<std::uint8_t>(zone_1)},
                                                    {static_cast<T>(rate_0), static_cast<T>(rate_1)}};
            call.output = {at<T>(output), output_row, output_time};
            call.steps = at<T>(steps_1);
            call.after[0] = at<T>(after_0);
            call.after[1] = at<T>(after_1);
            call.stash = at<T>(stash);
            packed.forward(call);
        });
    }

    void backward(int threads, long batch, long time, bool reverse, Address weight_ih, Address weight_hh, Address input,
                  long input_row, long input_time, Address output, long output_row, long output_time, Address before_0,
                  Address before_1, Address d_output, long d_output_row, long d_output_time, Address d_after_0,
                  Address d_after_1, Address d_steps_1, Address lengths, Address fresh, Address mask, Address zone_0,
                  Address zone_1, double rate_0, double rate_1, Address stash, Address d_input, long d_input_row,
                  long d_input_time, Address d_before_0, Address d_before_1, Address d_weight_ih, Address d_weight_hh,
                  Address d_bias_ih, Address d_bias_hh) const {
        const nb::gil_scoped_release others_may_run;
        visit([&]<typename T>(seqloom::Packed<T>& packed) {
            seqloom::Backward<T> call;
            static_cast<seqloom::Scan<T>&>(call) = {threads,
                                                    batch,
                                                    time,
                                                    reverse,
                                                    {at<T>(input), input_row, input_time},
                                                    {at<T>(before_0), at<T>(before_1)},
                                                    at<std::int64_t>(lengths),
                                                    at<std::uint8_t>(fresh),
                                                    at<T>(mask),
                                                    {at<std::uint8_t>(zone_0), at<std::uint8_t>(zone_1)},
                                                    {static_cast<T>(rate_0), static_cast<T>(rate_1)}};
            call.output = {at<T>(output), output_row, output_time};
            call.stash = at<T>(stash);
            call.d_output = {at<T>(d_output), d_output_row, d_output_time};
            call.d_steps = at<T>(d_steps_1);
            call.d_after[0] = at<T>(d_after_0);
            call.d_after[1] = at<T>(d_after_1);
            call.d_input = {at<T>(d_input), d_input_row, d_input_time};
            call.d_before[0] = at<T>(d_before_0);
            call.d_before[1] = at<T>(d_before_1);
            call.d_input_weights = at<T>(d_weight_ih);
            call.d_hidden_weights = at<T>(d_weight_hh);
            call.d_input_bias = at<T>(d_bias_ih);
            call.d_hidden_bias = at<T>(d_bias_hh);
            packed.backward({at<T>(weight_ih), at<T>(weight_hh), nullptr, nullptr}, call);
        });
    }

private:
    struct Addresses {
        Address weight_ih, weight_hh, bias_ih, bias_hh;
        template <typename T>
        seqloom::Weights<T> as() const {
            return {at<T>(weight_ih), at<T>(weight_hh), at<T>(bias_ih), at<T>(bias_hh)};
        }
    };

    template <typename T>
    void make(std::string_view cell, seqloom::Isa isa, seqloom::Precision precision, seqloom::Sizes sizes,
              const Addresses& weights) {
        const auto* kernels = seqloom::find_kernels<T>(cell, isa, precision);
        if (kernels == nullptr) throw std::invalid_argument("there is no compiled cell " + std::string(cell));
        const nb::gil_scoped_release others_may_run;
        packed_ = std::make_unique<seqloom::Packed<T>>(*kernels, sizes, weights.as<T>());
    }
};

}  // namespace

NB_MODULE(_native, m) {
    // Packed weights live in a cache of Python's and in graphs of autograd, which may be there when Python ends.
    nb::set_leak_warnings(false);
    m.doc() = "The compiled part of seqloom: raw memory in, raw memory out.";
    m.def(
        "choose_isa", [](std::string_view wanted) { return std::string(seqloom::name(seqloom::choose(wanted))); },
        nb::arg("wanted"), "The instruction set to use: the one wanted, or the best one for an empty string.");
    m.def("supported_isas", &supported_names, "The instruction sets that this machine supports, the best one last.");

    constexpr auto sigmoid_doc = "Writes 1 / (1 + exp(-input)) to output; they may be the same array.";
    constexpr auto tanh_doc = "Writes tanh(input) to output; they may be the same array.";
    define<float>(m, "sigmoid", seqloom::sigmoid<float>, sigmoid_doc);
    define<double>(m, "sigmoid", seqloom::sigmoid<double>, sigmoid_doc);
    define<float>(m, "tanh", seqloom::tanh<float>, tanh_doc);
    define<double>(m, "tanh", seqloom::tanh<double>, tanh_doc);

    constexpr auto pooled_doc = "A tensor of so many numbers, undefined, in memory that is used again and again.";
    m.def("pooled_float32", &pooled<float>, nb::arg("count"), pooled_doc);
    m.def("pooled_float64", &pooled<double>, nb::arg("count"), pooled_doc);
    m.def("release_cached", &seqloom::release_cached,
          "Gives the memory that the pool keeps unused back to the system.");

    nb::class_<Packed>(m, "Packed",
                       "The weights of one layer and direction in the kernels' own order; the arrays are not kept.")
        .def(nb::init<std::string_view, std::string_view, std::string_view, long, long, Address, Address, Address,
                      Address>())
        .def("matches", &Packed::matches)
        .def("stash_size", &Packed::stash_size)
        .def("forward", &Packed::forward)
        .def("backward", &Packed::backward);
}
