/* A recorded trace, read, split by function, replayed for each mode. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "controller/scale/simulate.h"

#include "base/banned.h"

enum { COLD_US = 25 * 1000, NAME_MAX_BYTES = 200, MODES = 3 };
static const double TIME_MS_MAX = 1e14, SPAN_MS_MAX = 3600e3;

struct function {
    char *name;
    uint32_t index;
    UT_hash_handle hh;
};
struct trace {
    struct sim_arrival *items;
    size_t n, cap;
    struct function *functions;
    struct sketch cold;
    uint64_t dropped;
};

static void trace_done(struct trace *t)
{
    struct function *f, *tmp;
    HASH_ITER(hh, t->functions, f, tmp)
    {
        HASH_DEL(t->functions, f); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
        free(f->name);
        free(f);
    }
    free(t->items);
}

static enum hob_code function_index(struct trace *t, const char *name, uint32_t *ret, struct hob_err *err)
{
    struct function *f = NULL;
    HASH_FIND(hh, t->functions, name, strlen(name), f);
    if (!f) {
        if (HASH_COUNT(t->functions) >= SIM_FUNCTIONS_MAX)
            return hob_fail(err, HOB_E_TOO_LARGE, "more than %d functions in one trace", SIM_FUNCTIONS_MAX);
        f = hob_new(struct function);
        f->name = hob_strdup(name);
        f->index = HASH_COUNT(t->functions);
        HASH_ADD_KEYPTR(hh, t->functions, f->name, strlen(f->name), f);
    }
    *ret = f->index;
    return HOB_OK;
}

static bool number_of(const json_t *j, const char *key, double max, double *ret)
{
    const json_t *v = json_object_get(j, key);
    double x = json_number_value(v);
    if (!json_is_number(v) || !isfinite(x) || x < 0 || x > max)
        return false;
    *ret = x;
    return true;
}

static enum hob_code take_line(struct trace *t, struct hob_str line, struct hob_err *err)
{
    double at_ms, service_ms, cold_ms;
    hob_auto_json json_t *j = hob_json_parse(line, "the line", err);
    if (!j)
        return err->code;
    const json_t *dropped = json_object_get(j, "dropped"); /* the recording lost some and says so */
    if (json_is_integer(dropped) && json_integer_value(dropped) > 0) {
        t->dropped += (uint64_t)json_integer_value(dropped);
        return HOB_OK;
    }
    const char *name = json_string_value(json_object_get(j, "fn"));
    if (!number_of(j, "t_ms", TIME_MS_MAX, &at_ms) || !number_of(j, "service_ms", SPAN_MS_MAX, &service_ms) ||
        !name || strlen(name) > NAME_MAX_BYTES)
        return hob_fail(err, HOB_E_INVALID,
                        "a line needs t_ms and service_ms (numbers that are not negative) and fn (a name)");
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 1024;
        t->items = hob_realloc(t->items, t->cap, sizeof *t->items);
    }
    struct sim_arrival *a = &t->items[t->n];
    *a = (struct sim_arrival){.at_us = (uint64_t)(at_ms * 1000), .service_us = (uint32_t)(service_ms * 1000)};
    if (function_index(t, name, &a->function, err) != HOB_OK)
        return err->code;
    if (number_of(j, "cold_ms", SPAN_MS_MAX, &cold_ms) && cold_ms > 0)
        sketch_add(&t->cold, (uint64_t)(cold_ms * 1000));
    t->n++;
    return HOB_OK;
}

static enum hob_code read_trace(struct trace *t, struct hob_str text, struct hob_err *err)
{
    size_t number = 0;
    for (struct hob_str line, rest = text; rest.at;) {
        line = hob_str_trim(hob_str_cut(rest, '\n', &rest));
        number++;
        if (line.n && take_line(t, line, err) != HOB_OK)
            return hob_err_wrap(err, "line %zu of the trace", number);
    }
    if (t->n == 0)
        return hob_fail(err, HOB_E_INVALID,
                        "the trace is empty: record one with hob scale record, a line for each request");
    return HOB_OK;
}

