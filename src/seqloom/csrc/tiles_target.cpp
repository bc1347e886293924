// The tiles of the target that this file is compiled for. All cells call the same ones.
#include "products.hpp"

namespace seqloom::SEQLOOM_TARGET {
namespace {

template <class P, int Rows, int Vectors>
void tile(long depth, const typename P::Unit* a, long a_row, long a_depth, const typename P::Unit* b, long b_depth,
          typename P::Real* out, long out_row, const typename P::Real* start, long start_row,
          const typename P::Unit* ahead) noexcept {
    sum_products<P, Rows, Vectors, 1>(depth, a, a_row, a_depth, b, b_depth, Apart{}, out, out_row, start, start_row,
                                      ahead);
}

template <class P, int Steps, int Vectors>
constexpr Tile<P> tile_for() noexcept {
    if constexpr (Steps > tile_rows<P>(Vectors) / P::row_step) return nullptr;
#if defined(__AMX_BF16__)
    else if constexpr (P::row_step > 1) return &matrix_tile<Steps, Vectors>;
#endif
    else return &tile<P, Steps, Vectors>;
}

template <class P, int Vectors, int... before>
constexpr auto tiles_of_vectors(std::integer_sequence<int, before...>) noexcept {
    return std::array{tile_for<P, before + 1, Vectors>()...};
}

template <class P, int... before>
constexpr auto tiles_by_size(std::integer_sequence<int, before...>) noexcept {
    constexpr auto steps = std::make_integer_sequence<int, Tiles<P>::most_steps>{};
    return std::array{tiles_of_vectors<P, before + 1>(steps)...};
}

template <class P, int... before>
constexpr std::array<Tile<P>, sizeof...(before)> tiles_of_one_row(std::integer_sequence<int, before...>) noexcept {
#if defined(__AMX_BF16__)
    if constexpr (P::row_step > 1) return {&row_tile<before + 1>...};
#endif
    return {};
}

}  // namespace

template <class P>
constinit const std::array<std::array<Tile<P>, Tiles<P>::most_steps>, tile_vectors> Tiles<P>::by_size =
    tiles_by_size<P>(std::make_integer_sequence<int, tile_vectors>{});
template <class P>
constinit const std::array<Tile<P>, tile_vectors> Tiles<P>::of_one_row =
    tiles_of_one_row<P>(std::make_integer_sequence<int, tile_vectors>{});

#if defined(__AVX512BF16__)  // a target with bf16 products differs from the one below it in nothing else
template struct Tiles<Bfloat16>;
#else
template struct Tiles<Plain<float>>;
template struct Tiles<Plain<double>>;
#endif

}  // namespace seqloom::SEQLOOM_TARGET
