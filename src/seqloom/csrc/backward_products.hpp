// The products with the gates' gradients of a chunk: gradients of the input and of the weights. Part of backward.hpp.
#pragma once

#include "backward_member.hpp"

namespace seqloom::SEQLOOM_TARGET {

// With the gates of `filled` rows, which are those of the steps from `newest` down to `oldest + 1`.
template <class Cell, class P>
void BackwardScan<Cell, P>::Member::finish_chunk(long newest, long oldest, long filled) noexcept {
    if (whole.call_.d_input.data != nullptr) input_gradients(newest, oldest, filled);
    if (!whole.wants_weights_) return;
    gather_rows(newest, oldest);
    long depth = filled;
    if constexpr (P::per_unit == 2) {
        meet();
        depth = depth_of<P>(filled);
        pair_rows(filled, depth);
    }
    meet();
    if (whole.in_tiles()) {
        if (whole.call_.d_input_weights != nullptr)
            lay_in_tiles(inputs_operand(), input_row(), layout().inputs, depth, shared.input_tiles);
        if (whole.call_.d_hidden_weights != nullptr)
            lay_in_tiles(hiddens_operand(), state_row(), layout().hidden, depth, shared.hidden_tiles);
        meet();
    }
    const Share strips = Share(divided_up(layout().row / width, tile_vectors), member, members);
    for (long strip = strips.first; strip < strips.last; ++strip) {
        const bool of_input = whole.call_.d_input_weights != nullptr;
        if (of_input) {
            take_strip(strip, depth, input_gates_operand());
            weight_gradients(strip, depth, layout().inputs, inputs_operand(), input_row(), shared.input_tiles,
                             input_gates_operand(), shared.input_sums);
        }
        if (whole.call_.d_hidden_weights != nullptr) {
            if (split || !of_input) take_strip(strip, depth, hidden_gates_operand());
            weight_gradients(strip, depth, layout().hidden, hiddens_operand(), state_row(), shared.hidden_tiles,
                             hidden_gates_operand(), shared.hidden_sums);
        }
    }
    started_ = true;
}

// The values that the weights' gradients are computed from, tile by tile: [first feature of a tile][depth][feature of
// the tile]. A tile that reads them from rows of all features comes to another page with every few units of depth.
template <class Cell, class P>
void BackwardScan<Cell, P>::Member::lay_in_tiles(const Unit* values, long values_row, long features, long depth,
                                                 Unit* to) const noexcept {
    for_tiles<P>(features, tile_vectors, [&](long first, long rows, Tile<P>, long number) {
        if (number % members != member) return;
        const Unit* from = values + first;
        Unit* at = to + first * whole.feature_row();
        // What is too much in a vector is overwritten with the next units of depth; behind the last one there is room.
        constexpr int vectors = (tile_rows<P>(tile_vectors) + width - 1) / width;
        for (long d = 0; d < depth; ++d, from += values_row, at += rows) {
            unroll<vectors>([&](auto n) SEQLOOM_INLINE_LAMBDA { store(at + n * width, load(from + n * width)); });
        }
    });
}

// The gates of a strip side by side, for the same reason.
template <class Cell, class P>
void BackwardScan<Cell, P>::Member::take_strip(long strip, long depth, const Unit* gradients) const noexcept {
    if (!whole.in_tiles()) return;
    const long numbers = strip_vectors(strip) * width;
    gradients += strip * tile_vectors * width;
    for (long d = 0; d < depth; ++d) copy(gradients + d * gradients_row(), numbers, own.strip + d * numbers);
}

template <class Cell, class P>
void BackwardScan<Cell, P>::Member::weight_gradients(long strip, long depth, long features, const Unit* values,
                                                     long values_row, const Unit* tiles, const Unit* gradients,
                                                     Real* sums) const noexcept {
    const bool in_tiles = whole.in_tiles(), far = started_ && !layout().small();
    const long column = strip * tile_vectors * width;
    const int vectors = strip_vectors(strip);
    const Unit* const columns = in_tiles ? own.strip : gradients + column;
    const long columns_row = in_tiles ? vectors * width : gradients_row();
    // From one feature to the next where a tile begins, within it, and from one unit of depth to the next.
    const long between = in_tiles || by_features ? whole.feature_row() : 1;
    const long feature = by_features ? between : 1, unit = by_features ? 1 : values_row;
    if (in_tiles) values = tiles;
    for_tiles_of<P>(features, tile_vectors, vectors, [&](long first, long rows, Tile<P> product, long) {
        Real* to = sums + column + first * sums_row();
        for (long r = rows; far && r < 2 * rows; ++r) fetch(to + r * sums_row(), vectors * width);  // the next tile's
        product(depth, values + first * between, feature, in_tiles ? rows : unit, columns, columns_row, to, sums_row(),
                started_ ? to : nullptr, sums_row(), nullptr);
    });
}

template <class Cell, class P>
void BackwardScan<Cell, P>::Member::input_gradients(long newest, long oldest, long filled) noexcept {
    const auto d_input = whole.call_.d_input;
    const Share part(filled, member, members);
    const long panels_of_input = divided_up(layout().input_blocks, column_vectors);
    for (long panel = 0; panel < panels_of_input; ++panel) {
        const int vectors = layout().column_panel_vectors(layout().input_blocks, panel);
        const auto* next =
            layout().far_panel(layout().input_columns(whole.packed_, panel + 1 < panels_of_input ? panel + 1 : 0));
        multiply<P>(part.last - part.first, vectors, layout().gate_depth, shared.input_gates + part.first * gate_row(),
                    gate_row(), layout().input_columns(whole.packed_, panel), next,
                    own.d_input + panel * column_vectors * width, input_row(), nullptr);
    }
    long position = 0, active = 0;
    for (long s = newest; s > oldest; --s, position += active) {
        active = active_at(s, active);
        const long last = std::min(active, part.last - position), inputs = layout().inputs, from_row = input_row();
        for (long i = std::max(0L, part.first - position); i < last; ++i) {
            copy(own.d_input + (position + i - part.first) * from_row, inputs,
                 d_input.data + rows_[i] * d_input.row + times().at(rows_[i], s) * d_input.time);
        }
    }
}

// The inputs and the h that the gates of the chunk were computed from.
template <class Cell, class P>
void BackwardScan<Cell, P>::Member::gather_rows(long newest, long oldest) noexcept {
    const auto& call = whole.call_;
    const auto input = call.input;
    const auto output = call.output;
    using Numbers = std::conditional_t<P::per_unit == 1, P, Plain<Real>>;  // pairs are made of them later
    const ToUnits<Numbers> input_to(layout().inputs), hidden_to(layout().hidden);
    const ToUnits<Plain<Real>> copy_to(layout().hidden);
    const long hidden = layout().hidden, to_input = input_row(), to_hidden = state_row();
    for_rows(newest, oldest, [&](long position, long row, long s) {
        input_to(input.data + row * input.row + times().at(row, s) * input.time, shared.inputs + position * to_input);
        Real* h = shared.hiddens + position * to_hidden;
        if (times().fresh(row, s)) {
            std::fill_n(h, hidden, Real{});
            return;
        }
        const Real* before = s == 0 ? call.before[0] + row * hidden
                                    : output.data + row * output.row + times().at(row, s - 1) * output.time;
        if (call.mask == nullptr) return hidden_to(before, h);
        copy_to(before, h);
        for (long unit = 0; unit < hidden; ++unit) h[unit] *= call.mask[row * hidden + unit];
        if constexpr (!std::is_same_v<Numbers, Plain<Real>>) hidden_to(h, h);
    });
}

// Units of two numbers along the rows, which are the depth of the weights' gradients; a row without a partner gets
// zeros, and so does what is missing to `depth`.
template <class Cell, class P>
void BackwardScan<Cell, P>::Member::pair_rows(long filled, long depth) noexcept {
    const Share pairs(depth, member, members);
    for (long pair = pairs.first; pair < pairs.last; ++pair) {
        const long even = 2 * pair, odd = 2 * pair + 1;
        const bool present = even < filled, partner = odd < filled;
        const auto numbers = [&](const Real* from, long row, long count, Unit* to) {
            for (long n = 0; n < count; n += width) {
                const V other = partner ? load(from + odd * row + n) : V{};
                store(to + pair * row + n, P::zipped(load(from + even * row + n), other));
            }
        };
        const auto elements = [&](const Unit* from, Unit* to) {
            const auto* low = reinterpret_cast<const Element*>(from + even * gate_row());
            const auto* high = reinterpret_cast<const Element*>(from + odd * gate_row());
            to += pair * sums_row();
            if (!present) return (void)std::fill_n(to, layout().row, Unit{});
            for (long n = 0; n < layout().row; ++n) {
                to[n] = low[n] | (partner ? static_cast<Unit>(high[n]) << 16 : Unit{});
            }
        };
        if constexpr (!by_features) {
            numbers(shared.inputs, input_row(), layout().input_blocks * width, shared.input_pairs);
            numbers(shared.hiddens, state_row(), layout().blocks * width, shared.hidden_pairs);
        }
        elements(shared.hidden_gates, shared.hidden_gate_pairs);
        if constexpr (split) elements(shared.input_gates, shared.input_gate_pairs);
    }
    if constexpr (by_features) {
        pair_columns(shared.inputs, input_row(), layout().input_blocks, filled, depth, shared.input_pairs);
        pair_columns(shared.hiddens, state_row(), layout().blocks, filled, depth, shared.hidden_pairs);
    }
}

// The same for rows of features: to[feature][pair].
template <class Cell, class P>
void BackwardScan<Cell, P>::Member::pair_columns(const Real* from, long from_row, long blocks, long filled, long depth,
                                                 Unit* to) const noexcept {
    const long to_row = whole.feature_row();
    const Share squares(depth / width, member, members);
    for (long first = squares.first * width; first < squares.last * width; first += width) {
        for (long block = 0; block < blocks; ++block) {
            Vec<Unit> pairs[width];
            for (int n = 0; n < width; ++n) {
                const long even = 2 * (first + n), odd = even + 1;
                const Real* at = from + even * from_row + block * width;
                pairs[n] = P::zipped(even < filled ? load(at) : V{}, odd < filled ? load(at + from_row) : V{});
            }
            transpose<Unit>(pairs);
            for (int n = 0; n < width; ++n) store(to + (block * width + n) * to_row + first, pairs[n]);
        }
    }
}

}  // namespace seqloom::SEQLOOM_TARGET
