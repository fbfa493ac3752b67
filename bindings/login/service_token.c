/* Short-lived tokens for other services (JSON Web Tokens, ES256): POST /auth/token gives the caller's, any service checks it
 * with the app's public keys (GET /auth/jwks, and /apps/APPLICATION_ID/jwks.json of the HTTP face), without asking us.
 *
 * An app's keys are made when the first token is asked for, kept sealed (kv space "jwt_key", by time), changed after
 * thirty days or when master asks; an old one is published until the last token it signed has expired. */
#include "base/lazy/jose.h"
#include <stdlib.h>

#include "bindings/auth/auth_priv.h"
#include "store/kv.h"

#include "base/banned.h"

enum {
    LIFE_S = 15 * 60,
    LIFE_S_MAX = 3600,
    AUDIENCE_BYTES_MAX = 512,
    KEYS_MAX = 8,
    KEY_BYTES_MAX = 2048,
};
#define DAY_MS (86400LL * 1000)
static const int64_t key_life_ms = 30 * DAY_MS, key_shown_ms = 32 * DAY_MS;

struct token_flow {
    const char *issuer, *audience; /* in the call's arena */
    int64_t life_s;
    bool needs_key, is_rotation, drops_old;
    char kid[HOB_UUID_CHARS + 1];
    struct hob_buf key; /* the newest, as a private JWK; wiped */
};

static void flow_done(void *p)
{
    struct token_flow *f = p;
    if (f->key.mem)
        explicit_bzero(f->key.mem, f->key.cap);
    hob_buf_done(&f->key);
}

static char *label_of(const struct backend_call *c, const char *kid)
{
    return hob_asprintf("jwt/%s/%s", c->request.app, kid);
}

/* When a key was made stands in its name (UUID version 7). */
static int64_t made_ms(const char *kid)
{
    char digits[13];
    (void)snprintf(digits, sizeof digits, "%.8s%.4s", kid, strlen(kid) == HOB_UUID_CHARS ? kid + 9 : "");
    return (int64_t)strtoull(digits, NULL, 16);
}

/* --- keys, inside jobs --- */
struct key_walk {
    struct backend_call *call;
    struct token_flow *flow;
    json_t *names, *public; /* arrays; `public` NULL: not asked for */
};

static enum hob_code open_key(struct backend_call *c, const char *kid, struct hob_str sealed,
                              struct hob_buf *out, struct hob_err *err)
{
    hob_auto_free char *label = label_of(c, kid);
    return hob_seal_open(backend_auth(c->backend)->seal, label, sealed, out, err);
}

static enum hob_code add_public(struct key_walk *w, const char *kid, struct hob_str private,
                                struct hob_err *err)
{
    json_t *jwk hob_auto_json = hob_json_parse(private, "a key", err);
    if (!jwk)
        return err->code;
    json_t *shown = json_pack("{s:s,s:O,s:O,s:O,s:s,s:s,s:s}", "kty", "EC", "crv",
                              json_object_get(jwk, "crv"), "x", json_object_get(jwk, "x"), "y",
                              json_object_get(jwk, "y"), "kid", kid, "use", "sig", "alg", "ES256");
    (void)json_array_append_new(w->public, shown);
    return HOB_OK;
}

static enum hob_code see_key(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct key_walk *w = ctx;
    struct token_flow *f = w->flow;
    char kid[HOB_UUID_CHARS + 1];
    hob_auto_buf struct hob_buf plain;
    (void)snprintf(kid, sizeof kid, "%.*s", HOB_STR_ARG(row->key));
    (void)json_array_append_new(w->names, json_string(kid));
    hob_buf_init(&plain, KEY_BYTES_MAX);
    enum hob_code rc = open_key(w->call, kid, row->value, &plain, err);
    if (rc == HOB_OK && w->public)
        rc = add_public(w, kid, hob_buf_str(&plain), err);
    if (rc == HOB_OK && f && strcmp(kid, f->kid) > 0) { /* by time: the last is the newest */
        memcpy(f->kid, kid, sizeof kid);
        hob_buf_clear(&f->key);
        rc = hob_buf_add_str(&f->key, hob_buf_str(&plain));
    }
    if (plain.mem)
        explicit_bzero(plain.mem, plain.cap);
    return rc;
}

static enum hob_code walk_keys(struct key_walk *w, struct data_tx *tx, struct hob_err *err)
{
    if (w->flow) {
        w->flow->kid[0] = '\0';
        hob_buf_clear(&w->flow->key);
    }
    return kv_each(tx, "jwt_key", (struct hob_str){0}, (struct hob_str){0}, KEYS_MAX, w->call->now_ms,
                   see_key, w, err);
}

