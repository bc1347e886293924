// One vector register of the target this file is compiled for, so that all kernels are written once.
//
// The build compiles each kernel file once for each target, with the target's flags and SEQLOOM_TARGET set to its name,
// which is also the namespace: nothing of one target is ever linked to another's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#ifndef SEQLOOM_TARGET
#error "SEQLOOM_TARGET must name the target that this file is compiled for"
#endif

#include "isa.hpp"

#define SEQLOOM_INLINE inline __attribute__((always_inline))
#define SEQLOOM_INLINE_LAMBDA __attribute__((always_inline))

namespace seqloom::SEQLOOM_TARGET {

inline constexpr Isa target = Isa::SEQLOOM_TARGET;

#if defined(__AVX512F__)
inline constexpr std::size_t vector_bytes = 64;
inline constexpr int registers = 32;
#elif defined(__AVX2__)
inline constexpr std::size_t vector_bytes = 32;
inline constexpr int registers = 16;
#else
inline constexpr std::size_t vector_bytes = 16;
inline constexpr int registers = 16;
#endif

// T is float or double. Arithmetic and comparison are the compiler's own (GCC's and Clang's vector extension); a
// comparison gives a vector of integers of the same width, all ones where true.
template <typename T>
struct VecOf {
    typedef T type __attribute__((vector_size(vector_bytes)));
};
template <typename T>
using Vec = typename VecOf<T>::type;
template <typename T>
inline constexpr int lanes = static_cast<int>(vector_bytes / sizeof(T));

template <typename T>
using Integer = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

template <typename T>
SEQLOOM_INLINE Vec<T> splat(T value) noexcept {
    return value - Vec<T>{};  // exact for every value, and no addition is left of it
}

// Calls body(integral_constant 0), ..., body(integral_constant N - 1) as straight code: GCC keeps arrays of vectors in
// registers only where no loop is left.
template <int N, typename Body>
SEQLOOM_INLINE void unroll(Body&& body) noexcept {
    [&]<int... n>(std::integer_sequence<int, n...>)
        SEQLOOM_INLINE_LAMBDA { (body(std::integral_constant<int, n>{}), ...); }(std::make_integer_sequence<int, N>{});
}

// All ones in the first `valid` lanes.
template <typename T>
SEQLOOM_INLINE auto valid_lanes(int valid) noexcept {
    Vec<Integer<T>> index;
    unroll<lanes<T>>([&](auto n) SEQLOOM_INLINE_LAMBDA {
        constexpr int lane = n;
        index[lane] = lane;
    });
    return index < (Vec<Integer<T>>{} + static_cast<Integer<T>>(valid));
}

// [lanes<T>] values at any alignment.
template <typename T>
SEQLOOM_INLINE Vec<T> load(const T* from) noexcept {
    Vec<T> v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

template <typename T>
SEQLOOM_INLINE void store(T* to, Vec<T> v) noexcept {
    std::memcpy(to, &v, sizeof v);
}

// A store past the caches, to memory aligned to a vector; others see it after stream_end().
template <typename T>
SEQLOOM_INLINE void stream(T* to, Vec<T> v) noexcept {
#if defined(__AVX512F__)
    _mm512_stream_si512((__m512i*)to, (__m512i)v);
#elif defined(__AVX2__)
    _mm256_stream_si256((__m256i*)to, (__m256i)v);
#else
    store(to, v);
#endif
}
SEQLOOM_INLINE void stream_end() noexcept {
#if defined(__AVX2__) || defined(__AVX512F__)
    _mm_sfence();
#endif
}

// Asks for memory of so many values that is read soon. Whoever calls it must be inlined, up to a function that writes:
// GCC takes one that only asks for one without an effect, and drops its call.
template <typename T>
SEQLOOM_INLINE void fetch(const T* from, long count) noexcept {
    constexpr long line = 64 / sizeof(T);
    for (long n = 0; n < count; n += line) __builtin_prefetch(from + n);
}

// Asks for one line for the second cache, as `fetch` does for the nearest one.
template <typename T>
SEQLOOM_INLINE void fetch_far(const T* from) noexcept {
    __builtin_prefetch(from, 0, 2);
}

// The first `count` values, 0 <= count <= lanes<T>; the others are zero, and their memory is not touched.
template <typename T>
SEQLOOM_INLINE Vec<T> load_part(const T* from, int count) noexcept {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) return (Vec<T>)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1u), from);
    else return (Vec<T>)_mm512_maskz_loadu_pd((__mmask8)((1u << count) - 1u), from);
