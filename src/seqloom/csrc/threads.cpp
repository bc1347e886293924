#include "threads.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <new>
#include <optional>
#include <system_error>
#include <vector>

#include <pthread.h>

#if defined(__linux__)
#include <dlfcn.h>
#include <link.h>

#include <cstring>
#endif

namespace seqloom {
namespace {

using Work = void (*)(void* context, int member, int members);

constinit std::atomic<bool> forked{false};  // whether this is a child, of whose parent's threads one lives

// --- torch's OpenMP runtime ------------------------------------------------------------------------------------------

#if defined(__linux__)

// GNU's runtime; Clang's and Intel's have the same entry points.
struct OpenMp {
    void (*parallel)(void (*)(void*), void*, unsigned threads, unsigned flags);
    int (*thread)();
    int (*threads)();
    int (*usual_threads)();
    int (*in_parallel)();
};

template <typename Function>
bool find_function(void* torch, const char* name, Function& function) noexcept {
    // The order in which the linker looked when it linked torch: a preloaded runtime goes first.
    void* found = dlsym(RTLD_DEFAULT, name);
    if (found == nullptr) found = dlsym(torch, name);
    function = reinterpret_cast<Function>(found);
    return found != nullptr;
}

std::optional<OpenMp> runtime_of(const char* library) noexcept {
    void* const torch = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    if (torch == nullptr) return std::nullopt;
    OpenMp found;
    const bool all = find_function(torch, "GOMP_parallel", found.parallel) &&
                     find_function(torch, "omp_get_thread_num", found.thread) &&
                     find_function(torch, "omp_get_num_threads", found.threads) &&
                     find_function(torch, "omp_get_max_threads", found.usual_threads) &&
                     find_function(torch, "omp_in_parallel", found.in_parallel);
    return all ? std::optional(found) : std::nullopt;
}

struct Search {
    unsigned long long before;  // how many libraries had been loaded at the last search, since the process began
    unsigned long long now;
    const char* torch;  // the path of torch's library; null: not found
};

// Called for each library; another value than 0 ends the search.
int look_at(dl_phdr_info* library, std::size_t, void* context) noexcept {
    auto& search = *static_cast<Search*>(context);
    search.now = library->dlpi_adds;
    if (search.now == search.before) return 1;  // nothing new
    if (library->dlpi_name == nullptr || std::strstr(library->dlpi_name, "/libtorch_cpu.so") == nullptr) return 0;
    search.torch = library->dlpi_name;
    return 1;
}

// The runtime of torch, or null. As long as torch is not loaded it is looked for again when libraries have been added:
// it may be imported later than this library. But not in a child: the parent's other threads may have been in the search.
const OpenMp* openmp() noexcept {
    static constinit std::atomic<bool> settled{false};
    static constinit std::optional<OpenMp> runtime;
    static constinit Search search{};
    static constinit SpinLock searching;
    if (!settled.load(std::memory_order_acquire)) {
        if (forked.load(std::memory_order_relaxed)) return nullptr;
        const std::lock_guard lock(searching);
        if (!settled.load(std::memory_order_relaxed)) {
            dl_iterate_phdr(look_at, &search);
            search.before = search.now;
            if (search.torch == nullptr) return nullptr;
            runtime = runtime_of(search.torch);
            settled.store(true, std::memory_order_release);
        }
    }
    return runtime ? &*runtime : nullptr;
}

struct Region {
    const OpenMp* runtime;
    Work work;
    void* context;
    int wanted;
};

void enter_region(void* context) {
    const auto& region = *static_cast<Region*>(context);
    const int member = region.runtime->thread(), members = std::min(region.wanted, region.runtime->threads());
    if (member < members) region.work(region.context, member, members);
}

bool run_on_openmp(int wanted, Work work, void* context) noexcept {
    const OpenMp* const runtime = openmp();
    if (runtime == nullptr) return false;
    if (runtime->in_parallel()) {
        work(context, 0, 1);
        return true;
    }
    Region region{runtime, work, context, wanted};
    // GNU's runtime ends the threads that a region does not need, and the next region of torch would have to make them
    // anew. So as many come as always do, and those not wanted go home at once.
    runtime->parallel(enter_region, &region, static_cast<unsigned>(std::max(wanted, runtime->usual_threads())), 0);
    return true;
}

#else

bool run_on_openmp(int, Work, void*) noexcept { return false; }

#endif

// --- a pool of our own -----------------------------------------------------------------------------------------------

thread_local bool in_own_team = false;

// Never destroyed: its threads wait in it until the program ends.
class Pool {
public:
    // False, and nothing is called, if the pool is busy.
    bool run(int wanted, Work work, void* context) noexcept {
        if (!busy_.try_lock()) return false;
        grow(wanted - 1);
        const int workers = std::min(wanted - 1, static_cast<int>(workers_.size()));
        team_ = {work, context, workers + 1};
        working_.store(workers, std::memory_order_relaxed);
        for (int member = 1; member <= workers; ++member) workers_[static_cast<std::size_t>(member - 1)]->call();
        in_own_team = true;
        work(context, 0, workers + 1);
        in_own_team = false;
        for (Patience patience; working_.load(std::memory_order_acquire) != 0;) patience.wait();
        busy_.unlock();
        return true;
    }

private:
    struct Team {
        Work work;
        void* context;
        int members;
    };

