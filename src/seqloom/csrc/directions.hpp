// The two directions of a layer, which do not depend on each other, at the same time.
#pragma once

#include "packed.hpp"

namespace seqloom {

// Two scans, of the weights in `layers`. What one of them writes does not overlap what the other one reads or writes.
// `threads` is the first call's, for both together. With two or three, each direction has one thread: no step of either
// waits for another thread, and each thread reads the weights of one direction alone. With more, and where there is
// little to do, one direction follows the other, on all threads that it has work for.
// Throws std::bad_alloc when there is no memory for scratch.
template <typename T>
void run_both(const Packed<T>* const (&layers)[2], const Forward<T> (&calls)[2]);

// The same, backward.
template <typename T>
void run_both(Packed<T>* const (&layers)[2], const Weights<T> (&weights)[2], const Backward<T> (&calls)[2]);

}  // namespace seqloom
