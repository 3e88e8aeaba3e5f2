/* Calls of the pool that check themselves, for the tests of threads and of forks. */
#ifndef CONVNET_POOL_CALLS_H
#define CONVNET_POOL_CALLS_H

#include "check.h"

#define BIG 1e12 /* work that is worth the pool */
#define MAX_TASKS 1000
#define MAX_THREADS 9

/* ---- every index once ----------------------------------------------------------------------------------------- */

typedef struct {
    counter runs[MAX_TASKS];
    counter inside[MAX_THREADS]; /* tasks of each worker that run at this moment */
    counter bad_worker, shared_worker;
    int threads;
} tally;

static inline void count(void *job, ptrdiff_t index, int worker) {
    tally *t = job;
    counter_add(&t->runs[index], 1);
    if (worker < 0 || worker >= t->threads) {
        counter_add(&t->bad_worker, 1);
        return;
    }
    counter_add(&t->shared_worker, counter_add(&t->inside[worker], 1));
    counter_add(&t->inside[worker], -1);
}

typedef void run_tasks(cn_task task, void *job, ptrdiff_t tasks, double work);

static inline int runs_each_once_by(run_tasks *run, int threads, ptrdiff_t tasks, double work) {
    tally t = {.threads = threads};
    run(count, &t, tasks, work);
    int good = !counter_load(&t.bad_worker) && !counter_load(&t.shared_worker);
    for (ptrdiff_t i = 0; i < MAX_TASKS; i++) good &= counter_load(&t.runs[i]) == (i < tasks);
    return good;
}

/* Run `tasks` tasks, forwards and backwards, and check that each ran once, by a worker alone with its number. */
static inline int runs_each_once(int threads, ptrdiff_t tasks, double work) {
    return runs_each_once_by(cn_parallel_for, threads, tasks, work) &&
           runs_each_once_by(cn_parallel_for_back, threads, tasks, work);
}

/* ---- all threads at once -------------------------------------------------------------------------------------- */

/* Tasks that wait until `all` of them are inside at once, or give up after two seconds. */
typedef struct {
    counter arrived, together, workers_seen; /* workers_seen: one bit each, added up */
    ptrdiff_t all;
} meeting;

static inline void meet(void *job, ptrdiff_t index, int worker) {
    meeting *m = job;
    (void)index;
    counter_add(&m->workers_seen, (ptrdiff_t)1 << worker);
    counter_add(&m->arrived, 1);
    for (int i = 0; i < 2000 && counter_load(&m->arrived) < m->all; i++) nap(1);
    counter_add(&m->together, counter_load(&m->arrived) >= m->all);
}

/* Every thread runs one task at the same time, each under a number of its own. */
static inline int all_meet(int threads) {
    meeting m = {.all = threads};
    cn_parallel_for(meet, &m, threads, BIG);
    return counter_load(&m.together) == threads && counter_load(&m.workers_seen) == ((ptrdiff_t)1 << threads) - 1;
}

/* ---- other threads that call ---------------------------------------------------------------------------------- */

static counter callers_left;

static inline void start_callers(int callers, thread_function function) {
    counter_exchange(&callers_left, callers);
    for (int i = 0; i < callers; i++) CHECK(thread_start(function, 1 << 20));
}

static inline int callers_end(void) {
    for (int i = 0; i < 60000 && counter_load(&callers_left) > 0; i++) nap(1);
    return counter_load(&callers_left) == 0;
}

/* A caller that owns the pool and is stuck in a task until `release_owner`. */
static counter release_owner;

static inline void wait_for_release(void *job, ptrdiff_t index, int worker) {
    (void)index, (void)worker;
    counter_add((counter *)job, 1);
    while (!counter_load(&release_owner)) nap(1);
}

static counter owner_inside;

THREAD_FUNCTION(stuck_caller) {
    (void)argument;
    cn_parallel_for(wait_for_release, &owner_inside, 8, BIG);
    counter_add(&callers_left, -1);
    return THREAD_RETURN;
}

static inline void start_stuck_caller(void) {
    counter_exchange(&release_owner, 0);
    counter_exchange(&owner_inside, 0);
    start_callers(1, stuck_caller);
    while (!counter_load(&owner_inside)) nap(1);
}

static inline int stuck_caller_ends(void) {
    counter_exchange(&release_owner, 1);
    return callers_end();
}

#endif
