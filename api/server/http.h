/* The HTTP/1.1 server: connections, framing, guards, time-outs, back-pressure. It knows no routes.
 * Follows RFC 9110 and RFC 9112; every line of the trigger checklist is judged in tests/unit/api/ and tests/raw/.
 * Lives on the loop's thread. One exchange = one request and its one answer; exchanges of a connection are answered
 * in order, so only the first unanswered one is handed to the handler (pipelined ones wait, with a bound).
 *
 * The process must ignore SIGPIPE.
 *
 * The handler gets on_request once the head is in. It must answer exactly once: http_respond (whole), or http_head +
 * http_write* + http_end, or http_abort. Everything borrowed from an exchange lives until on_close, which comes
 * exactly once, last, also when the client goes away before an answer. After on_close the exchange must not be used. */
#pragma once

#include <uv.h>

#include "base/err.h"
#include "base/mem.h"

struct http_server;
struct http_exchange;

struct http_field {
    struct hob_str name, value; /* names of requests are lower-case already */
};

enum { HTTP_LENGTH_UNKNOWN = -1 };

struct http_request {
    struct hob_str method;
    struct hob_str target;    /* as received (origin-form; absolute-form is reduced to it) */
    struct hob_str path;      /* canonical: dot segments gone, percent-encoding normalised, %2F kept */
    struct hob_str query;     /* behind '?', without it; at == NULL when there is none */
    struct hob_str host;      /* lower-case, without port */
    struct hob_str authority; /* Host as received */
    const struct http_field
        *fields; /* without those of the connection (Connection and what it names, TE, ...) */
    size_t fields_n;
    int64_t body_bytes;      /* HTTP_LENGTH_UNKNOWN when chunked, 0 when there is none */
    const char *request_id;  /* client's X-Request-Id when well-formed, else a UUIDv7 */
    const char *traceparent; /* W3C: continued from the client's when valid, else new; a fresh span id */
    const char *remote;      /* address of the peer, text */
    uint16_t remote_port;
    bool is_http10, is_head;
    /* The one protocol that the client would rather speak from here on, as sent; at == NULL: none that may be taken up.
     * Not asked by: HTTP/1.0, a request with a body, a list of several, and h2c, HTTP/x, TLS/x, which no handler may
     * answer. Without http_upgrade the request is an ordinary one, which RFC 9110, 7.8 allows. */
    struct hob_str upgrade;
    uint64_t received_us; /* monotonic: when the head was complete */
};

/* What the handler is told. Set by the handler in on_request through http_listen; unset members are fine. */
struct http_events {
    /* Body bytes, borrowed for the call. Counted against the window until http_consumed() gives them back. */
    void (*on_body)(void *ctx, struct hob_str data);
    /* Comes only after http_body_read, also when there is no body. */
    void (*on_body_end)(void *ctx, const struct http_field *trailers, size_t n);
    void (*on_drain)(void *ctx); /* what was queued towards the client fell below half: write on */
    /* The client went away (HOB_E_CANCELLED; a half-closed one counts as gone), was too slow, sent a malformed body, or
     * the answer could not be sent as given (HOB_E_FUNCTION, bad_answer), before it was complete. The server has
     * answered or broken off by then; what the handler still says is ignored, and on_close follows. */
    void (*on_abort)(void *ctx, const struct hob_err *err);
    void (*on_close)(void *ctx); /* exactly once, last */
    /* Upgraded exchanges only: the server drains. What has no end by itself should come to one now. */
    void (*on_shutdown)(void *ctx);
};

typedef void (*http_request_cb)(void *ctx, struct http_exchange *x);

struct http_server_options {
    const char *host; /* numeric address */
    uint16_t port;    /* 0: any; see http_server_port */
    http_request_cb on_request;
    void *ctx;
    const char *server_name; /* Server: header, or NULL */
};

HOB_MUST_USE struct http_server *http_server_start(uv_loop_t *loop, const struct http_server_options *o,
                                                   struct hob_err *err);
uint16_t http_server_port(const struct http_server *s);
/* Stops accepting, finishes exchanges under way (at most grace_ms), closes idle connections; then `closed`. */
void http_server_drain(struct http_server *s, uint32_t grace_ms, void (*closed)(void *ctx), void *ctx);

