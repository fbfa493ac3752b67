/* Inside store/ only: what the files of the object layer share. Everything here runs inside one job, on one thread, on
 * one connection; only a catalogue is shared between threads, and that never changes once it is made.
 *
 * A value of a document becomes a `key`: a SQL value in which types never mix. Numbers are numbers, strings are text,
 * everything else is a blob that begins with a letter of its type and sorts as its values do. So one SQL function,
 * hob_val(doc, 'path'), serves equality, ranges, order and expression indexes, and a Number never equals a String. */
#pragma once

#include "base/map.h"
#include "base/mem.h"
#include "store/data.h"
#include "store/store_priv.h"

/* --- scan.c: JSON text without a tree. Text that is not JSON ends a walk early and is never read beyond its end. --- */
struct scan_iter {
    const char *at, *end;
};
/* The value that begins at `at` (spaces skipped); at == NULL when there is none. */
struct hob_str scan_value(const char *at, const char *end);
/* Walks an array's elements or an object's members; nothing to walk in anything else. */
struct scan_iter scan_inside(struct hob_str json);
bool scan_next(struct scan_iter *it, struct hob_str *ret_value);
bool scan_next_member(struct scan_iter *it, struct hob_str *ret_raw_name, struct hob_str *ret_value);
/* Value of a member, by plain name; at == NULL when absent. */
struct hob_str scan_member(struct hob_str object, struct hob_str name);
/* Follows "a.b.0.c"; at == NULL when absent or null. */
struct hob_str scan_path(struct hob_str doc, struct hob_str path);
/* Text of a JSON string with its quotes: borrowed from `raw` when it has no escapes, else written to *scratch. */
struct hob_str scan_text(struct hob_str raw, struct hob_buf *scratch);
bool scan_number(struct hob_str raw, double *ret_v);

/* --- key.c --- */
enum key_kind { KEY_NULL, KEY_INT, KEY_REAL, KEY_TEXT, KEY_BLOB };
struct key {
    enum key_kind kind;
    int64_t i;
    double d;
    struct hob_str s; /* text or blob: borrowed from the document or the scratch buffer */
};
/* First byte of a blob. */
enum {
    KEY_BOOLEAN = 'b',
    KEY_DATE = 'd',
    KEY_FILE = 'f',
    KEY_GEO = 'g',
    KEY_OBJECT = 'j',
    KEY_ARRAY = 'l',
    KEY_POINTER = 'p',
    KEY_BYTES = 'y',
};
enum { KEY_BYTES_MAX = 16 * 1024 * 1024, KEY_DATE_BYTES = 9 };
/* Of a JSON value's text. Borrowed until *scratch is used again. */
struct key key_of(struct hob_str json, struct hob_buf *scratch);
struct key key_of_date(int64_t ms, char mem[KEY_DATE_BYTES]);
/* False when the key is no date. */
bool key_date_ms(const struct key *k, int64_t *ret_ms);
/* "Class" and id of a pointer's key. */
bool key_pointer(const struct key *k, struct hob_str *ret_class, struct hob_str *ret_id);
void key_add_pointer(struct hob_buf *out, struct hob_str class_name, struct hob_str id);
/* As SQLite orders them: null, numbers, text, blobs. */
int key_cmp(const struct key *a, const struct key *b);
/* The JSON value again (an included pointer comes back as a pointer). */
void key_write(const struct key *k, struct hob_jw *out);
/* "2020-01-01T00:00:00.000Z"; years 0000 to 9999. */
bool data_date_parse(struct hob_str iso, int64_t *ret_ms);

/* --- regex.c --- */
struct regex;
/* Returns owned, or NULL with the Parse code in err->detail. */
struct regex *regex_new(struct hob_str pattern, struct hob_str options, struct hob_err *err);
void regex_free(struct regex *r);
/* HOB_E_INVALID when it needs more steps than data.regex_steps. */
HOB_MUST_USE enum hob_code regex_matches(struct regex *r, struct hob_str text, bool *ret_matches,
                                         struct hob_err *err);
