/* The door to the world: what may not be reached, what is not followed, what is cut off. A small server on the loopback
 * answers what the path asks for. */
#include <uv.h>

#include "base/limits.h"
#include "base/mem.h"
#include "bindings/login/outbound.h"
#include "check.h"

static uv_loop_t loop;
static uv_tcp_t server;
static int port, served;
static char seen[4096]; /* the last request */

struct client {
    uv_tcp_t tcp;
    uv_write_t write;
    char in[4096], *out;
    size_t in_n;
};

static void on_client_closed(uv_handle_t *h)
{
    struct client *c = h->data;
    free(c->out);
    free(c);
}

static void on_written(uv_write_t *w, int status)
{
    struct client *c = w->data;
    (void)status;
    uv_close((uv_handle_t *)&c->tcp, on_client_closed);
}

static char *answer_for(const char *path)
{
    char *big;
    if (strncmp(path, "/json", 5) == 0)
        return hob_strdup("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{\"id\":1}");
    if (strncmp(path, "/redirect", 9) == 0)
        return hob_asprintf(
            "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/json\r\nContent-Length: 0\r\n\r\n", port);
    if (strncmp(path, "/files", 6) == 0)
        return hob_strdup("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n");
    size_t n = strncmp(path, "/over", 5) == 0 ? HOB_MAX_OUTBOUND_BYTES + 1 : HOB_MAX_OUTBOUND_BYTES;
    big = hob_calloc(n + 200, 1);
    int head = snprintf(big, 200, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    memset(big + head, 'x', n);
    return big;
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    struct client *c = s->data;
    (void)buf;
    if (n <= 0) {
        if (n < 0 && !uv_is_closing((uv_handle_t *)s))
            uv_close((uv_handle_t *)s, on_client_closed);
        return;
    }
    c->in_n += (size_t)n;
    if (!strstr(c->in, "\r\n\r\n") || c->out)
        return;
    served++;
    (void)snprintf(seen, sizeof seen, "%s", c->in);
    c->out = answer_for(strchr(c->in, ' ') + 1);
    uv_buf_t b = uv_buf_init(c->out, (unsigned)strlen(c->out));
    c->write.data = c;
    (void)uv_write(&c->write, s, &b, 1, on_written);
}

static void on_alloc(uv_handle_t *h, size_t n, uv_buf_t *buf)
{
    struct client *c = h->data;
    (void)n;
    *buf = uv_buf_init(c->in + c->in_n, (unsigned)(sizeof c->in - 1 - c->in_n));
}

static void on_client(uv_stream_t *s, int status)
{
    struct client *c = hob_new(struct client);
    (void)status;
    assert_int_equal(uv_tcp_init(&loop, &c->tcp), 0);
    c->tcp.data = c;
    assert_int_equal(uv_accept(s, (uv_stream_t *)&c->tcp), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read), 0);
}