const struct http_request *http_request(const struct http_exchange *x);
struct hob_arena *http_arena(struct http_exchange *x); /* freed after on_close */
/* First value of a field (lower-case name); at == NULL when absent. */
struct hob_str http_field(const struct http_exchange *x, const char *name);
void http_listen(struct http_exchange *x, const struct http_events *events, void *ctx);

/* Starts reading the body (sends 100 Continue when it was asked for). `bytes_max` 0: no cap; beyond it the client
 * gets 413, on_abort comes with HOB_E_TOO_LARGE. Bodies nobody reads are discarded within bounds or the connection
 * is closed. */
void http_body_read(struct http_exchange *x, uint64_t bytes_max);
/* Gives `n` body bytes back to the window (128 KiB); reading from the socket pauses when it is used up. */
void http_consumed(struct http_exchange *x, size_t n);

/* One whole answer. `fields` are checked (no CR, LF, NUL, no hop-by-hop, no Content-Length/Transfer-Encoding, which
 * the server sets). Date, Server, X-Request-Id, and Connection are the server's. HEAD, 204, 304 are handled. */
void http_respond(struct http_exchange *x, int status, const struct http_field *fields, size_t n,
                  struct hob_str body);
/* An application/problem+json answer from an error; adds Retry-After when given (seconds, 0: none). */
void http_problem(struct http_exchange *x, const struct hob_err *err, unsigned retry_after_s);
/* The same with more header fields. */
void http_problem_with(struct http_exchange *x, const struct hob_err *err, const struct http_field *fields,
                       size_t n);
/* A streamed answer: head now (body_bytes or HTTP_LENGTH_UNKNOWN → chunked, or close for HTTP/1.0), bytes later. */
void http_head(struct http_exchange *x, int status, const struct http_field *fields, size_t n,
               int64_t body_bytes);
/* Copies. Returns bytes now waiting for the client: from http.connection_buffer_bytes on wait for on_drain. Writes of
 * one loop turn leave in one system call. */
size_t http_write(struct http_exchange *x, struct hob_str data);
void http_end(struct http_exchange *x, const struct http_field *trailers, size_t n);

/* Ends HTTP on this connection: answers 101 to a request with an `upgrade`, and from then on the exchange carries raw
 * bytes both ways, with the events it already has. What the client sent behind its head comes first.
 *   on_body, http_consumed      bytes of the client and their window, as with a body
 *   on_body_end                 the client ended its direction (a half-close; no trailers); the other one lives on
 *   http_write, on_drain        bytes to the client, as with an answer
 *   http_end                    ends our direction once all is out (the client reads an end of file)
 *   http_abort                  breaks off both (a reset)
 *   on_abort                    the client broke the connection (HOB_E_CANCELLED) or a bound below was met (HOB_E_TIMEOUT)
 * on_close comes when both directions have ended and all bytes of the client were given back, or after a failure. `protocol` is what the Upgrade field says;
 * `fields` are judged as those of any answer (a malformed one: 502 and on_abort). */
struct http_upgrade_times { /* milliseconds; 0: no bound */
    uint64_t idle_ms;       /* without a byte either way */
    uint64_t half_ms;       /* the same, once one direction has ended */
    uint64_t total_ms;      /* since the upgrade */
};
void http_upgrade(struct http_exchange *x, struct hob_str protocol, const struct http_field *fields, size_t n,
                  const struct http_upgrade_times *times);
/* Behind http_end: nobody reads the client's bytes any more. They are dropped for a moment, so that it can read to the
 * end what it was sent, then the connection is closed. */
void http_upgrade_leave(struct http_exchange *x);
/* Breaks the answer off so that the client sees it (connection closed without last chunk). Before http_head: 502. */
void http_abort(struct http_exchange *x);

/* Counters for /metrics and tests. */
struct http_stats {
    uint64_t connections_open, connections_total, requests_total, bytes_in, bytes_out, refused_total;
};
void http_server_stats(const struct http_server *s, struct http_stats *ret_stats);
