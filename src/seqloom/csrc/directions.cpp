#include "directions.hpp"

#include "threads.hpp"

namespace seqloom {
namespace {

// Calls run(n, call) for both, with as many threads in `call` as it may take.
template <typename T, typename Call, typename Run>
void side_by_side(const Packed<T>& layer, const Call (&calls)[2], Run&& run) {
    constexpr double worth_a_thread = 1 << 18;  // products of one direction
    const int threads = calls[0].threads;
    const double products = static_cast<double>(calls[0].batch) * calls[0].time * layer.count();
    const bool apart = (threads == 2 || threads == 3) && products > worth_a_thread;
    const auto run_one = [&](int n) {
        Call call = calls[n];
        call.threads = apart ? 1 : threads;
        run(n, call);
    };
    if (!apart) {
        run_one(0);
        run_one(1);
        return;
    }
    Failures failures;
    run_team(2, [&](int member, int members) noexcept {
        for (int n = member; n < 2; n += members) failures.guard([&] { run_one(n); });
    });
    failures.rethrow();
}

}  // namespace

template <typename T>
void run_both(const Packed<T>* const (&layers)[2], const Forward<T> (&calls)[2]) {
    side_by_side(*layers[0], calls, [&](int n, const Forward<T>& call) { layers[n]->forward(call); });
}

template <typename T>
void run_both(Packed<T>* const (&layers)[2], const Weights<T> (&weights)[2], const Backward<T> (&calls)[2]) {
    side_by_side(*layers[0], calls, [&](int n, const Backward<T>& call) { layers[n]->backward(weights[n], call); });
}

template void run_both(const Packed<float>* const (&)[2], const Forward<float> (&)[2]);
template void run_both(const Packed<double>* const (&)[2], const Forward<double> (&)[2]);
template void run_both(Packed<float>* const (&)[2], const Weights<float> (&)[2], const Backward<float> (&)[2]);
template void run_both(Packed<double>* const (&)[2], const Weights<double> (&)[2], const Backward<double> (&)[2]);

}  // namespace seqloom
