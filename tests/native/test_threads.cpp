// Teams, on the pool of our own and on the OpenMP runtime of a library that passes for torch; barriers and locks.
#include <dlfcn.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#include "check.hpp"
#include "threads.hpp"

namespace {

using seqloom::run_team;

// --- what must hold on any pool --------------------------------------------------------------------------------------

constexpr int most = 8;  // more than there are cores on a small machine

void check_members_are_called_once(int wanted) {
    std::array<std::atomic<int>, most> calls{};
    std::atomic<int> size{0};
    const auto caller = std::this_thread::get_id();
    run_team(wanted, [&](int member, int members) noexcept {
        CHECK(0 <= member && member < members);
        CHECK((member == 0) == (std::this_thread::get_id() == caller));
        calls[static_cast<std::size_t>(member)].fetch_add(1);
        size.store(members);
    });
    CHECK(1 <= size && size <= std::max(wanted, 1));
    for (int member = 0; member < most; ++member) {
        CHECK(calls[static_cast<std::size_t>(member)] == (member < size ? 1 : 0));
    }
}

// How many members there were. If they did not all run at the same time, this would not end.
int check_members_meet(int wanted, int rounds) {
    std::atomic<int> come{0}, size{0};
    run_team(wanted, [&](int, int members) noexcept {
        size.store(members);
        for (int round = 1; round <= rounds; ++round) {
            come.fetch_add(1);
            for (seqloom::Patience patience; come.load() < round * members;) patience.wait();
        }
    });
    CHECK(come == rounds * size);
    return size;
}

// Each member writes what its neighbour reads after the barrier; plain memory, so that a lost order shows.
void check_barrier_orders(int wanted, int rounds) {
    std::vector<long> numbers(static_cast<std::size_t>(wanted) * 16);
    seqloom::Barrier barrier(wanted);
    run_team(wanted, [&](int member, int members) noexcept {
        if (members != wanted) return;
        const auto at = [&](int who) -> long& { return numbers[static_cast<std::size_t>(who % members) * 16]; };
        for (long round = 1; round <= rounds; ++round) {
            at(member) = round * 100 + member;
            barrier.wait();
            CHECK(at(member + 1) == round * 100 + (member + 1) % members);
            barrier.wait();
        }
    });
}

// What the caller wrote before is seen by the members, and what they wrote by the caller afterwards.
void check_results_are_seen(int teams) {
    std::array<long, most> sums{};
    long input = 0, expected = 0;
    for (int n = 0; n < teams; ++n) {
        const int wanted = 1 + n % most;
        input = n;
        int size = 0;
        run_team(wanted, [&](int member, int members) noexcept {
            sums[static_cast<std::size_t>(member)] += input;
            if (member == 0) size = members;
        });
        expected += static_cast<long>(n) * size;
    }
    long sum = 0;
    for (const long each : sums) sum += each;
    CHECK(sum == expected);
}

void check_inner_teams_are_alone() {
    std::atomic<int> inner{0}, members_outside{0};
    run_team(2, [&](int, int members) noexcept {
        members_outside.store(members);
        run_team(3, [&](int member, int members_inside) noexcept {
            CHECK(member == 0);
            CHECK(members_inside == 1 || members == 1);
            if (member == 0) inner.fetch_add(1);
        });
    });
    CHECK(inner == members_outside);
}

void check_four_callers_at_once() {
    std::array<std::thread, 4> callers;
    for (auto& each : callers) {
        each = std::thread([] {
            check_results_are_seen(200);
            check_barrier_orders(2, 20);
            for (int wanted = 1; wanted <= 3; ++wanted) check_members_are_called_once(wanted);
        });
    }
    for (auto& each : callers) each.join();
}

void check_all() {
    for (const int wanted : {-1, 0, 1, 2, 3, most, 2, 1, most}) check_members_are_called_once(wanted);
    for (const int wanted : {2, 3, most}) check_members_meet(wanted, 50);
    check_barrier_orders(2, 2000);
    check_barrier_orders(3, 300);
    check_barrier_orders(most, 50);
    check_results_are_seen(1000);
    check_inner_teams_are_alone();
    check_four_callers_at_once();
}

// Teams of two in a child, whose parent has lost no thread but the child has lost them all.
void check_in_child() {
    CHECK(check_members_meet(2, 10) == 2);
    check_results_are_seen(20);
}

void check_forks(int count) {
    check_members_meet(2, 10);
    for (int n = 0; n < count; ++n) CHECK(test::passes_in_child(check_in_child));
    check_members_meet(2, 10);
}

void check_forks_while_others_work(int count) {
    std::atomic<bool> done{false};
    std::thread other([&] {
        while (!done) check_members_meet(2, 3);
    });
    for (int n = 0; n < count; ++n) CHECK(test::passes_in_child([] { check_members_meet(2, 10); }));
    done = true;
    other.join();
}

// --- a library that passes for torch ---------------------------------------------------------------------------------

struct Torch {
    int (*run_operator)() = nullptr;
    void (*set_num_threads)(int) = nullptr;
    int (*in_parallel)() = nullptr;
    void (*parallel)(void (*)(void*), void*) = nullptr;
};

template <typename Function>
void find(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    if (function == nullptr) std::abort();
}

// Null if there is none: the compiler has no OpenMP, or ThreadSanitizer would not understand it.
const Torch* torch() {
    static const Torch loaded = [] {
        Torch torch;
#ifdef FAKE_TORCH
        if (void* const library = UNDER_THREAD_SANITIZER ? nullptr : dlopen(FAKE_TORCH, RTLD_NOW | RTLD_LOCAL)) {
            find(library, "fake_torch_operator", torch.run_operator);
            find(library, "fake_torch_set_num_threads", torch.set_num_threads);
            find(library, "fake_torch_in_parallel", torch.in_parallel);
            find(library, "fake_torch_parallel", torch.parallel);
        }
#endif
        return torch;
    }();
    return loaded.run_operator == nullptr ? nullptr : &loaded;
}

bool limited() { return std::getenv("OMP_THREAD_LIMIT") != nullptr; }

// Whether the members of a team are threads of torch's runtime.
bool on_openmp() {
    std::atomic<int> inside{0};
    run_team(2, [&](int, int) noexcept { inside.fetch_add(torch()->in_parallel()); });
    return inside == 2;
}

}  // namespace

