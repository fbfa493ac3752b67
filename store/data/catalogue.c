/* The catalogue of one app: what classes, fields and indexes there are. It is read from its tables once and then shared
 * between the connections; a change makes a new one (the classes that did not change stay as they are). A transaction
 * compares one number, the revision, to know that what it has is what it sees. */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "store/data/data_priv.h"

const char *const data_type_names[DATA_TYPES_] = {
    [DATA_STRING] = "String",      [DATA_NUMBER] = "Number",     [DATA_BOOLEAN] = "Boolean",
    [DATA_DATE] = "Date",          [DATA_OBJECT] = "Object",     [DATA_ARRAY] = "Array",
    [DATA_POINTER] = "Pointer",    [DATA_RELATION] = "Relation", [DATA_FILE] = "File",
    [DATA_GEO_POINT] = "GeoPoint", [DATA_POLYGON] = "Polygon",   [DATA_BYTES] = "Bytes",
};

enum { CLASS_MEM_MAX = 64 * 1024 * 1024 };

static void entry_unref(struct class_entry *e)
{
    if (__atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    json_decref(e->permissions);
    hob_arena_done(&e->mem);
    free(e);
}

static struct class_entry *entry_ref(struct class_entry *e)
{
    (void)__atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
    return e;
}

struct catalogue *catalogue_ref(struct catalogue *c)
{
    (void)__atomic_add_fetch(&c->refs, 1, __ATOMIC_RELAXED);
    return c;
}

void catalogue_unref(struct catalogue *c)
{
    if (!c || __atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (size_t i = 0; i < c->n; i++)
        entry_unref(c->classes[i]);
    free(c->classes);
    free(c);
}

/* --- reading a class --- */

static char *keep(struct class_entry *e, struct hob_str s)
{
    char *copy = hob_arena_strndup(&e->mem, s.at ? s.at : "", s.n);
    HOB_ASSERT(copy); /* data.fields and the sizes of names keep a class far below its cap */
    return copy;
}

static enum data_type type_named(struct hob_str name)
{
    for (int t = 0; t < DATA_TYPES_; t++)
        if (hob_str_is(name, data_type_names[t]))
            return (enum data_type)t;
    return DATA_OBJECT;
}

/* Grows by doubling inside the arena: what is left behind goes with the arena. */
static void *grown(struct class_entry *e, const void *list, size_t n, size_t size)
{
    if (n & (n - 1)) /* not a power of two: there is room */
        return NULL;
    void *bigger = hob_arena_alloc(&e->mem, (n ? n * 2 : 1) * size);
    HOB_ASSERT(bigger);
    if (n)
        memcpy(bigger, list, n * size);
    return bigger;
}

static enum hob_code read_fields(struct data_tx *tx, struct class_entry *e, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    struct data_field *list = NULL;
    size_t n = 0;
    enum hob_code rc = run_startf(&r, tx, err,
                                  "SELECT name, type, target, is_required, default_json FROM fields"
                                  " WHERE class_id = $1 ORDER BY name");
    if (rc != HOB_OK)
        return rc;
    run_int(&r, e->pub.id);
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row) {
        struct data_field *bigger = grown(e, list, n, sizeof *list);
        list = bigger ? bigger : list;
        HOB_ASSERT(list);
        struct hob_str target = run_col_text(&r, 2), value = run_col_text(&r, 4);
        list[n++] = (struct data_field){
            .name = keep(e, run_col_text(&r, 0)),
            .target = target.at ? keep(e, target) : NULL,
            .type = type_named(run_col_text(&r, 1)),
            .is_required = run_col_int(&r, 3) != 0,
            .default_json = value.at ? keep(e, value) : NULL,
        };
    }
    run_end(&r);
    e->pub.fields = list;
    e->pub.fields_n = n;
    return rc;
}

static const char *text_field_of(struct class_entry *e, const char *keys_json)
{
    struct hob_err ignored;
    hob_auto_json json_t *keys = hob_json_parse(hob_str(keys_json), "an index", &ignored);
    const char *name;
    json_t *kind;
    json_object_foreach(keys, name, kind)
    {
        const char *word = json_string_value(kind);
        if (word && strcmp(word, "text") == 0)
            return keep(e, hob_str(name));
    }
    return NULL;
}

static enum hob_code read_indexes(struct data_tx *tx, struct class_entry *e, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    struct data_index *list = NULL;
    struct index_info *infos = NULL;
    size_t n = 0;
    enum hob_code rc = run_startf(
        &r, tx, err, "SELECT id, name, keys_json, is_unique FROM indexes WHERE class_id = $1 ORDER BY name");
    if (rc != HOB_OK)
        return rc;
    run_int(&r, e->pub.id);
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row) {
        struct data_index *bigger = grown(e, list, n, sizeof *list);
        struct index_info *more = grown(e, infos, n, sizeof *infos);
        list = bigger ? bigger : list;
        infos = more ? more : infos;
        HOB_ASSERT(list && infos);
        list[n] = (struct data_index){keep(e, run_col_text(&r, 1)), keep(e, run_col_text(&r, 2))};
        const char *text = text_field_of(e, list[n].keys_json);
        infos[n++] = (struct index_info){run_col_int(&r, 0), run_col_int(&r, 3) != 0, text != NULL, text};
    }
    run_end(&r);
    e->pub.indexes = list;
    e->pub.indexes_n = n;
    e->infos = infos;
    return rc;
}

