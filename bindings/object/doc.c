/* Walking stored documents. They were written by this program, hence are well-formed: no judging here, but no step ever
 * leaves the text. */
#include <string.h>

#include "bindings/object/object_priv.h"

#include "base/banned.h"

struct doc_walk doc_walk(struct hob_str doc)
{
    return doc.n >= 2 ? (struct doc_walk){doc.at + 1, doc.at + doc.n - 1} : (struct doc_walk){"", NULL};
}

/* Behind the string that begins at `at` (a quote). */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        at = memchr(at, '"', (size_t)(end - at));
        if (!at)
            return end;
        const char *back = at;
        while (back[-1] == '\\')
            back--;
        if ((at - back) % 2 == 0)
            return at + 1;
    }
    return end;
}

static const char *skip_value(const char *at, const char *end)
{
    unsigned depth = 0;
    while (at < end) {
        char ch = *at;
        if (ch == '"') {
            at = skip_string(at, end);
            if (!depth)
                return at;
            continue;
        }
        if (ch == '{' || ch == '[')
            depth++;
        else if (ch == '}' || ch == ']')
            depth--;
        else if (!depth && ch == ',')
            return at;
        at++;
        if (!depth && (ch == '}' || ch == ']'))
            return at;
    }
    return at;
}

bool doc_next(struct doc_walk *w, struct hob_str *ret_key, struct hob_str *ret_value)
{
    if (!w->end || w->at >= w->end || *w->at != '"')
        return false;
    const char *key = w->at + 1, *behind = skip_string(w->at, w->end);
    *ret_key = hob_str_n(key, (size_t)(behind - 1 - key));
    if (behind >= w->end)
        return false;
    const char *value = behind + 1; /* the colon */
    const char *end = skip_value(value, w->end);
    *ret_value = hob_str_n(value, (size_t)(end - value));
    w->at = end < w->end ? end + 1 : end; /* the comma */
    return true;
}

struct hob_str doc_find(struct hob_str doc, struct hob_str key)
{
    struct doc_walk w = doc_walk(doc);
    struct hob_str name, value;
    while (doc_next(&w, &name, &value))
        if (hob_str_eq(name, key))
            return value;
    return hob_str_n(NULL, 0);
}

struct hob_str doc_plain_string(struct hob_str value)
{
    if (value.n < 2 || value.at[0] != '"' || memchr(value.at, '\\', value.n))
        return hob_str_n(NULL, 0);
    return hob_str_n(value.at + 1, value.n - 2);
}

bool doc_pointer(struct hob_str value, struct hob_str *ret_class, struct hob_str *ret_id)
{
    static const char start[] = "{\"__type\":\"Pointer\"";
    if (value.n < sizeof start || memcmp(value.at, start, sizeof start - 1) != 0)
        return false;
    *ret_class = doc_plain_string(doc_find(value, HOB_STR("className")));
    *ret_id = doc_plain_string(doc_find(value, HOB_STR("objectId")));
    return ret_class->at && ret_id->at;
}
