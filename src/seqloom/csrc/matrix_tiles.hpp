// The tiles of AMX: squares of 16 by 16 sums that the processor multiplies bf16 pairs into, 16 times as many in a cycle
// as its vectors do fp32 numbers. Nothing here needs a count of rows: a square is always whole, and what it computes
// for rows that are not there is not looked at.
#pragma once

#include <algorithm>

#include "simd.hpp"

#if defined(__AMX_BF16__)

namespace seqloom::SEQLOOM_TARGET {

inline constexpr long square = 16;  // rows, columns, and units of depth of a step

// While one lives its thread can use the tiles; when it goes they are free for others, and no longer saved when the
// system switches threads.
class MatrixTiles {
public:
    MatrixTiles() noexcept {
        struct alignas(64) Shapes {
            std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
            std::uint16_t row_bytes[16];
            std::uint8_t rows[16];
        } shapes{.row_bytes = {64, 64, 64, 64, 64, 64, 64, 64}, .rows = {16, 16, 16, 16, 16, 16, 16, 16}};
        __asm__ volatile("ldtilecfg %0" ::"m"(shapes));
    }
    ~MatrixTiles() noexcept { __asm__ volatile("tilerelease"); }
    MatrixTiles(const MatrixTiles&) = delete;
    MatrixTiles& operator=(const MatrixTiles&) = delete;
};

// Written as assembly, as the compiler's own functions do not say which memory they read.
template <int Tile>
SEQLOOM_INLINE void load_tile(const void* from, long row_bytes) noexcept {
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(row_bytes), "i"(Tile) : "memory");
}
template <int Tile>
SEQLOOM_INLINE void store_tile(void* to, long row_bytes) noexcept {
    __asm__ volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(row_bytes), "i"(Tile) : "memory");
}
template <int Tile>
SEQLOOM_INLINE void clear_tile() noexcept {
    __asm__ volatile("tilezero %%tmm%c0" ::"i"(Tile));
}
template <int Sums, int Rows, int Columns>
SEQLOOM_INLINE void multiply_tiles() noexcept {
    __asm__ volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(Sums), "i"(Rows), "i"(Columns));
}

// A part of `matrix_tile`: `Count` of its vectors, from `First` on. At most four squares of sums; the other four tiles
// hold what is multiplied. What can be is loaded before anything is multiplied: that takes a tenth less than each load
// just before its product.
template <int Blocks, int First, int Count>
SEQLOOM_INLINE void squares(long depth, const std::uint32_t* a, long a_row, const std::uint32_t* b, long b_depth,
                            float* out, long out_row, const float* start, long start_row,
                            const std::uint32_t* ahead) noexcept {
    static_assert(Blocks * Count <= 4);
    constexpr long unit = sizeof(std::uint32_t);
    constexpr int free = 4 - Blocks;  // tiles for columns
    unroll<Blocks>([&](auto r) SEQLOOM_INLINE_LAMBDA {
        unroll<Count>([&](auto v) SEQLOOM_INLINE_LAMBDA {
            constexpr int sums = r * Count + v;
            if (start == nullptr) clear_tile<sums>();
            else load_tile<sums>(start + r * square * start_row + (First + v) * square, start_row * unit);
        });
    });
    if (ahead != nullptr) ahead += First * depth * square;
    for (long d = 0; d < depth; d += square, a += square, b += square * b_depth) {
        if (ahead != nullptr) {
            for (long line = 0; line < Count * square; ++line) fetch_far(ahead + (d * Count + line) * square);
        }
        unroll<Blocks>([&](auto r) SEQLOOM_INLINE_LAMBDA { load_tile<4 + r>(a + r * square * a_row, a_row * unit); });
        const auto load_columns = [&](auto v) SEQLOOM_INLINE_LAMBDA {
            load_tile<4 + Blocks + v % free>(b + (First + v) * square, b_depth * unit);
        };
        unroll<std::min(Count, free)>(load_columns);
        unroll<Count>([&](auto v) SEQLOOM_INLINE_LAMBDA {
            unroll<Blocks>([&](auto r) SEQLOOM_INLINE_LAMBDA {
                multiply_tiles<r * Count + v, 4 + r, 4 + Blocks + v % free>();
            });
            if constexpr (v + free < Count) load_columns(std::integral_constant<int, v + free>{});
        });
    }
    unroll<Blocks>([&](auto r) SEQLOOM_INLINE_LAMBDA {
        unroll<Count>([&](auto v) SEQLOOM_INLINE_LAMBDA {
            store_tile<r * Count + v>(out + r * square * out_row + (First + v) * square, out_row * unit);
        });
    });
}

