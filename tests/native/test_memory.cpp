// Blocks: their place, their reuse, what the pool keeps, guards, threads and fork.
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <mutex>
#include <new>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "check.hpp"
#include "memory.hpp"

#if UNDER_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace {

using seqloom::acquire;
using seqloom::Block;
using seqloom::usage;

constexpr std::size_t kib = 1024, mib = 1024 * kib, always_kept = 64 * mib;

// Around every border there is: of classes, of lines, of huge pages.
const std::vector<std::size_t> sizes{1,       2,           63,      64,          65,      127,         128,     1000,
                                     1024,    1025,        1152,    1153,        4 * kib, 4 * kib + 1, 64 * kib - 1,
                                     64 * kib, 64 * kib + 1, mib,   2 * mib - 1, 2 * mib, 2 * mib + 1, 3 * mib + 7,
                                     5000000, 16 * mib};

bool aligned(const void* pointer, std::size_t to) { return reinterpret_cast<std::uintptr_t>(pointer) % to == 0; }

// A block full of its owner's sign, and the check that nobody else wrote to it.
struct Owned {
    Block block;
    unsigned char sign = 0;

    static Owned of(std::size_t bytes, unsigned char sign) {
        Owned owned{acquire(bytes), sign};
        std::memset(owned.block.data(), sign, bytes);
        return owned;
    }
    bool intact() const {
        for (std::size_t n = 0; n < block.size(); ++n) {
            if (block.data()[n] != std::byte{sign}) return false;
        }
        return true;
    }
};

template <typename Call>
bool throws_bad_alloc(Call&& call) {
    try {
        call();
    } catch (const std::bad_alloc&) {
        return true;
    }
    return false;
}

void acquire_often(std::size_t bytes, int count) {
    for (int n = 0; n < count; ++n) acquire(bytes);
}

// No trace of the tests before: nothing unused, and the most that was used lately is next to nothing.
void begin() {
    acquire_often(64, 3000);
    seqloom::release_cached();
    CHECK(usage().used == 0 && usage().unused == 0);
}

}  // namespace

TEST(blocks_are_aligned_and_writable) {
    begin();
    for (const std::size_t bytes : sizes) {
        const Block block = acquire(bytes);
        CHECK(block.size() == bytes);
        CHECK(aligned(block.data(), bytes >= 2 * mib ? 2 * mib : 64));
        std::memset(block.data(), 0x5A, bytes);
        CHECK(block.data()[0] == std::byte{0x5A} && block.data()[bytes - 1] == std::byte{0x5A});
    }
}

TEST(no_bytes_are_no_memory) {
    begin();
    const Block none = acquire(0), default_one;
    CHECK(none.data() == nullptr && none.size() == 0);
    CHECK(default_one.data() == nullptr && default_one.size() == 0);
    CHECK(usage().used == 0);
}

TEST(blocks_move) {
    begin();
    Block a = acquire(100), b = acquire(200);
    std::byte *const first = a.data(), *const second = b.data();
    CHECK(first != second);
    Block c = std::move(a);
    CHECK(c.data() == first && c.size() == 100 && a.data() == nullptr && a.size() == 0);
    c = std::move(b);
    CHECK(c.data() == second && c.size() == 200 && b.data() == nullptr);
    CHECK(usage().used == 256 && usage().unused == 128);
    Block& same = c;
    c = std::move(same);
    CHECK(c.data() == second && c.size() == 200);
    c = Block();
    CHECK(c.data() == nullptr && usage().used == 0);
}

TEST(sizes_are_rounded_up_by_an_eighth_at_most) {
    begin();
    std::mt19937_64 random(7);
    for (int n = 0; n < 3000; ++n) {
        seqloom::release_cached();  // else what is too large may be lent
        const std::size_t bytes = 1 + (random() >> (38 + random() % 25));
        const Block block = acquire(bytes);
        const std::size_t held = usage().used;
        CHECK(bytes <= held);
        CHECK(held < bytes + 64 || held <= bytes + bytes / 8);
    }
}

TEST(freed_memory_is_used_again) {
    begin();
    for (const std::size_t bytes : sizes) {
        std::byte* const before = acquire(bytes).data();
        const auto unused = usage().unused;
        CHECK(unused >= bytes);
        const Block block = acquire(bytes);
        CHECK(block.data() == before);
        CHECK(usage().unused + usage().used == unused);
    }
}

