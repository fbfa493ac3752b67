/* Inside of the HTTP server: server, connection and exchange. Included in api/server/ and its tests only.
 *
 * A connection has one exchange at a time, embedded in it; pipelined requests wait as bytes. What the handler does
 * (answers, reads, gives back) only changes the exchange and puts its connection on the server's list of touched
 * ones; at the end of the loop's turn each of these takes its steps (http_conn_turn): callbacks that may not come
 * from inside a call of the handler, the next request, one write for all that was queued, reading on or pausing. */
#pragma once

#include <netinet/in.h>

#include "api/server/answer.h"
#include "api/server/chunked.h"
#include "api/server/head.h"
#include "api/server/trace.h"
#include "base/list.h"

/* What tests make smaller. The defaults are base/limits.h. */
struct http_tuning {
    struct http_head_limits head;
    uint32_t head_ms, idle_ms, body_stall_ms, write_stall_ms;
    uint32_t linger_ms; /* after the last answer, so that the client can read it before a reset */
    uint32_t sweep_ms;  /* how often times are looked at; paused connections more often */
    size_t pipeline_bytes, window_bytes, out_bytes, discard_bytes, body_bytes_min;
    unsigned connections, connections_per_address;
};
struct http_tuning http_tuning_default(void);
HOB_MUST_USE struct http_server *http_server_start_tuned(uv_loop_t *loop, const struct http_server_options *o,
                                                         const struct http_tuning *tuning,
                                                         struct hob_err *err);

enum { HTTP_READ_BYTES = 65536 }; /* of one read */

struct http_peer; /* connections of one address */

