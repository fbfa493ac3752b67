/* Which way a provider is checked: what is known of the great ones, what the app's options say of any other. */
#include "bindings/login/provider.h"

#include <stdlib.h>

#include "bindings/login/login_priv.h"

#include "base/banned.h"

enum { SECRET_BYTES_MAX = 8192 };

static const struct known {
    const char *name;
    enum provider_kind kind;
    const char *issuer, *jwks_url, *token_url, *user_url, *id_member;
} known[] = {
    {"google", PROVIDER_OIDC, "https://accounts.google.com", "https://www.googleapis.com/oauth2/v3/certs",
     "https://oauth2.googleapis.com/token", NULL, NULL},
    {"apple", PROVIDER_OIDC, "https://appleid.apple.com", "https://appleid.apple.com/auth/keys",
     "https://appleid.apple.com/auth/token", NULL, NULL},
    {"facebook", PROVIDER_OIDC, "https://www.facebook.com",
     "https://www.facebook.com/.well-known/oauth/openid/jwks/", NULL, NULL, NULL},
    {"github", PROVIDER_OAUTH, NULL, NULL, "https://github.com/login/oauth/access_token",
     "https://api.github.com/user", "id"},
    {"wechat", PROVIDER_WECHAT, NULL, NULL, "https://api.weixin.qq.com/sns/oauth2/access_token",
     "https://api.weixin.qq.com/sns/auth", NULL},
};

const char *check_option(const struct check *k, const char *name)
{
    const char *text = json_string_value(json_object_get(k->options, name));
    return text && *text ? text : NULL;
}

struct hob_str check_data(const struct check *k, const char *name)
{
    return member_str(k->data, name);
}

/* --- the end --- */
static void check_end(struct check *k, const struct hob_err *err, const json_t *kept)
{
    provider_cb done = k->done;
    void *ctx = k->ctx;
    free(k->provider);
    free(k->owned_jwks_url);
    free(k->owned_token_url);
    free(k->id_token);
    free(k->access_token);
    free(k);
    done(ctx, err, kept);
}

void check_confirm(struct check *k, struct hob_str id)
{
    struct hob_str named = check_data(k, "id");
    bool is_other = named.at && !hob_str_eq(named, id);
    if (is_other || !id.n || !hob_utf8_is_valid(id)) {
        check_refuse(k);
        return;
    }
    json_t *kept = call_json(k->call, json_pack("{s:s%}", "id", id.at, id.n));
    check_end(k, NULL, kept);
}

void check_refuse(struct check *k)
{
    struct hob_err err;
    (void)parse_fail(&err, PARSE_OBJECT_NOT_FOUND, "%s auth is invalid for this user.", k->provider);
    check_end(k, &err, NULL);
}

/* What went wrong between us and the provider: may be tried again, unless it is forbidden. */
void check_fail(struct check *k, const struct hob_err *why)
{
    struct hob_err err = *why;
    if (err.code == HOB_E_UNAUTHORIZED) {
        (void)parse_fail(&err, PARSE_OBJECT_NOT_FOUND, "%s auth is invalid for this user.", k->provider);
    } else if (err.code == HOB_E_FORBIDDEN || err.code == HOB_E_INVALID || err.code == HOB_E_TOO_LARGE) {
        (void)parse_fail(&err, PARSE_UNSUPPORTED_SERVICE, "%s cannot be asked: %s", k->provider, why->msg);
    } else if (err.code != HOB_E_BUSY) {
        (void)hob_fail(&err, HOB_E_UNAVAILABLE, "%s cannot be asked now: %s", k->provider, why->msg);
    }
    check_end(k, &err, NULL);
}

void check_unsupported(struct check *k, const char *why)
{
    struct hob_err err;
    (void)parse_fail(&err, PARSE_UNSUPPORTED_SERVICE, "This authentication method is unsupported.%s%s",
                     why ? " " : "", why ? why : "");
    check_end(k, &err, NULL);
}

enum hob_code check_secret(struct check *k, struct hob_buf *out, struct hob_err *err)
{
    const char *plain = check_option(k, "clientSecret"), *name = check_option(k, "clientSecretName");
    const struct backend_wires *w = &k->login->auth->wiring->wires;
    enum hob_code rc = HOB_OK;
    if (name)
        rc = w->secret(w->ctx, k->call->request.app, name, out, err);
    else if (plain)
        rc = hob_buf_add_str(out, hob_str(plain));
    return rc == HOB_OK ? hob_buf_add(out, "", 1) : rc;
}

