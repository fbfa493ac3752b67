/* Flow of a call: JUDGED -> (WAITING for its turn) -> CONNECTING -> answered. A name: ASKED -> looked up -> answered.
 *
 * The caller's thread sleeps until its answer, so an instance has at most as many calls open as it has threads; beyond
 * a rate they wait. Callers that do not block are answered in time, too: their loop stands still meanwhile. */
#include "runner/egress/egress.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "runner/egress/lookup.h"
#include "runner/egress/wire.h"

#include "base/banned.h"

enum {
    BLOCKING_MS = 30000,   /* until ETIMEDOUT, for a caller that blocks */
    NONBLOCKING_MS = 5000, /* and for one that does not */
    CONNECTING_SHARE = 4,  /* of our descriptors, for connections under way: one in so many */
    NAMES_MAX = 256,       /* of one instance under way */
    DATAGRAMS_MAX = 16,    /* at a time */
    TICK_MS = 20,
    TTL_S_MAX = 300, /* told to the instance */
    NOTES_KEPT = 32, /* what was noted lately */
    NOTE_AGAIN_MS = 60000,
    NOTE_BYTES_MAX = 400,
};

struct rate {
    uint64_t tokens, at_us; /* tokens: in thousandths */
};
struct call {
    struct hob_node node; /* in waiting, or in connecting */
    struct egress *egress;
    uint64_t id, until_ms;
    int fd, domain;
    int sock;    /* owned; -1 while waiting */
    bool is_own; /* sock is the caller's itself, not to be put in its place */
    struct wire_target target;
    struct wire_options options;
    uv_poll_t poll;
};
struct name {
    struct hob_node node;
    struct egress *egress;
    struct lookup *lookup; /* NULL: waits for that of another one with the same question */
    struct dns_question question;
    struct sockaddr_in from;
};

struct egress {
    uv_loop_t *loop;
    struct policy *policy;
    int listener, dns;
    uv_poll_t *dns_poll;
    uv_timer_t tick;
    struct hob_list waiting, connecting, names;
    size_t connecting_n, names_n;
    struct rate calls_rate, names_rate;
    struct {
        unsigned hash;
        uint64_t until_ms;
    } notes[NOTES_KEPT];
    egress_note_cb note;
    void *ctx;
};

static size_t connecting_all; /* over all instances */

static void on_tick(uv_timer_t *timer);
static void on_connected(uv_poll_t *poll, int status, int events);
static void on_call_closed(uv_handle_t *handle);
static void on_asked(uv_poll_t *poll, int status, int events);
static void on_looked_up(void *ctx, const struct dns_result *result);

/* ---- steps: small things ---- */

static bool rate_take(struct rate *r, uint64_t per_s)
{
    uint64_t now_us = hob_now_us(), full = per_s * 1000;
    uint64_t gained = r->at_us ? (now_us - r->at_us) * per_s / 1000 : full;
    if (gained) {
        r->tokens = r->tokens + gained > full ? full : r->tokens + gained;
        r->at_us = now_us;
    }
    if (r->tokens < 1000)
        return false;
    r->tokens -= 1000;
    return true;
}

/* Once a minute for the same text; what finds no room replaces what was noted first. */
static void note(struct egress *e, const char *text)
{
    uint64_t now_ms = hob_now_ms();
    unsigned hash = hob_hash(text, strlen(text)), oldest = 0;
    for (unsigned i = 0; i < NOTES_KEPT; i++) {
        if (e->notes[i].hash == hash && e->notes[i].until_ms > now_ms)
            return;
        if (e->notes[i].until_ms < e->notes[oldest].until_ms)
            oldest = i;
    }
    if (e->notes[oldest].until_ms > now_ms && e->notes[oldest].until_ms - now_ms > NOTE_AGAIN_MS - 1000)
        return; /* a flood of different ones: NOTES_KEPT a second */
    e->notes[oldest].hash = hash;
    e->notes[oldest].until_ms = now_ms + NOTE_AGAIN_MS;
    e->note(e->ctx, text);
}

