/* Flow: JUDGE hob.json -> BUILD (each command once) -> PACK -> UPLOAD -> PRINT. The first failure ends it; nothing is
 * changed on the server before it has the whole archive and has judged it. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/out.h"
#include "cli/pack.h"
#include "cli/project.h"
#include "cli/shell.h"
#include "cli/target.h"

#include "base/banned.h"

#define hob_auto_manifest __attribute__((cleanup(manifest_free_p)))

enum { UPLOAD_MS = 15 * 60 * 1000, BAR_CELLS = 30 };

/* Building -------------------------------------------------------------------------------------------------------- */

static enum hob_code build_one(struct cli *c, const char *dir, const struct function_config *f,
                               struct hob_err *err)
{
    note(c, "Building %s: %s", f->name, f->build);
    (void)fflush(c->err);
    pid_t pid;
    int status = 0, failed = shell_start(dir, f->build, false, &pid);
    if (failed)
        return hob_fail_errno(err, failed, "starting /bin/sh for functions.%s.build", f->name);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return hob_fail_errno(err, errno, "waiting for functions.%s.build", f->name);
    if (signals_interrupted())
        return hob_fail(err, HOB_E_CANCELLED, "interrupted while building");
    if (WIFSIGNALED(status))
        return hob_fail_reason(err, HOB_E_INVALID, "build_failed",
                               "functions.%s.build was killed by signal %d: %.100s", f->name,
                               WTERMSIG(status), f->build);
    if (WEXITSTATUS(status) != 0)
        return hob_fail_reason(err, HOB_E_INVALID, "build_failed",
                               "functions.%s.build failed with exit status %d: %.100s", f->name,
                               WEXITSTATUS(status), f->build);
    return HOB_OK;
}

/* Functions that share a command share its one run. */
static enum hob_code build_all(struct cli *c, const char *dir, const struct manifest *m, struct hob_err *err)
{
    for (size_t i = 0; i < m->functions_n; i++) {
        bool is_done = m->functions[i].build == NULL;
        for (size_t k = 0; k < i && !is_done; k++)
            is_done = m->functions[k].build && strcmp(m->functions[k].build, m->functions[i].build) == 0;
        if (!is_done && build_one(c, dir, &m->functions[i], err) != HOB_OK)
            return err->code;
    }
    return HOB_OK;
}

/* Packing --------------------------------------------------------------------------------------------------------- */

static enum hob_code check_entries(const struct manifest *m, const struct pack *p, struct hob_err *err)
{
    for (size_t i = 0; i < m->functions_n; i++)
        if (m->functions[i].entry && !pack_has_file(p, m->functions[i].entry))
            return hob_fail_reason(
                err, HOB_E_INVALID, "missing_entry",
                "functions.%s.entry: there is no file '%.100s' in the archive (does .hobignore leave it out, or is a build missing?)",
                m->functions[i].name, m->functions[i].entry);
    return HOB_OK;
}

/* hob.json as it is, or with another app in it. */
static enum hob_code manifest_for_app(struct hob_str text, const char *app, struct hob_buf *out,
                                      struct hob_err *err)
{
    hob_auto_json json_t *root = hob_json_parse_commented(text, "hob.json", err);
    if (!root)
        return err->code;
    HOB_ASSERT(json_object_set_new(root, "app", json_string(app)) == 0);
    struct hob_jw w;
    hob_jw_init(&w, out);
    hob_jw_json(&w, root);
    return hob_jw_end(&w, err);
}

/* Uploading ------------------------------------------------------------------------------------------------------- */

struct bar {
    struct cli *c;
    int shown; /* percent that stands on the terminal */
};

/* The server tells lines of what it does to images, when it does something; the last one is its answer. */
struct lines {
    struct cli *c;
    struct bar *bar;
    struct hob_buf text;
    bool are_lines;
};

static void on_upload(void *ctx, uint64_t sent, uint64_t total)
{
    struct bar *bar = ((struct lines *)ctx)->bar;
    int percent = total ? (int)(sent * 100 / total) : 100;
    if (percent == bar->shown)
        return;
    bar->shown = percent;
    char cells[BAR_CELLS + 1], size[24];
    for (int i = 0; i < BAR_CELLS; i++)
        cells[i] = i * 100 < percent * BAR_CELLS ? '#' : '.';
    cells[BAR_CELLS] = 0;
    bytes_text(total, size);
    (void)fprintf(bar->c->err, "\r[%s] %3d %% of %s", cells, percent, size);
    (void)fflush(bar->c->err);
}

static void clear_bar(struct bar *bar)
{
    if (bar->shown >= 0)
        (void)fprintf(bar->c->err, "\r\033[K");
    bar->shown = -1;
}

static json_t *take_line(struct lines *l, struct hob_str line, struct hob_err *err)
{
    json_t *one = hob_json_parse(line, "the server's answer", err);
    const char *progress = json_string_value(json_object_get(one, "progress"));
    if (progress)
        note(l->c, "  %s", progress);
    return one;
}

