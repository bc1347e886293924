#include "stack.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "threads.hpp"

namespace seqloom {
namespace {

// What part of the batch, and of time, a layer runs over at once.
struct Part {
    long first, rows, begin, steps;
};

// One layer's forward scan of a part; `before` and `after` are the states of all the batch.
template <typename T>
void run_layer(const Packed<T>& layer, const Stack<T>& call, int threads, const Part& part, Sequence<const T> input,
               Sequence<T> output, const std::array<const T*, 2>& before, const std::array<T*, 2>& after,
               const Errand* errand = nullptr) {
    const auto part_of = [&](auto sequence) {
        sequence.data += part.first * sequence.row + part.begin * sequence.time;
        return sequence;
    };
    Forward<T> scan{};
    scan.threads = threads;
    scan.batch = part.rows;
    scan.time = part.steps;
    scan.input = part_of(input);
    scan.output = part_of(output);
    for (int n = 0; n < 2; ++n) {
        if (call.after[n] == nullptr) continue;
        scan.before[n] = before[n] + part.first * call.hidden;
        scan.after[n] = after[n] + part.first * call.hidden;
        scan.rate[n] = call.rate[n];
    }
    scan.errand = errand;
    layer.forward(scan);
}

// A stack's call with what lies between its layers.
template <typename T>
class Run {
public:
    Run(const std::vector<const Packed<T>*>& layers, const Stack<T>& call)
        : layers_(layers), call_(call), wavefront_(each_its_thread()) {
        const long zeros_size = call.before[0] == nullptr ? states_size() : 0;
        const long handed_size = wavefront_ ? 4 * count() * states_size() : 0;
        const long between_size = count() == 1 ? 0 : 2 * sequence_size();
        memory_ = acquire(static_cast<std::size_t>(zeros_size + handed_size + between_size) * sizeof(T));
        zeros_ = reinterpret_cast<T*>(memory_.data());
        handed_ = zeros_ + zeros_size;
        between_ = handed_ + handed_size;
        if (zeros_size > 0) std::memset(zeros_, 0, static_cast<std::size_t>(zeros_size) * sizeof(T));
    }

    void run() {
        const int teams = teams_of_rows();
        if (!wavefront_ && teams == 1) return run_rows(call_.threads, 0, call_.batch, call_.errand);
        if (call_.errand != nullptr) call_.errand->run(call_.errand->context);
        if (wavefront_) run_wavefront();
        else run_in_teams(teams);
    }

private:
    // How many steps a layer runs before the next one begins with them.
    long chunk() const noexcept { return std::clamp<long>(call_.time / 16, 16, 64); }
    long count() const noexcept { return static_cast<long>(layers_.size()); }
    long states_size() const noexcept { return call_.batch * call_.hidden; }
    long sequence_size() const noexcept { return call_.batch * call_.time * call_.hidden; }

    // Whether each layer had better have a thread of its own than all threads one layer after the other. Found by
    // measuring: with few rows, whose units would be split, 1.0 to 1.9 times as fast where a thread's second cache
    // holds a whole layer, and slower where it does not, or where threads would have nothing to do in the end. Steps
    // that are too small to be split would be one thread's work otherwise.
    bool each_its_thread() const noexcept {
        constexpr long rows_few = 8;                                   // of each thread, as in team.hpp
        constexpr std::size_t near = 640 << 10;                        // bytes
        constexpr long step_tiny = 1 << 15, worth_a_thread = 1 << 18;  // products
        const long step = call_.batch * layers_.back()->count();
        if (call_.threads == 1 || count() == 1 || call_.batch >= rows_few * call_.threads) return false;
        if (call_.time < 4 * chunk() || step * call_.time < worth_a_thread) return false;
        return (count() % call_.threads == 0 || step < step_tiny) && layers_.back()->forward_bytes() <= near;
    }

    int teams_of_rows() const noexcept {
        constexpr long rows_enough = 16;       // of each thread
        constexpr long work_enough = 1 << 20;  // products of all layers that are worth a second thread
        if (count() == 1 || sequence_size() * call_.hidden * count() < work_enough) return 1;
        return static_cast<int>(std::clamp<long>(call_.batch / rows_enough, 1, call_.threads));
    }

