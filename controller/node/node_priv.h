/* Inside the node: one instance as hobd sees it, and the hub that holds them. Included by node*.c only. */
#pragma once

#include "base/list.h"
#include "base/map.h"
#include "base/msgsock.h"
#include "controller/node.h"

enum node_state {
    NODE_EMPTY,   /* no runner */
    NODE_GREETED, /* one dialled in; its HELLO has not come */
    NODE_UP,
    NODE_CLOSING,
};

struct node_instance {
    UT_hash_handle hh;
    struct hob_node node; /* in later */
    uint64_t id;
    bool is_started;
    struct hob_err err; /* in later: why it fails */
    struct node_events events;
    void *ctx;
};

struct node_ask { /* an open node_engine */
    struct hob_node node;
    uint64_t id;
    node_engine_cb cb; /* NULL: forgotten */
    void (*progress)(void *ctx, struct hob_str text);
    void *ctx;
};

struct node_question { /* an open node_doctor */
    struct hob_node node;
    node_doctor_cb cb;
    void *ctx;
};

struct node_hub {
    uv_loop_t *loop;
    char *path;
    unsigned owner_uid;
    enum node_state state;
    bool cannot_freeze; /* as the runner's HELLO says */
    int listen_fd;
    uv_poll_t listener;
    uv_timer_t later_timer, hello_timer;
    unsigned handles;
    struct hob_msgsock *sock;
    struct hob_buf out;
    struct hob_pairs_writer writer;
    struct node_instance *instances; /* by id: asked for, and not failed or exited */
    struct hob_list later;           /* instances that fail as soon as the loop turns */
    struct hob_list questions;       /* node_doctor, in the order of their answers */
    struct hob_list asks;            /* node_engine */
    uint64_t last_ask;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* node_in.c: judges one message; false when the link must be closed (*ret_why says it). */
HOB_MUST_USE bool node_take(struct node_hub *h, struct hob_str msg, int fd, const char **ret_why);
/* Ends one instance and tells its listener. */
void node_instance_fail(struct node_hub *h, struct node_instance *i, const struct hob_err *err);
void node_instance_exit(struct node_hub *h, struct node_instance *i, const struct node_exit *exit);
void node_question_answer(struct node_question *q, const struct hob_str *lines, size_t n,
                          const struct hob_err *err);
struct node_instance *node_instance_find(struct node_hub *h, uint64_t id);
/* node.c: the runner's HELLO was good. */
void node_up(struct node_hub *h);
struct hob_pairs_writer *node_begin(struct node_hub *h, uint32_t type);
void node_send(struct node_hub *h, const int *fds, size_t fds_n); /* takes the descriptors */
/* node.c: what cannot be sent fails when the loop turns. */
void node_later(struct node_hub *h);
/* node_in.c: a reason of the runner's as a string that lasts, or NULL. */
const char *node_known_reason(struct hob_str text);
/* node_engine.c: an answer came (NULL, or why it must not have come); all that is open fails. */
const char *node_engine_take(struct node_hub *h, const struct hob_pairs *p);
void node_engine_fail_all(struct node_hub *h, const struct hob_err *err);
