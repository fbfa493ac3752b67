#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/limits.h"
#include "base/mem.h"

/* --- env ---------------------------------------------------------------------------------------------------------- */

static void answer_env(struct call *c)
{
    const struct function *f = call_function(c);
    if (!f)
        return;
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_key(w, "env");
    view_env(w, version_config(f->live));
    hob_jw_kint(w, "version", f->live->number);
    hob_jw_object_end(w);
    call_finish(c);
}

void handle_env(struct call *c)
{
    answer_env(c);
}

static void on_env_patched(void *ctx, const struct admin_result *r, const struct hob_err *err)
{
    struct call *c = ctx;
    (void)r;
    if (err)
        call_fail(c, err);
    else
        answer_env(c);
    call_release(c);
}

/* Names that are both set and unset say nothing clear. */
static enum hob_code judge_patch(json_t *set, json_t *unset, struct hob_err *err)
{
    const char *name;
    json_t *value;
    if (json_object_size(set) + json_array_size(unset) == 0)
        return hob_fail(err, HOB_E_INVALID, "the body: nothing to 'set' and nothing to 'unset'");
    if (json_object_size(set) > HOB_MAX_ENV_VARS || json_array_size(unset) > HOB_MAX_ENV_VARS)
        return hob_fail(err, HOB_E_TOO_LARGE, "more than %d variables (app.env_vars)", HOB_MAX_ENV_VARS);
    json_object_foreach(set, name, value)
    {
        if (env_var_check(name, json_string_value(value), err) != HOB_OK)
            return err->code;
    }
    for (size_t i = 0; i < json_array_size(unset); i++)
        if (json_object_get(set, json_string_value(json_array_get(unset, i))))
            return hob_fail(err, HOB_E_INVALID, "the body: '%.64s' is to be set and unset",
                            json_string_value(json_array_get(unset, i)));
    return HOB_OK;
}

void handle_env_patch(struct call *c)
{
    struct hob_err err = {0};
    json_t *set = json_object_get(c->json, "set"), *unset = json_object_get(c->json, "unset"), *value;
    const char *name;
    if (judge_patch(set, unset, &err) != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    if (!call_function(c))
        return;
    hob_auto_free struct env_var *vars = hob_new_n(struct env_var, json_object_size(set) + 1);
    hob_auto_free const char **names = hob_new_n(const char *, json_array_size(unset) + 1);
    struct admin_env_patch patch = {.set = vars, .unset = names};
    json_object_foreach(set, name, value) vars[patch.set_n++] =
        (struct env_var){(char *)(uintptr_t)name, (char *)(uintptr_t)json_string_value(value)};
    for (; patch.unset_n < json_array_size(unset); patch.unset_n++)
        names[patch.unset_n] = json_string_value(json_array_get(unset, patch.unset_n));
    call_hold(c);
    admin_env_patch(c->control->o.admin, (struct admin_target){c->params[0], c->params[1]}, &patch,
                    on_env_patched, c);
}

/* --- secrets ------------------------------------------------------------------------------------------------------ */

static void on_secret(void *ctx, const char *name, int64_t updated_ms)
{
    struct hob_jw *w = ctx;
    hob_jw_object(w);
    hob_jw_kcstr(w, "name", name);
    view_time(w, "updated_at", updated_ms);
    hob_jw_object_end(w);
}

/* An app that nobody made has no secrets, which is an answer: secrets can be set before the first deploy. */
void handle_secrets(struct call *c)
{
    struct hob_jw *w = call_start(c);
    hob_jw_object(w);
    hob_jw_key(w, "secrets");
    hob_jw_array(w);
    vault_each(c->control->o.vault, c->params[0], on_secret, w);
    hob_jw_array_end(w);
    hob_jw_object_end(w);
    call_finish(c);
}

static void on_secret_set(void *ctx, const struct admin_result *r, const struct hob_err *err)
{
    struct call *c = ctx;
    if (err) {
        call_fail(c, err);
    } else {
        struct hob_jw *w = call_start(c);
        hob_jw_object(w);
        hob_jw_kstr(w, "name", c->params[1]);
        view_time(w, "updated_at", r->updated_ms);
        hob_jw_object_end(w);
        call_finish(c);
    }
    call_release(c);
}

void handle_secret_set(struct call *c)
{
    json_t *value = json_object_get(c->json, "value");
    struct hob_str text = hob_str_n(json_string_value(value), json_string_length(value));
    call_hold(c);
    admin_secret_set(c->control->o.admin, c->params[0], c->params[1], text, on_secret_set, c);
    /* the value leaves this process's memory as soon as it is sealed */
    sodium_memzero((void *)(uintptr_t)text.at, text.n);
    if (c->body.mem)
        sodium_memzero(c->body.mem, c->body.cap);
}

void handle_secret_remove(struct call *c)
{
    call_hold(c);
    admin_secret_remove(c->control->o.admin, c->params[0], c->params[1], call_on_removed, c);
}
