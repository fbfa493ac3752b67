#include "runner/init/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "runner/init/gate.h"
#include "runner/init/program.h"
#include "runner/init/proxy_priv.h"

enum {
    CHANNEL_FD = 3,
    PROBE_MS = 2,
    BLAME_MS = 3000,      /* without a listener for so long: say so */
    END_GRACE_MS = 10000, /* from SIGTERM to SIGKILL */
    FLUSH_MS = 1000,      /* for what the program had answered before it ended */
    READ_BYTES = 65536,
    READS_MAX = 4,
    EVENTS_MAX = 64,
    IN_BYTES_MAX = (1 << 20) + READ_BYTES + 64,
    OUT_BYTES_MAX = 16 << 20,
    CHANNEL_GONE_EXIT = 1,
};

/* ---- talking to hobd ---- */

void proxy_watch(struct proxy *p, struct source *s, uint32_t mask)
{
    if (mask == s->mask)
        return;
    struct epoll_event e = {.events = mask, .data.ptr = s};
    int op = !s->mask ? EPOLL_CTL_ADD : mask ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    HOB_ASSERT(epoll_ctl(p->epoll, op, s->fd, &e) == 0);
    s->mask = mask;
}

void proxy_send(struct proxy *p, struct hob_frame f, struct hob_str payload)
{
    HOB_ASSERT(hob_frame_add(&p->out, f, payload) == HOB_OK);
}

void proxy_log(struct proxy *p, uint16_t level, const char *text)
{
    proxy_send(p, (struct hob_frame){.type = HOB_FRAME_LOG, .code = level}, hob_str(text));
}

static void send_pairs(struct proxy *p, uint8_t type, const char *const (*pairs)[2], size_t n)
{
    struct hob_pairs_writer w;
    hob_buf_clear(&p->meta);
    hob_pairs_start(&w, &p->meta);
    for (size_t i = 0; i < n; i++)
        hob_pairs_add(&w, hob_str(pairs[i][0]), hob_str(pairs[i][1]));
    HOB_ASSERT(hob_pairs_end(&w, NULL) == HOB_OK);
    proxy_send(p, (struct hob_frame){.type = type}, hob_buf_str(&p->meta));
}

/* ---- the program's life ---- */

void proxy_terminate(struct proxy *p)
{
    if (p->program > 0)
        (void)kill(p->program, SIGTERM);
}

static void end_program(struct proxy *p)
{
    if (p->state == PROXY_ENDING)
        return;
    p->state = PROXY_ENDING;
    p->kill_ms = hob_now_ms() + END_GRACE_MS;
    conn_close_idle(p);
    hooks_stop(p);
}

void proxy_idle(struct proxy *p)
{
    if (p->state != PROXY_DRAINING || p->exchanges_n > p->raw_n)
        return; /* upgraded connections have no end of their own: the program's SIGTERM is theirs */
    proxy_send(p, (struct hob_frame){.type = HOB_FRAME_BYE}, HOB_STR(""));
    p->exit_code = 0;
    end_program(p);
}

static void set_text(const char *name, struct hob_str value)
{
    hob_auto_free char *text = hob_strndup(value.at ? value.at : "", value.n);
    if (setenv(name, text, 1) < 0)
        program_say("cannot set the variable", name, errno);
}

/* The function's own variables first: what the platform says of itself stands over them. */
static void set_environment(struct proxy *p, const struct hob_pairs *hello)
{
    struct hob_pairs_iter it = hob_pairs_walk(hello);
    struct hob_str name, value, function = hob_pairs_get(hello, "function");
    bool has_secrets = hob_pairs_u64(hello, "secrets_in_env", 0) != 0;
    while (hob_pairs_next(&it, &name, &value)) {
        size_t prefix = hob_str_starts(name, HOB_STR("env."))                     ? 4
                        : has_secrets && hob_str_starts(name, HOB_STR("secret.")) ? 7
                                                                                  : 0;
        hob_auto_free char *text = prefix ? hob_strndup(name.at + prefix, name.n - prefix) : NULL;
        if (text)
            set_text(text, value);
    }
    char port[8], revision[128];
    (void)snprintf(port, sizeof port, "%u", p->port);
    (void)snprintf(revision, sizeof revision, "%.*s-%05llu", (int)(function.n < 100 ? function.n : 100),
                   function.at ? function.at : "", (unsigned long long)hob_pairs_u64(hello, "version", 0));
    set_text("PORT", hob_str(port));
    set_text("HOST", HOB_STR("127.0.0.1"));
    set_text("K_SERVICE", function);
    set_text("K_REVISION", hob_str(revision));
    set_text("FUNCTION_SIGNATURE_TYPE", HOB_STR("http"));
    if (p->gate) {
        char url[64];
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/parse", p->gate_port);
        set_text("HOB_BINDINGS_URL", hob_str(url));
    }
    struct hob_str handler = hob_pairs_get(hello, "handler");
    if (handler.n)
        set_text("FUNCTION_TARGET", handler);
}

