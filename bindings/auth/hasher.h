/* Threads that hash passwords: a few, at lower priority than the loop and the databases, so that a storm of log-ins takes
 * no request's time; a bounded queue, in which apps take turns. Each job verifies a password against stored hashes, or
 * makes a hash, or both. Owner: auth. Loop's thread. */
#pragma once

#include <uv.h>

#include "bindings/auth/hash.h"

struct hasher;
/* `threads` 0: as many as processors, at most 8. */
HOB_MUST_USE struct hasher *hasher_new(uv_loop_t *loop, unsigned threads);
/* Waiting jobs end with HOB_E_UNAVAILABLE; then `closed` once. */
void hasher_close(struct hasher *h, void (*closed)(void *ctx), void *ctx);

enum { HASHER_STORED_MAX = 21 };
struct hasher_ask {
    const char *app;         /* whose turn it takes; copied */
    struct hob_str password; /* copied, wiped afterwards */
    const char *const *stored;
    size_t stored_n; /* hashes to compare with, at most HASHER_STORED_MAX; copied */
    bool wants_new;  /* make a hash when none of them matches (a new password) */
    bool is_upgrade; /* make a hash when the one that matches is old (a log-in) */
};
struct hasher_answer {
    int match;        /* index of the stored hash that matches, or -1 */
    const char *hash; /* the new one, or NULL; borrowed until the callback returns */
};
/* On the loop, exactly once, never from inside hasher_start. HOB_E_BUSY (429) when too many wait. */
typedef void (*hasher_cb)(void *ctx, const struct hasher_answer *a, const struct hob_err *err);
void hasher_start(struct hasher *h, const struct hasher_ask *ask, hasher_cb done, void *ctx);

struct hasher_stats {
    uint64_t done, refused, hashed; /* hashed: how often a hash was computed, to compare or to keep */
    unsigned waiting, running, threads;
};
struct hasher_stats hasher_stats(struct hasher *h);