static void note_refused(struct egress *e, const struct wire_target *t, const char *why)
{
    char address[HOB_ADDRESS_TEXT], text[NOTE_BYTES_MAX];
    hob_address_text(t->address, address);
    const char *name = policy_name_of(e->policy, t->address);
    bool is_v6 = strchr(address, ':') != NULL;
    (void)snprintf(text, sizeof text, "egress to %s%s%s:%u%s%.200s%s is not allowed by hob.json (egress): %s",
                   is_v6 ? "[" : "", address, is_v6 ? "]" : "", t->port, name[0] ? " (" : "", name,
                   name[0] ? ")" : "", why);
    note(e, text);
}

static void answer(struct egress *e, uint64_t id, int errnum)
{
    if (!wire_answer(e->listener, id, errnum))
        return; /* the caller was killed meanwhile */
}

static size_t connecting_max(void)
{
    struct rlimit files;
    return getrlimit(RLIMIT_NOFILE, &files) == 0 ? (size_t)files.rlim_cur / CONNECTING_SHARE : 16;
}

/* ---- steps: a call ---- */

static void call_end(struct call *c, int errnum)
{
    struct egress *e = c->egress;
    if (c->is_own && !(c->options.flags & O_NONBLOCK))
        (void)fcntl(c->sock, F_SETFL, c->options.flags);
    answer(e, c->id, errnum);
    hob_list_remove(&c->node);
    e->connecting_n--;
    connecting_all--;
    (void)uv_poll_stop(&c->poll);
    uv_close((uv_handle_t *)&c->poll, on_call_closed);
    (void)close(c->sock);
    c->sock = -1;
}

static void call_finish(struct call *c)
{
    int errnum = wire_connected(c->sock, c->domain, &c->target);
    if (errnum == 0 && !c->is_own && !wire_replace(c->egress->listener, c->id, c->sock, c->fd, &c->options))
        errnum = errno;
    call_end(c, errnum);
}

/* `c->sock` is on its way: waits for it. */
static void call_watch(struct call *c)
{
    struct egress *e = c->egress;
    bool may_wait = c->options.flags & O_NONBLOCK;
    c->until_ms = hob_now_ms() + (may_wait ? NONBLOCKING_MS : BLOCKING_MS);
    hob_list_push_back(&e->connecting, &c->node);
    e->connecting_n++;
    connecting_all++;
    int rc = uv_poll_init(e->loop, &c->poll, c->sock);
    HOB_ASSERT(rc == 0); /* a socket of ours, in no other poll */
    c->poll.data = c;
    rc = uv_poll_start(&c->poll, UV_WRITABLE, on_connected);
    HOB_ASSERT(rc == 0);
    (void)uv_timer_start(&e->tick, on_tick, TICK_MS, 0);
}

/* Takes `c`. */
static void call_connect(struct call *c)
{
    struct egress *e = c->egress;
    bool is_done = false;
    c->sock = wire_connect(c->domain, &c->target, &c->options, &is_done);
    if (c->sock >= 0 && !is_done) {
        call_watch(c);
        return;
    }
    int errnum = c->sock < 0 ? errno : 0;
    if (is_done && !wire_replace(e->listener, c->id, c->sock, c->fd, &c->options))
        errnum = errno;
    answer(e, c->id, errnum);
    if (c->sock >= 0)
        (void)close(c->sock);
    free(c);
}

static bool may_connect(struct egress *e)
{
    return e->connecting_n < HOB_MAX_EGRESS_CONNECTING && connecting_all < connecting_max() &&
           rate_take(&e->calls_rate, HOB_MAX_EGRESS_CONNECTS_PER_S);
}

static struct call *call_new(struct egress *e, const struct egress_call *given)
{
    struct call *c = hob_new(struct call);
    c->egress = e;
    c->id = given->id;
    c->fd = given->fd;
    c->sock = -1;
    return c;
}

