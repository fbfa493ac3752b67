/* Values: what type one is, and the form in which it is stored (which is the form that goes over the wire). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bindings/object/object_priv.h"

#include "base/banned.h"

enum { DEPTH_MAX = 64, POLYGON_POINTS_MAX = 10000 };

const char *value_typed(const json_t *v)
{
    return json_string_value(json_object_get(v, "__type"));
}

const char *value_op(const json_t *v)
{
    return json_string_value(json_object_get(v, "__op"));
}

const char *value_type_text(enum data_type type, const char *target, char out[96])
{
    if (target)
        (void)snprintf(out, 96, "%s<%.64s>", data_type_names[type], target);
    else
        (void)snprintf(out, 96, "%s", data_type_names[type]);
    return out;
}

/* --- dates -------------------------------------------------------------------------------------------------------- */

static bool digits(const char **at, unsigned n, int *ret_value)
{
    int value = 0;
    for (; n; n--, ++*at) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret_value = value;
    return true;
}

/* Days since 1970-01-01 of the proleptic Gregorian calendar. */
static int64_t days_from_civil(int64_t y, int64_t m, int64_t d)
{
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400, yoe = y - era * 400;
    int64_t doy = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1, doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return era * 146097 + doe - 719468;
}

static bool is_date(int y, int m, int d)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] + (m == 2 && is_leap);
}

/* "Z", "+01:00", "-0530" or nothing (UTC). */
static bool read_zone(const char *at, int *ret_minutes)
{
    int h, m, sign = *at == '-' ? -1 : 1;
    *ret_minutes = 0;
    if (!*at || ((*at == 'Z' || *at == 'z') && !at[1]))
        return true;
    if (*at != '+' && *at != '-')
        return false;
    at++;
    if (!digits(&at, 2, &h))
        return false;
    if (*at == ':')
        at++;
    if (!digits(&at, 2, &m) || *at || h > 23 || m > 59)
        return false;
    *ret_minutes = sign * (h * 60 + m);
    return true;
}

/* ISO 8601: a date, or date and time with up to nine digits of a second; finer than a millisecond is cut. */
static bool read_iso(const char *at, int64_t *ret_ms)
{
    int y, mo, d, h = 0, mi = 0, s = 0, ms = 0, zone = 0;
    if (!digits(&at, 4, &y) || *at++ != '-' || !digits(&at, 2, &mo) || *at++ != '-' || !digits(&at, 2, &d) ||
        !is_date(y, mo, d))
        return false;
    if (*at == 'T' || *at == 't' || *at == ' ') {
        at++;
        if (!digits(&at, 2, &h) || *at++ != ':' || !digits(&at, 2, &mi) || h > 23 || mi > 59)
            return false;
        if (*at == ':' && (at++, !digits(&at, 2, &s) || s > 59))
            return false;
        if (*at == '.' || *at == ',') {
            int scale = 100, n = 0;
            for (at++; *at >= '0' && *at <= '9' && n < 9; at++, n++, scale /= 10)
                ms += (*at - '0') * scale;
            if (!n)
                return false;
        }
    }
    if (!read_zone(at, &zone))
        return false;
    *ret_ms = ((days_from_civil(y, mo, d) * 24 + h) * 60 + mi - zone) * 60000 + s * 1000 + ms;
    return true;
}

bool object_date_read(const json_t *j, int64_t *ret_ms)
{
    const char *iso = json_string_value(j);
    int64_t ms;
    if (!iso && value_typed(j) && strcmp(value_typed(j), "Date") == 0)
        iso = json_string_value(json_object_get(j, "iso"));
    if (!iso || !read_iso(iso, &ms))
        return false;
    /* what four digits of a year can say, also behind a zone */
    if (ms < -62167219200000LL || ms > 253402300799999LL)
        return false;
    *ret_ms = ms;
    return true;
}

json_t *object_date(int64_t utc_ms)
{
    char text[25];
    hob_utc_format(utc_ms, text);
    json_t *j = json_pack("{s:s,s:s}", "__type", "Date", "iso", text);
    HOB_ASSERT(j);
    return j;
}

json_t *object_pointer(const char *class_name, struct hob_str id)
{
    json_t *j =
        json_pack("{s:s,s:s,s:s%}", "__type", "Pointer", "className", class_name, "objectId", id.at, id.n);
    HOB_ASSERT(j);
    return j;
}

/* --- types -------------------------------------------------------------------------------------------------------- */

