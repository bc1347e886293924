// What one thread does forward in time for a group of rows. Part of forward.hpp.
#pragma once

#include "forward.hpp"

namespace seqloom::SEQLOOM_TARGET {

template <class Cell, class P>
class ForwardScan<Cell, P>::Member {
public:
    Member(const ForwardScan& scan, Shared buffers, Own scratch, int member, int members, Barrier* meeting) noexcept
        : whole(scan),
          shared(buffers),
          own(scratch),
          panels(scan.layout_.panels, member, members, scan.late_),
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
            projected_rows_ = rounded_up(offsets[steps], P::row_step);
            if (!whole.crowded_) project(offsets[steps]);
            // Not back where weights are near anyway: what the step before wrote last would be waited for.
            for (long n = 0; n < steps; ++n, ++s)
                step(s, counts[n], offsets[n], whole.crowded_ ? whole.call_.back : n % 2 != 0 && !layout().small());
            active = counts[steps - 1];
        }
        end(count);
        if (first_member) finish_padding(count);
        if (whole.stash_past_caches_ || whole.output_past_caches_) stream_end();
    }

private:
    static constexpr int full_panel = Layout<Cell, P>::panel_blocks * gates;  // vectors

    const Layout<Cell, P>& layout() const noexcept { return whole.layout_; }
    const Times<Real>& times() const noexcept { return whole.times_; }
    long operand_row() const noexcept { return padded(layout().hidden_stride()); }
    Real* state(int n, long block, long i) const noexcept {
        return shared.state[n] + (block * whole.rows_at_once_ + i) * width;
    }
    long input_row() const noexcept { return padded(layout().input_depth); }
    Real* projected(long panel) const noexcept { return own.projected + panel * full_panel * width * projected_rows_; }
    Share blocks() const noexcept {
        Share share = panels;
        share.first = panels.first * layout().panel_blocks;
        share.last = std::min(layout().blocks, panels.last * layout().panel_blocks);
        return share;
    }
    void meet() const noexcept {
        if (barrier != nullptr) barrier->wait();
    }

    Turns turns(long rows) const noexcept {
        const long whole = std::min(panels.last, layout().row / (full_panel * width)) - panels.first;
        return {panels, whole, panels_at_once<P>(rows, full_panel)};
    }
    static constexpr bool several = takes_several<P>(full_panel);  // else the code for it is left out

    // The states before the first step; rows of no length end here. Each member makes itself all of the operand: that
    // is less than to wait for the others.
    void begin(long count) noexcept {
        const auto& call = whole.call_;
        const long hidden = layout().hidden;
        current_ = 0;
        clear_beyond(own.start, count);
        if (blocks().last == layout().blocks) {
            for (auto* each : shared.operand) clear_beyond(each, count);
        }
        for (long i = 0; i < count; ++i) {
            const long row = rows_[i];
            const bool empty = times().length(row) == 0, fresh = !empty && times().fresh(row, 0);
            if (!empty) own.table[i] = place(row);
            for (long block = 0; block < layout().blocks; ++block) {
                const int valid = layout().valid(block);
                const long unit = block * width, index = row * hidden + unit;
                V h = fresh ? V{} : load_valid(call.before[0] + index, valid);
                if (call.mask != nullptr) h *= load_valid(call.mask + index, valid);
                P::put(reinterpret_cast<typename P::Element*>(own.start + i * operand_row()) + unit, h);
                if (block < blocks().first || block >= blocks().last) continue;
                for (int n = 0; n < Cell::states; ++n) {
                    const V state = load_valid(call.before[n] + index, valid);
                    if (empty) store_valid(call.after[n] + index, state, valid);
                    store(this->state(n, block, i), fresh ? V{} : state);
                }
            }
        }
    }

    // Zeros between the last block of units and the depth of the product.
    void clear_beyond(Unit* operand, long count) const noexcept {
        for (long i = 0; i < count; ++i) {
            for (long n = layout().hidden_stride(); n < layout().hidden_depth; ++n) operand[i * operand_row() + n] = {};
        }
    }

    // The input of one step, side by side and as units.
    void gather(long s, long count, long offset) noexcept {
        const auto input = whole.call_.input;
        const auto place = [&](long i) {
            return input.data + rows_[i] * input.row + times().at(rows_[i], s) * input.time;
        };
        const ToUnits<P> to_units(layout().inputs);
        const bool in_order = whole.call_.lengths == nullptr;  // one row behind the other, and all at the same time
        const Real* from = place(0);
        const long to_row = input_row();
        Unit* to = own.input + offset * to_row;
        for (long i = 0; i < count; ++i, from += input.row, to += to_row) to_units(in_order ? from : place(i), to);
    }

    // The products of a chunk's rows with all input weights.
    void project(long rows) noexcept {
        const Turns turns = this->turns(rows);
        const Unit* const behind = layout().hidden_panel(whole.packed_, panels.first);
        for (auto turn = turns.walk(false); turn.left > 0; turn.go_on())
            project(turns, turn, rows, turn.left > 1 ? layout().input_panel(whole.packed_, turn.next) : behind);
    }

    // ... with those of one turn. `next` is what is read after them.
    void project(const Turns& turns, const Turns::Walk& turn, long rows, const Unit* next) noexcept {
        const long panel = turn.panel, depth = layout().input_depth;
        const auto* weights = layout().input_panel(whole.packed_, panel);
        const Real* bias = layout().bias(whole.packed_) + panel * full_panel * width;
        if (several && turn.at_once > 1) {
            const long row = full_panel * width, apart = turns.apart() * row;
            return multiply_at_once<P, full_panel>(rows, depth, own.input, input_row(), weights,
                                                   {apart * depth, apart * projected_rows_, apart}, projected(panel),
                                                   row, bias);
        }
        const int vectors = layout().panel_vectors(panel);
        multiply<P>(rows, vectors, depth, own.input, input_row(), weights, layout().far_panel(next), projected(panel),
                    vectors * width, bias);
    }

    // `offset` is the place of the first row in the chunk. If `back`, the last panels come first. Where weights crowd
    // the cache, panels of the input come beside those of h: what is read first was read last in the call before.
    void step(long s, long count, long offset, bool back) noexcept {
        const auto& call = whole.call_;
        const long steps = call.reverse ? -s : s;
        now_ = {s, steps * call.output.time, s * layout().stash_step(call.batch), steps * layout().hidden};
        const auto finish_panel = [&](long panel, long first, long rows, const Real* sums) {
            const long row = layout().panel_vectors(panel) * width;
            const Real* inputs = projected(panel) + (offset + first) * row;
            for (long block = layout().first_block(panel); block < layout().last_block(panel); ++block) {
                finish(block, first, rows, sums, inputs, row);
                sums += gates * width;
                inputs += gates * width;
            }
        };
        const Unit* operand = s == 0 ? own.start : shared.operand[current_];
        const long depth = s == 0 && whole.from_zero_ ? 0 : layout().hidden_depth;
        const Turns turns = this->turns(count);
        for (auto turn = turns.walk(back); turn.left > 0; turn.go_on()) {
            const auto* weights = layout().hidden_panel(whole.packed_, turn.panel);
            if (whole.crowded_) project(turns, turn, count, weights);
            if (several && turn.at_once > 1) {
                const long row = full_panel * width;
                multiply_at_once<P, full_panel>(count, depth, operand, operand_row(), weights,
                                                {turns.apart() * row * layout().hidden_depth, count * row, 0},
                                                own.sums, row, nullptr);
                for (int n = 0; n < turn.at_once; ++n)
                    finish_panel(turn.panel + n * turns.apart(), 0, count, own.sums + n * count * row);
                continue;
            }
            const int vectors = layout().panel_vectors(turn.panel);
            const auto* next = layout().far_panel(whole.crowded_ ? layout().input_panel(whole.packed_, turn.next)
                                                                 : layout().hidden_panel(whole.packed_, turn.next));
            for_tiles<P>(count, vectors, [&](long first, long rows, Tile<P> product, long number) {
                product(depth, operand + first * operand_row(), operand_row(), 1, weights, vectors * width, own.sums,
                        vectors * width, nullptr, 0, ahead_of<P>(next, depth, vectors, number));
                finish_panel(turn.panel, first, rows, own.sums);
            });
        }
        current_ ^= 1;
        if (s + 1 == last_ || barrier == nullptr) return;
        meet();
        fetch_others(shared.operand[current_], operand_row(), count, blocks().first * width / P::per_unit,
                     blocks().last * width / P::per_unit, layout().hidden_stride());
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

    // The pointwise rule for one block of units of a tile's rows. `row` is from one row to the next in sums and inputs.
    void finish(long block, long first, long rows, const Real* sums, const Real* inputs, long row) noexcept {
        const bool plain = whole.plain_ && layout().valid(block) == width;
        if (Cell::between > 0 && plain && rows > 1 && whole.call_.stash == nullptr)
            finish_in_two(block, first, rows, sums, inputs, row);
        else if (plain) finish_rows<true>(block, first, rows, sums, inputs, row);
        else finish_rows<false>(block, first, rows, sums, inputs, row);
    }

    // As finish_rows<true> where there is no stash, each part of the rule for some rows at once.
    SEQLOOM_INLINE void finish_in_two(long block, long first, long rows, const Real* sums, const Real* inputs,
                                      long row) noexcept {
        constexpr long at_once = 8;
        const V extra = load(layout().extra_bias(whole.packed_) + block * width);
        const Written to = written(block, first);
        V states[at_once][Cell::states], between[at_once][Cell::between + 1], stashed[Cell::stashed + 1];
        for (long begin = 0; begin < rows; begin += at_once) {
            const long count = std::min(at_once, rows - begin);
            for (long r = 0; r < count; ++r, sums += row, inputs += row) {
                V sum[gates], input[gates];
                read_gates<true>(sums, inputs, width, sum, input);
                read_states<true>(to, begin + r, states[r]);
                Cell::begin(sum, input, extra, states[r], stashed, between[r]);
            }
            for (long r = 0; r < count; ++r) {
                Cell::end(between[r], states[r], stashed);
                keep<true>(to, first, begin + r, block, width, states[r]);
            }
        }
    }

    // `whole_and_plain`: all units of the block are there, and nothing but the cell's own rule is asked for.
    template <bool whole_and_plain>
    SEQLOOM_INLINE void finish_rows(long block, long first, long rows, const Real* sums, const Real* inputs,
                                    long row) noexcept {
        const int valid = whole_and_plain ? width : layout().valid(block);
        const V extra = load(layout().extra_bias(whole.packed_) + block * width);
        const Written to = written(block, first);
        for (long r = 0; r < rows; ++r, sums += row, inputs += row) {
            V sum[gates], input[gates], state[Cell::states] = {}, stashed[Cell::stashed + 1];
            read_gates<whole_and_plain>(sums, inputs, valid, sum, input);
            read_states<whole_and_plain>(to, r, state);
            if constexpr (whole_and_plain) forward(sum, input, extra, state, stashed);
            else advance(to.table[r].zone + now_.zone + block * width, valid, sum, input, extra, state, stashed);
            keep<whole_and_plain>(to, first, r, block, valid, state);
            put_away(to, r, state, stashed);
        }
    }

    template <bool whole_and_plain>
    SEQLOOM_INLINE void read_gates(const Real* sums, const Real* inputs, int valid, V (&sum)[gates],
                                   V (&input)[gates]) const noexcept {
        const auto there = valid_lanes<Real>(valid);
        unroll<gates>([&](auto g) SEQLOOM_INLINE_LAMBDA {
            sum[g] = load(sums + g * valid);
            input[g] = load(inputs + g * valid);
            if (!whole_and_plain) {  // beyond them stands the next gate; beyond H all stays zero
                sum[g] = there ? sum[g] : V{};
                input[g] = there ? input[g] : V{};
            }
        });
    }

    static SEQLOOM_INLINE void forward(const V (&sum)[gates], const V (&input)[gates], V extra,
                                       V (&state)[Cell::states], V (&stashed)[Cell::stashed + 1]) noexcept {
        V between[Cell::between + 1];
        Cell::begin(sum, input, extra, state, stashed, between);
        Cell::end(between, state, stashed);
    }

    // Where a block of units of a tile's rows is written. Held beside the loop over rows: the compiler must take what
    // is written there for anything that is read from memory.
    struct Written {
        const Row* table;
        long output, stash;  // from where the row's first step was
        Real* state[2];
        typename P::Element* operand;
        long operand_row;  // elements
        bool output_past, stash_past;
    };
    Written written(long block, long first) const noexcept {
        Written to;
        to.table = own.table + first;
        to.output = now_.output + block * width;
        to.stash = now_.stash + block * width * layout().stash_vectors;
        for (int n = 0; n < Cell::states; ++n) to.state[n] = state(n, block, first);
        to.operand_row = operand_row() * P::per_unit;
        to.operand = reinterpret_cast<typename P::Element*>(shared.operand[current_ ^ 1]) + first * to.operand_row +
                     block * width;
        to.output_past = whole.output_past_caches_;
        to.stash_past = whole.stash_past_caches_;
        return to;
    }

    SEQLOOM_INLINE void advance(long zone, int valid, const V (&sum)[gates], const V (&input)[gates], V extra,
                                V (&state)[Cell::states], V (&stashed)[Cell::stashed + 1]) const noexcept {
        if (!whole.zoneout_) return forward(sum, input, extra, state, stashed);
        V before[Cell::states];
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA { before[n] = state[n]; });
        forward(sum, input, extra, state, stashed);
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA {
            const V kept = kept_share<Real>(whole.call_, n, zone, valid);
            state[n] = blend(kept, before[n], state[n]);
        });
    }

    template <bool whole_and_plain>
    SEQLOOM_INLINE void read_states(const Written& to, long r, V (&state)[Cell::states]) const noexcept {
        const bool keeps_h = whole_and_plain ? Cell::reads_h : whole.keeps_h_;
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA {
            if (n > 0 || keeps_h) state[n] = load(to.state[n] + r * width);
        });
    }

    template <bool whole_and_plain>
    SEQLOOM_INLINE void keep(const Written& to, long first, long r, long block, int valid,
                             const V (&state)[Cell::states]) const noexcept {
        const Row& at = to.table[r];
        if (to.output_past) stream(at.output + to.output, state[0]);
        else store_valid(at.output + to.output, state[0], valid);
        if (!whole_and_plain && at.steps != nullptr) store_valid(at.steps + to.output, state[Cell::states - 1], valid);
        const bool keeps_h = whole_and_plain ? Cell::reads_h : whole.keeps_h_;
        const bool fresh = !whole_and_plain && fresh_after(first + r);
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA {
            if (n > 0 || keeps_h) store(to.state[n] + r * width, fresh ? V{} : state[n]);
        });
        V h = fresh ? V{} : state[0];
        if (!whole_and_plain && at.mask != nullptr) h *= load_valid(at.mask + block * width, valid);
        P::put(to.operand + r * to.operand_row, h);
    }

    // What backward reads, if there will be one.
    SEQLOOM_INLINE void put_away(const Written& to, long r, const V (&state)[Cell::states],
                                 const V (&stashed)[Cell::stashed + 1]) const noexcept {
        if (to.table[r].stash == nullptr) return;
        Real* const stash = to.table[r].stash + to.stash;
        const auto put = [&](int n, V v) SEQLOOM_INLINE_LAMBDA {
            // What is too much for any cache goes past them all: else each line would be read before it is written.
            if (to.stash_past) stream(stash + n * width, v);
            else store(stash + n * width, v);
        };
        unroll<Cell::stashed>([&](auto n) SEQLOOM_INLINE_LAMBDA { put(n, stashed[n]); });
        if constexpr (Cell::states > 1) put(Cell::stashed, state[1]);
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
                if constexpr (Cell::states > 1) store_valid(call.after[1] + to, load(state(1, block, i)), valid);
            }
        }
    }

    // Zeros beyond each row's length.
    void finish_padding(long count) const noexcept {
        const auto& call = whole.call_;
        for (long i = 0; i < count; ++i) {
            const long row = rows_[i];
            for (long t = times().length(row); t < call.time; ++t) {
                const auto at = row * call.output.row + t * call.output.time;
                put_zeros(call.output.data + at, layout().hidden, whole.output_past_caches_);
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
    long last_ = 0;            // steps of the longest row
    long projected_rows_ = 0;  // of each panel
    int current_ = 0;
    struct {
        long s, output, stash, zone;  // the step, and how far each of them is from where the row's first one was
    } now_{};
};

}  // namespace seqloom::SEQLOOM_TARGET
