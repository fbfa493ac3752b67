/* Objects of an app: classes, rows, queries and the change log; blocking, inside the jobs of store/appdb.h. This layer
 * knows storage, not rights: who may do what, operations (Increment, ...), includes and system classes are decided
 * above (bindings/), which passes the subjects a row must admit. All SQL stays here.
 *
 * A row is (id, created, updated, read and write subjects, doc, hidden). `doc` is the object's JSON text in the form
 * that goes over the wire (dates {"__type":"Date",...}, pointers {"__type":"Pointer",...}, files without url), without
 * objectId, createdAt, updatedAt, ACL and relations: a plain read needs no parsing. `hidden` is a second JSON object
 * that never leaves the server (password hash, authData, ...). A class is one table, made when the class is made; a new
 * field is a row of the catalogue of fields: writes of objects never run DDL. Every insert, update and delete appends
 * to the change log in the same transaction. */
#pragma once

#include "base/buf.h"
#include "base/json.h"
#include "store/appdb.h"

/* A part of a write job that fails alone: when `work` fails, what it wrote is undone and the job may go on. An undoing that
 * fails is HOB_E_INTERNAL: then the job must fail. */
HOB_MUST_USE enum hob_code data_step(struct data_tx *tx, data_work_cb work, void *ctx, struct hob_err *err);

/* --- the catalogue of classes --- */
enum data_type {
    DATA_STRING,
    DATA_NUMBER,
    DATA_BOOLEAN,
    DATA_DATE,
    DATA_OBJECT,
    DATA_ARRAY,
    DATA_POINTER,
    DATA_RELATION,
    DATA_FILE,
    DATA_GEO_POINT,
    DATA_POLYGON,
    DATA_BYTES,
    DATA_TYPES_
};
extern const char *const data_type_names[DATA_TYPES_]; /* "String", ... "GeoPoint" ... as Parse writes them */

struct data_field {
    const char *name, *target; /* target: class of a pointer or relation, else NULL */
    enum data_type type;
    bool is_required;
    const char *default_json; /* NULL: none */
};
struct data_index { /* {"name":{"a":1,"b":-1}} or {"a":"text"} */
    const char *name, *keys_json;
};
struct data_class {
    int64_t id;
    const char *name;
    const struct data_field *fields; /* by name; the system's own (objectId, ...) are not among them */
    size_t fields_n;
    const struct data_index *indexes;
    size_t indexes_n;
    const json_t *permissions; /* class-level permissions; NULL: never set */
    uint64_t revision;         /* grows with every change of the catalogue */
};
/* NULL when there is none. Borrowed until the job ends or changes this class. */
const struct data_class *data_class_find(struct data_tx *tx, const char *name);
const struct data_field *data_field_find(const struct data_class *c, const char *name); /* NULL: none */
typedef enum hob_code (*data_class_cb)(void *ctx, const struct data_class *c, struct hob_err *err);
HOB_MUST_USE enum hob_code data_class_each(struct data_tx *tx, data_class_cb cb, void *ctx,
                                           struct hob_err *err);
/* Writes from here on need a write job. */
HOB_MUST_USE enum hob_code data_class_add(struct data_tx *tx, const char *name, struct hob_err *err);
/* HOB_E_CONFLICT while it has objects. With its indexes and join tables. */
HOB_MUST_USE enum hob_code data_class_drop(struct data_tx *tx, const char *name, struct hob_err *err);
HOB_MUST_USE enum hob_code data_class_permit(struct data_tx *tx, const char *name, const json_t *permissions,
                                             struct hob_err *err);
/* HOB_E_CONFLICT when a field of that name has another type or target. An equal one is fine. */
HOB_MUST_USE enum hob_code data_field_add(struct data_tx *tx, const char *class_name,
                                          const struct data_field *f, struct hob_err *err);
/* Takes the value out of every object, too (in bounded steps of the same job). */
HOB_MUST_USE enum hob_code data_field_drop(struct data_tx *tx, const char *class_name, const char *field,
                                           struct hob_err *err);
HOB_MUST_USE enum hob_code data_index_add(struct data_tx *tx, const char *class_name,
                                          const struct data_index *i, bool is_unique, struct hob_err *err);
HOB_MUST_USE enum hob_code data_index_drop(struct data_tx *tx, const char *class_name, const char *name,
                                           struct hob_err *err);

