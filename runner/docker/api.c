/* Flow of a call: RUNNING (curl has it) -> ENDED (curl is done; told on the way out of the loop's callback) -> gone.
 * Curl's callbacks only collect bytes: what they mean is looked at behind curl_multi_socket_action, where calls may be
 * started and cancelled. */
#include "runner/docker/api.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lazy/curl_loop.h"
#include "base/list.h"
#include "base/mem.h"

#include "base/banned.h"

enum { CONNECT_MS = 5000, KEPT_CONNECTIONS = 8, UPLOAD_BYTES = 256 * 1024, SHOWN_BYTES = 160 };

struct docker_api {
    struct curl_loop curl;
    const struct docker_target *target;
    struct hob_list calls;
    unsigned calls_n;
    char version[16];
    bool is_closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct docker_call {
    struct hob_node node;
    struct docker_api *api;
    CURL *easy;
    struct curl_slist *fields;
    struct hob_buf in; /* the body, or of a stream what has no line's end yet */
    size_t head_n;
    char *body; /* owned copy of what is sent */
    int body_fd;
    bool is_ended, is_too_large;
    CURLcode result;
    char api_version[16], curl_text[CURL_ERROR_SIZE];
    void (*line)(void *ctx, const json_t *line);
    docker_done_cb done;
    void *ctx;
};

/* ---- steps: a call ---- */

static void call_free(struct docker_call *c)
{
    hob_list_remove(&c->node);
    c->api->calls_n--;
    curl_loop_remove(&c->api->curl, c->easy);
    curl_easy_cleanup(c->easy);
    curl_slist_free_all(c->fields);
    hob_buf_done(&c->in);
    free(c->body);
    free(c);
}

static enum hob_code code_of_status(long status)
{
    switch (status) {
    case 400:
        return HOB_E_INVALID;
    case 401:
        return HOB_E_UNAUTHORIZED;
    case 403:
        return HOB_E_FORBIDDEN;
    case 404:
        return HOB_E_NOT_FOUND;
    case 409:
        return HOB_E_CONFLICT;
    case 429:
        return HOB_E_BUSY;
    case 503:
        return HOB_E_UNAVAILABLE;
    default:
        return HOB_E_INTERNAL;
    }
}

/* The engine's message as one line that may be shown. */
static void fail_status(const struct docker_answer *a, struct hob_err *err)
{
    const char *said = json_string_value(json_object_get(a->json, "message"));
    char text[SHOWN_BYTES + 1] = "";
    size_t n = said ? strnlen(said, SHOWN_BYTES) : a->body.n < SHOWN_BYTES ? a->body.n : SHOWN_BYTES;
    for (size_t i = 0; i < n; i++) {
        char c = said ? said[i] : a->body.at[i];
        text[i] = (unsigned char)c < 0x20 || c == 0x7f ? ' ' : c;
    }
    while (n && ((unsigned char)text[n - 1] & 0xc0) == 0x80) /* not inside a UTF-8 sequence */
        n--;
    if (n && (unsigned char)text[n - 1] >= 0xc0)
        n--;
    while (n && text[n - 1] == ' ')
        n--;
    text[n] = '\0';
    (void)hob_fail(err, code_of_status(a->status), "Docker answered %d%s%s", a->status, n ? ": " : "", text);
}

static void fail_transport(const struct docker_call *c, struct hob_err *err)
{
    long errnum = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_OS_ERRNO, &errnum);
    if (c->is_too_large)
        (void)hob_fail(err, HOB_E_INVALID, "Docker's answer is larger than it may be");
    else if (c->result == CURLE_OPERATION_TIMEDOUT)
        (void)hob_fail(err, HOB_E_TIMEOUT, "Docker did not answer in time");
    else if (c->result == CURLE_COULDNT_CONNECT && errnum)
        (void)hob_fail(err, HOB_E_UNAVAILABLE, "cannot connect to Docker: %s", hob_errno_text((int)errnum));
    else if (c->result == CURLE_WEIRD_SERVER_REPLY || c->result == CURLE_UNSUPPORTED_PROTOCOL)
        (void)hob_fail(err, HOB_E_INVALID, "what answers is no Docker: it does not speak HTTP");
    else
        (void)hob_fail(err, HOB_E_UNAVAILABLE, "the connection to Docker failed: %.120s",
                       c->curl_text[0] ? c->curl_text : curl_easy_strerror(c->result));
    err->errnum = (int)errnum;
}

static bool has_json(struct hob_str body)
{
    return body.n && (body.at[0] == '{' || body.at[0] == '[');
}

