/* A hostile instance, driven by the fuzzer: whole frames, pieces and garbage on the channel, between callers that come,
 * send, hold back and leave, deadlines that pass and processes that end. The oracle: every caller that did not leave is
 * told its end exactly once, nobody is told after he left, and everything is freed. */
#include "base/log.h"
#include "data_plane.h"

enum { CALLS_MAX = 24, INSTANCES_MAX = 8 };

struct input {
    const uint8_t *at;
    size_t n;
};

static struct outcome outcomes[CALLS_MAX];
static bool has_left[CALLS_MAX];
static unsigned calls_n;

static uint8_t next_byte(struct input *in)
{
    if (in->n == 0)
        return 0;
    in->n--;
    return *in->at++;
}

static struct hob_str next_bytes(struct input *in, size_t max)
{
    size_t n = next_byte(in) * (max > 255 ? max / 255 : 1);
    n = n < in->n ? n : in->n;
    struct hob_str s = {(const char *)in->at, n};
    in->at += n;
    in->n -= n;
    return s;
}

/* A stream the instance was given, or one beside it. */
static uint32_t some_stream(struct input *in, unsigned k)
{
    uint8_t b = next_byte(in);
    struct instance *i = fakes[k].ctx;
    unsigned slot = b & 3;
    if (b & 0x80 || fakes[k].is_over || !i->channel)
        return b;
    struct channel_stream *s = channel_next_stream(i->channel, &slot);
    return s ? s->id : b & 4 ? 0 : 1;
}

static void say_pairs_of(struct input *in, unsigned k, struct hob_frame f)
{
    char name[16], value[16];
    struct hob_str a = next_bytes(in, 15), b = next_bytes(in, 15);
    (void)snprintf(name, sizeof name, "%.*s", (int)(a.n < 15 ? a.n : 15), a.at);
    (void)snprintf(value, sizeof value, "%.*s", (int)(b.n < 15 ? b.n : 15), b.at);
    say_pairs(k, f, PAIRS("protocol", "1", "concurrency", "3", name, value));
}

static void say_frame(struct input *in, unsigned k)
{
    static const uint8_t types[] = {HOB_FRAME_CREDIT, HOB_FRAME_PING,
                                    HOB_FRAME_PONG,   HOB_FRAME_BYE,
                                    HOB_FRAME_READY,  HOB_FRAME_HEAD,
                                    HOB_FRAME_DATA,   HOB_FRAME_ERROR,
                                    HOB_FRAME_DONE,   HOB_FRAME_CALL,
                                    HOB_FRAME_LOG,    HOB_FRAME_METRIC,
                                    HOB_FRAME_INVOKE, 200,
                                    HOB_FRAME_HELLO,  HOB_FRAME_INIT_ERROR};
    uint8_t type = types[next_byte(in) % HOB_COUNT(types)], how = next_byte(in);
    uint32_t stream = some_stream(in, k);
    struct hob_frame f = {.type = type, .flags = how & HOB_FRAME_END, .stream = stream};
    if (how & 0x40)
        f.flags = how & 0x1f;
    if (how & 0x20)
        f.arg = (uint32_t)next_byte(in) << (how & 24);
    f.code = how & 7;
    if (how & 0x80)
        say_pairs_of(in, k, f);
    else if (type == HOB_FRAME_HEAD)
        say_head(k, stream, 200, PAIRS("a", "b"), next_bytes(in, 70000), how & 1);
    else
        say(k, f, next_bytes(in, 66000));
}

static void caller_acts(struct input *in)
{
    uint8_t b = next_byte(in);
    if ((b & 7) < 4 && calls_n < CALLS_MAX) {
        struct outcome *o = &outcomes[calls_n++];
        call_version(o, b & 8 ? &bench_version2 : &bench_version, b & 16 ? HOB_INVOKE_EVENT : HOB_INVOKE_HTTP,
                     b & 32   ? -1
                     : b & 64 ? 100
                              : 0);
        o->is_hoarding = b & 128;
        return;
    }
    unsigned c = calls_n ? next_byte(in) % calls_n : 0;
    if (!calls_n || !outcomes[c].inv || has_left[c])
        return;
    if ((b & 7) < 6) {
        struct hob_str data = next_bytes(in, 60000);
        if (outcomes[c].inv->body.n + data.n <= 128 * 1024)
            invocation_body(outcomes[c].inv, data, b & 8, NULL);
    } else {
        has_left[c] = true;
        invocation_cancel(outcomes[c].inv, HOB_CANCEL_CLIENT_GONE);
    }
}

static void node_acts(struct input *in)
{
    uint8_t b = next_byte(in);
    unsigned k = fakes_n ? next_byte(in) % fakes_n : 0;
    if (b & 0x80)
        pass_ms((uint64_t)next_byte(in) << (b & 7));
    if (!fakes_n || fakes[k].is_over)
        return;
    if (!fakes[k].is_started && (b & 3))
        fake_started(k);
    else if ((b & 0x1f) == 3 || !fakes[k].is_started)
        fake_exit(k, (struct node_exit){.exit_code = b & 32 ? -1 : 1, .is_oom = b & 64});
    else if ((b & 0x1f) == 4)
        fake_on_replace(fake_catalog_ctx, &bench_version);
    else if ((b & 0x1f) == 5)
        fake_on_catalog(fake_catalog_ctx, &bench_version, false);
    else
        say_ready(k, "3");
}

static void step(struct input *in)
{
    uint8_t op = next_byte(in);
    unsigned k = fakes_n ? (op >> 4) % fakes_n : 0;
    switch (op & 7) {
    case 0:
        caller_acts(in);
        break;
    case 1:
        node_acts(in);
        break;
    case 2:
        pump();
        for (unsigned n = 0; n < fakes_n; n++)
            if (fakes[n].fd >= 0) {
                take_in(n);
                hob_buf_clear(&fakes[n].in);
            }
        break;
    case 3:
        if (fakes_n && fakes[k].fd >= 0) {
            struct hob_str s = next_bytes(in, 4096);
            say_bytes(k, s.at, s.n);
        }
        break;
    default:
        if (fakes_n && fakes[k].fd >= 0)
            say_frame(in, k);
        break;
    }
}

static void judge(void)
{
    for (unsigned c = 0; c < calls_n; c++) {
        HOB_ASSERT(outcomes[c].ends + outcomes[c].fails == !has_left[c]);
        HOB_ASSERT(outcomes[c].heads <= 1);
        if (outcomes[c].fails)
            HOB_ASSERT(outcomes[c].err.code != HOB_OK && outcomes[c].err.msg[0]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    (void)setenv("HOB_LOG_LEVEL", "error", 1);
    hob_log_init("fuzz");
    calls_n = 0;
    memset(has_left, 0, sizeof has_left);
    (void)bench_up(NULL);
    alarm(0);
    bench_config.concurrency = 3;
    bench_config.scale_max = bench_config2.scale_max = 2;
    while (in.n && fakes_n < INSTANCES_MAX)
        step(&in);
    (void)bench_down(NULL);
    judge();
    return 0;
}
