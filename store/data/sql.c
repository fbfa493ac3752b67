/* Making SQL of conditions. Names of fields are judged before they come here and stand in the text as literals, so that
 * an expression is the same as that of an index; every value is bound. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/data/data_priv.h"

enum { SQL_BYTES_MAX = 4 * 1024 * 1024 };

void sql_init(struct sql *s, struct data_tx *tx, const struct data_query *q, struct where *w,
              struct hob_err *err)
{
    *s = (struct sql){.tx = tx, .query = q, .where = w, .err = err};
    hob_buf_init(&s->text, SQL_BYTES_MAX);
}

void sql_done(struct sql *s)
{
    for (size_t i = 0; i < s->accesses_n; i++)
        free(s->accesses[i]);
    free(s->binds);
    hob_buf_done(&s->text);
}

static void fail(struct sql *s)
{
    s->has_failed = true;
}

void sql_addf(struct sql *s, const char *fmt, ...)
{
    char mem[1400];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(mem, sizeof mem, fmt, ap);
    va_end(ap);
    HOB_ASSERT(n >= 0 && (size_t)n < sizeof mem);
    if (hob_buf_add(&s->text, mem, (size_t)n) != HOB_OK && !s->has_failed) {
        (void)hob_fail_parse(s->err, HOB_E_TOO_LARGE, 102, "the query is too large");
        fail(s);
    }
}

static void add_bind(struct sql *s, const struct bind *b)
{
    if (s->binds_n == s->binds_cap) {
        s->binds_cap = s->binds_cap ? s->binds_cap * 2 : 16;
        s->binds = hob_realloc(s->binds, s->binds_cap, sizeof *s->binds);
    }
    s->binds[s->binds_n++] = *b;
    sql_addf(s, "?%zu", s->binds_n); /* numbered: the parts of a pipeline are put around each other */
}

void sql_key(struct sql *s, const struct key *k)
{
    add_bind(s, &(struct bind){.kind = BIND_KEY, .key = *k});
}

void sql_int(struct sql *s, int64_t v)
{
    add_bind(s, &(struct bind){.kind = BIND_INT, .i = v});
}

void sql_real(struct sql *s, double v)
{
    add_bind(s, &(struct bind){.kind = BIND_REAL, .d = v});
}

void sql_pointer(struct sql *s, const void *p, const char *type)
{
    add_bind(s, &(struct bind){.kind = BIND_POINTER, .pointer = p, .type = type});
}

void sql_text(struct sql *s, struct hob_str text)
{
    sql_key(s, &(struct key){.kind = KEY_TEXT, .s = text});
}

/* --- what a path means in a class --- */

static enum place place_of(const struct data_class *c, struct hob_str path)
{
    char name[520];
    if (!c)
        return PLACE_ANY;
    if (hob_str_is(path, "objectId"))
        return PLACE_ID;
    if (hob_str_is(path, "createdAt") || hob_str_is(path, "updatedAt"))
        return PLACE_TIME;
    (void)snprintf(name, sizeof name, "%.*s", HOB_STR_ARG(path));
    const struct data_field *f = data_field_find(c, name); /* dotted ones are not among them */
    if (!f || f->type == DATA_ARRAY)
        return PLACE_ANY;
    return f->type == DATA_RELATION ? PLACE_RELATION : PLACE_VALUE;
}

void sql_value(struct sql *s, const char *alias, struct hob_str path)
{
    if (hob_str_is(path, "objectId"))
        sql_addf(s, "%s.id", alias);
    else if (hob_str_is(path, "createdAt"))
        sql_addf(s, "%s.created", alias);
    else if (hob_str_is(path, "updatedAt"))
        sql_addf(s, "%s.updated", alias);
    else
        sql_addf(s, "hob_val(%s.doc, '%.*s')", alias, HOB_STR_ARG(path));
}

/* The keys that can be equal at all: ids are text, times are dates (bound as milliseconds). */
static bool fitting(enum place place, const struct key *k, struct key *ret_k)
{
    int64_t ms;
    *ret_k = *k;
    if (place == PLACE_ID)
        return k->kind == KEY_TEXT;
    if (place != PLACE_TIME)
        return true;
    if (!key_date_ms(k, &ms) && !(k->kind == KEY_TEXT && data_date_parse(k->s, &ms)))
        return false;
    *ret_k = (struct key){.kind = KEY_INT, .i = ms};
    return true;
}

