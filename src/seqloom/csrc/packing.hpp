// How weights get where layout.hpp has them: once for each change, as by an optimizer's step. They come from memory that
// is in no near cache, so each thread asks for what it reads next, and several threads share the work.
#pragma once

#include <array>
#include <atomic>
#include <limits>

#include "team.hpp"

namespace seqloom::SEQLOOM_TARGET {

// From so many weights on it is worth to call a thread, and to ask for them ahead: 15 microseconds of one thread where
// they are in a cache.
inline constexpr long many_weights = 1 << 16;

inline int packing_threads(int threads, long weights) noexcept {
    return static_cast<int>(std::clamp(weights / many_weights, 1L, static_cast<long>(std::max(threads, 1))));
}

// The row of weights that each lane of a panel's vector stands for; -1: none.
template <typename Real>
using Places = std::array<long, lanes<Real>>;

// panel[d * stride + lane] = unit d of row places[lane] of `weights`, whose rows have `count` numbers; zero where there
// is none. The rows of `next` are asked for: they are read after them. The result is zero if all of them are finite.
template <class P>
inline Vec<typename P::Real> pack_transposed(const typename P::Real* weights, long count,
                                             const Places<typename P::Real>& places,
                                             const Places<typename P::Real>& next, typename P::Unit* panel,
                                             long stride) noexcept {
    using Unit = typename P::Unit;
    constexpr int width = lanes<typename P::Real>;
    const long depth = depth_of<P>(count);
    Vec<typename P::Real> check{};
    for (long d = 0; d < depth; d += width) {
        const long first = d * P::per_unit;
        Vec<Unit> square[width];
        for (std::size_t r = 0; r < width; ++r) {
            for (int n = 0; next[r] >= 0 && n < P::per_unit; ++n)
                fetch_far(weights + next[r] * count + first + n * width);
            square[r] =
                places[r] < 0 ? Vec<Unit>{} : load_units<P>(weights + places[r] * count + first, count - first);
            check = P::add_zeros(square[r], check);
        }
        transpose<Unit>(square);
        for (int n = 0; n < width && d + n < depth; ++n)
            std::memcpy(panel + (d + n) * stride, &square[n], sizeof square[n]);
    }
    return check;
}

template <typename Real>
SEQLOOM_INLINE bool all_zero(Vec<Real> v) noexcept {
    for (int n = 0; n < lanes<Real>; ++n) {
        if (!(v[n] == 0)) return false;
    }
    return true;
}

template <class Cell, class P>
class ForwardPacking {
public:
    using Real = typename P::Real;
    using Unit = typename P::Unit;

    ForwardPacking(Sizes sizes, const Weights<Real>& weights, std::byte* packed) noexcept
        : sizes_(sizes), layout_(sizes), weights_(weights), packed_(packed) {}

    void run(int threads) noexcept {
        auto* extra = const_cast<Real*>(layout_.extra_bias(packed_));
        for (long unit = 0; unit < layout_.blocks * width; ++unit) {
            const bool none = apart < 0 || unit >= sizes_.hidden;
            extra[unit] = none ? Real{} : of(weights_.hidden_bias, apart * sizes_.hidden + unit);
        }
        const long weights = layout_.row * (sizes_.inputs + sizes_.hidden);
        run_team(packing_threads(threads, weights), [&](int member, int members) noexcept {
            const Share share(layout_.row / width, member, members);
            Places<Real> places = places_of(share.first);
            for (long vector = share.first; vector < share.last; ++vector) {
                const Places<Real> next = places_of(vector + 1);
                pack(vector, places, weights >= many_weights ? next : nowhere());
                places = next;
            }
        });
        const Real check = finite_.load(std::memory_order_relaxed) ? 0 : std::numeric_limits<Real>::quiet_NaN();
        store(const_cast<Real*>(layout_.zero_if_finite(packed_)), splat(check));
    }

private:
    static constexpr int width = lanes<Real>, gates = Cell::gates, apart = Cell::gate_with_extra_bias;
    static constexpr int full_panel = Layout<Cell, P>::panel_blocks * gates;

    static Real of(const Real* biases, long place) noexcept { return biases == nullptr ? Real{} : biases[place]; }

