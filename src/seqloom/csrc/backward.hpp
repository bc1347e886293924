// A cell over time, backward: all gradients, with the gates' gradients of a few steps at a time and never of all.
#pragma once

#include <optional>

#include "caches.hpp"
#include "memory.hpp"
#include "team.hpp"

namespace seqloom::SEQLOOM_TARGET {

template <class Cell, class P>
class BackwardScan {
public:
    using Real = typename P::Real;
    using Unit = typename P::Unit;
    using Element = typename P::Element;
    using V = Vec<Real>;

    BackwardScan(Sizes sizes, const std::byte* packed, const Backward<Real>& call)
        : layout_(sizes),
          packed_(packed),
          call_(call),
          times_{call},
          zoneout_(has_zoneout(call)),
          carries_h_(Cell::carries_h || zoneout_),
          wants_weights_(call.d_input_weights != nullptr || call.d_hidden_weights != nullptr) {
        const auto batch = static_cast<double>(call.batch), time = static_cast<double>(call.time);
        const double step = product_time<P>(batch, layout_.row * layout_.hidden_depth);
        const double inputs = product_time<P>(batch * time, layout_.row * layout_.input_depth);
        plan_ = plan(call.threads, call.batch, call.time, 2 * (step * time + inputs), layout_.far());
        // What the steps read, in numbers: the stash, h and its gradient. Half a cache is for weights and what is written.
        const double read =
            static_cast<double>(layout_.stash_size(call.batch, call.time)) + 2 * batch * time * sizes.hidden;
        far_ = read * sizeof(Real) > plan_.teams * plan_.members * static_cast<double>(second_cache() / 2);
    }

    void run() {
        rows_.emplace(call_.batch, call_.lengths, plan_.teams);
        rows_at_once_ = layout_.small() && plan_.members == 1 ? std::min(small_group<P>, rows_->most()) : rows_->most();
        // Each chunk goes once through the sums of the weights' gradients: where they are far, half as often.
        const auto sums = static_cast<double>(layout_.inputs + layout_.hidden) * layout_.row * sizeof(Real);
        chunk_ = std::max(sums > far_from ? 2 * chunk_rows : chunk_rows, rows_at_once_);
        Arrays shared_size(nullptr), own_size(nullptr);
        Shared(shared_size, *this);
        Own(own_size, *this);
        shared_bytes_ = shared_size.used();
        own_bytes_ = own_size.used();
        const Block memory = acquire(plan_.teams * (shared_bytes_ + plan_.members * own_bytes_));
        std::vector<char> started(static_cast<std::size_t>(plan_.teams), 0);
        launch(plan_, [&](int team, int member, int members, Barrier* barrier) noexcept {
            work(memory.data(), team, member, members, barrier, started.data());
        });
        run_team(plan_.teams * plan_.members,
                 [&](int member, int members) noexcept { collect(memory.data(), started.data(), member, members); });
    }

private:
    static constexpr int width = lanes<Real>;
    static constexpr int gates = Cell::gates;
    // Whether the weights' gradients read the operand by features, each beside the pairs of rows it has.
    static constexpr bool by_features = P::row_step > 1;
    static constexpr bool split = Cell::gate_with_extra_bias >= 0;  // two gradients of one gate, one for each side
    static constexpr long chunk_rows = 256;      // about so many rows of gates before the products with them
    static constexpr double far_from = 4 << 20;  // bytes of weights' gradients that more than a second cache may hold

    struct Row {  // where one row of the batch reads and writes in one step
        const Real *d_output, *d_steps, *stash, *h, *before[2], *mask;
        long zone;
        bool first, last, fresh, fresh_after;
    };

