/* Upgraded exchanges: after the 101 the connection carries what client and handler like, raw and both ways. Bytes, window,
 * back-pressure and failures are those of bodies and answers (exchange.c, conn.c); here is how it begins, when it has
 * ended, and how long it may be silent. */
#include "api/server/server_priv.h"

#include "base/banned.h"

void http_upgrade(struct http_exchange *x, struct hob_str protocol, const struct http_field *fields, size_t n,
                  const struct http_upgrade_times *times)
{
    struct http_conn *c = http_conn_of(x);
    if (x->is_muted)
        return;
    HOB_ASSERT(x->is_open && !x->has_head && x->request.upgrade.at && protocol.n);
    struct http_answer a = {.status = 101, .fields = fields, .fields_n = n, .upgrade = protocol};
    if (!http_exchange_check(x, &a) || !http_exchange_put_head(x, &a, false))
        return;
    x->is_raw = x->is_close = x->is_reading = x->has_answer_body = true;
    x->is_received = false;
    x->answer_left = HTTP_LENGTH_UNKNOWN;
    x->times = *times;
    x->upgraded_ms = c->since_ms = uv_now(c->server->loop);
}

void http_upgrade_settle(struct http_exchange *x)
{
    if (x->is_raw && x->is_ended && x->is_end_told && x->window_used == 0)
        x->is_answered = true;
}

void http_upgrade_leave(struct http_exchange *x)
{
    if (x->is_muted || x->is_answered)
        return;
    HOB_ASSERT(x->is_raw && x->is_ended);
    x->is_answered = true;
    http_conn_touch(http_conn_of(x));
}

static bool is_met(uint64_t bound_ms, uint64_t since_ms, uint64_t now_ms)
{
    return bound_ms && now_ms > since_ms && now_ms - since_ms > bound_ms;
}

void http_upgrade_sweep(struct http_exchange *x, uint64_t since_ms, uint64_t now_ms)
{
    struct http_refusal r;
    struct http_conn *c = http_conn_of(x);
    const struct http_upgrade_times *t = &x->times;
    bool is_half = x->is_ended || c->is_half_closed;
    if (x->is_answered)
        return;
    if (is_met(t->total_ms, x->upgraded_ms, now_ms))
        http_refuse(&r, 408, "upgrade_too_long",
                    "the upgraded connection lived longer than upgrade.total_ms");
    else if (is_half && is_met(t->half_ms, since_ms, now_ms))
        http_refuse(
            &r, 408, "upgrade_half_closed",
            "one side had ended the upgraded connection, the other was silent for upgrade.half_closed_ms");
    else if (is_met(t->idle_ms, since_ms, now_ms))
        http_refuse(&r, 408, "upgrade_idle", "the upgraded connection carried no byte for upgrade.idle_ms");
    else
        return;
    http_exchange_fail(x, &r);
    c->is_reset = false; /* a plain end: nothing that was sent is to be lost */
    http_conn_touch(c);
}