/* What every match begins with, literally (empty: unknown). *ret_is_whole: and nothing more than that matches. */
struct hob_str regex_prefix(const struct regex *r, bool *ret_is_whole);
bool regex_is_caseless(const struct regex *r);
/* Lower case of the letters that names and mail addresses use (Latin, Greek, Cyrillic), as text indexes fold them. Never
 * changes between versions: unique indexes are built on it. */
struct hob_str data_fold(struct hob_str s, struct hob_buf *scratch);

/* --- geo.c: degrees in, radians or truth out --- */
struct geo {
    double lat, lon;
};
struct polygon {
    struct geo *points;
    size_t n;
};
enum { POLYGON_POINTS_MAX = 10000 };
bool geo_of(struct hob_str json, struct geo *ret_point); /* a GeoPoint's text */
double geo_distance(struct geo a, struct geo b);         /* radians */
bool polygon_holds(const struct polygon *p, struct geo at);
/* Of a Polygon's text; false when it is none. The points are the caller's to free. */
bool polygon_of(struct hob_str json, struct polygon *ret_polygon);

/* --- catalogue.c: what classes there are; immutable, shared by reference --- */
struct index_info {
    int64_t id;
    bool is_unique, is_text;
    const char *text_field;
};
struct class_entry {
    struct data_class pub; /* first: a data_class of this layer is one of these */
    const struct index_info *infos;
    json_t *permissions;
    struct hob_arena mem;
    unsigned refs;
};
struct catalogue {
    unsigned refs;
    uint64_t revision;
    struct class_entry **classes; /* by name */
    size_t n;
};
struct catalogue *catalogue_ref(struct catalogue *c);
void catalogue_unref(struct catalogue *c); /* NULL is fine */
/* The one that holds in this transaction. Borrowed until the job ends or changes the catalogue. */
HOB_MUST_USE enum hob_code catalogue_get(struct data_tx *tx, struct catalogue **ret_c, struct hob_err *err);
/* After a class's rows of the catalogue were changed: raises the revision and reads that class again (gone: out). */
HOB_MUST_USE enum hob_code catalogue_changed(struct data_tx *tx, const char *class_name, struct hob_err *err);
static inline const struct class_entry *class_entry(const struct data_class *c)
{
    return (const struct class_entry *)(const void *)c;
}

/* --- conn.c: a connection, its statements by text, its budget --- */
enum { CONN_STATEMENTS_MAX = 128, CONN_MEMOS = 32 };
struct kept_stmt;
struct stmt_memo { /* a kept statement by the address of its text and the number in it */
    const char *head;
    int64_t id;
    struct kept_stmt *kept;
};
struct budget {
    uint64_t until_us; /* 0: none */
    uint64_t rows_max;
    sqlite3_stmt *stmt; /* whose steps over unindexed rows count */
    unsigned matches;
    bool is_late, is_wide;
};
struct slow_query {
    char class_name[128], keys[256];
    uint64_t queries, total_ms, worst_ms;
};
enum { SLOW_MAX = 16 };
struct conn {
    struct db db;
    bool is_writer;
    struct kept_stmt *stmts; /* by text */
    uint64_t stmts_clock;
    unsigned stmts_n;
    struct stmt_memo memos[CONN_MEMOS];
    struct catalogue *catalogue;
    bool is_catalogue_known;      /* it is what the running transaction sees */
    int64_t changed_to;           /* newest sequence number written since it was last looked at; 0: none */
    struct hob_buf before, after; /* of the change being logged */
    int64_t kv_now_ms;            /* newest time that a kv function was given */
    unsigned kv_puts;
    struct hob_err failed; /* of a SQL function, to be told instead of SQLite's words */
    struct budget budget;
    struct slow_query slow[SLOW_MAX];
    size_t slow_n;
    char wants_text_class[128], wants_text_field[128]; /* a query failed for want of this full-text index */
};
struct data_tx {
    struct store_tx s;
    struct conn *conn;
    double score;
};
/* `path` ":memory:": an empty one, for reading before the first write. */
HOB_MUST_USE enum hob_code conn_open(struct conn *c, const char *path, bool is_writer, struct hob_err *err);
void conn_close(struct conn *c);
/* Also forgets what it knew of the catalogue. */
HOB_MUST_USE enum hob_code conn_begin_read(struct conn *c, struct hob_err *err);
void conn_end_read(struct conn *c);

