#include <stdlib.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/limits.h"
#include "base/mem.h"
#include "controller/scale/simulate.h"

/* Flow of a simulation: RECEIVING the trace -> RUNNING in a worker, which touches nothing but this -> answer. The client's
 * leaving jumps to the end, behind the worker. One at a time: it is a core for seconds. */
enum { ANSWER_BYTES_MAX = 64 * 1024 };

struct simulation {
    struct call *call;
    uv_work_t work;
    struct hob_buf trace, out;
    struct sim_options options;
    bool is_one_mode, is_running, is_gone;
    enum hob_code code;
    struct hob_err err;
};

static bool is_one_under_way; /* the loop's thread only */

static void simulation_free(struct simulation *s)
{
    struct call *c = s->call;
    hob_buf_done(&s->trace);
    hob_buf_done(&s->out);
    free(s);
    is_one_under_way = false;
    call_release(c);
}

static void work(uv_work_t *req)
{
    struct simulation *s = req->data;
    struct hob_jw w;
    hob_jw_init(&w, &s->out);
    s->code = simulate_trace(hob_buf_str(&s->trace), &s->options, s->is_one_mode, &w, &s->err);
    if (s->code == HOB_OK)
        s->code = hob_jw_end(&w, &s->err);
}

static void on_worked(uv_work_t *req, int status)
{
    struct simulation *s = req->data;
    struct call *c = s->call;
    (void)status;
    c->stream = NULL;
    if (!s->is_gone && s->code != HOB_OK) {
        call_fail(c, &s->err);
    } else if (!s->is_gone) {
        hob_jw_raw(call_start(c), hob_buf_str(&s->out));
        call_finish(c);
    }
    simulation_free(s);
}

static void on_body(void *ctx, struct hob_str data)
{
    struct simulation *s = ctx;
    HOB_ASSERT(hob_buf_add_str(&s->trace, data) == HOB_OK); /* the server cuts bodies at the same size */
    http_consumed(s->call->x, data.n);
}

static void on_body_end(void *ctx)
{
    struct simulation *s = ctx;
    s->work.data = s;
    s->is_running = true;
    HOB_ASSERT(uv_queue_work(s->call->control->o.loop, &s->work, work, on_worked) == 0);
}

static void on_gone(void *ctx)
{
    struct simulation *s = ctx;
    s->is_gone = true;
    if (!s->is_running)
        simulation_free(s);
}

static const struct call_stream simulation_stream = {
    .on_body = on_body, .on_body_end = on_body_end, .on_gone = on_gone};

static enum hob_code number(const struct call *c, const char *name, uint64_t max, uint64_t *ret,
                            struct hob_err *err)
{
    struct hob_str text = call_query(c, name);
    if (text.at && (!hob_str_u64(text, ret) || *ret > max))
        return hob_fail(err, HOB_E_INVALID, "the query: %s must be a number from 0 to %llu", name,
                        (unsigned long long)max);
    return HOB_OK;
}

static enum hob_code read_query(const struct call *c, struct simulation *s, struct hob_err *err)
{
    static const char *const modes[] = {"cost", "balanced", "latency"};
    struct hob_str mode = call_query(c, "mode");
    uint64_t cold_ms = 0, concurrency = 1, max = 0, keep_s = 0, cores = 0, prepared = 0;
    if (number(c, "cold_ms", 60000, &cold_ms, err) != HOB_OK ||
        number(c, "concurrency", HOB_MAX_CONCURRENCY, &concurrency, err) != HOB_OK ||
        number(c, "max", HOB_MAX_INSTANCES, &max, err) != HOB_OK ||
        number(c, "keep_s", 86400, &keep_s, err) != HOB_OK ||
        number(c, "cores", 4096, &cores, err) != HOB_OK ||
        number(c, "prepared", HOB_MAX_INSTANCES, &prepared, err) != HOB_OK)
        return err->code;
    s->options = (struct sim_options){.concurrency = (unsigned)concurrency,
                                      .max = (unsigned)max,
                                      .cold_us = cold_ms * 1000,
                                      .keep_us = keep_s * 1000000,
                                      .cores = (unsigned)cores,
                                      .prepared = (unsigned)prepared};
    for (unsigned i = 0; mode.at && i < HOB_COUNT(modes); i++)
        if (hob_str_is(mode, modes[i])) {
            s->options.mode = (enum scale_mode)i;
            s->is_one_mode = true;
        }
    if (mode.at && !s->is_one_mode)
        return hob_fail(err, HOB_E_INVALID, "the query: mode must be cost, balanced or latency");
    return HOB_OK;
}

void handle_simulate(struct call *c)
{
    struct hob_err err = {0};
    struct simulation query = {0};
    if (read_query(c, &query, &err) != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    if (is_one_under_way) {
        (void)hob_fail(&err, HOB_E_BUSY, "a simulation is under way; try again in a moment");
        call_fail(c, &err);
        return;
    }
    struct simulation *s = hob_new(struct simulation);
    *s = query;
    s->call = c;
    is_one_under_way = true;
    hob_buf_init(&s->trace, SIM_TRACE_BYTES_MAX + HOB_MAX_HTTP_CONN_BUFFER_BYTES);
    hob_buf_init(&s->out, ANSWER_BYTES_MAX);
    call_hold(c);
    call_stream_begin(c, &simulation_stream, s);
    http_body_read(c->x, SIM_TRACE_BYTES_MAX);
}
