/* Which route a method and a path below the mount mean. Routes are kept by the first letter of their first segment; among
 * those that fit, the one with most literal segments wins ("/users/me" before "/users/:id"). */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bindings/backend_priv.h"
#include "bindings/query_params.h"

#include "base/banned.h"

enum { SEGMENTS_MAX = 6, LETTERS = 128 };

struct entry {
    const struct backend_route *route;
    struct hob_str segments[SEGMENTS_MAX];
    size_t n;
    struct entry *next;
};
struct router {
    struct entry *entries;
    struct entry *by_letter[LETTERS];
};

/* The tables of all files of handlers. */
static const struct backend_route *const tables[] = {
    object_routes, batch_routes,   schema_routes, aggregate_routes, role_routes,   installation_routes,
    user_routes,   session_routes, mail_routes,   token_routes,     config_routes, admin_routes,
    file_routes,   cloud_routes,   hook_routes,   job_routes,
};

/* False when there are too many segments. Empty ones (double slashes) are passed over. */
static bool split(struct hob_str path, struct hob_str *segments, size_t *ret_n)
{
    size_t n = 0;
    struct hob_str rest = path;
    while (rest.at && rest.n) {
        struct hob_str part = hob_str_cut(rest, '/', &rest);
        if (!part.n)
            continue;
        if (n == SEGMENTS_MAX)
            return false;
        segments[n++] = part;
    }
    *ret_n = n;
    return true;
}

static size_t letter_of(struct hob_str segment)
{
    return (unsigned char)segment.at[0] & (LETTERS - 1);
}

static size_t count_routes(void)
{
    size_t n = 0;
    for (size_t t = 0; t < HOB_COUNT(tables); t++)
        for (const struct backend_route *r = tables[t]; r && r->method; r++)
            n++;
    return n;
}

bool backend_route_at(size_t i, struct backend_route_view *ret)
{
    for (size_t t = 0; t < HOB_COUNT(tables); t++)
        for (const struct backend_route *r = tables[t]; r && r->method; r++) {
            if (i-- > 0)
                continue;
            bool needs_master = r->need == NEED_MASTER || r->need == NEED_MASTER_READ;
            *ret = (struct backend_route_view){r->method, r->pattern, needs_master};
            return true;
        }
    return false;
}

struct router *router_new(void)
{
    struct router *r = hob_new(struct router);
    r->entries = hob_new_n(struct entry, count_routes() + 1);
    size_t n = 0;
    for (size_t t = 0; t < HOB_COUNT(tables); t++)
        for (const struct backend_route *route = tables[t]; route && route->method; route++) {
            struct entry *e = &r->entries[n++];
            e->route = route;
            HOB_ASSERT(split(hob_str(route->pattern), e->segments, &e->n) && e->n > 0);
            struct entry **list = &r->by_letter[letter_of(e->segments[0])];
            e->next = *list;
            *list = e;
        }
    return r;
}

void router_free(struct router *r)
{
    if (r)
        free(r->entries);
    free(r);
}

/* Number of literal segments plus one, or 0 when it does not fit. */
static size_t fit(const struct entry *e, const struct hob_str *segments, size_t n)
{
    size_t literals = 1;
    if (e->n != n)
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (e->segments[i].at[0] == ':')
            continue;
        if (!hob_str_eq(e->segments[i], segments[i]))
            return 0;
        literals++;
    }
    return literals;
}

static struct hob_str decode(struct backend_call *c, struct hob_str s)
{
    size_t n;
    if (!memchr(s.at, '%', s.n))
        return s;
    hob_auto_free char *plain = url_decode(s, false, &n);
    char *copy = hob_arena_strndup(&c->arena, plain, n);
    return copy ? hob_str_n(copy, n) : s;
}

static void take_params(struct backend_call *c, const struct entry *e, const struct hob_str *segments)
{
    size_t n = 0;
    for (size_t i = 0; i < e->n; i++)
        if (e->segments[i].at[0] == ':') {
            HOB_ASSERT(n < HOB_COUNT(c->params));
            c->params[n++] = decode(c, segments[i]);
        }
}

/* A file's name may have directories in it: everything behind "/files/" is one segment. */
static void join_file_name(struct hob_str *segments, size_t *n)
{
    if (*n < 3 || !hob_str_is(segments[0], "files"))
        return;
    const struct hob_str *last = &segments[*n - 1];
    segments[1].n = (size_t)(last->at + last->n - segments[1].at);
    *n = 2;
}

/* Classes that have routes of their own are the same under both names. */
static void alias(struct hob_str *segments, size_t *n)
{
    static const struct {
        const char *class_name, *own;
    } aliases[] = {
        {"_User", "users"}, {"_Session", "sessions"}, {"_Role", "roles"}, {"_Installation", "installations"}};
    if (*n < 2 || !hob_str_is(segments[0], "classes"))
        return;
    for (size_t i = 0; i < HOB_COUNT(aliases); i++) {
        if (!hob_str_is(segments[1], aliases[i].class_name))
            continue;
        segments[0] = hob_str(aliases[i].own);
        for (size_t k = 2; k < *n; k++)
            segments[k - 1] = segments[k];
        --*n;
        return;
    }
}

/* The best fit, with its segments, or NULL. */
static const struct entry *find(const struct router *r, struct hob_str method, struct hob_str path,
                                struct hob_str *segments)
{
    const struct entry *best = NULL;
    size_t n = 0, best_fit = 0;
    if (!split(path, segments, &n) || !n)
        return NULL;
    alias(segments, &n);
    join_file_name(segments, &n);
    for (const struct entry *e = r->by_letter[letter_of(segments[0])]; e; e = e->next) {
        size_t literals = fit(e, segments, n);
        if (literals > best_fit && hob_str_is(method, e->route->method)) {
            best = e;
            best_fit = literals;
        }
    }
    return best;
}

bool router_has(const struct router *r, struct hob_str method, struct hob_str path)
{
    struct hob_str segments[SEGMENTS_MAX] = {{NULL, 0}};
    return find(r, method, path, segments) != NULL;
}

enum hob_code router_find(const struct router *r, struct backend_call *c, struct hob_err *err)
{
    struct hob_str segments[SEGMENTS_MAX] = {{NULL, 0}};
    const struct entry *best = find(r, c->request.method, c->request.path, segments);
    if (!best)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "no_route", "cannot %.*s %.*s",
                               HOB_STR_ARG(c->request.method),
                               (int)(c->request.path.n > 120 ? 120 : c->request.path.n), c->request.path.at);
    c->route = best->route;
    take_params(c, best, segments);
    return HOB_OK;
}
