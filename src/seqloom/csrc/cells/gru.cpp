// The pointwise rule of the GRU; equations in cells/gru.py. Gates: reset, update, new.
#include "rule.hpp"

namespace seqloom::SEQLOOM_TARGET {

template <typename T>
struct Gru {
    using V = Vec<T>;
    static constexpr int gates = 3, states = 1, stashed = 4, gate_with_extra_bias = 2;
    static constexpr bool reads_h = true, reads_after = false, carries_h = true;
    static constexpr int between = 2;

    static SEQLOOM_INLINE void begin(const V (&sum)[3], const V (&input)[3], V extra, V (&)[1], V (&stashed)[5],
                                     V (&between)[3]) noexcept {
        const V r = sigmoid(sum[0] + input[0]), z = sigmoid(sum[1] + input[1]);
        const V hidden_n = sum[2] + extra;  // inside the reset
        between[0] = fma(r, hidden_n, input[2]);
        stashed[0] = r;
        stashed[1] = between[1] = z;
        stashed[3] = hidden_n;
    }

    static SEQLOOM_INLINE void end(const V (&between)[3], V (&state)[1], V (&stashed)[5]) noexcept {
        const V n = tanh(between[0]), z = between[1];
        state[0] = fma(z, state[0] - n, n);
        stashed[2] = n;
    }

    // With h' = n + z (h - n) and n = tanh(x_n + r hidden_n).
    static SEQLOOM_INLINE void backward(const V (&stashed)[5], const V (&before)[1], V, V (&d_state)[1],
                                        V (&d_input)[3], V (&d_hidden)[3]) noexcept {
        const V r = stashed[0], z = stashed[1], n = stashed[2], hidden_n = stashed[3], d_h = d_state[0];
        const V d_n = d_h * (1 - z) * (1 - n * n);
        d_hidden[0] = d_input[0] = d_n * hidden_n * r * (1 - r);
        d_hidden[1] = d_input[1] = d_h * (before[0] - n) * z * (1 - z);
        d_input[2] = d_n;
        d_hidden[2] = d_n * r;
        d_state[0] = d_h * z;
    }
};

}  // namespace seqloom::SEQLOOM_TARGET

SEQLOOM_CELL("gru", Gru)
