/* Access lists: an object of subjects on the wire, two sets of subjects in the row. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { SUBJECTS_BYTES_MAX = 256 * 1024 };

static enum hob_code judge_entry(const char *subject, const json_t *rights, struct hob_err *err)
{
    const char *right;
    json_t *value;
    if (!subject[0] || strcmp(subject, "*unresolved") == 0 || strcmp(subject, "role:") == 0)
        return parse_fail(err, PARSE_INVALID_ACL, "Invalid ACL.");
    if (!json_is_object(rights))
        return parse_fail(err, PARSE_INVALID_ACL, "Invalid ACL: '%.60s' needs {\"read\":true,\"write\":true}",
                          subject);
    json_object_foreach((json_t *)(uintptr_t)rights, right, value)
    {
        bool is_known = strcmp(right, "read") == 0 || strcmp(right, "write") == 0;
        if (!is_known || !(json_is_boolean(value) || json_is_null(value)))
            return parse_fail(err, PARSE_INVALID_ACL,
                              "Invalid ACL: '%.60s' may have read and write, true or false", subject);
    }
    return HOB_OK;
}

static enum hob_code collect(struct hob_arena *arena, const json_t *acl, const char *right,
                             struct hob_str *ret, struct hob_err *err)
{
    struct hob_buf text hob_auto_buf;
    struct hob_jw w;
    const char *subject;
    json_t *rights;
    hob_buf_init(&text, SUBJECTS_BYTES_MAX);
    hob_jw_init(&w, &text);
    hob_jw_array(&w);
    json_object_foreach((json_t *)(uintptr_t)acl, subject, rights)
    {
        if (json_is_true(json_object_get(rights, right)))
            hob_jw_cstr(&w, subject);
    }
    hob_jw_array_end(&w);
    const char *copy =
        hob_jw_end(&w, err) == HOB_OK ? hob_arena_strndup(arena, hob_buf_data(&text), text.n) : NULL;
    if (!copy)
        return parse_fail(err, PARSE_INVALID_ACL, "Invalid ACL: too many subjects");
    *ret = hob_str_n(copy, text.n);
    return HOB_OK;
}

enum hob_code acl_split(struct hob_arena *arena, const json_t *acl, struct hob_str *ret_readers,
                        struct hob_str *ret_writers, struct hob_err *err)
{
    const char *subject;
    json_t *rights;
    *ret_readers = *ret_writers = hob_str_n(NULL, 0);
    if (!acl || json_is_null(acl))
        return HOB_OK;
    if (!json_is_object(acl))
        return parse_fail(err, PARSE_INVALID_ACL, "Invalid ACL: it must be an object");
    json_object_foreach((json_t *)(uintptr_t)acl, subject, rights)
    {
        enum hob_code rc = judge_entry(subject, rights, err);
        if (rc != HOB_OK)
            return rc;
    }
    enum hob_code rc = collect(arena, acl, "read", ret_readers, err);
    return rc == HOB_OK ? collect(arena, acl, "write", ret_writers, err) : rc;
}

bool acl_is_some(const struct data_row *row)
{
    return row->readers.at || row->writers.at;
}

/* The next string of a JSON array of strings, quotes included: written by us, without spaces. */
static bool next_subject(struct hob_str *rest, struct hob_str *ret)
{
    if (rest->n < 2 || (rest->at[0] != '[' && rest->at[0] != ','))
        return false;
    const char *start = rest->at + 1, *end = rest->at + rest->n, *at = start + 1;
    if (*start != '"')
        return false;
    while (at < end && *at != '"')
        at += *at == '\\' ? 2 : 1;
    if (at >= end)
        return false;
    *ret = hob_str_n(start, (size_t)(at + 1 - start));
    *rest = hob_str_n(at + 1, (size_t)(end - at - 1));
    return true;
}

static bool holds(struct hob_str list, struct hob_str subject)
{
    struct hob_str s;
    while (list.at && next_subject(&list, &s))
        if (hob_str_eq(s, subject))
            return true;
    return false;
}

static void write_entry(struct hob_jw *w, struct hob_str subject, bool reads, bool writes)
{
    hob_jw_raw(w, subject);
    w->needs_comma = false;
    hob_jw_raw(w, HOB_STR(":"));
    w->needs_comma = false;
    hob_jw_object(w);
    if (reads)
        hob_jw_kbool(w, "read", true);
    if (writes)
        hob_jw_kbool(w, "write", true);
    hob_jw_object_end(w);
}

void acl_write(const struct data_row *row, struct hob_jw *w)
{
    struct hob_str rest = row->readers, subject;
    hob_jw_object(w);
    while (rest.at && next_subject(&rest, &subject))
        write_entry(w, subject, true, holds(row->writers, subject));
    rest = row->writers;
    while (rest.at && next_subject(&rest, &subject))
        if (!holds(row->readers, subject))
            write_entry(w, subject, false, true);
    hob_jw_object_end(w);
}
