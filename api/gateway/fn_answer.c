/* What a client is given of a function's answer. The function is a stranger: status and fields are judged, exactly one
 * framing leaves, and what is not fit to be sent becomes a 502 (before the head) or a broken-off answer (behind it). */
#include <stdio.h>

#include "api/gateway/gateway_priv.h"
#include "api/server/answer.h"
#include "base/json.h"
#include "base/limits.h"

#include "base/banned.h"

enum { TIMING_CHARS = 160, NUMBER_CHARS = 24, PROBLEM_BYTES = 256 * 1024 };

static void add(struct http_field *fields, size_t *n, struct hob_str name, struct hob_str value)
{
    fields[(*n)++] = (struct http_field){name, value};
}

static double ms(uint64_t us)
{
    return (double)us / 1000.0;
}

/* Server-Timing, X-Hob-Version and X-Hob-Start; `text` must live as long as the fields. */
static void add_timing(struct call *c, struct http_field *fields, size_t *n, char text[TIMING_CHARS],
                       char number[NUMBER_CHARS])
{
    const struct invocation_times *t = &c->times;
    if (!c->wants_timing || !c->version)
        return;
    int k = snprintf(text, TIMING_CHARS, "queue;dur=%.3f, start;dur=%.3f, init;dur=%.3f, run;dur=%.3f",
                     ms(t->queue_us), ms(t->start_us), ms(t->init_us), ms(t->run_us));
    add(fields, n, HOB_STR("Server-Timing"), hob_str_n(text, (size_t)k));
    k = snprintf(number, NUMBER_CHARS, "%u", c->version);
    add(fields, n, HOB_STR("X-Hob-Version"), hob_str_n(number, (size_t)k));
    if (t->kind != START_NONE)
        add(fields, n, HOB_STR("X-Hob-Start"), hob_str(start_kind_names[t->kind]));
}

/* ---- refusals ---- */

static size_t problem_fields(struct call *c, struct http_field *fields, char text[TIMING_CHARS],
                             char number[2][NUMBER_CHARS], unsigned retry_s)
{
    size_t n = cors_fields(&c->cors, fields);
    add_timing(c, fields, &n, text, number[0]);
    if (retry_s) {
        int k = snprintf(number[1], NUMBER_CHARS, "%u", retry_s);
        add(fields, &n, HOB_STR("Retry-After"), hob_str_n(number[1], (size_t)k));
    }
    return n;
}

void fn_answer_problem(struct call *c, const struct hob_err *err, unsigned retry_s)
{
    struct http_field fields[ANSWER_FIELDS_MORE];
    char text[TIMING_CHARS], number[2][NUMBER_CHARS];
    size_t n = problem_fields(c, fields, text, number, retry_s);
    http_problem_with(c->x, err, fields, n);
}

static void add_error_member(struct hob_buf *body, const struct invocation_failure *f)
{
    struct hob_jw w;
    struct hob_err err;
    hob_auto_buf struct hob_buf member;
    hob_buf_init(&member, PROBLEM_BYTES);
    hob_jw_init(&w, &member);
    hob_jw_object(&w);
    hob_jw_kstr(&w, "type", f->type.at ? f->type : HOB_STR(""));
    hob_jw_kstr(&w, "message", f->message.at ? f->message : HOB_STR(""));
    hob_jw_kstr(&w, "stack", f->stack.at ? f->stack : HOB_STR(""));
    hob_jw_object_end(&w);
    /* spliced in before the document's last brace; when it is too long, the document goes without */
    if (hob_jw_end(&w, &err) != HOB_OK || body->n < 2 || hob_buf_data(body)[body->n - 1] != '}')
        return;
    body->n--;
    if (hob_buf_add_str(body, HOB_STR(",\"error\":")) != HOB_OK ||
        hob_buf_add_str(body, hob_buf_str(&member)) != HOB_OK || hob_buf_add(body, "}", 1) != HOB_OK)
        hob_buf_clear(body);
}

void fn_answer_failure(struct call *c, const struct hob_err *err, const struct invocation_failure *f,
                       unsigned retry_s)
{
    struct http_field fields[ANSWER_FIELDS_MORE + 1];
    char text[TIMING_CHARS], number[2][NUMBER_CHARS];
    hob_auto_buf struct hob_buf body;
    hob_buf_init(&body, PROBLEM_BYTES + 4096);
    int status = hob_code_info(err->code)->http_status;
    size_t n = problem_fields(c, fields, text, number, retry_s);
    add(fields, &n, HOB_STR("Content-Type"), HOB_STR("application/problem+json"));
    if (http_problem_body(status, err, http_request(c->x)->request_id, &body) == HOB_OK)
        add_error_member(&body, f);
    http_respond(c->x, status, fields, n, hob_buf_str(&body));
}

/* The function keeps running to its end, but nobody listens: the client has its 502. */
static void refuse_answer(struct call *c, const char *why)
{
    struct hob_err err;
    struct invocation *i = c->inv;
    (void)hob_fail_reason(&err, HOB_E_FUNCTION, "bad_function_answer",
                          "the function's answer cannot be sent: %s", why);
    c->inv = NULL;
    fn_answer_problem(c, &err, 0);
    invocation_cancel(i, HOB_CANCEL_CLIENT_GONE);
}

/* ---- the head ---- */

struct answer_head {
    struct http_field *fields;
    size_t n, bytes;
    int64_t declared; /* Content-Length of the function, or -1 */
    bool has_type, is_bad;
};

