/* The cache of blocks.

   A training step frees what the next one asks for again. From the system, every page of it would fault on first
   touch: writing 64 MiB then takes 24 ms instead of 6, so freed blocks are kept. Sizes are rounded up to four classes
   per power of two (above 256 bytes at most a fifth of a new block is unused), so that varying shapes reuse each other's
   blocks; where a class has none, a block of up to twice the size serves. What is kept is at most `limit`; with what is in use it is at most a quarter and SPARE bytes more than the
   program ever had in use at once, however many shapes it has seen. The block unused for longest goes first. */
#include "os.h"
#include "runtime.h"

#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

#define ALIGNMENT 64
#define CLASSES (4 * 8 * (int)sizeof(size_t))

/* A training step keeps from 10 MB (digits) to 1 GiB (VGG-16, a few images) of activations. A larger step loses
   little: the last GiB that it frees, the first that the next one needs, is still there. */
#define DEFAULT_LIMIT ((size_t)1 << 30)

/* The blocks of a step are never all in use at once, and few serve another class: without room beyond the peak, the
   step of a small network evicted at its end what it needed at its start (12 blocks and 75 page faults a step). */
#define SPARE ((size_t)16 << 20)

/* Classes up to twice the size. When blocks served their own class alone, a step of ResNet-18 (8 images) had 190 misses
   and spent 17 of its 214 ms in the system; so it has 10 and 3, and 231 MB in use at most instead of 214. */
#define LARGER_CLASSES 4

/* From two of these on, a block asks for huge pages: the first touch of 64 MiB then takes 10 ms instead of 24. */
#define HUGE_PAGE ((size_t)2 << 20)

/* Stands in the ALIGNMENT bytes before those handed out. */
typedef struct block {
    struct block *newer, *older; /* its neighbours among the kept blocks of its class */
    size_t bytes;
    uint64_t kept_since;
    int class;
} block;

static struct {
    mutex lock;
    block *newest[CLASSES], *oldest[CLASSES];
    uint64_t clock; /* blocks freed so far */
    cn_memory_stats stats;
} cache = {.lock = MUTEX_INITIALIZER, .stats = {.limit = DEFAULT_LIMIT}};

/* ---- fork: the child gets the cache as it is, between two operations ----------------------------------------- */

#ifdef _WIN32

static void lock_cache(void) { mutex_lock(&cache.lock); }

#else

static void before_fork(void) { mutex_lock(&cache.lock); }

static void after_fork(void) { mutex_unlock(&cache.lock); }

static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

static void lock_cache(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_forks);
    mutex_lock(&cache.lock);
}

#endif

/* ---- the system ----------------------------------------------------------------------------------------------- */

static void system_free(block *b) {
#ifdef _WIN32
    _aligned_free(b);
#else
    free(b);
#endif
}

static void *system_alloc(size_t bytes) {
#ifdef _WIN32
    return _aligned_malloc(bytes, ALIGNMENT);
#else
    void *memory;
    int huge = bytes >= 2 * HUGE_PAGE;
    if (posix_memalign(&memory, huge ? HUGE_PAGE : ALIGNMENT, bytes) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    if (huge) madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE); /* a wish: no matter if refused */
#endif
    return memory;
#endif
}

/* ---- the kept blocks; all under lock -------------------------------------------------------------------------- */

static void keep(block *b) {
    b->kept_since = cache.clock++;
    b->newer = NULL;
    b->older = cache.newest[b->class];
    *(b->older ? &b->older->newer : &cache.oldest[b->class]) = b;
    cache.newest[b->class] = b;
    cache.stats.cached += b->bytes;
}

static void take_out(block *b) {
    *(b->newer ? &b->newer->older : &cache.newest[b->class]) = b->older;
    *(b->older ? &b->older->newer : &cache.oldest[b->class]) = b->newer;
    cache.stats.cached -= b->bytes;
}

static block *longest_kept(void) {
    block *found = NULL;
    for (int class = 0; class < CLASSES; class++) {
        block *b = cache.oldest[class];
        if (b && (!found || b->kept_since < found->kept_since)) found = b;
    }
    return found;
}

