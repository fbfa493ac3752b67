/* Flow, for one app at a time:
 *
 *   RESTING -> TRIMMING <-> PAUSING -> ADVISING -> INDEXING -> RESTING
 *
 * RESTING and PAUSING wait for the timer, the others for a job of the app's database. What is not due is left out. A
 * failure ends it for this app until it is due again. */
#include "bindings/upkeep/upkeep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "bindings/auth/auth.h"

#include "base/banned.h"

enum {
    EVERY_MS = 1000,
    TRIM_EVERY = 3600, /* in these */
    INDEX_EVERY = 60,
    LOOKS_A_TICK = 64,      /* apps of which it is asked whether they are due */
    PAUSES_A_STEP = 4,      /* a step of trimming is followed by this many times its own length */
    AUTO_A_CLASS = 8,       /* indexes that were made unasked */
    AUTO_QUERIES_MIN = 5,   /* slow ones of a kind, before it is worth an index */
    AUTO_OBJECTS = 1000000, /* of a class: making its index would hold the writes for too long */
    REFUSED_EVERY = 3600    /* what could not be made is tried again behind so many */
};
#define DAY_MS (24LL * 3600 * 1000)

enum upkeep_state { UPKEEP_RESTING, UPKEEP_TRIMMING, UPKEEP_PAUSING, UPKEEP_ADVISING, UPKEEP_INDEXING };

struct refused {
    char *what; /* class, ' ', keys; or a class that is too large */
    uint64_t until_ms;
};

struct kept_app {
    char *name;
    uint64_t trim_ms, index_ms; /* not before (monotonic) */
    int64_t old_ms;             /* UTC when its log has something to cut; 0: not known */
    bool was_told_large;
    struct refused *refused;
    size_t refused_n; /* at most its large classes and what failed within an hour */
    UT_hash_handle hh;
};

struct proposal {
    char class_name[129], keys[512], name[DATA_INDEX_NAME_BYTES];
    uint64_t queries, total_ms, objects;
};

struct upkeep {
    struct backend *backend;
    uint32_t every_ms;
    uint64_t objects_max;
    uv_timer_t timer;
    enum upkeep_state state;
    struct kept_app *apps; /* those that were looked after */
    char **names;          /* of this round */
    size_t names_n, names_at;
    struct kept_app *app; /* under work */
    uint64_t since_us;    /* of the job */
    struct upkeep_stats stats;
    bool is_closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
    /* the job's */
    int64_t before_ms;
    struct data_trim trim;
    uint64_t trimmed; /* of this app */
    struct proposal proposal;
    bool has_proposal;
};

static void arm(struct upkeep *u, uint64_t ms);

/* --- the rounds --------------------------------------------------------------------------------------------------- */

static void note_name(void *ctx, const struct backend_app *app)
{
    struct upkeep *u = ctx;
    u->names = hob_realloc(u->names, u->names_n + 1, sizeof *u->names);
    u->names[u->names_n++] = hob_strdup(backend_app_name(app));
}

static void drop_names(struct upkeep *u)
{
    for (size_t i = 0; i < u->names_n; i++)
        free(u->names[i]);
    free(u->names);
    u->names = NULL;
    u->names_n = u->names_at = 0;
}

static void drop_app(struct upkeep *u, struct kept_app *app)
{
    HASH_DEL(u->apps, app);
    for (size_t i = 0; i < app->refused_n; i++)
        free(app->refused[i].what);
    free(app->refused);
    free(app->name);
    free(app);
}

static void begin_round(struct upkeep *u)
{
    const struct backend_apps *apps = backend_wiring(u->backend)->apps;
    struct kept_app *app = NULL, *tmp = NULL;
    drop_names(u);
    backend_app_each(apps, note_name, u);
    HASH_ITER(hh, u->apps, app, tmp)
    {
        if (!backend_app_by_name(apps, hob_str(app->name)))
            drop_app(u, app);
    }
}

static struct kept_app *keep(struct upkeep *u, const char *name)
{
    struct kept_app *app = NULL;
    HASH_FIND_STR(u->apps, name, app);
    if (app)
        return app;
    app = hob_new(struct kept_app);
    app->name = hob_strdup(name);
    HASH_ADD_KEYPTR(hh, u->apps, app->name, strlen(app->name), app);
    return app;
}

