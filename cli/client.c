#include "cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

#include "base/banned.h"

enum { CONNECT_MS = 5000, CALL_MS = 60000, HEAD_BYTES_MAX = 65536, PROBLEM_BYTES_MAX = 1 << 20 };

struct client {
    CURL *curl;
    struct access access;
    size_t token; /* the one that is used */
    bool is_token_tried;
    char error[CURL_ERROR_SIZE];
    char reason[64], request_id[72];
    json_t *problem;
};

/* One transfer. */
struct transfer {
    struct cli *c;
    const struct request *q;
    struct response *r;
    uint64_t sent;
    bool is_too_large, is_refused; /* the body did not fit; on_data said no */
};

void response_init(struct response *r)
{
    *r = (struct response){0};
    hob_buf_init(&r->body, RESPONSE_BYTES_MAX);
    hob_buf_init(&r->head, HEAD_BYTES_MAX);
}

void response_done(struct response *r)
{
    hob_buf_done(&r->body);
    hob_buf_done(&r->head);
}

struct hob_str response_field(const struct response *r, const char *name)
{
    struct hob_str rest = hob_buf_str(&r->head);
    while (rest.at) {
        struct hob_str value, line = hob_str_cut(rest, '\n', &rest);
        struct hob_str field = hob_str_cut(line, ':', &value);
        if (value.at && hob_str_ieq(field, hob_str(name)))
            return hob_str_trim(value);
    }
    return (struct hob_str){0};
}

/* libcurl's callbacks --------------------------------------------------------------------------------------------- */

static size_t on_head(char *data, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    n *= size;
    struct hob_str line = hob_str_n(data, n);
    /* a new status line (100 Continue before the answer) starts anew */
    if (hob_str_starts(line, HOB_STR("HTTP/")))
        hob_buf_clear(&t->r->head);
    while (line.n && (line.at[line.n - 1] == '\n' || line.at[line.n - 1] == '\r'))
        line.n--;
    if (line.n &&
        (hob_buf_add_str(&t->r->head, line) != HOB_OK || hob_buf_add(&t->r->head, "\n", 1) != HOB_OK))
        return 0;
    return n;
}

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    n *= size;
    long status = 0;
    (void)curl_easy_getinfo(t->c->client->curl, CURLINFO_RESPONSE_CODE, &status);
    if (t->q->on_data && (t->q->is_raw || (status >= 200 && status < 300))) {
        t->is_refused = !t->q->on_data(t->q->ctx, hob_str_n(data, n));
        return t->is_refused ? 0 : n;
    }
    t->is_too_large = hob_buf_add(&t->r->body, data, n) != HOB_OK;
    return t->is_too_large ? 0 : n;
}

static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    uint64_t left = t->q->body_bytes - t->sent;
    n = size * n < left ? size * n : (size_t)left;
    ssize_t got = n ? pread(t->q->body_fd, to, n, (off_t)t->sent) : 0;
    if (got < 0)
        return CURL_READFUNC_ABORT;
    t->sent += (uint64_t)got;
    return (size_t)got;
}

static int on_seek(void *ctx, curl_off_t offset, int origin)
{
    struct transfer *t = ctx;
    if (origin != SEEK_SET || offset < 0)
        return CURL_SEEKFUNC_CANTSEEK;
    t->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static int on_progress(void *ctx, curl_off_t down_total, curl_off_t down, curl_off_t up_total, curl_off_t up)
{
    struct transfer *t = ctx;
    (void)down_total;
    (void)down;
    if (t->q->on_upload && up_total > 0)
        t->q->on_upload(t->q->ctx, (uint64_t)up, (uint64_t)up_total);
    return signals_interrupted() ? 1 : 0;
}

/* Errors ---------------------------------------------------------------------------------------------------------- */

static enum hob_code fail_curl(const struct client *cl, const struct transfer *t, CURLcode code,
                               struct hob_err *err)
{
    const char *url = cl->access.url;
    if (signals_interrupted())
        return hob_fail(err, HOB_E_CANCELLED, "interrupted");
    if (t->is_too_large)
        return hob_fail(err, HOB_E_TOO_LARGE, "the answer is larger than %d bytes", RESPONSE_BYTES_MAX);
    if (t->is_refused)
        return HOB_OK;
    switch ((int)code) {
    case CURLE_COULDNT_CONNECT:
        if (cl->access.is_loopback)
            return hob_fail_reason(
                err, HOB_E_UNAVAILABLE, "no_server",
                "no server answers at %s; start it with `hobd` (in a checkout: `make run`), or name another by --url or HOB_URL",
                url);
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "no_server",
                               "no server answers at %s; is the address right (--url, HOB_URL)?", url);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "no_server",
                               "%s: no such host; is the address right (--url, HOB_URL)?", url);
    case CURLE_OPERATION_TIMEDOUT:
        return hob_fail(err, HOB_E_TIMEOUT, "%s: no answer in time (%.80s)", url, cl->error);
    case CURLE_SSL_CONNECT_ERROR:
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "tls",
                               "%s does not speak TLS as expected; is it an http:// address? (%.80s)", url,
                               cl->error);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        return hob_fail_reason(
            err, HOB_E_UNAVAILABLE, "tls",
            "%s: the certificate is not trusted (%.80s); CURL_CA_BUNDLE or SSL_CERT_FILE may name your own authority",
            url, cl->error);
    case CURLE_URL_MALFORMAT:
        return hob_fail_reason(err, HOB_E_INVALID, "bad_url", "server address '%.80s' is not right: %.80s",
                               url, cl->error);
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL: /* the scheme was judged: this is HTTP/0.9, what anything looks like */
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "not_hob",
                               "%s answers, but not in HTTP; is the address right?", url);
    default:
        return hob_fail(err, HOB_E_UNAVAILABLE, "%s: the connection failed (%s)", url,
                        cl->error[0] ? cl->error : curl_easy_strerror(code));
    }
}

