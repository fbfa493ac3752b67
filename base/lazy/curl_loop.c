#include "base/lazy/curl_loop.h"

#include <stdlib.h>

#include "base/mem.h"

#include "base/banned.h"

struct watch { /* one of curl's sockets */
    uv_poll_t poll;
    struct curl_loop *owner;
    curl_socket_t fd;
};

/* --- steps --- */

static void note_ends(struct curl_loop *l)
{
    int left;
    const CURLMsg *m;
    while ((m = curl_multi_info_read(l->multi, &left))) {
        char *transfer = NULL;
        if (m->msg == CURLMSG_DONE &&
            curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &transfer) == CURLE_OK)
            l->ended(transfer, m->data.result);
    }
}

static void act(struct curl_loop *l, curl_socket_t fd, int events)
{
    int running;
    if (l->is_closing)
        return;
    (void)curl_multi_socket_action(l->multi, fd, events, &running);
    note_ends(l);
    l->settle(l->ctx);
}

static void handle_closed(struct curl_loop *l)
{
    if (--l->handles == 0)
        l->closed(l->closed_ctx);
}

/* --- callbacks --- */

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = handle->data;
    struct curl_loop *l = w->owner;
    free(w);
    handle_closed(l);
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = poll->data;
    int flags = status < 0 ? CURL_CSELECT_ERR : 0;
    flags |= events & UV_READABLE ? CURL_CSELECT_IN : 0;
    flags |= events & UV_WRITABLE ? CURL_CSELECT_OUT : 0;
    act(w->owner, w->fd, flags);
}

static struct watch *watch_new(struct curl_loop *l, curl_socket_t fd)
{
    struct watch *w = hob_new(struct watch);
    w->owner = l;
    w->fd = fd;
    if (uv_poll_init_socket(l->loop, &w->poll, fd) < 0) {
        free(w);
        return NULL;
    }
    w->poll.data = w;
    l->handles++;
    (void)curl_multi_assign(l->multi, fd, w);
    return w;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *socket_ctx)
{
    struct curl_loop *l = ctx;
    struct watch *w = socket_ctx;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            (void)uv_poll_stop(&w->poll);
            uv_close((uv_handle_t *)&w->poll, on_watch_closed);
            (void)curl_multi_assign(l->multi, fd, NULL);
        }
        return 0;
    }
    if (!w && !(w = watch_new(l, fd)))
        return -1;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_socket_ready) < 0 ? -1 : 0;
}

static void on_timer(uv_timer_t *timer)
{
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout_wanted(CURLM *multi, long timeout_ms, void *ctx)
{
    struct curl_loop *l = ctx;
    (void)multi;
    if (l->is_closing || timeout_ms < 0)
        (void)uv_timer_stop(&l->timer);
    else
        (void)uv_timer_start(&l->timer, on_timer, (uint64_t)timeout_ms, 0);
    return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

/* --- door --- */

void curl_loop_init(struct curl_loop *l, uv_loop_t *loop, const struct curl_loop_options *o)
{
    *l = (struct curl_loop){.loop = loop,
                            .handles = 1,
                            .connections_max = o->connections_max,
                            .ended = o->ended,
                            .settle = o->settle,
                            .ctx = o->ctx};
    HOB_ASSERT(uv_timer_init(loop, &l->timer) == 0);
    l->timer.data = l;
}

static void need_multi(struct curl_loop *l)
{
    if (l->multi)
        return;
    l->multi = curl_multi_init();
    HOB_ASSERT(l->multi);
    (void)curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
    (void)curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wanted);
    (void)curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
    (void)curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, l->connections_max);
}

bool curl_loop_add(struct curl_loop *l, CURL *easy)
{
    need_multi(l);
    return curl_multi_add_handle(l->multi, easy) == CURLM_OK;
}

void curl_loop_remove(struct curl_loop *l, CURL *easy)
{
    if (l->multi)
        (void)curl_multi_remove_handle(l->multi, easy);
}

void curl_loop_close(struct curl_loop *l, void (*closed)(void *ctx), void *ctx)
{
    l->is_closing = true;
    l->closed = closed;
    l->closed_ctx = ctx;
    if (l->multi)
        (void)curl_multi_cleanup(l->multi); /* takes its sockets off the loop */
    uv_close((uv_handle_t *)&l->timer, on_timer_closed);
}
