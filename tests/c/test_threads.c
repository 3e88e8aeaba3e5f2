/* The worker pool: who runs what, resizing, several callers, the floating-point mode. */
#include "pool_calls.h"

#include <fenv.h>

/* ---- calls ---------------------------------------------------------------------------------------------------- */

static void test_each_index_runs_once(void) {
    const ptrdiff_t tasks[] = {0, 1, 2, 3, 7, 8, 100, MAX_TASKS};
    for (int threads = 1; threads <= MAX_THREADS; threads++) {
        cn_set_num_threads(threads);
        CHECK(cn_num_threads() == threads);
        for (size_t k = 0; k < sizeof tasks / sizeof *tasks; k++)
            for (int repeat = 0; repeat < 20; repeat++) CHECK(runs_each_once(threads, tasks[k], BIG));
    }
}

static void test_a_negative_count_runs_nothing(void) { CHECK(runs_each_once(cn_num_threads(), -1, BIG)); }

static void test_threads_run_at_once_also_after_a_pause(void) {
    cn_set_num_threads(4);
    CHECK(all_meet(4));
    CHECK(all_meet(4)); /* spinning workers */
    nap(20);
    CHECK(all_meet(4)); /* sleeping workers */
    for (int repeat = 0; repeat < 100; repeat++) CHECK(all_meet(3));
}

static void test_resize(void) {
    const int sizes[] = {4, 1, 6, 2, 3};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        cn_set_num_threads(sizes[k]);
        CHECK(runs_each_once(sizes[k], MAX_TASKS, BIG));
        CHECK(all_meet(sizes[k]));
        nap(5);
    }
    cn_set_num_threads(0);
    CHECK(cn_num_threads() == 1);
}

#ifdef __linux__
/* How many threads this process has, the main one included. */
static int alive(void) {
    char line[256];
    int threads = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "Threads: %d", &threads);
    if (status) fclose(status);
    return threads;
}

static void test_superfluous_workers_end(void) {
    cn_set_num_threads(1);
    nap(50);
    int before = alive(); /* a sanitizer may have one of its own */
    cn_set_num_threads(6);
    CHECK(all_meet(6));
    CHECK(alive() == before + 5);
    cn_set_num_threads(2);
    for (int i = 0; i < 2000 && alive() > before + 1; i++) nap(1);
    CHECK(alive() == before + 1);
    CHECK(all_meet(2));
}
#endif

static void nap_and_add_worker(void *job, ptrdiff_t index, int worker) {
    (void)index;
    nap(5); /* time enough for a helper to come */
    counter_add((counter *)job, worker);
}

static void test_small_work_stays_on_the_caller(void) {
    counter helped = 0;
    cn_set_num_threads(4);
    cn_parallel_for(nap_and_add_worker, &helped, 10, 1000.0);
    CHECK(counter_load(&helped) == 0);
    cn_parallel_for(nap_and_add_worker, &helped, 10, BIG);
    CHECK(counter_load(&helped) > 0);
}

/* ---- calls inside calls --------------------------------------------------------------------------------------- */

static void inner(void *job, ptrdiff_t index, int worker) {
    (void)index;
    counter_add((counter *)job, worker == 0 ? 1 : 1000000);
}

static void outer(void *job, ptrdiff_t index, int worker) {
    (void)index, (void)worker;
    cn_parallel_for(inner, job, 50, BIG);
}

static void test_a_nested_call_runs_serially(void) {
    for (int threads = 2; threads <= 4; threads++) {
        counter runs = 0;
        cn_set_num_threads(threads);
        cn_parallel_for(outer, &runs, 40, BIG);
        CHECK(counter_load(&runs) == 40 * 50);
    }
}

/* ---- several callers ------------------------------------------------------------------------------------------ */

static counter concurrent_failures;

THREAD_FUNCTION(caller) {
    (void)argument;
    for (int repeat = 0; repeat < 300; repeat++)
        counter_add(&concurrent_failures, !runs_each_once(4, 1 + repeat % 64, BIG));
    counter_add(&callers_left, -1);
    return THREAD_RETURN;
}

static void test_concurrent_callers(void) {
    cn_set_num_threads(4);
    start_callers(4, caller);
    CHECK(callers_end());
    CHECK(counter_load(&concurrent_failures) == 0);
}

static void test_a_second_caller_does_not_wait(void) {
    cn_set_num_threads(3);
    start_stuck_caller();
    CHECK(runs_each_once(3, MAX_TASKS, BIG));
    CHECK(stuck_caller_ends());
}

/* A thread whose scratch memory is for two workers is not given more, though another thread has raised the number. */
THREAD_FUNCTION(raise_threads) {
    (void)argument;
    cn_set_num_threads(6);
    counter_add(&callers_left, -1);
    return THREAD_RETURN;
}

