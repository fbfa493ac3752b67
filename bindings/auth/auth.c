#include "bindings/auth/auth_priv.h"

#include <stdlib.h>

#include "bindings/login/provider.h"
#include "bindings/mail/mail.h"

#include "base/banned.h"

struct auth *auth_start(struct backend *b, const struct backend_options *o, struct hob_err *err)
{
    struct auth *a = hob_new(struct auth);
    a->backend = b;
    a->wiring = o;
    a->seal = hob_seal_load(o->key_path, true, err);
    char nobody[33]; /* a password that nobody can send: the hash is only there to be compared with */
    hob_random_hex(nobody, 16);
    if (!a->seal || hash_make(hob_str(nobody), a->dummy_hash, err) != HOB_OK) {
        hob_seal_free(a->seal);
        free(a);
        return NULL;
    }
    a->hasher = hasher_new(o->loop, 0);
    a->sessions = sessions_new();
    a->login = login_new(a, o->loop, o->may_reach_private);
    a->mailer = mailer_new(a);
    return a;
}

static void auth_end(struct auth *a)
{
    void (*closed)(void *ctx) = a->closed;
    void *ctx = a->closed_ctx;
    sessions_free(a->sessions);
    hob_seal_free(a->seal);
    free(a);
    closed(ctx);
}

static void on_part_closed(void *ctx)
{
    struct auth *a = ctx;
    if (--a->closing == 0)
        auth_end(a);
}

void auth_close(struct auth *a, void (*closed)(void *ctx), void *ctx)
{
    a->closed = closed;
    a->closed_ctx = ctx;
    a->closing = 3;
    hasher_close(a->hasher, on_part_closed, a);
    mailer_close(a->mailer, on_part_closed, a);
    login_close(a->login, on_part_closed, a);
}

void auth_stats(const struct auth *a, struct auth_stats *ret_stats)
{
    struct hasher_stats h = hasher_stats(a->hasher);
    struct session_stats s = session_stats(a);
    struct mail_stats m = mailer_stats(a->mailer);
    *ret_stats = (struct auth_stats){.hash_jobs = h.done,
                                     .hash_jobs_refused = h.refused,
                                     .hashes = h.hashed,
                                     .hash_waiting = h.waiting,
                                     .hash_running = h.running,
                                     .hash_threads = h.threads,
                                     .session_hits = s.hits,
                                     .session_misses = s.misses,
                                     .sessions_refused = s.refused,
                                     .sessions_kept = s.kept,
                                     .mails_sent = m.sent,
                                     .mails_failed = m.failed,
                                     .mails_given_up = m.given_up};
}
