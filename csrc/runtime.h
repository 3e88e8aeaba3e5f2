/* What every kernel stands on: the worker pool, the buffer cache, the CPU's features and its denormal mode.
   No Python.h here or below. The state behind these functions exists once a process: the module
   convnet.kernels.runtime links the sources and the other modules reach them through its .pxd. */
#ifndef CONVNET_RUNTIME_H
#define CONVNET_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

/* ---- threads.c ---------------------------------------------------------------------------------------------- */

/* One unit of work: `index` in [0, tasks); `worker` in [0, cn_num_threads()), unique among the threads that run this
   call (0 is the caller), says whose scratch memory to use. */
typedef void (*cn_task)(void *job, ptrdiff_t index, int worker);

/* Run task(job, i, worker) for every i in [0, tasks), on the caller and the pool; return when all are done.
   `work` is the whole call's cost in floating-point operations, a byte moved counting as 8: small work stays on the
   caller.
   Denormals are flushed while tasks run, on every thread; the caller's mode is restored. Each thread begins with a
   share of neighbouring tasks and then helps with the others', so results may depend on `index` but never on `worker`.
   Callable from any thread, also by several at once, and after a fork: a call that finds the pool in use, by another
   thread or because it comes from inside a task, runs serially on its own thread. */
void cn_parallel_for(cn_task task, void *job, ptrdiff_t tasks, double work);

/* The same, but each thread begins with the last of its tasks: for a second pass over a map, whose end the first has
   left in the thread's cache. */
void cn_parallel_for_back(cn_task task, void *job, ptrdiff_t tasks, double work);

/* The most threads a call uses, the caller included. Scratch memory sized by cn_num_threads() stays large enough for
   the calls of the same thread that follow, until it asks again: a change by another thread waits for that. */
void cn_set_num_threads(int threads); /* at least 1; takes effect at the next call */
int cn_num_threads(void);

/* ---- memory.c ----------------------------------------------------------------------------------------------- */

/* A 64-byte-aligned block of at least `bytes` (>= 0) bytes, reused from a bounded cache; NULL when out of memory. */
void *cn_alloc(size_t bytes);
void cn_free(void *block); /* NULL is allowed */
void cn_empty_cache(void);

typedef struct {
    size_t in_use;       /* bytes handed out now */
    size_t peak_in_use;  /* the most ever handed out at once */
    size_t cached;       /* bytes kept for reuse */
    size_t limit;        /* the most that is kept */
    size_t hits, misses; /* blocks served from the cache, from the system */
} cn_memory_stats;
cn_memory_stats cn_get_memory_stats(void);
void cn_set_cache_limit(size_t bytes);

/* ---- cpu.c -------------------------------------------------------------------------------------------------- */

typedef enum { CN_BASELINE = 0, CN_NEON = 1, CN_AVX2 = 2, CN_AVX512 = 3 } cn_isa;

cn_isa cn_best_isa(void);               /* the widest instruction set this CPU and this operating system run */
int cn_isa_supported(cn_isa isa);       /* 1 when this CPU and this system can run it */
const char *cn_isa_name(cn_isa isa);    /* "baseline", "neon", "avx2", "avx512" */
int cn_isa_from_name(const char *name); /* the cn_isa, or -1 */

typedef unsigned long long cn_fp_mode;
cn_fp_mode cn_flush_denormals(void); /* results and operands, in this thread; returns the mode before */
void cn_restore_fp_mode(cn_fp_mode mode);

#endif
