#include "api/server/target.h"

#include "api/server/chars.h"
#include "base/banned.h"

static bool is_unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* pchar and '/' of RFC 3986: what may stand unescaped in a path. */
static bool is_path_char(char c)
{
    return http_in_set((unsigned char)c, 0x2fffffd200000000ULL, 0x47fffffe87ffffffULL);
}

/* Most paths are canonical already: then nothing is copied. */
static bool is_canonical(struct hob_str raw)
{
    for (size_t i = 0; i < raw.n; i++)
        if (!is_path_char(raw.at[i]) || (raw.at[i] == '.' && raw.at[i - 1] == '/'))
            return false;
    return true;
}

static size_t put_escaped(char *to, unsigned char c)
{
    static const char digits[] = "0123456789ABCDEF";
    to[0] = '%';
    to[1] = digits[c >> 4];
    to[2] = digits[c & 15];
    return 3;
}

/* Writes `raw` with normalised escapes to `to` (3 bytes a character at most); -1: a wrong escape. */
static ssize_t normalise_escapes(char *to, struct hob_str raw)
{
    size_t n = 0;
    for (size_t i = 0; i < raw.n; i++) {
        char c = raw.at[i];
        if (c != '%') {
            if (is_path_char(c))
                to[n++] = c;
            else
                n += put_escaped(to + n, (unsigned char)c);
            continue;
        }
        int high = i + 2 < raw.n ? http_hex_value(raw.at[i + 1]) : -1;
        int low = i + 2 < raw.n ? http_hex_value(raw.at[i + 2]) : -1;
        int value = high * 16 + low;
        if (high < 0 || low < 0 || value == 0)
            return -1;
        if (is_unreserved(value))
            to[n++] = (char)value;
        else
            n += put_escaped(to + n, (unsigned char)value);
        i += 2;
    }
    return (ssize_t)n;
}

/* RFC 3986, 5.2.4, in place; `path` begins with '/'. */
static size_t remove_dot_segments(char *path, size_t n)
{
    size_t out = 0;
    for (size_t at = 0, end; at < n; at = end) {
        end = at + 1;
        while (end < n && path[end] != '/')
            end++;
        bool is_dot = end - at == 2 && path[at + 1] == '.';
        bool is_dot_dot = end - at == 3 && path[at + 1] == '.' && path[at + 2] == '.';
        if (is_dot_dot) {
            while (out > 0 && path[out - 1] != '/')
                out--;
            out -= out > 0;
        }
        if (is_dot || is_dot_dot) {
            if (end == n)
                path[out++] = '/';
            continue;
        }
        memmove(path + out, path + at, end - at);
        out += end - at;
    }
    return out;
}

enum hob_code http_path_canonical(struct hob_arena *arena, struct hob_str raw, struct hob_str *ret_path,
                                  struct hob_err *err)
{
    if (raw.n == 0 || raw.at[0] != '/')
        return hob_fail_reason(err, HOB_E_INVALID, "bad_target", "the path must begin with '/'");
    if (is_canonical(raw)) {
        *ret_path = raw;
        return HOB_OK;
    }
    char *path = hob_arena_alloc(arena, 3 * raw.n);
    if (!path)
        return hob_fail(err, HOB_E_TOO_LARGE, "the path is too long to be normalised");
    ssize_t n = normalise_escapes(path, raw);
    if (n < 0)
        return hob_fail_reason(
            err, HOB_E_INVALID, "bad_escape",
            "a percent sign in the path must be followed by two hexadecimal digits, not 00");
    *ret_path = (struct hob_str){path, remove_dot_segments(path, (size_t)n)};
    return HOB_OK;
}

/* Splits "/path?query"; the path of an absolute form may be empty and is "/" then. */
static enum hob_code origin_form(struct hob_arena *arena, struct hob_str raw, struct http_target *t,
                                 struct hob_err *err)
{
    t->origin = raw;
    struct hob_str path = hob_str_cut(raw, '?', &t->query);
    return http_path_canonical(arena, path, &t->path, err);
}

