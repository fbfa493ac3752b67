#include <stdio.h>
#include <string.h>

#include "api/control/control_priv.h"

struct of_function {
    struct hob_jw *w;
    const struct function *f;
};

/* "name: what" lines as name and what. */
static void write_walls(struct hob_jw *w, struct hob_str text)
{
    hob_jw_array(w);
    while (text.n) {
        struct hob_str line = hob_str_cut(text, '\n', &text), what, name = hob_str_cut(line, ':', &what);
        if (!line.n)
            continue;
        hob_jw_object(w);
        hob_jw_key(w, "name");
        hob_jw_str(w, name);
        hob_jw_key(w, "what");
        hob_jw_str(w, hob_str_trim(what));
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
}

static void on_instance(void *ctx, const struct instance_view *v)
{
    const struct of_function *of = ctx;
    struct hob_jw *w = of->w;
    char id[17];
    if (!v->walls || strcmp(v->app, of->f->app->name) != 0 || strcmp(v->function, of->f->name) != 0)
        return;
    (void)snprintf(id, sizeof id, "%016llx", (unsigned long long)v->id);
    hob_jw_object(w);
    hob_jw_kcstr(w, "id", id);
    hob_jw_kint(w, "version", v->version);
    hob_jw_kcstr(w, "state", v->state);
    hob_jw_key(w, "walls");
    write_walls(w, hob_str(v->walls));
    hob_jw_object_end(w);
}

void handle_isolation(struct call *c)
{
    const struct function *f = call_function(c);
    if (!f)
        return;
    struct of_function of = {call_start(c), f};
    hob_jw_object(of.w);
    hob_jw_key(of.w, "instances");
    hob_jw_array(of.w);
    dispatcher_each_instance(c->control->o.dispatcher, on_instance, &of);
    hob_jw_array_end(of.w);
    hob_jw_object_end(of.w);
    call_finish(c);
}

/* --- learning ----------------------------------------------------------------------------------------------------- */

enum { LEARN_S_USUAL = 600, LEARN_S_MAX = 3600 };

/* Sorted, without those that every set has. */
static void write_learnt_calls(struct hob_jw *w, const struct hob_syscalls *used)
{
    struct hob_syscalls always = hob_syscalls_always();
    hob_jw_array(w);
    for (size_t i = 0; i < hob_syscalls_count(); i++)
        if (hob_syscalls_has(used, i) && !hob_syscalls_has(&always, i))
            hob_jw_cstr(w, hob_syscall_name(i));
    hob_jw_array_end(w);
}

static void write_learning(struct call *c, const struct function *f, const struct learning_view *v)
{
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_kint(w, "version", f->live->number);
    hob_jw_kint(w, "left_ms", (int64_t)v->left_ms);
    hob_jw_kint(w, "instances", v->instances);
    hob_jw_key(w, "syscalls");
    write_learnt_calls(w, &v->used);
    hob_jw_key(w, "denied");
    hob_jw_array(w);
    for (size_t i = 0; i < v->denied_n; i++) {
        hob_jw_object(w);
        hob_jw_kcstr(w, "call", v->denied[i].name);
        hob_jw_kint(w, "n", (int64_t)v->denied[i].n);
        hob_jw_object_end(w);
    }
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    call_finish(c);
}

static void answer_learnt(struct call *c, const struct function *f)
{
    struct learning_view v;
    struct hob_err err;
    if (dispatcher_learnt(c->control->o.dispatcher, f->live, &v)) {
        write_learning(c, f, &v);
        return;
    }
    (void)hob_fail_reason(&err, HOB_E_NOT_FOUND, "nothing_learnt",
                          "nothing is being learnt from version %u of '%s'; POST here begins",
                          f->live->number, f->name);
    call_fail(c, &err);
}

void handle_learn(struct call *c)
{
    const struct function *f = call_function(c);
    const json_t *given = json_object_get(c->json, "seconds");
    json_int_t seconds = given ? json_integer_value(given) : LEARN_S_USUAL;
    struct hob_err err;
    if (!f)
        return;
    if (seconds < 1 || seconds > LEARN_S_MAX)
        (void)hob_fail(&err, HOB_E_INVALID, "seconds: %lld; give 1 to %d", (long long)seconds, LEARN_S_MAX);
    else if (version_config(f->live)->engine != ENGINE_SANDBOX)
        (void)hob_fail(&err, HOB_E_UNSUPPORTED, "only a function in the sandbox can be learnt from");
    else {
        dispatcher_learn(c->control->o.dispatcher, f->live, (uint64_t)seconds * 1000);
        answer_learnt(c, f);
        return;
    }
    call_fail(c, &err);
}

void handle_learnt(struct call *c)
{
    const struct function *f = call_function(c);
    if (f)
        answer_learnt(c, f);
}

void handle_learn_end(struct call *c)
{
    const struct function *f = call_function(c);
    if (!f)
        return;
    dispatcher_learn_end(c->control->o.dispatcher, f->live);
    answer_learnt(c, f);
}