struct http_server {
    uv_loop_t *loop;
    struct http_server_options options;
    struct http_tuning tuning;
    int listen_fd;
    int reserve_fd; /* given up for a moment to tell a client that there are no descriptors left */
    uint16_t port;
    uv_poll_t listener;
    uv_timer_t sweep;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_idle_t idle; /* runs while touched connections wait, so that the loop does not sleep on them */
    unsigned handles_open;
    struct hob_list conns, touched;
    struct http_peer *peers;
    struct http_stats stats;
    char *read_buffer; /* one for all: what is not used up in the read callback is copied */
    char date[HTTP_DATE_CHARS + 1];
    int64_t date_s;
    bool is_draining, is_closing;
    bool is_watching_closely; /* the sweep runs often */
    bool is_deaf;             /* no descriptors at all: accepting waits for the next sweep */
    uint64_t swept_ms, drain_deadline_ms;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct http_exchange {
    struct http_request request;
    struct hob_arena arena;
    struct http_events events;
    void *ctx;
    struct hob_err failure;
    struct http_chunked chunked;
    enum http_body body;
    uint64_t body_left; /* of a body with a length */
    uint64_t body_seen, body_max;
    size_t window_used;
    int64_t answer_left; /* bytes of the declared length; HTTP_LENGTH_UNKNOWN */
    /* towards the handler */
    bool is_open;    /* the handler has it and on_close has not come */
    bool is_muted;   /* the server answered or the client is gone: what the handler says is ignored */
    bool has_failed; /* on_abort is due */
    bool wants_drain;
    /* request */
    bool is_keep_alive, is_expecting_100, is_reading, is_received, is_end_told;
    /* upgraded: raw bytes both ways */
    struct http_upgrade_times times;
    uint64_t upgraded_ms;
    bool is_raw, is_ended; /* is_ended: http_end was called; what is queued goes out first */
    /* answer */
    bool has_head, is_answered, is_chunked, has_answer_body, is_close;
    char request_id[HTTP_REQUEST_ID_MAX + 1];
    char traceparent[HTTP_TRACEPARENT_CHARS + 1];
};

/* IDLE -> HEAD -> BUSY -> IDLE; BUSY -> DISCARD -> IDLE when a short rest of a body nobody read is still to come;
 * BUSY or DISCARD -> LINGER -> CLOSING after a last answer; any -> CLOSING when the client is gone. */
enum http_conn_state { CONN_IDLE, CONN_HEAD, CONN_BUSY, CONN_DISCARD, CONN_LINGER, CONN_CLOSING };

struct http_conn {
    uv_tcp_t tcp;
    uv_write_t write;
    struct http_server *server;
    struct hob_node in_conns, in_touched;
    struct http_peer *peer;
    enum http_conn_state state;
    struct http_head_scan scan;
    struct hob_buf in;      /* read and not used yet; begins with a request's first byte outside of bodies */
    struct hob_buf out;     /* queued in this turn */
    struct hob_buf sending; /* given to libuv */
    uint64_t since_ms;      /* when the state began, or its last byte came */
    size_t stall_bytes;     /* of the body since since_ms */
    size_t discarded;
    uint64_t sent_ms; /* when the client last took a byte */
    size_t sent_mark; /* bytes that libuv had left then */
    bool is_reading, is_sending, is_shut;
    bool is_lost;        /* the client is gone */
    bool is_half_closed; /* an upgraded client has ended its direction */
    bool is_cut;         /* the answer was broken off: the client must notice */
    bool is_reset;       /* ... which only a reset can tell it */
    bool is_blocked;     /* a request waits until the client took earlier answers */
    char remote[INET6_ADDRSTRLEN];
    uint16_t remote_port;
    struct http_exchange x;
};

static inline struct http_conn *http_conn_of(struct http_exchange *x)
{
    return HOB_CONTAINER_OF(x, struct http_conn, x);
}

/* conn.c */
void http_conn_open(struct http_server *s, int fd, const struct sockaddr_storage *address,
                    struct http_peer *peer);
void http_conn_touch(struct http_conn *c);
void http_conn_turn(struct http_conn *c);
void http_conn_sweep(struct http_conn *c, uint64_t now_ms); /* judges its times */
/* True when it is paused while a handler works; then it was also asked whether its client is still there. */
bool http_conn_check_paused(struct http_conn *c);
void http_conn_drain(struct http_conn *c, bool is_forced);
size_t http_conn_queued(const struct http_conn *c); /* bytes waiting for the client */

/* exchange.c */
/* Begins the exchange with a complete head: hands it to the handler or refuses it. */
void http_exchange_begin(struct http_exchange *x, struct hob_str head, unsigned fields_n);
/* The same when the bytes are no head at all. */
void http_exchange_begin_refused(struct http_exchange *x, const struct http_refusal *r);
/* The server ends the exchange for the handler: answers when nothing went out yet, else breaks off. */
void http_exchange_fail(struct http_exchange *x, const struct http_refusal *r);
/* The client is gone. */
void http_exchange_lost(struct http_exchange *x, const char *why);
/* Takes body bytes from *in while the handler wants some; true when something happened. */
bool http_exchange_body(struct http_exchange *x, struct hob_str *in);
/* Drops body bytes; true once the body has ended. *ret_is_bad: it is malformed. */
bool http_exchange_discard(struct http_exchange *x, struct hob_str *in, bool *ret_is_bad);
/* The head of a checked answer; false when it was cut off instead. */
bool http_exchange_put_head(struct http_exchange *x, struct http_answer *a, bool is_whole);
/* Tells the handler and answers 502 when it cannot be sent. */
bool http_exchange_check(struct http_exchange *x, const struct http_answer *a);
/* Callbacks that are due at the end of a turn; the last is on_close when the answer is complete. */
void http_exchange_settle(struct http_exchange *x);

/* upgrade.c */
/* Both directions have ended: so has the exchange. */
void http_upgrade_settle(struct http_exchange *x);
/* Judges the times of an upgraded exchange; its last byte came or went at since_ms. */
void http_upgrade_sweep(struct http_exchange *x, uint64_t since_ms, uint64_t now_ms);

/* server.c */
void http_server_peer_left(struct http_server *s, struct http_peer *peer);
const char *http_server_date(struct http_server *s);
/* A connection was paused: clients that hang up now must be looked for. */
void http_server_watch_closely(struct http_server *s);
void http_server_conn_closed(struct http_server *s); /* after the last reference to the connection */
