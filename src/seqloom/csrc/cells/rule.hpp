// What a compiled cell is: its pointwise rule on one vector of units, forward and backward. To add a cell, write a file
// like gru.cpp: a struct as below, and SEQLOOM_CELL at its end. The equations stand in cells/x.py, which judges it.
//
//   static constexpr int gates;                 G, at most 4
//   static constexpr int states;                1 or 2; the first is h
//   static constexpr int stashed;               vectors that forward leaves for backward, at most 4
//   static constexpr int gate_with_extra_bias;  the gate whose hidden side stands apart (its bias, its gradient), or -1
//   static constexpr bool reads_h;              h enters the rule itself, not only the product
//   static constexpr bool reads_after;          backward reads the h that forward gave
//   static constexpr bool carries_h;            backward gives a gradient of h beside the one through the product
//   static constexpr int between;               vectors that begin hands to end, at most 2; 0: begin does all
//
//   begin(sum, input, extra, state, stashed, between) and end(between, state, stashed): forward in two parts, the last
//   activation in the second one. The processor looks only so far ahead; behind the others of some rows the last ones
//   overlap.
//     sum[G]      products of h with the hidden weights
//     input[G]    products of x with the input weights, with the biases
//     extra       the bias of the gate that stands apart
//     state       before the step; after it on return from end
//     stashed     written, by either part
//     between     written by begin, and read by end
//   backward(stashed, before, after, d_state, d_input, d_hidden)
//     before      the states before the step
//     after       h after it
//     d_state     gradients of the states after the step; of those before it on return, but for the part of h that runs
//                 through the product
//     d_input[G], d_hidden[G]   written: gradients of the gates, as the input's and as the hidden side sees them; the
//                 same but for the gate that stands apart
#pragma once

#include "backward.hpp"
#include "forward.hpp"
#include "math.hpp"
#include "packing.hpp"
#include "registry.hpp"

namespace seqloom::SEQLOOM_TARGET {

template <class Cell, class P>
constexpr Kernels<typename P::Real> kernels_of() noexcept {
    using Real = typename P::Real;
    return {
        Cell::gates,
        [](Sizes sizes) { return Layout<Cell, P>(sizes).forward_bytes(); },
        [](Sizes sizes) { return Layout<Cell, P>(sizes).backward_bytes(); },
        [](Sizes sizes, long batch, long time) { return Layout<Cell, P>(sizes).stash_size(batch, time); },
        &pack_forward<Cell, P>,
        &pack_backward<Cell, P>,
        [](Sizes sizes, const std::byte* packed, const Forward<Real>& call) {
            ForwardScan<Cell, P>(sizes, packed, call).run();
        },
        [](Sizes sizes, const std::byte* packed, const Backward<Real>& call) {
            BackwardScan<Cell, P>(sizes, packed, call).run();
        },
    };
}

}  // namespace seqloom::SEQLOOM_TARGET

// Makes a cell known to find_kernels under this name, for the target that this file is compiled for. `Rule` is a
// template on the type of number. The target with bf16 products differs from the one below it in nothing else.
//
// This runs on every machine, whatever the target: all that is entered is made when this is compiled, and what enters
// it has no instruction of the target.
#if defined(__x86_64__) && defined(__GNUC__)
#define SEQLOOM_ANY_MACHINE __attribute__((constructor, target("no-avx")))
#else
#define SEQLOOM_ANY_MACHINE __attribute__((constructor))
#endif
#if defined(__AVX512BF16__)
#define SEQLOOM_CELL(name, Rule)                                                                    \
    namespace seqloom::SEQLOOM_TARGET {                                                             \
    static constinit const CellKernels<float> Rule##_bfloat16{name, target, Precision::bfloat16,    \
                                                              kernels_of<Rule<float>, Bfloat16>()}; \
    SEQLOOM_ANY_MACHINE static void enter_##Rule() { enter(Rule##_bfloat16); }                      \
    }
#else
#define SEQLOOM_CELL(name, Rule)                                                                         \
    namespace seqloom::SEQLOOM_TARGET {                                                                  \
    static constinit const CellKernels<float> Rule##_float{name, target, Precision::exact,               \
                                                           kernels_of<Rule<float>, Plain<float>>()};     \
    static constinit const CellKernels<double> Rule##_double{name, target, Precision::exact,             \
                                                             kernels_of<Rule<double>, Plain<double>>()}; \
    static constinit const CellKernels<float> Rule##_bfloat16{name, target, Precision::bfloat16,         \
                                                              kernels_of<Rule<float>, Bfloat16>()};      \
    SEQLOOM_ANY_MACHINE static void enter_##Rule() {                                                     \
        enter(Rule##_float);                                                                             \
        enter(Rule##_double);                                                                            \
        enter(Rule##_bfloat16);                                                                          \
    }                                                                                                    \
    }
#endif
