/* Aggregate pipelines as SQL: each stage is a SELECT around the one before. Before the first stage that shapes documents
 * the rows are those of the class (so that indexes serve a leading $match); behind it a row is one column, `doc`. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/data/data_priv.h"

enum { STAGES_MAX = 32, NAMES_MAX = 60, EXPR_DEPTH_MAX = 8 };

struct pipe {
    struct sql sql;
    const struct data_class *c;
    bool is_shaped;
    struct where *wheres; /* one a $match; they live until the end */
    size_t wheres_n;
    struct hob_err *err;
};

HOB_PRINTF(2, 3) static enum hob_code refuse(struct pipe *p, const char *fmt, ...)
{
    va_list ap;
    char msg[200];
    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    return hob_fail_parse(p->err, HOB_E_INVALID, 102, "%s", msg);
}

/* Takes the text so far away; what is written next stands before it, wrap_end puts it back in. */
static struct hob_buf wrap(struct pipe *p)
{
    struct hob_buf inner = p->sql.text;
    hob_buf_init(&p->sql.text, inner.max);
    return inner;
}

static void wrap_end(struct pipe *p, struct hob_buf *inner)
{
    sql_addf(&p->sql, " FROM (");
    if (hob_buf_add_str(&p->sql.text, hob_buf_str(inner)) != HOB_OK)
        p->sql.has_failed =
            hob_fail_parse(p->err, HOB_E_TOO_LARGE, 102, "the pipeline is too large") != HOB_OK;
    sql_addf(&p->sql, ") t");
    hob_buf_done(inner);
}

/* --- expressions --- */

/* "_id" is "objectId" here; parse-server's own names of columns are understood. */
static struct hob_str plain_name(struct hob_str name)
{
    static const char *const pairs[][2] = {
        {"_id", "objectId"}, {"_created_at", "createdAt"}, {"_updated_at", "updatedAt"}};
    for (size_t i = 0; i < HOB_COUNT(pairs); i++)
        if (hob_str_is(name, pairs[i][0]))
            return hob_str(pairs[i][1]);
    if (hob_str_starts(name, HOB_STR("_id.")))
        return name;
    return hob_str_starts(name, HOB_STR("_p_")) ? hob_str_n(name.at + 3, name.n - 3) : name;
}

static enum hob_code add_field(struct pipe *p, struct hob_str name)
{
    char path[520];
    struct hob_str plain = plain_name(name);
    bool is_inner_id = hob_str_starts(plain, HOB_STR("_id."));
    (void)snprintf(path, sizeof path, "%s%.*s", is_inner_id ? "objectId." : "",
                   (int)(plain.n - (is_inner_id ? 4 : 0)), plain.at + (is_inner_id ? 4 : 0));
    if (plain.n > 500 || !path_is_valid(hob_str(path)))
        return refuse(p, "Invalid field name: %.100s", path);
    bool is_time = strcmp(path, "createdAt") == 0 || strcmp(path, "updatedAt") == 0;
    if (p->is_shaped) {
        sql_addf(&p->sql, "hob_val(t.doc, '%s')", path);
        return HOB_OK;
    }
    sql_addf(&p->sql, is_time ? "hob_date(" : "");
    sql_value(&p->sql, "t", hob_str(path));
    sql_addf(&p->sql, is_time ? ")" : "");
    return HOB_OK;
}

static enum hob_code add_literal(struct pipe *p, const json_t *value)
{
    struct key k;
    struct where *keeper = &p->wheres[0]; /* its arena lives until the end */
    if (where_key(keeper, value, &k, p->err) != HOB_OK)
        return p->err->code;
    sql_key(&p->sql, &k);
    return HOB_OK;
}

static enum hob_code add_expr(struct pipe *p, const json_t *e, unsigned depth);

