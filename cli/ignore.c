#include "cli/ignore.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "base/banned.h"

enum { RULES_MAX = 1000, PATTERN_BYTES_MAX = 1024, STEPS_MAX = 100000 };

/* Version control, our own daemon's home, editors' leftovers, caches, and files that usually hold secrets. */
static const char *const defaults[] = {".git/",        ".hg/",      ".svn/",     ".hob/",   ".hobignore",
                                       "*.log",        ".DS_Store", "Thumbs.db", "*.swp",   "*~",
                                       "__pycache__/", "*.pyc",     ".venv/",    ".env",    ".env.*",
                                       ".npmrc",       ".idea/",    ".vscode/",  ".cache/", ".nyc_output/"};

/* A class "[a-z]", "[!x]"; *p stands on '[' and is moved behind ']'. False when it is no class. */
static bool class_matches(const char **p, char c, bool *ret_is_class)
{
    const char *at = *p + 1;
    bool is_negated = *at == '!' || *at == '^', is_hit = false;
    at += is_negated;
    const char *first = at;
    for (; *at && (*at != ']' || at == first); at++) {
        char low = *at, high = low;
        if (at[1] == '-' && at[2] && at[2] != ']') {
            high = at[2];
            at += 2;
        }
        is_hit = is_hit || (c >= low && c <= high);
    }
    *ret_is_class = *at == ']';
    if (!*ret_is_class)
        return false;
    *p = at + 1;
    return c != '/' && c && is_hit != is_negated;
}

/* Stars try each length in turn; `steps` bounds what a hostile pattern can cost. */
static bool glob_step(const char *p, const char *s, unsigned *steps)
{
    for (;;) {
        if (++*steps > STEPS_MAX)
            return false;
        if (!*p)
            return !*s;
        if (p[0] == '*' && p[1] == '*') {
            const char *rest = p + 2 + (p[2] == '/');
            if (p[2] == '/' && glob_step(rest, s, steps))
                return true;
            for (; *s; s++)
                if ((p[2] != '/' || *s == '/') && glob_step(rest, s + (p[2] == '/'), steps))
                    return true;
            return p[2] != '/' && glob_step(rest, s, steps);
        }
        if (*p == '*') {
            for (; *s && *s != '/'; s++)
                if (glob_step(p + 1, s, steps))
                    return true;
            p++;
            continue;
        }
        if (*p == '[') {
            bool is_class;
            bool is_hit = class_matches(&p, *s, &is_class);
            if (is_class && !is_hit)
                return false;
            if (is_class) {
                s++;
                continue;
            }
        }
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '?' && *s && *s != '/') {
            p++;
            s++;
            continue;
        }
        if (*p != *s)
            return false;
        p++;
        s++;
    }
}

bool glob_matches(const char *pattern, const char *path)
{
    unsigned steps = 0;
    return glob_step(pattern, path, &steps);
}

static void rule_add(struct ignore *g, struct hob_str line)
{
    struct ignore_rule r = {0};
    if (line.at[0] == '!') {
        r.is_negated = true;
        line = hob_str_n(line.at + 1, line.n - 1);
    }
    if (line.n && line.at[line.n - 1] == '/') {
        r.is_folder_only = true;
        line.n--;
    }
    r.is_anchored = line.n && memchr(line.at, '/', line.n) != NULL;
    if (line.n && line.at[0] == '/')
        line = hob_str_n(line.at + 1, line.n - 1);
    if (line.n == 0)
        return;
    r.pattern = hob_strndup(line.at, line.n);
    g->rules = hob_realloc(g->rules, g->rules_n + 1, sizeof g->rules[0]);
    g->rules[g->rules_n++] = r;
}

enum hob_code ignore_init(struct ignore *g, struct hob_str text, struct hob_err *err)
{
    *g = (struct ignore){0};
    for (size_t i = 0; i < HOB_COUNT(defaults); i++)
        rule_add(g, hob_str(defaults[i]));
    struct hob_str rest = text;
    for (unsigned line_number = 1; rest.at; line_number++) {
        struct hob_str line = hob_str_cut(rest, '\n', &rest);
        while (line.n && strchr(" \t\r", line.at[line.n - 1]) && line.at[line.n - 1])
            line.n--;
        if (line.n == 0 || line.at[0] == '#')
            continue;
        if (line.n > PATTERN_BYTES_MAX || memchr(line.at, 0, line.n) || g->rules_n == RULES_MAX) {
            ignore_done(g);
            return hob_fail(err, HOB_E_INVALID,
                            ".hobignore line %u: at most %d rules of %d characters, and no NUL", line_number,
                            RULES_MAX, PATTERN_BYTES_MAX);
        }
        rule_add(g, line);
    }
    return HOB_OK;
}

void ignore_done(struct ignore *g)
{
    for (size_t i = 0; i < g->rules_n; i++)
        free(g->rules[i].pattern);
    free(g->rules);
    *g = (struct ignore){0};
}

bool ignore_matches(const struct ignore *g, const char *path, bool is_folder)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = g->rules_n; i-- > 0;) {
        const struct ignore_rule *r = &g->rules[i];
        if (r->is_folder_only && !is_folder)
            continue;
        if (glob_matches(r->pattern, r->is_anchored ? path : name))
            return !r->is_negated;
    }
    return false;
}
