/* The functions that SQL calls: the one seam at which the driver's JSON differs. All are deterministic, read only what
 * they are given, and may stand in indexes.
 *   hob_val(doc, path)           typed key of a value, NULL when absent
 *   hob_has(doc, name)           is there such a member, null or not
 *   hob_fold(text)               lower case, for unique names
 *   hob_text(doc, path)          words for full text
 *   hob_pointer(class, id)       key of a pointer
 *   hob_json(key)                JSON of a key
 *   hob_date(ms)                 key of a date
 *   hob_lat, hob_lon (doc, path) of a GeoPoint;   hob_distance(doc, path, lat, lon) in radians
 *   hob_test(doc, cond)          a condition that no index serves;  hob_match(key, cond): the same on text
 *   hob_admits(subjects, access), hob_pointed(doc, access)  may the caller see the row? */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#include "store/data/data_priv.h"

const char ptr_access[] = "hob_access", ptr_cond[] = "hob_cond";

static struct hob_str arg_text(sqlite3_value *v)
{
    const void *at = sqlite3_value_text(v);
    return hob_str_n(at, at ? (size_t)sqlite3_value_bytes(v) : 0);
}

static void give_key(sqlite3_context *ctx, const struct key *k)
{
    switch (k->kind) {
    case KEY_INT:
        sqlite3_result_int64(ctx, k->i);
        return;
    case KEY_REAL:
        sqlite3_result_double(ctx, k->d);
        return;
    case KEY_TEXT:
        sqlite3_result_text64(ctx, k->s.at, k->s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
        return;
    case KEY_BLOB:
        sqlite3_result_blob64(ctx, k->s.at, k->s.n, SQLITE_TRANSIENT);
        return;
    case KEY_NULL:
        sqlite3_result_null(ctx);
    }
}

static struct key arg_key(sqlite3_value *v)
{
    struct key k = {.kind = KEY_NULL};
    switch (sqlite3_value_type(v)) {
    case SQLITE_INTEGER:
        return (struct key){.kind = KEY_INT, .i = sqlite3_value_int64(v)};
    case SQLITE_FLOAT:
        return (struct key){.kind = KEY_REAL, .d = sqlite3_value_double(v)};
    case SQLITE_TEXT:
        return (struct key){.kind = KEY_TEXT, .s = arg_text(v)};
    case SQLITE_BLOB: {
        const void *at = sqlite3_value_blob(v);
        return (struct key){.kind = KEY_BLOB, .s = hob_str_n(at, (size_t)sqlite3_value_bytes(v))};
    }
    default:
        return k;
    }
}

static struct hob_str value_at(sqlite3_value **args)
{
    struct hob_str doc = arg_text(args[0]), path = arg_text(args[1]);
    if (!doc.at)
        return doc;
    return path.n ? scan_path(doc, path) : doc;
}

static void fn_val(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_buf scratch;
    (void)n;
    hob_buf_init(&scratch, KEY_BYTES_MAX);
    struct key k = key_of(value_at(args), &scratch);
    give_key(ctx, &k);
    hob_buf_done(&scratch);
}

static void fn_has(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_str doc = arg_text(args[0]);
    (void)n;
    sqlite3_result_int(ctx, doc.at && scan_member(doc, arg_text(args[1])).at);
}

static void fn_fold(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_buf scratch;
    (void)n;
    if (sqlite3_value_type(args[0]) != SQLITE_TEXT)
        return;
    hob_buf_init(&scratch, KEY_BYTES_MAX);
    struct hob_str s = data_fold(arg_text(args[0]), &scratch);
    sqlite3_result_text64(ctx, s.at, s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
    hob_buf_done(&scratch);
}

static void add_words(struct hob_buf *out, struct hob_str json, unsigned depth)
{
    struct hob_buf scratch;
    struct hob_str element;
    if (!json.at || depth > 8)
        return;
    if (json.at[0] == '[') {
        struct scan_iter it = scan_inside(json);
        while (scan_next(&it, &element))
            add_words(out, element, depth + 1);
    }
    if (json.at[0] != '"')
        return;
    hob_buf_init(&scratch, KEY_BYTES_MAX);
    (void)(hob_buf_add_str(out, scan_text(json, &scratch)) == HOB_OK && hob_buf_add(out, " ", 1) == HOB_OK);
    hob_buf_done(&scratch);
}

static void fn_text(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_buf words;
    (void)n;
    hob_buf_init(&words, KEY_BYTES_MAX);
    add_words(&words, value_at(args), 0);
    struct hob_str s = hob_buf_str(&words);
    sqlite3_result_text64(ctx, s.at, s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
    hob_buf_done(&words);
}

static void fn_pointer(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_buf key;
    (void)n;
    hob_buf_init(&key, KEY_BYTES_MAX);
    key_add_pointer(&key, arg_text(args[0]), arg_text(args[1]));
    struct hob_str s = hob_buf_str(&key);
    sqlite3_result_blob64(ctx, s.at, s.n, SQLITE_TRANSIENT);
    hob_buf_done(&key);
}

static void fn_json(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_buf out;
    struct hob_jw w;
    (void)n;
    struct key k = arg_key(args[0]);
    hob_buf_init(&out, KEY_BYTES_MAX);
    hob_jw_init(&w, &out);
    key_write(&k, &w);
    struct hob_str s = hob_buf_str(&out);
    sqlite3_result_text64(ctx, s.at, s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
    hob_buf_done(&out);
}

static void fn_date(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    char mem[KEY_DATE_BYTES];
    (void)n;
    struct key k = key_of_date(sqlite3_value_int64(args[0]), mem);
    give_key(ctx, &k);
}

/* Year and so on, in UTC, of a date or of its text. */
static void fn_part(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_str part = arg_text(args[0]);
    struct key k = arg_key(args[1]);
    int64_t ms;
    struct tm tm;
    (void)n;
    if (!key_date_ms(&k, &ms) && !(k.kind == KEY_TEXT && data_date_parse(k.s, &ms)))
        return;
    time_t seconds = (time_t)((ms - (ms % 1000 + 1000) % 1000) / 1000);
    (void)gmtime_r(&seconds, &tm);
    const struct {
        const char *name;
        int value;
    } parts[] = {
        {"year", tm.tm_year + 1900},
        {"month", tm.tm_mon + 1},
        {"dayOfMonth", tm.tm_mday},
        {"hour", tm.tm_hour},
        {"minute", tm.tm_min},
        {"second", tm.tm_sec},
        {"dayOfWeek", tm.tm_wday + 1},
        {"dayOfYear", tm.tm_yday + 1},
        {"millisecond", (int)((ms % 1000 + 1000) % 1000)},
    };
    for (size_t i = 0; i < HOB_COUNT(parts); i++)
        if (hob_str_is(part, parts[i].name))
            sqlite3_result_int(ctx, parts[i].value);
}

static void fn_number(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    int type = sqlite3_value_type(args[0]);
    (void)n;
    if (type == SQLITE_INTEGER || type == SQLITE_FLOAT)
        sqlite3_result_value(ctx, args[0]);
}

static void give_buf(sqlite3_context *ctx, struct hob_buf *b)
{
    struct hob_str s = hob_buf_str(b);
    sqlite3_result_text64(ctx, s.at, s.n, SQLITE_TRANSIENT, SQLITE_UTF8);
    hob_buf_done(b);
}

/* hob_object(name, key, ...): members without a value are left out, but for objectId, which a group always has. */
static void fn_object(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_buf out;
    struct hob_jw w;
    hob_buf_init(&out, KEY_BYTES_MAX);
    hob_jw_init(&w, &out);
    hob_jw_object(&w);
    for (int i = 0; i + 1 < n; i += 2) {
        struct key k = arg_key(args[i + 1]);
        struct hob_str name = arg_text(args[i]);
        if (!name.at || (k.kind == KEY_NULL && !hob_str_is(name, "objectId")))
            continue;
        hob_jw_key(&w, name.at);
        key_write(&k, &w);
    }
    hob_jw_object_end(&w);
    give_buf(ctx, &out);
}

/* The members but one of that name. */
static void copy_without(struct hob_jw *w, struct hob_str doc, struct hob_str name)
{
    struct scan_iter it = scan_inside(doc);
    struct hob_str raw, value;
    while (scan_next_member(&it, &raw, &value)) {
        if (raw.n == name.n + 2 && memcmp(raw.at + 1, name.at, name.n) == 0)
            continue;
        hob_jw_raw(w, hob_str_n(raw.at, (size_t)(value.at + value.n - raw.at)));
    }
}

/* hob_without(doc, name), hob_with(doc, name, key) */
static void fn_with(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_buf out;
    struct hob_jw w;
    struct hob_str doc = arg_text(args[0]), name = arg_text(args[1]);
    if (!doc.at || !name.at)
        return;
    hob_buf_init(&out, KEY_BYTES_MAX);
    hob_jw_init(&w, &out);
    hob_jw_object(&w);
    copy_without(&w, doc, name);
    if (n == 3) {
        struct key k = arg_key(args[2]);
        hob_jw_key(&w, name.at);
        key_write(&k, &w);
    }
    hob_jw_object_end(&w);
    give_buf(ctx, &out);
}

/* hob_full(doc, id, created, updated): the object as a client sees it, without its ACL. */
static void fn_full(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_buf out;
    struct hob_jw w;
    char iso[25];
    (void)n;
    hob_buf_init(&out, KEY_BYTES_MAX);
    hob_jw_init(&w, &out);
    hob_jw_object(&w);
    hob_jw_kstr(&w, "objectId", arg_text(args[1]));
    hob_utc_format(sqlite3_value_int64(args[2]), iso);
    hob_jw_kcstr(&w, "createdAt", iso);
    hob_utc_format(sqlite3_value_int64(args[3]), iso);
    hob_jw_kcstr(&w, "updatedAt", iso);
    copy_without(&w, arg_text(args[0]), HOB_STR(""));
    hob_jw_object_end(&w);
    give_buf(ctx, &out);
}

/* --- the first and the last value of a group, in the order of its rows --- */

static void keep_value(sqlite3_context *ctx, sqlite3_value *v)
{
    sqlite3_value **kept = sqlite3_aggregate_context(ctx, sizeof(sqlite3_value *));
    if (!kept)
        return;
    sqlite3_value_free(*kept);
    *kept = sqlite3_value_dup(v);
}

static void first_step(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    sqlite3_value **kept = sqlite3_aggregate_context(ctx, sizeof(sqlite3_value *));
    (void)n;
    if (kept && !*kept)
        keep_value(ctx, args[0]);
}

static void last_step(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    (void)n;
    keep_value(ctx, args[0]);
}

static void kept_final(sqlite3_context *ctx)
{
    sqlite3_value **kept = sqlite3_aggregate_context(ctx, 0);
    if (!kept || !*kept)
        return;
    sqlite3_result_value(ctx, *kept);
    sqlite3_value_free(*kept);
    *kept = NULL;
}

static void fn_lat(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct geo g;
    (void)n;
    if (geo_of(value_at(args), &g))
        sqlite3_result_double(ctx, g.lat);
}

static void fn_lon(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct geo g;
    (void)n;
    if (geo_of(value_at(args), &g))
        sqlite3_result_double(ctx, g.lon);
}

static void fn_distance(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct geo g, to = {sqlite3_value_double(args[2]), sqlite3_value_double(args[3])};
    (void)n;
    if (geo_of(value_at(args), &g))
        sqlite3_result_double(ctx, geo_distance(g, to));
}

/* The message travels through SQLite: conn.c finds the code again by conn->failed. */
static void fail_with(sqlite3_context *ctx, const struct hob_err *err)
{
    struct conn *conn = sqlite3_user_data(ctx);
    conn->failed = *err;
    sqlite3_result_error(ctx, err->msg, -1);
}

static void fn_test(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_err err;
    bool is = false;
    struct hob_str doc = arg_text(args[0]);
    const struct cond *c = sqlite3_value_pointer(args[1], ptr_cond);
    (void)n;
    if (!c || !doc.at)
        sqlite3_result_int(ctx, 0);
    else if (cond_test(c, doc, &is, &err) != HOB_OK)
        fail_with(ctx, &err);
    else
        sqlite3_result_int(ctx, is);
}

static void fn_match(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    struct hob_err err;
    bool is = false;
    const struct cond *c = sqlite3_value_pointer(args[1], ptr_cond);
    (void)n;
    if (!c || sqlite3_value_type(args[0]) != SQLITE_TEXT)
        sqlite3_result_int(ctx, 0);
    else if (regex_matches(c->regexes[0], arg_text(args[0]), &is, &err) != HOB_OK)
        fail_with(ctx, &err);
    else
        sqlite3_result_int(ctx, is);
}

static void fn_admits(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    const struct data_access *a = sqlite3_value_pointer(args[1], ptr_access);
    (void)n;
    sqlite3_result_int(ctx, a && subjects_admit(a, arg_text(args[0])));
}

static void fn_pointed(sqlite3_context *ctx, int n, sqlite3_value **args)
{
    const struct data_access *a = sqlite3_value_pointer(args[1], ptr_access);
    struct hob_str doc = arg_text(args[0]);
    (void)n;
    sqlite3_result_int(ctx, a && doc.at && pointers_admit(a, doc));
}

enum hob_code functions_add(struct conn *c, struct hob_err *err)
{
    static const struct {
        const char *name;
        int args;
        void (*fn)(sqlite3_context *, int, sqlite3_value **);
    } list[] = {
        {"hob_val", 2, fn_val},         {"hob_has", 2, fn_has},        {"hob_fold", 1, fn_fold},
        {"hob_text", 2, fn_text},       {"hob_json", 1, fn_json},      {"hob_pointer", 2, fn_pointer},
        {"hob_lat", 2, fn_lat},         {"hob_lon", 2, fn_lon},        {"hob_distance", 4, fn_distance},
        {"hob_test", 2, fn_test},       {"hob_match", 2, fn_match},    {"hob_admits", 2, fn_admits},
        {"hob_pointed", 2, fn_pointed}, {"hob_date", 1, fn_date},      {"hob_part", 2, fn_part},
        {"hob_number", 1, fn_number},   {"hob_object", -1, fn_object}, {"hob_with", 3, fn_with},
        {"hob_without", 2, fn_with},    {"hob_full", 4, fn_full},
    };
    static const struct {
        const char *name;
        void (*step)(sqlite3_context *, int, sqlite3_value **);
    } groups[] = {{"hob_first", first_step}, {"hob_last", last_step}};
    for (size_t i = 0; i < HOB_COUNT(list); i++) {
        int rc = sqlite3_create_function_v2(c->db.h, list[i].name, list[i].args,
                                            SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, c,
                                            list[i].fn, NULL, NULL, NULL);
        if (rc != SQLITE_OK)
            return db_fail(&c->db, rc, "opening the app's database", err);
    }
    for (size_t i = 0; i < HOB_COUNT(groups); i++) {
        int rc = sqlite3_create_function_v2(c->db.h, groups[i].name, 1, SQLITE_UTF8 | SQLITE_INNOCUOUS, c,
                                            NULL, groups[i].step, kept_final, NULL);
        if (rc != SQLITE_OK)
            return db_fail(&c->db, rc, "opening the app's database", err);
    }
    return HOB_OK;
}
