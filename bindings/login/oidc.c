/* OpenID Connect. Flow: [DISCOVERING (issuer's configuration, unless the URLs are known)] -> [EXCHANGING (a code for an
 * identity token)] -> KEYS -> judged; a token whose key is not among them asks for the keys once more, which are asked
 * of the provider at most every 30 s.
 *
 * authData: {id_token | token, nonce?} or {code, redirect_uri?, code_verifier?}; `id` may be given and must fit then. */
#include <stdlib.h>

#include "bindings/login/id_token.h"
#include "bindings/login/login_priv.h"

#include "base/banned.h"

enum { FORM_BYTES_MAX = 32768, SECRET_BYTES_MAX = 8192 };

static void ask_keys(struct check *k, bool is_stale);

/* --- judging --- */
static const char *nonce_of(const struct check *k)
{
    return json_string_value(json_object_get(k->data, "nonce"));
}

static void on_keys(void *ctx, const json_t *jwks, const struct hob_err *err)
{
    struct check *k = ctx;
    struct hob_err why = {0};
    json_t *claims hob_auto_json = NULL;
    if (err) {
        check_fail(k, err);
        return;
    }
    struct id_token_rules rules = {.issuer = k->issuer,
                                   .audiences = json_object_get(k->options, "clientId"),
                                   .nonce = nonce_of(k),
                                   .must_have_nonce =
                                       json_is_true(json_object_get(k->options, "requireNonce")),
                                   .now_ms = k->call->now_ms};
    switch (id_token_judge(hob_str(k->id_token), jwks, &rules, &claims, &why)) {
    case ID_TOKEN_GOOD:
        check_confirm(k, member_str(claims, "sub"));
        return;
    case ID_TOKEN_NO_KEY:
        if (!k->has_asked_anew) {
            k->has_asked_anew = true;
            ask_keys(k, true);
            return;
        }
        break;
    case ID_TOKEN_BAD:
    default:
        break;
    }
    check_fail(k, &why);
}

static void ask_keys(struct check *k, bool is_stale)
{
    documents_get(k->login->documents, k->call->request.app, k->jwks_url, is_stale, on_keys, k);
}

/* --- a code --- */
static void on_tokens(void *ctx, const struct outbound_answer *a, const struct hob_err *err)
{
    struct check *k = ctx;
    struct hob_err why = {0};
    json_t *json hob_auto_json = a ? check_answer(a, &why) : NULL;
    struct hob_str token = member_str(json, "id_token");
    if (!json)
        check_fail(k, err ? err : &why);
    else if (!token.n || token.n > ID_TOKEN_BYTES_MAX)
        check_refuse(k);
    else {
        k->id_token = hob_strndup(token.at, token.n);
        ask_keys(k, false);
    }
}

static enum hob_code add_member(struct hob_buf *form, const char *name, struct hob_str value)
{
    if (!value.n)
        return HOB_OK;
    enum hob_code rc = hob_buf_addf(form, "%s%s=", form->n ? "&" : "", name);
    return rc == HOB_OK ? outbound_escape(form, value) : rc;
}

static enum hob_code write_form(struct check *k, struct hob_buf *form, struct hob_err *err)
{
    const char *client = json_string_value(json_object_get(k->options, "clientId"));
    hob_auto_buf struct hob_buf secret;
    hob_buf_init(&secret, SECRET_BYTES_MAX);
    enum hob_code rc = check_secret(k, &secret, err);
    if (rc != HOB_OK)
        return rc;
    struct hob_str uri = check_data(k, "redirect_uri");
    rc = add_member(form, "grant_type", HOB_STR("authorization_code"));
    if (rc == HOB_OK)
        rc = add_member(form, "code", check_data(k, "code"));
    if (rc == HOB_OK)
        rc = add_member(form, "redirect_uri", uri.n ? uri : hob_str(check_option(k, "redirectUri")));
    if (rc == HOB_OK)
        rc = add_member(form, "code_verifier", check_data(k, "code_verifier"));
    if (rc == HOB_OK)
        rc = add_member(form, "client_id", hob_str(client));
    if (rc == HOB_OK)
        rc = add_member(form, "client_secret", hob_str(hob_buf_data(&secret)));
    return rc == HOB_OK ? hob_buf_add(form, "", 1)
                        : hob_fail(err, HOB_E_INVALID, "the code is too long for a provider");
}

static void exchange_code(struct check *k)
{
    struct hob_err err = {0};
    hob_auto_buf struct hob_buf form;
    hob_buf_init(&form, FORM_BYTES_MAX);
    if (!k->token_url) {
        check_unsupported(k, "The provider has no tokenUrl.");
        return;
    }
    if (write_form(k, &form, &err) != HOB_OK) {
        check_fail(k, &err);
        return;
    }
    struct outbound_request r = {
        .app = k->call->request.app, .url = k->token_url, .form = hob_buf_data(&form)};
    outbound_ask(k->login->outbound, &r, on_tokens, k);
}

/* --- discovery --- */
static void with_urls(struct check *k)
{
    if (k->id_token)
        ask_keys(k, false);
    else
        exchange_code(k);
}

static void on_configuration(void *ctx, const json_t *json, const struct hob_err *err)
{
    struct check *k = ctx;
    const char *issuer = json_string_value(json_object_get(json, "issuer"));
    const char *jwks_url = json_string_value(json_object_get(json, "jwks_uri"));
    const char *token_url = json_string_value(json_object_get(json, "token_endpoint"));
    if (err) {
        check_fail(k, err);
        return;
    }
    if (!issuer || strcmp(issuer, k->issuer) != 0 || !jwks_url) {
        check_unsupported(k, "The configuration at the issuer's address is of another issuer.");
        return;
    }
    k->jwks_url = k->owned_jwks_url = hob_strdup(jwks_url);
    if (!k->token_url && token_url)
        k->token_url = k->owned_token_url = hob_strdup(token_url);
    with_urls(k);
}

static void discover(struct check *k)
{
    size_t n = strlen(k->issuer);
    while (n && k->issuer[n - 1] == '/')
        n--;
    hob_auto_free char *url = hob_asprintf("%.*s/.well-known/openid-configuration", (int)n, k->issuer);
    documents_get(k->login->documents, k->call->request.app, url, false, on_configuration, k);
}

void oidc_start(struct check *k)
{
    struct hob_str token = check_data(k, "id_token"), code = check_data(k, "code");
    const json_t *client = json_object_get(k->options, "clientId");
    if (!token.n)
        token = check_data(k, "token");
    if (!k->issuer || (!json_is_string(client) && !json_is_array(client))) {
        check_unsupported(k, "The provider needs issuer and clientId.");
        return;
    }
    if (token.n > ID_TOKEN_BYTES_MAX || (!token.n && !(code.n && json_is_string(client)))) {
        check_refuse(k);
        return;
    }
    if (token.n)
        k->id_token = hob_strndup(token.at, token.n);
    if (k->jwks_url)
        with_urls(k);
    else
        discover(k);
}