/* --- rows --- */
enum { DATA_ID_CHARS = 10 };
/* An id for a new object: ten of [A-Za-z0-9], eight of them random, and NUL. Ids that are made at one time begin alike, so
 * that a burst of inserts meets few pages of the index of ids instead of one page each. Any thread. */
void data_id_make(char out[DATA_ID_CHARS + 1]);
struct data_row {
    struct hob_str id;
    int64_t created_ms, updated_ms;
    struct hob_str doc, hidden; /* JSON objects; hidden may be empty */
    struct hob_str readers,
        writers; /* JSON arrays of subjects ("*", user id, "role:NAME"); at == NULL: everybody */
};
typedef enum hob_code (*data_row_cb)(void *ctx, const struct data_row *row,
                                     struct hob_err *err); /* borrowed */

/* Whom a row must admit to be seen. Zeroed: everything is seen (master). */
struct data_access {
    const struct hob_str *subjects; /* "*", the user's id, "role:..." */
    size_t subjects_n;              /* 0: no filter by subjects */
    bool is_write;                  /* look at the writers, not the readers */
    /* pointer permissions: besides, one of these fields (pointers, or arrays of pointers, to _User) must hold user_id */
    const char *const *pointer_fields;
    size_t pointer_fields_n;
    struct hob_str user_id;
};
/* *ret_found false when it is not there or not admitted. */
HOB_MUST_USE enum hob_code data_get(struct data_tx *tx, const char *class_name, struct hob_str id,
                                    const struct data_access *a, data_row_cb cb, void *ctx, bool *ret_found,
                                    struct hob_err *err);
/* HOB_E_CONFLICT, reason "duplicate_id" or "duplicate_value" (the message names the index). */
HOB_MUST_USE enum hob_code data_insert(struct data_tx *tx, const char *class_name, const struct data_row *row,
                                       struct hob_err *err);
/* Replaces the whole row of that id (the caller has read it in this very job). */
HOB_MUST_USE enum hob_code data_replace(struct data_tx *tx, const char *class_name,
                                        const struct data_row *row, struct hob_err *err);
HOB_MUST_USE enum hob_code data_remove(struct data_tx *tx, const char *class_name, struct hob_str id,
                                       struct hob_err *err);

/* --- relations: join tables by (class, field) --- */
HOB_MUST_USE enum hob_code data_join_add(struct data_tx *tx, const char *class_name, const char *field,
                                         struct hob_str owner, struct hob_str related,
                                         struct hob_err *err); /* idempotent */
HOB_MUST_USE enum hob_code data_join_remove(struct data_tx *tx, const char *class_name, const char *field,
                                            struct hob_str owner, struct hob_str related,
                                            struct hob_err *err);
typedef enum hob_code (*data_id_cb)(void *ctx, struct hob_str id, struct hob_err *err);
HOB_MUST_USE enum hob_code data_join_related(struct data_tx *tx, const char *class_name, const char *field,
                                             struct hob_str owner, data_id_cb cb, void *ctx,
                                             struct hob_err *err);
HOB_MUST_USE enum hob_code data_join_owners(struct data_tx *tx, const char *class_name, const char *field,
                                            struct hob_str related, data_id_cb cb, void *ctx,
                                            struct hob_err *err);

/* --- queries --- */
struct data_query {
    const char *class_name;
    const json_t *where; /* object as Parse sends it; NULL: everything */
    const struct data_access *access;
    const char *order;   /* "a,-b,$score"; NULL: by creation */
    int64_t limit, skip; /* limit < 0: none */
    const char *hint;    /* name of an index, or NULL */
    uint32_t time_ms;    /* budget; 0: data.query_ms of base/limits.h. Beyond: HOB_E_TIMEOUT, parse 124 */
    uint32_t slow_ms;    /* from then on it is told to the advisor; 0: data.slow_ms */
    /* Asked for each class that a sub-query ($inQuery, $select, $relatedTo, ...) reads: fills the access of the same
     * caller, or refuses. NULL: everything may be read. */
    enum hob_code (*admit)(void *ctx, const char *class_name, struct data_access *ret_access,
                           struct hob_err *err);
    void *admit_ctx;
};
/* Filters, order and paging run in SQL. An unknown class gives nothing. A malformed `where` is HOB_E_INVALID with the
 * Parse code in err->detail and the words of parse-server. Regular expressions run by PCRE2 with match limits. */
HOB_MUST_USE enum hob_code data_find(struct data_tx *tx, const struct data_query *q, data_row_cb cb,
                                     void *ctx, struct hob_err *err);