static int listen_here(void **state)
{
    struct sockaddr_in at;
    int n = sizeof at;
    (void)state;
    served = 0;
    if (uv_loop_init(&loop) || uv_tcp_init(&loop, &server) || uv_ip4_addr("127.0.0.1", 0, &at) ||
        uv_tcp_bind(&server, (struct sockaddr *)&at, 0) || uv_listen((uv_stream_t *)&server, 16, on_client) ||
        uv_tcp_getsockname(&server, (struct sockaddr *)&at, &n))
        return -1;
    port = ntohs(at.sin_port);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    uv_close((uv_handle_t *)&server, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? 0 : -1;
}

/* --- asking --- */
/* Not UV_RUN_ONCE: a timer that told us would be followed by a wait for nothing. */
static void turn(void)
{
    (void)uv_run(&loop, UV_RUN_NOWAIT);
    usleep(500);
}

struct told {
    int n, status;
    enum hob_code code;
    size_t body_n;
    char msg[240];
};

static void on_told(void *ctx, const struct outbound_answer *a, const struct hob_err *err)
{
    struct told *t = ctx;
    t->n++;
    t->status = a ? a->status : 0;
    t->body_n = a ? a->body.n : 0;
    t->code = err ? err->code : HOB_OK;
    (void)snprintf(t->msg, sizeof t->msg, "%s", err ? err->msg : "");
}

static void on_closed(void *ctx)
{
    *(bool *)ctx = true;
}

static void close_it(struct outbound *o)
{
    bool is_closed = false;
    outbound_close(o, on_closed, &is_closed);
    while (!is_closed)
        turn();
}

static struct told ask_once(bool may_reach_private, const struct outbound_request *r)
{
    struct told t = {0};
    struct outbound *o = outbound_new(&loop, may_reach_private);
    outbound_ask(o, r, on_told, &t);
    assert_int_equal(t.n, 0); /* never from inside */
    while (!t.n)
        turn();
    close_it(o);
    return t;
}

/* `at`: a URL in which PORT stands for the server's. */
static struct told get(bool may_reach_private, const char *at)
{
    char url[256];
    const char *place = strstr(at, "PORT");
    int head = place ? (int)(place - at) : 0;
    (void)snprintf(url, sizeof url, "%s", at);
    if (place)
        (void)snprintf(url, sizeof url, "%.*s%d%s", head, at, port, place + 4);
    struct outbound_request r = {.app = "a", .url = url};
    return ask_once(may_reach_private, &r);
}

static void an_answer_comes_with_its_status_when_it_is_allowed(void **state)
{
    (void)state;
    struct told t = get(true, "http://127.0.0.1:PORT/json");
    assert_int_equal(t.status, 200);
    assert_int_equal(t.body_n, 8);
    assert_int_equal(served, 1);
}

static void the_loopback_and_private_addresses_are_refused_by_whatever_name(void **state)
{
    static const char *const urls[] = {
        "https://127.0.0.1:PORT/json",    "https://localhost:PORT/json",
        "https://[::1]:PORT/json",        "https://127.1:PORT/json",
        "https://2130706433:PORT/json",   "https://0x7f000001:PORT/json",
        "https://0.0.0.0:PORT/json",      "https://[::ffff:127.0.0.1]:PORT/json",
        "https://169.254.169.254:PORT/x", "https://10.0.0.1:PORT/x",
        "https://[fd00::1]:PORT/x",       "https://[64:ff9b::7f00:1]:PORT/x"};
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(urls); i++) {
        struct told t = get(false, urls[i]);
        if (t.code != HOB_E_FORBIDDEN && !(t.code == HOB_E_UNAVAILABLE && strstr(t.msg, "resolve")))
            fail_msg("%s: %d %s", urls[i], t.code, t.msg);
    }
    assert_int_equal(served, 0);
}

static void only_https_is_spoken_unless_the_administrator_allows_more(void **state)
{
    static const char *const urls[] = {"http://127.0.0.1:PORT/json", "file:///etc/passwd",
                                       "gopher://127.0.0.1:PORT/x",  "ftp://127.0.0.1:PORT/",
                                       "smtp://127.0.0.1:PORT/",     "dict://127.0.0.1:PORT/x"};
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(urls); i++) {
        assert_int_equal(get(false, urls[i]).code, HOB_E_FORBIDDEN);
        if (i > 0)
            assert_int_equal(get(true, urls[i]).code, HOB_E_FORBIDDEN);
    }
    assert_int_equal(get(true, "not a url").code, HOB_E_FORBIDDEN);
    assert_int_equal(served, 0);
}

static void a_redirect_is_an_answer_and_not_followed(void **state)
{
    (void)state;
    assert_int_equal(get(true, "http://127.0.0.1:PORT/redirect").status, 302);
    assert_int_equal(get(true, "http://127.0.0.1:PORT/files").status, 302);
    assert_int_equal(served, 2);
}

static void an_answer_of_the_longest_size_is_taken_and_one_byte_more_is_not(void **state)
{
    (void)state;
    struct told t = get(true, "http://127.0.0.1:PORT/most");
    assert_int_equal(t.body_n, HOB_MAX_OUTBOUND_BYTES);
    assert_int_equal(get(true, "http://127.0.0.1:PORT/over").code, HOB_E_TOO_LARGE);
}

