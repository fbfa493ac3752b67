/* Whether a request may wait. Whoever would wait in vain is told so at once, with the time after which it is worth
 * trying again: a queue that nobody can be served from helps nobody. */
#include "controller/dispatch/dispatch_priv.h"

#include "base/banned.h"

enum { FULL_PATIENCE_US = 1000 * 1000 };

static unsigned seconds_until(uint64_t at_us, uint64_t now_us)
{
    return at_us <= now_us ? 1 : (unsigned)((at_us - now_us + 999999u) / 1000000u);
}

/* While starts keep failing, requests between two tries are answered with what is known. */
static bool is_hopeless(const struct pool *p, uint64_t now_us)
{
    return scaler_is_open(&p->scaler) && p->ready_n == 0 && p->starting_n == 0 &&
           now_us < p->scaler.not_before_us;
}

/* The node has no memory for the instance that it would need: low goes first, normal when that lasts. */
static bool is_shed(const struct pool *p, uint64_t now_us)
{
    const struct node_memory *m = &p->d->memory;
    if (!m->is_full || p->config->priority == PRIORITY_HIGH)
        return false;
    return p->config->priority == PRIORITY_LOW || (p->ready_n == 0 && now_us - m->full_us > FULL_PATIENCE_US);
}

static enum hob_code refuse(struct pool *p, unsigned *ret_retry_s, struct hob_err *err, const char *text)
{
    p->d->stats.shed++;
    if (*ret_retry_s == 0)
        *ret_retry_s = 1;
    return hob_fail_reason(err, HOB_E_UNAVAILABLE, "overloaded", "%s; try again in %u s", text, *ret_retry_s);
}

static enum hob_code judge_load(struct pool *p, uint64_t now_us, unsigned *ret_retry_s, struct hob_err *err)
{
    if (is_shed(p, now_us))
        return refuse(p, ret_retry_s, err, "the node has no memory for one more instance of this function");
    struct scaler_view v = pool_scaler_view(p, now_us);
    uint64_t wait_us = scaler_predict_us(&p->scaler, &v, !p->d->memory.is_full);
    uint64_t patience_us = (uint64_t)p->config->queue_timeout_ms * 1000u;
    if (wait_us <= patience_us)
        return HOB_OK;
    *ret_retry_s = seconds_until(now_us + wait_us - patience_us, now_us);
    return refuse(p, ret_retry_s, err,
                  "the wait for this function would be longer than its queue_timeout_ms");
}

enum hob_code pool_admit(struct pool *p, unsigned *ret_retry_s, struct hob_err *err)
{
    uint64_t now = dispatcher_now(p->d);
    *ret_retry_s = 0;
    if (p->d->is_draining) {
        *ret_retry_s = 1;
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "shutting_down",
                               "the server is shutting down; try again");
    }
    if (p->is_gone)
        return hob_fail(err, HOB_E_NOT_FOUND, "version %u of function '%s' was removed", p->version->number,
                        p->version->function_name);
    if (is_hopeless(p, now)) {
        *ret_retry_s = seconds_until(p->scaler.not_before_us, now);
        *err = p->failure;
        return err->code;
    }
    if (pool_slot(p))
        return HOB_OK;
    if (p->queued_n >= p->config->queue_max) {
        *ret_retry_s = 1;
        return hob_fail_reason(err, HOB_E_UNAVAILABLE, "queue_full",
                               "%u requests wait for this function already (queue_max); try again later",
                               p->queued_n);
    }
    return judge_load(p, now, ret_retry_s, err);
}
