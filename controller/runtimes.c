#include "controller/runtimes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"

enum {
    RUNTIME_JSON_BYTES = 65536,
    RUNTIME_NAME_CHARS = 31, /* base/launch.h carries it in 32 bytes */
    VERSION_BYTES = 256,
    HEAP_PERCENT = 75, /* the rest is the runtime's own: code, stacks, buffers outside the heap */
};

struct runtimes {
    struct runtime_info *at;
    size_t n;
};

/* --- one runtime.json ------------------------------------------------------------------------------------------ */

enum field_kind { FIELD_TEXT, FIELD_LIST, FIELD_ENV, FIELD_COUNT };
struct field {
    const char *name;
    enum field_kind kind;
    bool is_needed;
    size_t offset;
};
static const struct field fields[] = {
    {"name", FIELD_TEXT, true, offsetof(struct runtime_info, name)},
    {"title", FIELD_TEXT, true, offsetof(struct runtime_info, title)},
    {"version", FIELD_LIST, false, offsetof(struct runtime_info, version_argv)},
    {"needs", FIELD_LIST, true, offsetof(struct runtime_info, needs)},
    {"install", FIELD_TEXT, true, offsetof(struct runtime_info, install)},
    {"argv", FIELD_LIST, true, offsetof(struct runtime_info, argv)},
    {"http_argv", FIELD_LIST, false, offsetof(struct runtime_info, http_argv)},
    {"entries", FIELD_LIST, true, offsetof(struct runtime_info, entries)},
    {"env", FIELD_ENV, false, offsetof(struct runtime_info, env)},
    {"pids_min", FIELD_COUNT, false, offsetof(struct runtime_info, pids_min)},
    {"pool_max", FIELD_COUNT, false, offsetof(struct runtime_info, pool_max)},
    {"forks_max", FIELD_COUNT, false, offsetof(struct runtime_info, forks_max)},
};

static const struct field *field_find(const char *name)
{
    for (size_t i = 0; i < HOB_COUNT(fields); i++)
        if (strcmp(fields[i].name, name) == 0)
            return &fields[i];
    return NULL;
}

static const char *field_nearest(const char *name)
{
    const char *names[HOB_COUNT(fields)];
    for (size_t i = 0; i < HOB_COUNT(fields); i++)
        names[i] = fields[i].name;
    return hob_nearest(name, names, HOB_COUNT(fields));
}

static bool is_text(const json_t *j)
{
    return json_is_string(j) && json_string_length(j) > 0 &&
           strlen(json_string_value(j)) == json_string_length(j);
}

static enum hob_code read_list(const json_t *j, const char *key, char ***ret_list, struct hob_err *err)
{
    if (!json_is_array(j))
        return hob_fail(err, HOB_E_INVALID, "'%s' must be a list of strings", key);
    for (size_t i = 0; i < json_array_size(j); i++)
        if (!is_text(json_array_get(j, i)))
            return hob_fail(err, HOB_E_INVALID, "'%s[%zu]' must be a string that is not empty", key, i);
    char **list = hob_new_n(char *, json_array_size(j) + 1);
    for (size_t i = 0; i < json_array_size(j); i++)
        list[i] = hob_strdup(json_string_value(json_array_get(j, i)));
    *ret_list = list;
    return HOB_OK;
}

static enum hob_code read_env(json_t *j, char ***ret_list, struct hob_err *err)
{
    const char *name;
    json_t *value;
    if (!json_is_object(j))
        return hob_fail(err, HOB_E_INVALID, "'env' must be an object of strings");
    json_object_foreach(j, name, value)
    {
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            return hob_fail(err, HOB_E_INVALID, "'env.%s' must be a string", name);
        if (!*name || strchr(name, '='))
            return hob_fail(err, HOB_E_INVALID, "'env': '%s' is not a variable's name", name);
    }
    char **list = hob_new_n(char *, json_object_size(j) + 1);
    size_t n = 0;
    json_object_foreach(j, name, value) list[n++] = hob_asprintf("%s=%s", name, json_string_value(value));
    *ret_list = list;
    return HOB_OK;
}

static enum hob_code read_field(struct runtime_info *rt, const struct field *f, json_t *j,
                                struct hob_err *err)
{
    void *to = (char *)rt + f->offset;
    switch (f->kind) {
    case FIELD_TEXT:
        if (!is_text(j))
            return hob_fail(err, HOB_E_INVALID, "'%s' must be a string that is not empty", f->name);
        *(char **)to = hob_strdup(json_string_value(j));
        return HOB_OK;
    case FIELD_LIST:
        return read_list(j, f->name, to, err);
    case FIELD_ENV:
        return read_env(j, to, err);
    case FIELD_COUNT:
        if (!json_is_integer(j) || json_integer_value(j) < 1 || json_integer_value(j) > 4096)
            return hob_fail(err, HOB_E_INVALID, "'%s' must be a number from 1 to 4096", f->name);
        *(uint32_t *)to = (uint32_t)json_integer_value(j);
        return HOB_OK;
    }
    return HOB_OK;
}