/* On the caller's own socket, in its own network. */
static void connect_own(struct egress *e, struct egress_call *given, int domain, const struct wire_target *t)
{
    int flags = fcntl(given->socket, F_GETFL), rc = 0;
    if (!(flags & O_NONBLOCK))
        rc = fcntl(given->socket, F_SETFL, flags | O_NONBLOCK); /* a full backlog would hold us */
    if (rc == 0)
        rc = connect(given->socket, (const struct sockaddr *)(const void *)given->address.at,
                     (socklen_t)given->address.n);
    int errnum = rc < 0 ? errno : 0;
    bool must_wait =
        errnum == EINPROGRESS && !(flags & O_NONBLOCK) && e->connecting_n < HOB_MAX_EGRESS_CONNECTING;
    if (must_wait) {
        struct call *c = call_new(e, given);
        c->is_own = true;
        c->domain = domain;
        c->target = *t;
        c->options.flags = flags;
        c->sock = hob_steal_fd(&given->socket);
        call_watch(c);
        return;
    }
    if (!(flags & O_NONBLOCK))
        (void)fcntl(given->socket, F_SETFL, flags);
    answer(e, given->id, errnum == EINPROGRESS && !(flags & O_NONBLOCK) ? EAGAIN : errnum);
}

/* NULL: allowed. */
static const char *refuses(struct egress *e, const struct wire_target *t)
{
    const char *why = policy_refuses(e->policy, t->address, t->port, hob_now_ms());
    if (!why && wire_is_local(t))
        why = "an address of the machine that Hob runs on";
    return why;
}

static bool is_fresh(int sock)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof info;
    return getsockopt(sock, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 && info.tcpi_state == TCP_CLOSE;
}

static void connect_out(struct egress *e, const struct egress_call *given, int domain,
                        const struct wire_target *t)
{
    const char *why = refuses(e, t);
    if (why) {
        note_refused(e, t, why);
        answer(e, given->id, EACCES);
        return;
    }
    struct call *c = call_new(e, given);
    c->domain = domain;
    c->target = *t;
    wire_options_read(given->socket, &c->options);
    if (hob_list_is_empty(&e->waiting) && may_connect(e)) {
        call_connect(c);
        return;
    }
    hob_list_push_back(&e->waiting, &c->node);
    (void)uv_timer_start(&e->tick, on_tick, TICK_MS, 0);
}

static void call_judge(struct egress *e, struct egress_call *given)
{
    int domain = 0, type = 0, errnum;
    sa_family_t family = AF_UNSPEC;
    struct wire_target target = {0};
    socklen_t n = sizeof domain;
    if (getsockopt(given->socket, SOL_SOCKET, SO_DOMAIN, &domain, &n) < 0 ||
        getsockopt(given->socket, SOL_SOCKET, SO_TYPE, &type, &n) < 0) {
        answer(e, given->id, errno); /* ENOTSOCK */
        return;
    }
    memcpy(&family, given->address.at, sizeof family);
    /* one answer each, in the order in which they are judged */
    if (domain != AF_INET && domain != AF_INET6)
        answer(e, given->id, EACCES);
    else if (wire_is_ours(given->socket)) /* one that we gave; it stays connected to whom it is */
        answer(e, given->id, family == AF_UNSPEC ? EACCES : EISCONN);
    else if (type != SOCK_STREAM || family == AF_UNSPEC)
        /* NOLINTNEXTLINE(bugprone-branch-clone): judged in this order */
        connect_own(e, given, domain, &target);
    else if ((errnum = wire_target_read(given->address.at, given->address.n, domain, &target)) != 0)
        answer(e, given->id, errnum);
    else if (wire_is_own(&target) || !is_fresh(given->socket)) /* the kernel says what is wrong with it */
        connect_own(e, given, domain, &target);
    else
        connect_out(e, given, domain, &target);
}

