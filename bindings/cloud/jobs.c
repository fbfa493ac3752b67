/* Jobs: POST /jobs/NAME answers with the id of a row of _JobStatus, which says how the job goes.
 *
 *   ROW      the row is made, "running"; durable before the client is answered
 *   RUNNING  a call of its own, as master (the route RUN, which only the backend itself asks for)
 *   ENDED    "succeeded" or "failed" is written into the row
 *
 * A daemon that dies meanwhile leaves "running" behind: settle.c. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "bindings/cloud/cloud_priv.h"

#include "base/banned.h"

struct job {
    struct backend_call *call; /* that started it; NULL once it is answered */
    struct backend *backend;
    char *app, *name, *id;
    json_t *params;
};

static void job_free(struct job *j)
{
    free(j->app);
    free(j->name);
    free(j->id);
    json_decref(j->params);
    free(j);
}

static struct backend_request as_master(const struct job *j, const char *method, const char *path,
                                        json_t *params)
{
    return (struct backend_request){.app = j->app,
                                    .method = hob_str(method),
                                    .path = hob_str(path),
                                    .params = params,
                                    .role = BACKEND_MASTER};
}

/* --- ENDED --- */

static void on_noted(void *ctx, const struct backend_answer *a)
{
    struct job *j = ctx;
    if (a->status >= 400)
        hob_log(HOB_LOG_ERROR, "cloud.job", "app=%s job=%.100s id=%s error=\"its end could not be written\"",
                j->app, j->name, j->id);
    job_free(j);
}

static json_t *end_of(const struct backend_answer *a)
{
    struct hob_err err;
    json_t *answer hob_auto_json = hob_json_parse(a->json, "the end of a job", &err);
    bool has_worked = a->status < 400;
    const json_t *message = json_object_get(answer, has_worked ? "result" : "error");
    char now[25];
    hob_utc_format(hob_utc_ms(), now);
    json_t *row = json_pack("{s:s,s:{s:s,s:s}}", "status", has_worked ? "succeeded" : "failed", "finishedAt",
                            "__type", "Date", "iso", now);
    if (json_is_string(message))
        (void)json_object_set_new(row, "message", json_string(json_string_value(message)));
    return row;
}

static void on_job_end(void *ctx, const struct backend_answer *a)
{
    struct job *j = ctx;
    char path[128];
    json_t *row hob_auto_json = end_of(a);
    (void)snprintf(path, sizeof path, "/classes/_JobStatus/%s", j->id);
    struct backend_request r = as_master(j, "PUT", path, row);
    (void)backend_ask(j->backend, &r, on_noted, j);
}

/* --- RUNNING --- */

static void on_ran(struct backend_call *c, void *ctx, const struct hob_err *err, json_t *success)
{
    struct hob_jw w;
    (void)ctx;
    if (err) {
        c->err = *err;
        ask_fail(c);
        return;
    }
    hob_jw_init(&w, &c->out);
    hob_jw_object(&w);
    if (json_is_string(success)) {
        hob_jw_key(&w, "result");
        hob_jw_json(&w, success);
    }
    hob_jw_object_end(&w);
    if (hob_jw_end(&w, &c->err) == HOB_OK)
        ask_finish(c);
    else
        ask_fail(c);
}

static bool find_job(const struct backend_call *c, struct hob_str name, struct cloud_target *ret_target)
{
    return cloud_find(backend_cloud(c->backend), c->request.app, CLOUD_JOB, name, ret_target);
}

static void start_run(struct backend_call *c)
{
    struct cloud_target target;
    const char *name = json_string_value(ask_param(c, "jobName"));
    if (!name || !find_job(c, hob_str(name), &target)) {
        (void)parse_fail(&c->err, PARSE_SCRIPT_FAILED, "Invalid job.");
        ask_fail(c);
        return;
    }
    json_t *payload = json_deep_copy(c->request.params);
    cloud_run(&(struct cloud_run){.call = c, .target = target, .payload = payload, .done = on_ran});
}

static void run_job(struct job *j)
{
    json_t *params hob_auto_json =
        json_pack("{s:s,s:s,s:O}", "jobName", j->name, "jobId", j->id, "params", j->params);
    struct backend_request r = as_master(j, "RUN", "/jobs", params);
    (void)backend_ask(j->backend, &r, on_job_end, j);
}

/* --- ROW --- */

static void on_row(void *ctx, const struct backend_answer *a)
{
    struct job *j = ctx;
    struct backend_call *c = j->call;
    struct hob_err err;
    json_t *answer hob_auto_json = hob_json_parse(a->json, "the row of a job", &err);
    const char *id = json_string_value(json_object_get(answer, "objectId"));
    if (a->status >= 400 || !id) {
        (void)parse_fail(&c->err, PARSE_INTERNAL, "the job's status could not be written");
        ask_fail(c);
        job_free(j);
        return;
    }
    j->id = hob_strdup(id);
    j->call = NULL;
    ask_header(c, "X-Parse-Job-Status-Id", hob_str(id));
    run_job(j);
    ask_finish(c);
}

static void start_named(struct backend_call *c, struct hob_str name, const json_t *params)
{
    struct cloud_target target;
    if (!name.n || !find_job(c, name, &target)) {
        (void)parse_fail(&c->err, PARSE_SCRIPT_FAILED, "Invalid job.");
        ask_fail(c);
        return;
    }
    struct job *j = hob_new(struct job);
    *j = (struct job){.call = c,
                      .backend = c->backend,
                      .app = hob_strdup(c->request.app),
                      .name = hob_strndup(name.at, name.n),
                      .params = params ? json_deep_copy(params) : json_object()};
    json_t *row hob_auto_json = json_pack("{s:s,s:s,s:s,s:O}", "jobName", j->name, "source", "api", "status",
                                          "running", "params", j->params);
    struct backend_request r = as_master(j, "POST", "/classes/_JobStatus", row);
    (void)ask_again(c, &r, on_row, j);
}

