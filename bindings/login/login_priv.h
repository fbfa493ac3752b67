/* Inside of third-party log-in: the documents of providers that are kept (keys, discovery), and the check of one identity.
 * Loop's thread. */
#pragma once

#include "base/json.h"
#include "bindings/auth/auth_priv.h"
#include "bindings/login/outbound.h"
#include "bindings/login/provider.h"

struct documents;

struct login {
    struct auth *auth;
    struct outbound *outbound;
    struct documents *documents;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* --- documents.c: JSON documents by URL. Fresh for an hour; a failure is remembered for some seconds, in which nobody
 * asks again; what was there before serves for a day while the provider cannot be reached. Many who ask at the same time
 * are one request. */
struct documents *documents_new(struct login *l);
void documents_free(struct documents *d); /* when no request is under way any more */
typedef void (*document_cb)(void *ctx, const json_t *document, const struct hob_err *err); /* borrowed */
/* `is_stale`: what is kept is not enough (a key that it does not have): asked anew, but at most every 30 s. */
void documents_get(struct documents *d, const char *app, const char *url, bool is_stale, document_cb done,
                   void *ctx);

/* --- provider.c --- */
enum provider_kind { PROVIDER_OIDC, PROVIDER_OAUTH, PROVIDER_WECHAT, PROVIDER_FUNCTION };
struct check { /* of one identity, freed when it has been told */
    struct login *login;
    struct backend_call *call;
    char *provider;
    const json_t *options, *data;
    enum provider_kind kind;
    const char *issuer, *jwks_url, *token_url, *user_url,
        *id_member; /* of the options, else known ones; may be NULL */
    char *owned_jwks_url, *owned_token_url, *id_token, *access_token;
    bool has_asked_anew; /* for keys */
    provider_cb done;
    void *ctx;
};
/* Ends it: with the identity, which must be the one that the client named, if it named one. */
void check_confirm(struct check *k, struct hob_str id);
void check_refuse(struct check *k); /* 101: the provider does not confirm it */
void check_fail(struct check *k, const struct hob_err *err);
void check_unsupported(struct check *k, const char *why);
/* The client's secret: of the options or of the app's secrets; HOB_OK and nothing when there is none. */
HOB_MUST_USE enum hob_code check_secret(struct check *k, struct hob_buf *out, struct hob_err *err);
/* An answer as a JSON object; owned, or NULL. */
json_t *check_answer(const struct outbound_answer *a, struct hob_err *err);
const char *check_option(const struct check *k, const char *name); /* NULL: none */
struct hob_str check_data(const struct check *k, const char *name);

/* The flows. */
void oidc_start(struct check *k);
void oauth_start(struct check *k);
void wechat_start(struct check *k);
void function_start(struct check *k);
