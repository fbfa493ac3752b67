/* Inside of auth: what is kept in memory, one a backend, and small verbs that its files share. Loop's thread, where
 * nothing else is said. */
#pragma once

#include "base/clock.h"
#include "base/id.h"
#include "base/map.h"
#include "base/seal.h"
#include "bindings/auth/auth.h"
#include "bindings/auth/hasher.h"
#include "bindings/auth/session.h"
#include "bindings/object/object.h"
#include "store/kv.h"

struct mailer;
struct sessions;
struct login;

struct auth {
    struct backend *backend;
    const struct backend_options *wiring;
    struct hasher *hasher;
    struct sessions *sessions;
    struct mailer *mailer;
    struct login *login;              /* third-party log-in: bindings/login/ */
    struct hob_seal *seal;            /* of TOTP secrets and of the keys of JWTs */
    char dummy_hash[HASH_TEXT_BYTES]; /* what an unknown user's password is compared with, at the same cost */
    unsigned closing;                 /* parts that are not closed yet */
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* session.c */
struct sessions *sessions_new(void);
void sessions_free(struct sessions *s);

/* helpers.c */
/* A string member, borrowed; at == NULL when it is none. */
struct hob_str member_str(const json_t *object, const char *name);
int64_t member_int(const json_t *object, const char *name, int64_t fallback);
/* Writes a JSON object into c->out, the call's answer. */
HOB_MUST_USE enum hob_code answer_json(struct backend_call *c, const json_t *j, struct hob_err *err);
/* The same and ask_finish, or ask_fail. */
void answer_finish(struct backend_call *c, const json_t *j);
void fail_now(struct backend_call *c, enum parse_code code, const char *words);
/* kv_get that takes "there is none" for an answer: then `cb` does not come. */
HOB_MUST_USE enum hob_code kv_maybe(struct data_tx *tx, const char *space, struct hob_str key, int64_t now_ms,
                                    kv_cb cb, void *ctx, struct hob_err *err);
/* SHA-256 of a token as hexadecimal digits. */
void token_digest(struct hob_str token, char out[HOB_DIGEST_CHARS + 1]);
/* json_decref as ask_defer wants it. */
void defer_json(void *json);
/* Frees with the call: json_t that is owned by nobody else. */
json_t *call_json(struct backend_call *c, json_t *owned);
/* Zeroed memory of the call's life; aborts the call's owner when the arena is full (asserted: these are small). */
void *call_alloc(struct backend_call *c, size_t n);
struct hob_str call_str(struct backend_call *c, struct hob_str s);
