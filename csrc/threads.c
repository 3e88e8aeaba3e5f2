/* The worker pool.

   One call at a time owns the pool; a call that finds it owned (from inside a task, from another thread) runs its
   tasks itself. The owner publishes its call and opens `seats`, one for each helper it wants. Whoever takes a seat
   helps until no task is left, then counts itself in `finished`. The owner works too, closes the seats that nobody
   took and waits for those who sat down: a worker that the system does not schedule in time delays nothing. A worker
   without a seat spins for a moment, then sleeps.

   Workers are never joined: they sleep on a static object, so the process may end in any way at any time. A forked
   child has none of its parent's workers; it starts with a fresh pool. */
#include "os.h"
#include "runtime.h"

#include <limits.h>
#include <string.h>

/* Kernels keep their scratch memory in blocks of the cache, not on the stack. */
#define STACK_BYTES (1u << 20)

/* Below this many operations a call stays on its thread. Calling helpers costs the caller less than 1 us, but they come
   late, and the other core must first fetch what this one has just written: two threads made LeNet's small layers (2e6
   operations, 15 us) up to three times slower and were even at 4e6 (2-core Xeon). */
#define SMALL_WORK 4e6

/* Shares of the tasks: at most one a thread. */
#define MOST_SHARES 64

/* Longer than the stretch of a training step that runs on one thread (LeNet's last layers and loss: 150 us): a spinning
   worker comes 0.3 us after the call, a sleeping one 20 to 30 us. Between two looks it gives way to whoever wants the
   CPU. */
#define SPIN_NANOSECONDS 200000

typedef struct {
    mutex lock;
    condition call;      /* workers sleep here until seats are open */
    condition finish;    /* the owner sleeps here until its helpers have left */
    int workers;         /* alive; under lock */
    int refused;         /* the system did not start another; under lock */
    counter owned;       /* 1 while a call owns the pool */
    counter sleepers;    /* workers that need a signal */
    counter owner_waits; /* the owner needs one */

    /* the call: written by the owner while no seat is open or taken */
    cn_task task;
    void *job;
    int backwards; /* each share from its last task to its first */
    cn_fp_mode mode;

    /* what all threads hammer on, each on a cache line of its own */
    char line0[64];
    struct {
        counter next;         /* the first task not handed out */
        ptrdiff_t first, end; /* of the share */
        char padding[40];     /* to a cache line */
    } shares[MOST_SHARES];
    ptrdiff_t share_count;
    char line1[64];
    counter seats; /* helpers still wanted; a helper's number is the value it found here */
    char line2[64];
    counter finished; /* helpers that have left */
    ptrdiff_t seated; /* helpers that came; the owner's */
    char line3[64];
} cn_pool;

#define FRESH_POOL {.lock = MUTEX_INITIALIZER, .call = CONDITION_INITIALIZER, .finish = CONDITION_INITIALIZER}

static cn_pool pool = FRESH_POOL;
static counter wanted_threads = 1;

/* What cn_num_threads() last told this thread: it has sized its scratch memory by that, so its calls use no more,
   even when another thread raises the number meanwhile. */
static THREAD_LOCAL int told_threads = INT_MAX;

/* ---- fork ----------------------------------------------------------------------------------------------------- */

#ifdef _WIN32

static void watch_forks(void) {}

#else

/* Another thread may have owned the pool or held the lock: whatever it left, only this thread exists here. */
static void reset_in_child(void) {
    static const cn_pool fresh = FRESH_POOL;
    memcpy(&pool, &fresh, sizeof pool);
}

static void register_reset(void) { pthread_atfork(NULL, NULL, reset_in_child); }

static void watch_forks(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, register_reset);
}

#endif

/* ---- both sides ----------------------------------------------------------------------------------------------- */

static int seats_open(void) { return counter_load(&pool.seats) > 0; }

static int helpers_gone(void) { return counter_load(&pool.finished) == pool.seated; }

/* Spin until ready() or until SPIN_NANOSECONDS have passed; returns ready(). Whoever else wants this CPU gets it. */
static int spin(int (*ready)(void)) {
    for (int64_t start = nanoseconds(); nanoseconds() - start < SPIN_NANOSECONDS; give_way())
        for (int i = 0; i < 16; i++) {
            if (ready()) return 1;
            spin_hint();
        }
    return ready();
}

/* A thread begins with a share of its own and then helps with the others'. Kernels number their tasks by image, so a
   thread mostly meets the images again that it has in its cache from the kernel before. */
static void run_tasks(int worker) {
    const ptrdiff_t count = pool.share_count;
    for (ptrdiff_t turn = 0; turn < count; turn++) {
        const ptrdiff_t share = (worker + turn) % count, end = pool.shares[share].end;
        const ptrdiff_t last = pool.shares[share].first + end - 1;
        if (counter_load(&pool.shares[share].next) >= end) continue;
        for (ptrdiff_t i; (i = counter_add(&pool.shares[share].next, 1)) < end;)
            pool.task(pool.job, pool.backwards ? last - i : i, worker);
    }
}

static void share_out(ptrdiff_t tasks, ptrdiff_t threads) {
    const ptrdiff_t count = threads < MOST_SHARES ? threads : MOST_SHARES;
    pool.share_count = count;
    for (ptrdiff_t share = 0; share < count; share++) {
        pool.shares[share].first = tasks / count * share + tasks % count * share / count;
        counter_exchange(&pool.shares[share].next, pool.shares[share].first);
        pool.shares[share].end = tasks / count * (share + 1) + tasks % count * (share + 1) / count;
    }
}

