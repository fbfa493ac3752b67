/* Flow of judging: in the cache -> filled at once; else READING (one job: session, user, roles) -> filled. What was
 * read while something was forgotten is used by this call, which ran beside that change, and not kept. */
#include "bindings/auth/session.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/limits.h"
#include "base/list.h"
#include "bindings/auth/auth_priv.h"
#include "bindings/auth/roles.h"
#include "bindings/auth/session_rows.h"
#include "bindings/auth/user_flow.h"

#include "base/banned.h"

/* What is kept is found by its key, and all of one user by the user. */
struct person {
    char *key; /* app, '/', the user's id */
    struct hob_list all;
    UT_hash_handle hh;
};

struct kept {
    char *key; /* app, '/', 's' and the session's id or 'u' and the user's id */
    size_t app_n;
    char digest[HOB_DIGEST_CHARS + 1]; /* of the token; "": acting as the user without one */
    struct person *person;
    struct hob_node node; /* of person->all */
    int64_t expires_ms;   /* 0: never */
    char *session_id;
    json_t *user;
    json_t *subjects;  /* array of strings */
    UT_hash_handle hh; /* in order of use, the longest unused first */
};

struct sessions {
    struct kept *by_key;
    struct person *people;
    unsigned kept_max;
    uint64_t changes; /* grows with everything forgotten */
    struct session_stats stats;
};

enum note_what { NOTE_SESSION, NOTE_USER, NOTE_ALL };
struct session_notes {
    struct session_notes *next;
    enum note_what what;
    char id[]; /* empty: all */
};

struct judging { /* c->state while it runs */
    struct backend_call *call;
    void (*next)(struct backend_call *c);
    char *key;
    char digest[HOB_DIGEST_CHARS + 1];
    uint64_t changes;
    /* read by the job */
    bool is_found, is_expired;
    int64_t expires_ms;
    json_t *session, *user, *subjects;
};

/* --- the cache --- */
struct sessions *sessions_new(void)
{
    struct sessions *s = hob_new(struct sessions);
    s->kept_max = HOB_MAX_SESSIONS_KEPT;
    return s;
}

static void kept_drop(struct sessions *s, struct kept *k)
{
    struct person *p = k->person;
    HASH_DEL(s->by_key, k); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
    hob_list_remove(&k->node);
    if (hob_list_is_empty(&p->all)) {
        HASH_DEL(s->people, p);
        free(p->key);
        free(p);
    }
    json_decref(k->user);
    json_decref(k->subjects);
    free(k->key);
    free(k->session_id);
    free(k);
}

void sessions_free(struct sessions *s)
{
    struct kept *k, *tmp;
    if (!s)
        return;
    HASH_ITER(hh, s->by_key, k, tmp)
    kept_drop(s, k);
    free(s);
}

static char *str_own(struct hob_str s)
{
    return hob_strndup(s.n ? s.at : "", s.n);
}

static struct person *person_of(struct sessions *s, const char *app, struct hob_str user_id)
{
    struct person *p = NULL;
    char *key = hob_asprintf("%s/%.*s", app, HOB_STR_ARG(user_id));
    HASH_FIND_STR(s->people, key, p);
    if (p) {
        free(key);
        return p;
    }
    p = hob_new(struct person);
    p->key = key;
    hob_list_init(&p->all);
    HASH_ADD_KEYPTR(hh, s->people, p->key, strlen(p->key), p);
    return p;
}

static void keep(struct sessions *s, const struct judging *j)
{
    const char *app = j->call->request.app;
    struct kept *k = NULL;
    HASH_FIND_STR(s->by_key, j->key, k);
    if (k)
        kept_drop(s, k);
    else if (HASH_COUNT(s->by_key) >= s->kept_max)
        kept_drop(s, s->by_key);
    k = hob_new(struct kept);
    k->key = hob_strdup(j->key);
    k->app_n = strlen(app);
    memcpy(k->digest, j->digest, sizeof k->digest);
    k->session_id = str_own(member_str(j->session, "objectId"));
    k->expires_ms = j->expires_ms;
    k->user = json_incref(j->user);
    k->subjects = json_incref(j->subjects);
    k->person = person_of(s, app, member_str(j->user, "objectId"));
    hob_list_push_back(&k->person->all, &k->node);
    HASH_ADD_KEYPTR(hh, s->by_key, k->key, strlen(k->key), k);
}

static struct kept *find_kept(struct sessions *s, const char *key)
{
    struct kept *k = NULL;
    HASH_FIND_STR(s->by_key, key, k);
    if (k) { /* to the end of the order of use */
        HASH_DEL(s->by_key, k);
        HASH_ADD_KEYPTR(hh, s->by_key, k->key, strlen(k->key), k);
    }
    return k;
}

static void forget_session(struct sessions *s, const char *app, const char *id)
{
    struct kept *k = NULL;
    hob_auto_free char *key = hob_asprintf("%s/s%s", app, id);
    HASH_FIND_STR(s->by_key, key, k);
    if (k)
        kept_drop(s, k);
}