// --- before torch is loaded ------------------------------------------------------------------------------------------

TEST(own_pool_runs_teams) {
    check_all();
    CHECK(check_members_meet(3, 5) == 3);
}

TEST(own_pool_survives_fork) {
    check_forks(100);
    check_forks_while_others_work(20);
}

TEST(a_busy_pool_leaves_the_second_caller_alone) {
    std::atomic<int> second{0};
    run_team(2, [&](int member, int) noexcept {
        if (member != 0) return;
        std::thread([&] {
            run_team(2, [&](int, int members) noexcept { second.store(members); });
        }).join();
    });
    CHECK(second == 1);
}

TEST(locks_let_one_in) {
    seqloom::SpinLock lock;
    long counter = 0;
    std::array<std::thread, 4> threads;
    for (auto& each : threads) {
        each = std::thread([&] {
            for (int n = 0; n < 5000; ++n) {
                const std::lock_guard inside(lock);
                ++counter;
            }
        });
    }
    for (auto& each : threads) each.join();
    CHECK(counter == 20000);
    CHECK(lock.try_lock());
    CHECK(!lock.try_lock());
    lock.unlock();
}

// --- afterwards ------------------------------------------------------------------------------------------------------

TEST(torchs_runtime_is_used_as_soon_as_it_is_loaded) {
    if (torch() == nullptr) return;
    CHECK(on_openmp());
    check_all();
    if (!limited()) CHECK(check_members_meet(3, 5) == 3);
}

TEST(a_team_within_torchs_own_region_is_alone) {
    if (torch() == nullptr) return;
    std::atomic<int> calls{0};
    torch()->parallel(
        [](void* context) {
            run_team(2, [&](int, int members) noexcept {
                CHECK(members == 1);
                static_cast<std::atomic<int>*>(context)->fetch_add(1);
            });
        },
        &calls);
    CHECK(calls == 2);
}

// Whatever number of threads torch is set to, teams get what they want, and torch's own regions stay as they are.
TEST(teams_and_torchs_operators_take_turns) {
    if (torch() == nullptr || limited()) return;
    for (const int threads : {1, 2, 5}) {
        torch()->set_num_threads(threads);
        for (int n = 0; n < 50; ++n) {
            CHECK(torch()->run_operator() == threads);
            CHECK(check_members_meet(2, 2) == 2);
            CHECK(check_members_meet(4, 2) == 4);
        }
    }
}

TEST(torchs_runtime_is_left_alone_after_fork) {
    if (torch() == nullptr) return;
    torch()->run_operator();
    check_forks(100);
    check_forks_while_others_work(20);
    CHECK(test::passes_in_child([] { CHECK(!on_openmp()); }));
    CHECK(on_openmp());
}
