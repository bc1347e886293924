// Runs the tests of this program: all of them, or those whose name or file holds one of the arguments.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "check.hpp"

namespace test {
namespace {

struct Entry {
    std::string file, name;
    void (*body)();
};

std::vector<Entry>& entries() {
    static std::vector<Entry> all;
    return all;
}

std::atomic<int> failed{0}, shown{0};  // in all, and of this test

constexpr int worth_showing = 5;

// How long a process may go without a check: threads that wait for each other for ever end the program, and a test that
// is only slow, as under the sanitizers, comes to its end.
std::atomic<unsigned> seconds_for_a_check{300};
constexpr unsigned seconds_for_a_check_in_a_child = 60;

bool wanted(const Entry& entry, int count, char** words) {
    for (int n = 1; n < count; ++n) {
        const auto holds = [&](const std::string& text) { return text.find(words[n]) != std::string::npos; };
        if (holds(entry.file) || holds(entry.name)) return true;
    }
    return count == 1;
}

}  // namespace

Registration::Registration(const char* file, const char* name, void (*body)()) {
    const std::string path(file);
    entries().push_back({path.substr(path.rfind('/') + 1), name, body});
}

void go_on() { alarm(seconds_for_a_check); }

void fail(const char* file, int line, const std::string& what) {
    go_on();
    failed.fetch_add(1);
    if (shown.fetch_add(1) < worth_showing) std::fprintf(stderr, "%s:%d: not true: %s\n", file, line, what.c_str());
}

int failures() { return failed.load(); }

bool passes_in_child(const std::function<void()>& body) {
    if (UNDER_THREAD_SANITIZER) return true;  // it does not bear threads in a child
    std::fflush(nullptr);
    const pid_t child = fork();
    if (child == 0) {
        seconds_for_a_check = seconds_for_a_check_in_a_child;
        go_on();
        const int before = failures();
        body();
        std::fflush(nullptr);
        _exit(failures() == before ? 0 : 1);
    }
    int status = 0;
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace test

int main(int count, char** words) {
    using Clock = std::chrono::steady_clock;
    int run = 0;
    for (const auto& each : test::entries()) {
        if (!test::wanted(each, count, words)) continue;
        const int before = test::failures();
        test::shown = 0;
        const auto start = Clock::now();
        std::printf("%s: %s ... ", each.file.c_str(), each.name.c_str());
        std::fflush(stdout);
        test::go_on();
        each.body();
        alarm(0);
        const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
        std::printf("%s (%.2f s)\n", test::failures() == before ? "ok" : "FAILED", seconds);
        ++run;
    }
    if (run == 0) std::printf("no test is called so\n");
    std::printf("%d tests, %d failures\n", run, test::failures());
    return run > 0 && test::failures() == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
