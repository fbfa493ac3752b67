/* Sub-queries and relations in SQL: whatever reads another class does so with what the caller may see of that class. */
#include <stdlib.h>
#include <string.h>

#include "store/data/data_priv.h"

/* What the caller may see of another class. NULL with s->has_failed when it was refused. */
static const struct data_access *admitted(struct sql *s, const char *class_name)
{
    if (s->accesses_n == HOB_COUNT(s->accesses)) {
        (void)hob_fail_parse(s->err, HOB_E_INVALID, 102, "the query has too many sub-queries");
        s->has_failed = true;
        return NULL;
    }
    struct data_access *a = hob_new(struct data_access);
    s->accesses[s->accesses_n++] = a;
    if (s->query->admit && s->query->admit(s->query->admit_ctx, class_name, a, s->err) != HOB_OK)
        s->has_failed = true;
    return s->has_failed ? NULL : a;
}

static const char *new_alias(struct sql *s, char mem[16])
{
    (void)snprintf(mem, 16, "t%u", ++s->tables);
    return mem;
}

static void add_inner(struct sql *s, const struct data_class *c, const char *alias, const struct cond *where)
{
    const struct data_access *a = admitted(s, c->name);
    if (!s->has_failed)
        sql_where(s, c, alias, where, a);
}

/* "SELECT the pointer (or id) of what the sub-query finds" */
static void add_found(struct sql *s, const struct data_class *inner, const struct cond *c, bool by_pointer)
{
    char alias[16];
    (void)new_alias(s, alias);
    if (by_pointer)
        sql_addf(s, "(SELECT hob_pointer('%s', %s.id) FROM c%lld %s", inner->name, alias,
                 (long long)inner->id, alias);
    else
        sql_addf(s, "(SELECT %s.id FROM c%lld %s", alias, (long long)inner->id, alias);
    add_inner(s, inner, alias, c->where);
    sql_addf(s, ")");
}

/* An array: one of its elements. The elements are addressed by their number, so that they keep their type. */
static void open_elements(struct sql *s, const struct at *at, const struct cond *c)
{
    sql_addf(
        s, "EXISTS (SELECT 1 FROM json_each(%s.doc, '$.%.*s') e WHERE hob_val(%s.doc, '%.*s.' || e.key) IN ",
        at->alias, HOB_STR_ARG(c->path), at->alias, HOB_STR_ARG(c->path));
}

void sql_in_query(struct sql *s, const struct at *at, enum place place, const struct cond *c)
{
    const struct data_class *inner = data_class_find(s->tx, c->class_name);
    if (!inner) {
        sql_addf(s, c->is_not ? "TRUE" : "FALSE");
        return;
    }
    sql_addf(s, "(");
    if (place == PLACE_RELATION) {
        sql_addf(s, "%s.id %s (SELECT owner FROM joins WHERE class_id = ", at->alias,
                 c->is_not ? "NOT IN" : "IN");
        sql_int(s, at->c->id);
        sql_addf(s, " AND field = ");
        sql_text(s, c->path);
        sql_addf(s, " AND related IN ");
        add_found(s, inner, c, false);
        sql_addf(s, ")");
    } else if (place == PLACE_VALUE) {
        if (c->is_not) {
            sql_value(s, at->alias, c->path);
            sql_addf(s, " IS NULL OR ");
        }
        sql_value(s, at->alias, c->path);
        sql_addf(s, c->is_not ? " NOT IN " : " IN ");
        add_found(s, inner, c, true);
    } else {
        sql_addf(s, c->is_not ? "NOT " : "");
        open_elements(s, at, c);
        add_found(s, inner, c, true);
        sql_addf(s, ")");
    }
    sql_addf(s, ")");
}

static void add_values(struct sql *s, const struct data_class *inner, const struct cond *c)
{
    char alias[16];
    (void)new_alias(s, alias);
    sql_addf(s, "(SELECT ");
    sql_value(s, alias, c->field);
    sql_addf(s, " FROM c%lld %s", (long long)inner->id, alias);
    add_inner(s, inner, alias, c->where);
    sql_addf(s, " AND ");
    sql_value(s, alias, c->field);
    sql_addf(s, " IS NOT NULL)");
}

void sql_select(struct sql *s, const struct at *at, enum place place, const struct cond *c)
{
    const struct data_class *inner = data_class_find(s->tx, c->class_name);
    if (!inner) {
        sql_addf(s, c->is_not ? "TRUE" : "FALSE");
        return;
    }
    sql_addf(s, "(");
    if (place == PLACE_ANY) {
        sql_addf(s, c->is_not ? "NOT (" : "(");
        sql_value(s, at->alias, c->path);
        sql_addf(s, " IS NOT NULL AND (");
        sql_value(s, at->alias, c->path);
        sql_addf(s, " IN ");
        add_values(s, inner, c);
        sql_addf(s, " OR ");
        open_elements(s, at, c);
        add_values(s, inner, c);
        sql_addf(s, ")))");
    } else {
        if (c->is_not) {
            sql_value(s, at->alias, c->path);
            sql_addf(s, " IS NULL OR ");
        }
        sql_value(s, at->alias, c->path);
        sql_addf(s, c->is_not ? " NOT IN " : " IN ");
        add_values(s, inner, c);
    }
    sql_addf(s, ")");
}

/* Owners of a relation that holds one of the pointers. */
void sql_owners(struct sql *s, const struct at *at, const struct cond *c)
{
    size_t n = 0;
    sql_addf(s, "%s.id %s (SELECT owner FROM joins WHERE class_id = ", at->alias,
             c->is_not ? "NOT IN" : "IN");
    sql_int(s, at->c->id);
    sql_addf(s, " AND field = ");
    sql_text(s, c->path);
    sql_addf(s, " AND related IN (");
    for (size_t i = 0; i < c->keys_n; i++) {
        struct hob_str class_name, id;
        if (!key_pointer(&c->keys[i], &class_name, &id))
            continue;
        sql_addf(s, n++ ? "," : "");
        sql_text(s, id);
    }
    sql_addf(s, n ? "))" : "NULL))");
}

void sql_related(struct sql *s, const struct at *at, const struct cond *c)
{
    char alias[16], field[520];
    const struct data_class *owner = data_class_find(s->tx, c->class_name);
    (void)snprintf(field, sizeof field, "%.*s", (int)(c->field.n < 512 ? c->field.n : 512), c->field.at);
    const struct data_field *f = owner ? data_field_find(owner, field) : NULL;
    if (!owner || !at->c || (f && (f->type != DATA_RELATION || strcmp(f->target, at->c->name) != 0))) {
        sql_addf(s, "FALSE");
        return;
    }
    sql_addf(s, "(%s.id IN (SELECT related FROM joins WHERE class_id = ", at->alias);
    sql_int(s, owner->id);
    sql_addf(s, " AND field = ");
    sql_text(s, c->field);
    sql_addf(s, " AND owner = ");
    sql_text(s, c->text);
    (void)new_alias(s, alias);
    sql_addf(s, ") AND EXISTS (SELECT 1 FROM c%lld %s", (long long)owner->id, alias);
    add_inner(s, owner, alias, NULL);
    sql_addf(s, " AND %s.id = ", alias);
    sql_text(s, c->text);
    sql_addf(s, "))");
}
