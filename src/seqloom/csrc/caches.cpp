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

bool slow_third_cache() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    static const bool intel = __builtin_cpu_is("intel");
    return intel;
#else
    return false;
#endif
}

}  // namespace seqloom
