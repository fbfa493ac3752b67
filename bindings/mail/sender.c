/* A mail: WAITING -> SENDING (on its thread) -> SENT -> told on the loop, thread joined. */
#include "bindings/mail/sender.h"

#include <sodium.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/lazy/curl.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rules/egress.h"

#include "base/banned.h"

enum { AT_A_TIME = 8, CONNECT_MS = 5000, MAIL_MS = 30000, REFUSED_FOR_GOOD = 500 };

struct mail {
    struct hob_node node;
    struct sender *sender;
    char *server, *user, *password, *ca_file, *from, *to, *text;
    size_t text_n, text_at;
    uv_thread_t thread;
    bool needs_tls;
    bool is_refused; /* the address; by the thread */
    char why[CURL_ERROR_SIZE];
    struct hob_err err;
    sender_cb done;
    void *ctx;
};

struct sender {
    uv_loop_t *loop;
    uv_async_t wake;
    uv_mutex_t lock;
    struct hob_list sent; /* under lock */
    struct hob_list waiting;
    unsigned sending_n;
    bool may_reach_private;
    atomic_bool is_closing;
    bool is_handle_closing;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* --- on the thread --- */
static size_t on_upload(char *to, size_t size, size_t n, void *ctx)
{
    struct mail *m = ctx;
    size_t left = m->text_n - m->text_at, take = size * n < left ? size * n : left;
    memcpy(to, m->text + m->text_at, take);
    m->text_at += take;
    return take;
}

static curl_socket_t on_open(void *ctx, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct mail *m = ctx;
    (void)purpose;
    if (m->sender->may_reach_private || hob_address_is_internet(&a->addr))
        return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
    m->is_refused = true;
    return CURL_SOCKET_BAD;
}

static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    struct mail *m = ctx;
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return atomic_load(&m->sender->is_closing); /* not 0: break off */
}

static void set_manners(struct mail *m, CURL *e)
{
    (void)curl_easy_setopt(e, CURLOPT_URL, m->server);
    (void)curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    (void)curl_easy_setopt(e, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    (void)curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)MAIL_MS);
    (void)curl_easy_setopt(e, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)(MAIL_MS / 1000));
    (void)curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, on_open);
    (void)curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, m);
    (void)curl_easy_setopt(e, CURLOPT_NOPROGRESS, 0L);
    (void)curl_easy_setopt(e, CURLOPT_XFERINFOFUNCTION, on_progress);
    (void)curl_easy_setopt(e, CURLOPT_XFERINFODATA, m);
    (void)curl_easy_setopt(e, CURLOPT_READFUNCTION, on_upload);
    (void)curl_easy_setopt(e, CURLOPT_READDATA, m);
    (void)curl_easy_setopt(e, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(e, CURLOPT_MAIL_FROM, m->from);
    /* A password goes through TLS or not at all; without one, TLS where it is offered. */
    bool needs_tls = m->needs_tls || (m->password && !m->sender->may_reach_private);
    (void)curl_easy_setopt(e, CURLOPT_USE_SSL, needs_tls ? (long)CURLUSESSL_ALL : (long)CURLUSESSL_TRY);
    (void)curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    (void)curl_easy_setopt(e, CURLOPT_ERRORBUFFER, m->why);
    if (m->user) {
        (void)curl_easy_setopt(e, CURLOPT_USERNAME, m->user);
        (void)curl_easy_setopt(e, CURLOPT_PASSWORD, m->password ? m->password : "");
    }
    if (m->ca_file) { /* this one, and none of the system's */
        (void)curl_easy_setopt(e, CURLOPT_CAINFO, m->ca_file);
        (void)curl_easy_setopt(e, CURLOPT_CAPATH, NULL);
    }
}

static bool is_about_tls(CURLcode rc)
{
    return rc == CURLE_PEER_FAILED_VERIFICATION || rc == CURLE_SSL_CACERT_BADFILE ||
           rc == CURLE_SSL_ISSUER_ERROR || rc == CURLE_SSL_CONNECT_ERROR;
}

static void judge(struct mail *m, CURL *e, CURLcode rc)
{
    long said = 0;
    (void)curl_easy_getinfo(e, CURLINFO_RESPONSE_CODE, &said);
    if (m->is_refused)
        (void)hob_fail(&m->err, HOB_E_FORBIDDEN, "the mail server's address is not one of the internet");
    else if (rc == CURLE_ABORTED_BY_CALLBACK)
        (void)hob_fail(&m->err, HOB_E_CANCELLED, "the server is stopping");
    else if (rc == CURLE_OPERATION_TIMEDOUT)
        (void)hob_fail(&m->err, HOB_E_TIMEOUT, "the mail server did not answer in time");
    else if (rc == CURLE_UNSUPPORTED_PROTOCOL || rc == CURLE_URL_MALFORMAT)
        (void)hob_fail(&m->err, HOB_E_FORBIDDEN,
                       "mail.server: smtp://HOST:PORT or smtps://HOST:PORT is needed");
    else if (rc == CURLE_USE_SSL_FAILED)
        (void)hob_fail(&m->err, HOB_E_UNAVAILABLE,
                       "the mail server offers no TLS (STARTTLS), and without it nothing is sent");
    else if (is_about_tls(rc))
        (void)hob_fail(&m->err, HOB_E_UNAVAILABLE, "TLS with the mail server failed: %.180s",
                       m->why[0] ? m->why : curl_easy_strerror(rc));
    else if (rc != CURLE_OK && rc != CURLE_LOGIN_DENIED && said >= REFUSED_FOR_GOOD)
        (void)hob_fail(&m->err, HOB_E_INVALID, "the mail server refuses it: %ld", said);
    else if (rc != CURLE_OK)
        (void)hob_fail(&m->err, HOB_E_UNAVAILABLE, "the mail server cannot take it now: %s",
                       curl_easy_strerror(rc));
}

