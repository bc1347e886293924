#include "memory.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include <pthread.h>
#include <sys/mman.h>

#include "threads.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SEQLOOM_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define SEQLOOM_ADDRESS_SANITIZER 1
#endif
#ifdef SEQLOOM_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace seqloom {
namespace {

constexpr std::size_t line = 64;
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr std::size_t largest = std::size_t{1} << 46;  // more than any machine has

// --- size classes ----------------------------------------------------------------------------------------------------

// Multiples of 64 bytes up to 1024, then 8 classes to each doubling.
constexpr int classes = 330;
constexpr int two_octaves = 16;  // so many classes higher is 4 times as large
constexpr int guarded = -1;      // the class of blocks between guard bytes, which the pool does not know

constexpr int class_of(std::size_t bytes) noexcept {
    const int step = std::max(static_cast<int>(std::bit_width(bytes - 1)) - 4, 6);  // log2 of the distance of classes
    const auto steps = (bytes + (std::size_t{1} << step) - 1) >> step;
    return (step - 6) * 8 + static_cast<int>(steps) - 1;
}

constexpr std::size_t size_of(int size_class) noexcept {
    const int step = std::max((size_class - 8) / 8, 0);
    return static_cast<std::size_t>(size_class + 1 - step * 8) << (step + 6);
}

static_assert(class_of(1) == 0 && size_of(0) == 64 && class_of(65) == 1 && class_of(1024) == 15);
static_assert(size_of(15) == 1024 && class_of(1025) == 16 && size_of(16) == 1152 && size_of(class_of(2049)) == 2304);
static_assert(class_of(largest) < classes && size_of(class_of(huge_page)) == huge_page);

// --- the system ------------------------------------------------------------------------------------------------------

// Null where there is no more. From 2 MiB on it comes in huge pages, which take a fault for 512 small ones.
std::byte* from_system(std::size_t size) noexcept {
    if (size < huge_page) {
        return static_cast<std::byte*>(::operator new(size, std::align_val_t{line}, std::nothrow));
    }
    void* const mapped = mmap(nullptr, size + huge_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return nullptr;
    auto* const from = static_cast<std::byte*>(mapped);
    const auto before = (huge_page - reinterpret_cast<std::uintptr_t>(from) % huge_page) % huge_page;
    if (before != 0) munmap(from, before);
    munmap(from + before + size, huge_page - before);
#ifdef MADV_HUGEPAGE
    madvise(from + before, size, MADV_HUGEPAGE);  // where it is refused, small pages do
#endif
    return from + before;
}

void to_system(std::byte* memory, std::size_t size) noexcept {
    if (size < huge_page) {
        ::operator delete(memory, std::align_val_t{line});
    } else {
        munmap(memory, size);
    }
}

// Under AddressSanitizer only the first `size` bytes of a block may be touched, and no more than its first line when it
// lies unused.
void allow([[maybe_unused]] std::byte* memory, [[maybe_unused]] std::size_t size,
           [[maybe_unused]] std::size_t whole) noexcept {
#ifdef SEQLOOM_ADDRESS_SANITIZER
    ASAN_UNPOISON_MEMORY_REGION(memory, whole);
    ASAN_POISON_MEMORY_REGION(memory + size, whole - size);
#endif
}

// --- the pool --------------------------------------------------------------------------------------------------------

// What is written at the beginning of an unused block.
struct Unused {
    Unused* next;
    int size_class;
};

void give_back(Unused* chain) noexcept {
    while (chain != nullptr) {
        Unused* const next = chain->next;
        const auto size = size_of(chain->size_class);
        auto* const memory = reinterpret_cast<std::byte*>(chain);
        allow(memory, size, size);
        to_system(memory, size);
        chain = next;
    }
}

class Pool {
public:
    // An unused block for a request of this class, and its own class in its place; or null: then one of the system's is
    // to be used, and counts already. `excess` is what must go back to the system.
    std::byte* take(int& size_class, Unused*& excess) noexcept {
        const std::lock_guard lock(lock_);
        const bool full = used_ + unused_ + size_of(size_class) > limit();
        if (full && shelves_[index(size_class)].top == nullptr) size_class = larger_there(size_class);
        Unused* const block = shelves_[index(size_class)].top != nullptr ? remove(size_class) : nullptr;
        count(size_class);
        excess = shrink();
        return reinterpret_cast<std::byte*>(block);
    }

    // Takes back a block, and returns what must go back to the system.
    Unused* put(std::byte* memory, int size_class) noexcept {
        const std::lock_guard lock(lock_);
        Shelf& shelf = shelves_[index(size_class)];
        shelf.top = new (memory) Unused{shelf.top, size_class};
        shelf.touched = ++clock_;
        used_ -= size_of(size_class);
        unused_ += size_of(size_class);
        return shrink();
    }

    // After `take`, where the system had no memory. As there is so little, no more is kept than is used now.
    void not_taken(int size_class) noexcept {
        const std::lock_guard lock(lock_);
        used_ -= size_of(size_class);
        peak_ = peak_before_ = used_;
    }

    Unused* take_all() noexcept {
        const std::lock_guard lock(lock_);
        return shrink_to(0);
    }

    Usage usage() noexcept {
        const std::lock_guard lock(lock_);
        return {used_, unused_};
    }

    void lock() noexcept { lock_.lock(); }
    void unlock() noexcept { lock_.unlock(); }

private:
    struct Shelf {
        Unused* top = nullptr;
        std::uint64_t touched = 0;  // when a block was last put here
    };

    static constexpr std::size_t always_kept = std::size_t{64} << 20;
    static constexpr int period = 1024;  // calls of acquire

    static constexpr std::size_t index(int size_class) noexcept { return static_cast<std::size_t>(size_class); }

    // What may be used and unused together, by the most that was used at once in this period and the one before.
    std::size_t limit() const noexcept { return std::max(peak_, peak_before_) + always_kept; }

    void count(int size_class) noexcept {
        if (++taken_ == period) {
            taken_ = 0;
            peak_before_ = peak_;
            peak_ = 0;
        }
        used_ += size_of(size_class);
        peak_ = std::max(peak_, used_);
    }

    // The next class of which a block is there, up to 4 times as large; the one given if there is none.
    int larger_there(int size_class) const noexcept {
        const int highest = std::min(size_class + two_octaves, classes - 1);
        for (int larger = size_class + 1; larger <= highest; ++larger) {
            if (shelves_[index(larger)].top != nullptr) return larger;
        }
        return size_class;
    }

    // Takes a block from its shelf, which must have one.
    Unused* remove(int size_class) noexcept {
        Shelf& shelf = shelves_[index(size_class)];
        unused_ -= size_of(size_class);
        return std::exchange(shelf.top, shelf.top->next);
    }

    Unused* shrink() noexcept { return used_ + unused_ > limit() ? shrink_to(limit() - used_) : nullptr; }

    // Takes out what lay unused the longest until no more than this is left.
    Unused* shrink_to(std::size_t unused) noexcept {
        Unused* chain = nullptr;
        while (unused_ > unused) {
            int oldest = -1;
            for (int each = 0; each < classes; ++each) {
                const Shelf& shelf = shelves_[index(each)];
                if (shelf.top == nullptr) continue;
                if (oldest < 0 || shelf.touched < shelves_[index(oldest)].touched) oldest = each;
            }
            Unused* const block = remove(oldest);
            block->next = chain;
            chain = block;
        }
        return chain;
    }

    SpinLock lock_;  // guards all below
    std::array<Shelf, classes> shelves_{};
    std::uint64_t clock_ = 0;
    std::size_t used_ = 0, unused_ = 0;
    std::size_t peak_ = 0, peak_before_ = 0;
    int taken_ = 0;  // in this period
};

// There before anything runs and until the very end, so that a block may die at any time.
constinit Pool pool;

// The forked child has only the thread that forked: it must not find the lock held by another one.
[[maybe_unused]] const int registered =
    pthread_atfork([] { pool.lock(); }, [] { pool.unlock(); }, [] { pool.unlock(); });

// --- guards ----------------------------------------------------------------------------------------------------------

constinit std::atomic<bool> guarding{false};
constinit std::atomic<std::size_t> broken{0};

constexpr std::size_t guard_size = 256;
constexpr unsigned char guard_byte = 0xA5, fill_byte = 0xFF;

std::size_t alignment_of(std::size_t bytes) noexcept { return bytes < huge_page ? line : huge_page; }

// Where the block begins in its memory: at an aligned place with room for the guard before it.
std::size_t offset_of(std::size_t bytes) noexcept { return std::max(alignment_of(bytes), guard_size); }

std::byte* acquire_guarded(std::size_t bytes) {
    const auto offset = offset_of(bytes);
    void* const memory = ::operator new(offset + bytes + guard_size, std::align_val_t{alignment_of(bytes)});
    auto* const data = static_cast<std::byte*>(memory) + offset;
    std::memset(data - guard_size, guard_byte, guard_size);
    std::memset(data, fill_byte, bytes);
    std::memset(data + bytes, guard_byte, guard_size);
    return data;
}

void release_guarded(std::byte* data, std::size_t bytes) noexcept {
    const auto intact = [](const std::byte* from) {
        return std::all_of(from, from + guard_size, [](std::byte each) { return each == std::byte{guard_byte}; });
    };
    if (!intact(data - guard_size) || !intact(data + bytes)) broken.fetch_add(1, std::memory_order_relaxed);
    ::operator delete(data - offset_of(bytes), std::align_val_t{alignment_of(bytes)});
}

}  // namespace

Block acquire(std::size_t bytes) {
    if (bytes == 0) return {};
    if (bytes > largest) throw std::bad_alloc();
    if (guarding.load(std::memory_order_relaxed)) return {acquire_guarded(bytes), bytes, guarded};

    int size_class = class_of(bytes);
    Unused* excess = nullptr;
    std::byte* memory = pool.take(size_class, excess);
    give_back(excess);
    if (memory == nullptr) memory = from_system(size_of(size_class));
    if (memory == nullptr) {
        release_cached();
        memory = from_system(size_of(size_class));
    }
    if (memory == nullptr) {
        pool.not_taken(size_class);
        throw std::bad_alloc();
    }
    allow(memory, bytes, size_of(size_class));
    return {memory, bytes, size_class};
}

Block::~Block() {
    if (data_ == nullptr) return;
    if (size_class_ == guarded) {
        release_guarded(data_, size_);
        return;
    }
    allow(data_, std::min(line, size_of(size_class_)), size_of(size_class_));
    give_back(pool.put(data_, size_class_));
}

void release_cached() noexcept { give_back(pool.take_all()); }

Usage usage() noexcept { return pool.usage(); }

void guard(bool on) noexcept { guarding.store(on, std::memory_order_relaxed); }

std::size_t broken_guards() noexcept { return broken.load(std::memory_order_relaxed); }

}  // namespace seqloom
