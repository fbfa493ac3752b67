/* The data plane on a bench: a real dispatcher, a node hub that only writes down what it was asked, and instances that
 * are scripted by the test over a real socket pair. Time stands still until the test moves it. */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/frame.h"
#include "base/pairs.h"
#include "controller/dispatch/dispatch_priv.h"
#include "controller/dispatch/pool.h"

enum { FAKES_MAX = 2048, OUTCOMES_MAX = 4096 };

struct fake_instance {
    uint64_t id;
    const struct node_events *events;
    void *ctx;
    int fd; /* the instance's end of the channel */
    bool is_started, is_over;
    unsigned stops, freezes, thaws;
    uint32_t stop_grace_ms;
    struct hob_buf in;
    uint32_t last_stream; /* of the last INVOKE that was read */
};

static struct fake_instance fakes[FAKES_MAX];
static unsigned fakes_n;
static bool fake_has_no_runner;
static struct hob_buf fake_log; /* every line's text, one a line */
static unsigned fake_log_lines;

bool node_hub_has_runner(const struct node_hub *h)
{
    (void)h;
    return !fake_has_no_runner;
}

void node_start(struct node_hub *h, const struct node_start_spec *spec, const struct node_events *events,
                void *ctx)
{
    (void)h;
    HOB_ASSERT(fakes_n < FAKES_MAX);
    struct fake_instance *f = &fakes[fakes_n++];
    *f = (struct fake_instance){.id = spec->instance, .events = events, .ctx = ctx, .fd = -1};
    hob_buf_init(&f->in, 64 << 20);
}

static bool fake_can_freeze;

bool node_can_freeze(const struct node_hub *h)
{
    (void)h;
    return fake_can_freeze;
}

static void fake_count(uint64_t instance, bool is_freeze)
{
    for (unsigned i = 0; i < fakes_n; i++)
        if (fakes[i].id == instance && !fakes[i].is_over) {
            fakes[i].freezes += is_freeze;
            fakes[i].thaws += !is_freeze;
        }
}

void node_freeze(struct node_hub *h, uint64_t instance)
{
    (void)h;
    fake_count(instance, true);
}

void node_thaw(struct node_hub *h, uint64_t instance)
{
    (void)h;
    fake_count(instance, false);
}

void node_stop(struct node_hub *h, uint64_t instance, uint32_t grace_ms)
{
    (void)h;
    for (unsigned i = 0; i < fakes_n; i++)
        if (fakes[i].id == instance && !fakes[i].is_over) {
            fakes[i].stops++;
            fakes[i].stop_grace_ms = grace_ms;
        }
}

void logs_append(struct logs *l, const char *app, const char *function, const struct log_line *line)
{
    (void)l, (void)app, (void)function;
    fake_log_lines++;
    if (hob_buf_addf(&fake_log, "%u %s %.*s [%.*s]\n", line->level, line->stream, HOB_STR_ARG(line->text),
                     HOB_STR_ARG(line->request_id)) != HOB_OK)
        hob_buf_clear(&fake_log);
}

enum hob_code vault_get(struct vault *v, const char *app, const char *name, struct hob_buf *out,
                        struct hob_err *err)
{
    (void)v, (void)app;
    if (strcmp(name, "MISSING") == 0)
        return hob_fail(err, HOB_E_NOT_FOUND, "secret MISSING is not set: hob secret set MISSING");
    return hob_buf_addf(out, "value of %s", name);
}

static struct runtime_info fake_runtime;

const struct runtime_info *runtimes_need(const struct runtimes *r, const char *name, struct hob_err *err)
{
    (void)r;
    if (strcmp(name, "cobol") == 0) {
        (void)hob_fail(err, HOB_E_UNAVAILABLE, "runtime 'cobol' needs /usr/bin/cobol: apt-get install cobol");
        return NULL;
    }
    return &fake_runtime;
}

char **runtime_argv(const struct runtime_info *rt, const struct function_config *f)
{
    (void)rt, (void)f;
    return hob_new_n(char *, 1);
}

void runtime_argv_free(char **argv)
{
    for (char **arg = argv; *arg; arg++)
        free(*arg);
    free(argv);
}

static catalog_event_cb fake_on_catalog;
static catalog_replace_cb fake_on_replace;
static void *fake_catalog_ctx;

void catalog_listen(struct catalog *c, catalog_event_cb cb, void *ctx)
{
    (void)c;
    fake_on_catalog = cb;
    if (cb)
        fake_catalog_ctx = ctx;
}

void catalog_listen_replace(struct catalog *c, catalog_replace_cb cb, void *ctx)
{
    (void)c, (void)ctx;
    fake_on_replace = cb;
}

const struct function_config *version_config(struct version *v)
{
    return v->config;
}

