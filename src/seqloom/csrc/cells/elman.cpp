// The pointwise rule of the plain recurrent network; equations in cells/elman.py. One gate: new.
#include "rule.hpp"

namespace seqloom::SEQLOOM_TARGET {

template <typename T, bool relu>
struct Elman {
    using V = Vec<T>;
    static constexpr int gates = 1, states = 1, stashed = 0, gate_with_extra_bias = -1;
    static constexpr bool reads_h = false, reads_after = true, carries_h = false;
    static constexpr int between = 0;

    static SEQLOOM_INLINE void begin(const V (&sum)[1], const V (&input)[1], V, V (&state)[1], V (&)[1],
                                     V (&)[1]) noexcept {
        const V a = sum[0] + input[0];
        if constexpr (relu) state[0] = a <= V{} ? V{} : a;  // NaN stays NaN
        else state[0] = tanh(a);
    }

    static SEQLOOM_INLINE void end(const V (&)[1], V (&)[1], V (&)[1]) noexcept {}

    static SEQLOOM_INLINE void backward(const V (&)[1], const V (&)[1], V after, V (&d_state)[1], V (&d_input)[1],
                                        V (&d_hidden)[1]) noexcept {
        if constexpr (relu) d_input[0] = after <= V{} ? V{} : d_state[0];
        else d_input[0] = d_state[0] * (1 - after * after);
        d_hidden[0] = d_input[0];
        d_state[0] = V{};
    }
};

template <typename T>
using ElmanTanh = Elman<T, false>;
template <typename T>
using ElmanRelu = Elman<T, true>;

}  // namespace seqloom::SEQLOOM_TARGET

SEQLOOM_CELL("elman-tanh", ElmanTanh)
SEQLOOM_CELL("elman-relu", ElmanRelu)
