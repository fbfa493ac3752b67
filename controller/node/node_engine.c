/* Questions about the node's engines: each has a number, by which its answer is known. */
#include <stdlib.h>

#include "base/mem.h"
#include "controller/node/node_priv.h"

static void answer(struct node_ask *a, struct hob_str json, const struct hob_err *err)
{
    node_engine_cb cb = a->cb;
    void *ctx = a->ctx;
    hob_list_remove(&a->node);
    free(a);
    if (cb)
        cb(ctx, json, err);
}

static struct node_ask *find(struct node_hub *h, uint64_t id)
{
    HOB_LIST_EACH(&h->asks, node, tmp)
    {
        struct node_ask *a = HOB_CONTAINER_OF(node, struct node_ask, node);
        if (a->id == id)
            return a;
    }
    return NULL;
}

const char *node_engine_take(struct node_hub *h, const struct hob_pairs *p)
{
    struct node_ask *a = find(h, hob_pairs_u64(p, "ask", 0));
    uint64_t code = hob_pairs_u64(p, "code", HOB_E_INTERNAL);
    struct hob_str progress = hob_pairs_get(p, "progress");
    if (!a)
        return "ENGINE that was not asked for";
    if (progress.at) {
        if (a->progress && a->cb)
            a->progress(a->ctx, progress);
        return NULL;
    }
    if (code == HOB_OK) {
        answer(a, hob_pairs_get(p, "json"), NULL);
        return NULL;
    }
    struct hob_str message = hob_pairs_get(p, "message");
    struct hob_err err = {.code = code < HOB_E_COUNT_ ? (enum hob_code)code : HOB_E_INTERNAL,
                          .reason = node_known_reason(hob_pairs_get(p, "reason"))};
    size_t n = message.n < sizeof err.msg - 1 ? message.n : sizeof err.msg - 1;
    if (n)
        memcpy(err.msg, message.at, n);
    answer(a, (struct hob_str){"", 0}, &err);
    return NULL;
}

/* What is asked by those who hear of it waits for the next time. */
void node_engine_fail_all(struct node_hub *h, const struct hob_err *err)
{
    struct hob_node *first;
    struct hob_list now;
    hob_list_init(&now);
    while ((first = hob_list_first(&h->asks))) {
        hob_list_remove(first);
        hob_list_push_back(&now, first);
    }
    while ((first = hob_list_first(&now)))
        answer(HOB_CONTAINER_OF(first, struct node_ask, node), (struct hob_str){"", 0}, err);
}

static void add_text(struct hob_pairs_writer *w, const char *name, const char *text)
{
    if (text)
        hob_pairs_add(w, hob_str(name), hob_str(text));
}

uint64_t node_engine_ask(struct node_hub *h, const struct node_engine_question *q, node_engine_cb cb,
                         void *ctx)
{
    struct node_ask *a = hob_new(struct node_ask);
    a->id = ++h->last_ask;
    a->cb = cb;
    a->progress = q->progress;
    a->ctx = ctx;
    hob_list_push_back(&h->asks, &a->node);
    if (h->state != NODE_UP) {
        node_later(h);
        return a->id;
    }
    struct hob_pairs_writer *w = node_begin(h, HOB_LINK_ENGINE);
    hob_pairs_add_u64(w, "ask", a->id);
    add_text(w, "verb", q->verb);
    add_text(w, "name", q->name);
    add_text(w, "pull", q->pull);
    add_text(w, "auth", q->auth);
    add_text(w, "digest", q->digest);
    add_text(w, "app", q->app);
    add_text(w, "keep", q->keep);
    add_text(w, "dry", q->dry);
    uint64_t id = a->id; /* sending may fail, and with it every question */
    node_send(h, NULL, 0);
    return id;
}

void node_engine_forget(struct node_hub *h, uint64_t id)
{
    struct node_ask *a = find(h, id);
    if (a)
        a->cb = NULL;
}

void node_engine(struct node_hub *h, const char *verb, const char *name, node_engine_cb cb, void *ctx)
{
    (void)node_engine_ask(h, &(struct node_engine_question){.verb = verb, .name = name}, cb, ctx);
}