static void send_it(void *ctx)
{
    struct mail *m = ctx;
    struct sender *s = m->sender;
    CURL *e = curl_easy_init();
    struct curl_slist *to = curl_slist_append(NULL, m->to);
    HOB_ASSERT(e && to);
    set_manners(m, e);
    (void)curl_easy_setopt(e, CURLOPT_MAIL_RCPT, to);
    judge(m, e, curl_easy_perform(e));
    curl_easy_cleanup(e);
    curl_slist_free_all(to);
    uv_mutex_lock(&s->lock);
    hob_list_push_back(&s->sent, &m->node);
    uv_mutex_unlock(&s->lock);
    (void)uv_async_send(&s->wake);
}

/* --- on the loop --- */
static void mail_free(struct mail *m)
{
    if (m->password)
        sodium_memzero(m->password, strlen(m->password));
    free(m->server);
    free(m->user);
    free(m->password);
    free(m->ca_file);
    free(m->from);
    free(m->to);
    free(m->text);
    free(m);
}

static void tell(struct mail *m)
{
    m->done(m->ctx, m->err.code == HOB_OK ? NULL : &m->err);
    mail_free(m);
}

static void start_next(struct sender *s)
{
    struct hob_node *node;
    while (s->sending_n < AT_A_TIME && (node = hob_list_first(&s->waiting))) {
        struct mail *m = HOB_CONTAINER_OF(node, struct mail, node);
        hob_list_remove(node);
        s->sending_n++;
        if (uv_thread_create(&m->thread, send_it, m) == 0)
            continue;
        s->sending_n--;
        (void)hob_fail(&m->err, HOB_E_UNAVAILABLE, "there is no thread for a mail now");
        tell(m);
    }
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct sender *s = handle->data;
    void (*closed)(void *ctx) = s->closed;
    void *ctx = s->closed_ctx;
    uv_mutex_destroy(&s->lock);
    free(s);
    closed(ctx);
}

static void maybe_close(struct sender *s)
{
    if (!atomic_load(&s->is_closing) || s->sending_n || s->is_handle_closing)
        return;
    s->is_handle_closing = true;
    uv_close((uv_handle_t *)&s->wake, on_handle_closed);
}

static void on_wake(uv_async_t *wake)
{
    struct sender *s = wake->data;
    for (;;) {
        uv_mutex_lock(&s->lock);
        struct hob_node *node = hob_list_first(&s->sent);
        if (node)
            hob_list_remove(node);
        uv_mutex_unlock(&s->lock);
        if (!node)
            break;
        struct mail *m = HOB_CONTAINER_OF(node, struct mail, node);
        (void)uv_thread_join(&m->thread); /* it has nothing left to do */
        s->sending_n--;
        tell(m);
    }
    start_next(s);
    maybe_close(s);
}

/* --- door --- */
struct sender *sender_new(uv_loop_t *loop, bool may_reach_private)
{
    struct sender *s = hob_new(struct sender);
    HOB_ASSERT(uv_async_init(loop, &s->wake, on_wake) == 0 && uv_mutex_init(&s->lock) == 0);
    s->loop = loop;
    s->wake.data = s;
    s->may_reach_private = may_reach_private;
    hob_list_init(&s->sent);
    hob_list_init(&s->waiting);
    return s;
}

void sender_close(struct sender *s, void (*closed)(void *ctx), void *ctx)
{
    struct hob_node *node;
    s->closed = closed;
    s->closed_ctx = ctx;
    atomic_store(&s->is_closing, true);
    while ((node = hob_list_first(&s->waiting))) {
        struct mail *m = HOB_CONTAINER_OF(node, struct mail, node);
        hob_list_remove(node);
        (void)hob_fail(&m->err, HOB_E_CANCELLED, "the server is stopping");
        tell(m);
    }
    (void)uv_async_send(&s->wake);
}

static char *copy(const char *text)
{
    return text ? hob_strdup(text) : NULL;
}

void sender_start(struct sender *s, const struct sender_mail *given, sender_cb done, void *ctx)
{
    struct mail *m = hob_new(struct mail);
    m->sender = s;
    m->server = hob_strdup(given->server ? given->server : "");
    m->user = copy(given->user);
    m->password = copy(given->password);
    m->ca_file = copy(given->ca_file);
    m->needs_tls = given->needs_tls;
    m->from = hob_strdup(given->from);
    m->to = hob_strdup(given->to);
    m->text = hob_strndup(given->text.at, given->text.n);
    m->text_n = given->text.n;
    m->done = done;
    m->ctx = ctx;
    hob_list_push_back(&s->waiting, &m->node);
    (void)uv_async_send(&s->wake);
}