/* --- equality --- */

static size_t round_up(size_t n)
{
    size_t r = 2;
    while (r < n)
        r *= 2;
    return r;
}

/* The list is filled up to a power of two with its last value, so that few texts of SQL serve all lengths. */
static void add_list(struct sql *s, enum place place, const struct cond *c, size_t fit)
{
    struct key k = {.kind = KEY_NULL};
    size_t added = 0, want = round_up(fit);
    for (size_t i = 0; i < c->keys_n; i++) {
        struct key candidate;
        if (!fitting(place, &c->keys[i], &candidate))
            continue;
        k = candidate;
        sql_addf(s, added++ ? "," : "(");
        sql_key(s, &k);
    }
    for (; added < want; added++) {
        sql_addf(s, ",");
        sql_key(s, &k);
    }
    sql_addf(s, ")");
}

static size_t count_fitting(enum place place, const struct cond *c, struct key *ret_last)
{
    size_t n = 0;
    struct key k;
    for (size_t i = 0; i < c->keys_n; i++) {
        if (fitting(place, &c->keys[i], &k)) {
            *ret_last = k;
            n++;
        }
    }
    return n;
}

static void add_in(struct sql *s, const struct at *at, enum place place, const struct cond *c)
{
    struct key one = {.kind = KEY_NULL};
    size_t n = count_fitting(place, c, &one);
    if (n == 0 && !c->has_null) {
        sql_addf(s, c->is_not ? "TRUE" : "FALSE");
        return;
    }
    sql_addf(s, "(");
    if (n) {
        sql_value(s, at->alias, c->path);
        sql_addf(s, n == 1 ? (c->is_not ? " <> " : " = ") : (c->is_not ? " NOT IN " : " IN "));
        if (n == 1)
            sql_key(s, &one);
        else
            add_list(s, place, c, n);
    }
    if (c->has_null != c->is_not) { /* a missing value matches */
        sql_addf(s, n ? " OR " : "");
        sql_value(s, at->alias, c->path);
        sql_addf(s, " IS NULL");
    } else if (n == 0) {
        sql_value(s, at->alias, c->path);
        sql_addf(s, " IS NOT NULL");
    }
    sql_addf(s, ")");
}

/* --- ranges: types are bracketed, so that a number is never "less" than a text --- */

static void add_blob_edge(struct sql *s, const struct at *at, const struct cond *c, bool is_upper)
{
    unsigned tag = (unsigned char)c->keys[0].s.at[0];
    sql_addf(s, " AND ");
    sql_value(s, at->alias, c->path);
    sql_addf(s, is_upper ? " < x'%02x'" : " >= x'%02x'", is_upper ? tag + 1 : tag);
}

static void add_range(struct sql *s, const struct at *at, enum place place, const struct cond *c)
{
    static const char *const words[] = {
        [COND_LESS] = " < ", [COND_LESS_EQ] = " <= ", [COND_MORE] = " > ", [COND_MORE_EQ] = " >= "};
    bool is_upper = c->op == COND_MORE || c->op == COND_MORE_EQ; /* which edge must be added */
    struct key k = {.kind = KEY_NULL};
    if (c->keys_n == 0 || !fitting(place, &c->keys[0], &k)) {
        sql_addf(s, "FALSE");
        return;
    }
    sql_addf(s, "(");
    sql_value(s, at->alias, c->path);
    sql_addf(s, "%s", words[c->op]);
    sql_key(s, &k);
    if (place == PLACE_VALUE && k.kind == KEY_BLOB) {
        add_blob_edge(s, at, c, is_upper);
    } else if (place == PLACE_VALUE && (is_upper || k.kind == KEY_TEXT)) {
        sql_addf(s, " AND ");
        sql_value(s, at->alias, c->path);
        sql_addf(s, !is_upper ? " >= ''" : k.kind == KEY_TEXT ? " < x''" : " < ''");
    }
    sql_addf(s, ")");
}

/* --- regular expressions: what is known of the beginning is a range for an index --- */

static bool has_whole_fold(const struct cond *c)
{
    bool is_whole;
    (void)regex_prefix(c->regexes[0], &is_whole);
    return is_whole && regex_is_caseless(c->regexes[0]);
}

