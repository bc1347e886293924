// Stands for torch's library, of which threads.cpp knows the name: it has an OpenMP runtime, and uses it.
#include <omp.h>

extern "C" {

// Runs an empty region on all threads there are, as torch's own operators do, and returns how many those are.
int fake_torch_operator() {
    int threads = 0;
#pragma omp parallel reduction(+ : threads)
    threads += 1;
    return threads;
}

void fake_torch_set_num_threads(int threads) { omp_set_num_threads(threads); }

// Whether the caller is in a region of more than one thread.
int fake_torch_in_parallel() { return omp_in_parallel(); }

// Calls work(context) on each of two threads at the same time.
void fake_torch_parallel(void (*work)(void*), void* context) {
#pragma omp parallel num_threads(2)
    work(context);
}
}