/* --- ${placeholders} of argv ------------------------------------------------------------------------------------ */

static const char *const places[] = {"entry", "memory_mb", "heap_mb", "port"};
enum place { PLACE_ENTRY, PLACE_MEMORY, PLACE_HEAP, PLACE_PORT, PLACE_NONE };

/* The placeholder at the start of `at` ("${entry}…"), and how many bytes it takes. */
static enum place place_at(const char *at, size_t *ret_n)
{
    const char *end = strchr(at, '}');
    size_t n = end ? (size_t)(end - at) - 2 : 0;
    for (size_t i = 0; end && i < HOB_COUNT(places); i++)
        if (hob_str_eq(hob_str_n(at + 2, n), hob_str(places[i]))) {
            *ret_n = n + 3;
            return (enum place)i;
        }
    *ret_n = end ? n + 3 : strlen(at);
    return PLACE_NONE;
}

static enum hob_code check_argv(char *const *argv, struct hob_err *err)
{
    if (!argv[0] || argv[0][0] != '/')
        return hob_fail(err, HOB_E_INVALID, "'argv[0]' must be an absolute path inside the sandbox");
    for (; *argv; argv++)
        for (const char *at = *argv; (at = strstr(at, "${")) != NULL;) {
            size_t n;
            if (place_at(at, &n) == PLACE_NONE)
                return hob_fail(
                    err, HOB_E_INVALID,
                    "'argv': %.*s is unknown; there are ${entry}, ${memory_mb}, ${heap_mb} and ${port}",
                    (int)(n > 60 ? 60 : n), at);
            at += n;
        }
    return HOB_OK;
}

static void add_place(struct hob_buf *out, enum place place, const struct function_config *f)
{
    enum hob_code rc = HOB_OK;
    switch (place) {
    case PLACE_ENTRY:
        rc = hob_buf_add_str(out, hob_str(f->entry ? f->entry : ""));
        break;
    case PLACE_MEMORY:
        rc = hob_buf_addf(out, "%u", f->memory_mb);
        break;
    case PLACE_HEAP:
        rc = hob_buf_addf(out, "%u", f->memory_mb * HEAP_PERCENT / 100);
        break;
    case PLACE_PORT:
        rc = hob_buf_addf(out, "%u", f->port);
        break;
    case PLACE_NONE:
        break;
    }
    HOB_ASSERT(rc == HOB_OK); /* entries and argv were judged: they fit */
}

static char *expand(const char *text, const struct function_config *f)
{
    struct hob_buf out;
    hob_buf_init(&out, (size_t)2 * RUNTIME_JSON_BYTES + 4096);
    while (*text) {
        const char *next = strstr(text, "${");
        size_t plain = next ? (size_t)(next - text) : strlen(text);
        HOB_ASSERT(hob_buf_add(&out, text, plain) == HOB_OK);
        text += plain;
        if (next) {
            size_t n;
            add_place(&out, place_at(next, &n), f);
            text += n;
        }
    }
    return hob_buf_take(&out);
}

char **runtime_argv(const struct runtime_info *rt, const struct function_config *f)
{
    bool is_http = f->kind == FUNCTION_HTTP;
    char *const *from = is_http ? rt->http_argv : rt->argv;
    size_t n = 0, at = 0;
    while (from && from[n])
        n++;
    if (n == 0)
        return NULL;
    char **argv = hob_new_n(char *, n + 4);
    if (is_http)
        at = runtime_http_options(argv, f);
    for (size_t i = 0; i < n; i++)
        argv[at + i] = expand(from[i], f);
    return argv;
}

void runtime_argv_free(char **argv)
{
    for (char **at = argv; at && *at; at++)
        free(*at);
    free(argv);
}

/* --- loading ---------------------------------------------------------------------------------------------------- */

static void info_done(struct runtime_info *rt)
{
    free(rt->name);
    free(rt->title);
    free(rt->install);
    runtime_argv_free(rt->needs);
    runtime_argv_free(rt->argv);
    runtime_argv_free(rt->http_argv);
    runtime_argv_free(rt->env);
    runtime_argv_free(rt->entries);
    runtime_argv_free(rt->version_argv);
}

