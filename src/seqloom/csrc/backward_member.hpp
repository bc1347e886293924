// What one thread does backward in time for a group of rows. Part of backward.hpp.
#pragma once

#include "backward.hpp"

namespace seqloom::SEQLOOM_TARGET {

template <class Cell, class P>
class BackwardScan<Cell, P>::Member {
public:
    Member(const BackwardScan& scan, Shared buffers, Own scratch, int number, int count, Barrier* meeting) noexcept
        : whole(scan), shared(buffers), own(scratch), member(number), members(count), barrier(meeting) {}

    void clear_bias() noexcept {
        for (long block = blocks().first; block < blocks().last; ++block) {
            for (int g = 0; g < gates; ++g) store(shared.bias + layout().gate_column(block, g), V{});
            store(shared.extra + block * width, V{});
        }
    }

    void scan(const long* rows, long count) noexcept {
        rows_ = rows;
        count_ = count;
        begin(count);
        const long last = count == 0 ? 0 : times().length(rows[0]);
        const Unit* after = nullptr;  // gates of step s + 1
        long active = 0, active_after = 0;
        for (long s = last - 1; s >= 0;) {
            long filled = 0, at = 0;
            const long newest = s;
            for (; s >= 0; --s) {
                while (active < count && times().length(rows[active]) > s) ++active;
                if (filled > 0 && filled + active > whole.chunk_) break;
                step(s, active, filled, after, active_after);
                meet();
                at = filled;
                after = shared.hidden_gates + at * gate_row();
                if (barrier != nullptr) {
                    constexpr long units = gates * width / P::per_unit;  // of a block
                    fetch_others(after, gate_row(), active, blocks().first * units, blocks().last * units,
                                 layout().gate_depth);
                }
                active_after = active;
                filled += active;
            }
            finish_chunk(newest, s, filled);
            const Share part(active_after, member, members);
            std::copy_n(after + part.first * gate_row(), (part.last - part.first) * gate_row(),
                        shared.last_gates + part.first * gate_row());
            meet();
            after = shared.last_gates;
        }
        finish(count, after, active_after);
    }

    bool started() const noexcept { return started_; }

private:
    const Layout<Cell, P>& layout() const noexcept { return whole.layout_; }
    const Times<Real>& times() const noexcept { return whole.times_; }
    long gate_row() const noexcept { return padded(layout().gate_depth); }
    long state_row() const noexcept { return padded(layout().blocks * width); }
    long input_row() const noexcept { return padded(layout().input_blocks * width); }
    long sums_row() const noexcept { return padded(layout().row); }
    long column_panels() const noexcept { return divided_up(layout().blocks, column_vectors); }
    Share panels() const noexcept { return Share(column_panels(), member, members); }
    Share blocks() const noexcept {
        Share share = panels();
        share.first *= column_vectors;
        share.last = std::min(layout().blocks, share.last * column_vectors);
        return share;
    }
    void meet() const noexcept {
        if (barrier != nullptr) barrier->wait();
    }

    // Gradients of the last states; a row of no length hands them on.
    void begin(long count) noexcept {
        const auto& call = whole.call_;
        for (long i = 0; i < count; ++i) {
            const long row = rows_[i];
            for (long block = blocks().first; block < blocks().last; ++block) {
                const long unit = block * width, index = row * layout().hidden + unit;
                const int valid = layout().valid(block);
                for (int n = 0; n < Cell::states; ++n) {
                    const V d = call.d_after[n] == nullptr ? V{} : load_valid(call.d_after[n] + index, valid);
                    store(shared.carry[n] + i * state_row() + unit, d);
                    if (times().length(row) == 0 && call.d_before[n] != nullptr)
                        store_valid(call.d_before[n] + index, d, valid);
                }
            }
        }
        meet();
    }

