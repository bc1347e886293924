#include "caches.hpp"

#include <unistd.h>

namespace seqloom {

std::size_t second_cache() noexcept {
    static const std::size_t bytes = [] {
        long found = 0;
#ifdef _SC_LEVEL2_CACHE_SIZE
        found = sysconf(_SC_LEVEL2_CACHE_SIZE);
#endif
        return found > 0 ? static_cast<std::size_t>(found) : std::size_t{1} << 20;
    }();
    return bytes;
}

}  // namespace seqloom
