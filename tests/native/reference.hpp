// The judge of the compiled scans: one row, one step and one unit at a time, in double.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace reference {

enum class Cell { elman_tanh, elman_relu, gru, lstm };

std::string_view name(Cell cell);  // as find_kernels knows it
long gates(Cell cell);
int states(Cell cell);

using Array = std::vector<double>;

// Letters as in scan.hpp; all arrays are contiguous. An empty one stands for null there.
struct Problem {
    Cell cell = Cell::lstm;
    long batch = 1, time = 1, inputs = 1, hidden = 1;
    bool reverse = false;
    bool bfloat16 = false;  // the factors of all products are rounded to bf16

    Array input;                            // [B, T, I]
    Array before[2];                        // [B, H]
    Array input_weights, hidden_weights;    // [G*H, I], [G*H, H]
    Array input_bias, hidden_bias;          // [G*H]
    std::vector<std::int64_t> lengths;      // [B]
    std::vector<std::uint8_t> fresh;        // [B, T]
    Array mask;                             // [B, H]
    std::vector<std::uint8_t> zone[2];      // [B, T, H]
    double rate[2] = {0, 0};
    Array d_output, d_steps;                // [B, T, H]
    Array d_after[2];                       // [B, H]

    long length(long row) const {
        return lengths.empty() ? time : static_cast<long>(lengths[static_cast<std::size_t>(row)]);
    }
};

// All zero beyond a row's length. What belongs to a second state is empty for cells with one.
struct Result {
    Array output, steps;                        // [B, T, H]
    Array after[2];                             // [B, H]
    Array d_input;                              // [B, T, I]
    Array d_before[2];                          // [B, H]
    Array d_input_weights, d_hidden_weights;    // [G*H, I], [G*H, H]
    Array d_input_bias, d_hidden_bias;          // [G*H]
};

// Forward, and the gradients of the sum of output * d_output, steps * d_steps and after * d_after.
Result scan(const Problem& problem);

}  // namespace reference