/* The code whose reason slug or else HTTP status the answer has. */
static enum hob_code code_of_answer(const char *reason, int status)
{
    for (int i = 1; i < HOB_E_COUNT_; i++)
        if (strcmp(hob_code_info((enum hob_code)i)->reason, reason) == 0)
            return (enum hob_code)i;
    for (int i = 1; i < HOB_E_COUNT_; i++)
        if (hob_code_info((enum hob_code)i)->http_status == status)
            return (enum hob_code)i;
    if (status == 408)
        return HOB_E_TIMEOUT;
    return status == 405 || status == 501 ? HOB_E_UNSUPPORTED
           : status < 500                 ? HOB_E_INVALID
                                          : HOB_E_UNAVAILABLE;
}

static void copy_text(char *to, size_t size, const json_t *value)
{
    (void)snprintf(to, size, "%s", json_is_string(value) ? json_string_value(value) : "");
}

static enum hob_code fail_unauthorized(const struct client *cl, struct hob_err *err)
{
    const struct access *a = &cl->access;
    if (a->tokens_n)
        return hob_fail(err, HOB_E_UNAUTHORIZED,
                        "%s does not accept the token of %s; say --token, HOB_TOKEN or HOB_HOME", a->url,
                        a->sources[cl->token]);
    if (a->is_loopback)
        return hob_fail(
            err, HOB_E_UNAUTHORIZED,
            "%s wants a token, and no admin.token can be read (HOB_HOME, ./.hob, ~/.local/share/hob, /var/lib/hob); say --token or HOB_TOKEN",
            a->url);
    return hob_fail(
        err, HOB_E_UNAUTHORIZED,
        "%s wants a token: say --token or HOB_TOKEN (a local daemon's token is never sent to others)",
        a->url);
}

static enum hob_code fail_status(struct client *cl, const struct response *r, struct hob_err *err)
{
    struct hob_err ignored;
    json_decref(cl->problem);
    cl->problem = hob_json_parse(hob_buf_str(&r->body), "the answer", &ignored);
    copy_text(cl->reason, sizeof cl->reason, json_object_get(cl->problem, "reason"));
    copy_text(cl->request_id, sizeof cl->request_id, json_object_get(cl->problem, "request_id"));
    if (r->status == 401)
        return fail_unauthorized(cl, err);
    const char *detail = json_string_value(json_object_get(cl->problem, "detail"));
    const char *title = json_string_value(json_object_get(cl->problem, "title"));
    if (!detail && !title)
        return hob_fail_reason(err, r->status == 404 ? HOB_E_NOT_FOUND : HOB_E_UNAVAILABLE, "not_hob",
                               "%s answers %d, but not as Hob does; is the address right (--url, HOB_URL)?",
                               cl->access.url, r->status);
    return hob_fail(err, code_of_answer(cl->reason, r->status), "%s", detail ? detail : title);
}

/* Sending --------------------------------------------------------------------------------------------------------- */

