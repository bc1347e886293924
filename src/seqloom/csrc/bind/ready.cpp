#include "ready.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include "../stack.hpp"
#include "ready_layer.hpp"
#include "torch_tensors.hpp"

namespace nb = nanobind;

namespace seqloom::bind {
namespace {

// What a call reads: `rows` and `steps` are the sizes, the strides count elements.
struct Input {
    const void* data;
    long batch, time, row, step;
    bool one_row;  // without an axis of the batch
};

// How the axes of input and output lie.
enum class Axes { batch_first, time_first, step };

class Ready {
public:
    // `parameters`: where the module has its own, now and later. `weights`: of each layer four tensors or None; `kept`:
    // of each layer what Python keeps of them. `learn`: who computes where gradients are wanted.
    Ready(nb::dict parameters, nb::list weights, nb::list kept, nb::callable learn, long states, double rate_0,
          double rate_1)
        : torch_(*Torch::find()),
          parameters_(parameters),
          states_(states),
          rate_{rate_0, rate_1},
          weights_(weights),
          learn_(learn) {
        for (std::size_t n = 0; n < nb::len(kept); ++n) layers_.emplace_back(torch_, weights[n], kept[n]);
        type_ = layers_[0].type();
        hidden_ = layers_[0].hidden();
        inputs_ = layers_[0].inputs();
        if (!fit_together()) layers_.clear();
    }

    // For Python's collector of garbage: what refers to the layer again may be among what is held here.
    int traverse(visitproc visit, void* arg) const {
        for (const auto& layer : layers_) {
            if (const int answer = layer.traverse(visit, arg)) return answer;
        }
        Py_VISIT(parameters_.ptr());
        Py_VISIT(weights_.ptr());
        Py_VISIT(learn_.ptr());
        return 0;
    }
    void clear() {
        const auto layers = std::move(layers_);  // gone when nothing refers to them here any more
        layers_.clear();
        nb::object(std::move(parameters_)).reset();
        nb::object(std::move(weights_)).reset();
        nb::object(std::move(learn_)).reset();
    }

    // Output and state as the layer gives them; None where anything is not as it was, or out of the ordinary.
    nb::object call(nb::handle input, nb::handle state, Axes axes) {
        if (layers_.empty()) return nb::none();
        for (const auto& layer : layers_) layer.fetch_sample();
        if (!torch_.is_ordinary(input)) return nb::none();
        if (torch_.wants_gradients()) return learn(input, state, axes);
        const std::optional<Input> given = input_of(input, axes);
        if (!given) return nb::none();
        Before before;
        if (!states_before(state, *given, before)) return nb::none();
        const int threads = torch_.threads();
        New output = output_of(*given, axes);
        std::array<New, 2> after;
        for (long n = 0; n < states_; ++n) after[n] = state_of(*given);
        void* const to = output.data;
        const std::array<void*, 2> states_to{after[0].data, after[1].data};

        nb::object answer = nb::none();
        std::exception_ptr failure;
        auto make_answer = [&]() noexcept {
            try {
                if (is_as_ever(input, before, *given, threads)) answer = made(std::move(output), std::move(after));
            } catch (...) {
                failure = std::current_exception();
            }
        };
        // A small call, in which Python's lock is kept, computes while all that is looked at: for nothing, if that is
        // not as it was.
        const bool at_once = is_small(*given) && !looks_at_all(*given);
        if (!at_once) make_answer();
        const Errand errand{[](void* context) noexcept { (*static_cast<decltype(make_answer)*>(context))(); },
                            &make_answer};
        if (at_once || !answer.is_none())
            run(threads, *given, to, before.data, states_to, axes, at_once ? &errand : nullptr);
        if (failure) std::rethrow_exception(failure);
        return answer;
    }

private:
    // Whether each layer reads what the one below gives.
    bool fit_together() const {
        return std::all_of(layers_.begin(), layers_.end(), [&](const ReadyLayer& layer) {
            return same_type(layer.type(), type_) && layer.hidden() == hidden_ &&
                   (&layer == layers_.data() || layer.inputs() == hidden_);
        });
    }

    // A call that gradients are wanted of: by way of Python, with weights that an optimizer's step may have changed,
    // and that are then packed anew. None where anything else is not as it was.
    nb::object learn(nb::handle input, nb::handle state, Axes axes) {
        if (axes == Axes::step || rate_[0] != 0 || rate_[1] != 0) return nb::none();
        const std::optional<Input> given = input_of(input, axes);
        Before before;
        if (!given || !states_before(state, *given, before) || !is_plain(input, before)) return nb::none();
        const long steps = given->batch * given->time;
        const int threads = torch_.threads();
        nb::list packed;
        for (auto& layer : layers_) {
            if (!layer.as_packed(steps, threads)) {
                layer.look_up();
                if (!layer.as_packed(steps, threads) && !layer.pack_again(threads)) return nb::none();
            }
            packed.append(layer.object());
        }
        return learn_(packed, input, state, weights_, axes == Axes::time_first);
    }

