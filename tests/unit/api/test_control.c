/* The control API over a real HTTP server, a real store and every real part but a node: nothing can be started here,
 * which tests/e2e does. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "../check.h"

#include "api/control/control_priv.h"
#include "api/front.h"
#include "api/gateway/gateway.h"
#include "base/clock.h"
#include "base/frame.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "controller/catalog.h"
#include "store/rows.h"

static const char manifest_text[] =
    "{\"app\":\"shop\",\"functions\":{\"hello\":{\"runtime\":\"shell\",\"entry\":\"index.sh\",\"vars\":{\"COLOR\":\"red\"},"
    "\"secrets\":[\"PAY_KEY\"],\"routes\":[{\"path\":\"/hi/:name\",\"methods\":[\"GET\"]}]},"
    "\"other\":{\"runtime\":\"shell\",\"entry\":\"index.sh\"}}}";

struct world {
    uv_loop_t loop;
    char home[64], token[TOKEN_CHARS + 1];
    struct runtimes *runtimes;
    struct store *store;
    struct vault *vault;
    struct tokens *tokens;
    struct code_store *code;
    struct catalog *catalog;
    struct logs *logs;
    struct node_hub *nodes;
    struct dispatcher *dispatcher;
    struct deployer *deployer;
    struct admin *admin;
    struct gateway *gateway;
    struct control *control;
    struct front *front;
    struct http_server *server;
    struct hob_buf answer; /* of the last call */
    int status;
};

/* --- making and closing ------------------------------------------------------------------------------------------- */

static enum hob_code fill_store(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const struct manifest *m = ctx;
    struct app_row app;
    char digest[65];
    memset(digest, 'a', 64);
    digest[64] = '\0';
    struct code_row code = {.digest = digest, .files = 1, .bytes = 10, .created_ms = 1700000000000};
    if (store_code_put(tx, &code, err) != HOB_OK ||
        store_app_ensure(tx, m->app, 1700000000000, &app, err) != HOB_OK)
        return err->code;
    for (size_t i = 0; i < m->functions_n; i++) {
        struct function_row f;
        struct version_row v = {0}, made;
        struct hob_buf text hob_auto_buf;
        struct hob_jw w;
        hob_buf_init(&text, 100000);
        hob_jw_init(&w, &text);
        function_config_write(&m->functions[i], &w);
        hob_auto_free char *json = hob_buf_take(&text);
        v.config_json = json;
        v.digest = digest;
        v.env_json = "{}";
        v.why = "deploy";
        v.has_routes = m->functions[i].routes_n > 0;
        v.created_ms = 1700000000000;
        if (store_function_ensure(tx, app.id, m->functions[i].name, 1700000000000, &f, err) != HOB_OK)
            return err->code;
        v.function_id = f.id;
        for (int n = 0; n < 2; n++)
            if (store_version_insert(tx, &v, &made, err) != HOB_OK ||
                store_function_set_live(tx, f.id, made.number, err) != HOB_OK)
                return err->code;
    }
    return HOB_OK;
}

static char *in_home(const struct world *w, const char *name)
{
    return hob_asprintf("%s/%s", w->home, name);
}

static void open_stores(struct world *w)
{
    struct hob_err err = {0};
    static const char *const folders[] = {"tmp", "run", "logs", "runtimes/shell"};
    for (size_t i = 0; i < HOB_COUNT(folders); i++) {
        hob_auto_free char *path = in_home(w, folders[i]);
        assert_ok(hob_mkdirs(path, 0700, &err));
    }
    hob_auto_free char *db = in_home(w, "hob.db"), *key = in_home(w, "master.key"),
                       *token = in_home(w, "admin.token"), *code = in_home(w, "code"),
                       *runtimes = in_home(w, "runtimes"), *shell = in_home(w, "runtimes/shell/runtime.json"),
                       *logs = in_home(w, "logs"), *socket_path = in_home(w, "run/runner.sock");
    assert_ok(hob_write_file(
        shell,
        HOB_STR("{\"name\":\"shell\",\"title\":\"Shell\",\"version\":[\"/bin/sh\",\"-c\",\"echo 1.2\"],"
                "\"needs\":[\"/bin/sh\"],\"install\":\"apt-get install dash\",\"argv\":[\"/bin/sh\"],"
                "\"entries\":[\"index.sh\"]}"),
        0644, &err));
    struct manifest *m = manifest_parse(hob_str(manifest_text), NULL, &err);
    if (!m)
        fail_msg("%s", err.msg);
    w->runtimes = runtimes_load(runtimes, &err);
    w->store = store_open(&w->loop, db, &err);
    assert_non_null(w->store);
    if (store_write_now(w->store, fill_store, m, &err) != HOB_OK)
        fail_msg("%s", err.msg);
    manifest_free(m);
    w->vault = vault_open(w->store, key, &err);
    w->tokens = tokens_open(w->store, token, &err);
    w->code = code_store_open(code, &err);
    w->catalog = catalog_new();
    assert_ok(catalog_load(w->catalog, w->store, w->code, &err));
    w->logs = logs_start(&w->loop, logs, &err);
    w->nodes = node_hub_start(&w->loop, socket_path, getuid(), &err);
    struct hob_buf text hob_auto_buf;
    hob_buf_init(&text, 1000);
    assert_ok(hob_read_file(token, &text, &err));
    struct hob_str rest, line = hob_str_cut(hob_buf_str(&text), '\n', &rest);
    assert_int_equal(line.n, TOKEN_CHARS);
    memcpy(w->token, line.at, TOKEN_CHARS);
}

