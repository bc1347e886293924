// How the numbers of a layer lie in memory inside the kernels; packing.hpp puts the weights there.
//
// Units are cut into blocks of one vector. A row of gates runs block by block, and within a block gate by gate, so that
// a tile ends with all the gates of its units. In a last block of fewer units the gates stand close, in as few vectors
// as hold them (4 units of an LSTM: one vector); numbers beyond them have zero weights.
#pragma once

#include "caches.hpp"
#include "products.hpp"
#include "scan.hpp"

namespace seqloom::SEQLOOM_TARGET {

constexpr long divided_up(long a, long b) noexcept { return (a + b - 1) / b; }

// A row stride that keeps neighbouring rows off the same cache sets: never a multiple of 4 KiB.
constexpr long padded(long units) noexcept { return divided_up(units, 16) * 16 + 16; }

// `count` rounded up to a multiple of `step`.
constexpr long rounded_up(long count, long step) noexcept { return divided_up(count, step) * step; }

// The units of so many numbers, in whole steps of a product.
template <class P>
constexpr long depth_of(long numbers) noexcept {
    return rounded_up(divided_up(numbers, P::per_unit), P::depth_step);
}

template <class Cell, class P>
struct Layout {
    using Real = typename P::Real;
    using Unit = typename P::Unit;
    static constexpr int width = lanes<Real>;
    static constexpr int gates = Cell::gates;
    static_assert(gates <= tile_vectors);
    static constexpr int panel_blocks = tile_vectors / gates;                 // in a panel of forward
    static constexpr int stash_vectors = Cell::stashed + (Cell::states - 1);  // a block of units and step

    long inputs, hidden;
    long blocks;                                 // of hidden units
    long input_blocks;                           // of input features
    long panels;                                 // of forward
    long row;                                    // numbers in a row of gates
    long input_depth, hidden_depth, gate_depth;  // units in a row of the input, of h and of gates

    explicit Layout(Sizes sizes) noexcept
        : inputs(sizes.inputs),
          hidden(sizes.hidden),
          blocks(divided_up(hidden, width)),
          input_blocks(divided_up(inputs, width)),
          panels(divided_up(blocks, panel_blocks)),
          row(divided_up(hidden * gates, width) * width),
          input_depth(depth_of<P>(inputs)),
          hidden_depth(depth_of<P>(hidden)),
          gate_depth(depth_of<P>(row)) {}

    int panel_vectors(long panel) const noexcept {
        return static_cast<int>(std::min<long>(panel_blocks * gates, row / width - panel * panel_blocks * gates));
    }
    // The blocks of a panel: [first, last).
    long first_block(long panel) const noexcept { return panel * panel_blocks; }
    long last_block(long panel) const noexcept { return std::min(blocks, (panel + 1) * panel_blocks); }
    // How many of a block's units there really are.
    int valid(long block) const noexcept { return static_cast<int>(std::min<long>(width, hidden - block * width)); }
    // Where a gate of a block begins in a row of gates. In the last block its vector may run into the next gate's, and
    // up to 15 numbers beyond the row.
    long gate_column(long block, long gate) const noexcept { return block * gates * width + gate * valid(block); }
    // What a number in a row of gates stands for: its place in the caller's order, [G*H]; -1 for nothing.
    long place(long column) const noexcept {
        const long block = column / (gates * width), rest = column % (gates * width), units = valid(block);
        return rest < gates * units ? rest / units * hidden + block * width + rest % units : -1;
    }

    // --- packed weights of forward --------------------------------------------------------------------------------
    // Biases [row], the bias inside the reset [blocks], a vector that is zero if all hidden weights are finite, panels
    // of the input, of h.
    std::size_t forward_bytes() const noexcept {
        return (row + blocks * width + width) * sizeof(Real) + row * (input_depth + hidden_depth) * sizeof(Unit);
    }
    const Real* bias(const std::byte* packed) const noexcept { return reinterpret_cast<const Real*>(packed); }
    const Real* extra_bias(const std::byte* packed) const noexcept { return bias(packed) + row; }
    const Real* zero_if_finite(const std::byte* packed) const noexcept { return extra_bias(packed) + blocks * width; }
    const Unit* input_panel(const std::byte* packed, long panel) const noexcept {
        const auto* first = reinterpret_cast<const Unit*>(zero_if_finite(packed) + width);
        return first + panel * panel_blocks * gates * width * input_depth;
    }
    const Unit* hidden_panel(const std::byte* packed, long panel) const noexcept {
        return input_panel(packed, 0) + row * input_depth + panel * panel_blocks * gates * width * hidden_depth;
    }