static enum hob_code add_part(struct pipe *p, const char *part, const json_t *arg, unsigned depth)
{
    sql_addf(&p->sql, "hob_part('%s', ", part);
    if (add_expr(p, arg, depth + 1) != HOB_OK)
        return p->err->code;
    sql_addf(&p->sql, ")");
    return HOB_OK;
}

/* hob_number() keeps text and dates out of a sum. */
static enum hob_code add_arithmetic(struct pipe *p, const char *sign, const json_t *args, unsigned depth)
{
    size_t n = json_array_size(args);
    if (n < 1 || n > 16)
        return refuse(p, "an arithmetic expression needs an array of 1 to 16 values");
    sql_addf(&p->sql, "(");
    for (size_t i = 0; i < n; i++) {
        sql_addf(&p->sql, "%shob_number(", i ? sign : "");
        if (add_expr(p, json_array_get(args, i), depth + 1) != HOB_OK)
            return p->err->code;
        sql_addf(&p->sql, ")");
    }
    sql_addf(&p->sql, ")");
    return HOB_OK;
}

static const char *part_of(const char *word)
{
    static const char *const parts[] = {"year",   "month",       "dayOfMonth", "hour",     "minute",
                                        "second", "millisecond", "dayOfWeek",  "dayOfYear"};
    for (size_t i = 0; i < HOB_COUNT(parts); i++)
        if (word[0] == '$' && strcmp(parts[i], word + 1) == 0)
            return parts[i];
    return NULL;
}

static enum hob_code add_operator(struct pipe *p, const char *word, const json_t *arg, unsigned depth)
{
    static const char *const signs[][2] = {
        {"$add", " + "}, {"$subtract", " - "}, {"$multiply", " * "}, {"$divide", " * 1.0 / "}};
    if (part_of(word))
        return add_part(p, part_of(word), arg, depth);
    for (size_t i = 0; i < HOB_COUNT(signs); i++)
        if (strcmp(word, signs[i][0]) == 0)
            return add_arithmetic(p, signs[i][1], arg, depth);
    if (strcmp(word, "$literal") == 0)
        return add_literal(p, arg);
    return refuse(p, "Invalid aggregate expression '%.60s'.", word);
}

/* {"year":{"$year":"$createdAt"},"who":"$name"}: an object of expressions. */
static enum hob_code add_object(struct pipe *p, const json_t *members, unsigned depth)
{
    const char *name;
    json_t *value;
    bool is_first = true;
    if (json_object_size(members) > NAMES_MAX)
        return refuse(p, "an object of a pipeline has at most %d members", NAMES_MAX);
    sql_addf(&p->sql, "hob_val(hob_object(");
    json_object_foreach((json_t *)(uintptr_t)members, name, value)
    {
        sql_addf(&p->sql, is_first ? "" : ", ");
        is_first = false;
        sql_text(&p->sql, hob_str(name));
        sql_addf(&p->sql, ", ");
        if (add_expr(p, value, depth + 1) != HOB_OK)
            return p->err->code;
    }
    sql_addf(&p->sql, "), '')");
    return HOB_OK;
}

static enum hob_code add_expr(struct pipe *p, const json_t *e, unsigned depth)
{
    const char *text = json_string_value(e);
    if (depth > EXPR_DEPTH_MAX)
        return refuse(p, "an expression is nested deeper than %d levels", EXPR_DEPTH_MAX);
    if (text && text[0] == '$')
        return add_field(p, hob_str(text + 1));
    if (!json_is_object(e) || json_object_get(e, "__type") || json_object_size(e) == 0)
        return add_literal(p, e);
    const char *first = json_object_iter_key(json_object_iter((json_t *)(uintptr_t)e));
    if (first[0] == '$' && json_object_size(e) == 1)
        return add_operator(p, first, json_object_get(e, first), depth);
    return add_object(p, e, depth);
}

/* --- $group --- */

