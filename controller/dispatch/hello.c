/* What an instance is given: START to the node (what to run) and HELLO on its channel (how it is configured). */
#include <stdio.h>
#include <stdlib.h>

#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

static const char *const kinds[] = {
    [FUNCTION_AUTO] = "auto", [FUNCTION_HTTP] = "http", [FUNCTION_PARSE] = "parse"};

static void add_named(struct hob_pairs_writer *w, const char *prefix, const char *name, struct hob_str value)
{
    char key[320];
    int n = snprintf(key, sizeof key, "%s.%s", prefix, name);
    if (n > 0 && (size_t)n < sizeof key)
        hob_pairs_add(w, hob_str_n(key, (size_t)n), value);
}

static enum hob_code add_secrets(struct instance *i, struct hob_pairs_writer *w, struct hob_err *err)
{
    const struct function_config *f = i->pool->config;
    enum hob_code code = HOB_OK;
    struct hob_buf value;
    hob_buf_init(&value, HOB_MAX_SECRET_BYTES);
    for (size_t n = 0; n < f->secrets_n && code == HOB_OK; n++) {
        hob_buf_clear(&value);
        code = vault_get(i->pool->d->o.vault, i->pool->version->app_name, f->secrets[n], &value, err);
        if (code == HOB_OK)
            add_named(w, "secret", f->secrets[n], hob_buf_str(&value));
    }
    if (value.mem)
        explicit_bzero(value.mem, value.cap);
    hob_buf_done(&value);
    return code;
}

/* So that a runtime can tell what there is without asking; the judging is not its part. */
static enum hob_code add_bindings(struct hob_pairs_writer *w, const struct function_config *f,
                                  struct hob_err *err)
{
    hob_auto_buf struct hob_buf list;
    hob_buf_init(&list, 64 * 1024);
    for (size_t i = 0; i < f->bindings_n; i++) {
        if (hob_buf_addf(&list, "%s%s", i ? " " : "", f->bindings[i]) != HOB_OK)
            return hob_fail(err, HOB_E_TOO_LARGE, "the list of bindings is too long");
    }
    if (list.n || f->kind == FUNCTION_PARSE)
        hob_pairs_add(w, HOB_STR("bindings"), hob_buf_str(&list));
    return HOB_OK;
}

static void add_hooks(struct hob_pairs_writer *w, const struct function_config *f)
{
    const char *const hooks[][2] = {{"hook.config", f->config_hook},
                                    {"hook.start", f->start_hook},
                                    {"hook.stop", f->stop_hook},
                                    {"hook.health", f->health_hook}};
    for (size_t i = 0; i < HOB_COUNT(hooks); i++)
        if (hooks[i][1])
            hob_pairs_add(w, hob_str(hooks[i][0]), hob_str(hooks[i][1]));
}

enum hob_code hello_write(struct instance *i, struct hob_buf *out, struct hob_err *err)
{
    const struct function_config *f = i->pool->config;
    const struct version *v = i->pool->version;
    struct hob_pairs_writer w;
    hob_pairs_start(&w, out);
    hob_pairs_add_u64(&w, "protocol", HOB_CHANNEL_PROTOCOL);
    hob_pairs_add(&w, HOB_STR("app"), hob_str(v->app_name));
    hob_pairs_add(&w, HOB_STR("function"), hob_str(v->function_name));
    hob_pairs_add_u64(&w, "version", v->number);
    hob_pairs_add_u64(&w, "instance", i->id);
    hob_pairs_add(&w, HOB_STR("runtime"), hob_str(f->runtime));
    hob_pairs_add(&w, HOB_STR("entry"), hob_str(f->entry ? f->entry : ""));
    hob_pairs_add(&w, HOB_STR("handler"), hob_str(f->handler ? f->handler : ""));
    hob_pairs_add(&w, HOB_STR("kind"), hob_str(kinds[f->kind]));
    if (add_bindings(&w, f, err) != HOB_OK)
        return err->code;
    hob_pairs_add_u64(&w, "concurrency", f->concurrency);
    hob_pairs_add_u64(&w, "memory_mb", f->memory_mb);
    hob_pairs_add_u64(&w, "timeout_ms", f->timeout_ms);
    hob_pairs_add_u64(&w, "secrets_in_env", f->secrets_in_env);
    add_hooks(&w, f);
    for (size_t n = 0; n < f->vars_n; n++)
        add_named(&w, "env", f->vars[n].name, hob_str(f->vars[n].value));
    enum hob_code code = add_secrets(i, &w, err);
    return code == HOB_OK ? hob_pairs_end(&w, err) : code;
}