    // Two buffers take turns: a layer reads one of them and writes the other.
    Sequence<T> output_of(long layer) const noexcept {
        if (layer == count() - 1) return call_.output;
        return {between_ + layer % 2 * sequence_size(), call_.time * call_.hidden, call_.hidden};
    }
    Sequence<const T> input_of(long layer) const noexcept {
        if (layer == 0) return call_.input;
        const Sequence<T> below = output_of(layer - 1);
        return {below.data, below.row, below.time};
    }
    const T* before(long layer, int n) const noexcept {
        return call_.before[n] == nullptr ? zeros_ : call_.before[n] + layer * states_size();
    }
    T* after(long layer, int n) const noexcept {
        return call_.after[n] == nullptr ? nullptr : call_.after[n] + layer * states_size();
    }
    // A layer's states between its chunks, in two places that take turns.
    T* handed(long layer, int n, long chunk) const noexcept {
        return handed_ + ((layer * 2 + n) * 2 + chunk % 2) * states_size();
    }

    void run_rows(int threads, long first, long rows, const Errand* errand) const {
        for (long layer = 0; layer < count(); ++layer) {
            run_layer<T>(*layers_[static_cast<std::size_t>(layer)], call_, threads, {first, rows, 0, call_.time},
                         input_of(layer), output_of(layer), {before(layer, 0), before(layer, 1)},
                         {after(layer, 0), after(layer, 1)}, layer == 0 ? errand : nullptr);
        }
    }

    // Each team its rows, through all layers.
    void run_in_teams(int teams) const {
        Failures failures;
        run_team(teams, [&](int member, int members) noexcept {
            for (int team = member; team < teams; team += members) {
                const long first = call_.batch * team / teams, end = call_.batch * (team + 1) / teams;
                failures.guard([&] { run_rows(1, first, end - first, nullptr); });
            }
        });
        failures.rethrow();
    }

    // Each thread its layers, from the lowest on, chunk after chunk, as soon as the layer below has gone ahead. A chunk
    // of the third layer goes where the first one's was: the second one has read it by then.
    void run_wavefront() const {
        struct alignas(64) Progress {
            std::atomic<long> chunks{0};
        };
        const long chunks = (call_.time + chunk() - 1) / chunk();
        std::vector<Progress> done(layers_.size());
        Failures failures;
        const auto run_chunk = [&](long layer, long number) {
            const long begin = number * chunk();
            const Part part{0, call_.batch, begin, std::min(chunk(), call_.time - begin)};
            std::array<const T*, 2> from;
            std::array<T*, 2> to;
            for (int n = 0; n < 2; ++n) {
                from[n] = number == 0 ? before(layer, n) : handed(layer, n, number - 1);
                to[n] = number == chunks - 1 ? after(layer, n) : handed(layer, n, number);
            }
            run_layer<T>(*layers_[static_cast<std::size_t>(layer)], call_, 1, part, input_of(layer), output_of(layer),
                         from, to);
        };
        const auto run_whole = [&](long layer) {
            for (long number = 0; number < chunks; ++number) {
                const auto wait_for = static_cast<std::size_t>(std::max<long>(layer - 1, 0));
                for (Patience patience; layer > 0 && done[wait_for].chunks.load(std::memory_order_acquire) <= number;) {
                    if (failures.any()) return;
                    patience.wait();
                }
                run_chunk(layer, number);
                done[static_cast<std::size_t>(layer)].chunks.store(number + 1, std::memory_order_release);
            }
        };
        run_team(static_cast<int>(std::min<long>(call_.threads, count())), [&](int member, int members) noexcept {
            for (long layer = member; layer < count() && !failures.any(); layer += members)
                failures.guard([&] { run_whole(layer); });
        });
        failures.rethrow();
    }

    const std::vector<const Packed<T>*>& layers_;
    const Stack<T>& call_;
    const bool wavefront_;
    Block memory_;
    T *zeros_, *handed_, *between_;
};

}  // namespace

template <typename T>
void run_stack(const std::vector<const Packed<T>*>& layers, const Stack<T>& call) {
    Run<T>(layers, call).run();
}

template void run_stack(const std::vector<const Packed<float>*>& layers, const Stack<float>& call);
template void run_stack(const std::vector<const Packed<double>*>& layers, const Stack<double>& call);

}  // namespace seqloom
