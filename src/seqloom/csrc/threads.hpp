// Teams of threads that work at the same time, on the threads that torch has, and what its members wait with.
#pragma once

#include <atomic>
#include <memory>
#include <new>
#include <thread>
#include <type_traits>

namespace seqloom {

// Calls work(context, member, members) once for each member of a team, all at the same time, 0 <= member < members.
// The caller is member 0. Returns when all have returned; what they wrote is then seen by the caller.
//
// wanted   the members that are asked for; 1 or less is the caller alone
// work     must not throw, and may wait for the other members (Barrier): all of them run. It must not be null
// context  given to `work` as it is; may be null; must live until the call returns
//
// `members` is what could be had: `wanted`, or fewer where the system gives no more, and 1 inside a team.
//
// The threads are those of the OpenMP runtime that torch is linked to: a second pool would fight with torch's waiting
// threads for the cores. Where torch is not loaded, or has no such runtime, and in a child process after fork, where
// the runtime's threads are gone and it would wait for them for ever, a small pool of our own serves, one team at a
// time: a caller that finds it busy works alone. Safe to call from several threads at once.
void run_team(int wanted, void (*work)(void* context, int member, int members), void* context) noexcept;

// The same for a function object, called as body(member, members), which must be noexcept.
template <class Body>
void run_team(int wanted, Body&& body) noexcept {
    using Function = std::remove_reference_t<Body>;
    static_assert(std::is_nothrow_invocable_v<Function&, int, int>, "the body of a team must be noexcept");
    if (wanted <= 1) {
        body(0, 1);
        return;
    }
    run_team(
        wanted, [](void* context, int member, int members) { (*static_cast<Function*>(context))(member, members); },
        const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

// How many threads torch would take for a call of this thread; 0 where its OpenMP runtime is not found. Only what torch
// has set up knows of torch.set_num_threads: it does so where it is asked itself for the first time.
int usual_threads() noexcept;

// Carries std::bad_alloc out of a team, whose members must not throw.
class Failures {
public:
    // Calls body(), and keeps in mind if there was no memory for it.
    template <class Body>
    void guard(Body&& body) noexcept {
        try {
            body();
        } catch (const std::bad_alloc&) {
            any_.store(true, std::memory_order_relaxed);
        }
    }

    bool any() const noexcept { return any_.load(std::memory_order_relaxed); }

    // For the caller, when the team has ended.
    void rethrow() const {
        if (any()) throw std::bad_alloc();
    }

private:
    std::atomic<bool> any_{false};
};

// Waiting for another thread, a moment a call: busily at first, as an answer within microseconds is the rule; after
// some tens of microseconds other threads get the core, one of which may be the one that is waited for.
class Patience {
public:
    void wait() noexcept {
        if (moments_ == busy_moments) {
            std::this_thread::yield();
            return;
        }
        ++moments_;
        pause();
    }

    bool worn_out() const noexcept { return moments_ == busy_moments; }

private:
    static constexpr int busy_moments = 1000;  // 10 to 50 microseconds

    static void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb");
#endif
    }

    int moments_ = 0;
};

// Where threads wait for each other, any number of times. What each wrote before is seen by all afterwards. Aligned to
// cache lines, so that those who wait do not disturb those who still work.
class alignas(64) Barrier {
public:
    // For so many threads, >= 1. A team may have fewer members than were wanted: who makes a barrier before must
    // compare.
    explicit Barrier(int members) noexcept : members_(members) {}

    Barrier(const Barrier&) = delete;
    Barrier& operator=(const Barrier&) = delete;

    // Returns when all threads have called it, each as often as this one.
    void wait() noexcept {
        // The round cannot end before this thread has come, so what is read here is the number of this round.
        const unsigned round = round_.load(std::memory_order_relaxed);
        if (come_.fetch_add(1, std::memory_order_acq_rel) + 1 == members_) {
            come_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (Patience patience; round_.load(std::memory_order_acquire) == round;) patience.wait();
    }

private:
    const int members_;
    std::atomic<int> come_{0};
    alignas(64) std::atomic<unsigned> round_{0};
};

// A lock for what takes less than a microsecond; use with std::lock_guard. Needs no initialisation at run time and no
// destruction, so it may be held across fork and is there until the program's very end.
class SpinLock {
public:
    void lock() noexcept {
        for (Patience patience; held_.exchange(true, std::memory_order_acquire);) {
            while (held_.load(std::memory_order_relaxed)) patience.wait();
        }
    }

    bool try_lock() noexcept {
        return !held_.load(std::memory_order_relaxed) && !held_.exchange(true, std::memory_order_acquire);
    }

    void unlock() noexcept { held_.store(false, std::memory_order_release); }

private:
    std::atomic<bool> held_{false};
};

}  // namespace seqloom
