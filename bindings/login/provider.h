/* Third parties who say who somebody is. A provider of the app's setting `auth` is judged by what its options say:
 * OpenID Connect (google, apple, microsoft, facebook's limited login, keycloak, or any name with an issuer), an OAuth code
 * or token and a question to the provider (github, wechat, ... or any name with URLs), or a function of the app.
 * Owner: auth. Loop's thread. */
#pragma once

#include "bindings/auth/auth.h"

struct login;
HOB_MUST_USE struct login *login_new(struct auth *a, uv_loop_t *loop, bool may_reach_private);
/* Ends what is under way, then `closed` once. */
void login_close(struct login *l, void (*closed)(void *ctx), void *ctx);

struct provider_ask {
    struct backend_call *call;
    const char *provider;
    const json_t *options; /* auth.PROVIDER of the app; NULL: not set */
    const json_t *data;    /* authData.PROVIDER as the client sent it: an object */
};
/* `kept`: what is stored with the user, {"id":...} at least; borrowed until the callback returns. Else `err` with the
 * Parse code: 252 unknown or switched off, 101 when the provider does not confirm it, 100 when it cannot be asked. Never
 * from inside the call; the call (and its settings) live until then. */
typedef void (*provider_cb)(void *ctx, const struct hob_err *err, const json_t *kept);
void provider_check(const struct provider_ask *a, provider_cb done, void *ctx);

/* What a provider asks before a log-in: those that a function of the app judges have it. `data` is challengeData.PROVIDER,
 * any JSON; `identity` authData.PROVIDER, and `user` who was recognized, as it sees itself; both may be NULL. */
bool provider_has_challenge(const struct provider_ask *a);
/* `said`: the function's "success", borrowed, may be NULL; else its error, with the number that it chose. Never from inside. */
void provider_challenge(const struct provider_ask *a, const json_t *identity, const json_t *user,
                        provider_cb done, void *ctx);