    struct Shared {                        // of a team
        Unit *hidden_gates, *input_gates;  // gradients of a chunk, in the order of a row of gates
        Unit* last_gates;                  // of the step that was computed last
        Real *inputs, *hiddens;            // what those gates were computed from
        Unit *input_pairs, *hidden_pairs;  // for units of two numbers: rows beside rows
        Unit *input_gate_pairs, *hidden_gate_pairs;
        Unit *input_tiles, *hidden_tiles;  // what the gates were computed from, as the weights' gradients read it
        Real* carry[2];                    // gradients of the states before the step that was computed last
        Real *input_sums, *hidden_sums;    // gradients of the weights, features by gates
        Real *bias, *extra;
        Shared(Arrays& arrays, const BackwardScan& scan) noexcept {
            const auto& layout = scan.layout_;
            const long gate_row = padded(layout.gate_depth),
                       rows = rounded_up(scan.chunk_, P::row_step) + P::row_step - 1;
            const long pairs = P::per_unit == 1 ? 0 : depth_of<P>(scan.chunk_);
            arrays.take(hidden_gates, rows * gate_row);
            arrays.take(input_gates, split ? rows * gate_row : 0);
            if (!split) input_gates = hidden_gates;
            arrays.take(last_gates, rounded_up(scan.rows_at_once_, P::row_step) * gate_row);
            arrays.take(inputs, scan.chunk_ * padded(layout.input_blocks * width));
            arrays.take(hiddens, scan.chunk_ * padded(layout.blocks * width));
            arrays.take(input_pairs, scan.pairs_size(pairs, layout.input_blocks * width));
            arrays.take(hidden_pairs, scan.pairs_size(pairs, layout.blocks * width));
            arrays.take(hidden_gate_pairs, pairs * padded(layout.row));
            arrays.take(input_gate_pairs, split ? pairs * padded(layout.row) : 0);
            if (!split) input_gate_pairs = hidden_gate_pairs;
            const long tiles_row = scan.in_tiles() ? scan.feature_row() : 0;
            arrays.take(input_tiles, layout.inputs * tiles_row);
            arrays.take(hidden_tiles, layout.hidden * tiles_row);
            for (auto& each : carry) arrays.take(each, scan.rows_at_once_ * padded(layout.blocks * width));
            arrays.take(input_sums, scan.call_.d_input_weights == nullptr
                                        ? 0
                                        : rounded_up(layout.inputs, P::row_step) * padded(layout.row));
            arrays.take(hidden_sums, scan.call_.d_hidden_weights == nullptr
                                         ? 0
                                         : rounded_up(layout.hidden, P::row_step) * padded(layout.row));
            arrays.take(bias, padded(layout.row));
            arrays.take(extra, layout.blocks * width);
        }
    };

    struct Own {        // of a member
        Real* sums;     // of a tile
        Real* d_input;  // of a chunk
        Unit* strip;    // of a chunk's gates, for the weights' gradients
        Row* table;
        Own(Arrays& arrays, const BackwardScan& scan) noexcept {
            arrays.take(sums, most_sums<P> * width);
            arrays.take(d_input, scan.call_.d_input.data == nullptr ? 0
                                                                    : rounded_up(scan.chunk_, P::row_step) *
                                                                          padded(scan.layout_.input_blocks * width));
            arrays.take(strip, scan.in_tiles() ? scan.feature_row() * tile_vectors * width : 0);
            arrays.take(table, scan.rows_at_once_);
        }
    };

    // Whether what the weights' gradients read is laid side by side first: where its rows are long, and many.
    bool in_tiles() const noexcept {
        return !by_features && wants_weights_ && !layout_.small() && rows_->most() * call_.time >= 64;
    }
    // Of all `features` beside so many pairs of rows.
    long pairs_size(long pairs, long features) const noexcept {
        return by_features ? features * feature_row() : pairs * padded(features);
    }
    long feature_row() const noexcept { return padded(depth_of<P>(chunk_)); }

    Shared shared_of(std::byte* memory, int team) const noexcept {
        Arrays arrays(memory + team * shared_bytes_);
        return Shared(arrays, *this);
    }

    // One member of one team: its rows, a group at a time.
    void work(std::byte* memory, int team, int member, int members, Barrier* barrier, char* started) noexcept {
        [[maybe_unused]] const typename P::Session session{};
        Arrays own_memory(memory + plan_.teams * shared_bytes_ + (team * plan_.members + member) * own_bytes_);
        Member me(*this, shared_of(memory, team), Own(own_memory, *this), member, members, barrier);
        const long* rows = rows_->of(team);
        const long count = rows_->count(team),
                   groups = std::max<long>(1, divided_up(count, std::max<long>(rows_at_once_, 1)));
        me.clear_bias();
        for (long group = 0; group < groups; ++group) {
            const Share part(count, static_cast<int>(group), static_cast<int>(groups));
            me.scan(rows + part.first, part.last - part.first);
        }
        if (member == 0) started[team] = me.started();
    }

