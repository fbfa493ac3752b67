/* Inside of a channel, shared by channel.c (writing, credit) and channel_in.c (judging what comes in). */
#pragma once

#include "controller/dispatch/channel.h"

enum {
    READ_BYTES = 256 * 1024,    /* one turn's share of one instance */
    OUT_BYTES_MAX = 1 << 30,    /* never met by credit and slots; beyond it the instance is not reading */
    OUT_PAUSE_BYTES = 4 << 20,  /* then nothing more is read, so that answers to PING and CALL are bounded */
    OUT_KEEP_BYTES = 64 * 1024, /* memory kept between turns */
    HEAD_FIELDS_MAX = 1000,     /* pairs in HEAD, trailers, READY */
    SLOT_BITS = 10,             /* a stream id is (generation, slot, 1) */
};

struct channel_mux {
    uv_prepare_t prepare;
    struct hob_list dirty;
    void (*before)(void *ctx);
    void *before_ctx;
    void (*closed)(void *ctx);
    void *closed_ctx;
    unsigned char *in;
};

struct channel {
    struct channel_mux *mux;
    uv_poll_t poll;
    int fd, polled; /* polled: events asked of libuv now */
    const struct channel_events *events;
    void *ctx;
    bool is_dead;   /* violated or hung up: nothing is taken in or written any more */
    bool is_closed; /* channel_close was called */
    bool is_reading, is_heard, has_ready, has_bye;
    struct hob_node dirty;
    struct hob_buf out;
    uint64_t sent;     /* bytes that left */
    struct hob_buf in; /* the beginning of a frame whose rest has not come */
    uint32_t send_credit, recv_window, recv_renew;
    struct hob_list blocked; /* streams with body bytes and own credit, but none of the connection's */
    uint32_t call_last;
    unsigned calls_open;
    unsigned streams_max, streams_n, free_n;
    uint16_t *free_slots;
    uint32_t *generations;
    struct channel_stream **streams;
};

void channel_violate(struct channel *c, const char *why);
void channel_write(struct channel *c, struct hob_frame f, struct hob_str payload);
/* n bytes came off the connection: gives them back to its window. */
void channel_renew(struct channel *c, uint32_t n);
void channel_take_credit(struct channel *c, struct channel_stream *s_or_null, uint32_t n);
void channel_end_stream(struct channel *c, struct channel_stream *s);
struct channel_stream *channel_find(struct channel *c, uint32_t id);
/* Takes whole frames off `bytes`; returns how many bytes they were. */
size_t channel_take(struct channel *c, struct hob_str bytes);