static void add_prefix(struct sql *s, const struct at *at, const struct cond *c)
{
    bool is_whole;
    struct hob_str prefix = regex_prefix(c->regexes[0], &is_whole);
    if (prefix.n == 0 || regex_is_caseless(c->regexes[0]))
        return;
    char *end = hob_arena_strndup(&s->where->mem, prefix.at, prefix.n);
    if (!end)
        return;
    end[prefix.n - 1] = (char)((unsigned char)end[prefix.n - 1] + 1); /* UTF-8 has no byte 0xff */
    sql_value(s, at->alias, c->path);
    sql_addf(s, is_whole ? " = " : " >= ");
    sql_text(s, prefix);
    sql_addf(s, " AND ");
    if (is_whole)
        return;
    sql_value(s, at->alias, c->path);
    sql_addf(s, " < ");
    sql_text(s, hob_str_n(end, prefix.n));
    sql_addf(s, " AND ");
}

static void add_regex(struct sql *s, const struct at *at, const struct cond *c)
{
    bool is_whole;
    struct hob_buf scratch;
    sql_addf(s, "(");
    if (has_whole_fold(c)) {
        struct hob_str word = regex_prefix(c->regexes[0], &is_whole);
        hob_buf_init(&scratch, SQL_BYTES_MAX);
        struct hob_str folded = data_fold(word, &scratch);
        const char *copy = hob_arena_strndup(&s->where->mem, folded.at, folded.n);
        sql_addf(s, "hob_fold(");
        sql_value(s, at->alias, c->path);
        sql_addf(s, ") = ");
        sql_text(s, hob_str_n(copy, copy ? folded.n : 0));
        sql_addf(s, ")");
        hob_buf_done(&scratch);
        return;
    }
    add_prefix(s, at, c);
    sql_addf(s, "hob_match(");
    sql_value(s, at->alias, c->path);
    sql_addf(s, ", ");
    sql_pointer(s, c, ptr_cond);
    sql_addf(s, "))");
}

/* --- places on the globe: a band of latitudes that an index can serve, then the truth --- */

static void add_band(struct sql *s, const struct at *at, const struct cond *c)
{
    double low, high;
    if (c->op == COND_BOX) {
        low = c->at.lat;
        high = c->to.lat;
    } else if (c->op == COND_POLYGON) {
        low = high = c->polygon.points[0].lat;
        for (size_t i = 1; i < c->polygon.n; i++) {
            low = fmin(low, c->polygon.points[i].lat);
            high = fmax(high, c->polygon.points[i].lat);
        }
    } else {
        double degrees = c->radius * (180 / M_PI) + 1e-9;
        low = c->at.lat - degrees;
        high = c->at.lat + degrees;
    }
    if (!(high - low < 90))
        return;
    sql_addf(s, "hob_lat(%s.doc, '%.*s') >= ", at->alias, HOB_STR_ARG(c->path));
    sql_real(s, low);
    sql_addf(s, " AND hob_lat(%s.doc, '%.*s') <= ", at->alias, HOB_STR_ARG(c->path));
    sql_real(s, high);
    sql_addf(s, " AND ");
}

static void add_test(struct sql *s, const struct at *at, const struct cond *c)
{
    sql_addf(s, "hob_test(%s.doc, ", at->alias);
    sql_pointer(s, c, ptr_cond);
    sql_addf(s, ")");
}

static void add_geo(struct sql *s, const struct at *at, const struct cond *c)
{
    sql_addf(s, "(");
    add_band(s, at, c);
    add_test(s, at, c);
    sql_addf(s, ")");
}

/* --- full text --- */

const struct index_info *text_index(const struct data_class *c, struct hob_str field)
{
    for (size_t i = 0; i < c->indexes_n; i++) {
        const struct index_info *info = &class_entry(c)->infos[i];
        if (info->is_text && hob_str_is(field, info->text_field))
            return info;
    }
    return NULL;
}

static void add_text(struct sql *s, const struct at *at, const struct cond *c)
{
    if (c->by_case || c->by_mark) {
        add_test(s, at, c);
        sql_addf(s, " AND ");
    }
    const struct index_info *info = text_index(at->c, c->path);
    if (s->joined_text == c) { /* the table is joined: its score is wanted */
        sql_addf(s, "ft%lld MATCH ", (long long)info->id);
        sql_text(s, s->match);
    } else if (info && s->match.n) {
        sql_addf(s, "%s.seq IN (SELECT rowid FROM ft%lld WHERE ft%lld MATCH ", at->alias, (long long)info->id,
                 (long long)info->id);
        sql_text(s, s->match);
        sql_addf(s, ")");
    } else {
        sql_addf(s, "FALSE");
    }
}

