/* Flow of an exchange: RUNNING (curl has it) -> ENDED (curl is done, or it was refused before) -> told -> gone. What curl's
 * callbacks collect is looked at behind curl_multi_socket_action. */
#include "bindings/login/outbound.h"

#include <stdlib.h>
#include <string.h>

#include "base/lazy/curl_loop.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rules/egress.h"

#include "base/banned.h"

enum { CONNECT_MS = 5000, KEPT_CONNECTIONS = 16 };

struct outbound {
    struct curl_loop curl;
    uv_async_t wake;                  /* something ended without curl */
    unsigned open_parts, exchanges_n; /* parts: curl and wake */
    struct hob_list exchanges;
    bool may_reach_private, is_closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

struct exchange {
    struct hob_node node;
    struct outbound *outbound;
    CURL *easy;
    struct curl_slist *fields;
    char *app, *form;
    struct hob_buf in;
    bool is_ended, is_too_large, is_refused;
    CURLcode result;
    struct hob_err err;
    outbound_cb done;
    void *ctx;
};

/* --- steps: an exchange --- */
static void exchange_free(struct exchange *x)
{
    struct outbound *o = x->outbound;
    hob_list_remove(&x->node);
    o->exchanges_n--;
    if (x->easy) {
        curl_loop_remove(&o->curl, x->easy);
        curl_easy_cleanup(x->easy);
    }
    curl_slist_free_all(x->fields);
    hob_buf_done(&x->in);
    free(x->app);
    free(x->form);
    free(x);
}

static void judge_result(struct exchange *x)
{
    struct hob_err *err = &x->err;
    if (err->code != HOB_OK || (x->result == CURLE_OK && !x->is_too_large))
        return;
    if (x->is_refused)
        (void)hob_fail(err, HOB_E_FORBIDDEN, "the address is not one of the internet");
    else if (x->is_too_large)
        (void)hob_fail(err, HOB_E_TOO_LARGE, "the answer has more than %d bytes", HOB_MAX_OUTBOUND_BYTES);
    else if (x->result == CURLE_OPERATION_TIMEDOUT)
        (void)hob_fail(err, HOB_E_TIMEOUT, "there was no answer in time");
    else if (x->result == CURLE_UNSUPPORTED_PROTOCOL || x->result == CURLE_URL_MALFORMAT)
        (void)hob_fail(err, HOB_E_FORBIDDEN, "the address is none that may be asked: https is needed");
    else
        (void)hob_fail(err, HOB_E_UNAVAILABLE, "the exchange failed: %s", curl_easy_strerror(x->result));
}

static void exchange_tell(struct exchange *x)
{
    long status = 0;
    if (x->easy)
        (void)curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    judge_result(x);
    struct hob_buf in hob_auto_buf = x->in;
    struct hob_err err = x->err;
    outbound_cb done = x->done;
    void *ctx = x->ctx;
    hob_buf_init(&x->in, 0);
    exchange_free(x);
    struct outbound_answer a = {.status = (int)status, .body = hob_buf_str(&in)};
    done(ctx, err.code == HOB_OK ? &a : NULL, err.code == HOB_OK ? NULL : &err);
}

/* --- steps: curl --- */
static void on_ended(void *transfer, CURLcode result)
{
    struct exchange *x = transfer;
    x->is_ended = true;
    x->result = result;
}

static struct exchange *next_ended(struct outbound *o)
{
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): the analyzer does not see that who is freed has left the list */
    HOB_LIST_EACH(&o->exchanges, node, tmp)
    {
        struct exchange *x = HOB_CONTAINER_OF(node, struct exchange, node);
        if (x->is_ended)
            return x;
    }
    return NULL;
}

static void settle(void *ctx)
{
    struct outbound *o = ctx;
    struct exchange *x;
    while (!o->is_closing && (x = next_ended(o)))
        exchange_tell(x);
}

static void part_closed(void *ctx)
{
    struct outbound *o = ctx;
    if (--o->open_parts > 0)
        return;
    void (*closed)(void *ctx) = o->closed;
    void *closed_ctx = o->closed_ctx;
    free(o);
    closed(closed_ctx);
}

