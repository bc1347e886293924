// Matrix products, a tile of registers at a time: the one place where a kernel spends its time.
//
// A *unit* is what one lane multiplies at once: a number, or a pair of bf16 numbers. A row operand A holds units along
// the depth of the product; a panel B holds, for each unit of depth, a few vectors that lie side by side. The sum over
// the depth always runs from the first unit to the last in one accumulator a lane, so a result has the same bits
// whatever tile it falls into.
#pragma once

#include <algorithm>
#include <array>

#include "matrix_tiles.hpp"

namespace seqloom::SEQLOOM_TARGET {

inline constexpr int tile_vectors = 4;  // the widest panel
// ... of those that backward reads for its steps. Their depth is that of all gates: no near cache holds one, and a tile
// of more rows goes through it less often.
inline constexpr int column_vectors = registers == 32 ? 4 : 2;

// How many rows a tile of so many vectors has: the accumulators fill the registers, but for what a step loads.
template <class P>
constexpr int tile_rows(int vectors) noexcept {
    if (P::row_step > 1) return 2 * P::row_step;
    if (registers == 32) return vectors == 4 ? 6 : 8;
    return vectors == 4 ? 3 : vectors == 3 ? 4 : vectors == 2 ? 6 : 8;
}
template <class P>
inline constexpr int tile_rows_limit = P::row_step > 1 ? 2 * P::row_step : 8;
// From so many on a tile asks for memory ahead: fewer rows wait for the second cache as it is.
inline constexpr int rows_asking = registers == 32 ? 4 : 3;

// A product P says in which steps it goes. Where these are more than 1, its operands and what it writes have memory for
// whole steps: rows beyond the last may hold anything, units beyond the depth are zero.

// Where a product needs nothing of the thread it runs on.
struct NoSession {};

// Products of numbers of type T.
template <typename T>
struct Plain {
    using Real = T;
    using Unit = T;
    using Element = T;                  // of a row operand
    using Tiled = Plain;                // the product whose tiles are taken
    using Session = NoSession;          // lives where products are computed
    static constexpr int per_unit = 1;  // elements in a unit
    static constexpr int row_step = 1, depth_step = 1;

    static SEQLOOM_INLINE Vec<T> multiply_add(Vec<Unit> a, Vec<Unit> b, Vec<T> c) noexcept { return fma(a, b, c); }

    // Writes the elements of one vector.
    static SEQLOOM_INLINE void put(Element* to, Vec<T> v) noexcept { store(to, v); }

    // Units of one element each, where per_unit is 1.
    static SEQLOOM_INLINE Vec<Unit> single(Vec<T> v) noexcept { return v; }

    // c, plus zero times each number: NaN where one is not finite.
    static SEQLOOM_INLINE Vec<T> add_zeros(Vec<Unit> units, Vec<T> c) noexcept { return fma(units, Vec<T>{}, c); }
};

// Products of bf16 numbers (the upper half of a float, rounded to nearest even), summed in float.
#if defined(__AVX512BF16__)
struct Bfloat16 {
    using Real = float;
    using Unit = std::uint32_t;  // the even element in the lower half
    using Element = std::uint16_t;
    using Tiled = Bfloat16;
    static constexpr int per_unit = 2;
#if defined(__AMX_BF16__)
    static constexpr int row_step = square, depth_step = square;
    using Session = MatrixTiles;
#else
    static constexpr int row_step = 1, depth_step = 1;
    using Session = NoSession;
#endif

    static SEQLOOM_INLINE Vec<float> multiply_add(Vec<Unit> a, Vec<Unit> b, Vec<float> c) noexcept {
        return (Vec<float>)_mm512_dpbf16_ps((__m512)c, (__m512bh)a, (__m512bh)b);
    }

    static SEQLOOM_INLINE void put(Element* to, Vec<float> v) noexcept {
        const auto half = _mm512_cvtneps_pbh((__m512)v);
        std::memcpy(to, &half, sizeof half);
    }

