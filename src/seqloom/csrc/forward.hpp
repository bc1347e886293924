// A cell over time, forward: the one time loop, for any cell's pointwise rule.
#pragma once

#include <cmath>
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
          keeps_h_(Cell::reads_h || zoneout_),
          from_zero_(starts_from_zero()) {
        const auto batch = static_cast<double>(call.batch), time = static_cast<double>(call.time);
        const double step = product_time<P>(batch, layout_.row * layout_.hidden_depth);
        const double inputs = product_time<P>(batch * time, layout_.row * layout_.input_depth);
        const double all = step * time + inputs;
        plan_ = plan(call.threads, call.batch, call.time, all, layout_.far());
        crowded_ = call.time == 1 && layout_.forward_bytes() > plan_.members * second_cache() / 2;
        const bool errand = call.time == 1 && call.errand != nullptr && plan_.members > 1;
        const double late = (errand ? errand_takes : 0) + (errand || crowded_ ? first_late : 0);
        if (late > 0) late_ = std::lround(late * static_cast<double>(layout_.panels) / all);
        const auto stash_bytes = layout_.stash_size(call.batch, call.time) * sizeof(Real);
        stash_past_caches_ = stash_bytes > past_caches_from && is_aligned(call.stash);
        // Half a line that waits for its other half, of the next panel, is written by itself: that takes longer than to
        // read the line first.
        constexpr bool whole_lines = Layout<Cell, P>::panel_blocks * vector_bytes % 64 == 0;
        output_past_caches_ = whole_lines && past_caches(call.output, call, sizes.hidden);
    }

    void run() {
        rows_.emplace(call_.batch, call_.lengths, plan_.teams);
        rows_at_once_ = layout_.small() && plan_.members == 1 ? std::min(small_group<P>, rows_->most()) : rows_->most();
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
    static constexpr std::size_t past_caches_from = 16 << 20;  // bytes
    // Microseconds that the caller needs more than those that it wakes, and for an errand.
    static constexpr double first_late = 0.7, errand_takes = 0.9;

    long rows_of_chunk() const noexcept { return rounded_up(std::max(chunk_rows, rows_at_once_), P::row_step); }
    // What the product reads of h, for all rows at once.
    long operand_size() const noexcept {
        return rounded_up(rows_at_once_, P::row_step) * padded(layout_.hidden_stride());
    }

    // Whether the first step's product with the hidden weights gives zeros: then it need not be computed.
    bool starts_from_zero() const noexcept {
        const auto zeros = [](const Real* from, long count) {
            return std::all_of(from, from + count, [](Real each) { return each == 0; });
        };
        return zeros(call_.before[0], call_.batch * layout_.hidden) && zeros(layout_.zero_if_finite(packed_), width);
    }

    struct Row {  // where one row of the batch reads and writes in its first step
        Real *output, *steps, *stash;
        const Real* mask;
        long zone;  // index of its marks
    };

    struct Shared {        // of a team
        Unit* operand[2];  // h as the product reads it, before and after a step
        Real* state[2];    // the states, in place: for each block of units all rows, as they are gone through
        Shared(Arrays& arrays, const ForwardScan& scan) noexcept {
            for (auto& each : operand) arrays.take(each, scan.operand_size());
            for (auto& each : state) arrays.take(each, scan.rows_at_once_ * scan.layout_.blocks * width);
        }
    };

    struct Own {          // of a member
        Unit* start;      // h before the first step, as the product reads it
        Unit* input;      // rows of a chunk
        Real* projected;  // ... and their products with the input weights: for each panel all rows
        Real* sums;       // of a tile
        Row* table;
        Own(Arrays& arrays, const ForwardScan& scan) noexcept {
            const long rows = scan.rows_of_chunk();
            arrays.take(start, scan.operand_size());
            arrays.take(input, rows * padded(scan.layout_.input_depth));
            arrays.take(projected, rows * scan.layout_.row);
            arrays.take(sums, most_sums<P> * width);
            arrays.take(table, scan.rows_at_once_);
        }
    };

    // One member of one team: its rows, a group at a time.
    void work(std::byte* memory, int team, int member, int members, Barrier* barrier) noexcept {
        if (call_.errand != nullptr && team == 0 && member == 0) call_.errand->run(call_.errand->context);
        [[maybe_unused]] const typename P::Session session{};
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
    bool zoneout_, plain_, keeps_h_, from_zero_, stash_past_caches_ = false, output_past_caches_ = false;
    Plan plan_;
    // Whether it is one step, and each member's weights take more than half of its second cache. What lies there is not
    // spread evenly: some of them push out each other, and the caller's also what Python needs.
    bool crowded_ = false;
    long late_ = 0;  // for so many panels the first member comes late
    long rows_at_once_ = 0;
    std::size_t shared_bytes_ = 0, own_bytes_ = 0;
    std::optional<Rows> rows_;
};

}  // namespace seqloom::SEQLOOM_TARGET

#include "forward_member.hpp"
