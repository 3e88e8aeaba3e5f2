/* Forks: the child and the parent go on working, whatever the pool and the cache were doing at that moment.
   ThreadSanitizer cannot follow a fork, Windows has none: the program then checks nothing. */
#include "pool_calls.h"

#if defined(__SANITIZE_THREAD__) || defined(_WIN32)
#define FORKS 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define FORKS 0
#endif
#endif
#ifndef FORKS
#define FORKS 1
#endif

#if FORKS

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

/* Fork; the child tries everything and exits with 0 when all went well. An alarm ends it if it hangs. */
static int child_works(int threads) {
    pid_t child = fork();
    if (child == 0) {
        alarm(20);
        int good = runs_each_once(threads, MAX_TASKS, BIG) && all_meet(threads);
        void *p = cn_alloc(5000);
        good = good && p;
        cn_free(p);
        cn_set_num_threads(3);
        good = good && runs_each_once(3, MAX_TASKS, BIG) && all_meet(3);
        _exit(good ? 0 : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_fork_without_a_pool(void) {
    cn_set_num_threads(2);
    CHECK(child_works(2));
}

static void test_fork_with_a_pool(void) {
    cn_set_num_threads(4);
    CHECK(all_meet(4));
    CHECK(child_works(4)); /* spinning workers */
    nap(20);
    CHECK(child_works(4)); /* sleeping workers */
    CHECK(all_meet(4));
    CHECK(runs_each_once(4, MAX_TASKS, BIG));
}

static void test_fork_while_another_thread_owns_the_pool(void) {
    cn_set_num_threads(3);
    start_stuck_caller();
    CHECK(child_works(3));
    CHECK(stuck_caller_ends());
    CHECK(all_meet(3));
}

/* Forks at random moments of other threads' calls and allocations. */
THREAD_FUNCTION(busy_caller) {
    (void)argument;
    while (!counter_load(&release_owner)) {
        runs_each_once(3, 16, BIG);
#ifndef __SANITIZE_ADDRESS__ /* its own allocator hangs in a child forked from under another thread's call */
        cn_free(cn_alloc(5000));
        cn_empty_cache();
#endif
    }
    counter_add(&callers_left, -1);
    return THREAD_RETURN;
}

static void test_fork_at_any_moment(void) {
    cn_set_num_threads(3);
    CHECK(all_meet(3));
    counter_exchange(&release_owner, 0);
    start_callers(2, busy_caller);
    nap(20);
    for (int repeat = 0; repeat < 50; repeat++) CHECK(child_works(3));
    CHECK(stuck_caller_ends());
}

int main(void) {
    test_fork_without_a_pool(); /* first: no worker has been started yet */
    test_fork_with_a_pool();
    test_fork_while_another_thread_owns_the_pool();
    test_fork_at_any_moment();
    return report();
}

#else

int main(void) { return report(); }

#endif
