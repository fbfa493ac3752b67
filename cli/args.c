#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

#include "base/banned.h"

enum { NAMES_MAX = 96 };

static const struct option *in_table(const struct option *table, const char *name, size_t n, char letter)
{
    for (; table && table->name; table++)
        if (letter ? table->letter == letter : strlen(table->name) == n && memcmp(table->name, name, n) == 0)
            return table;
    return NULL;
}

static const struct option *option_find(const struct command *cmd, const char *name, size_t n, char letter)
{
    const struct option *o = cmd ? in_table(cmd->options, name, n, letter) : NULL;
    return o ? o : in_table(global_options, name, n, letter);
}

static enum hob_code fail_unknown(const struct command *cmd, const char *text, struct hob_err *err)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    for (const struct option *o = cmd ? cmd->options : NULL; o && o->name && n < NAMES_MAX; o++)
        names[n++] = o->name;
    for (const struct option *o = global_options; o->name && n < NAMES_MAX; o++)
        names[n++] = o->name;
    char word[64];
    (void)snprintf(word, sizeof word, "%.*s", (int)strcspn(text + 1 + (text[1] == '-'), "="),
                   text + 1 + (text[1] == '-'));
    const char *best = text[1] == '-' ? hob_nearest(word, names, n) : NULL;
    return hob_fail_reason(err, HOB_E_INVALID, "unknown_option",
                           "unknown option '%.60s'%s%s%s; `hob help%s%s` lists them", text,
                           best ? "; did you mean '--" : "", best ? best : "", best ? "'?" : "",
                           cmd ? " " : "", cmd ? cmd->name : "");
}

static enum hob_code keep(struct cli *c, struct args *a, const struct option *o, const char *value,
                          struct hob_err *err)
{
    if (a->values_n == ARG_VALUES_MAX)
        return hob_fail(err, HOB_E_TOO_LARGE, "more than %d options", ARG_VALUES_MAX);
    a->values[a->values_n++] = (struct option_value){o, value};
    if (strcmp(o->name, "json") == 0)
        c->is_json = true;
    else if (strcmp(o->name, "quiet") == 0)
        c->is_quiet = true;
    else if (strcmp(o->name, "url") == 0)
        c->url = value;
    else if (strcmp(o->name, "token") == 0)
        c->token = value;
    return HOB_OK;
}

/* The words still to be read; options take their values from here. */
struct words {
    char *const *at;
    int left;
};

static enum hob_code parse_long(struct cli *c, const struct command *cmd, struct words *w, struct args *a,
                                struct hob_err *err)
{
    const char *text = *w->at;
    const char *equals = strchr(text, '=');
    size_t n = equals ? (size_t)(equals - text) - 2 : strlen(text + 2);
    const struct option *o = option_find(cmd, text + 2, n, 0);
    if (!o)
        return fail_unknown(cmd, text, err);
    if (!o->arg && equals)
        return hob_fail(err, HOB_E_INVALID, "option '--%s' takes no value", o->name);
    if (!o->arg)
        return keep(c, a, o, "", err);
    if (equals)
        return keep(c, a, o, equals + 1, err);
    if (w->left < 2)
        return hob_fail(err, HOB_E_INVALID, "option '--%s' needs a value: --%s %s", o->name, o->name, o->arg);
    w->at++;
    w->left--;
    return keep(c, a, o, *w->at, err);
}

/* "-fv", "-dDATA" and "-d DATA" */
static enum hob_code parse_short(struct cli *c, const struct command *cmd, struct words *w, struct args *a,
                                 struct hob_err *err)
{
    for (const char *letter = *w->at + 1; *letter; letter++) {
        const struct option *o = option_find(cmd, NULL, 0, *letter);
        if (!o)
            return fail_unknown(cmd, *w->at, err);
        if (!o->arg) {
            if (keep(c, a, o, "", err) != HOB_OK)
                return err->code;
            continue;
        }
        if (letter[1])
            return keep(c, a, o, letter + 1, err);
        if (w->left < 2)
            return hob_fail(err, HOB_E_INVALID, "option '-%c' needs a value: -%c %s", *letter, *letter,
                            o->arg);
        w->at++;
        w->left--;
        return keep(c, a, o, *w->at, err);
    }
    return HOB_OK;
}

/* The usage names the positionals in their order, before anything else. */
static enum hob_code fail_missing(const struct command *cmd, size_t at, struct hob_err *err)
{
    const char *word = cmd->usage;
    for (; at > 0; at--)
        word += strcspn(word, " ") + strspn(word + strcspn(word, " "), " ");
    return hob_fail(err, HOB_E_INVALID, "%.*s is missing: hob %s %s", (int)strcspn(word, " .["), word,
                    cmd->name, cmd->usage);
}

static enum hob_code judge_count(const struct command *cmd, const struct args *a, struct hob_err *err)
{
    if (!cmd || args_has(a, "help"))
        return HOB_OK;
    if (a->positionals_n < cmd->positionals_min)
        return fail_missing(cmd, a->positionals_n, err);
    if (a->positionals_n > cmd->positionals_max)
        return hob_fail(err, HOB_E_INVALID, "'%.60s' is one word too many: hob %s %s",
                        a->positionals[cmd->positionals_max], cmd->name, cmd->usage);
    return HOB_OK;
}

