#include "bindings/query_params.h"

#include <string.h>

#include "base/mem.h"

#include "base/banned.h"

enum { PARAMS_MAX = 1000 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

char *url_decode(struct hob_str s, bool is_form, size_t *ret_n)
{
    char *out = hob_calloc(s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int high = s.at[i] == '%' && i + 2 < s.n ? hex_digit(s.at[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.at[i + 2]) : -1;
        if (low >= 0) {
            out[n++] = (char)(high * 16 + low);
            i += 2;
        } else {
            out[n++] = is_form && s.at[i] == '+' ? ' ' : s.at[i];
        }
    }
    *ret_n = n;
    return out;
}

static json_t *as_text(struct hob_str text)
{
    json_t *value = json_stringn(text.at, text.n);
    return value ? value : json_string("");
}

static json_t *read_value(struct hob_str text)
{
    struct hob_err unused;
    char first = text.n ? text.at[0] : '\0';
    bool may_be_json = first == '{' || first == '[' || first == '"' || first == '-' ||
                       (first >= '0' && first <= '9') || hob_str_is(text, "true") ||
                       hob_str_is(text, "false") || hob_str_is(text, "null");
    json_t *value = may_be_json ? hob_json_parse(text, "a parameter", &unused) : NULL;
    return value ? value : as_text(text);
}

/* Names and passwords are text, also those that look like JSON. */
static bool is_text(const char *name)
{
    return strcmp(name, "username") == 0 || strcmp(name, "email") == 0 || strcmp(name, "password") == 0;
}

void query_params_add(struct hob_str path, struct hob_str query, json_t *to)
{
    bool is_login = hob_str_is(path, "/login") || hob_str_is(path, "/verifyPassword");
    unsigned n = 0;
    for (struct hob_str rest = query; rest.at && n < PARAMS_MAX; n++) {
        struct hob_str pair = hob_str_cut(rest, '&', &rest), value;
        struct hob_str name = hob_str_cut(pair, '=', &value);
        size_t name_n, value_n;
        if (!name.n)
            continue;
        hob_auto_free char *key = url_decode(name, true, &name_n);
        hob_auto_free char *text = url_decode(value.at ? value : HOB_STR(""), true, &value_n);
        struct hob_str plain = hob_str_n(text, value_n);
        if (hob_utf8_is_valid(hob_str_n(key, name_n)) && strlen(key) == name_n)
            (void)json_object_set_new(to, key, is_login && is_text(key) ? as_text(plain) : read_value(plain));
    }
}