static void forget_user(struct sessions *s, const char *app, const char *id)
{
    struct person *p = NULL;
    hob_auto_free char *key = hob_asprintf("%s/%s", app, id);
    HASH_FIND_STR(s->people, key, p);
    while (p) { /* goes with its last one */
        bool is_last = p->all.head.next == p->all.head.prev;
        kept_drop(s, HOB_CONTAINER_OF(hob_list_first(&p->all), struct kept, node));
        p = is_last ? NULL : p;
    }
}

static void forget_all(struct sessions *s, const char *app)
{
    struct kept *k, *tmp;
    size_t app_n = strlen(app);
    HASH_ITER(hh, s->by_key, k, tmp)
    {
        if (k->app_n == app_n && memcmp(k->key, app, app_n) == 0)
            kept_drop(s, k);
    }
}

static void forget(struct sessions *s, const char *app, enum note_what what, const char *id)
{
    s->changes++;
    if (what == NOTE_ALL || !*id)
        forget_all(s, app);
    else if (what == NOTE_SESSION)
        forget_session(s, app, id);
    else
        forget_user(s, app, id);
}

/* --- notes --- */
void session_note(struct backend_call *c, const char *class_name, struct hob_str id)
{
    enum note_what what = NOTE_ALL;
    if (strcmp(class_name, "_Session") == 0)
        what = NOTE_SESSION;
    else if (strcmp(class_name, "_User") == 0)
        what = NOTE_USER;
    else if (strcmp(class_name, "_Role") != 0)
        return;
    struct session_notes *n = call_alloc(c, sizeof *n + id.n + 1);
    n->what = what;
    if (id.n)
        memcpy(n->id, id.at, id.n);
    n->next = c->notes;
    c->notes = n;
}

void session_apply_notes(struct backend_call *c)
{
    struct sessions *s = backend_auth(c->backend)->sessions;
    for (struct session_notes *n = c->notes; n; n = n->next)
        forget(s, c->request.app, n->what, n->id);
    c->notes = NULL;
}

void session_forget_app(struct auth *a, const char *app)
{
    forget(a->sessions, app, NOTE_ALL, "");
}

void session_keep_at_most(struct auth *a, unsigned n)
{
    a->sessions->kept_max = n;
}

struct session_stats session_stats(const struct auth *a)
{
    struct session_stats s = a->sessions->stats;
    s.kept = HASH_COUNT(a->sessions->by_key);
    return s;
}

/* --- steps: filling the identity --- */
static void fill(struct backend_call *c, const json_t *user, const char *session_id, const json_t *subjects)
{
    struct identity *who = &c->who;
    size_t i;
    json_t *one;
    who->user = json_incref((json_t *)(uintptr_t)user); /* goes with the call */
    who->user_id = call_str(c, member_str(user, "objectId"));
    who->session_id = call_str(c, hob_str(session_id));
    who->session_token = c->request.session_token;
    if (identity_is_master(who))
        return;
    who->subjects = call_alloc(c, (json_array_size(subjects) + 1) * sizeof *who->subjects);
    json_array_foreach(subjects, i, one) who->subjects[who->subjects_n++] =
        call_str(c, hob_str_n(json_string_value(one), json_string_length(one)));
}

static void fill_nobody(struct backend_call *c)
{
    if (identity_is_master(&c->who))
        return;
    c->who.subjects = call_alloc(c, sizeof *c->who.subjects);
    c->who.subjects[0] = HOB_STR("*");
    c->who.subjects_n = 1;
}

static void refuse(struct backend_call *c, bool is_expired, void (*next)(struct backend_call *c))
{
    backend_auth(c->backend)->sessions->stats.refused++;
    if (identity_is_master(&c->who)) {
        next(c);
        return;
    }
    fail_now(c, PARSE_INVALID_SESSION_TOKEN,
             is_expired ? "Session token is expired." : "Invalid session token");
}

/* --- the job --- */
static enum hob_code read_subjects(struct judging *j, struct data_tx *tx, struct hob_str user_id,
                                   struct hob_err *err)
{
    json_t *names hob_auto_json = json_array(), *name;
    size_t i;
    enum hob_code rc = roles_of_user(tx, user_id, names, err);
    if (rc != HOB_OK)
        return rc;
    j->subjects = json_pack("[s,s%]", "*", user_id.at, user_id.n);
    json_array_foreach(names, i, name)
    {
        hob_auto_free char *role = hob_asprintf("role:%s", json_string_value(name));
        (void)json_array_append_new(j->subjects, json_string(role));
    }
    return HOB_OK;
}

static enum hob_code read_user(struct judging *j, struct data_tx *tx, struct hob_str user_id,
                               struct hob_err *err)
{
    json_t *row hob_auto_json = NULL, *hidden hob_auto_json = NULL;
    enum hob_code rc = object_get(j->call, tx, "_User", user_id, OBJECT_AS_MASTER, &row, &hidden, err);
    if (rc != HOB_OK || !row)
        return rc;
    j->user = user_shown(row, hidden);
    rc = read_subjects(j, tx, user_id, err);
    j->is_found = rc == HOB_OK;
    return rc;
}

