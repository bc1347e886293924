// What the kernels ask about this machine's caches.
#pragma once

#include <cstddef>

namespace seqloom {

// The bytes of one core's second cache; 1 MiB where the system does not say. Found once; thread-safe.
std::size_t second_cache() noexcept;

}  // namespace seqloom