    static Places<Real> nowhere() noexcept {
        Places<Real> places;
        places.fill(-1);
        return places;
    }
    // None behind the last vector.
    Places<Real> places_of(long vector) const noexcept {
        Places<Real> places = nowhere();
        if (vector == layout_.row / width) return places;
        for (std::size_t lane = 0; lane < width; ++lane)
            places[lane] = layout_.place(vector * width + static_cast<long>(lane));
        return places;
    }

    void pack(long vector, const Places<Real>& places, const Places<Real>& next) noexcept {
        Real* bias = const_cast<Real*>(layout_.bias(packed_)) + vector * width;
        for (const long place : places) {
            Real sum{};
            if (place >= 0) sum = of(weights_.input_bias, place);
            if (place >= 0 && place / sizes_.hidden != apart) sum += of(weights_.hidden_bias, place);
            *bias++ = sum;
        }
        const long panel = vector / full_panel, column = (vector - panel * full_panel) * width;
        const long stride = layout_.panel_vectors(panel) * width;
        pack_transposed<P>(weights_.input, sizes_.inputs, places, next,
                           const_cast<Unit*>(layout_.input_panel(packed_, panel)) + column, stride);
        const auto check = pack_transposed<P>(weights_.hidden, sizes_.hidden, places, next,
                                              const_cast<Unit*>(layout_.hidden_panel(packed_, panel)) + column, stride);
        if (!all_zero<Real>(check)) finite_.store(false, std::memory_order_relaxed);
    }

    Sizes sizes_;
    Layout<Cell, P> layout_;
    const Weights<Real>& weights_;
    std::byte* packed_;
    std::atomic<bool> finite_{true};  // all hidden weights
};

template <class Cell, class P>
void pack_forward(Sizes sizes, const Weights<typename P::Real>& weights, int threads, std::byte* packed) noexcept {
    ForwardPacking<Cell, P>(sizes, weights, packed).run(threads);
}

// Units of rows of gates beside columns: for each unit of gates in the share, in the order of a row of gates, all
// columns. What is read `ahead` units later is asked for; 0: nothing is.
template <class Cell, class P>
void pack_columns(const Layout<Cell, P>& layout, Share share, long ahead, const typename P::Real* weights,
                  long columns, typename P::Unit* packed) noexcept {
    using Real = typename P::Real;
    constexpr int width = Layout<Cell, P>::width;
    const long blocks = divided_up(columns, width);
    const auto row = [&](long number) {
        const long place = number < layout.gate_depth * P::per_unit ? layout.place(number) : -1;
        return place < 0 ? nullptr : weights + place * columns;
    };
    for (long d = share.first; d < share.last; ++d) {
        const Real *rows[P::per_unit], *next[P::per_unit];
        for (int n = 0; n < P::per_unit; ++n) {
            rows[n] = row(d * P::per_unit + n);
            next[n] = ahead == 0 ? nullptr : row((d + ahead) * P::per_unit + n);
        }
        for (long column = 0; column < blocks; ++column) {
            const long panel = column / column_vectors, vectors = layout.column_panel_vectors(blocks, panel);
            auto* to = packed + panel * column_vectors * width * layout.gate_depth +
                       (d * vectors + column % column_vectors) * width;
            const int count = static_cast<int>(std::min<long>(width, columns - column * width));
            const auto part = [&](int n) {
                if (next[n] != nullptr) fetch_far(next[n] + column * width);
                return rows[n] == nullptr ? Vec<Real>{} : load_part(rows[n] + column * width, count);
            };
            if constexpr (P::per_unit == 1) {
                store(to, P::single(part(0)));
            } else {
                store(to, P::zipped(part(0), part(1)));
            }
        }
    }
}

template <class Cell, class P>
void pack_backward(Sizes sizes, const Weights<typename P::Real>& weights, int threads, std::byte* packed) noexcept {
    using Unit = typename P::Unit;
    const Layout<Cell, P> layout(sizes);
    const long all = layout.row * (sizes.inputs + sizes.hidden), ahead = all >= many_weights ? 16 : 0;
    run_team(packing_threads(threads, all), [&](int member, int members) noexcept {
        const Share share(layout.gate_depth, member, members);
        auto *hidden = const_cast<Unit*>(layout.hidden_columns(packed, 0)),
             *input = const_cast<Unit*>(layout.input_columns(packed, 0));
        pack_columns(layout, share, ahead, weights.hidden, sizes.hidden, hidden);
        pack_columns(layout, share, ahead, weights.input, sizes.inputs, input);
    });
}

}  // namespace seqloom::SEQLOOM_TARGET
