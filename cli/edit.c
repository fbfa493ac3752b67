#include "cli/edit.h"

#include <string.h>

#include "base/buf.h"

#include "base/banned.h"

enum { LINE_MAX_COLUMNS = 100 };

/* Walks over JSON with comments that was parsed before: what it meets is well-formed. */
struct walk {
    const char *at, *end;
};

static bool is_comment(const struct walk *w, char second)
{
    return w->end - w->at >= 2 && w->at[0] == '/' && w->at[1] == second;
}

static void skip_space(struct walk *w)
{
    while (w->at < w->end) {
        if (strchr(" \t\r\n,:", *w->at)) {
            w->at++;
        } else if (is_comment(w, '/')) {
            while (w->at < w->end && *w->at != '\n')
                w->at++;
        } else if (is_comment(w, '*')) {
            const char *close = memmem(w->at + 2, (size_t)(w->end - w->at - 2), "*/", 2);
            w->at = close ? close + 2 : w->end;
        } else {
            return;
        }
    }
}

/* Behind the string that begins here; its raw inside. */
static struct hob_str take_string(struct walk *w)
{
    const char *from = ++w->at;
    while (w->at < w->end && *w->at != '"')
        w->at += *w->at == '\\' && w->end - w->at > 1 ? 2 : 1;
    struct hob_str inside = {from, (size_t)(w->at - from)};
    w->at += w->at < w->end;
    return inside;
}

static void skip_value(struct walk *w)
{
    unsigned depth = 0;
    do {
        skip_space(w);
        if (w->at >= w->end)
            return;
        char c = *w->at;
        if (c == '"') {
            (void)take_string(w);
        } else if (strchr("{[", c)) {
            depth++;
            w->at++;
        } else if (strchr("}]", c)) {
            depth--;
            w->at++;
        } else {
            while (w->at < w->end && !strchr(" \t\r\n,:/]}", *w->at))
                w->at++;
        }
    } while (depth);
}

/* At an object: goes to the value of its member `name`, else behind its '{' (false). */
static bool enter_member(struct walk *w, const char *name)
{
    skip_space(w);
    const char *inside = w->at + 1;
    w->at = inside;
    for (;;) {
        skip_space(w);
        if (w->at >= w->end || *w->at != '"')
            break;
        struct hob_str key = take_string(w);
        skip_space(w);
        if (hob_str_is(key, name))
            return true;
        skip_value(w);
    }
    w->at = inside;
    return false;
}

/* The white space in front of an object's members: a line end and an indent, or nothing. */
static struct hob_str indent_at(const struct walk *w)
{
    const char *at = w->at, *line = at;
    while (at < w->end && strchr(" \t\r\n", *at)) {
        line = *at == '\n' ? at : line;
        at++;
    }
    return at > line && *line == '\n' ? hob_str_n(line, (size_t)(at - line)) : hob_str_n("", 0);
}

static enum hob_code write_list(const json_t *list, struct hob_str indent, struct hob_buf *out)
{
    size_t column = indent.n;
    enum hob_code code = hob_buf_add(out, "[", 1);
    for (size_t i = 0; i < json_array_size(list) && code == HOB_OK; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        bool is_full = indent.n && column + strlen(text) + 4 > LINE_MAX_COLUMNS;
        if (is_full) {
            code = hob_buf_addf(out, ",%.*s  \"%s\"", HOB_STR_ARG(indent), text);
            column = indent.n;
        } else {
            code = hob_buf_addf(out, "%s\"%s\"", i ? ", " : "", text);
        }
        column += strlen(text) + 4;
    }
    return code == HOB_OK ? hob_buf_add(out, "]", 1) : code;
}

static enum hob_code splice(struct hob_str text, struct walk *w, bool is_there, const char *key,
                            const json_t *list, struct hob_buf *out)
{
    struct hob_str indent = is_there ? hob_str_n("", 0) : indent_at(w),
                   before = {text.at, (size_t)(w->at - text.at)};
    struct walk rest = *w;
    bool is_empty;
    if (is_there)
        skip_value(&rest);
    skip_space(w);
    is_empty = w->at < w->end && *w->at == '}';
    enum hob_code code = hob_buf_add_str(out, before);
    if (code == HOB_OK && !is_there)
        code = hob_buf_addf(out, "%.*s\"%s\": ", HOB_STR_ARG(indent), key);
    if (code == HOB_OK)
        code = write_list(list, indent, out);
    if (code == HOB_OK && !is_there && !is_empty)
        code = hob_buf_addf(out, "%s", indent.n ? "," : ", ");
    return code == HOB_OK ? hob_buf_add(out, rest.at, (size_t)(w->end - rest.at)) : code;
}

static bool has_list(struct hob_str text, const char *function, const char *key, const json_t *list)
{
    hob_auto_json json_t *root = hob_json_parse_commented(text, "hob.json", NULL);
    const json_t *functions = json_object_get(root, "functions");
    return root && json_equal(json_object_get(json_object_get(functions, function), key), list);
}

enum hob_code edit_set_list(struct hob_str text, const char *function, const char *key, const json_t *list,
                            struct hob_buf *out, struct hob_err *err)
{
    struct walk w = {text.at, text.at + text.n};
    hob_auto_json json_t *root = hob_json_parse_commented(text, "hob.json", err);
    if (!root)
        return err->code;
    if (!json_is_object(json_object_get(json_object_get(root, "functions"), function)) ||
        !enter_member(&w, "functions") || !enter_member(&w, function))
        return hob_fail(err, HOB_E_NOT_FOUND, "hob.json: there is no functions.%s to put \"%s\" into",
                        function, key);
    bool is_there = enter_member(&w, key);
    if (splice(text, &w, is_there, key, list, out) != HOB_OK)
        return hob_fail(err, HOB_E_TOO_LARGE, "hob.json would become too large");
    if (!has_list(hob_buf_str(out), function, key, list))
        return hob_fail(
            err, HOB_E_UNSUPPORTED,
            "hob.json is written in a way that cannot be changed here; put \"%s\" into functions.%s by hand",
            key, function);
    return HOB_OK;
}
