// Problems for the compiled scans, the kernels there are, and the comparison of both with the reference.
#pragma once

#include <cmath>
#include <initializer_list>
#include <random>
#include <string>
#include <vector>

#include "check.hpp"
#include "isa.hpp"
#include "memory.hpp"
#include "scan_trial.hpp"

namespace problems {

using reference::Cell;
using reference::Problem;
using seqloom::Isa;
using seqloom::Precision;

inline constexpr Cell cells[] = {Cell::elman_tanh, Cell::elman_relu, Cell::gru, Cell::lstm};

// What the compiled kernels of one instruction set, type and precision are held to, relative in L2.
struct Kind {
    Isa isa;
    Precision precision;
    double forward_limit, backward_limit;

    std::string name() const {
        return std::string(seqloom::name(isa)) + (precision == Precision::bfloat16 ? " bfloat16" : "");
    }
};

// Calls body(kernels, kind) for each; instruction sets that this machine has not are left out.
template <typename Body>
void for_kernels(Cell cell, Body&& body) {
    const void *float_before = nullptr, *double_before = nullptr;
    for (const Isa isa : seqloom::supported()) {
        const auto* single = seqloom::find_kernels<float>(name(cell), isa, Precision::exact);
        const auto* twice = seqloom::find_kernels<double>(name(cell), isa, Precision::exact);
        const auto* half = seqloom::find_kernels<float>(name(cell), isa, Precision::bfloat16);
        CHECK(single != nullptr && twice != nullptr && half != nullptr);
        CHECK(seqloom::find_kernels<double>(name(cell), isa, Precision::bfloat16) == nullptr);
        if (single != float_before) body(*single, Kind{isa, Precision::exact, 5e-7, 5e-6});
        if (twice != double_before) body(*twice, Kind{isa, Precision::exact, 2e-15, 2e-14});
        // The gradients of a relu jump where a sum near zero is rounded to the other side.
        body(*half, Kind{isa, Precision::bfloat16, 2e-3, cell == Cell::elman_relu ? 4e-2 : 4e-3});
        float_before = single;
        double_before = twice;
    }
}

// --- random problems -------------------------------------------------------------------------------------------------

class Random {
public:
    explicit Random(unsigned seed) : engine_(seed) {}

    bool yes(double share = 0.5) { return std::uniform_real_distribution<>(0, 1)(engine_) < share; }
    long from(long least, long most) { return std::uniform_int_distribution<long>(least, most)(engine_); }
    long one_of(std::initializer_list<long> all) { return all.begin()[from(0, static_cast<long>(all.size()) - 1)]; }

