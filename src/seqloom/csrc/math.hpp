// sigmoid and tanh of a vector, within 3 units in the last place (ULP; a rounded exact result is within 1/2) for every
// float and every double.
//
// Both come from one reduction. With an integer n and w = tanh((x - n ln 2) / 2),
//
//     exp(x) = 2^n (1 + w) / (1 - w),
//
// and for the nearest n the argument of that tanh is at most (ln 2) / 4 = 0.173, so a short polynomial gives w. The
// quotient in exp is never taken: sigmoid and tanh are quotients themselves, and one division does for all. There are
// no branches and no tables, and the same source serves each target.
//
// Infinity gives the limit, NaN gives NaN, results below the normal range are rounded as the hardware rounds a
// quotient, and tanh keeps the sign of zero.
#pragma once

#include <array>
#include <type_traits>

#include "simd.hpp"

namespace seqloom::SEQLOOM_TARGET {

// V is Vec<float> or Vec<double> throughout.
template <typename V>
using ElementOf = std::remove_cvref_t<decltype(V{}[0])>;
template <typename V>
using BitsOf = Vec<std::make_unsigned_t<Integer<ElementOf<V>>>>;

inline constexpr bool fused = vector_bytes > 16;  // whether fma() rounds once

// tanh_series: h of tanh(y) = y (1 + y^2 h(y^2)), lowest power first. Found by a Remez exchange in 60 digits that makes
// the largest relative error on 0 < y <= (1 + 1/1024) (ln 2) / 4 least, then rounded. That error is 5.6e-8 in float and
// 4.9e-18 in double; it shows undiminished only in tanh where n = 0, and there little else is lost.
template <typename T>
struct Constants;

template <>
struct Constants<float> {
    static constexpr int fraction_bits = 23;
    static constexpr std::array tanh_series{-0x1.554fecp-2f, 0x1.0c804ep-3f};
    // ln 2 in two parts (Cody & Waite 1980): n times the first is exact for all n that occur.
    static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
    // From these on the rounded result is the limit: 0, 1, and 1 or -1.
    static constexpr float sigmoid_low = -104, sigmoid_high = 18, tanh_high = 9.02f;
    static constexpr float unit = 0x1p-64f;
};

template <>
struct Constants<double> {
    static constexpr int fraction_bits = 52;
    static constexpr std::array tanh_series{-0x1.55555555554bbp-2, 0x1.11111110e06e4p-3,  -0x1.ba1ba1163e120p-5,
                                            0x1.664ec9806f5bdp-6,  -0x1.223c5b772ed28p-7, 0x1.c37ed389c4b66p-9};
    static constexpr double ln2_high = 0x1.62e42fefap-1, ln2_low = 0x1.cf79abc9e3b3ap-40;
    static constexpr double sigmoid_low = -746, sigmoid_high = 38, tanh_high = 19.1;
    static constexpr double unit = 0x1p-128;
};

inline constexpr double log2_e = 0x1.71547652b82fep0, ln_2 = 0x1.62e42fefa39efp-1;

// low and high where x lies beyond them; NaN stays NaN. The instructions give their second operand where one is NaN;
// masked, as GCC 12 warns of its own header otherwise.
template <typename V>
SEQLOOM_INLINE V clamped(V x, ElementOf<V> low, ElementOf<V> high) noexcept {
    const V least = splat(low), most = splat(high);
    [[maybe_unused]] constexpr bool single = std::is_same_v<V, Vec<float>>;
#if defined(__AVX512F__)
    if constexpr (single) {
        x = (V)_mm512_maskz_max_ps((__mmask16)-1, (__m512)least, (__m512)x);
        return (V)_mm512_maskz_min_ps((__mmask16)-1, (__m512)most, (__m512)x);
    } else {
        x = (V)_mm512_maskz_max_pd((__mmask8)-1, (__m512d)least, (__m512d)x);
        return (V)_mm512_maskz_min_pd((__mmask8)-1, (__m512d)most, (__m512d)x);
    }
#elif defined(__AVX2__)
    if constexpr (single) return (V)_mm256_min_ps((__m256)most, _mm256_max_ps((__m256)least, (__m256)x));
    else return (V)_mm256_min_pd((__m256d)most, _mm256_max_pd((__m256d)least, (__m256d)x));
#else
    x = least > x ? least : x;
    return most < x ? most : x;
#endif
}

// The integer nearest to x * factor, twice: as a number, and in the lowest bits of `bits` in two's complement.
template <typename V>
struct Nearest {
    V number;
    BitsOf<V> bits;
};

template <typename V>
SEQLOOM_INLINE Nearest<V> nearest(V x, double factor) noexcept {
    using T = ElementOf<V>;
    // The spacing of the numbers about it is 1, so adding it rounds.
    constexpr T large = T(1.5) * T(std::uint64_t{1} << Constants<T>::fraction_bits);
    const V sum = fma(x, splat(static_cast<T>(factor)), splat(large));
    return {sum - large, (BitsOf<V>)sum};
}

// x * 2^n, for results in the normal range.
template <typename V>
SEQLOOM_INLINE V scaled(V x, const Nearest<V>& n) noexcept {
    return (V)((BitsOf<V>)x + (n.bits << Constants<ElementOf<V>>::fraction_bits));
}

// The coefficients of an odd series for value * tanh(argument * y) out of those for tanh(y), from the power 3 up.
template <typename T, std::size_t N>
constexpr std::array<T, N> rescaled(std::array<T, N> series, T argument, T value) noexcept {
    T factor = value * argument * argument * argument;
    for (auto& each : series) {
        each *= factor;
        factor *= argument * argument;
    }
    return series;
}

template <typename V, std::size_t N>
SEQLOOM_INLINE V polynomial(V x, const std::array<ElementOf<V>, N>& coefficients) noexcept {
    V sum = splat(coefficients[N - 1]);
    unroll<N - 1>([&](auto i) SEQLOOM_INLINE_LAMBDA { sum = fma(sum, x, splat(coefficients[N - 2 - i])); });
    return sum;
}

// 1 / (1 + exp(-x)) = (1 + w) / ((1 + w) + 2^n (1 - w)) with n nearest to -x / ln 2 and w = tanh((x + n ln 2) / 2).
// All of it is multiplied by `unit`, which keeps the exponents in range: n runs up to 150 in float, 1076 in double.
template <typename V>
SEQLOOM_INLINE V sigmoid(V x) noexcept {
    using T = ElementOf<V>;
    using C = Constants<T>;
    constexpr auto series = rescaled(C::tanh_series, T(0.5), C::unit);
    x = clamped(x, C::sigmoid_low, C::sigmoid_high);
    const auto n = nearest(x, -log2_e);
    const V r = fma(n.number, splat(C::ln2_low), fma(n.number, splat(C::ln2_high), x));
    const V square = r * r;
    const V w_by_r = fma(square, polynomial(square, series), splat(C::unit / 2));
    const V plus = fma(r, w_by_r, splat(C::unit)), minus = fma(-r, w_by_r, splat(C::unit));
    return plus / (plus + scaled(minus, n));
}

// With s = 2^n, n nearest to 2 x / ln 2, and w = tanh(x - n (ln 2) / 2), by the addition theorem
// tanh(x) = ((s - 1) + (s + 1) w) / ((s + 1) + (s - 1) w), exact in s - 1 where x is small.
template <typename V>
SEQLOOM_INLINE V tanh(V x) noexcept {
    using T = ElementOf<V>;
    using C = Constants<T>;
    constexpr auto series = C::tanh_series;
    x = clamped(x, -C::tanh_high, C::tanh_high);
    const auto n = nearest(x, 2 * log2_e);
    V y;  // n is small: where fma rounds once, one part of ln 2 will do
    if constexpr (fused) y = fma(n.number, splat(static_cast<T>(-ln_2 / 2)), x);
    else y = fma(n.number, splat(-C::ln2_low / 2), fma(n.number, splat(-C::ln2_high / 2), x));
    const V square = y * y;
    const V w = y * fma(square, polynomial(square, series), splat(T{1}));  // -0 where y is -0
    const V s = scaled(splat(T{1}), n);
    const V more = s + T{1}, less = T{1} - s;  // less is +0 where n = 0, and -less keeps w's sign there: tanh(-0) is -0
    return fma(more, w, -less) / fma(less, -w, more);
}

}  // namespace seqloom::SEQLOOM_TARGET