static struct class_entry *entry_new(struct hob_str name, int64_t id, struct hob_str permissions,
                                     uint64_t revision)
{
    struct hob_err ignored; /* it was valid when it was written */
    struct class_entry *e = hob_new(struct class_entry);
    e->refs = 1;
    hob_arena_init(&e->mem, CLASS_MEM_MAX);
    e->permissions = permissions.at ? hob_json_parse(permissions, "permissions", &ignored) : NULL;
    e->pub = (struct data_class){
        .id = id, .name = keep(e, name), .permissions = e->permissions, .revision = revision};
    return e;
}

static enum hob_code entry_fill(struct data_tx *tx, struct class_entry *e, struct hob_err *err)
{
    if (read_fields(tx, e, err) == HOB_OK && read_indexes(tx, e, err) == HOB_OK)
        return HOB_OK;
    return err->code;
}

static void catalogue_add(struct catalogue *c, struct class_entry *e)
{
    c->classes = hob_realloc(c->classes, c->n + 1, sizeof(struct class_entry *));
    c->classes[c->n++] = e;
}

static enum hob_code read_revision(struct data_tx *tx, uint64_t *ret_revision, struct hob_err *err)
{
    static const char sql[] = "SELECT value FROM meta WHERE name = 'catalogue'";
    struct query q;
    bool has_row = false;
    if (query_start(&q, &tx->s, sql, err) != HOB_OK)
        return err->code;
    enum hob_code rc = query_step(&q, &has_row, err);
    if (rc == HOB_OK)
        *ret_revision = has_row ? (uint64_t)query_col_int(&q, 0) : 0;
    query_end(&q);
    return rc;
}

static enum hob_code read_all(struct data_tx *tx, struct catalogue *c, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    enum hob_code rc = run_startf(&r, tx, err, "SELECT id, name, permissions FROM classes ORDER BY name");
    if (rc != HOB_OK)
        return rc;
    while ((rc = run_step(&r, &has_row, err)) == HOB_OK && has_row)
        catalogue_add(c,
                      entry_new(run_col_text(&r, 1), run_col_int(&r, 0), run_col_text(&r, 2), c->revision));
    run_end(&r);
    for (size_t i = 0; rc == HOB_OK && i < c->n; i++)
        rc = entry_fill(tx, c->classes[i], err);
    return rc;
}

static void install(struct conn *conn, struct catalogue *c)
{
    catalogue_unref(conn->catalogue);
    conn->catalogue = c;
    conn->is_catalogue_known = true;
}

enum hob_code catalogue_get(struct data_tx *tx, struct catalogue **ret_c, struct hob_err *err)
{
    struct conn *conn = tx->conn;
    uint64_t revision = 0;
    if (!conn->is_catalogue_known) {
        if (read_revision(tx, &revision, err) != HOB_OK)
            return err->code;
        if (!conn->catalogue || conn->catalogue->revision != revision) {
            struct catalogue *c = hob_new(struct catalogue);
            *c = (struct catalogue){.refs = 1, .revision = revision};
            if (read_all(tx, c, err) != HOB_OK) {
                catalogue_unref(c);
                return err->code;
            }
            install(conn, c);
        }
        conn->is_catalogue_known = true;
    }
    *ret_c = conn->catalogue;
    return HOB_OK;
}