static void remove_logs(void *ctx, const char *app, const char *function)
{
    const struct world *w = ctx;
    logs_remove(w->logs, app, function);
}

static int make_world(void **state)
{
    struct world *w = hob_new(struct world);
    struct hob_err err = {0};
    (void)snprintf(w->home, sizeof w->home, "/tmp/hob-control-XXXXXX");
    assert_non_null(mkdtemp(w->home));
    assert_int_equal(uv_loop_init(&w->loop), 0);
    hob_buf_init(&w->answer, 64 * 1024 * 1024);
    open_stores(w);
    w->dispatcher = dispatcher_start(&(struct dispatcher_options){.loop = &w->loop,
                                                                  .catalog = w->catalog,
                                                                  .nodes = w->nodes,
                                                                  .logs = w->logs,
                                                                  .vault = w->vault,
                                                                  .runtimes = w->runtimes,
                                                                  .clock = &hob_clock_real});
    w->deployer = deployer_new(
        &(struct deployer_options){&w->loop, w->store, w->catalog, w->code, w->runtimes, w->nodes, w->vault, NULL});
    w->admin =
        admin_new(&(struct admin_options){&w->loop, w->store, w->catalog, w->code, w->vault, remove_logs, w});
    w->gateway = gateway_new(&(struct gateway_options){w->catalog, w->dispatcher});
    w->control = control_new(&(struct control_options){.loop = &w->loop,
                                                       .home = w->home,
                                                       .store = w->store,
                                                       .catalog = w->catalog,
                                                       .dispatcher = w->dispatcher,
                                                       .deployer = w->deployer,
                                                       .admin = w->admin,
                                                       .vault = w->vault,
                                                       .tokens = w->tokens,
                                                       .logs = w->logs,
                                                       .nodes = w->nodes,
                                                       .runtimes = w->runtimes,
                                                       .gateway = w->gateway});
    w->front = front_new(&(struct front_options){.control = w->control,
                                                 .gateway = w->gateway,
                                                 .store = w->store,
                                                 .catalog = w->catalog,
                                                 .dispatcher = w->dispatcher,
                                                 .logs = w->logs,
                                                 .nodes = w->nodes,
                                                 .tokens = w->tokens});
    w->server = http_server_start(
        &w->loop,
        &(struct http_server_options){.host = "127.0.0.1", .on_request = front_handle, .ctx = w->front},
        &err);
    assert_non_null(w->server);
    front_watch(w->front, w->server);
    *state = w;
    return 0;
}

static void set_flag(void *ctx)
{
    *(bool *)ctx = true;
}

static void wait_for(struct world *w, const bool *flag)
{
    while (!*flag)
        (void)uv_run(&w->loop, UV_RUN_ONCE);
}

#define CLOSE(w, verb, ...)                                                                                  \
    do {                                                                                                     \
        bool is_closed = false;                                                                              \
        verb(__VA_ARGS__, set_flag, &is_closed);                                                             \
        wait_for(w, &is_closed);                                                                             \
    } while (0)

