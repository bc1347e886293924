// Both directions of a layer at once beside one after the other: the same bits, for outputs, states and gradients.
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include "buffer.hpp"
#include "check.hpp"
#include "directions.hpp"
#include "isa.hpp"
#include "memory.hpp"

using namespace seqloom;

namespace {

struct Size {
    long batch, time, inputs, hidden;
};

// A layer's two directions: what they read, and what a call of them writes.
template <typename T>
class Directions {
public:
    Directions(const Kernels<T>& kernels, Size size, bool two_states)
        : size_(size),
          gates_(kernels.gates * size.hidden),
          states_(two_states ? 2 : 1),
          random_(static_cast<unsigned>(size.batch + size.hidden)) {
        input_ = drawn(size.batch * size.time * size.inputs);
        d_output_ = drawn(size.batch * size.time * 2 * size.hidden);
        for (int n = 0; n < 2; ++n) {
            weights_[n] = {drawn(gates_ * size.inputs), drawn(gates_ * size.hidden), drawn(gates_), drawn(gates_)};
            packed_[n] = std::make_unique<Packed<T>>(kernels, Sizes{size.inputs, size.hidden}, weights_[n], 1 + n);
            for (int state = 0; state < states_; ++state) before_[n][state] = drawn(size.batch * size.hidden);
        }
        for (long row = 0; row < size.batch; ++row) lengths_.push_back(row % 3 == 1 ? size.time - 2 : size.time);
    }

    // All that forward and backward write, one direction's after the other's.
    std::vector<T> run(int threads, bool at_once) {
        Buffer<T> output(count(size_.batch * size_.time * 2 * size_.hidden));
        std::vector<std::unique_ptr<Buffer<T>>> written;
        const auto array = [&](long numbers) {
            written.push_back(std::make_unique<Buffer<T>>(count(numbers)));
            return written.back()->data();
        };
        std::vector<std::unique_ptr<Buffer<T>>> stashes;
        Forward<T> forward[2] = {};
        for (int n = 0; n < 2; ++n) {
            set_common(forward[n], n, threads);
            forward[n].output = {output.data() + n * size_.hidden, size_.time * 2 * size_.hidden, 2 * size_.hidden};
            for (int state = 0; state < states_; ++state) forward[n].after[state] = array(size_.batch * size_.hidden);
            stashes.push_back(std::make_unique<Buffer<T>>(packed_[n]->stash_size(size_.batch, size_.time)));
            forward[n].stash = stashes.back()->data();
        }
        const Packed<T>* const read[] = {packed_[0].get(), packed_[1].get()};
        if (at_once) run_both(read, forward);
        else
            for (int n = 0; n < 2; ++n) read[n]->forward(forward[n]);

        Backward<T> backward[2] = {};
        for (int n = 0; n < 2; ++n) {
            set_common(backward[n], n, threads);
            backward[n].output = {forward[n].output.data, forward[n].output.row, forward[n].output.time};
            backward[n].stash = forward[n].stash;
            backward[n].d_output = {d_output_ + n * size_.hidden, size_.time * 2 * size_.hidden, 2 * size_.hidden};
            backward[n].d_input = {array(size_.batch * size_.time * size_.inputs), size_.time * size_.inputs,
                                   size_.inputs};
            for (int state = 0; state < states_; ++state)
                backward[n].d_before[state] = array(size_.batch * size_.hidden);
            backward[n].d_input_weights = array(gates_ * size_.inputs);
            backward[n].d_hidden_weights = array(gates_ * size_.hidden);
            backward[n].d_input_bias = array(gates_);
            backward[n].d_hidden_bias = array(gates_);
        }
        Packed<T>* const layers[] = {packed_[0].get(), packed_[1].get()};
        if (at_once) run_both(layers, weights_, backward);
        else
            for (int n = 0; n < 2; ++n) layers[n]->backward(weights_[n], backward[n]);

        std::vector<T> all(output.data(), output.data() + output.count());
        bool intact = output.intact();
        for (const auto& each : written) all.insert(all.end(), each->data(), each->data() + each->count());
        for (const auto& each : written) intact &= each->intact();
        for (const auto& each : stashes) intact &= each->intact();
        CHECK(intact);
        return all;
    }

private:
    static std::size_t count(long numbers) { return static_cast<std::size_t>(numbers); }

    const T* drawn(long numbers) {
        std::uniform_real_distribution<T> draw(T(-0.5), T(0.5));
        arrays_.push_back(std::make_unique<std::vector<T>>(count(numbers)));
        for (T& each : *arrays_.back()) each = draw(random_);
        return arrays_.back()->data();
    }

    void set_common(Scan<T>& scan, int direction, int threads) const {
        scan.threads = threads;
        scan.batch = size_.batch;
        scan.time = size_.time;
        scan.reverse = direction == 1;
        scan.input = {input_, size_.time * size_.inputs, size_.inputs};
        scan.lengths = lengths_.data();
        for (int state = 0; state < states_; ++state) scan.before[state] = before_[direction][state];
    }

    Size size_;
    long gates_;
    int states_;
    std::mt19937 random_;
    std::vector<std::unique_ptr<std::vector<T>>> arrays_;
    const T *input_, *d_output_;
    Weights<T> weights_[2];
    std::unique_ptr<Packed<T>> packed_[2];
    const T* before_[2][2] = {};
    std::vector<std::int64_t> lengths_;
};

template <typename T>
void check_directions(std::string_view cell, bool two_states, Size size) {
    Directions<T> directions(*find_kernels<T>(cell, supported().back(), Precision::exact), size, two_states);
    const auto expected = directions.run(1, false);
    for (const int threads : {1, 2, 3}) CHECK(directions.run(threads, true) == expected);
    // With more threads one direction follows the other, and the gradients of weights are other sums.
    CHECK(directions.run(4, true) == directions.run(4, false));
}

}  // namespace

TEST(directions_at_once) {
    const auto broken = broken_guards();
    guard(true);
    for (const Size size : {Size{1, 3, 2, 5}, Size{1, 40, 17, 65}, Size{5, 33, 30, 100}, Size{40, 9, 7, 33}}) {
        check_directions<float>("gru", false, size);
        check_directions<float>("lstm", true, size);
        check_directions<double>("elman-tanh", false, size);
    }
    guard(false);
    CHECK(broken_guards() == broken);
}
