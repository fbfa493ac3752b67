#include "cli/target.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/project.h"

#include "base/banned.h"

enum { NAMES_MAX = 512 };

static enum hob_code copy_name(const char *what, struct hob_str from, char to[65], struct hob_err *err)
{
    if (!hob_name_is_valid(from))
        return hob_fail(err, HOB_E_INVALID,
                        "%s name '%.*s': use a-z, 0-9 and '-', 1 to 64 characters, a letter first", what,
                        from.n > 70 ? 70 : (int)from.n, from.at);
    memcpy(to, from.at, from.n);
    to[from.n] = 0;
    return HOB_OK;
}

enum hob_code target_app(const char *app_option, char ret_app[65], struct hob_err *err)
{
    if (app_option)
        return copy_name("app", hob_str(app_option), ret_app, err);
    hob_auto_free char *dir = project_find();
    if (!dir)
        return hob_fail_reason(
            err, HOB_E_INVALID, "no_app",
            "which app? say --app NAME (or APP/FUNCTION), or go to a folder with hob.json");
    hob_auto_buf struct hob_buf text;
    if (project_read(dir, &text, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *root = hob_json_parse_commented(hob_buf_str(&text), "hob.json", err);
    if (!root)
        return err->code;
    const char *app = json_string_value(json_object_get(root, "app"));
    if (!app)
        return hob_fail(err, HOB_E_INVALID, "%s/hob.json names no \"app\"; say --app NAME", dir);
    return copy_name("app", hob_str(app), ret_app, err);
}

static enum hob_code parse_qualifier(struct hob_str text, char mark, char to[65], struct hob_err *err)
{
    if (mark == ':')
        return copy_name("alias", text, to, err);
    uint64_t version;
    if (!hob_str_u64(text, &version) || version == 0 || version > UINT32_MAX)
        return hob_fail(err, HOB_E_INVALID, "version '%.*s': give its number, as in checkout@7",
                        text.n > 40 ? 40 : (int)text.n, text.at);
    (void)snprintf(to, 65, "%llu", (unsigned long long)version);
    return HOB_OK;
}

enum hob_code target_parse(const char *text, const char *app_option, struct target *ret, struct hob_err *err)
{
    struct target t = {0};
    struct hob_str rest, s = hob_str(text);
    size_t marks = strcspn(text, ":@");
    if (text[marks] && parse_qualifier(hob_str(text + marks + 1), text[marks], t.qualifier, err) != HOB_OK)
        return err->code;
    s.n = marks;
    struct hob_str first = hob_str_cut(s, '/', &rest);
    if (rest.at) {
        if (copy_name("app", first, t.app, err) != HOB_OK ||
            copy_name("function", rest, t.function, err) != HOB_OK)
            return err->code;
        if (app_option && strcmp(app_option, t.app) != 0)
            return hob_fail(err, HOB_E_INVALID, "'%.60s' and --app %.60s name two apps; keep one of them",
                            text, app_option);
    } else if (copy_name("function", first, t.function, err) != HOB_OK ||
               target_app(app_option, t.app, err) != HOB_OK) {
        return err->code;
    }
    *ret = t;
    return HOB_OK;
}

/* "app/function" of all that the server has; returns owned. */
static size_t names_fetch(struct cli *c, char **names, size_t names_max)
{
    struct hob_err ignored;
    hob_auto_json json_t *answer = client_call(c, "GET", "/v1/functions", NULL, &ignored);
    const json_t *list = json_object_get(answer, "functions");
    size_t n = 0;
    for (size_t i = 0; i < json_array_size(list) && n < names_max; i++) {
        const json_t *f = json_array_get(list, i);
        const char *app = json_string_value(json_object_get(f, "app")),
                   *name = json_string_value(json_object_get(f, "name"));
        if (app && name)
            names[n++] = hob_asprintf("%s/%s", app, name);
    }
    return n;
}

enum hob_code app_path(const char *app, const char *below, char **ret_path, struct hob_err *err)
{
    if (!hob_name_is_valid(hob_str(app)))
        return hob_fail(err, HOB_E_INVALID,
                        "app '%.70s': use a-z, 0-9 and '-', 1 to 64 characters, a letter first, no '-' last",
                        app);
    hob_auto_free char *base = url_path("/v1/apps/%s", app);
    *ret_path = hob_asprintf("%s%s", base, below);
    return HOB_OK;
}

void target_suggest(struct cli *c, const struct target *t, struct hob_err *err)
{
    if (err->code != HOB_E_NOT_FOUND || strstr(err->msg, "did you mean"))
        return;
    char *names[NAMES_MAX];
    char mine[140];
    (void)snprintf(mine, sizeof mine, "%s/%s", t->app, t->function);
    struct hob_err own = *err; /* the question must not hide what was wrong */
    size_t n = names_fetch(c, names, NAMES_MAX);
    bool is_there = false;
    for (size_t i = 0; i < n; i++)
        is_there = is_there || strcmp(names[i], mine) == 0;
    const char *best = is_there ? NULL : hob_nearest(mine, (const char *const *)names, n);
    *err = own;
    if (best) {
        size_t used = strlen(err->msg);
        (void)snprintf(err->msg + used, sizeof err->msg - used, "; did you mean '%s'?", best);
    }
    for (size_t i = 0; i < n; i++)
        free(names[i]);
}

json_t *target_call(struct cli *c, const struct target *t, const char *method, const char *below,
                    const json_t *body, struct hob_err *err)
{
    hob_auto_free char *base = url_path("/v1/apps/%s/functions/%s", t->app, t->function);
    hob_auto_free char *path = hob_asprintf("%s%s", base, below);
    json_t *answer = client_call(c, method, path, body, err);
    if (!answer)
        target_suggest(c, t, err);
    return answer;
}

const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}
