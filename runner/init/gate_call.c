/* What a request at the gate becomes: whose it is, the CALL, and its REPLY. */
#include "base/bytes.h"
#include "base/limits.h"
#include "base/mem.h"
#include "runner/init/gate_priv.h"
#include "runner/init/json_text.h"

enum { FIELDS_MAX = 1000, META_BYTES_MAX = 256 * 1024, PARSE_FORBIDDEN = 119, PARSE_OTHER = 1 };

/* ---- whose it is ---- */

static struct hob_str field(const struct gate_conn *c, const char *name)
{
    struct hob_pairs fields;
    if (!hob_pairs_open(hob_buf_str(&c->request.fields), FIELDS_MAX, &fields))
        return (struct hob_str){NULL, 0};
    return hob_pairs_get(&fields, name);
}

static bool is_token(struct hob_str s)
{
    return hob_str_starts(s, HOB_STR("i:"));
}

/* The token in a field; at == NULL when there is none. */
static struct hob_str token_of_fields(const struct gate_conn *c)
{
    struct hob_str own = field(c, "x-hob-invocation"), session = field(c, "x-parse-session-token");
    struct hob_str bearer = field(c, "authorization");
    if (own.n)
        return own;
    if (is_token(session))
        return session;
    if (hob_str_starts(bearer, HOB_STR("Bearer i:")))
        return hob_str_n(bearer.at + 7, bearer.n - 7);
    return (struct hob_str){NULL, 0};
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* SDKs put it into the body: "_SessionToken":"i:...". Cuts the next such value; false when there is none. A member of that
 * name deeper in the body is seen, too: what it names is one of the program's own tokens, or none. */
static bool cut_token(struct hob_str *rest, struct hob_str *ret_token)
{
    static const char name[] = "\"_SessionToken\"";
    const char *at = rest->n ? memmem(rest->at, rest->n, name, sizeof name - 1) : NULL;
    if (!at)
        return false;
    const char *end = rest->at + rest->n;
    at += sizeof name - 1;
    *ret_token = HOB_STR("");
    *rest = hob_str_n(at, (size_t)(end - at));
    while (at < end && (is_blank(*at) || *at == ':'))
        at++;
    if (end - at > TOKEN_CHARS + 1 && at[0] == '"' && at[1] == 'i' && at[2] == ':')
        *ret_token = hob_str_n(at + 1, TOKEN_CHARS);
    return true;
}

/* The first one that is known decides. False: there are some, and none is of an invocation that runs. */
static bool find_in_body(struct gate *g, struct gate_conn *c)
{
    struct hob_str rest = hob_buf_str(&c->body), token;
    bool has_some = false;
    while (c->parent == 0 && cut_token(&rest, &token)) {
        has_some |= token.n > 0;
        c->parent = exchange_of_token(g->p, token);
    }
    return c->parent || !has_some;
}

bool gate_judge(struct gate *g, struct gate_conn *c)
{
    struct hob_str token = token_of_fields(c);
    c->parent = exchange_of_token(g->p, token);
    if (c->parent || (!token.n && find_in_body(g, c)))
        return true;
    gate_refuse(g, c,
                &(struct gate_problem){403, PARSE_FORBIDDEN, HOB_STR("invocation_ended"),
                                       HOB_STR("the invocation has ended: its bindings have, too"), false});
    return false;
}

/* ---- CALL ---- */

/* What hobd is told of the head. */
static const char *const passed[] = {"content-type",          "range",
                                     "if-none-match",         "x-parse-application-id",
                                     "x-parse-master-key",    "x-parse-session-token",
                                     "authorization",         "x-parse-installation-id",
                                     "x-parse-cloud-context", "x-parse-request-id",
                                     "x-parse-file-metadata", "x-parse-file-tags",
                                     "x-parse-file-directory"};

static enum hob_code add_member(struct hob_buf *out, const char *name, struct hob_str value)
{
    enum hob_code code = hob_buf_addf(out, "\"%s\":", name);
    return code == HOB_OK ? json_text_add(out, value) : code;
}

/* {"op":"http.request","args":{"method","target","token","close","fields":{}}}; http.public when it is for nobody. */
static enum hob_code write_meta(const struct gate *g, const struct gate_conn *c, struct hob_buf *out)
{
    enum hob_code code =
        hob_buf_addf(out, "{\"op\":\"http.%s\",\"args\":{", c->parent ? "request" : "public");
    if (code == HOB_OK)
        code = add_member(out, "method", answer_method(&c->request));
    if (code == HOB_OK)
        code = hob_buf_add(out, ",", 1);
    if (code == HOB_OK)
        code = add_member(out, "target", answer_target(&c->request));
    const char *token = exchange_token(g->p, c->parent);
    if (code == HOB_OK && *token)
        code = hob_buf_addf(out, ",\"token\":\"%s\"", token);
    if (code == HOB_OK)
        code = hob_buf_addf(out, ",\"close\":%s,\"fields\":{", c->is_last ? "true" : "false");
    bool is_first = true;
    for (size_t i = 0; code == HOB_OK && i < HOB_COUNT(passed); i++) {
        struct hob_str value = field(c, passed[i]);
        if (!value.at)
            continue;
        if (!is_first)
            code = hob_buf_add(out, ",", 1);
        is_first = false;
        if (code == HOB_OK)
            code = add_member(out, passed[i], value);
    }
    return code == HOB_OK ? hob_buf_add_str(out, HOB_STR("}}}")) : code;
}

static struct gate_call *call_find(struct gate *g, uint32_t stream)
{
    for (size_t i = 0; i < GATE_CALLS_MAX; i++)
        if (g->calls[i].stream == stream)
            return &g->calls[i];
    return NULL;
}

static void send_call(struct gate *g, struct gate_conn *c, struct hob_str meta)
{
    struct gate_call *call = call_find(g, 0);
    HOB_ASSERT(call);
    g->call_last += 2;
    *call = (struct gate_call){.stream = g->call_last, .conn = c, .bytes = meta.n + c->body.n};
    g->calls_n++;
    g->calls_bytes += call->bytes;
    struct hob_frame f = {
        .type = HOB_FRAME_CALL, .flags = HOB_FRAME_END, .stream = call->stream, .arg = c->parent};
    HOB_ASSERT(hob_frame_add_meta(&g->p->out, f, meta, hob_buf_str(&c->body)) == HOB_OK);
    gate_release(g, c);
    c->state = GATE_ASKED;
}

static bool has_room(const struct gate *g, const struct gate_conn *c)
{
    return g->calls_n < GATE_CALLS_MAX && g->p->out.n <= OUT_PAUSE_BYTES && g->p->channel.mask &&
           (g->calls_n == 0 || g->calls_bytes + c->body.n <= GATE_CALL_BYTES_MAX);
}

void gate_ask(struct gate *g)
{
    struct hob_node *first;
    while ((first = hob_list_first(&g->waiting)) != NULL) {
        struct gate_conn *c = HOB_CONTAINER_OF(first, struct gate_conn, waiting);
        if (!has_room(g, c))
            break;
        hob_auto_buf struct hob_buf meta;
        hob_buf_init(&meta, META_BYTES_MAX);
        hob_list_remove(first);
        if (write_meta(g, c, &meta) == HOB_OK && meta.n + c->body.n + 4 <= HOB_MAX_CALL_BYTES)
            send_call(g, c, hob_buf_str(&meta));
        else
            gate_refuse(g, c,
                        &(struct gate_problem){413, PARSE_OTHER, HOB_STR("too_large"),
                                               HOB_STR("a call has at most 1 MiB with its head (call.bytes)"),
                                               true});
    }
    gate_resume(g);
}

/* ---- REPLY ---- */

/* Of an error, as the SDKs read it. */
static void answer_error(struct gate *g, struct gate_conn *c, struct hob_str payload)
{
    struct hob_pairs pairs;
    struct gate_problem why = {500, PARSE_OTHER, HOB_STR("internal"), HOB_STR("the call failed"), c->is_last};
    if (hob_pairs_open(payload, FIELDS_MAX, &pairs)) {
        uint64_t status = hob_pairs_u64(&pairs, "status", 0);
        why.status = status >= 400 && status <= 599 ? (unsigned)status : why.status;
        why.code = (int)hob_pairs_u64(&pairs, "code", PARSE_OTHER);
        why.message = hob_pairs_get(&pairs, "errorMessage");
        if (hob_str_is(hob_pairs_get(&pairs, "reason"), "invocation_ended"))
            why = (struct gate_problem){403, PARSE_FORBIDDEN, HOB_STR("invocation_ended"), why.message,
                                        c->is_last};
        else
            why.reason = hob_pairs_get(&pairs, "reason");
    }
    gate_refuse(g, c, &why);
}

/* Past what the meta has of this piece; hobd's meta says nothing that is not in the bytes. */
static struct hob_str bytes_of(struct gate_call *call, struct hob_str payload)
{
    if (!call->has_begun) {
        call->has_begun = true;
        call->skip_n = payload.n >= 4 ? (size_t)hob_get_u32(payload.at) + 4 : payload.n;
    }
    size_t n = call->skip_n < payload.n ? call->skip_n : payload.n;
    call->skip_n -= n;
    return hob_str_n(payload.at + n, payload.n - n);
}

static void call_end(struct gate *g, struct gate_call *call)
{
    struct gate_conn *c = call->conn;
    g->calls_n--;
    g->calls_bytes -= call->bytes;
    *call = (struct gate_call){0};
    if (c)
        c->state = GATE_ANSWERING;
}

void gate_reply(struct gate *g, const struct hob_frame *f, struct hob_str payload)
{
    struct gate_call *call = f->stream ? call_find(g, f->stream) : NULL;
    if (!call)
        return;
    struct gate_conn *c = call->conn;
    bool is_bad = f->code != 0 || !(f->flags & HOB_FRAME_META);
    if (is_bad) {
        call_end(g, call);
        if (c)
            answer_error(g, c, f->code ? payload : HOB_STR(""));
        return;
    }
    struct hob_str bytes = bytes_of(call, payload);
    if (c && !gate_add(g, c, bytes))
        c = NULL;
    if (f->flags & HOB_FRAME_END)
        call_end(g, call);
    if (c)
        gate_conn_write(g, c);
}
