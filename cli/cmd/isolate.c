/* hob isolate learn: which system calls a function makes while somebody calls it, as a profile for hob.json. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/rules/syscalls.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/edit.h"
#include "cli/out.h"
#include "cli/project.h"
#include "cli/shell.h"
#include "cli/target.h"

#include "base/banned.h"

enum { SECONDS_USUAL = 600, SECONDS_MAX = 3600, LOOK_MS = 50 };

static const char learn_path[] = "/isolation/learn";

/* Until the command is over, the time is, or Ctrl-C. */
static enum hob_code wait_for_calls(struct cli *c, const char *command, uint64_t seconds, struct hob_err *err)
{
    uint64_t end_ms = hob_now_ms() + seconds * 1000;
    pid_t pid = 0;
    int status = 0, failed = command ? shell_start(".", command, true, &pid) : 0;
    if (failed)
        return hob_fail_errno(err, failed, "starting /bin/sh for --run");
    while (!signals_interrupted() && hob_now_ms() < end_ms) {
        if (pid && waitpid(pid, &status, WNOHANG) == pid) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                warn(c, "hob: the command failed; the profile is of what it did until then");
            pid = 0;
            break;
        }
        (void)usleep(LOOK_MS * 1000);
    }
    if (pid) {
        (void)kill(pid, SIGTERM);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR && !signals_interrupted())
            ;
    }
    return HOB_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_names(const json_t *from, const char **names, size_t max, size_t *n)
{
    for (size_t i = 0; i < json_array_size(from) && *n < max; i++) {
        const char *name = json_string_value(json_array_get(from, i));
        bool is_new = name != NULL;
        for (size_t k = 0; k < *n && is_new; k++)
            is_new = strcmp(names[k], name) != 0;
        if (is_new)
            names[(*n)++] = name;
    }
}

/* Both lists together, sorted. Returns owned. */
static json_t *merged(const json_t *learnt, const json_t *known)
{
    const char *names[HOB_SYSCALLS_MAX];
    size_t n = 0;
    json_t *all = json_array();
    add_names(learnt, names, HOB_COUNT(names), &n);
    add_names(known, names, HOB_COUNT(names), &n);
    qsort(names, n, sizeof names[0], compare_names);
    for (size_t i = 0; i < n; i++)
        HOB_ASSERT(json_array_append_new(all, json_string(names[i])) == 0);
    return all;
}

/* What an earlier learning found stays. */
static enum hob_code write_profile(struct cli *c, const struct target *t, const json_t *learnt,
                                   struct hob_err *err)
{
    hob_auto_free char *dir = project_find();
    hob_auto_buf struct hob_buf text, changed;
    hob_buf_init(&text, HOB_MAX_MANIFEST_BYTES);
    hob_buf_init(&changed, HOB_MAX_MANIFEST_BYTES);
    if (project_read(dir ? dir : ".", &text, err) != HOB_OK)
        return err->code;
    hob_auto_json json_t *root = hob_json_parse_commented(hob_buf_str(&text), "hob.json", err);
    if (!root)
        return err->code;
    const json_t *function = json_object_get(json_object_get(root, "functions"), t->function);
    hob_auto_json json_t *all = merged(learnt, json_object_get(function, "syscalls"));
    hob_auto_free char *path = hob_asprintf("%s/hob.json", dir ? dir : ".");
    struct stat st = {.st_mode = 0644};
    if (edit_set_list(hob_buf_str(&text), t->function, "syscalls", all, &changed, err) != HOB_OK)
        return err->code;
    (void)stat(path, &st);
    if (hob_write_file(path, hob_buf_str(&changed), st.st_mode & 07777, err) != HOB_OK)
        return err->code;
    note(c, "hob: functions.%s.syscalls in %s has %zu names; `hob deploy` puts it into force", t->function,
         path, json_array_size(all));
    return HOB_OK;
}

static void print_profile(struct cli *c, const json_t *answer)
{
    const json_t *denied = json_object_get(answer, "denied");
    hob_auto_json json_t *all = merged(json_object_get(answer, "syscalls"), NULL);
    hob_auto_free char *text = json_dumps(all, JSON_ENCODE_ANY);
    (void)fprintf(c->out, "\"syscalls\": %s\n", text);
    for (size_t i = 0; i < json_array_size(denied); i++)
        note(c, "hob: %s was tried and is allowed in no sandbox", text_of(json_array_get(denied, i), "call"));
}

static enum hob_code learn(struct cli *c, const struct args *a, const struct target *t, uint64_t seconds,
                           struct hob_err *err)
{
    hob_auto_json json_t *body = json_pack("{s:I}", "seconds", (json_int_t)seconds);
    hob_auto_json json_t *begun = target_call(c, t, "POST", learn_path, body, err);
    if (!begun)
        return err->code;
    note(c, "hob: learning from %s/%s; call it in all its ways. %s", t->app, t->function,
         args_get(a, "run") ? "Ends with the command" : "Ctrl-C ends");
    enum hob_code code = wait_for_calls(c, args_get(a, "run"), seconds, err);
    signals_forget();
    struct hob_err ignored;
    hob_auto_json json_t *answer =
        target_call(c, t, "DELETE", learn_path, NULL, code == HOB_OK ? err : &ignored);
    if (!answer || code != HOB_OK)
        return err->code;
    if (!json_integer_value(json_object_get(answer, "instances")))
        return hob_fail(err, HOB_E_INVALID, "nothing was learnt: no instance of %s/%s ran; call it meanwhile",
                        t->app, t->function);
    if (c->is_json)
        print_json(c, answer);
    else if (!args_has(a, "write"))
        print_profile(c, answer);
    return args_has(a, "write") ? write_profile(c, t, json_object_get(answer, "syscalls"), err) : HOB_OK;
}

static enum hob_code run(struct cli *c, const struct args *a, struct hob_err *err)
{
    struct target t;
    uint64_t seconds;
    if (target_parse(args_at(a, 0), args_get(a, "app"), &t, err) != HOB_OK ||
        args_number(a, "seconds", SECONDS_USUAL, SECONDS_MAX, &seconds, err) != HOB_OK)
        return err->code;
    if (seconds == 0)
        return hob_fail(err, HOB_E_INVALID, "--seconds 0: give a number from 1 to %d", SECONDS_MAX);
    if (t.qualifier[0])
        return hob_fail(err, HOB_E_INVALID, "'%s': it is the live version that is learnt from; leave it out",
                        t.qualifier);
    return learn(c, a, &t, seconds, err);
}

static const struct option options[] = {
    OPTION_APP,
    {'s', "seconds", "N", "for how long at most (600)"},
    {'r', "run", "COMMAND", "run it meanwhile, and end with it: what calls the function, a test for example"},
    {'w', "write", NULL, "put the profile into hob.json, beside what stands there already"},
    {0},
};
const struct command cmd_isolate_learn = {
    .name = "isolate learn",
    .usage = "FUNCTION",
    .summary =
        "Note the system calls that a function makes while you call it: a tighter profile for hob.json.",
    .details =
        "The function's instances are replaced by ones whose every system call is noted; they are slower, and allowed\n"
        "what every sandbox is allowed. The profile is \"syscalls\" of hob.json: once deployed, everything else is denied\n"
        "and named in the function's log. What was not called now will be denied then: call all of it.",
    .options = options,
    .positionals_min = 1,
    .positionals_max = 1,
    .run = run,
};
