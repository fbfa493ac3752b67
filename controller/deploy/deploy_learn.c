/* Cloud code is run once before its deploy is committed: only its own start can tell what it registers. A draft of the
 * version, which nobody can call, is asked by an event; code that does not load fails the deploy with what it said. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "controller/catalog_change.h"
#include "controller/deploy/deploy_priv.h"
#include "controller/event.h"

static const struct hob_str question = {"{\"hobAsks\":\"registrations\"}", 27};

static void finish(struct deploy *dp, const struct hob_err *err)
{
    struct version *draft = dp->draft;
    dp->draft = NULL;
    dp->asking = NULL;
    catalog_draft_drop(deploy_options(dp)->catalog, draft);
    dp->learnt(dp, err);
}

/* {"functions":[...],"jobs":[...],"triggers":[...]}, lists of texts. */
static enum hob_code judge(struct deploy *dp, struct hob_str answer, struct hob_err *err)
{
    static const char *const lists[] = {"functions", "jobs", "triggers"};
    json_t *json hob_auto_json = hob_json_parse(answer, "what the cloud code registers", err);
    json_t *kept hob_auto_json = json_object();
    if (!json)
        return err->code;
    for (size_t i = 0; i < HOB_COUNT(lists); i++) {
        const json_t *names = json_object_get(json, lists[i]);
        json_t *list = json_array();
        for (size_t n = 0; n < json_array_size(names); n++) {
            json_t *name = json_array_get(names, n);
            if (json_is_string(name) && json_string_length(name) > 0 && json_string_length(name) < 256)
                (void)json_array_append(list, name);
        }
        (void)json_object_set_new(kept, lists[i], list);
    }
    dp->steps[dp->learnt_n].cloud_json = json_dumps(kept, JSON_COMPACT);
    return HOB_OK;
}

static void on_answer(void *ctx, const struct hob_err *err, struct hob_str answer)
{
    struct deploy *dp = ctx;
    const char *name = dp->manifest->functions[dp->learnt_n].name;
    struct hob_err bad = {0};
    if (err) {
        (void)hob_fail_reason(&bad, err->code == HOB_E_FUNCTION ? HOB_E_INVALID : err->code,
                              "cloud_code_failed", "function '%s': its cloud code does not load: %.160s",
                              name, err->msg);
        finish(dp, &bad);
    } else {
        finish(dp, judge(dp, answer, &bad) == HOB_OK ? NULL : &bad);
    }
}

/* The same code and configuration as what is live register the same. */
static bool is_known(struct deploy *dp, const struct version *live)
{
    struct deploy_step *step = &dp->steps[dp->learnt_n];
    if (!live || strcmp(live->digest, dp->staged.digest) != 0 ||
        strcmp(live->config_json, step->config_json) != 0)
        return false;
    step->cloud_json = live->cloud_json ? hob_strdup(live->cloud_json) : NULL;
    return true;
}

bool deploy_learn(struct deploy *dp, void (*done)(struct deploy *dp, const struct hob_err *err))
{
    const struct function_config *f = &dp->manifest->functions[dp->learnt_n];
    const struct deployer_options *o = deploy_options(dp);
    if (f->kind != FUNCTION_PARSE || !o->dispatcher)
        return false;
    const struct function *known = catalog_function_find(o->catalog, hob_str(dp->app), hob_str(f->name));
    const struct version *live = known ? known->live : NULL;
    if (is_known(dp, live))
        return false;
    struct version_row row = {.digest = dp->staged.digest,
                              .config_json = dp->steps[dp->learnt_n].config_json,
                              .env_json = live && live->env_json ? live->env_json : "{}",
                              .why = "deploy"};
    dp->learnt = done;
    dp->draft = catalog_draft(o->catalog, dp->app, f->name, &row);
    dp->asking = event_start(o->dispatcher, &(struct event_spec){.version = dp->draft, .payload = question},
                             on_answer, dp);
    return true;
}

void deploy_learn_cancel(struct deploy *dp)
{
    if (!dp->asking)
        return;
    event_cancel(dp->asking);
    dp->asking = NULL;
    catalog_draft_drop(deploy_options(dp)->catalog, hob_steal(&dp->draft));
}
