/* A C function that tries everything of hob.h; the path says what. */
#include "hob.h"

static int is(hob_str s, const char *text)
{
    return s.n == strlen(text) && memcmp(s.p, text, s.n) == 0;
}
static int put(hob_call *c, hob_str s)
{
    return s.p ? hob_write(c, s.p, s.n) : hob_write(c, "(none)", 6);
}
static void nap(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static int describe(hob_call *c)
{
    hob_str parts[] = {hob_id(c),          hob_method(c),          hob_path(c),
                       hob_query(c),       hob_header(c, "X-One"), hob_header(c, "none"),
                       hob_param(c, "id"), hob_env("COLOR"),       hob_secret("KEY"),
                       hob_payload(c)};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (put(c, parts[i]) < 0 || hob_write(c, "|", 1) < 0)
            return -1;
    return 0;
}
static int echo(hob_call *c)
{
    char buf[10000];
    for (;;) {
        long n = hob_read(c, buf, sizeof buf);
        if (n <= 0)
            return (int)n;
        if (hob_write(c, buf, (size_t)n) < 0)
            return -1;
    }
}
static int stream(hob_call *c)
{
    char text[16];
    for (int i = 0; i < 4; i++) {
        int n = snprintf(text, sizeof text, "part%d", i);
        if (hob_write(c, text, (size_t)n) < 0 || (i == 0 && hob_flush(c) < 0))
            return -1;
        nap(150);
    }
    return 0;
}
static int until_cancelled(hob_call *c)
{
    for (int i = 0; i < 500; i++) {
        if (hob_cancelled(c)) {
            hob_log(c, HOB_WARN, "cancelled");
            return -1;
        }
        nap(10);
    }
    return 0;
}
static int call_binding(hob_call *c)
{
    hob_str reply;
    int result = hob_bind(c, "data", "find", "{}", 2, &reply);
    char text[16];
    int n = snprintf(text, sizeof text, "%d:", result);
    return hob_write(c, text, (size_t)n) < 0 ? -1 : put(c, reply);
}
static int headers(hob_call *c)
{
    int wrong = hob_set_header(c, "a b", "x") == 0 || hob_set_header(c, "a", "x\r\nb: c") == 0 ||
                hob_status(c, 99) == 0;
    hob_set_header(c, "Set-Cookie", "a=1");
    hob_set_header(c, "set-cookie", "b=2");
    hob_status(c, wrong ? 500 : 201);
    if (hob_write(c, "x", 1) < 0 || hob_flush(c) < 0)
        return -1;
    return hob_status(c, 404) == 0 ? -1 : 0; /* too late */
}
static int payload(hob_call *c)
{
    hob_str all = hob_payload(c);
    return all.p ? put(c, all) : -1;
}
static int handle(hob_call *c, void *arg)
{
    (void)arg;
    hob_str p = hob_path(c);
    if (is(p, "/describe"))
        return describe(c);
    if (is(p, "/echo"))
        return echo(c);
    if (is(p, "/stream"))
        return stream(c);
    if (is(p, "/cancel"))
        return until_cancelled(c);
    if (is(p, "/bind"))
        return call_binding(c);
    if (is(p, "/headers"))
        return headers(c);
    if (is(p, "/payload"))
        return payload(c);
    if (is(p, "/fail"))
        return hob_fail(c, "Shop.Closed", "come back tomorrow");
    if (is(p, "/negative"))
        return -1;
    if (is(p, "/late")) {
        hob_write(c, "begun", 5);
        hob_flush(c);
        return hob_fail(c, "Late", "after the head");
    }
    if (is(p, "/sleep")) {
        nap(200);
        return hob_write(c, "slept", 5);
    }
    if (is(p, "/big")) {
        static char zeros[1 << 20];
        for (int i = 0; i < 10; i++)
            if (hob_write(c, zeros, sizeof zeros) < 0)
                return -1;
        return 0;
    }
    if (is(p, "/crash"))
        abort();
    if (hob_is_event(c))
        return payload(c);
    return hob_write(c, "hello", 5);
}
static int init(void *arg)
{
    (void)arg;
    hob_log(NULL, HOB_INFO, "init");
    return hob_env("BROKEN").p ? -1 : 0;
}
int main(void)
{
    return hob_run(handle, NULL, &(hob_opts){.max_body = 1 << 20, .init = init});
}