json_t *check_answer(const struct outbound_answer *a, struct hob_err *err)
{
    if (a->status < 200 || a->status > 299) {
        (void)hob_fail(err, a->status >= 500 || a->status == 429 ? HOB_E_UNAVAILABLE : HOB_E_UNAUTHORIZED,
                       "it answered %d", a->status);
        return NULL;
    }
    json_t *json = hob_json_parse(a->body, "the provider's answer", err);
    if (!json)
        err->code = HOB_E_UNAVAILABLE;
    if (json_is_object(json))
        return json;
    json_decref(json);
    (void)hob_fail(err, HOB_E_UNAVAILABLE, "it answered no JSON object");
    return NULL;
}

/* --- the beginning --- */
static const struct known *find_known(const char *name)
{
    for (size_t i = 0; i < HOB_COUNT(known); i++) {
        if (strcmp(known[i].name, name) == 0)
            return &known[i];
    }
    return NULL;
}

static bool kind_of(const struct check *k, const struct known *n, enum provider_kind *ret_kind)
{
    const char *type = check_option(k, "type");
    if (check_option(k, "function"))
        *ret_kind = PROVIDER_FUNCTION;
    else if (type ? strcmp(type, "oidc") == 0 : !n && check_option(k, "issuer"))
        *ret_kind = PROVIDER_OIDC;
    else if (type ? strcmp(type, "oauth2") == 0 : !n && check_option(k, "userUrl"))
        *ret_kind = PROVIDER_OAUTH;
    else if (type && strcmp(type, "wechat") == 0)
        *ret_kind = PROVIDER_WECHAT;
    else if (n && !type)
        *ret_kind = n->kind;
    else
        return false;
    return true;
}

static const char *either(const char *own, const char *otherwise)
{
    return own ? own : otherwise;
}

static void take_urls(struct check *k, const struct known *n)
{
    static const struct known nothing;
    if (!n || n->kind != k->kind || check_option(k, "issuer")) /* what belongs together is not mixed */
        n = &nothing;
    k->issuer = either(check_option(k, "issuer"), n->issuer);
    k->jwks_url = either(check_option(k, "jwksUrl"), n->jwks_url);
    k->token_url = either(check_option(k, "tokenUrl"), n->token_url);
    k->user_url = either(check_option(k, "userUrl"), n->user_url);
    k->id_member = either(check_option(k, "idField"), either(n->id_member, "id"));
}

void provider_check(const struct provider_ask *a, provider_cb done, void *ctx)
{
    static void (*const starts[])(struct check * k) = {[PROVIDER_OIDC] = oidc_start,
                                                       [PROVIDER_OAUTH] = oauth_start,
                                                       [PROVIDER_WECHAT] = wechat_start,
                                                       [PROVIDER_FUNCTION] = function_start};
    struct check *k = hob_new(struct check);
    const struct known *n = find_known(a->provider);
    k->login = backend_auth(a->call->backend)->login;
    k->call = a->call;
    k->provider = hob_strdup(a->provider);
    k->options = a->options;
    k->data = a->data;
    k->done = done;
    k->ctx = ctx;
    bool is_on = json_is_object(a->options) && !json_is_false(json_object_get(a->options, "enabled"));
    if (!is_on || !kind_of(k, n, &k->kind)) {
        check_unsupported(k, NULL);
        return;
    }
    take_urls(k, n);
    starts[k->kind](k);
}

/* --- life --- */
struct login *login_new(struct auth *a, uv_loop_t *loop, bool may_reach_private)
{
    struct login *l = hob_new(struct login);
    l->auth = a;
    l->outbound = outbound_new(loop, may_reach_private);
    l->documents = documents_new(l);
    return l;
}

static void on_outbound_closed(void *ctx)
{
    struct login *l = ctx;
    void (*closed)(void *closed_ctx) = l->closed;
    void *closed_ctx = l->closed_ctx;
    documents_free(l->documents);
    free(l);
    closed(closed_ctx);
}

void login_close(struct login *l, void (*closed)(void *ctx), void *ctx)
{
    l->closed = closed;
    l->closed_ctx = ctx;
    outbound_close(l->outbound, on_outbound_closed, l);
}