TEST(blocks_do_not_overlap) {
    begin();
    std::mt19937 random(11);
    std::vector<Owned> blocks;
    for (int n = 0; n < 4000; ++n) {
        if (blocks.size() < 40 || random() % 2 == 0) {
            const std::size_t bytes = 1 + random() % (random() % 50 == 0 ? 3 * mib : 3000);
            blocks.push_back(Owned::of(bytes, static_cast<unsigned char>(random())));
        } else {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            CHECK(blocks.back().intact());
            blocks.pop_back();
        }
    }
    for (const auto& each : blocks) CHECK(each.intact());
}

// Used and unused memory together are never more than the most that was used at once, and what is always kept.
TEST(the_pool_is_bounded_by_the_most_that_was_used) {
    begin();
    std::mt19937 random(13);
    std::vector<Block> blocks;
    std::size_t peak = 0, most = 0, acquired = 0;
    for (int n = 0; n < 900; ++n) {
        if (random() % 5 < 3) {
            blocks.push_back(acquire(1 + random() % (32 * mib)));
            acquired += blocks.back().size();
        }
        peak = std::max(peak, usage().used);
        if (blocks.size() > 10 || (!blocks.empty() && random() % 5 < 3)) {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            blocks.pop_back();
        }
        most = std::max(most, usage().used + usage().unused);
        CHECK(usage().used + usage().unused <= peak + always_kept);
    }
    CHECK(acquired > 3 * (peak + always_kept));  // so much has come and gone
    CHECK(most > peak + always_kept / 2);        // and much was kept
}

TEST(a_full_pool_lends_what_is_too_large) {
    begin();
    std::byte* const large = acquire(128 * mib).data();
    const Block middle = acquire(64 * mib);
    CHECK(usage().used == 64 * mib && usage().unused == 128 * mib);  // 192 of 128 + 64: full
    {
        const Block block = acquire(32 * mib);
        CHECK(block.data() == large && block.size() == 32 * mib);
        CHECK(usage().used == 192 * mib && usage().unused == 0);
    }
    CHECK(acquire(128 * mib).data() == large);
}

TEST(what_lay_unused_the_longest_goes_first) {
    begin();
    for (const std::size_t size : {20, 24, 18, 26}) acquire(size * mib);
    CHECK(usage().unused == 88 * mib);
    const Block block = acquire(4 * mib);  // 92 of 26 + 64, and nothing there is small enough to be lent
    CHECK(usage().unused == 68 * mib);
    const Block second = acquire(24 * mib), third = acquire(18 * mib), fourth = acquire(26 * mib);
    CHECK(usage().unused == 0 && usage().used == 72 * mib);
}

TEST(much_is_not_kept_for_ever) {
    begin();
    acquire(200 * mib);
    acquire_often(64, 900);
    CHECK(usage().unused > 200 * mib);
    acquire_often(64, 2048);
    CHECK(usage().unused <= always_kept);
}

TEST(all_that_is_unused_can_be_given_back) {
    begin();
    const Owned kept = Owned::of(5 * mib, 0x11);
    acquire(3 * mib);
    acquire(300);
    CHECK(usage().unused > 3 * mib);
    seqloom::release_cached();
    CHECK(usage().unused == 0 && usage().used == 5 * mib);
    CHECK(kept.intact());
}

TEST(too_much_is_refused) {
    begin();
    constexpr std::size_t one = 1;
    for (const auto bytes : {std::numeric_limits<std::size_t>::max(), one << 63, (one << 46) + 1}) {
        CHECK(throws_bad_alloc([&] { acquire(bytes); }));
    }
    CHECK(usage().used == 0);
}

#ifdef __linux__
// Under AddressSanitizer and ThreadSanitizer the address space is not ours to bound.
TEST(memory_that_runs_out_is_told_and_not_counted) {
    if (UNDER_ADDRESS_SANITIZER || UNDER_THREAD_SANITIZER) return;
    begin();
    acquire(60 * mib);
    CHECK(test::passes_in_child([] {
        std::size_t pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        const rlim_t limit = pages * static_cast<std::size_t>(getpagesize()) + 100 * mib;
        const rlimit limits{limit, limit};
        CHECK(setrlimit(RLIMIT_AS, &limits) == 0);
        CHECK(throws_bad_alloc([] { acquire(200 * mib); }));
        CHECK(usage().used == 0 && usage().unused == 0);
        const Owned block = Owned::of(128 * mib, 0x22);  // there is room for it because nothing is kept
        CHECK(block.intact());
        CHECK(throws_bad_alloc([] { acquire(60 * mib); }));
        CHECK(usage().used == 128 * mib && block.intact());
    }));
}
#endif