static int drop_world(void **state)
{
    struct world *w = *state;
    struct hob_err err;
    front_drain(w->front);
    CLOSE(w, http_server_drain, w->server, 500);
    CLOSE(w, control_close, w->control);
    front_free(w->front);
    CLOSE(w, deployer_close, w->deployer);
    CLOSE(w, admin_close, w->admin);
    CLOSE(w, dispatcher_drain, w->dispatcher, 100);
    gateway_free(w->gateway);
    CLOSE(w, node_hub_close, w->nodes);
    CLOSE(w, logs_close, w->logs);
    catalog_free(w->catalog);
    code_store_free(w->code);
    tokens_free(w->tokens);
    vault_free(w->vault);
    CLOSE(w, store_close, w->store);
    runtimes_free(w->runtimes);
    assert_int_equal(uv_run(&w->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    hob_buf_done(&w->answer);
    int rc = hob_remove_tree(w->home, &err) == HOB_OK ? 0 : -1;
    free(w);
    return rc;
}

/* --- a client on the same loop -------------------------------------------------------------------------------------- */

static int dial(struct world *w)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(http_server_port(w->server))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void turn(struct world *w)
{
    (void)uv_run(&w->loop, UV_RUN_NOWAIT);
    (void)usleep(200);
}

static void send_all(struct world *w, int fd, struct hob_str data)
{
    uint64_t until = hob_now_ms() + 20000;
    while (data.n && hob_now_ms() < until) {
        ssize_t n = send(fd, data.at, data.n, MSG_NOSIGNAL);
        if (n > 0)
            data = hob_str_n(data.at + n, data.n - (size_t)n);
        else if (n < 0 && errno != EAGAIN)
            return; /* the server may have answered and closed: what it said is judged */
        turn(w);
    }
    assert_true(data.n == 0);
}

/* Until the peer closes, or `ms` went by. */
static void receive(struct world *w, int fd, uint64_t ms)
{
    static char piece[65536];
    uint64_t until = hob_now_ms() + ms;
    while (hob_now_ms() < until) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return;
        if (n > 0)
            assert_ok(hob_buf_add(&w->answer, piece, (size_t)n));
        else
            turn(w);
    }
}

static const char *head_and_body(struct world *w)
{
    assert_ok(hob_buf_add(&w->answer, "", 1));
    w->status = w->answer.n > 12 ? (int)strtol(hob_buf_data(&w->answer) + 9, NULL, 10) : 0;
    char *body = strstr(hob_buf_data(&w->answer), "\r\n\r\n");
    return body ? body + 4 : "";
}

/* One call on a connection of its own; returns the body (chunk sizes and all, when chunked). */
static const char *call_with(struct world *w, const char *line, const char *fields, struct hob_str body)
{
    hob_auto_close int fd = dial(w);
    char head[1024];
    int n =
        snprintf(head, sizeof head,
                 "%s HTTP/1.1\r\nHost: hob.test:7070\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n",
                 line, fields, body.n);
    hob_buf_clear(&w->answer);
    send_all(w, fd, hob_str_n(head, (size_t)n));
    send_all(w, fd, body);
    receive(w, fd, 20000);
    return head_and_body(w);
}

static const char *call(struct world *w, const char *line, const char *body)
{
    char auth[128];
    (void)snprintf(auth, sizeof auth, "Authorization: Bearer %s\r\n", w->token);
    return call_with(w, line, auth, hob_str(body));
}

static bool answer_has(const struct world *w, const char *text)
{
    return strstr(hob_buf_data(&w->answer), text) != NULL;
}

static json_t *json_of(const char *body)
{
    struct hob_err err = {0};
    json_t *j = hob_json_parse(hob_str(body), "answer", &err);
    if (!j)
        fail_msg("%s in: %s", err.msg, body);
    return j;
}

static void assert_problem(struct world *w, const char *body, int status, const char *reason)
{
    json_t *j hob_auto_json = json_of(body);
    if (w->status != status || strcmp(json_string_value(json_object_get(j, "reason")), reason) != 0)
        fail_msg("wanted %d %s, got %d: %s", status, reason, w->status, body);
    assert_true(answer_has(w, "application/problem+json"));
    assert_int_equal(json_integer_value(json_object_get(j, "status")), status);
    assert_non_null(json_string_value(json_object_get(j, "request_id")));
}

/* --- the front ------------------------------------------------------------------------------------------------------ */

static void health_and_readiness_are_told_apart(void **state)
{
    struct world *w = *state;
    assert_contains(call_with(w, "GET /healthz", "", HOB_STR("")), "\"ok\"");
    assert_int_equal(w->status, 200);
    assert_problem(w, call_with(w, "GET /readyz", "", HOB_STR("")), 503, "no_runner");
    (void)call_with(w, "POST /healthz", "", HOB_STR("x"));
    assert_int_equal(w->status, 405);
    assert_true(answer_has(w, "GET, HEAD"));
    (void)call_with(w, "HEAD /healthz", "", HOB_STR(""));
    assert_int_equal(w->status, 200);
    assert_false(answer_has(w, "\"ok\""));
}

static void metrics_are_prometheus_text(void **state)
{
    struct world *w = *state;
    const char *body = call_with(w, "GET /metrics", "", HOB_STR(""));
    assert_int_equal(w->status, 200);
    assert_true(answer_has(w, "text/plain; version=0.0.4"));
    assert_contains(body, "# TYPE hob_http_requests_total counter");
    assert_contains(body, "\nhob_functions 2\n");
    assert_contains(body, "process_resident_memory_bytes ");
    /* every line is a comment or `name[{labels}] number` */
    for (const char *at = body; *at;) {
        const char *end = strchr(at, '\n');
        assert_non_null(end);
        const char *space = memrchr(at, ' ', (size_t)(end - at));
        char *rest = NULL;
        if (*at != '#') {
            assert_non_null(space);
            (void)strtod(space + 1, &rest);
            assert_ptr_equal(rest, end);
        }
        at = end + 1;
    }
    assert_problem(w, call_with(w, "GET /metrics", "X-Forwarded-For: 192.0.2.1\r\n", HOB_STR("")), 401,
                   "unauthorized");
    (void)call(w, "GET /metrics", "");
    assert_int_equal(w->status, 200);
}

/* --- tokens --------------------------------------------------------------------------------------------------------- */

static void every_call_but_version_needs_a_token(void **state)
{
    struct world *w = *state;
    assert_contains(call_with(w, "GET /v1/version", "", HOB_STR("")), "\"api\":1");
    assert_int_equal(w->status, 200);
    assert_problem(w, call_with(w, "GET /v1/apps", "", HOB_STR("")), 401, "unauthorized");
    assert_true(answer_has(w, "www-authenticate: Bearer") || answer_has(w, "WWW-Authenticate: Bearer"));
    assert_problem(w, call_with(w, "GET /v1/nothing", "", HOB_STR("")), 401, "unauthorized");
    assert_problem(w, call_with(w, "GET /v1/apps", "Authorization: Bearer hob_0\r\n", HOB_STR("")), 401,
                   "unauthorized");
    assert_problem(w, call_with(w, "GET /v1/apps", "Authorization: Basic aGVsbG8=\r\n", HOB_STR("")), 401,
                   "unauthorized");
    char lower[160];
    (void)snprintf(lower, sizeof lower, "authorization: bearer  %s\r\n", w->token);
    (void)call_with(w, "GET /v1/apps", lower, HOB_STR(""));
    assert_int_equal(w->status, 200);
}

static void wrong_tokens_are_slowed_down_and_right_ones_never(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < HOB_MAX_API_AUTH_FAILURES; i++) {
        (void)call_with(w, "GET /v1/apps", "Authorization: Bearer wrong\r\n", HOB_STR(""));
        assert_int_equal(w->status, 401);
    }
    assert_problem(w, call_with(w, "GET /v1/apps", "Authorization: Bearer wrong\r\n", HOB_STR("")), 429,
                   "too_many_failures");
    assert_true(answer_has(w, "etry-") || answer_has(w, "retry-after"));
    (void)call(w, "GET /v1/apps", "");
    assert_int_equal(w->status, 200);
}