static void a_form_and_credentials_are_sent(void **state)
{
    char url[64];
    (void)state;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/json", port);
    struct outbound_request r = {.app = "a", .url = url, .form = "code=1", .bearer = "token"};
    assert_int_equal(ask_once(true, &r).status, 200);
    assert_contains(seen, "POST /json");
    assert_contains(seen, "Authorization: Bearer token\r\n");
    assert_contains(seen, "application/x-www-form-urlencoded");
}

static void one_app_cannot_ask_more_than_its_share(void **state)
{
    char url[64];
    struct told all[HOB_MAX_OUTBOUND_CALLS_PER_APP + 2] = {0};
    struct outbound *o = outbound_new(&loop, true);
    int done = 0, busy = 0;
    (void)state;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/json", port);
    for (size_t i = 0; i < HOB_COUNT(all); i++) {
        struct outbound_request r = {.app = i + 1 < HOB_COUNT(all) ? "a" : "b", .url = url};
        outbound_ask(o, &r, on_told, &all[i]);
    }
    while (done < (int)HOB_COUNT(all)) {
        turn();
        done = busy = 0;
        for (size_t i = 0; i < HOB_COUNT(all); i++) {
            done += all[i].n;
            busy += all[i].code == HOB_E_BUSY;
        }
    }
    assert_int_equal(busy, 1);
    assert_int_equal(all[HOB_MAX_OUTBOUND_CALLS_PER_APP].code, HOB_E_BUSY);
    assert_int_equal(all[HOB_MAX_OUTBOUND_CALLS_PER_APP + 1].status, 200);
    close_it(o);
}

static void all_apps_together_cannot_ask_more_than_there_are_places(void **state)
{
    enum { ASKED = HOB_MAX_OUTBOUND_CALLS + 1 };
    char url[64], app[8];
    struct told *all = hob_calloc(ASKED, sizeof *all);
    struct outbound *o = outbound_new(&loop, true);
    int told = 0, busy = 0;
    (void)state;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/json", port);
    for (int i = 0; i < ASKED; i++) {
        struct outbound_request r = {.app = app, .url = url};
        (void)snprintf(app, sizeof app, "%d", i % 10);
        outbound_ask(o, &r, on_told, &all[i]);
    }
    while (told < ASKED) {
        turn();
        told = busy = 0;
        for (int i = 0; i < ASKED; i++) {
            told += all[i].n;
            busy += all[i].code == HOB_E_BUSY;
        }
    }
    assert_int_equal(busy, 1);
    assert_int_equal(all[ASKED - 1].code, HOB_E_BUSY);
    close_it(o);
    free(all);
}

static void closing_tells_who_waits(void **state)
{
    char url[64];
    struct told t = {0};
    struct outbound *o = outbound_new(&loop, true);
    (void)state;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/json", port);
    struct outbound_request r = {.app = "a", .url = url};
    outbound_ask(o, &r, on_told, &t);
    close_it(o);
    assert_int_equal(t.n, 1);
    assert_int_equal(t.code, HOB_E_CANCELLED);
}

static void texts_are_escaped_for_forms(void **state)
{
    struct hob_buf out hob_auto_buf;
    (void)state;
    hob_buf_init(&out, 100);
    assert_ok(outbound_escape(&out, HOB_STR("aZ09-._~ &=%\xc3\xa9\0")));
    assert_str_equal(hob_buf_str(&out), "aZ09-._~%20%26%3D%25%C3%A9%00");
}

int main(void)
{
    alarm(100);
#define SERVED(test) cmocka_unit_test_setup_teardown(test, listen_here, stop)
    const struct CMUnitTest tests[] = {
        SERVED(an_answer_comes_with_its_status_when_it_is_allowed),
        SERVED(the_loopback_and_private_addresses_are_refused_by_whatever_name),
        SERVED(only_https_is_spoken_unless_the_administrator_allows_more),
        SERVED(a_redirect_is_an_answer_and_not_followed),
        SERVED(an_answer_of_the_longest_size_is_taken_and_one_byte_more_is_not),
        SERVED(a_form_and_credentials_are_sent),
        SERVED(one_app_cannot_ask_more_than_its_share),
        SERVED(all_apps_together_cannot_ask_more_than_there_are_places),
        SERVED(closing_tells_who_waits),
        cmocka_unit_test(texts_are_escaped_for_forms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