enum hob_code client_open(struct cli *c, struct hob_err *err)
{
    if (c->client)
        return HOB_OK;
    struct access access;
    if (access_find(c, &access, err) != HOB_OK)
        return err->code;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return hob_fail(err, HOB_E_INTERNAL, "libcurl does not start");
    struct client *cl = hob_new(struct client);
    cl->access = access;
    cl->curl = curl_easy_init();
    HOB_ASSERT(cl->curl);
    c->client = cl;
    return HOB_OK;
}

void client_free(struct client *cl)
{
    if (!cl)
        return;
    curl_easy_cleanup(cl->curl);
    curl_global_cleanup();
    access_done(&cl->access);
    json_decref(cl->problem);
    free(cl);
}

#define SET(cl, option, value) HOB_ASSERT(curl_easy_setopt((cl)->curl, (option), (value)) == CURLE_OK)

static void set_body(struct client *cl, const struct request *q)
{
    if (q->body_fd > 0) {
        SET(cl, CURLOPT_POST, 1L);
        SET(cl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body_bytes);
    } else if (q->body.at) {
        SET(cl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)q->body.n);
        SET(cl, CURLOPT_POSTFIELDS, q->body.at);
    } else if (strcmp(q->method, "POST") == 0 || strcmp(q->method, "PUT") == 0 ||
               strcmp(q->method, "PATCH") == 0) {
        SET(cl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
        SET(cl, CURLOPT_POSTFIELDS, "");
    }
    if (strcmp(q->method, "HEAD") == 0)
        SET(cl, CURLOPT_NOBODY, 1L);
    else
        SET(cl, CURLOPT_CUSTOMREQUEST, q->method);
}

/* NULL, or what was there before with the line behind it. */
static struct curl_slist *add_line(struct curl_slist *list, const char *line)
{
    struct curl_slist *more = curl_slist_append(list, line);
    HOB_ASSERT(more);
    return more;
}

static struct curl_slist *head_lines(const struct client *cl, const struct request *q)
{
    struct curl_slist *list = add_line(NULL, "Expect:"); /* our bodies go without asking first */
    if (cl->access.tokens_n && !q->is_anonymous) {
        hob_auto_free char *line = hob_asprintf("Authorization: Bearer %s", cl->access.tokens[cl->token]);
        list = add_line(list, line);
    }
    hob_auto_free char *type =
        q->content_type ? hob_asprintf("Content-Type: %s", q->content_type) : hob_strdup("Content-Type:");
    list = add_line(list, type);
    for (size_t i = 0; q->headers && q->headers[i]; i++)
        list = add_line(list, q->headers[i]);
    return list;
}

