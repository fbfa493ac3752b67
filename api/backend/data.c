/* An app's log of changes over the control API, and the way back to a point in it. Each is one job of the app's database;
 * what it needs and makes lives in a `job` until it is told. */
#include <stdlib.h>
#include <string.h>

#include "api/control/control_priv.h"
#include "base/clock.h"
#include "base/mem.h"
#include "bindings/apps.h"
#include "bindings/auth/session.h"
#include "bindings/auth/user.h"
#include "bindings/object/object.h"
#include "store/data.h"

enum { LINES_BYTES_MAX = 4 << 20, CHANGES_LIMIT = 1000, CHANGES_STEP = 5000 };

struct job {
    struct call *call;
    struct hob_buf out; /* of the answer */
    int64_t sequence, at_ms;
    uint64_t limit;
};

static struct job *job_new(struct call *c)
{
    struct job *j = hob_new(struct job);
    j->call = c;
    hob_buf_init(&j->out, LINES_BYTES_MAX);
    call_hold(c);
    return j;
}

static void job_free(struct job *j)
{
    struct call *c = j->call;
    hob_buf_done(&j->out);
    free(j);
    call_release(c);
}

static enum hob_code query_number(const struct call *c, const char *name, uint64_t fallback,
                                  uint64_t *ret_value, struct hob_err *err)
{
    struct hob_str text = call_query(c, name);
    *ret_value = fallback;
    if (!text.at || hob_str_u64(text, ret_value))
        return HOB_OK;
    return hob_fail(err, HOB_E_INVALID, "the query: %s must be a number", name);
}

static void answer_lines(struct job *j)
{
    struct call *c = j->call;
    const struct http_field fields[] = {{HOB_STR("content-type"), HOB_STR("application/x-ndjson")},
                                        {HOB_STR("cache-control"), HOB_STR("no-store")}};
    if (!call_is_open(c))
        return;
    call_streamed(c);
    http_respond(c->x, 200, fields, HOB_COUNT(fields), hob_buf_str(&j->out));
}

static void on_lines(void *ctx, const struct hob_err *err)
{
    struct job *j = ctx;
    if (err)
        call_fail(j->call, err);
    else
        answer_lines(j);
    job_free(j);
}

/* Rows were written past the backend: what it keeps of the app in memory must go. */
static void forget_app(const struct call *c)
{
    session_forget_app(backend_auth(c->control->o.backend), c->copies[0]);
}

/* --- the log of changes --------------------------------------------------------------------------------------------- */

static enum hob_code write_change(void *ctx, const struct data_change *change, struct hob_err *err)
{
    struct job *j = ctx;
    struct hob_jw w;
    hob_jw_init(&w, &j->out);
    hob_jw_object(&w);
    hob_jw_kint(&w, "sequence", change->sequence);
    view_time(&w, "at", change->at_ms);
    hob_jw_kcstr(&w, "op", change->op == 'c' ? "create" : change->op == 'u' ? "update" : "delete");
    hob_jw_kcstr(&w, "class", change->class_name);
    hob_jw_kstr(&w, "id", change->id);
    hob_jw_object_end(&w);
    return w.is_full || hob_buf_add(&j->out, "\n", 1) != HOB_OK
               ? hob_fail(err, HOB_E_TOO_LARGE, "so many changes do not fit in memory; ask for fewer")
               : HOB_OK;
}

static enum hob_code note_first(void *ctx, const struct data_change *change, struct hob_err *err)
{
    (void)err;
    *(int64_t *)ctx = change->sequence;
    return HOB_OK;
}

/* Who follows the log must hear when it was forgotten further than he has read. */
static enum hob_code judge_after(const struct job *j, struct data_tx *tx, struct hob_err *err)
{
    int64_t first = 0;
    if (!j->sequence || data_changes(tx, 0, 1, note_first, &first, err) != HOB_OK)
        return j->sequence ? err->code : HOB_OK;
    if (first == 0 || j->sequence >= first - 1)
        return HOB_OK;
    return hob_fail_reason(
        err, HOB_E_NOT_FOUND, "changes_forgotten",
        "changes up to %lld are forgotten (changeLogDays): read everything anew, then go on "
        "from there",
        (long long)(first - 1));
}

