// Who computes what: rows of the batch for teams, units for the members of a team.
#pragma once

#include <numeric>
#include <vector>

#include "layout.hpp"
#include "threads.hpp"

namespace seqloom::SEQLOOM_TARGET {

// A large batch is split: each thread is a team of its own and never waits. With few rows for each thread the units are
// split: all members of the one team meet after each step. What is tiny stays on one thread.
struct Plan {
    int teams = 1, members = 1;
};

// `whole` is what all products take on one thread, in microseconds. Where the weights are `far`, each of a few threads
// with up to 16 rows reads its part of them for all rows: of h, which they then exchange, there is less.
inline Plan plan(int threads, long batch, long time, double whole, bool far) noexcept {
    constexpr double worth_a_thread = 3.5;      // waking another thread takes 2 to 3 while it still waits for work
    constexpr double begin = 1, meeting = 0.5;  // of threads that split the units, with what they then exchange
    const long rows_enough = far && threads <= 4 ? 17 : 8;  // for each thread; a tile's worth
    const double steps = static_cast<double>(time);
    if (batch < rows_enough * threads && whole * (threads - 1) / threads > begin + meeting * steps) return {1, threads};
    threads = static_cast<int>(std::min<double>(threads, whole / worth_a_thread));
    if (threads <= 1) return {};
    if (batch >= rows_enough * threads) return {threads, 1};
    return {static_cast<int>(std::min<long>(threads, divided_up(batch, 2))), 1};
}

// Microseconds of one thread for the product of `rows` rows with so many weights, read from the second cache at best.
template <class P>
double product_time(double rows, double weights) noexcept {
    // A microsecond; of fp32 products, on a core of 2024. One row's pairs, where products go in steps of rows, are taken
    // apart first.
    constexpr double operations = 1.8e5, bytes = P::row_step > 1 ? 9e4 : 1.8e5;
    return std::max(2 * rows * weights / operations, weights * sizeof(typename P::Unit) / bytes);
}

// Calls work(team, member, members, barrier) for each member of each team; the barrier is null for one by itself. Where
// the pool gives fewer threads than a team that splits its units has members, one does all of it.
template <typename Work>
void launch(const Plan& plan, Work&& work) {
    const int wanted = plan.teams * plan.members;
    if (wanted == 1) return work(0, 0, 1, nullptr);
    Barrier barrier(plan.members);
    run_team(wanted, [&](int member, int members) noexcept {
        if (plan.members == 1) {
            for (int team = member; team < plan.teams; team += members) work(team, 0, 1, nullptr);
        } else if (members == plan.members) {
            work(0, member, members, &barrier);
        } else if (member == 0) {
            work(0, 0, 1, nullptr);
        }
    });
}

// Where the weights are small, a few rows at a time run through all steps: more of what they need stays near.
template <class P>
inline constexpr long small_group = P::row_step > 1 ? 2 * P::row_step : 24;

// The rows of each team: consecutive ones where all have the same length, else dealt out in order of falling length, so
// that in each step the rows that still run are the first ones, and all teams have about as much to do.
class Rows {
public:
    Rows(long batch, const std::int64_t* lengths, int teams) : batch_(batch), teams_(teams) {
        if (batch == 1) return;  // no memory of the caller's that another thread would have to fetch
        rows_.resize(static_cast<std::size_t>(batch));
        std::iota(rows_.begin(), rows_.end(), 0L);
        if (lengths == nullptr) return;
        std::vector<long> order = rows_;
        std::stable_sort(order.begin(), order.end(), [&](long a, long b) { return lengths[a] > lengths[b]; });
        long* to = rows_.data();
        for (int team = 0; team < teams; ++team) {
            for (long n = team; n < batch; n += teams) *to++ = order[static_cast<std::size_t>(n)];
        }
        dealt_ = true;
    }

    const long* of(int team) const noexcept {
        static constexpr long only = 0;
        return batch_ == 1 ? &only : rows_.data() + first(team);
    }
    long count(int team) const noexcept { return first(team + 1) - first(team); }
    long most() const noexcept { return divided_up(batch_, teams_); }

private:
    long first(int team) const noexcept {
        if (!dealt_) return batch_ * team / teams_;
        return batch_ / teams_ * team + std::min<long>(team, batch_ % teams_);
    }

    std::vector<long> rows_;
    long batch_;
    int teams_;
    bool dealt_ = false;
};

// Of `rows` rows of an operand, asks for the units that others have just written: all but those from `first` to `last`.
template <typename Unit>
SEQLOOM_INLINE void fetch_others(const Unit* operand, long row, long rows, long first, long last, long all) noexcept {
    constexpr long few = 8;  // of more rows some are there when the first ones have been multiplied
    if (rows > few) return;
    for (long i = 0; i < rows; ++i, operand += row) {
        fetch(operand, first);
        fetch(operand + last, all - last);
    }
}

// A part of [0, count) for each member: [first, last). Where the first member comes late, by what it would take for so
// many, the others have the more.
struct Share {
    long first, last;
    Share(long count, int member, int members, long late = 0) noexcept
        : first(from(count, member, members, late)), last(from(count, member + 1, members, late)) {}

private:
    static long from(long count, int member, int members, long late) noexcept {
        return std::max(0L, (count + late) * member / members - late);
    }
};

// How a thread goes through its panels of weights: some at once as long as there are so many whole ones, then one by
// one. What is taken at once lies far apart, so that in the next turn each of them goes on where it ended: the
// processor asks ahead for memory that is read in order.
class Turns {
public:
    // `whole` of the share's panels, the first ones, are as wide as a panel can be.
    Turns(Share share, long whole, int at_once) noexcept
        : first_(share.first),
          at_once_(at_once),
          apart_(at_once > 1 ? std::max(0L, whole) / at_once : 0),
          beyond_(apart_ * (at_once - 1)),
          count_(share.last - share.first - beyond_) {}

