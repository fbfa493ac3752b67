/* Cross-origin requests (the Fetch standard's CORS protocol) for routes that list origins: preflights are answered
 * without the function, and every answer carries the fields, refusals too. */
#include "api/gateway/gateway_priv.h"
#include "api/server/chars.h"

#include "base/banned.h"

struct cors cors_of(const struct route_config *route, struct hob_str origin)
{
    struct cors c = {.is_on = route->cors_n > 0};
    if (!c.is_on || !origin.at || !http_is_value(origin))
        return c;
    for (size_t i = 0; i < route->cors_n; i++) {
        if (strcmp(route->cors[i], "*") == 0 && !route->has_credentials)
            c.origin = HOB_STR("*");
        else if (hob_str_is(origin, route->cors[i]))
            c.origin = origin;
        if (c.origin.at)
            break;
    }
    c.has_credentials = c.origin.at && route->has_credentials;
    return c;
}

static void add(struct http_field *fields, size_t *n, struct hob_str name, struct hob_str value)
{
    fields[(*n)++] = (struct http_field){name, value};
}

size_t cors_fields(const struct cors *c, struct http_field *out)
{
    size_t n = 0;
    if (!c->is_on)
        return 0;
    if (c->origin.at)
        add(out, &n, HOB_STR("Access-Control-Allow-Origin"), c->origin);
    if (c->has_credentials)
        add(out, &n, HOB_STR("Access-Control-Allow-Credentials"), HOB_STR("true"));
    if (!c->origin.at || !hob_str_is(c->origin, "*"))
        add(out, &n, HOB_STR("Vary"), HOB_STR("Origin"));
    return n;
}

bool cors_owns_field(const struct cors *c, struct hob_str name)
{
    (void)c;
    return hob_str_ieq(name, HOB_STR("access-control-allow-origin")) ||
           hob_str_ieq(name, HOB_STR("access-control-allow-credentials"));
}

/* The route's methods, joined; "*" would not do with credentials, so the asked one stands for all. */
static struct hob_str methods_of(struct http_exchange *x, const struct route_config *route,
                                 struct hob_str asked)
{
    size_t n = 0;
    for (size_t i = 0; i < route->methods_n; i++)
        n += strlen(route->methods[i]) + 2;
    char *text = n ? hob_arena_alloc(http_arena(x), n) : NULL;
    if (!text)
        return asked;
    n = 0;
    for (size_t i = 0; i < route->methods_n; i++) {
        size_t k = strlen(route->methods[i]);
        if (i) {
            memcpy(text + n, ", ", 2);
            n += 2;
        }
        memcpy(text + n, route->methods[i], k);
        n += k;
    }
    return hob_str_n(text, n);
}

bool cors_preflight(struct gateway *g, struct http_exchange *x)
{
    const struct http_request *r = http_request(x);
    if (!hob_str_is(r->method, "OPTIONS"))
        return false;
    struct hob_str origin = http_field(x, "origin"), asked = http_field(x, "access-control-request-method");
    struct hob_str headers = http_field(x, "access-control-request-headers");
    struct route_match m = {0};
    if (!origin.at || !asked.at || !http_is_token(asked) ||
        !catalog_route(g->o.catalog, r->host, asked, r->path, &m) || !m.route || m.route->cors_n == 0)
        return false;
    struct cors c = cors_of(m.route, origin);
    struct http_field fields[8];
    size_t n = 0;
    if (c.origin.at) {
        add(fields, &n, HOB_STR("Access-Control-Allow-Origin"), c.origin);
        add(fields, &n, HOB_STR("Access-Control-Allow-Methods"), methods_of(x, m.route, asked));
        if (headers.at)
            add(fields, &n, HOB_STR("Access-Control-Allow-Headers"), headers);
        if (c.has_credentials)
            add(fields, &n, HOB_STR("Access-Control-Allow-Credentials"), HOB_STR("true"));
        add(fields, &n, HOB_STR("Access-Control-Max-Age"), HOB_STR("600"));
    }
    add(fields, &n, HOB_STR("Vary"),
        HOB_STR("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"));
    http_respond(x, 204, fields, n, HOB_STR(""));
    return true;
}