static void failures_are_forgotten_after_a_minute(void **state)
{
    struct hob_err err = {0};
    struct auth_guard *g = auth_guard_new();
    unsigned retry_s = 0;
    (void)state;
    for (int i = 0; i < HOB_MAX_API_AUTH_FAILURES; i++)
        assert_int_equal(auth_guard_failed(g, "192.0.2.9", 1000, &retry_s, &err), HOB_E_UNAUTHORIZED);
    assert_int_equal(auth_guard_failed(g, "192.0.2.9", 60999, &retry_s, &err), HOB_E_BUSY);
    assert_in_range(retry_s, 1, 60);
    assert_int_equal(auth_guard_failed(g, "192.0.2.9", 61000, &retry_s, &err), HOB_E_UNAUTHORIZED);
    auth_guard_free(g);
}

/* --- routing and judging --------------------------------------------------------------------------------------------- */

static void unknown_paths_methods_and_names_are_told(void **state)
{
    struct world *w = *state;
    assert_problem(w, call(w, "GET /v1/app", ""), 404, "no_such_call");
    assert_problem(w, call(w, "GET /v1/apps/", ""), 404, "no_such_call");
    assert_problem(w, call(w, "DELETE /v1/functions", ""), 405, "method_not_allowed");
    assert_true(answer_has(w, "GET, HEAD"));
    assert_problem(w, call(w, "PATCH /v1/apps/shop/functions/hello/aliases/prod", "{}"), 405,
                   "method_not_allowed");
    assert_true(answer_has(w, "PUT, DELETE"));
    assert_problem(w, call(w, "GET /v1/apps/SHOP/functions", ""), 400, "bad_name");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/a%2Fb", ""), 400, "bad_name");
    assert_problem(w, call(w, "PUT /v1/apps/shop/secrets/low-er", "{\"value\":\"x\"}"), 400, "invalid");
    (void)call(w, "GET /v1/apps/shop/functions/helo", "");
    assert_int_equal(w->status, 404);
    assert_true(answer_has(w, "hello"));
    (void)call(w, "GET /v1/apps/shp/functions", "");
    assert_int_equal(w->status, 404);
    (void)call(w, "HEAD /v1/apps", "");
    assert_int_equal(w->status, 200);
}

static void queries_are_judged(void **state)
{
    struct world *w = *state;
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?tial=3", ""), 400, "unknown_parameter");
    assert_true(answer_has(w, "did you mean 'tail'?"));
    assert_problem(w, call(w, "GET /v1/apps?x=1", ""), 400, "unknown_parameter");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?tail=-1", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?tail=10001", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?tail=1&tail=2", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?level=loud", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?since=yesterday", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?level=%zz", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?level=%00", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?request=a%00b", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/apps/shop/functions/hello/logs?request=%ff", ""), 400, "invalid");
    assert_problem(w, call(w, "GET /v1/instances?function=hello", ""), 400, "invalid");
    (void)call(
        w, "GET /v1/apps/shop/functions/hello/logs?tail=10000&since=2026-11-20T05:22:00.5Z&&level=warn", "");
    assert_int_equal(w->status, 200);
}