void proxy_fail_start(struct proxy *p, const char *type, const char *message)
{
    const char *const pairs[][2] = {{"errorType", type}, {"errorMessage", message}};
    send_pairs(p, HOB_FRAME_INIT_ERROR, pairs, HOB_COUNT(pairs));
    p->exit_code = EXIT_CANNOT_START;
    if (p->has_served)
        end_program(p); /* it has connections and files of its own to finish */
    else
        p->has_exited = true;
}

static void take_hello(struct proxy *p, struct hob_str payload)
{
    struct hob_pairs hello;
    if (p->state != PROXY_WAITING)
        return;
    if (!hob_pairs_open(payload, UINT32_MAX, &hello)) {
        proxy_fail_start(p, "Runtime.BadHello", "HELLO is malformed");
        return;
    }
    uint64_t slots = hob_pairs_u64(&hello, "concurrency", 1);
    p->slots = slots >= 1 && slots <= 1000 ? (unsigned)slots : 1;
    if (p->gate_port && !(p->gate = gate_new(p, p->gate_port))) {
        proxy_fail_start(p, "Runtime.NoBindings", "the port of the bindings is not free");
        return;
    }
    set_environment(p, &hello);
    hooks_read(p, &hello);
    (void)!chdir("/app"); /* servers find their files there; outside a sandbox it is where it was started */
    p->program = program_start(p->argv);
    if (p->program < 0) {
        proxy_fail_start(p, "Runtime.CannotStart", "no process could be made for the program");
        return;
    }
    p->state = PROXY_STARTING;
    p->started_ms = hob_now_ms();
}

void proxy_ready(struct proxy *p)
{
    char slots[16];
    (void)snprintf(slots, sizeof slots, "%u", p->slots);
    const char *const pairs[][2] = {{"protocol", "1"}, {"kind", "http"}, {"concurrency", slots}};
    send_pairs(p, HOB_FRAME_READY, pairs, HOB_COUNT(pairs));
    p->state = PROXY_READY;
    p->has_served = true;
}

static void try_port(struct proxy *p)
{
    if (conn_probe(p)) {
        p->state = PROXY_HOOKS;
        hooks_begin(p);
    } else if (!p->is_blamed && hob_now_ms() - p->started_ms > BLAME_MS) {
        char text[160];
        (void)snprintf(
            text, sizeof text,
            "nothing listens on 127.0.0.1:%u yet (the variable PORT says so, too; \"port\" in hob.json "
            "changes it)",
            p->port);
        proxy_log(p, HOB_CHLOG_WARN, text);
        p->is_blamed = true;
    }
}

/* ---- frames ---- */

static void drain(struct proxy *p)
{
    if (p->state == PROXY_READY) {
        p->state = PROXY_DRAINING;
        proxy_idle(p);
    } else if (p->state < PROXY_READY) {
        end_program(p);
    }
}

/* Of a server that serves: only its hook hears of it, and no request comes meanwhile. */
static void take_reconfig(struct proxy *p, struct hob_str payload)
{
    struct hob_pairs config;
    if (p->state != PROXY_READY)
        return; /* it leaves already */
    p->state = PROXY_HOOKS;
    if (hob_pairs_open(payload, UINT32_MAX, &config))
        hooks_reconfig(p, &config);
    else
        proxy_fail_start(p, "Runtime.BadHello", "RECONFIG is malformed");
}

