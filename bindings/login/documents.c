#include <stdlib.h>

#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "bindings/login/login_priv.h"

#include "base/banned.h"

enum {
    KEPT_MAX = 256,
    FRESH_MS = 3600 * 1000,
    STALE_MS = 24 * 3600 * 1000,
    AGAIN_MS = 30 * 1000, /* for a key that is not there: whoever invents key ids must not make us ask */
    FAILED_MS = 5 * 1000,
};

struct waiter {
    struct hob_node node;
    document_cb done;
    void *ctx;
};

struct document {
    char *url;
    json_t *json;                         /* NULL: never had */
    uint64_t asked_ms, had_ms, failed_ms; /* 0: never */
    struct hob_err err;                   /* of the last failure */
    struct hob_list waiters;
    bool is_asking;
    struct documents *documents;
    UT_hash_handle hh;
};

struct documents {
    struct login *login;
    struct document *by_url;
};

struct documents *documents_new(struct login *l)
{
    struct documents *d = hob_new(struct documents);
    d->login = l;
    return d;
}

static void document_free(struct documents *d, struct document *doc)
{
    HASH_DEL(d->by_url, doc); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
    json_decref(doc->json);
    free(doc->url);
    free(doc);
}

void documents_free(struct documents *d)
{
    struct document *doc, *tmp;
    HASH_ITER(hh, d->by_url, doc, tmp)
    document_free(d, doc);
    free(d);
}

/* The oldest that nobody waits for makes room. */
static void make_room(struct documents *d)
{
    struct document *doc, *tmp;
    if (HASH_COUNT(d->by_url) < KEPT_MAX)
        return;
    HASH_ITER(hh, d->by_url, doc, tmp)
    {
        if (!doc->is_asking) {
            document_free(d, doc);
            return;
        }
    }
}

static struct document *document_of(struct documents *d, const char *url)
{
    struct document *doc = NULL;
    HASH_FIND_STR(d->by_url, url, doc);
    if (doc)
        return doc;
    make_room(d);
    doc = hob_new(struct document);
    doc->url = hob_strdup(url);
    doc->documents = d;
    hob_list_init(&doc->waiters);
    /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): lost in uthash's macro */
    HASH_ADD_KEYPTR(hh, d->by_url, doc->url, strlen(doc->url), doc);
    return doc;
}

static void tell_waiters(struct document *doc)
{
    struct hob_node *node;
    struct hob_err err = doc->err;
    json_t *json hob_auto_json = json_incref(doc->json);
    bool is_useful = json && hob_now_ms() - doc->had_ms < STALE_MS;
    while ((node = hob_list_first(&doc->waiters))) {
        struct waiter w = *HOB_CONTAINER_OF(node, struct waiter, node);
        hob_list_remove(node);
        free(HOB_CONTAINER_OF(node, struct waiter, node));
        w.done(w.ctx, is_useful ? json : NULL, is_useful ? NULL : &err);
    }
}

static void on_answer(void *ctx, const struct outbound_answer *a, const struct hob_err *err)
{
    struct document *doc = ctx;
    json_t *json = a ? check_answer(a, &doc->err) : NULL;
    if (err)
        doc->err = *err;
    doc->is_asking = false;
    if (json) {
        json_decref(doc->json);
        doc->json = json;
        doc->had_ms = hob_now_ms();
        doc->failed_ms = 0;
    } else {
        doc->failed_ms = hob_now_ms();
    }
    tell_waiters(doc);
}

static bool is_to_be_asked(const struct document *doc, bool is_stale)
{
    uint64_t now_ms = hob_now_ms();
    if (doc->failed_ms && now_ms - doc->failed_ms < FAILED_MS)
        return false;
    if (!doc->json || now_ms - doc->had_ms >= FRESH_MS)
        return true;
    return is_stale && now_ms - doc->asked_ms >= AGAIN_MS;
}

void documents_get(struct documents *d, const char *app, const char *url, bool is_stale, document_cb done,
                   void *ctx)
{
    struct document *doc = document_of(d, url);
    struct waiter *w = hob_new(struct waiter);
    w->done = done;
    w->ctx = ctx;
    hob_list_push_back(&doc->waiters, &w->node);
    if (doc->is_asking)
        return;
    if (!is_to_be_asked(doc, is_stale)) {
        tell_waiters(doc);
        return;
    }
    doc->is_asking = true;
    doc->asked_ms = hob_now_ms();
    struct outbound_request r = {.app = app, .url = url};
    outbound_ask(d->login->outbound, &r, on_answer, doc);
}
