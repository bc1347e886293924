// The compiled scans beside the reference, for every cell, instruction set, type and precision there is.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "scan_problems.hpp"

using namespace problems;

namespace {

// Shapes that make the kernels split their work in every way: over rows, over units; in groups and chunks; in tiles of
// one panel of weights and of several; with what the weights' gradients read as it lies, and laid in tiles; with steps
// that take their weights there and back.
struct Shape {
    long batch, time, inputs, hidden;
};
constexpr Shape large_shapes[] = {{70, 9, 7, 33},   {3, 9, 5, 260}, {51, 40, 3, 17},  {2, 150, 33, 65},
                                  {20, 7, 13, 100}, {300, 2, 1, 5}, {2, 35, 41, 261}, {33, 5, 20, 150},
                                  {8, 7, 33, 210},  {15, 5, 20, 420}, {1, 1, 200, 300}, {5, 1, 70, 530},
                                  {8, 1, 33, 530},  {40, 1, 33, 530}};

}  // namespace

// --- the judge -------------------------------------------------------------------------------------------------------

// The gradients of the reference are those of its own forward part, by central differences.
TEST(the_reference_derives_itself) {
    Random random(3);
    for (const Cell cell : cells) {
        for (int n = 0; n < 6; ++n) {
            Problem p = problem_of(cell, 2, 4, 3, 5);
            fill(p, random);
            choose_options(p, random);
            const auto result = reference::scan(p);
            const auto loss = [&] {
                const auto at = reference::scan(p);
                double sum = 0;
                const auto add = [&](const reference::Array& values, const reference::Array& factors) {
                    for (std::size_t i = 0; i < values.size(); ++i) sum += values[i] * factors[i];
                };
                add(at.output, p.d_output);
                add(at.steps, p.d_steps);
                for (int state = 0; state < reference::states(cell); ++state) add(at.after[state], p.d_after[state]);
                return sum;
            };
            const auto check = [&](reference::Array& variable, const reference::Array& gradient) {
                for (std::size_t i = 0; i < variable.size(); ++i) {
                    const double before = variable[i], step = 1e-6;
                    variable[i] = before + step;
                    const double above = loss();
                    variable[i] = before - step;
                    const double slope = (above - loss()) / (2 * step);
                    variable[i] = before;
                    CHECK(std::abs(slope - gradient[i]) < 1e-7);
                }
            };
            check(p.input, result.d_input);
            for (int state = 0; state < reference::states(cell); ++state) {
                check(p.before[state], result.d_before[state]);
            }
            check(p.input_weights, result.d_input_weights);
            check(p.hidden_weights, result.d_hidden_weights);
            check(p.input_bias, result.d_input_bias);
            check(p.hidden_bias, result.d_hidden_bias);
        }
    }
}

// --- the kernels -----------------------------------------------------------------------------------------------------

TEST(scans_of_any_size_with_any_options) {
    for (const Cell cell : cells) {
        for (int seed = 0; seed < 60; ++seed) {
            Random random(static_cast<unsigned>(seed));
            const long batch = random.one_of({1, 2, 3, 5, 8, 17, 33}), time = random.one_of({1, 2, 3, 7, 19});
            const long inputs = random.one_of({1, 2, 3, 16, 17, 33, 65});
            const long hidden = random.one_of({1, 2, 3, 15, 16, 17, 33, 64, 70});
            Problem p = problem_of(cell, batch, time, inputs, hidden);
            fill(p, random);
            choose_options(p, random);
            Wishes wishes;
            wishes.threads = static_cast<int>(random.from(1, 3));
            wishes.back = random.yes();
            wishes.order = static_cast<Order>(random.from(0, 2));
            drop_some_arrays(p, wishes, random);
            compare(p, wishes, seed);
        }
    }
}

TEST(scans_that_are_split) {
    Random random(5);
    for (const Cell cell : cells) {
        for (const auto& [batch, time, inputs, hidden] : large_shapes) {
            for (const int threads : {1, 2, 3}) {
                Problem p = problem_of(cell, batch, time, inputs, hidden);
                fill(p, random);
                if (threads > 1) choose_options(p, random);
                Wishes wishes;
                wishes.threads = threads;
                wishes.back = threads == 2;
                compare(p, wishes);
            }
        }
    }
}

