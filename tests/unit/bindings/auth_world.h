/* A whole backend over real databases in a private folder, and one app "shop" in it: what the tests of auth ask. */
#pragma once

#include "bindings/backend.h"
#include "home.h"

struct world {
    struct home *home;
    struct store *store;
    struct appdbs *dbs;
    struct backend_apps *apps;
    struct backend *backend;
    char files[128], data[128], key[128];
};

struct ask {          /* everything but method and path may be left out */
    const char *body; /* JSON */
    enum backend_role role;
    const char *token, *installation, *user_id;
    int nothing; /* so that a list may be empty */
};
struct reply {
    bool is_there;
    int status;
    json_t *json; /* owned */
};

static inline void world_turn(struct world *w)
{
    (void)uv_run(&w->home->loop, UV_RUN_NOWAIT);
    usleep(200);
}

static inline void world_note(void *ctx, const struct hob_err *err)
{
    *(int *)ctx = err ? -1 : 1;
    if (err)
        (void)fprintf(stderr, "%s\n", err->msg);
}

static inline void world_made(void *ctx, const struct hob_err *err, const struct backend_app_made *made)
{
    (void)made;
    world_note(ctx, err);
}

static inline void world_ended(void *ctx)
{
    *(int *)ctx = 1;
}

/* Cloud code of other tests: set, it answers instead. */
static uv_loop_t *world_loop;
static void (*world_cloud)(const struct backend_run *r,
                           void (*done)(void *done_ctx, const struct hob_err *err, struct hob_str answer),
                           void *done_ctx);

/* Cloud code of these tests: a provider "Check" that knows whom to let in. */
static inline void world_run(void *ctx, const struct backend_run *r,
                             void (*done)(void *done_ctx, const struct hob_err *err, struct hob_str answer),
                             void *done_ctx)
{
    (void)ctx;
    if (world_cloud) {
        world_cloud(r, done, done_ctx);
        return;
    }
    bool is_good =
        strcmp(r->function, "check") == 0 && memmem(r->payload.at, r->payload.n, "\"pass\":\"yes\"", 12);
    done(done_ctx, NULL, is_good ? HOB_STR("{\"success\":{\"id\":\"c-1\"}}") : HOB_STR("{\"error\":\"no\"}"));
}

static inline enum hob_code world_secret(void *ctx, const char *app, const char *name, struct hob_buf *out,
                                         struct hob_err *err)
{
    (void)ctx;
    (void)app;
    return strcmp(name, "CLIENT_SECRET") == 0 ? hob_buf_add_str(out, HOB_STR("s3cret"))
                                              : hob_fail(err, HOB_E_NOT_FOUND, "no secret '%s'", name);
}

static inline struct backend_options world_options(struct world *w)
{
    return (struct backend_options){.loop = &w->home->loop,
                                    .store = w->store,
                                    .dbs = w->dbs,
                                    .apps = w->apps,
                                    .files_dir = w->files,
                                    .key_path = w->key,
                                    .wires = {.run = world_run, .secret = world_secret},
                                    .upkeep_ms = 3600000, /* nothing happens unasked */
                                    .may_reach_private = true};
}

static inline int world_open(struct world *w)
{
    struct hob_err err = {0};
    (void)snprintf(w->data, sizeof w->data, "%s/data", w->home->dir);
    (void)snprintf(w->files, sizeof w->files, "%s/files", w->home->dir);
    (void)snprintf(w->key, sizeof w->key, "%s/master.key", w->home->dir);
    w->store = store_open(&w->home->loop, home_path(w->home, "hob.db"), &err);
    w->apps = w->store ? backend_apps_load(w->store, w->key, &err) : NULL;
    struct appdbs_options dbs = {.loop = &w->home->loop, .dir = w->data, .readers = 2, .writers = 1};
    w->dbs = w->apps ? appdbs_open(&dbs, &err) : NULL;
    struct backend_options o = world_options(w);
    w->backend = w->dbs ? backend_start(&o, &err) : NULL;
    if (!w->backend)
        (void)fprintf(stderr, "%s\n", err.msg);
    return w->backend ? 0 : -1;
}

static inline void world_close(struct world *w)
{
    world_cloud = NULL;
    world_loop = NULL;
    int ended = 0;
    backend_close(w->backend, 5000, world_ended, &ended);
    while (!ended)
        world_turn(w);
    ended = 0;
    appdbs_close(w->dbs, world_ended, &ended);
    while (!ended)
        world_turn(w);
    backend_apps_free(w->apps);
    store_close(w->store, NULL, NULL);
    (void)uv_run(&w->home->loop, UV_RUN_DEFAULT);
}

