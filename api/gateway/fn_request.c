/* What a function is given of an HTTP request: its fields without those of the connection and those that only the
 * gateway may set, the path behind the function's own, and what the gateway knows besides. */
#include "api/gateway/gateway_priv.h"
#include "api/server/chars.h"

#include "base/banned.h"

static bool is(struct hob_str name, const char *lower)
{
    return memcmp(name.at, lower, name.n) == 0;
}

/* Told apart by length first: this runs for every field of every request. Names are lower-case already, and the server
 * has taken out what Connection names. */
static bool is_withheld(struct hob_str n)
{
    if (n.n >= 6 && n.at[0] == 'x' && n.at[1] == '-') {
        if (n.at[2] == 'h')
            return memcmp(n.at, "x-hob-", 6) == 0;
        if (n.at[2] == 'r')
            return hob_str_is(n, "x-request-id");
        return n.n >= 12 && memcmp(n.at, "x-forwarded-", 12) == 0;
    }
    switch (n.n) {
    case 2:
        return is(n, "te");
    case 6:
        return is(n, "expect");
    case 7:
        return is(n, "upgrade") || is(n, "trailer");
    case 9:
        return is(n, "forwarded");
    case 10:
        return is(n, "connection") || is(n, "keep-alive");
    case 11:
        return is(n, "traceparent");
    case 16:
        return is(n, "proxy-connection");
    case 17:
        return is(n, "transfer-encoding");
    case 18:
        return is(n, "proxy-authenticate");
    case 19:
        return is(n, "proxy-authorization");
    default:
        return false;
    }
}

/* The session token that a field carries, at == NULL when none. */
static struct hob_str session_token_of(const struct http_field *f)
{
    static const struct hob_str bearer = {"Bearer ", 7};
    if (f->name.n == 21 && is(f->name, "x-parse-session-token"))
        return f->value;
    if (f->name.n == 13 && is(f->name, "authorization") && hob_str_starts(f->value, bearer) &&
        f->value.n > bearer.n + 2 && memcmp(f->value.at + bearer.n, "r:", 2) == 0)
        return hob_str_n(f->value.at + bearer.n, f->value.n - bearer.n);
    return (struct hob_str){NULL, 0};
}

bool fn_caller(struct http_exchange *x, struct version *v, struct invocation_caller *ret_caller)
{
    const struct http_request *r = http_request(x);
    const struct function_config *f = version_config(v);
    if (f->bindings_n == 0)
        return false;
    *ret_caller = (struct invocation_caller){.remote = hob_str(r->remote)};
    for (size_t i = 0; i < r->fields_n; i++) {
        struct hob_str token = session_token_of(&r->fields[i]);
        if (token.at && !ret_caller->session_token.n)
            ret_caller->session_token = token;
        if (hob_str_is(r->fields[i].name, "x-parse-installation-id"))
            ret_caller->installation_id = r->fields[i].value;
    }
    return true;
}

/* `has_bindings`: the function acts as its caller through them; the caller's session token stays here. */
static enum hob_code write_fields(struct gateway *g, const struct http_request *r, bool has_bindings,
                                  struct hob_err *err)
{
    struct hob_pairs_writer w;
    hob_buf_clear(&g->fields);
    hob_pairs_start(&w, &g->fields);
    for (size_t i = 0; i < r->fields_n; i++) {
        const struct http_field *f = &r->fields[i];
        if (!is_withheld(f->name) && !(has_bindings && session_token_of(f).at))
            hob_pairs_add(&w, f->name, f->value);
    }
    hob_pairs_add(&w, HOB_STR("x-forwarded-for"), hob_str(r->remote));
    hob_pairs_add(&w, HOB_STR("x-forwarded-proto"), HOB_STR("http"));
    if (r->authority.n)
        hob_pairs_add(&w, HOB_STR("x-forwarded-host"), r->authority);
    hob_pairs_add(&w, HOB_STR("x-request-id"), hob_str(r->request_id));
    hob_pairs_add(&w, HOB_STR("traceparent"), hob_str(r->traceparent));
    return hob_pairs_end(&w, err);
}