static enum hob_code put_key(struct backend_call *c, struct data_tx *tx, const char *kid, const char *jwk,
                             struct hob_err *err)
{
    hob_auto_buf struct hob_buf sealed;
    hob_auto_free char *label = label_of(c, kid);
    hob_buf_init(&sealed, KEY_BYTES_MAX);
    if (hob_seal_shut(backend_auth(c->backend)->seal, label, hob_str(jwk), &sealed) != HOB_OK)
        return hob_fail(err, HOB_E_INTERNAL, "a key does not fit");
    struct kv_row row = {
        .key = hob_str(kid), .value = hob_buf_str(&sealed), .expires_ms = c->now_ms + key_shown_ms};
    return kv_put(tx, "jwt_key", &row, err);
}

static enum hob_code make_key(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct token_flow *f = c->state;
    cjose_jwk_t *jwk = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, NULL);
    char *text = jwk ? cjose_jwk_to_json(jwk, true, NULL) : NULL;
    enum hob_code rc = text ? HOB_OK : hob_fail(err, HOB_E_INTERNAL, "no key can be made");
    if (rc == HOB_OK) {
        hob_uuid7(f->kid);
        rc = put_key(c, tx, f->kid, text, err);
    }
    if (rc == HOB_OK) {
        hob_buf_clear(&f->key);
        rc = hob_buf_add_str(&f->key, hob_str(text));
    }
    if (text) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
    if (jwk)
        (void)cjose_jwk_release(jwk);
    return rc;
}

