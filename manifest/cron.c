#include "manifest/cron.h"

#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/str.h"

#include "base/banned.h"

enum { DAYS_SEARCHED = 9 * 366, SPAN_MAX_S = 366 * 86400, NAME_CHARS = 3 };

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun",
                                          "jul", "aug", "sep", "oct", "nov", "dec"};
static const char *const weekday_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct field {
    const char *name;
    unsigned min, max;
    const char *const *names; /* for min, min + 1, ... */
    unsigned names_n;
};
static const struct field fields[] = {
    {"minute", 0, 59, NULL, 0},
    {"hour", 0, 23, NULL, 0},
    {"day of the month", 1, 31, NULL, 0},
    {"month", 1, 12, month_names, 12},
    {"day of the week", 0, 7, weekday_names, 7},
};
enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, FIELDS };

static bool value_of(const struct field *f, struct hob_str text, unsigned *ret)
{
    uint64_t v;
    for (unsigned i = 0; i < f->names_n; i++)
        if (text.n == NAME_CHARS && strncasecmp(text.at, f->names[i], NAME_CHARS) == 0) {
            *ret = f->min + i;
            return true;
        }
    if (!hob_str_u64(text, &v) || v < f->min || v > f->max)
        return false;
    *ret = (unsigned)v;
    return true;
}

/* "*", "5", "1-5", any of them with "/2" behind; a lone value with a step runs to the field's end. */
static bool add_part(const struct field *f, struct hob_str part, uint64_t *bits)
{
    struct hob_str step_text, to_text, range = hob_str_cut(part, '/', &step_text);
    uint64_t step = 1;
    unsigned from = f->min, to = f->max;
    if (step_text.at && (!hob_str_u64(step_text, &step) || step < 1 || step > f->max))
        return false;
    if (!hob_str_is(range, "*")) {
        struct hob_str from_text = hob_str_cut(range, '-', &to_text);
        if (!value_of(f, from_text, &from))
            return false;
        if (to_text.at && (!value_of(f, to_text, &to) || to < from))
            return false;
        if (!to_text.at && !step_text.at)
            to = from;
    }
    for (unsigned v = from; v <= to; v += (unsigned)step)
        *bits |= (uint64_t)1 << v;
    return true;
}

static enum hob_code parse_field(const struct field *f, struct hob_str text, uint64_t *bits,
                                 struct hob_err *err)
{
    for (struct hob_str part, rest = text; rest.at;) {
        part = hob_str_cut(rest, ',', &rest);
        if (!add_part(f, part, bits))
            return hob_fail(
                err, HOB_E_INVALID,
                "cron: '%.*s' is no %s; give %u to %u%s, a range a-b, a list a,b, * or a step */n",
                (int)(text.n < 40 ? text.n : 40), text.at, f->name, f->min, f->max,
                f->names_n ? " or a name of three letters" : "");
    }
    return HOB_OK;
}

enum hob_code hob_cron_parse(const char *text, struct hob_cron *ret_cron, struct hob_err *err)
{
    uint64_t bits[FIELDS] = {0};
    bool is_star[FIELDS] = {false};
    unsigned n = 0;
    for (struct hob_str word, rest = hob_str(text); rest.at;) {
        word = hob_str_cut(rest, ' ', &rest);
        if (word.n == 0)
            continue;
        enum hob_code code = n < FIELDS ? parse_field(&fields[n], word, &bits[n], err) : HOB_OK;
        if (code != HOB_OK)
            return code;
        if (n < FIELDS)
            is_star[n] = word.at[0] == '*';
        n++;
    }
    if (n != FIELDS)
        return hob_fail(
            err, HOB_E_INVALID,
            "cron: '%.60s' has %u fields; give five: minute hour day month weekday, as \"0 8 * * 1-5\"", text,
            n);
    if (bits[WEEKDAY] & 1u << 7)
        bits[WEEKDAY] |= 1;
    *ret_cron = (struct hob_cron){
        .minutes = bits[MINUTE],
        .hours = (uint32_t)bits[HOUR],
        .days = (uint32_t)bits[DAY],
        .months = (uint32_t)bits[MONTH],
        .weekdays = (uint32_t)bits[WEEKDAY] & 0x7f,
        .has_days = !is_star[DAY],
        .has_weekdays = !is_star[WEEKDAY],
    };
    return HOB_OK;
}

static bool has_day(const struct hob_cron *c, const struct tm *day)
{
    bool is_day = c->days >> day->tm_mday & 1, is_weekday = c->weekdays >> day->tm_wday & 1;
    if (!(c->months >> (day->tm_mon + 1) & 1))
        return false;
    return c->has_days && c->has_weekdays ? is_day || is_weekday : is_day && is_weekday;
}

int64_t hob_cron_next(const struct hob_cron *c, int64_t utc_ms)
{
    int64_t first =
        utc_ms / 60000 + (utc_ms % 60000 < 0 ? 0 : 1); /* whole minutes; before 1970 rounds up by itself */
    int64_t day = first / 1440 - (first % 1440 < 0);
    unsigned from = (unsigned)(first - day * 1440);
    for (unsigned tried = 0; tried < DAYS_SEARCHED; tried++, day++, from = 0) {
        struct tm tm;
        time_t at = (time_t)day * 86400;
        if (!gmtime_r(&at, &tm) || !has_day(c, &tm))
            continue;
        for (unsigned m = from; m < 1440; m++)
            if (c->hours >> (m / 60) & 1 && c->minutes >> (m % 60) & 1)
                return (day * 1440 + m) * 60000;
    }
    return INT64_MAX;
}

enum hob_code hob_span_parse(const char *text, uint32_t *ret_s, struct hob_err *err)
{
    static const struct {
        char unit;
        uint32_t s;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    size_t n = strlen(text);
    uint64_t v;
    for (size_t i = 0; i < HOB_COUNT(units); i++)
        if (n > 1 && text[n - 1] == units[i].unit && hob_str_u64(hob_str_n(text, n - 1), &v) && v >= 1 &&
            v <= SPAN_MAX_S / units[i].s) {
            *ret_s = (uint32_t)v * units[i].s;
            return HOB_OK;
        }
    return hob_fail(err, HOB_E_INVALID,
                    "'%.40s' is no span; give a whole number with s, m, h or d, as \"8h\" (366d at most)",
                    text);
}