static const struct backend_app *app_of(const struct upkeep *u)
{
    return backend_app_by_name(backend_wiring(u->backend)->apps, hob_str(u->app->name));
}

static bool is_open(const struct upkeep *u, const struct kept_app *app)
{
    return appdb_is_open(backend_wiring(u->backend)->dbs, app->name);
}

static bool is_trim_due(const struct upkeep *u, const struct kept_app *app)
{
    return hob_now_ms() >= app->trim_ms && (is_open(u, app) || (app->old_ms && hob_utc_ms() >= app->old_ms));
}

static bool is_index_due(const struct upkeep *u, const struct kept_app *app)
{
    const struct backend_app *b = backend_app_by_name(backend_wiring(u->backend)->apps, hob_str(app->name));
    return b && backend_app_bool(b, SETTING_AUTO_INDEX) && hob_now_ms() >= app->index_ms && is_open(u, app);
}

/* The next app that is due; NULL: none among those looked at. */
static struct kept_app *next_app(struct upkeep *u)
{
    if (u->names_at >= u->names_n)
        begin_round(u);
    for (unsigned i = 0; i < LOOKS_A_TICK && u->names_at < u->names_n; i++) {
        struct kept_app *app = keep(u, u->names[u->names_at++]);
        if (backend_app_by_name(backend_wiring(u->backend)->apps, hob_str(app->name)) &&
            (is_trim_due(u, app) || is_index_due(u, app)))
            return app;
    }
    return NULL;
}

static void rest(struct upkeep *u)
{
    u->state = UPKEEP_RESTING;
    u->app = NULL;
    arm(u, u->every_ms);
}

static void fail(struct upkeep *u, const struct hob_err *err)
{
    u->stats.failed++;
    hob_log(HOB_LOG_WARN, "upkeep.failed", "app=%s error=\"%s\"", u->app->name, err->msg);
    rest(u);
}

/* --- what shall not stand in the way of others -------------------------------------------------------------------- */

/* `keys` NULL: the class as a whole. */
static char *refused_name(const char *class_name, const char *keys)
{
    return keys ? hob_asprintf("%s %s", class_name, keys) : hob_strdup(class_name);
}

static void refuse(const struct upkeep *u, const char *class_name, const char *keys)
{
    struct kept_app *app = u->app;
    size_t i = 0;
    while (i < app->refused_n && hob_now_ms() < app->refused[i].until_ms)
        i++;
    if (i == app->refused_n) {
        app->refused = hob_realloc(app->refused, ++app->refused_n, sizeof *app->refused);
        app->refused[i].what = NULL;
    }
    free(app->refused[i].what);
    app->refused[i] = (struct refused){.what = refused_name(class_name, keys),
                                       .until_ms = hob_now_ms() + (uint64_t)REFUSED_EVERY * u->every_ms};
}

/* Also by the job: nothing is refused while it runs. */
static bool is_refused(const struct kept_app *app, const char *class_name, const char *keys)
{
    hob_auto_free char *what = refused_name(class_name, keys);
    for (size_t i = 0; i < app->refused_n; i++)
        if (strcmp(app->refused[i].what, what) == 0 && hob_now_ms() < app->refused[i].until_ms)
            return true;
    return false;
}

/* --- an index ----------------------------------------------------------------------------------------------------- */

static enum hob_code index_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    const struct upkeep *u = ctx;
    struct data_index index = {u->proposal.name, u->proposal.keys};
    if (!data_class_find(tx, u->proposal.class_name))
        return HOB_OK; /* dropped meanwhile */
    return data_index_add(tx, u->proposal.class_name, &index, false, err);
}

static void on_indexed(void *ctx, const struct hob_err *err)
{
    struct upkeep *u = ctx;
    const struct proposal *p = &u->proposal;
    HOB_ASSERT(u->state == UPKEEP_INDEXING);
    if (err) {
        refuse(u, p->class_name, p->keys);
        fail(u, err);
        return;
    }
    u->stats.indexes_made++;
    hob_log(HOB_LOG_INFO, "upkeep.index",
            "app=%s class=%s keys=%s objects=%llu took_ms=%llu queries=%llu total_ms=%llu", u->app->name,
            p->class_name, p->keys, (unsigned long long)p->objects,
            (unsigned long long)((hob_now_us() - u->since_us) / 1000), (unsigned long long)p->queries,
            (unsigned long long)p->total_ms);
    rest(u);
}