static enum hob_code check_info(const struct runtime_info *rt, const char *folder, struct hob_err *err)
{
    if (strcmp(rt->name, folder) != 0)
        return hob_fail(err, HOB_E_INVALID, "'name' is '%s', but the folder is '%s'", rt->name, folder);
    for (char *const *need = rt->needs; *need; need++)
        if (**need != '/')
            return hob_fail(err, HOB_E_INVALID, "'needs': '%s' is not an absolute path", *need);
    if (!rt->entries[0])
        return hob_fail(err, HOB_E_INVALID, "'entries' must name at least one file");
    if (rt->version_argv && (!rt->version_argv[0] || rt->version_argv[0][0] != '/'))
        return hob_fail(err, HOB_E_INVALID, "'version[0]' must be an absolute path");
    if (rt->http_argv && check_argv(rt->http_argv, err) != HOB_OK)
        return hob_err_wrap(err, "'http_argv'");
    return check_argv(rt->argv, err);
}

static enum hob_code read_info(struct runtime_info *rt, json_t *j, const char *folder, struct hob_err *err)
{
    const char *key;
    json_t *value;
    if (!json_is_object(j))
        return hob_fail(err, HOB_E_INVALID, "must be an object");
    json_object_foreach(j, key, value)
    {
        const struct field *f = field_find(key);
        const char *near = f ? NULL : field_nearest(key);
        if (!f)
            return hob_fail(err, HOB_E_INVALID, "unknown key '%s'%s%s%s", key, near ? "; did you mean '" : "",
                            near ? near : "", near ? "'?" : "");
        if (read_field(rt, f, value, err) != HOB_OK)
            return err->code;
    }
    for (size_t i = 0; i < HOB_COUNT(fields); i++)
        if (fields[i].is_needed && !json_object_get(j, fields[i].name))
            return hob_fail(err, HOB_E_INVALID, "'%s' is missing", fields[i].name);
    if (!rt->env)
        rt->env = hob_new_n(char *, 1);
    return check_info(rt, folder, err);
}

static enum hob_code load_one(struct runtimes *r, const char *dir, const char *name, struct hob_err *err)
{
    struct hob_err local = {0};
    err = err ? err : &local;
    hob_auto_free char *path = hob_asprintf("%s/%s/runtime.json", dir, name);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return HOB_OK; /* a folder of something else */
    struct hob_buf text hob_auto_buf;
    hob_buf_init(&text, RUNTIME_JSON_BYTES);
    if (hob_read_file(path, &text, err) != HOB_OK)
        return err->code;
    json_t *j hob_auto_json = hob_json_parse(hob_buf_str(&text), path, err);
    if (!j)
        return err->code;
    struct runtime_info rt = {0};
    if (read_info(&rt, j, name, err) != HOB_OK) {
        info_done(&rt);
        return hob_err_wrap(err, "%s", path);
    }
    r->at = hob_realloc(r->at, r->n + 1, sizeof *r->at);
    r->at[r->n++] = rt;
    return HOB_OK;
}

static bool is_runtime_folder(const struct dirent *entry)
{
    /* "unpack" is no language: the node unpacks archives with it */
    return strlen(entry->d_name) <= RUNTIME_NAME_CHARS && strcmp(entry->d_name, "unpack") != 0 &&
           hob_name_is_valid(hob_str(entry->d_name));
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct runtime_info *)a)->name, ((const struct runtime_info *)b)->name);
}

struct runtimes *runtimes_load(const char *dir, struct hob_err *err)
{
    DIR *d = opendir(dir);
    if (!d) {
        (void)hob_fail_errno(err, errno, "opening the folder of runtimes %s", dir);
        return NULL;
    }
    struct runtimes *r = hob_new(struct runtimes);
    enum hob_code rc = HOB_OK;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone */
    for (struct dirent *entry; rc == HOB_OK && (entry = readdir(d)) != NULL;)
        if (is_runtime_folder(entry))
            rc = load_one(r, dir, entry->d_name, err);
    (void)closedir(d);
    if (rc == HOB_OK && r->n == 0)
        rc = hob_fail(err, HOB_E_NOT_FOUND, "no runtime in %s: a runtime is a folder with a runtime.json",
                      dir);
    if (rc != HOB_OK) {
        runtimes_free(r);
        return NULL;
    }
    qsort(r->at, r->n, sizeof *r->at, by_name);
    return r;
}

void runtimes_free(struct runtimes *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        info_done(&r->at[i]);
    free(r->at);
    free(r);
}