static void take_frame(struct proxy *p, const struct hob_frame *f, struct hob_str payload)
{
    switch ((enum hob_frame_type)f->type) {
    case HOB_FRAME_HELLO:
        take_hello(p, payload);
        break;
    case HOB_FRAME_RECONFIG:
        take_reconfig(p, payload);
        break;
    case HOB_FRAME_INVOKE:
        exchange_invoke(p, f, payload);
        break;
    case HOB_FRAME_BODY:
        exchange_body(p, f, payload);
        break;
    case HOB_FRAME_REPLY:
        if (p->gate)
            gate_reply(p->gate, f, payload);
        break;
    case HOB_FRAME_CREDIT:
        exchange_credit(p, f->stream, f->arg);
        break;
    case HOB_FRAME_CANCEL:
        exchange_cancel(p, f->stream);
        break;
    case HOB_FRAME_PING:
        if (p->hooks[HOOK_HEALTH] && p->state == PROXY_READY)
            hooks_health(p, f);
        else
            proxy_send(p, (struct hob_frame){.type = HOB_FRAME_PONG, .stream = f->stream, .arg = f->arg},
                       payload);
        break;
    case HOB_FRAME_DRAIN:
        drain(p);
        break;
    default: /* nothing else concerns an HTTP server */
        break;
    }
}

static void lose_channel(struct proxy *p)
{
    proxy_watch(p, &p->channel, 0);
    if (p->exit_code == 0)
        p->exit_code = CHANNEL_GONE_EXIT;
    hob_buf_clear(&p->out);
    end_program(p);
    if (p->program <= 0)
        p->has_exited = true;
}

static void read_channel(struct proxy *p)
{
    ssize_t n = 1;
    for (int i = 0; i < READS_MAX && n > 0; i++) {
        char *to = hob_buf_room(&p->in, READ_BYTES);
        HOB_ASSERT(to); /* whole frames are taken, and one has its limit */
        n = recv(p->channel.fd, to, READ_BYTES, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            lose_channel(p);
            return;
        }
        if (n > 0)
            hob_buf_grew(&p->in, (size_t)n);
        struct hob_frame f;
        struct hob_str payload;
        int found;
        while ((found = hob_frame_next(&p->in, &f, &payload)) == 1) {
            take_frame(p, &f, payload);
            hob_buf_consume(&p->in, HOB_FRAME_HEADER_BYTES + f.len);
        }
        if (found < 0) {
            lose_channel(p);
            return;
        }
        if (n < READ_BYTES)
            return;
    }
}

