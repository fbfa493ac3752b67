/* Functions over HTTP with raw bytes on one side and scripted instances on the other; the server, the gateway and the
 * dispatcher between them are the real ones. */
#include "check.h"

#define DATA_PLANE_OWN_RESOLVE
#include "data_plane.h"

#include <netinet/in.h>

#include "api/gateway/gateway.h"

static struct http_server *server;
static struct gateway *gateway;
static int client = -1;
static char got[4 << 20];
static size_t got_n;
static char any_path[] = "/orders/:id", post[] = "POST", *methods[] = {post};
static char origin_text[] = "https://shop.example", star[] = "*", *origins[] = {origin_text},
            *any_origin[] = {star};
static struct route_config route;

struct version *catalog_resolve(struct catalog *c, struct hob_str app, struct hob_str function,
                                struct hob_str qualifier, struct hob_err *err)
{
    (void)c;
    if (!hob_str_is(app, "shop")) {
        (void)hob_fail(err, HOB_E_NOT_FOUND, "app '%.*s' does not exist", HOB_STR_ARG(app));
    } else if (!hob_str_is(function, "f")) {
        (void)hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_function",
                              "app 'shop' has no function '%.*s'; did you mean 'f'?", HOB_STR_ARG(function));
    } else if (qualifier.n == 0 || hob_str_is(qualifier, "prod")) {
        return &bench_version;
    } else if (hob_str_is(qualifier, "2")) {
        return &bench_version2;
    } else if (hob_str_is(qualifier, "7")) {
        (void)hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_version", "there is no 7; the newest is 2");
    } else {
        (void)hob_fail_reason(err, HOB_E_NOT_FOUND, "unknown_alias",
                              "function 'shop/f' has no alias '%.*s'; did you mean 'beta'?",
                              HOB_STR_ARG(qualifier));
    }
    return NULL;
}

bool catalog_route(struct catalog *c, struct hob_str host, struct hob_str method, struct hob_str path,
                   struct route_match *ret_match)
{
    (void)c;
    if (!hob_str_is(host, "shop.example") || !hob_str_starts(path, HOB_STR("/orders/")))
        return false;
    *ret_match = (struct route_match){.version = &bench_version, .route = &route, .params_n = 1};
    ret_match->param_names[0] = HOB_STR("id");
    ret_match->param_values[0] = hob_str_n(path.at + 8, path.n - 8);
    ret_match->is_method_missing = !hob_str_is(method, "POST");
    (void)snprintf(ret_match->allow, sizeof ret_match->allow, "POST");
    return true;
}

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    if (hob_str_is(http_request(x)->path, "/invoke"))
        gateway_invoke_event(gateway, x, &bench_version);
    else
        gateway_handle(gateway, x);
}

static void settle_bench(void)
{
    for (int i = 0; i < 12; i++) {
        pump();
        usleep(200);
    }
}

static int up(void **state)
{
    struct hob_err err;
    (void)bench_up(state);
    route = (struct route_config){.path = any_path, .methods = methods, .methods_n = 1};
    gateway = gateway_new(&(struct gateway_options){.dispatcher = bench});
    server = http_server_start(
        &bench_loop, &(struct http_server_options){.host = "127.0.0.1", .on_request = on_request}, &err);
    assert_non_null(server);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_server_port(server))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&to, sizeof to), 0);
    got_n = 0;
    return 0;
}

static int down(void **state)
{
    bool is_closed = false;
    if (client >= 0)
        (void)close(client);
    client = -1;
    http_server_drain(server, 0, on_bench_closed, &is_closed);
    for (int i = 0; i < 200 && !is_closed; i++)
        settle_bench();
    assert_true(is_closed);
    (void)bench_down(state);
    gateway_free(gateway);
    return 0;
}

static void client_says(const char *bytes)
{
    size_t n = strlen(bytes);
    assert_int_equal(send(client, bytes, n, MSG_NOSIGNAL), n);
    settle_bench();
}

/* All that came so far; NUL-ended. */
static const char *client_got(void)
{
    ssize_t n;
    settle_bench();
    while (got_n < sizeof got - 1 &&
           (n = recv(client, got + got_n, sizeof got - 1 - got_n, MSG_DONTWAIT)) > 0)
        got_n += (size_t)n;
    got[got_n] = '\0';
    return got;
}

