#include "bindings/backend.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "bindings/auth/session.h"
#include "bindings/backend_priv.h"
#include "bindings/files/files.h"
#include "bindings/upkeep/upkeep.h"

#include "base/banned.h"

/* The way of a call: settings -> route -> rights of the key -> session -> handler. The first failure ends it. */

enum { DEPTH_MAX = 16, PATH_BYTES_MAX = 8192 };

struct auth *backend_auth(struct backend *b)
{
    return b->auth;
}

struct cloud *backend_cloud(struct backend *b)
{
    return b->cloud;
}

struct files *backend_files(struct backend *b)
{
    return b->files;
}

struct upkeep *backend_upkeep(struct backend *b)
{
    return b->upkeep;
}

const struct backend_options *backend_wiring(struct backend *b)
{
    return &b->o;
}

bool backend_has_cloud_code(struct backend *b, const char *app)
{
    return cloud_has_some(b->cloud, app);
}

struct appdbs *backend_databases(const struct backend *b)
{
    return b->o.dbs;
}

struct backend_stats backend_stats(const struct backend *b)
{
    return b->stats;
}

/* --- taking a request --------------------------------------------------------------------------------------------- */

static bool copy_str(struct backend_call *c, struct hob_str *s)
{
    if (!s->n) {
        *s = HOB_STR("");
        return true;
    }
    s->at = hob_arena_strndup(&c->arena, s->at, s->n);
    return s->at != NULL;
}

static enum hob_code take_request(struct backend_call *c, const struct backend_request *r,
                                  struct hob_err *err)
{
    struct backend_request *mine = &c->request;
    *mine = *r;
    json_incref(mine->params);
    json_incref((json_t *)(uintptr_t)mine->context);
    json_incref((json_t *)(uintptr_t)mine->headers);
    mine->app = hob_arena_strndup(&c->arena, r->app, strlen(r->app));
    if (r->path.n > PATH_BYTES_MAX || !mine->app || !copy_str(c, &mine->method) ||
        !copy_str(c, &mine->path) || !copy_str(c, &mine->session_token) || !copy_str(c, &mine->user_id) ||
        !copy_str(c, &mine->installation_id) || !copy_str(c, &mine->remote) ||
        !copy_str(c, &mine->request_id) || !copy_str(c, &mine->idempotency_key) ||
        !copy_str(c, &mine->mount_url))
        return hob_fail(err, HOB_E_TOO_LARGE, "the request's path or keys are too long");
    c->who.role = r->role;
    if (r->role == BACKEND_CLIENT) { /* nobody yet: routes that judge no session see what everybody sees */
        c->who.subjects = hob_arena_alloc(&c->arena, sizeof *c->who.subjects);
        if (!c->who.subjects)
            return hob_fail(err, HOB_E_TOO_LARGE, "the request is too large");
        c->who.subjects[0] = HOB_STR("*");
        c->who.subjects_n = 1;
    }
    return HOB_OK;
}

/* What the read-only master key may ask for with a method that writes: what writes no data of the app. */
static bool is_harmless(const struct backend_route *r)
{
    static const char *const patterns[] = {"/batch", "/login", "/logout", "/verifyPassword",
                                           "/functions/:name"};
    for (size_t i = 0; i < HOB_COUNT(patterns); i++)
        if (strcmp(r->pattern, patterns[i]) == 0)
            return true;
    return strcmp(r->method, "GET") == 0;
}

static enum hob_code judge_key(struct backend_call *c, struct hob_err *err)
{
    enum route_need need = c->route->need;
    bool is_read_only = c->who.role == BACKEND_READ_ONLY_MASTER;
    if ((need == NEED_MASTER || need == NEED_MASTER_READ) && c->who.role == BACKEND_CLIENT)
        return hob_fail(err, HOB_E_FORBIDDEN, "unauthorized: master key is required");
    if (is_read_only && (need == NEED_MASTER || !is_harmless(c->route)))
        return parse_fail(err, PARSE_OPERATION_FORBIDDEN,
                          "read-only masterKey isn't allowed to perform this operation: %s %s",
                          c->route->method, c->route->pattern);
    return HOB_OK;
}

static void run_route(struct backend_call *c)
{
    const struct backend_route *r = c->route;
    if (cloud_settle_jobs(c, run_route))
        return;
    if (r->start)
        r->start(c);
    else if (r->kind == ROUTE_READ)
        ask_read(c, r->work, NULL);
    else
        ask_write(c, r->work, NULL);
}

/* Behind the judged session. */
static void enter(struct backend_call *c)
{
    if (c->request.idempotency_key.n && idempotency_applies(c))
        idempotency_start(c, run_route);
    else
        run_route(c);
}

static enum hob_code prepare(struct backend_call *c, const struct backend_request *r, struct hob_err *err)
{
    struct backend *b = c->backend;
    enum hob_code rc = take_request(c, r, err);
    if (rc != HOB_OK)
        return rc;
    if (b->is_closing)
        return hob_fail(err, HOB_E_UNAVAILABLE, "the server is shutting down");
    if (r->depth > DEPTH_MAX)
        return parse_fail(err, PARSE_SCRIPT_FAILED, "cloud code called cloud code more than %d times deep",
                          DEPTH_MAX);
    if (!(c->settings = ask_settings_take(b, c->request.app)))
        return hob_fail(err, HOB_E_UNAUTHORIZED, "unauthorized");
    if (r->params && !json_is_object(r->params))
        return parse_fail(err, PARSE_INVALID_JSON, "the body must be a JSON object");
    rc = router_find(b->router, c, err);
    return rc == HOB_OK ? judge_key(c, err) : rc;
}

