#include "runner/asks.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "runner/docker/docker.h"

enum { ANSWER_BYTES_MAX = 64 * 1024, NAME_BYTES = 256 };

struct asks {
    struct uplink *uplink; /* NULL: closed */
    struct engine *sandbox, *docker;
    unsigned open;
};
struct ask {
    struct asks *asks;
    uint64_t id;
};

static void send_answer(struct asks *a, uint64_t id, struct hob_str json, const struct hob_err *err)
{
    if (!a->uplink)
        return;
    struct hob_pairs_writer *w = uplink_begin(a->uplink, HOB_LINK_ENGINE);
    hob_pairs_add_u64(w, "ask", id);
    hob_pairs_add_u64(w, "code", err ? err->code : HOB_OK);
    if (err) {
        hob_pairs_add(w, HOB_STR("reason"), hob_str(hob_err_reason(err)));
        hob_pairs_add(w, HOB_STR("message"), hob_str(err->msg));
    } else {
        hob_pairs_add(w, HOB_STR("json"), json);
    }
    uplink_send(a->uplink, NULL, 0);
}

static void on_told(void *ctx, struct hob_str json, const struct hob_err *err)
{
    struct ask *q = ctx;
    struct asks *a = q->asks;
    send_answer(a, q->id, json, err);
    free(q);
    if (--a->open == 0 && !a->uplink)
        free(a);
}

/* What the sandbox engine says of itself when it fails: its probe's first such line. */
static void describe_sandbox(const struct engine *e, struct hob_jw *w)
{
    bool is_up = e->ops->is_up(e);
    hob_jw_object(w);
    hob_jw_kcstr(w, "name", e->name);
    hob_jw_kcstr(w, "state", is_up ? "up" : "down");
    hob_jw_kcstr(w, "reason", is_up ? "Hob's own: namespaces, cgroups, Landlock, seccomp" : e->ops->probe(e));
    hob_jw_object_end(w);
}

static void answer_ls(struct asks *a, uint64_t id)
{
    hob_auto_buf struct hob_buf out, docker;
    struct hob_jw w;
    struct hob_err err;
    hob_buf_init(&out, ANSWER_BYTES_MAX);
    hob_buf_init(&docker, ANSWER_BYTES_MAX / 2);
    hob_jw_init(&w, &out);
    hob_jw_object(&w);
    hob_jw_key(&w, "engines");
    hob_jw_array(&w);
    describe_sandbox(a->sandbox, &w);
    if (a->docker) {
        engine_docker_describe(a->docker, &docker);
        hob_jw_raw(&w, hob_buf_str(&docker));
    }
    hob_jw_array_end(&w);
    hob_jw_object_end(&w);
    enum hob_code code = hob_jw_end(&w, &err);
    send_answer(a, id, hob_buf_str(&out), code == HOB_OK ? NULL : &err);
}

static void test_sandbox(struct asks *a, uint64_t id)
{
    struct hob_err err;
    if (a->sandbox->ops->is_up(a->sandbox)) {
        send_answer(a, id, HOB_STR("{\"name\":\"sandbox\",\"ok\":true}"), NULL);
        return;
    }
    (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "engine_unavailable",
                          "the sandbox engine is not available: %.180s", a->sandbox->ops->probe(a->sandbox));
    send_answer(a, id, (struct hob_str){"", 0}, &err);
}

static struct ask *ask_new(struct asks *a, uint64_t id)
{
    struct ask *q = hob_new(struct ask);
    *q = (struct ask){.asks = a, .id = id};
    a->open++;
    return q;
}

struct asks *asks_new(struct uplink *u, struct engine *sandbox, struct engine *docker)
{
    struct asks *a = hob_new(struct asks);
    *a = (struct asks){.uplink = u, .sandbox = sandbox, .docker = docker};
    return a;
}

static void on_progress(void *ctx, const char *text)
{
    const struct ask *q = ctx;
    if (!q->asks->uplink)
        return;
    struct hob_pairs_writer *w = uplink_begin(q->asks->uplink, HOB_LINK_ENGINE);
    hob_pairs_add_u64(w, "ask", q->id);
    hob_pairs_add(w, HOB_STR("progress"), hob_str(text));
    uplink_send(q->asks->uplink, NULL, 0);
}

static char *text_of(const struct hob_pairs *p, const char *name)
{
    struct hob_str value = hob_pairs_get(p, name);
    return value.n && !memchr(value.at, 0, value.n) ? hob_strndup(value.at, value.n) : NULL;
}

static void fetch(struct asks *a, uint64_t id, const struct hob_pairs *question)
{
    bool is_build = hob_str_is(hob_pairs_get(question, "verb"), "dockerfile");
    hob_auto_free char *name = text_of(question, "name"), *pull = text_of(question, "pull"),
                       *auth = text_of(question, "auth"), *digest = text_of(question, "digest"),
                       *app = text_of(question, "app");
    const struct docker_fetch f = {.image = is_build ? NULL
                                            : name   ? name
                                                     : "?",
                                   .pull = pull,
                                   .auth = auth,
                                   .dockerfile = is_build ? name : NULL,
                                   .digest = digest,
                                   .app = app,
                                   .progress = on_progress};
    engine_docker_fetch(a->docker, &f, on_told, ask_new(a, id));
}

static void collect(struct asks *a, uint64_t id, const struct hob_pairs *question)
{
    hob_auto_free char *keep = text_of(question, "keep");
    bool is_dry = hob_pairs_u64(question, "dry", 0) != 0;
    engine_docker_gc(a->docker, keep ? keep : "", is_dry, on_told, ask_new(a, id));
}

void asks_take(struct asks *a, const struct hob_pairs *question)
{
    struct hob_str verb = hob_pairs_get(question, "verb"), name = hob_pairs_get(question, "name");
    uint64_t id = hob_pairs_u64(question, "ask", 0);
    char text[NAME_BYTES];
    struct hob_err err;
    (void)snprintf(text, sizeof text, "%.*s", (int)(name.n < NAME_BYTES ? name.n : 0),
                   name.at ? name.at : "");
    bool is_test = hob_str_is(verb, "test"), is_docker = strcmp(text, "docker") == 0;
    if (hob_str_is(verb, "ls")) {
        answer_ls(a, id);
    } else if (is_test && strcmp(text, "sandbox") == 0) {
        test_sandbox(a, id);
    } else if (is_test && !is_docker) {
        (void)hob_fail(&err, HOB_E_NOT_FOUND, "there is no engine '%.40s'; there are sandbox and docker",
                       text);
        send_answer(a, id, (struct hob_str){"", 0}, &err);
    } else if (!a->docker) {
        (void)hob_fail_reason(&err, HOB_E_UNAVAILABLE, "engine_unavailable",
                              "the docker engine is switched off on this node (hobd --docker off)");
        send_answer(a, id, (struct hob_str){"", 0}, &err);
    } else if (is_test) {
        engine_docker_test(a->docker, on_told, ask_new(a, id));
    } else if (hob_str_is(verb, "gc")) {
        collect(a, id, question);
    } else if (hob_str_is(verb, "build")) {
        engine_docker_build(a->docker, text, on_told, ask_new(a, id));
    } else {
        fetch(a, id, question);
    }
}

void asks_close(struct asks *a)
{
    if (!a)
        return;
    a->uplink = NULL;
    if (a->open == 0)
        free(a);
}