static void take_length(struct answer_head *h, struct hob_str value)
{
    uint64_t bytes;
    bool is_number = hob_str_u64(hob_str_trim(value), &bytes) && bytes <= INT64_MAX;
    if (!is_number || (h->declared >= 0 && h->declared != (int64_t)bytes))
        h->is_bad = true;
    else
        h->declared = (int64_t)bytes;
}

static void take_fields(struct call *c, const struct hob_pairs *pairs, struct answer_head *h)
{
    struct hob_pairs_iter it = hob_pairs_walk(pairs);
    struct hob_str name, value;
    while (hob_pairs_next(&it, &name, &value)) {
        h->bytes += name.n + value.n + 4; /* ": " and CRLF */
        if (name.n == 14 && hob_str_ieq(name, HOB_STR("content-length"))) {
            take_length(h, value);
            continue;
        }
        if (name.n == 12 && hob_str_ieq(name, HOB_STR("content-type")))
            h->has_type = true;
        if (!c->cors.is_on || !cors_owns_field(&c->cors, name))
            add(h->fields, &h->n, name, hob_str_trim(value));
    }
}

/* Whether the answer to this request with this status has a body on the wire (RFC 9110, 6.4.1). */
static bool is_bodyless(const struct call *c, unsigned status)
{
    return http_request(c->x)->is_head || status == 204 || status == 304;
}

/* Of the fields, Upgrade must name what was asked for (RFC 9110, 7.8); how the message is framed is not its to say. */
void fn_answer_upgrade(struct call *c, const struct hob_pairs *fields)
{
    static const struct http_upgrade_times times = {HOB_MAX_UPGRADE_IDLE_MS, HOB_MAX_UPGRADE_HALF_MS,
                                                    HOB_MAX_UPGRADE_TOTAL_MS};
    char text[TIMING_CHARS], number[NUMBER_CHARS];
    const char *why;
    struct answer_head h = {.declared = -1};
    h.fields = hob_arena_alloc(http_arena(c->x), (fields->count + ANSWER_FIELDS_MORE) * sizeof *h.fields);
    if (!h.fields) {
        refuse_answer(c, "it has too many header fields");
        return;
    }
    take_fields(c, fields, &h);
    struct hob_str protocol = hob_pairs_get(fields, "upgrade");
    struct http_answer answer = {.status = 101, .fields = h.fields, .fields_n = h.n, .upgrade = c->upgrade};
    if (h.bytes > HOB_MAX_HTTP_HEAD_BYTES) {
        refuse_answer(c, "its header fields are larger than http.head_bytes");
    } else if (!protocol.at || !hob_str_ieq(hob_str_trim(protocol), c->upgrade)) {
        refuse_answer(c, "it switches to another protocol than the one asked for");
    } else if (!http_answer_check(&answer, &why)) {
        refuse_answer(c, why);
    } else {
        add_timing(c, h.fields, &h.n, text, number);
        c->has_head = true;
        http_upgrade(c->x, c->upgrade, h.fields, h.n, &times);
    }
}

void fn_answer_head(struct call *c, unsigned status, const struct hob_pairs *fields, int64_t body_bytes)
{
    char text[TIMING_CHARS], number[NUMBER_CHARS];
    const char *why;
    struct answer_head h = {.declared = -1};
    h.fields = hob_arena_alloc(http_arena(c->x), (fields->count + ANSWER_FIELDS_MORE) * sizeof *h.fields);
    if (!h.fields) {
        refuse_answer(c, "it has too many header fields");
        return;
    }
    take_fields(c, fields, &h);
    struct http_answer answer = {.status = (int)status, .fields = h.fields, .fields_n = h.n};
    if (h.bytes > HOB_MAX_HTTP_HEAD_BYTES) {
        refuse_answer(c, "its header fields are larger than http.head_bytes");
    } else if (h.is_bad) {
        refuse_answer(c, "its Content-Length is not one number");
    } else if (!is_bodyless(c, status) && body_bytes >= 0 && h.declared >= 0 && h.declared != body_bytes) {
        refuse_answer(c, "its Content-Length is not the body's length");
    } else if (!http_answer_check(&answer, &why)) {
        refuse_answer(c, why);
    } else {
        if (c->is_event && !h.has_type)
            add(h.fields, &h.n, HOB_STR("Content-Type"), HOB_STR("application/json"));
        h.n += cors_fields(&c->cors, h.fields + h.n);
        add_timing(c, h.fields, &h.n, text, number);
        c->has_head = true;
        http_head(c->x, (int)status, h.fields, h.n, h.declared >= 0 ? h.declared : body_bytes);
    }
}

void fn_answer_end(struct call *c, const struct hob_pairs *trailers)
{
    size_t n = 0;
    struct http_field *fields = NULL;
    struct hob_str name, value;
    if (trailers && trailers->count)
        fields = hob_arena_alloc(http_arena(c->x), trailers->count * sizeof *fields);
    if (fields) {
        struct hob_pairs_iter it = hob_pairs_walk(trailers);
        while (hob_pairs_next(&it, &name, &value))
            add(fields, &n, name, hob_str_trim(value));
    }
    struct http_answer judged = {.status = 200, .fields = fields, .fields_n = n};
    const char *why;
    if (http_answer_check(&judged, &why))
        http_end(c->x, fields, n);
    else
        http_abort(c->x);
}