    // Where a row stands in its last step.
    Row place(long row) const noexcept {
        const auto& call = whole.call_;
        const long s = times().length(row) - 1, hidden = layout().hidden, t = times().at(row, s);
        Row at;
        at.last = true;
        at.fresh_after = false;
        at.d_output = call.d_output.data == nullptr
                          ? nullptr
                          : call.d_output.data + row * call.d_output.row + t * call.d_output.time;
        at.d_steps = call.d_steps == nullptr ? nullptr : call.d_steps + row * call.output.row + t * call.output.time;
        at.stash = call.stash + layout().stash_index(call.batch, call.time, row, s);
        at.h = call.output.data + row * call.output.row + t * call.output.time;
        at.before[1] = Cell::states > 1 ? call.before[1] + row * hidden : nullptr;
        at.mask = call.mask == nullptr ? nullptr : call.mask + row * hidden;
        at.zone = (row * call.time + t) * hidden;
        look_back(at, row, s);
        return at;
    }

    // ... and in step s, from where it stood in step s + 1.
    void move_back(Row& at, long row, long s) const noexcept {
        const auto& call = whole.call_;
        const long step = call.reverse ? 1 : -1;
        at.last = false;
        at.fresh_after = at.fresh;
        if (at.d_output != nullptr) at.d_output += step * call.d_output.time;
        if (at.d_steps != nullptr) at.d_steps += step * call.output.time;
        at.stash -= layout().stash_step(call.batch);
        at.h += step * call.output.time;
        at.zone += step * layout().hidden;
        look_back(at, row, s);
    }

    void look_back(Row& at, long row, long s) const noexcept {
        const auto& call = whole.call_;
        at.first = s == 0;
        at.fresh = times().fresh(row, s);
        at.before[0] =
            at.first ? call.before[0] + row * layout().hidden : at.h + (call.reverse ? 1 : -1) * call.output.time;
    }

    // Gradients of the gates of step s, from those of step s + 1 for the rows that had one.
    void step(long s, long count, long offset, const Unit* after, long count_after) noexcept {
        for (long i = 0; i < count_after; ++i) move_back(own.table[i], rows_[i], s);
        for (long i = count_after; i < count; ++i) own.table[i] = place(rows_[i]);
        const int at_once = panels_at_once<P>(count_after, column_vectors);
        const Share share = panels();
        const Turns turns(share, std::min(share.last, layout().blocks / column_vectors) - share.first, at_once);
        const long depth = layout().gate_depth, full = column_vectors * width;
        for (auto turn = turns.walk(s % 2 != 0); turn.left > 0; turn.go_on()) {
            const long panel = turn.panel;
            const int taken = turn.at_once;
            const auto* weights = layout().hidden_columns(whole.packed_, panel);
            const int vectors = layout().column_panel_vectors(layout().blocks, panel);
            const auto rule = [&](long each, long first, long rows, const Real* sums, long row) {
                for (int n = 0; n < vectors; ++n)
                    pointwise(each * column_vectors + n, first, rows, offset, sums + n * width, row);
            };
            if (taken > 1) {
                multiply_at_once<P, column_vectors>(count_after, depth, after, gate_row(), weights,
                                                    {turns.apart() * full * depth, full, 0}, own.sums, taken * full,
                                                    nullptr);
                for (int n = 0; n < taken; ++n)
                    rule(panel + n * turns.apart(), 0, count_after, own.sums + n * full, taken * full);
            } else {
                const auto* next = layout().far_panel(layout().hidden_columns(whole.packed_, turn.next));
                for_tiles<P>(count_after, vectors, [&](long first, long rows, Tile<P> product, long number) {
                    product(depth, after + first * gate_row(), gate_row(), 1, weights, vectors * width, own.sums,
                            vectors * width, nullptr, 0, ahead_of<P>(next, depth, vectors, number));
                    rule(panel, first, rows, own.sums, vectors * width);
                });
            }
            if (count_after == count) continue;
            const long together = std::min<long>(count - count_after, tile_rows_limit<P> * tile_vectors / vectors);
            std::fill_n(own.sums, together * vectors * width, Real{});  // no product before a row's last step
            for (long first = count_after; first < count; first += together) {
                const long rows = std::min(together, count - first);
                for (int n = 0; n < taken; ++n)
                    rule(panel + n * turns.apart(), first, rows, own.sums, vectors * width);
            }
        }
    }