static enum hob_code changes_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct job *j = ctx;
    if (judge_after(j, tx, err) != HOB_OK)
        return err->code;
    hob_buf_clear(&j->out);
    return data_changes(tx, j->sequence, j->limit, write_change, j, err);
}

void handle_data_changes(struct call *c)
{
    struct hob_err err = {0};
    uint64_t after, limit;
    if (query_number(c, "after", 0, &after, &err) != HOB_OK ||
        query_number(c, "limit", 100, &limit, &err) != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    if (!call_backend(c))
        return;
    struct job *j = job_new(c);
    j->sequence = (int64_t)after;
    j->limit = limit < CHANGES_LIMIT ? limit : CHANGES_LIMIT;
    appdb_read(c->control->o.dbs, c->copies[0], changes_work, on_lines, j);
}

/* --- restore ---------------------------------------------------------------------------------------------------------- */

struct seek { /* the last change that is not younger than at_ms */
    int64_t at_ms, last, found;
    bool is_past;
};

static enum hob_code seek_change(void *ctx, const struct data_change *change, struct hob_err *err)
{
    struct seek *s = ctx;
    (void)err;
    s->last = change->sequence;
    s->is_past = s->is_past || change->at_ms > s->at_ms;
    if (!s->is_past)
        s->found = change->sequence;
    return HOB_OK;
}

static enum hob_code find_sequence(struct job *j, struct data_tx *tx, struct hob_err *err)
{
    struct seek s = {.at_ms = j->at_ms};
    for (int64_t before = -1; !s.is_past && s.last != before;) {
        before = s.last;
        if (data_changes(tx, s.last, CHANGES_STEP, seek_change, &s, err) != HOB_OK)
            return err->code;
    }
    if (!s.found && s.is_past)
        return hob_fail(
            err, HOB_E_NOT_FOUND,
            "the log of changes does not reach back to that time (changeLogDays keeps it longer)");
    j->sequence = s.found;
    return HOB_OK;
}

static enum hob_code restore_work(void *ctx, struct data_tx *tx, struct hob_err *err)
{
    struct job *j = ctx;
    if (j->at_ms && find_sequence(j, tx, err) != HOB_OK)
        return err->code;
    if (data_restore(tx, j->sequence, err) != HOB_OK)
        return err->code;
    return user_reindex(tx, err); /* names and identities are facts beside the rows */
}

static void on_restored(void *ctx, const struct hob_err *err)
{
    struct job *j = ctx;
    struct call *c = j->call;
    if (err) {
        call_fail(c, err);
    } else {
        struct hob_jw *w = call_start(c);
        forget_app(c);
        hob_jw_object(w);
        hob_jw_kint(w, "sequence", j->sequence);
        hob_jw_object_end(w);
        call_finish(c);
    }
    job_free(j);
}

void handle_data_restore(struct call *c)
{
    struct hob_err err = {0};
    const json_t *sequence = json_object_get(c->json, "sequence"), *at = json_object_get(c->json, "at");
    int64_t at_ms = 0;
    if ((sequence != NULL) == (at != NULL)) {
        (void)hob_fail(&err, HOB_E_INVALID, "the body: give either 'sequence' or 'at'");
    } else if (at && !object_date_read(at, &at_ms)) {
        (void)hob_fail(&err, HOB_E_INVALID,
                       "the body: 'at' is '%.40s'; write it like 2026-11-20T05:22:00.000Z",
                       json_string_value(at));
    }
    if (err.code != HOB_OK) {
        call_fail(c, &err);
        return;
    }
    if (!call_backend(c))
        return;
    struct job *j = job_new(c);
    j->sequence = (int64_t)json_number_value(sequence);
    j->at_ms = at_ms;
    appdb_write(c->control->o.dbs, c->copies[0], restore_work, on_restored, j);
}