TEST(results_do_not_depend_on_the_number_of_threads) {
    Random random(7);
    for (const Cell cell : cells) {
        for (const auto& [batch, time, inputs, hidden] : large_shapes) {
            Problem p = problem_of(cell, batch, time, inputs, hidden);
            fill(p, random);
            choose_options(p, random);
            for_kernels(cell, [&]<typename T>(const seqloom::Kernels<T>& kernels, const Kind& kind) {
                Wishes wishes;
                const auto alone = Trial<T>(p, kernels, wishes).all(false);
                for (wishes.threads = 2; wishes.threads <= 3; ++wishes.threads) {
                    wishes.back = !wishes.back;
                    CHECK_IN(describe(p, wishes, kind), (Trial<T>(p, kernels, wishes).all(false) == alone));
                }
            });
        }
    }
}

TEST(results_do_not_depend_on_the_other_rows) {
    Random random(9);
    for (const Cell cell : cells) {
        for (const long hidden : {17L, 64L, 100L}) {
            Problem all = problem_of(cell, 29, 6, 11, hidden);
            fill(all, random);
            for (long row = 0; row < all.batch; ++row) all.lengths.push_back(random.from(1, all.time));
            for_kernels(cell, [&]<typename T>(const seqloom::Kernels<T>& kernels, const Kind& kind) {
                const auto together = Trial<T>(all, kernels, {}).all(false);
                for (const long row : {0L, 13L, 28L}) {
                    Problem one = all;
                    const auto keep = [&](auto& array, long size) {
                        if (!array.empty()) array = {array.begin() + row * size, array.begin() + (row + 1) * size};
                    };
                    one.batch = 1;
                    keep(one.input, all.time * all.inputs);
                    keep(one.lengths, 1);
                    keep(one.d_output, all.time * hidden);
                    keep(one.d_steps, all.time * hidden);
                    for (int n = 0; n < 2; ++n) {
                        keep(one.before[n], hidden);
                        keep(one.d_after[n], hidden);
                    }
                    const auto alone = Trial<T>(one, kernels, {}).all(false);
                    const auto begin = together.begin() + row * all.time * hidden;
                    CHECK_IN(describe(one, {}, kind) + ", row " + std::to_string(row),
                             std::equal(begin, begin + all.time * hidden, alone.begin()));
                }
            });
        }
    }
}

