#include "reference.hpp"

#include <bit>
#include <cmath>
#include <utility>

namespace reference {
namespace {

std::size_t at(long index) { return static_cast<std::size_t>(index); }

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

// To the nearest number with 8 bits of mantissa, ties to even.
double to_bfloat16(double value) {
    const auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
    return std::bit_cast<float>((bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u);
}

Array rounded(Array values, bool bfloat16) {
    if (bfloat16) {
        for (double& each : values) each = to_bfloat16(each);
    }
    return values;
}

// to[r] += sum of matrix[r, c] * vector[c].
void add_product(const Array& matrix, const Array& vector, Array& to) {
    for (std::size_t r = 0; r < to.size(); ++r) {
        const double* line = matrix.data() + r * vector.size();
        for (std::size_t c = 0; c < vector.size(); ++c) to[r] += line[c] * vector[c];
    }
}

// to[c] += sum of matrix[r, c] * vector[r].
void add_transposed_product(const Array& matrix, const Array& vector, Array& to) {
    for (std::size_t r = 0; r < vector.size(); ++r) {
        const double* line = matrix.data() + r * to.size();
        for (std::size_t c = 0; c < to.size(); ++c) to[c] += line[c] * vector[r];
    }
}

// to[r, c] += left[r] * right[c].
void add_outer_product(const Array& left, const Array& right, Array& to) {
    for (std::size_t r = 0; r < left.size(); ++r) {
        double* line = to.data() + r * right.size();
        for (std::size_t c = 0; c < right.size(); ++c) line[c] += left[r] * right[c];
    }
}

// What backward must know of a step of one row.
struct Step {
    Array x, h_in;       // the factors of the products: [I], and the masked h [H]
    Array before[2];     // [H]: the states that the step starts from
    Array gates;         // [G*H]: after their activation
    Array hidden_new;    // [H]: GRU's term inside the reset
    Array tanh_c;        // [H]
    Array kept[2];       // [H]: the share of each state that stays
};

class Row {
public:
    Row(const Problem& problem, const Array& input_weights, const Array& hidden_weights, long row, Result& result)
        : p(problem), input_weights_(input_weights), hidden_weights_(hidden_weights), row_(row),
          length_(p.length(row)), to(result) {}

    void forward() {
        Array state[2];
        for (int n = 0; n < states(p.cell); ++n) state[n] = part(p.before[n], row_, p.hidden);
        for (long s = 0; s < length_; ++s) {
            const long place = row_ * p.time + time_of(s);
            steps_.push_back(advance(place, state));
            put(to.output, place, state[0]);
            if (states(p.cell) > 1) put(to.steps, place, state[1]);
        }
        for (int n = 0; n < states(p.cell); ++n) put(to.after[n], row_, state[n]);
    }

    void backward() {
        Array d_state[2];
        for (int n = 0; n < states(p.cell); ++n) d_state[n] = part(p.d_after[n], row_, p.hidden);
        for (long s = length_ - 1; s >= 0; --s) {
            const long place = row_ * p.time + time_of(s);
            add(d_state[0], part(p.d_output, place, p.hidden));
            if (states(p.cell) > 1) add(d_state[1], part(p.d_steps, place, p.hidden));
            retreat(place, steps_[at(s)], d_state);
        }
        for (int n = 0; n < states(p.cell); ++n) put(to.d_before[n], row_, d_state[n]);
    }

private:
    long time_of(long s) const { return p.reverse ? length_ - 1 - s : s; }
    bool is_fresh(long place) const { return !p.fresh.empty() && p.fresh[at(place)] != 0; }

    // Line `index` of an array of such lines; zeros where there is no array.
    static Array part(const Array& from, long index, long count) {
        if (from.empty()) return Array(at(count));
        return Array(from.begin() + index * count, from.begin() + (index + 1) * count);
    }
    static void put(Array& where, long index, const Array& line) {
        std::copy(line.begin(), line.end(), where.begin() + index * static_cast<long>(line.size()));
    }
    static void add(Array& sum, const Array& values) {
        for (std::size_t n = 0; n < sum.size(); ++n) sum[n] += values[n];
    }

    Array kept_share(int state, long place) const {
        Array share(at(p.hidden), p.rate[state]);
        if (!p.zone[state].empty()) {
            for (long u = 0; u < p.hidden; ++u) share[at(u)] = p.zone[state][at(place * p.hidden + u)];
        }
        return share;
    }

    // From the states before the step to those after it.
    Step advance(long place, Array (&state)[2]) const {
        Step step;
        for (int n = 0; n < states(p.cell); ++n) {
            if (is_fresh(place)) state[n].assign(at(p.hidden), 0);
            step.before[n] = state[n];
            step.kept[n] = kept_share(n, place);
        }
        step.x = rounded(part(p.input, place, p.inputs), p.bfloat16);
        step.h_in = state[0];
        if (!p.mask.empty()) {
            for (long u = 0; u < p.hidden; ++u) step.h_in[at(u)] *= p.mask[at(row_ * p.hidden + u)];
        }
        step.h_in = rounded(step.h_in, p.bfloat16);
        Array from_input = part(p.input_bias, 0, gates(p.cell) * p.hidden);
        Array from_hidden = part(p.hidden_bias, 0, gates(p.cell) * p.hidden);
        add_product(input_weights_, step.x, from_input);
        add_product(hidden_weights_, step.h_in, from_hidden);
        propose(step, from_input, from_hidden, state);
        for (int n = 0; n < states(p.cell); ++n) {
            for (std::size_t u = 0; u < state[n].size(); ++u) {
                state[n][u] = step.kept[n][u] * step.before[n][u] + (1 - step.kept[n][u]) * state[n][u];
            }
        }
        return step;
    }

    // The cell's equations, as in cells/x.py; the inputs of the gates from both sides.
    void propose(Step& step, const Array& from_input, const Array& from_hidden, Array (&state)[2]) const {
        const auto hidden = at(p.hidden);
        step.gates.resize(from_input.size());
        step.hidden_new.resize(hidden);
        step.tanh_c.resize(hidden);
        const auto sum = [&](std::size_t gate, std::size_t u) {
            return from_input[gate * hidden + u] + from_hidden[gate * hidden + u];
        };
        for (std::size_t u = 0; u < hidden; ++u) {
            const auto gate = [&](std::size_t n) -> double& { return step.gates[n * hidden + u]; };
            switch (p.cell) {
                case Cell::elman_tanh: state[0][u] = gate(0) = std::tanh(sum(0, u)); break;
                case Cell::elman_relu: state[0][u] = gate(0) = std::max(0.0, sum(0, u)); break;
                case Cell::gru:
                    step.hidden_new[u] = from_hidden[2 * hidden + u];
                    gate(0) = sigmoid(sum(0, u));
                    gate(1) = sigmoid(sum(1, u));
                    gate(2) = std::tanh(from_input[2 * hidden + u] + gate(0) * step.hidden_new[u]);
                    state[0][u] = (1 - gate(1)) * gate(2) + gate(1) * step.before[0][u];
                    break;
                case Cell::lstm:
                    for (const std::size_t n : {0, 1, 3}) gate(n) = sigmoid(sum(n, u));
                    gate(2) = std::tanh(sum(2, u));
                    state[1][u] = gate(1) * step.before[1][u] + gate(0) * gate(2);
                    step.tanh_c[u] = std::tanh(state[1][u]);
                    state[0][u] = gate(3) * step.tanh_c[u];
                    break;
            }
        }
    }

    // From the gradients of the states after the step to those of the states before it.
    void retreat(long place, const Step& step, Array (&d_state)[2]) {
        Array handed_on[2];
        for (int n = 0; n < states(p.cell); ++n) {
            handed_on[n] = step.kept[n];
            for (std::size_t u = 0; u < d_state[n].size(); ++u) {
                handed_on[n][u] *= d_state[n][u];
                d_state[n][u] *= 1 - step.kept[n][u];
            }
        }
        Array d_input_gates(step.gates.size()), d_hidden_gates(step.gates.size());
        derive(step, d_state, d_input_gates, d_hidden_gates);
        add(to.d_input_bias, d_input_gates);
        add(to.d_hidden_bias, d_hidden_gates);
        d_input_gates = rounded(d_input_gates, p.bfloat16);
        d_hidden_gates = rounded(d_hidden_gates, p.bfloat16);

        Array d_x(at(p.inputs)), d_h_in(at(p.hidden));
        add_transposed_product(input_weights_, d_input_gates, d_x);
        add_transposed_product(hidden_weights_, d_hidden_gates, d_h_in);
        put(to.d_input, place, d_x);
        add_outer_product(d_input_gates, step.x, to.d_input_weights);
        add_outer_product(d_hidden_gates, step.h_in, to.d_hidden_weights);
        for (long u = 0; u < p.hidden; ++u) {
            d_state[0][at(u)] += d_h_in[at(u)] * (p.mask.empty() ? 1 : p.mask[at(row_ * p.hidden + u)]);
        }
        for (int n = 0; n < states(p.cell); ++n) {
            add(d_state[n], handed_on[n]);
            if (is_fresh(place)) d_state[n].assign(at(p.hidden), 0);
        }
    }

    // From the gradients of the proposed states to those of the gates' inputs from both sides, and, in place, to those
    // of the states before the step, but for what runs through the product.
    void derive(const Step& step, Array (&d_state)[2], Array& d_input_gates, Array& d_hidden_gates) const {
        const auto hidden = at(p.hidden);
        for (std::size_t u = 0; u < hidden; ++u) {
            const auto gate = [&](std::size_t n) { return step.gates[n * hidden + u]; };
            const auto set = [&](std::size_t n, double d) {
                d_input_gates[n * hidden + u] = d_hidden_gates[n * hidden + u] = d;
            };
            const double d_h = std::exchange(d_state[0][u], 0);
            switch (p.cell) {
                case Cell::elman_tanh: set(0, d_h * (1 - gate(0) * gate(0))); break;
                case Cell::elman_relu: set(0, gate(0) > 0 ? d_h : 0); break;
                case Cell::gru: {
                    const double r = gate(0), z = gate(1), n = gate(2), d_n = d_h * (1 - z) * (1 - n * n);
                    set(0, d_n * step.hidden_new[u] * r * (1 - r));
                    set(1, d_h * (step.before[0][u] - n) * z * (1 - z));
                    set(2, d_n);
                    d_hidden_gates[2 * hidden + u] = d_n * r;
                    d_state[0][u] = d_h * z;
                    break;
                }
                case Cell::lstm: {
                    const double i = gate(0), f = gate(1), g = gate(2), o = gate(3), tanh_c = step.tanh_c[u];
                    const double d_c = d_state[1][u] + d_h * o * (1 - tanh_c * tanh_c);
                    set(0, d_c * g * i * (1 - i));
                    set(1, d_c * step.before[1][u] * f * (1 - f));
                    set(2, d_c * i * (1 - g * g));
                    set(3, d_h * tanh_c * o * (1 - o));
                    d_state[1][u] = d_c * f;
                    break;
                }
            }
        }
    }

    const Problem& p;
    const Array &input_weights_, &hidden_weights_;
    long row_, length_;
    Result& to;
    std::vector<Step> steps_;
};

}  // namespace

std::string_view name(Cell cell) {
    constexpr std::string_view names[] = {"elman-tanh", "elman-relu", "gru", "lstm"};
    return names[static_cast<std::size_t>(cell)];
}

long gates(Cell cell) { return cell == Cell::lstm ? 4 : cell == Cell::gru ? 3 : 1; }

int states(Cell cell) { return cell == Cell::lstm ? 2 : 1; }

Result scan(const Problem& p) {
    const Array input_weights = rounded(p.input_weights, p.bfloat16);
    const Array hidden_weights = rounded(p.hidden_weights, p.bfloat16);
    Result result;
    result.output.resize(at(p.batch * p.time * p.hidden));
    if (states(p.cell) > 1) result.steps.resize(result.output.size());
    for (int n = 0; n < states(p.cell); ++n) {
        result.after[n].resize(at(p.batch * p.hidden));
        result.d_before[n].resize(at(p.batch * p.hidden));
    }
    result.d_input.resize(p.input.size());
    result.d_input_weights.resize(p.input_weights.size());
    result.d_hidden_weights.resize(p.hidden_weights.size());
    result.d_input_bias.resize(at(gates(p.cell) * p.hidden));
    result.d_hidden_bias.resize(at(gates(p.cell) * p.hidden));
    for (long row = 0; row < p.batch; ++row) {
        Row each(p, input_weights, hidden_weights, row, result);
        each.forward();
        each.backward();
    }
    return result;
}

}  // namespace reference
