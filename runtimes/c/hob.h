/* Hob functions in C: one header, no library. Include it first, in one file of the program:
 *
 *   #include "hob.h"
 *   static int hello(hob_call *call, void *arg)
 *   {
 *       (void)arg;
 *       hob_set_header(call, "content-type", "text/plain");
 *       return hob_write(call, "hello\n", 6);
 *   }
 *   int main(void)
 *   {
 *       return hob_run(hello, NULL, NULL);
 *   }
 *
 *   cc -O2 -o main main.c -lpthread        (musl-gcc -static starts fastest)
 *
 * Blocking, one thread for each invocation that runs at a time. Whoever has to wait reads the channel for all:
 * an idle thread for INVOKE, a thread in hob_read for its body, one in hob_write for credit. A small clock thread
 * does it when nobody else can, so that a busy handler still learns of CANCEL, and sends what a slow handler has
 * written. Everything shared is guarded by one mutex; handlers run without it.
 *
 * A function of this header returns 0 or a count, or a negative errno: -ECANCELED when the client has gone or the
 * deadline has passed, -EINVAL, -EMSGSIZE. Strings it hands out are borrowed until the handler returns and are
 * not NUL-ended. C11 and POSIX. */
#ifndef HOB_H
#define HOB_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

typedef struct hob_call hob_call;
typedef struct hob_str {
    const char *p; /* NULL: absent */
    size_t n;
} hob_str;
typedef int (*hob_fn)(hob_call *call, void *arg); /* 0: done; negative: failed */
typedef struct hob_opts {
    unsigned threads; /* invocations at a time at most; 0: as many as hob.json's concurrency, up to 64 */
    size_t max_body;  /* what hob_payload takes; 0: 6 MiB */
    int (*init)(void *arg); /* once, before the first invocation; negative: the start has failed */
} hob_opts;

enum { HOB_DEBUG = 1, HOB_INFO = 2, HOB_WARN = 3, HOB_ERROR = 4 };

/* Serves until the platform drains this instance. Returns the process's exit status. */
static inline int hob_run(hob_fn fn, void *arg, const hob_opts *o);

/* --- what came in --- */
static inline hob_str hob_id(const hob_call *c);     /* the request id */
static inline int hob_is_event(const hob_call *c);   /* an event (invoke, queue), not an HTTP request */
static inline hob_str hob_method(const hob_call *c); /* "POST" for an event */
static inline hob_str hob_path(const hob_call *c);   /* without the query; percent-encoded as it came */
static inline hob_str hob_query(const hob_call *c);  /* behind '?', percent-encoded */
static inline hob_str hob_header(const hob_call *c, const char *name); /* the first of that name, any case */
static inline hob_str hob_param(const hob_call *c, const char *name);  /* ":name" of the route */
/* The whole body; p is NULL when it is over max_body (413 then, unless you answer) or was cancelled. */
static inline hob_str hob_payload(hob_call *c);
/* Streaming: bytes read, 0 at the end. Not together with hob_payload. */
static inline long hob_read(hob_call *c, void *buf, size_t n);

/* --- the answer: status and headers before the first hob_write --- */
static inline int hob_status(hob_call *c, int status);
static inline int hob_set_header(hob_call *c, const char *name, const char *value); /* adds one field */
static inline int hob_write(hob_call *c, const void *data, size_t n); /* blocks when the client is slow */
static inline int hob_flush(hob_call *c); /* what was written leaves now; a slow handler's leaves by itself */
static inline int hob_fail(hob_call *c, const char *type, const char *msg); /* returns -1, to be returned */

/* --- the rest --- */
static inline hob_str hob_env(const char *name);    /* a variable of hob.json or `hob env` */
static inline hob_str hob_secret(const char *name); /* one of this function's secrets */
static inline void hob_log(hob_call *c, int level, const char *text); /* c may be NULL */
static inline int64_t hob_remaining_ms(const hob_call *c);
static inline int hob_cancelled(const hob_call *c);

/* --- bindings (hob.json names them in "bindings"; docs/bindings.md): done as the caller of this invocation --- */
/* Calls one and waits: 0 and the reply as JSON; -1 when it failed: hob_bind_error says why. What is handed out is borrowed
 * until the next call. "data", "find", {"class":"Note"} */
static inline int hob_bind(hob_call *c, const char *binding, const char *op, const char *json, size_t n,
                           hob_str *reply);
/* The same with bytes beside the JSON, both ways; `data` may be NULL, `reply_data` too. */
static inline int hob_bind_bytes(hob_call *c, const char *binding, const char *op, hob_str json,
                                 const hob_str *data, hob_str *reply, hob_str *reply_data);
/* Of the last call: "errorMessage", "code" (Parse's number), "reason", "status", "retryable". */
static inline hob_str hob_bind_error(const hob_call *c, const char *name);
static inline int hob_data_get(hob_call *c, const char *class_name, const char *id,
                               hob_str *reply); /* or null */
/* `where`: JSON, or NULL for all; the reply is an array. */
static inline int hob_data_find(hob_call *c, const char *class_name, const char *where, hob_str *reply);
static inline int hob_data_insert(hob_call *c, const char *class_name, const char *object, hob_str *reply);
static inline int hob_data_update(hob_call *c, const char *class_name, const char *id, const char *ops,
                                  hob_str *reply);
static inline int hob_data_delete(hob_call *c, const char *class_name, const char *id);
static inline int hob_user(hob_call *c, hob_str *reply); /* who calls, or null */
static inline int hob_cache_get(hob_call *c, const char *key,
                                hob_str *value); /* value->p NULL: there is none */
static inline int hob_cache_put(hob_call *c, const char *key, const void *value, size_t n,
                                unsigned ttl_s); /* 0: stays */
static inline int hob_cache_incr(hob_call *c, const char *key, long long by, long long *value);
/* `params`: a JSON array, or NULL; the reply: [{"columns":[...],"rows":[[...]],"meta":{...}}] */
static inline int hob_sql(hob_call *c, const char *sql, const char *params, hob_str *reply);
static inline int hob_invoke(hob_call *c, const char *function, const char *json, size_t n, hob_str *reply);

/* ======================================= below: how it works ======================================= */

