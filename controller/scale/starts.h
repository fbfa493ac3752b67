/* Whose start comes next: deficit round robin between apps, weighed by what a start costs, under a bucket of starts a
 * second and a bound on how many start at a time. One place is never given to an app that has all others, so that a
 * burst of one app does not stand in another's way. Pure: the caller brings the time.
 * Owned by the dispatcher; entries are embedded in pools and must have left (starts_leave) before they are freed. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "manifest/manifest.h"

struct starts_app {
    char *name;
    struct hob_node node;                       /* in struct starts.ring while an entry of it wants one */
    struct hob_list entries[PRIORITY_HIGH + 1]; /* that want one, in turn */
    int64_t deficit_us;
    unsigned running, refs;
    UT_hash_handle hh;
};
struct starts_entry {
    struct hob_node node; /* in app->entries */
    struct starts_app *app;
    enum priority priority;
    unsigned wanted;   /* starts it waits for */
    uint64_t cost_us;  /* of one */
    uint64_t since_us; /* it waits without a break */
};
struct starts {
    struct starts_app *by_name;
    struct hob_list ring; /* apps that want one */
    unsigned running, running_max;
    double tokens, per_s, burst;
    uint64_t at_us;
};

void starts_init(struct starts *s, unsigned running_max, double per_s, double burst);
void starts_join(struct starts *s, struct starts_entry *e, const char *app, enum priority priority);
void starts_leave(struct starts *s, struct starts_entry *e);
/* It wants that many from now on, whatever it wanted before. */
void starts_want(struct starts *s, struct starts_entry *e, unsigned n, uint64_t cost_us, uint64_t now_us);
/* Who may start one now, or NULL; then *ret_again_us says when a token comes (UINT64_MAX: a running start must end
 * first, or nobody wants one). Taking it is starts_began. */
struct starts_entry *starts_next(struct starts *s, uint64_t now_us, uint64_t *ret_again_us);
unsigned starts_wanted(const struct starts *s, unsigned max); /* how many are waited for; max at most */
void starts_began(struct starts *s, struct starts_entry *e);
void starts_ended(struct starts *s, struct starts_entry *e); /* it is up, or it failed */
