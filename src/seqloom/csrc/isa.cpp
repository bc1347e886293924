#include "isa.hpp"

#include <array>
#include <cstdint>
#include <stdexcept>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#define SEQLOOM_X86 1
#endif

namespace seqloom {
namespace {

constexpr std::array<std::string_view, 5> names{"portable", "avx2", "avx512", "avx512_bf16", "amx"};

#ifdef SEQLOOM_X86

struct Registers {
    std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(std::uint32_t leaf, std::uint32_t subleaf) noexcept {
    Registers r;
    __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);  // leaves zeros where there is no such leaf
    return r;
}

// The register files that the operating system saves when it switches threads (XCR0).
std::uint64_t saved_by_system() noexcept {
    std::uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (std::uint64_t{high} << 32) | low;
}

// Linux saves the 8 KiB of tiles only for a process that has asked; asked once, it holds for all threads and for
// children.
bool tiles_allowed() noexcept {
#ifdef __linux__
    constexpr long ask = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, ask, tile_data) == 0;
#else
    return false;
#endif
}

constexpr bool all(std::uint64_t value, std::uint64_t bits) noexcept { return (value & bits) == bits; }
constexpr std::uint64_t bit(int n) noexcept { return std::uint64_t{1} << n; }

Isa detect_x86() noexcept {
    const auto basic = cpuid(1, 0);
    const auto extended = cpuid(7, 0);
    const auto more = cpuid(7, 1);
    constexpr auto fma = bit(12), osxsave = bit(27), avx = bit(28);                               // leaf 1, ecx
    constexpr auto avx2 = bit(5), f = bit(16), dq = bit(17), bw = bit(30), vl = bit(31);          // leaf 7, ebx
    constexpr auto amx_bf16 = bit(22), amx_tiles = bit(24);                                       // leaf 7, edx
    constexpr auto bf16 = bit(5);                                                                 // leaf 7.1, eax
    constexpr auto sse_state = bit(1), ymm_state = bit(2), zmm_state = bit(5) | bit(6) | bit(7);  // XCR0
    constexpr auto tile_state = bit(17) | bit(18);

    if (!all(basic.ecx, fma | osxsave | avx) || !all(extended.ebx, avx2)) return Isa::portable;
    const auto saved = saved_by_system();
    if (!all(saved, sse_state | ymm_state)) return Isa::portable;
    if (!all(saved, zmm_state) || !all(extended.ebx, f | dq | bw | vl)) return Isa::avx2;
    if (!all(more.eax, bf16)) return Isa::avx512;
    return all(extended.edx, amx_bf16 | amx_tiles) && all(saved, tile_state) && tiles_allowed() ? Isa::amx
                                                                                                : Isa::avx512_bf16;
}

#endif

std::string list(const std::vector<Isa>& levels) {
    std::string text;
    for (const auto level : levels) {
        if (!text.empty()) text += ", ";
        text += name(level);
    }
    return text;
}

}  // namespace

std::string_view name(Isa isa) noexcept { return names[static_cast<std::size_t>(isa)]; }

Isa detect() noexcept {
#ifdef SEQLOOM_X86
    static const Isa found = detect_x86();
    return found;
#else
    return Isa::portable;
#endif
}

std::vector<Isa> supported() {
    std::vector<Isa> levels;
    for (int level = 0; level <= static_cast<int>(detect()); ++level) levels.push_back(static_cast<Isa>(level));
    return levels;
}

Isa choose(std::string_view wanted) {
    if (wanted.empty()) return detect();
    for (const auto level : supported()) {
        if (name(level) == wanted) return level;
    }
    bool known = false;
    for (const auto each : names) known = known || each == wanted;
    throw std::invalid_argument("SEQLOOM_ISA=\"" + std::string(wanted) + "\" is " +
                                (known ? "not supported by this machine" : "not an instruction set") +
                                "; supported here: " + list(supported()));
}

}  // namespace seqloom