static enum hob_code add_accumulator(struct pipe *p, const char *name, const json_t *what)
{
    static const struct {
        const char *word, *before, *after;
    } table[] = {
        {"$sum", "total(hob_number(", "))"},
        {"$avg", "avg(hob_number(", "))"},
        {"$min", "min(", ")"},
        {"$max", "max(", ")"},
        {"$first", "hob_first(", ")"},
        {"$last", "hob_last(", ")"},
        {"$push", "hob_val('[' || group_concat(hob_json(", ")) || ']', '')"},
        {"$addToSet", "hob_val('[' || group_concat(DISTINCT hob_json(", ")) || ']', '')"},
    };
    const char *word = json_object_size(what) == 1
                           ? json_object_iter_key(json_object_iter((json_t *)(uintptr_t)what))
                           : NULL;
    if (word && strcmp(word, "$count") == 0) {
        sql_addf(&p->sql, "count(*)");
        return HOB_OK;
    }
    for (size_t i = 0; word && i < HOB_COUNT(table); i++) {
        if (strcmp(word, table[i].word) != 0)
            continue;
        sql_addf(&p->sql, "%s", table[i].before);
        if (add_expr(p, json_object_get(what, word), 0) != HOB_OK)
            return p->err->code;
        sql_addf(&p->sql, "%s", table[i].after);
        return HOB_OK;
    }
    return refuse(p, "Invalid accumulator of the group's field %.60s", name);
}

static enum hob_code stage_group(struct pipe *p, const json_t *spec)
{
    const char *name;
    json_t *value;
    const json_t *id = json_object_get(spec, "_id");
    if (json_object_get(spec, "objectId"))
        return refuse(p, "Invalid parameter for query: group. Please use _id instead of objectId");
    if (!id)
        return refuse(p, "Invalid parameter for query: group. Missing _id");
    if (json_object_size(spec) > NAMES_MAX)
        return refuse(p, "a group has at most %d fields", NAMES_MAX);
    struct hob_buf inner = wrap(p);
    sql_addf(&p->sql, "SELECT hob_object('objectId', ");
    enum hob_code rc = add_expr(p, id, 0);
    json_object_foreach((json_t *)(uintptr_t)spec, name, value)
    {
        if (rc != HOB_OK || value == id)
            continue;
        sql_addf(&p->sql, ", ");
        sql_text(&p->sql, hob_str(name));
        sql_addf(&p->sql, ", ");
        rc = add_accumulator(p, name, value);
    }
    sql_addf(&p->sql, ") AS doc");
    wrap_end(p, &inner);
    if (rc == HOB_OK && !json_is_null(id)) {
        sql_addf(&p->sql, " GROUP BY ");
        rc = add_expr(p, id, 0);
    } else if (rc == HOB_OK) {
        sql_addf(&p->sql, " HAVING count(*) > 0"); /* of nothing there is no group */
    }
    p->is_shaped = true;
    return rc;
}

/* --- the other stages --- */

static enum hob_code stage_match(struct pipe *p, const json_t *spec)
{
    struct where *w = &p->wheres[p->wheres_n++];
    enum hob_code rc = where_init(w, spec, p->err);
    if (rc == HOB_OK && (w->text || w->near))
        rc = refuse(p, "$match of a pipeline has neither $text nor $nearSphere");
    if (rc != HOB_OK)
        return rc;
    struct hob_buf inner = wrap(p);
    p->sql.where = w;
    sql_addf(&p->sql, "SELECT t.*");
    wrap_end(p, &inner);
    sql_where(&p->sql, p->is_shaped ? NULL : p->c, "t", w->root, NULL);
    return p->sql.has_failed ? p->err->code : HOB_OK;
}