static bool client_is_closed(void)
{
    char c;
    return recv(client, &c, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

#define GET(target, more) "GET " target " HTTP/1.1\r\nHost: shop.example\r\n" more "\r\n"

/* The instance answers the first request that comes to it. */
static uint32_t warm(void)
{
    fake_ready(0, "1");
    return heard_invoke(0);
}

static void a_function_answers_over_http(void **state)
{
    (void)state;
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    say_head(0, s, 200, PAIRS("content-type", "text/plain", "x-thing", "1"), HOB_STR("hello"), true);
    say_done(0, s);
    const char *a = client_got();
    assert_contains(a, "HTTP/1.1 200 OK\r\n");
    assert_contains(a, "x-thing: 1\r\n");
    assert_contains(a, "Content-Length: 5\r\n");
    assert_contains(a, "\r\n\r\nhello");
    assert_null(strstr(a, "Server-Timing"));
}

static struct hob_pairs invoke_pairs(struct hob_str p, struct hob_invoke_meta *m,
                                     struct hob_pairs *ret_extras)
{
    struct hob_str meta, data;
    struct hob_pairs fields;
    assert_true(hob_frame_split_meta(p, &meta, &data));
    assert_true(hob_invoke_meta_parse(meta, m));
    assert_true(hob_pairs_open(m->fields, 1000, &fields));
    assert_true(hob_pairs_open(m->extras, 1000, ret_extras));
    return fields;
}

static void a_function_sees_its_own_path_and_filtered_fields(void **state)
{
    (void)state;
    struct hob_str p;
    struct hob_invoke_meta m;
    struct hob_pairs extras;
    client_says(
        "GET /fn/shop/f:prod/a%2Fb/c?x=1&y=%20 HTTP/1.1\r\nHost: Shop.Example:80\r\nConnection: keep-alive, X-Secret\r\n"
        "X-Secret: no\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Host: evil\r\n"
        "Forwarded: for=6.6.6.6\r\nX-Hob-User: root\r\nX-Request-Id: abc-123\r\nAccept: a\r\nAccept: b\r\n"
        "Cookie: k=v\r\nExpect-CT: x\r\n\r\n");
    fake_started(0);
    (void)heard(0, NULL);
    say_ready(0, "1");
    struct hob_frame f = heard_type(0, HOB_FRAME_INVOKE, &p);
    struct hob_pairs fields = invoke_pairs(p, &m, &extras);
    assert_str_equal(m.method, "GET");
    assert_str_equal(m.target, "/a%2Fb/c?x=1&y=%20");
    assert_str_equal(m.request_id, "abc-123");
    assert_str_equal(hob_pairs_get(&fields, "x-forwarded-for"), "127.0.0.1");
    assert_str_equal(hob_pairs_get(&fields, "x-forwarded-host"), "Shop.Example:80");
    assert_str_equal(hob_pairs_get(&fields, "x-forwarded-proto"), "http");
    assert_str_equal(hob_pairs_get(&fields, "x-request-id"), "abc-123");
    assert_str_equal(hob_pairs_get(&fields, "cookie"), "k=v");
    assert_str_equal(hob_pairs_get(&fields, "host"), "Shop.Example:80");
    assert_non_null(hob_pairs_get(&fields, "traceparent").at);
    assert_non_null(hob_pairs_get(&fields, "expect-ct").at);
    const char *const gone[] = {"x-secret", "connection", "keep-alive", "te", "forwarded", "x-hob-user"};
    for (size_t i = 0; i < HOB_COUNT(gone); i++)
        assert_null(hob_pairs_get(&fields, gone[i]).at);
    unsigned accepts = 0;
    struct hob_pairs_iter it = hob_pairs_walk(&fields);
    for (struct hob_str k, v; hob_pairs_next(&it, &k, &v);)
        accepts += hob_str_is(k, "accept");
    assert_int_equal(accepts, 2);
    assert_str_equal(hob_pairs_get(&extras, "base_path"), "/fn/shop/f:prod");
    assert_str_equal(hob_pairs_get(&extras, "qualifier"), "prod");
    assert_str_equal(hob_pairs_get(&extras, "remote"), "127.0.0.1");
    assert_str_equal(hob_pairs_get(&extras, "scheme"), "http");
    answer(0, f.stream, "");
}

static void a_route_gives_its_parameters_decoded(void **state)
{
    (void)state;
    struct hob_str p;
    struct hob_invoke_meta m;
    struct hob_pairs extras;
    client_says("POST /orders/a%2Fb%C3%A4 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\nhi");
    fake_started(0);
    say_ready(0, "1");
    struct hob_frame f = heard_type(0, HOB_FRAME_INVOKE, &p);
    (void)invoke_pairs(p, &m, &extras);
    assert_str_equal(hob_pairs_get(&extras, "param.id"), "a/b\xc3\xa4");
    assert_str_equal(m.target, "/orders/a%2Fb%C3%A4");
    assert_int_equal(m.body_n, 2);
    assert_int_equal(f.flags & HOB_FRAME_END, HOB_FRAME_END);
    answer(0, f.stream, "ok");
    assert_contains(client_got(), "ok");
}

static void strangers_are_told_what_they_asked_for_and_nothing_else_of_the_app(void **state)
{
    (void)state;
    client_says(GET("/fn/nope/f", ""));
    assert_contains(client_got(), "404");
    assert_contains(client_got(), "nothing answers at /fn/nope/f;");
    client_says(GET("/fn/shop/g/secret/path", ""));
    assert_contains(client_got(), "nothing answers at /fn/shop/g;");
    assert_contains(client_got(), "unknown_function");
    assert_null(strstr(client_got(), "did you mean"));
    client_says(GET("/fn/shop/f:bet", ""));
    assert_contains(client_got(), "nothing answers at /fn/shop/f:bet;");
    assert_contains(client_got(), "unknown_alias");
    assert_null(strstr(client_got(), "did you mean"));
    client_says(GET("/fn/shop/f@7", ""));
    assert_contains(client_got(), "unknown_version");
    assert_null(strstr(client_got(), "newest"));
    client_says(GET("/fn/shop/f:2", ""));
    assert_contains(client_got(), "names no version");
    client_says(GET("/fn/shop", ""));
    assert_contains(client_got(), "the path must be /fn/APP/FUNCTION");
    client_says(GET("/nothing", ""));
    assert_contains(client_got(), "no_route");
    assert_int_equal(fakes_n, 0);
}

static void a_wrong_method_is_405_with_allow(void **state)
{
    (void)state;
    client_says(GET("/orders/1", ""));
    assert_contains(client_got(), "405 Method Not Allowed");
    assert_contains(client_got(), "Allow: POST\r\n");
}

static void a_version_is_called_by_number(void **state)
{
    (void)state;
    client_says(GET("/fn/shop/f@2/", "X-Hob-Timing: 1\r\n"));
    uint32_t s = warm();
    answer(0, s, "two");
    assert_contains(client_got(), "X-Hob-Version: 2\r\n");
    assert_contains(client_got(), "Server-Timing: queue;dur=");
    assert_contains(client_got(), "run;dur=");
}

static void bad_answers_are_502(void **state)
{
    (void)state;
    const struct {
        unsigned status;
        const char *const *fields;
    } bad[] = {
        {99, NO_PAIRS},
        {101, NO_PAIRS},
        {600, NO_PAIRS},
        {200, PAIRS("x-a", "1\r\nSet-Cookie: evil=1")},
        {200, PAIRS("x a", "1")},
        {200, PAIRS("", "1")},
        {200, PAIRS("x-a\r\n", "1")},
        {200, PAIRS("content-length", "4")},
        {200, PAIRS("content-length", "+5")},
        {200, PAIRS("content-length", "5", "Content-Length", "6")},
        {200, PAIRS("content-length", "-1")},
    };
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    for (size_t i = 0; i < HOB_COUNT(bad); i++) {
        got_n = 0;
        if (i) {
            client_says(GET("/fn/shop/f", ""));
            s = heard_invoke(0);
        }
        assert_int_not_equal(s, 0);
        say_head(0, s, bad[i].status, bad[i].fields, HOB_STR("hello"), true);
        say_done(0, s);
        const char *a = client_got();
        assert_contains(a, "HTTP/1.1 502 Bad Gateway\r\n");
        assert_contains(a, "bad_function_answer");
        assert_null(strstr(a, "evil"));
    }
    assert_int_equal(fakes[0].stops, 0);
}

static void a_head_may_be_as_large_as_a_requests_and_no_larger(void **state)
{
    (void)state;
    static char value[HOB_MAX_HTTP_HEAD_BYTES];
    memset(value, 'v', sizeof value);
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    value[sizeof value - 7] = value[sizeof value - 6] = '\0'; /* "x-v", ": " and CRLF are seven bytes */
    say_head(0, s, 200, PAIRS("x-v", value), HOB_STR("ok"), true);
    say_done(0, s);
    assert_contains(client_got(), "HTTP/1.1 200 OK");
    got_n = 0;
    client_says(GET("/fn/shop/f", ""));
    s = heard_invoke(0);
    value[sizeof value - 7] = 'v';
    say_head(0, s, 200, PAIRS("x-v", value), HOB_STR("ok"), true);
    say_done(0, s);
    assert_contains(client_got(), "HTTP/1.1 502 Bad Gateway");
    assert_contains(client_got(), "http.head_bytes");
}

static void hop_by_hop_fields_of_an_answer_do_not_leave(void **state)
{
    (void)state;
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    say_head(0, s, 200,
             PAIRS("Transfer-Encoding", "chunked", "Connection", "x-mine", "x-mine", "1", "Keep-Alive", "1",
                   "content-length", "2", "Set-Cookie", "a=1", "Set-Cookie", "b=2"),
             HOB_STR("ok"), true);
    say_done(0, s);
    const char *a = client_got();
    assert_contains(a, "Content-Length: 2\r\n");
    assert_null(strstr(a, "chunked"));
    assert_null(strstr(a, "x-mine"));
    assert_null(strstr(a, "Keep-Alive"));
    assert_contains(a, "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n");
}

static void head_keeps_the_declared_length_and_has_no_body(void **state)
{
    (void)state;
    client_says("HEAD /fn/shop/f HTTP/1.1\r\nHost: shop.example\r\n\r\n");
    uint32_t s = warm();
    say_head(0, s, 200, PAIRS("content-length", "1234"), HOB_STR(""), true);
    say_done(0, s);
    const char *a = client_got();
    assert_contains(a, "Content-Length: 1234\r\n");
    assert_string_equal(strstr(a, "\r\n\r\n"), "\r\n\r\n");
}

static void streaming_sends_the_first_byte_at_once(void **state)
{
    (void)state;
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    say_head(0, s, 200, PAIRS("content-type", "text/event-stream"), HOB_STR("data: 1\n\n"), false);
    assert_contains(client_got(), "data: 1\n\n");
    say_data(0, s, HOB_STR("data: 2\n\n"), false);
    assert_contains(client_got(), "data: 2\n\n");
    say_data(0, s, HOB_STR(""), true);
    say_done(0, s);
    assert_contains(client_got(), "0\r\n\r\n");
    assert_contains(client_got(), "Transfer-Encoding: chunked");
}

static void a_failure_behind_the_head_breaks_the_answer_off(void **state)
{
    (void)state;
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    say_head(0, s, 200, NO_PAIRS, HOB_STR("half"), false);
    assert_contains(client_got(), "half");
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_ERROR, .stream = s}, PAIRS("errorType", "Error"));
    say_done(0, s);
    assert_null(strstr(client_got(), "0\r\n\r\n"));
    assert_true(client_is_closed());
}

