/* Typed keys: JSON values as SQL values in which types never mix. See data_priv.h. The forms stand in expression indexes
 * on disk: they never change. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/limits.h"
#include "store/data/data_priv.h"

/* A buffer too full to take more leaves the key short; its limit is above that of any document. */
static void put(struct hob_buf *out, const void *at, size_t n)
{
    (void)!hob_buf_add(out, at, n);
}

/* --- dates --- */

static bool digits(struct hob_str s, size_t at, size_t n, unsigned *ret_v)
{
    unsigned v = 0;
    if (at + n > s.n)
        return false;
    for (size_t i = at; i < at + n; i++) {
        if (s.at[i] < '0' || s.at[i] > '9')
            return false;
        v = v * 10 + (unsigned)(s.at[i] - '0');
    }
    *ret_v = v;
    return true;
}

/* Days from 1970-01-01 in the Gregorian calendar, counted in eras of 400 years that begin in March. */
static int64_t days_of(unsigned y, unsigned m, unsigned d)
{
    int64_t year = (int64_t)y - (m <= 2);
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t in_era = year - era * 400;
    int64_t day_of_year = (153 * ((int64_t)m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + day_of_year - 719468;
}

static unsigned days_in(unsigned y, unsigned m)
{
    static const unsigned days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return days[m - 1] + (m == 2 && is_leap);
}

/* ".123456Z" and "Z": milliseconds, what is finer is cut. */
static bool fraction(struct hob_str s, unsigned *ret_ms)
{
    unsigned ms = 0, scale = 100;
    size_t i = 0;
    if (s.n > 1 && s.at[0] == '.') {
        for (i = 1; i < s.n && s.at[i] >= '0' && s.at[i] <= '9'; i++) {
            ms += (unsigned)(s.at[i] - '0') * scale;
            scale /= 10;
        }
        if (i == 1)
            return false;
    }
    *ret_ms = ms;
    return i + 1 == s.n && s.at[i] == 'Z';
}

bool data_date_parse(struct hob_str s, int64_t *ret_ms)
{
    unsigned y, mo, d, h, mi, sec, ms;
    if (s.n < 20 || s.n > 40 || s.at[4] != '-' || s.at[7] != '-' || s.at[10] != 'T' || s.at[13] != ':' ||
        s.at[16] != ':')
        return false;
    if (!digits(s, 0, 4, &y) || !digits(s, 5, 2, &mo) || !digits(s, 8, 2, &d) || !digits(s, 11, 2, &h) ||
        !digits(s, 14, 2, &mi) || !digits(s, 17, 2, &sec) || !fraction(hob_str_n(s.at + 19, s.n - 19), &ms))
        return false;
    if (mo < 1 || mo > 12 || d < 1 || d > days_in(y, mo) || h > 23 || mi > 59 || sec > 59)
        return false;
    *ret_ms = ((days_of(y, mo, d) * 24 + h) * 60 + mi) * 60000 + (int64_t)sec * 1000 + ms;
    return true;
}

struct key key_of_date(int64_t ms, char mem[KEY_DATE_BYTES])
{
    uint64_t v = (uint64_t)ms ^ (UINT64_C(1) << 63); /* so that bytes sort as numbers do */
    mem[0] = KEY_DATE;
    for (int i = 0; i < 8; i++)
        mem[1 + i] = (char)(unsigned char)(v >> (56 - 8 * i));
    return (struct key){.kind = KEY_BLOB, .s = hob_str_n(mem, KEY_DATE_BYTES)};
}

bool key_date_ms(const struct key *k, int64_t *ret_ms)
{
    if (k->kind != KEY_BLOB || k->s.n != KEY_DATE_BYTES || k->s.at[0] != KEY_DATE)
        return false;
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | (unsigned char)k->s.at[1 + i];
    *ret_ms = (int64_t)(v ^ (UINT64_C(1) << 63));
    return true;
}

/* --- pointers --- */

void key_add_pointer(struct hob_buf *out, struct hob_str class_name, struct hob_str id)
{
    static const char tag = KEY_POINTER;
    put(out, &tag, 1);
    put(out, class_name.at, class_name.n);
    put(out, "", 1);
    put(out, id.at, id.n);
}

bool key_pointer(const struct key *k, struct hob_str *ret_class, struct hob_str *ret_id)
{
    if (k->kind != KEY_BLOB || k->s.n < 2 || k->s.at[0] != KEY_POINTER)
        return false;
    struct hob_str body = hob_str_n(k->s.at + 1, k->s.n - 1);
    *ret_class = hob_str_cut(body, '\0', ret_id);
    return ret_id->at != NULL;
}

/* --- the canonical form of what has no order: names sorted, numbers in one way of writing, no spaces --- */

struct member {
    struct hob_str raw_name, value;
};

static int by_name(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    size_t n = x->raw_name.n < y->raw_name.n ? x->raw_name.n : y->raw_name.n;
    int c = memcmp(x->raw_name.at, y->raw_name.at, n);
    return c ? c : (x->raw_name.n > y->raw_name.n) - (x->raw_name.n < y->raw_name.n);
}

static void canon(struct hob_buf *out, struct hob_str v, unsigned depth);

static void canon_string(struct hob_buf *out, struct hob_str raw)
{
    if (!memchr(raw.at, '\\', raw.n)) {
        put(out, raw.at, raw.n);
        return;
    }
    struct hob_buf scratch;
    struct hob_jw w;
    hob_buf_init(&scratch, KEY_BYTES_MAX);
    hob_jw_init(&w, out);
    hob_jw_str(&w, scan_text(raw, &scratch));
    hob_buf_done(&scratch);
}

static void canon_number(struct hob_buf *out, struct hob_str raw)
{
    double d = 0;
    struct hob_jw w;
    hob_jw_init(&w, out);
    if (!scan_number(raw, &d))
        put(out, raw.at, raw.n);
    else if (d == floor(d) && fabs(d) < 9007199254740992.0)
        hob_jw_int(&w, (int64_t)d);
    else
        hob_jw_double(&w, d);
}

static size_t members_of(struct hob_str object, struct member **ret_members)
{
    struct member *list = NULL;
    size_t n = 0, cap = 0;
    struct scan_iter it = scan_inside(object);
    struct member m;
    while (scan_next_member(&it, &m.raw_name, &m.value)) {
        if (n == cap) {
            cap = cap ? cap * 2 : 8;
            list = hob_realloc(list, cap, sizeof *list);
        }
        list[n++] = m;
    }
    *ret_members = list;
    return n;
}

static void canon_object(struct hob_buf *out, struct hob_str v, unsigned depth)
{
    hob_auto_free struct member *list = NULL;
    size_t n = members_of(v, &list);
    if (n > 1)
        qsort(list, n, sizeof *list, by_name);
    put(out, "{", 1);
    for (size_t i = 0; i < n; i++) {
        if (i)
            put(out, ",", 1);
        canon_string(out, list[i].raw_name);
        put(out, ":", 1);
        canon(out, list[i].value, depth + 1);
    }
    put(out, "}", 1);
}

static bool is_typed(struct hob_str object, const char *type)
{
    struct hob_str raw = scan_member(object, HOB_STR("__type"));
    return raw.n == strlen(type) + 2 && memcmp(raw.at + 1, type, raw.n - 2) == 0;
}

static bool is_reference(struct hob_str object)
{
    return is_typed(object, "Pointer") ||
           (is_typed(object, "Object") && scan_member(object, HOB_STR("objectId")).at);
}

/* An included object is the pointer that it stands for. */
static void canon_reference(struct hob_buf *out, struct hob_str v)
{
    struct hob_str c = scan_member(v, HOB_STR("className")), id = scan_member(v, HOB_STR("objectId"));
    put(out, "{\"__type\":\"Pointer\",\"className\":", 32);
    put(out, c.at ? c.at : "null", c.at ? c.n : 4);
    put(out, ",\"objectId\":", 12);
    put(out, id.at ? id.at : "null", id.at ? id.n : 4);
    put(out, "}", 1);
}

static void canon_array(struct hob_buf *out, struct hob_str v, unsigned depth)
{
    struct scan_iter it = scan_inside(v);
    struct hob_str e;
    put(out, "[", 1);
    for (bool is_first = true; scan_next(&it, &e); is_first = false) {
        if (!is_first)
            put(out, ",", 1);
        canon(out, e, depth + 1);
    }
    put(out, "]", 1);
}

static void canon(struct hob_buf *out, struct hob_str v, unsigned depth)
{
    char c = v.at[0];
    if (depth > 2 * HOB_MAX_JSON_DEPTH) /* nothing that deep was ever taken in */
        put(out, "null", 4);
    else if (c == '{' && is_reference(v))
        canon_reference(out, v);
    else if (c == '{')
        canon_object(out, v, depth);
    else if (c == '[')
        canon_array(out, v, depth);
    else if (c == '"')
        canon_string(out, v);
    else if (c == '-' || (c >= '0' && c <= '9'))
        canon_number(out, v);
    else
        put(out, v.at, v.n);
}

/* --- values --- */

/* Most numbers are short and whole. */
static bool short_int(struct hob_str raw, int64_t *ret_v)
{
    size_t i = raw.n && raw.at[0] == '-';
    int64_t v = 0;
    if (raw.n == i || raw.n > i + 15)
        return false;
    for (size_t k = i; k < raw.n; k++) {
        if (raw.at[k] < '0' || raw.at[k] > '9')
            return false;
        v = v * 10 + (raw.at[k] - '0');
    }
    *ret_v = i ? -v : v;
    return true;
}

static struct key number_key(struct hob_str raw)
{
    double d = 0;
    int64_t i;
    if (short_int(raw, &i))
        return (struct key){.kind = KEY_INT, .i = i};
    if (!scan_number(raw, &d))
        return (struct key){.kind = KEY_NULL};
    if (d == floor(d) && fabs(d) < 9007199254740992.0)
        return (struct key){.kind = KEY_INT, .i = (int64_t)d};
    return (struct key){.kind = KEY_REAL, .d = d};
}

static struct key blob_key(struct hob_buf *scratch)
{
    return (struct key){.kind = KEY_BLOB, .s = hob_buf_str(scratch)};
}

static struct key canon_key(char tag, struct hob_str json, struct hob_buf *scratch)
{
    hob_buf_clear(scratch);
    put(scratch, &tag, 1);
    canon(scratch, json, 0);
    return blob_key(scratch);
}

/* The tag, then the text of one member. */
static struct key member_key(char tag, struct hob_str object, struct hob_str name, struct hob_buf *scratch)
{
    struct hob_buf inner;
    hob_buf_init(&inner, KEY_BYTES_MAX);
    struct hob_str text = scan_text(scan_member(object, name), &inner);
    hob_buf_clear(scratch);
    put(scratch, &tag, 1);
    put(scratch, text.at, text.n);
    hob_buf_done(&inner);
    return blob_key(scratch);
}

static struct key date_key(struct hob_str object, struct hob_buf *scratch)
{
    int64_t ms;
    char mem[KEY_DATE_BYTES];
    struct hob_str text = scan_text(scan_member(object, HOB_STR("iso")), scratch);
    if (!data_date_parse(text, &ms))
        return canon_key(KEY_OBJECT, object, scratch);
    (void)key_of_date(ms, mem);
    hob_buf_clear(scratch);
    put(scratch, mem, sizeof mem);
    return blob_key(scratch);
}

static struct key geo_key(struct hob_str object, struct hob_buf *scratch)
{
    struct geo g;
    if (!geo_of(object, &g))
        return canon_key(KEY_OBJECT, object, scratch);
    hob_buf_clear(scratch);
    (void)!hob_buf_addf(scratch, "%c%.17g,%.17g", KEY_GEO, g.lat, g.lon);
    return blob_key(scratch);
}

static struct key reference_key(struct hob_str object, struct hob_buf *scratch)
{
    struct hob_buf c, id;
    hob_buf_init(&c, KEY_BYTES_MAX);
    hob_buf_init(&id, KEY_BYTES_MAX);
    struct hob_str class_name = scan_text(scan_member(object, HOB_STR("className")), &c);
    struct hob_str object_id = scan_text(scan_member(object, HOB_STR("objectId")), &id);
    hob_buf_clear(scratch);
    key_add_pointer(scratch, class_name, object_id);
    hob_buf_done(&c);
    hob_buf_done(&id);
    return blob_key(scratch);
}

static struct key object_key(struct hob_str json, struct hob_buf *scratch)
{
    struct hob_str type = scan_member(json, HOB_STR("__type"));
    if (!type.at)
        return canon_key(KEY_OBJECT, json, scratch);
    if (is_reference(json))
        return reference_key(json, scratch);
    if (hob_str_is(type, "\"Date\""))
        return date_key(json, scratch);
    if (hob_str_is(type, "\"GeoPoint\""))
        return geo_key(json, scratch);
    if (hob_str_is(type, "\"File\""))
        return member_key(KEY_FILE, json, HOB_STR("name"), scratch);
    if (hob_str_is(type, "\"Bytes\""))
        return member_key(KEY_BYTES, json, HOB_STR("base64"), scratch);
    return canon_key(KEY_OBJECT, json, scratch);
}

static struct key boolean_key(bool v)
{
    return (struct key){.kind = KEY_BLOB, .s = v ? HOB_STR("b1") : HOB_STR("b0")};
}

struct key key_of(struct hob_str json, struct hob_buf *scratch)
{
    if (!json.at || !json.n)
        return (struct key){.kind = KEY_NULL};
    switch (json.at[0]) {
    case '"':
        return (struct key){.kind = KEY_TEXT, .s = scan_text(json, scratch)};
    case '{':
        return object_key(json, scratch);
    case '[':
        return canon_key(KEY_ARRAY, json, scratch);
    case 't':
        return boolean_key(true);
    case 'f':
        return boolean_key(false);
    case 'n':
        return (struct key){.kind = KEY_NULL};
    default:
        return number_key(json);
    }
}

static int cmp_bytes(struct hob_str a, struct hob_str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n ? memcmp(a.at, b.at, n) : 0;
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

static int rank_of(const struct key *k)
{
    static const int ranks[] = {0, 1, 1, 2, 3};
    return ranks[k->kind];
}

static double number_of(const struct key *k)
{
    return k->kind == KEY_INT ? (double)k->i : k->d;
}

int key_cmp(const struct key *a, const struct key *b)
{
    if (rank_of(a) != rank_of(b))
        return rank_of(a) - rank_of(b);
    if (a->kind == KEY_NULL)
        return 0;
    if (a->kind == KEY_INT || a->kind == KEY_REAL) {
        double x = number_of(a), y = number_of(b); /* whole numbers are below 2^53: exact */
        return (x > y) - (x < y);
    }
    return cmp_bytes(a->s, b->s);
}

static void write_typed(struct hob_jw *w, const char *type, const char *member, struct hob_str value)
{
    hob_jw_object(w);
    hob_jw_kcstr(w, "__type", type);
    hob_jw_kstr(w, member, value);
    hob_jw_object_end(w);
}

static void write_date(struct hob_jw *w, const struct key *k)
{
    int64_t ms = 0;
    char iso[25];
    (void)key_date_ms(k, &ms);
    hob_utc_format(ms, iso);
    write_typed(w, "Date", "iso", hob_str(iso));
}

static void write_geo(struct hob_jw *w, struct hob_str body)
{
    double lat = 0, lon = 0;
    struct hob_str rest, first = hob_str_cut(body, ',', &rest);
    (void)(scan_number(first, &lat) && scan_number(rest, &lon));
    hob_jw_object(w);
    hob_jw_kcstr(w, "__type", "GeoPoint");
    hob_jw_key(w, "latitude");
    hob_jw_double(w, lat);
    hob_jw_key(w, "longitude");
    hob_jw_double(w, lon);
    hob_jw_object_end(w);
}

static void write_blob(struct hob_jw *w, const struct key *k)
{
    struct hob_str body = hob_str_n(k->s.at + 1, k->s.n - 1), c, id;
    switch (k->s.at[0]) {
    case KEY_BOOLEAN:
        hob_jw_bool(w, hob_str_is(body, "1"));
        return;
    case KEY_DATE:
        write_date(w, k);
        return;
    case KEY_FILE:
        write_typed(w, "File", "name", body);
        return;
    case KEY_BYTES:
        write_typed(w, "Bytes", "base64", body);
        return;
    case KEY_GEO:
        write_geo(w, body);
        return;
    case KEY_POINTER:
        if (!key_pointer(k, &c, &id))
            break;
        hob_jw_object(w);
        hob_jw_kcstr(w, "__type", "Pointer");
        hob_jw_kstr(w, "className", c);
        hob_jw_kstr(w, "objectId", id);
        hob_jw_object_end(w);
        return;
    default:
        hob_jw_raw(w, body);
        return;
    }
    hob_jw_null(w);
}

void key_write(const struct key *k, struct hob_jw *w)
{
    switch (k->kind) {
    case KEY_INT:
        hob_jw_int(w, k->i);
        return;
    case KEY_REAL:
        hob_jw_double(w, k->d);
        return;
    case KEY_TEXT:
        hob_jw_str(w, k->s);
        return;
    case KEY_BLOB:
        if (k->s.n > 0) {
            write_blob(w, k);
            return;
        }
        break;
    case KEY_NULL:
        break;
    }
    hob_jw_null(w);
}
