#include "api/front.h"

#include <stdlib.h>
#include <string.h>

#include "api/gateway/gateway.h"
#include "api/metrics.h"
#include "api/parse/parse.h"
#include "base/mem.h"

struct front {
    struct front_options o;
    const struct http_server *server;
    bool is_draining;
};

static const struct http_events no_events = {.on_body = NULL};

static void answer(struct http_exchange *x, const char *type, struct hob_str body)
{
    const struct http_field fields[] = {{HOB_STR("content-type"), hob_str(type)},
                                        {HOB_STR("cache-control"), HOB_STR("no-store")}};
    http_respond(x, 200, fields, HOB_COUNT(fields), body);
}

/* The process answers: that is all it says. */
static void answer_health(struct front *f, struct http_exchange *x)
{
    (void)f;
    answer(x, "application/json", HOB_STR("{\"status\":\"ok\"}\n"));
}

/* Whether requests can be served now. The store is open as long as the daemon runs. */
static void answer_ready(struct front *f, struct http_exchange *x)
{
    struct hob_err err = {0};
    if (f->is_draining)
        (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "shutting_down", "hobd is shutting down");
    else if (!node_hub_has_runner(f->o.nodes))
        (void)hob_fail_reason(
            &err, HOB_E_UNAVAILABLE, "no_runner",
            "no hob-runner is connected: instances cannot be started; `hob doctor` says more");
    if (err.code != HOB_OK)
        http_problem(x, &err, 1);
    else
        answer(x, "application/json", HOB_STR("{\"status\":\"ready\"}\n"));
}

/* From this machine directly, or with a token: names of functions are not for strangers. */
static bool may_see_metrics(const struct front *f, const struct http_exchange *x)
{
    const char *remote = http_request(x)->remote;
    bool is_local = strncmp(remote, "127.", 4) == 0 || strcmp(remote, "::1") == 0;
    bool is_proxied = http_field(x, "x-forwarded-for").at || http_field(x, "forwarded").at;
    return (is_local && !is_proxied) || control_token_name(f->o.tokens, x);
}

static void answer_metrics(struct front *f, struct http_exchange *x)
{
    struct hob_err err = {0};
    struct hob_buf out hob_auto_buf;
    hob_buf_init(&out, METRICS_BYTES_MAX);
    if (!may_see_metrics(f, x)) {
        const struct http_field challenge[] = {
            {HOB_STR("www-authenticate"), HOB_STR("Bearer realm=\"hob\"")}};
        (void)hob_fail(&err, HOB_E_UNAUTHORIZED,
                       "metrics from another machine need a token: Authorization: Bearer hob_...");
        http_problem_with(x, &err, challenge, 1);
    } else if (metrics_write(&f->o, f->server, &out) != HOB_OK) {
        (void)hob_fail(&err, HOB_E_TOO_LARGE, "the metrics are larger than %d bytes", METRICS_BYTES_MAX);
        http_problem(x, &err, 0);
    } else {
        answer(x, "text/plain; version=0.0.4; charset=utf-8", hob_buf_str(&out));
    }
}

static const struct {
    const char *path;
    void (*answer)(struct front *f, struct http_exchange *x);
} own[] = {{"/healthz", answer_health}, {"/readyz", answer_ready}, {"/metrics", answer_metrics}};

void front_handle(void *ctx, struct http_exchange *x)
{
    struct front *f = ctx;
    const struct http_request *rq = http_request(x);
    if (hob_str_starts(rq->path, HOB_STR("/v1/")) || hob_str_is(rq->path, "/v1")) {
        control_handle(f->o.control, x);
        return;
    }
    for (size_t i = 0; i < HOB_COUNT(own); i++) {
        if (!hob_str_is(rq->path, own[i].path))
            continue;
        http_listen(x, &no_events, NULL);
        if (hob_str_is(rq->method, "GET") || hob_str_is(rq->method, "HEAD"))
            own[i].answer(f, x);
        else
            control_answer_405(x, "GET, HEAD");
        return;
    }
    if (parse_face_owns(rq->path))
        parse_face_handle(f->o.parse, x);
    else
        gateway_handle(f->o.gateway, x);
}

struct front *front_new(const struct front_options *o)
{
    struct front *f = hob_new(struct front);
    f->o = *o;
    return f;
}

void front_free(struct front *f)
{
    free(f);
}

void front_watch(struct front *f, const struct http_server *server)
{
    f->server = server;
}

void front_drain(struct front *f)
{
    f->is_draining = true;
    control_drain(f->o.control);
}