    // Units of the elements at 0 and 1, 2 and 3, ... of two vectors in a row. Nothing goes through memory: to read a
    // vector of what was written in halves waits until those have left the processor.
    static SEQLOOM_INLINE Vec<Unit> paired(Vec<float> low, Vec<float> high) noexcept {
        return (Vec<Unit>)_mm512_cvtne2ps_pbh((__m512)high, (__m512)low);
    }

    // Units of one element of each.
    static SEQLOOM_INLINE Vec<Unit> zipped(Vec<float> even, Vec<float> odd) noexcept {
        typedef Element Both __attribute__((vector_size(vector_bytes)));
        const auto both = (Both)_mm512_cvtne2ps_pbh((__m512)odd, (__m512)even);
        return [&]<int... lane>(std::integer_sequence<int, lane...>) SEQLOOM_INLINE_LAMBDA {
            return (Vec<Unit>)__builtin_shufflevector(both, both, (lane / 2 + lane % 2 * lanes<float>)...);
        }(std::make_integer_sequence<int, 2 * lanes<float>>{});
    }

    static SEQLOOM_INLINE Vec<float> add_zeros(Vec<Unit> units, Vec<float> c) noexcept {
        c = fma((Vec<float>)(units << 16), Vec<float>{}, c);
        return fma((Vec<float>)(units & 0xffff0000u), Vec<float>{}, c);
    }
};
#else
// Where the processor does not multiply them they stay floats: to take pairs apart would take longer than what half the
// memory saves. The sums have the same bits as those of pairs, and the products of floats do for both.
struct Bfloat16 : Plain<float> {
    static SEQLOOM_INLINE Vec<float> single(Vec<float> v) noexcept {
        using Bits = Vec<std::uint32_t>;
        const auto bits = (Bits)v, nearest = bits + 0x7fffu + (bits >> 16 & 1u);
        return (Vec<float>)((v == v ? nearest : bits | 0x400000u) & 0xffff0000u);  // NaN stays NaN
    }

