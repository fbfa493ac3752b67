/* What the runner says: each message judged and turned into one event of one instance. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/node/node_priv.h"

enum { DOCTOR_LINES_MAX = 64, NODE_CALL_BYTES_MAX = 31 };

struct node_instance *node_instance_find(struct node_hub *h, uint64_t id)
{
    struct node_instance *i;
    HASH_FIND(hh, h->instances, &id, sizeof id, i);
    return i;
}

static void forget(struct node_hub *h, struct node_instance *i)
{
    if (hob_node_is_linked(&i->node))
        hob_list_remove(&i->node);
    else
        HASH_DEL(h->instances, i);
    free(i);
}

void node_instance_fail(struct node_hub *h, struct node_instance *i, const struct hob_err *err)
{
    struct node_events events = i->events;
    void *ctx = i->ctx;
    HOB_ASSERT(!i->is_started);
    forget(h, i);
    events.failed(ctx, err);
}

void node_instance_exit(struct node_hub *h, struct node_instance *i, const struct node_exit *exit)
{
    struct node_events events = i->events;
    void *ctx = i->ctx;
    HOB_ASSERT(i->is_started);
    forget(h, i);
    events.exited(ctx, exit);
}

void node_question_answer(struct node_question *q, const struct hob_str *lines, size_t n,
                          const struct hob_err *err)
{
    node_doctor_cb cb = q->cb;
    void *ctx = q->ctx;
    hob_list_remove(&q->node);
    free(q);
    cb(ctx, lines, n, err);
}

/* ---- messages: each returns NULL, or why it must not have come ---- */

static const char *take_hello(struct node_hub *h, const struct hob_pairs *p)
{
    struct hob_str node = hob_pairs_get(p, "node"), engines = hob_pairs_get(p, "engines");
    struct hob_str probe = hob_pairs_get(p, "probe");
    uint64_t protocol = hob_pairs_u64(p, "protocol", 0);
    if (protocol != HOB_LINK_PROTOCOL)
        return "it speaks another protocol than 1";
    hob_log(HOB_LOG_INFO, "runner.hello", "node=%.*s engines=%.*s rootless=%llu",
            (int)(node.n < 64 ? node.n : 64), node.at ? node.at : "", (int)(engines.n < 64 ? engines.n : 64),
            engines.at ? engines.at : "", (unsigned long long)hob_pairs_u64(p, "rootless", 0));
    h->cannot_freeze = probe.n && memmem(probe.at, probe.n, "warn freezer:", 13);
    if (h->state == NODE_GREETED)
        node_up(h);
    return NULL;
}

static const char *take_started(struct node_instance *i, const struct hob_pairs *p, int *fd)
{
    if (!i || i->is_started)
        return "STARTED for an instance that was not asked for";
    if (*fd < 0)
        return "STARTED without a channel";
    i->is_started = true;
    if (i->events.pooled && hob_str_is(hob_pairs_get(p, "pool"), "hit"))
        i->events.pooled(i->ctx);
    i->events.started(i->ctx, hob_steal_fd(fd), hob_pairs_u64(p, "launch_us", 0));
    return NULL;
}

static void copy_text(char *to, size_t to_bytes, struct hob_str text)
{
    size_t n = text.n < to_bytes - 1 ? text.n : to_bytes - 1;
    if (n)
        memcpy(to, text.at, n);
    to[n] = '\0';
}

/* Reasons must outlive the event: those that the runner gives are from this list. */
const char *node_known_reason(struct hob_str text)
{
    static const char *const reasons[] = {
        "engine_unavailable", "engine_unknown", "launch_failed", "node_full",          "image_missing",
        "runtime_not_found",  "pull_refused",   "pull_failed",   "image_build_failed", "engine_full"};
    for (size_t i = 0; i < HOB_COUNT(reasons); i++)
        if (hob_str_is(text, reasons[i]))
            return reasons[i];
    return NULL;
}

static const char *take_failed(struct node_hub *h, struct node_instance *i, const struct hob_pairs *p)
{
    if (!i || i->is_started)
        return "FAILED for an instance that was not asked for";
    uint64_t code = hob_pairs_u64(p, "code", HOB_E_INTERNAL);
    struct hob_err err = {.code = code > HOB_OK && code < HOB_E_COUNT_ ? (enum hob_code)code : HOB_E_INTERNAL,
                          .reason = node_known_reason(hob_pairs_get(p, "reason"))};
    copy_text(err.msg, sizeof err.msg, hob_pairs_get(p, "message"));
    node_instance_fail(h, i, &err);
    return NULL;
}

