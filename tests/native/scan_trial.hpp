// One problem, run by the compiled kernels on buffers that show every touch out of place.
#pragma once

#include <algorithm>
#include <optional>
#include <string>

#include "buffer.hpp"
#include "reference.hpp"
#include "scan.hpp"

// What a caller may want of a scan, and how its arrays lie.
struct Wishes {
    int threads = 1;
    Order order = Order::rows_first;
    bool repeated = false;  // the input and d_output have strides of 0: all their lines are the same
    bool stash = true;      // without it there is no backward
    bool back = false;      // the weights from the last
    bool steps = true, d_input = true;
    bool d_before[2] = {true, true}, d_weights[2] = {true, true}, d_bias[2] = {true, true};
};

template <typename T>
class Trial {
public:
    using Array = reference::Array;

    Trial(const reference::Problem& problem, const seqloom::Kernels<T>& kernels, const Wishes& wishes)
        : p(problem), kernels_(kernels), wishes_(wishes), gates_(reference::gates(p.cell)),
          states_(reference::states(p.cell)) {
        const seqloom::Weights<T> weights{copy(p.input_weights), copy(p.hidden_weights), copy(p.input_bias),
                                          copy(p.hidden_bias)};
        std::byte* const forward = packed(kernels.forward_bytes(sizes()));
        kernels.pack_forward(sizes(), weights, wishes.threads, forward);
        set_common(forward_);
        forward_.output = sequence(output_, p.hidden);
        if (states_ > 1 && wishes.steps) forward_.steps = sequence(steps_, p.hidden).data;
        for (int n = 0; n < states_; ++n) forward_.after[n] = array(p.batch * p.hidden);
        if (wishes.stash) forward_.stash = array(static_cast<long>(kernels.stash_size(sizes(), p.batch, p.time)));
        forward_.back = wishes.back;
        kernels.forward(sizes(), forward, forward_);
        if (!wishes.stash) return;

        std::byte* const backward = packed(kernels.backward_bytes(sizes()));
        kernels.pack_backward(sizes(), weights, wishes.threads, backward);
        set_common(backward_);
        backward_.output = {forward_.output.data, forward_.output.row, forward_.output.time};
        backward_.stash = forward_.stash;
        backward_.d_output = given(d_output_, p.d_output, p.hidden, wishes.repeated ? Order::repeated : wishes.order);
        if (states_ > 1) backward_.d_steps = given(d_steps_, p.d_steps, p.hidden, wishes.order).data;
        for (int n = 0; n < states_; ++n) {
            backward_.d_after[n] = copy(p.d_after[n]);
            if (wishes.d_before[n]) backward_.d_before[n] = array(p.batch * p.hidden);
        }
        if (wishes.d_input) backward_.d_input = sequence(d_input_, p.inputs);
        if (wishes.d_weights[0]) backward_.d_input_weights = array(gates_ * p.hidden * p.inputs);
        if (wishes.d_weights[1]) backward_.d_hidden_weights = array(gates_ * p.hidden * p.hidden);
        if (wishes.d_bias[0]) backward_.d_input_bias = array(gates_ * p.hidden);
        if (wishes.d_bias[1]) backward_.d_hidden_bias = array(gates_ * p.hidden);
        kernels.backward(sizes(), backward, backward_);
    }