#ifndef DATA_PLANE_OWN_RESOLVE /* a test that resolves names brings its own */
struct version *catalog_resolve(struct catalog *c, struct hob_str app, struct hob_str function,
                                struct hob_str qualifier, struct hob_err *err)
{
    (void)c, (void)app, (void)qualifier;
    (void)hob_fail(err, HOB_E_NOT_FOUND, "there is no function '%.*s'", HOB_STR_ARG(function));
    return NULL;
}
#endif
bool version_is_named(const struct version *v)
{
    return v->function && v->function->live == v;
}

struct version *version_ref(struct version *v)
{
    v->refs++;
    return v;
}

void version_unref(struct version *v)
{
    HOB_ASSERT(v->refs > 0);
    v->refs--;
}

/* ---- the bench ---- */

static uv_loop_t bench_loop;
static uv_async_t bench_alive;
static uint64_t bench_now_us;
static struct hob_clock bench_clock;
static struct dispatcher *bench;
static struct function_config bench_config, bench_config2;
static struct version bench_version, bench_version2;
static struct function bench_function;

static void pump(void)
{
    for (int i = 0; i < 4; i++)
        (void)uv_run(&bench_loop, UV_RUN_NOWAIT);
}

HOB_UNUSED static void pass_ms(uint64_t ms)
{
    bench_now_us += ms * 1000;
    dispatcher_tick(bench);
    pump();
}

static void on_alive(uv_async_t *h)
{
    (void)h;
}

/* configurations own writable strings */
static char bench_f[] = "f", bench_shop[] = "shop", bench_node[] = "node", bench_entry[] = "index.mjs";

static struct function_config plain_config(void)
{
    return (struct function_config){
        .name = bench_f,
        .runtime = bench_node,
        .entry = bench_entry,
        .memory_mb = 128,
        .timeout_ms = 10000,
        .queue_timeout_ms = 5000,
        .init_timeout_ms = 10000,
        .concurrency = 1,
        .queue_max = 1000,
        .scale_max = 100,
    };
}

static int bench_up(void **state)
{
    (void)state;
    alarm(60);
    fakes_n = 0;
    fake_has_no_runner = false;
    fake_log_lines = 0;
    hob_buf_init(&fake_log, 8 << 20);
    bench_now_us = 1000 * 1000 * 1000;
    bench_clock = hob_clock_virtual(&bench_now_us);
    bench_config = bench_config2 = plain_config();
    bench_version =
        (struct version){.app_name = bench_shop, .function_name = bench_f, .number = 1, .refs = 1};
    bench_version2 = bench_version;
    bench_version2.number = 2;
    bench_version.config = &bench_config;
    bench_version2.config = &bench_config2;
    bench_function = (struct function){.name = bench_f, .live = &bench_version, .versions = &bench_version};
    bench_version.function = bench_version2.function = &bench_function;
    HOB_ASSERT((uv_loop_init(&bench_loop)) == (0));
    HOB_ASSERT((uv_async_init(&bench_loop, &bench_alive, on_alive)) == (0));
    bench = dispatcher_start(
        &(struct dispatcher_options){.loop = &bench_loop, .clock = &bench_clock, .freeze_ms = 100});
    return 0;
}

static void fake_started(unsigned k)
{
    int pair[2];
    HOB_ASSERT(k < fakes_n);
    HOB_ASSERT((socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) == (0));
    fakes[k].fd = pair[1];
    fakes[k].is_started = true;
    fakes[k].events->started(fakes[k].ctx, pair[0], 900);
    pump();
}

static void fake_exit(unsigned k, struct node_exit e)
{
    HOB_ASSERT(!(fakes[k].is_over));
    fakes[k].is_over = true;
    if (fakes[k].fd >= 0)
        (void)close(fakes[k].fd);
    fakes[k].fd = -1;
    if (fakes[k].is_started)
        fakes[k].events->exited(fakes[k].ctx, &e);
    else
        fakes[k].events->failed(fakes[k].ctx, &(struct hob_err){.code = HOB_E_UNAVAILABLE, .msg = "no room"});
    pump();
}

HOB_UNUSED static void fake_fail(unsigned k)
{
    fake_exit(k, (struct node_exit){0});
}

static void on_bench_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static int bench_down(void **state)
{
    (void)state;
    bool is_closed = false;
    dispatcher_drain(bench, 0, on_bench_closed, &is_closed);
    dispatcher_tick(bench);
    pump();
    for (unsigned k = 0; k < fakes_n; k++) {
        if (!fakes[k].is_over)
            fake_exit(k, (struct node_exit){.exit_code = 0});
        hob_buf_done(&fakes[k].in);
    }
    pump();
    HOB_ASSERT(is_closed);
    uv_close((uv_handle_t *)&bench_alive, NULL);
    (void)uv_run(&bench_loop, UV_RUN_DEFAULT);
    HOB_ASSERT((uv_loop_close(&bench_loop)) == (0));
    hob_buf_done(&fake_log);
    HOB_ASSERT((bench_version.refs) == (1));
    return 0;
}