/* One run of a statement kept by its text: start, bind in order, step, end. */
struct run {
    struct data_tx *tx;
    struct kept_stmt *kept;
    sqlite3_stmt *stmt;
    int place;
    bool has_failed_bind;
};
HOB_MUST_USE enum hob_code run_start(struct run *r, struct data_tx *tx, struct hob_str sql,
                                     struct hob_err *err);
HOB_MUST_USE HOB_PRINTF(4, 5) enum hob_code
    run_startf(struct run *r, struct data_tx *tx, struct hob_err *err, const char *fmt, ...);
/* The statement `head`, `id`, `tail` (a class and what is done with it); both texts static. Those that run for every object
 * are found again without putting their text together. */
HOB_MUST_USE enum hob_code run_start_of(struct run *r, struct data_tx *tx, const char *head, int64_t id,
                                        const char *tail, struct hob_err *err);
void run_int(struct run *r, int64_t v);
void run_double(struct run *r, double v);
void run_text(struct run *r, struct hob_str s); /* borrowed until run_end; at == NULL gives NULL */
void run_key(struct run *r, const struct key *k);
void run_pointer(struct run *r, const void *p, const char *type);
HOB_MUST_USE enum hob_code run_step(struct run *r, bool *ret_has_row, struct hob_err *err);
struct hob_str run_col_text(const struct run *r, int col); /* at == NULL for NULL */
int64_t run_col_int(const struct run *r, int col);
struct key run_col_key(const struct run *r, int col);
void run_end(struct run *r);
/* Runs to the end, gives nothing back. */
HOB_MUST_USE enum hob_code run_all(struct run *r, struct hob_err *err);
/* DDL and the like, from parts that this layer made itself. */
HOB_MUST_USE HOB_PRINTF(3, 4) enum hob_code
    conn_execf(struct data_tx *tx, struct hob_err *err, const char *fmt, ...);

/* --- rows.c, changes.c --- */
void row_of_run(const struct run *r, struct data_row *ret_row); /* columns: id, created, updated, doc, hidden,
                                                                   readers, writers */
#define ROW_COLUMNS "t.id, t.created, t.updated, t.doc, t.hidden, t.readers, t.writers"
bool access_admits(const struct data_access *a, const struct data_row *row);
bool access_is_limited(const struct data_access *a);
bool subjects_admit(const struct data_access *a, struct hob_str subjects);
bool pointers_admit(const struct data_access *a, struct hob_str doc);
/* A class and what it needs to be written to; HOB_E_NOT_FOUND when it does not exist. */
HOB_MUST_USE enum hob_code class_need(struct data_tx *tx, const char *name, const struct data_class **ret_c,
                                      struct hob_err *err);
/* Without what it is related to. */
HOB_MUST_USE enum hob_code row_remove(struct data_tx *tx, const struct data_class *c, struct hob_str id,
                                      struct hob_err *err);
struct change {
    const char *class_name;
    struct hob_str id;
    char op;
    const struct data_row *before, *after;
};
HOB_MUST_USE enum hob_code change_note(struct data_tx *tx, const struct change *c, struct hob_err *err);
/* The same in two steps: what `before` borrows may go between them. */
HOB_MUST_USE enum hob_code change_prepare(struct data_tx *tx, const struct change *c, struct hob_err *err);
HOB_MUST_USE enum hob_code change_write(struct data_tx *tx, const struct change *c, struct hob_err *err);
/* joins.c */
HOB_MUST_USE enum hob_code joins_forget_owner(struct data_tx *tx, const struct data_class *c,
                                              struct hob_str owner, struct hob_err *err);