    // Adds up the teams and puts weights and biases into the order of the arrays of the caller.
    void collect(std::byte* memory, const char* started, int member, int members) const noexcept {
        const Share share(layout_.row / width, member, members);
        for (long vector = share.first; vector < share.last; ++vector) {
            const long column = vector * width;
            long places[width];  // to find one takes two divisions: as long as a row of the transposition
            for (int lane = 0; lane < width; ++lane) places[lane] = layout_.place(column + lane);
            collect_rows(memory, started, &Shared::input_sums, column, places, call_.d_input_weights, layout_.inputs);
            collect_rows(memory, started, &Shared::hidden_sums, column, places, call_.d_hidden_weights, layout_.hidden);
            collect_biases(memory, column, places);
        }
    }

    // Numbers from where a team's array begins to where the next team's does.
    long between_teams() const noexcept { return static_cast<long>(shared_bytes_ / sizeof(Real)); }

    void collect_biases(std::byte* memory, long column, const long (&places)[width]) const noexcept {
        const Shared first = shared_of(memory, 0);
        const auto sum = [&](const Real* from) {
            Real all{};
            for (int team = 0; team < plan_.teams; ++team) all += from[team * between_teams()];
            return all;
        };
        for (int lane = 0; lane < width; ++lane) {
            const long place = places[lane], unit = place - Cell::gate_with_extra_bias * layout_.hidden;
            if (place < 0) continue;
            const bool apart = Cell::gate_with_extra_bias >= 0 && unit >= 0 && unit < layout_.hidden;
            const Real input_bias = sum(first.bias + column + lane);
            if (call_.d_input_bias != nullptr) call_.d_input_bias[place] = input_bias;
            if (call_.d_hidden_bias != nullptr)
                call_.d_hidden_bias[place] = apart ? sum(first.extra + unit) : input_bias;
        }
    }

    void collect_rows(std::byte* memory, const char* started, Real* Shared::* sums, long column,
                      const long (&places)[width], Real* to, long features) const noexcept {
        if (to == nullptr) return;
        const long stride = padded(layout_.row);
        const Real* const first = shared_of(memory, 0).*sums + column;
        // `count` of a square's features are there; all of them in all squares but the last.
        const auto collect_square = [&](long feature, auto count) SEQLOOM_INLINE_LAMBDA {
            V square[width];
            unroll<width>([&](auto n) SEQLOOM_INLINE_LAMBDA { square[n] = V{}; });
            for (int team = 0; team < plan_.teams; ++team) {
                if (!started[team]) continue;
                const Real* from = first + team * between_teams() + feature * stride;
                unroll<width>([&](auto n) SEQLOOM_INLINE_LAMBDA {
                    if (n < count) square[n] += load(from + n * stride);
                });
            }
            transpose<Real>(square);
            for (int lane = 0; lane < width; ++lane) {
                if (places[lane] >= 0) store_valid(to + places[lane] * features + feature, square[lane], count);
            }
        };
        long feature = 0;
        for (; feature + width <= features; feature += width)
            collect_square(feature, std::integral_constant<int, width>{});
        if (feature < features) collect_square(feature, static_cast<int>(features - feature));
    }

    class Member;

    Layout<Cell, P> layout_;
    const std::byte* packed_;
    const Backward<Real>& call_;
    Times<Real> times_;
    bool zoneout_, carries_h_, wants_weights_, far_ = false;
    Plan plan_;
    long rows_at_once_ = 0, chunk_ = 0;
    std::size_t shared_bytes_ = 0, own_bytes_ = 0;
    std::optional<Rows> rows_;
};

}  // namespace seqloom::SEQLOOM_TARGET

#include "backward_products.hpp"
