// A cell over time, forward: the one time loop, for any cell's pointwise rule.
#pragma once

#include <optional>

#include "memory.hpp"
#include "team.hpp"

namespace seqloom::SEQLOOM_TARGET {

template <class Cell, class P>
class ForwardScan {
public:
    using Real = typename P::Real;
    using Unit = typename P::Unit;
    using V = Vec<Real>;

    ForwardScan(Sizes sizes, const std::byte* packed, const Forward<Real>& call)
        : layout_(sizes),
          packed_(packed),
          call_(call),
          times_{call},
          zoneout_(has_zoneout(call)),
          plain_(!zoneout_ && call.mask == nullptr && call.fresh == nullptr && call.steps == nullptr),
          keeps_h_(Cell::reads_h || zoneout_) {
        const auto batch = static_cast<double>(call.batch), time = static_cast<double>(call.time);
        const double step = product_time<Unit>(batch, layout_.row * layout_.hidden_depth);
        const double inputs = product_time<Unit>(batch * time, layout_.row * layout_.input_depth);
        plan_ = plan(call.threads, call.batch, call.time, step * time + inputs);
        const auto stash_bytes = static_cast<double>(layout_.stash_row()) * call.batch * call.time * sizeof(Real);
        past_caches_ = stash_bytes > past_caches_from && aligned(call.stash);
        const auto& to = call.output;
        const auto output_bytes = static_cast<double>(sizes.hidden) * call.batch * call.time * sizeof(Real);
        output_past_caches_ = output_bytes > output_past_caches_from && aligned(to.data) && to.row % width == 0 &&
                              to.time % width == 0 && sizes.hidden % width == 0;
    }

    void run() {
        rows_.emplace(call_.batch, call_.lengths, plan_.teams);
        rows_at_once_ = layout_.small() && plan_.members == 1 ? std::min(small_group, rows_->most()) : rows_->most();
        Arrays shared_size(nullptr), own_size(nullptr);
        Shared(shared_size, *this);
        Own(own_size, *this);
        shared_bytes_ = shared_size.used();
        own_bytes_ = own_size.used();
        const Block memory = acquire(plan_.teams * (shared_bytes_ + plan_.members * own_bytes_));
        launch(plan_, [&](int team, int member, int members, Barrier* barrier) noexcept {
            work(memory.data(), team, member, members, barrier);
        });
    }

private:
    static constexpr int width = lanes<Real>;
    static constexpr int gates = Cell::gates;
    static constexpr long chunk_rows = 64;  // about so many rows of the input are projected at once
    static constexpr long chunk_steps = 64;
    static constexpr double past_caches_from = 16 << 20;  // bytes
    static constexpr double output_past_caches_from = 4 << 20;

    static bool aligned(const Real* array) noexcept {
        return reinterpret_cast<std::uintptr_t>(array) % vector_bytes == 0;
    }

    struct Row {  // where one row of the batch reads and writes in its first step
        Real *output, *steps, *stash;
        const Real* mask;
        long zone;  // index of its marks
    };

    struct Shared {        // of a team
        Unit* operand[2];  // h as the product reads it, before and after a step
        Real* state[2];    // the states, in place
        Shared(Arrays& arrays, const ForwardScan& scan) noexcept {
            for (auto& each : operand) arrays.take(each, scan.rows_at_once_ * padded(scan.layout_.hidden_stride()));
            for (auto& each : state) arrays.take(each, scan.rows_at_once_ * padded(scan.layout_.blocks * width));
        }
    };

    struct Own {          // of a member
        Unit* input;      // rows of a chunk
        Real* projected;  // ... and their products with the input weights
        Real* sums;       // of a tile
        Row* table;
        Own(Arrays& arrays, const ForwardScan& scan) noexcept {
            const long rows = std::max(chunk_rows, scan.rows_at_once_);
            arrays.take(input, rows * padded(scan.layout_.input_depth));
            arrays.take(projected, rows * padded(scan.layout_.row));
            arrays.take(sums, tile_rows_limit * tile_vectors * width);
            arrays.take(table, scan.rows_at_once_);
        }
    };

