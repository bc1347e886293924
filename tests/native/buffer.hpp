// Arrays as a careless caller might pass them: at the least alignment of their type, between guard bytes, full of NaN,
// with gaps between their rows.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "check.hpp"

#if UNDER_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

// `count` numbers. Under AddressSanitizer a touch of a guard byte ends the program; elsewhere intact() tells of writes.
template <typename T>
class Buffer {
public:
    // `alignment` is that of the array and not more: it begins one alignment after a 4 KiB page does.
    explicit Buffer(std::size_t count, std::size_t alignment = sizeof(T))
        : count_(count), memory_(new(std::align_val_t{page}) std::byte[page + alignment + size() + guard]),
          data_(reinterpret_cast<T*>(memory_.get() + page + alignment)) {
        std::memset(memory_.get(), guard_byte, page + alignment + size() + guard);
        if constexpr (std::is_floating_point_v<T>) {
            for (std::size_t n = 0; n < count; ++n) data_[n] = std::numeric_limits<T>::quiet_NaN();
        }
#if UNDER_ADDRESS_SANITIZER
        ASAN_POISON_MEMORY_REGION(memory_.get(), page + alignment);
        ASAN_POISON_MEMORY_REGION(data_ + count_, guard);
        ASAN_UNPOISON_MEMORY_REGION(data_, size());
#endif
    }

    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t count() const { return count_; }
    T& operator[](long index) { return data_[index]; }
    const T& operator[](long index) const { return data_[index]; }

    // Whether all guard bytes are as they were; call it when nobody uses the array any more.
    bool intact() const {
        const auto* first = reinterpret_cast<const std::byte*>(data_) - guard;
        const auto* last = reinterpret_cast<const std::byte*>(data_ + count_);
#if UNDER_ADDRESS_SANITIZER
        ASAN_UNPOISON_MEMORY_REGION(first, guard);
        ASAN_UNPOISON_MEMORY_REGION(last, guard);
#endif
        for (std::size_t n = 0; n < guard; ++n) {
            if (first[n] != std::byte{guard_byte} || last[n] != std::byte{guard_byte}) return false;
        }
        return true;
    }

private:
    static constexpr std::size_t page = 4096, guard = 256;
    static constexpr unsigned char guard_byte = 0xA5;

    struct Free {
        void operator()(std::byte* memory) const { ::operator delete[](memory, std::align_val_t{page}); }
    };

    std::size_t size() const { return count_ * sizeof(T); }

    std::size_t count_;
    std::unique_ptr<std::byte[], Free> memory_;
    T* data_;
};

// How an array [B, T, F] lies in memory. `repeated`: one line [F] stands for all.
enum class Order { rows_first, time_first, with_gaps, repeated };

// An array [B, T, F] of NaN.
template <typename T>
class SequenceBuffer {
public:
    SequenceBuffer(long batch, long time, long features, Order order)
        : batch_(batch), time_(time), features_(features), row_(row_stride(order)), time_stride_(time_stride(order)),
          buffer_(static_cast<std::size_t>((batch - 1) * row_ + (time - 1) * time_stride_ + features)),
          before_(buffer_.count()) {
        std::memcpy(before_.data(), buffer_.data(), before_.size() * sizeof(T));
    }

    long row() const { return row_; }
    long time() const { return time_stride_; }
    T* data() { return buffer_.data(); }
    T* at(long row, long time) { return buffer_.data() + row * row_ + time * time_stride_; }

    // Whether the gaps and all around are as they were.
    bool intact() {
        std::vector<bool> used(buffer_.count());
        for (long b = 0; b < batch_; ++b) {
            for (long t = 0; t < time_; ++t) {
                for (long f = 0; f < features_; ++f) used[static_cast<std::size_t>(at(b, t) + f - data())] = true;
            }
        }
        for (std::size_t n = 0; n < used.size(); ++n) {
            if (!used[n] && std::memcmp(buffer_.data() + n, &before_[n], sizeof(T)) != 0) return false;
        }
        return buffer_.intact();
    }

private:
    long row_stride(Order order) const {
        switch (order) {
            case Order::rows_first: return time_ * features_;
            case Order::time_first: return features_;
            case Order::with_gaps: return time_ * (features_ + 3) + 5;
            default: return 0;
        }
    }
    long time_stride(Order order) const {
        switch (order) {
            case Order::rows_first: return features_;
            case Order::time_first: return batch_ * features_;
            case Order::with_gaps: return features_ + 3;
            default: return 0;
        }
    }

    long batch_, time_, features_, row_, time_stride_;
    Buffer<T> buffer_;
    std::vector<T> before_;
};
