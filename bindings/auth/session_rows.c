#include "bindings/auth/session_rows.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/banned.h"

enum { BASE_62 = 62, SESSIONS_OF_USER_MAX = 10000 };

void session_id_of(struct hob_str token, char out[SESSION_ID_CHARS + 1])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    unsigned char digest[crypto_hash_sha256_BYTES];
    uint64_t v = 0;
    (void)crypto_hash_sha256(digest, (const unsigned char *)token.at, token.n);
    for (int i = 0; i < 8; i++)
        v = v << 8 | digest[i];
    for (int i = 0; i < SESSION_ID_CHARS; i++, v /= BASE_62)
        out[i] = digits[v % BASE_62];
    out[SESSION_ID_CHARS] = '\0';
}

struct hob_str session_user_of(const json_t *session)
{
    return member_str(json_object_get(session, "user"), "objectId");
}

static json_t *own_acl(struct hob_str user_id)
{
    char key[64];
    (void)snprintf(key, sizeof key, "%.*s", HOB_STR_ARG(user_id));
    return json_pack("{s:{s:b,s:b}}", key, "read", 1, "write", 1);
}

static json_t *where_of(struct hob_str user_id, struct hob_str installation_id)
{
    json_t *where = json_object();
    (void)json_object_set_new(where, "user", object_pointer("_User", user_id));
    if (installation_id.n)
        (void)json_object_set_new(where, "installationId",
                                  json_stringn(installation_id.at, installation_id.n));
    return where;
}

static enum hob_code collect_id(void *ctx, json_t *object, json_t *hidden, struct hob_err *err)
{
    (void)hidden;
    (void)err;
    (void)json_array_append((json_t *)ctx, json_object_get(object, "objectId"));
    return HOB_OK;
}

static enum hob_code end_where(struct backend_call *c, struct data_tx *tx, const json_t *where,
                               struct hob_str except_id, struct hob_err *err)
{
    json_t *ids hob_auto_json = json_array(), *id;
    size_t i;
    enum hob_code rc =
        object_find(c, tx, "_Session", where, SESSIONS_OF_USER_MAX, OBJECT_AS_MASTER, collect_id, ids, err);
    json_array_foreach(ids, i, id)
    {
        struct hob_str at = hob_str(json_string_value(id));
        if (rc != HOB_OK || hob_str_eq(at, except_id))
            continue;
        session_note(c, "_Session", at);
        rc = object_remove(c, tx, "_Session", at, OBJECT_AS_MASTER, err);
    }
    return rc;
}

/* Who comes again takes away what has ended meanwhile. */
static enum hob_code end_expired(struct backend_call *c, struct data_tx *tx, struct hob_str user_id,
                                 struct hob_err *err)
{
    json_t *where hob_auto_json = where_of(user_id, (struct hob_str){0});
    (void)json_object_set_new(where, "expiresAt", json_pack("{s:o}", "$lt", object_date(c->now_ms)));
    return end_where(c, tx, where, (struct hob_str){0}, err);
}

/* A user's sessions are looked for at every log-in. */
static enum hob_code need_class(struct data_tx *tx, struct hob_err *err)
{
    enum hob_code rc = object_class_need(tx, "_Session", err);
    const struct data_class *class = rc == HOB_OK ? data_class_find(tx, "_Session") : NULL;
    for (size_t i = 0; class && i < class->indexes_n; i++) {
        if (strcmp(class->indexes[i].name, "user") == 0)
            return HOB_OK;
    }
    struct data_index by_user = {"user", "{\"user\":1}"};
    return class ? data_index_add(tx, "_Session", &by_user, false, err) : rc;
}

static json_t *row_of(struct backend_call *c, const struct session_new *n)
{
    static const char *const made[] = {"objectId", "id", "createdAt", "updatedAt"};
    json_t *row = n->custom ? json_copy(n->custom) : json_object();
    int64_t length_ms = ask_int(c, SETTING_SESSION_LENGTH_S) * 1000;
    for (size_t i = 0; i < HOB_COUNT(made); i++)
        (void)json_object_del(row, made[i]);
    (void)json_object_set_new(row, "user", object_pointer("_User", n->user_id));
    (void)json_object_set_new(row, "createdWith",
                              json_pack("{s:s,s:s*}", "action", n->action, "authProvider", n->provider));
    (void)json_object_set_new(row, "restricted", json_false());
    if (ask_bool(c, SETTING_EXPIRE_INACTIVE_SESSIONS))
        (void)json_object_set_new(row, "expiresAt", object_date(c->now_ms + length_ms));
    if (n->installation_id.n)
        (void)json_object_set_new(row, "installationId",
                                  json_stringn(n->installation_id.at, n->installation_id.n));
    (void)json_object_set_new(row, "ACL", own_acl(n->user_id));
    return row;
}

enum hob_code session_create(struct backend_call *c, struct data_tx *tx, const struct session_new *n,
                             char token[SESSION_TOKEN_CHARS + 1], struct hob_err *err)
{
    enum hob_code rc = need_class(tx, err);
    if (rc == HOB_OK && ask_bool(c, SETTING_EXPIRE_INACTIVE_SESSIONS))
        rc = end_expired(c, tx, n->user_id, err);
    if (rc == HOB_OK && n->installation_id.n) {
        json_t *where hob_auto_json = where_of(n->user_id, n->installation_id);
        rc = end_where(c, tx, where, (struct hob_str){0}, err);
    }
    if (rc != HOB_OK)
        return rc;
    char id[SESSION_ID_CHARS + 1], digest[HOB_DIGEST_CHARS + 1];
    token[0] = 'r';
    token[1] = ':';
    hob_random_hex(token + 2, (SESSION_TOKEN_CHARS - 2) / 2);
    session_id_of(hob_str(token), id);
    token_digest(hob_str(token), digest);
    struct object_save s = {.class_name = HOB_STR("_Session"),
                            .id = hob_str(id),
                            .is_create = true,
                            .data = row_of(c, n),
                            .hidden = json_pack("{s:s}", "token", digest),
                            .flags = OBJECT_AS_MASTER | OBJECT_AS_SERVER | OBJECT_NO_TRIGGERS};
    rc = object_save_now(c, tx, &s, err);
    object_save_done(&s);
    return rc;
}

enum hob_code session_end_all(struct backend_call *c, struct data_tx *tx, struct hob_str user_id,
                              struct hob_str except_id, struct hob_err *err)
{
    if (!data_class_find(tx, "_Session"))
        return HOB_OK;
    json_t *where hob_auto_json = where_of(user_id, (struct hob_str){0});
    return end_where(c, tx, where, except_id, err);
}

enum hob_code session_row(struct backend_call *c, struct data_tx *tx, struct hob_str token,
                          json_t **ret_session, struct hob_err *err)
{
    char id[SESSION_ID_CHARS + 1], digest[HOB_DIGEST_CHARS + 1];
    json_t *session hob_auto_json = NULL, *hidden hob_auto_json = NULL;
    *ret_session = NULL;
    if (!token.n || token.n > SESSION_TOKEN_CHARS_MAX)
        return HOB_OK;
    session_id_of(token, id);
    token_digest(token, digest);
    enum hob_code rc = object_get(c, tx, "_Session", hob_str(id), OBJECT_AS_MASTER, &session, &hidden, err);
    if (rc != HOB_OK)
        return rc;
    struct hob_str kept = member_str(hidden, "token");
    if (session && kept.n == HOB_DIGEST_CHARS && sodium_memcmp(kept.at, digest, HOB_DIGEST_CHARS) == 0)
        *ret_session = hob_steal(&session);
    return HOB_OK;
}
