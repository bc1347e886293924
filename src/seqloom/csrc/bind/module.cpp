// seqloom._native: this folder alone knows Python. Checks nothing but types; the package kernels checks and explains.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <stdexcept>

#include "../activations.hpp"
#include "../isa.hpp"
#include "packed_weights.hpp"
#include "ready.hpp"
#include "torch_tensors.hpp"

namespace nb = nanobind;

namespace {

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

    seqloom::bind::define_torch_tensors(m);
    seqloom::bind::define_packed_weights(m);
    seqloom::bind::define_ready(m);
}