static void a_streamed_body_shorter_than_declared_is_broken_off(void **state)
{
    (void)state;
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    say_head(0, s, 200, PAIRS("content-length", "10"), HOB_STR("four"), false);
    say_data(0, s, HOB_STR(""), true);
    say_done(0, s);
    assert_contains(client_got(), "Content-Length: 10\r\n");
    assert_true(client_is_closed());
}

static void a_client_that_goes_away_cancels_within_a_turn(void **state)
{
    (void)state;
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    (void)close(client);
    client = -1;
    settle_bench();
    struct hob_frame f = heard_type(0, HOB_FRAME_CANCEL, NULL);
    assert_int_equal(f.stream, s);
    assert_int_equal(f.code, HOB_CANCEL_CLIENT_GONE);
    say_done(0, s);
}

static void errors_stay_with_the_owner(void **state)
{
    (void)state;
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_ERROR, .stream = s},
              PAIRS("errorType", "DbError", "errorMessage", "password=123", "stackTrace", "at secret.js"));
    say_done(0, s);
    const char *a = client_got();
    assert_contains(a, "502 Bad Gateway");
    assert_contains(a, "\"reason\":\"function_failed\"");
    assert_null(strstr(a, "password"));
    assert_null(strstr(a, "DbError"));
}

static void an_event_is_invoked_and_its_error_is_told_to_its_owner(void **state)
{
    (void)state;
    struct hob_str p, meta, data;
    struct hob_invoke_meta m;
    client_says("POST /invoke HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n{\"a\":true");
    fake_started(0);
    say_ready(0, "1");
    struct hob_frame f = heard_type(0, HOB_FRAME_INVOKE, &p);
    assert_true(hob_frame_split_meta(p, &meta, &data));
    assert_true(hob_invoke_meta_parse(meta, &m));
    assert_int_equal(m.kind, HOB_INVOKE_EVENT);
    assert_str_equal(data, "{\"a\":true");
    say_pairs(0, (struct hob_frame){.type = HOB_FRAME_ERROR, .stream = f.stream},
              PAIRS("errorType", "Oops", "errorMessage", "say \"hi\"", "stackTrace", "at x"));
    say_done(0, f.stream);
    const char *a = client_got();
    assert_contains(a, "502 Bad Gateway");
    assert_contains(a, "\"error\":{\"type\":\"Oops\",\"message\":\"say \\\"hi\\\"\",\"stack\":\"at x\"}}");
    assert_contains(a, "X-Hob-Version: 1");
    got_n = 0;
    client_says("POST /invoke HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    uint32_t s = heard_invoke(0);
    say_data(0, s, HOB_STR("{\"plain\":1}"), true); /* no HEAD */
    say_done(0, s);
    assert_contains(client_got(), "200 OK");
    assert_contains(client_got(), "Content-Type: application/json");
    assert_contains(client_got(), "{\"plain\":1}");
    assert_contains(client_got(), "Server-Timing: ");
}

static void a_preflight_is_answered_without_the_function(void **state)
{
    (void)state;
    route.cors = origins;
    route.cors_n = 1;
    route.has_credentials = true;
    client_says("OPTIONS /orders/1 HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://shop.example\r\n"
                "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-a\r\n\r\n");
    const char *a = client_got();
    assert_contains(a, "204 No Content");
    assert_contains(a, "Access-Control-Allow-Origin: https://shop.example\r\n");
    assert_contains(a, "Access-Control-Allow-Methods: POST\r\n");
    assert_contains(a, "Access-Control-Allow-Headers: x-a\r\n");
    assert_contains(a, "Access-Control-Allow-Credentials: true\r\n");
    assert_contains(a, "Vary: Origin");
    got_n = 0;
    client_says("OPTIONS /orders/1 HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://evil.example\r\n"
                "Access-Control-Request-Method: POST\r\n\r\n");
    assert_contains(client_got(), "204 No Content");
    assert_null(strstr(client_got(), "Access-Control-Allow-Origin"));
    assert_int_equal(fakes_n, 0);
}

static void cors_fields_are_the_routes_and_on_refusals_too(void **state)
{
    (void)state;
    route.cors = origins;
    route.cors_n = 1;
    client_says(
        "POST /orders/1 HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://shop.example\r\nContent-Length: 0\r\n\r\n");
    uint32_t s = warm();
    say_head(0, s, 200, PAIRS("access-control-allow-origin", "*", "vary", "Accept"), HOB_STR("x"), true);
    say_done(0, s);
    const char *a = client_got();
    assert_contains(a, "Access-Control-Allow-Origin: https://shop.example\r\n");
    assert_contains(a, "vary: Accept\r\n");
    assert_contains(a, "Vary: Origin\r\n");
    assert_null(strstr(a, "access-control-allow-origin: *"));
    got_n = 0;
    client_says(
        "POST /orders/1 HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://shop.example\r\nContent-Length: 0\r\n\r\n");
    (void)heard_invoke(0);
    fake_exit(0, (struct node_exit){.exit_code = 1});
    assert_contains(client_got(), "502 Bad Gateway");
    assert_contains(client_got(), "Access-Control-Allow-Origin: https://shop.example\r\n");
    got_n = 0;
    client_says("GET /orders/1 HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://shop.example\r\n\r\n");
    assert_contains(client_got(), "405");
    assert_contains(client_got(), "Access-Control-Allow-Origin: https://shop.example\r\n");
}

static void a_star_is_never_sent_with_credentials(void **state)
{
    (void)state;
    route.cors = any_origin;
    route.cors_n = 1;
    client_says(
        "POST /orders/1 HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://a.example\r\nContent-Length: 0\r\n\r\n");
    uint32_t s = warm();
    answer(0, s, "x");
    assert_contains(client_got(), "Access-Control-Allow-Origin: *\r\n");
    assert_null(strstr(client_got(), "Credentials"));
    got_n = 0;
    route.has_credentials = true; /* the manifest refuses this; the gateway does not rely on it */
    client_says(
        "POST /orders/1 HTTP/1.1\r\nHost: shop.example\r\nOrigin: https://a.example\r\nContent-Length: 0\r\n\r\n");
    answer(0, heard_invoke(0), "x");
    assert_null(strstr(client_got(), "Access-Control-Allow-Origin"));
}

static void a_long_upload_reaches_the_function_whole(void **state)
{
    (void)state;
    static char chunk[60000];
    struct hob_str p;
    size_t total = 0, sent = 0, size = 1200000;
    char head[128];
    (void)snprintf(head, sizeof head, "POST /fn/shop/f HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n",
                   size);
    client_says(head);
    fake_started(0);
    say_ready(0, "1");
    uint32_t s = heard_invoke(0);
    assert_int_not_equal(s, 0);
    bool is_end = false;
    for (int turn = 0; turn < 2000 && !is_end; turn++) {
        size_t want = size - sent < sizeof chunk ? size - sent : sizeof chunk;
        ssize_t n = want ? send(client, chunk, want, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
        sent += n > 0 ? (size_t)n : 0;
        for (struct hob_frame f; (f = heard(0, &p)).type == HOB_FRAME_BODY;) {
            total += f.len;
            is_end = f.flags & HOB_FRAME_END;
            if (f.len) {
                say(0, (struct hob_frame){.type = HOB_FRAME_CREDIT, .stream = s, .arg = f.len}, HOB_STR(""));
                say(0, (struct hob_frame){.type = HOB_FRAME_CREDIT, .arg = f.len}, HOB_STR(""));
            }
        }
    }
    assert_int_equal(total, size);
    answer(0, s, "got it");
    assert_contains(client_got(), "got it");
}

static void a_client_that_reads_nothing_holds_the_function_back(void **state)
{
    (void)state;
    static char block[32768];
    client_says(GET("/fn/shop/f", ""));
    uint32_t s = warm();
    say_head(0, s, 200, NO_PAIRS, HOB_STR(""), false);
    size_t window = CHANNEL_STREAM_WINDOW, sent = 0;
    for (int turn = 0; turn < 600; turn++) {
        while (window >= sizeof block) {
            say_data(0, s, hob_str_n(block, sizeof block), false);
            window -= sizeof block;
            sent += sizeof block;
        }
        for (struct hob_frame f; (f = heard(0, NULL)).type;)
            if (f.type == HOB_FRAME_CREDIT && f.stream == s)
                window += f.arg;
    }
    assert_true(sent < 14 << 20); /* the sockets' buffers and ours, not everything */
    size_t before = sent;
    for (int turn = 0; turn < 4000 && sent <= before + (1 << 20); turn++) {
        got_n = 0;
        (void)client_got();
        for (struct hob_frame f; (f = heard(0, NULL)).type;)
            if (f.type == HOB_FRAME_CREDIT && f.stream == s)
                window += f.arg;
        while (window >= sizeof block) {
            say_data(0, s, hob_str_n(block, sizeof block), false);
            window -= sizeof block;
            sent += sizeof block;
        }
    }
    assert_true(sent > before); /* it flows again once the client reads */
}

static void trailers_travel_both_ways(void **state)
{
    (void)state;
    struct hob_str p, meta, data;
    struct hob_pairs trailers;
    client_says("POST /fn/shop/f HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\n\r\n"
                "2\r\nhi\r\n0\r\nX-Sum: 42\r\n\r\n");
    fake_started(0);
    say_ready(0, "1");
    uint32_t s = heard_invoke(0);
    struct hob_frame f = heard_type(0, HOB_FRAME_BODY, &p);
    while (f.type == HOB_FRAME_BODY && !(f.flags & HOB_FRAME_END))
        f = heard_type(0, HOB_FRAME_BODY, &p);
    assert_int_equal(f.flags & HOB_FRAME_META, HOB_FRAME_META);
    assert_true(hob_frame_split_meta(p, &meta, &data));
    assert_true(hob_pairs_open(meta, 10, &trailers));
    assert_str_equal(hob_pairs_get(&trailers, "x-sum"), "42");
    say_head(0, s, 200, NO_PAIRS, HOB_STR("a"), false);
    hob_auto_buf struct hob_buf block, frame;
    hob_buf_init(&block, 4096);
    hob_buf_init(&frame, 4096);
    add_pairs(&block, PAIRS("x-answer-sum", "43"));
    assert_ok(hob_frame_add_meta(
        &frame, (struct hob_frame){.type = HOB_FRAME_DATA, .stream = s, .flags = HOB_FRAME_END},
        hob_buf_str(&block), HOB_STR("b")));
    say_bytes(0, hob_buf_data(&frame), frame.n);
    say_done(0, s);
    assert_contains(client_got(), "x-answer-sum: 43\r\n");
}

static void a_full_queue_is_503_with_retry_after(void **state)
{
    (void)state;
    struct outcome o;
    bench_config.queue_max = 1;
    call(&o);
    client_says(GET("/fn/shop/f", ""));
    assert_contains(client_got(), "503 Service Unavailable");
    assert_contains(client_got(), "\"reason\":\"queue_full\"");
    assert_contains(client_got(), "Retry-After: 1\r\n");
    invocation_cancel(o.inv, HOB_CANCEL_CLIENT_GONE);
}

static void an_early_answer_ends_the_upload(void **state)
{
    (void)state;
    client_says("POST /fn/shop/f HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nfirst bytes");
    uint32_t s = warm();
    say_head(0, s, 403, NO_PAIRS, HOB_STR("no"), true);
    say_done(0, s);
    assert_contains(client_got(), "403 Forbidden");
    assert_int_equal(fakes[0].stops, 0);
}

#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_function_answers_over_http),
        T(a_function_sees_its_own_path_and_filtered_fields),
        T(a_route_gives_its_parameters_decoded),
        T(strangers_are_told_what_they_asked_for_and_nothing_else_of_the_app),
        T(a_wrong_method_is_405_with_allow),
        T(a_version_is_called_by_number),
        T(bad_answers_are_502),
        T(a_head_may_be_as_large_as_a_requests_and_no_larger),
        T(hop_by_hop_fields_of_an_answer_do_not_leave),
        T(head_keeps_the_declared_length_and_has_no_body),
        T(streaming_sends_the_first_byte_at_once),
        T(a_failure_behind_the_head_breaks_the_answer_off),
        T(a_streamed_body_shorter_than_declared_is_broken_off),
        T(a_client_that_goes_away_cancels_within_a_turn),
        T(errors_stay_with_the_owner),
        T(an_event_is_invoked_and_its_error_is_told_to_its_owner),
        T(a_preflight_is_answered_without_the_function),
        T(cors_fields_are_the_routes_and_on_refusals_too),
        T(a_star_is_never_sent_with_credentials),
        T(a_long_upload_reaches_the_function_whole),
        T(a_client_that_reads_nothing_holds_the_function_back),
        T(trailers_travel_both_ways),
        T(a_full_queue_is_503_with_retry_after),
        T(an_early_answer_ends_the_upload),
    };
    return cmocka_run_group_tests_name("gateway", tests, NULL, NULL);
}