    struct Before {  // the states that a call is given; null for zeros
        std::array<nb::object, 2> tensors;  // held: others may put something else into a list
        std::array<const void*, 2> data{};
    };

    // What need not be known before a call begins: whether all is as it was, and nobody watches.
    bool is_as_ever(nb::handle input, const Before& before, const Input& given, int threads) const {
        return is_plain(input, before) && as_packed(given.batch * given.time, threads);
    }
    // The same but for the weights' numbers.
    bool is_plain(nb::handle input, const Before& before) const {
        if (!are_the_same() || torch_.watched() || torch_.is_negated(input)) return false;
        return std::none_of(before.tensors.begin(), before.tensors.end(),
                            [&](const nb::object& each) { return each.is_valid() && torch_.is_negated(each); });
    }

    // Whether the layer's parameters are the same tensors as ever.
    bool are_the_same() const {
        std::size_t place = 0;
        for (const auto& [name, parameter] : parameters_) {
            while (place < 4 * layers_.size() && !weight(place).is_valid()) ++place;
            if (place == 4 * layers_.size() || !weight(place).is(parameter)) return false;
            ++place;
        }
        while (place < 4 * layers_.size() && !weight(place).is_valid()) ++place;
        return place == 4 * layers_.size();
    }
    nb::handle weight(std::size_t place) const noexcept { return layers_[place / 4].weight(place % 4); }

    // Whether all weights hold the numbers that were packed.
    bool as_packed(long steps, int threads) const {
        return std::all_of(layers_.begin(), layers_.end(),
                           [&](const ReadyLayer& layer) { return layer.as_packed(steps, threads); });
    }
    // Whether all weights of a layer are looked at, not a sample.
    bool looks_at_all(const Input& given) const noexcept {
        return std::any_of(layers_.begin(), layers_.end(),
                           [&](const ReadyLayer& layer) { return layer.looks_at_all(given.batch * given.time); });
    }

    // Whether Python's lock is kept: to let others run meanwhile and to come back takes 0.2 us, as much as a twentieth
    // of what so many products of each gate take.
    bool is_small(const Input& given) const noexcept {
        return 1.0 * given.batch * given.time * hidden_ * (inputs_ + hidden_) <= 1 << 17;
    }

    std::optional<Input> input_of(nb::handle input, Axes axes) const {
        Tensor view;
        if (!torch_.view(input, view) || !same_type(view.dtype, type_)) return std::nullopt;
        const bool one_row = axes == Axes::step && view.ndim == 1;
        const int last = view.ndim - 1;
        if (view.ndim != (one_row ? 1 : axes == Axes::step ? 2 : 3)) return std::nullopt;
        for (int n = 0; n <= last; ++n) {
            if (view.shape[n] < 1) return std::nullopt;
        }
        if (view.shape[last] != inputs_ || (view.strides[last] != 1 && inputs_ > 1)) return std::nullopt;
        const void* data = data_of(view);
        if (one_row) return Input{data, 1, 1, 0, 0, true};
        if (axes == Axes::step) return Input{data, view.shape[0], 1, view.strides[0], 0, false};
        const int batch = axes == Axes::time_first, time = 1 - batch;
        return Input{data, view.shape[batch], view.shape[time], view.strides[batch], view.strides[time], false};
    }

    // The states, [L, B, H] or [L, H] for one row.
    bool states_before(nb::handle state, const Input& given, Before& before) const {
        if (state.is_none()) return true;
        auto& each = before.tensors;
        if (torch_.is_ordinary(state)) {
            each[0] = nb::borrow(state);
            if (states_ != 1) return false;
        } else {
            if (!nb::isinstance<nb::tuple>(state) && !nb::isinstance<nb::list>(state)) return false;
            if (static_cast<long>(nb::len(state)) != states_) return false;
            for (long n = 0; n < states_; ++n) {
                each[n] = nb::borrow(PySequence_Fast_GET_ITEM(state.ptr(), n));
                if (!torch_.is_ordinary(each[n])) return false;
            }
        }
        for (long n = 0; n < states_; ++n) {
            Tensor view;
            if (!torch_.view(each[n], view) || !same_type(view.dtype, type_) || !is_state(view, given)) return false;
            before.data[n] = data_of(view);
            // Half of it lies where another thread wrote it.
            const long bytes = std::min<long>(given.batch * hidden_ * view.dtype.bits / 8, 4096);
            for (long byte = 0; byte < bytes; byte += 64)
                __builtin_prefetch(static_cast<const std::byte*>(before.data[n]) + byte);
        }
        return true;
    }

