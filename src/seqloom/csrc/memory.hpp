// Memory for scratch and for what forward keeps for backward. It is used again and again: large memory fresh from the
// system costs a page fault for each of its pages, at every call.
#pragma once

#include <cstddef>
#include <utility>

namespace seqloom {

// Memory that its owner alone uses. May be passed on to another thread and freed there.
class Block {
public:
    // No memory: data() is null, size() is 0.
    Block() noexcept = default;

    Block(Block&& other) noexcept { swap(other); }

    Block& operator=(Block&& other) noexcept {
        Block(std::move(other)).swap(*this);
        return *this;
    }

    // Gives the memory back to the pool.
    ~Block();

    // The first byte, aligned to 64 bytes, or to 2 MiB if size() is at least that. Null if size() is 0. Valid as long
    // as this block, or the one it was moved to, lives.
    std::byte* data() const noexcept { return data_; }

    // The bytes that were asked for.
    std::size_t size() const noexcept { return size_; }

private:
    friend Block acquire(std::size_t bytes);

    Block(std::byte* data, std::size_t size, int size_class) noexcept
        : data_(data), size_(size), size_class_(size_class) {}

    void swap(Block& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(size_, other.size_);
        std::swap(size_class_, other.size_class_);
    }

    std::byte* data_ = nullptr;
    std::size_t size_ = 0;
    int size_class_ = 0;
};

// A block of so many bytes; its contents are undefined. No memory for 0 bytes. Throws std::bad_alloc where there is
// not so much, even after all unused memory has been given back.
//
// Sizes are rounded up by at most 1/8, or to a multiple of 64 bytes. What is used and what is kept unused are together
// at most 64 MiB more than the most that was used at once lately (in the last 1,024 to 2,048 calls). Beyond that an
// unused block of up to 4 times the size serves, so that batches of changing length share one; if there is none, what
// lay unused the longest goes back to the system.
//
// All functions are safe to call from several threads at once, and in a child process after fork.
Block acquire(std::size_t bytes);

// Gives all unused memory back to the system.
void release_cached() noexcept;

// Bytes as rounded up, of the whole process.
struct Usage {
    std::size_t used;    // in blocks that live
    std::size_t unused;  // kept for later ones
};
Usage usage() noexcept;

// For tests: as long as this is on, each block is fresh memory, filled with bytes 0xFF, which is NaN in every
// floating-point type, and lies between guard bytes that are checked when it is given back. Off at first.
void guard(bool on) noexcept;

// How many blocks have been given back with a guard byte changed, since the program began.
std::size_t broken_guards() noexcept;

}  // namespace seqloom