/* --- where.c: a judged condition, ready to run on a document or to become SQL --- */
enum cond_op {
    COND_AND,
    COND_OR,
    COND_NOR,
    COND_IN,   /* is one of keys (an array: holds one of them) */
    COND_LESS, /* of keys[0] */
    COND_LESS_EQ,
    COND_MORE,
    COND_MORE_EQ,
    COND_EXISTS,
    COND_ALL,       /* an array that holds all keys */
    COND_ALL_REGEX, /* an array in which each of the expressions matches an element */
    COND_CONTAINED, /* an array of nothing but keys */
    COND_REGEX,
    COND_NEAR, /* a GeoPoint within radius (of radians) */
    COND_BOX,
    COND_POLYGON,    /* a GeoPoint inside it */
    COND_INTERSECTS, /* a Polygon that holds a point */
    COND_TEXT,
    COND_QUERY,   /* a pointer to an object that a sub-query finds */
    COND_SELECT,  /* a value that a sub-query finds */
    COND_RELATED, /* related to the object keys[0] by `field` */
};
struct cond {
    enum cond_op op;
    bool is_not; /* of the whole condition: a missing value then matches */
    struct hob_str path;
    struct key *keys; /* sorted for COND_IN and its kind */
    size_t keys_n;
    bool has_null; /* null was among the keys: a missing value matches */
    struct regex **regexes;
    size_t regexes_n;
    struct geo at, to; /* point; for a box its south-west and north-east */
    double radius;
    struct polygon polygon;
    struct hob_str text;
    bool by_case, by_mark;     /* of a $text: capitals, diacritics count */
    const char *class_name;    /* of a sub-query */
    struct hob_str field;      /* key of $select, field of $relatedTo */
    struct cond *where;        /* of a sub-query */
    struct cond *first, *next; /* children; brother */
};
struct where {
    struct hob_arena mem;
    struct cond *root;   /* NULL: everything */
    struct cond *near;   /* the first $nearSphere: orders the result */
    struct cond *text;   /* the $text */
    struct regex **held; /* freed at the end */
    size_t held_n, conditions, values;
    unsigned depth, queries, inside; /* inside: how many sub-queries */
    struct hob_buf scratch;
};
/* Judges and builds. Always followed by where_done. */
HOB_MUST_USE enum hob_code where_init(struct where *w, const json_t *where, struct hob_err *err);
void where_done(struct where *w);
/* where_ops.c: the conditions of one field, {"$gt":1,...} */
HOB_MUST_USE enum hob_code where_operators(struct where *w, struct hob_str path, const json_t *ops,
                                           struct cond **tail, struct hob_err *err);
HOB_MUST_USE enum hob_code where_object(struct where *w, const json_t *where, struct cond **ret_c,
                                        struct hob_err *err);
HOB_MUST_USE struct cond *where_cond(struct where *w, enum cond_op op, struct hob_str path,
                                     struct hob_err *err);
HOB_MUST_USE enum hob_code where_keys(struct where *w, struct cond *c, const json_t *array,
                                      struct hob_err *err);
HOB_MUST_USE enum hob_code where_key(struct where *w, const json_t *value, struct key *ret_key,
                                     struct hob_err *err);
HOB_MUST_USE enum hob_code where_geo(struct where *w, struct cond *c, const char *op, const json_t *value,
                                     const json_t *all, struct hob_err *err);
HOB_MUST_USE bool path_is_valid(struct hob_str path);

/* match.c: the meaning of one condition (no AND, OR, sub-query or text) on a document */
HOB_MUST_USE enum hob_code cond_test_value(const struct cond *c, struct hob_str json, bool *ret_is,
                                           struct hob_err *err);
HOB_MUST_USE enum hob_code cond_test(const struct cond *c, struct hob_str doc, bool *ret_is,
                                     struct hob_err *err);