enum { HOB__FD = 3, HOB__HEADER = 16, HOB__META = 40, HOB__WINDOW = 65536, HOB__CONN_WINDOW = 1 << 20 };
enum { HOB__HOLD = 16384, HOB__FRAME = 65536, HOB__BIG = 1 << 20, HOB__THREADS = 64, HOB__READ = 65536 };
enum { HOB__QUICK_NS = 100000, HOB__TICK_MS = 5, HOB__IDLE_TICKS = 40, HOB__LOG = 16384 };
enum { HOB__F_END = 1, HOB__F_META = 2 };
enum {
    HOB__HELLO = 1,
    HOB__CREDIT = 2,
    HOB__PING = 3,
    HOB__PONG = 4,
    HOB__BYE = 5,
    HOB__INVOKE = 16,
    HOB__BODY = 17,
    HOB__CANCEL = 18,
    HOB__DRAIN = 19,
    HOB__REPLY = 20,
    HOB__RECONFIG = 21,
    HOB__UPGRADED = 22,
    HOB__READY = 32,
    HOB__INIT_ERROR = 33,
    HOB__HEAD = 34,
    HOB__DATA = 35,
    HOB__ERROR_FRAME = 36,
    HOB__DONE = 37,
    HOB__CALL = 38,
    HOB__LOG_FRAME = 39,
    HOB__OPTIONAL = 128
};

typedef struct hob__bytes { /* a growing buffer; `at` is the first byte not taken yet */
    unsigned char *p;
    size_t at, n, cap;
} hob__bytes;
typedef struct hob__frame {
    uint32_t len, stream, arg;
    unsigned type, flags, code;
} hob__frame;

struct hob_call {
    hob_call *next; /* in the list of open calls, the queue or the free list */
    hob_call *queued;
    uint32_t stream;
    hob__bytes invoke; /* INVOKE's payload: meta and first body bytes */
    size_t meta_n;
    hob_str method, target, id, fields, extras;
    int64_t deadline_ms;
    hob__bytes body; /* bytes that came and were not read */
    size_t body_seen;
    uint32_t taken;  /* read, credit not yet given back */
    uint32_t credit; /* what may be sent */
    int cancelled;   /* reason, 0: no */
    uint32_t call;   /* stream of the binding call that is waited for */
    unsigned reply_code;
    hob__bytes reply;
    hob__bytes head; /* pairs of header fields */
    uint32_t head_n;
    hob__bytes out; /* written, not sent */
    int status;
    unsigned char is_event, is_body_whole, is_head_sent, is_over, is_too_large, has_reply, is_running;
    unsigned char is_reply_open, has_reply_meta;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    hob_fn fn;
    void *arg;
    hob_opts opts;
    hob__bytes in, out, hello;
    hob_call *open, *free, *first, *last; /* open calls; freed ones; the queue of those not begun */
    unsigned threads, idle, running;
    uint32_t credit, taken, next_call;
    int is_reading;    /* some thread is in recv */
    int is_draining;   /* no INVOKE will come */
    int is_gone;       /* the channel is closed or broken */
    int has_news;      /* something came that another thread may wait for */
    int is_clock_idle; /* the clock thread sleeps until somebody wakes it */
    int ticks_idle;
    int wake[2];      /* pipe to the clock thread: 'W' work has come, 'T' SIGTERM */
    uint64_t mean_ns; /* how long handlers run, smoothed */
} hob__ = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .wake = {-1, -1}};

