#include "stack.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <new>

#include "threads.hpp"

namespace seqloom {
namespace {

// One layer's forward scan of the rows [first, first + rows).
template <typename T>
void run_layer(const Packed<T>& layer, const Stack<T>& call, long number, int threads, long first, long rows,
               Sequence<const T> input, Sequence<T> output, const T* zeros) {
    const auto row_of = [&](auto sequence) {
        sequence.data += first * sequence.row;
        return sequence;
    };
    Forward<T> scan{};
    scan.threads = threads;
    scan.batch = rows;
    scan.time = call.time;
    scan.input = row_of(input);
    scan.output = row_of(output);
    const long at = (number * call.batch + first) * call.hidden;
    for (int n = 0; n < 2; ++n) {
        if (call.after[n] == nullptr) continue;
        scan.before[n] = call.before[n] == nullptr ? zeros : call.before[n] + at;
        scan.after[n] = call.after[n] + at;
        scan.rate[n] = call.rate[n];
    }
    layer.forward(scan);
}

}  // namespace

template <typename T>
void run_stack(const std::vector<const Packed<T>*>& layers, const Stack<T>& call) {
    constexpr long rows_enough = 16;       // of each thread
    constexpr long work_enough = 1 << 20;  // products of all layers that are worth a second thread
    const long last = static_cast<long>(layers.size()) - 1, sequence = call.time * call.hidden;
    const long work = call.batch * sequence * call.hidden * (last + 1);
    const int teams = last == 0 || work < work_enough
                          ? 1
                          : static_cast<int>(std::clamp<long>(call.batch / rows_enough, 1, call.threads));
    const long zeros_size = call.before[0] == nullptr ? call.batch * call.hidden : 0;
    const long between_size = last == 0 ? 0 : 2 * call.batch * sequence;
    const Block memory = acquire(static_cast<std::size_t>(zeros_size + between_size) * sizeof(T));
    T* const zeros = reinterpret_cast<T*>(memory.data());
    if (zeros_size > 0) std::memset(zeros, 0, static_cast<std::size_t>(zeros_size) * sizeof(T));

    const auto run_rows = [&](int threads, long first, long rows) {
        Sequence<const T> input = call.input;
        for (long number = 0; number <= last; ++number) {
            // Two buffers take turns: a layer reads one of them and writes the other.
            T* const between = zeros + zeros_size + number % 2 * call.batch * sequence;
            const Sequence<T> output = number == last ? call.output : Sequence<T>{between, sequence, call.hidden};
            run_layer(*layers[static_cast<std::size_t>(number)], call, number, threads, first, rows, input, output,
                      zeros);
            input = {output.data, output.row, output.time};
        }
    };
    if (teams == 1) return run_rows(call.threads, 0, call.batch);
    std::atomic<bool> failed{false};
    run_team(teams, [&](int member, int members) noexcept {
        for (int team = member; team < teams; team += members) {
            const long first = call.batch * team / teams, end = call.batch * (team + 1) / teams;
            try {
                run_rows(1, first, end - first);
            } catch (const std::bad_alloc&) {
                failed.store(true, std::memory_order_relaxed);
            }
        }
    });
    if (failed.load(std::memory_order_relaxed)) throw std::bad_alloc();
}

template void run_stack(const std::vector<const Packed<float>*>& layers, const Stack<float>& call);
template void run_stack(const std::vector<const Packed<double>*>& layers, const Stack<double>& call);

}  // namespace seqloom