static void test_the_number_told_is_kept(void) {
    cn_set_num_threads(2);
    int told = cn_num_threads();
    start_callers(1, raise_threads);
    CHECK(callers_end());
    CHECK(runs_each_once(told, MAX_TASKS, BIG));
    CHECK(cn_num_threads() == 6);
    CHECK(all_meet(6));
}

/* ---- the floating-point mode ---------------------------------------------------------------------------------- */

#if defined(__x86_64__) || defined(__aarch64__) || defined(_M_X64) || defined(_M_ARM64)
#define CAN_FLUSH 1
#else
#define CAN_FLUSH 0
#endif

/* 1 when a denormal result, or a denormal operand, counts as zero on this thread. */
static int flushes(void) {
    volatile float least_normal = 1.17549435e-38f, half = 0.5f, denormal = 1e-40f, large = 1e20f;
    volatile float result = least_normal * half, scaled = denormal * large;
    return result == 0 && scaled == 0;
}

typedef struct {
    counter flushing, not_flushing, rounding_up;
    meeting m;
} modes;

static void look_at_mode(void *job, ptrdiff_t index, int worker) {
    modes *m = job;
    meet(&m->m, index, worker); /* so that every thread has a turn */
    counter_add(flushes() ? &m->flushing : &m->not_flushing, 1);
}

static void test_tasks_flush_denormals_and_the_mode_comes_back(void) {
    const double works[] = {0, BIG};
    cn_set_num_threads(4);
    for (int k = 0; k < 2; k++) {
        modes m = {.m = {.all = works[k] > 0 ? 4 : 1}};
        CHECK(!flushes());
        cn_parallel_for(look_at_mode, &m, 4, works[k]);
        CHECK(counter_load(&m.flushing) == (CAN_FLUSH ? 4 : 0));
        CHECK(counter_load(&m.not_flushing) == (CAN_FLUSH ? 0 : 4));
        CHECK(!flushes());
    }
    cn_fp_mode before = cn_flush_denormals();
    cn_parallel_for(look_at_mode, NULL, 0, BIG);
    CHECK(flushes() == CAN_FLUSH); /* a caller that flushes already goes on flushing */
    cn_restore_fp_mode(before);
    CHECK(!flushes());
}

/* Who runs a task must not show in its result: workers round as the caller does at the moment. */
static void count_rounding_up(void *job, ptrdiff_t index, int worker) {
    modes *m = job;
    volatile float one = 1, little = 1e-20f;
    volatile float sum = one + little;
    meet(&m->m, index, worker);
    counter_add(&m->rounding_up, sum > 1);
}

static void test_workers_round_as_the_caller_does(void) {
    modes m = {.m = {.all = 4}};
    cn_set_num_threads(4);
    CHECK(all_meet(4));
    fesetround(FE_UPWARD);
    cn_parallel_for(count_rounding_up, &m, 4, BIG);
    fesetround(FE_TONEAREST);
    CHECK(counter_load(&m.rounding_up) == (CAN_FLUSH ? 4 : 0));
}

static void note_the_first(void *job, ptrdiff_t index, int worker) {
    (void)worker;
    counter_replace(job, -1, index);
}

/* Two threads have shares 0 to 4 and 5 to 9. */
static void test_the_way_back_begins_with_the_last_task_of_a_share(void) {
    cn_set_num_threads(2);
    for (int i = 0; i < 100; i++) {
        counter first = -1, alone = -1, forwards = -1;
        cn_parallel_for_back(note_the_first, &first, 10, BIG);
        cn_parallel_for_back(note_the_first, &alone, 10, 1000.0);
        cn_parallel_for(note_the_first, &forwards, 10, BIG);
        CHECK(counter_load(&first) == 4 || counter_load(&first) == 9);
        CHECK(counter_load(&alone) == 9);
        CHECK(counter_load(&forwards) == 0 || counter_load(&forwards) == 5);
    }
}

int main(void) {
    test_each_index_runs_once();
    test_a_negative_count_runs_nothing();
    test_threads_run_at_once_also_after_a_pause();
    test_resize();
#ifdef __linux__
    test_superfluous_workers_end();
#endif
    test_small_work_stays_on_the_caller();
    test_a_nested_call_runs_serially();
    test_concurrent_callers();
    test_a_second_caller_does_not_wait();
    test_the_number_told_is_kept();
    test_the_way_back_begins_with_the_last_task_of_a_share();
    test_tasks_flush_denormals_and_the_mode_comes_back();
    test_workers_round_as_the_caller_does();
    return report();
}
