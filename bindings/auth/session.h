/* Sessions: from a token to an identity. A token is "r:" and 32 hexadecimal digits; only its SHA-256 is kept. The row of
 * _Session has as objectId the first characters of that digest in base 62, so that judging a token is one read by primary
 * key; `hidden` has the whole digest.
 *
 * Judged identities (session, user, roles with the roles they stand in, cycles cut) are kept in memory and forgotten by
 * event: whoever writes rows of _Session, _User or _Role (or their relations) inside a job notes it in the call, and
 * ask_write hands the notes over when the commit is durable, before anybody is answered. Nothing is forgotten by mere
 * time but what has expired. Loop's thread, but for session_note. */
#pragma once

#include "bindings/auth/auth.h"

/* Fills c->who (user_id, session_id, session_token, user, subjects) from c->request: the session token, else user_id
 * (acting as that user), else nobody. Then `next`, from inside when nothing has to be read. A bad or expired token ends
 * the call by ask_fail with 209. Master keeps no subjects, but the user of its token is found like anybody's; a bad token
 * beside the master key is no error and gives no user. */
void session_judge(struct backend_call *c, void (*next)(struct backend_call *c));

/* Inside a write job of the call: rows of that class were written. `id`: the row's; empty: any of them. Other classes
 * than _Session, _User and _Role (and its relations: class "_Role") are ignored, so that it may be called for every
 * write. */
void session_note(struct backend_call *c, const char *class_name, struct hob_str id);
/* By ask_write on the loop, when the job's commit is durable and before `next`, also for calls that nobody waits for. */
void session_apply_notes(struct backend_call *c);
/* Everything of an app: after a restore, an import, its removal. */
void session_forget_app(struct auth *a, const char *app);

/* Instead of auth.sessions_kept: for tests. At least 1. */
void session_keep_at_most(struct auth *a, unsigned n);

struct session_stats {
    uint64_t hits, misses, refused;
    unsigned kept;
};
struct session_stats session_stats(const struct auth *a);
