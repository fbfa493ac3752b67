/* What the launcher tells of an instance's walls: the account of what is in force, and the system calls that ran into
 * them. Each name is a line in the function's log, once an instance, and is counted over all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "controller/dispatch/dispatch_priv.h"

enum { NAMES_MAX = 512, NAME_BYTES = 32 };

struct denied_call {
    char name[NAME_BYTES];
    uint64_t n;
    UT_hash_handle hh;
};

void isolation_walls(void *ctx, struct hob_str text)
{
    struct instance *i = ctx;
    free(i->walls);
    i->walls = hob_strndup(text.at, text.n);
}

static void count(struct dispatcher *d, struct hob_str call)
{
    char name[NAME_BYTES];
    struct denied_call *c;
    bool has_room = HASH_COUNT(d->denied) < NAMES_MAX;
    (void)snprintf(name, sizeof name, "%.*s", (int)call.n, call.at);
    HASH_FIND_STR(d->denied, name, c);
    if (!c && !has_room) { /* numbers that no system call has: a client could invent many */
        (void)snprintf(name, sizeof name, "other");
        HASH_FIND_STR(d->denied, name, c);
    }
    if (!c) {
        c = hob_new(struct denied_call);
        (void)snprintf(c->name, sizeof c->name, "%s", name);
        HASH_ADD_STR(d->denied, name, c);
    }
    c->n++;
}

void isolation_denied(void *ctx, struct hob_str call, uint64_t nth, bool is_last)
{
    struct instance *i = ctx;
    char text[160];
    int n;
    bool is_by_profile = hob_syscall_find(call) >= 0;
    count(i->pool->d, call);
    learn_denied(i, call);
    if (nth == 1) {
        n = snprintf(text, sizeof text, "denied system call: %.*s (not %s)", (int)call.n, call.at,
                     is_by_profile ? "in its profile: \"syscalls\" of hob.json" : "allowed in a sandbox");
        pool_platform_log(i->pool, HOB_CHLOG_WARN, i, HOB_STR(""), hob_str_n(text, (size_t)n));
    }
    if (is_last) {
        n = snprintf(text, sizeof text,
                     "many denied system calls: further ones of this instance are not told");
        pool_platform_log(i->pool, HOB_CHLOG_WARN, i, HOB_STR(""), hob_str_n(text, (size_t)n));
    }
}

void isolation_limits_met(struct instance *i, const struct node_exit *e)
{
    char text[160];
    if (!e->pids_denied)
        return;
    int n = snprintf(text, sizeof text,
                     "%llu processes or threads could not be started: at most %d are allowed (%s)",
                     (unsigned long long)e->pids_denied, HOB_MAX_PROCESSES, "function.processes");
    pool_platform_log(i->pool, HOB_CHLOG_WARN, i, HOB_STR(""), hob_str_n(text, (size_t)n));
}

void dispatcher_each_denied(const struct dispatcher *d, denied_call_cb cb, void *ctx)
{
    for (const struct denied_call *c = d->denied; c; c = c->hh.next)
        cb(ctx, c->name, c->n);
}

void isolation_done(struct dispatcher *d)
{
    struct denied_call *c = d->denied, *next;
    HASH_CLEAR(hh, d->denied); /* the table; the elements stay linked */
    for (; c; c = next) {
        next = c->hh.next;
        free(c);
    }
}