/* ---- the instance's side ---- */

static void say_bytes(unsigned k, const void *bytes, size_t n)
{
    const char *at = bytes;
    while (n) {
        ssize_t sent = send(fakes[k].fd, at, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            pump();
            continue;
        }
        if (sent < 0)
            return; /* it was stopped: what a script says into the void is its own affair */
        at += sent;
        n -= (size_t)sent;
    }
}

static void say(unsigned k, struct hob_frame f, struct hob_str payload)
{
    unsigned char header[HOB_FRAME_HEADER_BYTES];
    f.len = (uint32_t)payload.n;
    hob_frame_encode(&f, header);
    say_bytes(k, header, sizeof header);
    say_bytes(k, payload.at, payload.n);
}

static void add_pairs(struct hob_buf *out, const char *const *names_values)
{
    struct hob_pairs_writer w;
    hob_pairs_start(&w, out);
    for (; *names_values; names_values += 2)
        hob_pairs_add(&w, hob_str(names_values[0]), hob_str(names_values[1]));
    HOB_ASSERT((hob_pairs_end(&w, NULL)) == HOB_OK);
}

static void say_pairs(unsigned k, struct hob_frame f, const char *const *names_values)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, 1 << 20);
    add_pairs(&b, names_values);
    say(k, f, hob_buf_str(&b));
}
#define PAIRS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NO_PAIRS ((const char *const[]){NULL})

static void say_ready(unsigned k, const char *concurrency)
{
    say_pairs(k, (struct hob_frame){.type = HOB_FRAME_READY},
              PAIRS("protocol", "1", "kind", "fetch", "concurrency", concurrency));
    pump();
}

static void say_head(unsigned k, uint32_t stream, unsigned status, const char *const *fields,
                     struct hob_str data, bool is_end)
{
    hob_auto_buf struct hob_buf meta, payload;
    char head[4] = {0};
    hob_buf_init(&meta, 1 << 20);
    hob_buf_init(&payload, 1 << 20);
    hob_put_u16(head, (uint16_t)status);
    HOB_ASSERT((hob_buf_add(&meta, head, 4)) == HOB_OK);
    add_pairs(&meta, fields);
    struct hob_frame f = {.type = HOB_FRAME_HEAD, .stream = stream, .flags = is_end ? HOB_FRAME_END : 0};
    HOB_ASSERT((hob_frame_add_meta(&payload, f, hob_buf_str(&meta), data)) == HOB_OK);
    say_bytes(k, hob_buf_data(&payload), payload.n);
}

HOB_UNUSED static void say_data(unsigned k, uint32_t stream, struct hob_str data, bool is_end)
{
    say(k, (struct hob_frame){.type = HOB_FRAME_DATA, .stream = stream, .flags = is_end ? HOB_FRAME_END : 0},
        data);
}

static void say_done(unsigned k, uint32_t stream)
{
    say(k, (struct hob_frame){.type = HOB_FRAME_DONE, .stream = stream}, HOB_STR(""));
}

static void take_in(unsigned k)
{
    char *room;
    ssize_t n;
    while ((room = hob_buf_room(&fakes[k].in, 65536)) != NULL &&
           (n = recv(fakes[k].fd, room, 65536, MSG_DONTWAIT)) > 0)
        hob_buf_grew(&fakes[k].in, (size_t)n);
}

/* The next frame that hobd wrote, or type 0. The payload is borrowed until the one after. */
static struct hob_frame heard(unsigned k, struct hob_str *ret_payload)
{
    struct hob_frame f = {0};
    struct hob_str payload;
    pump();
    take_in(k);
    int got = hob_frame_next(&fakes[k].in, &f, &payload);
    HOB_ASSERT(got >= 0);
    if (got == 0)
        return (struct hob_frame){0};
    static char keep[2 << 20];
    memcpy(keep, payload.at, payload.n);
    hob_buf_consume(&fakes[k].in, HOB_FRAME_HEADER_BYTES + f.len);
    if (ret_payload)
        *ret_payload = hob_str_n(keep, f.len);
    return f;
}

/* The next frame of that type, past others. */
static struct hob_frame heard_type(unsigned k, uint8_t type, struct hob_str *ret_payload)
{
    struct hob_frame f;
    do
        f = heard(k, ret_payload);
    while (f.type && f.type != type);
    return f;
}

static uint32_t heard_invoke(unsigned k)
{
    struct hob_frame f = heard_type(k, HOB_FRAME_INVOKE, NULL);
    fakes[k].last_stream = f.stream;
    return f.type == HOB_FRAME_INVOKE ? f.stream : 0;
}