static void calls_tick(struct egress *e)
{
    uint64_t now_ms = hob_now_ms();
    HOB_LIST_EACH(&e->connecting, node, next)
    {
        struct call *c = HOB_CONTAINER_OF(node, struct call, node);
        if (c->until_ms <= now_ms)
            call_end(c, ETIMEDOUT);
    }
    HOB_LIST_EACH(&e->waiting, waiting, after)
    {
        if (!may_connect(e))
            break;
        hob_list_remove(waiting);
        call_connect(HOB_CONTAINER_OF(waiting, struct call, node));
    }
    if (!hob_list_is_empty(&e->waiting) || !hob_list_is_empty(&e->connecting))
        (void)uv_timer_start(&e->tick, on_tick, TICK_MS, 0);
}

/* ---- steps: names ---- */

static void name_answer(struct egress *e, const struct dns_question *q, const struct sockaddr_in *to,
                        const struct dns_result *r)
{
    uint8_t msg[DNS_ANSWER_BYTES_MAX];
    size_t n = dns_answer_write(q, r, msg);
    ssize_t sent = sendto(e->dns, msg, n, 0, (const struct sockaddr *)to, sizeof *to);
    (void)sent; /* it asks again */
}

/* Takes out the addresses that no rule can open, and pins the others. */
static void name_take(struct name *a, const struct dns_result *found)
{
    struct egress *e = a->egress;
    struct dns_result r = *found;
    const char *why = NULL;
    r.n = 0;
    for (size_t i = 0; i < found->n; i++) {
        const char *this_why = policy_refuses_answer(e->policy, found->addresses[i]);
        why = this_why ? this_why : why;
        if (this_why)
            continue;
        policy_pin(e->policy, hob_str(a->question.name), found->addresses[i], found->ttl_s, hob_now_ms());
        memcpy(r.addresses[r.n++], found->addresses[i], HOB_ADDRESS_BYTES);
    }
    r.ttl_s = r.ttl_s > TTL_S_MAX ? TTL_S_MAX : r.ttl_s;
    if (why) {
        char text[NOTE_BYTES_MAX];
        (void)snprintf(
            text, sizeof text,
            "egress: the name '%.200s' leads to %s, which is left out: hob.json (egress) lists no such network",
            a->question.name, why);
        note(e, text);
    }
    if (r.n == 0 && found->n)
        r.code = DNS_NO_SUCH_NAME;
    name_answer(e, &a->question, &a->from, &r);
}

static void name_end(struct name *a)
{
    hob_list_remove(&a->node);
    a->egress->names_n--;
    free(a);
}

static bool is_same(const struct dns_question *a, const struct dns_question *b)
{
    return a->type == b->type && hob_str_ieq(hob_str(a->name), hob_str(b->name));
}

static bool name_is_asked(struct egress *e, const struct dns_question *q)
{
    HOB_LIST_EACH(&e->names, node, next)
    {
        if (is_same(&HOB_CONTAINER_OF(node, struct name, node)->question, q))
            return true;
    }
    return false;
}

/* For all that asked the same. */
static void name_found(struct name *a, const struct dns_result *result)
{
    struct egress *e = a->egress;
    struct dns_question question = a->question;
    HOB_LIST_EACH(&e->names, node, next)
    {
        struct name *b = HOB_CONTAINER_OF(node, struct name, node);
        if (!is_same(&b->question, &question))
            continue;
        name_take(b, result);
        name_end(b);
    }
}

static void name_ask(struct egress *e, const struct dns_question *q, unsigned code,
                     const struct sockaddr_in *from)
{
    struct dns_result r = {.code = code};
    if (code == DNS_OK && !policy_lists_name(e->policy, hob_str(q->name))) {
        char text[NOTE_BYTES_MAX];
        (void)snprintf(text, sizeof text, "egress: the name '%.200s' is not listed in hob.json (egress)",
                       q->name);
        note(e, text);
        r.code = DNS_NO_SUCH_NAME;
    }
    bool is_address = q->type == DNS_A || q->type == DNS_AAAA;
    if (r.code != DNS_OK || !is_address) { /* a name that is listed has addresses and nothing else */
        name_answer(e, q, from, &r);
        return;
    }
    if (e->names_n == NAMES_MAX || !rate_take(&e->names_rate, HOB_MAX_EGRESS_NAMES_PER_S))
        return; /* lost, as datagrams are: it asks again */
    bool is_asked = name_is_asked(e, q);
    struct name *a = hob_new(struct name);
    *a = (struct name){.egress = e, .question = *q, .from = *from};
    hob_list_push_back(&e->names, &a->node);
    e->names_n++;
    if (!is_asked)
        a->lookup = lookup_start(e->loop, q, on_looked_up, a);
}