static int compare(const void *a, const void *b)
{
    const struct sim_arrival *x = a, *y = b;
    if (x->function != y->function)
        return x->function < y->function ? -1 : 1;
    return x->at_us < y->at_us ? -1 : x->at_us > y->at_us;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Of several functions: sums, and the worst of the waits. */
static void add(struct sim_result *all, const struct sim_result *one)
{
    all->requests += one->requests;
    all->refused += one->refused;
    all->cold += one->cold;
    all->starts += one->starts;
    all->instance_s += one->instance_s;
    all->busy_s += one->busy_s;
    all->peak += one->peak;
    all->wait_p50_us = larger(all->wait_p50_us, one->wait_p50_us);
    all->wait_p99_us = larger(all->wait_p99_us, one->wait_p99_us);
    all->wait_max_us = larger(all->wait_max_us, one->wait_max_us);
}

static void write_ms(struct hob_jw *w, const char *key, uint64_t us)
{
    hob_jw_key(w, key);
    hob_jw_double(w, (double)us / 1000.0);
}

static void write_mode(struct hob_jw *w, enum scale_mode mode, const struct sim_result *r)
{
    static const char *const names[MODES] = {"cost", "balanced", "latency"};
    hob_jw_object(w);
    hob_jw_kcstr(w, "mode", names[mode]);
    hob_jw_key(w, "instance_seconds");
    hob_jw_double(w, round(r->instance_s * 100) / 100);
    hob_jw_key(w, "busy_seconds");
    hob_jw_double(w, round(r->busy_s * 100) / 100);
    write_ms(w, "wait_p50_ms", r->wait_p50_us);
    write_ms(w, "wait_p99_ms", r->wait_p99_us);
    write_ms(w, "wait_max_ms", r->wait_max_us);
    hob_jw_kint(w, "cold_waits", (int64_t)r->cold);
    hob_jw_kint(w, "starts", (int64_t)r->starts);
    hob_jw_kint(w, "refused", (int64_t)r->refused);
    hob_jw_kint(w, "peak", r->peak);
    hob_jw_object_end(w);
}

static void run_mode(const struct trace *t, const struct sim_options *o, struct sim_result *ret)
{
    *ret = (struct sim_result){0};
    for (size_t from = 0, to; from < t->n; from = to) {
        struct sim_result one;
        for (to = from + 1; to < t->n && t->items[to].function == t->items[from].function;)
            to++;
        simulate(&t->items[from], to - from, o, NULL, &one);
        add(ret, &one);
    }
}

static void write_all(const struct trace *t, struct sim_options *o, bool is_one_mode, struct hob_jw *w)
{
    uint64_t first = UINT64_MAX, last = 0;
    for (size_t i = 0; i < t->n; i++) {
        first = t->items[i].at_us < first ? t->items[i].at_us : first;
        last = larger(last, t->items[i].at_us);
    }
    hob_jw_object(w);
    hob_jw_kint(w, "requests", (int64_t)t->n);
    hob_jw_kint(w, "functions", HASH_COUNT(t->functions));
    hob_jw_kint(w, "dropped", (int64_t)t->dropped);
    write_ms(w, "span_ms", last - first);
    write_ms(w, "cold_ms", o->cold_us);
    hob_jw_key(w, "modes");
    hob_jw_array(w);
    for (unsigned mode = 0; mode < MODES; mode++) {
        struct sim_result r;
        if (is_one_mode && mode != o->mode)
            continue;
        struct sim_options one = *o;
        one.mode = (enum scale_mode)mode;
        run_mode(t, &one, &r);
        write_mode(w, one.mode, &r);
    }
    hob_jw_array_end(w);
    hob_jw_object_end(w);
}

enum hob_code simulate_trace(struct hob_str text, const struct sim_options *options, bool is_one_mode,
                             struct hob_jw *w, struct hob_err *err)
{
    struct trace t = {0};
    struct sim_options o = *options;
    sketch_init(&t.cold, 1 << 20);
    enum hob_code code = read_trace(&t, text, err);
    if (code == HOB_OK) {
        qsort(t.items, t.n, sizeof *t.items, compare);
        if (o.cold_us == 0)
            o.cold_us = sketch_quantile(&t.cold, 0.5);
        if (o.cold_us == 0)
            o.cold_us = COLD_US;
        write_all(&t, &o, is_one_mode, w);
    }
    trace_done(&t);
    return code;
}