struct choice {
    struct upkeep *u;
    struct data_tx *tx;
};

static bool has_room(const struct data_class *c)
{
    unsigned n = 0;
    for (size_t i = 0; c && i < c->indexes_n; i++)
        n += strncmp(c->indexes[i].name, DATA_INDEX_NAME_BY_US, strlen(DATA_INDEX_NAME_BY_US)) == 0;
    return c && n < AUTO_A_CLASS;
}

static enum hob_code choose(void *ctx, const struct data_advice *a, struct hob_err *err)
{
    struct choice *choice = ctx;
    struct proposal *p = &choice->u->proposal;
    const struct kept_app *app = choice->u->app;
    (void)err;
    if (choice->u->has_proposal || a->queries < AUTO_QUERIES_MIN || strlen(a->keys_json) >= sizeof p->keys ||
        is_refused(app, a->class_name, NULL) || is_refused(app, a->class_name, a->keys_json) ||
        !has_room(data_class_find(choice->tx, a->class_name)) || !data_index_name(a->keys_json, p->name))
        return HOB_OK;
    (void)snprintf(p->class_name, sizeof p->class_name, "%s", a->class_name);
    (void)snprintf(p->keys, sizeof p->keys, "%s", a->keys_json);
    p->queries = a->queries;
    p->total_ms = a->total_ms;
    choice->u->has_proposal = true;
    return HOB_OK;
}

static enum hob_code advise_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct upkeep *u = ctx;
    struct choice choice = {u, tx};
    u->has_proposal = false;
    if (data_advise(tx, choose, &choice, err) != HOB_OK)
        return err->code;
    if (!u->has_proposal)
        return HOB_OK;
    struct data_query all = {.class_name = u->proposal.class_name, .limit = -1};
    enum hob_code rc = data_count(tx, &all, &u->proposal.objects, err);
    if (rc != HOB_E_TIMEOUT)
        return rc;
    u->proposal.objects = u->objects_max + 1; /* more than can be counted */
    return HOB_OK;
}

/* The next one comes with the next look, which is not put off for it. */
static void too_large(struct upkeep *u)
{
    const struct proposal *p = &u->proposal;
    refuse(u, p->class_name, NULL);
    u->app->index_ms = 0;
    if (!u->app->was_told_large)
        hob_log(HOB_LOG_WARN, "upkeep.too_large",
                "app=%s class=%s objects=%llu effect=\"no index is made unasked: `hob data advise %s "
                "--apply` does\"",
                u->app->name, p->class_name, (unsigned long long)p->objects, u->app->name);
    u->app->was_told_large = true;
}

static void on_advised(void *ctx, const struct hob_err *err)
{
    struct upkeep *u = ctx;
    HOB_ASSERT(u->state == UPKEEP_ADVISING);
    if (err) {
        fail(u, err);
        return;
    }
    bool is_large = u->has_proposal && u->proposal.objects > u->objects_max;
    if (is_large)
        too_large(u);
    if (!u->has_proposal || is_large || u->is_closing || !app_of(u)) {
        rest(u);
        return;
    }
    u->state = UPKEEP_INDEXING;
    u->since_us = hob_now_us();
    appdb_write(backend_wiring(u->backend)->dbs, u->app->name, index_work, on_indexed, u);
}

static void advise(struct upkeep *u)
{
    if (u->is_closing || !is_index_due(u, u->app)) {
        rest(u);
        return;
    }
    u->app->index_ms = hob_now_ms() + (uint64_t)INDEX_EVERY * u->every_ms;
    u->state = UPKEEP_ADVISING;
    appdb_read(backend_wiring(u->backend)->dbs, u->app->name, advise_work, on_advised, u);
}

/* --- the log of changes ------------------------------------------------------------------------------------------- */

static int64_t kept_ms(const struct backend_app *app)
{
    return backend_app_int(app, SETTING_CHANGE_LOG_DAYS) * DAY_MS;
}