    // From each of the panels that are taken at once to the next of them.
    long apart() const noexcept { return apart_; }

    // for (auto turn = turns.walk(back); turn.left > 0; turn.go_on()): there, or back from the last turn. Who goes
    // there and back finds in the caches what was read last.
    struct Walk {
        const Turns& turns;
        long left;         // turns, with this one
        long panel, next;  // the first panel of this turn, and of the one that follows (after the last: the same)
        int at_once;       // how many panels are taken
        long turn, on;

        SEQLOOM_INLINE void go_on() noexcept {
            --left;
            turn += on;
            look();
        }
        SEQLOOM_INLINE void look() noexcept {
            panel = next;
            at_once = turns.at_once(turn);
            if (left > 1) next = turns.panel(turn + on);
        }
    };
    SEQLOOM_INLINE Walk walk(bool back) const noexcept {
        const long first = back ? count_ - 1 : 0;
        Walk walk{*this, count_, 0, panel(first), 1, first, back ? -1 : 1};
        walk.look();
        return walk;
    }

private:
    long panel(long turn) const noexcept { return first_ + turn + (turn < apart_ ? 0 : beyond_); }
    int at_once(long turn) const noexcept { return turn < apart_ ? at_once_ : 1; }

    long first_;
    int at_once_;
    long apart_, beyond_, count_;
};

// Cuts one block of memory into arrays aligned to 64 bytes. Called once with null to count, once with the memory.
class Arrays {
public:
    explicit Arrays(std::byte* memory) noexcept : memory_(memory) {}
    template <typename T>
    void take(T*& array, long count) noexcept {
        array = memory_ == nullptr ? nullptr : reinterpret_cast<T*>(memory_ + used_);
        used_ += divided_up(count * static_cast<long>(sizeof(T)), 64) * 64;
    }
    std::size_t used() const noexcept { return static_cast<std::size_t>(used_); }

private:
    std::byte* memory_;
    long used_ = 0;
};

// Where a row stands in one step.
template <typename T>
struct Times {
    const Scan<T>& scan;
    long length(long row) const noexcept {
        return scan.lengths == nullptr ? scan.time : static_cast<long>(scan.lengths[row]);
    }
    // The time that is read in step s, 0 <= s < length(row).
    long at(long row, long s) const noexcept { return scan.reverse ? length(row) - 1 - s : s; }
    bool fresh(long row, long s) const noexcept {
        return scan.fresh != nullptr && scan.fresh[row * scan.time + at(row, s)] != 0;
    }
};

template <typename T>
SEQLOOM_INLINE Vec<T> load_valid(const T* from, int valid) noexcept {
    return valid == lanes<T> ? load(from) : load_part(from, valid);
}
template <typename T>
SEQLOOM_INLINE void store_valid(T* to, Vec<T> v, int valid) noexcept {
    if (valid == lanes<T>) store(to, v);
    else store_part(to, v, valid);
}

// Whether what begins here can be written past the caches.
template <typename T>
bool is_aligned(const T* array) noexcept {
    return reinterpret_cast<std::uintptr_t>(array) % vector_bytes == 0;
}

// Whether [B, T, features] numbers are more than the caches may hold, and lie so that they can be written past them.
template <typename T>
bool past_caches(const Sequence<T>& to, const Scan<T>& scan, long features) noexcept {
    constexpr double from = 4 << 20;  // bytes
    const auto vectors = [](long numbers) { return numbers % lanes<T> == 0; };
    return static_cast<double>(scan.batch) * scan.time * features * sizeof(T) > from && vectors(features) &&
           vectors(to.row) && vectors(to.time) && is_aligned(to.data);
}

// `count` zeros; whole vectors if they go past the caches.
template <typename T>
void put_zeros(T* to, long count, bool past) noexcept {
    if (!past) {
        std::fill_n(to, count, T{});
        return;
    }
    for (long n = 0; n < count; n += lanes<T>) stream(to + n, Vec<T>{});
}

// kept * before + (1 - kept) * after: exactly one of them where kept is 0 or 1.
template <typename V>
SEQLOOM_INLINE V blend(V kept, V before, V after) noexcept {
    return fma(kept, before, after - kept * after);
}

// 0 or 1 for each of a vector's units, from bytes.
template <typename T>
SEQLOOM_INLINE Vec<T> load_marks(const std::uint8_t* from, int valid) noexcept {
    typedef std::uint8_t Marks __attribute__((vector_size(lanes<T>)));
    Marks marks{};
    if (valid == lanes<T>) std::memcpy(&marks, from, sizeof marks);
    else std::copy_n(from, valid, reinterpret_cast<std::uint8_t*>(&marks));
    return __builtin_convertvector(marks, Vec<Integer<T>>) != 0 ? splat(T{1}) : Vec<T>{};
}

// The share of a state that stays as it was.
template <typename T>
SEQLOOM_INLINE Vec<T> kept_share(const Scan<T>& scan, int state, long index, int valid) noexcept {
    return scan.zone[state] != nullptr ? load_marks<T>(scan.zone[state] + index, valid) : splat(scan.rate[state]);
}

template <typename T>
inline bool has_zoneout(const Scan<T>& scan) noexcept {
    return scan.zone[0] != nullptr || scan.zone[1] != nullptr || scan.rate[0] != 0 || scan.rate[1] != 0;
}

}  // namespace seqloom::SEQLOOM_TARGET
