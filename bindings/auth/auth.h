/* Who a caller is, and how one becomes somebody: users, sessions, passwords, mail, third-party log-in. What is kept in
 * memory stands here, one a backend: the cache of sessions, the threads that hash, outgoing HTTP and mail.
 * backend.c starts it and closes it. Owner: the backend. Loop's thread. */
#pragma once

#include "bindings/call_priv.h"

struct auth;
/* Returns owned. `b` and what `o` points to are borrowed for the life. */
HOB_MUST_USE struct auth *auth_start(struct backend *b, const struct backend_options *o, struct hob_err *err);
/* Ends what is under way (mail stays queued in the apps' databases), then `closed` once; the pointer is dead then. */
void auth_close(struct auth *a, void (*closed)(void *ctx), void *ctx);

struct auth_stats {
    uint64_t hash_jobs, hash_jobs_refused, hashes; /* jobs done; refused (429); hashes computed */
    unsigned hash_waiting, hash_running, hash_threads;
    uint64_t session_hits, session_misses, sessions_refused;
    unsigned sessions_kept;
    uint64_t mails_sent, mails_failed, mails_given_up;
};
void auth_stats(const struct auth *a, struct auth_stats *ret_stats);

/* backend.c */
struct auth *backend_auth(struct backend *b);
const struct backend_options *backend_wiring(struct backend *b); /* copied at start; strings borrowed */
