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
