/* Both ends of the link. The first byte chooses:
 *   even  the runner's end: START's pairs become an engine's words. Oracle: what was accepted holds its limits, and its
 *         strings are as many and as long as counted.
 *   odd   hobd's end: messages (u16 length each) from a runner to a node with two instances, a question about its engines
 *         (number 1) and one to its doctor. Oracle: the promises of
 *         controller/node.h, counted by the listeners, and no descriptor lost.
 * And for every message: what parses, written again, is the same bytes. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/launch.h"
#include "base/log.h"
#include "base/mem.h"
#include "controller/node/node_priv.h"
#include "runner/instance_spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    unsigned started, failed, exited;
};

static void on_started(void *ctx, int channel_fd, uint64_t launch_us)
{
    struct seen *s = ctx;
    (void)launch_us;
    HOB_ASSERT(s->started + s->failed == 0 && channel_fd >= 0);
    s->started++;
    (void)close(channel_fd);
}

static void on_failed(void *ctx, const struct hob_err *err)
{
    struct seen *s = ctx;
    HOB_ASSERT(s->started + s->failed == 0);
    HOB_ASSERT(err->code > HOB_OK && err->code < HOB_E_COUNT_ && strlen(err->msg) < sizeof err->msg);
    s->failed++;
}

static void on_exited(void *ctx, const struct node_exit *exit)
{
    struct seen *s = ctx;
    HOB_ASSERT(s->started == 1 && s->exited == 0 && exit->message);
    s->exited++;
}

static void on_line(void *ctx, bool is_stderr, struct hob_str text, uint64_t dropped)
{
    struct seen *s = ctx;
    (void)is_stderr;
    (void)dropped;
    HOB_ASSERT(s->started == 1 && s->exited == 0 && text.at);
}

static void on_text(void *ctx, struct hob_str text)
{
    const struct seen *s = ctx;
    HOB_ASSERT(s->started == 1 && s->exited == 0 && (text.at || text.n == 0));
}

static void on_denied(void *ctx, struct hob_str call, uint64_t nth, bool is_last)
{
    (void)nth, (void)is_last;
    on_text(ctx, call);
}

static void on_progress(void *ctx, struct hob_str text)
{
    const unsigned *calls = ctx;
    HOB_ASSERT(*calls == 0 && text.at);
}

static void on_engine(void *ctx, struct hob_str json, const struct hob_err *err)
{
    unsigned *calls = ctx;
    (void)json;
    HOB_ASSERT(++*calls == 1);
    HOB_ASSERT(!err ||
               (err->code > HOB_OK && err->code < HOB_E_COUNT_ && strlen(err->msg) < sizeof err->msg));
}

static void on_doctor(void *ctx, const struct hob_str *lines, size_t n, const struct hob_err *err)
{
    unsigned *calls = ctx;
    (void)lines;
    (void)n;
    (void)err;
    HOB_ASSERT(++*calls == 1);
}

static void check_written_again(struct hob_str msg)
{
    uint32_t type;
    struct hob_pairs p;
    if (!hob_link_parse(msg, &type, &p))
        return;
    hob_auto_buf struct hob_buf b;
    struct hob_pairs_writer w;
    struct hob_str name, value;
    hob_buf_init(&b, msg.n + 64);
    hob_link_start(&w, &b, type);
    for (struct hob_pairs_iter it = hob_pairs_walk(&p); hob_pairs_next(&it, &name, &value);)
        hob_pairs_add(&w, name, value);
    HOB_ASSERT(hob_pairs_end(&w, NULL) == HOB_OK && hob_str_eq(hob_buf_str(&b), msg));
}

static void fuzz_start(struct hob_str msg)
{
    uint32_t type;
    struct hob_pairs p;
    struct instance_spec s;
    struct hob_err err;
    check_written_again(msg);
    if (!hob_link_parse(msg, &type, &p))
        return;
    if (instance_spec_read(&s, &p, &err) != HOB_OK) {
        HOB_ASSERT(err.code == HOB_E_INVALID || err.code == HOB_E_TOO_LARGE);
        return;
    }
    size_t strings = 0;
    for (size_t i = 0; i < s.engine.strings.n; i++)
        strings += s.engine.strings.at[i] == '\0';
    HOB_ASSERT(strings == (size_t)s.engine.argc + s.engine.envc && (s.engine.argc > 0 || s.image[0]));
    HOB_ASSERT(!s.image[0] || hob_str_is(hob_pairs_get(&p, "engine"), "docker"));
    HOB_ASSERT(s.engine.strings.n <= HOB_LAUNCH_STRINGS_MAX && s.engine.memory_mb >= 4);
    HOB_ASSERT(strlen(s.runtime) < sizeof s.runtime && (strlen(s.digest) == 64 || strlen(s.digest) == 0));
    instance_spec_done(&s);
}

static void add_instance(struct node_hub *h, uint64_t id, struct seen *seen)
{
    struct node_instance *i = hob_new(struct node_instance);
    i->id = id;
    i->events = (struct node_events){.started = on_started,
                                     .failed = on_failed,
                                     .exited = on_exited,
                                     .log_line = on_line,
                                     .walls = on_text,
                                     .note = on_text,
                                     .denied = on_denied,
                                     .used = on_text};
    i->ctx = seen;
    HASH_ADD(hh, h->instances, id, sizeof i->id, i);
}

static void fuzz_node(struct hob_str in)
{
    struct node_hub h = {.state = NODE_UP};
    struct seen seen[2] = {0};
    unsigned doctor_calls = 0, engine_calls = 0;
    bool is_open = true;
    const char *why;
    hob_list_init(&h.later);
    hob_list_init(&h.questions);
    hob_list_init(&h.asks);
    struct node_ask *ask = hob_new(struct node_ask);
    *ask = (struct node_ask){.id = 1, .cb = on_engine, .progress = on_progress, .ctx = &engine_calls};
    hob_list_push_back(&h.asks, &ask->node);
    struct node_question *q = hob_new(struct node_question);
    q->cb = on_doctor;
    q->ctx = &doctor_calls;
    hob_list_push_back(&h.questions, &q->node);
    add_instance(&h, 1, &seen[0]);
    add_instance(&h, 2, &seen[1]);
    while (is_open && in.n >= 3) {
        size_t n = hob_get_u16(in.at);
        bool has_fd = in.at[2] & 1;
        in = hob_str_n(in.at + 3, in.n - 3);
        n = n < in.n ? n : in.n;
        check_written_again(hob_str_n(in.at, n));
        int fd = has_fd ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
        is_open = node_take(&h, hob_str_n(in.at, n), fd, &why);
        HOB_ASSERT(is_open == (why == NULL));
        in = hob_str_n(in.at + n, in.n - n);
    }
    for (struct node_instance *i; (i = h.instances);) { /* the runner is lost */
        if (i->is_started)
            node_instance_exit(&h, i, &(struct node_exit){.is_lost = true, .message = "lost"});
        else
            node_instance_fail(&h, i, &(struct hob_err){.code = HOB_E_UNAVAILABLE});
    }
    if (!hob_list_is_empty(&h.questions))
        node_question_answer(q, NULL, 0, NULL);
    for (size_t i = 0; i < 2; i++)
        HOB_ASSERT(seen[i].failed + seen[i].exited == 1);
    node_engine_fail_all(&h, &(struct hob_err){.code = HOB_E_UNAVAILABLE});
    HOB_ASSERT(doctor_calls == 1 && engine_calls == 1);
}

static int lowest_free_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    (void)setenv("HOB_LOG_LEVEL", "error", 0);
    hob_log_init("fuzz_link");
    int before = lowest_free_fd();
    struct hob_str in = hob_str_n(data + 1, size - 1);
    if (data[0] & 1)
        fuzz_node(in);
    else
        fuzz_start(in);
    HOB_ASSERT(lowest_free_fd() == before);
    return 0;
}