static void judging_reset(struct judging *j)
{
    json_decref(j->session);
    json_decref(j->user);
    json_decref(j->subjects);
    j->session = j->user = j->subjects = NULL;
    j->is_found = j->is_expired = false;
    j->expires_ms = 0;
}

static void judging_done(void *p)
{
    struct judging *j = p;
    judging_reset(j);
    free(j->key);
}

static enum hob_code read_session(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    struct judging *j = c->state;
    judging_reset(j);
    if (!c->request.session_token.n)
        return read_user(j, tx, c->request.user_id, err);
    enum hob_code rc = session_row(c, tx, c->request.session_token, &j->session, err);
    if (rc != HOB_OK || !j->session)
        return rc;
    if (!object_date_read(json_object_get(j->session, "expiresAt"), &j->expires_ms))
        j->expires_ms = 0;
    j->is_expired = j->expires_ms && j->expires_ms <= c->now_ms;
    struct hob_str user_id = session_user_of(j->session);
    return j->is_expired || !user_id.n ? HOB_OK : read_user(j, tx, user_id, err);
}

/* --- steps --- */
enum { EXTEND_AFTER_MS = 24 * 3600 * 1000 };

static enum hob_code extend_session(struct backend_call *c, struct data_tx *tx, struct hob_err *err)
{
    const struct judging *j = c->state;
    int64_t until = c->now_ms + ask_int(c, SETTING_SESSION_LENGTH_S) * 1000;
    struct object_save s = {.class_name = HOB_STR("_Session"),
                            .id = member_str(j->session, "objectId"),
                            .data = json_pack("{s:o}", "expiresAt", object_date(until)),
                            .flags = OBJECT_AS_MASTER | OBJECT_AS_SERVER | OBJECT_NO_TRIGGERS};
    session_note(c, "_Session", s.id);
    enum hob_code rc = object_save_now(c, tx, &s, err);
    object_save_done(&s);
    return rc;
}

static void judged(struct backend_call *c)
{
    struct judging *j = c->state;
    c->state = NULL;
    j->next(c);
}

static bool is_to_extend(const struct backend_call *c, int64_t expires_ms)
{
    if (!expires_ms || !ask_bool(c, SETTING_EXTEND_SESSION_ON_USE))
        return false;
    int64_t length_ms = ask_int(c, SETTING_SESSION_LENGTH_S) * 1000;
    int64_t slack_ms = length_ms / 2 < EXTEND_AFTER_MS ? length_ms / 2 : EXTEND_AFTER_MS;
    return expires_ms - c->now_ms < length_ms - slack_ms;
}

static void session_was_read(struct backend_call *c)
{
    struct judging *j = c->state;
    struct sessions *s = backend_auth(c->backend)->sessions;
    if (!j->is_found) {
        c->state = NULL;
        refuse(c, j->is_expired, j->next);
        return;
    }
    fill(c, j->user, json_string_value(json_object_get(j->session, "objectId")), j->subjects);
    if (is_to_extend(c, j->expires_ms)) {
        ask_write(c, extend_session, judged);
        return;
    }
    if (s->changes == j->changes)
        keep(s, j);
    judged(c);
}

/* --- door --- */
static char *key_of(const struct backend_call *c, char digest[HOB_DIGEST_CHARS + 1])
{
    char id[SESSION_ID_CHARS + 1];
    memset(digest, 0, HOB_DIGEST_CHARS + 1);
    if (!c->request.session_token.n)
        return hob_asprintf("%s/u%.*s", c->request.app, HOB_STR_ARG(c->request.user_id));
    session_id_of(c->request.session_token, id);
    token_digest(c->request.session_token, digest);
    return hob_asprintf("%s/s%s", c->request.app, id);
}

static void start_reading(struct backend_call *c, char *key, const char *digest,
                          void (*next)(struct backend_call *c))
{
    struct judging *j = call_alloc(c, sizeof *j);
    *j = (struct judging){.call = c, .next = next, .key = key};
    (void)snprintf(j->digest, sizeof j->digest, "%s", digest);
    j->changes = backend_auth(c->backend)->sessions->changes;
    ask_defer(c, judging_done, j);
    c->state = j;
    ask_read(c, read_session, session_was_read);
}

void session_judge(struct backend_call *c, void (*next)(struct backend_call *c))
{
    struct sessions *s = backend_auth(c->backend)->sessions;
    char digest[HOB_DIGEST_CHARS + 1] = "";
    if (!c->request.session_token.n && !c->request.user_id.n) {
        fill_nobody(c);
        next(c);
        return;
    }
    char *key = key_of(c, digest);
    struct kept *k = find_kept(s, key);
    if (!k || sodium_memcmp(k->digest, digest, sizeof digest) != 0 || is_to_extend(c, k->expires_ms)) {
        s->stats.misses++;
        start_reading(c, key, digest, next);
        return;
    }
    free(key);
    s->stats.hits++;
    if (k->expires_ms && k->expires_ms <= c->now_ms) {
        kept_drop(s, k);
        refuse(c, true, next);
        return;
    }
    fill(c, k->user, k->session_id, k->subjects);
    next(c);
}