/* Percent-decoded; the path is canonical, so every escape is well-formed. */
static struct hob_str decoded(struct hob_arena *arena, struct hob_str s)
{
    char *out = memchr(s.at, '%', s.n) ? hob_arena_alloc(arena, s.n) : NULL;
    size_t n = 0;
    if (!out)
        return s;
    for (size_t i = 0; i < s.n; i++) {
        bool is_escape = s.at[i] == '%' && s.n - i >= 3;
        int high = is_escape ? http_hex_value(s.at[i + 1]) : -1,
            low = is_escape ? http_hex_value(s.at[i + 2]) : -1;
        if (high >= 0 && low >= 0)
            i += 2;
        out[n++] = high >= 0 && low >= 0 ? (char)(high << 4 | low) : s.at[i];
    }
    return hob_str_n(out, n);
}

static void write_params(struct hob_pairs_writer *w, struct hob_arena *arena, const struct route_match *m)
{
    char key[160] = "param.";
    for (size_t i = 0; i < m->params_n; i++) {
        struct hob_str name = m->param_names[i];
        if (name.n > sizeof key - 6)
            continue;
        memcpy(key + 6, name.at, name.n);
        hob_pairs_add(w, hob_str_n(key, 6 + name.n), decoded(arena, m->param_values[i]));
    }
}

static enum hob_code write_extras(struct gateway *g, struct http_exchange *x, const struct fn_target *t,
                                  struct hob_str upgrade, struct hob_err *err)
{
    const struct http_request *r = http_request(x);
    struct hob_pairs_writer w;
    hob_buf_clear(&g->extras);
    hob_pairs_start(&w, &g->extras);
    hob_pairs_add(&w, HOB_STR("scheme"), HOB_STR("http"));
    hob_pairs_add(&w, HOB_STR("remote"), hob_str(r->remote));
    hob_pairs_add(&w, HOB_STR("trace"), hob_str(r->traceparent));
    if (t && t->base_path.n)
        hob_pairs_add(&w, HOB_STR("base_path"), t->base_path);
    if (t && t->qualifier.n)
        hob_pairs_add(&w, HOB_STR("qualifier"), t->qualifier);
    if (upgrade.at)
        hob_pairs_add(&w, HOB_STR("upgrade"), upgrade);
    if (t && t->match)
        write_params(&w, http_arena(x), t->match);
    return hob_pairs_end(&w, err);
}

static enum hob_code write_target(struct gateway *g, const struct http_request *r, struct hob_str path)
{
    hob_buf_clear(&g->target);
    enum hob_code code = hob_buf_add_str(&g->target, path);
    if (code == HOB_OK && r->query.at)
        code = hob_buf_add(&g->target, "?", 1);
    return code == HOB_OK && r->query.at ? hob_buf_add_str(&g->target, r->query) : code;
}

enum hob_code fn_request_write(struct gateway *g, struct http_exchange *x, const struct fn_target *t,
                               struct hob_str upgrade, struct hob_err *err)
{
    const struct http_request *r = http_request(x);
    if (write_target(g, r, t->path) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "the request target is larger than a function can be given");
    enum hob_code code = write_fields(g, r, version_config(t->version)->bindings_n > 0, err);
    return code == HOB_OK ? write_extras(g, x, t, upgrade, err) : code;
}

/* An event has no HTTP head of its own: only what kind of bytes it is. */
enum hob_code fn_event_write(struct gateway *g, struct http_exchange *x, struct hob_err *err)
{
    struct hob_pairs_writer w;
    struct hob_str type = http_field(x, "content-type");
    hob_buf_clear(&g->fields);
    hob_pairs_start(&w, &g->fields);
    if (type.at)
        hob_pairs_add(&w, HOB_STR("content-type"), type);
    enum hob_code code = hob_pairs_end(&w, err);
    return code == HOB_OK ? write_extras(g, x, NULL, (struct hob_str){NULL, 0}, err) : code;
}

bool fn_trailers_write(struct gateway *g, const struct http_field *trailers, size_t n,
                       struct hob_pairs *ret_pairs)
{
    struct hob_pairs_writer w;
    hob_buf_clear(&g->trailers);
    hob_pairs_start(&w, &g->trailers);
    for (size_t i = 0; i < n; i++)
        if (!is_withheld(trailers[i].name))
            hob_pairs_add(&w, trailers[i].name, trailers[i].value);
    return hob_pairs_end(&w, NULL) == HOB_OK &&
           hob_pairs_open(hob_buf_str(&g->trailers), UINT32_MAX, ret_pairs);
}