static struct backend_call *start_call(struct backend *b, const struct backend_request *r,
                                       backend_answer_cb done, void *ctx)
{
    struct backend_call *c = call_new(b);
    c->done = done;
    c->done_ctx = ctx;
    c->is_starting = true;
    b->stats.asked++;
    if (prepare(c, r, &c->err) != HOB_OK)
        call_later(c, ask_fail);
    return c;
}

struct backend_call *backend_ask(struct backend *b, const struct backend_request *r, backend_answer_cb done,
                                 void *ctx)
{
    struct backend_call *c = start_call(b, r, done, ctx);
    if (c->err.code == HOB_OK) {
        if (c->route->need == NEED_NO_SESSION)
            enter(c);
        else
            session_judge(c, enter);
    }
    c->is_starting = false;
    return c;
}

struct backend_call *ask_again(struct backend_call *outer, const struct backend_request *r,
                               backend_answer_cb done, void *ctx)
{
    struct backend_request request = outer->request;
    request.method = r->method;
    request.path = r->path;
    request.params = r->params;
    request.role = r->role;
    struct backend_call *c = start_call(outer->backend, &request, done, ctx);
    c->is_inner = true;
    c->batch = r->role == outer->who.role ? outer->batch_of_parts : NULL;
    if (c->err.code == HOB_OK) {
        if (r->role == outer->who.role && c->route->need != NEED_NO_SESSION) {
            c->who = outer->who;
            json_incref(c->who.user);
            run_route(c);
        } else if (c->route->need == NEED_NO_SESSION) {
            run_route(c);
        } else {
            session_judge(c, run_route);
        }
    }
    c->is_starting = false;
    return c;
}

/* --- life --------------------------------------------------------------------------------------------------------- */

static void on_handles_closed(uv_handle_t *handle)
{
    struct backend *b = handle->data;
    if (handle == (uv_handle_t *)&b->grace) {
        uv_close((uv_handle_t *)&b->wake, on_handles_closed);
        return;
    }
    void (*closed)(void *ctx) = b->closed;
    void *ctx = b->closed_ctx;
    call_free_spare(b);
    ask_settings_done(b);
    router_free(b->router);
    free(b);
    closed(ctx);
}

static void on_files_closed(void *ctx)
{
    struct backend *b = ctx;
    uv_close((uv_handle_t *)&b->grace, on_handles_closed);
}

static void on_auth_closed(void *ctx)
{
    struct backend *b = ctx;
    files_close(b->files, on_files_closed, b);
}

static void on_cloud_closed(void *ctx)
{
    struct backend *b = ctx;
    auth_close(b->auth, on_auth_closed, b);
}

static void on_upkeep_closed(void *ctx)
{
    struct backend *b = ctx;
    cloud_close(b->cloud, on_cloud_closed, b);
}

static void maybe_close(struct backend *b)
{
    if (!b->is_closing || b->is_closed || !hob_list_is_empty(&b->calls))
        return;
    b->is_closed = true;
    upkeep_close(b->upkeep, on_upkeep_closed, b);
}

static void on_wake(uv_async_t *wake)
{
    struct backend *b = wake->data;
    call_run_ready(b);
    maybe_close(b);
}

static void on_grace(uv_timer_t *timer)
{
    struct backend *b = timer->data;
    unsigned n = 0;
    HOB_LIST_EACH(&b->calls, node, tmp)
    {
        struct backend_call *c = HOB_CONTAINER_OF(node, struct backend_call, link);
        if (!c->is_inner) /* those answer to their outer call, which waits for them */
            backend_forget(c);
        n++;
    }
    if (n)
        hob_log(HOB_LOG_WARN, "backend.grace_over", "calls=%u effect=\"their answers are given up\"", n);
    cloud_stop(b->cloud);
    if (b->o.wires.stop)
        b->o.wires.stop(b->o.wires.ctx);
}

void backend_close(struct backend *b, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!b->is_closing);
    b->is_closing = true;
    b->closed = closed;
    b->closed_ctx = ctx;
    (void)uv_timer_start(&b->grace, on_grace, grace_ms, 0);
    (void)uv_async_send(&b->wake);
}

struct backend *backend_start(const struct backend_options *o, struct hob_err *err)
{
    struct backend *b = hob_new(struct backend);
    b->o = *o;
    hob_list_init(&b->calls);
    hob_list_init(&b->ready);
    hob_list_init(&b->spare);
    HOB_ASSERT(uv_async_init(o->loop, &b->wake, on_wake) == 0 && uv_timer_init(o->loop, &b->grace) == 0);
    b->wake.data = b->grace.data = b;
    b->router = router_new();
    if (!(b->cloud = cloud_new(&b->o, b, err)) || !(b->auth = auth_start(b, &b->o, err)) ||
        !(b->files = files_open(o->loop, o->files_dir, err)))
        return NULL; /* the daemon ends with the message */
    b->upkeep = upkeep_start(b, o->loop, o->upkeep_ms, o->upkeep_objects);
    return b;
}