static void call_end(struct docker_call *c)
{
    struct docker_answer a = {0};
    struct hob_err err = {0};
    long status = 0;
    (void)curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    json_t *json hob_auto_json = NULL;
    struct hob_buf in hob_auto_buf = c->in;
    hob_buf_init(&c->in, 0);
    memcpy(a.api_version, c->api_version, sizeof a.api_version);
    a.status = (int)status;
    a.body = hob_buf_str(&in);
    if (c->result != CURLE_OK || c->is_too_large) {
        fail_transport(c, &err);
    } else {
        bool is_json = has_json(a.body);
        if (is_json)
            json = hob_json_parse(a.body, "Docker's answer", &err);
        bool is_bad = is_json && !json;
        a.json = json;
        if (!is_bad && status >= 400)
            fail_status(&a, &err);
    }
    docker_done_cb done = c->done;
    void *ctx = c->ctx;
    call_free(c);
    done(ctx, &a, err.code == HOB_OK ? NULL : &err);
}

/* Hands out whole lines; false when the call was cancelled meanwhile. */
static bool call_lines(struct docker_call *c)
{
    struct docker_api *a = c->api;
    for (;;) {
        struct hob_str text = hob_buf_str(&c->in);
        const char *end = text.n ? memchr(text.at, '\n', text.n) : NULL;
        if (!end)
            return true;
        struct hob_str line = hob_str_n(text.at, (size_t)(end - text.at));
        struct hob_err err;
        json_t *json hob_auto_json = line.n > 1 ? hob_json_parse(line, "a line of Docker's", &err) : NULL;
        hob_buf_consume(&c->in, line.n + 1);
        if (!json)
            continue;
        c->line(c->ctx, json);
        bool is_there = false; /* the listener may have cancelled any call */
        HOB_LIST_EACH(&a->calls, node, tmp)
        is_there = is_there || HOB_CONTAINER_OF(node, struct docker_call, node) == c;
        if (!is_there)
            return false;
    }
}

/* ---- steps: curl ---- */

static void on_ended(void *transfer, CURLcode result)
{
    struct docker_call *c = transfer;
    c->is_ended = true;
    c->result = result;
}

static struct docker_call *next_to_tell(struct docker_api *a)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): call_free takes the call off this list first */
    HOB_LIST_EACH(&a->calls, node, tmp)
    {
        struct docker_call *c = HOB_CONTAINER_OF(node, struct docker_call, node);
        if (c->is_ended || (c->line && c->in.n && memchr(hob_buf_data(&c->in), '\n', c->in.n)))
            return c;
    }
    return NULL;
}

/* Behind curl: what came is told, and whatever the listeners do may change the list. */
static void api_settle(void *ctx)
{
    struct docker_api *a = ctx;
    struct docker_call *c;
    while (!a->is_closing && (c = next_to_tell(a))) {
        if (c->line && !call_lines(c))
            continue;
        if (c->is_ended)
            call_end(c);
    }
}

static void on_curl_closed(void *ctx)
{
    struct docker_api *a = ctx;
    void (*closed)(void *ctx) = a->closed;
    void *closed_ctx = a->closed_ctx;
    free(a);
    if (closed)
        closed(closed_ctx);
}

/* ---- callbacks: curl's ---- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct docker_call *c = ctx;
    size_t bytes = size * n;
    if (hob_buf_add(&c->in, data, bytes) == HOB_OK)
        return bytes;
    c->is_too_large = true;
    return 0; /* ends the transfer */
}

static size_t on_head(char *data, size_t size, size_t n, void *ctx)
{
    struct docker_call *c = ctx;
    size_t bytes = size * n;
    c->head_n += bytes;
    if (c->head_n > DOCKER_HEAD_BYTES_MAX) {
        c->is_too_large = true;
        return 0;
    }
    struct hob_str value, name = hob_str_cut(hob_str_n(data, bytes), ':', &value);
    if (value.at && hob_str_ieq(name, HOB_STR("Api-Version"))) {
        while (value.n && (unsigned char)value.at[value.n - 1] <= ' ')
            value.n--;
        value = hob_str_trim(value);
        if (value.n < sizeof c->api_version) {
            memcpy(c->api_version, value.at, value.n);
            c->api_version[value.n] = '\0';
        }
    }
    return bytes;
}

static size_t on_upload(char *to, size_t size, size_t n, void *ctx)
{
    struct docker_call *c = ctx;
    ssize_t got;
    do {
        got = read(c->body_fd, to, size * n);
    } while (got < 0 && errno == EINTR);
    return got < 0 ? CURL_READFUNC_ABORT : (size_t)got;
}

/* ---- door ---- */

struct docker_api *docker_api_new(uv_loop_t *loop, const struct docker_target *t)
{
    struct docker_api *a = hob_new(struct docker_api);
    a->target = t;
    curl_loop_init(
        &a->curl, loop,
        &(struct curl_loop_options){
            .connections_max = KEPT_CONNECTIONS, .ended = on_ended, .settle = api_settle, .ctx = a});
    hob_list_init(&a->calls);
    return a;
}