static void bodies_are_judged(void **state)
{
    struct world *w = *state;
    static const char rollback[] = "POST /v1/apps/shop/functions/hello/rollback";
    static const char env[] = "PATCH /v1/apps/shop/functions/hello/env";
    assert_problem(w, call(w, rollback, "{\"versoin\":1}"), 400, "unknown_member");
    assert_true(answer_has(w, "did you mean 'version'?"));
    assert_problem(w, call(w, rollback, "{\"version\":\"1\"}"), 400, "invalid");
    assert_problem(w, call(w, rollback, "{\"version\":-1}"), 400, "invalid");
    assert_problem(w, call(w, rollback, "{\"version\":0}"), 400, "invalid");
    assert_problem(w, call(w, rollback, "{\"version\":4294967296}"), 400, "invalid");
    assert_problem(w, call(w, rollback, "{\"version\":1"), 400, "bad_json");
    assert_problem(w, call(w, rollback, "[]"), 400, "invalid");
    assert_problem(w, call(w, "PUT /v1/apps/shop/functions/hello/aliases/prod", ""), 400, "invalid");
    assert_problem(w, call(w, env, "{}"), 400, "invalid");
    assert_problem(w, call(w, env, "{\"set\":{\"A\":1}}"), 400, "invalid");
    assert_problem(w, call(w, env, "{\"set\":{\"A\":\"x\"},\"unset\":[\"A\"]}"), 400, "invalid");
    (void)call(w, env, "{\"set\":{\"a b\":\"x\"}}");
    assert_int_equal(w->status, 400);
    size_t n = HOB_MAX_API_BODY_BYTES + 1;
    hob_auto_free char *big = hob_calloc(1, n + 1);
    memset(big, ' ', n);
    (void)call(w, rollback, big);
    assert_int_equal(w->status, 413);
    big[n - 1] = '\0'; /* at the limit: an empty body */
    (void)call(w, rollback, big);
    assert_int_equal(w->status, 200);
    memset(big, 'x', HOB_MAX_SECRET_BYTES + 64);
    memcpy(big, "{\"value\":\"", 10);
    memcpy(big + 10 + HOB_MAX_SECRET_BYTES, "\"}", 3);
    (void)call(w, "PUT /v1/apps/shop/secrets/BIG", big);
    assert_int_equal(w->status, 200);
    memcpy(big + 10 + HOB_MAX_SECRET_BYTES, "x\"}", 4);
    assert_problem(w, call(w, "PUT /v1/apps/shop/secrets/BIG", big), 413, "too_large");
}

/* --- what it says and does -------------------------------------------------------------------------------------------- */

static void functions_are_listed_and_described(void **state)
{
    struct world *w = *state;
    json_t *apps hob_auto_json = json_of(call(w, "GET /v1/apps", ""));
    json_t *app = json_array_get(json_object_get(apps, "apps"), 0);
    assert_string_equal(json_string_value(json_object_get(app, "name")), "shop");
    assert_int_equal(json_integer_value(json_object_get(app, "functions")), 2);
    json_t *all hob_auto_json = json_of(call(w, "GET /v1/functions", ""));
    json_t *own hob_auto_json = json_of(call(w, "GET /v1/apps/shop/functions", ""));
    assert_int_equal(json_array_size(json_object_get(all, "functions")), 2);
    assert_true(json_equal(all, own));
    json_t *f hob_auto_json = json_of(call(w, "GET /v1/apps/shop/functions/hello", ""));
    assert_string_equal(json_string_value(json_object_get(f, "url")), "http://hob.test:7070/fn/shop/hello");
    assert_string_equal(json_string_value(json_object_get(f, "state")), "idle");
    assert_string_equal(json_string_value(json_object_get(f, "runtime")), "shell");
    assert_int_equal(json_integer_value(json_object_get(f, "version")), 2);
    assert_string_equal(json_string_value(json_object_get(json_object_get(f, "env"), "COLOR")), "red");
    assert_string_equal(json_string_value(json_array_get(json_object_get(f, "secrets"), 0)), "PAY_KEY");
    assert_true(json_is_null(json_object_get(f, "crash")));
    json_t *route = json_array_get(json_object_get(f, "routes"), 0);
    assert_string_equal(json_string_value(json_object_get(route, "path")), "/hi/:name");
    json_t *instances hob_auto_json = json_of(call(w, "GET /v1/instances?app=shop&function=hello", ""));
    assert_int_equal(json_array_size(json_object_get(instances, "instances")), 0);
}

