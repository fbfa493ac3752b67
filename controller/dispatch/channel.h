/* The channel to one instance: frames of base/frame.h over a stream socket, judged as a hostile stranger's.
 * A channel owns its descriptor and knows its open streams (one per invocation, embedded in it by the caller). It
 * keeps the credit windows of both directions and the order of frames; what an answer means is not its business.
 * Lives on the loop's thread. Frames written during one turn of the loop leave in one system call (the mux flushes
 * every dirty channel before the loop sleeps); frames that came in are handed out in place, without a copy.
 * Guarantees: after on_violation, on_hangup or channel_close no further event comes. */
#pragma once

#include <uv.h>

#include "base/frame.h"
#include "base/list.h"
#include "base/pairs.h"

enum {
    CHANNEL_STREAM_WINDOW = 64 * 1024,
    CHANNEL_WINDOW = 1024 * 1024,
    CHANNEL_FREE_BODY = 16 * 1024, /* body bytes that may ride in INVOKE without credit */
    CHANNEL_STREAMS_MAX = 1000,
    CHANNEL_INVOKE_BYTES = 512 * 1024, /* the strings of one INVOKE together */
    CHANNEL_CALLS_MAX = 64,            /* open calls of one invocation */
};

struct channel;
struct channel_mux; /* what all channels of a loop share: the read buffer and the flush before sleeping */

/* One invocation on the wire. Zeroed when not open; the fields are the channel's. */
struct channel_stream {
    uint32_t id; /* odd; 0: not open */
    uint32_t send_credit;
    uint32_t recv_window, recv_held, recv_renew;
    uint64_t invoke_at; /* where INVOKE stands in all that was ever written */
    bool is_event, has_head, has_end, has_body_end, is_cancelled;
    bool may_upgrade; /* set behind channel_invoke: HEAD 101 opens the stream again, for raw bytes both ways */
    bool is_raw;      /* it came */
    struct hob_node blocked; /* waits for the connection's credit */
};

/* All slices are borrowed for the call. */
struct channel_events {
    void (*on_ready)(void *ctx, const struct hob_pairs *pairs);
    void (*on_init_error)(void *ctx, const struct hob_pairs *pairs);
    void (*on_head)(void *ctx, struct channel_stream *s, unsigned status, const struct hob_pairs *fields,
                    int64_t body_bytes);
    void (*on_data)(void *ctx, struct channel_stream *s, struct hob_str data); /* see channel_consumed */
    void (*on_end)(void *ctx, struct channel_stream *s, const struct hob_pairs *trailers); /* or NULL */
    void (*on_error)(void *ctx, struct channel_stream *s, const struct hob_pairs *pairs);
    void (*on_done)(void *ctx, struct channel_stream *s);   /* the stream is closed already */
    void (*on_window)(void *ctx, struct channel_stream *s); /* channel_body may take more */
    void (*on_log)(void *ctx, struct channel_stream *s_or_null, uint16_t level, struct hob_str text,
                   bool is_cut);
    /* A binding call; answer it by channel_reply, now or later. NULL: it names no invocation that is running (any
     * more). `meta` says what is asked, `data` are bytes that go with it; without META everything is `meta`. */
    void (*on_call)(void *ctx, struct channel_stream *parent_or_null, uint32_t call, struct hob_str meta,
                    struct hob_str data);
    void (*on_bye)(void *ctx);
    void (*on_hangup)(void *ctx); /* the instance closed its end */
    void (*on_violation)(void *ctx, const char *why);
};

HOB_MUST_USE struct channel_mux *channel_mux_new(uv_loop_t *loop);
/* `before` runs once a turn, just before the flush. */
void channel_mux_hook(struct channel_mux *m, void (*before)(void *ctx), void *ctx);
void channel_mux_flush(struct channel_mux *m); /* at once; the loop does it by itself */
/* Every channel must be closed already. */
void channel_mux_close(struct channel_mux *m, void (*closed)(void *ctx), void *ctx);

/* Takes `fd`. */
HOB_MUST_USE struct channel *channel_open(struct channel_mux *m, int fd, const struct channel_events *e,
                                          void *ctx);
void channel_close(struct channel *c); /* frees itself after the loop let go of the descriptor */
/* How many invocations may be open at a time; before the first INVOKE. */
void channel_set_streams(struct channel *c, unsigned n);

void channel_hello(struct channel *c, struct hob_str pairs);
/* HELLO's pairs anew: READY or INIT_ERROR comes once more. With no stream open. */
void channel_reconfig(struct channel *c, struct hob_str pairs);
/* Opens `s` and writes INVOKE with `data` (at most CHANNEL_FREE_BODY) and strings of at most CHANNEL_INVOKE_BYTES. There
 * must be a free stream. */
void channel_invoke(struct channel *c, struct channel_stream *s, const struct hob_invoke_meta *meta,
                    uint32_t run_ms, struct hob_str data, bool is_end);
/* Writes as much of `data` as credit allows and returns that; `is_end` goes out once everything was taken. */
HOB_MUST_USE size_t channel_body(struct channel *c, struct channel_stream *s, struct hob_str data,
                                 bool is_end, struct hob_str trailers);
/* Gives `n` bytes of on_data back to the windows. */
void channel_consumed(struct channel *c, struct channel_stream *s, size_t n);
void channel_cancel(struct channel *c, struct channel_stream *s, enum hob_cancel_reason why);
void channel_drain(struct channel *c, uint32_t grace_ms);
void channel_ping(struct channel *c);
/* `error` 0: `meta` is the result, `data` bytes that go with it; else `meta` is pairs errorType, errorMessage, ... What is
 * over a frame's limit leaves in several, the last of which has END. */
void channel_reply(struct channel *c, uint32_t call, uint16_t error, struct hob_str meta,
                   struct hob_str data);

/* The instance is gone: takes in what it had still written. */
void channel_read_rest(struct channel *c);
/* Any frame that came since the last channel_ping. */
bool channel_was_heard(const struct channel *c);
/* The open stream with the lowest slot at or behind *slot, which is moved behind it; NULL at the end. */
struct channel_stream *channel_next_stream(struct channel *c, unsigned *slot);
/* True when not a byte of this stream's INVOKE ever left; then *ret_meta and *ret_data (borrowed until the next
 * write) are what it said. Only for requests whose whole body was in INVOKE. */
HOB_MUST_USE bool channel_unsent(const struct channel *c, const struct channel_stream *s,
                                 struct hob_invoke_meta *ret_meta, struct hob_str *ret_data);
void channel_trim(struct channel *c); /* idle: gives memory back */
