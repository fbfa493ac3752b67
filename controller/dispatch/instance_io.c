/* What an instance's channel and its node say about it, turned into events of its table. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/id.h"
#include "base/log.h"
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

/* ---- the channel ---- */

static void on_ready(void *ctx, const struct hob_pairs *pairs)
{
    struct instance *i = ctx;
    uint64_t can = hob_pairs_u64(pairs, "concurrency", 1);
    uint64_t want = i->pool->config->concurrency;
    if (can < 1 || can > CHANNEL_STREAMS_MAX) {
        channel_close(i->channel);
        i->channel = NULL;
        (void)hob_fail_reason(&i->why, HOB_E_FUNCTION, "init_failed",
                              "the function's runtime broke the protocol");
        pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, HOB_STR(""),
                          HOB_STR("READY names a concurrency that is not 1 to 1000"));
        instance_event(i, INSTANCE_VIOLATION);
        return;
    }
    if (i->slots == 0) { /* else it was reconfigured, and takes what it took before */
        i->slots = (unsigned)(can < want ? can : want);
        channel_set_streams(i->channel, i->slots);
    }
    i->pool->slots_seen = i->slots;
    instance_event(i, INSTANCE_INIT_DONE);
}

static void log_failure(struct instance *i, const struct hob_pairs *pairs, struct hob_str request_id)
{
    struct hob_str type = hob_pairs_get(pairs, "errorType"), message = hob_pairs_get(pairs, "errorMessage");
    struct hob_str stack = hob_pairs_get(pairs, "stackTrace");
    hob_auto_buf struct hob_buf text;
    hob_buf_init(&text, HOB_MAX_LOG_LINE_BYTES);
    /* most stacks begin with the type and the message */
    bool is_told = type.n && message.n && stack.n >= type.n + message.n + 4 && hob_str_starts(stack, type) &&
                   memmem(stack.at, type.n + message.n + 4, message.at, message.n) != NULL;
    size_t stack_n = stack.n < HOB_MAX_LOG_LINE_BYTES / 2 ? stack.n : HOB_MAX_LOG_LINE_BYTES / 2;
    size_t message_n = message.n < HOB_MAX_LOG_LINE_BYTES / 4 ? message.n : HOB_MAX_LOG_LINE_BYTES / 4;
    if (is_told) {
        pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, request_id, hob_str_n(stack.at, stack_n));
        return;
    }
    if (hob_buf_addf(&text, "%.*s: %.*s%s%.*s", (int)(type.n < 256 ? type.n : 256), type.at ? type.at : "",
                     (int)message_n, message.at ? message.at : "", stack_n ? "\n" : "", (int)stack_n,
                     stack.at ? stack.at : "") == HOB_OK)
        pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, request_id, hob_buf_str(&text));
}

static void keep_failure(struct pool *p, struct hob_str type, struct hob_str message)
{
    (void)snprintf(p->failure_type, sizeof p->failure_type, "%.*s", (int)(type.n < 63 ? type.n : 63),
                   type.at ? type.at : "");
    (void)snprintf(p->failure_detail, sizeof p->failure_detail, "%.*s",
                   (int)(message.n < 239 ? message.n : 239), message.at ? message.at : "");
}

static void on_init_error(void *ctx, const struct hob_pairs *pairs)
{
    struct instance *i = ctx;
    log_failure(i, pairs, HOB_STR(""));
    if (!i->is_reconfiguring)
        keep_failure(i->pool, hob_pairs_get(pairs, "errorType"), hob_pairs_get(pairs, "errorMessage"));
    (void)hob_fail_reason(&i->why, HOB_E_FUNCTION, "init_failed",
                          "the function failed while it was being loaded; its logs say why");
    instance_event(i, INSTANCE_INIT_ERROR);
}

static void on_head(void *ctx, struct channel_stream *s, unsigned status, const struct hob_pairs *fields,
                    int64_t body_bytes)
{
    (void)ctx;
    invocation_head(invocation_of(s), status, fields, body_bytes);
}

static void on_data(void *ctx, struct channel_stream *s, struct hob_str data)
{
    (void)ctx;
    invocation_data(invocation_of(s), data);
}

static void on_end(void *ctx, struct channel_stream *s, const struct hob_pairs *trailers)
{
    (void)ctx;
    invocation_end(invocation_of(s), trailers);
}

static void on_error(void *ctx, struct channel_stream *s, const struct hob_pairs *pairs)
{
    struct invocation *v = invocation_of(s);
    log_failure(ctx, pairs, invocation_request_id(v));
    invocation_error(v, pairs);
}

static void on_done(void *ctx, struct channel_stream *s)
{
    calls_end(ctx, invocation_of(s));
    invocation_done(invocation_of(s));
}

