#include "base/json.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

/* --- memory of trees --- */

/* A tree is hundreds of small pieces that come and go together: more of one size than the C library keeps at hand, and
 * what it does not keep it joins and splits again. So each thread keeps freed ones by size. They stay ordinary pieces of
 * the C library: free() takes them, too. Sanitizers see every piece themselves. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
enum { PIECE_STEP = 16, PIECE_SIZES = 17, PIECES_BYTES_MAX = 512 * 1024 };

struct piece {
    struct piece *next;
};
static _Thread_local struct piece *pieces[PIECE_SIZES];
static _Thread_local size_t pieces_bytes;

/* Pieces at `i` have room for 16 * i + 8 bytes at least. */
static void *piece_alloc(size_t n)
{
    size_t i = n <= 24 ? 1 : (n + 7) / PIECE_STEP;
    if (i >= PIECE_SIZES)
        return malloc(n);
    struct piece *p = pieces[i];
    if (!p)
        return malloc(PIECE_STEP * i + 8);
    pieces[i] = p->next;
    pieces_bytes -= PIECE_STEP * i;
    return p;
}

static void piece_free(void *at)
{
    size_t i = at ? (malloc_usable_size(at) - 8) / PIECE_STEP : PIECE_SIZES;
    if (i == 0 || i >= PIECE_SIZES || pieces_bytes + PIECE_STEP * i > PIECES_BYTES_MAX) {
        free(at);
        return;
    }
    struct piece *p = at;
    p->next = pieces[i];
    pieces[i] = p;
    pieces_bytes += PIECE_STEP * i;
}

__attribute__((constructor)) static void use_pieces(void)
{
    json_set_alloc_funcs(piece_alloc, piece_free);
}
#endif

void hob_json_decref_p(json_t **j)
{
    json_decref(*j);
}

/* jansson's own recursion limit is fixed at 2048; ours is a limit people can read. Strings are skipped. */
static bool is_too_deep(struct hob_str text)
{
    unsigned depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.at[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > HOB_MAX_JSON_DEPTH)
                return true;
        } else if ((c == '}' || c == ']') && depth) {
            depth--;
        }
    }
    return false;
}

/* jansson quotes what it did not understand: a message must not carry a stranger's control characters. */
static void tame(char *message)
{
    for (; *message; message++)
        if ((unsigned char)*message < 0x20 || *message == 0x7f)
            *message = '?';
}

