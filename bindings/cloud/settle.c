/* Jobs that a former daemon left "running" are dead: their rows become "failed" before anybody asks for jobs.
 *
 *   UNSETTLED -> (the first call about jobs) SETTLING, calls wait -> SETTLED, they go on
 *
 * Jobs start behind that, so that whatever is "running" while SETTLING is of a former daemon. */
#include <stdlib.h>

#include "base/log.h"
#include "bindings/cloud/cloud_priv.h"
#include "bindings/object/object.h"

#include "base/banned.h"

enum { ROWS_AT_ONCE = 500 };

struct job_waiter {
    struct backend_call *call;
    void (*next)(struct backend_call *c);
    struct job_waiter *behind;
};

/* --- the job --- */

static enum hob_code take_id(void *ctx, json_t *object, json_t *hidden, struct hob_err *err)
{
    (void)hidden;
    (void)err;
    (void)json_array_append(ctx, json_object_get(object, "objectId"));
    return HOB_OK;
}

static enum hob_code fail_row(struct backend_call *c, struct data_tx *tx, const char *id, struct hob_err *err)
{
    json_t *data =
        json_pack("{s:s,s:s,s:o}", "status", "failed", "message",
                  "the server ended while the job was running", "finishedAt", object_date(c->now_ms));
    struct object_save s = {.class_name = HOB_STR("_JobStatus"),
                            .id = hob_str(id),
                            .data = data,
                            .flags = OBJECT_AS_MASTER | OBJECT_AS_SERVER | OBJECT_NO_TRIGGERS};
    enum hob_code rc = object_save_now(c, tx, &s, err);
    object_save_done(&s);
    return rc;
}

static enum hob_code fail_rows(struct backend_call *c, struct data_tx *tx, size_t *ret_n, struct hob_err *err)
{
    json_t *ids hob_auto_json = json_array(), *id;
    json_t *where hob_auto_json = json_pack("{s:s}", "status", "running");
    size_t i;
    enum hob_code rc =
        object_find(c, tx, "_JobStatus", where, ROWS_AT_ONCE, OBJECT_AS_MASTER, take_id, ids, err);
    *ret_n = json_array_size(ids);
    json_array_foreach(ids, i, id)
    {
        if (rc == HOB_OK)
            rc = fail_row(c, tx, json_string_value(id), err);
    }
    return rc;
}

static enum hob_code settle_work(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    size_t n = 0;
    enum hob_code rc;
    do
        rc = fail_rows(c, tx, &n, err);
    while (rc == HOB_OK && n == ROWS_AT_ONCE);
    return rc;
}

/* The route SETTLE, which only the backend itself asks for: at any other moment, and in a batch, there is nothing to do. */
void jobs_settle_serve(struct backend_call *c)
{
    const struct cloud_app *a = cloud_app_ensure(backend_cloud(c->backend), c->request.app);
    if (a->jobs == JOBS_SETTLING && !c->batch)
        ask_write(c, settle_work, NULL);
    else
        ask_finish(c);
}

/* --- steps --- */

struct settling {
    struct cloud *cloud;
    char *app;
};

static void on_settled(void *ctx, const struct backend_answer *answer)
{
    struct settling *s = ctx;
    struct cloud_app *a = cloud_app_ensure(s->cloud, s->app);
    struct job_waiter *w = hob_steal(&a->waiting);
    if (answer->status >= 400) /* they stay as they are until the next start */
        hob_log(HOB_LOG_ERROR, "cloud.job", "app=%s error=\"jobs of the last run could not be ended: %.*s\"",
                s->app, HOB_STR_ARG(answer->json));
    a->jobs = JOBS_SETTLED;
    while (w) {
        struct job_waiter *next = w->behind;
        w->next(w->call);
        free(w);
        w = next;
    }
    free(s->app);
    free(s);
}

static bool is_about_jobs(const struct backend_call *c)
{
    const char *pattern = c->route->pattern;
    return hob_str_is(c->params[0], "_JobStatus") || strncmp(pattern, "/jobs", 5) == 0 ||
           strncmp(pattern, "/cloud_code/", 12) == 0;
}

bool cloud_settle_jobs(struct backend_call *c, void (*next)(struct backend_call *c))
{
    if (!identity_is_master(&c->who) || !is_about_jobs(c) || strcmp(c->route->method, "SETTLE") == 0)
        return false;
    struct cloud *cloud = backend_cloud(c->backend);
    struct cloud_app *a = cloud_app_ensure(cloud, c->request.app);
    if (a->jobs == JOBS_SETTLED)
        return false;
    struct job_waiter *w = hob_new(struct job_waiter);
    *w = (struct job_waiter){.call = c, .next = next, .behind = a->waiting};
    a->waiting = w;
    if (a->jobs == JOBS_SETTLING)
        return true;
    struct settling *s = hob_new(struct settling);
    *s = (struct settling){.cloud = cloud, .app = hob_strdup(c->request.app)};
    a->jobs = JOBS_SETTLING;
    struct backend_request r = {
        .app = s->app, .method = HOB_STR("SETTLE"), .path = HOB_STR("/jobs"), .role = BACKEND_MASTER};
    (void)ask_again(c, &r, on_settled, s); /* of the call that waits: a close does not forget it */
    return true;
}
