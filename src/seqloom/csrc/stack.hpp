// Plain layers one above the other, in one direction, forward alone: rows of one length, no marks and no masks.
#pragma once

#include <vector>

#include "packed.hpp"

namespace seqloom {

template <typename T>
struct Stack {
    int threads;  // at most so many at once, at least 1
    long batch, time, hidden;
    Sequence<const T> input;  // [B, T, I of the first layer]
    Sequence<T> output;       // [B, T, H], written: the last layer's
    const T* before[2];       // [L, B, H], the second null for cells with one state; null: zeros
    T* after[2];              // [L, B, H], written; the second null for cells with one state
    T rate[2];                // the share of each state that stays as it was, in every layer
    const Errand* errand;     // null: none; of the call as a whole
};

// Runs `layers`, at least one, all of the same cell. The arrays of `call` do not overlap; none may be null but as said.
// A large batch is split once for all layers, so that what one of them writes is still near when the next one reads it.
// With few rows and small layers, each layer has a thread of its own and follows the one below in steps of time.
// Throws std::bad_alloc when there is no memory for scratch.
template <typename T>
void run_stack(const std::vector<const Packed<T>*>& layers, const Stack<T>& call);

}  // namespace seqloom
