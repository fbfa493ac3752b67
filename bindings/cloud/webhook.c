/* Flow of a post: RUNNING (curl has it) -> ENDED (curl is done) -> told, behind curl's own callbacks, and gone. */
#include "bindings/cloud/webhook.h"

#include <netinet/in.h>
#include <stdlib.h>

#include "base/lazy/curl_loop.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rules/egress.h"

#include "base/banned.h"

enum { CONNECT_MS = 5000, KEPT_CONNECTIONS = 16 };

struct webhooks {
    struct curl_loop curl;
    struct hob_list posts;
    bool is_closing, may_reach_private;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct post {
    struct hob_node node;
    CURL *easy;
    struct curl_slist *fields;
    char *body;
    struct hob_buf in;
    struct webhooks *hooks;
    bool is_ended, is_too_large, is_refused;
    CURLcode result;
    webhook_done_cb done;
    void *ctx;
};

/* --- steps --- */

static void fail_transport(const struct post *p, struct hob_err *err)
{
    if (p->is_too_large)
        (void)hob_fail(err, HOB_E_TOO_LARGE,
                       "the webhook's answer has more than %d bytes (invoke.answer_bytes)",
                       HOB_MAX_ANSWER_BYTES);
    else if (p->is_refused)
        (void)hob_fail(err, HOB_E_FORBIDDEN,
                       "the webhook's address is private; only the administrator can allow that");
    else if (p->result == CURLE_OPERATION_TIMEDOUT)
        (void)hob_fail(err, HOB_E_TIMEOUT, "the webhook did not answer in time");
    else
        (void)hob_fail(err, HOB_E_UNAVAILABLE, "the webhook cannot be reached: %.120s",
                       curl_easy_strerror(p->result));
}

static void post_end(struct webhooks *w, struct post *p, const struct hob_err *why)
{
    struct hob_err err = {0};
    if (why)
        err = *why;
    else if (p->result != CURLE_OK || p->is_too_large)
        fail_transport(p, &err);
    hob_list_remove(&p->node);
    curl_loop_remove(&w->curl, p->easy);
    curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->fields);
    p->done(p->ctx, err.code == HOB_OK ? NULL : &err, err.code == HOB_OK ? hob_buf_str(&p->in) : HOB_STR(""));
    hob_buf_done(&p->in);
    free(p->body);
    free(p);
}

static void on_ended(void *transfer, CURLcode result)
{
    struct post *p = transfer;
    p->is_ended = true;
    p->result = result;
}

static struct post *next_ended(struct webhooks *w)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): post_end takes the post off this list first */
    HOB_LIST_EACH(&w->posts, node, tmp)
    {
        struct post *p = HOB_CONTAINER_OF(node, struct post, node);
        if (p->is_ended)
            return p;
    }
    return NULL;
}

static void settle(void *ctx)
{
    struct webhooks *w = ctx;
    struct post *p;
    while (!w->is_closing && (p = next_ended(w)) != NULL)
        post_end(w, p, NULL);
}

/* --- callbacks: curl's and the loop's --- */

static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct post *p = ctx;
    if (hob_buf_add(&p->in, data, size * n) == HOB_OK)
        return size * n;
    p->is_too_large = true;
    return 0; /* ends the transfer */
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct post *p = ctx;
    (void)purpose;
    if (p->hooks->may_reach_private || hob_address_is_internet(&a->addr))
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    p->is_refused = true;
    return CURL_SOCKET_BAD;
}

static void on_curl_closed(void *ctx)
{
    struct webhooks *w = ctx;
    void (*closed)(void *ctx) = w->closed;
    void *closed_ctx = w->closed_ctx;
    free(w);
    closed(closed_ctx);
}

/* --- door --- */

bool webhook_url_is_valid(const char *url)
{
    struct hob_str s = hob_str(url);
    bool is_http = hob_str_starts(s, HOB_STR("http://")), is_https = hob_str_starts(s, HOB_STR("https://"));
    if ((!is_http && !is_https) || s.n > 2048)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.at[i] <= ' ' || s.at[i] == 0x7f)
            return false;
    }
    CURLU *u = curl_url();
    bool is_valid = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
    curl_url_cleanup(u);
    return is_valid;
}

struct webhooks *webhooks_new(uv_loop_t *loop, bool may_reach_private)
{
    struct webhooks *w = hob_new(struct webhooks);
    w->may_reach_private = may_reach_private;
    curl_loop_init(&w->curl, loop,
                   &(struct curl_loop_options){
                       .connections_max = KEPT_CONNECTIONS, .ended = on_ended, .settle = settle, .ctx = w});
    hob_list_init(&w->posts);
    return w;
}

static void add_field(struct post *p, const char *field)
{
    struct curl_slist *more = curl_slist_append(p->fields, field);
    HOB_ASSERT(more);
    p->fields = more;
}

static void set_manners(struct post *p, const struct webhook_request *r)
{
    CURL *e = p->easy;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, p);
    (void)curl_easy_setopt(e, CURLOPT_URL, r->url);
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(e, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(e, CURLOPT_USERAGENT, "hob/" HOB_VERSION);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    (void)curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    (void)curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, p);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, p);
    (void)curl_easy_setopt(e, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDS, p->body);
    (void)curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.n);
}

void webhook_post(struct webhooks *w, const struct webhook_request *r, webhook_done_cb done, void *ctx)
{
    HOB_ASSERT(!w->is_closing && r->timeout_ms > 0);
    struct post *p = hob_new(struct post);
    p->hooks = w;
    p->done = done;
    p->ctx = ctx;
    p->body = hob_strndup(r->body.at, r->body.n);
    hob_buf_init(&p->in, HOB_MAX_ANSWER_BYTES);
    p->easy = curl_easy_init();
    HOB_ASSERT(p->easy);
    set_manners(p, r);
    add_field(p, "Content-Type: application/json");
    add_field(p, "Expect:");
    if (r->key) {
        hob_auto_free char *field = hob_asprintf("X-Parse-Webhook-Key: %s", r->key);
        add_field(p, field);
    }
    (void)curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->fields);
    hob_list_push_back(&w->posts, &p->node);
    HOB_ASSERT(curl_loop_add(&w->curl, p->easy));
}

void webhooks_cancel(struct webhooks *w)
{
    struct hob_err err;
    struct hob_node *n;
    (void)hob_fail(&err, HOB_E_CANCELLED, "the daemon is stopping");
    while ((n = hob_list_first(&w->posts)) != NULL)
        post_end(w, HOB_CONTAINER_OF(n, struct post, node), &err);
}

void webhooks_close(struct webhooks *w, void (*closed)(void *ctx), void *ctx)
{
    HOB_ASSERT(!w->is_closing);
    w->closed = closed;
    w->closed_ctx = ctx;
    w->is_closing = true;
    webhooks_cancel(w);
    curl_loop_close(&w->curl, on_curl_closed, w);
}