// Not even where one of them is no number: lanes and rows that only fill up a tile hold no trace of it.
TEST(a_row_of_nan_stays_alone) {
    Random random(17);
    constexpr long bad = 4;
    for (const Cell cell : cells) {
        Problem p = problem_of(cell, 9, 5, 6, 19);
        fill(p, random);
        const auto spoilt_by = [&](double value) {
            Problem other = p;
            for (long n = 0; n < p.time * p.inputs; n += 7) {
                other.input[static_cast<std::size_t>(bad * p.time * p.inputs + n)] = value;
            }
            return other;
        };
        const auto same_elsewhere = [&](const reference::Array& one, const reference::Array& two, long features) {
            const auto begin = bad * p.time * features, end = begin + p.time * features;
            return std::equal(one.begin(), one.begin() + begin, two.begin()) &&
                   std::equal(one.begin() + end, one.end(), two.begin() + end);
        };
        for (const double value : {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
            const Problem spoilt = spoilt_by(value);
            for_kernels(cell, [&]<typename T>(const seqloom::Kernels<T>& kernels, const Kind& kind) {
                Trial<T> clean(p, kernels, {}), other(spoilt, kernels, {});
                const auto output = other.output();
                CHECK_IN(describe(p, {}, kind), same_elsewhere(clean.output(), output, p.hidden));
                CHECK_IN(describe(p, {}, kind), same_elsewhere(clean.d_input(), other.d_input(), p.inputs));
                if (!std::isnan(value)) return;
                const auto begin = output.begin() + bad * p.time * p.hidden, end = begin + p.time * p.hidden;
                CHECK_IN(describe(p, {}, kind), std::all_of(begin, end, [](double each) { return std::isnan(each); }));
            });
        }
    }
}

// A product with a state of zeros is left out where it gives zeros: not if a weight is infinite, whoever packed it.
TEST(infinite_weights_meet_a_state_of_zeros) {
    Random random(18);
    for (const Cell cell : cells) {
        Problem p = problem_of(cell, 2, 1, 41, 290);
        fill(p, random);
        std::fill(p.before[0].begin(), p.before[0].end(), 0.0);
        const Problem finite = p;
        for (const std::size_t place : {std::size_t{7}, p.hidden_weights.size() - 1}) {
            p = finite;
            p.hidden_weights[place] = std::numeric_limits<double>::infinity();
            for_kernels(cell, [&]<typename T>(const seqloom::Kernels<T>& kernels, const Kind& kind) {
                Wishes wishes;
                const auto any_nan = [&](const Problem& given) {
                    const auto output = Trial<T>(given, kernels, wishes).output();
                    return std::any_of(output.begin(), output.end(), [](double each) { return std::isnan(each); });
                };
                for (wishes.threads = 1; wishes.threads <= 3; ++wishes.threads) {
                    CHECK_IN(describe(p, wishes, kind), any_nan(p));
                    CHECK_IN(describe(p, wishes, kind), !any_nan(finite));
                }
            });
        }
    }
}

TEST(rows_may_be_empty) {
    Random random(19);
    for (const Cell cell : cells) {
        for (const auto& lengths : {std::vector<std::int64_t>{0, 0, 0}, {0, 4, 0}, {1, 0, 4}}) {
            Problem p = problem_of(cell, 3, 4, 5, 18);
            fill(p, random);
            p.lengths = lengths;
            compare(p, {});
            p.reverse = true;
            compare(p, {});
        }
    }
}

TEST(a_scan_without_backward_gives_the_same) {
    Random random(11);
    for (const Cell cell : cells) {
        Problem p = problem_of(cell, 7, 5, 9, 35);
        fill(p, random);
        choose_options(p, random);
        for_kernels(cell, [&]<typename T>(const seqloom::Kernels<T>& kernels, const Kind& kind) {
            Wishes inference;
            inference.stash = false;
            Trial<T> without(p, kernels, inference);
            CHECK_IN(describe(p, inference, kind), (Trial<T>(p, kernels, {}).all(false) == without.all(false)));
            CHECK_IN(describe(p, inference, kind), without.damage().empty());
        });
    }
}

TEST(four_threads_scan_at_once) {
    Random random(13);
    for (const Cell cell : cells) {
        for (const auto& [batch, hidden] : {std::pair(40L, 70L), std::pair(3L, 260L)}) {  // split by rows, by units
            Problem p = problem_of(cell, batch, 9, 20, hidden);
            fill(p, random);
            for_kernels(cell, [&]<typename T>(const seqloom::Kernels<T>& kernels, const Kind& kind) {
                Wishes wishes;
                wishes.threads = 2;
                const auto expected = Trial<T>(p, kernels, wishes).all(true);
                std::array<std::thread, 4> threads;
                for (auto& each : threads) {
                    each = std::thread([&] {
                        for (int n = 0; n < 3; ++n) {
                            CHECK_IN(describe(p, wishes, kind), (Trial<T>(p, kernels, wishes).all(true) == expected));
                        }
                    });
                }
                for (auto& each : threads) each.join();
            });
        }
    }
}

TEST(one_line_may_stand_for_all) {
    Random random(15);
    for (const Cell cell : cells) {
        Problem p = problem_of(cell, 9, 6, 10, 21);
        fill(p, random);
        const auto repeat = [&](reference::Array& array, long features) {
            for (std::size_t n = 0; n < array.size(); ++n) array[n] = array[n % static_cast<std::size_t>(features)];
        };
        repeat(p.input, p.inputs);
        repeat(p.d_output, p.hidden);
        Wishes wishes;
        wishes.repeated = true;
        compare(p, wishes);
    }
}

TEST(unknown_kernels_are_not_found) {
    CHECK(seqloom::find_kernels<float>("gru2", seqloom::detect(), Precision::exact) == nullptr);
    CHECK(seqloom::find_kernels<float>("", seqloom::detect(), Precision::exact) == nullptr);
}