enum hob_code args_parse(struct cli *c, const struct command *cmd, int argc, char *const *argv,
                         struct args *ret_args, struct hob_err *err)
{
    struct args *a = ret_args;
    *a = (struct args){0};
    bool is_ended = false;
    for (struct words w = {argv, argc}; w.left > 0; w.at++, w.left--) {
        const char *text = *w.at;
        enum hob_code code = HOB_OK;
        if (!is_ended && strcmp(text, "--") == 0) {
            is_ended = true;
        } else if (!is_ended && text[0] == '-' && text[1]) {
            code = text[1] == '-' ? parse_long(c, cmd, &w, a, err) : parse_short(c, cmd, &w, a, err);
        } else if (a->positionals_n == ARG_POSITIONALS_MAX) {
            code = hob_fail(err, HOB_E_TOO_LARGE, "more than %d words", ARG_POSITIONALS_MAX);
        } else {
            a->positionals[a->positionals_n++] = text;
        }
        if (code != HOB_OK)
            return code;
    }
    return judge_count(cmd, a, err);
}

const char *args_nth(const struct args *a, const char *name, size_t n)
{
    for (size_t i = 0; i < a->values_n; i++)
        if (strcmp(a->values[i].option->name, name) == 0 && n-- == 0)
            return a->values[i].value;
    return NULL;
}

const char *args_get(const struct args *a, const char *name)
{
    const char *last = NULL;
    for (size_t i = 0; i < a->values_n; i++)
        if (strcmp(a->values[i].option->name, name) == 0)
            last = a->values[i].value;
    return last;
}

bool args_has(const struct args *a, const char *name)
{
    return args_get(a, name) != NULL;
}

const char *args_at(const struct args *a, size_t n)
{
    return n < a->positionals_n ? a->positionals[n] : NULL;
}

enum hob_code args_number(const struct args *a, const char *name, uint64_t fallback, uint64_t max,
                          uint64_t *ret_value, struct hob_err *err)
{
    const char *text = args_get(a, name);
    uint64_t v = fallback;
    if (text && (!hob_str_u64(hob_str(text), &v) || v > max))
        return hob_fail(err, HOB_E_INVALID, "--%s '%.40s': give a number from 0 to %llu", name, text,
                        (unsigned long long)max);
    *ret_value = v;
    return HOB_OK;
}

/* How many words of argv are the command's name, or 0. */
static int words_matched(const struct command *cmd, int argc, char *const *argv)
{
    struct hob_str rest = hob_str(cmd->name);
    int n = 0;
    while (rest.at) {
        struct hob_str word = hob_str_cut(rest, ' ', &rest);
        if (n >= argc || !hob_str_is(word, argv[n]))
            return 0;
        n++;
    }
    return n;
}

static const struct command *fail_command(int argc, char *const *argv, struct hob_err *err)
{
    const char *names[NAMES_MAX];
    size_t n = 0;
    bool is_group = false;
    size_t first_n = strlen(argv[0]);
    for (size_t i = 0; i < commands_n && n < NAMES_MAX; i++) {
        names[n++] = commands[i]->name;
        is_group = is_group ||
                   (strncmp(commands[i]->name, argv[0], first_n) == 0 && commands[i]->name[first_n] == ' ');
    }
    char both[80];
    (void)snprintf(both, sizeof both, "%.40s%s%.30s", argv[0], argc > 1 && is_group ? " " : "",
                   argc > 1 && is_group ? argv[1] : "");
    const char *best = is_group && argc < 2 ? NULL : hob_nearest(both, names, n);
    if (is_group && !best) {
        size_t used = 0;
        char list[96] = "";
        for (size_t i = 0; i < commands_n && used < sizeof list; i++)
            if (strncmp(commands[i]->name, argv[0], first_n) == 0 && commands[i]->name[first_n] == ' ')
                used += (size_t)snprintf(list + used, sizeof list - used, "%s`hob %s`", used ? ", " : "",
                                         commands[i]->name);
        (void)hob_fail_reason(err, HOB_E_INVALID, "unknown_command", "'%s' needs one more word: %s", argv[0],
                              list);
        return NULL;
    }
    (void)hob_fail_reason(err, HOB_E_INVALID, "unknown_command",
                          "unknown command '%s'%s%s%s; `hob help` lists them", both,
                          best ? "; did you mean '" : "", best ? best : "", best ? "'?" : "");
    return NULL;
}

const struct command *command_find(int argc, char *const *argv, int *ret_words, struct hob_err *err)
{
    const struct command *best = NULL;
    int words = 0;
    for (size_t i = 0; i < commands_n; i++) {
        int n = words_matched(commands[i], argc, argv);
        if (n > words) {
            best = commands[i];
            words = n;
        }
    }
    if (!best)
        return fail_command(argc, argv, err);
    *ret_words = words;
    return best;
}
