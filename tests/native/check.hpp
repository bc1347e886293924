// The little that tests in C++ need: TEST(name) { ... CHECK(condition); ... }; main.cpp runs them.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>

namespace test {

// Makes a test known to `main`, which runs tests file by file in the order in which they stand there.
struct Registration {
    Registration(const char* file, const char* name, void (*body)());
};

// What a check calls: a test that goes on is given more time. Safe from several threads at once, as `fail` is.
void go_on();

// Counts a failure, prints the first few, and goes on.
void fail(const char* file, int line, const std::string& what);

// How many failures there were in this process.
int failures();

// Runs `body` in a forked child. True if it came to its end without a failure of its own, and never let a minute pass
// without a check; and under ThreadSanitizer, where it is not run.
bool passes_in_child(const std::function<void()>& body);

}  // namespace test

#define TEST(name)                                                               \
    static void name();                                                          \
    static const ::test::Registration name##_registration(__FILE__, #name, name); \
    static void name()

#define CHECK(...) ((__VA_ARGS__) ? ::test::go_on() : ::test::fail(__FILE__, __LINE__, #__VA_ARGS__))

// `where` says of which case the condition is; it is asked for only where it does not hold.
#define CHECK_IN(where, ...) \
    ((__VA_ARGS__) ? ::test::go_on() : ::test::fail(__FILE__, __LINE__, std::string(#__VA_ARGS__ " of ") + (where)))

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ADDRESS_SANITIZER 1
#endif
#endif
#ifndef UNDER_ADDRESS_SANITIZER
#define UNDER_ADDRESS_SANITIZER 0
#endif

#if defined(__SANITIZE_THREAD__)
#define UNDER_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER 1
#endif
#endif
#ifndef UNDER_THREAD_SANITIZER
#define UNDER_THREAD_SANITIZER 0
#endif