/* ---- a worker ------------------------------------------------------------------------------------------------- */

/* The number of the seat, or 0 when none is open. */
static int take_seat(void) {
    ptrdiff_t seat;
    do seat = counter_load(&pool.seats);
    while (seat > 0 && !counter_replace(&pool.seats, seat, seat - 1));
    return (int)seat;
}

/* With the caller's floating-point mode, so that who runs a task does not show in its result. */
static void help(int seat) {
    cn_restore_fp_mode(pool.mode);
    run_tasks(seat);
    counter_add(&pool.finished, 1);
    if (counter_load(&pool.owner_waits)) {
        mutex_lock(&pool.lock); /* the owner is now either waiting or yet to look at `finished` */
        mutex_unlock(&pool.lock);
        condition_signal(&pool.finish);
    }
}

/* Sleep until seats are open; 0 when there are now more workers than wanted and this one is to end. */
static int sleep_until_called(void) {
    int needed = 1;
    mutex_lock(&pool.lock);
    counter_add(&pool.sleepers, 1);
    while (!seats_open() && (needed = pool.workers < counter_load(&wanted_threads)))
        condition_wait(&pool.call, &pool.lock);
    counter_add(&pool.sleepers, -1);
    pool.workers -= !needed;
    mutex_unlock(&pool.lock);
    return needed;
}

THREAD_FUNCTION(work) {
    (void)argument;
    for (;;) {
        int seat = take_seat();
        if (seat)
            help(seat);
        else if (!spin(seats_open) && !sleep_until_called())
            return THREAD_RETURN;
    }
}

/* ---- the owner ------------------------------------------------------------------------------------------------ */

/* Fewer workers than wanted are no error: the owner runs what nobody else takes. */
static void start_workers(ptrdiff_t helpers) {
    mutex_lock(&pool.lock);
    while (pool.workers < helpers && !pool.refused) {
        pool.refused = !thread_start(work, STACK_BYTES);
        pool.workers += !pool.refused;
    }
    mutex_unlock(&pool.lock);
}

static void open_seats(ptrdiff_t helpers) {
    counter_exchange(&pool.seats, helpers);
    ptrdiff_t sleepers = counter_load(&pool.sleepers);
    if (sleepers == 0) return;
    mutex_lock(&pool.lock); /* whoever saw no seat is now asleep */
    mutex_unlock(&pool.lock);
    for (ptrdiff_t i = 0; i < sleepers && i < helpers; i++) condition_signal(&pool.call);
}

static void wait_for_helpers(void) {
    if (spin(helpers_gone)) return;
    mutex_lock(&pool.lock);
    counter_exchange(&pool.owner_waits, 1);
    while (!helpers_gone()) condition_wait(&pool.finish, &pool.lock);
    counter_exchange(&pool.owner_waits, 0);
    mutex_unlock(&pool.lock);
}

static void run_with_helpers(cn_task task, void *job, ptrdiff_t tasks, int backwards, cn_fp_mode mode,
                             ptrdiff_t helpers) {
    pool.task = task;
    pool.job = job;
    pool.backwards = backwards;
    pool.mode = mode;
    share_out(tasks, helpers + 1);
    counter_exchange(&pool.finished, 0);
    start_workers(helpers);
    open_seats(helpers);
    run_tasks(0);
    pool.seated = helpers - counter_exchange(&pool.seats, 0);
    wait_for_helpers();
}

/* How many helpers are worth calling. */
static ptrdiff_t helpers_for(ptrdiff_t tasks, double work) {
    if (work < SMALL_WORK) return 0;
    ptrdiff_t threads = counter_load(&wanted_threads);
    threads = threads < told_threads ? threads : told_threads;
    return (tasks < threads ? tasks : threads) - 1;
}

static void run(cn_task task, void *job, ptrdiff_t tasks, double work, int backwards) {
    cn_fp_mode before = cn_flush_denormals();
    cn_fp_mode flushing = cn_flush_denormals();
    ptrdiff_t helpers = helpers_for(tasks, work);
    watch_forks();
    if (helpers > 0 && counter_replace(&pool.owned, 0, 1)) {
        run_with_helpers(task, job, tasks, backwards, flushing, helpers);
        counter_exchange(&pool.owned, 0);
    } else {
        for (ptrdiff_t i = 0; i < tasks; i++) task(job, backwards ? tasks - 1 - i : i, 0);
    }
    cn_restore_fp_mode(before);
}

void cn_parallel_for(cn_task task, void *job, ptrdiff_t tasks, double work) { run(task, job, tasks, work, 0); }

void cn_parallel_for_back(cn_task task, void *job, ptrdiff_t tasks, double work) { run(task, job, tasks, work, 1); }

void cn_set_num_threads(int threads) {
    told_threads = threads > 1 ? threads : 1;
    counter_exchange(&wanted_threads, told_threads);
    mutex_lock(&pool.lock);
    pool.refused = 0;
    mutex_unlock(&pool.lock);
    condition_broadcast(&pool.call); /* superfluous workers end */
}

int cn_num_threads(void) {
    told_threads = (int)counter_load(&wanted_threads);
    return told_threads;
}
