/* The cache of blocks. */
#include "check.h"

static void test_alignment_and_contents(void) {
    for (size_t bytes = 0; bytes < 100000; bytes += 1 + bytes / 7) {
        unsigned char *p = cn_alloc(bytes);
        CHECK(p && (uintptr_t)p % 64 == 0);
        if (p) memset(p, 0xa5, bytes);
        cn_free(p);
    }
    unsigned char *large = cn_alloc((size_t)9 << 20);
    CHECK(large && (uintptr_t)large % 64 == 0);
    if (large) memset(large, 1, (size_t)9 << 20);
    cn_free(large);
    cn_free(NULL);
}

static void test_at_most_a_fifth_of_a_new_block_is_unused(void) {
    for (size_t bytes = 257; bytes < (size_t)1 << 24; bytes += 1 + bytes / 13) {
        cn_empty_cache();
        size_t before = cn_get_memory_stats().in_use;
        void *p = cn_alloc(bytes);
        size_t taken = cn_get_memory_stats().in_use - before;
        CHECK(taken >= bytes && taken - bytes <= taken / 5);
        cn_free(p);
        CHECK(cn_get_memory_stats().in_use == before);
    }
}

/* A block of up to twice the size serves where there is none of the right one; the nearest, and no larger one. */
static void test_a_larger_block_serves(void) {
    cn_empty_cache();
    void *twice = cn_alloc(2 << 20), *more = cn_alloc(5 << 19), *half_more = cn_alloc(3 << 19);
    cn_free(twice);
    cn_free(half_more);
    cn_free(more);
    void *nearest = cn_alloc(1 << 20), *next = cn_alloc(1 << 20), *new = cn_alloc(1 << 20);
    CHECK(nearest == half_more && next == twice && new != more);
    cn_free(nearest);
    cn_free(next);
    cn_free(new);
    cn_empty_cache();
}

static void test_blocks_are_reused(void) {
    cn_empty_cache();
    cn_memory_stats start = cn_get_memory_stats();
    void *first = cn_alloc(100000), *other = cn_alloc(100000);
    cn_free(other);
    cn_free(first);
    void *second = cn_alloc(99000);
    CHECK(second == first); /* the latest freed, still in the CPU's cache */
    cn_free(second);
    cn_memory_stats end = cn_get_memory_stats();
    CHECK(end.misses - start.misses == 2 && end.hits - start.hits == 1);
    CHECK(start.cached == 0 && end.cached >= 200000);
    CHECK(end.in_use == start.in_use && end.peak_in_use >= start.in_use + 200000);
    cn_empty_cache();
    CHECK(cn_get_memory_stats().cached == 0);
}

enum { SPARE = 16 << 20 }; /* as in memory.c */

/* Blocks of many classes, one after the other, as in a training step: the second round finds them all. Must run first,
   while the most ever in use is one of them. */
static void test_a_small_step_misses_nothing(void) {
    for (int round = 0; round < 2; round++) {
        const size_t misses = cn_get_memory_stats().misses;
        for (size_t bytes = 10000; bytes < 3000000; bytes += bytes / 3) cn_free(cn_alloc(bytes));
        CHECK(round == 0 || cn_get_memory_stats().misses == misses);
    }
    CHECK(cn_get_memory_stats().cached > 2 * cn_get_memory_stats().peak_in_use);
}

/* What is in use counts: while a program holds much, less is kept. */
static void test_what_is_in_use_counts(void) {
    enum { BLOCK = 32 << 20 };
    cn_empty_cache();
    void *small[8], *large;
    for (int i = 0; i < 8; i++) small[i] = cn_alloc(BLOCK);
    for (int i = 0; i < 8; i++) cn_free(small[i]);
    large = cn_alloc((size_t)7 * BLOCK); /* another class */
    cn_memory_stats stats = cn_get_memory_stats();
    CHECK(stats.in_use + stats.cached <= stats.peak_in_use + stats.peak_in_use / 4 + SPARE);
    cn_free(large);
    cn_empty_cache();
}