    // One member of one team: its rows, a group at a time.
    void work(std::byte* memory, int team, int member, int members, Barrier* barrier) noexcept {
        Arrays shared_memory(memory + team * shared_bytes_);
        Arrays own_memory(memory + plan_.teams * shared_bytes_ + (team * plan_.members + member) * own_bytes_);
        Member me(*this, Shared(shared_memory, *this), Own(own_memory, *this), member, members, barrier);
        const long* rows = rows_->of(team);
        const long count = rows_->count(team),
                   groups = std::max<long>(1, divided_up(count, std::max<long>(rows_at_once_, 1)));
        for (long group = 0; group < groups; ++group) {
            const Share part(count, static_cast<int>(group), static_cast<int>(groups));
            me.scan(rows + part.first, part.last - part.first);
        }
    }

    class Member;

    Layout<Cell, P> layout_;
    const std::byte* packed_;
    const Forward<Real>& call_;
    Times<Real> times_;
    bool zoneout_, plain_, keeps_h_, past_caches_ = false, output_past_caches_ = false;
    Plan plan_;
    long rows_at_once_ = 0;
    std::size_t shared_bytes_ = 0, own_bytes_ = 0;
    std::optional<Rows> rows_;
};

// What one thread does for a group of rows.
template <class Cell, class P>
class ForwardScan<Cell, P>::Member {
public:
    Member(const ForwardScan& scan, Shared buffers, Own scratch, int member, int members, Barrier* meeting) noexcept
        : whole(scan),
          shared(buffers),
          own(scratch),
          panels(scan.layout_.panels, member, members),
          barrier(meeting),
          first_member(member == 0) {}

    void scan(const long* rows, long count) noexcept {
        if (rows_ != nullptr) meet();  // the buffers may still be read for the group before
        rows_ = rows;
        last_ = count == 0 ? 0 : times().length(rows[0]);
        begin(count);
        long active = count;
        for (long s = 0; s < last_;) {
            long offsets[chunk_steps + 1] = {0}, counts[chunk_steps];
            long steps = 0;
            for (; steps < chunk_steps && s + steps < last_; ++steps) {
                while (active > 0 && times().length(rows[active - 1]) <= s + steps) --active;
                if (steps > 0 && offsets[steps] + active > chunk_rows) break;
                counts[steps] = active;
                offsets[steps + 1] = offsets[steps] + active;
            }
            for (long n = 0; n < steps; ++n) gather(s + n, counts[n], offsets[n]);
            project(offsets[steps]);
            for (long n = 0; n < steps; ++n, ++s) step(s, counts[n], own.projected + offsets[n] * projected_row());
            active = counts[steps - 1];
        }
        if (whole.past_caches_ || whole.output_past_caches_) stream_end();
        end(count);
        if (first_member) finish_padding(count);
    }

private:
    const Layout<Cell, P>& layout() const noexcept { return whole.layout_; }
    const Times<Real>& times() const noexcept { return whole.times_; }
    long operand_row() const noexcept { return padded(layout().hidden_stride()); }
    long state_row() const noexcept { return padded(layout().blocks * width); }
    long input_row() const noexcept { return padded(layout().input_depth); }
    long projected_row() const noexcept { return padded(layout().row); }
    Share blocks() const noexcept {
        Share share = panels;
        share.first = panels.first * layout().panel_blocks;
        share.last = std::min(layout().blocks, panels.last * layout().panel_blocks);
        return share;
    }
    void meet() const noexcept {
        if (barrier != nullptr) barrier->wait();
    }

    // The states before the first step; rows of no length end here.
    void begin(long count) noexcept {
        const auto& call = whole.call_;
        const long hidden = layout().hidden;
        current_ = 0;
        for (long i = 0; i < count; ++i) {
            const long row = rows_[i];
            const bool empty = times().length(row) == 0;
            const bool fresh = !empty && times().fresh(row, 0);
            if (!empty) own.table[i] = place(row);
            for (long block = blocks().first; block < blocks().last; ++block) {
                const int valid = layout().valid(block);
                const long unit = block * width;
                for (int n = 0; n < Cell::states; ++n) {
                    const V state = load_valid(call.before[n] + row * hidden + unit, valid);
                    if (empty) store_valid(call.after[n] + row * hidden + unit, state, valid);
                    store(shared.state[n] + i * state_row() + unit, fresh ? V{} : state);
                }
                V h = load(shared.state[0] + i * state_row() + unit);
                if (call.mask != nullptr) h *= load_valid(call.mask + row * hidden + unit, valid);
                put(0, i, unit, h);
            }
        }
        meet();
    }

