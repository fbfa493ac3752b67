#include "bindings/auth/identities.h"

#include <stdlib.h>

#include "bindings/auth/user_index.h"
#include "bindings/login/provider.h"

#include "base/banned.h"

enum { PROVIDERS_MAX = 16, IDENTITY_CHARS_MAX = 256, PROVIDER_CHARS_MAX = 64 };

static void check_next(struct identities *i);

static void fail_unsupported(struct identities *i)
{
    if (i->unknown)
        i->unknown(i->call);
    else
        fail_now(i->call, PARSE_UNSUPPORTED_SERVICE, "This authentication method is unsupported.");
}

static bool is_provider_name(const char *name)
{
    size_t n = strlen(name);
    for (size_t k = 0; k < n; k++) {
        char ch = name[k];
        bool is_letter = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
        if (!is_letter && (k == 0 || !((ch >= '0' && ch <= '9') || ch == '-')))
            return false;
    }
    return n > 0 && n <= PROVIDER_CHARS_MAX;
}

/* --- steps --- */
static void take_identity(struct identities *i, const char *provider, const json_t *kept)
{
    struct hob_str id = member_str(kept, "id");
    if (!id.n || id.n > IDENTITY_CHARS_MAX || memchr(id.at, '\n', id.n)) {
        fail_unsupported(i);
        return;
    }
    (void)json_object_set(i->kept, provider, (json_t *)(uintptr_t)kept);
    i->at++;
    check_next(i);
}

static void on_checked(void *ctx, const struct hob_err *err, const json_t *kept)
{
    struct identities *i = ctx;
    if (!err) {
        take_identity(i, json_string_value(json_array_get(i->names, i->at)), kept);
        return;
    }
    if (i->unknown) {
        i->unknown(i->call);
        return;
    }
    i->call->err = *err;
    ask_fail(i->call);
}

static void check_anonymous(struct identities *i, const json_t *data)
{
    if (!ask_bool(i->call, SETTING_ENABLE_ANONYMOUS_USERS)) {
        fail_unsupported(i);
        return;
    }
    struct hob_str id = member_str(data, "id");
    json_t *kept = call_json(i->call, json_pack("{s:s%}", "id", id.n ? id.at : "", id.n));
    take_identity(i, "anonymous", kept);
}

static void check_one(struct identities *i, const char *provider, const json_t *data)
{
    if (!is_provider_name(provider) || !json_is_object(data)) {
        fail_unsupported(i);
        return;
    }
    if (strcmp(provider, "anonymous") == 0) {
        check_anonymous(i, data);
        return;
    }
    const json_t *options = json_object_get(ask_json(i->call, SETTING_AUTH), provider);
    struct provider_ask ask = {.call = i->call, .provider = provider, .options = options, .data = data};
    provider_check(&ask, on_checked, i);
}

static void check_next(struct identities *i)
{
    for (; i->at < json_array_size(i->names); i->at++) {
        const char *provider = json_string_value(json_array_get(i->names, i->at));
        const json_t *data = json_object_get(i->given, provider);
        if (strcmp(provider, "mfa") == 0)
            i->mfa = data;
        else if (json_is_null(data))
            (void)json_object_set_new(i->kept, provider, json_null());
        else {
            check_one(i, provider, data);
            return;
        }
    }
    i->next(i->call);
}

/* --- door --- */
void identities_check(struct backend_call *c, struct identities *i, const json_t *given,
                      void (*next)(struct backend_call *c))
{
    identities_recognize(c, i, given, next, NULL);
}

void identities_recognize(struct backend_call *c, struct identities *i, const json_t *given,
                          void (*next)(struct backend_call *c), void (*unknown)(struct backend_call *c))
{
    const char *name;
    json_t *ignored;
    *i = (struct identities){.call = c, .given = given, .next = next, .unknown = unknown};
    i->names = call_json(c, json_array());
    i->kept = call_json(c, json_object());
    if (given && (!json_is_object(given) || json_object_size(given) > PROVIDERS_MAX)) {
        fail_unsupported(i);
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)given, name, ignored)(void)
        json_array_append_new(i->names, json_string(name));
    check_next(i);
}

bool identities_has_links(const struct identities *i)
{
    const char *provider;
    json_t *kept;
    json_object_foreach(i->kept, provider, kept)
    {
        if (json_is_object(kept))
            return true;
    }
    return false;
}

enum hob_code identities_owner(const struct identities *i, struct data_tx *tx, char *id, struct hob_err *err)
{
    const char *provider;
    json_t *kept;
    *id = '\0';
    json_object_foreach(i->kept, provider, kept)
    {
        char owner[USER_ID_CHARS_MAX + 1];
        if (!json_is_object(kept))
            continue;
        hob_auto_free char *key = user_identity_key(provider, member_str(kept, "id"));
        enum hob_code rc = user_index_find(tx, USER_BY_IDENTITY, hob_str(key), owner, err);
        if (rc != HOB_OK)
            return rc;
        if (*id && *owner && strcmp(id, owner) != 0)
            return parse_fail(err, PARSE_ACCOUNT_ALREADY_LINKED, "this auth is already used");
        if (*owner)
            memcpy(id, owner, sizeof owner);
    }
    return HOB_OK;
}

static enum hob_code store_one(struct data_tx *tx, const char *provider, json_t *kept, struct hob_str user_id,
                               json_t *auth_data, struct hob_err *err)
{
    struct hob_str now = member_str(kept, "id"), was = member_str(json_object_get(auth_data, provider), "id");
    enum hob_code rc = HOB_OK;
    if (was.at && !(now.at && hob_str_eq(now, was))) {
        hob_auto_free char *old_key = user_identity_key(provider, was);
        rc = user_index_release(tx, USER_BY_IDENTITY, hob_str(old_key), user_id, err);
    }
    if (rc == HOB_OK && now.at) {
        hob_auto_free char *key = user_identity_key(provider, now);
        rc = user_index_claim(tx, USER_BY_IDENTITY, hob_str(key), user_id, err);
    }
    if (json_is_null(kept))
        (void)json_object_del(auth_data, provider);
    else
        (void)json_object_set(auth_data, provider, kept);
    return rc;
}

enum hob_code identities_store(const struct identities *i, struct data_tx *tx, struct hob_str user_id,
                               const json_t *before, json_t **ret_auth_data, struct hob_err *err)
{
    const char *provider;
    json_t *kept, *auth_data hob_auto_json = before ? json_deep_copy(before) : json_object();
    json_object_foreach(i->kept, provider, kept)
    {
        enum hob_code rc = store_one(tx, provider, kept, user_id, auth_data, err);
        if (rc != HOB_OK)
            return rc;
    }
    *ret_auth_data = hob_steal(&auth_data);
    return HOB_OK;
}
