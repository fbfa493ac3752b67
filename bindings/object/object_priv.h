/* Inside of bindings/object/: what its files give one another. Everything with a `tx` runs inside a job. */
#pragma once

#include "base/json.h"
#include "base/limits.h"
#include "bindings/object/object.h"
#include "store/data.h"

enum { FIELDS_MAX = HOB_MAX_DATA_FIELDS };

/* --- names.c: what may be a name, and the classes of the system --- */
bool class_name_is_valid(struct hob_str name);
bool field_name_is_valid(struct hob_str name);
struct system_class {
    const char *name;
    bool is_master_only; /* clients may not touch it through /classes */
    struct data_field fields[14];
};
const struct system_class *system_class_find(const char *name);
size_t system_classes(const struct system_class **ret_list);
const struct data_field *system_field(const char *class_name, const char *field); /* NULL: none */
/* Fails with 103, or with 119 for a class that clients may not touch (`doing`: "find"). */
HOB_MUST_USE enum hob_code class_judge(const struct backend_call *c, const char *name, const char *doing,
                                       unsigned flags, struct hob_err *err);

/* --- doc.c: walking the members of a stored document without parsing it --- */
struct doc_walk {
    const char *at, *end;
};
struct doc_walk doc_walk(struct hob_str doc);
/* `key` without quotes and as written (field names have no escapes); `value` as written. False at the end. */
bool doc_next(struct doc_walk *w, struct hob_str *ret_key, struct hob_str *ret_value);
/* The value of a member; at == NULL: none. */
struct hob_str doc_find(struct hob_str doc, struct hob_str key);
/* The text of a JSON string value that has no escapes; at == NULL when it has some, or is none. */
struct hob_str doc_plain_string(struct hob_str value);
/* class and id of a pointer's text; false when it is none. */
bool doc_pointer(struct hob_str value, struct hob_str *ret_class, struct hob_str *ret_id);

/* --- value.c: types of values --- */
struct value_type {
    bool is_some; /* false: null, or an operation that takes away */
    enum data_type type;
    const char *target;
};
/* 105 for names that mean something to JavaScript or MongoDB, at any depth. */
HOB_MUST_USE enum hob_code value_key_judge(const char *key, struct hob_err *err);
HOB_MUST_USE enum hob_code value_type_of(const json_t *v, struct value_type *ret_type, struct hob_err *err);
/* "Number", "Pointer<Team>". */
const char *value_type_text(enum data_type type, const char *target, char out[96]);
/* Writes a value as it is stored: dates normalised, files without url, keys judged (121, 105). */
HOB_MUST_USE enum hob_code value_write(const json_t *v, struct hob_jw *w, struct hob_err *err);
/* The same as a value. Returns owned. */
HOB_MUST_USE json_t *value_copy(const json_t *v, struct hob_err *err);
const char *value_typed(const json_t *v); /* its "__type", or NULL */
const char *value_op(const json_t *v);    /* its "__op", or NULL */

/* --- ops.c: what a save does to each member --- */
struct change {
    const char *name;
    char *owned_name; /* of dotted ones, else NULL */
    json_t *value;    /* owned; NULL: taken out */
    bool is_told;     /* the answer carries it */
    struct value_type type;
};
struct relation_change {
    const char *field, *target;
    struct hob_str related;
    bool is_add;
};
struct changes {
    struct change *list;
    size_t n, max;
    struct relation_change *relations;
    size_t relations_n, relations_max;
    json_t *told_paths; /* owned; nested results of dotted operations */
    const json_t *acl;  /* borrowed; NULL: not given. JSON null: taken away */
    bool has_acl;
};
/* `original`: the stored document (at == NULL: a create). */
HOB_MUST_USE enum hob_code changes_resolve(const json_t *data, struct hob_str original,
                                           struct changes *ret_changes, struct hob_err *err);
void changes_done(struct changes *ch);
struct change *changes_find(const struct changes *ch, const char *name);
/* Sets a member as if the client had. Takes the reference of `value`. */
HOB_MUST_USE enum hob_code changes_set(struct changes *ch, const char *name, json_t *value, bool is_told,
                                       struct hob_err *err);

/* --- acl.c --- */
/* Writes the two JSON arrays of subjects into the arena; 123 when it is none. at == NULL: everybody. */
HOB_MUST_USE enum hob_code acl_split(struct hob_arena *arena, const json_t *acl, struct hob_str *ret_readers,
                                     struct hob_str *ret_writers, struct hob_err *err);
bool acl_is_some(const struct data_row *row);
/* Writes {"*":{"read":true},...} from the row's two arrays. */
void acl_write(const struct data_row *row, struct hob_jw *w);

/* --- permit.c: class-level permissions, and whom rows must admit --- */
enum object_op { OP_GET, OP_FIND, OP_COUNT, OP_CREATE, OP_UPDATE, OP_DELETE, OP_ADD_FIELD };
struct permit {
    struct data_access access;
    bool is_nothing; /* no row can be admitted */
};
/* `class` may be NULL (not made yet: open). `is_create`: ADD_FIELD by a create. */
HOB_MUST_USE enum hob_code permit_class(struct backend_call *c, const struct data_class *class,
                                        const char *name, enum object_op op, unsigned flags,
                                        struct permit *ret_permit, struct hob_err *err);
bool permit_is_master(const struct backend_call *c, unsigned flags);