static bool on_data(void *ctx, struct hob_str data)
{
    struct lines *l = ctx;
    struct hob_err err;
    clear_bar(l->bar);
    if (hob_buf_add_str(&l->text, data) != HOB_OK)
        return false;
    for (;;) {
        struct hob_str all = hob_buf_str(&l->text);
        const char *end = all.n ? memchr(all.at, '\n', all.n) : NULL;
        bool is_progress = hob_str_starts(all, HOB_STR("{\"progress\":"));
        if (!end || !is_progress) /* the last line stays */
            return true;
        json_decref(take_line(l, hob_str_n(all.at, (size_t)(end - all.at)), &err));
        hob_buf_consume(&l->text, (size_t)(end - all.at) + 1);
    }
}

/* Of the last line: the answer, or the failure as if it had been one. */
static json_t *answer_of(struct lines *l, struct hob_err *err)
{
    json_t *last = hob_json_parse(hob_buf_str(&l->text), "the server's answer", err);
    json_t *failed = json_object_get(last, "failed"),
           *deployed = json_incref(json_object_get(last, "deployed"));
    if (failed)
        (void)hob_fail_reason(err, HOB_E_INVALID, "deploy_failed", "%.200s", text_of(failed, "detail"));
    else if (last && !deployed)
        return last; /* no lines at all */
    json_decref(last);
    return deployed;
}

static json_t *upload(struct cli *c, const struct args *a, const char *app, const struct pack *p,
                      struct hob_err *err)
{
    bool has_bar = c->is_err_terminal && !c->is_quiet && !c->is_json;
    struct bar bar = {c, -1};
    hob_auto_free char *path = url_path("/v1/apps/%s/deploy", app);
    hob_auto_free char *env = args_has(a, "env") ? url_path("env=%s", args_get(a, "env")) : hob_strdup("");
    bool is_dry = args_has(a, "dry-run");
    hob_auto_free char *full = hob_asprintf("%s%s%s%s%s", path, *env || is_dry ? "?" : "", env,
                                            *env && is_dry ? "&" : "", is_dry ? "dry_run=1" : "");
    static const char *const headers[] = {"Accept: application/x-ndjson", NULL};
    struct lines lines = {.c = c, .bar = &bar};
    hob_buf_init(&lines.text, RESPONSE_BYTES_MAX);
    struct request q = {.method = "POST",
                        .path = full,
                        .headers = headers,
                        .on_data = on_data,
                        .body_fd = p->fd,
                        .body_bytes = p->packed_bytes,
                        .timeout_ms = UPLOAD_MS,
                        .content_type = "application/gzip",
                        .on_upload = has_bar ? on_upload : NULL,
                        .ctx = &lines};
    struct response r;
    response_init(&r);
    json_t *answer = NULL;
    enum hob_code code = client_send(c, &q, &r, err);
    clear_bar(&bar);
    if (code == HOB_OK)
        answer = answer_of(&lines, err);
    hob_buf_done(&lines.text);
    response_done(&r);
    return answer;
}

/* Printing -------------------------------------------------------------------------------------------------------- */

/* "shop/orders answers at GET,POST /orders/:id, too" for each route. */
static void note_routes(struct cli *c, const json_t *function, const char *app)
{
    const json_t *routes = json_object_get(function, "routes");
    for (size_t i = 0; i < json_array_size(routes); i++) {
        const json_t *route = json_array_get(routes, i), *methods = json_object_get(route, "methods");
        const char *host = json_string_value(json_object_get(route, "host"));
        hob_auto_buf struct hob_buf list;
        hob_buf_init(&list, 256);
        for (size_t k = 0; k < json_array_size(methods); k++)
            if (hob_buf_addf(&list, "%s%.16s", k ? "," : "", json_string_value(json_array_get(methods, k))) !=
                HOB_OK)
                hob_buf_clear(&list);
        note(c, "%.64s/%.64s answers at %.*s %.253s%.512s, too", app, text_of(function, "name"),
             list.n ? (int)list.n : 3, list.n ? hob_buf_data(&list) : "any", host ? host : "",
             text_of(route, "path"));
    }
}

static bool has_secret(const json_t *answer, const char *name)
{
    const json_t *list = json_object_get(answer, "secrets");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(text_of(json_array_get(list, i), "name"), name) == 0)
            return true;
    return false;
}

/* Secrets may be set after a deploy; but who forgets one is told now, not by the first request's failure. */
static void warn_of_missing_secrets(struct cli *c, const struct manifest *m, const char *app)
{
    struct hob_err err;
    size_t wanted_n = 0;
    for (size_t i = 0; i < m->functions_n; i++)
        wanted_n += m->functions[i].secrets_n;
    if (wanted_n == 0)
        return;
    hob_auto_free char *path = url_path("/v1/apps/%s/secrets", app);
    hob_auto_json json_t *answer = client_call(c, "GET", path, NULL, &err);
    for (size_t i = 0; answer && i < m->functions_n; i++)
        for (size_t k = 0; k < m->functions[i].secrets_n; k++)
            if (!has_secret(answer, m->functions[i].secrets[k]))
                warn(c, "%s needs the secret %s, which is not set yet: hob secret set %s --app %s",
                     m->functions[i].name, m->functions[i].secrets[k], m->functions[i].secrets[k], app);
}