/* Take out blocks until `most` bytes are left; returns them as a list along `older`. */
static block *shrink(size_t most) {
    block *list = NULL;
    while (cache.stats.cached > most) {
        block *b = longest_kept();
        take_out(b);
        b->older = list;
        list = b;
    }
    return list;
}

/* How much may be kept while `in_use` bytes are handed out. */
static size_t bound(size_t in_use) {
    const size_t held = cache.stats.peak_in_use + cache.stats.peak_in_use / 4 + SPARE;
    const size_t room = held > in_use ? held - in_use : 0;
    return cache.stats.limit < room ? cache.stats.limit : room;
}

static void count_handed_out(const block *b) {
    cache.stats.in_use += b->bytes;
    if (cache.stats.in_use > cache.stats.peak_in_use) cache.stats.peak_in_use = cache.stats.in_use;
}

/* ---- the interface -------------------------------------------------------------------------------------------- */

/* Not under lock: giving a large block back takes the system a while. */
static void free_list(block *list) {
    while (list) {
        block *next = list->older;
        system_free(list);
        list = next;
    }
}

/* The class of a size and the size of its blocks: 64 * {5, 6, 7, 8} * 2^k, below that every multiple of 64. */
static int class_of(size_t bytes, size_t *block_bytes) {
    size_t lines_less_one = bytes ? (bytes - 1) / ALIGNMENT : 0;
    int shift = 0;
    while (lines_less_one >> shift >= 8) shift++;
    size_t quarters = (lines_less_one >> shift) + 1;
    *block_bytes = (quarters << shift) * ALIGNMENT;
    return 4 * shift + (int)quarters - 1;
}

static block *from_cache(int class) {
    lock_cache();
    block *b = cache.newest[class];
    for (int i = 1; !b && i <= LARGER_CLASSES && class + i < CLASSES; i++) b = cache.newest[class + i];
    if (b) {
        take_out(b);
        count_handed_out(b);
        cache.stats.hits++;
    }
    mutex_unlock(&cache.lock);
    return b;
}

static block *from_system(int class, size_t bytes) {
    lock_cache();
    block *evicted = shrink(bound(cache.stats.in_use + bytes));
    mutex_unlock(&cache.lock);
    free_list(evicted);
    block *b = system_alloc(ALIGNMENT + bytes);
    if (!b) {
        cn_empty_cache();
        b = system_alloc(ALIGNMENT + bytes);
        if (!b) return NULL;
    }
    b->bytes = bytes;
    b->class = class;
    lock_cache();
    count_handed_out(b);
    cache.stats.misses++;
    mutex_unlock(&cache.lock);
    return b;
}

void *cn_alloc(size_t bytes) {
    if (bytes > PTRDIFF_MAX / 2) /* nothing is that large, and rounding up must not overflow */
        return NULL;
    size_t block_bytes;
    int class = class_of(bytes, &block_bytes);
    block *b = from_cache(class);
    if (!b) b = from_system(class, block_bytes);
    return b ? (char *)b + ALIGNMENT : NULL;
}

void cn_free(void *memory) {
    if (!memory) return;
    block *b = (block *)((char *)memory - ALIGNMENT);
    lock_cache();
    cache.stats.in_use -= b->bytes;
    keep(b);
    block *evicted = shrink(bound(cache.stats.in_use));
    mutex_unlock(&cache.lock);
    free_list(evicted);
}

void cn_empty_cache(void) {
    lock_cache();
    block *evicted = shrink(0);
    mutex_unlock(&cache.lock);
    free_list(evicted);
}

void cn_set_cache_limit(size_t bytes) {
    lock_cache();
    cache.stats.limit = bytes;
    block *evicted = shrink(bound(cache.stats.in_use));
    mutex_unlock(&cache.lock);
    free_list(evicted);
}

cn_memory_stats cn_get_memory_stats(void) {
    lock_cache();
    cn_memory_stats stats = cache.stats;
    mutex_unlock(&cache.lock);
    return stats;
}