    // What the rule will read from memory in the step before this one, and what the weights' gradients will. To ask for
    // what lies beyond an array does no harm.
    SEQLOOM_INLINE void fetch_next(const Row& at, long block) const noexcept {
        const auto& call = whole.call_;
        const long back = call.reverse ? 1 : -1, unit = block * width, step = layout().stash_step(call.batch);
        const Real* stash = at.stash - step + unit * layout().stash_vectors;
        fetch(stash, Cell::stashed * width);
        if (Cell::states > 1) fetch(stash - step + Cell::stashed * width, width);
        if (at.d_output != nullptr) fetch(at.d_output + back * call.d_output.time + unit, width);
        fetch(at.h + 2 * back * call.output.time + unit, width);
    }

    // The pointwise rule for one block of units of a tile's rows, and the sums of their biases.
    void pointwise(long block, long first, long rows, long offset, const Real* sums, long row_of_sums) noexcept {
        const int valid = layout().valid(block);
        const auto there = valid_lanes<Real>(valid);
        V bias[gates] = {}, extra{};
        for (long r = 0; r < rows; ++r) {
            const long i = first + r;
            const Row& at = own.table[i];
            if (whole.far_ && !at.first) fetch_next(at, block);
            V d_state[Cell::states], d_input[gates], d_hidden[gates];
            gather_gradients(at, i, block, valid, load(sums + r * row_of_sums), d_state);
            rule(at, block, valid, d_state, d_input, d_hidden);
            if (valid < width) {  // beyond them stands the next gate; beyond H all stays zero
                unroll<gates>([&](auto g) SEQLOOM_INLINE_LAMBDA {
                    d_input[g] = there ? d_input[g] : V{};
                    d_hidden[g] = there ? d_hidden[g] : V{};
                });
            }
            unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA {
                if (n > 0 || whole.carries_h_)
                    store(shared.carry[n] + i * state_row() + block * width, at.fresh ? V{} : d_state[n]);
            });
            auto* hidden_gates = reinterpret_cast<Element*>(shared.hidden_gates + (offset + i) * gate_row());
            auto* input_gates = reinterpret_cast<Element*>(shared.input_gates + (offset + i) * gate_row());
            if (valid < width || (P::depth_step > 1 && block + 1 == layout().blocks)) {
                clear_beyond(hidden_gates, valid);
                if constexpr (split) clear_beyond(input_gates, valid);
            }
            hidden_gates += layout().gate_column(block, 0);
            input_gates += layout().gate_column(block, 0);
            unroll<gates>([&](auto g) SEQLOOM_INLINE_LAMBDA {
                P::put(hidden_gates + g * valid, d_hidden[g]);
                if constexpr (split) P::put(input_gates + g * valid, d_input[g]);
                bias[g] += d_input[g];
                if constexpr (g == Cell::gate_with_extra_bias) extra += d_hidden[g];
            });
        }
        unroll<gates>([&](auto g) SEQLOOM_INLINE_LAMBDA {
            Real* to = shared.bias + layout().gate_column(block, g);
            store(to, load(to) + bias[g]);
        });
        if constexpr (split) store(shared.extra + block * width, load(shared.extra + block * width) + extra);
    }

    // Zeros where the last gate leaves some of a row of gates, and from there to the depth of a product.
    SEQLOOM_INLINE void clear_beyond(Element* gates_of_row, int valid) const noexcept {
        for (long n = layout().row - (valid < width ? width : 0); n < layout().gate_depth * P::per_unit; n += width)
            P::put(gates_of_row + n, V{});
    }