    bool is_state(const Tensor& view, const Input& given) const noexcept {
        const long wanted[3] = {static_cast<long>(layers_.size()), given.batch, hidden_};
        if (view.ndim != (given.one_row ? 2 : 3)) return false;
        long stride = 1;
        for (int n = view.ndim - 1, axis = 2; n >= 0; --n, --axis) {
            if (given.one_row && axis == 1) --axis;
            if (view.shape[n] != wanted[axis] || (view.shape[n] > 1 && view.strides[n] != stride)) return false;
            stride *= view.shape[n];
        }
        return true;
    }

    New output_of(const Input& given, Axes axes) const {
        if (given.one_row) return torch_.reserve(type_, {hidden_});
        if (axes == Axes::step) return torch_.reserve(type_, {given.batch, hidden_});
        if (axes == Axes::time_first) return torch_.reserve(type_, {given.time, given.batch, hidden_});
        return torch_.reserve(type_, {given.batch, given.time, hidden_});
    }
    New state_of(const Input& given) const {
        const long number = static_cast<long>(layers_.size());
        return given.one_row ? torch_.reserve(type_, {number, hidden_})
                             : torch_.reserve(type_, {number, given.batch, hidden_});
    }
    nb::object made(New output, std::array<New, 2> after) const {
        const nb::object first = torch_.make(std::move(output)), state = torch_.make(std::move(after[0]));
        if (states_ == 1) return nb::make_tuple(first, state);
        return nb::make_tuple(first, nb::make_tuple(state, torch_.make(std::move(after[1]))));
    }

    void run(int threads, const Input& given, void* output, const std::array<const void*, 2>& before,
             const std::array<void*, 2>& after, Axes axes, const Errand* errand) const {
        // Others may pack the weights anew meanwhile, even while the lock is kept: where the errand makes Python
        // collect garbage, they may run.
        std::vector<nb::object> alive;
        std::vector<const PackedWeights*> weights;
        for (const auto& each : layers_) {
            alive.push_back(each.object());
            weights.push_back(each.packed());
        }
        std::optional<nb::gil_scoped_release> others_may_run;
        if (!is_small(given)) others_may_run.emplace();
        weights[0]->visit([&]<typename T>(Packed<T>&) {
            Stack<T> call{threads, given.batch, given.time, hidden_, {}, {}, {}, {}, {}, errand};
            call.input = {static_cast<const T*>(given.data), given.row, given.step};
            call.output = {static_cast<T*>(output), given.time * hidden_, hidden_};
            if (axes == Axes::time_first) call.output = {static_cast<T*>(output), hidden_, given.batch * hidden_};
            for (int n = 0; n < 2; ++n) {
                call.before[n] = static_cast<const T*>(before[n]);
                call.after[n] = static_cast<T*>(after[n]);
                call.rate[n] = static_cast<T>(rate_[n]);
            }
            std::vector<const Packed<T>*> layers;
            for (const auto* each : weights)
                each->visit([&]<typename U>(Packed<U>& packed) {
                    if constexpr (std::is_same_v<T, U>) layers.push_back(&packed);
                });
            run_stack(layers, call);
        });
    }

    const Torch& torch_;
    nb::dict parameters_;
    std::vector<ReadyLayer> layers_;
    long states_, hidden_ = 0, inputs_ = 0;
    std::array<double, 2> rate_;
    nb::dlpack::dtype type_{};
    nb::list weights_;
    nb::callable learn_;
};

}  // namespace

void define_ready(nb::module_& m) {
    static PyType_Slot slots[] = {
        {Py_tp_traverse, reinterpret_cast<void*>(+[](PyObject* self, visitproc visit, void* arg) {
             Py_VISIT(Py_TYPE(self));
             return nb::inst_ready(self) ? nb::inst_ptr<Ready>(self)->traverse(visit, arg) : 0;
         })},
        {Py_tp_clear, reinterpret_cast<void*>(+[](PyObject* self) {
             if (nb::inst_ready(self)) nb::inst_ptr<Ready>(self)->clear();
             return 0;
         })},
        {0, nullptr}};
    nb::class_<Ready>(m, "Ready", nb::type_slots(slots),
                      "A layer that was looked at once, to be called again and again.")
        .def(nb::init<nb::dict, nb::list, nb::list, nb::callable, long, double, double>())
        .def(
            "forward",
            [](Ready& self, nb::handle input, nb::handle state, bool time_first) {
                return self.call(input, state, time_first ? Axes::time_first : Axes::batch_first);
            },
            nb::arg(), nb::arg().none(), nb::arg())
        .def(
            "step", [](Ready& self, nb::handle x, nb::handle state) { return self.call(x, state, Axes::step); },
            nb::arg(), nb::arg().none())
        // A copy of it, and what comes out of a pickle, is None: it belongs to the tensors that it was made of.
        .def("__reduce__", [](nb::handle) {
            return nb::make_tuple(nb::handle(reinterpret_cast<PyObject*>(Py_TYPE(Py_None))), nb::make_tuple());
        });
}

}  // namespace seqloom::bind