struct start_failure { /* a failure found before the node is asked, told on the next turn of the loop */
    uv_timer_t timer;
    struct hob_err err;
    const struct node_events *events;
    void *ctx;
};

static void on_timer_closed(uv_handle_t *h)
{
    free(h->data);
}

static void on_start_failure(uv_timer_t *t)
{
    struct start_failure *f = t->data;
    f->events->failed(f->ctx, &f->err);
    uv_close((uv_handle_t *)t, on_timer_closed);
}

static void fail_later(struct instance *i, const struct node_events *events, const struct hob_err *err)
{
    struct start_failure *f = hob_new(struct start_failure);
    *f = (struct start_failure){.err = *err, .events = events, .ctx = i};
    HOB_ASSERT(uv_timer_init(i->pool->d->o.loop, &f->timer) == 0);
    f->timer.data = f;
    HOB_ASSERT(uv_timer_start(&f->timer, on_start_failure, 0, 0) == 0);
}

/* Of an image only what stands before its own program is ours: that it is a server (runner/init/proxy.h). */
static char **image_argv(const struct function_config *f)
{
    char **argv = hob_new_n(char *, 4);
    if (f->kind != FUNCTION_HTTP)
        return argv;
    (void)runtime_http_options(argv, f);
    return argv;
}

static char **start_argv(const struct dispatcher *d, const struct function_config *f,
                         const struct runtime_info **ret_rt, struct hob_err *err)
{
    static char *nothing[] = {NULL};
    static const struct runtime_info none = {.env = nothing};
    if (function_has_image(f)) {
        *ret_rt = &none;
        return image_argv(f);
    }
    *ret_rt = runtimes_need(d->o.runtimes, f->runtime, err);
    char **argv = *ret_rt ? runtime_argv(*ret_rt, f) : NULL;
    if (*ret_rt && !argv)
        (void)hob_fail_reason(err, HOB_E_UNSUPPORTED, "kind_unsupported",
                              "runtime '%s' runs no servers (kind http)", f->runtime);
    return argv;
}

/* Servers (kind http) run their code from the start: none can be started before it is there. */
static uint32_t pool_max(const struct instance *i, const struct runtime_info *rt)
{
    const struct function_config *f = i->pool->config;
    bool can_wait = f->engine == ENGINE_SANDBOX && f->kind != FUNCTION_HTTP && !i->pool->has_lost_pooled;
    return can_wait ? rt->pool_max : 0;
}

/* After one was killed right behind its start, the next has a sandbox of its own: it may have been the zygote's end. */
static uint32_t forks_max(const struct instance *i, const struct runtime_info *rt)
{
    const struct function_config *f = i->pool->config;
    return f->isolation == ISOLATION_VERSION && !i->pool->has_lost_pooled ? rt->forks_max : 0;
}

void hello_start(struct instance *i, const struct node_events *events)
{
    const struct function_config *f = i->pool->config;
    const struct version *v = i->pool->version;
    struct dispatcher *d = i->pool->d;
    struct hob_err err;
    const struct runtime_info *rt;
    char **argv = start_argv(d, f, &rt, &err);
    if (!argv) {
        fail_later(i, events, &err);
        return;
    }
    node_start(d->o.nodes,
               &(struct node_start_spec){
                   .instance = i->id,
                   .app = v->app_name,
                   .function = v->function_name,
                   .runtime = f->runtime,
                   .digest = v->digest,
                   .engine = f->engine == ENGINE_DOCKER ? "docker" : "sandbox",
                   .image = f->image_id ? f->image_id : f->image,
                   .version = v->number,
                   .argv = (const char *const *)argv,
                   .env = (const char *const *)rt->env,
                   .memory_mb = f->memory_mb,
                   .cpu_percent = f->cpu_percent,
                   .pids_max = HOB_MAX_PROCESSES,
                   .tmp_bytes = HOB_MAX_TMP_BYTES,
                   .egress = f->egress,
                   .egress_n = f->egress_n,
                   .syscalls = f->syscalls,
                   .syscalls_n = f->syscalls_n,
                   .is_learning = learn_begins(i),
                   .pool_max = pool_max(i, rt),
                   .forks_max = forks_max(i, rt),
                   .stdin_fd = -1,
               },
               events, i);
    runtime_argv_free(argv);
}