size_t runtimes_count(const struct runtimes *r)
{
    return r->n;
}

const struct runtime_info *runtimes_at(const struct runtimes *r, size_t i)
{
    HOB_ASSERT(i < r->n);
    return &r->at[i];
}

static enum hob_code fail_unknown(const struct runtimes *r, const char *name, struct hob_err *err)
{
    hob_auto_free const char **names = hob_new_n(const char *, r->n);
    for (size_t i = 0; i < r->n; i++)
        names[i] = r->at[i].name;
    const char *near = hob_nearest(name, names, r->n);
    if (near)
        return hob_fail_reason(err, HOB_E_NOT_FOUND, "runtime_not_found",
                               "there is no runtime '%.40s'; did you mean '%s'?", name, near);
    char list[120] = "";
    for (size_t i = 0, at = 0; i < r->n && at < sizeof list - 40; i++)
        at += (size_t)snprintf(list + at, sizeof list - at, "%s%s", i ? ", " : "", names[i]);
    return hob_fail_reason(err, HOB_E_NOT_FOUND, "runtime_not_found",
                           "there is no runtime '%.40s'; there are %s", name, list);
}

enum hob_code runtime_check(const struct runtime_info *rt, struct hob_err *err)
{
    for (char *const *need = rt->needs; *need; need++)
        if (access(*need, F_OK) < 0)
            return hob_fail_reason(err, HOB_E_UNAVAILABLE, "runtime_missing",
                                   "runtime '%s' needs %s, which is not on this machine; install it: %s",
                                   rt->name, *need, rt->install);
    return HOB_OK;
}

const struct runtime_info *runtimes_need(const struct runtimes *r, const char *name, struct hob_err *err)
{
    for (size_t i = 0; i < r->n; i++)
        if (strcmp(r->at[i].name, name) == 0)
            return runtime_check(&r->at[i], err) == HOB_OK ? &r->at[i] : NULL;
    (void)fail_unknown(r, name, err);
    return NULL;
}

/* --- versions --------------------------------------------------------------------------------------------------- */

/* Standard output of `argv` and its pid, or -1. Standard error counts as well: some print their version there. */
static int spawn_reading(char *const *argv, pid_t *ret_pid)
{
    static char path[] = "PATH=/usr/local/bin:/usr/bin:/bin", lang[] = "LC_ALL=C.UTF-8";
    char *env[] = {path, lang, NULL};
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    posix_spawn_file_actions_t files;
    HOB_ASSERT(posix_spawn_file_actions_init(&files) == 0);
    HOB_ASSERT(posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0) == 0);
    HOB_ASSERT(posix_spawn_file_actions_adddup2(&files, ends[1], 1) == 0);
    HOB_ASSERT(posix_spawn_file_actions_adddup2(&files, ends[1], 2) == 0);
    int failed = posix_spawn(ret_pid, argv[0], &files, NULL, argv, env);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)close(ends[1]);
    if (failed) {
        (void)close(ends[0]);
        return -1;
    }
    return ends[0];
}

/* Reads until the end, a full buffer or the deadline. */
static size_t read_until(int fd, char *out, size_t max, uint64_t deadline_ms)
{
    size_t n = 0;
    while (n < max) {
        uint64_t now = hob_now_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now >= deadline_ms || poll(&p, 1, (int)(deadline_ms - now)) <= 0)
            break;
        ssize_t got = read(fd, out + n, max - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    return n;
}

/* The child is ours alone: it is killed when it has not ended by the deadline, and always reaped. */
static void reap_by(pid_t pid, uint64_t deadline_ms)
{
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        if (hob_now_ms() >= deadline_ms) {
            (void)kill(pid, SIGKILL);
            (void)waitpid(pid, NULL, 0);
            return;
        }
        (void)poll(NULL, 0, 5);
    }
}

char *runtime_version(const struct runtime_info *rt, uint32_t timeout_ms)
{
    if (!rt->version_argv || runtime_check(rt, NULL) != HOB_OK)
        return NULL;
    uint64_t deadline_ms = hob_now_ms() + timeout_ms;
    pid_t pid;
    int fd = spawn_reading(rt->version_argv, &pid);
    if (fd < 0)
        return NULL;
    char out[VERSION_BYTES];
    size_t n = read_until(fd, out, sizeof out, deadline_ms);
    (void)close(fd);
    reap_by(pid, deadline_ms);
    struct hob_str rest, line = hob_str_trim(hob_str_cut(hob_str_n(out, n), '\n', &rest));
    return line.n && hob_utf8_is_valid(line) ? hob_strndup(line.at, line.n) : NULL;
}
