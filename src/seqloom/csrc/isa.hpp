// Which instruction set the kernels may use on this machine, found once and then fixed for the process.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace seqloom {

// Each level holds all that the levels before it hold; a kernel is compiled once for each level that serves it.
//   portable      what the compiler takes for granted on this architecture
//   avx2          AVX2 and FMA
//   avx512        AVX-512 F, BW, DQ and VL, and avx2
//   avx512_bf16   the bf16 dot products of AVX512_BF16, and avx512
//   amx           the matrix tiles of AMX with bf16 products, and avx512_bf16
enum class Isa { portable, avx2, avx512, avx512_bf16, amx };

// The name above; lives as long as the program.
std::string_view name(Isa isa) noexcept;

// The highest level that both the processor and the operating system support. Ignores SEQLOOM_ISA. Thread-safe.
Isa detect() noexcept;

// The level to use: `wanted`, a name as above, or detect() where it is empty.
// Throws std::invalid_argument if the name is unknown, or the level is higher than detect(); the message says which
// are supported here.
Isa choose(std::string_view wanted);

// Every level up to detect(), in ascending order.
std::vector<Isa> supported();

}  // namespace seqloom