static void on_window(void *ctx, struct channel_stream *s)
{
    (void)ctx;
    invocation_window(invocation_of(s));
}

static void tell_dropped(struct instance *i)
{
    char text[96];
    int n = snprintf(text, sizeof text, "%llu log lines were dropped: more than log.bytes_per_second",
                     (unsigned long long)i->logs_dropped);
    i->logs_dropped = 0;
    pool_platform_log(i->pool, HOB_CHLOG_WARN, i, HOB_STR(""), hob_str_n(text, (size_t)n));
}

static void append_log(struct instance *i, const struct log_line *line)
{
    const struct version *v = i->pool->version;
    if (i->pool->is_gone)
        return;
    logs_append(i->pool->d->o.logs, v->app_name, v->function_name, line);
}

static void on_log(void *ctx, struct channel_stream *s, uint16_t level, struct hob_str text, bool is_cut)
{
    struct instance *i = ctx;
    (void)is_cut; /* the text itself says so */
    if (!bucket_take(&i->logs, dispatcher_now(i->pool->d), HOB_MAX_LOG_BYTES_PER_S, HOB_MAX_LOG_BURST_BYTES,
                     text.n + 64)) {
        i->logs_dropped++;
        return;
    }
    if (i->logs_dropped)
        tell_dropped(i);
    if (text.n > HOB_MAX_LOG_LINE_BYTES)
        text.n = HOB_MAX_LOG_LINE_BYTES;
    append_log(i, &(struct log_line){
                      .utc_ms = hob_utc_ms(),
                      .level = (uint8_t)level,
                      .stream = "log",
                      .version = i->pool->version->number,
                      .instance = i->id,
                      .request_id = s ? invocation_request_id(invocation_of(s)) : HOB_STR(""),
                      .text = text,
                  });
}

static void on_call(void *ctx, struct channel_stream *parent, uint32_t call, struct hob_str meta,
                    struct hob_str data)
{
    calls_take(ctx, parent ? invocation_of(parent) : NULL, call, meta, data);
}

static void on_bye(void *ctx)
{
    instance_event(ctx, INSTANCE_BYE);
}

static void on_hangup(void *ctx)
{
    struct instance *i = ctx;
    i->is_leaving = true;
    bool was_expected = i->is_exit_expected;
    instance_event(i, INSTANCE_HANGUP);
    i->is_exit_expected = was_expected; /* the stop only follows its own leaving */
}

static void on_violation(void *ctx, const char *why)
{
    struct instance *i = ctx;
    char text[160];
    int n = snprintf(text, sizeof text, "protocol violation: the instance %s; it is stopped", why);
    keep_failure(i->pool, HOB_STR("ProtocolViolation"), hob_str(why));
    (void)hob_fail_reason(&i->why, HOB_E_FUNCTION, "function_crashed",
                          "the function's instance broke the protocol and was stopped");
    pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, HOB_STR(""), hob_str_n(text, (size_t)n));
    instance_event(i, INSTANCE_VIOLATION);
}

const struct channel_events instance_channel_events = {
    .on_ready = on_ready,
    .on_init_error = on_init_error,
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_error = on_error,
    .on_done = on_done,
    .on_window = on_window,
    .on_log = on_log,
    .on_call = on_call,
    .on_bye = on_bye,
    .on_hangup = on_hangup,
    .on_violation = on_violation,
};

/* ---- the node ---- */

static void on_pooled(void *ctx)
{
    struct instance *i = ctx;
    i->is_pooled = true;
}

static void on_started(void *ctx, int channel_fd, uint64_t launch_us)
{
    struct instance *i = ctx;
    struct dispatcher *d = i->pool->d;
    hob_auto_close int fd = channel_fd;
    hob_auto_buf struct hob_buf hello;
    hob_buf_init(&hello, 1u << 20);
    i->started_us = dispatcher_now(d);
    i->launch_us = launch_us;
    if (i->state != INSTANCE_STARTING) { /* nobody waits for it any more */
        instance_event(i, INSTANCE_STARTED);
        return;
    }
    i->channel = channel_open(d->mux, hob_steal_fd(&fd), &instance_channel_events, i);
    instance_event(i, INSTANCE_STARTED);
    if (hello_write(i, &hello, &i->why) == HOB_OK) {
        channel_hello(i->channel, hob_buf_str(&hello));
        return;
    }
    keep_failure(i->pool, HOB_STR("Configuration"), hob_str(i->why.msg));
    pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, HOB_STR(""), hob_str(i->why.msg));
    (void)hob_fail_reason(&i->why, HOB_E_UNAVAILABLE, "start_failed",
                          "the function cannot be configured; its logs say why");
    instance_event(i, INSTANCE_INIT_ERROR);
}

