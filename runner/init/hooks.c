/* Hooks of a server: paths that hob.json names and hob-init asks, one at a time, on connections of their own.
 *
 *   config -> start -> health (again until it is well) -> READY;  health at each PING;  stop -> SIGTERM
 *   RECONFIG: config -> health (likewise) -> READY
 *
 * What a hook answers beside its status is nobody's. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "runner/init/json_text.h"
#include "runner/init/program.h"
#include "runner/init/proxy_priv.h"

enum {
    ASK_MS = 5000,    /* a hook that takes longer has failed */
    HEALTH_MS = 2000, /* hobd asks every 5 s */
    AGAIN_MS = 100,   /* health of a server that starts */
    IN_BYTES = 65536 + 16384,
    READ_BYTES = 16384,
    CONFIG_BYTES_MAX = 4 << 20,
};

static const char *const names[HOOK_KINDS_] = {"config", "start", "health", "stop"};

static void ask(struct proxy *p, enum hook_kind kind);

/* ---- what the config hook gets ---- */

static enum hob_code put_named(struct hob_buf *out, const struct hob_pairs *hello, const char *key,
                               struct hob_str prefix)
{
    struct hob_pairs_iter it = hob_pairs_walk(hello);
    struct hob_str name, value;
    enum hob_code code = hob_buf_addf(out, ",\"%s\":{", key);
    bool is_first = true;
    while (code == HOB_OK && hob_pairs_next(&it, &name, &value)) {
        if (!hob_str_starts(name, prefix))
            continue;
        code = is_first ? HOB_OK : hob_buf_add(out, ",", 1);
        is_first = false;
        if (code == HOB_OK)
            code = json_text_add(out, hob_str_n(name.at + prefix.n, name.n - prefix.n));
        if (code == HOB_OK)
            code = hob_buf_add(out, ":", 1);
        if (code == HOB_OK)
            code = json_text_add(out, value);
    }
    return code == HOB_OK ? hob_buf_add(out, "}", 1) : code;
}

/* {"app":...,"function":...,"version":N,"vars":{...},"secrets":{...}}: names were judged by hobd. */
static enum hob_code write_config(struct proxy *p, const struct hob_pairs *hello)
{
    struct hob_str app = hob_pairs_get(hello, "app"), function = hob_pairs_get(hello, "function");
    enum hob_code code = hob_buf_add_str(&p->config, HOB_STR("{\"app\":"));
    if (code == HOB_OK)
        code = json_text_add(&p->config, app);
    if (code == HOB_OK)
        code = hob_buf_add_str(&p->config, HOB_STR(",\"function\":"));
    if (code == HOB_OK)
        code = json_text_add(&p->config, function);
    if (code == HOB_OK)
        code = hob_buf_addf(&p->config, ",\"version\":%llu",
                            (unsigned long long)hob_pairs_u64(hello, "version", 0));
    if (code == HOB_OK)
        code = put_named(&p->config, hello, "vars", HOB_STR("env."));
    if (code == HOB_OK)
        code = put_named(&p->config, hello, "secrets", HOB_STR("secret."));
    return code == HOB_OK ? hob_buf_add(&p->config, "}", 1) : code;
}

/* ---- steps ---- */

static void put_away(struct proxy *p)
{
    struct hook *h = &p->hook;
    if (h->source.fd < 0)
        return;
    proxy_watch(p, &h->source, 0);
    (void)close(h->source.fd);
    h->source.fd = -1;
    hob_buf_clear(&h->out);
    hob_buf_clear(&h->in);
}

static void go_on(struct proxy *p, enum hook_kind from)
{
    for (unsigned kind = from; kind < HOOK_STOP; kind++)
        if (p->hooks[kind]) {
            ask(p, (enum hook_kind)kind);
            return;
        }
    proxy_ready(p);
}

static void say(const struct proxy *p, enum hook_kind kind, unsigned status, char text[200])
{
    if (status)
        (void)snprintf(text, 200, "the %s hook %.100s answered %u", names[kind], p->hooks[kind], status);
    else
        (void)snprintf(text, 200, "the %s hook %.100s did not answer", names[kind], p->hooks[kind]);
}

static void judge_health(struct proxy *p, bool is_good, const char *text)
{
    struct hob_frame ping = p->ping;
    p->ping = (struct hob_frame){0};
    if (p->state == PROXY_HOOKS && is_good)
        proxy_ready(p);
    else if (p->state == PROXY_HOOKS)
        p->health_ms = hob_now_ms() + AGAIN_MS;
    else if (is_good && ping.type)
        proxy_send(p, (struct hob_frame){.type = HOB_FRAME_PONG, .stream = ping.stream, .arg = ping.arg},
                   HOB_STR(""));
    else if (!is_good) /* no frame: any would count as a sign of life */
        program_say("not well:", text, EAGAIN);
}

/* `status` 0: none came. */
static void answered(struct proxy *p, unsigned status)
{
    enum hook_kind kind = p->hook.kind;
    bool is_good = status >= 200 && status < 300;
    char text[200];
    put_away(p);
    say(p, kind, status, text);
    if (kind == HOOK_STOP)
        proxy_terminate(p);
    else if (kind == HOOK_HEALTH)
        judge_health(p, is_good, text);
    else if (is_good) /* it has started once */
        go_on(p, p->has_served ? HOOK_HEALTH : kind + 1);
    else
        proxy_fail_start(p, "Runtime.HookFailed", text);
}