/* --- protect.c: protected fields --- */
struct protect {
    bool is_on;
    const char **names; /* those that the caller must not see, before rows have their say */
    size_t names_n;
    bool has_names;
    const json_t *user_fields; /* {"field":[names]} that grant per row; NULL: none */
    const char *class_name;
    struct hob_str user_id;
};
HOB_MUST_USE enum hob_code protect_start(struct backend_call *c, const struct data_class *class,
                                         const char *name, unsigned flags, struct protect *ret_protect,
                                         struct hob_err *err);
/* Is the member hidden in every row that is not the caller's own? */
bool protect_hides(const struct protect *p, struct hob_str name);
/* What is hidden in this row; *ret_names is borrowed or of the arena. */
void protect_row(struct backend_call *c, const struct protect *p, struct hob_str id, struct hob_str doc,
                 const char ***ret_names, size_t *ret_n);

/* --- tree.c: dotted paths of keys and includes --- */
struct tree {
    struct hob_str name;
    struct tree *first, *next;
    bool is_leaf;
};
struct tree_limits {
    size_t depth, count; /* 0: none */
};
/* "a,b.c" added to a tree. 102 when it is deeper or longer than allowed. */
HOB_MUST_USE enum hob_code tree_add(struct hob_arena *arena, struct tree **root, struct hob_str list,
                                    const struct tree_limits *limits, struct hob_err *err);
const struct tree *tree_find(const struct tree *root, struct hob_str name);

/* --- render.c: rows as answers --- */
struct class_view { /* what one answer knows of a class */
    const char *name;
    const struct data_class *class;
    struct protect protect;
    struct permit permit; /* to get objects of it as included ones */
    bool is_permitted, has_files, has_relations;
    struct class_view *next;
};
struct view {
    struct backend_call *c;
    struct data_tx *tx;
    struct tree *keys, *exclude, *include;
    bool includes_all, has_score;
    unsigned flags;
    struct class_view *classes;
    size_t included_n;
};
struct cut { /* what of one object is shown */
    const struct tree *keys, *exclude, *include;
    bool includes_all;
};
void view_start(struct view *v, struct backend_call *c, struct data_tx *tx, unsigned flags);
HOB_MUST_USE enum hob_code view_class(struct view *v, struct hob_str name, struct class_view **ret_class,
                                      struct hob_err *err);
bool view_has_includes(const struct view *v); /* then rows must be out of their query before they are shown */
/* Appends the row as the caller sees it. */
HOB_MUST_USE enum hob_code view_row(struct view *v, struct class_view *cv, const struct data_row *row,
                                    struct hob_buf *out, struct hob_err *err);
/* The same of an included one: {"__type":"Object","className":...}. */
HOB_MUST_USE enum hob_code view_part(struct view *v, struct class_view *cv, const struct data_row *row,
                                     const struct cut *cut, struct hob_buf *out, struct hob_err *err);
/* The whole object as a value, nothing hidden: for triggers and the server itself. Returns owned. */
HOB_MUST_USE json_t *row_json(const struct data_class *class, const struct data_row *row,
                              struct hob_err *err);
/* Copies a row into the arena; false when its cap is reached. */
HOB_MUST_USE bool row_copy(struct hob_arena *arena, const struct data_row *row, struct data_row *ret_row);
/* Adds "url" to files of an object, in place. */
void files_expand(const struct backend_call *c, json_t *object);

/* --- include.c --- */
/* Appends the value of a member with its pointers replaced by objects. *ret_written false: the pointer's object cannot be
 * seen. Nothing was appended then. */
HOB_MUST_USE enum hob_code include_value(struct view *v, struct hob_str value, const struct cut *cut,
                                         struct hob_buf *out, bool *ret_written, struct hob_err *err);

/* --- write.c: the write itself --- */
/* Permission, schema, document: everything of a save but its story. */
HOB_MUST_USE enum hob_code write_look(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                                      struct hob_err *err);
HOB_MUST_USE enum hob_code write_store(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                                       struct hob_err *err);

/* --- where.c: what a query may ask --- */
/* Judges keys, depth and protected fields of a where. */
HOB_MUST_USE enum hob_code where_judge(struct backend_call *c, const json_t *where, const struct protect *p,
                                       unsigned flags, struct hob_err *err);
HOB_MUST_USE enum hob_code order_judge(const char *order, const struct protect *p, struct hob_err *err);
/* data_query.admit for a caller: sub-queries see what he may see. */
struct admit {
    struct backend_call *c;
    struct data_tx *tx;
    unsigned flags;
};
enum hob_code admit_class(void *ctx, const char *class_name, struct data_access *ret_access,
                          struct hob_err *err);

/* --- query.c: parameters of finds --- */
struct find {
    const char *class_name;
    json_t *where; /* owned; NULL: everything */
    const char *order, *hint;
    int64_t limit, skip;
    bool has_count, is_explained;
    struct view view;
    struct class_view *cv;
    struct permit permit;
    struct admit admit;
};
/* Takes the parameters of a find apart; the class may be another one (redirectClassNameForKey). find_done frees. */
HOB_MUST_USE enum hob_code find_start(struct backend_call *c, struct data_tx *tx, const char *class_name,
                                      const json_t *params, unsigned flags, struct find *ret_find,
                                      struct hob_err *err);
void find_done(struct find *f);
/* keys, excludeKeys, include, includeAll of a find or a get. */
HOB_MUST_USE enum hob_code view_params(struct view *v, const json_t *params, struct hob_err *err);
struct data_query find_query(struct find *f);