    static SEQLOOM_INLINE void put(Element* to, Vec<float> v) noexcept { store(to, single(v)); }
};
#endif

// How far the panels that are taken at once lie from each other: units of b, numbers of out and of start.
struct Apart {
    long units, out, start;
};

// Whether a tile's products are put down in their order, four steps in a round of its loop. With AVX2 what the loop
// needs besides its products is a fifth of the instructions, which tells where the processor's other thread starts half
// of them; left to itself the compiler copies sums, for lack of registers. Tiles of four vectors are no faster for it.
template <class P>
constexpr bool put_in_order(int rows, int vectors, int panels) noexcept {
    return P::per_unit == 1 && vector_bytes == 32 && rows > 1 && vectors < 4 && panels == 1;
}

// A number that is known when this is compiled: as a stride it takes no register.
template <long number>
inline constexpr std::integral_constant<long, number> constant{};

// One unit of depth of a tile: of Columns vectors, of all panels.
template <class P, int Rows, int Vectors, int Columns, typename Stride>
SEQLOOM_INLINE void add_step(Vec<typename P::Real> (&sums)[Rows * Columns], const typename P::Unit* a, Stride a_row,
                             const typename P::Unit* b, Apart apart) noexcept {
    constexpr bool in_order = put_in_order<P>(Rows, Vectors, Columns / Vectors);
    // The others are read anew by each product, which is an instruction less; in the time of two products the processor
    // loads two vectors.
    constexpr int loaded = in_order ? std::min(Columns, 2) : Columns;
    const auto column = [&](auto c) SEQLOOM_INLINE_LAMBDA {
        return b + c / Vectors * apart.units + c % Vectors * lanes<typename P::Real>;
    };
    Vec<typename P::Unit> columns[loaded];
    unroll<loaded>([&](auto c) SEQLOOM_INLINE_LAMBDA { columns[c] = load(column(c)); });
    unroll<Rows>([&](auto r) SEQLOOM_INLINE_LAMBDA {
        const auto row = splat(a[r * a_row]);
        unroll<Columns>([&](auto c) SEQLOOM_INLINE_LAMBDA {
            auto& sum = sums[(c / Vectors * Rows + r) * Vectors + c % Vectors];
            if constexpr (!in_order) sum = P::multiply_add(row, columns[c], sum);
            else if constexpr (c < loaded) multiply_add_in_order(row, columns[c], sum);
            else multiply_add_in_order(row, column(c), sum);
        });
    });
}

// What a tile does (below), for `Panels` panels.
template <class P, int Rows, int Vectors, int Panels>
SEQLOOM_INLINE void sum_products(long depth, const typename P::Unit* a, long a_row, long a_depth,
                                 const typename P::Unit* b, long b_depth, Apart apart, typename P::Real* out,
                                 long out_row, const typename P::Real* start, long start_row,
                                 const typename P::Unit* ahead) noexcept {
    using Real = typename P::Real;
    using Unit = typename P::Unit;
    constexpr int width = lanes<Real>, columns = Panels * Vectors, count = Rows * columns;
    constexpr bool in_order = put_in_order<P>(Rows, Vectors, Panels);
    constexpr int steps = in_order ? 4 : 1;
    Vec<Real> sums[count];  // panel by panel, row by row
    const auto place = [&](int n, long panel, long row) SEQLOOM_INLINE_LAMBDA {
        return n / (Rows * Vectors) * panel + n / Vectors % Rows * row + n % Vectors * width;
    };
    unroll<count>([&](auto n) SEQLOOM_INLINE_LAMBDA {
        sums[n] = start == nullptr ? Vec<Real>{} : load(start + place(n, apart.start, start_row));
    });
    const auto run = [&](auto a_row, auto a_depth, auto b_depth) SEQLOOM_INLINE_LAMBDA {
        const auto step = [&](int n) SEQLOOM_INLINE_LAMBDA {
            add_step<P, Rows, Vectors, columns>(sums, a + n * a_depth, a_row, b + n * b_depth, apart);
        };
        long d = 0;
        for (; d + steps <= depth; d += steps, a += steps * a_depth, b += steps * b_depth) {
            if (Rows >= rows_asking && ahead != nullptr)
                unroll<steps>([&](auto n) SEQLOOM_INLINE_LAMBDA { fetch_far(ahead + (d + n) * lanes<Unit>); });
            unroll<steps>([&](auto n) SEQLOOM_INLINE_LAMBDA { step(n); });
        }
        for (; in_order && d < depth; ++d, a += a_depth, b += b_depth) step(0);
    };
    const bool side_by_side = in_order && b_depth == Vectors * width;
    if (side_by_side && a_depth == 1) run(a_row, constant<1>, constant<Vectors * width>);
    else if (side_by_side && a_row == 1) run(constant<1>, a_depth, constant<Vectors * width>);
    else run(a_row, a_depth, b_depth);
    unroll<count>([&](auto n) SEQLOOM_INLINE_LAMBDA { store(out + place(n, apart.out, out_row), sums[n]); });
}

// A tile of each of `Panels` panels, with a_depth 1 and start_row 0.
template <class P, int Rows, int Vectors, int Panels>
void tile_of_panels(long depth, const typename P::Unit* a, long a_row, const typename P::Unit* b, long b_depth,
                    Apart apart, typename P::Real* out, long out_row, const typename P::Real* start) noexcept {
    sum_products<P, Rows, Vectors, Panels>(depth, a, a_row, 1, b, b_depth, apart, out, out_row, start, 0, nullptr);
}

// out[r][v] = start[r][v] + the sum over d < depth of a[r * a_row + d * a_depth] * b[d * b_depth + v * lanes].
//
// Called as tile(depth, a, a_row, a_depth, b, b_depth, out, out_row, start, start_row, ahead). `start` may be null
// (zeros), one row for all (start_row 0), or `out` itself (start_row out_row). Strides in units, those of out and start
// in numbers. Rows and vectors are the tile's own; nothing else is read or written.
//
// `ahead` is memory that is read soon, for which a tile of many rows asks, a vector's worth with each unit of depth; it
// may run beyond any array. Null: nothing is asked for.
template <class P>
using Tile = void (*)(long, const typename P::Unit*, long, long, const typename P::Unit*, long, typename P::Real*, long,
                      const typename P::Real*, long, const typename P::Unit*) noexcept;

// All tiles of P, compiled once for all cells: tiles_target.cpp.
template <class P>
struct Tiles {
    static constexpr int most_steps = tile_rows_limit<P> / P::row_step;
    // By vectors and by steps of rows, one less each; null beyond tile_rows(vectors).
    static const std::array<std::array<Tile<P>, most_steps>, tile_vectors> by_size;
    // One row alone has a tile of its own where steps are of several.
    static const std::array<Tile<P>, tile_vectors> of_one_row;
};

// The tile of so many steps of rows and so many vectors, 1 <= steps * row_step <= tile_rows(vectors),
// 1 <= vectors <= tile_vectors. `rows` is of all tiles.
template <class P>
SEQLOOM_INLINE Tile<P> tile_of(long rows, long steps, int vectors) noexcept {
    const auto size = static_cast<std::size_t>(vectors - 1);
    using T = Tiles<typename P::Tiled>;
    if (P::row_step > 1 && rows == 1) return T::of_one_row[size];
    return T::by_size[size][static_cast<std::size_t>(steps - 1)];
}

// How many tiles of so many vectors cover `rows` rows.
template <class P>
constexpr long tiles_of(long rows, int vectors) noexcept {
    return (rows + tile_rows<P>(vectors) - 1) / tile_rows<P>(vectors);
}

// Calls body(first, rows, tile, number) for tiles that cover `rows` rows evenly: 32 rows in sixes are 6, 6, 5, 5, 5, 5.
// The tiles have the rows that those of `widest` vectors have, and `vectors`, which may be fewer.
template <class P, typename Body>
SEQLOOM_INLINE void for_tiles_of(long rows, int widest, int vectors, Body&& body) noexcept {
    if (rows <= 0) return;
    constexpr long step = P::row_step;
    const long steps = (rows + step - 1) / step, tiles = tiles_of<P>(rows, widest);
    const long least = steps / tiles, larger = steps % tiles;
    const Tile<P> small = tile_of<P>(rows, least, vectors);
    const Tile<P> large = larger == 0 ? small : tile_of<P>(rows, least + 1, vectors);
    long first = 0;
    for (long n = 0; n < tiles; ++n) {
        const long count = std::min(rows - first, (least + (n < larger)) * step);
        body(first, count, n < larger ? large : small, n);
        first += count;
    }
}

template <class P, typename Body>
SEQLOOM_INLINE void for_tiles(long rows, int vectors, Body&& body) noexcept {
    for_tiles_of<P>(rows, vectors, vectors, body);
}

// What a panel's tile of this number asks for ahead, of the `next` panel (null: nothing): one of the panel's vectors
// for each unit of depth, so that the first tiles, one for each vector, ask for all of it. Without it the first tile on
// a panel would wait for the third cache, and longer where others use that too.
// Tiles of many rows are few: the first one asks for all of it.
template <class P>
SEQLOOM_INLINE const typename P::Unit* ahead_of(const typename P::Unit* next, long depth, int vectors,
                                                long number) noexcept {
    if (P::row_step > 1) return number == 0 ? next : nullptr;
    return next == nullptr || number >= vectors ? nullptr : next + number * depth * lanes<typename P::Unit>;
}

// The whole of one panel's product: `tile` for all rows. `next` is the panel that is read after it; may be null.
template <class P>
void multiply(long rows, int vectors, long depth, const typename P::Unit* a, long a_row, const typename P::Unit* b,
              const typename P::Unit* next, typename P::Real* out, long out_row,
              const typename P::Real* start) noexcept {
    for_tiles<P>(rows, vectors, [&](long first, long, Tile<P> product, long number) {
        product(depth, a + first * a_row, a_row, 1, b, vectors * lanes<typename P::Real>, out + first * out_row,
                out_row, start, 0, ahead_of<P>(next, depth, vectors, number));
    });
}

// Up to so many rows go through so many panels of four vectors at once, where tiles of eight rows by three vectors go
// through the weights once less than tiles of six rows by four.
inline constexpr int rows_together = 16, panels_together = 3;

// How many panels of so many vectors so many rows take at once; 1 where it is of no use to take more. One row, and on
// some targets two or three, has few sums, each of which waits for the one before it: with those of several panels the
// second cache gives what it can.
template <class P>
constexpr int panels_at_once(long rows, int vectors) noexcept {
    constexpr int enough = 4 * 64 / static_cast<int>(vector_bytes);  // four lines for each unit of depth
    if (P::row_step > 1) return 1;
    if (rows == 1) return std::min((enough + vectors - 1) / vectors, 8 / vectors);
    if (registers < 32) return (rows == 2 || rows == 3) && vectors == 2 ? 2 : 1;
    const bool once_less = vectors == 4 && tiles_of<P>(rows, 3) < tiles_of<P>(rows, 4);
    return once_less && rows <= rows_together ? panels_together : 1;
}

// Whether any number of rows does.
template <class P>
constexpr bool takes_several(int vectors) noexcept {
    return panels_at_once<P>(1, vectors) > 1 || panels_at_once<P>(rows_together, vectors) > 1;
}

// Vectors of sums, of a tile or of what is taken at once.
template <class P>
inline constexpr long most_sums =
    std::max(tile_rows_limit<P> * tile_vectors, P::row_step > 1 ? 0 : rows_together * panels_together * tile_vectors);

template <class P>
using TileOfPanels = void (*)(long, const typename P::Unit*, long, const typename P::Unit*, long, Apart,
                              typename P::Real*, long, const typename P::Real*) noexcept;

// What the function below does with panels_together panels: of each all vectors but the last one, and then the last
// ones of all.
template <class P, int Vectors>
void multiply_together(long rows, long depth, const typename P::Unit* a, long a_row, const typename P::Unit* b,
                       Apart apart, typename P::Real* out, long out_row, const typename P::Real* start) noexcept {
    constexpr long width = lanes<typename P::Real>, b_depth = Vectors * width;
    constexpr int but_one = Vectors - 1;
    const auto from = [&](long number) { return start == nullptr ? nullptr : start + number; };
    for (int n = 0; n < panels_together; ++n) {
        for_tiles<P>(rows, but_one, [&](long first, long, Tile<P> product, long) {
            product(depth, a + first * a_row, a_row, 1, b + n * apart.units, b_depth,
                    out + n * apart.out + first * out_row, out_row, from(n * apart.start), 0, nullptr);
        });
    }
    static constexpr auto last_ones = []<int... n>(std::integer_sequence<int, n...>) {
        return std::array{&tile_of_panels<typename P::Tiled, n + 1, 1, panels_together>...};
    }(std::make_integer_sequence<int, tile_rows<P>(but_one)>{});
    for_tiles_of<P>(rows, but_one, 1, [&](long first, long count, Tile<P>, long) {
        last_ones[static_cast<std::size_t>(count - 1)](depth, a + first * a_row, a_row, b + but_one * width, b_depth,
                                                       apart, out + first * out_row + but_one * width, out_row,
                                                       from(but_one * width));
    });
}

// The product of so many rows with as many panels of `Vectors` vectors as they take at once; a_depth 1, start_row 0.
template <class P, int Vectors>
void multiply_at_once(long rows, long depth, const typename P::Unit* a, long a_row, const typename P::Unit* b,
                      Apart apart, typename P::Real* out, long out_row, const typename P::Real* start) noexcept {
    constexpr long width = lanes<typename P::Real>, b_depth = Vectors * width;
    const auto take = [&](TileOfPanels<P> product) {
        product(depth, a, a_row, b, b_depth, apart, out, out_row, start);
    };
    if (rows == 1) return take(&tile_of_panels<typename P::Tiled, 1, Vectors, panels_at_once<P>(1, Vectors)>);
    if constexpr (panels_at_once<P>(2, Vectors) > 1) {
        take(rows == 2 ? &tile_of_panels<typename P::Tiled, 2, Vectors, panels_at_once<P>(2, Vectors)>
                       : &tile_of_panels<typename P::Tiled, 3, Vectors, panels_at_once<P>(3, Vectors)>);
    } else if constexpr (panels_at_once<P>(rows_together, Vectors) > 1) {
        multiply_together<P, Vectors>(rows, depth, a, a_row, b, apart, out, out_row, start);
    }
}

}  // namespace seqloom::SEQLOOM_TARGET
