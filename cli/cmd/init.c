#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/templates.h"

#include "base/banned.h"

enum { TEMPLATES_MAX = 32 };

/* Each name once; they stand together in the table. */
static size_t template_names(const char **names)
{
    size_t n = 0;
    for (size_t i = 0; i < template_files_n && n < TEMPLATES_MAX; i++)
        if (n == 0 || strcmp(names[n - 1], template_files[i].template_name) != 0)
            names[n++] = template_files[i].template_name;
    return n;
}

static enum hob_code template_need(const char *name, struct hob_err *err)
{
    const char *names[TEMPLATES_MAX];
    size_t n = template_names(names);
    char list[128] = "";
    for (size_t i = 0, used = 0; i < n && used < sizeof list; i++) {
        if (strcmp(names[i], name) == 0)
            return HOB_OK;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    }
    const char *best = hob_nearest(name, names, n);
    return hob_fail(err, HOB_E_NOT_FOUND, "there is no template '%.40s'%s%s%s; there are: %s", name,
                    best ? "; did you mean '" : "", best ? best : "", best ? "'?" : "", list);
}

/* A folder's name as an app's: lower case, everything else a '-'. */
static void app_name_of(const char *dir, char out[65])
{
    hob_auto_free char *real = realpath(dir, NULL);
    const char *slash = strrchr(real ? real : dir, '/');
    const char *from = slash ? slash + 1 : real ? real : dir;
    size_t n = 0;
    for (; *from && n < 64; from++) {
        char c = *from >= 'A' && *from <= 'Z' ? (char)(*from - 'A' + 'a') : *from;
        bool is_letter = c >= 'a' && c <= 'z', is_digit = c >= '0' && c <= '9';
        if (is_letter || (n && (is_digit || (out[n - 1] != '-'))))
            out[n++] = is_letter || is_digit ? c : '-';
    }
    while (n && out[n - 1] == '-')
        n--;
    out[n] = 0;
    if (!n)
        (void)snprintf(out, 65, "app");
}

/* The template's hob.json with the app's name in the place of its own; returns owned. */
static char *manifest_for(const struct template_file *f, const char *app)
{
    hob_auto_free char *text = hob_strndup((const char *)f->data, f->n);
    char *key = strstr(text, "\"app\"");
    char *open = key ? strchr(key + 5, '"') : NULL;
    char *close = open ? strchr(open + 1, '"') : NULL;
    if (!close)
        return hob_steal(&text);
    return hob_asprintf("%.*s%s%s", (int)(open + 1 - text), text, app, close);
}

static enum hob_code file_write(const char *dir, const struct template_file *f, const char *app,
                                struct hob_err *err)
{
    hob_auto_free char *path = hob_asprintf("%s/%s", dir, f->path);
    hob_auto_free char *folder = hob_strdup(path);
    char *slash = strrchr(folder, '/');
    HOB_ASSERT(slash);
    *slash = 0;
    if (hob_mkdirs(folder, 0755, err) != HOB_OK)
        return err->code;
    hob_auto_close int fd =
        open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, f->is_executable ? 0755 : 0644);
    if (fd < 0)
        return hob_fail_errno(err, errno, "making '%.150s'", path);
    if (strcmp(f->path, "hob.json") != 0)
        return hob_write_all(fd, hob_str_n(f->data, f->n), path, err);
    hob_auto_free char *text = manifest_for(f, app);
    return hob_write_all(fd, hob_str(text), path, err);
}

/* All or nothing: what is there already is never overwritten. */
static enum hob_code check_free(const char *dir, const char *name, struct hob_err *err)
{
    for (size_t i = 0; i < template_files_n; i++) {
        if (strcmp(template_files[i].template_name, name) != 0)
            continue;
        hob_auto_free char *path = hob_asprintf("%s/%s", dir, template_files[i].path);
        struct stat st;
        if (lstat(path, &st) == 0)
            return hob_fail(err, HOB_E_CONFLICT, "'%.150s' is there already; choose another folder", path);
    }
    return HOB_OK;
}

static void print_done(struct cli *c, const char *dir, const char *app, const char *name)
{
    if (c->is_json) {
        hob_auto_json json_t *files = json_array();
        for (size_t i = 0; i < template_files_n; i++)
            if (strcmp(template_files[i].template_name, name) == 0)
                (void)json_array_append_new(files, json_string(template_files[i].path));
        hob_auto_json json_t *j =
            json_pack("{s:s,s:s,s:s,s:O}", "dir", dir, "app", app, "template", name, "files", files);
        if (j)
            print_json(c, j);
        return;
    }
    for (size_t i = 0; i < template_files_n; i++)
        if (strcmp(template_files[i].template_name, name) == 0)
            (void)fprintf(c->out, "%s/%s\n", dir, template_files[i].path);
    bool is_here = strcmp(dir, ".") == 0;
    note(c, "App '%s' from template '%s'. Next: %s%s%shob deploy", app, name, is_here ? "" : "cd ",
         is_here ? "" : dir, is_here ? "" : " && ");
}

static void print_list(struct cli *c)
{
    const char *names[TEMPLATES_MAX];
    size_t n = template_names(names);
    hob_auto_json json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        (void)json_array_append_new(list, json_string(names[i]));
        if (!c->is_json)
            (void)fprintf(c->out, "%s\n", names[i]);
    }
    hob_auto_json json_t *j = json_pack("{s:O}", "templates", list);
    if (c->is_json && j)
        print_json(c, j);
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    if (args_has(a, "list")) {
        print_list(c);
        return HOB_OK;
    }
    const char *dir = args_at(a, 0) ? args_at(a, 0) : ".";
    const char *name = args_has(a, "template") ? args_get(a, "template") : "node";
    char app[65];
    if (template_need(name, err) != HOB_OK)
        return err->code;
    if (args_has(a, "app") && !hob_name_is_valid(hob_str(args_get(a, "app"))))
        return hob_fail(err, HOB_E_INVALID,
                        "app name '%.70s': use a-z, 0-9 and '-', 1 to 64 characters, a letter first",
                        args_get(a, "app"));
    if (check_free(dir, name, err) != HOB_OK || hob_mkdirs(dir, 0755, err) != HOB_OK)
        return err->code;
    app_name_of(dir, app);
    const char *chosen = args_has(a, "app") ? args_get(a, "app") : app;
    for (size_t i = 0; i < template_files_n; i++)
        if (strcmp(template_files[i].template_name, name) == 0 &&
            file_write(dir, &template_files[i], chosen, err) != HOB_OK)
            return err->code;
    print_done(c, dir, chosen, name);
    return HOB_OK;
}

static const struct option options[] = {
    {'t', "template", "NAME", "what to begin with: node (the default), python, c, ..."},
    {'a', "app", "NAME", "the app's name; without it, the folder's"},
    {0, "list", NULL, "only list the templates"},
    {0},
};
const struct command cmd_init = {
    .name = "init",
    .usage = "[DIR]",
    .summary = "Make a new project from a template.",
    .details = "Writes hob.json and a first function into DIR (made when missing). Never overwrites a file.",
    .options = options,
    .positionals_max = 1,
    .run = run,
};