static void hook_send(struct proxy *p)
{
    struct hook *h = &p->hook;
    while (h->sent < h->out.n) {
        ssize_t n = send(h->source.fd, hob_buf_data(&h->out) + h->sent, h->out.n - h->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            answered(p, 0);
            return;
        }
        h->sent += (size_t)n;
    }
    proxy_watch(p, &h->source, h->sent < h->out.n ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void hook_read(struct proxy *p)
{
    struct hook *h = &p->hook;
    char *to = hob_buf_room(&h->in, READ_BYTES);
    ssize_t n = to ? recv(h->source.fd, to, READ_BYTES, 0) : 0;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        hob_buf_grew(&h->in, (size_t)n);
    hob_buf_clear(&p->body);
    size_t used = n > 0 ? answer_take(&h->answer, hob_buf_str(&h->in), &p->body, 0) : 0;
    hob_buf_consume(&h->in, used);
    if (answer_has_head(&h->answer))
        answered(p, h->answer.status);
    else if (n <= 0 || h->answer.state == ANSWER_BAD)
        answered(p, 0);
}

static void on_hook(struct proxy *p, struct source *s, uint32_t events)
{
    if (s->fd < 0)
        return;
    if (p->hook.sent < p->hook.out.n && (events & EPOLLOUT))
        hook_send(p);
    if (s->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        hook_read(p);
}

static void ask(struct proxy *p, enum hook_kind kind)
{
    struct hook *h = &p->hook;
    struct hob_str body = kind == HOOK_CONFIG ? hob_buf_str(&p->config) : HOB_STR("");
    put_away(p);
    h->kind = kind;
    h->sent = 0;
    h->until_ms = hob_now_ms() + (kind == HOOK_HEALTH ? HEALTH_MS : ASK_MS);
    p->health_ms = 0;
    answer_begin(&h->answer, false, false);
    enum hob_code code =
        hob_buf_addf(&h->out, "%s %s HTTP/1.1\r\nhost: localhost\r\nx-hob-hook: %s\r\nconnection: close\r\n",
                     kind == HOOK_HEALTH ? "GET" : "POST", p->hooks[kind], names[kind]);
    if (code == HOB_OK && kind != HOOK_HEALTH)
        code = hob_buf_addf(&h->out, "%scontent-length: %zu\r\n",
                            body.n ? "content-type: application/json\r\n" : "", body.n);
    if (code == HOB_OK)
        code = hob_buf_add_str(&h->out, HOB_STR("\r\n"));
    if (code == HOB_OK)
        code = hob_buf_add_str(&h->out, body);
    HOB_ASSERT(code == HOB_OK); /* paths and configuration have their limits */
    h->source.fd = conn_dial(p);
    if (h->source.fd < 0)
        h->until_ms = 0; /* told by the next tick, not from in here */
    else
        proxy_watch(p, &h->source, EPOLLIN | EPOLLOUT);
}

/* ---- door ---- */

void hooks_init(struct proxy *p)
{
    p->hook.source = (struct source){.ready = on_hook, .fd = -1};
    hob_buf_init(&p->hook.out, (size_t)CONFIG_BYTES_MAX + READ_BYTES);
    hob_buf_init(&p->hook.in, IN_BYTES);
    hob_buf_init(&p->config, CONFIG_BYTES_MAX);
    answer_init(&p->hook.answer);
}

void hooks_read(struct proxy *p, const struct hob_pairs *hello)
{
    char key[32];
    for (unsigned kind = 0; kind < HOOK_KINDS_; kind++) {
        (void)snprintf(key, sizeof key, "hook.%s", names[kind]);
        struct hob_str path = hob_pairs_get(hello, key);
        if (path.n)
            p->hooks[kind] = hob_strndup(path.at, path.n);
    }
    if (p->hooks[HOOK_CONFIG] && write_config(p, hello) != HOB_OK)
        hob_buf_clear(&p->config);
}

void hooks_begin(struct proxy *p)
{
    go_on(p, HOOK_CONFIG);
}

void hooks_reconfig(struct proxy *p, const struct hob_pairs *config)
{
    p->ping = (struct hob_frame){0}; /* hobd waits for READY now */
    hob_buf_clear(&p->config);
    if (p->hooks[HOOK_CONFIG] && write_config(p, config) == HOB_OK)
        ask(p, HOOK_CONFIG);
    else
        proxy_fail_start(p, "Runtime.HookFailed",
                         "there is no config hook that could take the configuration");
}

void hooks_health(struct proxy *p, const struct hob_frame *ping)
{
    p->ping = *ping;
    if (p->hook.source.fd < 0)
        ask(p, HOOK_HEALTH);
}

void hooks_stop(struct proxy *p)
{
    bool can_ask = p->hooks[HOOK_STOP] && p->program > 0 && p->state > PROXY_HOOKS;
    if (p->is_asked_to_end || !can_ask) {
        if (!can_ask || p->hook.source.fd < 0)
            proxy_terminate(p);
        return;
    }
    p->is_asked_to_end = true;
    ask(p, HOOK_STOP);
}

void hooks_tick(struct proxy *p, uint64_t now_ms)
{
    if (p->health_ms && now_ms >= p->health_ms)
        ask(p, HOOK_HEALTH);
    bool is_on = p->hook.source.fd >= 0 || p->hook.out.n;
    if (is_on && now_ms >= p->hook.until_ms) {
        hob_buf_clear(&p->hook.out);
        answered(p, 0);
    }
}

uint64_t hooks_wake_ms(const struct proxy *p)
{
    uint64_t at = p->health_ms ? p->health_ms : UINT64_MAX;
    bool is_on = p->hook.source.fd >= 0 || p->hook.out.n;
    return is_on && p->hook.until_ms < at ? p->hook.until_ms : at;
}