static void start_post(struct backend_call *c)
{
    if (c->params[0].n) {
        start_named(c, c->params[0], c->request.params);
        return;
    }
    const char *name = json_string_value(ask_param(c, "jobName"));
    json_t *params hob_auto_json = c->request.params ? json_deep_copy(c->request.params) : json_object();
    (void)json_object_del(params, "jobName");
    start_named(c, hob_str(name), params);
}

/* --- schedules: rows of _JobSchedule, for dashboards; nothing runs them by itself --- */

static void on_passed(void *ctx, const struct backend_answer *a)
{
    struct backend_call *c = ctx;
    c->status = a->status;
    if (hob_buf_add_str(&c->out, a->json) == HOB_OK) {
        ask_finish(c);
        return;
    }
    (void)parse_fail(&c->err, PARSE_INTERNAL, "the answer is too large");
    ask_fail(c);
}

static void pass_on(struct backend_call *c, const char *method, json_t *params, backend_answer_cb done)
{
    char path[160] = "/classes/_JobSchedule";
    if (c->params[0].n)
        (void)snprintf(path, sizeof path, "/classes/_JobSchedule/%.*s",
                       (int)(c->params[0].n < 64 ? c->params[0].n : 64), c->params[0].at);
    struct backend_request r = {.app = c->request.app,
                                .method = hob_str(method),
                                .path = hob_str(path),
                                .params = params,
                                .role = BACKEND_MASTER};
    (void)ask_again(c, &r, done, c);
}

static json_t *schedules_of(const struct backend_answer *a)
{
    struct hob_err err;
    json_t *answer hob_auto_json = hob_json_parse(a->json, "schedules", &err);
    return json_incref(json_object_get(answer, "results"));
}

static void answer_json(struct backend_call *c, const json_t *j)
{
    struct hob_jw w;
    hob_jw_init(&w, &c->out);
    hob_jw_json(&w, j);
    if (hob_jw_end(&w, &c->err) == HOB_OK)
        ask_finish(c);
    else
        ask_fail(c);
}

static void on_schedules(void *ctx, const struct backend_answer *a)
{
    json_t *rows hob_auto_json = schedules_of(a);
    json_t *none hob_auto_json = json_array();
    answer_json(ctx, rows ? rows : none);
}

static void add_name(void *ctx, struct hob_str name, const struct cloud_target *target)
{
    (void)target;
    (void)json_array_append_new(ctx, json_stringn(name.at, name.n));
}

static void on_schedules_in_use(void *ctx, const struct backend_answer *a)
{
    struct backend_call *c = ctx;
    json_t *rows hob_auto_json = schedules_of(a);
    json_t *in_use = json_array(), *jobs = json_array();
    for (size_t i = 0; i < json_array_size(rows); i++)
        (void)json_array_append(in_use, json_object_get(json_array_get(rows, i), "jobName"));
    cloud_each(backend_cloud(c->backend), c->request.app, CLOUD_JOB, add_name, jobs);
    json_t *answer hob_auto_json = json_pack("{s:o,s:o}", "in_use", in_use, "jobs", jobs);
    answer_json(c, answer);
}

static json_t *all_schedules(void)
{
    return json_pack("{s:i}", "limit", 1000);
}

static void start_schedules(struct backend_call *c)
{
    json_t *params hob_auto_json = all_schedules();
    pass_on(c, "GET", params, on_schedules);
}

static void start_schedules_data(struct backend_call *c)
{
    json_t *params hob_auto_json = all_schedules();
    pass_on(c, "GET", params, on_schedules_in_use);
}

static void start_schedule_write(struct backend_call *c)
{
    struct cloud_target target;
    json_t *schedule = ask_param(c, "job_schedule");
    const char *name = json_string_value(json_object_get(schedule, "jobName"));
    if (name && find_job(c, hob_str(name), &target)) {
        pass_on(c, c->params[0].n ? "PUT" : "POST", schedule, on_passed);
        return;
    }
    (void)parse_fail(&c->err, PARSE_INVALID_VALUE, "Cannot Schedule a job that is not deployed");
    ask_fail(c);
}

static void start_schedule_delete(struct backend_call *c)
{
    pass_on(c, "DELETE", NULL, on_passed);
}

const struct backend_route job_routes[] = {
    {"POST", "/jobs", ROUTE_FLOW, NEED_MASTER, NULL, start_post},
    {"POST", "/jobs/:name", ROUTE_FLOW, NEED_MASTER, NULL, start_post},
    {"RUN", "/jobs", ROUTE_FLOW, NEED_MASTER, NULL, start_run},
    {"SETTLE", "/jobs", ROUTE_FLOW, NEED_MASTER, NULL, jobs_settle_serve},
    {"GET", "/cloud_code/jobs", ROUTE_FLOW, NEED_MASTER_READ, NULL, start_schedules},
    {"GET", "/cloud_code/jobs/data", ROUTE_FLOW, NEED_MASTER_READ, NULL, start_schedules_data},
    {"POST", "/cloud_code/jobs", ROUTE_FLOW, NEED_MASTER, NULL, start_schedule_write},
    {"PUT", "/cloud_code/jobs/:id", ROUTE_FLOW, NEED_MASTER, NULL, start_schedule_write},
    {"DELETE", "/cloud_code/jobs/:id", ROUTE_FLOW, NEED_MASTER, NULL, start_schedule_delete},
    {0},
};
