#include "base/rules/grant.h"

#include <ctype.h>

#include "base/banned.h"

enum { NAME_MAX_BYTES = 128 };

static const struct {
    const char *word;
    enum hob_grant_kind kind;
} words[] = {
    {"data:master", HOB_GRANT_MASTER}, {"auth", HOB_GRANT_AUTH},   {"auth:admin", HOB_GRANT_AUTH_ADMIN},
    {"files", HOB_GRANT_FILES},        {"cache", HOB_GRANT_CACHE}, {"sql", HOB_GRANT_SQL},
};

static const char *const heads[] = {"data:CLASS:rw", "data:master", "auth",         "auth:admin", "files",
                                    "cache",         "sql",         "secrets:NAME", "fn:NAME"};

static enum hob_code fail(struct hob_str text, struct hob_err *err)
{
    char shown[41];
    size_t n = text.n < 40 ? text.n : 40;
    for (size_t i = 0; i < n; i++)
        shown[i] = isprint((unsigned char)text.at[i]) ? text.at[i] : '?';
    shown[n] = '\0';
    const char *best = hob_nearest(shown, heads, HOB_COUNT(heads));
    return hob_fail(
        err, HOB_E_INVALID,
        "'%s' is no binding%s%s%s; there are data:CLASS:r (w, rw), data:master, auth, auth:admin, files, "
        "cache, sql, secrets:NAME and fn:NAME",
        shown, best ? " (did you mean " : "", best ? best : "", best ? "?)" : "");
}

static bool is_word(struct hob_str s)
{
    if (s.n < 1 || s.n > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (!isalnum((unsigned char)s.at[i]) && s.at[i] != '_')
            return false;
    }
    return !isdigit((unsigned char)s.at[0]);
}

static bool set_rights(struct hob_str s, unsigned *ret_rights)
{
    static const struct {
        const char *word;
        unsigned rights;
    } table[] = {{"r", HOB_GRANT_READ}, {"w", HOB_GRANT_WRITE}, {"rw", HOB_GRANT_READ | HOB_GRANT_WRITE}};
    for (size_t i = 0; i < HOB_COUNT(table); i++) {
        if (hob_str_is(s, table[i].word)) {
            *ret_rights = table[i].rights;
            return true;
        }
    }
    return false;
}

enum hob_code hob_grant_parse(struct hob_str text, struct hob_grant *ret_grant, struct hob_err *err)
{
    for (size_t i = 0; i < HOB_COUNT(words); i++) {
        if (hob_str_is(text, words[i].word)) {
            *ret_grant = (struct hob_grant){.kind = words[i].kind};
            return HOB_OK;
        }
    }
    struct hob_grant g = {.rights = 0};
    struct hob_str rest, head = hob_str_cut(text, ':', &rest), rights = {NULL, 0};
    if (!rest.at)
        return fail(text, err);
    g.name = hob_str_cut(rest, ':', &rights);
    bool is_good = false;
    if (hob_str_is(head, "data")) {
        g.kind = HOB_GRANT_DATA;
        is_good = (hob_str_is(g.name, "*") || is_word(g.name)) && rights.at && set_rights(rights, &g.rights);
    } else if (hob_str_is(head, "secrets")) {
        g.kind = HOB_GRANT_SECRET;
        is_good = is_word(g.name) && !rights.at;
    } else if (hob_str_is(head, "fn")) {
        g.kind = HOB_GRANT_FUNCTION;
        is_good = hob_name_is_valid(g.name) && !rights.at;
    }
    if (!is_good)
        return fail(text, err);
    *ret_grant = g;
    return HOB_OK;
}

bool hob_grants_allow(const char *const *lines, size_t lines_n, const struct hob_grant *want)
{
    unsigned rights = 0;
    for (size_t i = 0; i < lines_n; i++) {
        struct hob_grant g;
        if (hob_grant_parse(hob_str(lines[i]), &g, NULL) != HOB_OK || g.kind != want->kind)
            continue;
        bool is_same =
            hob_str_eq(g.name, want->name) || (g.kind == HOB_GRANT_DATA && hob_str_is(g.name, "*"));
        if (is_same && g.kind != HOB_GRANT_DATA)
            return true;
        if (is_same)
            rights |= g.rights;
    }
    return want->kind == HOB_GRANT_DATA && want->rights && (rights & want->rights) == want->rights;
}
