// A recurrent layer in one direction, over time: what the compiled cells can do, as raw memory in and out.
//
// Letters: B batch, T time, I input features, H hidden units, G gates. Every array of gates has the gates' rows in the
// order of cells/x.py. T (the type) is float or double. Strides count elements, not bytes. No array needs alignment
// beyond that of its type; arrays that are written must not overlap any other. Nothing is kept after a call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isa.hpp"

namespace seqloom {

struct Sizes {
    long inputs;  // I >= 1
    long hidden;  // H >= 1
};

template <typename T>
struct Weights {
    const T* input;        // [G*H, I]
    const T* hidden;       // [G*H, H]
    const T* input_bias;   // [G*H], or null for none
    const T* hidden_bias;  // [G*H], or null for none
};

// An array [B, T, F] with its features side by side. `data` may be null where the argument says so.
template <typename T>
struct Sequence {
    T* data;
    std::ptrdiff_t row, time;  // strides; 0 is allowed in arrays that are only read
};

// What forward and backward of one scan must be given alike.
template <typename T>
struct Scan {
    int threads;                  // at most so many, >= 1
    long batch, time;             // B >= 1, T >= 1
    bool reverse;                 // each row is read from its own last step to its first
    Sequence<const T> input;      // [B, T, I]; never read beyond a row's length
    const T* before[2];           // [B, H]: the states before the first step; the second null for cells with one state
    const std::int64_t* lengths;  // [B], from 0 to T; null: all are T
    const std::uint8_t* fresh;    // [B, T]: 1 where the state is zero before this step; null: nowhere
    const T* mask;  // [B, H]: factors on h where it enters the product with the hidden weights; null: ones
    const std::uint8_t* zone[2];  // [B, T, H]: 1 where this state stays as it was; null: by the rate
    T rate[2];                    // the share of each state that stays as it was, where there are no marks; 0: none
};

// What the thread that calls does besides, once, while those that it wakes begin with their parts. It is taken to last
// about a microsecond: of a single step that thread computes so much less.
struct Errand {
    void (*run)(void* context) noexcept;  // not null
    void* context;                        // given to `run`; may be null
};

template <typename T>
struct Forward : Scan<T> {
    Sequence<T> output;  // [B, T, H], written: the first state after each step, zero beyond a row's length
    T* steps;            // [B, T, H] with the strides of `output`, written: the second state likewise; null: not wanted
    T* after[2];         // [B, H], written: the states after the last step; as before where the length is 0
    T* stash;            // [stash_size], written for `backward`; null: there will be none
    const Errand* errand;  // null: none
    bool back;           // the last weights may come first: the caches hold what was read last. The same results
};

template <typename T>
struct Backward : Scan<T> {
    Sequence<const T> output;    // as forward wrote it
    const T* stash;              // as forward wrote it
    Sequence<const T> d_output;  // [B, T, H]: the gradient of the output; null: zeros; not read beyond a row's length
    const T* d_steps;     // [B, T, H] with the strides of `output`: of the second state after each step; null: zeros
    const T* d_after[2];  // [B, H]: of the states after the last step; null: zeros
    Sequence<T> d_input;  // [B, T, I], written, zero beyond a row's length; null: not wanted
    T* d_before[2];       // [B, H], written; null: not wanted
    T* d_input_weights;   // [G*H, I], written; null: not wanted
    T* d_hidden_weights;  // [G*H, H], written; null: not wanted
    T* d_input_bias;      // [G*H], written; null: not wanted
    T* d_hidden_bias;     // [G*H], written; null: not wanted
};

// How the products are computed; states and sums are of type T either way.
enum class Precision { exact, bfloat16 };

// One cell, compiled for one instruction set and precision. All functions are safe to call from several threads at
// once.
template <typename T>
struct Kernels {
    long gates;  // G

    std::size_t (*forward_bytes)(Sizes);                      // size of the packed weights that forward reads
    std::size_t (*backward_bytes)(Sizes);                     // ... and that backward reads
    std::size_t (*stash_size)(Sizes, long batch, long time);  // in elements of T

    // By at most so many threads. `packed` has so many bytes, aligned to 64.
    void (*pack_forward)(Sizes, const Weights<T>&, int threads, std::byte* packed) noexcept;
    void (*pack_backward)(Sizes, const Weights<T>&, int threads, std::byte* packed) noexcept;

    // Both throw std::bad_alloc when there is no memory for scratch.
    void (*forward)(Sizes, const std::byte* packed, const Forward<T>&);
    void (*backward)(Sizes, const std::byte* packed, const Backward<T>&);
};

// The kernels of a cell, such as "gru", for the highest level up to `isa` that has it. Null if there is no such cell,
// or none of this type in this precision (bfloat16 is of float alone). Lives as long as the program.
template <typename T>
const Kernels<T>* find_kernels(std::string_view cell, Isa isa, Precision precision) noexcept;

}  // namespace seqloom