static void write_channel(struct proxy *p)
{
    bool was_paused = p->out.n > OUT_PAUSE_BYTES;
    while (p->out.n) {
        ssize_t n = send(p->channel.fd, hob_buf_data(&p->out), p->out.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) {
            lose_channel(p);
            return;
        }
        if (n < 0)
            break;
        hob_buf_consume(&p->out, (size_t)n);
    }
    if (was_paused && p->out.n <= OUT_PAUSE_BYTES)
        exchange_resume(p);
    if (p->gate)
        gate_ask(p->gate);
    if (p->channel.mask) /* last: both may have added something */
        proxy_watch(p, &p->channel, p->out.n ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* ---- callbacks ---- */

static void on_channel(struct proxy *p, struct source *s, uint32_t events)
{
    (void)s;
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_channel(p);
}

static void hand_on(struct proxy *p, int signal)
{
    if (signal != SIGTERM) {
        (void)kill(p->program, signal);
        return;
    }
    conn_close_idle(p);
    hooks_stop(p);
}

static void on_signal(struct proxy *p, struct source *s, uint32_t events)
{
    (void)events;
    struct signalfd_siginfo info;
    while (read(s->fd, &info, sizeof info) == (ssize_t)sizeof info) {
        int code;
        if (info.ssi_signo == SIGCHLD && program_reap(p->program, &code)) {
            p->has_exited = true;
            if (p->state != PROXY_ENDING)
                p->exit_code = code;
        } else if (info.ssi_signo != SIGCHLD && p->program > 0) {
            hand_on(p, (int)info.ssi_signo);
        } else if (info.ssi_signo != SIGCHLD) {
            p->exit_code = EXIT_SIGNAL_BASE + (int)info.ssi_signo;
            p->has_exited = true;
        }
    }
}

/* ---- the loop ---- */

static int wait_ms(const struct proxy *p)
{
    if (p->state == PROXY_STARTING)
        return PROBE_MS;
    uint64_t now = hob_now_ms(), until = p->kill_ms ? p->kill_ms : UINT64_MAX;
    struct hob_node *lost = hob_list_first(&p->lost);
    if (lost && HOB_CONTAINER_OF(lost, struct exchange, lost)->lost_ms < until)
        until = HOB_CONTAINER_OF(lost, struct exchange, lost)->lost_ms;
    if (hooks_wake_ms(p) < until)
        until = hooks_wake_ms(p);
    if (p->gate && gate_wake_ms(p->gate) < until)
        until = gate_wake_ms(p->gate);
    if (until == UINT64_MAX)
        return -1;
    return now < until ? (int)(until - now) : 0;
}

static void turn(struct proxy *p)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(p->epoll, events, EVENTS_MAX, wait_ms(p));
    for (int i = 0; i < n; i++) {
        struct source *s = events[i].data.ptr;
        s->ready(p, s, events[i].events);
    }
    if (p->state == PROXY_STARTING && !p->has_exited)
        try_port(p);
    if (!p->has_exited && !hob_list_is_empty(&p->lost))
        exchange_fail_lost(p, hob_now_ms());
    if (!p->has_exited)
        hooks_tick(p, hob_now_ms());
    if (p->gate)
        gate_tick(p->gate, hob_now_ms());
    if (p->kill_ms && hob_now_ms() >= p->kill_ms && p->program > 0)
        (void)kill(p->program, SIGKILL);
    write_channel(p);
    conn_bury(p);
}

/* The program is gone; what it had written to its connections before is still there. */
static void read_leftovers(struct proxy *p)
{
    for (size_t i = 0; i < EXCHANGE_BUCKETS; i++)
        for (struct exchange *x = p->exchanges[i], *next; x; x = next) {
            struct conn *c = x->conn;
            size_t before = SIZE_MAX;
            next = x->next;
            while (c && c->x == x && !c->is_connecting && !c->has_end && !hob_node_is_linked(&x->blocked) &&
                   c->in.n + p->out.n != before) {
                before = c->in.n + p->out.n;
                x->may_repeat = false; /* there is nobody to ask again */
                conn_read(p, c);
            }
        }
}

static void flush(struct proxy *p)
{
    uint64_t until = hob_now_ms() + FLUSH_MS, now;
    write_channel(p);
    while (p->out.n && (now = hob_now_ms()) < until) {
        struct pollfd fd = {.fd = p->channel.fd, .events = POLLOUT};
        if (poll(&fd, 1, (int)(until - now)) > 0)
            write_channel(p);
    }
}

static bool proxy_init(struct proxy *p, char **argv, const struct proxy_ports *ports)
{
    sigset_t set;
    program_block_signals(&set);
    *p = (struct proxy){.argv = argv,
                        .port = ports->program,
                        .gate_port = ports->gate,
                        .program = -1,
                        .window = CONNECTION_WINDOW,
                        .slots = 1};
    hob_buf_init(&p->in, IN_BYTES_MAX);
    hob_buf_init(&p->out, OUT_BYTES_MAX);
    hob_buf_init(&p->body, STREAM_WINDOW);
    hob_buf_init(&p->meta, 1 << 20);
    hooks_init(p);
    hob_list_init(&p->idle);
    hob_list_init(&p->graves);
    hob_list_init(&p->blocked);
    hob_list_init(&p->lost);
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    p->signals = (struct source){.ready = on_signal, .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
    p->channel =
        (struct source){.ready = on_channel, .fd = fcntl(CHANNEL_FD, F_DUPFD_CLOEXEC, CHANNEL_FD + 1)};
    if (p->epoll < 0 || p->signals.fd < 0 || p->channel.fd < 0 ||
        fcntl(p->channel.fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        return false;
    (void)close(
        CHANNEL_FD); /* no descriptor of ours has a number that the program may expect something behind */
    (void)prctl(PR_SET_DUMPABLE, 0); /* the program has our uid: /proc/1 is not for it */
    proxy_watch(p, &p->signals, EPOLLIN);
    proxy_watch(p, &p->channel, EPOLLIN);
    return true;
}

int proxy_run(char **argv, const struct proxy_ports *ports)
{
    struct proxy *p = hob_new(struct proxy);
    if (!proxy_init(p, argv, ports)) {
        program_say("cannot serve HTTP for", argv[0], errno);
        return EXIT_CANNOT_START;
    }
    while (!p->has_exited)
        turn(p);
    read_leftovers(p);
    flush(p);
    return p->exit_code;
}