/* --- changing --- */

static enum hob_code raise_revision(struct data_tx *tx, uint64_t *ret_revision, struct hob_err *err)
{
    static const char sql[] = "UPDATE meta SET value = value + 1 WHERE name = 'catalogue'";
    struct query q;
    if (query_start(&q, &tx->s, sql, err) != HOB_OK || query_run(&q, NULL, err) != HOB_OK)
        return err->code;
    return read_revision(tx, ret_revision, err);
}

static enum hob_code read_class(struct data_tx *tx, const char *name, uint64_t revision,
                                struct class_entry **ret_e, struct hob_err *err)
{
    struct run r;
    bool has_row = false;
    *ret_e = NULL;
    if (run_startf(&r, tx, err, "SELECT id, name, permissions FROM classes WHERE name = $1") != HOB_OK)
        return err->code;
    run_text(&r, hob_str(name));
    enum hob_code rc = run_step(&r, &has_row, err);
    if (rc == HOB_OK && has_row)
        *ret_e = entry_new(run_col_text(&r, 1), run_col_int(&r, 0), run_col_text(&r, 2), revision);
    run_end(&r);
    if (*ret_e && entry_fill(tx, *ret_e, err) != HOB_OK) {
        entry_unref(*ret_e);
        *ret_e = NULL;
        return err->code;
    }
    return rc;
}

enum hob_code catalogue_changed(struct data_tx *tx, const char *class_name, struct hob_err *err)
{
    struct conn *conn = tx->conn;
    uint64_t revision = 0;
    struct class_entry *fresh = NULL;
    HOB_ASSERT(conn->catalogue);
    conn->is_catalogue_known = false; /* until all below went well */
    if (raise_revision(tx, &revision, err) != HOB_OK ||
        read_class(tx, class_name, revision, &fresh, err) != HOB_OK)
        return err->code;
    struct catalogue *old = conn->catalogue, *c = hob_new(struct catalogue);
    *c = (struct catalogue){.refs = 1, .revision = revision};
    for (size_t i = 0; i < old->n; i++) {
        int order = strcmp(old->classes[i]->pub.name, class_name);
        if (order > 0 && fresh) {
            catalogue_add(c, fresh);
            fresh = NULL;
        }
        if (order != 0)
            catalogue_add(c, entry_ref(old->classes[i]));
    }
    if (fresh)
        catalogue_add(c, fresh);
    install(conn, c);
    return HOB_OK;
}

/* --- the door --- */

static int entry_cmp(const void *name, const void *entry)
{
    return strcmp(name, (*(struct class_entry *const *)entry)->pub.name);
}

const struct data_class *data_class_find(struct data_tx *tx, const char *name)
{
    struct hob_err ignored; /* the job's next step meets it again and tells */
    struct catalogue *c = NULL;
    if (catalogue_get(tx, &c, &ignored) != HOB_OK || !c || !c->n)
        return NULL;
    struct class_entry **e = bsearch(name, c->classes, c->n, sizeof(struct class_entry *), entry_cmp);
    return e ? &(*e)->pub : NULL;
}

static int field_cmp(const void *name, const void *field)
{
    return strcmp(name, ((const struct data_field *)field)->name);
}

const struct data_field *data_field_find(const struct data_class *c, const char *name)
{
    return c->fields_n ? bsearch(name, c->fields, c->fields_n, sizeof *c->fields, field_cmp) : NULL;
}

enum hob_code data_class_each(struct data_tx *tx, data_class_cb cb, void *ctx, struct hob_err *err)
{
    struct catalogue *c = NULL;
    enum hob_code rc = catalogue_get(tx, &c, err);
    if (rc != HOB_OK)
        return rc;
    HOB_ASSERT(c);
    c = catalogue_ref(c); /* the callback may change it */
    for (size_t i = 0; rc == HOB_OK && i < c->n; i++)
        rc = cb(ctx, &c->classes[i]->pub, err);
    catalogue_unref(c);
    return rc;
}