static enum hob_code stage_sort(struct pipe *p, const json_t *spec)
{
    const char *name;
    json_t *value;
    bool is_first = true;
    if (!json_is_object(spec) || json_object_size(spec) == 0 || json_object_size(spec) > INDEX_KEYS_MAX)
        return refuse(p, "$sort needs an object with 1 to %d fields", INDEX_KEYS_MAX);
    struct hob_buf inner = wrap(p);
    sql_addf(&p->sql, "SELECT t.*");
    wrap_end(p, &inner);
    json_object_foreach((json_t *)(uintptr_t)spec, name, value)
    {
        sql_addf(&p->sql, is_first ? " ORDER BY " : ", ");
        is_first = false;
        if (add_field(p, hob_str(name)) != HOB_OK)
            return p->err->code;
        sql_addf(&p->sql, json_integer_value(value) < 0 ? " DESC" : "");
    }
    sql_addf(&p->sql, " LIMIT -1"); /* an order without a limit may be left out inside */
    return HOB_OK;
}

static enum hob_code stage_cut(struct pipe *p, const json_t *spec, bool is_skip)
{
    if (!json_is_integer(spec) || json_integer_value(spec) < 0)
        return refuse(p, "%s needs a whole number that is not negative", is_skip ? "$skip" : "$limit");
    struct hob_buf inner = wrap(p);
    sql_addf(&p->sql, "SELECT t.*");
    wrap_end(p, &inner);
    sql_addf(&p->sql, is_skip ? " LIMIT -1 OFFSET " : " LIMIT ");
    sql_int(&p->sql, json_integer_value(spec));
    return HOB_OK;
}

static enum hob_code stage_limit(struct pipe *p, const json_t *spec)
{
    return stage_cut(p, spec, false);
}

static enum hob_code stage_skip(struct pipe *p, const json_t *spec)
{
    return stage_cut(p, spec, true);
}

static enum hob_code stage_count(struct pipe *p, const json_t *spec)
{
    if (!json_is_string(spec) || json_string_length(spec) == 0)
        return refuse(p, "$count needs the name of a field");
    struct hob_buf inner = wrap(p);
    sql_addf(&p->sql, "SELECT hob_object(");
    const char *name =
        hob_arena_strndup(&p->wheres[0].mem, json_string_value(spec), json_string_length(spec));
    sql_text(&p->sql, hob_str(name));
    sql_addf(&p->sql, ", count(*)) AS doc");
    wrap_end(p, &inner);
    p->is_shaped = true;
    return HOB_OK;
}

/* Rows of the class as whole documents. */
static void shape(struct pipe *p)
{
    if (p->is_shaped)
        return;
    struct hob_buf inner = wrap(p);
    sql_addf(&p->sql, "SELECT hob_full(t.doc, t.id, t.created, t.updated) AS doc");
    wrap_end(p, &inner);
    p->is_shaped = true;
}

static bool is_kept(const json_t *v)
{
    return json_is_true(v) || (json_is_number(v) && json_number_value(v) != 0);
}

static bool is_left_out(const json_t *v)
{
    return json_is_false(v) || (json_is_number(v) && json_number_value(v) == 0);
}

static struct hob_str own_name(struct pipe *p, const char *name)
{
    struct hob_str plain = plain_name(hob_str(name));
    const char *copy = hob_arena_strndup(&p->wheres[0].mem, plain.at, plain.n);
    return hob_str_n(copy, copy ? plain.n : 0);
}

/* All are 0: the document without them. */
static enum hob_code project_out(struct pipe *p, const json_t *spec)
{
    const char *name;
    json_t *value;
    struct hob_buf inner = wrap(p);
    sql_addf(&p->sql, "SELECT ");
    for (size_t i = 0; i < json_object_size(spec); i++)
        sql_addf(&p->sql, "hob_without(");
    sql_addf(&p->sql, "t.doc");
    json_object_foreach((json_t *)(uintptr_t)spec, name, value)
    {
        sql_addf(&p->sql, ", ");
        sql_text(&p->sql, own_name(p, name));
        sql_addf(&p->sql, ")");
    }
    sql_addf(&p->sql, " AS doc");
    wrap_end(p, &inner);
    return HOB_OK;
}

