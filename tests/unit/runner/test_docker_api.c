/* The Docker Engine API's client against a server that says what the test wants, good or hostile. */
#include "runner/docker/api.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "check.h"

enum { ASK_BYTES = 65536 };

struct server { /* one connection after the other, each answered alike */
    char dir[64], path[96];
    int listen_fd;
    pthread_t thread;
    const char *answer;
    size_t answer_n;
    size_t repeat;     /* the answer's last `repeat` bytes again and again */
    unsigned delay_ms; /* before each byte beyond the first 16 */
    bool is_silent, is_held;
    char asked[ASK_BYTES];
};

static void *serve(void *arg)
{
    struct server *s = arg;
    int fd;
    while ((fd = accept(s->listen_fd, NULL, NULL)) >= 0) {
        ssize_t n = read(fd, s->asked, sizeof s->asked - 1);
        s->asked[n > 0 ? n : 0] = '\0';
        size_t fast = s->delay_ms ? 16 : s->answer_n;
        if (!s->is_silent)
            (void)!send(fd, s->answer, fast < s->answer_n ? fast : s->answer_n, MSG_NOSIGNAL);
        for (size_t i = fast; i < s->answer_n && s->delay_ms; i++) {
            usleep(s->delay_ms * 1000);
            if (send(fd, s->answer + i, 1, MSG_NOSIGNAL) < 0)
                break;
        }
        while (s->repeat && send(fd, s->answer + s->answer_n - s->repeat, s->repeat, MSG_NOSIGNAL) > 0)
            continue;
        char more;
        while ((s->is_silent || s->is_held) && read(fd, &more, 1) > 0)
            continue;
        (void)close(fd);
    }
    return NULL;
}

struct world {
    uv_loop_t loop;
    struct server s;
    struct docker_target target;
    struct docker_api *api;
    /* what came */
    unsigned done, lines;
    int status;
    enum hob_code code;
    char message[240], body[256], version[16];
    bool has_json;
};

static void server_start(struct server *s)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(s->dir, sizeof s->dir, "/tmp/hob-docker-api-XXXXXX");
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->path, sizeof s->path, "%s/s", s->dir);
    (void)snprintf(at.sun_path, sizeof at.sun_path, "%s", s->path);
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(s->listen_fd, 8), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void on_done(void *ctx, const struct docker_answer *a, const struct hob_err *err)
{
    struct world *w = ctx;
    w->done++;
    w->status = a->status;
    w->code = err ? err->code : HOB_OK;
    w->has_json = a->json != NULL;
    (void)snprintf(w->message, sizeof w->message, "%s", err ? err->msg : "");
    (void)snprintf(w->body, sizeof w->body, "%.*s", (int)(a->body.n < 255 ? a->body.n : 255), a->body.at);
    memcpy(w->version, a->api_version, sizeof w->version);
}

static void on_line(void *ctx, const json_t *line)
{
    struct world *w = ctx;
    w->lines += json_is_object(line);
}

static void open_world(struct world *w)
{
    struct hob_err err;
    server_start(&w->s);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(docker_target_parse(&w->target, w->s.path, NULL, &err), HOB_OK);
    w->api = docker_api_new(&w->loop, &w->target);
}

static void close_world(struct world *w)
{
    docker_api_close(w->api, NULL, NULL);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    docker_target_done(&w->target);
    (void)shutdown(w->s.listen_fd, SHUT_RDWR);
    (void)pthread_join(w->s.thread, NULL);
    (void)close(w->s.listen_fd);
    (void)unlink(w->s.path);
    (void)rmdir(w->s.dir);
}

/* One question; the answer is in *w. */
static void ask(struct world *w, const struct docker_request *r)
{
    uint64_t until_ms = hob_now_ms() + 20000;
    open_world(w);
    (void)docker_call_start(w->api, r, on_done, w);
    assert_int_equal(w->done, 0); /* never from inside */
    while (!w->done && hob_now_ms() < until_ms)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    assert_int_equal(w->done, 1);
    close_world(w);
}

static const struct docker_request get = {.method = "GET", .path = "/x", .timeout_ms = 2000};

#define ANSWER(text) .s = {.answer = (text), .answer_n = sizeof(text) - 1}

