/* Inside of the backend: one call from its route to its answer, and the table of routes. Each file of handlers has a
 * table; backend.c joins them. Two kinds of handlers: `work` does everything in one job of the app's database (blocking,
 * on a thread of the pool); `start` is a flow on the loop, made of such jobs, triggers, hashing, mail, ...
 * (Verbs are ask_...: call_... is the control API's.) */
#pragma once

#include "base/list.h"
#include "base/mem.h"
#include "bindings/backend.h"
#include "bindings/parse.h"
#include "store/data.h"

/* Who calls, once the session is judged. Same life as the call. */
struct identity {
    enum backend_role role;
    struct hob_str user_id, session_id; /* empty: nobody is logged in */
    struct hob_str session_token;
    json_t *user; /* the _User row as its owner sees it; NULL until ask_need_user */
    /* "*", the user's id, "role:NAME" with nested roles: filled before a handler runs; empty for master */
    struct hob_str *subjects;
    size_t subjects_n;
};
static inline bool
identity_is_master(const struct identity *i) /* reads everything; writes: role MASTER only */
{
    return i->role != BACKEND_CLIENT;
}

struct object_save;
struct batch;

/* The app's settings as a job may read them: taken on the loop, released with the call. */
struct ask_settings;

struct backend_call {
    struct backend *backend;
    const struct backend_route *route;
    struct backend_request request; /* strings in the arena */
    struct hob_arena arena;
    struct identity who;
    struct ask_settings *settings;
    struct hob_str params[4]; /* of the path, in order: "/classes/:class/:id" */
    int64_t now_ms;
    /* the answer */
    int status; /* 0: 200 */
    struct hob_buf out;
    struct backend_header headers[4];
    size_t headers_n;
    struct hob_err err;
    /* the flow */
    void *state;                 /* of the handler's own */
    struct session_notes *notes; /* what the cache of sessions must forget (bindings/auth/session.h) */
    enum hob_code (*work)(struct backend_call *c, struct data_tx *tx, struct hob_err *err);
    void (*next)(struct backend_call *c);
    /* Once, instead of ask_fail, when a job fails: c->err says why. May go another way, or call ask_fail. */
    void (*failed)(struct backend_call *c);
    backend_answer_cb done;
    void *done_ctx;
    bool is_forgotten, is_starting, is_done, is_inner; /* inner: made by ask_again */
    struct hob_node link, ready_link;       /* of the living calls; of those that go on in the next turn */
    void (*resume)(struct backend_call *c); /* what they go on with */
    struct call_defer *defers;              /* ask_defer */
    bool holds_request_id;                  /* idempotency.c: free it again on failure */
    void (*go_on)(struct backend_call *c);
    struct hob_err first_err;
    struct object_save *save;     /* of the objects' flow */
    struct batch *batch;          /* the call is a part of one: its first write waits for the others' */
    struct batch *batch_of_parts; /* the call is one: given to its parts */
};

bool ask_bool(const struct backend_call *c,
              enum backend_setting which); /* any thread, while the call lives */
int64_t ask_int(const struct backend_call *c, enum backend_setting which);
const char *ask_text(const struct backend_call *c, enum backend_setting which);
const json_t *ask_json(const struct backend_call *c, enum backend_setting which);

/* --- for flows (loop) --- */
/* Runs `work` in a job; when it worked `next` is called on the loop, else the call fails with its error. */
typedef enum hob_code (*ask_work_cb)(struct backend_call *c, struct data_tx *tx, struct hob_err *err);
void ask_read(struct backend_call *c, ask_work_cb work, void (*next)(struct backend_call *c));
void ask_write(struct backend_call *c, ask_work_cb work, void (*next)(struct backend_call *c));
/* Ends the call with what is in c->out (empty: {}) and c->status. */
void ask_finish(struct backend_call *c);
void ask_fail(struct backend_call *c); /* with c->err */
/* A header of the answer; the value is copied into the arena. */
void ask_header(struct backend_call *c, const char *name, struct hob_str value);
/* Runs fn(p) on the loop when the call is freed: how handlers own what lives as long as the call. */
void ask_defer(struct backend_call *c, void (*fn)(void *p), void *p);
/* A member of the parameters, borrowed; NULL when there is none. */
json_t *ask_param(const struct backend_call *c, const char *name);
/* A slice ended by NUL, in the arena; NULL when its cap is reached. */
const char *ask_text_of(struct backend_call *c, struct hob_str s);
/* A call made inside another, e.g. a part of a batch: method, path, params and role are `r`'s, all else the outer call's,
 * whose judged identity it borrows when the roles are equal: the outer call must outlive it. `done` gets the answer on the
 * loop, never from inside. */
struct backend_call *ask_again(struct backend_call *outer, const struct backend_request *r,
                               backend_answer_cb done, void *ctx);

enum route_kind { ROUTE_READ, ROUTE_WRITE, ROUTE_FLOW };
enum route_need {
    NEED_NOTHING,
    NEED_MASTER_READ, /* master, read-only master or maintenance: else 403 */
    NEED_MASTER,      /* a write by master; the read-only master gets 119 */
    NEED_NO_SESSION,  /* the session token is not judged (login, health) */
};
struct backend_route {
    const char *method, *pattern;
    enum route_kind kind;
    enum route_need need;
    ask_work_cb work;
    void (*start)(struct backend_call *c);
};
/* The tables, each ends with a zero row. */
extern const struct backend_route object_routes[], batch_routes[], schema_routes[], aggregate_routes[],
    role_routes[], installation_routes[];
extern const struct backend_route user_routes[], session_routes[], mail_routes[],
    token_routes[]; /* bindings/auth/ */
extern const struct backend_route config_routes[], admin_routes[], file_routes[];
extern const struct backend_route cloud_routes[], hook_routes[], job_routes[]; /* bindings/cloud/ */
