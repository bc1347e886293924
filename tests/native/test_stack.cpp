// Layers one above the other beside the same layers one after the other: the same bits, whoever computes which rows.
#include <array>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "buffer.hpp"
#include "check.hpp"
#include "isa.hpp"
#include "memory.hpp"
#include "stack.hpp"

using namespace seqloom;

namespace {

template <typename T>
struct Layers {
    Layers(const Kernels<T>& kernels, long inputs, long hidden, int count, std::mt19937& random) {
        std::uniform_real_distribution<T> draw(T(-0.5), T(0.5));
        const auto drawn = [&](long size) {
            arrays.emplace_back(static_cast<std::size_t>(size));
            for (T& each : arrays.back()) each = draw(random);
            return arrays.back().data();
        };
        arrays.reserve(static_cast<std::size_t>(4 * count));
        const long rows = kernels.gates * hidden;
        for (int n = 0; n < count; ++n, inputs = hidden) {
            const Weights<T> weights{drawn(rows * inputs), drawn(rows * hidden), drawn(rows), drawn(rows)};
            packed.push_back(std::make_unique<Packed<T>>(kernels, Sizes{inputs, hidden}, weights, 2));
            all.push_back(packed.back().get());
        }
    }

    std::vector<std::vector<T>> arrays;
    std::vector<std::unique_ptr<Packed<T>>> packed;
    std::vector<const Packed<T>*> all;
};

// What run_stack is to give: each layer's scan of the whole batch, on one thread.
template <typename T>
std::vector<T> one_by_one(const Layers<T>& layers, const Stack<T>& call, const T* zeros, T* after_0, T* after_1) {
    std::vector<T> below, output;
    Sequence<const T> input = call.input;
    long number = 0;
    for (const auto* layer : layers.all) {
        below = std::move(output);
        output.assign(static_cast<std::size_t>(call.batch * call.time * call.hidden), T{});
        if (number > 0) input = {below.data(), call.time * call.hidden, call.hidden};
        Forward<T> scan{};
        scan.threads = 1;
        scan.batch = call.batch;
        scan.time = call.time;
        scan.input = input;
        scan.output = {output.data(), call.time * call.hidden, call.hidden};
        const long at = number++ * call.batch * call.hidden;
        T* const after[2] = {after_0 + at, call.after[1] == nullptr ? nullptr : after_1 + at};
        for (int n = 0; n < 2; ++n) {
            scan.before[n] = call.before[n] == nullptr ? zeros : call.before[n] + at;
            scan.after[n] = after[n];
            scan.rate[n] = call.rate[n];
        }
        layer->forward(scan);
    }
    return output;
}

template <typename T>
void check_stack(std::string_view cell, long states, long batch, long time, int count, bool from_zeros, int threads = 2,
                 long hidden = 33) {
    constexpr long inputs = 5;
    std::mt19937 random(static_cast<unsigned>(batch + count));
    const Layers<T> layers(*find_kernels<T>(cell, supported().back(), Precision::exact), inputs, hidden, count, random);
    const auto sized = [](long size) { return static_cast<std::size_t>(size); };
    Buffer<T> input(sized(batch * time * inputs)), output(sized(time * batch * hidden));
    Buffer<T> before(sized(2 * count * batch * hidden)), after(sized(2 * count * batch * hidden));
    std::normal_distribution<T> normal;
    for (long n = 0; n < batch * time * inputs; ++n) input[n] = normal(random);
    for (long n = 0; n < 2 * count * batch * hidden; ++n) before[n] = normal(random);
    const long second = count * batch * hidden;
    Stack<T> call{threads, batch, time, hidden, {}, {}, {}, {}, {T(0), states > 1 ? T(0.25) : T(0)}, nullptr};
    call.input = {input.data(), time * inputs, inputs};
    call.output = {output.data(), hidden, batch * hidden};  // time first
    call.after[0] = after.data();
    if (!from_zeros) call.before[0] = before.data();
    if (states > 1) {
        call.after[1] = after.data() + second;
        if (!from_zeros) call.before[1] = before.data() + second;
    }
    std::vector<std::thread::id> errands;  // by whom
    const Errand errand{[](void* by) noexcept {
                            static_cast<decltype(errands)*>(by)->push_back(std::this_thread::get_id());
                        },
                        &errands};
    call.errand = &errand;
    run_stack(layers.all, call);
    CHECK(errands == std::vector{std::this_thread::get_id()});

    const std::vector<T> zeros(sized(batch * hidden), T{});
    std::vector<T> wanted_after(sized(2 * count * batch * hidden), T{});
    const auto wanted = one_by_one(layers, call, zeros.data(), wanted_after.data(), wanted_after.data() + second);
    bool same = true;
    for (long b = 0; b < batch; ++b) {
        for (long t = 0; t < time; ++t) {
            for (long unit = 0; unit < hidden; ++unit)
                same &= output[(t * batch + b) * hidden + unit] == wanted[sized((b * time + t) * hidden + unit)];
        }
    }
    for (long n = 0; n < states * second; ++n) same &= after[n] == wanted_after[sized(n)];
    CHECK(same);
    CHECK(input.intact() && output.intact() && before.intact() && after.intact());
}

}  // namespace

TEST(stacks_of_any_size) {
    const auto broken = broken_guards();
    guard(true);
    for (const long batch : {1L, 3L, 40L, 70L}) {
        for (const int count : {1, 2, 3}) {
            for (const bool from_zeros : {false, true}) {
                check_stack<float>("gru", 1, batch, 9, count, from_zeros);
                check_stack<float>("lstm", 2, batch, 9, count, from_zeros);
                check_stack<double>("elman-tanh", 1, batch, 9, count, from_zeros);
            }
        }
    }
    guard(false);
    CHECK(broken_guards() == broken);
}

// Long enough for each layer to have a thread of its own, where there are few rows; with a last chunk of any size.
TEST(stacks_over_time) {
    const auto broken = broken_guards();
    guard(true);
    for (const long batch : {1L, 3L, 17L}) {
        for (const int count : {2, 3, 5}) {
            for (const int threads : {2, 3, 8}) {
                const long time = 257 + batch + count;
                check_stack<float>("gru", 1, batch, time, count, count == 3, threads);
                check_stack<float>("lstm", 2, batch, time, count, count != 3, threads);
                check_stack<double>("elman-tanh", 1, batch, time, count, count == 3, threads);
            }
        }
    }
    guard(false);
    CHECK(broken_guards() == broken);
}

// Whose units are split, with more of them for the threads that do not run the errand.
TEST(stacks_of_large_steps) {
    const auto broken = broken_guards();
    guard(true);
    for (const int count : {1, 2}) {
        for (const int threads : {1, 2, 3}) {
            for (int time = 1; time <= 2; ++time) {
                check_stack<float>("gru", 1, 1, time, count, false, threads, 530);
                check_stack<float>("lstm", 2, 2, time, count, false, threads, 407);
                check_stack<double>("elman-tanh", 1, 1, time, count, false, threads, 530);
            }
        }
    }
    guard(false);
    CHECK(broken_guards() == broken);
}