static void versions_aliases_and_rollback_fit_together(void **state)
{
    struct world *w = *state;
    static const char alias[] = "PUT /v1/apps/shop/functions/hello/aliases/prod";
    assert_contains(call(w, alias, "{\"version\":1}"), "{\"alias\":\"prod\",\"version\":1}");
    (void)call(w, alias, "{\"version\":9}");
    assert_int_equal(w->status, 404);
    json_t *v hob_auto_json = json_of(call(w, "GET /v1/apps/shop/functions/hello/versions", ""));
    json_t *list = json_object_get(v, "versions");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "version")), 2);
    assert_true(json_is_true(json_object_get(json_array_get(list, 0), "is_live")));
    assert_string_equal(json_string_value(json_object_get(json_array_get(list, 1), "why")), "deploy");
    assert_string_equal(
        json_string_value(json_array_get(json_object_get(json_array_get(list, 1), "aliases"), 0)), "prod");
    assert_contains(call(w, "POST /v1/apps/shop/functions/hello/rollback", ""),
                    "{\"version\":1,\"previous\":2}");
    assert_contains(call(w, "POST /v1/apps/shop/functions/hello/rollback", "{\"version\":2}"),
                    "{\"version\":2,\"previous\":1}");
    assert_contains(call(w, "GET /v1/apps/shop/functions/hello/aliases", ""), "\"prod\"");
    assert_string_equal(call(w, "DELETE /v1/apps/shop/functions/hello/aliases/prod", ""), "{}");
    (void)call(w, "DELETE /v1/apps/shop/functions/hello/aliases/prod", "");
    assert_int_equal(w->status, 404);
}

static void env_changes_make_a_version(void **state)
{
    struct world *w = *state;
    static const char env[] = "PATCH /v1/apps/shop/functions/hello/env";
    json_t *e hob_auto_json = json_of(call(w, env, "{\"set\":{\"SIZE\":\"9\",\"COLOR\":\"blue\"}}"));
    assert_int_equal(json_integer_value(json_object_get(e, "version")), 3);
    assert_string_equal(json_string_value(json_object_get(json_object_get(e, "env"), "SIZE")), "9");
    assert_string_equal(json_string_value(json_object_get(json_object_get(e, "env"), "COLOR")), "blue");
    assert_contains(call(w, "GET /v1/apps/shop/functions/hello/env", ""), "\"SIZE\":\"9\"");
    /* unset gives hob.json's value back */
    json_t *back hob_auto_json = json_of(call(w, env, "{\"unset\":[\"SIZE\",\"COLOR\"]}"));
    assert_int_equal(json_integer_value(json_object_get(back, "version")), 4);
    assert_string_equal(json_string_value(json_object_get(json_object_get(back, "env"), "COLOR")), "red");
    assert_null(json_object_get(json_object_get(back, "env"), "SIZE"));
    (void)call(w, env, "{\"unset\":[\"NONE\"]}");
    assert_int_equal(w->status, 404);
}

static void secrets_never_come_back(void **state)
{
    struct world *w = *state;
    static const char secret[] = "s3cr3t-value-of-this-test";
    assert_contains(call(w, "PUT /v1/apps/shop/secrets/PAY_KEY", "{\"value\":\"s3cr3t-value-of-this-test\"}"),
                    "PAY_KEY");
    assert_int_equal(w->status, 200);
    assert_false(answer_has(w, secret));
    static const char *const asks[] = {"GET /v1/apps/shop/secrets", "GET /v1/apps/shop/functions/hello",
                                       "GET /v1/apps/shop/functions/hello/env", "GET /v1/functions",
                                       "GET /metrics"};
    for (size_t i = 0; i < HOB_COUNT(asks); i++) {
        (void)call(w, asks[i], "");
        assert_int_equal(w->status, 200);
        assert_false(answer_has(w, secret));
    }
    assert_contains(call(w, "GET /v1/apps/shop/secrets", ""), "\"updated_at\"");
    (void)call(w, "POST /v1/backup", "");
    assert_int_equal(w->status, 200);
    assert_null(memmem(hob_buf_data(&w->answer), w->answer.n, secret, sizeof secret - 1));
    assert_string_equal(call(w, "DELETE /v1/apps/shop/secrets/PAY_KEY", ""), "{}");
    (void)call(w, "DELETE /v1/apps/shop/secrets/PAY_KEY", "");
    assert_int_equal(w->status, 404);
}

static void removing_is_final(void **state)
{
    struct world *w = *state;
    assert_string_equal(call(w, "DELETE /v1/apps/shop/functions/hello", ""), "{}");
    (void)call(w, "GET /v1/apps/shop/functions/hello", "");
    assert_int_equal(w->status, 404);
    assert_string_equal(call(w, "DELETE /v1/apps/shop", ""), "{}");
    assert_contains(call(w, "GET /v1/apps", ""), "{\"apps\":[]}");
    (void)call(w, "DELETE /v1/apps/shop", "");
    assert_int_equal(w->status, 404);
}

/* --- streams ---------------------------------------------------------------------------------------------------------- */