// A tile as in products.hpp, for `Blocks` times 16 rows; a_depth is 1, and depth a multiple of 16.
template <int Blocks, int Vectors>
void matrix_tile(long depth, const std::uint32_t* a, long a_row, long, const std::uint32_t* b, long b_depth, float* out,
                 long out_row, const float* start, long start_row, const std::uint32_t* ahead) noexcept {
    if constexpr (Blocks == 1 || Vectors < 3) {
        squares<Blocks, 0, Vectors>(depth, a, a_row, b, b_depth, out, out_row, start, start_row, ahead);
    } else {
        squares<Blocks, 0, 2>(depth, a, a_row, b, b_depth, out, out_row, start, start_row, ahead);
        squares<Blocks, 2, Vectors - 2>(depth, a, a_row, b, b_depth, out, out_row, start, start_row, ahead);
    }
}

// A square takes as long for one row as for sixteen, and several times as long while another program has the other
// half of the core. Vectors give one row the same bits: of each square's products two sums, of those with the even and
// with the odd elements of the pairs, both from zero on; the sum of these two is added to that of the squares before
// (Intel, Software Developer's Manual, volume 2, TDPBF16PS). The tiles take numbers below the normal range for zeros.
template <int Vectors>
__attribute__((noinline)) void multiply_row(long depth, const std::uint32_t* a, const std::uint32_t* b, long b_depth,
                                            float* out, const float* start, const std::uint32_t* ahead) noexcept {
    constexpr std::uint32_t upper = 0xffff0000u;
    Vec<float> sums[Vectors];
    unroll<Vectors>([&](auto v) SEQLOOM_INLINE_LAMBDA {
        sums[v] = start == nullptr ? Vec<float>{} : load(start + v * square);
    });
    for (long d = 0; d < depth; d += square, a += square) {
        float even_of_a[square], odd_of_a[square];
        store(even_of_a, (Vec<float>)(load(a) << 16));
        store(odd_of_a, (Vec<float>)(load(a) & upper));
        Vec<float> even[Vectors], odd[Vectors];
        unroll<Vectors>([&](auto v) SEQLOOM_INLINE_LAMBDA { even[v] = odd[v] = Vec<float>{}; });
        for (long n = 0; n < square; ++n, b += b_depth) {
            unroll<Vectors>([&](auto v) SEQLOOM_INLINE_LAMBDA {
                const auto pairs = load(b + v * square);
                even[v] = fma(splat(even_of_a[n]), (Vec<float>)(pairs << 16), even[v]);
                odd[v] = fma(splat(odd_of_a[n]), (Vec<float>)(pairs & upper), odd[v]);
                if (ahead != nullptr) fetch_far(ahead + ((d + n) * Vectors + v) * square);
            });
        }
        unroll<Vectors>([&](auto v) SEQLOOM_INLINE_LAMBDA { sums[v] += even[v] + odd[v]; });
    }
    unroll<Vectors>([&](auto v) SEQLOOM_INLINE_LAMBDA { store(out + v * square, sums[v]); });
}

// A tile as in products.hpp, for one row.
template <int Vectors>
void row_tile(long depth, const std::uint32_t* a, long, long, const std::uint32_t* b, long b_depth, float* out, long,
              const float* start, long, const std::uint32_t* ahead) noexcept {
    constexpr unsigned below_normal_is_zero = _MM_FLUSH_ZERO_ON | _MM_DENORMALS_ZERO_ON;
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | below_normal_is_zero);
    multiply_row<Vectors>(depth, a, b, b_depth, out, start, ahead);
    _mm_setcsr(before);
}

}  // namespace seqloom::SEQLOOM_TARGET

#endif