static void set_all(struct client *cl, const struct request *q, struct transfer *t)
{
    curl_easy_reset(cl->curl); /* keeps the connection */
    SET(cl, CURLOPT_ERRORBUFFER, cl->error);
    SET(cl, CURLOPT_NOSIGNAL, 1L);
    SET(cl, CURLOPT_PROTOCOLS_STR, "http,https");
    SET(cl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(cl, CURLOPT_USERAGENT, "hob/" HOB_VERSION);
    SET(cl, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    SET(cl, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    SET(cl, CURLOPT_PATH_AS_IS, 1L);
    SET(cl, CURLOPT_TCP_KEEPALIVE, 1L); /* a server that vanished while logs are followed */
    SET(cl, CURLOPT_TCP_KEEPIDLE, 30L);
    SET(cl, CURLOPT_TCP_KEEPINTVL, 10L);
    if (cl->access.is_loopback)
        SET(cl, CURLOPT_PROXY, ""); /* whatever http_proxy says: this machine is not behind it */
    SET(cl, CURLOPT_HEADERFUNCTION, on_head);
    SET(cl, CURLOPT_HEADERDATA, t);
    SET(cl, CURLOPT_WRITEFUNCTION, on_body);
    SET(cl, CURLOPT_WRITEDATA, t);
    SET(cl, CURLOPT_READFUNCTION, on_read);
    SET(cl, CURLOPT_READDATA, t);
    SET(cl, CURLOPT_SEEKFUNCTION, on_seek);
    SET(cl, CURLOPT_SEEKDATA, t);
    SET(cl, CURLOPT_NOPROGRESS, 0L);
    SET(cl, CURLOPT_XFERINFOFUNCTION, on_progress);
    SET(cl, CURLOPT_XFERINFODATA, t);
    set_body(cl, q);
}

static enum hob_code send_once(struct cli *c, const struct request *q, struct response *r,
                               struct hob_err *err)
{
    struct client *cl = c->client;
    struct transfer t = {.c = c, .q = q, .r = r};
    hob_buf_clear(&r->body);
    hob_buf_clear(&r->head);
    r->status = 0;
    cl->error[0] = 0;
    set_all(cl, q, &t);
    hob_auto_free char *url = hob_asprintf("%s%s", cl->access.url, q->path);
    SET(cl, CURLOPT_URL, url);
    struct curl_slist *lines = head_lines(cl, q);
    SET(cl, CURLOPT_HTTPHEADER, lines);
    CURLcode code = curl_easy_perform(cl->curl);
    curl_slist_free_all(lines);
    long status = 0;
    (void)curl_easy_getinfo(cl->curl, CURLINFO_RESPONSE_CODE, &status);
    r->status = (int)status;
    if (code == CURLE_OK)
        return HOB_OK;
    cl->reason[0] = cl->request_id[0] = 0; /* those of an earlier answer */
    return fail_curl(cl, &t, code, err);
}

/* Several local homes may hold a token; the first that the server takes is used from then on. */
static enum hob_code choose_token(struct cli *c, struct hob_err *err)
{
    struct client *cl = c->client;
    if (cl->is_token_tried || cl->access.tokens_n < 2)
        return HOB_OK;
    cl->is_token_tried = true;
    struct response r;
    response_init(&r);
    struct request q = {.method = "GET", .path = "/v1/apps", .timeout_ms = CALL_MS};
    enum hob_code code = HOB_OK;
    for (size_t i = 0; i < cl->access.tokens_n && code == HOB_OK; i++) {
        cl->token = i;
        code = send_once(c, &q, &r, err);
        if (r.status != 401)
            break;
        cl->token = 0;
    }
    response_done(&r);
    return code;
}

enum hob_code client_send(struct cli *c, const struct request *q, struct response *ret, struct hob_err *err)
{
    if (client_open(c, err) != HOB_OK || (!q->is_anonymous && choose_token(c, err) != HOB_OK))
        return err->code;
    enum hob_code code = send_once(c, q, ret, err);
    if (code != HOB_OK || q->is_raw || (ret->status >= 200 && ret->status < 300))
        return code;
    return fail_status(c->client, ret, err);
}

json_t *client_call(struct cli *c, const char *method, const char *path, const json_t *body,
                    struct hob_err *err)
{
    hob_auto_buf struct hob_buf b;
    hob_buf_init(&b, SIZE_MAX / 4);
    struct request q = {.method = method, .path = path, .timeout_ms = CALL_MS};
    if (body) {
        struct hob_jw w;
        hob_jw_init(&w, &b);
        hob_jw_json(&w, body);
        q.body = hob_buf_str(&b);
        q.content_type = "application/json";
    }
    struct response r;
    response_init(&r);
    json_t *answer = NULL;
    if (client_send(c, &q, &r, err) == HOB_OK) {
        struct hob_err bad;
        answer = hob_json_parse(hob_buf_str(&r.body), "the answer", &bad);
        if (!answer)
            (void)hob_fail_reason(err, HOB_E_UNAVAILABLE, "not_hob",
                                  "%s does not answer as Hob does (%.100s); is the address right?",
                                  c->client->access.url, bad.msg);
    }
    response_done(&r);
    return answer;
}

const char *client_reason(const struct client *cl)
{
    return cl ? cl->reason : "";
}

const char *client_request_id(const struct client *cl)
{
    return cl ? cl->request_id : "";
}

const json_t *client_problem(const struct client *cl)
{
    return cl ? cl->problem : NULL;
}

const char *client_url(const struct client *cl)
{
    return cl->access.url;
}

char *url_path(const char *fmt, ...)
{
    struct hob_buf b;
    hob_buf_init(&b, 65536);
    va_list ap;
    va_start(ap, fmt);
    for (; *fmt; fmt++) {
        if (fmt[0] != '%') {
            HOB_ASSERT(hob_buf_add(&b, fmt, 1) == HOB_OK);
            continue;
        }
        HOB_ASSERT(fmt[1] == 's');
        fmt++;
        for (const char *s = va_arg(ap, const char *); *s; s++) {
            bool is_plain = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') ||
                            (*s >= '0' && *s <= '9') || strchr("-._~", *s);
            enum hob_code code =
                is_plain ? hob_buf_add(&b, s, 1) : hob_buf_addf(&b, "%%%02X", (unsigned)(unsigned char)*s);
            if (code != HOB_OK)
                break; /* an argument of more than 20,000 bytes; what is cut is not found */
        }
    }
    va_end(ap);
    char *path = hob_buf_take(&b);
    hob_buf_done(&b);
    return path;
}
