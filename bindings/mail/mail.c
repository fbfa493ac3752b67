#include "bindings/mail/mail.h"

#include <stdlib.h>

#include "base/limits.h"
#include "bindings/auth/policy.h"
#include "bindings/auth/user_flow.h"
#include "bindings/mail/mail_row.h"
#include "store/kv.h"

#include "base/banned.h"

enum { TOKEN_BYTES = 32, RATE_MAX = 5, RATE_MS = 15 * 60000, LINK_BYTES_MAX = 512 };

static const char *const kinds[] = {[MAIL_TOKEN_VERIFY] = "verify", [MAIL_TOKEN_RESET] = "reset"};

bool mail_is_on(const struct backend_call *c)
{
    return member_str(ask_json(c, SETTING_MAIL), "server").n > 0 && ask_text(c, SETTING_PUBLIC_SERVER_URL)[0];
}

/* --- tokens --- */
static char *token_key(enum mail_token which, struct hob_str token)
{
    char digest[HOB_DIGEST_CHARS + 1];
    token_digest(token, digest);
    return hob_asprintf("%s/%s", kinds[which], digest);
}

static int64_t life_s(const struct backend_call *c, enum mail_token which)
{
    return which == MAIL_TOKEN_VERIFY ? ask_int(c, SETTING_EMAIL_VERIFY_TOKEN_VALIDITY_S)
                                      : policy_reset_token_s(c);
}

static enum hob_code put_token(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                               struct hob_str token, const json_t *user, struct hob_err *err)
{
    hob_auto_free char *key = token_key(which, token);
    json_t *value hob_auto_json = json_pack("{s:O,s:O}", "user", json_object_get(user, "objectId"), "email",
                                            json_object_get(user, "email"));
    hob_auto_free char *text = json_dumps(value, JSON_COMPACT);
    HOB_ASSERT(text);
    struct kv_row row = {
        .key = hob_str(key), .value = hob_str(text), .expires_ms = c->now_ms + life_s(c, which) * 1000};
    return kv_put(tx, "mail_token", &row, err);
}

static enum hob_code take_token(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    struct mail_token_row *t = ctx;
    json_t *j hob_auto_json = hob_json_parse(row->value, "a token", err);
    if (!j)
        return err->code;
    (void)snprintf(t->user_id, sizeof t->user_id, "%.*s", HOB_STR_ARG(member_str(j, "user")));
    (void)snprintf(t->email, sizeof t->email, "%.*s", HOB_STR_ARG(member_str(j, "email")));
    return HOB_OK;
}

enum hob_code mail_token_find(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                              struct hob_str token, struct mail_token_row *ret, struct hob_err *err)
{
    hob_auto_free char *key = token_key(which, token);
    memset(ret, 0, sizeof *ret);
    enum hob_code rc = kv_maybe(tx, "mail_token", hob_str(key), c->now_ms, take_token, ret, err);
    if (rc == HOB_OK && !ret->user_id[0])
        rc = parse_fail(err, PARSE_OBJECT_NOT_FOUND, "The link is not valid any more: ask for another one.");
    return rc;
}

enum hob_code mail_token_drop(struct data_tx *tx, enum mail_token which, struct hob_str token,
                              struct hob_err *err)
{
    hob_auto_free char *key = token_key(which, token);
    return kv_drop(tx, "mail_token", hob_str(key), NULL, err);
}

/* --- links that come again (settings ...ReuseIfValid): the token of the last one, sealed, as long as it lives --- */
static bool reuses(const struct backend_call *c, enum mail_token which)
{
    return which == MAIL_TOKEN_VERIFY ? ask_bool(c, SETTING_EMAIL_VERIFY_TOKEN_REUSE)
                                      : policy_reuses_reset_token(c);
}

static char *link_key(enum mail_token which, const json_t *user)
{
    return hob_asprintf("%s/%.*s", kinds[which], HOB_STR_ARG(member_str(user, "objectId")));
}

