/* Questions of people. Flow of one: WAITING for an image -> (a test: MAKING a container -> its hob-init is there) -> told.
 * Stepped with the runs, whenever something changed. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "runner/docker/docker_priv.h"

#include "base/banned.h"

enum { TEXT_BYTES_MAX = 4096 };

struct docker_ask {
    struct hob_node node; /* in docker->asks */
    struct docker *e;
    char *image;
    bool is_test;
    struct box *box;
    uint64_t since_ms;
    docker_told_cb cb;
    void *ctx;
};

static void tell(struct docker_ask *q, struct hob_str json, const struct hob_err *err)
{
    docker_told_cb cb = q->cb;
    void *ctx = q->ctx;
    hob_list_remove(&q->node);
    free(q->image);
    free(q);
    cb(ctx, json, err);
}

static void tell_image(struct docker_ask *q, const struct image *i)
{
    char text[TEXT_BYTES_MAX];
    struct hob_str name = hob_str(q->image), prefix = {"runtime:", 8};
    const char *shown = hob_str_starts(name, prefix) ? q->image + prefix.n : q->image;
    int n =
        snprintf(text, sizeof text, "{\"runtime\":\"%.300s\",\"image\":\"%s\",\"built\":%s,\"took_ms\":%llu}",
                 shown, i->found.id, i->was_built && i->since_ms >= q->since_ms ? "true" : "false",
                 (unsigned long long)(hob_now_ms() - q->since_ms));
    tell(q, hob_str_n(text, (size_t)n), NULL);
}

static void on_test_ready(void *ctx)
{
    struct docker_ask *q = ctx;
    char text[TEXT_BYTES_MAX];
    int n =
        snprintf(text, sizeof text, "{\"name\":\"docker\",\"ok\":true,\"start_ms\":%llu,\"image\":\"%s\"}",
                 (unsigned long long)(hob_now_ms() - q->since_ms), q->image);
    box_drop(q->box);
    tell(q, hob_str_n(text, (size_t)n), NULL);
}

static void on_test_failed(void *ctx, const struct hob_err *err)
{
    tell(ctx, (struct hob_str){"", 0}, err);
}

static void on_test_ended(void *ctx, const struct hand_end *end)
{
    struct hob_err err;
    (void)end;
    (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "launch_failed",
                          "the container ended as soon as it had started");
    tell(ctx, (struct hob_str){"", 0}, &err);
}

static void ask_step(struct docker_ask *q)
{
    static const struct box_events events = {
        .ready = on_test_ready, .failed = on_test_failed, .ended = on_test_ended};
    struct docker *e = q->e;
    struct hob_err err = {0};
    if (q->box)
        return;
    if (e->state == DOCKER_DOWN) {
        docker_fail_unavailable(e, &err);
        tell(q, (struct hob_str){"", 0}, &err);
        return;
    }
    if (e->state != DOCKER_UP || gc_is_removing(e))
        return;
    struct image *i = image_get(e, q->image);
    if (i->state == IMAGE_ASKING)
        return;
    if (i->state == IMAGE_FAILED) {
        err = i->err;
        tell(q, (struct hob_str){"", 0}, &err);
        return;
    }
    if (!q->is_test) {
        tell_image(q, i);
        return;
    }
    struct container_spec c = {.image_id = i->found.id, .app = "test", .role = "test", .network = "none"};
    q->since_ms = hob_now_ms();
    q->box = box_make(e, &events, q, &c, &err);
    if (!q->box)
        tell(q, (struct hob_str){"", 0}, &err);
}

void asks_step(struct docker *e)
{
    HOB_LIST_EACH(&e->asks, node, tmp)
    ask_step(HOB_CONTAINER_OF(node, struct docker_ask, node));
}

void asks_fail_all(struct docker *e)
{
    struct hob_node *first;
    struct hob_err err;
    docker_fail_unavailable(e, &err);
    while ((first = hob_list_first(&e->asks))) {
        struct docker_ask *q = HOB_CONTAINER_OF(first, struct docker_ask, node);
        if (q->box)
            box_drop(q->box);
        tell(q, (struct hob_str){"", 0}, &err);
    }
}

static void ask(struct docker *e, char *image, bool is_test, docker_told_cb cb, void *ctx)
{
    struct docker_ask *q = hob_new(struct docker_ask);
    *q = (struct docker_ask){
        .e = e, .image = image, .is_test = is_test, .since_ms = hob_now_ms(), .cb = cb, .ctx = ctx};
    hob_list_push_back(&e->asks, &q->node);
    runs_kick(e);
}

void engine_docker_test(struct engine *base, docker_told_cb cb, void *ctx)
{
    ask(HOB_CONTAINER_OF(base, struct docker, base), hob_strdup("runtime:c"), true, cb, ctx);
}

void engine_docker_build(struct engine *base, const char *runtime, docker_told_cb cb, void *ctx)
{
    bool is_name = hob_name_is_valid(hob_str(runtime));
    ask(HOB_CONTAINER_OF(base, struct docker, base), hob_asprintf("runtime:%s", is_name ? runtime : "?"),
        false, cb, ctx);
}