static void say(struct world *w, const char *text)
{
    struct log_line line = {.utc_ms = hob_utc_ms(),
                            .level = HOB_CHLOG_INFO,
                            .stream = "stdout",
                            .version = 2,
                            .request_id = HOB_STR("r-1"),
                            .text = hob_str(text)};
    logs_append(w->logs, "shop", "hello", &line);
}

static void logs_come_as_lines(void **state)
{
    struct world *w = *state;
    say(w, "first line");
    say(w, "second line");
    (void)call(w, "GET /v1/apps/shop/functions/hello/logs?tail=1", "");
    assert_int_equal(w->status, 200);
    assert_true(answer_has(w, "application/x-ndjson"));
    assert_true(answer_has(w, "second line"));
    assert_false(answer_has(w, "first line"));
    (void)call(w, "GET /v1/apps/shop/functions/hello/logs?request=none", "");
    assert_false(answer_has(w, "line\""));
}

static void a_follower_hears_until_it_leaves_or_hobd_drains(void **state)
{
    struct world *w = *state;
    char head[300];
    int n = snprintf(
        head, sizeof head,
        "GET /v1/apps/shop/functions/hello/logs?follow=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n",
        w->token);
    int leaver = dial(w);
    send_all(w, leaver, hob_str_n(head, (size_t)n));
    hob_auto_close int stayer = dial(w);
    send_all(w, stayer, hob_str_n(head, (size_t)n));
    say(w, "before");
    hob_buf_clear(&w->answer);
    receive(w, leaver, 200);
    assert_contains((head_and_body(w), hob_buf_data(&w->answer)), "before");
    (void)close(leaver);
    for (int i = 0; i < 100; i++)
        turn(w);
    struct logs_stats stats;
    logs_stats(w->logs, &stats);
    assert_int_equal(stats.readers, 1);
    say(w, "after");
    hob_buf_clear(&w->answer);
    receive(w, stayer, 200);
    control_drain(w->control);
    receive(w, stayer, 200);
    (void)head_and_body(w);
    assert_true(answer_has(w, "after"));
    assert_true(answer_has(w, "\r\n0\r\n\r\n"));
}

static void a_backup_is_a_database(void **state)
{
    struct world *w = *state;
    struct hob_err err;
    const char *body = call(w, "POST /v1/backup", "");
    assert_int_equal(w->status, 200);
    assert_true(answer_has(w, "application/vnd.sqlite3"));
    assert_memory_equal(body, "SQLite format 3", 16);
    size_t n = w->answer.n - 1 - (size_t)(body - hob_buf_data(&w->answer));
    hob_auto_free char *copy = in_home(w, "copy.db");
    assert_ok(hob_write_file(copy, hob_str_n(body, n), 0600, &err));
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    struct store *s = store_open(&loop, copy, &err);
    assert_non_null(s);
    bool is_closed = false;
    store_close(s, set_flag, &is_closed);
    while (!is_closed)
        (void)uv_run(&loop, UV_RUN_ONCE);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    hob_auto_free char *tmp = in_home(w, "tmp");
    assert_int_equal(rmdir(tmp), 0); /* nothing was left in it */
}