void docker_api_set_version(struct docker_api *a, const char *version)
{
    (void)snprintf(a->version, sizeof a->version, "%s", version);
}

static void set_field(struct docker_call *c, const char *field)
{
    struct curl_slist *more = curl_slist_append(c->fields, field);
    HOB_ASSERT(more);
    c->fields = more;
}

static void set_target(struct docker_call *c, const struct docker_request *r)
{
    const struct docker_target *t = c->api->target;
    bool has_version = !r->is_unversioned && c->api->version[0];
    hob_auto_free char *url = hob_asprintf("%s%s%s%s", t->base_url, has_version ? "/v" : "",
                                           has_version ? c->api->version : "", r->path);
    (void)curl_easy_setopt(c->easy, CURLOPT_URL, url);
    if (t->socket_path)
        (void)curl_easy_setopt(c->easy, CURLOPT_UNIX_SOCKET_PATH, t->socket_path);
    if (t->cert_dir) {
        hob_auto_free char *ca = hob_asprintf("%s/ca.pem", t->cert_dir);
        hob_auto_free char *cert = hob_asprintf("%s/cert.pem", t->cert_dir);
        hob_auto_free char *key = hob_asprintf("%s/key.pem", t->cert_dir);
        (void)curl_easy_setopt(c->easy, CURLOPT_CAINFO, ca);
        (void)curl_easy_setopt(c->easy, CURLOPT_SSLCERT, cert);
        (void)curl_easy_setopt(c->easy, CURLOPT_SSLKEY, key);
    }
    (void)curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPIDLE, 10L);
    (void)curl_easy_setopt(c->easy, CURLOPT_TCP_KEEPINTVL, 5L);
}

static void set_body(struct docker_call *c, const struct docker_request *r)
{
    struct stat st;
    if (r->body_fd > 0 && fstat(r->body_fd, &st) == 0) {
        c->body_fd = r->body_fd;
        (void)curl_easy_setopt(c->easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, on_upload);
        (void)curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
        (void)curl_easy_setopt(c->easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BYTES);
        (void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)st.st_size);
        set_field(c, "Content-Type: application/x-tar");
    } else if (strcmp(r->method, "POST") == 0) {
        c->body = hob_strndup(r->body.at ? r->body.at : "", r->body.n);
        (void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, c->body);
        (void)curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
        if (r->body.n)
            set_field(c, "Content-Type: application/json");
    }
    (void)curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, r->method);
    if (r->registry_auth) {
        hob_auto_free char *field = hob_asprintf("X-Registry-Auth: %s", r->registry_auth);
        set_field(c, field);
    }
    set_field(c, "Expect:");
    (void)curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->fields);
}

static void set_manners(struct docker_call *c, const struct docker_request *r)
{
    CURL *e = c->easy;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, c);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->curl_text);
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(e, CURLOPT_HTTP09_ALLOWED, 0L);
    (void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(e, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(e, CURLOPT_USERAGENT, "hob/" HOB_VERSION);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
    (void)curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_head);
    (void)curl_easy_setopt(e, CURLOPT_HEADERDATA, c);
}

struct docker_call *docker_call_start(struct docker_api *a, const struct docker_request *r,
                                      docker_done_cb done, void *ctx)
{
    HOB_ASSERT(!a->is_closing);
    struct docker_call *c = hob_new(struct docker_call);
    c->api = a;
    c->done = done;
    c->ctx = ctx;
    c->line = r->line;
    hob_buf_init(&c->in, r->line ? DOCKER_LINE_BYTES_MAX : DOCKER_ANSWER_BYTES_MAX);
    c->easy = curl_easy_init();
    HOB_ASSERT(c->easy);
    set_manners(c, r);
    set_target(c, r);
    set_body(c, r);
    hob_list_push_back(&a->calls, &c->node);
    a->calls_n++;
    HOB_ASSERT(curl_loop_add(&a->curl, c->easy));
    return c;
}

void docker_call_cancel(struct docker_call *c)
{
    if (c)
        call_free(c);
}

void docker_call_redirect(struct docker_call *c, docker_done_cb done, void *ctx)
{
    c->done = done;
    c->ctx = ctx;
}

unsigned docker_api_calls(const struct docker_api *a)
{
    return a->calls_n;
}

void docker_api_close(struct docker_api *a, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!a->is_closing);
    a->closed = closed;
    a->closed_ctx = ctx;
    HOB_LIST_EACH(&a->calls, node, tmp)
    call_free(HOB_CONTAINER_OF(node, struct docker_call, node));
    a->is_closing = true;
    curl_loop_close(&a->curl, on_curl_closed, a);
}