static const char *take_exited(struct node_hub *h, struct node_instance *i, const struct hob_pairs *p)
{
    if (!i || !i->is_started)
        return "EXITED for an instance that was not started";
    char message[256];
    copy_text(message, sizeof message, hob_pairs_get(p, "message"));
    struct node_exit exit = {
        .exit_code =
            (int)hob_pairs_u64(p, "exit_code", (uint64_t)-1), /* "-1" is no number here: the fallback */
        .signal = (int)hob_pairs_u64(p, "signal", 0),
        .is_oom = hob_pairs_u64(p, "oom", 0) != 0,
        .cpu_us = hob_pairs_u64(p, "cpu_us", 0),
        .memory_peak_bytes = hob_pairs_u64(p, "memory_peak", 0),
        .pids_denied = hob_pairs_u64(p, "pids_denied", 0),
        .message = message,
    };
    node_instance_exit(h, i, &exit);
    return NULL;
}

static const char *take_log(struct node_instance *i, const struct hob_pairs *p)
{
    struct hob_str text = hob_pairs_get(p, "text");
    if (!i || !i->is_started || !text.at)
        return "LOG of an instance that does not run";
    if (i->events.log_line)
        i->events.log_line(i->ctx, hob_str_is(hob_pairs_get(p, "stream"), "stderr"), text,
                           hob_pairs_u64(p, "dropped", 0));
    return NULL;
}

static const char *take_walls(struct node_instance *i, const struct hob_pairs *p)
{
    struct hob_str text = hob_pairs_get(p, "text");
    if (!i || !i->is_started || !text.at)
        return "WALLS of an instance that does not run";
    if (i->events.walls)
        i->events.walls(i->ctx, text);
    return NULL;
}

static const char *take_note(struct node_instance *i, const struct hob_pairs *p)
{
    struct hob_str text = hob_pairs_get(p, "text");
    if (!i || !i->is_started || !text.n)
        return "NOTE of an instance that does not run";
    if (i->events.note)
        i->events.note(i->ctx, text);
    return NULL;
}

static const char *take_denied(struct node_instance *i, const struct hob_pairs *p)
{
    struct hob_str call = hob_pairs_get(p, "call");
    if (!i || !i->is_started || !call.n || call.n > NODE_CALL_BYTES_MAX)
        return "DENIED of an instance that does not run";
    if (i->events.denied)
        i->events.denied(i->ctx, call, hob_pairs_u64(p, "nth", 1), hob_pairs_u64(p, "last", 0) != 0);
    return NULL;
}

static const char *take_used(struct node_instance *i, const struct hob_pairs *p)
{
    struct hob_str call = hob_pairs_get(p, "call");
    if (!i || !i->is_started || !call.n || call.n > NODE_CALL_BYTES_MAX)
        return "USED of an instance that does not run";
    if (i->events.used)
        i->events.used(i->ctx, call);
    return NULL;
}

static const char *take_doctor(struct node_hub *h, const struct hob_pairs *p)
{
    struct hob_str lines[DOCTOR_LINES_MAX], name, value;
    size_t n = 0;
    struct hob_node *first = hob_list_first(&h->questions);
    if (!first)
        return "DOCTOR that was not asked for";
    struct hob_pairs_iter it = hob_pairs_walk(p);
    while (n < DOCTOR_LINES_MAX && hob_pairs_next(&it, &name, &value))
        if (hob_str_is(name, "check"))
            lines[n++] = value;
    node_question_answer(HOB_CONTAINER_OF(first, struct node_question, node), lines, n, NULL);
    return NULL;
}

bool node_take(struct node_hub *h, struct hob_str msg, int fd, const char **ret_why)
{
    hob_auto_close int own = fd;
    uint32_t type;
    struct hob_pairs p;
    *ret_why = "a malformed message";
    if (!hob_link_parse(msg, &type, &p))
        return false;
    struct node_instance *i = node_instance_find(h, hob_pairs_u64(&p, "instance", 0));
    const char *why = "a message of an unknown type";
    if (h->state == NODE_GREETED && type != HOB_LINK_HELLO)
        why = "something before HELLO";
    else if (type == HOB_LINK_HELLO)
        why = take_hello(h, &p);
    else if (type == HOB_LINK_STARTED)
        why = take_started(i, &p, &own);
    else if (type == HOB_LINK_FAILED)
        why = take_failed(h, i, &p);
    else if (type == HOB_LINK_EXITED)
        why = take_exited(h, i, &p);
    else if (type == HOB_LINK_LOG)
        why = take_log(i, &p);
    else if (type == HOB_LINK_WALLS)
        why = take_walls(i, &p);
    else if (type == HOB_LINK_DENIED)
        why = take_denied(i, &p);
    else if (type == HOB_LINK_USED)
        why = take_used(i, &p);
    else if (type == HOB_LINK_NOTE)
        why = take_note(i, &p);
    else if (type == HOB_LINK_DOCTOR)
        why = take_doctor(h, &p);
    else if (type == HOB_LINK_ENGINE)
        why = node_engine_take(h, &p);
    else if (type == HOB_LINK_STATE || type == HOB_LINK_STATS)
        why = NULL; /* nobody asks yet */
    *ret_why = why;
    return why == NULL;
}