static void names_read(struct egress *e)
{
    for (unsigned i = 0; i < DATAGRAMS_MAX; i++) {
        uint8_t msg[DNS_ANSWER_BYTES_MAX];
        struct sockaddr_in from = {0};
        socklen_t from_n = sizeof from;
        struct dns_question q;
        unsigned code = DNS_OK;
        ssize_t n = recvfrom(e->dns, msg, sizeof msg, 0, (struct sockaddr *)&from, &from_n);
        if (n < 0)
            return;
        if (from_n == sizeof from && dns_question_read(msg, (size_t)n, &q, &code))
            name_ask(e, &q, code, &from);
    }
}

/* ---- callbacks ---- */

static void on_tick(uv_timer_t *timer)
{
    calls_tick(timer->data);
}

static void on_connected(uv_poll_t *poll, int status, int events)
{
    (void)status; /* an error is read from the socket */
    (void)events;
    call_finish(poll->data);
}

static void on_call_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void on_asked(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status == 0)
        names_read(poll->data);
}

static void on_looked_up(void *ctx, const struct dns_result *result)
{
    name_found(ctx, result);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(handle);
}

static void on_tick_closed(uv_handle_t *handle)
{
    struct egress *e = handle->data;
    policy_free(e->policy);
    free(e);
}

/* ---- door ---- */

struct egress *egress_start(uv_loop_t *loop, struct policy *policy, int listener, int dns,
                            egress_note_cb note_cb, void *ctx)
{
    struct egress *e = hob_new(struct egress);
    *e = (struct egress){
        .loop = loop, .policy = policy, .listener = listener, .dns = dns, .note = note_cb, .ctx = ctx};
    hob_list_init(&e->waiting);
    hob_list_init(&e->connecting);
    hob_list_init(&e->names);
    e->dns_poll = hob_new(uv_poll_t);
    HOB_ASSERT(uv_timer_init(loop, &e->tick) == 0);
    e->tick.data = e;
    HOB_ASSERT(uv_poll_init(loop, e->dns_poll, dns) == 0);
    e->dns_poll->data = e;
    HOB_ASSERT(uv_poll_start(e->dns_poll, UV_READABLE, on_asked) == 0);
    return e;
}

void egress_take(struct egress *e, const struct egress_call *call)
{
    struct egress_call given = *call;
    if (given.address.n < sizeof(sa_family_t) || given.socket < 0)
        answer(e, given.id, EACCES);
    else
        call_judge(e, &given);
    if (given.socket >= 0)
        (void)close(given.socket);
}

void egress_close(struct egress *e)
{
    if (!e)
        return;
    HOB_LIST_EACH(&e->connecting, node, next)
    call_end(HOB_CONTAINER_OF(node, struct call, node), EACCES);
    HOB_LIST_EACH(&e->waiting, waiting, after)
    {
        struct call *c = HOB_CONTAINER_OF(waiting, struct call, node);
        answer(e, c->id, EACCES);
        hob_list_remove(waiting);
        free(c);
    }
    HOB_LIST_EACH(&e->names, asked, behind)
    {
        struct name *a = HOB_CONTAINER_OF(asked, struct name, node);
        if (a->lookup)
            lookup_cancel(a->lookup);
        name_end(a);
    }
    (void)uv_poll_stop(e->dns_poll);
    uv_close((uv_handle_t *)e->dns_poll, on_poll_closed);
    (void)close(e->dns);
    (void)close(e->listener);
    uv_close((uv_handle_t *)&e->tick, on_tick_closed);
}
