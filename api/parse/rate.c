/* Rate limits of the app's own choosing (rateLimit): fixed windows in memory, by rule and by address, session, user or all
 * together. What a stranger can make grow is bounded: beyond the bound the oldest windows are forgotten. */
#include <stdlib.h>
#include <string.h>

#include "api/parse/parse_priv.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

#include "base/banned.h"

enum { WINDOWS_MAX = 100000, KEY_BYTES_MAX = 320, RULES_MAX = 200 };

struct window {
    char *key;
    uint64_t ends_ms, n;
    struct hob_node node; /* oldest first */
    UT_hash_handle hh;
};
struct rates {
    struct window *windows;
    struct hob_list by_age;
};

struct rates *rates_new(void)
{
    struct rates *r = hob_new(struct rates);
    hob_list_init(&r->by_age);
    return r;
}

static void forget(struct rates *r, struct window *w)
{
    HASH_DEL(r->windows, w);
    hob_list_remove(&w->node);
    free(w->key);
    free(w);
}

void rates_free(struct rates *r)
{
    while (r->windows)
        forget(r, r->windows);
    free(r);
}

/* One more in the window of that key; how many there are then. */
static uint64_t count(struct rates *r, const char *key, uint64_t window_ms)
{
    struct window *w = NULL;
    uint64_t now = hob_now_ms();
    HASH_FIND_STR(r->windows, key, w);
    if (w && w->ends_ms <= now) {
        forget(r, w);
        w = NULL;
    }
    if (!w) {
        if (HASH_COUNT(r->windows) >= WINDOWS_MAX)
            forget(r, HOB_CONTAINER_OF(hob_list_first(&r->by_age), struct window, node));
        w = hob_new(struct window);
        w->key = hob_strdup(key);
        w->ends_ms = now + window_ms;
        HASH_ADD_KEYPTR(hh, r->windows, w->key, strlen(w->key), w);
        hob_list_push_back(&r->by_age, &w->node);
    }
    return ++w->n;
}

/* "/functions/a", "/classes/:class", "/login*", "*": segments with one star for the rest. */
static bool path_fits(const char *pattern, struct hob_str path)
{
    size_t i = 0;
    for (; *pattern; pattern++) {
        if (*pattern == '*' || (pattern[0] == '(' && pattern[1] == '.'))
            return true;
        if (*pattern == ':') {
            if (i >= path.n || path.at[i] == '/')
                return false;
            while (i < path.n && path.at[i] != '/')
                i++;
            while (pattern[1] && pattern[1] != '/')
                pattern++;
            continue;
        }
        if (i >= path.n || path.at[i] != *pattern)
            return false;
        i++;
    }
    return i == path.n;
}

static bool method_fits(const json_t *methods, struct hob_str method)
{
    if (json_is_string(methods))
        return hob_str_ieq(method, hob_str(json_string_value(methods)));
    for (size_t i = 0; i < json_array_size(methods); i++) {
        const char *one = json_string_value(json_array_get(methods, i));
        if (one && hob_str_ieq(method, hob_str(one)))
            return true;
    }
    return !json_array_size(methods);
}

static bool is_local(const char *remote)
{
    return strcmp(remote, "127.0.0.1") == 0 || strcmp(remote, "::1") == 0 ||
           strcmp(remote, "::ffff:127.0.0.1") == 0;
}

static bool applies(const json_t *rule, const struct parse_call *c, struct hob_str method,
                    struct hob_str path)
{
    const char *pattern = json_string_value(json_object_get(rule, "requestPath"));
    bool is_exempt =
        (c->role != BACKEND_CLIENT && !json_is_true(json_object_get(rule, "includeMasterKey"))) ||
        (is_local(http_request(c->x)->remote) &&
         !json_is_true(json_object_get(rule, "includeInternalRequests")));
    return pattern && !is_exempt && path_fits(pattern, path) &&
           method_fits(json_object_get(rule, "requestMethods"), method);
}

static struct hob_str zone_of(const json_t *rule, const struct parse_call *c)
{
    const char *zone = json_string_value(json_object_get(rule, "zone"));
    if (zone && strcmp(zone, "global") == 0)
        return HOB_STR("");
    /* a user is known by his session here: its judge comes later */
    if (zone && (strcmp(zone, "session") == 0 || strcmp(zone, "user") == 0) && c->session_token.n)
        return c->session_token.n > 100 ? hob_str_n(c->session_token.at, 100) : c->session_token;
    return hob_str(http_request(c->x)->remote);
}

static bool take_rule(struct rates *r, const json_t *rule, size_t index, const struct parse_call *c)
{
    char key[KEY_BYTES_MAX];
    double max = json_number_value(json_object_get(rule, "requestCount")),
           window = json_number_value(json_object_get(rule, "requestTimeWindow"));
    struct hob_str zone = zone_of(rule, c);
    if (max < 1 || window < 1)
        return true;
    (void)snprintf(key, sizeof key, "%.100s %zu %.*s", backend_app_name(c->app), index, HOB_STR_ARG(zone));
    return (double)count(r, key, (uint64_t)window) <= max;
}

static bool take_one(struct rates *r, const struct parse_call *c, struct hob_str method, struct hob_str path,
                     const char **ret_message)
{
    const json_t *rules = backend_app_json(c->app, SETTING_RATE_LIMIT);
    for (size_t i = 0; i < json_array_size(rules) && i < RULES_MAX; i++) {
        const json_t *rule = json_array_get(rules, i);
        if (!applies(rule, c, method, path) || take_rule(r, rule, i, c))
            continue;
        const char *own = json_string_value(json_object_get(rule, "errorResponseMessage"));
        *ret_message = own ? own : "Too many requests.";
        return false;
    }
    return true;
}

/* Parts of a batch count like requests. */
bool rates_take(struct rates *r, const struct parse_call *c, const char **ret_message)
{
    const json_t *rules = backend_app_json(c->app, SETTING_RATE_LIMIT);
    if (!json_array_size(rules))
        return true;
    const json_t *requests = hob_str_is(c->path, "/batch") ? json_object_get(c->params, "requests") : NULL;
    for (size_t i = 0; i < json_array_size(requests); i++) {
        const json_t *one = json_array_get(requests, i);
        struct hob_str method = hob_str(json_string_value(json_object_get(one, "method")));
        struct hob_str path = hob_str(json_string_value(json_object_get(one, "path")));
        if (path.at && hob_str_starts(path, HOB_STR(PARSE_MOUNT "/")))
            path = hob_str_n(path.at + sizeof PARSE_MOUNT - 1, path.n - (sizeof PARSE_MOUNT - 1));
        if (path.at && method.at && !take_one(r, c, method, path, ret_message))
            return false;
    }
    return take_one(r, c, c->method, c->path, ret_message);
}