static bool is_base64(const char *s)
{
    size_t n = strlen(s), pad = 0;
    for (size_t i = 0; i < n; i++) {
        char ch = s[i];
        if (ch == '=' && ++pad)
            continue;
        if (pad || !((ch >= 'A' && ch <= 'Z') || (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') ||
                     ch == '+' || ch == '/' || ch == '-' || ch == '_'))
            return false;
    }
    return pad <= 2;
}

static bool is_point(double lat, double lon)
{
    return lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180;
}

static bool is_polygon(const json_t *v)
{
    const json_t *points = json_object_get(v, "coordinates");
    size_t n = json_array_size(points);
    if (n < 3 || n > POLYGON_POINTS_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *p = json_array_get(points, i), *lat = json_array_get(p, 0), *lon = json_array_get(p, 1);
        if (json_array_size(p) != 2 || !json_is_number(lat) || !json_is_number(lon) ||
            !is_point(json_number_value(lat), json_number_value(lon)))
            return false;
    }
    bool is_closed = json_equal(json_array_get(points, 0), json_array_get(points, n - 1));
    return n - (is_closed ? 1 : 0) >= 3;
}

static bool is_geo_point(const json_t *v)
{
    const json_t *lat = json_object_get(v, "latitude"), *lon = json_object_get(v, "longitude");
    return json_is_number(lat) && json_is_number(lon) &&
           is_point(json_number_value(lat), json_number_value(lon));
}

static bool is_text(const json_t *v, const char *member)
{
    return json_string_length(json_object_get(v, member)) > 0;
}

static const char *named_class(const json_t *v)
{
    const char *name = json_string_value(json_object_get(v, "className"));
    return name && class_name_is_valid(hob_str(name)) ? name : NULL;
}

static enum hob_code typed_value(const json_t *v, const char *typed, struct value_type *t,
                                 struct hob_err *err)
{
    const char *base64 = json_string_value(json_object_get(v, "base64"));
    int64_t ms;
    bool is_valid = false;
    t->is_some = true;
    if (strcmp(typed, "Pointer") == 0) {
        t->type = DATA_POINTER;
        is_valid = (t->target = named_class(v)) && is_text(v, "objectId");
    } else if (strcmp(typed, "Relation") == 0) {
        t->type = DATA_RELATION;
        is_valid = (t->target = named_class(v)) != NULL;
    } else if (strcmp(typed, "Date") == 0) {
        t->type = DATA_DATE;
        is_valid = object_date_read(v, &ms);
    } else if (strcmp(typed, "File") == 0) {
        t->type = DATA_FILE;
        is_valid = is_text(v, "name");
    } else if (strcmp(typed, "GeoPoint") == 0) {
        t->type = DATA_GEO_POINT;
        is_valid = is_geo_point(v);
    } else if (strcmp(typed, "Polygon") == 0) {
        t->type = DATA_POLYGON;
        is_valid = is_polygon(v);
    } else if (strcmp(typed, "Bytes") == 0) {
        t->type = DATA_BYTES;
        is_valid = base64 && is_base64(base64);
    }
    if (!is_valid)
        return parse_fail(err, PARSE_INCORRECT_TYPE, "This is not a valid %.40s", typed);
    return HOB_OK;
}

enum hob_code value_type_of(const json_t *v, struct value_type *ret_type, struct hob_err *err)
{
    const char *typed = value_typed(v);
    *ret_type = (struct value_type){.is_some = true};
    switch (json_typeof(v)) {
    case JSON_STRING:
        ret_type->type = DATA_STRING;
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        ret_type->type = DATA_NUMBER;
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        ret_type->type = DATA_BOOLEAN;
        break;
    case JSON_ARRAY:
        ret_type->type = DATA_ARRAY;
        break;
    case JSON_OBJECT:
        if (typed)
            return typed_value(v, typed, ret_type, err);
        ret_type->type = DATA_OBJECT;
        break;
    case JSON_NULL:
    default:
        ret_type->is_some = false;
    }
    return HOB_OK;
}

/* --- the stored form ---------------------------------------------------------------------------------------------- */

static void write_polygon(const json_t *v, struct hob_jw *w)
{
    const json_t *points = json_object_get(v, "coordinates");
    size_t n = json_array_size(points);
    const json_t *first = json_array_get(points, 0), *last = json_array_get(points, n - 1);
    hob_jw_key(w, "coordinates");
    hob_jw_array(w);
    for (size_t i = 0; i < n; i++)
        hob_jw_json(w, json_array_get(points, i));
    if (!json_equal(first, last))
        hob_jw_json(w, first);
    hob_jw_array_end(w);
}

/* A typed value with its own members and no others. */
static bool write_typed(const json_t *v, const char *typed, struct hob_jw *w)
{
    char iso[25];
    int64_t ms;
    hob_jw_object(w);
    hob_jw_kcstr(w, "__type", typed);
    if (strcmp(typed, "Pointer") == 0) {
        hob_jw_kcstr(w, "className", json_string_value(json_object_get(v, "className")));
        hob_jw_kcstr(w, "objectId", json_string_value(json_object_get(v, "objectId")));
    } else if (strcmp(typed, "Date") == 0 && object_date_read(v, &ms)) {
        hob_utc_format(ms, iso);
        hob_jw_kcstr(w, "iso", iso);
    } else if (strcmp(typed, "File") == 0) {
        hob_jw_kcstr(w, "name", json_string_value(json_object_get(v, "name")));
    } else if (strcmp(typed, "GeoPoint") == 0) {
        hob_jw_key(w, "latitude");
        hob_jw_json(w, json_object_get(v, "latitude"));
        hob_jw_key(w, "longitude");
        hob_jw_json(w, json_object_get(v, "longitude"));
    } else if (strcmp(typed, "Polygon") == 0) {
        write_polygon(v, w);
    } else if (strcmp(typed, "Bytes") == 0) {
        hob_jw_kcstr(w, "base64", json_string_value(json_object_get(v, "base64")));
    } else { /* Relation */
        hob_jw_kcstr(w, "className", json_string_value(json_object_get(v, "className")));
    }
    hob_jw_object_end(w);
    return true;
}

enum hob_code value_key_judge(const char *key, struct hob_err *err)
{
    if (strcmp(key, "constructor") == 0 || strcmp(key, "__proto__") == 0 || strcmp(key, "_bsontype") == 0)
        return parse_fail(err, PARSE_INVALID_KEY_NAME,
                          "Prohibited keyword in request data: {\"key\":\"%s\"}.", key);
    return HOB_OK;
}

static enum hob_code judge_key(const char *key, struct hob_err *err)
{
    if (strpbrk(key, "$."))
        return parse_fail(err, PARSE_INVALID_NESTED_KEY,
                          "Nested keys should not contain the '$' or '.' characters");
    return value_key_judge(key, err);
}

static enum hob_code write_at(const json_t *v, struct hob_jw *w, unsigned depth, struct hob_err *err);

static enum hob_code write_object(const json_t *v, struct hob_jw *w, unsigned depth, struct hob_err *err)
{
    const char *typed = value_typed(v), *key;
    json_t *member;
    struct value_type type;
    if (typed && strcmp(typed, "Object") != 0) {
        enum hob_code rc = typed_value(v, typed, &type, err);
        if (rc == HOB_OK)
            (void)write_typed(v, typed, w);
        return rc;
    }
    hob_jw_object(w);
    json_object_foreach((json_t *)(uintptr_t)v, key, member)
    {
        enum hob_code rc = judge_key(key, err);
        if (rc != HOB_OK)
            return rc;
        hob_jw_key(w, key);
        if ((rc = write_at(member, w, depth + 1, err)) != HOB_OK)
            return rc;
    }
    hob_jw_object_end(w);
    return HOB_OK;
}

/* Whole numbers that a double holds exactly are written as such, so that 1 and 1.0 are one value. */
static void write_number(const json_t *v, struct hob_jw *w)
{
    double d = json_real_value(v);
    if (json_is_integer(v))
        hob_jw_int(w, json_integer_value(v));
    else if (fabs(d) <= 9007199254740992.0 && d == floor(d))
        hob_jw_int(w, (int64_t)d);
    else
        hob_jw_double(w, d);
}

static enum hob_code write_at(const json_t *v, struct hob_jw *w, unsigned depth, struct hob_err *err)
{
    if (depth > DEPTH_MAX)
        return parse_fail(err, PARSE_INVALID_JSON, "a value is nested deeper than %d levels", DEPTH_MAX);
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return write_object(v, w, depth, err);
    case JSON_ARRAY:
        hob_jw_array(w);
        for (size_t i = 0; i < json_array_size(v); i++) {
            enum hob_code rc = write_at(json_array_get(v, i), w, depth + 1, err);
            if (rc != HOB_OK)
                return rc;
        }
        hob_jw_array_end(w);
        return HOB_OK;
    case JSON_INTEGER:
    case JSON_REAL:
        write_number(v, w);
        return HOB_OK;
    case JSON_STRING:
    case JSON_TRUE:
    case JSON_FALSE:
    case JSON_NULL:
    default:
        hob_jw_json(w, v);
        return HOB_OK;
    }
}

enum hob_code value_write(const json_t *v, struct hob_jw *w, struct hob_err *err)
{
    return write_at(v, w, 0, err);
}

enum { COPY_BYTES_MAX = 64 * 1024 * 1024 };

json_t *value_copy(const json_t *v, struct hob_err *err)
{
    struct hob_buf text hob_auto_buf;
    struct hob_jw w;
    json_error_t je;
    hob_buf_init(&text, COPY_BYTES_MAX);
    hob_jw_init(&w, &text);
    if (value_write(v, &w, err) != HOB_OK || hob_jw_end(&w, err) != HOB_OK)
        return NULL;
    json_t *copy = json_loadb(hob_buf_data(&text), text.n, JSON_DECODE_ANY, &je);
    if (!copy)
        (void)parse_fail(err, PARSE_INVALID_JSON, "a value cannot be stored: %s", je.text);
    return copy;
}
