/* Inside manifest/ only: the key table and what walks over it. The tables are constant; `struct judge` lives on the
 * caller's stack. Whoever adds a key adds one row in keys.c: judging, defaults, storing, copying, the schema and
 * the reference follow from it. */
#pragma once

#include "manifest/manifest.h"

enum key_type {
    KEY_STRING,  /* field: char * */
    KEY_INT,     /* field: uint32_t */
    KEY_BOOL,    /* field: bool */
    KEY_CHOICE,  /* one of `choices`; field: unsigned enum, the index; or none */
    KEY_STRINGS, /* list of strings; fields: char ** and size_t */
    KEY_OBJECT,  /* keys of `of`, in the same struct */
    KEY_OBJECTS, /* list of objects with the keys of `of`, `of_bytes` each; fields: their array and size_t */
    KEY_VARS,    /* NAME: string; fields: struct env_var * and size_t */
    KEY_MAP,     /* NAME: object with the keys of `of` */
    KEY_LATER,   /* known, not supported yet */
};

struct judge;
/* Judges one string; `path` of the judge names it. */
typedef enum hob_code (*string_check)(struct judge *j, const char *value);

struct key_table;
struct key {
    const char *name;
    enum key_type type;
    string_check check;      /* of a string, or of each in a list */
    string_check check_name; /* of the names of a KEY_MAP */
    uint32_t min, max; /* bounds of an integer; length of a string; number of entries in a list or map */
    uint32_t fallback; /* of an integer or a choice */
    const char *const *choices; /* NULL-ended */
    const char *const *later;   /* choices that are known but not supported yet, NULL-ended, or NULL */
    const struct key_table *of;
    size_t of_bytes; /* KEY_OBJECTS: size of the struct that one of the list is kept in */
    bool is_required;
    bool has_field; /* `at` and `at_n` are set */
    bool is_single; /* KEY_OBJECT: only single values of `of` may stand here ("defaults") */
    size_t at, at_n;
    const char *shape;   /* a regular expression for the schema, or NULL */
    const char *example; /* JSON */
    const char *help;    /* one line */
};
struct key_table {
    const struct key *keys;
    size_t n;
};

extern const struct key_table root_keys, function_keys, route_keys, window_keys;

struct judge {
    char path[256]; /* "functions.checkout.scale.max"; cut when longer */
    size_t path_n;
    struct hob_err *err;
};
/* Appends ".name", or "name" at the root; judge_leave takes back to what judge_enter returned. */
size_t judge_enter(struct judge *j, const char *name);
size_t judge_enter_index(struct judge *j, size_t i);
void judge_leave(struct judge *j, size_t path_n);
HOB_MUST_USE enum hob_code judge_object(struct judge *j, const json_t *value, const struct key_table *t);
/* A value as a message may show it: cut, without control characters. */
struct shown {
    char text[72];
};
struct shown show(const char *value);
struct shown show_json(const json_t *value);

/* checks.c */
bool is_single_value(enum key_type type);
enum hob_code check_name(struct judge *j, const char *value);
enum hob_code check_secret_name(struct judge *j, const char *value);
enum hob_code check_entry(struct judge *j, const char *value);
enum hob_code check_text(struct judge *j, const char *value);
enum hob_code check_date(struct judge *j, const char *value);
enum hob_code check_route_path(struct judge *j, const char *value);
enum hob_code check_host(struct judge *j, const char *value);
enum hob_code check_egress(struct judge *j, const char *value);
enum hob_code check_syscall(struct judge *j, const char *value);
enum hob_code check_binding(struct judge *j, const char *value);
enum hob_code check_hook(struct judge *j, const char *value);
enum hob_code check_pull(struct judge *j, const char *value);
enum hob_code check_image(struct judge *j, const char *value);
enum hob_code check_origin(struct judge *j, const char *value);
enum hob_code check_cron(struct judge *j, const char *value);
enum hob_code check_span(struct judge *j, const char *value);
/* NULL, or the reason for which the platform keeps the name for itself. */
const char *var_name_reserved(const char *name);

/* fields.c: structs from judged JSON and back, by the table. `base` is the struct that the offsets are of. */
void fields_defaults(void *base, const struct key_table *t);
void fields_fill(void *base, const struct key_table *t, const json_t *value);
void fields_write(const void *base, const struct key_table *t, struct hob_jw *w);
void fields_copy(void *to, const void *from, const struct key_table *t);
void fields_free(void *base, const struct key_table *t);
void function_config_done(struct function_config *f);

/* config.c: one function out of its merged, judged JSON; what no single key can tell is judged here. */
HOB_MUST_USE enum hob_code function_config_build(struct judge *j, const char *name, const json_t *value,
                                                 struct function_config *ret_config);