static enum hob_code project_in(struct pipe *p, const json_t *spec)
{
    const char *name;
    json_t *value;
    enum hob_code rc = HOB_OK;
    const json_t *id = json_object_get(spec, "_id"), *object_id = json_object_get(spec, "objectId");
    bool is_id_out = (id && is_left_out(id)) || (object_id && is_left_out(object_id));
    struct hob_buf inner = wrap(p);
    sql_addf(&p->sql, "SELECT hob_object(");
    if (!is_id_out)
        sql_addf(&p->sql, "'objectId', hob_val(t.doc, 'objectId')");
    bool is_first = is_id_out;
    json_object_foreach((json_t *)(uintptr_t)spec, name, value)
    {
        struct hob_str as = own_name(p, name);
        if (rc != HOB_OK || hob_str_is(as, "objectId") || is_left_out(value))
            continue;
        sql_addf(&p->sql, is_first ? "" : ", ");
        is_first = false;
        sql_text(&p->sql, as);
        sql_addf(&p->sql, ", ");
        rc = is_kept(value) ? add_field(p, as) : add_expr(p, value, 0);
    }
    sql_addf(&p->sql, ") AS doc");
    wrap_end(p, &inner);
    return rc;
}

static enum hob_code stage_project(struct pipe *p, const json_t *spec)
{
    const char *name;
    json_t *value;
    bool is_all_out = true;
    if (!json_is_object(spec) || json_object_size(spec) == 0 || json_object_size(spec) > NAMES_MAX)
        return refuse(p, "$project needs an object with 1 to %d fields", NAMES_MAX);
    json_object_foreach((json_t *)(uintptr_t)spec, name, value) is_all_out &= is_left_out(value);
    shape(p);
    return is_all_out ? project_out(p, spec) : project_in(p, spec);
}

static enum hob_code stage_add_fields(struct pipe *p, const json_t *spec)
{
    const char *name;
    json_t *value;
    enum hob_code rc = HOB_OK;
    if (!json_is_object(spec) || json_object_size(spec) == 0 || json_object_size(spec) > NAMES_MAX)
        return refuse(p, "$addFields needs an object with 1 to %d fields", NAMES_MAX);
    shape(p);
    struct hob_buf inner = wrap(p);
    sql_addf(&p->sql, "SELECT ");
    for (size_t i = 0; i < json_object_size(spec); i++)
        sql_addf(&p->sql, "hob_with(");
    sql_addf(&p->sql, "t.doc");
    json_object_foreach((json_t *)(uintptr_t)spec, name, value)
    {
        sql_addf(&p->sql, ", ");
        sql_text(&p->sql, own_name(p, name));
        sql_addf(&p->sql, ", ");
        if (rc == HOB_OK)
            rc = add_expr(p, value, 0);
        sql_addf(&p->sql, ")");
    }
    sql_addf(&p->sql, " AS doc");
    wrap_end(p, &inner);
    return rc;
}

static enum hob_code stage_unwind(struct pipe *p, const json_t *spec)
{
    const char *text = json_string_value(json_is_object(spec) ? json_object_get(spec, "path") : spec);
    if (!text || text[0] != '$' || !path_is_valid(hob_str(text + 1)) || strlen(text) > 500)
        return refuse(p, "$unwind needs a path like \"$field\"");
    shape(p);
    struct hob_buf inner = wrap(p);
    const char *path = text + 1;
    sql_addf(&p->sql, "SELECT hob_with(t.doc, '%s', hob_val(t.doc, '%s.' || e.key)) AS doc", path, path);
    wrap_end(p, &inner);
    sql_addf(&p->sql, ", json_each(t.doc, '$.%s') e WHERE json_type(t.doc, '$.%s') = 'array'", path, path);
    return HOB_OK;
}

