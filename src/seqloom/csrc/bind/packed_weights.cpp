#include "packed_weights.hpp"

#include <nanobind/stl/string_view.h>
#include <nanobind/stl/tuple.h>

#include <algorithm>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <tuple>

#include "../directions.hpp"
#include "../isa.hpp"

namespace nb = nanobind;

namespace seqloom::bind {
namespace {

template <typename T>
const Kernels<T>& kernels_of(std::string_view cell, Isa isa, Precision precision) {
    const auto* kernels = find_kernels<T>(cell, isa, precision);
    if (kernels == nullptr) throw std::invalid_argument("there is no compiled cell " + std::string(cell));
    return *kernels;
}

// Torch can take a tensor's memory away. Throws std::runtime_error.
void require(std::initializer_list<const void*> each) {
    if (std::find(each.begin(), each.end(), nullptr) != each.end())
        throw std::runtime_error("a tensor that is to be read has no memory: its storage has the size 0");
}
void require(const WeightAddresses& each) { require({at<void>(each.weight_ih), at<void>(each.weight_hh)}); }

// What both passes read, in the order in which Python gives it.
template <typename T>
Scan<T> scan_of(int threads, long batch, long time, bool reverse, Address input, long input_row, long input_time,
                Address before_0, Address before_1, Address lengths, Address fresh, Address mask, Address zone_0,
                Address zone_1, double rate_0, double rate_1) {
    return {threads,
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
}

template <typename T>
Forward<T> forward_of(int threads, long batch, long time, bool reverse, Address input, long input_row, long input_time,
                      Address output, long output_row, long output_time, Address before_0, Address before_1,
                      Address after_0, Address after_1, Address steps_1, Address lengths, Address fresh, Address mask,
                      Address zone_0, Address zone_1, double rate_0, double rate_1, Address stash) {
    Forward<T> call{};
    static_cast<Scan<T>&>(call) = scan_of<T>(threads, batch, time, reverse, input, input_row, input_time, before_0,
                                             before_1, lengths, fresh, mask, zone_0, zone_1, rate_0, rate_1);
    call.output = {at<T>(output), output_row, output_time};
    call.steps = at<T>(steps_1);
    call.after[0] = at<T>(after_0);
    call.after[1] = at<T>(after_1);
    call.stash = at<T>(stash);
    return call;
}

// A call, and the weights that were packed.
template <typename T>
struct BackwardCall {
    Weights<T> weights;
    Backward<T> scan;
};

template <typename T>
BackwardCall<T> backward_of(int threads, long batch, long time, bool reverse, Address weight_ih, Address weight_hh,
                            Address input, long input_row, long input_time, Address output, long output_row,
                            long output_time, Address before_0, Address before_1, Address d_output, long d_output_row,
                            long d_output_time, Address d_after_0, Address d_after_1, Address d_steps_1,
                            Address lengths, Address fresh, Address mask, Address zone_0, Address zone_1, double rate_0,
                            double rate_1, Address stash, Address d_input, long d_input_row, long d_input_time,
                            Address d_before_0, Address d_before_1, Address d_weight_ih, Address d_weight_hh,
                            Address d_bias_ih, Address d_bias_hh) {
    Backward<T> call{};
    static_cast<Scan<T>&>(call) = scan_of<T>(threads, batch, time, reverse, input, input_row, input_time, before_0,
                                             before_1, lengths, fresh, mask, zone_0, zone_1, rate_0, rate_1);
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
    return {{at<T>(weight_ih), at<T>(weight_hh), nullptr, nullptr}, call};
}

// A call's arguments as Python gives them.
template <typename Result, typename... Each>
std::tuple<Each...> arguments_of(Result (*)(Each...));
using ForwardArguments = decltype(arguments_of(&forward_of<float>));
using BackwardArguments = decltype(arguments_of(&backward_of<float>));

template <typename T>
Forward<T> checked_forward(const Packed<T>& packed, const ForwardArguments& given) {
    const auto call = std::apply(forward_of<T>, given);
    if (packed.count() > 0) require({call.input.data, call.before[0]});
    return call;
}

template <typename T>
BackwardCall<T> checked_backward(const Packed<T>& packed, const BackwardArguments& given) {
    const auto call = std::apply(backward_of<T>, given);
    if (packed.count() > 0)
        require({call.scan.input.data, call.scan.before[0], call.weights.input, call.weights.hidden});
    return call;
}

void forward(const PackedWeights& weights, const ForwardArguments& given) {
    const nb::gil_scoped_release others_may_run;
    weights.visit([&]<typename T>(Packed<T>& packed) { packed.forward(checked_forward(packed, given)); });
}

void backward(const PackedWeights& weights, const BackwardArguments& given) {
    const nb::gil_scoped_release others_may_run;
    weights.visit([&]<typename T>(Packed<T>& packed) {
        const auto call = checked_backward(packed, given);
        packed.backward(call.weights, call.scan);
    });
}

// Calls body(packed, other), of one type.
template <typename Body>
void visit_both(const PackedWeights& weights, const PackedWeights& others, Body&& body) {
    weights.visit([&]<typename T>(Packed<T>& packed) {
        others.visit([&]<typename Other>(Packed<Other>& other) {
            if constexpr (std::is_same_v<T, Other>) body(packed, other);
            else throw std::invalid_argument("both directions must be of one type");
        });
    });
}

void forward_both(const PackedWeights& weights, const ForwardArguments& given, const PackedWeights& other_weights,
                  const ForwardArguments& other_given) {
    const nb::gil_scoped_release others_may_run;
    visit_both(weights, other_weights, [&]<typename T>(Packed<T>& packed, Packed<T>& other) {
        const Packed<T>* const layers[] = {&packed, &other};
        const Forward<T> calls[] = {checked_forward(packed, given), checked_forward(other, other_given)};
        run_both(layers, calls);
    });
}

void backward_both(const PackedWeights& weights, const BackwardArguments& given, const PackedWeights& other_weights,
                   const BackwardArguments& other_given) {
    const nb::gil_scoped_release others_may_run;
    visit_both(weights, other_weights, [&]<typename T>(Packed<T>& packed, Packed<T>& other) {
        Packed<T>* const layers[] = {&packed, &other};
        const auto one = checked_backward(packed, given), two = checked_backward(other, other_given);
        const Weights<T> read[] = {one.weights, two.weights};
        const Backward<T> calls[] = {one.scan, two.scan};
        run_both(layers, read, calls);
    });
}

}  // namespace

PackedWeights::PackedWeights(std::string_view cell, std::string_view isa, std::string_view precision, Sizes sizes,
                             const WeightAddresses& weights, int threads) {
    const auto level = choose(isa);
    if (precision == "float64") make<double>(cell, level, Precision::exact, sizes, weights, threads);
    else if (precision == "float32") make<float>(cell, level, Precision::exact, sizes, weights, threads);
    else if (precision == "bfloat16") make<float>(cell, level, Precision::bfloat16, sizes, weights, threads);
    else throw std::invalid_argument("precision must be float32, float64 or bfloat16; given " + std::string(precision));
}

PackedWeights PackedWeights::again(const WeightAddresses& weights, int threads) const {
    PackedWeights made;
    if (visit([](const auto& packed) { return packed.count() > 0; })) require(weights);
    const nb::gil_scoped_release others_may_run;
    visit([&]<typename T>(Packed<T>& packed) { made.packed_ = packed.again(weights.as<T>(), threads); });
    return made;
}

bool PackedWeights::matches(const WeightAddresses& weights, bool whole, int threads) const {
    return visit([&]<typename T>(Packed<T>& packed) { return packed.matches(weights.as<T>(), whole, threads); });
}

void PackedWeights::fetch_sample(const WeightAddresses& weights) const noexcept {
    visit([&]<typename T>(Packed<T>& packed) { packed.fetch_sample(weights.as<T>()); });
}

template <typename T>
void PackedWeights::make(std::string_view cell, Isa isa, Precision precision, Sizes sizes,
                         const WeightAddresses& weights, int threads) {
    const auto& kernels = kernels_of<T>(cell, isa, precision);
    if (sizes.hidden > 0) require(weights);
    const nb::gil_scoped_release others_may_run;
    packed_ = std::make_unique<Packed<T>>(kernels, sizes, weights.as<T>(), threads);
}

void define_packed_weights(nb::module_& m) {
    m.def(
        "stash_size",
        [](std::string_view cell, std::string_view isa, std::string_view precision, long hidden) {
            const auto of = [&]<typename T>(Precision products) {
                return kernels_of<T>(cell, choose(isa), products).stash_size({1, hidden}, 1, 1);
            };
            if (precision == "float64") return of.template operator()<double>(Precision::exact);
            const bool low = precision == "bfloat16";
            return of.template operator()<float>(low ? Precision::bfloat16 : Precision::exact);
        },
        "How many numbers forward keeps for backward, for each row and step.");
    nb::class_<PackedWeights>(
        m, "Packed", "The weights of one layer and direction in the kernels' own order; the arrays are not kept.")
        .def("__init__",
             [](PackedWeights* self, std::string_view cell, std::string_view isa, std::string_view precision,
                long inputs, long hidden, Address weight_ih, Address weight_hh, Address bias_ih, Address bias_hh,
                int threads) {
                 new (self) PackedWeights(cell, isa, precision, {inputs, hidden},
                                          {weight_ih, weight_hh, bias_ih, bias_hh}, threads);
             })
        .def("matches",
             [](const PackedWeights& self, Address weight_ih, Address weight_hh, Address bias_ih, Address bias_hh,
                bool whole,
                int threads) { return self.matches({weight_ih, weight_hh, bias_ih, bias_hh}, whole, threads); })
        .def_prop_ro("whole_from",
                     [](const PackedWeights& self) {
                         return self.visit([](const auto& packed) { return packed.whole_from(); });
                     })
        .def("stash_size",
             [](const PackedWeights& self, long batch, long time) {
                 return self.visit([&](auto& packed) { return packed.stash_size(batch, time); });
             })
        .def("forward", &forward)
        .def("backward", &backward);
    m.def("forward_both", &forward_both, "Both directions of a layer at once.");
    m.def("backward_both", &backward_both, "The same, backward.");
}

}  // namespace seqloom::bind