static char *link_label(const struct backend_call *c, const char *key)
{
    return hob_asprintf("link/%s/%s", c->request.app, key);
}

static enum hob_code keep_link(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                               const char *token, const json_t *user, struct hob_err *err)
{
    hob_auto_buf struct hob_buf sealed;
    hob_auto_free char *key = link_key(which, user), *label = link_label(c, key);
    hob_buf_init(&sealed, LINK_BYTES_MAX);
    HOB_ASSERT(hob_seal_shut(backend_auth(c->backend)->seal, label, hob_str(token), &sealed) == HOB_OK);
    struct kv_row row = {.key = hob_str(key),
                         .value = hob_buf_str(&sealed),
                         .expires_ms = c->now_ms + life_s(c, which) * 1000};
    return kv_put(tx, "mail_link", &row, err);
}

static enum hob_code take_link(void *ctx, const struct kv_row *row, struct hob_err *err)
{
    (void)err;
    return hob_buf_add_str(ctx, row->value);
}

/* Is it still good for this user: not used, not voided by a new password, and for the same address? */
static enum hob_code judge_link(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                                const json_t *user, char *token, struct hob_err *err)
{
    struct mail_token_row row = {0};
    char digest[HOB_DIGEST_CHARS + 1];
    json_t *now hob_auto_json = NULL, *hidden hob_auto_json = NULL;
    hob_auto_free char *key = token_key(which, hob_str(token));
    enum hob_code rc = kv_maybe(tx, "mail_token", hob_str(key), c->now_ms, take_token, &row, err);
    if (rc == HOB_OK)
        rc = object_get(c, tx, "_User", member_str(user, "objectId"), OBJECT_AS_MASTER, &now, &hidden, err);
    token_digest(hob_str(token), digest);
    bool is_newest = which != MAIL_TOKEN_RESET || hob_str_is(member_str(hidden, "reset"), digest);
    if (rc == HOB_OK && (!is_newest || !row.user_id[0] || !hob_str_is(member_str(user, "email"), row.email)))
        token[0] = '\0';
    return rc;
}

/* The last link's token when it may come again; else "". */
static enum hob_code find_link(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                               const json_t *user, char token[2 * TOKEN_BYTES + 1], struct hob_err *err)
{
    hob_auto_buf struct hob_buf sealed, plain;
    hob_auto_free char *key = link_key(which, user), *label = link_label(c, key);
    struct hob_err unused;
    hob_buf_init(&sealed, LINK_BYTES_MAX);
    hob_buf_init(&plain, LINK_BYTES_MAX);
    token[0] = '\0';
    enum hob_code rc = kv_maybe(tx, "mail_link", hob_str(key), c->now_ms, take_link, &sealed, err);
    bool is_open =
        rc == HOB_OK && sealed.n &&
        hob_seal_open(backend_auth(c->backend)->seal, label, hob_buf_str(&sealed), &plain, &unused) == HOB_OK;
    if (!is_open || plain.n != 2 * (size_t)TOKEN_BYTES) /* one that does not open is none */
        return rc;
    memcpy(token, hob_buf_data(&plain), plain.n);
    token[plain.n] = '\0';
    return judge_link(c, tx, which, user, token, err);
}

/* A link that is new. */
static enum hob_code make_link(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                               const json_t *user, char token[2 * TOKEN_BYTES + 1], struct hob_err *err)
{
    hob_random_hex(token, TOKEN_BYTES);
    enum hob_code rc = put_token(c, tx, which, hob_str(token), user, err);
    if (rc == HOB_OK && which == MAIL_TOKEN_RESET) { /* only the newest link is good */
        char digest[HOB_DIGEST_CHARS + 1];
        token_digest(hob_str(token), digest);
        rc = user_write(c, tx, member_str(user, "objectId"), json_object(),
                        json_pack("{s:s}", "reset", digest), err);
    }
    return rc == HOB_OK && reuses(c, which) ? keep_link(c, tx, which, token, user, err) : rc;
}