static enum hob_code add_stage(struct pipe *p, const char *word, const json_t *spec)
{
    static const struct {
        const char *word;
        enum hob_code (*add)(struct pipe *p, const json_t *spec);
    } table[] = {
        {"$match", stage_match},    {"$group", stage_group},   {"$project", stage_project},
        {"$sort", stage_sort},      {"$limit", stage_limit},   {"$skip", stage_skip},
        {"$count", stage_count},    {"$unwind", stage_unwind}, {"$addFields", stage_add_fields},
        {"$set", stage_add_fields},
    };
    for (size_t i = 0; i < HOB_COUNT(table); i++)
        if (strcmp(word, table[i].word) == 0)
            return table[i].add(p, spec);
    return refuse(p, "Invalid aggregate stage '%.60s'.", word);
}

static enum hob_code add_stages(struct pipe *p, const json_t *stage)
{
    const char *word;
    json_t *spec;
    if (!json_is_object(stage))
        return refuse(p, "Invalid aggregate stage: it must be an object");
    json_object_foreach((json_t *)(uintptr_t)stage, word, spec)
    {
        if (p->wheres_n >= STAGES_MAX)
            return refuse(p, "a pipeline has at most %d stages", STAGES_MAX - 1);
        if (add_stage(p, word, spec) != HOB_OK)
            return p->err->code;
    }
    return HOB_OK;
}

static enum hob_code build(struct pipe *p, const json_t *pipeline)
{
    sql_addf(&p->sql, "SELECT t.* FROM c%lld t", (long long)p->c->id);
    if (json_is_object(pipeline))
        return add_stages(p, pipeline);
    if (!json_is_array(pipeline) || json_array_size(pipeline) >= STAGES_MAX)
        return refuse(p, "a pipeline is an array of at most %d stages", STAGES_MAX - 1);
    for (size_t i = 0; i < json_array_size(pipeline); i++) {
        const json_t *stage = json_array_get(pipeline, i);
        if (json_object_size(stage) != 1)
            return refuse(p, "Pipeline stages should only have one key but found %zu.",
                          json_object_size(stage));
        if (add_stages(p, stage) != HOB_OK)
            return p->err->code;
    }
    return HOB_OK;
}

static enum hob_code run_pipe(struct pipe *p, struct hob_jw *w)
{
    struct run r = {.kept = NULL};
    bool has_row = false;
    struct hob_err *err = p->err;
    shape(p);
    enum hob_code rc = sql_start(&p->sql, &r, err);
    if (rc != HOB_OK)
        return rc;
    budget_start(p->sql.tx, 0, r.stmt);
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row)
        hob_jw_raw(w, run_col_text(&r, 0));
    rc = budget_fail(p->sql.tx, rc, err);
    budget_end(p->sql.tx);
    run_end(&r);
    return rc;
}

enum hob_code data_aggregate(struct data_tx *tx, const char *class_name, const json_t *pipeline,
                             struct hob_buf *out, struct hob_err *err)
{
    static const struct data_query all = {.limit = -1};
    struct pipe p = {.err = err};
    struct hob_jw w;
    struct catalogue *catalogue;
    hob_jw_init(&w, out);
    hob_jw_array(&w);
    if (catalogue_get(tx, &catalogue, err) != HOB_OK)
        return err->code;
    p.c = data_class_find(tx, class_name);
    p.wheres = hob_new_n(struct where, STAGES_MAX + 1);
    enum hob_code rc = where_init(&p.wheres[p.wheres_n++], NULL, err); /* keeps literals and names */
    sql_init(&p.sql, tx, &all, &p.wheres[0], err);
    if (rc == HOB_OK && p.c)
        rc = build(&p, pipeline);
    if (rc == HOB_OK && p.c)
        rc = run_pipe(&p, &w);
    sql_done(&p.sql);
    for (size_t i = 0; i < p.wheres_n; i++)
        where_done(&p.wheres[i]);
    free(p.wheres);
    hob_jw_array_end(&w);
    return rc == HOB_OK ? hob_jw_end(&w, err) : rc;
}