    // --- packed weights of backward -------------------------------------------------------------------------------
    // Columns of h in panels of column_vectors blocks, then columns of the input.
    std::size_t backward_bytes() const noexcept { return gate_depth * (blocks + input_blocks) * width * sizeof(Unit); }
    // The vectors in one of the panels of so many blocks.
    static int column_panel_vectors(long of_blocks, long panel) noexcept {
        return static_cast<int>(std::min<long>(column_vectors, of_blocks - panel * column_vectors));
    }
    const Unit* hidden_columns(const std::byte* packed, long panel) const noexcept {
        return reinterpret_cast<const Unit*>(packed) + panel * column_vectors * width * gate_depth;
    }
    const Unit* input_columns(const std::byte* packed, long panel) const noexcept {
        return hidden_columns(packed, 0) + blocks * width * gate_depth + panel * column_vectors * width * gate_depth;
    }

    // Units in a row of h and of gates with all blocks, also the lanes that stand for nothing.
    long hidden_stride() const noexcept { return blocks * width / P::per_unit; }

    // The stash of step s of a row: what lies together is read together.
    long stash_row() const noexcept { return blocks * stash_vectors * width; }
    long stash_index(long batch, long time, long row, long s) const noexcept {
        return (small() ? row * time + s : s * batch + row) * stash_row();
    }
    long stash_step(long batch) const noexcept { return small() ? stash_row() : batch * stash_row(); }
    // Of all of it, in numbers.
    std::size_t stash_size(long batch, long time) const noexcept {
        return static_cast<std::size_t>(stash_row()) * static_cast<std::size_t>(batch) * static_cast<std::size_t>(time);
    }
    // Small weights stay in the nearest cache: then a few rows at a time run through all steps.
    bool small() const noexcept { return forward_bytes() <= 256 * 1024; }
    // Whether threads that read all weights in each step would wait for them.
    bool far() const noexcept { return slow_third_cache() && forward_bytes() > second_cache(); }
    // A panel that is read next; null where it is near anyway and need not be asked for. A product in whole tiles waits
    // for the second cache as little as for the nearest one; that keeps five eighths of its size beside all else.
    const Unit* far_panel(const Unit* panel) const noexcept {
        const bool near = P::row_step > 1 ? forward_bytes() <= second_cache() / 8 * 5 : small();
        return near ? nullptr : panel;
    }
};

// Exchanges rows and columns of a square of vectors (Eklundh's exchanges of ever larger squares).
template <typename U>
SEQLOOM_INLINE void transpose(Vec<U> (&rows)[lanes<U>]) noexcept {
    constexpr int width = lanes<U>;
    const auto exchange = [&]<int size, int... lane>(std::integer_sequence<int, size>,
                                                     std::integer_sequence<int, lane...>) SEQLOOM_INLINE_LAMBDA {
        unroll<width>([&](auto n) SEQLOOM_INLINE_LAMBDA {
            constexpr int i = n;
            if constexpr ((i & size) == 0) {
                const Vec<U> a = rows[i], b = rows[i + size];
                rows[i] = __builtin_shufflevector(a, b, ((lane & size) == 0 ? lane : lane - size + width)...);
                rows[i + size] = __builtin_shufflevector(a, b, ((lane & size) == 0 ? lane + size : lane + width)...);
            }
        });
    };
    constexpr auto all = std::make_integer_sequence<int, width>{};
    exchange(std::integer_sequence<int, 1>{}, all);
    if constexpr (width > 2) exchange(std::integer_sequence<int, 2>{}, all);
    if constexpr (width > 4) exchange(std::integer_sequence<int, 4>{}, all);
    if constexpr (width > 8) exchange(std::integer_sequence<int, 8>{}, all);
}

// Up to one vector of units from `count` numbers; units beyond them are zero.
template <class P>
SEQLOOM_INLINE Vec<typename P::Unit> load_units(const typename P::Real* from, long count) noexcept {
    constexpr int width = lanes<typename P::Real>;
    if constexpr (P::per_unit == 1) {
        return P::single(load_part(from, static_cast<int>(std::min<long>(count, width))));
    } else {
        const int low = static_cast<int>(std::clamp<long>(count, 0, width));
        const int high = static_cast<int>(std::clamp<long>(count - width, 0, width));
        return P::paired(load_part(from, low), load_part(from + width, high));
    }
}

// Writes rows of so many numbers as units, filled up with zeros to whole vectors. What follows from the number alone is
// found out once: rows of one feature are many, and take less time than that would.
template <class P>
class ToUnits {
public:
    explicit ToUnits(long count) noexcept : vectors_(count / step), rest_(count % step) {}

    SEQLOOM_INLINE void operator()(const typename P::Real* from, typename P::Unit* to) const noexcept {
        for (long n = 0; n < vectors_; ++n, from += step, to += width) store(to, load_units<P>(from, step));
        if (rest_ > 0) store(to, load_units<P>(from, rest_));
    }

private:
    static constexpr int width = lanes<typename P::Real>;
    static constexpr long step = width * P::per_unit;  // numbers in a vector of units

    long vectors_, rest_;
};

}  // namespace seqloom::SEQLOOM_TARGET