/* --- the queue --- */
static enum hob_code count_mail(struct backend_call *c, struct data_tx *tx, struct hob_str user_id,
                                bool *ret_may, struct hob_err *err)
{
    int64_t n = 0, slot = c->now_ms / RATE_MS;
    hob_auto_free char *key = hob_asprintf("%.*s/%lld", HOB_STR_ARG(user_id), (long long)slot);
    struct kv_row start = {.key = hob_str(key), .value = HOB_STR("0"), .expires_ms = c->now_ms + RATE_MS};
    enum hob_code rc = kv_insert(tx, "mail_rate", &start, c->now_ms, err);
    if (rc == HOB_E_CONFLICT) { /* counted before */
        *err = (struct hob_err){0};
        rc = HOB_OK;
    }
    if (rc == HOB_OK)
        rc = kv_add(tx, "mail_rate", hob_str(key), 1, c->now_ms, &n, err);
    *ret_may = n <= RATE_MAX;
    return rc;
}

static enum hob_code put_mail(struct backend_call *c, struct data_tx *tx, json_t *mail, struct hob_err *err)
{
    char id[HOB_UUID_CHARS + 1], meta[64];
    int64_t waiting = 0;
    hob_auto_buf struct hob_buf sealed;
    hob_auto_free char *text = json_dumps(mail, JSON_COMPACT),
                       *label = hob_asprintf("mail/%s", c->request.app);
    HOB_ASSERT(text);
    hob_uuid7(id);
    hob_buf_init(&sealed, MAIL_ROW_BYTES_MAX);
    if (hob_seal_shut(backend_auth(c->backend)->seal, label, hob_str(text), &sealed) != HOB_OK)
        return parse_fail(err, PARSE_OBJECT_TOO_LARGE, "the mail is too large");
    enum hob_code rc = kv_add(tx, "mail_count", HOB_STR("waiting"), 1, c->now_ms, &waiting, err);
    if (rc == HOB_OK && waiting > HOB_MAX_MAILS_WAITING)
        return hob_fail(err, HOB_E_BUSY, "too many mails of this app wait to be sent: try again later");
    int n = snprintf(meta, sizeof meta, "{\"at\":%lld,\"tries\":0}", (long long)c->now_ms);
    struct kv_row row = {
        .key = hob_str(id), .value = hob_buf_str(&sealed), .meta = hob_str_n(meta, (size_t)n)};
    return rc == HOB_OK ? kv_put(tx, "mail", &row, err) : rc;
}

static enum hob_code ask_mail(struct backend_call *c, struct data_tx *tx, enum mail_token which,
                              const json_t *user, struct hob_err *err)
{
    char token[2 * TOKEN_BYTES + 1] = "";
    bool may = false;
    if (!mail_is_on(c) || !member_str(user, "email").n)
        return HOB_OK;
    enum hob_code rc = count_mail(c, tx, member_str(user, "objectId"), &may, err);
    if (rc != HOB_OK || !may) /* somebody's letter box is not to be flooded */
        return rc;
    if (reuses(c, which))
        rc = find_link(c, tx, which, user, token, err);
    if (rc == HOB_OK && !token[0])
        rc = make_link(c, tx, which, user, token, err);
    json_t *mail hob_auto_json =
        json_pack("{s:s,s:O,s:s,s:O?}", "kind", kinds[which], "to", json_object_get(user, "email"), "token",
                  token, "username", json_object_get(user, "username"));
    return rc == HOB_OK ? put_mail(c, tx, mail, err) : rc;
}

enum hob_code mail_ask_verification(struct backend_call *c, struct data_tx *tx, const json_t *user,
                                    struct hob_err *err)
{
    return ask_mail(c, tx, MAIL_TOKEN_VERIFY, user, err);
}

enum hob_code mail_ask_reset(struct backend_call *c, struct data_tx *tx, const json_t *user,
                             struct hob_err *err)
{
    return ask_mail(c, tx, MAIL_TOKEN_RESET, user, err);
}