static inline void hob__die(const char *why)
{
    fprintf(stderr, "hob: %s\n", why);
    _exit(1);
}
static inline void hob__put32(unsigned char *to, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(v >> (8 * i));
}
static inline uint32_t hob__get32(const void *from)
{
    const unsigned char *p = (const unsigned char *)from;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline unsigned hob__get16(const void *from)
{
    const unsigned char *p = (const unsigned char *)from;
    return (unsigned)(p[0] | p[1] << 8);
}
/* Room for n bytes behind the last one. */
static inline unsigned char *hob__room(hob__bytes *b, size_t n)
{
    if (b->at == b->n)
        b->at = b->n = 0;
    if (b->cap - b->n < n) {
        size_t left = b->n - b->at, cap = b->cap ? b->cap : 1024;
        while (cap < left + n)
            cap *= 2;
        if (b->at) {
            memmove(b->p, b->p + b->at, left);
            b->at = 0;
            b->n = left;
        }
        if (cap > b->cap) {
            unsigned char *p = (unsigned char *)realloc(b->p, cap);
            if (!p)
                hob__die("out of memory");
            b->p = p;
            b->cap = cap;
        }
    }
    return b->p + b->n;
}
static inline void hob__add(hob__bytes *b, const void *p, size_t n)
{
    if (n) {
        memcpy(hob__room(b, n), p, n);
        b->n += n;
    }
}
static inline void hob__clear(hob__bytes *b)
{
    b->at = b->n = 0;
    if (b->cap > 4 * HOB__WINDOW) {
        free(b->p);
        b->p = NULL;
        b->cap = 0;
    }
}
static inline size_t hob__left(const hob__bytes *b)
{
    return b->n - b->at;
}
static inline hob_str hob__str(const void *p, size_t n)
{
    hob_str s = {(const char *)p, n};
    return s;
}
static inline uint64_t hob__now_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- pairs: u32 count, then u32 name_n, u32 value_n, name, value --- */
static inline void hob__add_pair(hob__bytes *b, hob_str name, hob_str value)
{
    unsigned char *to = hob__room(b, 8);
    hob__put32(to, (uint32_t)name.n);
    hob__put32(to + 4, (uint32_t)value.n);
    b->n += 8;
    hob__add(b, name.p, name.n);
    hob__add(b, value.p, value.n);
}
/* The first value of `prefix` + `name` (any case) in a block of pairs. */
static inline hob_str hob__find(hob_str block, const char *prefix, const char *name)
{
    size_t prefix_n = strlen(prefix), name_n = strlen(name), at = 4;
    uint32_t count = block.n >= 4 ? hob__get32(block.p) : 0;
    for (; count > 0 && block.n - at >= 8; count--) {
        size_t n = hob__get32(block.p + at), v = hob__get32(block.p + at + 4);
        at += 8;
        if (n > block.n - at || v > block.n - at - n)
            break;
        const char *here = block.p + at;
        if (n == prefix_n + name_n && !strncasecmp(here, prefix, prefix_n) &&
            !strncasecmp(here + prefix_n, name, name_n))
            return hob__str(here + n, v);
        at += n + v;
    }
    return hob__str(NULL, 0);
}

/* --- sending: with the mutex --- */
static inline unsigned char *hob__frame_room(unsigned type, unsigned flags, unsigned code, uint32_t stream,
                                             uint32_t arg, size_t payload_n)
{
    unsigned char *to = hob__room(&hob__.out, HOB__HEADER + payload_n);
    hob__put32(to, (uint32_t)payload_n);
    to[4] = (unsigned char)type;
    to[5] = (unsigned char)flags;
    to[6] = (unsigned char)code;
    to[7] = (unsigned char)(code >> 8);
    hob__put32(to + 8, stream);
    hob__put32(to + 12, arg);
    hob__.out.n += HOB__HEADER + payload_n;
    return to + HOB__HEADER;
}
static inline void hob__send(unsigned type, unsigned flags, uint32_t stream, uint32_t arg, const void *p,
                             size_t n)
{
    unsigned char *to = hob__frame_room(type, flags, 0, stream, arg, n);
    if (n)
        memcpy(to, p, n);
}
/* Everything that has gathered leaves. The mutex stays: order on the wire is the order of the buffer. */
static inline void hob__push(void)
{
    while (hob__left(&hob__.out) && !hob__.is_gone) {
        ssize_t n = send(HOB__FD, hob__.out.p + hob__.out.at, hob__left(&hob__.out), MSG_NOSIGNAL);
        if (n > 0)
            hob__.out.at += (size_t)n;
        else if (errno != EINTR)
            hob__.is_gone = 1;
    }
    hob__clear(&hob__.out);
}
static inline void hob__error(unsigned type, uint32_t stream, const char *name, const char *msg)
{
    hob__bytes b = {NULL, 0, 0, 0};
    unsigned char count[4] = {3, 0, 0, 0};
    size_t msg_n = strlen(msg);
    hob__add(&b, count, 4);
    hob__add_pair(&b, hob__str("errorType", 9), hob__str(name, strlen(name)));
    hob__add_pair(&b, hob__str("errorMessage", 12), hob__str(msg, msg_n < HOB__LOG ? msg_n : HOB__LOG));
    hob__add_pair(&b, hob__str("stackTrace", 10), hob__str("", 0));
    hob__send(type, 0, stream, 0, b.p, b.n);
    free(b.p);
}

/* --- receiving: with the mutex --- */
static inline hob_call *hob__find_call(uint32_t stream)
{
    hob_call *c = hob__.open;
    while (c && c->stream != stream)
        c = c->next;
    return c;
}
/* Gives n body bytes back to the connection's window, as they come: what a handler has not read yet is bounded by its
 * stream's window, and holds nobody else up. */
static inline void hob__renew_connection(size_t n)
{
    hob__.taken += (uint32_t)n;
    if (hob__.taken >= HOB__CONN_WINDOW / 2) {
        hob__send(HOB__CREDIT, 0, 0, hob__.taken, NULL, 0);
        hob__.taken = 0;
    }
}
/* Gives credit back for n body bytes that the handler took. */
static inline void hob__renew(hob_call *c, size_t n)
{
    if (!c->is_body_whole) {
        c->taken += (uint32_t)n;
        if (c->taken >= HOB__WINDOW / 2) {
            hob__send(HOB__CREDIT, 0, c->stream, c->taken, NULL, 0);
            c->taken = 0;
        }
    }
}
static inline hob_str hob__cut(const unsigned char **at, size_t n)
{
    hob_str s = hob__str(*at, n);
    *at += n;
    return s;
}
static inline void hob__take_invoke(const hob__frame *f, const unsigned char *p)
{
    size_t meta_n = f->len >= 4 ? hob__get32(p) : 0;
    if (meta_n < HOB__META || meta_n > f->len - 4 || p[5] != 1)
        hob__die("INVOKE is malformed");
    hob_call *c = hob__.free;
    if (c)
        hob__.free = c->next;
    else if (!(c = (hob_call *)calloc(1, sizeof *c)))
        hob__die("out of memory");
    hob__add(&c->invoke, p + 4, f->len - 4);
    const unsigned char *m = c->invoke.p, *at = m + HOB__META;
    size_t sizes[5] = {hob__get16(m + 2), hob__get32(m + 4), hob__get16(m + 16), hob__get32(m + 20),
                       hob__get32(m + 24)};
    size_t sum = HOB__META;
    for (int i = 0; i < 5; i++)
        sum += sizes[i];
    if (sum != meta_n)
        hob__die("INVOKE's meta is malformed");
    c->method = hob__cut(&at, sizes[0]);
    c->target = hob__cut(&at, sizes[1]);
    c->id = hob__cut(&at, sizes[2]);
    c->fields = hob__cut(&at, sizes[3]);
    c->extras = hob__cut(&at, sizes[4]);
    c->is_event = m[0] == 2;
    c->deadline_ms = (int64_t)((uint64_t)hob__get32(m + 8) | (uint64_t)hob__get32(m + 12) << 32);
    c->stream = f->stream;
    c->meta_n = meta_n;
    c->status = 200;
    c->credit = HOB__WINDOW;
    c->is_body_whole = f->flags & HOB__F_END;
    hob__add(&c->body, c->invoke.p + meta_n, c->invoke.n - meta_n);
    c->next = hob__.open;
    hob__.open = c;
    if (hob__.last)
        hob__.last->queued = c;
    else
        hob__.first = c;
    hob__.last = c;
}
static inline void hob__take_body(const hob__frame *f, const unsigned char *p)
{
    size_t n = f->len, skip = 0;
    if (f->flags & HOB__F_META) { /* trailers: nobody asks for them yet */
        skip = n >= 4 ? 4 + (size_t)hob__get32(p) : n + 1;
        if (skip > n)
            hob__die("BODY is malformed");
    }
    hob_call *c = hob__find_call(f->stream);
    hob__renew_connection(n - skip);
    if (c && !c->cancelled && !c->is_too_large)
        hob__add(&c->body, p + skip, n - skip);
    if (c && (f->flags & HOB__F_END))
        c->is_body_whole = 1;
}
static inline void hob__take_frame(const hob__frame *f, const unsigned char *p)
{
    hob_call *c = f->stream & 1 ? hob__find_call(f->stream) : NULL;
    if (f->type != HOB__INVOKE)
        hob__.has_news = 1;
    switch (f->type) {
    case HOB__INVOKE:
        hob__take_invoke(f, p);
        break;
    case HOB__BODY:
        hob__take_body(f, p);
        break;
    case HOB__CREDIT:
        if (f->stream == 0)
            hob__.credit += f->arg;
        else if (c)
            c->credit += f->arg;
        break;
    case HOB__CANCEL:
        if (c && !c->cancelled)
            c->cancelled = f->code ? (int)f->code : 2;
        break;
    case HOB__REPLY:
        for (c = hob__.open; c && c->call != f->stream; c = c->next)
            ;
        if (c) {
            if (!c->is_reply_open)
                hob__clear(&c->reply);
            hob__add(&c->reply, p, f->len);
            c->reply_code = f->code;
            c->has_reply_meta = (f->flags & HOB__F_META) != 0;
            c->has_reply = (f->flags & HOB__F_END) != 0;
            c->is_reply_open = !c->has_reply;
        }
        break;
    case HOB__PING:
        hob__send(HOB__PONG, 0, 0, f->arg, NULL, 0);
        break;
    case HOB__DRAIN:
        hob__.is_draining = 1;
        break;
    case HOB__HELLO:
        hob__add(&hob__.hello, p, f->len);
        break;
    case HOB__BYE:
        hob__.is_gone = 1;
        break;
    case HOB__PONG:
    case HOB__RECONFIG:
    case HOB__UPGRADED:
        break;
    default:
        if (f->type < HOB__OPTIONAL)
            hob__die("a frame of unknown type");
    }
}
static inline void hob__take_frames(void)
{
    hob__bytes *in = &hob__.in;
    while (hob__left(in) >= HOB__HEADER) {
        const unsigned char *h = in->p + in->at;
        hob__frame f = {hob__get32(h), hob__get32(h + 8), hob__get32(h + 12), h[4], h[5], hob__get16(h + 6)};
        if (f.len > HOB__BIG)
            hob__die("a frame is too long");
        if (hob__left(in) - HOB__HEADER < f.len)
            return;
        hob__take_frame(&f, h + HOB__HEADER);
        in->at += HOB__HEADER + f.len;
    }
}
/* One recv with the mutex given away. The caller checked that nobody else reads. */
static inline void hob__receive(int flags)
{
    hob__push();
    if (hob__.is_gone)
        return;
    hob__.is_reading = 1;
    unsigned char *to = hob__room(&hob__.in, HOB__READ);
    pthread_mutex_unlock(&hob__.mutex);
    ssize_t n = recv(HOB__FD, to, HOB__READ, flags);
    int error = errno;
    pthread_mutex_lock(&hob__.mutex);
    hob__.is_reading = 0;
    if (n > 0) {
        hob__.in.n += (size_t)n;
        hob__take_frames();
    } else if (n == 0 || (error != EINTR && error != EAGAIN && error != EWOULDBLOCK)) {
        hob__.is_gone = 1;
    }
}
/* Waits until something has changed: reads, or sleeps while another thread reads. */
static inline void hob__wait(int is_worker)
{
    if (hob__.is_reading) {
        hob__push();
        pthread_cond_wait(&hob__.changed, &hob__.mutex);
        return;
    }
    hob__receive(0);
    if (hob__.threads > 1 && (hob__.has_news || hob__.is_gone))
        pthread_cond_broadcast(&hob__.changed); /* what came may be another's */
    else if (hob__.threads > 1 && !is_worker)
        pthread_cond_signal(
            &hob__.changed); /* this thread goes back to its handler: the reader's seat is free */
    hob__.has_news = 0;
}

/* --- the answer --- */
static inline void hob__send_head(hob_call *c, unsigned flags, size_t data_n)
{
    size_t meta_n = 8 + c->head.n;
    unsigned char *to = hob__frame_room(HOB__HEAD, flags | HOB__F_META, 0, c->stream, 0, 4 + meta_n + data_n);
    hob__put32(to, (uint32_t)meta_n);
    hob__put32(to + 4, (uint32_t)c->status);
    hob__put32(to + 8, c->head_n);
    if (c->head.n)
        memcpy(to + 12, c->head.p, c->head.n);
    if (data_n)
        memcpy(to + 4 + meta_n, c->out.p + c->out.at, data_n);
    c->is_head_sent = 1;
}
/* Sends what is held, waiting for credit; with is_end the whole answer ends. */
static inline int hob__send_out(hob_call *c, int is_end)
{
    for (;;) {
        size_t n = hob__left(&c->out);
        if (c->cancelled || c->is_over || hob__.is_gone)
            return -ECANCELED;
        if (n > c->credit)
            n = c->credit;
        if (n > hob__.credit)
            n = hob__.credit;
        if (n > HOB__FRAME)
            n = HOB__FRAME;
        if (n == 0 && hob__left(&c->out)) {
            hob__wait(0);
            continue;
        }
        unsigned end = is_end && n == hob__left(&c->out) ? HOB__F_END : 0;
        if (!c->is_head_sent)
            hob__send_head(c, end, n);
        else if (n || end)
            hob__send(HOB__DATA, end, c->stream, 0, c->out.p + c->out.at, n);
        c->out.at += n;
        c->credit -= (uint32_t)n;
        hob__.credit -= (uint32_t)n;
        c->is_over = end != 0;
        if (!hob__left(&c->out))
            return 0;
    }
}
static inline int hob__is_head_request(const hob_call *c)
{
    return !c->is_event && c->method.n == 4 && !memcmp(c->method.p, "HEAD", 4);
}
static inline void hob__finish(hob_call *c, int result)
{
    if (result < 0 && !c->is_over && !c->cancelled) {
        if (c->is_too_large && !c->is_head_sent) {
            c->status = 413;
            hob__clear(&c->out);
        } else {
            hob__error(HOB__ERROR_FRAME, c->stream, "Function.Failed",
                       "the handler returned a negative value");
            c->is_over = 1;
        }
    }
    if (!c->is_over && !c->cancelled) {
        if (hob__is_head_request(c) && !c->is_head_sent) {
            char text[24];
            int n = snprintf(text, sizeof text, "%zu", hob__left(&c->out));
            hob__add_pair(&c->head, hob__str("content-length", 14), hob__str(text, (size_t)n));
            c->head_n++;
            hob__clear(&c->out);
        }
        (void)hob__send_out(c, 1);
    }
    hob__send(HOB__DONE, 0, c->stream, 0, NULL, 0);
}

/* --- threads --- */
static inline void hob__release(hob_call *c)
{
    hob_call **at = &hob__.open;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    hob__bytes *all[] = {&c->invoke, &c->body, &c->reply, &c->head, &c->out};
    hob__bytes kept[5];
    for (int i = 0; i < 5; i++) {
        hob__clear(all[i]);
        kept[i] = *all[i];
    }
    memset(c, 0, sizeof *c);
    for (int i = 0; i < 5; i++)
        *all[i] = kept[i];
    c->next = hob__.free;
    hob__.free = c;
}
static inline void hob__wake_clock(char why)
{
    ssize_t n = write(hob__.wake[1], &why, 1);
    (void)n; /* a full pipe wakes as well */
}
static inline void hob__run_one(void)
{
    hob_call *c = hob__.first;
    hob__.first = c->queued;
    if (!hob__.first)
        hob__.last = NULL;
    c->is_running = 1;
    hob__.running++;
    int has_idle = hob__.idle > 0;
    int is_quick = hob__.mean_ns < HOB__QUICK_NS;
    if (has_idle && !is_quick)
        pthread_cond_signal(&hob__.changed); /* somebody else reads meanwhile */
    if (!is_quick || !hob__.first)
        hob__push(); /* earlier answers do not wait for this handler */
    if (hob__.is_clock_idle) {
        hob__.is_clock_idle = 0;
        hob__wake_clock('W');
    }
    pthread_mutex_unlock(&hob__.mutex);
    uint64_t begin = hob__now_ns(CLOCK_MONOTONIC);
    int result = hob__.fn(c, hob__.arg);
    uint64_t took = hob__now_ns(CLOCK_MONOTONIC) - begin;
    pthread_mutex_lock(&hob__.mutex);
    hob__.mean_ns = (hob__.mean_ns * 7 + took) / 8;
    hob__finish(c, result);
    hob__release(c);
    hob__.running--;
    if (!hob__.first)
        hob__push();
}
static inline void *hob__worker(void *unused)
{
    (void)unused;
    pthread_mutex_lock(&hob__.mutex);
    for (;;) {
        if (hob__.first) {
            hob__run_one();
        } else if (hob__.is_gone || (hob__.is_draining && !hob__.open)) {
            break;
        } else {
            hob__.idle++;
            hob__wait(1);
            hob__.idle--;
        }
    }
    pthread_cond_broadcast(&hob__.changed);
    pthread_mutex_unlock(&hob__.mutex);
    return NULL;
}
/* What is done for handlers that take long: their output leaves, the channel is read, idle threads take over. */
static inline void hob__tick(void)
{
    for (hob_call *c = hob__.open; c; c = c->next)
        if (c->is_running && hob__left(&c->out) && hob__left(&c->out) <= c->credit &&
            hob__left(&c->out) <= hob__.credit && !c->cancelled && !hob__is_head_request(c))
            (void)hob__send_out(c, 0);
    hob__push();
    if (!hob__.is_reading) {
        if (hob__.idle > 0)
            pthread_cond_signal(&hob__.changed);
        else
            hob__receive(MSG_DONTWAIT);
    }
    hob__.has_news = 0;
    pthread_cond_broadcast(&hob__.changed); /* who began to wait meanwhile left the reading to this thread */
}
static inline void *hob__clock(void *unused)
{
    (void)unused;
    struct pollfd p = {.fd = hob__.wake[0], .events = POLLIN, .revents = 0};
    int is_asleep = 1;
    for (;;) {
        int n = poll(&p, 1, is_asleep ? -1 : HOB__TICK_MS);
        char why[64];
        ssize_t got = n > 0 ? read(hob__.wake[0], why, sizeof why) : 0;
        pthread_mutex_lock(&hob__.mutex);
        if (got > 0 && memchr(why, 'T', (size_t)got))
            hob__.is_draining = 1;
        if (hob__.is_draining && !hob__.open)
            shutdown(HOB__FD, SHUT_RD); /* wakes the reader; nothing is under way that could be lost */
        if (n == 0 && hob__.running)
            hob__tick();
        hob__.ticks_idle = hob__.running ? 0 : hob__.ticks_idle + 1;
        is_asleep = hob__.ticks_idle > HOB__IDLE_TICKS && !hob__.is_draining;
        hob__.is_clock_idle = is_asleep;
        int is_over = hob__.is_gone;
        pthread_mutex_unlock(&hob__.mutex);
        if (is_over)
            return NULL;
    }
}
static inline void hob__on_term(int signal_number)
{
    int saved = errno;
    (void)signal_number;
    hob__wake_clock('T');
    errno = saved;
}

/* --- door --- */
static inline hob_str hob_id(const hob_call *c)
{
    return c->id;
}
static inline int hob_is_event(const hob_call *c)
{
    return c->is_event;
}
static inline hob_str hob_method(const hob_call *c)
{
    return c->is_event || !c->method.n ? hob__str("POST", 4) : c->method;
}
static inline hob_str hob_path(const hob_call *c)
{
    if (!c->target.n)
        return hob__str("/", 1);
    const char *mark = (const char *)memchr(c->target.p, '?', c->target.n);
    return hob__str(c->target.p, mark ? (size_t)(mark - c->target.p) : c->target.n);
}
static inline hob_str hob_query(const hob_call *c)
{
    size_t path_n = hob_path(c).n;
    if (path_n + 1 >= c->target.n)
        return hob__str("", 0);
    return hob__str(c->target.p + path_n + 1, c->target.n - path_n - 1);
}
static inline hob_str hob_header(const hob_call *c, const char *name)
{
    return hob__find(c->fields, "", name);
}
static inline hob_str hob_param(const hob_call *c, const char *name)
{
    return hob__find(c->extras, "param.", name);
}
static inline hob_str hob_payload(hob_call *c)
{
    size_t max = hob__.opts.max_body;
    pthread_mutex_lock(&hob__.mutex);
    size_t given = c->body_seen; /* bytes of the body whose credit was given back */
    for (;;) {
        size_t n = hob__left(&c->body);
        if (n > given) {
            hob__renew(c, n - given);
            given = n;
        }
        if (n > max) {
            c->is_too_large = 1;
            hob__clear(&c->body);
        }
        if (c->is_body_whole || c->is_too_large || c->cancelled || hob__.is_gone)
            break;
        hob__wait(0);
    }
    c->body_seen = given;
    int is_good = c->is_body_whole && !c->is_too_large && !c->cancelled;
    hob_str all =
        is_good ? hob__str(hob__left(&c->body) ? (char *)c->body.p + c->body.at : "", hob__left(&c->body))
                : hob__str(NULL, 0);
    pthread_mutex_unlock(&hob__.mutex);
    return all;
}
static inline long hob_read(hob_call *c, void *buf, size_t n)
{
    pthread_mutex_lock(&hob__.mutex);
    while (!hob__left(&c->body) && !c->is_body_whole && !c->cancelled && !hob__.is_gone)
        hob__wait(0);
    size_t got = hob__left(&c->body) < n ? hob__left(&c->body) : n;
    int is_cancelled = c->cancelled || (hob__.is_gone && !c->is_body_whole);
    if (!is_cancelled && got) {
        memcpy(buf, c->body.p + c->body.at, got);
        c->body.at += got;
        hob__renew(c, got);
    }
    pthread_mutex_unlock(&hob__.mutex);
    return is_cancelled ? -ECANCELED : (long)got;
}
static inline int hob_status(hob_call *c, int status)
{
    if (c->is_head_sent || status < 200 || status > 599)
        return -EINVAL;
    c->status = status;
    return 0;
}
static inline int hob_set_header(hob_call *c, const char *name, const char *value)
{
    char lower[256];
    size_t n = strlen(name);
    if (c->is_head_sent || n == 0 || n >= sizeof lower || strpbrk(value, "\r\n") || c->head.n > HOB__BIG / 4)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        unsigned char ch = (unsigned char)name[i];
        if (ch <= ' ' || ch > '~' || strchr("\"(),/:;<=>?@[\\]{}", ch))
            return -EINVAL;
        lower[i] = (char)(ch >= 'A' && ch <= 'Z' ? ch + 32 : ch);
    }
    hob__add_pair(&c->head, hob__str(lower, n), hob__str(value, strlen(value)));
    c->head_n++;
    return 0;
}
static inline int hob_write(hob_call *c, const void *data, size_t n)
{
    int result = 0;
    const unsigned char *from = (const unsigned char *)data;
    pthread_mutex_lock(&hob__.mutex);
    if (hob__is_head_request(c) && n) { /* only counted: the answer to HEAD says how long it would be */
        hob__add(&c->out, data, n);
        pthread_mutex_unlock(&hob__.mutex);
        return 0;
    }
    while (n > 0 && result == 0) {
        size_t piece = n < HOB__FRAME ? n : HOB__FRAME;
        if (c->cancelled || c->is_over) {
            result = -ECANCELED;
            break;
        }
        hob__add(&c->out, from, piece);
        from += piece;
        n -= piece;
        if (hob__left(&c->out) >= HOB__HOLD)
            result = hob__send_out(c, 0);
    }
    pthread_mutex_unlock(&hob__.mutex);
    return result;
}
static inline int hob_flush(hob_call *c)
{
    pthread_mutex_lock(&hob__.mutex);
    int result = hob__is_head_request(c) ? 0 : hob__send_out(c, 0);
    hob__push();
    pthread_mutex_unlock(&hob__.mutex);
    return result;
}
static inline int hob_fail(hob_call *c, const char *type, const char *msg)
{
    pthread_mutex_lock(&hob__.mutex);
    if (!c->is_over && !c->cancelled) {
        hob__error(HOB__ERROR_FRAME, c->stream, type, msg);
        c->is_over = 1;
    }
    pthread_mutex_unlock(&hob__.mutex);
    return -1;
}
static inline hob_str hob_env(const char *name)
{
    return hob__find(hob__str(hob__.hello.p, hob__.hello.n), "env.", name);
}
static inline hob_str hob_secret(const char *name)
{
    return hob__find(hob__str(hob__.hello.p, hob__.hello.n), "secret.", name);
}
static inline void hob_log(hob_call *c, int level, const char *text)
{
    size_t n = strlen(text);
    if (n > HOB__LOG)
        n = HOB__LOG;
    if (level < HOB_DEBUG || level > HOB_ERROR)
        level = HOB_INFO;
    pthread_mutex_lock(&hob__.mutex);
    unsigned char *to = hob__frame_room(HOB__LOG_FRAME, 0, (unsigned)level, 0, c ? c->stream : 0, n);
    memcpy(to, text, n);
    if (hob__left(&hob__.out) > HOB__CONN_WINDOW)
        hob__push();
    pthread_mutex_unlock(&hob__.mutex);
}
static inline int64_t hob_remaining_ms(const hob_call *c)
{
    int64_t left = c->deadline_ms - (int64_t)(hob__now_ns(CLOCK_REALTIME) / 1000000);
    return left > 0 ? left : 0;
}
static inline int hob_cancelled(const hob_call *c)
{
    pthread_mutex_lock(&hob__.mutex);
    int is_cancelled = c->cancelled != 0 || hob__.is_gone;
    pthread_mutex_unlock(&hob__.mutex);
    return is_cancelled;
}
static inline int hob_bind_bytes(hob_call *c, const char *binding, const char *op, hob_str json,
                                 const hob_str *data, hob_str *reply, hob_str *reply_data)
{
    hob__bytes b = {NULL, 0, 0, 0};
    unsigned char n[4] = {0, 0, 0, 0};
    hob_str none = {NULL, 0};
    if (json.n + (data ? data->n : 0) > HOB__BIG - 4096)
        return -EMSGSIZE;
    if (data)
        hob__add(&b, n, 4);
    hob__add(&b, "{\"op\":\"", 7);
    hob__add(&b, binding, strlen(binding));
    hob__add(&b, ".", 1);
    hob__add(&b, op, strlen(op));
    hob__add(&b, "\",\"args\":", 9);
    hob__add(&b, json.p, json.n);
    hob__add(&b, "}", 1);
    if (data) {
        for (int i = 0; i < 4; i++)
            b.p[i] = (unsigned char)((b.n - 4) >> (8 * i));
        hob__add(&b, data->p, data->n);
    }
    pthread_mutex_lock(&hob__.mutex);
    c->has_reply = c->is_reply_open = 0;
    hob__.next_call = hob__.next_call >= 0xfffffffeu ? 2 : hob__.next_call + 2;
    c->call = hob__.next_call;
    hob__send(HOB__CALL, data ? HOB__F_END | HOB__F_META : HOB__F_END, c->call, c->stream, b.p, b.n);
    while (!c->has_reply && !c->cancelled && !hob__.is_gone)
        hob__wait(0);
    int result = c->has_reply ? (c->reply_code ? -1 : 0) : -ECANCELED;
    c->call = 0;
    hob_str all = c->has_reply ? hob__str(c->reply.p + c->reply.at, hob__left(&c->reply)) : none;
    pthread_mutex_unlock(&hob__.mutex);
    free(b.p);
    hob_str head = all, tail = none;
    if (result == 0 && c->has_reply_meta && all.n >= 4) {
        const unsigned char *u = (const unsigned char *)all.p;
        size_t meta = (size_t)u[0] | (size_t)u[1] << 8 | (size_t)u[2] << 16 | (size_t)u[3] << 24;
        meta = meta <= all.n - 4 ? meta : all.n - 4;
        head = hob__str(all.p + 4, meta);
        tail = hob__str(all.p + 4 + meta, all.n - 4 - meta);
    }
    if (reply)
        *reply = head;
    if (reply_data)
        *reply_data = tail;
    return result;
}
static inline int hob_bind(hob_call *c, const char *binding, const char *op, const char *json, size_t n,
                           hob_str *reply)
{
    return hob_bind_bytes(c, binding, op, hob__str(json, n), NULL, reply, NULL);
}
static inline hob_str hob_bind_error(const hob_call *c, const char *name)
{
    return hob__find(hob__str(c->reply.p + c->reply.at, hob__left(&c->reply)), "", name);
}