#elif defined(__AVX2__)
    if constexpr (sizeof(T) == 4) return (Vec<T>)_mm256_maskload_ps((const float*)from, (__m256i)valid_lanes<T>(count));
    else return (Vec<T>)_mm256_maskload_pd((const double*)from, (__m256i)valid_lanes<T>(count));
#else
    Vec<T> v{};
    std::memcpy(&v, from, static_cast<std::size_t>(count) * sizeof(T));
    return v;
#endif
}

#if defined(__AVX512F__)
template <typename T>
SEQLOOM_INLINE void store_part(T* to, Vec<T> v, int count) noexcept {
    if constexpr (sizeof(T) == 4) _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1u), (__m512)v);
    else _mm512_mask_storeu_pd(to, (__mmask8)((1u << count) - 1u), (__m512d)v);
}
#elif defined(__AVX2__)
// Halves of what is left, each a store of its own: a masked one takes tens of cycles on some processors.
__attribute__((noinline)) inline void store_bytes(char* to, __m256 v, std::size_t bytes) noexcept {
    __m128 rest = _mm256_castps256_ps128(v);
    if ((bytes & 16) != 0) {
        std::memcpy(to, &rest, 16);
        rest = _mm256_extractf128_ps(v, 1);
    }
    to += bytes & 16;
    if ((bytes & 8) != 0) {
        std::memcpy(to, &rest, 8);
        rest = _mm_movehl_ps(rest, rest);
    }
    to += bytes & 8;
    if ((bytes & 4) != 0) std::memcpy(to, &rest, 4);
}

template <typename T>
SEQLOOM_INLINE void store_part(T* to, Vec<T> v, int count) noexcept {
    if (count == lanes<T>) store(to, v);
    else store_bytes(reinterpret_cast<char*>(to), (__m256)v, static_cast<std::size_t>(count) * sizeof(T));
}
#else
template <typename T>
SEQLOOM_INLINE void store_part(T* to, Vec<T> v, int count) noexcept {
    std::memcpy(to, &v, static_cast<std::size_t>(count) * sizeof(T));
}
#endif

// So many numbers. They are rows of some hundreds at most, and often of one: a call of memcpy would take longer.
template <typename T>
SEQLOOM_INLINE void copy(const T* from, long count, T* to) noexcept {
    for (; count >= lanes<T>; count -= lanes<T>, from += lanes<T>, to += lanes<T>) store(to, load(from));
    if (count > 0) store_part(to, load_part(from, static_cast<int>(count)), static_cast<int>(count));
}

// a * b + c, rounded once where the target can. V is Vec<float> or Vec<double>.
template <typename V>
SEQLOOM_INLINE V fma(V a, V b, V c) noexcept {
    [[maybe_unused]] constexpr bool single = std::is_same_v<V, Vec<float>>;
#if defined(__AVX512F__)
    if constexpr (single) return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
    else return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__AVX2__)
    if constexpr (single) return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
    else return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
    return a * b + c;
#endif
}

// c = fma(a, b, c), where b may be a vector in memory, in the order of these calls: the compiler neither copies c nor
// loads a and b when it is not told to, as it would in a loop that has just enough registers.
template <typename V, typename B>
SEQLOOM_INLINE void multiply_add_in_order(V a, B b, V& c) noexcept {
#if defined(__AVX2__) && !defined(__AVX512F__)
    constexpr bool single = std::is_same_v<V, Vec<float>>;
    if constexpr (std::is_same_v<V, B>) {
        if constexpr (single) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
        else __asm__ volatile("vfmadd231pd %2, %1, %0" : "+x"(c) : "x"(a), "x"(b));
    } else {
        typedef std::remove_cvref_t<decltype(*b)> InMemory
            __attribute__((vector_size(vector_bytes), aligned(sizeof *b), may_alias));
        const auto& vector = *reinterpret_cast<const InMemory*>(b);
        if constexpr (single) __asm__ volatile("vfmadd231ps %2, %1, %0" : "+x"(c) : "x"(a), "m"(vector));
        else __asm__ volatile("vfmadd231pd %2, %1, %0" : "+x"(c) : "x"(a), "m"(vector));
    }
#else
    if constexpr (std::is_same_v<V, B>) c = fma(a, b, c);
    else c = fma(a, load(b), c);
#endif
}

}  // namespace seqloom::SEQLOOM_TARGET
