/* Keys: from headers, from Basic credentials, or from members of the body (how SDKs in browsers send them, so that no
 * preflight is needed). */
#include <sodium.h>
#include <string.h>

#include "api/parse/parse_priv.h"

#include "base/banned.h"

static struct hob_str header(const struct parse_call *c, const char *name)
{
    return http_field(c->x, name);
}

/* "Basic base64(id:key)"; the key is master's, or "javascript-key=KEY". */
static void keys_from_basic(struct parse_call *c)
{
    struct hob_str field = header(c, "authorization"), secret;
    unsigned char text[512];
    size_t n = 0;
    if (!hob_str_starts(field, HOB_STR("Basic ")) ||
        sodium_base642bin(text, sizeof text, field.at + 6, field.n - 6, " ", &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return;
    char *copy = hob_arena_strndup(http_arena(c->x), (const char *)text, n);
    if (!copy)
        return;
    c->application_id = hob_str_cut(hob_str_n(copy, n), ':', &secret);
    if (hob_str_starts(secret, HOB_STR("javascript-key=")))
        c->client_keys[KEY_JAVASCRIPT] = hob_str_n(secret.at + 15, secret.n - 15);
    else if (secret.at)
        c->master_key = secret;
}

void keys_from_headers(struct parse_call *c)
{
    c->application_id = header(c, "x-parse-application-id");
    c->master_key = header(c, "x-parse-master-key");
    c->maintenance_key = header(c, "x-parse-maintenance-key");
    c->session_token = header(c, "x-parse-session-token");
    c->installation_id = header(c, "x-parse-installation-id");
    c->context_text = header(c, "x-parse-cloud-context");
    c->idempotency_key = header(c, "x-parse-request-id");
    c->client_keys[KEY_CLIENT] = header(c, "x-parse-client-key");
    c->client_keys[KEY_JAVASCRIPT] = header(c, "x-parse-javascript-key");
    c->client_keys[KEY_REST] = header(c, "x-parse-rest-api-key");
    c->client_keys[KEY_DOTNET] = header(c, "x-parse-windows-key");
    if (!c->application_id.at)
        keys_from_basic(c);
}

struct body_key {
    const char *name;
    size_t at; /* where in the call its text goes */
};
#define TO(member) offsetof(struct parse_call, member)
static const struct body_key body_keys[] = {
    {"_ApplicationId", TO(application_id)},
    {"_JavaScriptKey", TO(client_keys[KEY_JAVASCRIPT])},
    {"_ClientKey", TO(client_keys[KEY_CLIENT])},
    {"_RestAPIKey", TO(client_keys[KEY_REST])},
    {"_MasterKey", TO(master_key)},
    {"_MaintenanceKey", TO(maintenance_key)},
    {"_SessionToken", TO(session_token)},
    {"_InstallationId", TO(installation_id)},
};
#undef TO

/* The text lives in the arena: the body's member goes. */
static bool take_text(struct parse_call *c, const struct body_key *key, bool speaks)
{
    const json_t *value = json_object_get(c->params, key->name);
    if (!value)
        return true;
    if (!json_is_string(value))
        return json_is_null(value);
    size_t n = json_string_length(value);
    char *copy = speaks ? hob_arena_strndup(http_arena(c->x), json_string_value(value), n) : NULL;
    struct hob_str *to = (struct hob_str *)(void *)((char *)c + key->at);
    if (copy && n)
        *to = hob_str_n(copy, n);
    return true;
}

bool keys_from_body(struct parse_call *c)
{
    static const char *const dropped[] = {"_ClientVersion", "_RevocableSession", "_noBody", "_method",
                                          "_context"};
    const json_t *method = json_object_get(c->params, "_method"),
                 *context = json_object_get(c->params, "_context");
    bool speaks = !c->application_id.at || !backend_app_by_id(c->face->o.apps, c->application_id),
         is_good = true;
    if (!json_object_size(c->params))
        return true;
    if (method && hob_str_is(c->method, "POST")) {
        char *copy = json_is_string(method) ? hob_arena_strndup(http_arena(c->x), json_string_value(method),
                                                                json_string_length(method))
                                            : NULL;
        if (!copy)
            return false;
        c->method = hob_str(copy);
    }
    if (context && speaks && !c->context_text.at) {
        if (json_is_object(context))
            c->context = json_incref((json_t *)(uintptr_t)context);
        else if (json_is_string(context))
            c->context_text = hob_str(
                hob_arena_strndup(http_arena(c->x), json_string_value(context), json_string_length(context)));
    }
    for (size_t i = 0; i < HOB_COUNT(body_keys); i++)
        is_good &= take_text(c, &body_keys[i], speaks);
    for (size_t i = 0; i < HOB_COUNT(body_keys); i++)
        (void)json_object_del(c->params, body_keys[i].name);
    for (size_t i = 0; i < HOB_COUNT(dropped); i++)
        (void)json_object_del(c->params, dropped[i]);
    return is_good;
}

/* *ret_is_listed: the caller's address may use it. */
static bool has_key(const struct parse_call *c, enum backend_key which, struct hob_str key,
                    enum backend_setting addresses, bool *ret_is_listed)
{
    *ret_is_listed = true;
    if (!key.n || !backend_app_check_key(c->app, which, key))
        return false;
    *ret_is_listed = address_is_listed(http_request(c->x)->remote, backend_app_json(c->app, addresses));
    return true;
}

static bool has_client_key(const struct parse_call *c)
{
    static const enum backend_key keys[] = {BACKEND_KEY_CLIENT, BACKEND_KEY_JAVASCRIPT, BACKEND_KEY_REST,
                                            BACKEND_KEY_DOTNET};
    for (size_t i = 0; i < HOB_COUNT(keys); i++)
        if (c->client_keys[i].n && backend_app_check_key(c->app, keys[i], c->client_keys[i]))
            return true;
    return !backend_app_needs_client_key(c->app);
}

bool keys_judge(struct parse_call *c)
{
    static const struct {
        enum backend_key key;
        enum backend_setting addresses;
        enum backend_role role;
    } strong[] = {
        {BACKEND_KEY_MAINTENANCE, SETTING_MAINTENANCE_KEY_IPS, BACKEND_MAINTENANCE},
        {BACKEND_KEY_MASTER, SETTING_MASTER_KEY_IPS, BACKEND_MASTER},
        {BACKEND_KEY_READ_ONLY_MASTER, SETTING_READ_ONLY_MASTER_KEY_IPS, BACKEND_READ_ONLY_MASTER},
    };
    c->role = BACKEND_CLIENT;
    c->app = c->application_id.n ? backend_app_by_id(c->face->o.apps, c->application_id) : NULL;
    if (!c->app)
        return false;
    for (size_t i = 0; i < HOB_COUNT(strong); i++) {
        struct hob_str key = strong[i].key == BACKEND_KEY_MAINTENANCE ? c->maintenance_key : c->master_key;
        bool is_listed;
        if (!has_key(c, strong[i].key, key, strong[i].addresses, &is_listed))
            continue;
        c->role = strong[i].role;
        return is_listed;
    }
    return has_client_key(c);
}
