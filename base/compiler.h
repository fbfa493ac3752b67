/* Compiler attributes used everywhere, and the functions nobody may call.
 * Included by every header of base/; owns nothing. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOB_MUST_USE __attribute__((warn_unused_result))
#define HOB_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define HOB_NORETURN __attribute__((noreturn))
#define HOB_UNUSED __attribute__((unused))
#define HOB_COLD __attribute__((cold))
#define HOB_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that embeds `member`, from a pointer to that member. */
#define HOB_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* A programmer's error: prints where, dumps what the program knows of itself and aborts. Stays on in release.
 * Never used on what comes from outside. */
#define HOB_ASSERT(cond)                                                                                     \
    do {                                                                                                     \
        if (!(cond))                                                                                         \
            hob_assert_failed(#cond, __FILE__, __LINE__, __func__);                                          \
    } while (0)

HOB_NORETURN HOB_COLD void hob_assert_failed(const char *cond, const char *file, int line, const char *func);