    // What differs from `expected` by more than these limits, relative in L2, and padding that is not exactly zero;
    // empty if all is right.
    std::string wrong(const reference::Result& expected, double forward_limit, double backward_limit) {
        differences_.clear();
        compare("output", dense(output_, p.hidden), expected.output, forward_limit);
        if (steps_) compare("steps", dense(steps_, p.hidden), expected.steps, forward_limit);
        for (int n = 0; n < states_; ++n) {
            compare("after", values(forward_.after[n], p.batch * p.hidden), expected.after[n], forward_limit);
        }
        check_padding("output", output_, p.hidden);
        check_padding("steps", steps_, p.hidden);
        if (wishes_.stash) {
            if (d_input_) compare("d_input", dense(d_input_, p.inputs), expected.d_input, backward_limit);
            check_padding("d_input", d_input_, p.inputs);
            for (int n = 0; n < states_; ++n) {
                const auto actual = values(backward_.d_before[n], p.batch * p.hidden);
                compare("d_before", actual, expected.d_before[n], backward_limit);
            }
            const auto compare_weights = [&](const char* name, const T* actual, const Array& wanted) {
                compare(name, values(actual, static_cast<long>(wanted.size())), wanted, backward_limit);
            };
            compare_weights("d_input_weights", backward_.d_input_weights, expected.d_input_weights);
            compare_weights("d_hidden_weights", backward_.d_hidden_weights, expected.d_hidden_weights);
            compare_weights("d_input_bias", backward_.d_input_bias, expected.d_input_bias);
            compare_weights("d_hidden_bias", backward_.d_hidden_bias, expected.d_hidden_bias);
        }
        return differences_ + damage();
    }

    Array output() { return dense(output_, p.hidden); }
    Array d_input() { return dense(d_input_, p.inputs); }

    // All that was computed, one after the other, to compare it to the bit. `gradients_too`: of backward as well.
    Array all(bool gradients_too) {
        Array numbers;
        const auto add = [&](const Array& more) { numbers.insert(numbers.end(), more.begin(), more.end()); };
        add(dense(output_, p.hidden));
        if (steps_) add(dense(steps_, p.hidden));
        for (int n = 0; n < states_; ++n) add(values(forward_.after[n], p.batch * p.hidden));
        if (!gradients_too) return numbers;
        if (d_input_) add(dense(d_input_, p.inputs));
        for (int n = 0; n < states_; ++n) add(values(backward_.d_before[n], p.batch * p.hidden));
        add(values(backward_.d_input_weights, gates_ * p.hidden * p.inputs));
        add(values(backward_.d_hidden_weights, gates_ * p.hidden * p.hidden));
        add(values(backward_.d_input_bias, gates_ * p.hidden));
        add(values(backward_.d_hidden_bias, gates_ * p.hidden));
        return numbers;
    }

    // Which memory around the arrays was written to; empty if none was.
    std::string damage() {
        std::string where;
        for (const auto& each : arrays_) {
            if (!each->intact()) where += " damage around an array of " + std::to_string(each->count());
        }
        for (const auto& each : bytes_) {
            if (!each->intact()) where += " damage around " + std::to_string(each->count()) + " bytes";
        }
        for (auto* each : {&input_, &output_, &steps_, &d_output_, &d_steps_, &d_input_}) {
            if (*each && !(*each)->intact()) where += " damage around a sequence";
        }
        return where;
    }

private:
    static T to_type(double value) { return static_cast<T>(value); }

    seqloom::Sizes sizes() const { return {p.inputs, p.hidden}; }

    void set_common(seqloom::Scan<T>& scan) {
        scan.threads = wishes_.threads;
        scan.batch = p.batch;
        scan.time = p.time;
        scan.reverse = p.reverse;
        if (!input_) given(input_, p.input, p.inputs, wishes_.repeated ? Order::repeated : wishes_.order);
        scan.input = {input_->data(), input_->row(), input_->time()};
        scan.lengths = marks(lengths_, p.lengths);
        scan.fresh = marks(fresh_, p.fresh);
        scan.mask = copy(p.mask);
        for (int n = 0; n < states_; ++n) {
            scan.before[n] = copy(p.before[n]);
            scan.zone[n] = marks(zone_[n], p.zone[n]);
            scan.rate[n] = static_cast<T>(p.rate[n]);
        }
    }

