/* One call, from its request to its answer:
 *
 *   asked -> [session judged] -> handler: a job, or a flow of jobs, triggers, hashing, ... -> answered -> freed
 *
 * It lives until its flow has come to an end, also when nobody waits any more: what runs for it holds it. Answers never
 * come from inside backend_ask: what is known at once is told in the next turn of the loop. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/map.h"
#include "bindings/auth/session.h"
#include "bindings/backend_priv.h"

#include "base/banned.h"

enum { ARENA_BYTES_MAX = 64 * 1024 * 1024 };
enum { SPARE_MAX = 256, SPARE_OUT_BYTES_MAX = 64 * 1024 };

struct ask_settings {
    char *app;
    unsigned refs;
    json_t *values[SETTINGS_];
    UT_hash_handle hh;
};
struct call_defer {
    void (*fn)(void *p);
    void *p;
    struct call_defer *next;
};

/* --- settings: one snapshot an app, taken anew when something changed ------------------------------------------- */

void ask_settings_drop(struct ask_settings *s)
{
    if (!s || --s->refs)
        return;
    for (unsigned i = 0; i < SETTINGS_; i++)
        json_decref(s->values[i]);
    free(s->app);
    free(s);
}

/* A value is never changed in place, and a held one's address is not used again: pointers tell. */
static bool is_current(const struct ask_settings *s, const struct backend_app *app)
{
    for (unsigned i = 0; i < SETTINGS_; i++)
        if (s->values[i] != backend_app_json(app, (enum backend_setting)i))
            return false;
    return true;
}

static struct ask_settings *snapshot(const struct backend_app *app)
{
    struct ask_settings *s = hob_new(struct ask_settings);
    s->app = hob_strdup(backend_app_name(app));
    s->refs = 1;
    for (unsigned i = 0; i < SETTINGS_; i++) {
        const json_t *value = backend_app_json(app, (enum backend_setting)i);
        s->values[i] = json_incref((json_t *)(uintptr_t)value);
    }
    return s;
}

struct ask_settings *ask_settings_take(struct backend *b, const char *app)
{
    const struct backend_app *found = backend_app_by_name(b->o.apps, hob_str(app));
    struct ask_settings *s = NULL;
    if (!found)
        return NULL;
    HASH_FIND_STR(b->settings, app, s);
    if (s && !is_current(s, found)) {
        HASH_DEL(b->settings, s);
        ask_settings_drop(s);
        s = NULL;
    }
    if (!s) {
        s = snapshot(found);
        HASH_ADD_KEYPTR(hh, b->settings, s->app, strlen(s->app), s);
    }
    s->refs++;
    return s;
}

void ask_settings_done(struct backend *b)
{
    struct ask_settings *s, *tmp;
    HASH_ITER(hh, b->settings, s, tmp)
    {
        HASH_DEL(b->settings, s);
        ask_settings_drop(s);
    }
}

bool ask_bool(const struct backend_call *c, enum backend_setting which)
{
    return json_is_true(c->settings->values[which]);
}

int64_t ask_int(const struct backend_call *c, enum backend_setting which)
{
    return (int64_t)json_number_value(c->settings->values[which]);
}

const char *ask_text(const struct backend_call *c, enum backend_setting which)
{
    const char *text = json_string_value(c->settings->values[which]);
    return text ? text : "";
}

const json_t *ask_json(const struct backend_call *c, enum backend_setting which)
{
    return c->settings->values[which];
}

json_t *ask_param(const struct backend_call *c, const char *name)
{
    return json_object_get(c->request.params, name);
}

const char *ask_text_of(struct backend_call *c, struct hob_str s)
{
    return hob_arena_strndup(&c->arena, s.at, s.n);
}

/* --- life --------------------------------------------------------------------------------------------------------- */

struct backend_call *call_new(struct backend *b)
{
    struct hob_node *node = hob_list_first(&b->spare);
    struct backend_call *c;
    if (node) {
        c = HOB_CONTAINER_OF(node, struct backend_call, link);
        hob_list_remove(node);
        b->spare_n--;
    } else {
        c = hob_new(struct backend_call);
        hob_arena_init(&c->arena, ARENA_BYTES_MAX);
        hob_buf_init(&c->out, HOB_MAX_BACKEND_ANSWER_BYTES);
    }
    c->backend = b;
    c->now_ms = hob_utc_ms();
    hob_list_push_back(&b->calls, &c->link);
    return c;
}

static void call_free(struct backend_call *c)
{
    struct backend *b = c->backend;
    HOB_ASSERT(!hob_node_is_linked(&c->ready_link));
    hob_list_remove(&c->link);
    while (c->defers) {
        struct call_defer *d = c->defers;
        c->defers = d->next;
        d->fn(d->p);
        free(d);
    }
    ask_settings_drop(c->settings);
    json_decref(c->request.params);
    json_decref((json_t *)(uintptr_t)c->request.context);
    json_decref((json_t *)(uintptr_t)c->request.headers);
    json_decref(c->who.user);
    hob_arena_reset(&c->arena);
    if (b->is_closing || b->spare_n >= SPARE_MAX || c->out.cap > SPARE_OUT_BYTES_MAX) {
        hob_arena_done(&c->arena);
        hob_buf_done(&c->out);
        free(c);
        if (b->is_closing)
            (void)uv_async_send(&b->wake);
        return;
    }
    struct hob_arena arena = c->arena;
    struct hob_buf out = c->out;
    *c = (struct backend_call){.arena = arena, .out = out};
    hob_buf_clear(&c->out);
    hob_list_push_front(&b->spare, &c->link);
    b->spare_n++;
}

