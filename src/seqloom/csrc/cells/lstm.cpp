// The pointwise rule of the LSTM; equations in cells/lstm.py. Gates: input, forget, cell, output.
#include "rule.hpp"

namespace seqloom::SEQLOOM_TARGET {

template <typename T>
struct Lstm {
    using V = Vec<T>;
    static constexpr int gates = 4, states = 2, stashed = 4, gate_with_extra_bias = -1;
    static constexpr bool reads_h = false, reads_after = false, carries_h = false;
    static constexpr int between = 1;

    static SEQLOOM_INLINE void begin(const V (&sum)[4], const V (&input)[4], V, V (&state)[2], V (&stashed)[5],
                                     V (&between)[2]) noexcept {
        const V i = sigmoid(sum[0] + input[0]), f = sigmoid(sum[1] + input[1]);
        const V g = tanh(sum[2] + input[2]), o = sigmoid(sum[3] + input[3]);
        state[1] = fma(f, state[1], i * g);
        stashed[0] = i;
        stashed[1] = f;
        stashed[2] = g;
        stashed[3] = between[0] = o;
    }

    static SEQLOOM_INLINE void end(const V (&between)[2], V (&state)[2], V (&)[5]) noexcept {
        state[0] = between[0] * tanh(state[1]);
    }

    // With c' = f c + i g and h' = o tanh(c'): dc' gains dh' o (1 - tanh(c')^2), and each gate's gradient passes
    // through the derivative of its activation, s (1 - s) or 1 - t^2.
    static SEQLOOM_INLINE void backward(const V (&stashed)[5], const V (&before)[2], V, V (&d_state)[2],
                                        V (&d_input)[4], V (&d_hidden)[4]) noexcept {
        const V i = stashed[0], f = stashed[1], g = stashed[2], o = stashed[3], c = before[1];
        const V tanh_c = tanh(fma(f, c, i * g)), d_h = d_state[0];
        const V d_c = fma(d_h * o, 1 - tanh_c * tanh_c, d_state[1]);
        d_hidden[0] = d_input[0] = d_c * g * i * (1 - i);
        d_hidden[1] = d_input[1] = d_c * c * f * (1 - f);
        d_hidden[2] = d_input[2] = d_c * i * (1 - g * g);
        d_hidden[3] = d_input[3] = d_h * tanh_c * o * (1 - o);
        d_state[0] = V{};
        d_state[1] = d_c * f;
    }
};

}  // namespace seqloom::SEQLOOM_TARGET

SEQLOOM_CELL("lstm", Lstm)
