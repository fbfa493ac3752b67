/* OAuth 2 without identity tokens: a code is exchanged for an access token, the provider is asked whose it is. An access
 * token that a client brings could have been given to any other app, hence it is taken only where the app's options say
 * allowAccessToken. WeChat's way has questions of its own.
 * Flow: [EXCHANGING a code] -> ASKING whose -> confirmed. */
#include <stdlib.h>

#include "bindings/login/login_priv.h"

#include "base/banned.h"

enum { TEXT_BYTES_MAX = 32768, SECRET_BYTES_MAX = 8192, TOKEN_BYTES_MAX = 8192 };

/* "name=value&..." behind what is there; a NULL name ends the list. */
struct pair {
    const char *name;
    struct hob_str value;
};
static enum hob_code add_pairs(struct hob_buf *out, char first, const struct pair *pairs)
{
    enum hob_code rc = HOB_OK;
    for (; pairs->name && rc == HOB_OK; pairs++) {
        if (!pairs->value.n)
            continue;
        rc = first ? hob_buf_addf(out, "%c%s=", first, pairs->name) : hob_buf_addf(out, "%s=", pairs->name);
        first = '&';
        if (rc == HOB_OK)
            rc = outbound_escape(out, pairs->value);
    }
    return rc == HOB_OK ? hob_buf_add(out, "", 1) : rc;
}

static char query_start(const char *url)
{
    return strchr(url, '?') ? '&' : '?';
}

/* --- whose token --- */
static void confirm_member(struct check *k, const json_t *json, const char *member)
{
    char digits[24];
    const json_t *id = json_object_get(json, member);
    if (json_is_integer(id)) { /* GitHub's are numbers */
        int n = snprintf(digits, sizeof digits, "%lld", (long long)json_integer_value(id));
        check_confirm(k, hob_str_n(digits, (size_t)n));
        return;
    }
    check_confirm(k, member_str(json, member));
}

static void on_user(void *ctx, const struct outbound_answer *a, const struct hob_err *err)
{
    struct check *k = ctx;
    struct hob_err why = {0};
    json_t *json hob_auto_json = a ? check_answer(a, &why) : NULL;
    if (json)
        confirm_member(k, json, k->id_member);
    else
        check_fail(k, err ? err : &why);
}

static void ask_user(struct check *k)
{
    struct outbound_request r = {.app = k->call->request.app, .url = k->user_url, .bearer = k->access_token};
    outbound_ask(k->login->outbound, &r, on_user, k);
}

/* A token goes into a head line: nothing else may come with it. */
static bool take_token(struct check *k, struct hob_str token)
{
    for (size_t i = 0; i < token.n; i++) {
        if ((unsigned char)token.at[i] <= ' ' || (unsigned char)token.at[i] >= 0x7f)
            return false;
    }
    if (!token.n || token.n > TOKEN_BYTES_MAX)
        return false;
    k->access_token = hob_strndup(token.at, token.n);
    return true;
}

/* --- a code --- */
static void on_token(void *ctx, const struct outbound_answer *a, const struct hob_err *err)
{
    struct check *k = ctx;
    struct hob_err why = {0};
    json_t *json hob_auto_json = a ? check_answer(a, &why) : NULL;
    if (!json)
        check_fail(k, err ? err : &why);
    else if (take_token(k, member_str(json, "access_token")))
        ask_user(k);
    else
        check_refuse(k);
}

static void exchange_code(struct check *k)
{
    struct hob_err err = {0};
    hob_auto_buf struct hob_buf form, secret;
    struct hob_str uri = check_data(k, "redirect_uri");
    hob_buf_init(&form, TEXT_BYTES_MAX);
    hob_buf_init(&secret, SECRET_BYTES_MAX);
    if (check_secret(k, &secret, &err) != HOB_OK) {
        check_fail(k, &err);
        return;
    }
    struct pair pairs[] = {{"grant_type", HOB_STR("authorization_code")},
                           {"code", check_data(k, "code")},
                           {"client_id", hob_str(check_option(k, "clientId"))},
                           {"client_secret", hob_str(hob_buf_data(&secret))},
                           {"redirect_uri", uri.n ? uri : hob_str(check_option(k, "redirectUri"))},
                           {"code_verifier", check_data(k, "code_verifier")},
                           {NULL, {0}}};
    if (add_pairs(&form, 0, pairs) != HOB_OK) {
        check_refuse(k);
        return;
    }
    struct outbound_request r = {
        .app = k->call->request.app, .url = k->token_url, .form = hob_buf_data(&form)};
    outbound_ask(k->login->outbound, &r, on_token, k);
}

void oauth_start(struct check *k)
{
    bool may_bring = json_is_true(json_object_get(k->options, "allowAccessToken"));
    if (!k->user_url || !check_option(k, "clientId"))
        check_unsupported(k, "The provider needs userUrl and clientId.");
    else if (check_data(k, "code").n && k->token_url)
        exchange_code(k);
    else if (!may_bring)
        check_unsupported(k, "Send a code; access tokens are taken only with the option allowAccessToken.");
    else if (take_token(k, check_data(k, "access_token")))
        ask_user(k);
    else
        check_refuse(k);
}

/* --- WeChat --- */
static void on_wechat(void *ctx, const struct outbound_answer *a, const struct hob_err *err)
{
    struct check *k = ctx;
    struct hob_err why = {0};
    json_t *json hob_auto_json = a ? check_answer(a, &why) : NULL;
    bool is_code = check_data(k, "code").n > 0;
    struct hob_str union_id = member_str(json, "unionid");
    bool wants_union = json_is_true(json_object_get(k->options, "useUnionId"));
    if (!json)
        check_fail(k, err ? err : &why);
    else if (member_int(json, "errcode", is_code ? 0 : -1) != 0)
        check_refuse(k);
    else if (is_code)
        check_confirm(k, wants_union ? union_id : member_str(json, "openid"));
    else
        check_confirm(k, check_data(k, "id"));
}

static void ask_wechat(struct check *k, const char *url, const struct pair *pairs)
{
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, TEXT_BYTES_MAX);
    if (hob_buf_add_str(&text, hob_str(url)) != HOB_OK ||
        add_pairs(&text, query_start(url), pairs) != HOB_OK) {
        check_refuse(k);
        return;
    }
    struct outbound_request r = {.app = k->call->request.app, .url = hob_buf_data(&text)};
    outbound_ask(k->login->outbound, &r, on_wechat, k);
}

void wechat_start(struct check *k)
{
    struct hob_err err = {0};
    hob_auto_buf struct hob_buf secret;
    hob_buf_init(&secret, SECRET_BYTES_MAX);
    bool may_bring = json_is_true(json_object_get(k->options, "allowAccessToken"));
    if (check_secret(k, &secret, &err) != HOB_OK) {
        check_fail(k, &err);
    } else if (check_data(k, "code").n && k->token_url && check_option(k, "clientId")) {
        struct pair pairs[] = {{"appid", hob_str(check_option(k, "clientId"))},
                               {"secret", hob_str(hob_buf_data(&secret))},
                               {"code", check_data(k, "code")},
                               {"grant_type", HOB_STR("authorization_code")},
                               {NULL, {0}}};
        ask_wechat(k, k->token_url, pairs);
    } else if (may_bring && check_data(k, "access_token").n && check_data(k, "id").n && k->user_url) {
        struct pair pairs[] = {
            {"access_token", check_data(k, "access_token")}, {"openid", check_data(k, "id")}, {NULL, {0}}};
        ask_wechat(k, k->user_url, pairs);
    } else {
        check_unsupported(k, "Send a code; the provider needs clientId and a secret.");
    }
}
