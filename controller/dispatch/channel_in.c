/* What an instance may send, frame by frame: one table of rules, one short function each. */
#include "base/bytes.h"
#include "controller/dispatch/channel_priv.h"

#include "base/banned.h"

typedef void (*take_fn)(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                        struct hob_str p);

static void take_ping(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                      struct hob_str p)
{
    (void)s;
    channel_write(c, (struct hob_frame){.type = HOB_FRAME_PONG, .arg = f->arg, .stream = f->stream}, p);
}

static void take_nothing(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                         struct hob_str p)
{
    (void)c, (void)s, (void)f, (void)p;
}

static void take_credit(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                        struct hob_str p)
{
    (void)p;
    channel_take_credit(c, s, f->arg);
}

static void take_bye(struct channel *c, struct channel_stream *s, const struct hob_frame *f, struct hob_str p)
{
    (void)s, (void)f, (void)p;
    if (c->has_bye) {
        channel_violate(c, "says BYE twice");
        return;
    }
    c->has_bye = true;
    c->events->on_bye(c->ctx);
}

static void take_ready(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                       struct hob_str p)
{
    (void)s, (void)f;
    struct hob_pairs pairs;
    if (c->has_ready)
        channel_violate(c, "says READY twice");
    else if (!hob_pairs_open(p, HEAD_FIELDS_MAX, &pairs))
        channel_violate(c, "READY is malformed");
    else if (hob_pairs_u64(&pairs, "protocol", 0) != HOB_CHANNEL_PROTOCOL)
        channel_violate(c, "READY names another protocol than 1");
    else {
        c->has_ready = true;
        c->events->on_ready(c->ctx, &pairs);
    }
}

static void take_init_error(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                            struct hob_str p)
{
    (void)s, (void)f;
    struct hob_pairs pairs;
    if (c->has_ready)
        channel_violate(c, "INIT_ERROR after READY");
    else if (!hob_pairs_open(p, HEAD_FIELDS_MAX, &pairs))
        channel_violate(c, "INIT_ERROR is malformed");
    else
        c->events->on_init_error(c->ctx, &pairs);
}

/* Body bytes of an answer, in HEAD or DATA. False after a violation. */
static bool take_bytes(struct channel *c, struct channel_stream *s, struct hob_str data)
{
    if (data.n > s->recv_window || data.n > c->recv_window) {
        channel_violate(c, "overruns its credit");
        return false;
    }
    s->recv_window -= (uint32_t)data.n;
    c->recv_window -= (uint32_t)data.n;
    s->recv_held += (uint32_t)data.n;
    channel_renew(c, (uint32_t)data.n);
    if (data.n)
        c->events->on_data(c->ctx, s, data);
    return !c->is_dead && s->id != 0;
}

static bool is_open_answer(struct channel *c, const struct channel_stream *s)
{
    if (s->has_end)
        channel_violate(c, "answers after the end of its answer");
    return !s->has_end;
}

static void take_head(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                      struct hob_str p)
{
    struct hob_str meta, data;
    struct hob_pairs fields;
    if (!is_open_answer(c, s))
        return;
    if (s->has_head) {
        channel_violate(c, "sends HEAD twice");
    } else if (!(f->flags & HOB_FRAME_META) || !hob_frame_split_meta(p, &meta, &data) || meta.n < 4 ||
               data.n > CHANNEL_STREAM_WINDOW ||
               !hob_pairs_open(hob_str_n(meta.at + 4, meta.n - 4), HEAD_FIELDS_MAX, &fields)) {
        channel_violate(c, "HEAD is malformed");
    } else {
        bool is_end = f->flags & HOB_FRAME_END;
        s->has_head = true;
        s->is_raw = s->may_upgrade && hob_get_u16(meta.at) == 101;
        s->has_body_end = s->has_body_end && !s->is_raw;
        c->events->on_head(c->ctx, s, hob_get_u16(meta.at), &fields, is_end ? (int64_t)data.n : -1);
        if (c->is_dead || !s->id || !take_bytes(c, s, data) || !is_end)
            return;
        s->has_end = true;
        c->events->on_end(c->ctx, s, NULL);
    }
}

/* An event's answer may come without HEAD: then it is a plain 200. */
static bool has_head(struct channel *c, struct channel_stream *s)
{
    static const struct hob_pairs none;
    if (!s->has_head && !s->is_event) {
        channel_violate(c, "sends DATA before HEAD");
        return false;
    }
    if (!s->has_head) {
        s->has_head = true;
        c->events->on_head(c->ctx, s, 200, &none, -1);
    }
    return !c->is_dead && s->id != 0;
}

static void take_data(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                      struct hob_str p)
{
    struct hob_str meta, data = p;
    struct hob_pairs trailers;
    bool is_end = f->flags & HOB_FRAME_END, has_meta = f->flags & HOB_FRAME_META;
    if (!is_open_answer(c, s))
        return;
    if (has_meta && (!is_end || !hob_frame_split_meta(p, &meta, &data) ||
                     !hob_pairs_open(meta, HEAD_FIELDS_MAX, &trailers))) {
        channel_violate(c, "DATA's trailers are malformed");
        return;
    }
    if (!has_head(c, s) || !take_bytes(c, s, data) || !is_end)
        return;
    s->has_end = true;
    c->events->on_end(c->ctx, s, has_meta ? &trailers : NULL);
}

static void take_error(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                       struct hob_str p)
{
    (void)f;
    struct hob_pairs pairs;
    if (!is_open_answer(c, s))
        return;
    if (!hob_pairs_open(p, HEAD_FIELDS_MAX, &pairs)) {
        channel_violate(c, "ERROR is malformed");
        return;
    }
    s->has_end = true;
    c->events->on_error(c->ctx, s, &pairs);
}