/* Started and READY, by the next fake that the dispatcher asked for. */
static void fake_ready(unsigned k, const char *concurrency)
{
    fake_started(k);
    HOB_ASSERT((heard(k, NULL).type) == (HOB_FRAME_HELLO));
    say_ready(k, concurrency);
}

static void answer(unsigned k, uint32_t stream, const char *body)
{
    say_head(k, stream, 200, NO_PAIRS, hob_str(body), true);
    say_done(k, stream);
    pump();
}

/* ---- the caller's side ---- */

struct outcome {
    struct invocation *inv;
    unsigned heads, ends, fails, status;
    size_t bytes, window;
    struct hob_err err;
    char failure[300], body[256];
    unsigned retry_s, trailers_n;
    bool is_hoarding; /* does not give bytes back */
    struct invocation_times times;
};

static void out_head(void *ctx, unsigned status, const struct hob_pairs *fields, int64_t body_bytes)
{
    struct outcome *o = ctx;
    (void)fields, (void)body_bytes;
    o->heads++;
    o->status = status;
}

static void out_data(void *ctx, struct hob_str data)
{
    struct outcome *o = ctx;
    for (size_t i = 0; i < data.n && o->bytes + i < sizeof o->body - 1; i++)
        o->body[o->bytes + i] = data.at[i];
    o->bytes += data.n;
    if (!o->is_hoarding)
        invocation_consumed(o->inv, data.n);
}

static void out_end(void *ctx, const struct hob_pairs *trailers)
{
    struct outcome *o = ctx;
    o->ends++;
    o->trailers_n = trailers ? trailers->count : 0;
    o->times = *invocation_times(o->inv);
    o->inv = NULL;
}

static void out_fail(void *ctx, const struct hob_err *err, const struct invocation_failure *f,
                     unsigned retry_s)
{
    struct outcome *o = ctx;
    o->fails++;
    o->err = *err;
    o->retry_s = retry_s;
    if (f)
        (void)snprintf(o->failure, sizeof o->failure, "%.*s: %.*s", HOB_STR_ARG(f->type),
                       HOB_STR_ARG(f->message));
    o->inv = NULL;
}

static void out_window(void *ctx, size_t n)
{
    struct outcome *o = ctx;
    o->window += n;
}

static unsigned out_data_ends;
static void out_data_end(void *ctx)
{
    (void)ctx;
    out_data_ends++;
}

static const struct invocation_events outcome_events = {out_head, out_data,   out_end,
                                                        out_fail, out_window, out_data_end};

/* One that may become something else than HTTP. */
HOB_UNUSED static void call_upgrade(struct outcome *o)
{
    hob_auto_buf struct hob_buf none;
    *o = (struct outcome){0};
    out_data_ends = 0;
    hob_buf_init(&none, 64);
    add_pairs(&none, NO_PAIRS);
    o->inv = invocation_start(bench,
                              &(struct invocation_spec){.version = &bench_version,
                                                        .kind = HOB_INVOKE_HTTP,
                                                        .method = HOB_STR("GET"),
                                                        .target = HOB_STR("/"),
                                                        .request_id = HOB_STR("req-1"),
                                                        .fields = hob_buf_str(&none),
                                                        .extras = hob_buf_str(&none),
                                                        .received_us = bench_now_us,
                                                        .may_upgrade = true},
                              &outcome_events, o);
}

static void call_version(struct outcome *o, struct version *v, uint8_t kind, int64_t body_bytes)
{
    hob_auto_buf struct hob_buf none;
    *o = (struct outcome){0};
    hob_buf_init(&none, 64);
    add_pairs(&none, NO_PAIRS);
    o->inv = invocation_start(bench,
                              &(struct invocation_spec){.version = v,
                                                        .kind = kind,
                                                        .method = HOB_STR("GET"),
                                                        .target = HOB_STR("/"),
                                                        .request_id = HOB_STR("req-1"),
                                                        .fields = hob_buf_str(&none),
                                                        .extras = hob_buf_str(&none),
                                                        .body_bytes = body_bytes,
                                                        .received_us = bench_now_us},
                              &outcome_events, o);
    HOB_ASSERT((o->ends + o->fails) == (0));
}

static void call(struct outcome *o)
{
    call_version(o, &bench_version, HOB_INVOKE_HTTP, 0);
}

/* for tests, which include check.h first */
#define assert_failed(o, reason_)                                                                            \
    do {                                                                                                     \
        assert_int_equal((o).fails, 1);                                                                      \
        assert_int_equal((o).ends, 0);                                                                       \
        assert_string_equal(hob_err_reason(&(o).err), (reason_));                                            \
    } while (0)
#define assert_answered(o, text)                                                                             \
    do {                                                                                                     \
        assert_int_equal((o).ends, 1);                                                                       \
        assert_int_equal((o).fails, 0);                                                                      \
        assert_string_equal((o).body, (text));                                                               \
    } while (0)
