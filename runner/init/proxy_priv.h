/* Inside the proxy only: one `struct proxy` a process; it owns the channel, every exchange and every connection. */
#pragma once

#include "base/frame.h"
#include "base/list.h"
#include "base/pairs.h"
#include "runner/init/http_answer.h"
#include "runner/init/http_request.h"

#include <sys/types.h>

enum {
    STREAM_WINDOW = 65536,
    CONNECTION_WINDOW = 1 << 20,
    CONN_IN_MAX = 2 * 65536,   /* what a connection may have read and not passed on */
    OUT_PAUSE_BYTES = 1 << 20, /* waiting for hobd: no answers are taken beyond */
    EXCHANGE_BUCKETS = 256,
    TOKEN_CHARS = 34, /* "i:", the stream and 96 random bits in hexadecimal */
    LOST_MS = 20,
};

enum proxy_state { PROXY_WAITING, PROXY_STARTING, PROXY_HOOKS, PROXY_READY, PROXY_DRAINING, PROXY_ENDING };

/* What the program is asked beside its requests, by paths that hob.json names. */
enum hook_kind { HOOK_CONFIG, HOOK_START, HOOK_HEALTH, HOOK_STOP, HOOK_KINDS_ };

struct proxy;
/* Whatever epoll watches. */
struct source {
    void (*ready)(struct proxy *p, struct source *s, uint32_t events);
    int fd;
    uint32_t mask; /* 0: not watched */
};

/* A connection to the program. */
struct conn {
    struct source source;
    struct hob_node node; /* in idle or graves */
    struct exchange *x;   /* NULL: idle */
    struct hob_buf in;
    struct answer answer;
    bool is_connecting, is_reused, is_broken /* takes no more of the request */, has_end /* of input */;
    uint64_t idle_ms;
};

/* One invocation. */
struct exchange {
    struct exchange *next;   /* in its bucket, or spare */
    struct hob_node blocked; /* has bytes for hobd, but no credit */
    struct hob_node
        lost; /* in lost: its connection is gone, and soon it is known whether the program is, too */
    const char *lost_type, *lost_message;
    uint64_t lost_ms;
    uint32_t stream, window, uncredited;
    struct conn *conn;
    struct hob_buf request;
    size_t sent; /* of request; only a request that may be repeated keeps what was sent */
    struct request_framing framing;
    bool has_request_end, has_head, is_head, is_idempotent, may_repeat;
    /* may_switch: the program may answer 101; is_raw: it did, and request holds raw bytes; is_shut: it was told that
     * no more of them come */
    bool may_switch, is_raw, is_shut;
    char token[TOKEN_CHARS + 1]; /* empty: there is no gate */
};

struct hook {             /* the one that is being asked */
    struct source source; /* fd -1: none is */
    enum hook_kind kind;
    struct hob_buf out, in;
    size_t sent;
    struct answer answer;
    uint64_t until_ms;
};

struct proxy {
    enum proxy_state state;
    char *hooks[HOOK_KINDS_]; /* paths; NULL: none */
    struct hook hook;
    struct hob_buf config; /* what the config hook gets, JSON */
    uint64_t health_ms;    /* when to ask again while it starts; 0: not */
    struct hob_frame ping; /* to be answered when the health hook is; type 0: none */
    bool has_served;       /* READY was said: a change of configuration is told to the config hook alone */
    bool is_asked_to_end;  /* SIGTERM waits for the stop hook, or was sent */
    char **argv;
    pid_t program;
    int exit_code;
    bool has_exited, is_blamed; /* is_blamed: it was said that nothing listens */
    uint16_t port, gate_port;   /* gate_port 0: no bindings */
    int family, epoll;
    struct source channel, signals, probe;
    uint64_t started_ms, kill_ms; /* kill_ms 0: no end is set */
    struct hob_buf in, out, body, meta;
    uint32_t window, uncredited;
    unsigned slots, exchanges_n, raw_n, idle_n;
    struct exchange *exchanges[EXCHANGE_BUCKETS], *spare;
    struct hob_list idle, graves, blocked, lost;
    struct gate *gate; /* NULL: no bindings, or HELLO did not come yet */
};