/* --- callbacks: curl's --- */
static size_t on_body(char *data, size_t size, size_t n, void *ctx)
{
    struct exchange *x = ctx;
    if (hob_buf_add(&x->in, data, size * n) == HOB_OK)
        return size * n;
    x->is_too_large = true;
    return 0; /* ends the transfer */
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct exchange *x = ctx;
    (void)purpose;
    if (!x->outbound->may_reach_private && !hob_address_is_internet(&a->addr)) {
        x->is_refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

static void on_wake(uv_async_t *wake)
{
    struct outbound *o = wake->data;
    if (!o->is_closing)
        settle(o);
}

static void on_wake_closed(uv_handle_t *handle)
{
    part_closed(handle->data);
}

/* --- steps: starting one --- */
static struct exchange *exchange_new(struct outbound *o, const char *app, outbound_cb done, void *ctx)
{
    struct exchange *x = hob_new(struct exchange);
    unsigned of_app = 0;
    HOB_LIST_EACH(&o->exchanges, node, tmp)
    of_app += strcmp(HOB_CONTAINER_OF(node, struct exchange, node)->app, app) == 0;
    x->outbound = o;
    x->app = hob_strdup(app);
    x->done = done;
    x->ctx = ctx;
    hob_buf_init(&x->in, HOB_MAX_OUTBOUND_BYTES);
    if (o->is_closing)
        (void)hob_fail(&x->err, HOB_E_CANCELLED, "the server is stopping");
    else if (o->exchanges_n >= HOB_MAX_OUTBOUND_CALLS || of_app >= HOB_MAX_OUTBOUND_CALLS_PER_APP)
        (void)hob_fail(&x->err, HOB_E_BUSY, "too many providers are being asked now: try again in a moment");
    hob_list_push_back(&o->exchanges, &x->node);
    o->exchanges_n++;
    if (x->err.code == HOB_OK) {
        x->easy = curl_easy_init();
        HOB_ASSERT(x->easy);
    }
    return x;
}

static void set_manners(struct exchange *x, const char *url, const char *schemes)
{
    CURL *e = x->easy;
    (void)curl_easy_setopt(e, CURLOPT_PRIVATE, x);
    (void)curl_easy_setopt(e, CURLOPT_URL, url);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, schemes);
    (void)curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(e, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)HOB_MAX_OUTBOUND_MS);
    (void)curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    (void)curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, x);
    (void)curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(e, CURLOPT_WRITEDATA, x);
}

static void add_field(struct exchange *x, const char *field)
{
    struct curl_slist *more = curl_slist_append(x->fields, field);
    HOB_ASSERT(more);
    x->fields = more;
}

static void exchange_start(struct exchange *x)
{
    if (x->err.code == HOB_OK && curl_loop_add(&x->outbound->curl, x->easy))
        return;
    if (x->err.code == HOB_OK)
        (void)hob_fail(&x->err, HOB_E_UNAVAILABLE, "the exchange cannot be started");
    x->is_ended = true;
    if (!x->outbound->is_closing)
        (void)uv_async_send(&x->outbound->wake);
}

/* --- door --- */
struct outbound *outbound_new(uv_loop_t *loop, bool may_reach_private)
{
    struct outbound *o = hob_new(struct outbound);
    o->may_reach_private = may_reach_private;
    curl_loop_init(&o->curl, loop,
                   &(struct curl_loop_options){
                       .connections_max = KEPT_CONNECTIONS, .ended = on_ended, .settle = settle, .ctx = o});
    HOB_ASSERT(uv_async_init(loop, &o->wake, on_wake) == 0);
    o->wake.data = o;
    o->open_parts = 2;
    hob_list_init(&o->exchanges);
    return o;
}

void outbound_close(struct outbound *o, void (*closed)(void *ctx), void *ctx)
{
    struct hob_node *node;
    o->closed = closed;
    o->closed_ctx = ctx;
    o->is_closing = true;
    while ((node = hob_list_first(&o->exchanges))) {
        struct exchange *x = HOB_CONTAINER_OF(node, struct exchange, node);
        (void)hob_fail(&x->err, HOB_E_CANCELLED, "the server is stopping");
        exchange_tell(x);
    }
    curl_loop_close(&o->curl, part_closed, o);
    uv_close((uv_handle_t *)&o->wake, on_wake_closed);
}

void outbound_ask(struct outbound *o, const struct outbound_request *r, outbound_cb done, void *ctx)
{
    struct exchange *x = exchange_new(o, r->app, done, ctx);
    if (x->easy) {
        set_manners(x, r->url, o->may_reach_private ? "https,http" : "https");
        add_field(x, "Accept: application/json");
        add_field(x, "User-Agent: Hob/" HOB_VERSION);
        if (r->bearer) {
            hob_auto_free char *field = hob_asprintf("Authorization: Bearer %s", r->bearer);
            add_field(x, field);
        }
        if (r->user) {
            (void)curl_easy_setopt(x->easy, CURLOPT_USERNAME, r->user);
            (void)curl_easy_setopt(x->easy, CURLOPT_PASSWORD, r->secret ? r->secret : "");
        }
        if (r->form) {
            x->form = hob_strdup(r->form);
            (void)curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(x->form));
            (void)curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, x->form);
        }
        (void)curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->fields);
    }
    exchange_start(x);
}

enum hob_code outbound_escape(struct hob_buf *out, struct hob_str text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.n; i++) {
        unsigned char ch = (unsigned char)text.at[i];
        bool is_plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
                        (ch && strchr("-._~", ch));
        char escaped[3] = {'%', hex[ch >> 4], hex[ch & 15]};
        enum hob_code rc = is_plain ? hob_buf_add(out, text.at + i, 1) : hob_buf_add(out, escaped, 3);
        if (rc != HOB_OK)
            return rc;
    }
    return HOB_OK;
}