    // Where one thread waits to be called.
    class alignas(64) Worker {
    public:
        void call() noexcept {
            {
                const std::lock_guard lock(mutex_);
                calls_.store(calls_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
            }
            wake_.notify_one();
        }

        // Returns at the call after the last one answered.
        void wait() noexcept {
            const auto called = [&] { return calls_.load(std::memory_order_acquire) != answered_; };
            for (Patience patience; !called() && !patience.worn_out();) patience.wait();
            if (!called()) {
                std::unique_lock lock(mutex_);
                wake_.wait(lock, called);
            }
            ++answered_;
        }

    private:
        std::atomic<unsigned> calls_{0};
        unsigned answered_ = 0;
        std::mutex mutex_;
        std::condition_variable wake_;
    };

    // Makes threads until there are `count`, or the system gives no more.
    void grow(int count) noexcept {
        try {
            while (static_cast<int>(workers_.size()) < count) {
                auto worker = std::make_unique<Worker>();
                workers_.reserve(workers_.size() + 1);
                std::thread([this, worker = worker.get(), member = static_cast<int>(workers_.size()) + 1] {
                    for (in_own_team = true;;) {
                        worker->wait();
                        team_.work(team_.context, member, team_.members);
                        working_.fetch_sub(1, std::memory_order_release);
                    }
                }).detach();
                workers_.push_back(std::move(worker));
            }
        } catch (const std::system_error&) {
        } catch (const std::bad_alloc&) {
        }
    }

    SpinLock busy_;  // guards all below
    std::vector<std::unique_ptr<Worker>> workers_;
    Team team_{};
    alignas(64) std::atomic<int> working_{0};
};

constinit std::atomic<Pool*> own_pool{nullptr};

// Null where there is no memory for it.
Pool* pool() noexcept {
    Pool* there = own_pool.load(std::memory_order_acquire);
    if (there != nullptr) return there;
    auto* const made = new (std::nothrow) Pool;
    if (made == nullptr || own_pool.compare_exchange_strong(there, made, std::memory_order_acq_rel)) return made;
    delete made;  // another thread was faster
    return there;
}

// --- fork ------------------------------------------------------------------------------------------------------------

// In a child no thread lives but the one that forked. The pool is left as it lies, with its locks in whatever state
// the parent's other threads had them; the child makes itself another one when it needs one.
void begin_child() noexcept {
    forked.store(true, std::memory_order_relaxed);
    own_pool.store(nullptr, std::memory_order_relaxed);
}

[[maybe_unused]] const int registered = pthread_atfork(nullptr, nullptr, begin_child);

}  // namespace

void run_team(int wanted, Work work, void* context) noexcept {
    if (wanted > 1 && !in_own_team) {
        if (!forked.load(std::memory_order_relaxed) && run_on_openmp(wanted, work, context)) return;
        Pool* const own = pool();
        if (own != nullptr && own->run(wanted, work, context)) return;
    }
    work(context, 0, 1);
}

int usual_threads() noexcept {
#if defined(__linux__)
    if (const OpenMp* const runtime = openmp()) return runtime->usual_threads();
#endif
    return 0;
}

}  // namespace seqloom