static enum hob_code trim_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct upkeep *u = ctx;
    return data_changes_trim(tx, u->before_ms, &u->trim, err);
}

static void trimmed(struct upkeep *u)
{
    const struct backend_app *app = app_of(u);
    u->app->trim_ms = hob_now_ms() + (uint64_t)TRIM_EVERY * u->every_ms;
    if (app)
        u->app->old_ms = (u->trim.young_ms ? u->trim.young_ms : hob_utc_ms()) + kept_ms(app);
    if (u->trimmed)
        hob_log(HOB_LOG_INFO, "upkeep.trimmed", "app=%s changes=%llu", u->app->name,
                (unsigned long long)u->trimmed);
    advise(u);
}

static void on_trimmed(void *ctx, const struct hob_err *err)
{
    struct upkeep *u = ctx;
    HOB_ASSERT(u->state == UPKEEP_TRIMMING);
    if (err) {
        u->app->trim_ms = hob_now_ms() + (uint64_t)TRIM_EVERY * u->every_ms;
        fail(u, err);
        return;
    }
    u->trimmed += u->trim.removed;
    u->stats.changes_trimmed += u->trim.removed;
    if (!u->trim.has_more || u->is_closing) {
        trimmed(u);
        return;
    }
    u->state = UPKEEP_PAUSING;
    arm(u, PAUSES_A_STEP * ((hob_now_us() - u->since_us) / 1000 + 1));
}

/* An app that is being removed: its database goes with a job queued behind this one. */
static void trim(struct upkeep *u)
{
    const struct backend_app *app = app_of(u);
    if (u->is_closing || !app) {
        rest(u);
        return;
    }
    u->state = UPKEEP_TRIMMING;
    u->before_ms = hob_utc_ms() - kept_ms(app);
    u->since_us = hob_now_us();
    appdb_write(backend_wiring(u->backend)->dbs, u->app->name, trim_work, on_trimmed, u);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void on_timer_closed(uv_handle_t *timer)
{
    struct upkeep *u = timer->data;
    void (*closed)(void *ctx) = u->closed;
    void *ctx = u->closed_ctx;
    struct kept_app *app = NULL, *tmp = NULL;
    drop_names(u);
    HASH_ITER(hh, u->apps, app, tmp)
    {
        drop_app(u, app);
    }
    free(u);
    closed(ctx);
}

static void on_timer(uv_timer_t *timer)
{
    struct upkeep *u = timer->data;
    if (u->state == UPKEEP_PAUSING) {
        trim(u);
        return;
    }
    HOB_ASSERT(u->state == UPKEEP_RESTING);
    u->app = next_app(u);
    u->trimmed = 0;
    if (!u->app)
        arm(u, u->every_ms);
    else if (is_trim_due(u, u->app))
        trim(u);
    else
        advise(u);
}

static void arm(struct upkeep *u, uint64_t ms)
{
    if (u->is_closing)
        uv_close((uv_handle_t *)&u->timer, on_timer_closed);
    else
        HOB_ASSERT(uv_timer_start(&u->timer, on_timer, ms, 0) == 0);
}

struct upkeep *upkeep_start(struct backend *b, uv_loop_t *loop, uint32_t every_ms, uint64_t objects_max)
{
    struct upkeep *u = hob_new(struct upkeep);
    u->backend = b;
    u->every_ms = every_ms ? every_ms : EVERY_MS;
    u->objects_max = objects_max ? objects_max : AUTO_OBJECTS;
    HOB_ASSERT(uv_timer_init(loop, &u->timer) == 0);
    u->timer.data = u;
    uv_unref((uv_handle_t *)&u->timer);
    arm(u, u->every_ms);
    return u;
}

void upkeep_close(struct upkeep *u, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!u->is_closing);
    u->is_closing = true;
    u->closed = closed;
    u->closed_ctx = ctx;
    if (u->state == UPKEEP_RESTING || u->state == UPKEEP_PAUSING)
        uv_close((uv_handle_t *)&u->timer, on_timer_closed);
}

struct upkeep_stats upkeep_stats(const struct upkeep *u)
{
    return u->stats;
}