static inline int world_make(void **state)
{
    struct world *w = hob_new(struct world);
    int made = 0;
    struct backend_app_new n = {.name = "shop", .application_id = "shop-id"};
    if (home_make((void **)&w->home) != 0 || world_open(w) != 0)
        return -1;
    backend_app_create(w->apps, &n, world_made, &made);
    while (!made)
        world_turn(w);
    *state = w;
    return made == 1 ? 0 : -1;
}

static inline int world_drop(void **state)
{
    struct world *w = *state;
    world_close(w);
    int rc = home_drop((void **)&w->home);
    free(w);
    return rc;
}

/* Settings of the app, as JSON. */
static inline void world_set(struct world *w, const char *settings)
{
    int done = 0;
    json_t *j = json_loads(settings, 0, NULL);
    assert_non_null(j);
    backend_app_set(w->apps, "shop", j, world_note, &done);
    while (!done)
        world_turn(w);
    json_decref(j);
    assert_int_equal(done, 1);
}

static inline void world_answered(void *ctx, const struct backend_answer *a)
{
    struct reply *r = ctx;
    assert_false(r->is_there);
    r->is_there = true;
    r->status = a->status;
    r->json = a->json.n ? json_loadb(a->json.at, a->json.n, JSON_DECODE_ANY, NULL) : json_object();
    if (!r->json)
        fail_msg("no JSON: %.*s", HOB_STR_ARG(a->json));
}

static inline void world_start(struct world *w, struct reply *r, const char *method, const char *path,
                               struct ask ask)
{
    json_t *params = json_loads(ask.body ? ask.body : "{}", 0, NULL);
    assert_non_null(params);
    memset(r, 0, sizeof *r);
    struct backend_request q = {.app = "shop",
                                .method = hob_str(method),
                                .path = hob_str(path),
                                .params = params,
                                .role = ask.role,
                                .session_token = hob_str(ask.token),
                                .user_id = hob_str(ask.user_id),
                                .installation_id = hob_str(ask.installation),
                                .remote = HOB_STR("127.0.0.1"),
                                .mount_url = HOB_STR("http://evil.example/parse")};
    (void)backend_ask(w->backend, &q, world_answered, r);
    json_decref(params);
}

static inline struct reply world_ask(struct world *w, const char *method, const char *path, struct ask ask)
{
    struct reply r;
    world_start(w, &r, method, path, ask);
    while (!r.is_there)
        world_turn(w);
    return r;
}

static inline const char *text_of(const struct reply *r, const char *name)
{
    const char *text = json_string_value(json_object_get(r->json, name));
    return text ? text : "";
}

static inline void expect_at(int line, const struct reply *r, int status)
{
    if (r->status == status)
        return;
    char *text = json_dumps(r->json, JSON_COMPACT);
    fail_msg("line %d: %d instead of %d: %s", line, r->status, status, text);
}

/* Asks, checks status and (for errors) Parse code, and gives the answer's JSON: owned by the reply's user. */
static inline json_t *want_at(int line, struct world *w, int status, const char *method, const char *path,
                              struct ask ask)
{
    struct reply r = world_ask(w, method, path, ask);
    expect_at(line, &r, status);
    return r.json;
}
static inline void refused_at(int line, struct world *w, int code, const char *method, const char *path,
                              struct ask ask)
{
    struct reply r = world_ask(w, method, path, ask);
    int got = (int)json_integer_value(json_object_get(r.json, "code"));
    char *text = json_dumps(r.json, JSON_COMPACT);
    if (r.status < 400 || r.status >= 500 || got != code)
        fail_msg("line %d: %d with code %d instead of %d: %s", line, r.status, got, code, text);
    free(text);
    json_decref(r.json);
}
#define want(w, status, method, path, ...)                                                                   \
    want_at(__LINE__, w, status, method, path, (struct ask){.nothing = 0, __VA_ARGS__})
#define refused(w, code, method, path, ...)                                                                  \
    refused_at(__LINE__, w, code, method, path, (struct ask){.nothing = 0, __VA_ARGS__})
/* Wants it and throws the answer away. */
#define done(w, status, method, path, ...) json_decref(want(w, status, method, path, __VA_ARGS__))

/* A text member of an answer, copied; the answer is let go. */
static inline char *take_text(json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    if (!text)
        fail_msg("the answer has no '%s'", name);
    char *copy = hob_strdup(text);
    json_decref(json);
    return copy;
}