    void put(int which, long i, long unit, V h) noexcept {
        P::put(reinterpret_cast<typename P::Element*>(shared.operand[which] + i * operand_row()) + unit, h);
    }

    // The input of one step, side by side and as units.
    void gather(long s, long count, long offset) noexcept {
        const auto& input = whole.call_.input;
        for (long i = 0; i < count; ++i) {
            const long row = rows_[i];
            to_units<P>(input.data + row * input.row + times().at(row, s) * input.time, layout().inputs,
                        own.input + (offset + i) * input_row());
        }
    }

    void project(long rows) noexcept {
        const Real* bias = layout().bias(whole.packed_);
        for (long panel = panels.first; panel < panels.last; ++panel) {
            const int vectors = layout().panel_vectors(panel);
            const long column = panel * layout().panel_blocks * gates * width;
            multiply<P>(rows, vectors, layout().input_depth, own.input, input_row(), 1,
                        layout().input_panel(whole.packed_, panel), vectors * width, own.projected + column,
                        projected_row(), bias + column, 0);
        }
    }

    void step(long s, long count, const Real* projected) noexcept {
        const auto& call = whole.call_;
        const long steps = call.reverse ? -s : s;
        now_ = {s, steps * call.output.time, s * layout().stash_step(call.batch), steps * layout().hidden};
        const auto finish_panel = [&](long panel, long first, long rows, const Real* sums) {
            const int vectors = layout().panel_vectors(panel);
            for (int n = 0; n < vectors / gates; ++n) {
                const long block = panel * layout().panel_blocks + n;
                const Real *of_block = sums + n * gates * width, *inputs = projected + block * gates * width;
                if (whole.plain_) finish<true>(block, first, rows, of_block, vectors * width, inputs);
                else finish<false>(block, first, rows, of_block, vectors * width, inputs);
            }
        };
        for (long panel = panels.first; panel < panels.last; ++panel) {
            const int vectors = layout().panel_vectors(panel);
            const auto* weights = layout().hidden_panel(whole.packed_, panel);
            for_tiles<P>(count, vectors, [&](long first, long rows, Tile<P> product) {
                product(layout().hidden_depth, shared.operand[current_] + first * operand_row(), operand_row(), 1,
                        weights, vectors * width, own.sums, vectors * width, nullptr, 0);
                finish_panel(panel, first, rows, own.sums);
            });
        }
        current_ ^= 1;
        if (s + 1 < last_) meet();
    }

    // Where a row, not an empty one, stands in its first step.
    Row place(long row) const noexcept {
        const auto& call = whole.call_;
        const long t = times().at(row, 0), hidden = layout().hidden;
        Row at;
        at.output = call.output.data + row * call.output.row + t * call.output.time;
        at.steps = call.steps == nullptr ? nullptr : call.steps + row * call.output.row + t * call.output.time;
        at.stash = call.stash == nullptr ? nullptr : call.stash + layout().stash_index(call.batch, call.time, row, 0);
        at.mask = call.mask == nullptr ? nullptr : call.mask + row * hidden;
        at.zone = (row * call.time + t) * hidden;
        return at;
    }

    // Whether the state does not reach the next step.
    bool fresh_after(long i) const noexcept {
        return now_.s + 1 < times().length(rows_[i]) && times().fresh(rows_[i], now_.s + 1);
    }

    // The pointwise rule for one block of units of a tile's rows.
    template <bool plain>
    void finish(long block, long first, long rows, const Real* sums, long sums_row, const Real* projected) noexcept {
        const int valid = layout().valid(block);
        const V extra = load(layout().extra_bias(whole.packed_) + block * width);
        const auto there = valid_lanes<Real>(valid);
        for (long r = 0; r < rows; ++r) {
            const long i = first + r;
            V sum[gates], input[gates], state[Cell::states] = {}, stashed[Cell::stashed + 1];
            unroll<gates>([&](auto g) SEQLOOM_INLINE_LAMBDA {
                sum[g] = load(sums + r * sums_row + g * width);
                input[g] = load(projected + i * projected_row() + g * width);
                if (valid < width) {  // beyond H all stays zero, even where a row holds an infinity
                    sum[g] = there ? sum[g] : V{};
                    input[g] = there ? input[g] : V{};
                }
            });
            unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA {
                if (n > 0 || whole.keeps_h_) state[n] = load(shared.state[n] + i * state_row() + block * width);
            });
            if constexpr (plain) Cell::forward(sum, input, extra, state, stashed);
            else advance(own.table[i].zone + now_.zone + block * width, valid, sum, input, extra, state, stashed);
            keep<plain>(own.table[i], i, block, valid, state, stashed);
        }
    }