static void print_result(struct cli *c, const json_t *answer, const char *app, bool is_dry)
{
    static const char *const heads[] = {"FUNCTION", "VERSION", "", "URL"};
    const json_t *list = json_object_get(answer, "functions");
    struct table t;
    table_init(&t, HOB_COUNT(heads), heads);
    size_t new_n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *f = json_array_get(list, i);
        const char *url = text_of(f, "url");
        bool is_new = json_is_true(json_object_get(f, "is_new"));
        new_n += is_new;
        table_cellf(&t, "%.64s/%.64s", app, text_of(f, "name"));
        table_cellf(&t, "%lld", (long long)json_integer_value(json_object_get(f, "version")));
        table_cell(&t, is_new ? "new" : "unchanged");
        hob_auto_free char *full = hob_asprintf("%s%s", *url == '/' ? client_url(c->client) : "", url);
        table_cell(&t, full);
    }
    table_print(c, &t);
    char size[24];
    bytes_text((uint64_t)json_integer_value(json_object_get(answer, "bytes")), size);
    note(c, "%s %zu of %zu functions (%lld files, %s, %.12s).%s", is_dry ? "Would deploy" : "Deployed", new_n,
         json_array_size(list), (long long)json_integer_value(json_object_get(answer, "files")), size,
         text_of(answer, "digest"), is_dry ? " A dry run: nothing was changed." : "");
    for (size_t i = 0; i < json_array_size(list); i++)
        note_routes(c, json_array_get(list, i), app);
}

static enum hob_code pack_and_upload(struct cli *c, const struct args *a, const char *dir,
                                     struct hob_str text, const struct manifest *m, struct hob_err *err)
{
    const char *app = args_has(a, "app") ? args_get(a, "app") : m->app;
    hob_auto_buf struct hob_buf other;
    hob_buf_init(&other, text.n * 8 + 4096);
    if (strcmp(app, m->app) != 0 && manifest_for_app(text, app, &other, err) != HOB_OK)
        return err->code;
    struct pack p;
    if (pack_collect(&p, dir, err) != HOB_OK)
        return err->code;
    if (p.skipped_n)
        warn(c, "%zu sockets, pipes or devices are left out", p.skipped_n);
    enum hob_code code = check_entries(m, &p, err);
    if (code == HOB_OK)
        code = pack_write(&p, dir, other.n ? hob_buf_str(&other) : (struct hob_str){0}, err);
    if (code == HOB_OK) {
        char size[24];
        bytes_text(p.packed_bytes, size);
        note(c, "Packed %zu files, %s.", p.entries_n, size);
        hob_auto_json json_t *answer = upload(c, a, app, &p, err);
        code = answer ? HOB_OK : err->code;
        if (answer && c->is_json)
            print_json(c, answer);
        else if (answer)
            print_result(c, answer, app, args_has(a, "dry-run"));
        if (answer)
            warn_of_missing_secrets(c, m, app);
    }
    pack_done(&p);
    return code;
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    const char *dir = args_at(a, 0) ? args_at(a, 0) : ".";
    const char *app = args_get(a, "app");
    if (app && !hob_name_is_valid(hob_str(app)))
        return hob_fail(err, HOB_E_INVALID,
                        "app name '%.70s': use a-z, 0-9 and '-', 1 to 64 characters, a letter first", app);
    hob_auto_buf struct hob_buf text = {0};
    if (project_read(dir, &text, err) != HOB_OK)
        return err->code;
    hob_auto_manifest struct manifest *m = manifest_parse(hob_buf_str(&text), args_get(a, "env"), err);
    if (!m || build_all(c, dir, m, err) != HOB_OK)
        return err->code;
    return pack_and_upload(c, a, dir, hob_buf_str(&text), m, err);
}

static const struct option options[] = {
    {'a', "app", "NAME", "deploy as another app than hob.json says"},
    {'e', "env", "NAME", "with the overlay of that name from \"env\" in hob.json"},
    {0, "dry-run", NULL, "do and judge everything, change nothing"},
    {0},
};
const struct command cmd_deploy = {
    .name = "deploy",
    .usage = "[DIR]",
    .summary = "Build, pack and upload a project; print URLs and versions.",
    .details =
        "Judges hob.json, runs each function's \"build\" in DIR, and packs what .hobignore does not leave out (as .gitignore\n"
        "does; .git, .env, *.log and the like never go, node_modules does). The switch is atomic: all functions or none.",
    .options = options,
    .positionals_max = 1,
    .run = run,
};