    // The gradients of the states after this step, from all that was computed from them.
    SEQLOOM_INLINE void gather_gradients(const Row& at, long i, long block, int valid, V product,
                                         V (&d_state)[Cell::states]) const noexcept {
        const long unit = block * width;
        if (at.mask != nullptr) product *= load_valid(at.mask + unit, valid);
        V d = at.fresh_after ? V{} : product;
        if (at.d_output != nullptr) d += load_valid(at.d_output + unit, valid);
        if (at.last || whole.carries_h_) d += load(shared.carry[0] + i * state_row() + unit);
        d_state[0] = d;
        if constexpr (Cell::states > 1) {
            d_state[1] = load(shared.carry[1] + i * state_row() + unit);
            if (at.d_steps != nullptr) d_state[1] += load_valid(at.d_steps + unit, valid);
        }
    }

    // The cell's rule, and zoneout around it.
    SEQLOOM_INLINE void rule(const Row& at, long block, int valid, V (&d_state)[Cell::states], V (&d_input)[gates],
                             V (&d_hidden)[gates]) const noexcept {
        const long unit = block * width;
        V stashed[Cell::stashed + 1], before[Cell::states] = {}, h{};
        unroll<Cell::stashed>([&](auto n) SEQLOOM_INLINE_LAMBDA {
            stashed[n] = load(at.stash + unit * layout().stash_vectors + n * width);
        });
        if (!at.fresh) {
            if (Cell::reads_h || whole.zoneout_) before[0] = load_valid(at.before[0] + unit, valid);
            if constexpr (Cell::states > 1) {
                before[1] = at.first ? load_valid(at.before[1] + unit, valid)
                                     : load(at.stash - layout().stash_step(whole.call_.batch) +
                                            unit * layout().stash_vectors + Cell::stashed * width);
            }
        }
        if constexpr (Cell::reads_after) h = load_valid(at.h + unit, valid);
        if (!whole.zoneout_) return Cell::backward(stashed, before, h, d_state, d_input, d_hidden);

        V kept[Cell::states], handed_on[Cell::states];
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA {
            kept[n] = kept_share<Real>(whole.call_, n, at.zone + unit, valid);
            handed_on[n] = kept[n] * d_state[n];
            d_state[n] -= handed_on[n];
        });
        // What the cell proposed, from what zoneout made of it; where all was kept, its gradient is zero anyway.
        if constexpr (Cell::reads_after) h = kept[0] == V{} + 1 ? V{} : (h - kept[0] * before[0]) / (1 - kept[0]);
        Cell::backward(stashed, before, h, d_state, d_input, d_hidden);
        unroll<Cell::states>([&](auto n) SEQLOOM_INLINE_LAMBDA { d_state[n] += handed_on[n]; });
    }

    // --- the products of a chunk ------------------------------------------------------------------------------------

    // In backward_products.hpp.
    void finish_chunk(long newest, long oldest, long filled) noexcept;
    void lay_in_tiles(const Unit* values, long values_row, long features, long depth, Unit* to) const noexcept;
    void take_strip(long strip, long depth, const Unit* gradients) const noexcept;
    void weight_gradients(long strip, long depth, long features, const Unit* values, long values_row, const Unit* tiles,
                          const Unit* gradients, Real* sums) const noexcept;
    void input_gradients(long newest, long oldest, long filled) noexcept;
    void gather_rows(long newest, long oldest) noexcept;
    void pair_rows(long filled, long depth) noexcept;
    void pair_columns(const Real* from, long from_row, long blocks, long filled, long depth, Unit* to) const noexcept;

    // Vectors of gates in this strip of the weights' gradients, and from one row of the chunk's gates to the next.
    int strip_vectors(long strip) const noexcept {
        return static_cast<int>(std::min<long>(tile_vectors, layout().row / width - strip * tile_vectors));
    }
    long gradients_row() const noexcept { return P::per_unit == 1 ? gate_row() : sums_row(); }
    const Unit* inputs_operand() const noexcept { return operand(shared.inputs, shared.input_pairs); }
    const Unit* hiddens_operand() const noexcept { return operand(shared.hiddens, shared.hidden_pairs); }
    const Unit* input_gates_operand() const noexcept {
        return P::per_unit == 1 ? shared.input_gates : shared.input_gate_pairs;
    }
    const Unit* hidden_gates_operand() const noexcept {
        return P::per_unit == 1 ? shared.hidden_gates : shared.hidden_gate_pairs;
    }
    const Unit* operand(const Real* numbers, const Unit* pairs) const noexcept {
        if constexpr (P::per_unit == 1) return numbers;
        else return pairs;
    }

    // Calls body(position, row, s) for this member's part of the chunk's rows.
    template <typename Body>
    void for_rows(long newest, long oldest, Body&& body) const noexcept {
        long position = 0, active = 0;
        for (long s = newest; s > oldest; --s) {
            active = active_at(s, active);
            const Share part(active, member, members);
            for (long i = part.first; i < part.last; ++i) body(position + i, rows_[i], s);
            position += active;
        }
    }
    long active_at(long s, long active) const noexcept {
        while (active < count_ && times().length(rows_[active]) > s) ++active;
        return active;
    }

    // --- the end ----------------------------------------------------------------------------------------------------

    // Gradients of the states before the first step, and zeros beyond each row's length.
    void finish(long count, const Unit* after, long count_after) noexcept {
        const auto& call = whole.call_;
        const Share share = panels();
        for (long panel = share.first; panel < share.last && call.d_before[0] != nullptr; ++panel) {
            const int vectors = layout().column_panel_vectors(layout().blocks, panel);
            const auto* weights = layout().hidden_columns(whole.packed_, panel);
            for_tiles<P>(count_after, vectors, [&](long first, long rows, Tile<P> product, long) {
                product(layout().gate_depth, after + first * gate_row(), gate_row(), 1, weights, vectors * width,
                        own.sums, vectors * width, nullptr, 0, nullptr);
                for (int n = 0; n < vectors; ++n)
                    first_states(panel * column_vectors + n, first, rows, own.sums + n * width, vectors * width);
            });
        }
        if (Cell::states > 1 && call.d_before[1] != nullptr) {
            for (long i = 0; i < count_after; ++i) {
                for (long block = blocks().first; block < blocks().last; ++block) {
                    store_valid(call.d_before[1] + rows_[i] * layout().hidden + block * width,
                                load(shared.carry[1] + i * state_row() + block * width), layout().valid(block));
                }
            }
        }
        if (member == 0 && call.d_input.data != nullptr) finish_padding(count);
        meet();
    }

    void finish_padding(long count) const noexcept {
        const auto& to = whole.call_.d_input;
        const bool past = past_caches(to, whole.call_, layout().inputs);
        for (long i = 0; i < count; ++i) {
            for (long t = times().length(rows_[i]); t < whole.call_.time; ++t)
                put_zeros(to.data + rows_[i] * to.row + t * to.time, layout().inputs, past);
        }
        if (past) stream_end();
    }

    void first_states(long block, long first, long rows, const Real* sums, long row_of_sums) const noexcept {
        const auto& call = whole.call_;
        const int valid = layout().valid(block);
        for (long r = 0; r < rows; ++r) {
            const long i = first + r, index = rows_[i] * layout().hidden + block * width;
            V d = load(sums + r * row_of_sums);
            if (call.mask != nullptr) d *= load_valid(call.mask + index, valid);
            if (whole.carries_h_) d += load(shared.carry[0] + i * state_row() + block * width);
            store_valid(call.d_before[0] + index, times().fresh(rows_[i], 0) ? V{} : d, valid);
        }
    }

    const BackwardScan& whole;
    Shared shared;
    Own own;
    int member, members;
    Barrier* barrier;
    const long* rows_ = nullptr;
    long count_ = 0;
    bool started_ = false;
};

}  // namespace seqloom::SEQLOOM_TARGET