static void a_good_answer_is_parsed_and_the_question_is_as_asked(void **state)
{
    struct world w = {
        ANSWER("HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 11\r\n\r\n{\"Id\":\"ab\"}")};
    (void)state;
    ask(&w, &(struct docker_request){.method = "POST",
                                     .path = "/containers/create",
                                     .body = HOB_STR("{\"a\":1}"),
                                     .timeout_ms = 2000});
    assert_int_equal(w.code, HOB_OK);
    assert_int_equal(w.status, 200);
    assert_true(w.has_json);
    assert_string_equal(w.version, "1.41");
    assert_non_null(strstr(w.s.asked, "POST /containers/create HTTP/1.1\r\n"));
    assert_non_null(strstr(w.s.asked, "Content-Type: application/json\r\n"));
    assert_non_null(strstr(w.s.asked, "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(w.s.asked, "Expect:"));
}

static void a_refusal_carries_the_engines_words_without_control_characters(void **state)
{
    struct world w = {ANSWER(
        "HTTP/1.1 404 Not Found\r\nContent-Length: 39\r\n\r\n{\"message\":\"No such \\u001b[31mimage\"}  ")};
    (void)state;
    ask(&w, &get);
    assert_int_equal(w.code, HOB_E_NOT_FOUND);
    assert_string_equal(w.message, "Docker answered 404: No such  [31mimage");
}

static void a_truncated_answer_is_an_error(void **state)
{
    struct world w = {ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{\"Id\":")};
    (void)state;
    ask(&w, &get);
    assert_int_equal(w.code, HOB_E_UNAVAILABLE);
}

static void broken_json_is_an_error(void **state)
{
    struct world w = {ANSWER("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n{\"Id\":")};
    (void)state;
    ask(&w, &get);
    assert_int_equal(w.code, HOB_E_INVALID);
    assert_false(w.has_json);
}

static void what_speaks_no_http_is_named_so(void **state)
{
    struct world w = {ANSWER("220 mail.example ESMTP\r\n")};
    (void)state;
    ask(&w, &get);
    assert_int_equal(w.code, HOB_E_INVALID);
    assert_non_null(strstr(w.message, "no Docker"));
}

static void an_endless_body_is_cut_off(void **state)
{
    struct world w = {ANSWER(
        "HTTP/1.1 200 OK\r\n\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")};
    (void)state;
    w.s.repeat = 64;
    ask(&w, &(struct docker_request){.method = "GET", .path = "/x", .timeout_ms = 15000});
    assert_int_equal(w.code, HOB_E_INVALID);
    assert_non_null(strstr(w.message, "larger"));
}

static void an_endless_head_is_cut_off(void **state)
{
    struct world w = {
        ANSWER("HTTP/1.1 200 OK\r\nX-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n")};
    (void)state;
    w.s.repeat = 57;
    ask(&w, &(struct docker_request){.method = "GET", .path = "/x", .timeout_ms = 15000});
    assert_int_not_equal(w.code, HOB_OK);
    assert_int_not_equal(w.code, HOB_E_TIMEOUT);
}

static void silence_meets_the_deadline(void **state)
{
    struct world w = {.s = {.is_silent = true}};
    uint64_t began = hob_now_ms();
    (void)state;
    ask(&w, &(struct docker_request){.method = "GET", .path = "/x", .timeout_ms = 150});
    assert_int_equal(w.code, HOB_E_TIMEOUT);
    assert_true(hob_now_ms() - began >= 140);
}

static void a_drip_of_bytes_meets_the_deadline_too(void **state)
{
    struct world w = {ANSWER(
        "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n{                                                  ")};
    (void)state;
    w.s.delay_ms = 20;
    ask(&w, &(struct docker_request){.method = "GET", .path = "/x", .timeout_ms = 300});
    assert_int_equal(w.code, HOB_E_TIMEOUT);
}

static void nobody_there_says_why(void **state)
{
    struct world w = {0};
    struct hob_err err;
    (void)state;
    assert_int_equal(uv_loop_init(&w.loop), 0);
    assert_int_equal(docker_target_parse(&w.target, "unix:///nonexistent/docker.sock", NULL, &err), HOB_OK);
    w.api = docker_api_new(&w.loop, &w.target);
    (void)docker_call_start(w.api, &get, on_done, &w);
    while (!w.done)
        (void)uv_run(&w.loop, UV_RUN_ONCE);
    assert_int_equal(w.code, HOB_E_UNAVAILABLE);
    assert_non_null(strstr(w.message, "No such file"));
    docker_api_close(w.api, NULL, NULL);
    assert_int_equal(uv_run(&w.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&w.loop), 0);
    docker_target_done(&w.target);
}

static void a_stream_gives_its_lines_and_skips_what_is_none(void **state)
{
    struct world w = {ANSWER(
        "HTTP/1.1 200 OK\r\nContent-Length: 49\r\n\r\n{\"Action\":\"oom\"}\n\nnonsense{\n{\"Action\":\"die\"}\nhalf")};
    (void)state;
    ask(&w, &(struct docker_request){.method = "GET", .path = "/events", .line = on_line});
    assert_int_equal(w.code, HOB_OK);
    assert_int_equal(w.lines, 2);
}

static void a_line_without_end_is_cut_off(void **state)
{
    struct world w = {ANSWER(
        "HTTP/1.1 200 OK\r\n\r\n{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")};
    (void)state;
    w.s.repeat = 64;
    ask(&w, &(struct docker_request){.method = "GET", .path = "/events", .line = on_line});
    assert_int_equal(w.code, HOB_E_INVALID);
}

static void a_cancelled_call_ends_without_a_word(void **state)
{
    struct world w = {.s = {.is_silent = true}};
    (void)state;
    open_world(&w);
    struct docker_call *c = docker_call_start(w.api, &get, on_done, &w);
    for (int i = 0; i < 5; i++)
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    assert_int_equal(docker_api_calls(w.api), 1);
    docker_call_cancel(c);
    assert_int_equal(docker_api_calls(w.api), 0);
    close_world(&w);
    assert_int_equal(w.done, 0);
}

static void closing_ends_what_runs_without_a_word(void **state)
{
    struct world w = {.s = {.is_silent = true}};
    (void)state;
    open_world(&w);
    for (int i = 0; i < 4; i++)
        (void)docker_call_start(w.api, &get, on_done, &w);
    for (int i = 0; i < 5; i++)
        (void)uv_run(&w.loop, UV_RUN_NOWAIT);
    close_world(&w);
    assert_int_equal(w.done, 0);
}

static void hosts_are_judged(void **state)
{
    static const char *const bad[] = {"",
                                      "docker.sock",
                                      "unix://",
                                      "unix://relative",
                                      "http://x:1",
                                      "tcp://",
                                      "tcp://example.org:2375",
                                      "tcp://user@127.0.0.1:1",
                                      "tcp://127.0.0.1:1/path"};
    struct docker_target t;
    struct hob_err err;
    (void)state;
    for (size_t i = 0; i < HOB_COUNT(bad); i++)
        assert_int_equal(docker_target_parse(&t, bad[i], NULL, &err), HOB_E_INVALID);
    assert_int_equal(docker_target_parse(&t, "tcp://127.0.0.1:2375", NULL, &err), HOB_OK);
    assert_string_equal(t.base_url, "http://127.0.0.1:2375");
    docker_target_done(&t);
    assert_int_equal(docker_target_parse(&t, "tcp://example.org:2376", "/certs", &err), HOB_OK);
    assert_string_equal(t.base_url, "https://example.org:2376");
    docker_target_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_answer_is_parsed_and_the_question_is_as_asked),
        cmocka_unit_test(a_refusal_carries_the_engines_words_without_control_characters),
        cmocka_unit_test(a_truncated_answer_is_an_error),
        cmocka_unit_test(broken_json_is_an_error),
        cmocka_unit_test(what_speaks_no_http_is_named_so),
        cmocka_unit_test(an_endless_body_is_cut_off),
        cmocka_unit_test(an_endless_head_is_cut_off),
        cmocka_unit_test(silence_meets_the_deadline),
        cmocka_unit_test(a_drip_of_bytes_meets_the_deadline_too),
        cmocka_unit_test(nobody_there_says_why),
        cmocka_unit_test(a_stream_gives_its_lines_and_skips_what_is_none),
        cmocka_unit_test(a_line_without_end_is_cut_off),
        cmocka_unit_test(a_cancelled_call_ends_without_a_word),
        cmocka_unit_test(closing_ends_what_runs_without_a_word),
        cmocka_unit_test(hosts_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
