// What the kernels ask about this machine's caches.
#pragma once

#include <cstddef>

namespace seqloom {

// The bytes of one core's second cache; 1 MiB where the system does not say. Found once; thread-safe.
std::size_t second_cache() noexcept;

// Whether the third cache gives a core fewer bytes than fp32 products of 16 rows want: on Intel's processors, where it
// is spread over the chip: 20 GB/s, on a Xeon of 2023. On AMD's such products hardly wait for it. Found once;
// thread-safe.
bool slow_third_cache() noexcept;

}  // namespace seqloom