TEST(threads_share_and_pass_on) {
    begin();
    std::mutex lock;
    std::vector<Owned> passed;  // from any thread to any other
    std::array<std::thread, 4> threads;
    for (unsigned who = 0; who < threads.size(); ++who) {
        threads[who] = std::thread([&, who] {
            std::mt19937 random(who);
            for (int n = 0; n < 1500; ++n) {
                const std::size_t bytes = 1 + random() % (random() % 40 == 0 ? 300 * kib : 500);
                Owned mine = Owned::of(bytes, static_cast<unsigned char>(random()));
                Owned other;
                {
                    const std::lock_guard inside(lock);
                    passed.push_back(std::move(mine));
                    std::swap(passed[random() % passed.size()], passed.back());
                    if (passed.size() > 20) {
                        other = std::move(passed.back());
                        passed.pop_back();
                    }
                }
                CHECK(other.intact());
                if (n % 500 == 0) seqloom::release_cached();
            }
        });
    }
    for (auto& each : threads) each.join();
    for (const auto& each : passed) CHECK(each.intact());
    passed.clear();
    CHECK(usage().used == 0);
}

TEST(a_forked_child_may_use_the_pool) {
    begin();
    const Owned inherited = Owned::of(70000, 0x33);
    acquire(1000);
    std::atomic<bool> done{false};
    // Holds the lock as often as it can, and asks the system for nothing: malloc may not be safe to fork from.
    std::thread other([&] {
        while (!done) acquire(1000);
    });
    for (int n = 0; n < 100; ++n) {
        CHECK(test::passes_in_child([&] {
            CHECK(inherited.intact());
            const Owned small = Owned::of(1000, 0x44), large = Owned::of(3 * mib, 0x55);
            CHECK(small.intact() && large.intact());
            std::thread([] { CHECK(Owned::of(5000, 0x66).intact()); }).join();
        }));
    }
    done = true;
    other.join();
    CHECK(inherited.intact());
}

TEST(guarded_blocks_are_full_of_nan) {
    begin();
    seqloom::guard(true);
    for (const std::size_t bytes : sizes) {
        const Block block = acquire(bytes);
        CHECK(block.size() == bytes && aligned(block.data(), bytes >= 2 * mib ? 2 * mib : 64));
        float number;
        for (std::size_t n = 0; n + sizeof number <= bytes; n += sizeof number) {
            std::memcpy(&number, block.data() + n, sizeof number);
            CHECK(std::isnan(number));
        }
        std::memset(block.data(), 0, bytes);
    }
    seqloom::guard(false);
    CHECK(seqloom::broken_guards() == 0);
    CHECK(usage().used == 0 && usage().unused == 0);
}

TEST(damage_around_a_block_is_counted) {
    seqloom::guard(true);
    auto expected = seqloom::broken_guards();
    for (const std::size_t bytes : sizes) {
        const auto end = static_cast<std::ptrdiff_t>(bytes);
        for (const std::ptrdiff_t where : {std::ptrdiff_t{-1}, std::ptrdiff_t{-200}, end, end + 200}) {
            Block block = acquire(bytes);
            block.data()[where] = std::byte{0};
            block = Block();
            CHECK(seqloom::broken_guards() == ++expected);
        }
    }
    Block late = acquire(100);  // checked when it comes back, whatever the mode is then
    seqloom::guard(false);
    late.data()[100] = std::byte{0};
    late = Block();
    CHECK(seqloom::broken_guards() == expected + 1);
}

#if UNDER_ADDRESS_SANITIZER
TEST(the_sanitizer_knows_what_belongs_to_a_block) {
    begin();
    for (const std::size_t bytes : sizes) {
        const std::byte* data;
        {
            const Block block = acquire(bytes);
            data = block.data();
            CHECK(__asan_region_is_poisoned(block.data(), bytes) == nullptr);
            const bool whole = usage().used == bytes;  // then the next byte is not the pool's
            CHECK(whole || __asan_address_is_poisoned(data + bytes));
        }
        CHECK(bytes < 65 || __asan_address_is_poisoned(data + bytes - 1));
    }
}
#endif