/* --- one condition, and all --- */

static void add_leaf(struct sql *s, const struct at *at, const struct cond *c)
{
    enum place place = place_of(at->c, c->path);
    bool is_plain = place != PLACE_ANY && place != PLACE_RELATION;
    switch (c->op) {
    case COND_IN:
        if (place == PLACE_RELATION)
            sql_owners(s, at, c);
        else if (is_plain)
            add_in(s, at, place, c);
        else
            add_test(s, at, c);
        return;
    case COND_LESS:
    case COND_LESS_EQ:
    case COND_MORE:
    case COND_MORE_EQ:
        if (is_plain)
            add_range(s, at, place, c);
        else
            add_test(s, at, c);
        return;
    case COND_EXISTS:
        if (!at->c) {
            add_test(s, at, c);
            return;
        }
        sql_value(s, at->alias, c->path);
        sql_addf(s, c->is_not ? " IS NULL" : " IS NOT NULL");
        return;
    case COND_REGEX:
        if (is_plain)
            add_regex(s, at, c);
        else
            add_test(s, at, c);
        return;
    case COND_QUERY:
        sql_in_query(s, at, place, c);
        return;
    case COND_SELECT:
        sql_select(s, at, place, c);
        return;
    case COND_RELATED:
        sql_related(s, at, c);
        return;
    case COND_TEXT:
        add_text(s, at, c);
        return;
    case COND_NEAR:
    case COND_BOX:
    case COND_POLYGON:
        add_geo(s, at, c);
        return;
    case COND_ALL:
    case COND_ALL_REGEX:
    case COND_CONTAINED:
    case COND_INTERSECTS:
        add_test(s, at, c);
        return;
    case COND_AND:
    case COND_OR:
    case COND_NOR:
        HOB_ASSERT(!"not a leaf");
    }
}

static void add_cond(struct sql *s, const struct at *at, const struct cond *c)
{
    if (s->has_failed)
        return;
    if (c->op != COND_AND && c->op != COND_OR && c->op != COND_NOR) {
        add_leaf(s, at, c);
        return;
    }
    const char *between = c->op == COND_AND ? " AND " : " OR ";
    if (!c->first) {
        sql_addf(s, c->op == COND_OR ? "FALSE" : "TRUE");
        return;
    }
    sql_addf(s, "(");
    for (const struct cond *child = c->first; child; child = child->next) {
        sql_addf(s, "%s", child == c->first ? "" : between);
        add_cond(s, at, child);
    }
    sql_addf(s, c->op == COND_NOR ? ") IS NOT TRUE" : ")");
}

void sql_where(struct sql *s, const struct data_class *c, const char *alias, const struct cond *root,
               const struct data_access *a)
{
    struct at at = {c, alias};
    sql_addf(s, " WHERE ");
    if (root)
        add_cond(s, &at, root);
    else
        sql_addf(s, "TRUE");
    if (a && a->subjects_n) {
        const char *column = a->is_write ? "writers" : "readers";
        sql_addf(s, " AND (%s.%s IS NULL OR hob_admits(%s.%s, ", alias, column, alias, column);
        sql_pointer(s, a, ptr_access);
        sql_addf(s, "))");
    }
    if (a && a->pointer_fields_n) {
        sql_addf(s, " AND hob_pointed(%s.doc, ", alias);
        sql_pointer(s, a, ptr_access);
        sql_addf(s, ")");
    }
}

enum hob_code sql_start(struct sql *s, struct run *r, struct hob_err *err)
{
    if (s->has_failed)
        return err->code;
    if (run_start(r, s->tx, hob_buf_str(&s->text), err) != HOB_OK)
        return err->code;
    for (size_t i = 0; i < s->binds_n; i++) {
        const struct bind *b = &s->binds[i];
        if (b->kind == BIND_KEY)
            run_key(r, &b->key);
        else if (b->kind == BIND_INT)
            run_int(r, b->i);
        else if (b->kind == BIND_REAL)
            run_double(r, b->d);
        else
            run_pointer(r, b->pointer, b->type);
    }
    return HOB_OK;
}