    T* array(long count) {
        arrays_.push_back(std::make_unique<Buffer<T>>(static_cast<std::size_t>(count)));
        return arrays_.back()->data();
    }
    T* copy(const Array& values) {
        if (values.empty()) return nullptr;
        T* const to = array(static_cast<long>(values.size()));
        std::transform(values.begin(), values.end(), to, to_type);
        return to;
    }
    std::byte* packed(std::size_t size) {
        bytes_.push_back(std::make_unique<Buffer<std::byte>>(size, 64));
        return bytes_.back()->data();
    }
    template <typename Mark>
    const Mark* marks(std::optional<Buffer<Mark>>& buffer, const std::vector<Mark>& values) {
        if (values.empty()) return nullptr;
        if (!buffer) std::copy(values.begin(), values.end(), buffer.emplace(values.size()).data());
        return buffer->data();
    }

    seqloom::Sequence<T> sequence(std::optional<SequenceBuffer<T>>& buffer, long features) {
        buffer.emplace(p.batch, p.time, features, wishes_.order);
        return {buffer->data(), buffer->row(), buffer->time()};
    }
    // The values up to each row's length; NaN beyond, where nothing may be read.
    seqloom::Sequence<const T> given(std::optional<SequenceBuffer<T>>& buffer, const Array& values, long features,
                                     Order order) {
        if (values.empty()) return {nullptr, 0, 0};
        buffer.emplace(p.batch, p.time, features, order);
        for (long b = 0; b < p.batch; ++b) {
            for (long t = 0; t < p.length(b); ++t) {
                const auto from = values.begin() + (b * p.time + t) * features;
                std::transform(from, from + features, buffer->at(b, t), to_type);
            }
        }
        return {buffer->data(), buffer->row(), buffer->time()};
    }

    Array values(const T* from, long count) const { return from == nullptr ? Array() : Array(from, from + count); }
    Array dense(std::optional<SequenceBuffer<T>>& buffer, long features) const {
        Array values;
        for (long b = 0; b < p.batch; ++b) {
            for (long t = 0; t < p.time; ++t) {
                values.insert(values.end(), buffer->at(b, t), buffer->at(b, t) + features);
            }
        }
        return values;
    }

    void compare(const char* name, const Array& actual, const Array& expected, double limit) {
        if (actual.empty()) return;  // not wanted
        double difference = 0, size = 0;
        for (std::size_t n = 0; n < expected.size(); ++n) {
            difference += (actual[n] - expected[n]) * (actual[n] - expected[n]);
            size += expected[n] * expected[n];
        }
        const double few = 0.1 * static_cast<double>(expected.size());  // of few numbers, all may nearly cancel out
        const double relative = std::sqrt(difference / (size + few));
        if (relative <= limit) return;  // false for NaN
        differences_ += " " + std::string(name) + " is off by " + std::to_string(relative / limit) + " limits";
    }
    void check_padding(const char* name, std::optional<SequenceBuffer<T>>& buffer, long features) {
        for (long b = 0; buffer && b < p.batch; ++b) {
            for (long t = p.length(b); t < p.time; ++t) {
                const T* const from = buffer->at(b, t);
                if (std::all_of(from, from + features, [](T each) { return each == 0; })) continue;
                differences_ += " padding of " + std::string(name) + " is not zero";
                return;
            }
        }
    }

    const reference::Problem& p;
    const seqloom::Kernels<T>& kernels_;
    Wishes wishes_;
    long gates_;
    int states_;
    seqloom::Forward<T> forward_{};
    seqloom::Backward<T> backward_{};
    std::optional<SequenceBuffer<T>> input_, output_, steps_, d_output_, d_steps_, d_input_;
    std::optional<Buffer<std::int64_t>> lengths_;
    std::optional<Buffer<std::uint8_t>> fresh_, zone_[2];
    std::vector<std::unique_ptr<Buffer<T>>> arrays_;
    std::vector<std::unique_ptr<Buffer<std::byte>>> bytes_;
    std::string differences_;
};
