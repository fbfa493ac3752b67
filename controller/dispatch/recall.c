/* What the scalers learned, kept over a restart: written ten seconds after something new, and when the daemon ends; read
 * once at the start, and given to each pool as it is made. Only hints: a store that cannot be read or written is told in
 * the log, and everything is learned anew.
 *
 *   idle -> (something was learned) waiting -> SAVING a batch -> waiting, when more is new -> idle
 */
#include <stdlib.h>

#include "base/log.h"
#include "base/map.h"
#include "controller/dispatch/dispatch_priv.h"
#include "controller/scale/learned.h"
#include "store/rows.h"

#include "base/banned.h"

enum { SAVE_EVERY_US = 10 * 1000 * 1000, SAVE_MORE_US = 20 * 1000, SAVE_BATCH = 200 };
static const int64_t KEPT_MS = 30ll * 24 * 3600 * 1000;

struct recalled {
    int64_t version_id, saved_ms;
    struct hob_str state;
    UT_hash_handle hh;
    char bytes[];
};

static struct learned_at moment(const struct dispatcher *d)
{
    uint64_t now = dispatcher_now(d);
    return (struct learned_at){now, d->utc_offset_ms + (int64_t)(now / 1000)};
}

/* ---- the start ---- */

static enum hob_code on_row(void *ctx, const struct learned_row *row, struct hob_err *err)
{
    struct dispatcher *d = ctx;
    (void)err;
    if (row->state.n > LEARNED_BYTES_MAX)
        return HOB_OK;
    struct recalled *r = hob_calloc(1, sizeof *r + row->state.n);
    *r = (struct recalled){.version_id = row->version_id, .saved_ms = row->saved_ms};
    memcpy(r->bytes, row->state.at, row->state.n);
    r->state = hob_str_n(r->bytes, row->state.n);
    HASH_ADD(hh, d->recall.by_version, version_id, sizeof r->version_id, r);
    return HOB_OK;
}

static enum hob_code read_all(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    return store_learned_each(tx, on_row, ctx, err);
}

void recall_load(struct dispatcher *d)
{
    struct hob_err err;
    if (d->o.store && store_read_now(d->o.store, read_all, d, &err) != HOB_OK)
        hob_log(HOB_LOG_WARN, "scale.recall", "error=\"%s\" effect=\"rates are learned anew\"", err.msg);
}

static struct recalled *find(const struct dispatcher *d, const struct version *v)
{
    struct recalled *r = NULL;
    HASH_FIND(hh, d->recall.by_version, &v->id, sizeof v->id, r);
    return r;
}

bool recall_holds(const struct dispatcher *d, const struct version *v)
{
    const struct recalled *r = find(d, v);
    return r && moment(d).utc_ms - r->saved_ms < SCALER_HOLD_US / 1000;
}

void recall_give(struct pool *p)
{
    struct dispatcher *d = p->d;
    struct recalled *r = find(d, p->version);
    if (!r)
        return;
    if (!learned_read(r->state, &p->scaler, moment(d)))
        hob_log(HOB_LOG_WARN, "scale.recall", "app=%s fn=%s version=%u error=\"not readable\"",
                p->version->app_name, p->version->function_name, p->version->number);
    HASH_DEL(d->recall.by_version, r);
    free(r);
}

void recall_done(struct dispatcher *d)
{
    struct recalled *r, *tmp;
    HASH_ITER(hh, d->recall.by_version, r, tmp)
    {
        HASH_DEL(d->recall.by_version, r); /* NOLINT(clang-analyzer-unix.Malloc): lost in uthash's macro */
        free(r);
    }
}

/* ---- saving ---- */

struct saving { /* one batch; the writer's until it is done */
    struct dispatcher *d;
    int64_t utc_ms;
    struct hob_buf bytes;
    size_t n, max;
    struct {
        int64_t version_id;
        size_t bytes;
    } rows[];
};

static enum hob_code write_batch(void *ctx, struct store_tx *tx, struct hob_err *err)
{
    const struct saving *s = ctx;
    struct hob_str left = hob_buf_str(&s->bytes);
    for (size_t i = 0; i < s->n; i++) {
        struct learned_row row = {s->rows[i].version_id, s->utc_ms, hob_str_n(left.at, s->rows[i].bytes)};
        if (store_learned_put(tx, &row, err) != HOB_OK)
            return err->code;
        left = hob_str_n(left.at + row.state.n, left.n - row.state.n);
    }
    return store_learned_prune(tx, s->utc_ms - KEPT_MS, err);
}

static void on_written(void *ctx, const struct hob_err *err)
{
    struct saving *s = ctx;
    struct dispatcher *d = s->d;
    if (err && !d->recall.has_failed) /* once, until it works again: a full disk is told by others */
        hob_log(HOB_LOG_WARN, "scale.save", "error=\"%s\" effect=\"a restart learns rates anew\"", err->msg);
    d->recall.has_failed = err != NULL;
    d->recall.is_saving = false;
    if (s->n == s->max && !d->is_draining)
        dispatcher_save_at(d, dispatcher_now(d) + SAVE_MORE_US);
    if (d->is_draining)
        dispatcher_grant_at(d, dispatcher_now(d)); /* one more turn: it may be what the end waits for */
    hob_buf_done(&s->bytes);
    free(s);
}

static bool is_new(const struct pool *p)
{
    return !p->is_gone && p->version->id &&
           (p->scaler.arrivals != p->saved_arrivals || p->ready_n + p->starting_n != p->saved_live);
}

static void gather(struct dispatcher *d, struct saving *s)
{
    struct learned_at at = moment(d);
    s->utc_ms = at.utc_ms;
    HOB_LIST_EACH(&d->pools, n, tmp)
    {
        struct pool *p = HOB_CONTAINER_OF(n, struct pool, in_pools);
        size_t before = s->bytes.n;
        if (s->n == s->max)
            return;
        if (!is_new(p))
            continue;
        p->saved_arrivals = p->scaler.arrivals;
        p->saved_live = p->ready_n + p->starting_n;
        learned_write(&s->bytes, &p->scaler, p->saved_live, at);
        s->rows[s->n].version_id = p->version->id;
        s->rows[s->n++].bytes = s->bytes.n - before;
    }
}

void recall_save(struct dispatcher *d, bool is_all)
{
    d->recall.save_at_us = UINT64_MAX;
    if (!d->o.store || d->recall.is_saving)
        return;
    size_t max = is_all || d->pools_n < SAVE_BATCH ? d->pools_n : SAVE_BATCH;
    struct saving *s = hob_calloc(1, sizeof *s + max * sizeof s->rows[0]);
    s->d = d;
    s->max = max;
    hob_buf_init(&s->bytes, max * LEARNED_BYTES_MAX);
    gather(d, s);
    if (s->n == 0) {
        hob_buf_done(&s->bytes);
        free(s);
        return;
    }
    d->recall.is_saving = true;
    store_write(d->o.store, write_batch, on_written, s);
}

void recall_soon(struct dispatcher *d)
{
    if (d->recall.save_at_us == UINT64_MAX && d->o.store)
        dispatcher_save_at(d, dispatcher_now(d) + SAVE_EVERY_US);
}
