/* Installations: one app on one device. A device is known by its installation id, and by the token that pushes go to; what a
 * client creates anew may be one that is known already, and turns into an update of it. Rows that lost their token to it go.
 *
 *   ids in the data -> rows that match -> which row it is (or a new one), which rows go -> the write */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { MATCHES_MAX = 200, IOS_TOKEN_CHARS = 64 };
#define INSTALLATION HOB_STR("_Installation")

struct match {
    const char *id, *installation_id, *token, *type, *app;
};
struct installing {
    struct hob_str asked_id; /* of an update; empty: a create */
    const char *installation_id, *given_id, *token, *app;
    struct match *list; /* rows that share an id or the token */
    size_t n;
    const char *gone[MATCHES_MAX];
    size_t gone_n;
    struct backend_call *c;
};

static const char *text(struct backend_call *c, const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value && *value ? ask_text_of(c, hob_str(value)) : NULL;
}

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static const char *lower(struct backend_call *c, const char *s)
{
    char *copy = s ? hob_arena_strndup(&c->arena, s, strlen(s)) : NULL;
    for (char *at = copy; at && *at; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at + 32);
    return copy;
}

static enum hob_code take_match(void *ctx, json_t *object, json_t *hidden, struct hob_err *err)
{
    struct installing *in = ctx;
    (void)hidden;
    if (in->n == MATCHES_MAX)
        return parse_fail(err, PARSE_INSTALLATION_AMBIGUOUS,
                          "more than %d installations share the deviceToken", MATCHES_MAX);
    in->list[in->n++] = (struct match){.id = text(in->c, object, "objectId"),
                                       .installation_id = text(in->c, object, "installationId"),
                                       .token = text(in->c, object, "deviceToken"),
                                       .type = text(in->c, object, "deviceType"),
                                       .app = text(in->c, object, "appIdentifier")};
    return HOB_OK;
}

static enum hob_code find_matches(struct backend_call *c, struct data_tx *tx, struct installing *in,
                                  struct hob_err *err)
{
    json_t *either hob_auto_json = json_array();
    json_t *where hob_auto_json = json_pack("{s:O}", "$or", either);
    if (in->asked_id.n)
        (void)json_array_append_new(either, json_pack("{s:s%}", "objectId", in->asked_id.at, in->asked_id.n));
    if (in->installation_id)
        (void)json_array_append_new(either, json_pack("{s:s}", "installationId", in->installation_id));
    if (in->token)
        (void)json_array_append_new(either, json_pack("{s:s}", "deviceToken", in->token));
    in->n = 0;
    if (!json_array_size(either))
        return HOB_OK;
    return object_find(c, tx, "_Installation", where, MATCHES_MAX + 1, OBJECT_AS_MASTER, take_match, in, err);
}

static const struct match *by_id(const struct installing *in)
{
    for (size_t i = 0; i < in->n; i++)
        if (in->asked_id.n && hob_str_is(in->asked_id, in->list[i].id))
            return &in->list[i];
    return NULL;
}

static const struct match *by_installation(const struct installing *in)
{
    for (size_t i = 0; i < in->n; i++)
        if (same(in->installation_id, in->list[i].installation_id))
            return &in->list[i];
    return NULL;
}

static size_t by_token(const struct installing *in, const struct match **ret_first)
{
    size_t n = 0;
    *ret_first = NULL;
    for (size_t i = 0; i < in->n; i++)
        if (same(in->token, in->list[i].token)) {
            if (!n++)
                *ret_first = &in->list[i];
        }
    return n;
}

static enum hob_code judge_update(const struct installing *in, const struct object_save *s,
                                  const struct match *was, struct hob_err *err)
{
    const char *type = json_string_value(json_object_get(s->data, "deviceType"));
    if (!was)
        return parse_fail(err, PARSE_OBJECT_NOT_FOUND, "Object not found for update.");
    if (in->given_id && was->installation_id && !same(in->given_id, was->installation_id))
        return parse_fail(err, PARSE_FIELD_FIXED, "installationId may not be changed in this operation");
    if (in->token && was->token && !same(in->token, was->token) && !in->given_id && !was->installation_id)
        return parse_fail(err, PARSE_FIELD_FIXED, "deviceToken may not be changed in this operation");
    if (type && !same(type, was->type))
        return parse_fail(err, PARSE_FIELD_FIXED, "deviceType may not be changed in this operation");
    return HOB_OK;
}

/* Rows with that token go, but for the one that stays; of the same app when one is named. */
static void clean(struct installing *in, const char *installation_id, const char *id)
{
    for (size_t i = 0; i < in->n; i++) {
        const struct match *m = &in->list[i];
        if (!same(in->token, m->token) || same(installation_id, m->installation_id) || same(id, m->id) ||
            (in->app && !same(in->app, m->app)))
            continue;
        in->gone[in->gone_n++] = m->id;
    }
}

/* Which row it is; NULL in *ret_id: a new one. */
static enum hob_code choose(struct installing *in, const struct match *found, const char **ret_id,
                            struct hob_err *err)
{
    const struct match *first;
    size_t n = by_token(in, &first);
    *ret_id = NULL;
    if (!found && !n)
        return HOB_OK;
    if (!found && n == 1 && (!first->installation_id || !in->installation_id)) {
        *ret_id = first->id;
    } else if (!found && !in->given_id) {
        return parse_fail(
            err, PARSE_INSTALLATION_AMBIGUOUS,
            "Must specify installationId when deviceToken matches multiple Installation objects");
    } else if (!found) {
        clean(in, in->installation_id, NULL);
    } else if (n == 1 && !first->installation_id &&
               first != found) { /* the two are one device: they become one row */
        in->gone[in->gone_n++] = found->id;
        *ret_id = first->id;
    } else {
        if (in->token && !same(found->token, in->token) && in->given_id)
            clean(in, in->given_id, found->id);
        *ret_id = found->id;
    }
    return HOB_OK;
}

