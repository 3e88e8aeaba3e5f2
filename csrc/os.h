/* What differs between operating systems and compilers below the pool and the cache: locks, threads, atomic
   counters, a clock. POSIX threads with C11 atomics, or Win32 with MSVC's interlocked operations. */
#ifndef CONVNET_OS_H
#define CONVNET_OS_H

#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE 1 /* clock_gettime and madvise, also under -std=c11; include this file before any other */
#endif

#include <stddef.h>
#include <stdint.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <process.h>
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#endif

/* ---- an atomic counter; every operation is sequentially consistent -------------------------------------------- */

#ifdef _MSC_VER /* its <stdatomic.h> is experimental; clang-cl borrows it */

#include <intrin.h>
#define THREAD_LOCAL __declspec(thread)
typedef LONG64 counter;

/* An acquiring load is enough: every store and update below is a full barrier. */
static inline ptrdiff_t counter_load(counter *c) { return (ptrdiff_t)ReadAcquire64(c); }
static inline ptrdiff_t counter_exchange(counter *c, ptrdiff_t value) {
    return (ptrdiff_t)InterlockedExchange64(c, value);
}
static inline ptrdiff_t counter_add(counter *c, ptrdiff_t value) /* returns the value before */ {
    return (ptrdiff_t)InterlockedExchangeAdd64(c, value);
}
static inline int counter_replace(counter *c, ptrdiff_t expected, ptrdiff_t value) {
    return InterlockedCompareExchange64(c, value, expected) == expected;
}

#else

#include <stdatomic.h>
#define THREAD_LOCAL _Thread_local
typedef _Atomic(ptrdiff_t) counter;

static inline ptrdiff_t counter_load(counter *c) { return atomic_load(c); }
static inline ptrdiff_t counter_exchange(counter *c, ptrdiff_t value) { return atomic_exchange(c, value); }
static inline ptrdiff_t counter_add(counter *c, ptrdiff_t value) /* returns the value before */ {
    return atomic_fetch_add(c, value);
}
static inline int counter_replace(counter *c, ptrdiff_t expected, ptrdiff_t value) {
    return atomic_compare_exchange_strong(c, &expected, value);
}

#endif

/* ---- a hint to the CPU that this is a spin loop --------------------------------------------------------------- */

static inline void spin_hint(void) {
#if defined(_WIN32)
    YieldProcessor();
#elif defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory"); /* waits about as long as x86's pause; "yield" does nothing on most cores */
#endif
}

/* ---- locks, conditions, threads, time ------------------------------------------------------------------------- */

#ifdef _WIN32

typedef SRWLOCK mutex;
typedef CONDITION_VARIABLE condition;
#define MUTEX_INITIALIZER SRWLOCK_INIT
#define CONDITION_INITIALIZER CONDITION_VARIABLE_INIT

static inline void mutex_lock(mutex *m) { AcquireSRWLockExclusive(m); }
static inline void mutex_unlock(mutex *m) { ReleaseSRWLockExclusive(m); }
static inline void condition_wait(condition *c, mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static inline void condition_signal(condition *c) { WakeConditionVariable(c); }
static inline void condition_broadcast(condition *c) { WakeAllConditionVariable(c); }
static inline void give_way(void) { SwitchToThread(); }
static inline int64_t nanoseconds(void) {
    LARGE_INTEGER ticks, frequency;
    QueryPerformanceCounter(&ticks);
    QueryPerformanceFrequency(&frequency);
    return (int64_t)((double)ticks.QuadPart * 1e9 / (double)frequency.QuadPart);
}

#define THREAD_FUNCTION(name) static unsigned __stdcall name(void *argument)
typedef unsigned(__stdcall *thread_function)(void *);
#define THREAD_RETURN 0

/* Start a thread that nobody joins; 0 when the system refuses. */
static inline int thread_start(thread_function function, unsigned stack_bytes) {
    uintptr_t handle = _beginthreadex(NULL, stack_bytes, function, NULL, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (handle) CloseHandle((HANDLE)handle);
    return handle != 0;
}

#else

typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition;
#define MUTEX_INITIALIZER PTHREAD_MUTEX_INITIALIZER
#define CONDITION_INITIALIZER PTHREAD_COND_INITIALIZER

static inline void mutex_lock(mutex *m) { pthread_mutex_lock(m); }
static inline void mutex_unlock(mutex *m) { pthread_mutex_unlock(m); }
static inline void condition_wait(condition *c, mutex *m) { pthread_cond_wait(c, m); }
static inline void condition_signal(condition *c) { pthread_cond_signal(c); }
static inline void condition_broadcast(condition *c) { pthread_cond_broadcast(c); }
static inline void give_way(void) { sched_yield(); }
static inline int64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#define THREAD_FUNCTION(name) static void *name(void *argument)
typedef void *(*thread_function)(void *);
#define THREAD_RETURN NULL

/* Start a thread that nobody joins and that takes no signal (they belong to Python's threads); 0 when the system
   refuses. The stack is given because musl's default is only 128 KiB. */
static inline int thread_start(thread_function function, unsigned stack_bytes) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, stack_bytes);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits it */
    int refused = pthread_create(&thread, &attributes, function, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return !refused;
}

#endif

#endif