    // Numbers that float holds exactly, as the same ones are given to all kinds.
    reference::Array numbers(long count, double range) {
        reference::Array all(static_cast<std::size_t>(count));
        std::uniform_real_distribution<float> distribution(static_cast<float>(-range), static_cast<float>(range));
        for (double& each : all) each = distribution(engine_);
        return all;
    }
    std::vector<std::uint8_t> marks(long count, double share) {
        std::vector<std::uint8_t> all(static_cast<std::size_t>(count));
        for (auto& each : all) each = yes(share);
        return all;
    }

private:
    std::mt19937 engine_;
};

inline void fill(Problem& p, Random& random) {
    const long rows = reference::gates(p.cell) * p.hidden;
    const double range = 1 / std::sqrt(static_cast<double>(p.hidden));
    p.input = random.numbers(p.batch * p.time * p.inputs, 1.5);
    p.input_weights = random.numbers(rows * p.inputs, 1 / std::sqrt(static_cast<double>(p.inputs)));
    p.hidden_weights = random.numbers(rows * p.hidden, range);
    for (int n = 0; n < reference::states(p.cell); ++n) {
        p.before[n] = random.numbers(p.batch * p.hidden, 1);
        p.d_after[n] = random.numbers(p.batch * p.hidden, 1);
    }
    p.input_bias = random.numbers(rows, range);
    p.hidden_bias = random.numbers(rows, range);
    p.d_output = random.numbers(p.batch * p.time * p.hidden, 1);
    if (reference::states(p.cell) > 1) p.d_steps = random.numbers(p.batch * p.time * p.hidden, 1);
}

inline void choose_options(Problem& p, Random& random) {
    p.reverse = random.yes();
    if (random.yes()) {
        for (long row = 0; row < p.batch; ++row) {
            p.lengths.push_back(random.yes(0.2) ? random.one_of({0, p.time}) : random.from(0, p.time));
        }
    }
    if (random.yes(0.4)) p.fresh = random.marks(p.batch * p.time, 0.3);
    if (random.yes(0.4)) {
        for (const auto kept : random.marks(p.batch * p.hidden, 0.7)) p.mask.push_back(kept ? 1.25 : 0);
    }
    for (int n = 0; n < reference::states(p.cell); ++n) {
        if (random.yes(0.25)) p.rate[n] = 0.125 * static_cast<double>(n + 1);
        if (random.yes(0.25)) p.zone[n] = random.marks(p.batch * p.time * p.hidden, 0.3);
    }
}

inline void drop_some_arrays(Problem& p, Wishes& wishes, Random& random) {
    for (auto* each : {&p.input_bias, &p.hidden_bias, &p.d_output, &p.d_steps, &p.d_after[0], &p.d_after[1]}) {
        if (random.yes(0.2)) each->clear();
    }
    for (bool* each : {&wishes.steps, &wishes.d_input, &wishes.d_before[0], &wishes.d_before[1], &wishes.d_weights[0],
                       &wishes.d_weights[1], &wishes.d_bias[0], &wishes.d_bias[1]}) {
        *each = random.yes(0.8);
    }
}

inline std::string describe(const Problem& p, const Wishes& wishes, const Kind& kind) {
    std::string text = std::string(name(p.cell)) + " " + kind.name();
    const auto say_number = [&](const char* what, long number) { text += what + std::to_string(number); };
    say_number(" B ", p.batch);
    say_number(" T ", p.time);
    say_number(" I ", p.inputs);
    say_number(" H ", p.hidden);
    say_number(" threads ", wishes.threads);
    const auto say = [&](bool so, const char* what) { text += so ? std::string(" ") + what : ""; };
    say(wishes.order == Order::time_first, "time first");
    say(wishes.order == Order::with_gaps, "with gaps");
    say(wishes.back, "back");
    say(p.reverse, "reverse");
    say(!p.lengths.empty(), "lengths");
    say(!p.fresh.empty(), "fresh");
    say(!p.mask.empty(), "mask");
    for (int n = 0; n < 2; ++n) {
        say(!p.zone[n].empty(), n == 0 ? "zone 0" : "zone 1");
        say(p.rate[n] != 0, n == 0 ? "rate 0" : "rate 1");
    }
    say(p.input_bias.empty(), "no input bias");
    say(p.hidden_bias.empty(), "no hidden bias");
    return text;
}

// Holds all kernels of the problem's cell to the reference.
inline void compare(Problem p, Wishes wishes, int seed = -1) {
    for (const bool bfloat16 : {false, true}) {
        p.bfloat16 = bfloat16;
        const auto expected = reference::scan(p);
        for_kernels(p.cell, [&](const auto& kernels, const Kind& kind) {
            if ((kind.precision == Precision::bfloat16) != bfloat16) return;
            // Without guards AddressSanitizer watches the scratch; with them it is full of NaN at first.
            for (const bool guarded : {false, true}) {
                seqloom::guard(guarded);
                const auto broken = seqloom::broken_guards();
                const auto problem = [&]<typename T>(const seqloom::Kernels<T>& k) {
                    return Trial<T>(p, k, wishes).wrong(expected, kind.forward_limit, kind.backward_limit);
                }(kernels);
                seqloom::guard(false);
                CHECK_IN(describe(p, wishes, kind) + ", seed " + std::to_string(seed) + ":" + problem, problem.empty());
                CHECK_IN(describe(p, wishes, kind), seqloom::broken_guards() == broken);
            }
        });
    }
}

inline Problem problem_of(Cell cell, long batch, long time, long inputs, long hidden) {
    Problem p;
    p.cell = cell;
    p.batch = batch;
    p.time = time;
    p.inputs = inputs;
    p.hidden = hidden;
    return p;
}

}  // namespace problems