static enum hob_code absolute_form(struct hob_arena *arena, struct hob_str rest, struct http_target *t,
                                   struct hob_err *err)
{
    size_t n = 0;
    while (n < rest.n && rest.at[n] != '/' && rest.at[n] != '?')
        n++;
    t->authority = (struct hob_str){rest.at, n};
    if (n < rest.n && rest.at[n] == '/')
        return origin_form(arena, (struct hob_str){rest.at + n, rest.n - n}, t, err);
    char *origin = hob_arena_alloc(arena, rest.n - n + 1);
    if (!origin)
        return hob_fail(err, HOB_E_TOO_LARGE, "the request target is too long");
    origin[0] = '/';
    memcpy(origin + 1, rest.at + n, rest.n - n);
    return origin_form(arena, (struct hob_str){origin, rest.n - n + 1}, t, err);
}

/* What follows "http://" or "https://"; at == NULL when it is neither. */
static struct hob_str behind_scheme(struct hob_str raw)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < HOB_COUNT(schemes); i++) {
        struct hob_str scheme = hob_str(schemes[i]);
        if (raw.n > scheme.n && hob_str_ieq((struct hob_str){raw.at, scheme.n}, scheme))
            return (struct hob_str){raw.at + scheme.n, raw.n - scheme.n};
    }
    return (struct hob_str){NULL, 0};
}

enum hob_code http_target_parse(struct hob_arena *arena, struct hob_str method, struct hob_str raw,
                                struct http_target *ret_target, struct hob_err *err)
{
    struct http_target t = {0};
    enum hob_code code = HOB_OK;
    if (raw.n && raw.at[0] == '/') {
        code = origin_form(arena, raw, &t, err);
    } else if (hob_str_is(raw, "*") && hob_str_is(method, "OPTIONS")) {
        t.origin = t.path = raw;
    } else {
        struct hob_str rest = behind_scheme(raw);
        if (!rest.at)
            return hob_fail_reason(err, HOB_E_INVALID, "bad_target",
                                   "the request target must be a path, an http:// address, or * for OPTIONS");
        code = absolute_form(arena, rest, &t, err);
    }
    if (code == HOB_OK)
        *ret_target = t;
    return code;
}

/* Length of the host in "host[:port]", or 0 when it is malformed. */
static size_t host_bytes(struct hob_str a)
{
    size_t n = 0;
    if (a.n && a.at[0] == '[') {
        for (n = 1; n < a.n && (http_hex_value(a.at[n]) >= 0 || a.at[n] == ':' || a.at[n] == '.'); n++)
            ;
        n = n > 2 && n < a.n && a.at[n] == ']' ? n + 1 : 0;
    } else {
        while (n < a.n && (is_unreserved(a.at[n]) && a.at[n] != '~'))
            n++;
    }
    return n;
}

static bool is_port(struct hob_str s)
{
    uint64_t port;
    return s.n == 0 || (s.n <= 5 && hob_str_u64(s, &port) && port <= UINT16_MAX);
}

enum hob_code http_host_parse(struct hob_arena *arena, struct hob_str authority, struct hob_str *ret_host,
                              struct hob_err *err)
{
    size_t n = host_bytes(authority);
    struct hob_str rest = {authority.at + n, authority.n - n};
    bool is_good = n > 0 && n <= 255 && (rest.n == 0 || rest.at[0] == ':');
    if (!is_good || (rest.n && !is_port((struct hob_str){rest.at + 1, rest.n - 1})))
        return hob_fail_reason(err, HOB_E_INVALID, "bad_host",
                               "Host must be a name or an address, and a port");
    if (authority.at[n - 1] == '.' && n > 1)
        n--;
    bool is_lower = true;
    for (size_t i = 0; i < n; i++)
        is_lower = is_lower && !(authority.at[i] >= 'A' && authority.at[i] <= 'Z');
    *ret_host = (struct hob_str){authority.at, n};
    if (is_lower)
        return HOB_OK;
    char *host = hob_arena_strndup(arena, authority.at, n);
    if (!host)
        return hob_fail(err, HOB_E_TOO_LARGE, "the host name is too long");
    for (size_t i = 0; i < n; i++)
        host[i] = (char)(host[i] >= 'A' && host[i] <= 'Z' ? host[i] + 32 : host[i]);
    *ret_host = (struct hob_str){host, n};
    return HOB_OK;
}