/* --- JSON for those calls: "name":"text", and "name":json --- */
static inline void hob__json_text(hob__bytes *b, const char *name, const char *text)
{
    hob__add(b, b->n ? ",\"" : "{\"", 2);
    hob__add(b, name, strlen(name));
    hob__add(b, "\":\"", 3);
    for (; *text; text++) {
        char escaped[8];
        int n = 1;
        escaped[0] = *text;
        if (*text == '"' || *text == '\\' || (unsigned char)*text < 0x20)
            n = snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)(unsigned char)*text);
        hob__add(b, escaped, (size_t)n);
    }
    hob__add(b, "\"", 1);
}
static inline void hob__json_raw(hob__bytes *b, const char *name, const char *json)
{
    hob__add(b, b->n ? ",\"" : "{\"", 2);
    hob__add(b, name, strlen(name));
    hob__add(b, "\":", 2);
    hob__add(b, json, strlen(json));
}
static inline int hob__bind_made(hob_call *c, const char *binding, const char *op, hob__bytes *b,
                                 const hob_str *data, hob_str *reply, hob_str *reply_data)
{
    if (b->n == 0)
        hob__add(b, "{", 1);
    hob__add(b, "}", 1);
    int result = hob_bind_bytes(c, binding, op, hob__str(b->p, b->n), data, reply, reply_data);
    free(b->p);
    return result;
}
static inline int hob__data(hob_call *c, const char *op, const char *class_name, const char *id,
                            const char *name, const char *json, hob_str *reply)
{
    hob__bytes b = {NULL, 0, 0, 0};
    hob__json_text(&b, "class", class_name);
    if (id)
        hob__json_text(&b, "id", id);
    if (json)
        hob__json_raw(&b, name, json);
    return hob__bind_made(c, "data", op, &b, NULL, reply, NULL);
}
static inline int hob_data_get(hob_call *c, const char *class_name, const char *id, hob_str *reply)
{
    return hob__data(c, "get", class_name, id, "", NULL, reply);
}
static inline int hob_data_find(hob_call *c, const char *class_name, const char *where, hob_str *reply)
{
    return hob__data(c, "find", class_name, NULL, "where", where, reply);
}
static inline int hob_data_insert(hob_call *c, const char *class_name, const char *object, hob_str *reply)
{
    return hob__data(c, "insert", class_name, NULL, "object", object, reply);
}
static inline int hob_data_update(hob_call *c, const char *class_name, const char *id, const char *ops,
                                  hob_str *reply)
{
    return hob__data(c, "update", class_name, id, "object", ops, reply);
}
static inline int hob_data_delete(hob_call *c, const char *class_name, const char *id)
{
    return hob__data(c, "delete", class_name, id, "", NULL, NULL);
}
static inline int hob_user(hob_call *c, hob_str *reply)
{
    return hob_bind(c, "auth", "user", "{}", 2, reply);
}
static inline int hob_cache_get(hob_call *c, const char *key, hob_str *value)
{
    hob__bytes b = {NULL, 0, 0, 0}, keys = {NULL, 0, 0, 0};
    hob_str rows;
    hob__json_text(&keys, "k", key); /* {"k":"..." : the text behind it is the array's one value */
    hob__add(&keys, "]", 2);         /* with its NUL */
    keys.p[4] = '[';
    hob__json_raw(&b, "keys", (const char *)keys.p + 4);
    free(keys.p);
    int result = hob__bind_made(c, "cache", "get", &b, NULL, &rows, value);
    if (result == 0 && (rows.n < 6 || memcmp(rows.p, "[null]", 6) == 0))
        *value = hob__str(NULL, 0);
    else if (result == 0 && !value->p)
        *value = hob__str("", 0);
    return result;
}
static inline int hob_cache_put(hob_call *c, const char *key, const void *value, size_t n, unsigned ttl_s)
{
    hob__bytes b = {NULL, 0, 0, 0};
    hob_str data = hob__str((const char *)value, n);
    char ttl[16];
    (void)snprintf(ttl, sizeof ttl, "%u", ttl_s);
    hob__json_text(&b, "key", key);
    if (ttl_s)
        hob__json_raw(&b, "expirationTtl", ttl);
    return hob__bind_made(c, "cache", "put", &b, &data, NULL, NULL);
}
static inline int hob_cache_incr(hob_call *c, const char *key, long long by, long long *value)
{
    hob__bytes b = {NULL, 0, 0, 0};
    hob_str reply;
    char number[24];
    (void)snprintf(number, sizeof number, "%lld", by);
    hob__json_text(&b, "key", key);
    hob__json_raw(&b, "by", number);
    int result = hob__bind_made(c, "cache", "incr", &b, NULL, &reply, NULL);
    if (result == 0 && value && reply.n < sizeof number) {
        memcpy(number, reply.p, reply.n);
        number[reply.n] = '\0';
        *value = strtoll(number, NULL, 10);
    }
    return result;
}
static inline int hob_sql(hob_call *c, const char *sql, const char *params, hob_str *reply)
{
    hob__bytes b = {NULL, 0, 0, 0}, one = {NULL, 0, 0, 0};
    hob__add(&one, "[", 1);
    hob__bytes inner = {NULL, 0, 0, 0};
    hob__json_text(&inner, "sql", sql);
    if (params)
        hob__json_raw(&inner, "params", params);
    hob__add(&one, inner.p, inner.n);
    hob__add(&one, "}]", 3); /* with its NUL */
    hob__json_raw(&b, "statements", (const char *)one.p);
    free(inner.p);
    free(one.p);
    return hob__bind_made(c, "sql", "query", &b, NULL, reply, NULL);
}
static inline int hob_invoke(hob_call *c, const char *function, const char *json, size_t n, hob_str *reply)
{
    hob__bytes b = {NULL, 0, 0, 0};
    hob_str data = hob__str(json, n);
    hob__json_text(&b, "name", function);
    return hob__bind_made(c, "fn", "invoke", &b, &data, NULL, reply);
}