/* proxy.c */
void proxy_watch(struct proxy *p, struct source *s, uint32_t mask);
void proxy_send(struct proxy *p, struct hob_frame f, struct hob_str payload);
void proxy_log(struct proxy *p, uint16_t level, const char *text);
void proxy_idle(struct proxy *p); /* an exchange ended */

void proxy_ready(struct proxy *p);
void proxy_fail_start(struct proxy *p, const char *type, const char *message);
void proxy_terminate(struct proxy *p); /* SIGTERM to the program, at last */

/* hooks.c */
void hooks_init(struct proxy *p);
void hooks_read(struct proxy *p, const struct hob_pairs *hello);
void hooks_begin(struct proxy *p); /* the program listens: what must be asked before READY, then READY */
/* What HELLO said has changed: the config hook is told, then READY again. */
void hooks_reconfig(struct proxy *p, const struct hob_pairs *config);
void hooks_health(struct proxy *p, const struct hob_frame *ping);
/* Asks the stop hook, then SIGTERM. */
void hooks_stop(struct proxy *p);
void hooks_tick(struct proxy *p, uint64_t now_ms);
uint64_t hooks_wake_ms(const struct proxy *p); /* UINT64_MAX: nothing is due */

/* exchange.c: what hobd says about invocations, and what it is told */
void exchange_invoke(struct proxy *p, const struct hob_frame *f, struct hob_str payload);
void exchange_body(struct proxy *p, const struct hob_frame *f, struct hob_str payload);
void exchange_cancel(struct proxy *p, uint32_t stream);
/* The invocation whose token that is, still running; 0: none. */
uint32_t exchange_of_token(struct proxy *p, struct hob_str token);
const char *exchange_token(struct proxy *p, uint32_t stream); /* empty when it has ended */
void exchange_credit(struct proxy *p, uint32_t stream, uint32_t bytes);
void exchange_resume(struct proxy *p); /* those that were blocked try again */
/* Some of the request went out, or nothing more of it will. */
void exchange_sent(struct proxy *p, struct exchange *x);
/* Bytes that may be passed on now. */
size_t exchange_window(const struct proxy *p, const struct exchange *x);
/* Passes on what the answer has now: head, p->body, end. */
void exchange_pass(struct proxy *p, struct exchange *x, const struct answer *a);
/* Both free it; its connection is the caller's business and has been let go. */
void exchange_end(struct proxy *p, struct exchange *x);
void exchange_fail(struct proxy *p, struct exchange *x, const char *type, const char *message);

/* The same, unless the program's own end comes within LOST_MS: then hobd says that it crashed, and sends it nothing
 * more in the meantime. */
void exchange_lose(struct proxy *p, struct exchange *x, const char *type, const char *message);
void exchange_fail_lost(struct proxy *p, uint64_t now_ms);

/* conn.c: connections to the program */
void conn_give(struct proxy *p, struct exchange *x); /* finds one and sends what there is */
void conn_send(struct proxy *p, struct conn *c);
void conn_take(struct proxy *p, struct conn *c);
void conn_read(struct proxy *p, struct conn *c);
/* Closes it; abruptly: the program shall notice at once. */
void conn_close(struct proxy *p, struct conn *c, bool is_abrupt);
/* A server that ends gracefully waits for its connections: those that nobody uses are not to be waited for. */
void conn_close_idle(struct proxy *p);
void conn_bury(struct proxy *p);
int conn_dial(const struct proxy *p); /* a connecting socket, or -1 and errno */
/* One try to connect; true when the program listens: that connection then is the first of the pool. */
bool conn_probe(struct proxy *p);