static void on_failed(void *ctx, const struct hob_err *err)
{
    struct instance *i = ctx;
    keep_failure(i->pool, HOB_STR("StartFailed"), hob_str(err->msg));
    pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, HOB_STR(""), hob_str(err->msg));
    const char *reason = hob_err_reason(err);
    bool is_image = strcmp(reason, "image_missing") == 0;
    if (is_image || strcmp(reason, "engine_unavailable") == 0)
        (void)hob_fail_reason(&i->why, HOB_E_UNAVAILABLE, is_image ? "image_missing" : "engine_unavailable",
                              is_image ? "the function's image is not there; its logs say more"
                                       : "what the function runs in is not available now; its logs say more");
    else
        (void)hob_fail_reason(&i->why, HOB_E_UNAVAILABLE, "start_failed",
                              "no instance of the function could be started; its logs say why");
    instance_event(i, INSTANCE_START_FAILED);
}

/* What callers are told; exit codes and signals are for the logs. */
static void explain_exit(struct instance *i, const struct node_exit *e)
{
    bool is_init = i->state <= INSTANCE_INITIALISING;
    if (e->is_lost)
        (void)hob_fail_reason(&i->why, HOB_E_UNAVAILABLE, "instance_lost",
                              "the node that ran the function was lost");
    else if (e->is_oom)
        (void)hob_fail_reason(&i->why, HOB_E_FUNCTION, "out_of_memory",
                              "the function used more than its memory_mb (%u)", i->pool->config->memory_mb);
    else if (is_init)
        (void)hob_fail_reason(&i->why, HOB_E_FUNCTION, "init_failed",
                              "the function ended while it was being loaded; its logs say why");
    else
        (void)hob_fail_reason(&i->why, HOB_E_FUNCTION, "function_crashed",
                              "the function ended before it answered");
}

static void log_exit(struct instance *i, const struct node_exit *e)
{
    char text[320];
    int n;
    if (e->message && *e->message)
        n = snprintf(text, sizeof text, "the instance ended: %.200s", e->message);
    else if (e->exit_code >= 0)
        n = snprintf(text, sizeof text, "the instance exited with code %d", e->exit_code);
    else
        n = snprintf(text, sizeof text, "the instance was ended by signal %d", e->signal);
    n += snprintf(text + n, sizeof text - (size_t)n, "%s, after %llu invocations",
                  e->is_oom ? " (out of memory)" : "", (unsigned long long)i->invocations);
    if (i->state == INSTANCE_INITIALISING)
        keep_failure(i->pool, HOB_STR("ExitError"), hob_str(text));
    pool_platform_log(i->pool, HOB_CHLOG_ERROR, i, HOB_STR(""), hob_str_n(text, (size_t)n));
}

/* The link may be quicker than the channel: what the instance wrote before its end is taken in first. */
static void on_exited(void *ctx, const struct node_exit *e)
{
    struct instance *i = ctx;
    i->is_leaving = true;
    i->was_killed = e->signal == SIGKILL && !e->is_oom;
    hob_list_remove(&i->in_ready);
    isolation_limits_met(i, e);
    if (i->channel)
        channel_read_rest(i->channel);
    if (!i->is_exit_expected) {
        explain_exit(i, e);
        log_exit(i, e);
    } else if (!i->why.code) {
        explain_exit(i, e);
    }
    instance_event(i, INSTANCE_EXITED);
}

static void on_log_line(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped)
{
    struct instance *i = ctx;
    i->logs_dropped += dropped;
    if (i->logs_dropped)
        tell_dropped(i);
    append_log(i, &(struct log_line){
                      .utc_ms = hob_utc_ms(),
                      .level = is_stderr ? HOB_CHLOG_ERROR : HOB_CHLOG_INFO,
                      .stream = is_stderr ? "stderr" : "stdout",
                      .version = i->pool->version->number,
                      .instance = i->id,
                      .text = text,
                  });
}

static void on_note(void *ctx, struct hob_str text)
{
    struct instance *i = ctx;
    pool_platform_log(i->pool, HOB_CHLOG_WARN, i, HOB_STR(""), text);
}

static const struct node_events node_listener = {
    .pooled = on_pooled,
    .started = on_started,
    .failed = on_failed,
    .exited = on_exited,
    .log_line = on_log_line,
    .note = on_note,
    .walls = isolation_walls,
    .denied = isolation_denied,
    .used = learn_used,
};

void instance_start(struct pool *p)
{
    struct instance *i = hob_new(struct instance);
    i->id = hob_id64();
    i->pool = p;
    i->state = INSTANCE_STARTING;
    i->asked_us = dispatcher_now(p->d);
    hob_list_push_back(&p->instances, &i->in_pool);
    p->starting_n++;
    p->d->instances_n++;
    dispatcher_wake(p->d, &p->wake, instance_wake_us(i));
    hello_start(i, &node_listener);
}
