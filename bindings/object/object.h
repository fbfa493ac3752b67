/* Objects as the Parse protocol means them: types, operations, inference of fields, permissions (class level, ACL,
 * pointers, protected fields), includes, system classes. store/data.h keeps the rows; this door says who may do what
 * with them. Other rooms of the backend (auth/, cloud/) write and read system classes through it.
 *
 * Functions that take a `tx` are blocking, for the jobs of store/appdb.h (ask_read, ask_write); the others live on the
 * loop. A failure carries the Parse code (bindings/parse.h). */
#pragma once

#include "bindings/call_priv.h"

enum object_flag {
    OBJECT_AS_MASTER = 1, /* whoever calls: no permission is judged */
    OBJECT_AS_SERVER =
        2, /* besides: members that only the server writes are writable (emailVerified, sessionToken) */
    OBJECT_NO_TRIGGERS = 4, /* beforeSave and the like are not run */
};

/* One create or update. */
struct object_save {
    /* given; the strings are copied into the call's arena */
    struct hob_str class_name;
    struct hob_str id; /* update: which; create: empty, or the id that it shall have */
    bool is_create;
    json_t *
        data; /* members and operations as the client sent them; a reference is taken. Never changed in place */
    json_t *
        hidden; /* merged into the row's hidden members (a null takes one out); a reference is taken; may be NULL */
    unsigned flags;
    void *ctx; /* of the caller's own */

    /* Hooks, each may be NULL. */
    /* At the very start of the first job: may turn a create into an update of another row (id, is_create). */
    enum hob_code (*prepare)(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                             struct hob_err *err);
    /* In the first job, once the permission is judged, before triggers: may refuse. Update: `original` and
     * `original_hidden` are set. */
    enum hob_code (*judge)(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                           struct hob_err *err);
    /* In the write job, just before the row is written: `object` is the whole object to be. May refuse (uniqueness), and
     * write other things of its own. May run twice: leaves nothing in *s but what it sets each time. */
    enum hob_code (*store)(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                           struct hob_err *err);
    /* On the loop, at the end: c->out holds the protocol's answer ({objectId,createdAt,...} or {updatedAt,...}),
     * which may be rewritten. Ends with ask_finish. NULL: ask_finish. */
    void (*done)(struct backend_call *c, struct object_save *s);

    /* told */
    json_t *original;        /* update: the object as it was, with objectId, createdAt, updatedAt, ACL */
    json_t *original_hidden; /* its hidden members; NULL: none */
    json_t *object;          /* as it is now, likewise */
    int64_t created_ms, updated_ms;
    bool has_looked; /* the first job has run */

    /* inner */
    json_t *told;      /* members that a trigger changed: the answer carries them */
    bool needs_object; /* for triggers behind the write */
};
/* The whole story on the loop: permission, triggers, hooks, one write, the answer. `s` is copied into the call's arena
 * and freed with the call; c->state stays the caller's. One job when the class has no triggers. */
void object_save_start(struct backend_call *c, const struct object_save *s);

/* The same inside of a write job, without triggers: both hooks `judge` and `store` run, `done` does not. Fills
 * s->id (create) and what is told; the references in *s are the caller's to drop (object_save_done). */
HOB_MUST_USE enum hob_code object_save_now(struct backend_call *c, struct data_tx *tx, struct object_save *s,
                                           struct hob_err *err);
void object_save_done(struct object_save *s);

/* One object as a JSON value with objectId, createdAt, updatedAt, ACL, without hidden members; NULL in *ret_object when it
 * is not there or may not be seen by the caller. `ret_hidden` (may be NULL) gets the hidden members or NULL. Returns owned.
 * flags: OBJECT_AS_MASTER. */
HOB_MUST_USE enum hob_code object_get(struct backend_call *c, struct data_tx *tx, const char *class_name,
                                      struct hob_str id, unsigned flags, json_t **ret_object,
                                      json_t **ret_hidden, struct hob_err *err);
/* All that match, as a JSON array (at most `limit`, by creation); the caller's rights or OBJECT_AS_MASTER. `each` gets
 * owned nothing: both values are borrowed, `hidden` may be NULL. */
typedef enum hob_code (*object_each_cb)(void *ctx, json_t *object, json_t *hidden, struct hob_err *err);
HOB_MUST_USE enum hob_code object_find(struct backend_call *c, struct data_tx *tx, const char *class_name,
                                       const json_t *where, int64_t limit, unsigned flags,
                                       object_each_cb each, void *ctx, struct hob_err *err);
/* HOB_E_NOT_FOUND (101) when it is not there or may not be removed by the caller. No triggers. */
HOB_MUST_USE enum hob_code object_remove(struct backend_call *c, struct data_tx *tx, const char *class_name,
                                         struct hob_str id, unsigned flags, struct hob_err *err);
/* Makes a system class (_User, _Role, _Session, _Installation, ...) with its columns when it is not there yet. */
HOB_MUST_USE enum hob_code object_class_need(struct data_tx *tx, const char *class_name, struct hob_err *err);

/* --- whole handlers for routes of system classes; params of the call: as the protocol has them --- */
/* GET /classes/C: where, order, limit, keys, include, count, ... with beforeFind and afterFind. */
void object_serve_find(struct backend_call *c, struct hob_str class_name);
/* GET /classes/C/id */
void object_serve_get(struct backend_call *c, struct hob_str class_name, struct hob_str id);
/* DELETE /classes/C/id with beforeDelete and afterDelete. `store` (may be NULL) runs in the write job before the row
 * goes, e.g. to end the sessions of a user. */
void object_serve_remove(struct backend_call *c, struct hob_str class_name, struct hob_str id,
                         enum hob_code (*store)(struct backend_call *c, struct data_tx *tx, struct hob_str id,
                                                struct hob_err *err));

/* --- pieces --- */
enum { OBJECT_ID_CHARS = DATA_ID_CHARS };
/* Ten characters of [A-Za-z0-9], and NUL (data_id_make). */
void object_id_make(char out[OBJECT_ID_CHARS + 1]);
/* "2026-11-20T05:22:00.123Z" as JSON: {"__type":"Date","iso":...}. Returns owned. */
HOB_MUST_USE json_t *object_date(int64_t utc_ms);
HOB_MUST_USE json_t *object_pointer(const char *class_name, struct hob_str id);
/* UTC milliseconds of a Date value or of an ISO string; false when it is none. */
HOB_MUST_USE bool object_date_read(const json_t *j, int64_t *ret_ms);
/* Appends the object as JSON text to c->out. */
HOB_MUST_USE enum hob_code object_write_json(struct backend_call *c, const json_t *object,
                                             struct hob_err *err);