static inline unsigned hob__number(const char *name, unsigned fallback)
{
    hob_str s = hob__find(hob__str(hob__.hello.p, hob__.hello.n), "", name);
    unsigned v = 0;
    for (size_t i = 0; i < s.n && v < 100000; i++)
        v = v * 10 + (unsigned)(s.p[i] - '0');
    return v ? v : fallback;
}
static inline void hob__ready(void)
{
    char text[16];
    int n = snprintf(text, sizeof text, "%u", hob__.threads);
    hob__bytes b = {NULL, 0, 0, 0};
    unsigned char count[4] = {3, 0, 0, 0};
    hob__add(&b, count, 4);
    hob__add_pair(&b, hob__str("protocol", 8), hob__str("1", 1));
    hob__add_pair(&b, hob__str("kind", 4), hob__str("raw", 3));
    hob__add_pair(&b, hob__str("concurrency", 11), hob__str(text, (size_t)n));
    hob__send(HOB__READY, 0, 0, 0, b.p, b.n);
    free(b.p);
}
static inline int hob__start_thread(void *(*run)(void *), pthread_t *ret_thread)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1 << 20);
    int error = pthread_create(ret_thread, &attr, run, NULL);
    pthread_attr_destroy(&attr);
    return error;
}
static inline int hob__init_failed(const char *type, const char *msg)
{
    hob__error(HOB__INIT_ERROR, 0, type, msg);
    hob__push();
    return 1;
}
static inline int hob_run(hob_fn fn, void *arg, const hob_opts *o)
{
    int type = 0;
    socklen_t type_n = sizeof type;
    if (getsockopt(HOB__FD, SOL_SOCKET, SO_TYPE, &type, &type_n) < 0 || type != SOCK_STREAM) {
        fputs("This is a Hob function: it is started by hob-runner, with a channel on descriptor 3.\n"
              "Deploy it with `hob deploy`, then call it with `hob invoke`.\n",
              stderr);
        return 2;
    }
    int flags = fcntl(HOB__FD, F_GETFL);
    if (flags < 0 || fcntl(HOB__FD, F_SETFL, flags & ~O_NONBLOCK) < 0 || pipe(hob__.wake) < 0)
        hob__die("the channel cannot be set up");
    for (int i = 0; i < 2; i++)
        if (fcntl(hob__.wake[i], F_SETFD, FD_CLOEXEC) < 0 || fcntl(hob__.wake[i], F_SETFL, O_NONBLOCK) < 0)
            hob__die("the clock's pipe cannot be set up");
    hob__.fn = fn;
    hob__.arg = arg;
    if (o)
        hob__.opts = *o;
    if (!hob__.opts.max_body)
        hob__.opts.max_body = 6u << 20;
    hob__.credit = HOB__CONN_WINDOW;
    hob__.is_clock_idle = 1;
    hob__.mean_ns = 10 * HOB__QUICK_NS; /* slow until proved quick */
    pthread_mutex_lock(&hob__.mutex);
    while (!hob__.hello.n && !hob__.is_gone)
        hob__receive(0);
    if (hob__.is_gone)
        return 0;
    unsigned wanted = hob__number("concurrency", 1),
             most = hob__.opts.threads ? hob__.opts.threads : HOB__THREADS;
    hob__.threads = wanted < most ? wanted : most;
    if (hob__number("protocol", 0) != 1)
        return hob__init_failed("Runtime.Protocol", "this binary speaks protocol 1 of the channel");
    pthread_mutex_unlock(&hob__.mutex);
    if (hob__.opts.init && hob__.opts.init(arg) < 0)
        return hob__init_failed("Runtime.InitFailed", "the init hook returned a negative value");
    struct sigaction term;
    memset(&term, 0, sizeof term);
    term.sa_handler = hob__on_term;
    term.sa_flags = SA_RESTART;
    sigaction(SIGTERM, &term, NULL);
    pthread_t clock_thread, *workers = (pthread_t *)calloc(hob__.threads, sizeof *workers);
    if (!workers || hob__start_thread(hob__clock, &clock_thread))
        return hob__init_failed("Runtime.Threads", "no thread can be started: raise the function's limits");
    unsigned started = 1;
    while (started < hob__.threads && hob__start_thread(hob__worker, &workers[started]) == 0)
        started++;
    pthread_mutex_lock(&hob__.mutex);
    hob__.threads = started; /* fewer when the process limit was met */
    hob__ready();
    pthread_mutex_unlock(&hob__.mutex);
    (void)hob__worker(NULL);
    for (unsigned i = 1; i < started; i++)
        pthread_join(workers[i], NULL);
    free(workers);
    pthread_mutex_lock(&hob__.mutex);
    if (hob__.is_draining) {
        hob__.is_gone = 0;
        hob__send(HOB__BYE, 0, 0, 0, NULL, 0);
        hob__push();
    }
    hob__.is_gone = 1;
    hob__wake_clock('W');
    pthread_mutex_unlock(&hob__.mutex);
    pthread_join(clock_thread, NULL);
    return 0;
}

#endif