static enum hob_code resolve(struct installing *in, struct object_save *s, struct hob_err *err)
{
    const struct match *asked = by_id(in), *found = by_installation(in);
    const char *id;
    enum hob_code rc = in->asked_id.n ? judge_update(in, s, asked, err) : HOB_OK;
    if (rc != HOB_OK)
        return rc;
    if (!found)
        found = asked;
    if (!in->asked_id.n && !found && !json_object_get(s->data, "deviceType"))
        return parse_fail(err, PARSE_MISSING_REQUIRED, "deviceType must be specified in this operation");
    rc = choose(in, found, &id, err);
    if (rc == HOB_OK && id) {
        s->is_create = false;
        s->id = hob_str(id);
    }
    return rc;
}

static enum hob_code prepare(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                             struct hob_err *err)
{
    struct installing *in = s->ctx;
    s->id = in->asked_id;
    s->is_create = !in->asked_id.n;
    in->gone_n = 0;
    if (s->is_create && !in->token && !in->installation_id)
        return parse_fail(
            err, PARSE_MISSING_REQUIRED,
            "at least one ID field (deviceToken, installationId) must be specified in this operation");
    if (!s->is_create && !in->token && !in->installation_id && !json_object_get(s->data, "deviceType"))
        return HOB_OK;
    enum hob_code rc = find_matches(c, tx, in, err);
    return rc == HOB_OK ? resolve(in, s, err) : rc;
}

static enum hob_code store(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                           struct hob_err *err)
{
    const struct installing *in = s->ctx;
    enum hob_code rc = HOB_OK;
    for (size_t i = 0; i < in->gone_n && rc == HOB_OK; i++)
        rc = object_remove(c, tx, "_Installation", hob_str(in->gone[i]), OBJECT_AS_MASTER, err);
    return rc;
}

/* An update that was a create tells its id, too. */
static void done(struct backend_call *c, struct object_save *s)
{
    const struct installing *in = s->ctx;
    if (!in->asked_id.n && !s->is_create && c->out.n) {
        json_t *answer hob_auto_json = json_loadb(hob_buf_data(&c->out), c->out.n, 0, NULL);
        (void)json_object_set_new(answer, "objectId", json_stringn(s->id.at, s->id.n));
        hob_buf_clear(&c->out);
        if (object_write_json(c, answer, &c->err) != HOB_OK) {
            ask_fail(c);
            return;
        }
    }
    ask_finish(c);
}

static void start_save(struct backend_call *c, struct hob_str id)
{
    struct installing *in = hob_arena_alloc(&c->arena, sizeof *in);
    json_t *data hob_auto_json = c->request.params ? json_copy(c->request.params) : json_object();
    if (in)
        in->list = hob_arena_alloc(&c->arena, (MATCHES_MAX + 1) * sizeof *in->list);
    if (!in || !in->list) {
        (void)hob_fail(&c->err, HOB_E_TOO_LARGE, "the request is too large");
        ask_fail(c);
        return;
    }
    in->c = c;
    in->asked_id = id;
    in->token = text(c, data, "deviceToken");
    if (in->token && strlen(in->token) == IOS_TOKEN_CHARS)
        in->token = lower(c, in->token);
    in->given_id = in->installation_id = lower(c, text(c, data, "installationId"));
    in->app = text(c, data, "appIdentifier");
    if (!in->installation_id && !identity_is_master(&c->who) && c->request.installation_id.n)
        in->installation_id = lower(c, ask_text_of(c, c->request.installation_id));
    if (in->token)
        (void)json_object_set_new(data, "deviceToken", json_string(in->token));
    if (in->given_id)
        (void)json_object_set_new(data, "installationId", json_string(in->given_id));
    object_save_start(c, &(struct object_save){.class_name = INSTALLATION,
                                               .id = id,
                                               .is_create = !id.n,
                                               .data = data,
                                               .ctx = in,
                                               .prepare = prepare,
                                               .store = store,
                                               .done = done});
}

static void start_create(struct backend_call *c)
{
    start_save(c, HOB_STR(""));
}

static void start_update(struct backend_call *c)
{
    start_save(c, c->params[0]);
}

static void start_find(struct backend_call *c)
{
    object_serve_find(c, INSTALLATION);
}

static void start_get(struct backend_call *c)
{
    object_serve_get(c, INSTALLATION, c->params[0]);
}

static void start_remove(struct backend_call *c)
{
    object_serve_remove(c, INSTALLATION, c->params[0], NULL);
}

const struct backend_route installation_routes[] = {
    {"GET", "/installations", ROUTE_FLOW, NEED_NOTHING, NULL, start_find},
    {"POST", "/installations", ROUTE_FLOW, NEED_NOTHING, NULL, start_create},
    {"GET", "/installations/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_get},
    {"PUT", "/installations/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_update},
    {"DELETE", "/installations/:id", ROUTE_FLOW, NEED_NOTHING, NULL, start_remove},
    {NULL, NULL, ROUTE_FLOW, NEED_NOTHING, NULL, NULL},
};