HOB_MUST_USE enum hob_code data_count(struct data_tx *tx, const struct data_query *q, uint64_t *ret_n,
                                      struct hob_err *err);
/* The score of full text of the row that the callback of data_find has (only with $text). */
double data_score(const struct data_tx *tx);
/* Values of a field (dotted allowed; arrays are unwound), each once, as a JSON array appended to *out. */
HOB_MUST_USE enum hob_code data_distinct(struct data_tx *tx, const struct data_query *q, const char *field,
                                         struct hob_buf *out, struct hob_err *err);
/* An aggregate pipeline ($match $group $project $sort $limit $skip $count $unwind $addFields) compiled to SQL; result rows
 * as a JSON array appended to *out, `_id` of groups as objectId. */
HOB_MUST_USE enum hob_code data_aggregate(struct data_tx *tx, const char *class_name, const json_t *pipeline,
                                          struct hob_buf *out, struct hob_err *err);
/* The plan in words, as a JSON array appended to *out (explain=true). */
HOB_MUST_USE enum hob_code data_explain(struct data_tx *tx, const struct data_query *q, struct hob_buf *out,
                                        struct hob_err *err);
/* Does an object match? The same meaning as in SQL, judged on one document (live queries): no sub-queries.
 * `doc` has objectId, createdAt and updatedAt in it. */
HOB_MUST_USE enum hob_code data_matches(const json_t *where, const json_t *doc, bool *ret_matches,
                                        struct hob_err *err);

/* --- the change log --- */
struct data_change {
    int64_t sequence, at_ms;
    const char *class_name;
    struct hob_str id;
    char op;                      /* 'c'reate, 'u'pdate, 'd'elete */
    struct hob_str before, after; /* rows as JSON {created,updated,doc,hidden,readers,writers}; empty: none */
};
typedef enum hob_code (*data_change_cb)(void *ctx, const struct data_change *c, struct hob_err *err);
HOB_MUST_USE enum hob_code data_changes(struct data_tx *tx, int64_t after_sequence, uint64_t limit,
                                        data_change_cb cb, void *ctx, struct hob_err *err);
HOB_MUST_USE enum hob_code data_change_last(struct data_tx *tx, int64_t *ret_sequence, struct hob_err *err);
/* Forgets changes older than that, their room is used again: a bounded step, so that other writes of the app get their
 * turn. The youngest of the old ones stays: it says what the log's first state was, so that a restore to any time from
 * `before_ms` on finds where to go. */
struct data_trim {
    uint64_t removed;
    int64_t young_ms; /* time of the oldest change that is not older; 0: there is none */
    bool has_more;    /* another step is needed */
};
HOB_MUST_USE enum hob_code data_changes_trim(struct data_tx *tx, int64_t before_ms,
                                             struct data_trim *ret_trim, struct hob_err *err);
/* Takes the objects back to where they were after `sequence` (itself logged as changes). */
HOB_MUST_USE enum hob_code data_restore(struct data_tx *tx, int64_t sequence, struct hob_err *err);

/* The indexes of all classes, by class and name. */
struct data_index_found {
    const char *class_name, *name, *keys_json;
    bool is_unique;
    int64_t bytes; /* on disk; -1: this SQLite does not tell */
};
typedef enum hob_code (*data_index_cb)(void *ctx, const struct data_index_found *i, struct hob_err *err);
HOB_MUST_USE enum hob_code data_index_each(struct data_tx *tx, data_index_cb cb, void *ctx,
                                           struct hob_err *err);

/* --- slow queries and the index advisor --- */
struct data_advice {
    const char *class_name, *keys_json; /* the index that would have helped: data_index_add takes it */
    uint64_t queries, total_ms, worst_ms;
};
typedef enum hob_code (*data_advice_cb)(void *ctx, const struct data_advice *a, struct hob_err *err);
/* What cost most first; an index that serves it, once it is there, ends it. */
HOB_MUST_USE enum hob_code data_advise(struct data_tx *tx, data_advice_cb cb, void *ctx, struct hob_err *err);
/* "auto_total_1_at_-1" for {"total":1,"at":-1}: how an index is called that nobody named. False: the keys are no JSON
 * object. */
enum { DATA_INDEX_NAME_BYTES = 201 };
#define DATA_INDEX_NAME_BY_US "auto_"
bool data_index_name(const char *keys_json, char ret_name[DATA_INDEX_NAME_BYTES]);