json_t *hob_json_parse(struct hob_str text, const char *what, struct hob_err *err)
{
    if (is_too_deep(text)) {
        (void)hob_fail_reason(err, HOB_E_INVALID, "bad_json", "%s: nested deeper than %d levels", what,
                              HOB_MAX_JSON_DEPTH);
        return NULL;
    }
    json_error_t je;
    json_t *j = json_loadb(text.n ? text.at : "", text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (!j)
        tame(je.text);
    if (!j)
        (void)hob_fail_reason(err, HOB_E_INVALID, "bad_json", "%s: not JSON at line %d, column %d: %s", what,
                              je.line, je.column, je.text);
    return j;
}

/* Length of the comment at `at`, or 0. An endless block comment runs to the end. */
static size_t comment_length(const char *at, size_t n)
{
    if (n < 2 || at[0] != '/' || (at[1] != '/' && at[1] != '*'))
        return 0;
    size_t i = 2;
    if (at[1] == '/') {
        while (i < n && at[i] != '\n')
            i++;
        return i;
    }
    while (i + 1 < n && !(at[i] == '*' && at[i + 1] == '/'))
        i++;
    return i + 1 < n ? i + 2 : n;
}

static bool is_endless(const char *comment, size_t n)
{
    return comment[1] == '*' && (n < 4 || comment[n - 2] != '*' || comment[n - 1] != '/');
}

static int line_of(const char *text, size_t at)
{
    int line = 1;
    for (size_t i = 0; i < at; i++)
        line += text[i] == '\n';
    return line;
}

/* True when the comma at text[i] is followed, behind spaces and comments, by a closing bracket. */
static bool is_trailing_comma(const char *text, size_t n, size_t i)
{
    for (i++; i < n;) {
        size_t skip = comment_length(text + i, n - i);
        if (skip)
            i += skip;
        else if (strchr(" \t\r\n", text[i]) && text[i])
            i++;
        else
            return text[i] == '}' || text[i] == ']';
    }
    return false;
}

/* Overwrites with spaces, so that line and column of an error stay true. */
static void blank(char *at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (at[i] != '\n')
            at[i] = ' ';
}

json_t *hob_json_parse_commented(struct hob_str text, const char *what, struct hob_err *err)
{
    hob_auto_free char *copy = hob_strndup(text.at, text.n);
    bool in_string = false;
    for (size_t i = 0; i < text.n; i++) {
        if (in_string) {
            if (copy[i] == '\\' && i + 1 < text.n)
                i++;
            else if (copy[i] == '"')
                in_string = false;
            continue;
        }
        size_t skip = comment_length(copy + i, text.n - i);
        if (skip && is_endless(copy + i, skip)) {
            (void)hob_fail_reason(err, HOB_E_INVALID, "bad_json",
                                  "%s: the comment that begins at line %d is never closed; end it with */",
                                  what, line_of(copy, i));
            return NULL;
        }
        if (skip) {
            blank(copy + i, skip);
            i += skip - 1;
        } else if (copy[i] == '"') {
            in_string = true;
        } else if (copy[i] == ',' && is_trailing_comma(copy, text.n, i)) {
            copy[i] = ' ';
        }
    }
    return hob_json_parse(hob_str_n(copy, text.n), what, err);
}

void hob_jw_init(struct hob_jw *w, struct hob_buf *out)
{
    *w = (struct hob_jw){.out = out};
}

static void put(struct hob_jw *w, const char *at, size_t n)
{
    if (!w->is_full && hob_buf_add(w->out, at, n) != HOB_OK)
        w->is_full = true;
}

static void before_value(struct hob_jw *w)
{
    if (w->needs_comma)
        put(w, ",", 1);
    w->needs_comma = true;
}

static void open_with(struct hob_jw *w, const char *bracket)
{
    before_value(w);
    put(w, bracket, 1);
    w->needs_comma = false;
}

static void close_with(struct hob_jw *w, const char *bracket)
{
    put(w, bracket, 1);
    w->needs_comma = true;
}

void hob_jw_object(struct hob_jw *w)
{
    open_with(w, "{");
}

void hob_jw_object_end(struct hob_jw *w)
{
    close_with(w, "}");
}

void hob_jw_array(struct hob_jw *w)
{
    open_with(w, "[");
}

void hob_jw_array_end(struct hob_jw *w)
{
    close_with(w, "]");
}

static inline bool is_plain(char ch)
{
    unsigned char c = (unsigned char)ch;
    return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

/* Bytes of the longest run from `i` that needs no escape. */
static size_t plain_run(struct hob_str s, size_t i)
{
    size_t start = i;
    while (i < s.n && is_plain(s.at[i]))
        i++;
    return i - start;
}

/* One character that is not plain: an escape, a valid UTF-8 sequence, or U+FFFD. Returns the bytes taken. */
static size_t put_special(struct hob_jw *w, struct hob_str rest)
{
    static const char names[] = "\b\f\n\r\t\"\\", letters[] = "bfnrt\"\\";
    unsigned char c = (unsigned char)rest.at[0];
    const char *named = c ? strchr(names, c) : NULL;
    if (named) {
        char two[2] = {'\\', letters[named - names]};
        put(w, two, sizeof two);
        return 1;
    }
    if (c < 0x80) {
        char text[8];
        (void)snprintf(text, sizeof text, "\\u%04x", c);
        put(w, text, 6);
        return 1;
    }
    for (size_t n = 2; n <= 4 && n <= rest.n; n++)
        if (hob_utf8_is_valid(hob_str_n(rest.at, n))) {
            put(w, rest.at, n);
            return n;
        }
    put(w, "\xef\xbf\xbd", 3);
    return 1;
}

/* Most strings need no escape: quotes and all in one piece. */
static bool put_plain_string(struct hob_jw *w, struct hob_str s)
{
    if (w->is_full || plain_run(s, 0) != s.n)
        return false;
    char *to = hob_buf_room(w->out, s.n + 2);
    if (!to)
        return false;
    *to = '"';
    if (s.n)
        memcpy(to + 1, s.at, s.n);
    to[s.n + 1] = '"';
    hob_buf_grew(w->out, s.n + 2);
    return true;
}

static void put_string(struct hob_jw *w, struct hob_str s)
{
    if (put_plain_string(w, s))
        return;
    put(w, "\"", 1);
    for (size_t i = 0; i < s.n;) {
        size_t run = plain_run(s, i);
        if (run) {
            put(w, s.at + i, run);
            i += run;
        } else {
            i += put_special(w, hob_str_n(s.at + i, s.n - i));
        }
    }
    put(w, "\"", 1);
}

void hob_jw_key(struct hob_jw *w, const char *key)
{
    before_value(w);
    put_string(w, hob_str(key));
    put(w, ":", 1);
    w->needs_comma = false;
}

void hob_jw_str(struct hob_jw *w, struct hob_str s)
{
    before_value(w);
    put_string(w, s);
}

void hob_jw_cstr(struct hob_jw *w, const char *s)
{
    if (s)
        hob_jw_str(w, hob_str(s));
    else
        hob_jw_null(w);
}

void hob_jw_raw(struct hob_jw *w, struct hob_str json)
{
    before_value(w);
    put(w, json.at, json.n);
}

void hob_jw_int(struct hob_jw *w, int64_t v)
{
    char text[24], *end = text + sizeof text;
    char *at = hob_digits_put(end, v < 0 ? -(uint64_t)v : (uint64_t)v, 1);
    if (v < 0)
        *--at = '-';
    hob_jw_raw(w, hob_str_n(at, (size_t)(end - at)));
}

/* Prices and the like: at most three digits behind the point, and few enough before it that no two such numbers share a
 * double. The quotient is rounded as a reader rounds the text. */
static bool put_short(struct hob_jw *w, double v)
{
    double size = v < 0 ? -v : v;
    if (!(size >= 0.001 && size < 1e12))
        return false;
    uint64_t n = (uint64_t)(size * 1000 + 0.5);
    if ((double)n / 1000 != size)
        return false;
    char text[24], *end = text + sizeof text;
    unsigned part = (unsigned)(n % 1000);
    char *at = end;
    if (part) {
        int digits = part % 100 == 0 ? 1 : part % 10 == 0 ? 2 : 3;
        part /= digits == 1 ? 100 : digits == 2 ? 10 : 1;
        for (int i = 0; i < digits; i++, part /= 10)
            *--at = (char)('0' + part % 10);
        *--at = '.';
    }
    at = hob_digits_put(at, n / 1000, 1);
    if (v < 0)
        *--at = '-';
    hob_jw_raw(w, hob_str_n(at, (size_t)(end - at)));
    return true;
}

void hob_jw_double(struct hob_jw *w, double v)
{
    if (!isfinite(v)) {
        hob_jw_null(w);
        return;
    }
    if (put_short(w, v))
        return;
    /* the shortest of 15 to 17 digits that reads back as the same number */
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    hob_jw_raw(w, hob_str(text));
}

void hob_jw_bool(struct hob_jw *w, bool v)
{
    hob_jw_raw(w, hob_str(v ? "true" : "false"));
}

void hob_jw_null(struct hob_jw *w)
{
    hob_jw_raw(w, HOB_STR("null"));
}

void hob_jw_json(struct hob_jw *w, const json_t *j)
{
    switch (json_typeof(j)) {
    case JSON_OBJECT: {
        const char *key;
        json_t *value;
        hob_jw_object(w);
        json_object_foreach((json_t *)(uintptr_t)j, key, value)
        {
            hob_jw_key(w, key);
            hob_jw_json(w, value);
        }
        hob_jw_object_end(w);
        break;
    }
    case JSON_ARRAY:
        hob_jw_array(w);
        for (size_t i = 0; i < json_array_size(j); i++)
            hob_jw_json(w, json_array_get(j, i));
        hob_jw_array_end(w);
        break;
    case JSON_STRING:
        hob_jw_str(w, hob_str_n(json_string_value(j), json_string_length(j)));
        break;
    case JSON_INTEGER:
        hob_jw_int(w, json_integer_value(j));
        break;
    case JSON_REAL:
        hob_jw_double(w, json_real_value(j));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        hob_jw_bool(w, json_is_true(j));
        break;
    case JSON_NULL:
    default:
        hob_jw_null(w);
    }
}

void hob_jw_kstr(struct hob_jw *w, const char *key, struct hob_str s)
{
    hob_jw_key(w, key);
    hob_jw_str(w, s);
}

void hob_jw_kcstr(struct hob_jw *w, const char *key, const char *s)
{
    hob_jw_key(w, key);
    hob_jw_cstr(w, s);
}

void hob_jw_kint(struct hob_jw *w, const char *key, int64_t v)
{
    hob_jw_key(w, key);
    hob_jw_int(w, v);
}

void hob_jw_kbool(struct hob_jw *w, const char *key, bool v)
{
    hob_jw_key(w, key);
    hob_jw_bool(w, v);
}

enum hob_code hob_jw_end(struct hob_jw *w, struct hob_err *err)
{
    if (w->is_full)
        return hob_fail(err, HOB_E_TOO_LARGE, "the JSON answer is larger than %zu bytes", w->out->max);
    return HOB_OK;
}