static enum hob_code drop_surplus(struct data_tx *tx, const json_t *names, size_t kept, struct hob_err *err)
{
    size_t n = json_array_size(names);
    for (size_t i = 0; n > kept && i < n - kept; i++) {
        enum hob_code rc =
            kv_drop(tx, "jwt_key", hob_str(json_string_value(json_array_get(names, i))), NULL, err);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}

static bool is_usable(const struct backend_call *c, const struct token_flow *f)
{
    return f->kid[0] && c->now_ms - made_ms(f->kid) < key_life_ms;
}

/* --- signing, inside jobs --- */
static json_t *claims_of(const struct backend_call *c, const struct token_flow *f)
{
    char id[HOB_UUID_CHARS + 1];
    const struct identity *who = &c->who;
    json_t *roles = json_array();
    for (size_t i = 0; i < who->subjects_n; i++) {
        struct hob_str s = who->subjects[i];
        if (hob_str_starts(s, HOB_STR("role:")))
            (void)json_array_append_new(roles, json_stringn(s.at + 5, s.n - 5));
    }
    hob_uuid7(id);
    json_int_t now_s = c->now_ms / 1000, until_s = now_s + f->life_s;
    return json_pack("{s:s,s:s%,s:s,s:I,s:I,s:s,s:o,s:s%}", "iss", f->issuer, "sub", who->user_id.at,
                     who->user_id.n, "aud", f->audience, "iat", now_s, "exp", until_s, "jti", id, "roles",
                     roles, "sid", who->session_id.n ? who->session_id.at : "", who->session_id.n);
}

static enum hob_code write_token(struct backend_call *c, const struct token_flow *f, cjose_jws_t *jws,
                                 struct hob_err *err)
{
    const char *text = NULL;
    char until[25];
    if (!jws || !cjose_jws_export(jws, &text, NULL))
        return hob_fail(err, HOB_E_INTERNAL, "a token cannot be signed");
    hob_utc_format((c->now_ms / 1000 + f->life_s) * 1000, until);
    json_t *answer hob_auto_json = json_pack("{s:s,s:s,s:I,s:s}", "token", text, "tokenType", "Bearer",
                                             "expiresIn", (json_int_t)f->life_s, "expiresAt", until);
    return answer_json(c, answer, err);
}

static enum hob_code sign(struct backend_call *c, struct hob_err *err)
{
    struct token_flow *f = c->state;
    json_t *claims hob_auto_json = claims_of(c, f);
    hob_auto_free char *text = json_dumps(claims, JSON_COMPACT);
    cjose_jwk_t *jwk = cjose_jwk_import(hob_buf_data(&f->key), f->key.n, NULL);
    cjose_header_t *head = cjose_header_new(NULL);
    bool is_ready = text && jwk && head && cjose_header_set(head, "alg", "ES256", NULL) &&
                    cjose_header_set(head, "kid", f->kid, NULL) && cjose_header_set(head, "typ", "JWT", NULL);
    cjose_jws_t *jws = is_ready ? cjose_jws_sign(jwk, head, (const uint8_t *)text, strlen(text), NULL) : NULL;
    enum hob_code rc = write_token(c, f, jws, err);
    if (jws)
        cjose_jws_release(jws);
    if (head)
        cjose_header_release(head);
    if (jwk)
        (void)cjose_jwk_release(jwk);
    return rc;
}

/* --- jobs --- */
static enum hob_code sign_with_kept(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct token_flow *f = c->state;
    json_t *names hob_auto_json = json_array();
    struct key_walk w = {.call = c, .flow = f, .names = names};
    enum hob_code rc = walk_keys(&w, tx, err);
    f->needs_key = rc == HOB_OK && !is_usable(c, f);
    return rc == HOB_OK && !f->needs_key ? sign(c, err) : rc;
}

static enum hob_code sign_with_new(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct token_flow *f = c->state;
    json_t *names hob_auto_json = json_array();
    struct key_walk w = {.call = c, .flow = f, .names = names};
    enum hob_code rc = walk_keys(&w, tx, err);
    if (rc == HOB_OK && (f->is_rotation || !is_usable(c, f))) {
        rc = drop_surplus(tx, names, f->drops_old ? 0 : KEYS_MAX - 1, err);
        if (rc == HOB_OK)
            rc = make_key(c, tx, err);
    }
    return rc == HOB_OK && !f->is_rotation ? sign(c, err) : rc;
}

static enum hob_code read_public(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    json_t *names hob_auto_json = json_array(), *answer hob_auto_json = json_pack("{s:[]}", "keys");
    struct key_walk w = {.call = c, .names = names, .public = json_object_get(answer, "keys")};
    enum hob_code rc = walk_keys(&w, tx, err);
    return rc == HOB_OK ? answer_json(c, answer, err) : rc;
}

/* --- handlers --- */
static struct token_flow *flow_new(struct backend_call *c)
{
    struct token_flow *f = call_alloc(c, sizeof *f);
    hob_buf_init(&f->key, KEY_BYTES_MAX);
    ask_defer(c, flow_done, f);
    c->state = f;
    return f;
}

static void signed_or_not(struct backend_call *c)
{
    const struct token_flow *f = c->state;
    if (f->needs_key)
        ask_write(c, sign_with_new, ask_finish);
    else
        ask_finish(c);
}

static const char *issuer_of(struct backend_call *c, const char *application_id)
{
    const char *url = ask_text(c, SETTING_PUBLIC_SERVER_URL);
    size_t n = strlen(url);
    while (n && url[n - 1] == '/')
        n--;
    hob_auto_free char *text = n ? hob_asprintf("%.*s/apps/%s", (int)n, url, application_id)
                                 : hob_asprintf("hob:%s", application_id);
    return call_str(c, hob_str(text)).at;
}

static void give_token(struct backend_call *c)
{
    const struct backend_app *app =
        backend_app_by_name(backend_wiring(c->backend)->apps, hob_str(c->request.app));
    const json_t *audience = ask_param(c, "audience"), *life = ask_param(c, "expiresIn");
    int64_t life_s = life ? (int64_t)json_integer_value(life) : LIFE_S;
    if (!c->who.user_id.n || !app) {
        fail_now(c, PARSE_INVALID_SESSION_TOKEN, "Session token required.");
        return;
    }
    if (audience && (!json_is_string(audience) || json_string_length(audience) > AUDIENCE_BYTES_MAX ||
                     !json_string_length(audience))) {
        fail_now(c, PARSE_INVALID_VALUE, "audience: a text of at most 512 bytes");
        return;
    }
    if (life_s < 1 || life_s > LIFE_S_MAX || (life && !json_is_integer(life))) {
        fail_now(c, PARSE_INVALID_VALUE, "expiresIn: seconds, 1 to 3600");
        return;
    }
    struct token_flow *f = flow_new(c);
    f->issuer = issuer_of(c, backend_app_application_id(app));
    f->audience =
        call_str(c, hob_str(audience ? json_string_value(audience) : backend_app_application_id(app))).at;
    f->life_s = life_s;
    ask_read(c, sign_with_kept, signed_or_not);
}

static void rotate(struct backend_call *c)
{
    struct token_flow *f = flow_new(c);
    f->is_rotation = true;
    f->drops_old = json_is_true(ask_param(c, "revoke"));
    ask_write(c, sign_with_new, ask_finish);
}

const struct backend_route token_routes[] = {
    {"POST", "/auth/token", ROUTE_FLOW, NEED_NOTHING, NULL, give_token},
    {"POST", "/auth/keys/rotate", ROUTE_FLOW, NEED_MASTER, NULL, rotate},
    {"GET", "/auth/jwks", ROUTE_READ, NEED_NO_SESSION, read_public, NULL},
    {0},
};
