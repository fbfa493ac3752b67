/* hob.json. Oracles: what is accepted survives write and read unchanged, alone and copied; what is refused has a
 * message without control characters and a code people can act on; the default and every overlay of the file. */
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"
#include "manifest/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of_config(const struct function_config *f)
{
    struct hob_buf b;
    struct hob_jw w;
    hob_buf_init(&b, 4 << 20);
    hob_jw_init(&w, &b);
    function_config_write(f, &w);
    HOB_ASSERT(hob_jw_end(&w, NULL) == HOB_OK);
    char *text = hob_buf_take(&b);
    hob_buf_done(&b);
    return text;
}

static void judge_function(const struct function_config *f)
{
    struct hob_err err = {0};
    HOB_ASSERT(f->name && f->runtime && f->entry && f->entry[0] != '/' && !strstr(f->entry, "//"));
    HOB_ASSERT(f->memory_mb >= 16 && f->timeout_ms >= 1 && f->scale_max >= 1 && f->scale_min <= f->scale_max);
    for (size_t i = 0; i < f->routes_n; i++)
        HOB_ASSERT(f->routes[i].path && f->routes[i].path[0] == '/');
    for (size_t i = 0; i < f->vars_n; i++)
        HOB_ASSERT(env_var_check(f->vars[i].name, f->vars[i].value, &err) == HOB_OK);
    char *first = text_of_config(f);
    struct function_config *again = function_config_read(hob_str(first), &err);
    HOB_ASSERT(again);
    struct function_config *copy = function_config_copy(again);
    function_config_free(again);
    char *second = text_of_config(copy);
    function_config_free(copy);
    HOB_ASSERT(strcmp(first, second) == 0);
    free(first);
    free(second);
}

static void judge_refusal(const struct hob_err *err)
{
    HOB_ASSERT(err->code == HOB_E_INVALID || err->code == HOB_E_UNSUPPORTED || err->code == HOB_E_TOO_LARGE ||
               err->code == HOB_E_NOT_FOUND);
    HOB_ASSERT(err->msg[0] && memchr(err->msg, 0, sizeof err->msg));
    for (const char *c = err->msg; *c; c++)
        HOB_ASSERT((unsigned char)*c >= 0x20 && *c != 0x7f);
}

static bool judge(struct hob_str text, const char *env)
{
    struct hob_err err = {0};
    struct manifest *m = manifest_parse(text, env, &err);
    if (!m) {
        judge_refusal(&err);
        return false;
    }
    HOB_ASSERT(m->app && m->functions_n > 0);
    for (size_t i = 0; i < m->functions_n; i++)
        judge_function(&m->functions[i]);
    manifest_free(m);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hob_str text = hob_str_n(data, size);
    struct hob_err err = {0};
    struct function_config *f = function_config_read(text, &err);
    if (f)
        judge_function(f);
    else
        judge_refusal(&err);
    function_config_free(f);
    if (!judge(text, NULL))
        return 0;
    json_t *root = hob_json_parse_commented(text, "hob.json", &err);
    HOB_ASSERT(root);
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(root, "env"), name, value)(void) judge(text, name);
    json_decref(root);
    return 0;
}