/* --- sql.c, find.c --- */
/* What may be bound to a place. */
enum bind_kind { BIND_KEY, BIND_INT, BIND_REAL, BIND_POINTER };
struct bind {
    enum bind_kind kind;
    struct key key;
    int64_t i;
    double d;
    const void *pointer;
    const char *type;
};
struct sql {
    struct hob_buf text;
    struct bind *binds;
    size_t binds_n, binds_cap;
    struct data_tx *tx;
    const struct data_query *query;
    struct where *where;
    const struct cond *joined_text;   /* the $text whose table is joined, for its score */
    struct hob_str match;             /* the $text in the words of the index; empty: nothing can match */
    struct hob_str elements;          /* the array whose elements are joined as e; empty: none */
    unsigned tables;                  /* aliases given so far: t, t1, t2, ... */
    struct data_access *accesses[64]; /* of sub-queries */
    size_t accesses_n;
    struct hob_err *err;
    bool has_failed;
};
extern const char ptr_access[], ptr_cond[]; /* names of bound pointers */
void sql_init(struct sql *s, struct data_tx *tx, const struct data_query *q, struct where *w,
              struct hob_err *err);
void sql_done(struct sql *s);
HOB_PRINTF(2, 3) void sql_addf(struct sql *s, const char *fmt, ...);
void sql_key(struct sql *s, const struct key *k); /* adds the place and remembers the value */
void sql_int(struct sql *s, int64_t v);
void sql_real(struct sql *s, double v);
void sql_pointer(struct sql *s, const void *p, const char *type);
void sql_text(struct sql *s, struct hob_str text);
/* What a path means in a class, and where the class stands in the statement. c == NULL: documents of no class. */
enum place { PLACE_ID, PLACE_TIME, PLACE_VALUE, PLACE_RELATION, PLACE_ANY };
struct at {
    const struct data_class *c;
    const char *alias;
};
/* sql_sub.c */
void sql_in_query(struct sql *s, const struct at *at, enum place place, const struct cond *c);
void sql_select(struct sql *s, const struct at *at, enum place place, const struct cond *c);
void sql_owners(struct sql *s, const struct at *at, const struct cond *c);
void sql_related(struct sql *s, const struct at *at, const struct cond *c);
/* " WHERE ..." of a class under an alias; adds nothing when all are wanted. */
void sql_where(struct sql *s, const struct data_class *c, const char *alias, const struct cond *root,
               const struct data_access *a);
/* The expression of a field's value. */
void sql_value(struct sql *s, const char *alias, struct hob_str path);
const struct index_info *text_index(const struct data_class *c, struct hob_str field); /* NULL: none */
/* " ORDER BY ..." of "a,-b,$score"; NULL: by creation. find.c */
void sql_order(struct sql *s, const struct data_class *c, const char *order);
HOB_MUST_USE enum hob_code sql_start(struct sql *s, struct run *r, struct hob_err *err);
/* Makes the steps of a run count against the budget of a query; time_ms 0: the limit. */
void budget_start(struct data_tx *tx, uint32_t time_ms, sqlite3_stmt *stmt);
void budget_end(struct data_tx *tx);
/* For what takes long inside one step of SQLite's machine (a search by a pattern): has this thread's query had its time? */
bool budget_is_late(void);
/* Says so when the failure was the budget's doing. */
enum hob_code budget_fail(struct data_tx *tx, enum hob_code rc, struct hob_err *err);

/* sqlfn.c */
HOB_MUST_USE enum hob_code functions_add(struct conn *c, struct hob_err *err);

/* index.c */
enum { INDEX_KEYS_MAX = 8 };
/* {"field":"text"}, unless the field has one. */
HOB_MUST_USE enum hob_code data_text_index_add(struct data_tx *tx, const char *class_name, const char *field,
                                               struct hob_err *err);

/* Tells the full-text indexes of a class that a document comes or goes. */
HOB_MUST_USE enum hob_code texts_changed(struct data_tx *tx, const struct data_class *c, int64_t seq,
                                         struct hob_str doc, bool is_gone, struct hob_err *err);

/* advise.c: a query took long; which index would have served? */
void slow_note(struct data_tx *tx, const struct data_class *c, const struct data_query *q,
               const struct where *w, uint64_t took_ms);
/* An index with these keys was made: what it was wished for is over. */
HOB_MUST_USE enum hob_code advice_forget(struct data_tx *tx, const char *class_name, const char *keys_json,
                                         struct hob_err *err);
HOB_MUST_USE enum hob_code slow_store(struct data_tx *tx, const struct slow_query *list, size_t n,
                                      struct hob_err *err);
