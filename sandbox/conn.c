#include "sandbox/conn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdmsg.h"
#include "base/mem.h"

#include "base/banned.h"

struct answer {
    struct hob_node in_conn;
    struct hob_launch_reply reply;
    int fds[CONN_FDS_MAX]; /* to pass along, owned */
    size_t fds_n;
};

static void watch(struct conn *c, uint32_t events, int op)
{
    struct epoll_event e = {.events = events, .data.ptr = c};
    HOB_ASSERT(epoll_ctl(c->epoll, op, c->fd, &e) == 0);
}

static void answer_free(struct answer *a)
{
    hob_list_remove(&a->in_conn);
    for (size_t i = 0; i < a->fds_n; i++)
        (void)close(a->fds[i]);
    free(a);
}

bool conn_flush(struct conn *c)
{
    struct hob_node *first;
    while ((first = hob_list_first(&c->answers))) {
        struct answer *a = HOB_CONTAINER_OF(first, struct answer, in_conn);
        int sent = hob_fdmsg_send(c->fd, hob_str_n(&a->reply, sizeof a->reply), a->fds, a->fds_n);
        if (sent < 0)
            return false;
        if (sent == 0)
            break;
        answer_free(a);
    }
    bool is_blocked = !hob_list_is_empty(&c->answers);
    if (is_blocked != c->is_blocked)
        watch(c, is_blocked ? EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
    c->is_blocked = is_blocked;
    return true;
}

void conn_answer_fds(struct conn *c, const struct hob_launch_reply *reply, const int *fds, size_t fds_n)
{
    struct answer *a = hob_new(struct answer);
    a->reply = *reply;
    a->reply.magic = HOB_LAUNCH_MAGIC;
    a->fds_n = fds_n;
    for (size_t i = 0; i < fds_n; i++)
        a->fds[i] = fds[i];
    hob_list_push_back(&c->answers, &a->in_conn);
    if (!conn_flush(c))
        (void)shutdown(c->fd, SHUT_RDWR);
}

void conn_answer(struct conn *c, const struct hob_launch_reply *reply)
{
    conn_answer_fds(c, reply, NULL, 0);
}

void conn_fail(struct conn *c, uint64_t id, const struct hob_err *err)
{
    struct hob_launch_reply reply = {
        .answer = HOB_LAUNCH_FAILED, .id = id, .errnum = err->errnum ? err->errnum : EINVAL};
    (void)snprintf(reply.text, sizeof reply.text, "%s", err->msg);
    conn_answer(c, &reply);
}

struct conn *conn_new(int epoll, int fd, uint64_t serial)
{
    struct conn *c = hob_new(struct conn);
    c->fd = fd;
    c->epoll = epoll;
    c->serial = serial;
    hob_list_init(&c->answers);
    watch(c, EPOLLIN, EPOLL_CTL_ADD);
    return c;
}

void conn_free(struct conn *c)
{
    HOB_LIST_EACH(&c->answers, node, after)
    answer_free(HOB_CONTAINER_OF(node, struct answer, in_conn));
    hob_list_remove(&c->in_all);
    (void)close(c->fd);
    free(c);
}