    SEQLOOM_INLINE void advance(long zone, int valid, const V (&sum)[gates], const V (&input)[gates], V extra,
                                V (&state)[Cell::states], V (&stashed)[Cell::stashed + 1]) const noexcept {
        if (!whole.zoneout_) return Cell::forward(sum, input, extra, state, stashed);
        V before[Cell::states];
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA { before[n] = state[n]; });
        Cell::forward(sum, input, extra, state, stashed);
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA {
            const V kept = kept_share<Real>(whole.call_, n, zone, valid);
            state[n] = blend(kept, before[n], state[n]);
        });
    }

    template <bool plain>
    SEQLOOM_INLINE void keep(const Row& at, long i, long block, int valid, const V (&state)[Cell::states],
                             const V (&stashed)[Cell::stashed + 1]) noexcept {
        const long unit = block * width;
        if (whole.output_past_caches_) stream(at.output + now_.output + unit, state[0]);
        else store_valid(at.output + now_.output + unit, state[0], valid);
        if (!plain && at.steps != nullptr) store_valid(at.steps + now_.output + unit, state[Cell::states - 1], valid);
        if (at.stash != nullptr) {
            Real* to = at.stash + now_.stash + unit * layout().stash_vectors;
            unroll<Cell::stashed>([&](auto n) SEQLOOM_INLINE_LAMBDA { put_away(to + n * width, stashed[n]); });
            if constexpr (Cell::states > 1) put_away(to + Cell::stashed * width, state[1]);
        }
        const bool fresh = !plain && fresh_after(i);
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA {
            if (n > 0 || whole.keeps_h_) store(shared.state[n] + i * state_row() + unit, fresh ? V{} : state[n]);
        });
        V h = fresh ? V{} : state[0];
        if (!plain && at.mask != nullptr) h *= load_valid(at.mask + unit, valid);
        put(current_ ^ 1, i, unit, h);
    }

    // The states after each row's last step.
    void end(long count) const noexcept {
        const auto& call = whole.call_;
        for (long i = 0; i < count; ++i) {
            const long row = rows_[i], length = times().length(row);
            if (length == 0) continue;
            const Real* output =
                call.output.data + row * call.output.row + times().at(row, length - 1) * call.output.time;
            for (long block = blocks().first; block < blocks().last; ++block) {
                const long unit = block * width, to = row * layout().hidden + unit;
                const int valid = layout().valid(block);
                store_valid(call.after[0] + to, load_valid(output + unit, valid), valid);
                if constexpr (Cell::states > 1)
                    store_valid(call.after[1] + to, load(shared.state[1] + i * state_row() + unit), valid);
            }
        }
    }

    // What is too much for any cache goes past them all: else each line would be read before it is written.
    SEQLOOM_INLINE void put_away(Real* to, V v) const noexcept {
        if (whole.past_caches_) stream(to, v);
        else store(to, v);
    }

    // Zeros beyond each row's length.
    void finish_padding(long count) const noexcept {
        const auto& call = whole.call_;
        for (long i = 0; i < count; ++i) {
            const long row = rows_[i];
            for (long t = times().length(row); t < call.time; ++t) {
                const auto at = row * call.output.row + t * call.output.time;
                std::fill_n(call.output.data + at, layout().hidden, Real{});
                if (call.steps != nullptr) std::fill_n(call.steps + at, layout().hidden, Real{});
            }
        }
    }

    const ForwardScan& whole;
    Shared shared;
    Own own;
    Share panels;  // this member's
    Barrier* barrier;
    bool first_member;
    const long* rows_ = nullptr;
    long last_ = 0;  // steps of the longest row
    int current_ = 0;
    struct {
        long s, output, stash, zone;  // the step, and how far each of them is from where the row's first one was
    } now_{};
};

}  // namespace seqloom::SEQLOOM_TARGET