static void take_done(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                      struct hob_str p)
{
    (void)f, (void)p;
    if (!s->has_end && !s->is_cancelled) {
        channel_violate(c, "says DONE without an answer");
        return;
    }
    channel_end_stream(c, s);
    c->events->on_done(c->ctx, s);
}

static void take_log(struct channel *c, struct channel_stream *s, const struct hob_frame *f, struct hob_str p)
{
    (void)s; /* a line may name an invocation that is over: its stream need not be known */
    if (f->code < HOB_CHLOG_DEBUG || f->code > HOB_CHLOG_ERROR)
        channel_violate(c, "LOG has an unknown level");
    else
        c->events->on_log(c->ctx, f->arg ? channel_find(c, f->arg) : NULL, f->code, p,
                          f->flags & HOB_FRAME_TRUNCATED);
}

/* Calls are numbered upwards by the instance, so that no number is used twice. */
static void take_call(struct channel *c, struct channel_stream *s, const struct hob_frame *f,
                      struct hob_str p)
{
    struct hob_str meta = p, data = HOB_STR("");
    s = f->arg ? channel_find(c, f->arg) : NULL; /* unknown: it has ended while the call was on its way */
    if (f->stream == 0 || (f->stream & 1) || f->stream <= c->call_last)
        channel_violate(c, "CALL's stream is not a new even number");
    else if ((f->flags & HOB_FRAME_META) && !hob_frame_split_meta(p, &meta, &data))
        channel_violate(c, "CALL is malformed");
    else if (c->calls_open >= CHANNEL_CALLS_MAX * (c->streams_n + 1))
        channel_violate(c, "has more than 64 calls open for each invocation");
    else {
        c->call_last = f->stream;
        c->calls_open++;
        c->events->on_call(c->ctx, s, f->stream, meta, data);
    }
}

enum where { ON_CONNECTION, ON_INVOCATION, ON_EITHER, ON_ANY };
static const struct rule {
    take_fn take;
    enum where where;
    uint8_t flags;
    bool has_no_payload;
} rules[HOB_FRAME_METRIC + 1] = {
    [HOB_FRAME_CREDIT] = {take_credit, ON_EITHER, 0, true},
    [HOB_FRAME_PING] = {take_ping, ON_CONNECTION, 0, false},
    [HOB_FRAME_PONG] = {take_nothing, ON_CONNECTION, 0, false},
    [HOB_FRAME_BYE] = {take_bye, ON_CONNECTION, 0, true},
    [HOB_FRAME_READY] = {take_ready, ON_CONNECTION, 0, false},
    [HOB_FRAME_INIT_ERROR] = {take_init_error, ON_CONNECTION, HOB_FRAME_TRUNCATED, false},
    [HOB_FRAME_HEAD] = {take_head, ON_INVOCATION, HOB_FRAME_END | HOB_FRAME_META, false},
    [HOB_FRAME_DATA] = {take_data, ON_INVOCATION, HOB_FRAME_END | HOB_FRAME_META, false},
    [HOB_FRAME_ERROR] = {take_error, ON_INVOCATION, HOB_FRAME_END | HOB_FRAME_TRUNCATED, false},
    [HOB_FRAME_DONE] = {take_done, ON_INVOCATION, HOB_FRAME_END, true},
    [HOB_FRAME_CALL] = {take_call, ON_ANY, HOB_FRAME_END | HOB_FRAME_META, false},
    [HOB_FRAME_LOG] = {take_log, ON_ANY, HOB_FRAME_TRUNCATED, false},
    [HOB_FRAME_METRIC] = {take_nothing, ON_ANY, HOB_FRAME_END | HOB_FRAME_META | HOB_FRAME_TRUNCATED, false},
};

static void judge(struct channel *c, const struct hob_frame *f, struct hob_str payload)
{
    if (f->type >= HOB_FRAME_OPTIONAL_FIRST)
        return;
    const struct rule *r = f->type < HOB_COUNT(rules) ? &rules[f->type] : &rules[0];
    struct channel_stream *s = NULL;
    if (!r->take)
        channel_violate(c, "sends a frame of a type that is not an instance's to send");
    else if ((f->flags & ~r->flags) || (r->has_no_payload && payload.n))
        channel_violate(c, "sends a frame with flags or a payload that it cannot have");
    else if (r->where == ON_CONNECTION && f->stream)
        channel_violate(c, "sends a frame of the connection on a stream");
    else if ((r->where == ON_INVOCATION || (r->where == ON_EITHER && f->stream)) &&
             !(s = channel_find(c, f->stream)))
        channel_violate(c, "names an unknown stream");
    else
        r->take(c, s, f, payload);
}

size_t channel_take(struct channel *c, struct hob_str bytes)
{
    size_t at = 0;
    struct hob_frame f;
    while (!c->is_dead && bytes.n - at >= HOB_FRAME_HEADER_BYTES) {
        if (!hob_frame_decode((const unsigned char *)bytes.at + at, &f)) {
            channel_violate(c, "sends a malformed frame");
            break;
        }
        if (bytes.n - at - HOB_FRAME_HEADER_BYTES < f.len)
            break;
        struct hob_str payload = hob_str_n(bytes.at + at + HOB_FRAME_HEADER_BYTES, f.len);
        at += HOB_FRAME_HEADER_BYTES + f.len;
        judge(c, &f, payload);
    }
    return at;
}