static void test_nothing_grows_with_the_number_of_shapes(void) {
    size_t most = 0;
    for (size_t bytes = 1; bytes < (size_t)1 << 22; bytes += 1 + bytes / 50) {
        cn_free(cn_alloc(bytes));
        cn_memory_stats stats = cn_get_memory_stats();
        most = stats.cached > most ? stats.cached : most;
        CHECK(stats.cached <= stats.peak_in_use + stats.peak_in_use / 4 + SPARE);
    }
    CHECK(most > 0);
}

static void test_the_limit_holds_and_the_oldest_goes(void) {
    enum { KIB = 1024 };
    cn_memory_stats before = cn_get_memory_stats();
    void *large = cn_alloc(4096 * KIB); /* so that only the limit binds */
    cn_empty_cache();
    cn_set_cache_limit(100 * KIB);
    void *a = cn_alloc(40 * KIB), *b = cn_alloc(48 * KIB), *c = cn_alloc(32 * KIB);
    cn_free(a);
    cn_free(b);
    CHECK(cn_get_memory_stats().cached == 88 * KIB);
    cn_free(c); /* 120 KiB: a goes */
    CHECK(cn_get_memory_stats().cached == 80 * KIB);
    size_t misses = cn_get_memory_stats().misses;
    void *b_again = cn_alloc(48 * KIB), *c_again = cn_alloc(32 * KIB);
    CHECK(b_again == b && c_again == c);
    CHECK(cn_get_memory_stats().misses == misses);
    cn_free(b_again);
    cn_free(c_again);
    cn_set_cache_limit(40 * KIB);
    CHECK(cn_get_memory_stats().cached == 32 * KIB && cn_get_memory_stats().limit == 40 * KIB);
    cn_free(large); /* larger than the limit: not kept, and nothing else is left either */
    CHECK(cn_get_memory_stats().cached <= 40 * KIB);
    cn_set_cache_limit(0);
    CHECK(cn_get_memory_stats().cached == 0);
    cn_set_cache_limit(before.limit);
}

static void test_sizes_that_do_not_exist(void) {
    cn_memory_stats before = cn_get_memory_stats();
    CHECK(cn_alloc(SIZE_MAX) == NULL);
    CHECK(cn_alloc(SIZE_MAX - 63) == NULL);
    CHECK(cn_alloc((size_t)PTRDIFF_MAX) == NULL);
    CHECK(cn_get_memory_stats().in_use == before.in_use);
    CHECK(cn_get_memory_stats().peak_in_use == before.peak_in_use);
}

/* Threads that write their number over blocks and find it there afterwards: no block is handed out twice. */
static counter overwritten;

static void fill_and_look(void *job, ptrdiff_t index, int worker) {
    (void)job, (void)worker;
    size_t bytes = 64 + (size_t)(index * 7919 % 5000);
    unsigned char mark = (unsigned char)index, *p = cn_alloc(bytes), *q = cn_alloc(bytes);
    memset(p, mark, bytes);
    memset(q, mark ^ 0xff, bytes);
    for (size_t i = 0; i < bytes; i++) counter_add(&overwritten, p[i] != mark || q[i] != (mark ^ 0xff));
    cn_free(p);
    cn_free(q);
}

static void test_the_cache_serves_many_threads(void) {
    size_t in_use = cn_get_memory_stats().in_use;
    cn_set_num_threads(4);
    cn_parallel_for(fill_and_look, NULL, 1000, 1e12);
    CHECK(counter_load(&overwritten) == 0);
    CHECK(cn_get_memory_stats().in_use == in_use);
}

int main(void) {
    test_a_small_step_misses_nothing();
    test_alignment_and_contents();
    test_at_most_a_fifth_of_a_new_block_is_unused();
    test_a_larger_block_serves();
    test_blocks_are_reused();
    test_what_is_in_use_counts();
    test_nothing_grows_with_the_number_of_shapes();
    test_the_limit_holds_and_the_oldest_goes();
    test_sizes_that_do_not_exist();
    test_the_cache_serves_many_threads();
    return report();
}