static void uploads_are_bounded_and_leave_nothing(void **state)
{
    struct world *w = *state;
    char head[400];
    static const char line[] = "POST /v1/apps/shop/deploy";
    assert_problem(w, call(w, line, ""), 400, "bad_archive");
    assert_problem(w, call(w, "POST /v1/apps/shop/deploy?dry_run=yes", "x"), 400, "invalid");
    /* refused by its announced length, before a byte of it */
    int n = snprintf(
        head, sizeof head,
        "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        line, w->token, HOB_MAX_ARCHIVE_BYTES + 1);
    int fd = dial(w);
    send_all(w, fd, hob_str_n(head, (size_t)n));
    hob_buf_clear(&w->answer);
    receive(w, fd, 3000);
    (void)close(fd);
    assert_problem(w, head_and_body(w), 413, "too_large");
    /* a client that leaves in the middle */
    fd = dial(w);
    n = snprintf(head, sizeof head,
                 "%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 100000\r\n\r\nhalf",
                 line, w->token);
    send_all(w, fd, hob_str_n(head, (size_t)n));
    for (int i = 0; i < 50; i++)
        turn(w);
    assert_int_equal(w->control->uploads, 1);
    (void)close(fd);
    for (int i = 0; i < 100; i++)
        turn(w);
    assert_int_equal(w->control->uploads, 0);
    /* whole, but no node is there to unpack it */
    (void)call(w, line, "no archive at all");
    assert_in_range(w->status, 400, 503);
    assert_int_equal(w->control->uploads, 0);
    hob_auto_free char *tmp = in_home(w, "tmp");
    assert_int_equal(rmdir(tmp), 0);
}

static void doctor_and_runtimes_tell_what_is_there(void **state)
{
    struct world *w = *state;
    json_t *r hob_auto_json = json_of(call(w, "GET /v1/runtimes", ""));
    json_t *shell = json_array_get(json_object_get(r, "runtimes"), 0);
    assert_string_equal(json_string_value(json_object_get(shell, "version")), "1.2");
    assert_true(json_is_true(json_object_get(shell, "available")));
    json_t *d hob_auto_json = json_of(call(w, "GET /v1/doctor", ""));
    assert_true(json_is_false(json_object_get(d, "ok"))); /* no runner */
    size_t fails = 0, i;
    json_t *check;
    json_array_foreach(json_object_get(d, "checks"), i, check)
    {
        assert_non_null(json_string_value(json_object_get(check, "text")));
        fails += strcmp(json_string_value(json_object_get(check, "status")), "fail") == 0;
    }
    assert_true(fails >= 1 && i >= 6);
}

/* --- documents --------------------------------------------------------------------------------------------------------- */

static void limits_and_schema_are_json(void **state)
{
    struct world *w = *state;
    json_t *l hob_auto_json = json_of(call(w, "GET /v1/limits", ""));
    assert_int_equal(json_array_size(json_object_get(l, "limits")), HOB_LIMIT_COUNT_);
    json_t *s hob_auto_json = json_of(call(w, "GET /v1/manifest.schema.json", ""));
    assert_true(json_is_object(json_object_get(s, "properties")));
}

static void the_openapi_document_names_every_call_and_no_other(void **state)
{
    struct world *w = *state;
    json_t *doc hob_auto_json = json_of(call(w, "GET /v1/openapi.json", ""));
    json_t *paths = json_object_get(doc, "paths"), *schemas, *item, *op;
    const char *path, *method;
    size_t n = 0;
    schemas = json_object_get(json_object_get(doc, "components"), "schemas");
    assert_string_equal(json_string_value(json_object_get(doc, "openapi")), "3.1.0");
    json_object_foreach(paths, path, item) json_object_foreach(item, method, op)
    {
        n++;
        assert_non_null(json_object_get(op, "operationId"));
        assert_non_null(json_object_get(json_object_get(op, "responses"), "default"));
    }
    assert_int_equal(n, control_routes_n);
    /* every reference resolves */
    hob_auto_free char *text = json_dumps(doc, JSON_COMPACT);
    for (const char *at = text; (at = strstr(at, "#/components/schemas/")) != NULL;) {
        at += strlen("#/components/schemas/");
        hob_auto_free char *name = hob_strndup(at, strcspn(at, "\""));
        if (!json_object_get(schemas, name))
            fail_msg("no schema %s", name);
    }
}

#define MARK_START "<!-- made from the route table: run the control tests with UPDATE_DOCS=1 -->\n"
#define MARK_END "<!-- end of what is made -->\n"
static void the_docs_have_the_table(void **state)
{
    struct hob_err err = {0};
    struct hob_buf table hob_auto_buf, docs hob_auto_buf;
    (void)state;
    hob_buf_init(&table, 1000000);
    hob_buf_init(&docs, 1000000);
    assert_ok(control_reference_write(&table));
    assert_ok(hob_read_file("docs/api.md", &docs, &err));
    hob_auto_free char *wanted = hob_buf_take(&table), *text = hob_buf_take(&docs);
    char *start = strstr(text, MARK_START), *end = strstr(text, MARK_END);
    assert_true(start && end && start < end);
    start += strlen(MARK_START);
    if (getenv("UPDATE_DOCS")) {
        hob_auto_free char *fresh = hob_asprintf("%.*s%s%s", (int)(start - text), text, wanted, end);
        assert_ok(hob_write_file("docs/api.md", hob_str(fresh), 0644, &err));
        return;
    }
    *end = '\0';
    assert_string_equal(start, wanted);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_world, drop_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(health_and_readiness_are_told_apart),
        TEST(metrics_are_prometheus_text),
        TEST(every_call_but_version_needs_a_token),
        TEST(wrong_tokens_are_slowed_down_and_right_ones_never),
        cmocka_unit_test(failures_are_forgotten_after_a_minute),
        TEST(unknown_paths_methods_and_names_are_told),
        TEST(queries_are_judged),
        TEST(bodies_are_judged),
        TEST(functions_are_listed_and_described),
        TEST(versions_aliases_and_rollback_fit_together),
        TEST(env_changes_make_a_version),
        TEST(secrets_never_come_back),
        TEST(removing_is_final),
        TEST(logs_come_as_lines),
        TEST(a_follower_hears_until_it_leaves_or_hobd_drains),
        TEST(a_backup_is_a_database),
        TEST(uploads_are_bounded_and_leave_nothing),
        TEST(doctor_and_runtimes_tell_what_is_there),
        TEST(limits_and_schema_are_json),
        TEST(the_openapi_document_names_every_call_and_no_other),
        cmocka_unit_test(the_docs_have_the_table),
    };
    (void)alarm(280);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
