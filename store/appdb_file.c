/* The databases of the apps: opened when first used, closed when long unused. See appdb_priv.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/mem.h"
#include "store/appdb_priv.h"

struct app *app_need(struct appdbs *a, const char *name)
{
    struct app *app = NULL;
    HASH_FIND_STR(a->apps, name, app);
    if (app)
        return app;
    size_t n = strlen(name);
    HOB_ASSERT(n >= 1 && n <= 63 && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == n);
    app = hob_new(struct app);
    app->pool = a;
    app->name = hob_strdup(name);
    app->path = hob_asprintf("%s/%s.db", a->dir, name);
    hob_list_init(&app->writes);
    hob_list_init(&app->reads);
    hob_list_init(&app->idle_readers);
    hob_list_init(&app->waits_for_index);
    HASH_ADD_KEYPTR(hh, a->apps, app->name, n, app);
    return app;
}

void app_explain(const struct app *app, struct hob_err *err)
{
    if (!err->reason || strcmp(err->reason, "store_damaged") != 0)
        return;
    (void)hob_fail_reason(
        err, HOB_E_INTERNAL, "app_database_damaged",
        "the database of app '%s' is damaged; put a backup in place of data/%s.db (and remove "
        "data/%s.db-wal and -shm): it is opened again by itself",
        app->name, app->name, app->name);
}

void app_touch(struct app *app)
{
    hob_list_remove(&app->used);
    if (app->opened)
        hob_list_push_back(&app->pool->used, &app->used);
}

/* Both with the lock held; opening and closing happen without it. */
static struct app_conn *open_conn(struct app *app, bool is_writer, struct hob_err *err)
{
    struct appdbs *a = app->pool;
    struct app_conn *c = hob_new(struct app_conn);
    if (app->opened++ == 0) {
        a->stats.open++;
        a->stats.opened++;
    }
    app_touch(app);
    apps_make_room(a);
    uv_mutex_unlock(&a->lock);
    enum hob_code rc = conn_open(&c->c, app->path, is_writer, err);
    uv_mutex_lock(&a->lock);
    if (rc == HOB_OK)
        return c;
    app_explain(app, err);
    free(c);
    if (--app->opened == 0) {
        a->stats.open--;
        a->stats.closed++;
    }
    app_touch(app);
    return NULL;
}

static void close_conn(struct app *app, struct app_conn *c)
{
    struct appdbs *a = app->pool;
    uv_mutex_unlock(&a->lock);
    conn_close(&c->c);
    free(c);
    uv_mutex_lock(&a->lock);
    if (--app->opened == 0) {
        a->stats.open--;
        a->stats.closed++;
    }
    app_touch(app);
}

struct app_conn *app_take_writer(struct app *app, struct hob_err *err)
{
    while (app->is_opening)
        uv_cond_wait(&app->pool->is_quiet, &app->pool->lock);
    if (app->writer) {
        app_touch(app);
        return app->writer;
    }
    app->is_opening = true;
    app->writer = open_conn(app, true, err);
    app->is_opening = false;
    uv_cond_broadcast(&app->pool->is_quiet);
    return app->writer;
}

enum hob_code app_take_reader(struct app *app, struct app_conn **ret_c, struct hob_err *err)
{
    struct hob_node *node = hob_list_first(&app->idle_readers);
    struct stat st;
    *ret_c = NULL;
    if (node) {
        hob_list_remove(node);
        *ret_c = HOB_CONTAINER_OF(node, struct app_conn, node);
        app_touch(app);
        return HOB_OK;
    }
    if (!app->writer && !app->is_opening && stat(app->path, &st) != 0 && errno == ENOENT)
        return HOB_OK; /* the first write makes it */
    /* only a writing connection brings an old file to the newest tables */
    if (!app->writer && !app_take_writer(app, err))
        return err->code;
    *ret_c = open_conn(app, false, err);
    return *ret_c ? HOB_OK : err->code;
}

void app_give_reader(struct app *app, struct app_conn *c)
{
    if (app->is_lost)
        close_conn(app, c);
    else
        hob_list_push_front(&app->idle_readers, &c->node);
}

void app_close(struct app *app)
{
    struct hob_node *node;
    while ((node = hob_list_first(&app->idle_readers))) {
        hob_list_remove(node);
        close_conn(app, HOB_CONTAINER_OF(node, struct app_conn, node));
    }
    if (app->writer) {
        struct app_conn *writer = app->writer;
        app->writer = NULL;
        close_conn(app, writer); /* the last one: folds the log into the file */
    }
    catalogue_unref(app->catalogue);
    app->catalogue = NULL;
    app->is_lost = false;
}

static struct app *longest_unused(struct appdbs *a)
{
    HOB_LIST_EACH(&a->used, node, tmp)
    {
        struct app *app = HOB_CONTAINER_OF(node, struct app, used);
        if (!app->is_writing && !app->is_blocked && app->reading == 0 && app->waiting == 0)
            return app;
    }
    return NULL;
}

void apps_make_room(struct appdbs *a)
{
    struct app *app;
    while (a->stats.open > a->open_max && (app = longest_unused(a))) {
        app->is_blocked = app->is_writing = true; /* nobody opens it while it closes */
        app_close(app);
        app->is_blocked = app->is_writing = false;
        app_wake(app); /* what was queued meanwhile */
    }
}

enum hob_code app_remove_files(struct app *app, struct hob_err *err)
{
    static const char *const ends[] = {"", "-wal", "-shm", "-journal"};
    for (size_t i = 0; i < HOB_COUNT(ends); i++) {
        hob_auto_free char *path = hob_asprintf("%s%s", app->path, ends[i]);
        if ((HOB_FAULT("appdb.remove") ? (errno = EIO, -1) : unlink(path)) < 0 && errno != ENOENT)
            return hob_fail_errno(err, errno, "removing %s", path);
    }
    return hob_fsync_dir(app->pool->dir, err);
}

void apps_free(struct appdbs *a)
{
    struct app *app, *tmp;
    HASH_ITER(hh, a->apps, app, tmp)
    {
        HASH_DEL(a->apps, app); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
        HOB_ASSERT(app->opened == 0);
        catalogue_unref(app->catalogue);
        free(app->name);
        free(app->path);
        free(app);
    }
}