void call_free_spare(struct backend *b)
{
    HOB_LIST_EACH(&b->spare, node, tmp)
    {
        struct backend_call *c = HOB_CONTAINER_OF(node, struct backend_call, link);
        hob_list_remove(node);
        hob_arena_done(&c->arena);
        hob_buf_done(&c->out);
        free(c);
    }
    b->spare_n = 0;
}

void call_later(struct backend_call *c, void (*next)(struct backend_call *c))
{
    struct backend *b = c->backend;
    HOB_ASSERT(!hob_node_is_linked(&c->ready_link));
    c->resume = next;
    hob_list_push_back(&b->ready, &c->ready_link);
    (void)uv_async_send(&b->wake);
}

/* Those of this turn; what they put into the list waits for the next. */
void call_run_ready(struct backend *b)
{
    struct hob_list now;
    hob_list_init(&now);
    struct hob_node *node;
    while ((node = hob_list_first(&b->ready))) {
        hob_list_remove(node);
        hob_list_push_back(&now, node);
    }
    while ((node = hob_list_first(&now))) {
        struct backend_call *c = HOB_CONTAINER_OF(node, struct backend_call, ready_link);
        hob_list_remove(node);
        c->resume(c);
    }
}

void ask_defer(struct backend_call *c, void (*fn)(void *p), void *p)
{
    struct call_defer *d =
        hob_new(struct call_defer); /* not of the arena, which a client's data may have filled */
    *d = (struct call_defer){fn, p, c->defers};
    c->defers = d;
}

void backend_forget(struct backend_call *c)
{
    c->is_forgotten = true;
}

/* --- the answer --------------------------------------------------------------------------------------------------- */

void ask_header(struct backend_call *c, const char *name, struct hob_str value)
{
    HOB_ASSERT(c->headers_n < HOB_COUNT(c->headers));
    char *copy = hob_arena_strndup(&c->arena, value.at, value.n);
    if (copy)
        c->headers[c->headers_n++] = (struct backend_header){name, copy};
}

static void tell(struct backend_call *c)
{
    struct backend *b = c->backend;
    b->stats.answered++;
    b->stats.failed += c->status >= 400;
    if (!c->is_forgotten) {
        struct backend_answer a = {.status = c->status ? c->status : 200,
                                   .json = c->out.n ? hob_buf_str(&c->out) : HOB_STR("{}"),
                                   .headers = c->headers,
                                   .headers_n = c->headers_n};
        c->done(c->done_ctx, &a);
    }
    call_free(c);
}

void ask_finish(struct backend_call *c)
{
    HOB_ASSERT(!c->is_done);
    c->is_done = true;
    if (c->is_starting)
        call_later(c, tell);
    else
        tell(c);
}

/* The words that parse-server 9 uses when it does not want to tell. */
static void sanitize(struct backend_call *c)
{
    bool is_refusal =
        c->err.code == HOB_E_FORBIDDEN || hob_err_parse_code(&c->err) == PARSE_OPERATION_FORBIDDEN;
    if (is_refusal && c->settings && ask_bool(c, SETTING_SANITIZE_ERRORS)) {
        int detail = c->err.detail;
        (void)hob_fail(&c->err, HOB_E_FORBIDDEN, "Permission denied");
        c->err.detail = detail;
    }
}

void ask_fail(struct backend_call *c)
{
    HOB_ASSERT(c->err.code != HOB_OK);
    if (c->holds_request_id) {
        idempotency_drop(c);
        return;
    }
    if (c->err.code == HOB_E_INTERNAL)
        hob_log(HOB_LOG_ERROR, "backend.failed", "app=%s route=\"%s %s\" request=%.*s error=\"%s\"",
                c->request.app ? c->request.app : "-", c->route ? c->route->method : "-",
                c->route ? c->route->pattern : "-", HOB_STR_ARG(c->request.request_id), c->err.msg);
    sanitize(c);
    hob_buf_clear(&c->out);
    c->headers_n = 0;
    c->status = parse_error_status(&c->err);
    if (parse_error_body(&c->err, &c->out) != HOB_OK)
        hob_buf_clear(&c->out);
    ask_finish(c);
}

/* --- jobs --------------------------------------------------------------------------------------------------------- */

enum hob_code call_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct backend_call *c = ctx;
    hob_buf_clear(&c->out);
    c->headers_n = 0;
    c->status = 0;
    return c->work(c, tx, err);
}

void call_worked(struct backend_call *c, const struct hob_err *err)
{
    if (err) {
        void (*failed)(struct backend_call *) = c->failed ? c->failed : ask_fail;
        c->failed = NULL;
        c->err = *err;
        failed(c);
    } else if (c->next) {
        c->next(c);
    } else {
        ask_finish(c);
    }
}

static void on_read(void *ctx, const struct hob_err *err)
{
    call_worked(ctx, err);
}

static void on_written(void *ctx, const struct hob_err *err)
{
    struct backend_call *c = ctx;
    session_apply_notes(c);
    call_worked(c, err);
}

void ask_read(struct backend_call *c, ask_work_cb work, void (*next)(struct backend_call *c))
{
    c->work = work;
    c->next = next;
    appdb_read(c->backend->o.dbs, c->request.app, call_work, on_read, c);
}

void ask_write(struct backend_call *c, ask_work_cb work, void (*next)(struct backend_call *c))
{
    c->work = work;
    c->next = next;
    if (c->batch && batch_park(c))
        return;
    appdb_write(c->backend->o.dbs, c->request.app, call_work, on_written, c);
}
