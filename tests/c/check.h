/* What the C tests share: no framework, a macro that counts. Each test_*.c is a program of its own:

   cc -std=c11 -O1 -g -Wall -Wextra -Icsrc tests/c/test_NAME.c csrc/threads.c csrc/memory.c csrc/cpu.c -pthread -lm

   and the same with -fsanitize=address,undefined and with -fsanitize=thread. The exit status is 1 if a check failed. */
#ifndef CONVNET_CHECK_H
#define CONVNET_CHECK_H

#include "os.h"
#include "runtime.h"

#include <stdio.h>
#include <string.h>

static counter passed, failed;

static inline void check(int ok, const char *what, const char *file, int line) {
    counter_add(ok ? &passed : &failed, 1);
    if (!ok) fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
}
#define CHECK(condition) check(condition, #condition, __FILE__, __LINE__)

static inline void nap(int milliseconds) {
#ifdef _WIN32
    Sleep(milliseconds);
#else
    struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    nanosleep(&t, NULL);
#endif
}

/* Print how it went; returns the program's exit status. */
static inline int report(void) {
    printf("%d passed, %d failed\n", (int)counter_load(&passed), (int)counter_load(&failed));
    return counter_load(&failed) > 0;
}

#endif
